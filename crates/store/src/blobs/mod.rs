//! [`BlobStore`]: verified content under its digest.

use crate::{DataDir, Result, StoreError};
use std::fs::File;
use std::path::Path;
use wb_blob::Sha256Digest;

/// What the upstream announced about content; everything stated must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Size in bytes.
    pub size: Option<u64>,
    /// SHA-256.
    pub sha256: Option<Sha256Digest>,
    /// Git blob id, 40 lower-case hex digits. Checked only together with `size`.
    pub git_oid: Option<String>,
}

/// Blobs in `DATA/blobs/ab/<sha256>`. Cheap to clone. That a blob is here says that its bytes are
/// those of its digest; whether anyone may have them is decided elsewhere, each time.
#[derive(Debug, Clone)]
pub struct BlobStore {
    _data: DataDir,
}

/// An open blob that eviction leaves alone as long as this guard (or a clone) lives.
#[derive(Debug, Clone)]
pub struct BlobGuard {
    sha256: Sha256Digest,
    len: u64,
}

impl BlobGuard {
    /// The content.
    pub fn sha256(&self) -> Sha256Digest {
        self.sha256
    }
    /// Size in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }
    /// True if the blob has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// An own handle on the file, at offset 0, read-only.
    pub fn file(&self) -> Result<File> {
        Err(StoreError::Closed)
    }
}

/// A quarantine file being written: hashed as it grows, bounded. Dropped without
/// [`SpoolWriter::finish`] it leaves nothing. Blocking, but only for page-cache writes and hashing:
/// feed it chunks of at most 1 MiB from async code.
#[derive(Debug)]
pub struct SpoolWriter {
    written: u64,
}

impl SpoolWriter {
    /// Appends.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] past the announced size or the limit, [`StoreError::Full`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let _ = bytes;
        Err(StoreError::Closed)
    }

    /// Bytes written so far (resume from here after a broken connection).
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Checks size and digests against what was announced. The file stays in quarantine.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`]; the file is gone then.
    pub fn finish(self) -> Result<Spooled> {
        Err(StoreError::Closed)
    }
}

/// A complete quarantine file with known digests. Dropped without [`Spooled::keep`] it is removed.
#[derive(Debug)]
pub struct Spooled {
    sha256: Sha256Digest,
    size: u64,
}

impl Spooled {
    /// SHA-256 of the bytes.
    pub fn sha256(&self) -> Sha256Digest {
        self.sha256
    }
    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
    /// Where it lies while in quarantine.
    pub fn path(&self) -> &Path {
        Path::new("")
    }
    /// Makes it durable and moves it into the store: fsync, rename, fsync of the folder.
    pub async fn keep(self) -> Result<BlobGuard> {
        Err(StoreError::Closed)
    }
}

impl BlobStore {
    /// Indexes the blobs that are there. `max_bytes` is `--spool-max`; `None` for no limit.
    pub async fn open(data: &DataDir, max_bytes: Option<u64>) -> Result<Self> {
        let _ = max_bytes;
        Ok(Self { _data: data.clone() })
    }

    /// Begins a quarantine file for content announced as `expected`, of at most `limit` bytes.
    pub fn spool_writer(&self, expected: Expected, limit: u64) -> Result<SpoolWriter> {
        let _ = (expected, limit);
        Err(StoreError::Closed)
    }

    /// Opens a blob for serving or scanning; `None` if it is absent, or its file is not of the size
    /// it was kept with.
    pub fn open_blob(&self, sha256: Sha256Digest) -> Result<Option<BlobGuard>> {
        let _ = sha256;
        Err(StoreError::Closed)
    }

    /// Removes a blob that is not in use (one found damaged while served).
    pub fn remove(&self, sha256: Sha256Digest) -> Result<bool> {
        let _ = sha256;
        Err(StoreError::Closed)
    }

    /// Bytes and number of blobs kept.
    pub fn usage(&self) -> (u64, u64) {
        (0, 0)
    }
}
