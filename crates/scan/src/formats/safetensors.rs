//! Safetensors: a JSON header and a buffer. Nothing in it runs, if readers agree on what it says.
//!
//! Layout and rules: the format section of the safetensors README (header at most 100 MB, no duplicate keys,
//! no holes, no overlap, header padded with spaces only).

use super::{Claim, Coverage, Format, Probe};
use crate::analyses::{directive, opaque, secrets};
use crate::cx::{Cx, Stop};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::collections::HashSet;
use std::fmt;
use std::io::BufReader;
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, GapReason, escape};

/// Safetensors files.
pub struct Safetensors;

/// Largest header that the reference reader takes, in bytes.
const MAX_HEADER: u64 = 100_000_000;
/// Headers up to this size are parsed in memory, larger ones while reading.
const IN_MEMORY: u64 = 16 << 20;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "safetensors",
    ids: &[],
    loaders: "safetensors, transformers, diffusers, candle and others",
    judged: "the header as each reader takes it: length, duplicate keys, types, shapes, overlaps, holes, trailing \
        bytes; metadata that names code; hidden files; messages in low bits",
    blind: "low bits beyond the first elements; what the weights make a model do",
    corpus: &["safetensors"],
};

impl Format for Safetensors {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "safetensors"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        let Some(n) = probe.head.get(..8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes) else {
            return Claim::No;
        };
        let object = probe.head.get(8..).and_then(|h| h.trim_ascii_start().first()) == Some(&b'{');
        // A length that is text is the beginning of some other file.
        let text = probe.head.iter().take(8).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
        // So is one that no reader takes, in a file whose first bytes say what it is: a checksum may begin with `{`.
        const MAGIC: [&[u8]; 4] =
            [b"7z\xbc\xaf'\x1c", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"\x04\x22\x4d\x18"];
        let other = n > MAX_HEADER && MAGIC.iter().any(|m| probe.head.starts_with(m));
        if n >= 2 && object && !text && !other { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let n = match <[u8; 8]>::try_from(blob.head(8)?) {
            Ok(b) => u64::from_le_bytes(b),
            Err(_) => return Err(Stop::malformed(0, "no header length")),
        };
        if n > MAX_HEADER {
            let detail = format!("header of {n} bytes, the format allows {MAX_HEADER}");
            cx.fact(Some(0), FactKind::Resource { code: "safetensors-header-too-large".into(), detail });
            return Err(Stop::malformed(0, "header too large"));
        }
        let start = 8 + n;
        if start > blob.len() {
            let detail = format!("header of {n} bytes in a file of {}", blob.len());
            cx.structure(0, "safetensors-header-out-of-bounds", detail);
            return Err(Stop::malformed(0, "header ends behind the end of the file"));
        }
        let header = blob.sub(8..start);
        let (parsed, used) = parse(&header, cx);
        let parsed = match parsed {
            Ok(h) => {
                rest_of_header(&header.sub(used.min(n)..n), 8 + used.min(n), cx)?;
                h
            }
            Err(e) => {
                cx.structure(8, "safetensors-bad-header", escape(&e));
                hidden(&header, 8, "in place of the header", cx)?;
                cx.member(b"(data)", &blob.sub(start..blob.len()));
                return Err(Stop::malformed(8, "header is not what the format asks for"));
            }
        };
        metadata(&parsed, cx);
        for key in &parsed.duplicates {
            cx.structure(8, "safetensors-duplicate-key", escape(key));
        }
        for what in &parsed.odd {
            cx.structure(8, "safetensors-unknown-field", escape(what));
        }
        tensors(blob, start, parsed.tensors, cx)
    }
}

/// The part of the header behind the JSON: only spaces may stand there.
fn rest_of_header(rest: &Blob, at: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut window = Window::new(rest.clone(), 64 << 10);
    let mut pos = 0;
    while pos < rest.len() {
        let v = window.view(pos, 1)?;
        if let Some(n) = v.iter().position(|b| !b.is_ascii_whitespace()) {
            let from = pos + n as u64;
            cx.structure(
                at + from,
                "safetensors-bytes-after-json",
                format!("{} bytes behind the JSON", rest.len() - from),
            );
            return hidden(&rest.sub(from..rest.len()), at + from, "in the header, behind the JSON", cx);
        }
        pos += v.len() as u64;
    }
    Ok(())
}

fn hidden(part: &Blob, at: u64, wher: &str, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let head = part.head(256)?;
    if let Some(what) = opaque::hidden(part, &head) {
        cx.fact(Some(at), FactKind::Hidden { code: what.into(), detail: wher.into() });
    }
    cx.member(format!("({wher})").as_bytes(), part);
    Ok(())
}

