//! [`BlobStore`]: verified content under its digest.
//!
//! Content enters through a quarantine file in `spool/` that is hashed while it is written
//! ([`SpoolWriter`]), and leaves it only with the right size and digests, by fsync and rename. What is
//! in `blobs/` is therefore whole; what a ledger does not confirm at start is removed.

mod index;
mod ledger;
mod spool;

pub use spool::{Expected, SpoolWriter, Spooled};

use crate::{DataDir, Result, StoreError};
use index::Index;
use ledger::Ledger;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use wb_blob::Sha256Digest;

/// How exactly the last use of a blob is remembered on disk.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// Blobs in `DATA/blobs/ab/<sha256>`. Cheap to clone. That a blob is here says that its bytes are
/// those of its digest; whether anyone may have them is decided elsewhere, each time.
#[derive(Debug, Clone)]
pub struct BlobStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    data: DataDir,
    max_bytes: Option<u64>,
    index: Mutex<Index>,
    /// Apart from the index: its syncs must not hold up whoever only opens a blob.
    ledger: Mutex<Ledger>,
}

/// An open blob that eviction leaves alone as long as this guard (or a clone) lives.
#[derive(Debug, Clone)]
pub struct BlobGuard {
    hold: Arc<Hold>,
}

#[derive(Debug)]
struct Hold {
    inner: Arc<Inner>,
    sha256: Sha256Digest,
    len: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut index = self.inner.lock();
        index.release(self.sha256);
        self.inner.evict(&mut index);
    }
}

impl BlobGuard {
    /// The content.
    pub fn sha256(&self) -> Sha256Digest {
        self.hold.sha256
    }

    /// Size in bytes.
    pub fn len(&self) -> u64 {
        self.hold.len
    }

    /// True if the blob has no bytes.
    pub fn is_empty(&self) -> bool {
        self.hold.len == 0
    }

    /// An own handle on the file, at offset 0, read-only.
    ///
    /// # Errors
    /// [`StoreError::NoBlob`] if someone took the file away or changed its size.
    pub fn file(&self) -> Result<File> {
        let path = self.hold.inner.path(self.hold.sha256);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::NoBlob(self.hold.sha256));
            }
            Err(e) => return Err(StoreError::io("open", path, e)),
        };
        let len = file.metadata().map_err(|e| StoreError::io("stat", &path, e))?.len();
        if len == self.hold.len { Ok(file) } else { Err(StoreError::NoBlob(self.hold.sha256)) }
    }
}

impl BlobStore {
    /// Indexes the blobs that are there, removing what is not whole. `max_bytes` is `--spool-max`;
    /// `None` for no limit.
    pub async fn open(data: &DataDir, max_bytes: Option<u64>) -> Result<Self> {
        let data = data.clone();
        let open = move || {
            let root = data.path().join("blobs");
            let (ledger, known) = Ledger::load(&root)?;
            let index = Index::build(&root, known)?;
            let ledger = Mutex::new(ledger.compacted(&index)?);
            let inner = Arc::new(Inner { data, max_bytes, index: Mutex::new(index), ledger });
            inner.evict(&mut inner.lock());
            Ok(Self { inner })
        };
        tokio::task::spawn_blocking(open).await.map_err(|_| StoreError::Closed)?
    }

    /// Begins a quarantine file for content announced as `expected`, of at most `limit` bytes.
    pub fn spool_writer(&self, expected: Expected, limit: u64) -> Result<SpoolWriter> {
        SpoolWriter::new(self.clone(), expected, limit)
    }

    /// Opens a blob for serving or scanning; `None` if it is absent, or its file is not of the size
    /// it was kept with.
    pub fn open_blob(&self, sha256: Sha256Digest) -> Result<Option<BlobGuard>> {
        let path = self.inner.path(sha256);
        let mut index = self.inner.lock();
        let Some(size) = index.size(sha256) else { return Ok(None) };
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() && meta.len() == size => meta,
            Ok(_) => {
                tracing::warn!(%sha256, "a blob was changed on disk; treated as absent");
                self.inner.forget(&mut index, sha256);
                return Ok(None);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                index.remove(sha256);
                return Ok(None);
            }
            Err(e) => return Err(StoreError::io("stat", path, e)),
        };
        index.acquire(sha256);
        drop(index);
        let old = meta.modified().ok().and_then(|m| SystemTime::now().duration_since(m).ok());
        if old.is_some_and(|age| age > TOUCH_EVERY) {
            // Only orders eviction after a restart; not worth an error.
            let _ = File::open(&path).and_then(|f| f.set_modified(SystemTime::now()));
        }
        Ok(Some(self.guard(sha256, size)))
    }

    /// Removes a blob that is not in use (one found damaged while served). False if it is in use or absent.
    pub fn remove(&self, sha256: Sha256Digest) -> Result<bool> {
        let mut index = self.inner.lock();
        if !index.is_idle(sha256) {
            return Ok(false);
        }
        self.inner.forget(&mut index, sha256);
        Ok(true)
    }

    /// Bytes and number of blobs kept.
    pub fn usage(&self) -> (u64, u64) {
        self.inner.lock().usage()
    }

    /// A guard for a blob that was acquired in the index already.
    fn guard(&self, sha256: Sha256Digest, len: u64) -> BlobGuard {
        BlobGuard { hold: Arc::new(Hold { inner: self.inner.clone(), sha256, len }) }
    }

    /// Moves a complete, synced quarantine file into place.
    fn adopt(&self, file: tempfile::NamedTempFile, sha256: Sha256Digest, size: u64) -> Result<BlobGuard> {
        let path = self.inner.path(sha256);
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        fs::create_dir_all(&folder).map_err(|e| StoreError::io("create", &folder, e))?;
        // First the ledger: a crash in between leaves a line without a blob, which says nothing.
        self.inner.ledger.lock().unwrap_or_else(PoisonError::into_inner).append(sha256, size)?;
        {
            // Under the lock, so that no eviction takes the new file for an old one of the same name.
            let mut index = self.inner.lock();
            file.persist(&path).map_err(|e| StoreError::io("move into place", &path, e.error))?;
            index.insert(sha256, size);
            index.acquire(sha256);
            self.inner.evict(&mut index);
        }
        let guard = self.guard(sha256, size);
        File::open(&folder).and_then(|d| d.sync_all()).map_err(|e| StoreError::io("sync", &folder, e))?;
        Ok(guard)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Index> {
        // The index is changed after the files; a panic in between leaves at worst an entry too few.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, sha256: Sha256Digest) -> PathBuf {
        let name = sha256.to_hex();
        self.data.path().join("blobs").join(name.get(..2).unwrap_or_default()).join(name)
    }

    fn forget(&self, index: &mut Index, sha256: Sha256Digest) {
        let path = self.path(sha256);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "cannot remove a blob");
            }
            _ => index.remove(sha256),
        }
    }

    /// Removes the longest unused blobs until the rest fits. Blobs in use stay.
    fn evict(&self, index: &mut Index) {
        let Some(max) = self.max_bytes else { return };
        for sha256 in index.victims(max) {
            self.forget(index, sha256);
        }
    }
}

#[cfg(test)]
mod tests;
