//! The three spellings of R's serialisation: XDR (big-endian), native binary (little-endian, as on every machine in use)
//! and text.

use crate::cx::Stop;
use wb_blob::{Blob, Window};

/// Bytes of a text that are kept; the rest is stepped over.
const KEPT: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    Xdr,
    Native,
    Ascii,
}

/// Reads from one place to the next.
pub(super) struct Input {
    window: Window,
    pub at: u64,
    pub spelling: Spelling,
}

impl Input {
    pub(super) fn new(blob: &Blob, at: u64, spelling: Spelling) -> Self {
        Self { window: Window::new(blob.clone(), 64 << 10), at, spelling }
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> u64 {
        self.window.len().saturating_sub(self.at)
    }

    fn early<T>(&self) -> Result<T, Stop> {
        Err(Stop::malformed(self.at, "the R object ends early"))
    }

    fn four(&mut self) -> Result<[u8; 4], Stop> {
        let bytes = self.window.view(self.at, 4)?.get(..4).and_then(|b| b.try_into().ok());
        match bytes {
            Some(bytes) => {
                self.at += 4;
                Ok(bytes)
            }
            None => self.early(),
        }
    }

    /// `InInteger`. `NA` is the smallest integer.
    pub(super) fn int(&mut self) -> Result<i32, Stop> {
        match self.spelling {
            Spelling::Xdr => Ok(i32::from_be_bytes(self.four()?)),
            Spelling::Native => Ok(i32::from_le_bytes(self.four()?)),
            Spelling::Ascii => {
                let at = self.at;
                let word = self.word()?;
                if word == b"NA" {
                    return Ok(i32::MIN);
                }
                // As `sscanf` takes it: digits, then whatever.
                let (sign, digits) = match word.split_first() {
                    Some((b'-', rest)) => (-1, rest),
                    Some((b'+', rest)) => (1, rest),
                    _ => (1, &word[..]),
                };
                let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
                let number = digits
                    .get(..count)
                    .filter(|d| !d.is_empty() && d.len() < 12)
                    .and_then(|d| std::str::from_utf8(d).ok())
                    .and_then(|d| d.parse::<i64>().ok())
                    .and_then(|n| i32::try_from(sign * n).ok());
                number.ok_or_else(|| Stop::malformed(at, "no number where the R object needs one"))
            }
        }
    }

    /// A word of text.
    fn word(&mut self) -> Result<Vec<u8>, Stop> {
        const LONGEST: usize = 100;
        self.blanks()?;
        let v = self.window.view(self.at, LONGEST + 1)?;
        let len = v.iter().position(u8::is_ascii_whitespace).unwrap_or(v.len());
        if len == 0 {
            return self.early();
        }
        if len > LONGEST {
            return Err(Stop::malformed(self.at, "a word longer than R reads"));
        }
        let word = v[..len].to_vec();
        self.at += len as u64;
        Ok(word)
    }

    fn blanks(&mut self) -> Result<(), Stop> {
        loop {
            let v = self.window.view(self.at, 1)?;
            let n = v.iter().take_while(|b| b.is_ascii_whitespace() || **b == 0x0b).count();
            self.at += n as u64;
            if n == 0 || n < v.len() {
                return Ok(());
            }
        }
    }

    /// Steps over `count` values of `size` bytes each (words of text).
    pub(super) fn values(&mut self, count: u64, size: u64) -> Result<(), Stop> {
        if self.spelling == Spelling::Ascii {
            if count > self.left() {
                return self.early();
            }
            for _ in 0..count {
                self.word()?;
            }
            return Ok(());
        }
        match count.checked_mul(size).filter(|n| *n <= self.left()) {
            Some(n) => {
                self.at += n;
                Ok(())
            }
            None => self.early(),
        }
    }

    /// Where the content of a vector of bytes lies, if it lies in one piece.
    pub(super) fn raw(&mut self, count: u64) -> Result<Option<std::ops::Range<u64>>, Stop> {
        let at = self.at;
        self.values(count, 1)?;
        Ok((self.spelling != Spelling::Ascii).then_some(at..self.at))
    }

    /// `ReadLENGTH`.
    pub(super) fn length(&mut self) -> Result<u64, Stop> {
        let at = self.at;
        match self.int()? {
            -1 => {
                let (high, low) = (self.int()? as u32, self.int()? as u32);
                Ok(u64::from(high) << 32 | u64::from(low))
            }
            n => u64::try_from(n).map_err(|_| Stop::malformed(at, "a negative length")),
        }
    }

    /// `InString`: the beginning of a text of `len` bytes.
    pub(super) fn text(&mut self, len: u64) -> Result<String, Stop> {
        if len > self.left() {
            return self.early();
        }
        let mut kept = Vec::new();
        if self.spelling != Spelling::Ascii {
            let want = len.min(KEPT as u64) as usize;
            kept.extend_from_slice(self.window.view(self.at, want)?.get(..want).unwrap_or_default());
            self.at += len;
        } else if len > 0 {
            self.blanks()?;
            for _ in 0..len {
                let b = self.escaped()?;
                if kept.len() < KEPT {
                    kept.push(b);
                }
            }
        }
        Ok(String::from_utf8_lossy(&kept).into_owned())
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        match self.window.view(self.at, 1)?.first() {
            Some(b) => {
                let b = *b;
                self.at += 1;
                Ok(b)
            }
            None => self.early(),
        }
    }

    fn escaped(&mut self) -> Result<u8, Stop> {
        let b = self.byte()?;
        if b != b'\\' {
            return Ok(b);
        }
        Ok(match self.byte()? {
            b'n' => b'\n',
            b't' => b'\t',
            b'v' => 0x0b,
            b'b' => 8,
            b'r' => b'\r',
            b'f' => 0x0c,
            b'a' => 7,
            d @ b'0'..=b'7' => {
                let mut n = u32::from(d - b'0');
                for _ in 0..2 {
                    match self.window.view(self.at, 1)?.first() {
                        Some(d @ b'0'..=b'7') => {
                            n = n * 8 + u32::from(d - b'0');
                            self.at += 1;
                        }
                        _ => break,
                    }
                }
                n as u8
            }
            other => other,
        })
    }
}
