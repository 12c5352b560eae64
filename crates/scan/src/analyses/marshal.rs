//! Code objects as `marshal` writes them (CPython, `Python/marshal.c`): the names, texts and nested code they hold.
//!
//! Nothing is run or disassembled. The layout of a code object changed with Python 2.7, 3.0, 3.8 and 3.11; the
//! stream does not say which one it is, so each is tried and the types of its parts decide.

use std::rc::Rc;

/// Values read at most; honest functions have a few hundred.
const MAX_VALUES: u32 = 200_000;
const MAX_DEPTH: u32 = 100;

/// What a code object holds, its inner functions included.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Code {
    /// Globals and attributes, in the order in which each function first uses them.
    pub names: Vec<Vec<String>>,
    /// Text and byte constants.
    pub texts: Vec<String>,
    /// The body of a module, not of a function: what `compile(..., 'exec')` makes.
    pub module_level: bool,
}

/// True if a marshalled code object may begin here.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(b'c' | 0xe3))
}

/// Reads a marshalled code object; `None` if it is none of any known Python.
pub(crate) fn code(bytes: &[u8]) -> Option<Code> {
    if !begins(bytes) {
        return None;
    }
    [Layout::P311, Layout::P38, Layout::P30, Layout::P27].into_iter().find_map(|layout| {
        let mut r = Reader { bytes, at: 0, layout, refs: Vec::new(), interned: Vec::new(), left: MAX_VALUES };
        let V::Code(code) = &*r.value(0)? else { return None };
        let mut out = Code { module_level: code.module_level, ..Code::default() };
        let mut budget = MAX_VALUES;
        gather(code, &mut out, &mut budget);
        Some(out)
    })
}

fn gather(code: &CodeParts, out: &mut Code, budget: &mut u32) {
    let names = texts(&code.names);
    if !names.is_empty() {
        out.names.push(names);
    }
    constants(&code.consts, out, budget, 0);
}

fn texts(v: &V) -> Vec<String> {
    let V::Tuple(items) = v else { return Vec::new() };
    items.iter().filter_map(|i| if let V::Text(t) = &**i { Some(t.clone()) } else { None }).collect()
}

