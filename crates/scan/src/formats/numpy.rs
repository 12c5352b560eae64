//! numpy's .npy, versions 1 to 3: a header, then raw items or, for object arrays, a pickle.
//!
//! Source: numpy/lib/format.py. The header is a Python literal; its length may exceed numpy's own limit of
//! 10,000 bytes, which `allow_pickle=True` lifts. Several arrays may follow one another in a file.

use super::pickle::{self, Plausible};
use super::{Claim, Coverage, Format, Probe};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason, escape_bytes};

const MAGIC: &[u8] = b"\x93NUMPY";

/// The npy format.
pub struct Npy;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "NumPy arrays",
    ids: &[],
    loaders: "`numpy.load`",
    judged: "headers of versions 1 to 3 as numpy evaluates them, object arrays as pickles",
    blind: "sizes of arrays are compared, values are data",
    corpus: &["numpy"],
};

impl Format for Npy {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "npy"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.head.starts_with(MAGIC) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut at = 0;
        while at < blob.len() {
            cx.budget.entries(1)?;
            match array(blob, at, cx)? {
                Some(next) if next > at => at = next,
                _ => return Ok(()),
            }
            let head = blob.read_range(at..at + MAGIC.len() as u64)?;
            if at < blob.len() && head != MAGIC {
                return trailing(blob, at, cx);
            }
        }
        Ok(())
    }
}

/// What follows the last array.
fn trailing(blob: &Blob, at: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    if pickle::plausible(blob, at).0 == Plausible::Yes {
        let detail = "a pickle follows the array";
        cx.fact(Some(at), FactKind::Hidden { code: "pickle".into(), detail: detail.into() });
        return pickle::stream(blob, at, cx, true);
    }
    let detail = format!("{} bytes follow the array", blob.len() - at);
    cx.structure(at, "npy-trailing-data", detail);
    Ok(())
}

/// One array at `at`; the offset after it, none if the rest has been dealt with.
fn array(blob: &Blob, at: u64, cx: &mut Cx<'_>) -> Result<Option<u64>, Stop> {
    const MAX_HEADER: u64 = 16 << 20;
    let fixed = blob.read_range(at..at + 12)?;
    let (len, start) = match fixed.get(6..12) {
        Some([1, _, a, b, ..]) => (u64::from(u16::from_le_bytes([*a, *b])), at + 10),
        Some([2 | 3, _, a, b, c, d]) => (u64::from(u32::from_le_bytes([*a, *b, *c, *d])), at + 12),
        Some(_) => return Err(Stop::Unsupported("npy format version".into())),
        None => return Err(Stop::malformed(at, "npy header is cut short")),
    };
    let data = start.saturating_add(len);
    if data > blob.len() {
        return Err(Stop::malformed(at, "npy header is longer than the file"));
    }
    if len > MAX_HEADER {
        cx.structure(at, "npy-huge-header", format!("a header of {len} bytes: not every loader reads it"));
    }
    let text = blob.read_range(start..data.min(start + MAX_HEADER))?;
    let header = Literal::parse(&text).and_then(|h| Header::of(&h));
    let Some(header) = header else {
        // Whatever the header was meant to say: a pickle here would be loaded by a reader that understands it.
        if pickle::plausible(blob, data).0 != Plausible::No {
            pickle::stream(blob, data, cx, true)?;
        }
        let shown = escape_bytes(text.get(..text.len().min(80)).unwrap_or(&text));
        cx.gap(
            GapReason::Malformed,
            Some(at),
            Some(blob.len() - at),
            format!("npy header not understood: {shown}"),
        );
        return Ok(None);
    };
    if header.descr.has_objects() {
        return objects(blob, data, cx);
    }
    let Some(size) = header.descr.item_size() else {
        return Err(Stop::Unsupported("npy dtype".into()));
    };
    let left = blob.len() - data;
    match header.elements().and_then(|n| n.checked_mul(size)) {
        Some(bytes) if bytes <= left => Ok(Some(data + bytes)),
        bytes => {
            let wanted = bytes.map_or("more than 2^64".to_string(), |n| n.to_string());
            let detail = format!("the header announces {wanted} bytes of data, {left} are there");
            cx.fact(Some(at), FactKind::Resource { code: "npy-size-beyond-end".into(), detail });
            Ok(None)
        }
    }
}

/// The pickle of an object array; the offset of the array that follows it, if one does.
fn objects(blob: &Blob, data: u64, cx: &mut Cx<'_>) -> Result<Option<u64>, Stop> {
    if let (_, Some(next)) = pickle::plausible(blob, data)
        && blob.read_range(next..next + MAGIC.len() as u64)? == MAGIC
    {
        pickle::stream(&blob.sub(0..next), data, cx, true)?;
        return Ok(Some(next));
    }
    pickle::stream(blob, data, cx, true)?;
    Ok(None)
}

struct Header {
    descr: Descr,
    shape: Vec<u64>,
}

