//! Streams that are valid most of the time: productions that leave one value, with noise between them.

use super::names;
use crate::rng::Rng;

/// What a production left on the stack, as far as other productions care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Text.
    Str,
    /// A tuple.
    Tuple,
    /// An import, or the result of a call.
    Foreign,
    /// Everything else.
    Other,
}

struct Grammar<'r> {
    rng: &'r mut Rng,
    out: Vec<u8>,
    /// Indices stored so far, and what is there.
    memo: Vec<(u64, Kind)>,
    proto: u8,
    catalogued: bool,
    room: u32,
    /// Length fields of frames to be filled in: offset, and where the frame begins.
    frames: Vec<usize>,
}

/// One stream, of one pickle or several.
pub(super) fn stream(rng: &mut Rng, catalogued: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let pickles = if rng.percent(8) { 2 + rng.below(2) } else { 1 };
    for _ in 0..pickles {
        let room = 3 + rng.below(if catalogued { 20 } else { 40 }) as u32;
        let mut g =
            Grammar { rng: &mut *rng, out, memo: Vec::new(), proto: 0, catalogued, room, frames: Vec::new() };
        g.pickle();
        out = g.out;
    }
    if rng.percent(3) {
        out.extend([b'.', b'0', 0][..rng.below(4)].iter());
    }
    out
}