#[derive(Default)]
struct Header {
    tensors: Vec<Tensor>,
    metadata: Vec<(String, String)>,
    duplicates: Vec<String>,
    /// Fields and types that the format does not know.
    odd: Vec<String>,
}

struct Tensor {
    name: String,
    dtype: String,
    shape: Vec<u64>,
    begin: u64,
    end: u64,
}

/// Parses the header; also returns how many bytes the JSON took (0 if it could not be told).
fn parse(header: &Blob, cx: &Cx<'_>) -> (Result<Header, String>, u64) {
    fn run<'de, R: serde_json::de::Read<'de>>(
        mut json: serde_json::StreamDeserializer<'de, R, Header>,
    ) -> (Result<Header, String>, u64) {
        let first = json.next().unwrap_or_else(|| Err(serde_json::Error::custom("empty header")));
        let used = if first.is_ok() { json.byte_offset() as u64 } else { 0 };
        (first.map_err(|e| e.to_string()), used)
    }
    let held = header.len().saturating_mul(2);
    if header.len() <= IN_MEMORY && cx.budget.memory(held).is_ok() {
        match header.read_range(0..header.len()) {
            Ok(bytes) => run(serde_json::Deserializer::from_slice(&bytes).into_iter()),
            Err(e) => (Err(e.to_string()), 0),
        }
    } else {
        run(serde_json::Deserializer::from_reader(BufReader::new(header.reader())).into_iter())
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Header;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                const MAX_TENSORS: usize = 1_000_000;
                const MAX_NAMES: usize = 64 << 20;
                let mut h = Header::default();
                let mut names = HashSet::new();
                let mut held = 0;
                while let Some(key) = map.next_key::<String>()? {
                    held += key.len() + 64;
                    if h.tensors.len() > MAX_TENSORS || held > MAX_NAMES {
                        return Err(A::Error::custom("too many tensors"));
                    }
                    if !names.insert(hash(&key)) {
                        h.duplicates.push(key.clone());
                    }
                    if key == "__metadata__" {
                        map.next_value_seed(Metadata(&mut h))?;
                    } else {
                        let mut t = map.next_value::<RawTensor>()?;
                        h.duplicates.extend(t.duplicates.drain(..).map(|d| format!("{key}.{d}")));
                        h.odd.extend(t.odd.drain(..).map(|d| format!("{key}.{d}")));
                        h.duplicates.truncate(100);
                        h.odd.truncate(100);
                        let (Some(dtype), Some(shape), Some((begin, end))) = (t.dtype, t.shape, t.offsets)
                        else {
                            return Err(A::Error::custom(format!("tensor {key} lacks a field")));
                        };
                        held += shape.len() * 8;
                        h.tensors.push(Tensor { name: key, dtype, shape, begin, end });
                    }
                }
                Ok(h)
            }
        }
        d.deserialize_map(V)
    }
}

fn hash(key: &str) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::OnceLock;
    static STATE: OnceLock<RandomState> = OnceLock::new();
    STATE.get_or_init(RandomState::new).hash_one(key)
}

struct Metadata<'a>(&'a mut Header);

impl<'de> serde::de::DeserializeSeed<'de> for Metadata<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Metadata<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        const MAX_HELD: usize = 32 << 20;
        let mut names = HashSet::new();
        let mut held = 0;
        while let Some(key) = map.next_key::<String>()? {
            if !names.insert(hash(&key)) {
                self.0.duplicates.push(format!("__metadata__.{key}"));
            }
            let value = map.next_value::<serde_json::Value>()?;
            let text = match value {
                serde_json::Value::String(s) => s,
                other => {
                    self.0.odd.push(format!("__metadata__.{key} is no string"));
                    other.to_string()
                }
            };
            held += key.len() + text.len();
            if held > MAX_HELD {
                return Err(A::Error::custom("too much metadata"));
            }
            self.0.metadata.push((key, text));
        }
        Ok(())
    }
}

#[derive(Default)]
struct RawTensor {
    dtype: Option<String>,
    shape: Option<Vec<u64>>,
    offsets: Option<(u64, u64)>,
    duplicates: Vec<String>,
    odd: Vec<String>,
}

