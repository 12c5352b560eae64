//! [`RangedFile`]: a remote file read by ranges from blocking code.

use std::io;
use std::ops::Range;
use wb_blob::ReadAt;

/// Limits of a [`RangedFile`].
#[derive(Debug, Clone)]
pub struct RangedLimits {
    /// Bytes of blocks kept in memory.
    pub cache: usize,
    /// Largest single request, in bytes.
    pub request: u64,
    /// Largest file downloaded whole when the server does not know ranges, in bytes.
    pub whole: u64,
}

impl Default for RangedLimits {
    fn default() -> Self {
        Self { cache: 32 << 20, request: 8 << 20, whole: 8 << 30 }
    }
}

/// A file behind HTTP ranges (or in a folder). Cheap to share; reads block.
#[derive(Debug)]
pub struct RangedFile {
    len: u64,
}

impl RangedFile {
    /// Bytes transferred so far, more than were asked for where ranges were joined.
    pub fn bytes_transferred(&self) -> u64 {
        0
    }
}

impl ReadAt for RangedFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, _buf: &mut [u8], _offset: u64) -> io::Result<usize> {
        Err(io::Error::other("not built yet"))
    }

    fn hint(&self, _ranges: &[Range<u64>]) {}
}
