//! The quarantine: content on its way in.

use super::{BlobGuard, BlobStore};
use crate::data_dir::hex;
use crate::{Result, StoreError};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;
use tempfile::NamedTempFile;
use wb_blob::Sha256Digest;

/// What the upstream announced about content; everything stated must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Size in bytes.
    pub size: Option<u64>,
    /// SHA-256.
    pub sha256: Option<Sha256Digest>,
    /// Git blob id, 40 lower-case hex digits. Checked only together with `size`, which it covers.
    pub git_oid: Option<String>,
}

/// A quarantine file being written: hashed as it grows, bounded. Dropped without
/// [`SpoolWriter::finish`] it leaves nothing. Blocking, but only for page-cache writes and hashing:
/// feed it chunks of at most 1 MiB from async code.
#[derive(Debug)]
pub struct SpoolWriter {
    store: BlobStore,
    file: NamedTempFile,
    expected: Expected,
    limit: u64,
    written: u64,
    sha256: Sha256,
    git: Option<Sha1>,
}

/// A complete quarantine file with known digests. Dropped without [`Spooled::keep`] it is removed.
#[derive(Debug)]
pub struct Spooled {
    store: BlobStore,
    file: NamedTempFile,
    sha256: Sha256Digest,
    size: u64,
}

impl SpoolWriter {
    pub(super) fn new(store: BlobStore, expected: Expected, limit: u64) -> Result<Self> {
        let spool = store.inner.data.path().join("spool");
        let limit = expected.size.map_or(limit, |size| size.min(limit));
        if let Some(size) = expected.size.filter(|size| *size > limit) {
            return Err(StoreError::TooLong { limit: limit.min(size) });
        }
        let file = NamedTempFile::new_in(&spool).map_err(|e| StoreError::io("create a file in", spool, e))?;
        let git = expected.git_oid.as_ref().and(expected.size);
        Ok(Self {
            store,
            file,
            limit,
            written: 0,
            sha256: Sha256::new(),
            git: git.map(|size| Sha1::new_with_prefix(format!("blob {size}\0"))),
            expected,
        })
    }

    /// Appends.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] past the announced size or the limit, [`StoreError::Full`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.written.saturating_add(bytes.len() as u64);
        if written > self.limit {
            return Err(StoreError::TooLong { limit: self.limit });
        }
        self.file.write_all(bytes).map_err(|e| StoreError::io("write", self.file.path(), e))?;
        self.sha256.update(bytes);
        if let Some(git) = &mut self.git {
            git.update(bytes);
        }
        self.written = written;
        Ok(())
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
        let mismatch =
            |what, found: String, expected: String| Err(StoreError::Mismatch { what, found, expected });
        if let Some(size) = self.expected.size.filter(|size| *size != self.written) {
            return mismatch("size", self.written.to_string(), size.to_string());
        }
        let sha256 = Sha256Digest(self.sha256.finalize().into());
        if let Some(expected) = self.expected.sha256.filter(|e| *e != sha256) {
            return mismatch("sha-256", sha256.to_string(), expected.to_string());
        }
        if let (Some(git), Some(expected)) = (self.git, &self.expected.git_oid) {
            let found = hex(&git.finalize());
            if !found.eq_ignore_ascii_case(expected) {
                return mismatch("git blob id", found, expected.clone());
            }
        }
        Ok(Spooled { store: self.store, file: self.file, sha256, size: self.written })
    }
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
        self.file.path()
    }

    /// Makes it durable and moves it into the store: fsync, rename, fsync of the folder.
    pub async fn keep(self) -> Result<BlobGuard> {
        let Self { store, file, sha256, size } = self;
        let work = move || {
            file.as_file().sync_all().map_err(|e| StoreError::io("sync", file.path(), e))?;
            store.adopt(file, sha256, size)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?
    }
}
