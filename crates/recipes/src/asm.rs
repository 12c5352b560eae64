//! A pickle assembler: one opcode per line, named as in the standard library's `pickletools`.
//!
//! ```text
//! PROTO 4
//! FRAME auto                      # or a number, which may lie
//! SHORT_BINUNICODE "posix"        # length prefix is computed
//! SHORT_BINUNICODE "system"
//! STACK_GLOBAL
//! BINBYTES8 len=99999 "abc"       # a length prefix that lies
//! BINBYTES part:inner             # bytes of another part of the recipe
//! GLOBAL posix system
//! INT 0x10                        # text opcodes take the rest of the line
//! repeat 1000
//!   NONE
//!   POP
//! end
//! raw hex:00ff "tail"             # bytes that are no opcode
//! STOP
//! ```
//! A `#` starts a comment at the beginning of a line or after two blanks.

use crate::Error;
use crate::value::{Parts, eval, term};

/// How an opcode's argument is written.
#[derive(Clone, Copy)]
enum Arg {
    None,
    /// Little-endian unsigned number of so many bytes.
    Uint(usize),
    /// 4-byte little-endian signed number.
    Int4,
    /// 8-byte big-endian float.
    Float,
    /// So many bytes of length, then bytes.
    Counted(usize),
    /// One line of text.
    Line,
    /// Two lines of text.
    TwoLines,
    /// An 8-byte length that may be computed.
    Frame,
}

/// (name, code, argument) of every opcode; CPython `Lib/pickletools.py`.
const OPCODES: &[(&str, u8, Arg)] = &[
    ("INT", b'I', Arg::Line),
    ("BININT", b'J', Arg::Int4),
    ("BININT1", b'K', Arg::Uint(1)),
    ("BININT2", b'M', Arg::Uint(2)),
    ("LONG", b'L', Arg::Line),
    ("LONG1", 0x8a, Arg::Counted(1)),
    ("LONG4", 0x8b, Arg::Counted(4)),
    ("STRING", b'S', Arg::Line),
    ("BINSTRING", b'T', Arg::Counted(4)),
    ("SHORT_BINSTRING", b'U', Arg::Counted(1)),
    ("BINBYTES", b'B', Arg::Counted(4)),
    ("SHORT_BINBYTES", b'C', Arg::Counted(1)),
    ("BINBYTES8", 0x8e, Arg::Counted(8)),
    ("BYTEARRAY8", 0x96, Arg::Counted(8)),
    ("NEXT_BUFFER", 0x97, Arg::None),
    ("READONLY_BUFFER", 0x98, Arg::None),
    ("NONE", b'N', Arg::None),
    ("NEWTRUE", 0x88, Arg::None),
    ("NEWFALSE", 0x89, Arg::None),
    ("UNICODE", b'V', Arg::Line),
    ("SHORT_BINUNICODE", 0x8c, Arg::Counted(1)),
    ("BINUNICODE", b'X', Arg::Counted(4)),
    ("BINUNICODE8", 0x8d, Arg::Counted(8)),
    ("FLOAT", b'F', Arg::Line),
    ("BINFLOAT", b'G', Arg::Float),
    ("EMPTY_LIST", b']', Arg::None),
    ("APPEND", b'a', Arg::None),
    ("APPENDS", b'e', Arg::None),
    ("LIST", b'l', Arg::None),
    ("EMPTY_TUPLE", b')', Arg::None),
    ("TUPLE", b't', Arg::None),
    ("TUPLE1", 0x85, Arg::None),
    ("TUPLE2", 0x86, Arg::None),
    ("TUPLE3", 0x87, Arg::None),
    ("EMPTY_DICT", b'}', Arg::None),
    ("DICT", b'd', Arg::None),
    ("SETITEM", b's', Arg::None),
    ("SETITEMS", b'u', Arg::None),
    ("EMPTY_SET", 0x8f, Arg::None),
    ("ADDITEMS", 0x90, Arg::None),
    ("FROZENSET", 0x91, Arg::None),
    ("POP", b'0', Arg::None),
    ("DUP", b'2', Arg::None),
    ("MARK", b'(', Arg::None),
    ("POP_MARK", b'1', Arg::None),
    ("GET", b'g', Arg::Line),
    ("BINGET", b'h', Arg::Uint(1)),
    ("LONG_BINGET", b'j', Arg::Uint(4)),
    ("PUT", b'p', Arg::Line),
    ("BINPUT", b'q', Arg::Uint(1)),
    ("LONG_BINPUT", b'r', Arg::Uint(4)),
    ("MEMOIZE", 0x94, Arg::None),
    ("EXT1", 0x82, Arg::Uint(1)),
    ("EXT2", 0x83, Arg::Uint(2)),
    ("EXT4", 0x84, Arg::Int4),
    ("GLOBAL", b'c', Arg::TwoLines),
    ("STACK_GLOBAL", 0x93, Arg::None),
    ("REDUCE", b'R', Arg::None),
    ("BUILD", b'b', Arg::None),
    ("INST", b'i', Arg::TwoLines),
    ("OBJ", b'o', Arg::None),
    ("NEWOBJ", 0x81, Arg::None),
    ("NEWOBJ_EX", 0x92, Arg::None),
    ("PROTO", 0x80, Arg::Uint(1)),
    ("STOP", b'.', Arg::None),
    ("FRAME", 0x95, Arg::Frame),
    ("PERSID", b'P', Arg::Line),
    ("BINPERSID", b'Q', Arg::None),
];

