//! Which blobs are there, how big, how long unused, and which are in use.

use crate::{Result, StoreError};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wb_blob::Sha256Digest;

#[derive(Debug)]
struct Known {
    size: u64,
    /// Larger is later.
    used: u128,
    users: usize,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    blobs: HashMap<Sha256Digest, Known>,
    bytes: u64,
}

fn nanos(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos()
}

impl Index {
    /// Walks the folder. A file stays only if its name is a digest and the ledger confirms its size.
    pub(super) fn build(root: &Path, known: HashMap<Sha256Digest, u64>) -> Result<Self> {
        let failed = |e| StoreError::io("list", root, e);
        let mut index = Self::default();
        for folder in fs::read_dir(root).map_err(failed)? {
            let folder = folder.map_err(failed)?;
            if !folder.file_type().map_err(failed)?.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path()).map_err(failed)? {
                let file = file.map_err(failed)?;
                let meta = file.metadata().map_err(failed)?;
                let name = file.file_name();
                let sha256 = name.to_str().and_then(|n| n.parse::<Sha256Digest>().ok());
                let expected = sha256.and_then(|s| known.get(&s));
                match (sha256, expected) {
                    (Some(sha256), Some(size)) if meta.is_file() && meta.len() == *size => {
                        index.insert(sha256, *size);
                        if let (Some(known), Ok(modified)) = (index.blobs.get_mut(&sha256), meta.modified()) {
                            known.used = nanos(modified);
                        }
                    }
                    _ => {
                        tracing::warn!(path = %file.path().display(), "removing a blob that is not whole");
                        if meta.is_dir() {
                            continue;
                        }
                        fs::remove_file(file.path()).map_err(|e| StoreError::io("remove", file.path(), e))?;
                    }
                }
            }
        }
        Ok(index)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (Sha256Digest, u64)> {
        self.blobs.iter().map(|(sha256, known)| (*sha256, known.size))
    }

    pub(super) fn size(&self, sha256: Sha256Digest) -> Option<u64> {
        self.blobs.get(&sha256).map(|k| k.size)
    }

    pub(super) fn insert(&mut self, sha256: Sha256Digest, size: u64) {
        let used = nanos(SystemTime::now());
        if let Some(known) = self.blobs.get_mut(&sha256) {
            known.used = used; // the same content once more: the users of the first one stay
            return;
        }
        self.bytes = self.bytes.saturating_add(size);
        self.blobs.insert(sha256, Known { size, used, users: 0 });
    }

    pub(super) fn remove(&mut self, sha256: Sha256Digest) {
        if let Some(known) = self.blobs.remove(&sha256) {
            self.bytes = self.bytes.saturating_sub(known.size);
        }
    }

    pub(super) fn acquire(&mut self, sha256: Sha256Digest) {
        if let Some(known) = self.blobs.get_mut(&sha256) {
            known.users += 1;
            known.used = nanos(SystemTime::now());
        }
    }

    pub(super) fn release(&mut self, sha256: Sha256Digest) {
        if let Some(known) = self.blobs.get_mut(&sha256) {
            known.users = known.users.saturating_sub(1);
        }
    }

    pub(super) fn is_idle(&self, sha256: Sha256Digest) -> bool {
        self.blobs.get(&sha256).is_some_and(|k| k.users == 0)
    }

    pub(super) fn usage(&self) -> (u64, u64) {
        (self.bytes, self.blobs.len() as u64)
    }

    /// Idle blobs, longest unused first, whose removal brings the total to at most `max` bytes.
    pub(super) fn victims(&self, max: u64) -> Vec<Sha256Digest> {
        let mut over = self.bytes.saturating_sub(max);
        if over == 0 {
            return Vec::new();
        }
        let mut idle: Vec<_> = self.blobs.iter().filter(|(_, k)| k.users == 0).collect();
        idle.sort_unstable_by_key(|(sha256, k)| (k.used, **sha256));
        let mut out = Vec::new();
        for (sha256, known) in idle {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(known.size);
            out.push(*sha256);
        }
        out
    }
}