fn constants(v: &V, out: &mut Code, budget: &mut u32, depth: u32) {
    // References may share a value a million times over; each visit is paid for.
    if *budget == 0 || depth > MAX_DEPTH {
        return;
    }
    *budget -= 1;
    match v {
        V::Text(t) => out.texts.push(t.clone()),
        V::Tuple(items) => items.iter().for_each(|i| constants(i, out, budget, depth + 1)),
        V::Code(code) => gather(code, out, budget),
        V::Other => {}
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    P27,
    P30,
    P38,
    P311,
}

enum V {
    /// Text, or bytes read as Latin-1.
    Text(String),
    /// A tuple, list, set or dict: what it holds.
    Tuple(Vec<Rc<V>>),
    Code(CodeParts),
    Other,
}

struct CodeParts {
    consts: Rc<V>,
    names: Rc<V>,
    module_level: bool,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    layout: Layout,
    refs: Vec<Rc<V>>,
    /// Python 2: interned strings, referred to by `R`.
    interned: Vec<Rc<V>>,
    left: u32,
}

impl Reader<'_> {
    fn take(&mut self, n: usize) -> Option<&[u8]> {
        let part = self.bytes.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(part)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn size(&mut self) -> Option<usize> {
        let n = usize::try_from(self.u32()?).ok()?;
        // No value takes less than a byte.
        (n <= self.bytes.len() - self.at).then_some(n)
    }

    fn bytes(&mut self, n: usize) -> Option<V> {
        Some(V::Text(self.take(n)?.iter().map(|b| char::from(*b)).collect()))
    }

    fn text(&mut self, n: usize) -> Option<V> {
        Some(V::Text(String::from_utf8_lossy(self.take(n)?).into_owned()))
    }

    fn items(&mut self, n: usize, depth: u32) -> Option<V> {
        (0..n).map(|_| self.value(depth + 1)).collect::<Option<Vec<_>>>().map(V::Tuple)
    }

    fn value(&mut self, depth: u32) -> Option<Rc<V>> {
        self.left = self.left.checked_sub(1)?;
        if depth > MAX_DEPTH {
            return None;
        }
        let tag = self.u8()?;
        let kind = tag & 0x7f;
        let slot = (tag & 0x80 != 0).then(|| {
            self.refs.push(Rc::new(V::Other));
            self.refs.len() - 1
        });
        let v = match kind {
            b'0' | b'N' | b'F' | b'T' | b'S' | b'.' => V::Other,
            b'i' => self.take(4).map(|_| V::Other)?,
            b'I' | b'g' => self.take(8).map(|_| V::Other)?,
            b'y' => self.take(16).map(|_| V::Other)?,
            b'l' => {
                let digits = (self.u32()? as i32).unsigned_abs() as usize;
                self.take(digits.checked_mul(2)?).map(|_| V::Other)?
            }
            b'f' => {
                let n = usize::from(self.u8()?);
                self.take(n).map(|_| V::Other)?
            }
            b'x' => {
                for _ in 0..2 {
                    let n = usize::from(self.u8()?);
                    self.take(n)?;
                }
                V::Other
            }
            b's' => {
                let n = self.size()?;
                self.bytes(n)?
            }
            b't' if self.layout == Layout::P27 => {
                let n = self.size()?;
                let v = Rc::new(self.bytes(n)?);
                self.interned.push(v.clone());
                return Some(v);
            }
            b'R' => {
                let n = self.u32()? as usize;
                return self.interned.get(n).cloned();
            }
            b'u' | b't' | b'a' | b'A' => {
                let n = self.size()?;
                self.text(n)?
            }
            b'z' | b'Z' => {
                let n = usize::from(self.u8()?);
                self.text(n)?
            }
            b')' => {
                let n = usize::from(self.u8()?);
                self.items(n, depth)?
            }
            b'(' | b'[' | b'<' | b'>' => {
                let n = self.size()?;
                self.items(n, depth)?
            }
            b':' => self.items(3, depth)?,
            b'{' => {
                let mut all = Vec::new();
                while self.bytes.get(self.at)? & 0x7f != b'0' {
                    all.push(self.value(depth + 1)?);
                    all.push(self.value(depth + 1)?);
                }
                self.at += 1;
                V::Tuple(all)
            }
            b'c' => self.code(depth)?,
            b'r' => {
                let n = self.u32()? as usize;
                return self.refs.get(n).cloned();
            }
            _ => return None,
        };
        let v = Rc::new(v);
        if let Some(slot) = slot {
            self.refs[slot] = v.clone();
        }
        Some(v)
    }

    fn code(&mut self, depth: u32) -> Option<V> {
        let numbers = match self.layout {
            Layout::P27 => 4,
            Layout::P30 | Layout::P311 => 5,
            Layout::P38 => 6,
        };
        let mut flags = 0;
        for _ in 0..numbers {
            flags = self.u32()?;
        }
        let text = |v: &V| matches!(v, V::Text(_));
        let tuple = |v: &V| matches!(v, V::Tuple(_));
        let all_text = |v: &V| matches!(v, V::Tuple(items) if items.iter().all(|i| text(i)));
        let body = self.value(depth + 1)?;
        let consts = self.value(depth + 1)?;
        let names = self.value(depth + 1)?;
        if !(text(&body) && tuple(&consts) && all_text(&names)) {
            return None;
        }
        let name = if self.layout == Layout::P311 {
            let (locals, kinds) = (self.value(depth + 1)?, self.value(depth + 1)?);
            let (file, name, qualified) =
                (self.value(depth + 1)?, self.value(depth + 1)?, self.value(depth + 1)?);
            self.u32()?;
            let (lines, handlers) = (self.value(depth + 1)?, self.value(depth + 1)?);
            let texts = [&kinds, &file, &name, &qualified, &lines, &handlers].into_iter().all(|v| text(v));
            if !(all_text(&locals) && texts) {
                return None;
            }
            name
        } else {
            for _ in 0..3 {
                if !all_text(&*self.value(depth + 1)?) {
                    return None;
                }
            }
            let (file, name) = (self.value(depth + 1)?, self.value(depth + 1)?);
            self.u32()?;
            let lines = self.value(depth + 1)?;
            if !(text(&file) && text(&name) && text(&lines)) {
                return None;
            }
            name
        };
        // CO_NEWLOCALS is set for functions only.
        let module_level = flags & 2 == 0 && matches!(&*name, V::Text(t) if t == "<module>");
        Some(V::Code(CodeParts { consts, names, module_level }))
    }
}

/// Runs of letters, for bytes that are no code object of a known Python.
pub(crate) fn words(bytes: &[u8]) -> Vec<String> {
    const MAX: usize = 5000;
    let letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.');
    let runs = bytes.split(|b| !letter(b)).filter(|r| (2..200).contains(&r.len()));
    runs.take(MAX).map(|r| String::from_utf8_lossy(r).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `lambda x: __import__('os').system('id')` as CPython 3.11 marshals it.
    pub(crate) fn python311() -> Vec<u8> {
        let mut out = vec![0xe3];
        for n in [1u32, 0, 0, 4, 3] {
            out.extend(n.to_le_bytes());
        }
        out.extend(b"s\x02\0\0\0\x97\0");
        out.extend(b")\x03Nz\x02osz\x02id");
        out.extend(b")\x02Z\x0a__import__Z\x06system");
        out.extend(b")\x01z\x01xs\x01\0\0\0&z\x01fz\x08<lambda>z\x08<lambda>");
        out.extend(1u32.to_le_bytes());
        out.extend(b"s\0\0\0\0s\0\0\0\0");
        out
    }

    #[test]
    fn names_and_constants_are_read() {
        let c = code(&python311()).expect("a code object");
        assert_eq!(c.names, [["__import__", "system"]]);
        assert_eq!(c.texts, ["os", "id"]);
        assert!(!c.module_level);
    }

    #[test]
    fn older_layouts_are_told_by_their_parts() {
        // Python 2.7: `lambda x: eval(x)`, with interned names and references to them.
        let mut out = vec![b'c'];
        for n in [1u32, 1, 2, 0x43] {
            out.extend(n.to_le_bytes());
        }
        out.extend(b"s\x02\0\0\0tS(\x01\0\0\0N(\x01\0\0\0t\x04\0\0\0eval(\x01\0\0\0t\x01\0\0\0x");
        out.extend(b"(\0\0\0\0(\0\0\0\0s\x01\0\0\0fs\x08\0\0\0<lambda>\x01\0\0\0s\0\0\0\0");
        assert_eq!(code(&out).expect("a code object").names, [["eval"]]);
        // Python 3.8: six numbers.
        let mut out = vec![0xe3];
        for n in [1u32, 0, 0, 1, 2, 0x43] {
            out.extend(n.to_le_bytes());
        }
        out.extend(
            b"s\x02\0\0\0tS)\x01N)\x01Z\x04eval)\x01Z\x01x)\0)\0z\x01fz\x08<lambda>\x01\0\0\0s\0\0\0\0",
        );
        assert_eq!(code(&out).expect("a code object").names, [["eval"]]);
    }

    #[test]
    fn broken_bytes_are_none_and_end() {
        let whole = python311();
        for cut in 0..whole.len() {
            assert_eq!(code(&whole[..cut]), None);
        }
        let mut x = 7u32;
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..2 {
                x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (x >> 8) as usize % bytes.len();
                bytes[at] = x as u8;
            }
            let _ = code(&bytes);
        }
        assert_eq!(code(b"class Foo:\n    pass"), None);
        // A tuple that holds itself by reference, over and over.
        assert_eq!(code(&[b"\xe3".to_vec(), b"\xa9\x02r\0\0\0\0r\0\0\0\0".repeat(1000)].concat()), None);
    }

    #[test]
    fn the_body_of_a_module_is_told() {
        let mut c = python311();
        c[17] = 0;
        let at = c.windows(8).position(|w| w == b"<lambda>").expect("its name");
        c[at..at + 8].copy_from_slice(b"<module>");
        assert!(code(&c).expect("a code object").module_level);
    }
}