/// Assembles `text`; `part:NAME` is resolved by `parts`.
pub fn assemble(text: &str, parts: &dyn Fn(&str) -> Result<Vec<u8>, Error>) -> Result<Vec<u8>, Error> {
    let lines: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .map(|(n, l)| (n + 1, uncomment(l).trim()))
        .filter(|(_, l)| !l.is_empty())
        .collect();
    let mut asm = Assembler { out: Vec::new(), open_frame: None, parts };
    asm.block(&lines)?;
    asm.close_frame();
    Ok(asm.out)
}

fn uncomment(line: &str) -> &str {
    if line.trim_start().starts_with('#') {
        return "";
    }
    line.split_once("  # ").map_or(line, |(code, _)| code)
}

struct Assembler<'a> {
    out: Vec<u8>,
    /// Where the payload of a `FRAME auto` starts.
    open_frame: Option<usize>,
    parts: Parts<'a>,
}

impl Assembler<'_> {
    fn block(&mut self, lines: &[(usize, &str)]) -> Result<(), Error> {
        let mut i = 0;
        while let Some(&(n, line)) = lines.get(i) {
            i += 1;
            let (word, arg) = line.split_once(' ').unwrap_or((line, ""));
            let done = match word {
                "repeat" => {
                    let body = lines.get(i..).unwrap_or_default();
                    let len = end_of(body)
                        .ok_or_else(|| Error::new(format!("line {n}: `repeat` without `end`")))?;
                    i += len + 1;
                    self.repeat(arg, &body[..len])
                }
                "raw" => eval(arg, self.parts).map(|b| self.out.extend(b)),
                _ => self.opcode(word, arg.trim()),
            };
            done.map_err(|e| e.at(format_args!("line {n}: {word}")))?;
        }
        Ok(())
    }

    fn repeat(&mut self, count: &str, body: &[(usize, &str)]) -> Result<(), Error> {
        let start = self.out.len();
        self.block(body)?;
        let once = self.out.split_off(start);
        self.out.extend(once.repeat(number(count)? as usize));
        Ok(())
    }

    fn opcode(&mut self, name: &str, arg: &str) -> Result<(), Error> {
        let Some(&(_, code, kind)) = OPCODES.iter().find(|(n, ..)| *n == name) else {
            return Err(Error::new("no such opcode"));
        };
        self.out.push(code);
        match kind {
            Arg::None if arg.is_empty() => {}
            Arg::None => return Err(Error::new("takes no argument")),
            Arg::Uint(width) => self.uint(number(arg)?, width)?,
            Arg::Int4 => {
                let v: i32 = arg.parse().map_err(|_| Error::new("takes a 32-bit number"))?;
                self.out.extend(v.to_le_bytes());
            }
            Arg::Float => {
                let v: f64 = arg.parse().map_err(|_| Error::new("takes a float"))?;
                self.out.extend(v.to_be_bytes());
            }
            Arg::Counted(width) => {
                let (stated, expr) = match arg.strip_prefix("len=") {
                    Some(a) => {
                        let (n, rest) = a.split_once(' ').unwrap_or((a, ""));
                        (Some(number(n)?), rest)
                    }
                    None => (None, arg),
                };
                let bytes = eval(expr, self.parts)?;
                self.uint(stated.unwrap_or(bytes.len() as u64), width)?;
                self.out.extend(bytes);
            }
            Arg::Line => {
                let bytes =
                    if arg.starts_with('"') { eval(arg, self.parts)? } else { arg.as_bytes().to_vec() };
                self.out.extend(bytes);
                self.out.push(b'\n');
            }
            Arg::TwoLines => self.two_lines(arg)?,
            Arg::Frame if arg == "auto" => {
                self.close_frame();
                self.out.extend([0; 8]);
                self.open_frame = Some(self.out.len());
            }
            Arg::Frame => self.uint(number(arg)?, 8)?,
        }
        if name == "STOP" {
            self.close_frame();
        }
        Ok(())
    }

    fn two_lines(&mut self, arg: &str) -> Result<(), Error> {
        let mut rest = arg;
        for _ in 0..2 {
            rest = rest.trim_start();
            let bytes;
            if rest.starts_with('"') {
                (bytes, rest) = term(rest, self.parts)?;
            } else {
                let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
                bytes = word.as_bytes().to_vec();
                rest = after;
            }
            self.out.extend(bytes);
            self.out.push(b'\n');
        }
        if rest.trim().is_empty() { Ok(()) } else { Err(Error::new("takes a module and a name")) }
    }

    fn uint(&mut self, v: u64, width: usize) -> Result<(), Error> {
        let bytes = v.to_le_bytes();
        let (used, above) = bytes.split_at(width);
        if above.iter().any(|b| *b != 0) {
            return Err(Error::new(format!("{v} does not fit in {width} bytes")));
        }
        self.out.extend(used);
        Ok(())
    }

    fn close_frame(&mut self) {
        if let Some(start) = self.open_frame.take() {
            let len = (self.out.len() - start) as u64;
            self.out[start - 8..start].copy_from_slice(&len.to_le_bytes());
        }
    }
}

