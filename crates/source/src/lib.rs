//! Names and bytes of the outside world.
//!
//! An [`Upstream`] is a model hub: a remote one over HTTP ([`RemoteHub`]) or a folder tree served as
//! one ([`DirHub`]). Both answer the same questions: what does this name stand for ([`FileMeta`]),
//! may this requester see it ([`Access`]), what does the hub's API say ([`MetaResponse`]), and give
//! me the bytes. [`open_url`] is the blocking entrance for the command line.
//!
//! Where a request may go is decided here and nowhere else: see [`EgressPolicy`].
#![warn(missing_docs)]

mod dir;
mod egress;
mod error;
mod meta;
mod ranged;
mod remote;
mod repo;
mod target;
mod token;
mod upstream;

pub use dir::DirHub;
pub use egress::{EgressPolicy, HostRule};
pub use error::{Answer, Fault, SourceError};
pub use meta::{Access, FileMeta, MetaRequest, MetaResponse, Method, Route};
pub use ranged::{RangedFile, RangedLimits};
pub use remote::{RemoteConfig, RemoteHub};
pub use repo::{RepoId, RepoKind};
pub use target::{NetPolicy, RemoteFile, RemoteTarget, open_url};
pub use token::Token;
pub use upstream::{ByteStream, Upstream};

/// Result of everything here.
pub type Result<T, E = SourceError> = std::result::Result<T, E>;