impl Header {
    fn of(v: &Literal) -> Option<Self> {
        let Literal::Dict(pairs) = v else { return None };
        let get =
            |name: &str| pairs.iter().rev().find(|(k, _)| *k == Literal::Str(name.into())).map(|(_, v)| v);
        let Literal::Seq(dims) = get("shape")? else { return None };
        let shape = dims
            .iter()
            .map(|d| match d {
                Literal::Int(n) => u64::try_from(*n).ok(),
                _ => None,
            })
            .collect::<Option<Vec<u64>>>()?;
        Some(Self { descr: Descr::of(get("descr")?)?, shape })
    }

    fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d))
    }
}

/// A dtype description.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Descr {
    /// `<f8`.
    Text(String),
    /// Fields: description and number of items of each.
    Fields(Vec<(Descr, u64)>),
}

impl Descr {
    fn of(v: &Literal) -> Option<Self> {
        match v {
            Literal::Str(s) => Some(Self::Text(s.clone())),
            // (base, shape)
            Literal::Seq(items) if matches!(items.first(), Some(Literal::Str(_)) | Some(Literal::Seq(_))) => {
                let field = |f: &Literal| -> Option<(Self, u64)> {
                    let Literal::Seq(parts) = f else { return None };
                    let descr = Self::of(parts.get(1)?)?;
                    let count = match parts.get(2) {
                        None => 1,
                        Some(shape) => count(shape)?,
                    };
                    Some((descr, count))
                };
                if let (Some(Literal::Str(_)), Some(shape @ (Literal::Seq(_) | Literal::Int(_)))) =
                    (items.first(), items.get(1))
                {
                    let base = Self::of(items.first()?)?;
                    return Some(Self::Fields(vec![(base, count(shape)?)]));
                }
                items.iter().map(field).collect::<Option<Vec<_>>>().map(Self::Fields)
            }
            _ => None,
        }
    }

    /// True if items hold Python objects, so that the data is a pickle.
    pub(super) fn has_objects(&self) -> bool {
        match self {
            Self::Text(t) => t.contains('O') || t.contains("object"),
            Self::Fields(f) => f.iter().any(|(d, _)| d.has_objects()),
        }
    }

    /// Bytes per item.
    pub(super) fn item_size(&self) -> Option<u64> {
        match self {
            Self::Fields(f) => {
                f.iter().try_fold(0u64, |n, (d, count)| n.checked_add(d.item_size()?.checked_mul(*count)?))
            }
            Self::Text(t) => text_size(t),
        }
    }

    /// True for texts, byte strings and raw bytes, whose size a pickled dtype repeats in its state.
    pub(super) fn is_flexible(&self) -> bool {
        let Self::Text(t) = self else { return false };
        let t = t.trim_start_matches(['<', '>', '|', '=']);
        t.starts_with(['S', 'a', 'U', 'V']) || NAMES.iter().any(|(n, size)| *n == t && *size == 0)
    }
}

/// Names that numpy takes beside kind and size. Flexible ones have size 0.
const NAMES: [(&str, u64); 24] = [
    ("bool", 1),
    ("int8", 1),
    ("uint8", 1),
    ("int16", 2),
    ("uint16", 2),
    ("float16", 2),
    ("half", 2),
    ("int32", 4),
    ("uint32", 4),
    ("float32", 4),
    ("single", 4),
    ("int64", 8),
    ("uint64", 8),
    ("float64", 8),
    ("float", 8),
    ("double", 8),
    ("complex64", 8),
    ("complex128", 16),
    ("complex", 16),
    ("datetime64", 8),
    ("timedelta64", 8),
    ("str", 0),
    ("bytes", 0),
    ("void", 0),
];

/// Bytes per item of a dtype in text form; none for everything whose size depends on the platform or that is
/// not one kind and one size.
fn text_size(text: &str) -> Option<u64> {
    // Several fields in one text, packed one after another.
    if text.contains(',') {
        return text.split(',').try_fold(0u64, |n, field| n.checked_add(text_size(field)?));
    }
    let t = text.trim_start_matches(['<', '>', '|', '=']);
    if let Some((_, size)) = NAMES.iter().find(|(name, _)| *name == t) {
        return Some(*size);
    }
    let kind = t.chars().next()?;
    let rest = t.get(kind.len_utf8()..)?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (digits, unit) = rest.split_at(digits);
    if !(unit.is_empty() || (matches!(kind, 'M' | 'm') && unit.starts_with('[') && unit.ends_with(']'))) {
        return None;
    }
    let n = if digits.is_empty() { None } else { Some(digits.parse::<u64>().ok()?) };
    match (kind, n) {
        ('U', n) => n.unwrap_or(0).checked_mul(4),
        ('S' | 'a' | 'V', n) => Some(n.unwrap_or(0)),
        ('b' | 'i' | 'u' | 'f' | 'c' | 'M' | 'm' | 'O', Some(n)) => Some(n),
        ('?' | 'b' | 'B', None) => Some(1),
        ('h' | 'H' | 'e', None) => Some(2),
        ('i' | 'I' | 'f', None) => Some(4),
        ('q' | 'Q' | 'd' | 'F' | 'O', None) => Some(8),
        ('D', None) => Some(16),
        _ => None,
    }
}

