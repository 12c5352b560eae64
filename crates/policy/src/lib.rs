//! An organisation's policy: a TOML file becomes a [`Policy`], and [`decide`] turns one judged file
//! and what is known about its request into a [`Decision`].
//!
//! Everything here is pure: no clock, no disk, no network. Today's date is part of the [`Context`],
//! so the same report under the same policy on the same day always gives the same decision.
//!
//! Precedence: deny lists and allow-lists; malicious; partial and unsupported; rules; warn.
//! An allow-list restricts what may be pulled and never lifts a finding. A malicious verdict is lifted
//! only by an exception for the exact SHA-256.
#![warn(missing_docs)]

mod beside;
mod code;
mod context;
mod decide;
mod decision;
mod exception;
mod own;
mod parse;
mod policy;
mod unit;
mod want;

pub use beside::{is_module, may_be_named};
pub use code::hold_against;
pub use context::{Context, Repo, RepoKind};
pub use decide::decide;
pub use decision::{Action, AllowedBlob, AppliedException, Decision, Reason};
pub use exception::{Exception, MAX_EXCEPTION_DAYS, Scope};
pub use own::{OwnArgs, OwnEntry, TrustedPackages};
pub use parse::{PolicyError, PolicyErrors};
pub use policy::{Level, Policy, Profile};
pub use unit::{Beside, Files, Known, Link, MAX_UNIT, Need, Neighbour, Place, Refusal, Walk, gather};