/// Index of the `end` that closes the block in whose body `lines` starts.
fn end_of(lines: &[(usize, &str)]) -> Option<usize> {
    let mut depth = 0usize;
    for (i, (_, line)) in lines.iter().enumerate() {
        if line.starts_with("repeat ") {
            depth += 1;
        } else if *line == "end" {
            if depth == 0 {
                return Some(i);
            }
            depth -= 1;
        }
    }
    None
}

fn number(text: &str) -> Result<u64, Error> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| Error::new(format!("`{text}` is no number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asm(text: &str) -> Result<Vec<u8>, Error> {
        assemble(text, &|_| Ok(b"inner".to_vec()))
    }

    #[test]
    fn a_call_is_assembled_byte_for_byte() {
        let text = "PROTO 4\nFRAME auto\n# names\nSHORT_BINUNICODE \"a\"  # module\nSHORT_BINUNICODE \"b\"\nSTACK_GLOBAL\nSHORT_BINBYTES part:x\nTUPLE1\nREDUCE\nSTOP\n";
        let expected = b"\x80\x04\x95\x11\0\0\0\0\0\0\0\x8c\x01a\x8c\x01b\x93C\x05inner\x85R.";
        assert_eq!(asm(text).unwrap(), expected);
    }

    #[test]
    fn text_opcodes_repeats_and_lies() {
        assert_eq!(asm("INT 0x10\nGLOBAL os \"a b\"\nSTRING 'x'").unwrap(), b"I0x10\ncos\na b\nS'x'\n");
        assert_eq!(asm("repeat 2\n NONE\n repeat 2\n POP\n end\nend\nraw hex:ff").unwrap(), b"N00N00\xff");
        assert_eq!(asm("BINBYTES len=9 \"a\"").unwrap(), b"B\x09\0\0\0a");
        assert_eq!(asm("LONG1 hex:ff").unwrap(), b"\x8a\x01\xff");
    }

    #[test]
    fn mistakes_name_the_line() {
        assert_eq!(asm("NONE\nNOPE").unwrap_err().to_string(), "line 2: NOPE: no such opcode");
        assert!(asm("NONE 3").is_err() && asm("BINGET 256").is_err() && asm("repeat 3\nNONE").is_err());
    }
}
