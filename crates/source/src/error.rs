//! [`SourceError`]: what went wrong, whose fault it is, and whether asking again can help.

use std::time::Duration;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The upstream cannot be reached, timed out or broke off. Gateway status 502 or 504.
    UpstreamDown,
    /// The upstream answered with an error status, to be passed through unchanged.
    UpstreamAnswered,
    /// The upstream broke the protocol or sent other bytes than it announced. Gateway status 502.
    UpstreamLied,
    /// The request would have gone to an address or host that is not allowed. Gateway status 502.
    ForbiddenAddress,
    /// What was asked for is malformed. Gateway status 400.
    Request,
    /// A failure on this machine. Gateway status 500.
    Ours,
}

/// An error answer of the upstream, as it must reach the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// `X-Error-Code`, e.g. `GatedRepo`.
    pub code: Option<String>,
    /// `X-Error-Message`, else the JSON body's `error`.
    pub message: Option<String>,
    /// `X-Repo-Commit`, which comes with `EntryNotFound`.
    pub commit: Option<String>,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
}

/// Everything that can go wrong while asking an upstream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Connection refused, DNS failure, time-out, connection lost, a storage host that fails.
    #[error("upstream {host} {detail}")]
    Down {
        /// The host asked.
        host: String,
        /// What happened, as what the host did or is: `answered with status 500`.
        detail: String,
        /// True if it was a time-out (gateway status 504).
        timeout: bool,
    },
    /// The upstream answered with an error status.
    #[error("upstream answered {}{}", .0.status, .0.message.as_deref().map(|m| format!(": {m}")).unwrap_or_default())]
    Answered(Box<Answer>),
    /// The upstream broke the protocol: missing headers, impossible sizes, too many redirects.
    #[error("upstream broke the protocol: {0}")]
    Protocol(String),
    /// The bytes are not those that were announced.
    #[error("upstream changed the content: {0}")]
    Changed(String),
    /// A host or address that requests must not go to.
    #[error("refused to connect: {0}")]
    Forbidden(String),
    /// The request itself is malformed (a bad repository id, path or URL).
    #[error("{0}")]
    Request(String),
    /// Reading or writing on this machine failed.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted, with the path.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Something else on this machine failed (TLS set-up, a task).
    #[error("internal failure: {0}")]
    Internal(String),
}

impl SourceError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Down { .. } => Fault::UpstreamDown,
            Self::Answered(_) => Fault::UpstreamAnswered,
            Self::Protocol(_) | Self::Changed(_) => Fault::UpstreamLied,
            Self::Forbidden(_) => Fault::ForbiddenAddress,
            Self::Request(_) => Fault::Request,
            Self::Io { .. } | Self::Internal(_) => Fault::Ours,
        }
    }

    /// The status a gateway answers with.
    pub fn gateway_status(&self) -> u16 {
        match self {
            Self::Down { timeout: true, .. } => 504,
            Self::Answered(answer) => answer.status,
            Self::Down { .. } | Self::Protocol(_) | Self::Changed(_) | Self::Forbidden(_) => 502,
            Self::Request(_) => 400,
            Self::Io { .. } | Self::Internal(_) => 500,
        }
    }

    /// True if the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Down { .. } => true,
            Self::Answered(answer) => matches!(answer.status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// How long the upstream asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answered(answer) => answer.retry_after.map(Duration::from_secs),
            _ => None,
        }
    }

    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    pub(crate) fn answered(status: u16, code: Option<&str>, message: &str, commit: Option<&str>) -> Self {
        Self::Answered(Box::new(Answer {
            status,
            code: code.map(Into::into),
            message: Some(message.into()),
            commit: commit.map(Into::into),
            retry_after: None,
        }))
    }
}

/// For code behind [`wb_blob::ReadAt`], which speaks [`std::io::Error`].
impl From<SourceError> for std::io::Error {
    fn from(error: SourceError) -> Self {
        let kind = match &error {
            SourceError::Down { timeout: true, .. } => std::io::ErrorKind::TimedOut,
            SourceError::Down { .. } => std::io::ErrorKind::ConnectionAborted,
            SourceError::Forbidden(_) => std::io::ErrorKind::PermissionDenied,
            SourceError::Protocol(_) | SourceError::Changed(_) => std::io::ErrorKind::InvalidData,
            SourceError::Io { source, .. } => source.kind(),
            _ => std::io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