impl Grammar<'_> {
    fn pickle(&mut self) {
        if self.rng.percent(75) {
            self.protocol();
        }
        if self.rng.percent(30) {
            self.frame();
        }
        for _ in 0..self.rng.below(3) {
            self.value(4);
            let op = *self.rng.pick(b"00001").unwrap_or(&b'0');
            if op == b'1' {
                self.out.push(b'(');
                self.value(3);
            }
            self.out.push(op);
        }
        self.value(6);
        if self.rng.percent(10) {
            self.close_frame();
        }
        self.out.push(b'.');
        while !self.frames.is_empty() {
            self.close_frame();
        }
    }

    fn protocol(&mut self) {
        self.proto = self.rng.below(6) as u8;
        self.out.extend([0x80, self.proto]);
    }

    fn frame(&mut self) {
        self.out.push(0x95);
        self.frames.push(self.out.len());
        self.out.extend([0; 8]);
    }

    fn close_frame(&mut self) {
        let Some(at) = self.frames.pop() else { return };
        let mut len = (self.out.len() - at - 8) as u64;
        if !self.catalogued {
            len = match self.rng.below(20) {
                0..3 => len.saturating_sub(1 + self.rng.below(12) as u64),
                3 => len + 1 + self.rng.below(12) as u64,
                4 => 0,
                _ => len,
            };
        }
        self.out[at..at + 8].copy_from_slice(&len.to_le_bytes());
    }

    /// Leaves one value on the stack.
    fn value(&mut self, depth: u32) -> Kind {
        self.room = self.room.saturating_sub(1);
        let kind = if depth == 0 || self.room == 0 {
            self.literal()
        } else {
            match self.rng.below(100) {
                0..22 => self.literal(),
                22..42 => self.container(depth - 1),
                42..52 => self.global(),
                52..72 => self.call(depth - 1),
                72..86 => self.modified(depth - 1),
                86..91 => self.get(),
                91..93 => self.persistent(depth - 1),
                _ => self.noisy(depth - 1),
            }
        };
        if self.rng.percent(20) {
            self.put(kind);
        }
        kind
    }

    fn put(&mut self, kind: Kind) {
        let index = match self.rng.below(40) {
            0 => self.rng.below(300) as u64,
            1 => self.rng.below(3) as u64,
            _ => self.memo.len() as u64,
        };
        match self.rng.below(4) {
            0 if index < 256 => self.out.extend([b'q', index as u8]),
            1 => {
                self.out.push(b'r');
                self.out.extend((index as u32).to_le_bytes());
            }
            2 => self.out.extend(format!("p{index}\n").as_bytes()),
            _ => {
                // MEMOIZE counts the entries there are.
                let mut seen: Vec<u64> = self.memo.iter().map(|m| m.0).collect();
                seen.sort_unstable();
                seen.dedup();
                self.out.push(0x94);
                return self.memo.push((seen.len() as u64, kind));
            }
        }
        self.memo.push((index, kind));
    }

    fn get(&mut self) -> Kind {
        let Some(&(index, kind)) = self.rng.pick(&self.memo) else { return self.literal() };
        match self.rng.below(3) {
            0 if index < 256 => self.out.extend([b'h', index as u8]),
            1 => {
                self.out.push(b'j');
                self.out.extend((index as u32).to_le_bytes());
            }
            _ => self.out.extend(format!("g{index}\n").as_bytes()),
        }
        // An index may have been stored to again.
        self.memo.iter().rev().find(|m| m.0 == index).map_or(kind, |m| m.1)
    }

    fn counted(&mut self, code: u8, width: usize, bytes: &[u8]) {
        self.out.push(code);
        let mut len = bytes.len() as u64;
        if !self.catalogued && self.rng.percent(1) {
            len = *self.rng.pick(&[len + 1, len + 1000, 1 << 31, u64::MAX, len / 2]).unwrap_or(&len);
        }
        self.out.extend(&len.to_le_bytes()[..width]);
        self.out.extend(bytes);
    }

    fn string(&mut self, s: &str) -> Kind {
        let b = s.as_bytes();
        match self.rng.below(9) {
            0 if s.is_ascii() && !s.contains('\n') => {
                let quote = if self.rng.percent(50) { '\'' } else { '"' };
                self.out.extend(format!("S{quote}{s}{quote}\n").as_bytes());
            }
            1 if s.is_ascii() => self.counted(b'U', 1, b),
            2 if s.is_ascii() => self.counted(b'T', 4, b),
            3 if s.is_ascii() && !s.contains('\n') => {
                let text = if self.rng.percent(20) && !s.is_empty() {
                    s.bytes().map(|b| format!("\\u{b:04x}")).collect()
                } else {
                    s.to_string()
                };
                self.out.extend(format!("V{text}\n").as_bytes());
            }
            4 | 5 => self.counted(b'X', 4, b),
            6 => self.counted(0x8d, 8, b),
            _ => self.counted(0x8c, 1, b),
        }
        Kind::Str
    }

    fn literal(&mut self) -> Kind {
        const WORDS: &[&str] = &[
            "a",
            "",
            "x y",
            "__setstate__",
            "__class__",
            "__dict__",
            "latin1",
            "f8",
            "system",
            "os",
            "1",
            "extend",
            "append",
            "__getitem__",
            "posix.system",
            "caf\u{e9}",
            "it's",
            "__new__",
        ];
        const INTS: &[&str] =
            &["0", "1", "-5", "00", "01", "0x1f", " 7", "1_0", "99999999999999999999", "12L", ""];
        const FLOATS: &[&str] = &["1.5", "-0.0", "1e400", "nan", " 2 ", "1_0.5", "-inf"];
        match self.rng.below(27) {
            0 => self.out.push(b'N'),
            1 => self.out.push(0x88),
            2 => self.out.push(0x89),
            3 => {
                let n =
                    if self.rng.percent(90) { self.rng.below(4).to_string() } else { pick(self.rng, INTS) };
                self.out.extend(format!("I{n}\n").as_bytes());
            }
            4 => {
                self.out.push(b'J');
                let n = self.rng.next() as u32;
                self.out.extend(n.to_le_bytes());
            }
            5 | 6 => {
                let n = self.rng.below(6) as u8;
                self.out.extend([b'K', n]);
            }
            7 => {
                let n = self.rng.next() as u16;
                self.out.push(b'M');
                self.out.extend(n.to_le_bytes());
            }
            8 => {
                let n = if self.rng.percent(90) { "17".into() } else { pick(self.rng, INTS) };
                let l = if self.rng.percent(80) { "L" } else { "" };
                self.out.extend(format!("L{n}{l}\n").as_bytes());
            }
            9 | 10 => {
                let n = self.rng.below(11);
                let bytes: Vec<u8> = (0..n).map(|_| self.rng.next() as u8).collect();
                if self.rng.percent(60) {
                    self.counted(0x8a, 1, &bytes);
                } else {
                    self.counted(0x8b, 4, &bytes);
                }
            }
            11 => {
                let n = pick(self.rng, FLOATS);
                self.out.extend(format!("F{n}\n").as_bytes());
            }
            12 => {
                let n = self.rng.below(1000) as f64 / 8.0;
                self.out.push(b'G');
                self.out.extend(n.to_be_bytes());
            }
            13..=15 => {
                const BYTES: &[&[u8]] =
                    &[b"", b"ab", b"\x80\x02N.", b"cos\nsystem\n.", b"\xff\x00", b"\x80\x04K\x01."];
                let b = self.rng.pick(BYTES).copied().unwrap_or(b"");
                match self.rng.below(4) {
                    0 => self.counted(b'B', 4, b),
                    1 => self.counted(0x8e, 8, b),
                    2 => self.counted(0x96, 8, b),
                    _ => self.counted(b'C', 1, b),
                }
            }
            16 if !self.catalogued => {
                self.out.push(0x97);
                if self.rng.percent(50) {
                    self.out.push(0x98);
                }
            }
            17 if self.rng.percent(10) && !self.catalogued => self.out.extend(b"S'\\x41\\'\\n'\n"),
            18 => {
                self.out.push(b')');
                return Kind::Tuple;
            }
            _ => {
                let s = pick(self.rng, WORDS);
                return self.string(&s);
            }
        }
        Kind::Other
    }

    fn values(&mut self, n: usize, depth: u32) {
        for _ in 0..n {
            self.value(depth);
        }
    }

    /// Keys and values; keys can be hashed, mostly.
    fn pairs(&mut self, n: usize, depth: u32) {
        for _ in 0..n {
            if self.rng.percent(95) {
                self.literal();
            } else {
                self.value(depth);
            }
            self.value(depth);
        }
    }

    fn dict(&mut self, depth: u32) {
        let n = self.rng.below(4);
        match self.rng.below(3) {
            0 => {
                self.out.push(b'}');
                for _ in 0..n {
                    self.pairs(1, depth);
                    self.out.push(b's');
                }
            }
            1 => {
                self.out.extend(b"}(");
                self.pairs(n, depth);
                self.out.push(b'u');
            }
            _ => {
                self.out.push(b'(');
                self.pairs(n, depth);
                self.out.push(b'd');
            }
        }
    }

    fn container(&mut self, depth: u32) -> Kind {
        let n = self.rng.below(4);
        match self.rng.below(7) {
            0 => {
                self.out.push(b']');
                for _ in 0..n {
                    self.value(depth);
                    self.out.push(b'a');
                }
            }
            1 => {
                self.out.extend(b"](");
                self.values(n, depth);
                self.out.push(b'e');
            }
            2 => {
                self.out.push(b'(');
                self.values(n, depth);
                self.out.push(b'l');
            }
            3 => self.dict(depth),
            4 => {
                self.out.extend([0x8f, b'(']);
                for _ in 0..n {
                    self.literal();
                }
                self.out.push(0x90);
            }
            5 => {
                self.out.push(b'(');
                for _ in 0..n {
                    self.literal();
                }
                self.out.push(0x91);
            }
            _ => return self.tuple(depth),
        }
        Kind::Other
    }

    fn tuple(&mut self, depth: u32) -> Kind {
        match self.rng.below(6) {
            0 => self.out.push(b')'),
            n @ 1..=3 => {
                self.values(n, depth);
                self.out.push(0x84 + n as u8);
            }
            _ => {
                self.out.push(b'(');
                let n = self.rng.below(5);
                self.values(n, depth);
                self.out.push(b't');
            }
        }
        Kind::Tuple
    }

    fn global(&mut self) -> Kind {
        let (module, name) = names::name(self.rng, self.catalogued);
        if !self.catalogued && self.rng.percent(6) {
            return self.extension();
        }
        let lines = !module.contains('\n') && !name.contains('\n');
        if lines && self.rng.percent(55) {
            self.out.extend(format!("c{module}\n{name}\n").as_bytes());
        } else {
            self.name_part(module);
            self.name_part(name);
            self.out.push(0x93);
        }
        Kind::Foreign
    }

    /// A string for STACK_GLOBAL, sometimes by way of memo or DUP.
    fn name_part(&mut self, s: &str) {
        self.string(s);
        match self.rng.below(20) {
            0 => self.out.extend(b"20"),
            1 => {
                self.put(Kind::Str);
                self.out.push(b'0');
                if let Some(&(index, _)) = self.memo.last() {
                    self.out.push(b'j');
                    self.out.extend((index as u32).to_le_bytes());
                }
            }
            2 => self.out.extend(b"(1"),
            _ => {}
        }
    }

    fn extension(&mut self) -> Kind {
        // Those that the recorder has registered, and a few that it has not.
        match self.rng.below(3) {
            0 => {
                let code = *self.rng.pick(&[1u8, 2, 3, 7, 200, 255, 0, 9]).unwrap_or(&1);
                self.out.extend([0x82, code]);
            }
            1 => {
                let code = *self.rng.pick(&[1u16, 256, 300, 65535, 3, 511]).unwrap_or(&1);
                self.out.push(0x83);
                self.out.extend(code.to_le_bytes());
            }
            _ => {
                let code = *self.rng.pick(&[2u32, 65536, 1 << 30, 1 << 31, 7, 5]).unwrap_or(&1);
                self.out.push(0x84);
                self.out.extend(code.to_le_bytes());
            }
        }
        Kind::Foreign
    }

    /// Something that may be called.
    fn callee(&mut self, depth: u32) {
        match self.rng.below(20) {
            0 if depth > 0 => {
                self.value(depth - 1);
            }
            1 | 2 if depth > 0 => {
                self.call(depth - 1);
            }
            3 => {
                let foreign: Vec<u64> =
                    self.memo.iter().filter(|m| m.1 == Kind::Foreign).map(|m| m.0).collect();
                match self.rng.pick(&foreign) {
                    Some(&index) => {
                        self.out.push(b'j');
                        self.out.extend((index as u32).to_le_bytes());
                    }
                    None => {
                        self.global();
                    }
                }
            }
            _ => {
                self.global();
            }
        }
    }

    fn call(&mut self, depth: u32) -> Kind {
        match self.rng.below(10) {
            0..4 => {
                self.callee(depth);
                if self.rng.percent(3) {
                    self.value(depth);
                } else {
                    self.tuple(depth);
                }
                self.out.push(b'R');
            }
            4 | 5 => {
                self.callee(depth);
                self.tuple(depth);
                self.out.push(0x81);
            }
            6 => {
                self.callee(depth);
                self.tuple(depth);
                self.out.extend(b"}(");
                for _ in 0..self.rng.below(3) {
                    let key = pick(self.rng, &["a", "b", "key", "dtype"]);
                    self.string(&key);
                    self.value(depth.saturating_sub(1));
                }
                self.out.extend([b'u', 0x92]);
            }
            7 => {
                self.out.push(b'(');
                self.callee(depth);
                let n = self.rng.below(3);
                self.values(n, depth);
                self.out.push(b'o');
            }
            8 => {
                let (module, name) = names::name(self.rng, self.catalogued);
                self.out.push(b'(');
                let n = self.rng.below(3);
                self.values(n, depth);
                self.out.extend(format!("i{module}\n{name}\n").as_bytes());
            }
            _ => self.chain(depth),
        }
        Kind::Foreign
    }

    /// Calls whose results the machine may know.
    fn chain(&mut self, depth: u32) {
        if self.catalogued {
            self.out.extend(b"ccollections\nOrderedDict\n)R");
            return;
        }
        match self.rng.below(5) {
            0 => {
                self.out.extend(b"cbuiltins\ngetattr\n");
                self.callee(0);
                self.string("system");
                self.out.extend([0x86, b'R']);
            }
            1 => {
                self.out.extend(b"cfunctools\npartial\n");
                self.callee(0);
                self.literal();
                self.out.extend([0x86, b'R']);
                self.tuple(depth.saturating_sub(1));
                self.out.push(b'R');
            }
            2 => {
                self.out.extend(b"coperator\nattrgetter\n");
                self.string("system");
                self.out.extend([0x85, b'R']);
                self.callee(0);
                self.out.extend([0x85, b'R']);
            }
            3 => {
                self.out.extend(b"cimportlib\nimport_module\n");
                self.string("os");
                self.out.extend([0x85, b'R']);
            }
            _ => {
                self.out.extend(b"ccopyreg\n_reconstructor\n");
                // Fetched again, it is kept as well as called.
                if self.rng.percent(30) {
                    self.put(Kind::Foreign);
                }
                self.callee(0);
                self.out.extend(b"cbuiltins\nobject\nN\x87R");
            }
        }
    }

    /// A value that is changed after it was made.
    fn modified(&mut self, depth: u32) -> Kind {
        let kind = match self.rng.below(20) {
            0 => self.value(depth),
            1..5 => self.global(),
            _ => self.call(depth),
        };
        for _ in 0..1 + self.rng.below(2) {
            match self.rng.below(9) {
                0..4 => {
                    self.state(depth);
                    self.out.push(b'b');
                }
                4 => {
                    self.value(depth);
                    self.out.push(b'a');
                }
                5 => {
                    self.out.push(b'(');
                    let n = self.rng.below(4);
                    self.values(n, depth);
                    self.out.push(b'e');
                }
                6 => {
                    self.pairs(1, depth);
                    self.out.push(b's');
                }
                7 => {
                    self.out.push(b'(');
                    let n = self.rng.below(3);
                    self.pairs(n, depth);
                    self.out.push(b'u');
                }
                _ => {
                    self.out.push(b'(');
                    for _ in 0..self.rng.below(4) {
                        self.value(depth);
                    }
                    self.out.push(0x90);
                }
            }
        }
        kind
    }

    fn state(&mut self, depth: u32) {
        match self.rng.below(9) {
            0 => {
                self.value(depth);
            }
            8 => {
                // Half of it is no dict: whoever has no `__setstate__` is asked for items all the same.
                let (first, inner) = (self.rng.percent(30), depth.saturating_sub(1));
                if first {
                    self.call(inner);
                }
                match self.rng.percent(50) {
                    true => self.out.push(b'N'),
                    false => self.dict(depth),
                }
                if !first {
                    self.call(inner);
                }
                self.out.push(0x86);
            }
            1 => {
                self.out.push(b'N');
                self.dict(depth);
                self.out.push(0x86);
            }
            2 => {
                self.dict(depth);
                self.dict(depth);
                self.out.push(0x86);
            }
            3 => {
                self.tuple(depth);
            }
            _ => self.dict(depth),
        }
    }

    fn persistent(&mut self, depth: u32) -> Kind {
        if self.rng.percent(50) {
            let id = pick(self.rng, &["0", "abc", "storage 1", "", "x.y"]);
            self.out.extend(format!("P{id}\n").as_bytes());
        } else {
            self.value(depth);
            self.out.push(b'Q');
        }
        Kind::Foreign
    }

    /// Opcodes that change nothing, or little, around a value.
    fn noisy(&mut self, depth: u32) -> Kind {
        match self.rng.below(10) {
            0 => {
                self.out.push(b'(');
                self.values(1, depth);
                self.out.push(b'1');
                self.value(depth)
            }
            1 => {
                self.out.extend(b"(0");
                self.value(depth)
            }
            2 => {
                let kind = self.value(depth);
                self.out.extend(b"20");
                kind
            }
            3 => {
                self.value(depth);
                self.out.extend([b'2', 0x86]);
                Kind::Tuple
            }
            4 if !self.catalogued => {
                self.protocol();
                self.value(depth)
            }
            5 | 6 => {
                if self.frames.is_empty() {
                    self.frame();
                }
                self.value(depth)
            }
            7 => {
                let kind = self.value(depth);
                self.close_frame();
                kind
            }
            8 => {
                self.value(depth);
                self.out.push(b'0');
                self.value(depth)
            }
            // Stops early, or reaches below what it pushed.
            _ if self.rng.percent(10) => {
                let op = *self.rng.pick(b".0(1\x85ab").unwrap_or(&b'.');
                let kind = self.value(depth);
                self.out.push(op);
                kind
            }
            _ => self.value(depth),
        }
    }
}

fn pick(rng: &mut Rng, items: &[&str]) -> String {
    rng.pick(items).copied().unwrap_or("").to_string()
}
