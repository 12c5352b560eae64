//! The messages between pool and worker. Both ends are the same executable, so there is no version.
//!
//! Every message begins with a header of 16 bytes: kind (1), detail (1), zero (6), number (8, little endian).

use std::io;
use wb_verdict::Depth;

/// Bytes in a header.
pub const HEADER: usize = 16;

/// Largest fact sheet a worker may send, in bytes of JSON.
pub const MAX_FACTS: u64 = 32 << 20;

/// Largest answer to one read request, in bytes.
pub const MAX_READ: u64 = 1 << 20;

/// Ranges in one hint.
pub const MAX_HINTS: usize = 64;

/// Longest text of a fault, in bytes.
pub const MAX_FAULT: u64 = 2048;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To the worker: scan the file whose descriptor comes with this message; number is its size.
    ScanFile,
    /// To the worker: scan a source of this size by read requests.
    ScanSource,
    /// To the worker: the bytes asked for follow; number is their count.
    Data,
    /// To the worker: reading failed; number is the length of the text that follows.
    ReadError,
    /// From the worker: the fact sheet follows; number is its length.
    Facts,
    /// From the worker: read at this offset; the length follows as 8 bytes.
    Read,
    /// From the worker: this number of ranges follows, 16 bytes each; no answer.
    Hint,
    /// From the worker: it gives up; number is the length of the text that follows.
    Fault,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::ScanFile,
        Self::ScanSource,
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
