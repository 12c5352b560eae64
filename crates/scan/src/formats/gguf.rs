//! GGUF: metadata, tensor table, tensor data. What can hurt: a chat template, impossible counts and sizes,
//! and whatever is appended.
//!
//! Layout: `docs/gguf.md` of ggml, versions 1 to 3, both byte orders.

use super::compressed::all_zero;
use super::{Claim, Coverage, Format, Probe, gguf_types, safetensors};
use crate::analyses::{directive, jinja, opaque, secrets};
use crate::cx::{Cx, Stop};
use std::collections::HashSet;
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, escape_bytes};

/// GGUF files.
pub struct Gguf;

const DEFAULT_ALIGNMENT: u64 = 32;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "GGUF",
    ids: &[],
    loaders: "llama.cpp and its bindings, Ollama, LM Studio, transformers",
    judged: "counts, types, sizes and offsets as loaders compute them, chat templates, metadata, what hides between \
        and behind tensors",
    blind: "what the weights make a model do",
    corpus: &["gguf"],
};

impl Format for Gguf {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "gguf"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.head.starts_with(b"GGUF") { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        read(blob, cx).inspect_err(|stop| {
            // Readers differ in what they make of a broken table, and some of them crash.
            if let Stop::Malformed { at, what } = stop {
                cx.structure(*at, "gguf-malformed", what.clone());
            }
        })
    }
}

fn read(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut r = Reader {
        window: Window::new(blob.clone(), 256 << 10),
        len: blob.len(),
        at: 4,
        big: false,
        v1: false,
    };
    let version = r.u32()?;
    let version = match (version, version.swap_bytes()) {
        (v @ 1..=3, _) => v,
        (_, v @ 1..=3) => {
            r.big = true;
            v
        }
        (v, _) => {
            cx.structure(4, "gguf-unknown-version", format!("version {v}"));
            return Err(Stop::Unsupported(format!("gguf version {v}")));
        }
    };
    r.v1 = version == 1;
    let tensor_count = r.count()?;
    let kv_count = r.count()?;
    let mut kv = Kv { alignment: DEFAULT_ALIGNMENT, seen: HashSet::new(), held: 0, split: [None; 3] };
    // The smallest pair is an empty key, a type and one byte; the smallest tensor an empty name and a number.
    impossible(kv_count, 13, &r, "metadata pairs", cx)?;
    for _ in 0..kv_count {
        cx.budget.entries(1)?;
        pair(&mut r, &mut kv, blob, cx)?;
    }
    split(&kv, tensor_count, cx);
    impossible(tensor_count, 24, &r, "tensors", cx)?;
    let mut tensors = Vec::new();
    for _ in 0..tensor_count {
        cx.budget.entries(1)?;
        tensor(&mut r, &mut kv, &mut tensors, cx)?;
    }
    layout(blob, r.at, kv.alignment, tensors, cx)
}

fn impossible(count: u64, least: u64, r: &Reader, what: &str, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let left = r.len - r.at;
    if count.checked_mul(least).is_some_and(|n| n <= left) {
        return Ok(());
    }
    let detail = format!("{count} {what} announced, {left} bytes left");
    cx.fact(Some(r.at), FactKind::Resource { code: "gguf-impossible-count".into(), detail });
    Err(Stop::malformed(r.at, format!("more {what} announced than the file can hold")))
}

struct Reader {
    window: Window,
    len: u64,
    at: u64,
    big: bool,
    v1: bool,
}

impl Reader {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let v = self.window.view(self.at, N)?;
        let mut out: [u8; N] = v
            .get(..N)
            .and_then(|b| b.try_into().ok())
            .ok_or_else(|| Stop::malformed(self.at, "gguf ends early"))?;
        if self.big {
            out.reverse();
        }
        self.at += N as u64;
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32, Stop> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, Stop> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    /// Counts and lengths have 32 bits in version 1.
    fn count(&mut self) -> Result<u64, Stop> {
        if self.v1 { Ok(u64::from(self.u32()?)) } else { self.u64() }
    }

