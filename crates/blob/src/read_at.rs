//! [`ReadAt`], the one trait every source of bytes implements, and [`Blob`], a range of a source.

use crate::blocks::Blocks;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Bytes that can be read at any offset. Offsets and lengths are in bytes.
pub trait ReadAt: Send + Sync {
    /// Total length.
    fn len(&self) -> u64;
    /// True if there is nothing to read.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Reads up to `buf.len()` bytes at `offset`. Returns 0 only at or after the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Zero-copy access for sources that hold their bytes in memory.
    fn slice(&self, _range: Range<u64>) -> Option<&[u8]> {
        None
    }
    /// Announces ranges that will be read soon; remote sources coalesce them.
    fn hint(&self, _ranges: &[Range<u64>]) {}
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.as_slice().len());
        let rest = &self[start..];
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
    fn slice(&self, range: Range<u64>) -> Option<&[u8]> {
        let start = usize::try_from(range.start).ok()?;
        let end = usize::try_from(range.end).ok()?;
        self.get(start..end)
    }
}

/// An open file with the length it had when it was opened.
struct OpenFile {
    file: File,
    len: u64,
    /// Formats look at the same headers again and again.
    blocks: Mutex<Blocks>,
}

impl OpenFile {
    fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl ReadAt for OpenFile {
    fn len(&self) -> u64 {
        self.len
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        // Whoever holds the blocks reads for itself meanwhile; nobody need wait for that.
        match self.blocks.try_lock() {
            Ok(mut blocks) => blocks.read(buf, offset, |buf, at| self.read(buf, at)),
            Err(_) => self.read(buf, offset),
        }
    }
}

/// A contiguous range of a source, cheap to clone. A stored zip member is a sub-range: no copy.
///
/// Every byte read through any clone or sub-range is counted once per read in [`Blob::bytes_read`].
#[derive(Clone)]
pub struct Blob {
    source: Arc<dyn ReadAt>,
    start: u64,
    len: u64,
    read: Arc<AtomicU64>,
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({}..{})", self.start, self.start + self.len)
    }
}

impl Blob {
    /// A blob over the whole of `source`.
    pub fn new(source: Arc<dyn ReadAt>) -> Self {
        let len = source.len();
        Self { source, start: 0, len, read: Arc::default() }
    }

    /// A blob over bytes in memory.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self::new(Arc::new(bytes))
    }

    /// A blob over an open regular file; the length is taken from the descriptor.
    pub fn from_file(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self::from_file_of_len(file, len))
    }

    /// A blob over an open regular file whose length the caller knows: needs no call that looks at files,
    /// which a confined worker may not make.
    pub fn from_file_of_len(file: File, len: u64) -> Self {
        Self::new(Arc::new(OpenFile { file, len, blocks: Mutex::default() }))
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if the blob has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Offset of this blob in its source.
    pub fn offset_in_source(&self) -> u64 {
        self.start
    }

    /// Bytes read so far through this blob and all its relatives.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The part `range` of this blob, clamped to its end.
    pub fn sub(&self, range: Range<u64>) -> Self {
        let start = range.start.min(self.len);
        let end = range.end.clamp(start, self.len);
        Self {
            source: self.source.clone(),
            start: self.start + start,
            len: end - start,
            read: self.read.clone(),
        }
    }

    /// Reads up to `buf.len()` bytes at `offset`; short only at the end of the blob.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.len.saturating_sub(offset);
        let want = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < want {
            let n = self.source.read_at(&mut buf[done..want], self.start + offset + done as u64)?;
            if n == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("source ended {} bytes before its stated length", want - done),
                ));
            }
            done += n;
        }
        self.read.fetch_add(done as u64, Ordering::Relaxed);
        Ok(done)
    }

    /// Reads `range` whole, clamped to the end. The caller bounds the length.
    pub fn read_range(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let start = range.start.min(self.len);
        let len = range.end.min(self.len).saturating_sub(start);
        // In memory: no zeroes first, and no second owner of the source.
        if let Some(part) = self.source.slice(self.start + start..self.start + start + len) {
            self.read.fetch_add(part.len() as u64, Ordering::Relaxed);
            return Ok(part.to_vec());
        }
        let mut buf = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?];
        let n = self.read_at(&mut buf, start)?;
        buf.truncate(n);
        Ok(buf)
    }

    /// At most the first `max` bytes.
    pub fn head(&self, max: usize) -> io::Result<Vec<u8>> {
        self.read_range(0..max as u64)
    }

    /// Announces ranges (relative to this blob) that will be read soon.
    pub fn hint(&self, ranges: &[Range<u64>]) {
        let moved: Vec<_> = ranges
            .iter()
            .map(|r| self.start + r.start.min(self.len)..self.start + r.end.min(self.len))
            .collect();
        self.source.hint(&moved);
    }

    /// Zero-copy view of the whole blob, if its source is in memory.
    pub fn as_slice(&self) -> Option<&[u8]> {
        self.source.slice(self.start..self.start + self.len)
    }

    /// A sequential reader (for decompressors); reads through a small buffer.
    pub fn reader(&self) -> BlobReader {
        BlobReader { blob: self.clone(), at: 0 }
    }
}

/// Sequential [`io::Read`] and [`io::Seek`] over a [`Blob`].
pub struct BlobReader {
    blob: Blob,
    at: u64,
}

impl BlobReader {
    /// Offset of the next byte.
    pub fn position(&self) -> u64 {
        self.at
    }
}

impl io::Read for BlobReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.blob.read_at(buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl io::Seek for BlobReader {
    fn seek(&mut self, pos: io::SeekFrom) -> io::Result<u64> {
        let target = match pos {
            io::SeekFrom::Start(n) => Some(n),
            io::SeekFrom::End(n) => self.blob.len.checked_add_signed(n),
            io::SeekFrom::Current(n) => self.at.checked_add_signed(n),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_ranges_are_clamped() {
        let b = Blob::from_vec((0..10).collect());
        assert_eq!(b.sub(2..5).read_range(0..99).unwrap(), [2, 3, 4]);
        assert_eq!(b.sub(8..99).len(), 2);
        assert_eq!(b.sub(50..60).len(), 0);
        assert_eq!(b.sub(2..8).sub(1..3).as_slice().unwrap(), [3, 4]);
        assert_eq!(b.bytes_read(), 3);
    }

    #[test]
    fn a_source_that_ends_early_is_an_error() {
        struct Liar;
        impl ReadAt for Liar {
            fn len(&self) -> u64 {
                100
            }
            fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
                Ok(0)
            }
        }
        let err = Blob::new(Arc::new(Liar)).read_range(0..4).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::UnexpectedEof);
    }
}
