//! [`StoreError`].

use std::path::PathBuf;
use wb_blob::Sha256Digest;

/// What can go wrong while remembering.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No space left on the device or over quota. Gateway status 507.
    #[error("disk full while writing {0}; free space or lower --spool-max")]
    Full(PathBuf),
    /// Another process uses the data folder.
    #[error("{0} is in use by another process; stop it, or choose another --data folder")]
    Locked(PathBuf),
    /// The data folder was written by a newer version.
    #[error("{path} has schema {found}, this version knows up to {known}; use a newer weighbridge")]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Schema version found.
        found: i64,
        /// Newest version known here.
        known: i64,
    },
    /// The content fetched is not the content announced. Gateway status 502.
    #[error("content does not match what was announced: {what} is {found}, expected {expected}")]
    Mismatch {
        /// `size`, `sha-256` or `git blob id`.
        what: &'static str,
        /// As computed.
        found: String,
        /// As announced.
        expected: String,
    },
    /// More bytes than the caller allowed.
    #[error("content is longer than the {limit} bytes allowed")]
    TooLong {
        /// Bytes allowed.
        limit: u64,
    },
    /// A blob that is not there.
    #[error("no blob {0}")]
    NoBlob(Sha256Digest),
    /// The database failed.
    #[error("database: {0}")]
    Database(String),
    /// The audit chain is broken; nothing is appended to it.
    #[error("audit chain: {0}")]
    Chain(String),
    /// Reading or writing a file failed.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The store was closed, or a task of it died.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Maps an I/O error; a full disk is its own case.
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        use std::io::ErrorKind;
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full(path.into()),
            _ => Self::Io { what, path: path.into(), source },
        }
    }

    /// True if the disk is full (gateway status 507).
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// True if the upstream sent other content than it announced (gateway status 502).
    pub fn is_mismatch(&self) -> bool {
        matches!(self, Self::Mismatch { .. } | Self::TooLong { .. })
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // SQLITE_FULL is 13, SQLITE_IOERR_WRITE with ENOSPC is reported as FULL too.
        if let sqlx::Error::Database(db) = &error
            && db.code().as_deref() == Some("13")
        {
            return Self::Full("the database".into());
        }
        Self::Database(error.to_string())
    }
}
