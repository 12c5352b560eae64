//! `blobs/ledger`: one line `<sha256> <size>` per blob that was ever put in place.
//!
//! A rename makes a blob appear whole, so the ledger adds one thing: the size a blob must have. A blob
//! that someone truncated, or that was put there by other hands, is told from a good one without
//! hashing it.

use super::index::Index;
use crate::{Result, StoreError};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use wb_blob::Sha256Digest;

#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    file: Option<File>,
}

impl Ledger {
    /// Reads the ledger; the last line about a blob holds, a torn one says nothing.
    pub(super) fn load(root: &Path) -> Result<(Self, HashMap<Sha256Digest, u64>)> {
        let path = root.join("ledger");
        let mut known = HashMap::new();
        match File::open(&path) {
            Ok(file) => {
                for line in BufReader::new(file).split(b'\n') {
                    let line = line.map_err(|e| StoreError::io("read", &path, e))?;
                    if let Some((sha256, size)) = std::str::from_utf8(&line).ok().and_then(parse) {
                        known.insert(sha256, size);
                    }
                }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(StoreError::io("open", path, e)),
        }
        Ok((Self { path, file: None }, known))
    }

    /// Writes it anew with what is really there, and opens it for appending.
    pub(super) fn compacted(mut self, index: &Index) -> Result<Self> {
        let temporary = self.path.with_extension("new");
        let write = || {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            let mut out = BufWriter::new(file);
            for (sha256, size) in index.entries() {
                writeln!(out, "{sha256} {size} .")?;
            }
            out.into_inner()?.sync_all()?;
            std::fs::rename(&temporary, &self.path)?;
            OpenOptions::new().append(true).open(&self.path)
        };
        self.file = Some(write().map_err(|e| StoreError::io("write", &self.path, e))?);
        Ok(self)
    }

    /// Adds a line, durably.
    pub(super) fn append(&mut self, sha256: Sha256Digest, size: u64) -> Result<()> {
        let Some(file) = &mut self.file else { return Err(StoreError::Closed) };
        // The newline in front ends a torn line that a full disk may have left.
        file.write_all(format!("\n{sha256} {size} .\n").as_bytes())
            .and_then(|()| file.sync_data())
            .map_err(|e| StoreError::io("append to", &self.path, e))
    }
}

/// The dot at the end tells a whole line from one whose size was cut short.
fn parse(line: &str) -> Option<(Sha256Digest, u64)> {
    let mut words = line.split(' ');
    let (sha256, size) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (words.next() == Some(".")).then_some((sha256, size))
}
