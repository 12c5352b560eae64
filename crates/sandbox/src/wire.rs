//! The messages between pool and worker. Both ends are the same executable, so there is no version.
//!
//! Every message begins with a header of 16 bytes: kind (1), detail (1), zero (6), number (8, little endian).

use borsh::BorshDeserialize;
use std::io;
use wb_verdict::{Depth, Facts};

/// Bytes in a header.
pub const HEADER: usize = 16;

/// Largest answer with fact sheets, in bytes.
pub const MAX_FACTS: u64 = 32 << 20;

/// Largest answer to one read request, in bytes.
pub const MAX_READ: u64 = 1 << 20;

/// Ranges in one hint.
pub const MAX_HINTS: usize = 64;

/// Table and contents of one batch of small files, in bytes.
pub const MAX_BATCH: u64 = 1 << 20;

/// Longest text of a fault, in bytes.
pub const MAX_FAULT: u64 = 2048;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To the worker: scan the file whose descriptor comes with this message; number is its size.
    ScanFile,
    /// To the worker: scan a source of this size by read requests.
    ScanSource,
    /// To the worker: scan the files whose contents follow; number is the length of what follows, see [`batch_table`].
    ScanBatch,
    /// To the worker: the bytes asked for follow; number is their count.
    Data,
    /// To the worker: reading failed; number is the length of the text that follows.
    ReadError,
    /// From the worker: the fact sheets follow, one for each file; number is their length.
    Facts,
    /// From the worker: read at this offset; the length follows as 8 bytes.
    Read,
    /// From the worker: this number of ranges follows, 16 bytes each; no answer.
    Hint,
    /// From the worker: it gives up; number is the length of the text that follows.
    Fault,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::ScanFile,
        Self::ScanSource,
        Self::ScanBatch,
        Self::Data,
        Self::ReadError,
        Self::Facts,
        Self::Read,
        Self::Hint,
        Self::Fault,
    ];
}

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    pub depth: Depth,
    pub number: u64,
}

impl Header {
    pub fn new(kind: Kind, number: u64) -> Self {
        Self { kind, depth: Depth::Whole, number }
    }

    pub fn encode(self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[0] = self.kind as u8;
        out[1] = u8::from(self.depth == Depth::Ranged);
        out[8..].copy_from_slice(&self.number.to_le_bytes());
        out
    }

    pub fn decode(bytes: [u8; HEADER]) -> io::Result<Self> {
        let [kind, depth, rest @ ..] = bytes;
        let [0, 0, 0, 0, 0, 0, n @ ..] = rest else { return Err(garbage()) };
        let kind = Kind::ALL.into_iter().find(|k| *k as u8 == kind).ok_or_else(garbage)?;
        let depth = match depth {
            0 => Depth::Whole,
            1 => Depth::Ranged,
            _ => return Err(garbage()),
        };
        Ok(Self { kind, depth, number: u64::from_le_bytes(n) })
    }
}

/// The error for bytes that are no message.
pub fn garbage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a message of a scan worker")
}

/// The table of a batch: the number of files and the length of each. Their contents follow in this order.
pub fn batch_table(lengths: &[u32]) -> Vec<u8> {
    let count = u32::try_from(lengths.len()).unwrap_or(u32::MAX);
    let numbers = std::iter::once(&count).chain(lengths);
    numbers.flat_map(|n| n.to_le_bytes()).collect()
}

/// The files of a batch; none if table and contents do not fit each other.
pub fn split_batch(body: &[u8]) -> Option<Vec<&[u8]>> {
    let number = |at: usize| Some(u32::from_le_bytes(*body.get(at..)?.first_chunk()?) as usize);
    let count = number(0)?;
    let mut rest = body.get(count.checked_add(1)?.checked_mul(4)?..)?;
    let mut files = Vec::with_capacity(count);
    for i in 0..count {
        let (file, after) = rest.split_at_checked(number(4 * (i + 1))?)?;
        files.push(file);
        rest = after;
    }
    rest.is_empty().then_some(files)
}

/// Appends a sheet.
pub fn write_sheet(out: &mut Vec<u8>, sheet: &Facts) -> io::Result<()> {
    borsh::to_writer(out, sheet)
}

/// Reads `count` sheets, which must be all there is. Lengths are not believed: nothing larger than `bytes` is made of them.
pub fn read_sheets(mut bytes: &[u8], count: usize) -> io::Result<Vec<Facts>> {
    let sheets: io::Result<Vec<Facts>> = (0..count).map(|_| Facts::deserialize(&mut bytes)).collect();
    let sheets = sheets.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    if bytes.is_empty() { Ok(sheets) } else { Err(garbage()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_wire() {
        for kind in Kind::ALL {
            for depth in [Depth::Whole, Depth::Ranged] {
                let header = Header { kind, depth, number: u64::MAX - 7 };
                assert_eq!(Header::decode(header.encode()).unwrap(), header);
            }
        }
    }

    #[test]
    fn garbage_is_refused() {
        assert!(Header::decode([0xff; HEADER]).is_err());
        assert!(Header::decode([0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(Header::decode([0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
