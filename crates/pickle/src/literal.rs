//! Literals decoded from the stream, on demand and bounded.

use crate::opcode::{self as op, Arg, opcode};
use hashbrown::HashMap;
use std::io;
use std::ops::Range;
use wb_blob::Blob;

/// The bytes a machine reads, by absolute offset.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub blob: Blob,
    /// Opcode bytes that a reader sees although the file holds another byte there (see frames).
    pub patches: HashMap<u64, u8>,
}

/// A decoded literal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    None,
    Bool(bool),
    Int(i64),
    BigInt {
        len: u64,
    },
    Float(f64),
    /// Text as UTF-8 where it is; `len` is the length in the stream.
    Str {
        bytes: Vec<u8>,
        len: u64,
        cut: bool,
    },
    /// `data` is where the bytes are in the stream.
    Bytes {
        head: Vec<u8>,
        data: Range<u64>,
    },
    Unknown,
}

impl Source {
    /// The opcode at `at`, where its argument begins and what it holds: `range` is the payload without
    /// length field, newline or quotes.
    pub(crate) fn literal(&self, at: u64, max: usize) -> io::Result<Literal> {
        // The longest argument that is not counted has eight bytes.
        let mut head = [0; 9];
        let read = self.blob.read_at(&mut head, at)?;
        let head = head.get_mut(..read).unwrap_or_default();
        if let (Some(first), Some(&code)) = (head.first_mut(), self.patches.get(&at)) {
            *first = code;
        }
        let Some((&code, rest)) = head.split_first() else { return Ok(Literal::Unknown) };
        let uint = |n: usize| rest.get(..n).map(le_uint);
        let Some(info) = opcode(code) else { return Ok(Literal::Unknown) };
        let payload = match info.arg {
            Arg::Counted(n) => match uint(usize::from(n)) {
                Some(len) => {
                    let start = at + 1 + u64::from(n);
                    start..start.saturating_add(len).min(self.blob.len())
                }
                None => return Ok(Literal::Unknown),
            },
            _ => at + 1..at + 1,
        };
        let len = payload.end.saturating_sub(payload.start);
        let part = payload.start..payload.start + len.min(max as u64);
        Ok(match code {
            op::NONE => Literal::None,
            op::NEWTRUE => Literal::Bool(true),
            op::NEWFALSE => Literal::Bool(false),
            op::BININT => uint(4).map_or(Literal::Unknown, |n| Literal::Int(i64::from(n as u32 as i32))),
            op::BININT1 => uint(1).map_or(Literal::Unknown, |n| Literal::Int(n as i64)),
            op::BININT2 => uint(2).map_or(Literal::Unknown, |n| Literal::Int(n as i64)),
            op::BINFLOAT => {
                uint(8).map_or(Literal::Unknown, |n| Literal::Float(f64::from_bits(n.swap_bytes())))
            }
            op::LONG1 | op::LONG4 => {
                let bytes = self.blob.read_range(payload.start..payload.start + len.min(9))?;
                match bytes.len() {
                    0 => Literal::Int(0),
                    n @ 1..=8 => {
                        let shift = 64 - 8 * n as u32;
                        Literal::Int(((le_uint(&bytes) << shift) as i64) >> shift)
                    }
                    _ => Literal::BigInt { len },
                }
            }
            op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 | op::BINSTRING | op::SHORT_BINSTRING => {
                Literal::Str { bytes: self.blob.read_range(part)?, len, cut: len > max as u64 }
            }
            op::BINBYTES | op::SHORT_BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => {
                Literal::Bytes { head: self.blob.read_range(part)?, data: payload }
            }
            op::INT | op::LONG | op::FLOAT | op::STRING | op::UNICODE | op::PERSID => {
                let (line, whole) = self.line(at + 1, max)?;
                let cut = whole > line.len() as u64;
                match code {
                    op::INT | op::LONG => int_text(&line, code == op::LONG),
                    op::FLOAT => float_text(&line),
                    op::STRING => match unquote(&line, cut) {
                        Some(inner) => Literal::Str { bytes: unescape(inner), len: whole, cut },
                        None => Literal::Unknown,
                    },
                    op::PERSID => Literal::Str { bytes: line, len: whole, cut },
                    _ => Literal::Str { bytes: raw_unicode_escape(&line), len: whole, cut },
                }
            }
            _ => Literal::Unknown,
        })
    }

