//! OpenVINO's intermediate representation: a graph of layers in XML beside a file of weights.
//!
//! The XML is judged: layers by the exact list of types that OpenVINO runs (others need a library), places of constants
//! by arithmetic, and what an XML parser would resolve. The `.bin` beside it is weights and nothing else.
//!
//! Layout: <https://docs.openvino.ai/latest/documentation/openvino-ir-format/operation-sets.html>.

use super::xml::{self, Token, Xml};
use super::{Claim, Coverage, Format, Probe};
use crate::analyses::paths;
use crate::cx::{Cx, Stop};
use std::collections::HashSet;
use std::sync::OnceLock;
use wb_blob::Blob;
use wb_verdict::{FactKind, escape};

/// OpenVINO models.
pub struct OpenVino;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "OpenVINO",
    ids: &[],
    loaders: "OpenVINO",
    judged: "layers by the exact list, places of constants, what an XML parser resolves",
    blind: "the `.bin` beside it is data",
    corpus: &["openvino"],
};

impl Format for OpenVino {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "openvino"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        // It is text besides.
        if is_net(&probe.head) { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        read(blob, cx).inspect_err(|stop| {
            if let Stop::Malformed { at, what } = stop {
                cx.structure(*at, "openvino-malformed", what.clone());
            }
        })
    }
}

/// Is this a network? `net` alone is too common a name: layers must follow.
pub(super) fn is_net(head: &[u8]) -> bool {
    let has = |needle: &str| {
        let wide: Vec<u8> = needle.bytes().flat_map(|b| [b, 0]).collect();
        memchr::memmem::find(head, needle.as_bytes()).is_some()
            || memchr::memmem::find(head, &wide).is_some()
            || memchr::memmem::find(head, &[&[0], &wide[..wide.len() - 1]].concat()).is_some()
    };
    xml::root_is(head, "net") && (has("<layer") || has("version") || has("ENTITY"))
}

fn known(kind: &str) -> bool {
    static TYPES: OnceLock<HashSet<String>> = OnceLock::new();
    let types = TYPES.get_or_init(|| {
        let lines = include_str!("types.txt").lines().filter(|l| !l.starts_with('#'));
        lines.map(str::to_ascii_lowercase).collect()
    });
    // OpenVINO compares without case.
    types.contains(&kind.to_ascii_lowercase())
}

/// Bits of an element; `None` for texts.
fn bits(kind: &str) -> Option<u64> {
    Some(match kind.to_ascii_lowercase().as_str() {
        "u1" => 1,
        "u2" => 2,
        "u3" => 3,
        "u4" | "i4" | "nf4" | "f4e2m1" => 4,
        "u6" => 6,
        "boolean" | "u8" | "i8" | "f8e4m3" | "f8e5m2" | "f8e8m0" => 8,
        "f16" | "bf16" | "u16" | "i16" => 16,
        "f32" | "u32" | "i32" => 32,
        "f64" | "u64" | "i64" => 64,
        _ => return None,
    })
}

fn get<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
    attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

fn read(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut document = Xml::new(blob, cx)?;
    let mut layer = (String::new(), String::new());
    let mut told = HashSet::new();
    let mut read_to = 0;
    while let Some((at, token)) = document.next(cx)? {
        match token {
            Token::Open { name, attributes } => {
                twice(at, &name, &attributes, cx);
                match xml::local(&name) {
                    "layer" => {
                        cx.budget.entries(1)?;
                        layer = (
                            get(&attributes, "name").unwrap_or("").to_string(),
                            get(&attributes, "type").unwrap_or("").to_string(),
                        );
                        if !known(&layer.1) && told.len() < 10_000 && told.insert(layer.1.clone()) {
                            let detail = format!("layer {}", escape(&layer.0));
                            let op = escape(&layer.1);
                            let code = "openvino-custom".to_string();
                            cx.fact(Some(at), FactKind::Operator { code, op, detail });
                        }
                    }
                    // `blobs` of older versions hold `weights` and `biases`.
                    "data" | "weights" | "biases" | "custom" => {
                        read_to = read_to.max(place(at, &layer.0, &attributes, cx).unwrap_or(0));
                    }
                    _ => {}
                }
                for (key, value) in &attributes {
                    let shown = format!("{} {}", escape(&name), escape(key));
                    xml::commands(at, &shown, value, cx);
                    if key.to_ascii_lowercase().ends_with("path") || key.eq_ignore_ascii_case("library") {
                        path(at, &shown, value, cx);
                    }
                }
            }
            Token::Text(text) => xml::commands(at, "text", &text, cx),
            Token::Close => {}
        }
    }
    if read_to > 0 {
        let (code, nothing) = ("openvino-weights".to_string(), String::new());
        cx.fact(None, FactKind::Opens { code, repo: nothing.clone(), path: nothing, length: read_to });
    }
    Ok(())
}

/// Attributes given twice: parsers refuse the document or take one of the two.
fn twice(at: u64, name: &str, attributes: &[(String, String)], cx: &mut Cx<'_>) {
    let double =
        attributes.iter().enumerate().find(|(n, (k, _))| attributes[..*n].iter().any(|(o, _)| o == k));
    if let Some((_, (key, _))) = double {
        cx.structure(at, "openvino-attribute-twice", format!("{} of {}", escape(key), escape(name)));
    }
}

/// Where a constant lies in the file of weights; returns its end.
fn place(at: u64, layer: &str, attributes: &[(String, String)], cx: &mut Cx<'_>) -> Option<u64> {
    /// No file of weights is this long (bytes).
    const LONGEST: u64 = 1 << 40;
    let (offset, size) = get(attributes, "offset").zip(get(attributes, "size"))?;
    let shown = format!("layer {}: offset {}, size {}", escape(layer), escape(offset), escape(size));
    let end = offset.trim().parse::<u64>().ok().zip(size.trim().parse::<u64>().ok());
    let Some((offset, size)) = end.filter(|(o, s)| o.checked_add(*s).is_some_and(|e| e <= LONGEST)) else {
        cx.fact(Some(at), FactKind::Resource { code: "openvino-offset-overflow".into(), detail: shown });
        return None;
    };
    let end = offset + size;
    let shape = get(attributes, "shape").unwrap_or("");
    let dims: Option<Vec<u64>> =
        shape.split(',').map(str::trim).filter(|d| !d.is_empty()).map(|d| d.parse().ok()).collect();
    let Some((bits, dims)) = get(attributes, "element_type").and_then(bits).zip(dims) else {
        return Some(end);
    };
    let needed = dims.iter().try_fold(bits, |n, d| n.checked_mul(*d)).map(|n| n.div_ceil(8));
    if needed.is_none_or(|n| n > size) {
        let detail = format!("{shown}; shape {} needs {needed:?} bytes", escape(shape));
        cx.structure(at, "openvino-constant-size", detail);
    }
    Some(end)
}

/// A path that a layer names.
fn path(at: u64, place: &str, value: &str, cx: &mut Cx<'_>) {
    if let Some(code) = paths::escape_of(value.as_bytes()) {
        let detail = format!("{place}: {}", escape(value));
        cx.fact(Some(at), FactKind::UnsafePath { code: code.into(), detail });
    }
}