impl<'de> Deserialize<'de> for RawTensor {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = RawTensor;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with dtype, shape and data_offsets")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawTensor, A::Error> {
                let mut t = RawTensor::default();
                while let Some(key) = map.next_key::<String>()? {
                    let twice = match key.as_str() {
                        "dtype" => t.dtype.replace(map.next_value()?).is_some(),
                        "shape" => t.shape.replace(map.next_value()?).is_some(),
                        "data_offsets" => t.offsets.replace(map.next_value()?).is_some(),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            t.odd.push(key.clone());
                            false
                        }
                    };
                    if twice {
                        t.duplicates.push(key);
                    }
                }
                Ok(t)
            }
        }
        d.deserialize_map(V)
    }
}

fn metadata(h: &Header, cx: &mut Cx<'_>) {
    for (key, value) in &h.metadata {
        let key = escape(key);
        if let Some((code, detail)) = directive::commands(value) {
            let detail = format!("__metadata__.{key}: {detail}");
            cx.fact(Some(8), FactKind::Directive { code: code.into(), detail });
        }
        let place = format!("__metadata__.{key}");
        secrets::record(value.as_bytes(), 8, &place, cx);
        match serde_json::from_str::<serde_json::Value>(value) {
            Ok(json) if json.is_object() || json.is_array() => {
                directive::in_json(&json, "", &mut |f| super::document::record(f, &place, cx));
            }
            _ => directive::in_yaml(value, &mut |f| super::document::record(f, &place, cx)),
        }
        if let Some(what) = directive::encoded(value) {
            let detail = format!("base64 in __metadata__.{key}");
            cx.fact(Some(8), FactKind::Hidden { code: what.into(), detail });
        }
        if h.metadata.len() < 10_000 && value.len() >= 24 {
            let blob = Blob::from_vec(value.as_bytes().to_vec());
            if let Some(what) = opaque::hidden(&blob, value.as_bytes()) {
                cx.fact(
                    Some(8),
                    FactKind::Hidden { code: what.into(), detail: format!("in __metadata__.{key}") },
                );
                cx.member(format!("__metadata__.{key}").as_bytes(), &blob);
            }
        }
    }
}

/// Bits per element.
fn bits(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
        "I16" | "U16" | "F16" | "BF16" => 16,
        "I32" | "U32" | "F32" => 32,
        "I64" | "U64" | "F64" | "C64" => 64,
        _ => return None,
    })
}

fn tensors(blob: &Blob, start: u64, mut tensors: Vec<Tensor>, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const EMPTY_BOMB: usize = 4096;
    cx.budget.entries(tensors.len() as u64)?;
    let buffer = blob.len() - start;
    let mut empty = 0usize;
    for t in &tensors {
        let name = escape(&t.name);
        let elements = t.shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
        let total = elements.and_then(|n| n.checked_mul(bits(&t.dtype).unwrap_or(8)));
        // A zero among the dimensions hides an overflow of the others.
        let overflow = t.shape.iter().filter(|d| **d != 0).try_fold(8u64, |n, d| n.checked_mul(*d)).is_none();
        if total.is_none() || overflow {
            let detail = format!("{name}: shape {:?} overflows", &t.shape[..t.shape.len().min(16)]);
            cx.fact(Some(8), FactKind::Resource { code: "tensor-size-overflow".into(), detail });
        }
        empty += usize::from(elements == Some(0));
        if bits(&t.dtype).is_none() {
            cx.structure(8, "safetensors-unknown-dtype", format!("{name}: {}", escape(&t.dtype)));
        } else if t.end < t.begin || t.end > buffer {
            let detail = format!("{name}: bytes {}..{} of a buffer of {buffer}", t.begin, t.end);
            cx.structure(8, "safetensors-tensor-out-of-bounds", detail);
        } else if let Some(total) = total
            && (total % 8 != 0 || total / 8 != t.end - t.begin)
        {
            let detail = format!(
                "{name}: {} bytes for {} {:?}",
                t.end - t.begin,
                escape(&t.dtype),
                &t.shape[..t.shape.len().min(16)]
            );
            cx.structure(8, "safetensors-tensor-size-differs", detail);
        }
    }
    if empty > EMPTY_BOMB && empty * 2 > tensors.len() {
        let detail = format!("{empty} of {} tensors have no elements", tensors.len());
        cx.fact(Some(8), FactKind::Resource { code: "zero-size-tensors".into(), detail });
    }
    tensors.sort_by_key(|t| (t.begin, t.end));
    let mut cursor = 0u64;
    let mut noted = 0;
    let mut holes = Vec::new();
    for t in &tensors {
        if t.begin > cursor {
            holes.push(cursor..t.begin.min(buffer));
        }
        if t.begin < cursor && t.end > t.begin && noted < 20 {
            noted += 1;
            let detail = format!("{} begins at {}, before {cursor}", escape(&t.name), t.begin);
            cx.structure(start.saturating_add(t.begin), "safetensors-tensor-overlap", detail);
        }
        cursor = cursor.max(t.end.min(buffer));
    }
    if cursor < buffer {
        holes.push(cursor..buffer);
    }
    for hole in holes.into_iter().filter(|h| !h.is_empty()).take(100) {
        let at = start + hole.start;
        let code = if hole.end == buffer { "safetensors-trailing-bytes" } else { "safetensors-hole" };
        cx.structure(at, code, format!("{} bytes of no tensor", hole.end - hole.start));
        cx.member(format!("(bytes at {at:#x})").as_bytes(), &blob.sub(at..start + hole.end));
    }
    low_bits(blob, start, &tensors, cx)?;
    heads(
        blob,
        tensors.iter().map(|t| (&t.name[..], start.saturating_add(t.begin)..start.saturating_add(t.end))),
        cx,
    )
}