    fn skip(&mut self, n: u64) -> Result<(), Stop> {
        match self.at.checked_add(n) {
            Some(next) if next <= self.len => {
                self.at = next;
                Ok(())
            }
            _ => Err(Stop::malformed(self.at, format!("{n} bytes announced, {} left", self.len - self.at))),
        }
    }

    /// A string's range; the string is not read.
    fn string(&mut self, cx: &mut Cx<'_>) -> Result<(u64, u64), Stop> {
        let start = self.at;
        let len = self.count()?;
        let at = self.at;
        self.skip(len).inspect_err(|_| {
            let detail = format!("a string of {len} bytes, {} left", self.len - at);
            cx.fact(Some(start), FactKind::Resource { code: "gguf-impossible-length".into(), detail });
        })?;
        Ok((at, len))
    }
}

struct Kv {
    alignment: u64,
    seen: HashSet<Vec<u8>>,
    held: u64,
    /// Number of this part, parts, and tensors of all parts, if the model is split.
    split: [Option<u64>; 3],
}

/// Which part of a split model this is: readers make the names of the other files from it.
fn split(kv: &Kv, tensors: u64, cx: &mut Cx<'_>) {
    let [part, parts, all] = kv.split;
    if let (Some(part), Some(parts)) = (part, parts)
        && part >= parts
    {
        cx.structure(0, "gguf-split", format!("part {part} of {parts}, counted from 0"));
    }
    if let Some(all) = all
        && tensors > all
    {
        cx.structure(0, "gguf-split", format!("{tensors} tensors in a part of a model of {all}"));
    }
}

impl Kv {
    /// Notes a name; false if it was there before.
    fn first(&mut self, prefix: u8, name: &[u8], cx: &Cx<'_>) -> Result<bool, Stop> {
        self.held += 64 + name.len() as u64;
        cx.budget.memory(self.held)?;
        Ok(self.seen.insert([&[prefix], name].concat()))
    }
}

/// Size of a fixed-size value type.
fn scalar(kind: u32) -> Option<u64> {
    Some(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        _ => return None,
    })
}

fn pair(r: &mut Reader, kv: &mut Kv, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MAX_KEY: u64 = 65_535;
    let start = r.at;
    let (at, len) = r.string(cx)?;
    if len > MAX_KEY {
        cx.structure(start, "gguf-long-key", format!("key of {len} bytes"));
    }
    let key = blob.read_range(at..at + len.min(MAX_KEY))?;
    if !kv.first(0, &key, cx)? {
        cx.structure(start, "gguf-duplicate-key", escape_bytes(&key));
    }
    let kind = r.u32()?;
    match kind {
        8 => {
            let (at, len) = r.string(cx)?;
            text_value(&key, &blob.sub(at..at + len), at, cx)
        }
        9 => array(r, &key, blob, 0, cx),
        4 | 5 if key == b"general.alignment" => {
            let at = r.at;
            let alignment = u64::from(r.u32()?);
            if alignment.is_power_of_two() && alignment <= 1 << 20 {
                kv.alignment = alignment;
            } else {
                cx.structure(at, "gguf-bad-alignment", format!("alignment {alignment}"));
            }
            Ok(())
        }
        2 | 3 if key == b"split.no" || key == b"split.count" => {
            let n = u64::from(u16::from_le_bytes(r.bytes()?));
            kv.split[usize::from(key == b"split.count")] = Some(n);
            Ok(())
        }
        4 | 5 if key == b"split.tensors.count" => {
            kv.split[2] = Some(u64::from(r.u32()?));
            Ok(())
        }
        other => match scalar(other) {
            Some(n) => r.skip(n),
            None => {
                cx.structure(
                    r.at - 4,
                    "gguf-unknown-value-type",
                    format!("{}: type {other}", escape_bytes(&key)),
                );
                Err(Stop::malformed(r.at, "metadata value of unknown type"))
            }
        },
    }
}

