//! Opcode listings: what is in the stream, not what it does.

use crate::literal::le_uint;
use crate::opcode::{Arg, Opcode, opcode};
use std::io;
use wb_blob::{Blob, Window};
use wb_verdict::escape_bytes;

/// One opcode with its argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Offset of the opcode byte.
    pub offset: u64,
    /// The opcode.
    pub opcode: &'static Opcode,
    /// Bytes of opcode and argument together.
    pub len: u64,
    /// The argument, readable, escaped and bounded; empty if there is none.
    pub arg: String,
}

impl std::fmt::Display for Instruction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:>8}: {:<4} {:<16}",
            self.offset,
            crate::disassemble::letter(self.opcode.code),
            self.opcode.name
        )?;
        if self.arg.is_empty() { Ok(()) } else { write!(f, " {}", self.arg) }
    }
}

fn letter(code: u8) -> String {
    if code.is_ascii_graphic() { char::from(code).to_string() } else { format!("\\x{code:02x}") }
}

/// Lists opcodes in file order from an offset on, until STOP or the first bytes that are no opcode.
pub struct Disassembly {
    window: Window,
    at: u64,
    done: bool,
}

/// Lists the opcodes of the pickle at `start`.
pub fn disassemble(blob: &Blob, start: u64) -> Disassembly {
    Disassembly { window: Window::new(blob.clone(), Window::CHUNK), at: start, done: false }
}

/// Bytes of an argument shown at most.
const SHOWN: usize = 60;

impl Disassembly {
    /// Where the listing stands: after STOP, or at what could not be read.
    pub fn offset(&self) -> u64 {
        self.at
    }

    fn step(&mut self) -> io::Result<Option<Instruction>> {
        let offset = self.at;
        let end = self.window.len();
        let view = self.window.view(offset, 9 + SHOWN)?;
        let Some((&code, rest)) = view.split_first() else { return Ok(None) };
        let Some(op) = opcode(code) else { return Ok(None) };
        let shown = |bytes: &[u8], len: u64| {
            let head = bytes.get(..bytes.len().min(SHOWN)).unwrap_or(bytes);
            let head = head.get(..(len.min(head.len() as u64)) as usize).unwrap_or(head);
            let text = escape_bytes(head);
            if len > head.len() as u64 { format!("'{text}...' ({len} bytes)") } else { format!("'{text}'") }
        };
        let (len, arg) = match op.arg {
            Arg::No => (1, String::new()),
            Arg::Fixed(n) => {
                let Some(raw) = rest.get(..usize::from(n)) else { return Ok(None) };
                let n64 = le_uint(raw);
                let arg = match code {
                    crate::opcode::BININT => format!("{}", n64 as u32 as i32),
                    crate::opcode::BINFLOAT => format!("{:?}", f64::from_bits(n64.swap_bytes())),
                    _ => format!("{n64}"),
                };
                (1 + u64::from(n), arg)
            }
            Arg::Counted(n) => {
                let Some(raw) = rest.get(..usize::from(n)) else { return Ok(None) };
                let len = le_uint(raw);
                let total = (1 + u64::from(n)).saturating_add(len);
                if offset.saturating_add(total) > end {
                    return Ok(None);
                }
                (total, shown(rest.get(usize::from(n)..).unwrap_or(&[]), len))
            }
            Arg::Line | Arg::TwoLines => {
                let lines = if op.arg == Arg::Line { 1 } else { 2 };
                let head = rest.get(..rest.len().min(SHOWN)).unwrap_or(rest).to_vec();
                let Some(after) = self.after_lines(offset + 1, lines)? else { return Ok(None) };
                let size = after - offset - 1;
                let text =
                    head.get(..(size.saturating_sub(1)).min(head.len() as u64) as usize).unwrap_or(&head);
                let text: Vec<u8> = text.iter().map(|&b| if b == b'\n' { b' ' } else { b }).collect();
                (1 + size, shown(&text, size - 1))
            }
        };
        Ok(Some(Instruction { offset, opcode: op, len, arg }))
    }

    /// The offset after `lines` newlines.
    fn after_lines(&mut self, mut at: u64, lines: u32) -> io::Result<Option<u64>> {
        for _ in 0..lines {
            loop {
                let view = self.window.view(at, 1)?;
                if view.is_empty() {
                    return Ok(None);
                }
                match memchr::memchr(b'\n', view) {
                    Some(n) => {
                        at += n as u64 + 1;
                        break;
                    }
                    None => at += view.len() as u64,
                }
            }
        }
        Ok(Some(at))
    }
}

impl Iterator for Disassembly {
    type Item = io::Result<Instruction>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        match self.step() {
            Ok(Some(i)) => {
                self.done = i.opcode.code == crate::opcode::STOP;
                self.at += i.len;
                Some(Ok(i))
            }
            Ok(None) => {
                self.done = true;
                None
            }
            Err(e) => {
                self.done = true;
                Some(Err(e))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_until_stop() {
        let blob =
            Blob::from_vec(b"\x80\x04cposix\nsystem\nX\x02\0\0\0idJ\xff\xff\xff\xff\x85R.rest".to_vec());
        let mut listing = disassemble(&blob, 0);
        let lines: Vec<String> = listing.by_ref().map(|i| i.unwrap().to_string()).collect();
        assert_eq!(lines[1], "       2: c    GLOBAL           'posix system'");
        assert_eq!(lines[2], "      16: X    BINUNICODE       'id'");
        assert_eq!(lines[3], "      23: J    BININT           -1");
        assert_eq!((lines.len(), listing.offset()), (7, 31));
        assert_eq!(disassemble(&Blob::from_vec(b"X\xff\xff\xff\x7fab".to_vec()), 0).count(), 0);
    }
}