fn count(shape: &Literal) -> Option<u64> {
    match shape {
        Literal::Int(n) => u64::try_from(*n).ok(),
        Literal::Seq(dims) => dims.iter().try_fold(1u64, |n, d| n.checked_mul(count(d)?)),
        _ => None,
    }
}

/// A Python literal, as far as npy headers use them.
#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Name(String),
    Int(i128),
    Str(String),
    /// Tuple or list.
    Seq(Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
}

impl Literal {
    fn parse(text: &[u8]) -> Option<Self> {
        let mut p = Parser { text, at: 0, left: 200_000 };
        let v = p.value(0)?;
        p.space();
        // The rest is padding, ended by a newline.
        p.text.get(p.at..)?.iter().all(|b| matches!(b, b' ' | b'\n' | 0)).then_some(v)
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    /// Values that may still be made.
    left: u32,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn eat(&mut self, b: u8) -> bool {
        self.space();
        let hit = self.peek() == Some(b);
        self.at += usize::from(hit);
        hit
    }

    fn value(&mut self, depth: u32) -> Option<Literal> {
        if depth > 32 {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        self.space();
        match self.peek()? {
            b'{' => {
                self.at += 1;
                let mut pairs = Vec::new();
                while !self.eat(b'}') {
                    let k = self.value(depth + 1)?;
                    if !self.eat(b':') {
                        return None;
                    }
                    pairs.push((k, self.value(depth + 1)?));
                    if !self.eat(b',') && self.peek() != Some(b'}') {
                        return None;
                    }
                }
                Some(Literal::Dict(pairs))
            }
            open @ (b'(' | b'[') => {
                self.at += 1;
                let close = if open == b'(' { b')' } else { b']' };
                let mut items = Vec::new();
                while !self.eat(close) {
                    items.push(self.value(depth + 1)?);
                    if !self.eat(b',') && self.peek() != Some(close) {
                        return None;
                    }
                }
                Some(Literal::Seq(items))
            }
            b'\'' | b'"' => self.string(),
            b'0'..=b'9' | b'-' | b'+' => {
                let from = self.at;
                self.at += 1;
                while self.peek().is_some_and(|b| b.is_ascii_digit() || b == b'_') {
                    self.at += 1;
                }
                let digits = std::str::from_utf8(self.text.get(from..self.at)?).ok()?.replace('_', "");
                // Python 2 writes long integers with an L.
                if self.peek() == Some(b'L') {
                    self.at += 1;
                }
                digits.parse().ok().map(Literal::Int)
            }
            b'b' | b'u' if matches!(self.text.get(self.at + 1), Some(b'\'' | b'"')) => {
                self.at += 1;
                self.string()
            }
            b if b.is_ascii_alphabetic() => {
                let from = self.at;
                while self.peek().is_some_and(|b| b.is_ascii_alphanumeric()) {
                    self.at += 1;
                }
                Some(Literal::Name(String::from_utf8_lossy(self.text.get(from..self.at)?).into_owned()))
            }
            _ => None,
        }
    }

    fn string(&mut self) -> Option<Literal> {
        let quote = self.peek()?;
        self.at += 1;
        let mut out = Vec::new();
        loop {
            match self.peek()? {
                b if b == quote => {
                    self.at += 1;
                    return Some(Literal::Str(String::from_utf8_lossy(&out).into_owned()));
                }
                b'\\' => {
                    self.at += 1;
                    let b = self.peek()?;
                    self.at += 1;
                    match b {
                        b'x' => {
                            let hex = std::str::from_utf8(self.text.get(self.at..self.at + 2)?).ok()?;
                            out.push(u8::from_str_radix(hex, 16).ok()?);
                            self.at += 2;
                        }
                        b'n' => out.push(b'\n'),
                        b't' => out.push(b'\t'),
                        b'\\' | b'\'' | b'"' => out.push(b),
                        // Octal, Unicode and named escapes mean something else than they show; numpy writes none.
                        _ => return None,
                    }
                }
                b => {
                    out.push(b);
                    self.at += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descr(text: &str) -> Descr {
        Descr::of(&Literal::parse(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn item_sizes_and_objects() {
        assert_eq!(descr("'<f8'").item_size(), Some(8));
        assert_eq!(descr("'<U10'").item_size(), Some(40));
        assert_eq!(descr("'<M8[ns]'").item_size(), Some(8));
        let plain = descr("[('a', '<i4'), ('', '|V4'), ('b', '<f8', (2, 3)), ('c', [('d', '|u1')])]");
        assert_eq!((plain.item_size(), plain.has_objects()), (Some(4 + 4 + 48 + 1), false));
        assert!(descr("[('a', '<i4'), ('b', [('c', [('d', '|O')], (2,))])]").has_objects());
        assert!(descr("'|O'").has_objects());
    }

    #[test]
    fn headers_of_all_versions() {
        let h =
            Literal::parse(b"{'descr': '<f8', 'fortran_order': False, 'shape': (3L, 4), }     \n").unwrap();
        assert_eq!(Header::of(&h).unwrap().elements(), Some(12));
        assert!(Literal::parse(b"{'descr': __import__('os')}").is_none());
        assert!(Literal::parse(&b"(".repeat(100_000)).is_none());
    }
}