fn array(r: &mut Reader, key: &[u8], blob: &Blob, depth: u32, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MAX_DEPTH: u32 = 8;
    let start = r.at;
    let kind = r.u32()?;
    let n = r.count()?;
    if let Some(size) = scalar(kind) {
        return match n.checked_mul(size) {
            Some(total) => r.skip(total),
            None => {
                let detail = format!("{}: array of {n} elements", escape_bytes(key));
                cx.fact(Some(start), FactKind::Resource { code: "gguf-impossible-count".into(), detail });
                Err(Stop::malformed(start, "array too long"))
            }
        };
    }
    if !matches!(kind, 8 | 9) {
        cx.structure(
            start,
            "gguf-unknown-value-type",
            format!("{}: array of type {kind}", escape_bytes(key)),
        );
        return Err(Stop::malformed(start, "array of unknown type"));
    }
    if depth >= MAX_DEPTH {
        cx.fact(
            Some(start),
            FactKind::Resource { code: "gguf-deep-nesting".into(), detail: escape_bytes(key) },
        );
        return Err(Stop::malformed(start, "arrays nested too deep"));
    }
    impossible(n, if kind == 8 && r.v1 { 4 } else { 8 }, r, "array elements", cx)?;
    // Only the elements of templates are read; vocabularies are data.
    let template = is_template(key);
    cx.budget.steps(n)?;
    for _ in 0..n {
        if kind == 9 {
            array(r, key, blob, depth + 1, cx)?;
        } else {
            let (at, len) = r.string(cx)?;
            if template {
                text_value(key, &blob.sub(at..at + len), at, cx)?;
            }
        }
    }
    Ok(())
}

fn is_template(key: &[u8]) -> bool {
    memchr::memmem::find(key, b"template").is_some()
}

fn text_value(key: &[u8], value: &Blob, at: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MAX_TEMPLATE: usize = 4 << 20;
    const MAX_TEXT: usize = 64 << 10;
    let shown = escape_bytes(key);
    let bytes = value.head(if is_template(key) { MAX_TEMPLATE } else { MAX_TEXT })?;
    let text = String::from_utf8_lossy(&bytes);
    if is_template(key) {
        let verdict = if value.len() > bytes.len() as u64 {
            jinja::Template::Unproved(format!("template of {} bytes", value.len()))
        } else {
            jinja::analyse(&text)
        };
        cx.enter(key, |cx| cx.fact(Some(at), verdict.into_fact()));
        return Ok(());
    }
    secrets::record(&bytes, at, &shown, cx);
    if let Some((code, detail)) = directive::commands(&text) {
        cx.fact(Some(at), FactKind::Directive { code: code.into(), detail: format!("{shown}: {detail}") });
    }
    if let Some(what) = directive::encoded(&text) {
        cx.fact(
            Some(at),
            FactKind::Hidden { code: what.into(), detail: format!("base64 in the value of {shown}") },
        );
    }
    if let Some(what) = opaque::hidden(value, &bytes[..bytes.len().min(4096)]) {
        cx.fact(Some(at), FactKind::Hidden { code: what.into(), detail: format!("in the value of {shown}") });
        cx.member(key, value);
    }
    Ok(())
}

struct Tensor {
    name: String,
    offset: u64,
    size: u64,
}

