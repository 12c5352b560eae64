//! Little-endian numbers, arrays and texts read one after another: what formats without tags are made of. Lengths are held
//! against what is left before anything is read.

use crate::cx::Stop;
use wb_blob::{Blob, Window};

/// Reads one blob forwards.
pub(super) struct Cursor {
    window: Window,
    blob: Blob,
    /// Where the next value begins.
    pub at: u64,
}

impl Cursor {
    pub(super) fn new(blob: &Blob) -> Self {
        Self { window: Window::new(blob.clone(), Window::CHUNK), blob: blob.clone(), at: 0 }
    }

    pub(super) fn left(&self) -> u64 {
        self.blob.len().saturating_sub(self.at)
    }

    /// An unsigned number of at most eight bytes.
    pub(super) fn number(&mut self, size: usize) -> Result<u64, Stop> {
        let v = self.window.view(self.at, size)?;
        let Some(b) = v.get(..size) else {
            return Err(Stop::malformed(self.at, "the file ends early"));
        };
        let n = b.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
        self.at += size as u64;
        Ok(n)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Stop> {
        Ok(self.number(1)? as u8)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Stop> {
        Ok(self.number(4)? as u32)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Stop> {
        Ok(self.number(4)? as u32 as i32)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Stop> {
        Ok(self.number(8)? as i64)
    }

    /// Passes over `count` elements of `size` bytes; where they begin.
    pub(super) fn skip(&mut self, count: u64, size: u64, what: &str) -> Result<u64, Stop> {
        let bytes = count.checked_mul(size).filter(|n| *n <= self.left());
        let Some(bytes) = bytes else {
            let detail = format!("{count} {what} of {size} bytes announced, {} bytes left", self.left());
            return Err(Stop::malformed(self.at, detail));
        };
        let start = self.at;
        self.at += bytes;
        Ok(start)
    }

    /// The next `len` bytes, of which at most `most` are kept.
    pub(super) fn bytes(&mut self, len: u64, most: u64, what: &str) -> Result<Vec<u8>, Stop> {
        let start = self.skip(len, 1, what)?;
        Ok(self.blob.read_range(start..start + len.min(most))?)
    }

    /// Bytes up to a terminator, which is passed over. `None` if none comes within `most` bytes.
    pub(super) fn until(&mut self, end: u8, most: usize) -> Result<Option<Vec<u8>>, Stop> {
        let v = self.window.view(self.at, most)?;
        let v = &v[..v.len().min(most)];
        let Some(n) = memchr::memchr(end, v) else { return Ok(None) };
        let out = v[..n].to_vec();
        self.at += n as u64 + 1;
        Ok(Some(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_held_against_what_is_left() {
        let mut c = Cursor::new(&Blob::from_vec(b"\x02\0\0\0ab\0cd".to_vec()));
        assert_eq!(c.u32().unwrap(), 2);
        assert!(c.skip(u64::MAX / 2, 4, "numbers").is_err() && c.skip(6, 1, "bytes").is_err());
        assert_eq!(c.until(0, 100).unwrap().as_deref(), Some(&b"ab"[..]));
        assert_eq!((c.until(0, 100).unwrap(), c.left()), (None, 2));
        assert_eq!(c.bytes(2, 1, "bytes").unwrap(), b"c");
        assert!(c.u8().is_err());
    }
}
