//! msgpack: checkpoints of Flax, tables and models of spaCy. Data without code; what can hurt are announced sizes,
//! arrays of objects, and content that waits for some other reader.
//!
//! <https://github.com/msgpack/msgpack/blob/master/spec.md>; Flax keeps arrays, complex numbers and scalars in extension
//! types 1 to 3 (`flax/serialization.py`).

use super::{Claim, Coverage, Format, Probe, leftover};
use crate::analyses::{directive, opaque};
use crate::cx::{Cx, Stop};
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, escape_bytes};

/// msgpack documents.
pub struct MessagePack;

/// Readers recurse no deeper.
const DEEPEST: usize = 1024;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "MessagePack",
    ids: &["flax-msgpack"],
    loaders: "Flax, msgpack",
    judged: "structure, sizes, extension types, text that names code",
    blind: "what applications make of the values",
    corpus: &["msgpack"],
};

impl Format for MessagePack {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "msgpack"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if is_document(probe) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut walk =
            Walk { window: Window::new(blob.clone(), 64 << 10), blob: blob.clone(), end: blob.len() };
        let mut flax = false;
        let done = walk.value(0, cx, &mut flax);
        if flax {
            cx.refine("flax-msgpack");
        }
        match done {
            Ok(end) if end < blob.len() => {
                leftover::record(blob, end, "msgpack-trailing-bytes", "a document is one value", cx)
            }
            Ok(_) => Ok(()),
            Err(Stop::Malformed { at, what }) => {
                cx.structure(at, "msgpack-malformed", what.clone());
                Err(Stop::Malformed { at, what })
            }
            Err(stop) => Err(stop),
        }
    }
}

/// One map or array that fills the file; or a map with names for keys, whatever follows; or one that announces more than
/// any file holds.
fn is_document(probe: &Probe) -> bool {
    use super::wire::{Msgpack, msgpack};
    let head = &probe.head[..];
    let container = matches!(head.first(), Some(0x80..=0x9f | 0xdc..=0xdf));
    // Text that begins with such a byte is no UTF-8.
    if !container || probe.blob.len() < 4 {
        return false;
    }
    match msgpack(&probe.blob) {
        // A few bytes can be a document by chance: the beginning of a NumPy array is one, and so is every other short run of
        // pickle opcodes.
        Msgpack::Whole => named(head, 1) || probe.blob.len() >= 256,
        // In long files such a beginning is chance, unless names follow.
        // So is the magic number of ncnn's graphs, which stands for two thousand million values.
        Msgpack::Impossible if head.starts_with(b"\xdd\x85\x76\0") => false,
        Msgpack::Impossible => probe.blob.len() <= 4096 || named(head, 2),
        Msgpack::No => probe.blob.len() >= 16 && named(head, 2) && second_value(head),
    }
}

/// A map whose first key is a name of at least `least` bytes.
fn named(head: &[u8], least: usize) -> bool {
    let key = match head {
        [0x81..=0x8f, rest @ ..] | [0xde, _, _, rest @ ..] | [0xdf, _, _, _, _, rest @ ..] => rest,
        _ => return false,
    };
    let name = match key {
        [n @ 0xa1..=0xbf, rest @ ..] => rest.get(..usize::from(n & 0x1f)),
        [0xd9, n, rest @ ..] => rest.get(..usize::from(*n)),
        _ => None,
    };
    name.is_some_and(|n| n.len() >= least && n.iter().all(|b| b.is_ascii_graphic() || *b == b' '))
}