fn tensor(r: &mut Reader, kv: &mut Kv, tensors: &mut Vec<Tensor>, cx: &mut Cx<'_>) -> Result<(), Stop> {
    // 64 in llama.cpp; programs that share the library raise it.
    const MAX_NAME: u64 = 128;
    const MAX_DIMS: u32 = 4;
    let start = r.at;
    let (at, len) = r.string(cx)?;
    if len > MAX_NAME {
        cx.structure(start, "gguf-long-tensor-name", format!("name of {len} bytes, readers take {MAX_NAME}"));
    }
    let name = r.window.view(at, len.min(256) as usize)?;
    let name = name[..name.len().min(len.min(256) as usize)].to_vec();
    let shown = escape_bytes(&name);
    if !kv.first(1, &name, cx)? && len <= 256 {
        cx.structure(start, "gguf-duplicate-tensor", shown.clone());
    }
    let dims = r.u32()?;
    if dims > MAX_DIMS {
        cx.structure(start, "gguf-too-many-dimensions", format!("{shown}: {dims} dimensions"));
        // No reader goes on from here; this one does as long as the table makes sense.
        if dims > 64 {
            return Err(Stop::malformed(start, "tensor with an impossible number of dimensions"));
        }
    }
    let mut elements = Some(1u64);
    let mut row = 1;
    for n in 0..dims {
        let d = r.count()?;
        if n == 0 {
            row = d;
        }
        elements = elements.and_then(|e| e.checked_mul(d)).filter(|_| i64::try_from(d).is_ok());
    }
    let kind = r.u32()?;
    let offset = r.u64()?;
    let Some(elements) = elements.filter(|e| i64::try_from(*e).is_ok()) else {
        let detail = format!("{shown}: the number of elements overflows");
        cx.fact(Some(start), FactKind::Resource { code: "tensor-size-overflow".into(), detail });
        return Ok(());
    };
    let Some((per_block, block_size)) = gguf_types::block(kind) else {
        cx.structure(start, "gguf-unknown-tensor-type", format!("{shown}: type {kind}"));
        return Ok(());
    };
    if row % per_block != 0 {
        cx.structure(
            start,
            "gguf-bad-row-length",
            format!("{shown}: rows of {row} in blocks of {per_block}"),
        );
    }
    let Some(size) = elements.div_ceil(per_block).checked_mul(block_size) else {
        let detail = format!("{shown}: the number of bytes overflows");
        cx.fact(Some(start), FactKind::Resource { code: "tensor-size-overflow".into(), detail });
        return Ok(());
    };
    kv.held += 64;
    tensors.push(Tensor { name: String::from_utf8_lossy(&name).into_owned(), offset, size });
    Ok(())
}

fn layout(
    blob: &Blob,
    table_end: u64,
    alignment: u64,
    mut tensors: Vec<Tensor>,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    let start = table_end.next_multiple_of(alignment);
    let noted = cx.sink.facts.len();
    let full = |cx: &Cx<'_>| cx.sink.facts.len() > noted + 50;
    tensors.sort_by_key(|t| t.offset);
    let data = blob.len().saturating_sub(start.min(blob.len()));
    let mut cursor = 0u64;
    for t in &tensors {
        let name = wb_verdict::escape(&t.name);
        let at = start.saturating_add(t.offset);
        if full(cx) {
            break;
        }
        if t.offset % alignment != 0 {
            cx.structure(
                at,
                "gguf-unaligned-tensor",
                format!("{name}: offset {} not aligned to {alignment}", t.offset),
            );
        }
        let end = t.offset.saturating_add(t.size);
        if end > data {
            let detail = format!("{name}: bytes {}..{end} of {data}", t.offset);
            cx.structure(at, "gguf-tensor-out-of-bounds", detail);
        }
        if t.offset < cursor && t.size > 0 {
            cx.structure(
                at,
                "gguf-tensor-overlap",
                format!("{name} begins at {}, before {cursor}", t.offset),
            );
        }
        if t.offset >= cursor.saturating_add(alignment) {
            let from = start.saturating_add(cursor).min(blob.len());
            let hole = blob.sub(from..at);
            if !all_zero(&hole)? {
                cx.structure(from, "gguf-hole", format!("{} bytes of no tensor", hole.len()));
                cx.member(format!("(bytes at {from:#x})").as_bytes(), &hole);
            }
        }
        cursor = cursor.max(end);
    }
    let end = start.saturating_add(cursor);
    if end < blob.len() {
        let rest = blob.sub(end..blob.len());
        if !all_zero(&rest)? {
            cx.structure(end, "gguf-trailing-bytes", format!("{} bytes after the last tensor", rest.len()));
            cx.member(b"(trailing)", &rest);
        }
    }
    let heads = tensors.iter().map(|t| {
        (&t.name[..], start.saturating_add(t.offset)..start.saturating_add(t.offset).saturating_add(t.size))
    });
    safetensors::heads(blob, heads, cx)
}
