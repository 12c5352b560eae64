//! Numbers and bytes of a Torch7 file: little-endian, or text.

use crate::cx::Stop;
use wb_blob::{Blob, Window};

/// Reads from one place to the next.
pub(super) struct Input {
    window: Window,
    pub at: u64,
    pub text: bool,
}

impl Input {
    pub(super) fn new(blob: &Blob, text: bool) -> Self {
        Self { window: Window::new(blob.clone(), 64 << 10), at: 0, text }
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> u64 {
        self.window.len().saturating_sub(self.at)
    }

    fn early<T>(&self) -> Result<T, Stop> {
        Err(Stop::malformed(self.at, "the Torch7 object ends early"))
    }

    /// A number of text, as `fscanf` reads it, and the newline behind it.
    fn word(&mut self) -> Result<Vec<u8>, Stop> {
        const LONGEST: usize = 64;
        loop {
            let v = self.window.view(self.at, 1)?;
            let n = v.iter().take_while(|b| b.is_ascii_whitespace()).count();
            self.at += n as u64;
            if n == 0 {
                break;
            }
        }
        let v = self.window.view(self.at, LONGEST)?;
        let number = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.');
        let len = v.iter().take(LONGEST).take_while(number).count();
        let word = v[..len].to_vec();
        if word.is_empty() {
            return self.early();
        }
        let newline = v.get(len) == Some(&b'\n');
        self.at += len as u64 + u64::from(newline);
        Ok(word)
    }

    fn whole(&mut self, size: usize) -> Result<i64, Stop> {
        if self.text {
            let at = self.at;
            let word = self.word()?;
            let number = std::str::from_utf8(&word).ok().and_then(|w| w.parse().ok());
            return number.ok_or_else(|| Stop::malformed(at, "no number where one must stand"));
        }
        let v = self.window.view(self.at, size)?;
        let Some(bytes) = v.get(..size) else { return self.early() };
        let n = bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
        self.at += size as u64;
        Ok(if size == 4 { i64::from(n as u32 as i32) } else { n as i64 })
    }

    pub(super) fn int(&mut self) -> Result<i64, Stop> {
        self.whole(4)
    }

    pub(super) fn long(&mut self) -> Result<i64, Stop> {
        self.whole(8)
    }

    pub(super) fn double(&mut self) -> Result<(), Stop> {
        if self.text { self.word().map(|_| ()) } else { self.whole(8).map(|_| ()) }
    }

    /// Steps over `count` numbers of `size` bytes.
    pub(super) fn numbers(&mut self, count: u64, size: u64) -> Result<(), Stop> {
        if self.text && size > 1 {
            if count > self.left() {
                return self.early();
            }
            for _ in 0..count {
                self.word()?;
            }
            return Ok(());
        }
        match count.checked_mul(size).filter(|n| *n <= self.left()) {
            Some(n) => self.bytes(n, 0).map(|_| ()),
            None => self.early(),
        }
    }

    /// `len` bytes as they stand, of which at most `keep` are returned.
    pub(super) fn bytes(&mut self, len: u64, keep: usize) -> Result<Vec<u8>, Stop> {
        if len > self.left() {
            return self.early();
        }
        let keep = keep.min(usize::try_from(len).unwrap_or(usize::MAX));
        let kept = if keep > 0 {
            self.window.view(self.at, keep)?.get(..keep).unwrap_or_default().to_vec()
        } else {
            Vec::new()
        };
        self.at += len;
        if self.text && len > 0 && self.window.view(self.at, 1)?.first() == Some(&b'\n') {
            self.at += 1;
        }
        Ok(kept)
    }
}