    /// The opcode at `at`.
    pub(crate) fn code(&self, at: u64) -> Option<u8> {
        match self.patches.get(&at) {
            Some(&code) => Some(code),
            None => {
                let mut byte = [0];
                (self.blob.read_at(&mut byte, at).ok()? == 1).then_some(byte[0])
            }
        }
    }

    /// The line at `at` without its newline, at most `max` bytes of it, and its whole length as far as looked at.
    pub(crate) fn line(&self, at: u64, max: usize) -> io::Result<(Vec<u8>, u64)> {
        let mut size = 256.min(max as u64 + 1);
        loop {
            let mut buf = self.blob.read_range(at..at.saturating_add(size))?;
            if let Some(n) = buf.iter().position(|&b| b == b'\n') {
                let whole = n as u64;
                buf.truncate(n.min(max));
                return Ok((buf, whole));
            }
            if (buf.len() as u64) < size {
                // The C reader cuts off the last byte of an unterminated line as if it were the newline.
                buf.pop();
                let whole = buf.len() as u64;
                buf.truncate(max);
                return Ok((buf, whole));
            }
            if size > max as u64 {
                buf.truncate(max);
                return Ok((buf, max as u64 + 1));
            }
            size = (size * 4).min(max as u64 + 1);
        }
    }
}

pub(crate) fn le_uint(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
}

/// The integer of an INT or LONG line: base 0, as `int(text, 0)` and C's `strtol` read it.
fn int_text(line: &[u8], long: bool) -> Literal {
    match line {
        b"01" if !long => return Literal::Bool(true),
        b"00" if !long => return Literal::Bool(false),
        _ => {}
    }
    let Ok(text) = std::str::from_utf8(line) else { return Literal::Unknown };
    let text = text.trim();
    let text = text.strip_suffix('L').unwrap_or(text);
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, text.get(1..).unwrap_or("")),
        Some(b'+') => (1, text.get(1..).unwrap_or("")),
        _ => (1, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, body) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let body = body.replace('_', "");
    if body.is_empty() || !body.chars().all(|c| c.is_digit(base)) {
        return Literal::Unknown;
    }
    match i64::from_str_radix(&body, base) {
        Ok(n) => Literal::Int(sign * n),
        Err(_) => Literal::BigInt { len: line.len() as u64 },
    }
}

/// True if readers that take integers as decimal and readers that take base 0 see different numbers or errors.
pub(crate) fn int_text_is_odd(line: &[u8], long: bool) -> bool {
    if !long && matches!(line, b"00" | b"01") {
        return false;
    }
    let line = if long { line.strip_suffix(b"L").unwrap_or(line) } else { line };
    let digits = line.strip_prefix(b"-").unwrap_or(line);
    digits.is_empty()
        || !digits.iter().all(u8::is_ascii_digit)
        || (digits.len() > 1 && digits.first() == Some(&b'0'))
}

fn float_text(line: &[u8]) -> Literal {
    let text = String::from_utf8_lossy(line);
    text.trim().replace('_', "").parse().map_or(Literal::Unknown, Literal::Float)
}

fn unquote(line: &[u8], cut: bool) -> Option<&[u8]> {
    let line = line.trim_ascii_end();
    let (&q, rest) = line.split_first()?;
    if !matches!(q, b'"' | b'\'') {
        return None;
    }
    if cut {
        return Some(rest);
    }
    rest.strip_suffix(&[q])
}

