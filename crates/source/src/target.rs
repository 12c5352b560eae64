//! URLs that a person types: `hf://org/name[@rev][/file]` and `https://…`.

use crate::*;
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use wb_blob::ReadAt;

/// What a typed URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteTarget {
    /// A repository on the hub, or one file of it.
    Hub {
        /// The repository.
        repo: RepoId,
        /// Revision; `main` if none was given.
        rev: String,
        /// One file, or a folder's prefix; `None` for the whole repository.
        path: Option<String>,
    },
    /// A single file anywhere.
    Url(Url),
}

impl RemoteTarget {
    /// True if `text` looks like a URL this crate opens, rather than a path.
    pub fn is_url(text: &str) -> bool {
        ["hf://", "https://", "http://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// Parses `hf://[datasets/|spaces/]org/name[@rev][/path]` or an `https` URL. A revision with
    /// slashes is written percent-encoded (`@refs%2Fpr%2F3`) or as `@refs/pr/3`.
    pub fn parse(text: &str) -> Result<Self> {
        Err(SourceError::Request(format!("not built yet: {text}")))
    }
}

/// How [`open_url`] may use the network.
#[derive(Debug, Clone)]
pub struct NetPolicy {
    /// The hub behind `hf://`.
    pub hub: RemoteConfig,
    /// Token for the hub; sent to the hub's origin only.
    pub token: Option<Token>,
    /// Limits for reading by ranges.
    pub ranged: RangedLimits,
    /// Longest list of files taken from one repository.
    pub max_files: usize,
    /// Time for one metadata request with its redirects.
    pub timeout: Duration,
}

impl NetPolicy {
    /// Takes `HF_ENDPOINT` and `HF_TOKEN` from the environment, else the public Hub and no token.
    ///
    /// # Errors
    /// If `HF_ENDPOINT` is not a URL.
    pub fn from_env() -> Result<Self> {
        Err(SourceError::Internal("not built yet".into()))
    }
}

/// One file that a URL named.
#[derive(Clone)]
pub struct RemoteFile {
    /// Name for output: the path inside the repository, or the URL's last segment.
    pub name: String,
    /// Its bytes; reads block.
    pub source: Arc<dyn ReadAt>,
    /// What the hub said of it, if it came from one.
    pub meta: Option<FileMeta>,
}

/// Opens what a URL names, for blocking callers (never from async code). A repository gives all its
/// files, in path order. The runtime behind it lives as long as the process.
pub fn open_url(url: &str, policy: &NetPolicy) -> Result<Vec<RemoteFile>> {
    let _ = (RemoteTarget::parse(url)?, policy);
    Err(SourceError::Internal("not built yet".into()))
}