/// A message in the least significant bits of weights: text or a known structure, where honest weights have
/// noise. 32 bytes that are all printable are chance once in 10^13 tensors.
fn low_bits(blob: &Blob, start: u64, tensors: &[Tensor], cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MESSAGE: usize = 32;
    const MAX_CHECKED: usize = 20_000;
    let floats = tensors.iter().filter_map(|t| {
        let size = match t.dtype.as_str() {
            "F32" => 4u64,
            "F16" | "BF16" => 2,
            _ => return None,
        };
        (t.end.saturating_sub(t.begin) >= size * 8 * MESSAGE as u64).then_some((t, size))
    });
    for (t, size) in floats.take(MAX_CHECKED) {
        let at = start.saturating_add(t.begin);
        let bytes = blob.read_range(at..at.saturating_add(size * 8 * MESSAGE as u64))?;
        let bits: Vec<u8> = bytes.iter().step_by(size as usize).map(|b| b & 1).collect();
        for high_first in [false, true] {
            let message: Vec<u8> = bits
                .chunks_exact(8)
                .map(|c| (0..8).fold(0, |n, i| n | c[i] << if high_first { 7 - i } else { i }))
                .collect();
            let mut distinct: Vec<u8> = message.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let text = message.iter().all(|b| b.is_ascii_graphic() || *b == b' ' || *b == b'\n');
            let letters = message.iter().filter(|b| b.is_ascii_alphabetic()).count();
            let what = if text && distinct.len() >= 8 && letters >= 8 {
                Some("text")
            } else {
                opaque::hidden(&Blob::from_vec(message.clone()), &message)
            };
            if let Some(what) = what {
                let detail = format!(
                    "in the lowest bits of tensor {}: {}",
                    escape(&t.name),
                    wb_verdict::escape_bytes(&message)
                );
                cx.fact(Some(at), FactKind::Hidden { code: what.into(), detail });
            }
        }
    }
    Ok(())
}

/// The cheap check of where tensors begin.
pub(super) fn heads<'a>(
    blob: &Blob,
    tensors: impl Iterator<Item = (&'a str, std::ops::Range<u64>)> + Clone,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    const HEAD: u64 = 96;
    const MIN: u64 = 16;
    const MAX_CHECKED: usize = 200_000;
    let large = tensors.filter(|(_, r)| r.start < blob.len() && r.end.saturating_sub(r.start) >= MIN);
    let ranges: Vec<_> =
        large.clone().take(10_000).map(|(_, r)| r.start..(r.start + HEAD).min(r.end)).collect();
    blob.hint(&ranges);
    let mut work = 0u64;
    for (n, (name, range)) in large.enumerate() {
        // Overlapping tensors would be walked again and again.
        work = work.saturating_add((range.end - range.start).min(1 << 20));
        if n == MAX_CHECKED || work > blob.len().saturating_mul(2).saturating_add(64 << 20) {
            cx.gap(
                GapReason::Limit("entries-limit".into()),
                Some(range.start),
                None,
                "tensor starts not checked",
            );
            break;
        }
        let tensor = blob.sub(range.clone());
        let head = tensor.head(HEAD as usize)?;
        if let Some(what) = opaque::hidden(&tensor, &head) {
            let detail = format!("at the start of tensor {}", escape(name));
            cx.fact(Some(range.start), FactKind::Hidden { code: what.into(), detail });
            cx.member(name.as_bytes(), &tensor);
        }
    }
    Ok(())
}