/// Python's string escapes, as `codecs.escape_decode` reads them.
fn unescape(s: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(s.len());
    let mut it = s.iter().copied().peekable();
    while let Some(b) = it.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        match it.next() {
            None => out.push(b'\\'),
            Some(b'\n') => {}
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'a') => out.push(7),
            Some(b'b') => out.push(8),
            Some(b'f') => out.push(12),
            Some(b'v') => out.push(11),
            Some(c @ (b'\\' | b'\'' | b'"')) => out.push(c),
            Some(b'x') => out.push(digits(&mut it, 16, 2) as u8),
            Some(c @ b'0'..=b'7') => {
                let mut n = u32::from(c - b'0');
                for _ in 0..2 {
                    match it.peek() {
                        Some(d @ b'0'..=b'7') => {
                            n = n * 8 + u32::from(d - b'0');
                            it.next();
                        }
                        _ => break,
                    }
                }
                out.push(n as u8);
            }
            Some(c) => out.extend([b'\\', c]),
        }
    }
    out
}

fn digits(it: &mut std::iter::Peekable<impl Iterator<Item = u8>>, base: u32, max: usize) -> u32 {
    let mut n = 0u32;
    for _ in 0..max {
        match it.peek().and_then(|&b| char::from(b).to_digit(base)) {
            Some(d) => {
                n = n.wrapping_mul(base).wrapping_add(d);
                it.next();
            }
            None => break,
        }
    }
    n
}

/// Latin-1 with `\uXXXX` and `\UXXXXXXXX` escapes, given back as UTF-8.
fn raw_unicode_escape(s: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(s.len());
    let mut it = s.iter().copied().peekable();
    while let Some(b) = it.next() {
        let width = match (b, it.peek()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                out.push(char::from(b));
                if b == b'\\'
                    && let Some(next) = it.next()
                {
                    out.push(char::from(next));
                }
                continue;
            }
        };
        it.next();
        out.push(char::from_u32(digits(&mut it, 16, width)).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lit(bytes: &[u8]) -> Literal {
        Source { blob: Blob::from_vec(bytes.to_vec()), patches: HashMap::new() }.literal(0, 64).unwrap()
    }

    fn text(s: &str, len: u64) -> Literal {
        Literal::Str { bytes: s.into(), len, cut: false }
    }

    #[test]
    fn integers_are_base_zero() {
        assert_eq!(lit(b"I0x10\n"), Literal::Int(16));
        assert_eq!(lit(b"L0x10L\n"), Literal::Int(16));
        assert_eq!(lit(b"I010\n"), Literal::Int(8));
        assert_eq!(lit(b"I-5\n"), Literal::Int(-5));
        assert_eq!(lit(b"I01\n"), Literal::Bool(true));
        assert_eq!(lit(b"L01L\n"), Literal::Int(1));
        assert_eq!(lit(b"\x8a\x01\xff"), Literal::Int(-1));
        assert_eq!(lit(b"\x8a\x09aaaaaaaaa"), Literal::BigInt { len: 9 });
        assert!(
            int_text_is_odd(b"0x10L", true)
                && !int_text_is_odd(b"-12L", true)
                && !int_text_is_odd(b"01", false)
        );
    }

    #[test]
    fn strings_of_every_opcode() {
        assert_eq!(lit(b"S'a\\x41\\n\\101'\n"), text("aA\nA", 13));
        assert_eq!(lit(b"Vp\\u006fsix\n"), text("posix", 10));
        assert_eq!(lit(b"X\x02\0\0\0os"), text("os", 2));
        assert_eq!(lit(b"\x8c\x02os"), text("os", 2));
        assert_eq!(lit(b"U\x02os"), text("os", 2));
        assert_eq!(lit(b"\x8d\x02\0\0\0\0\0\0\0os"), text("os", 2));
        assert_eq!(lit(b"Vsystemx"), text("system", 6));
        assert_eq!(lit(b"G\x3f\xf8\0\0\0\0\0\0"), Literal::Float(1.5));
        assert_eq!(lit(b"B\xff\xff\xff\xffab"), Literal::Bytes { head: b"ab".to_vec(), data: 5..7 });
    }
}