/// The first value behind the first key can be read, and if it is short the next key is a text again.
fn second_value(head: &[u8]) -> bool {
    let blob = Blob::from_vec(head.to_vec());
    let mut walk = Walk { window: Window::new(blob.clone(), 4096), end: u64::MAX >> 1, blob };
    let header = match head[0] {
        0xde => 3,
        0xdf => 5,
        _ => 1,
    };
    let Ok(key) = walk.token(header) else { return false };
    let Ok(value) = walk.token(key.end) else { return false };
    match value.kind {
        Kind::Map(n) | Kind::Array(n) => n < 1 << 24,
        _ => value.end < 1 << 32,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Scalar,
    Text,
    Bytes,
    Extension(i8),
    Map(u64),
    Array(u64),
}

/// One value, or the head of a container.
struct Token {
    kind: Kind,
    /// Where the payload begins, and where the token ends.
    at: u64,
    end: u64,
}

struct Walk {
    window: Window,
    blob: Blob,
    end: u64,
}

/// A container that is being read.
struct Frame {
    left: u64,
    map: bool,
    key: Vec<u8>,
}

impl Walk {
    fn token(&mut self, at: u64) -> Result<Token, Stop> {
        let v = self.window.view(at, 6)?;
        let Some(&b) = v.first() else { return Err(Stop::malformed(at, "the document ends early")) };
        let number = |from: usize, size: usize| {
            let bytes =
                v.get(from..from + size).ok_or_else(|| Stop::malformed(at, "the document ends early"))?;
            Ok::<u64, Stop>(bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
        };
        let (kind, header, len) = match b {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (Kind::Scalar, 1, 0),
            0x80..=0x8f => (Kind::Map(u64::from(b & 0xf)), 1, 0),
            0x90..=0x9f => (Kind::Array(u64::from(b & 0xf)), 1, 0),
            0xa0..=0xbf => (Kind::Text, 1, u64::from(b & 0x1f)),
            0xc4 => (Kind::Bytes, 2, number(1, 1)?),
            0xc5 => (Kind::Bytes, 3, number(1, 2)?),
            0xc6 => (Kind::Bytes, 5, number(1, 4)?),
            0xc7 => (Kind::Extension(number(2, 1)? as u8 as i8), 3, number(1, 1)?),
            0xc8 => (Kind::Extension(number(3, 1)? as u8 as i8), 4, number(1, 2)?),
            0xc9 => (Kind::Extension(v.get(5).map_or(0, |t| *t as i8)), 6, number(1, 4)?),
            0xcc | 0xd0 => (Kind::Scalar, 2, 0),
            0xcd | 0xd1 => (Kind::Scalar, 3, 0),
            0xca | 0xce | 0xd2 => (Kind::Scalar, 5, 0),
            0xcb | 0xcf | 0xd3 => (Kind::Scalar, 9, 0),
            0xd4..=0xd8 => (Kind::Extension(number(1, 1)? as u8 as i8), 2, 1 << (b - 0xd4)),
            0xd9 => (Kind::Text, 2, number(1, 1)?),
            0xda => (Kind::Text, 3, number(1, 2)?),
            0xdb => (Kind::Text, 5, number(1, 4)?),
            0xdc => (Kind::Array(number(1, 2)?), 3, 0),
            0xdd => (Kind::Array(number(1, 4)?), 5, 0),
            0xde => (Kind::Map(number(1, 2)?), 3, 0),
            0xdf => (Kind::Map(number(1, 4)?), 5, 0),
            0xc1 => return Err(Stop::malformed(at, "a byte that begins no value")),
        };
        let end = at + header + len;
        if end > self.end {
            return Err(Stop::malformed(
                at,
                format!("a value of {len} bytes, {} left", self.end.saturating_sub(at)),
            ));
        }
        Ok(Token { kind, at: at + header, end })
    }

    /// Reads the value at `at`; returns where it ends.
    fn value(&mut self, mut at: u64, cx: &mut Cx<'_>, flax: &mut bool) -> Result<u64, Stop> {
        let mut frames: Vec<Frame> = Vec::new();
        loop {
            cx.budget.steps(1)?;
            let token = self.token(at)?;
            at = token.end;
            let key_comes = frames.last().is_some_and(|f| f.map && f.left.is_multiple_of(2));
            match token.kind {
                Kind::Map(n) | Kind::Array(n) => {
                    let map = matches!(token.kind, Kind::Map(_));
                    let elements = if map { 2 * n } else { n };
                    if elements > self.end - at {
                        let detail = format!("{elements} elements announced, {} bytes left", self.end - at);
                        let code = "msgpack-impossible-count".to_string();
                        cx.fact(Some(token.at), FactKind::Resource { code, detail: detail.clone() });
                        return Err(Stop::malformed(token.at, detail));
                    }
                    if frames.len() >= DEEPEST {
                        let detail = format!("values nested deeper than {DEEPEST}");
                        let code = "msgpack-deep-nesting".to_string();
                        cx.fact(Some(token.at), FactKind::Resource { code, detail: detail.clone() });
                        return Err(Stop::malformed(token.at, detail));
                    }
                    cx.budget.memory(frames.len() as u64 * 512)?;
                    frames.push(Frame { left: elements, map, key: Vec::new() });
                }
                kind => {
                    let place = frames.last().map_or(&[][..], |f| &f.key);
                    let place = escape_bytes(place);
                    if key_comes {
                        let key = self.key(&token, cx)?;
                        if let Some(frame) = frames.last_mut() {
                            frame.key = key;
                        }
                    } else {
                        self.leaf(kind, &token, &place, cx, flax)?;
                    }
                    if let Some(frame) = frames.last_mut() {
                        frame.left -= 1;
                    }
                }
            }
            // A container that is full ends, and is an element of the one around it.
            while frames.last().is_some_and(|f| f.left == 0) {
                frames.pop();
                if let Some(frame) = frames.last_mut() {
                    frame.left -= 1;
                }
            }
            if frames.is_empty() {
                return Ok(at);
            }
        }
    }

    /// A key; names that a restoring reader could take for code are told.
    fn key(&mut self, token: &Token, cx: &mut Cx<'_>) -> Result<Vec<u8>, Stop> {
        const LONGEST: u64 = 256;
        const METHODS: &[&[u8]] = &[
            b"__reduce__",
            b"__reduce_ex__",
            b"__setstate__",
            b"__getattr__",
            b"__import__",
            b"__globals__",
            b"_target_",
        ];
        let key = self.blob.read_range(token.at..token.end.min(token.at + LONGEST))?;
        if METHODS.contains(&key.as_slice()) {
            let detail = format!("key {}", escape_bytes(&key));
            cx.fact(Some(token.at), FactKind::Directive { code: "object-method".into(), detail });
        }
        Ok(key)
    }

    fn leaf(
        &mut self,
        kind: Kind,
        token: &Token,
        place: &str,
        cx: &mut Cx<'_>,
        flax: &mut bool,
    ) -> Result<(), Stop> {
        const SHORTEST: u64 = 12;
        const MOST: usize = 1 << 20;
        let len = token.end - token.at;
        match kind {
            Kind::Text | Kind::Bytes if len >= SHORTEST => {
                let data = self.blob.sub(token.at..token.end);
                let bytes = data.head(if kind == Kind::Text { MOST } else { 4096 })?;
                if let Some((code, detail)) = directive::commands(&String::from_utf8_lossy(&bytes))
                    && kind == Kind::Text
                {
                    let detail = format!("{place}: {detail}");
                    cx.fact(Some(token.at), FactKind::Directive { code: code.into(), detail });
                }
                self.hidden(&data, &bytes, token.at, place, cx);
            }
            Kind::Extension(kind) => {
                let known = match kind {
                    1 => self.array(token, place, cx)?,
                    // A complex number is a pair, a scalar an array of no dimensions; -1 is a time.
                    2 => self.whole(token),
                    3 => self.array(token, place, cx)?,
                    -1 => matches!(len, 4 | 8 | 12),
                    _ => false,
                };
                *flax |= (1..=3).contains(&kind);
                if !known {
                    let detail = format!("extension type {kind} of {len} bytes in {place}");
                    cx.structure(token.at, "msgpack-extension", detail);
                    let data = self.blob.sub(token.at..token.end);
                    let head = data.head(4096)?;
                    self.hidden(&data, &head, token.at, place, cx);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn hidden(&mut self, data: &Blob, head: &[u8], at: u64, place: &str, cx: &mut Cx<'_>) {
        if data.len() >= 16
            && let Some(what) = opaque::hidden(data, &head[..head.len().min(4096)])
        {
            cx.fact(Some(at), FactKind::Hidden { code: what.into(), detail: format!("in {place}") });
            cx.member(format!("({place} at {at:#x})").as_bytes(), data);
        }
    }

    /// Is the payload of an extension one value?
    fn whole(&mut self, token: &Token) -> bool {
        let mut at = token.at;
        let mut left = 1u64;
        while left > 0 && left < 64 {
            let Ok(next) = self.token(at) else { return false };
            if next.end > token.end {
                return false;
            }
            left -= 1;
            if let Kind::Array(n) = next.kind {
                left += n;
            }
            at = next.end;
        }
        at == token.end
    }

    /// Flax's array: shape, type and bytes. False if it is none.
    fn array(&mut self, token: &Token, place: &str, cx: &mut Cx<'_>) -> Result<bool, Stop> {
        const MOST_DIMS: u64 = 64;
        let Ok(outer) = self.token(token.at) else { return Ok(false) };
        let Ok(shape) = self.token(outer.end) else { return Ok(false) };
        let (Kind::Array(3), Kind::Array(dims)) = (outer.kind, shape.kind) else { return Ok(false) };
        if dims > MOST_DIMS {
            return Ok(false);
        }
        let (mut at, mut elements) = (shape.end, Some(1u64));
        for _ in 0..dims {
            let Ok(dim) = self.token(at) else { return Ok(false) };
            let bytes = self.blob.read_range(at..dim.end.min(at + 9))?;
            let Some(n) = unsigned(&bytes) else { return Ok(false) };
            elements = elements.and_then(|e| e.checked_mul(n));
            at = dim.end;
        }
        let Ok(name) = self.token(at) else { return Ok(false) };
        let Ok(data) = self.token(name.end) else { return Ok(false) };
        if name.kind != Kind::Text || data.kind != Kind::Bytes || data.end != token.end {
            return Ok(false);
        }
        let dtype = self.blob.read_range(name.at..name.end.min(name.at + 64))?;
        let dtype = String::from_utf8_lossy(&dtype).into_owned();
        let Some(size) = size(&dtype) else {
            let detail = format!("{place}: an array of type {}", wb_verdict::escape(&dtype));
            cx.structure(name.at, "msgpack-array-type", detail);
            return Ok(true);
        };
        let len = data.end - data.at;
        if elements.and_then(|n| n.checked_mul(size)) != Some(len) {
            let detail =
                format!("{place}: {len} bytes for {elements:?} elements of {}", wb_verdict::escape(&dtype));
            cx.structure(data.at, "msgpack-array-size", detail);
        }
        let bytes = self.blob.sub(data.at..data.end);
        let head = bytes.head(96)?;
        self.hidden(&bytes, &head, data.at, place, cx);
        Ok(true)
    }
}

/// An integer of zero or more.
fn unsigned(bytes: &[u8]) -> Option<u64> {
    let number = |b: &[u8]| b.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    match bytes {
        [n @ 0..=0x7f] => Some(u64::from(*n)),
        [0xcc, rest @ ..] if rest.len() == 1 => Some(number(rest)),
        [0xcd, rest @ ..] if rest.len() == 2 => Some(number(rest)),
        [0xce, rest @ ..] if rest.len() == 4 => Some(number(rest)),
        [0xcf, rest @ ..] if rest.len() == 8 => Some(number(rest)),
        _ => None,
    }
}

/// Bytes of an element; `None` for types that hold references or that numpy and ml_dtypes do not have.
fn size(dtype: &str) -> Option<u64> {
    let name = dtype.trim_start_matches(['<', '>', '|', '=']);
    Some(match name {
        "bool" | "int8" | "uint8" | "b1" | "i1" | "u1" | "int4" | "uint4" | "int2" | "uint2" => 1,
        "int16" | "uint16" | "float16" | "bfloat16" | "i2" | "u2" | "f2" => 2,
        "int32" | "uint32" | "float32" | "i4" | "u4" | "f4" => 4,
        "int64" | "uint64" | "float64" | "complex64" | "i8" | "u8" | "f8" | "c8" => 8,
        "complex128" | "c16" => 16,
        name if name.starts_with("float8") || name.starts_with("float4") || name.starts_with("float6") => 1,
        _ => return None,
    })
}
