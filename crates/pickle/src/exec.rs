//! The inner loop: one match over the opcode, run loops for dense stretches.

use crate::heap::Kind;
use crate::literal::le_uint;
use crate::observer::Observer;
use crate::opcode as op;
use crate::state::{Flow, NO_MARK, State, UNDERFLOW};
use crate::val::{Tag, Val};
use crate::weights_only;

/// Length of each opcode with a number of fixed size, else 0.
const NUMBER: [u8; 256] = {
    let mut table = [0; 256];
    table[op::BININT1 as usize] = 2;
    table[op::BININT2 as usize] = 3;
    table[op::BININT as usize] = 5;
    table[op::BINFLOAT as usize] = 9;
    table
};

/// How many opcodes `code` of `len` bytes each follow one another at the start of `bytes`.
fn stride(bytes: &[u8], code: u8, len: usize) -> usize {
    bytes.chunks_exact(len).take_while(|c| c.first() == Some(&code)).count()
}

impl State {
    /// Executes opcodes of `view`, whose first byte is at the offset `base`, as far as they are whole in it.
    pub(crate) fn steps_over(&mut self, view: &[u8], base: u64, start: u64, obs: &mut dyn Observer) -> Flow {
        let framed = self.frame_end != u64::MAX;
        // Opcodes and fixed arguments must end inside the frame as well as inside the view.
        let in_frame = self.frame_end.saturating_sub(base);
        let frame_first = framed && in_frame < view.len() as u64;
        let lim = if frame_first { in_frame as usize } else { view.len() };
        let all = view;
        let view = view.get(..lim).unwrap_or(view);
        let mut p = 0usize;
        let mut steps = 0u64;
        let mut patched =
            if self.source.patches.is_empty() { None } else { self.source.patches.get(&base).copied() };

        let mut outside = 0u64;

        macro_rules! leave {
            ($flow:expr) => {{
                self.steps += steps;
                self.outside |= outside;
                return $flow;
            }};
        }
        macro_rules! fail {
            ($what:expr) => {
                leave!(Flow::Error { at: base + p as u64, what: $what })
            };
        }
        // The argument does not fit: into the frame, or into the view.
        macro_rules! short {
            ($need:expr) => {{
                if frame_first {
                    leave!(Flow::Straddle { at: base + p as u64 });
                }
                leave!(Flow::More { at: base + p as u64, need: $need as u64 })
            }};
        }
        macro_rules! fixed {
            ($n:literal) => {
                match view.get(p + 1..p + 1 + $n) {
                    Some(arg) => le_uint(arg),
                    None => short!(1 + $n),
                }
            };
        }
        macro_rules! counted {
            ($n:literal, $piecewise:expr) => {{
                let len = fixed!($n);
                let end = (base + p as u64 + 1 + $n).saturating_add(len);
                if end > self.len {
                    steps += 1;
                    let at = base + p as u64;
                    if len >= 1 << 30 || (len >= 1 << 24 && len / 64 > self.len) {
                        let detail = format!("a length of {len} bytes, beyond the end of the stream");
                        self.resource(obs, at, "pickle-length-beyond-end", &detail);
                    }
                    fail!("argument runs past the end");
                }
                if framed && end > self.frame_end {
                    leave!(Flow::Straddle { at: base + p as u64 });
                }
                (p + 1 + $n, len as usize)
            }};
        }
        macro_rules! lit {
            ($tag:expr) => {
                self.stack.push(Val::new($tag, base + p as u64))
            };
        }
        macro_rules! string {
            ($n:literal) => {{
                let (from, len) = counted!($n, false);
                let dunder = len >= 2 && all.get(from..from + 2).is_none_or(|b| b == b"__");
                lit!(if dunder { Tag::Dunder } else { Tag::Str });
                p = from + len;
            }};
        }
        macro_rules! bytes {
            ($n:literal) => {{
                let (from, len) = counted!($n, true);
                lit!(Tag::Bytes);
                p = from + len;
            }};
        }
        // An opcode that torch's weights-only unpickler does not have.
        macro_rules! outside {
            ($code:expr) => {
                outside |= weights_only::bit($code)
            };
        }
        // Everything that may change what a run of literals means.
        macro_rules! dirty {
            () => {
                self.clean_since = base + p as u64 + 1
            };
        }

        loop {
            let Some(&byte) = view.get(p) else {
                if frame_first && base + p as u64 >= self.frame_end {
                    // The frame ends exactly here, as honest ones do.
                    self.frame_end = u64::MAX;
                    leave!(Flow::Jump(base + p as u64));
                }
                leave!(Flow::More { at: base + p as u64, need: 1 });
            };
            let code = match patched.take() {
                Some(code) => code,
                None => byte,
            };
            match code {
                op::BININT1 | op::BININT2 | op::BININT | op::BINFLOAT => {
                    let mut code = code;
                    let mut before = 0;
                    let mut equal = 0u32;
                    // Branches of a mixed run cannot be predicted, so its lengths come from a table; a run of one
                    // opcode is stepped through at a constant stride.
                    loop {
                        let len = usize::from(NUMBER[usize::from(code)]);
                        if p + len > view.len() {
                            short!(len);
                        }
                        lit!(Tag::Num);
                        p += len;
                        equal = if code == before { equal + 1 } else { 0 };
                        before = code;
                        if equal >= 4 {
                            let n = stride(view.get(p..).unwrap_or(&[]), code, len);
                            let at = base + p as u64;
                            self.stack.extend((0..n as u64).map(|i| Val::new(Tag::Num, at + i * len as u64)));
                            p += n * len;
                            steps += n as u64;
                            equal = 0;
                        }
                        match view.get(p) {
                            Some(&next) if NUMBER[usize::from(next)] != 0 => code = next,
                            _ => break,
                        }
                        steps += 1;
                    }
                }
                op::SHORT_BINUNICODE => {
                    outside!(op::SHORT_BINUNICODE);
                    string!(1)
                }
                op::MEMOIZE => {
                    let Some(&v) = self.stack.last() else { fail!(UNDERFLOW) };
                    self.memo.push(v);
                    outside!(op::MEMOIZE);
                    p += 1;
                }
                op::BINUNICODE => string!(4),
                op::BINPUT => {
                    let i = fixed!(1);
                    let Some(&v) = self.stack.last() else { fail!(UNDERFLOW) };
                    self.memo.put(i, v);
                    p += 2;
                }
                op::LONG_BINPUT => {
                    let i = fixed!(4);
                    let Some(&v) = self.stack.last() else { fail!(UNDERFLOW) };
                    self.check_jump(i, base + p as u64, obs);
                    self.memo.put(i, v);
                    p += 5;
                }
                op::BINGET | op::LONG_BINGET => {
                    let (i, n) = if code == op::BINGET { (fixed!(1), 2) } else { (fixed!(4), 5) };
                    let Some(v) = self.memo.get(i) else { fail!("memo entry does not exist") };
                    self.stack.push(v);
                    dirty!();
                    p += n;
                }
                op::MARK => {
                    self.marks.push(self.stack.len());
                    p += 1;
                }
                op::NONE => {
                    lit!(Tag::None);
                    p += 1;
                }
                op::NEWTRUE => {
                    lit!(Tag::True);
                    p += 1;
                }
                op::NEWFALSE => {
                    lit!(Tag::False);
                    p += 1;
                }
                op::EMPTY_TUPLE => {
                    lit!(Tag::EmptyTuple);
                    p += 1;
                }
                op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                    let n = usize::from(code - op::TUPLE1) + 1;
                    let Some(from) = self.stack.len().checked_sub(n).filter(|&f| f >= self.fence()) else {
                        fail!(UNDERFLOW)
                    };
                    self.tuple(from, base + p as u64);
                    self.check_top(base + p as u64, obs);
                    p += 1;
                }
                op::TUPLE => {
                    let Some(from) = self.pop_mark() else { fail!(NO_MARK) };
                    self.tuple(from, base + p as u64);
                    self.check_top(base + p as u64, obs);
                    p += 1;
                }
                op::EMPTY_LIST => {
                    let v = self.heap.seq(Kind::List, &[]);
                    self.stack.push(v);
                    dirty!();
                    p += 1;
                }
                op::EMPTY_DICT => {
                    let v = self.heap.seq(Kind::Dict, &[]);
                    self.stack.push(v);
                    dirty!();
                    p += 1;
                }
                op::EMPTY_SET => {
                    let v = self.heap.seq(Kind::Set, &[]);
                    self.stack.push(v);
                    dirty!();
                    p += 1;
                }
                op::APPEND
                | op::APPENDS
                | op::ADDITEMS
                | op::SETITEM
                | op::SETITEMS
                | op::LIST
                | op::DICT
                | op::FROZENSET => {
                    outside!(code);
                    let done = self.fill(code, base + p as u64, obs);
                    dirty!();
                    if let Err(what) = done {
                        steps += 1;
                        fail!(what)
                    }
                    p += 1;
                }
                op::SHORT_BINBYTES => {
                    outside!(op::SHORT_BINBYTES);
                    bytes!(1)
                }
                op::BINBYTES => {
                    outside!(op::BINBYTES);
                    bytes!(4)
                }
                op::BINBYTES8 | op::BYTEARRAY8 => {
                    outside!(code);
                    bytes!(8)
                }
                op::SHORT_BINSTRING => string!(1),
                op::BINSTRING => {
                    outside!(op::BINSTRING);
                    string!(4)
                }
                op::BINUNICODE8 => {
                    outside!(op::BINUNICODE8);
                    string!(8)
                }
                op::LONG1 => {
                    let (from, len) = counted!(1, false);
                    lit!(Tag::Num);
                    p = from + len;
                }
                op::LONG4 => {
                    let (from, len) = counted!(4, false);
                    outside!(op::LONG4);
                    lit!(Tag::Num);
                    p = from + len;
                }
                op::POP => {
                    outside!(op::POP);
                    // Like the readers: a mark on top is popped first.
                    if self.marks.last() == Some(&self.stack.len()) {
                        self.marks.pop();
                    } else if self.pop().is_none() {
                        fail!(UNDERFLOW);
                    }
                    dirty!();
                    p += 1;
                }
                op::POP_MARK => {
                    let Some(from) = self.pop_mark() else { fail!(NO_MARK) };
                    self.stack.truncate(from);
                    outside!(op::POP_MARK);
                    dirty!();
                    p += 1;
                }
                op::DUP => {
                    if self.stack.len() <= self.fence() {
                        fail!(UNDERFLOW);
                    }
                    let Some(&v) = self.stack.last() else { fail!(UNDERFLOW) };
                    self.stack.push(v);
                    outside!(op::DUP);
                    dirty!();
                    p += 1;
                }
                op::PROTO => {
                    let version = fixed!(1);
                    let at = base + p as u64;
                    if at == start {
                        self.has_proto = true;
                    } else {
                        self.structure(
                            obs,
                            at,
                            "pickle-late-proto",
                            "a PROTO opcode after the beginning of the stream",
                        );
                    }
                    if version > 5 {
                        fail!("unsupported pickle protocol");
                    }
                    self.proto = version as u8;
                    dirty!();
                    p += 2;
                }
                op::FRAME => {
                    let len = fixed!(8);
                    outside!(op::FRAME);
                    dirty!();
                    steps += 1;
                    leave!(Flow::Frame { at: base + p as u64 + 9, len });
                }
                op::STOP => {
                    steps += 1;
                    if self.stack.len() <= self.fence() {
                        fail!(UNDERFLOW);
                    }
                    if let Some(&result) = self.stack.last() {
                        self.heap.keep(&[result]);
                    }
                    leave!(Flow::Stop(base + p as u64 + 1));
                }
                op::READONLY_BUFFER => {
                    if self.stack.len() <= self.fence() {
                        fail!(UNDERFLOW);
                    }
                    outside!(code);
                    self.readonly(base + p as u64, obs);
                    dirty!();
                    p += 1;
                }
                op::NEXT_BUFFER => {
                    self.stack.push(Val::OPAQUE);
                    outside!(op::NEXT_BUFFER);
                    dirty!();
                    p += 1;
                }
                op::STACK_GLOBAL
                | op::REDUCE
                | op::NEWOBJ
                | op::NEWOBJ_EX
                | op::OBJ
                | op::BUILD
                | op::BINPERSID => {
                    outside!(code);
                    let done = self.object_opcode(code, base + p as u64, obs);
                    dirty!();
                    match done {
                        Ok(None) => p += 1,
                        Ok(Some(skip)) => {
                            p += 1;
                            steps += 1;
                            self.clean_since = skip.to;
                            leave!(Flow::Skip { from: base + p as u64, skip });
                        }
                        Err(what) => {
                            steps += 1;
                            fail!(what)
                        }
                    }
                }
                op::EXT1 | op::EXT2 | op::EXT4 => {
                    let (n, size) = match code {
                        op::EXT1 => (fixed!(1) as i64, 2),
                        op::EXT2 => (fixed!(2) as i64, 3),
                        _ => (i64::from(fixed!(4) as u32 as i32), 5),
                    };
                    outside!(code);
                    let v = self.extension(n, base + p as u64, obs);
                    dirty!();
                    match v {
                        Ok(v) => self.stack.push(v),
                        Err(what) => {
                            steps += 1;
                            fail!(what)
                        }
                    }
                    p += size;
                }
                op::INT
                | op::LONG
                | op::FLOAT
                | op::STRING
                | op::UNICODE
                | op::GET
                | op::PUT
                | op::PERSID => match view.get(p + 1..).and_then(|rest| memchr::memchr(b'\n', rest)) {
                    Some(n) => {
                        let newline = base + (p + 1 + n) as u64;
                        let line = view.get(p + 1..p + 1 + n).unwrap_or(&[]);
                        outside!(code);
                        match self.line(code, base + p as u64, line, newline, obs) {
                            Flow::Jump(next) => p = (next - base) as usize,
                            other => {
                                steps += 1;
                                leave!(other)
                            }
                        }
                    }
                    None if frame_first => leave!(Flow::Straddle { at: base + p as u64 }),
                    None => {
                        outside!(code);
                        leave!(Flow::Line { at: base + p as u64 })
                    }
                },
                op::GLOBAL | op::INST => {
                    const MAX_LINES: u64 = 64 << 10;
                    let rest = view.get(p + 1..).unwrap_or(&[]);
                    let first = memchr::memchr(b'\n', rest);
                    let second = first.and_then(|n| Some(n + 1 + memchr::memchr(b'\n', rest.get(n + 1..)?)?));
                    let at_end = base + view.len() as u64 >= self.len;
                    let (n, m) = match (first, second) {
                        (Some(n), Some(m)) => (n, m),
                        _ if frame_first => leave!(Flow::Straddle { at: base + p as u64 }),
                        // The Python reader takes the last byte of an unterminated line for its newline, and a line
                        // that is not there for an empty one: it imports the module before it misses the name.
                        (Some(n), None) if at_end => (n, (rest.len() - 1).max(n + 1)),
                        (None, _) if at_end && rest.len() > 1 => (rest.len() - 1, rest.len()),
                        _ if rest.len() as u64 > MAX_LINES => {
                            steps += 1;
                            // From protocol 4 on a name can be a walk of any length.
                            if self.proto >= 4 {
                                let detail = "an import whose names take more than 64 KiB";
                                self.resource(obs, base + p as u64, "pickle-long-name", detail);
                            }
                            fail!("name too long")
                        }
                        _ => {
                            leave!(Flow::More { at: base + p as u64, need: (1 + rest.len() as u64) * 2 + 64 })
                        }
                    };
                    let module = String::from_utf8_lossy(rest.get(..n).unwrap_or(&[])).into_owned();
                    let name = String::from_utf8_lossy(rest.get(n + 1..m).unwrap_or(&[])).into_owned();
                    let at = base + p as u64;
                    let after = (p + 1 + m + 1).min(view.len());
                    self.clean_since = base + after as u64;
                    outside!(code);
                    if let Err(what) = self.named(code, &module, &name, at, obs) {
                        steps += 1;
                        fail!(what)
                    }
                    p = after;
                }
                _ => fail!("invalid opcode"),
            }
            steps += 1;
        }
    }
}
