//! Reading an HDF5 file by address, and the record of which bytes some structure explains.

use crate::cx::{Cx, Stop};
use wb_blob::Blob;

/// The largest single structure read whole: a heap collection that holds one long text may be this long.
const MAX_BLOCK: u64 = 64 << 20;

/// "No address": all bits set.
pub(super) const UNDEFINED: u64 = u64::MAX;

/// The file from its superblock on: addresses are offsets in `blob`.
pub(super) struct File {
    pub blob: Blob,
    /// Where that is in the blob being scanned.
    pub base: u64,
    /// Bytes of an address.
    pub offset: usize,
    /// Bytes of a length.
    pub length: usize,
    /// Half the entries of a leaf of a group's tree, of an inner node, and of a chunk index.
    pub leaf_k: u64,
    pub group_k: u64,
    pub chunk_k: u64,
    used: Vec<(u64, u64)>,
    merge_at: usize,
}

impl File {
    pub(super) fn new(blob: Blob, base: u64) -> Self {
        let used = Vec::new();
        Self { blob, base, offset: 8, length: 8, leaf_k: 4, group_k: 16, chunk_k: 32, used, merge_at: 4096 }
    }

    /// Length of the file from the superblock on.
    pub(super) fn len(&self) -> u64 {
        self.blob.len()
    }

    /// The structure of `len` bytes at `address`, read whole and taken as explained.
    pub(super) fn block(&mut self, address: u64, len: u64, cx: &Cx<'_>) -> Result<Vec<u8>, Stop> {
        if len > MAX_BLOCK {
            return Err(self.broken(address, format!("a structure of {len} bytes")));
        }
        cx.budget.steps(1 + len / 64)?;
        let end = address.checked_add(len).filter(|end| *end <= self.len());
        let Some(end) = end else {
            return Err(self.broken(address, format!("{len} bytes at {address:#x} leave the file")));
        };
        self.explain(address, end);
        Ok(self.blob.read_range(address..end)?)
    }

    /// A few bytes that do not count as explained yet.
    pub(super) fn peek(&self, address: u64, len: usize) -> Result<Vec<u8>, Stop> {
        Ok(self.blob.sub(address..address.saturating_add(len as u64)).head(len)?)
    }

    /// A broken structure at `address`.
    pub(super) fn broken(&self, address: u64, what: impl Into<String>) -> Stop {
        Stop::malformed(self.base.saturating_add(address), what)
    }

    /// Takes a range as explained.
    pub(super) fn explain(&mut self, start: u64, end: u64) {
        let end = end.min(self.len());
        if start >= end {
            return;
        }
        self.used.push((start, end));
        if self.used.len() >= self.merge_at {
            self.merge();
            self.merge_at = (self.used.len() * 2).max(4096);
        }
    }

    fn merge(&mut self) {
        self.used.sort_unstable();
        let mut out: Vec<(u64, u64)> = Vec::with_capacity(self.used.len() / 2);
        for (start, end) in self.used.drain(..) {
            match out.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => out.push((start, end)),
            }
        }
        self.used = out;
    }

    /// What nothing explains, up to `end`.
    pub(super) fn holes(&mut self, end: u64) -> Vec<(u64, u64)> {
        self.merge();
        let mut at = 0;
        let mut out = Vec::new();
        for (start, stop) in &self.used {
            if *start > at {
                out.push((at, (*start).min(end)));
            }
            at = at.max(*stop);
        }
        if at < end {
            out.push((at, end));
        }
        out.retain(|(a, b)| a < b);
        out
    }
}

/// Reads fields one after another.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let part = self.bytes.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(part)
    }

    pub(super) fn skip(&mut self, n: usize) -> Option<()> {
        self.take(n).map(|_| ())
    }

    /// A little-endian number of `n` bytes, at most 8.
    pub(super) fn uint(&mut self, n: usize) -> Option<u64> {
        if n > 8 {
            return None;
        }
        Some(self.take(n)?.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.uint(2).map(|v| v as u16)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.uint(4).map(|v| v as u32)
    }

    /// An address; [`UNDEFINED`] for "none", whatever the width.
    pub(super) fn address(&mut self, width: usize) -> Option<u64> {
        let all = self.bytes.get(self.at..self.at + width)?.iter().all(|b| *b == 0xff);
        let value = self.uint(width)?;
        Some(if all { UNDEFINED } else { value })
    }

    /// The text up to a NUL or the end.
    pub(super) fn text(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        let n = memchr::memchr(0, rest).unwrap_or(rest.len());
        self.at += (n + 1).min(rest.len());
        &rest[..n]
    }
}
