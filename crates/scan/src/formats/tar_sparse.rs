//! Sparse tar members: pieces in the archive, zeros between them in the file that unpacking writes.
//!
//! GNU tar's manual, "Storing Sparse Files"; CPython `Lib/tarfile.py` (`_proc_sparse`, `_proc_gnusparse_*`).

use super::tar_header::{BLOCK, unsigned};
use crate::cx::{Cx, Stop};
use std::io;
use std::sync::Arc;
use wb_blob::{Blob, ReadAt};

/// What pax records say of a sparse member.
#[derive(Default, Clone)]
pub(super) struct Announced {
    /// Offsets and lengths one after another (formats 0.0 and 0.1).
    pub numbers: Vec<u64>,
    /// The map stands at the beginning of the data (format 1.0).
    pub in_data: bool,
    /// Size of the file with its holes.
    pub size: Option<u64>,
    /// Something of this could not be read.
    pub broken: bool,
}

/// The pieces of one member: place in the file, place in the archive's data, length.
pub(super) struct Map {
    pieces: Vec<(u64, u64, u64)>,
    size: u64,
}

impl Map {
    /// From (place, length) pairs whose data stand one after another from `start` on.
    fn of(numbers: &[u64], size: u64, start: u64) -> Option<Self> {
        let mut at = start;
        let mut pieces = Vec::with_capacity(numbers.len() / 2);
        let mut last = 0u64;
        for pair in numbers.chunks(2) {
            let [place, len] = *pair else { return None };
            if len == 0 {
                continue;
            }
            if place < last {
                return None;
            }
            last = place.checked_add(len)?;
            pieces.push((place, at, len));
            at = at.checked_add(len)?;
        }
        (last <= size).then_some(Self { pieces, size })
    }

    /// Of a member with pax records. `data` is what the archive holds of it.
    pub(super) fn of_pax(a: &Announced, data: &Blob, cx: &Cx<'_>) -> Result<Option<Self>, Stop> {
        let (Some(size), false) = (a.size, a.broken) else { return Ok(None) };
        if !a.in_data {
            return Ok(Self::of(&a.numbers, size, 0));
        }
        let mut lines = Lines { data, buf: Vec::new(), at: 0, fetched: 0 };
        let Some(count) = lines.number()? else { return Ok(None) };
        let mut numbers = Vec::new();
        for _ in 0..count.saturating_mul(2) {
            cx.budget.entries(1)?;
            let Some(n) = lines.number()? else { return Ok(None) };
            numbers.push(n);
        }
        Ok(Self::of(&numbers, size, lines.place().next_multiple_of(BLOCK)))
    }

    /// Of an old GNU member (type `S`): four pieces in the header, more in blocks behind it. Returns the map, whose
    /// places in the archive count from the end of these blocks, and their number.
    pub(super) fn of_header(blob: &Blob, header_at: u64, cx: &Cx<'_>) -> Result<(Option<Self>, u64), Stop> {
        let block = blob.read_range(header_at..header_at.saturating_add(BLOCK))?;
        let Some(fixed) = block.get(386..495) else { return Ok((None, 0)) };
        let mut numbers = Vec::new();
        let mut whole = pairs(&fixed[..96], &mut numbers);
        let size = unsigned(&fixed[97..109]);
        let mut more = fixed[96] != 0;
        let mut blocks = 0;
        while more {
            cx.budget.entries(1)?;
            blocks += 1;
            let at = header_at.saturating_add(blocks * BLOCK);
            let block = blob.read_range(at..at.saturating_add(BLOCK))?;
            let Some(fixed) = block.get(..505) else { return Ok((None, blocks)) };
            whole &= pairs(&fixed[..504], &mut numbers);
            more = fixed[504] != 0;
        }
        let map = size.filter(|_| whole).and_then(|size| Self::of(&numbers, size, 0));
        Ok((map, blocks))
    }

    /// The file that unpacking writes. None if it would be much larger than the archive: nobody reads on for zeros.
    pub(super) fn fill(self, data: &Blob) -> Option<Blob> {
        const HOLES: u64 = 1 << 30;
        if self.size > data.len().saturating_add(HOLES) {
            return None;
        }
        Some(Blob::new(Arc::new(Filled { data: data.clone(), map: self })))
    }
}

/// Twelve-byte offsets and lengths; a field that is no number ends the list.
fn pairs(fields: &[u8], out: &mut Vec<u64>) -> bool {
    for pair in fields.chunks_exact(24) {
        let (a, b) = pair.split_at(12);
        if a[0] == 0 && b[0] == 0 {
            continue;
        }
        let (Some(a), Some(b)) = (unsigned(a), unsigned(b)) else { return false };
        out.extend([a, b]);
    }
    true
}

/// Decimal numbers, one a line.
struct Lines<'a> {
    data: &'a Blob,
    buf: Vec<u8>,
    at: usize,
    fetched: u64,
}

impl Lines<'_> {
    fn place(&self) -> u64 {
        self.fetched - (self.buf.len() - self.at) as u64
    }

    fn number(&mut self) -> Result<Option<u64>, Stop> {
        const CHUNK: u64 = 16 << 10;
        const MAX_LINE: usize = 24;
        if self.buf.len() - self.at < MAX_LINE {
            let more = self.data.read_range(self.fetched..self.fetched.saturating_add(CHUNK))?;
            self.fetched += more.len() as u64;
            self.buf.drain(..self.at);
            self.at = 0;
            self.buf.extend(more);
        }
        let rest = &self.buf[self.at..];
        let Some(end) = memchr::memchr(b'\n', &rest[..rest.len().min(MAX_LINE)]) else { return Ok(None) };
        self.at += end + 1;
        Ok(std::str::from_utf8(&rest[..end]).ok().and_then(|t| t.trim().parse().ok()))
    }
}

/// Reads zeros where no piece is.
struct Filled {
    data: Blob,
    map: Map,
}

impl ReadAt for Filled {
    fn len(&self) -> u64 {
        self.map.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.map.size.saturating_sub(offset);
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let pieces = &self.map.pieces;
        let next = pieces.partition_point(|(place, _, len)| place.saturating_add(*len) <= offset);
        let Some(&(place, at, len)) = pieces.get(next) else {
            buf[..n].fill(0);
            return Ok(n);
        };
        if offset < place {
            let n = n.min(usize::try_from(place - offset).unwrap_or(usize::MAX));
            buf[..n].fill(0);
            return Ok(n);
        }
        let inside = offset - place;
        let n = n.min(usize::try_from(len - inside).unwrap_or(usize::MAX));
        let got = self.data.read_at(&mut buf[..n], at.saturating_add(inside))?;
        if got == 0 && n > 0 {
            // The archive ends before the piece does.
            buf[..n].fill(0);
            return Ok(n);
        }
        Ok(got)
    }
}
