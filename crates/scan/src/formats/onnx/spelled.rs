//! ONNX models in protobuf's text form and in its JSON form: turned into the binary form, and judged as that.

use super::super::prototext::{Kind, Parser, Schema, put_bytes, put_fixed, put_varint};
use super::super::{Claim, Coverage, Format, Probe};
use super::Onnx;
use super::names::Message;
use crate::analyses::{directive, lenient_json};
use crate::cx::{Cx, Stop};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::io::BufReader;
use wb_blob::{Blob, Window};
use wb_verdict::{GapReason, escape};

/// Models in protobuf's text form (`.textproto`, `.onnx.txt`).
pub struct OnnxText;

/// Models in protobuf's JSON form (`.onnx.json`).
pub struct OnnxJson;

/// Longer texts are not judged, in bytes. JSON is held as a tree.
const MAX_TEXT: u64 = 32 << 20;
const MAX_JSON: u64 = 6 << 20;

impl Format for OnnxText {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&super::COVERAGE)
    }

    fn id(&self) -> &'static str {
        "onnx-textproto"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.head.contains(&0) || !begins_as_model(&probe.blob, &probe.head) {
            return Claim::No;
        }
        // Other texts begin alike (`domain: x`): it takes nodes or tensors.
        let model = probe.blob.len() > MAX_TEXT || text(&probe.blob).is_ok_and(|t| t.counted > 0);
        if model { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        if blob.len() > MAX_TEXT {
            return Err(Stop::Unsupported("an ONNX model as text of this size".into()));
        }
        let read = text(blob)?;
        judge(self.id(), read.binary, &read.unknown, cx)?;
        read.broken.map_or(Ok(()), |at| Err(Stop::malformed(at, "text that is no model from here on")))
    }
}

impl Format for OnnxJson {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&super::COVERAGE)
    }

    fn id(&self) -> &'static str {
        "onnx-json"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        let start = probe.head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&probe.head).trim_ascii_start();
        // Blanks may fill all that the probe holds.
        let object = matches!(start.first(), Some(b'{') | None) && !probe.head.contains(&0);
        if object && may_be_json(&probe.blob) && Keys::of(&probe.blob).is_model() {
            Claim::Weak
        } else {
            Claim::No
        }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        if blob.len() > MAX_JSON {
            return Err(Stop::Unsupported("an ONNX model as JSON of this size".into()));
        }
        let bytes = blob.read_range(0..blob.len())?;
        let body = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        // Python's reader takes more than JSON: `NaN` and the like.
        let value = serde_json::from_slice::<Value>(body)
            .or_else(|_| {
                serde_json::from_slice(&lenient_json::strict(String::from_utf8_lossy(body).as_bytes()))
            })
            .map_err(|e| {
                cx.structure(0, "onnx-malformed", escape(&e.to_string()));
                Stop::malformed(0, format!("a model that is no JSON: {e}"))
            })?;
        let mut out = Out { counted: 0, unknown: Vec::new() };
        let mut binary = Vec::new();
        out.message(Message::Model, &value, &mut binary);
        if out.counted == 0 {
            // Some other JSON with such names in it: there is nothing to run or to open.
            cx.unname(self.id());
            return Ok(());
        }
        let unknown: Vec<(u64, String)> = out.unknown.into_iter().map(|name| (0, name)).collect();
        judge(self.id(), binary, &unknown, cx)
    }
}

/// Judges the binary form of a model.
pub(super) fn judge(
    id: &'static str,
    binary: Vec<u8>,
    unknown: &[(u64, String)],
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    cx.budget.memory(binary.len() as u64 * 2)?;
    cx.refine(id);
    for (at, name) in unknown.iter().take(50) {
        let detail = format!("a field {} that ONNX does not have", escape(name));
        cx.gap(GapReason::Unexplained, Some(*at), None, detail);
    }
    let blob = Blob::from_vec(binary);
    cx.enter(b"(as binary)", |cx| {
        if let Err(stop) = Onnx.scan(&blob, cx) {
            cx.stop(stop);
        }
    });
    Ok(())
}

struct Read {
    binary: Vec<u8>,
    counted: usize,
    unknown: Vec<(u64, String)>,
    broken: Option<u64>,
}

fn begins_as_model(blob: &Blob, head: &[u8]) -> bool {
    const LOOK: usize = 1 << 20;
    let first = |text: &[u8]| {
        let mut p = Parser::new(text);
        p.space();
        let name = p.word()?;
        p.space();
        let field = matches!(p.peek()?, b':' | b'{' | b'<') && Message::Model.field(&name).is_some();
        Some(field)
    };
    match first(head) {
        Some(is) => is,
        // Comments and blanks may fill the beginning.
        None => {
            blob.len() > head.len() as u64 && first(&blob.head(LOOK).unwrap_or_default()).unwrap_or(false)
        }
    }
}

fn text(blob: &Blob) -> Result<Read, Stop> {
    let bytes = blob.read_range(0..blob.len())?;
    let mut p = Parser::new(&bytes);
    let mut binary = Vec::new();
    let sound = p.fields(Message::Model, None, 0, &mut binary).is_some() && p.at >= bytes.len();
    let broken = (!sound).then_some(p.at as u64);
    Ok(Read { binary, counted: p.counted, unknown: p.unknown, broken })
}

/// A model names its graph and its operators; the names may be spelled with escapes.
fn may_be_json(blob: &Blob) -> bool {
    let names = [&b"\"graph\""[..], b"\"functions\"", b"\"trainingInfo\"", b"\"training_info\"", b"\\u00"];
    let mut window = Window::new(blob.clone(), Window::CHUNK);
    let mut at = 0;
    while at < blob.len().min(MAX_JSON * 4) {
        let Ok(v) = window.view(at, 32) else { return false };
        if v.is_empty() {
            return false;
        }
        if names.iter().any(|n| memchr::memmem::find(v, n).is_some()) {
            return true;
        }
        let step = (v.len() as u64).saturating_sub(16).max(1);
        at += if at + v.len() as u64 >= blob.len() { v.len() as u64 } else { step };
    }
    false
}

/// Which names of a model stand in a document, as keys and as a reader sees them.
#[derive(Debug, Clone, Copy, Default)]
struct Keys {
    outer: bool,
    inner: bool,
}

impl Keys {
    fn of(blob: &Blob) -> Self {
        let mut keys = Self::default();
        let skipped = if blob.head(3).is_ok_and(|h| h == b"\xef\xbb\xbf") { 3 } else { 0 };
        let body = blob.sub(skipped..blob.len());
        let mut json = serde_json::Deserializer::from_reader(BufReader::new(body.reader()));
        // What is no JSON for this reader may be for another: then the plain names decide.
        if Look(&mut keys).deserialize(&mut json).is_err() {
            keys = Self { outer: true, inner: plain_inner(blob) };
        }
        keys
    }

    fn is_model(self) -> bool {
        self.outer && self.inner
    }

    fn meet(&mut self, key: &str) {
        self.outer |= matches!(key, "graph" | "functions" | "trainingInfo" | "training_info");
        self.inner |=
            matches!(key, "opType" | "op_type" | "initializer" | "sparseInitializer" | "sparse_initializer");
    }
}

fn plain_inner(blob: &Blob) -> bool {
    let text = blob.head(MAX_JSON as usize).unwrap_or_default();
    [&b"\"opType\""[..], b"\"op_type\"", b"\"initializer\""]
        .iter()
        .any(|n| memchr::memmem::find(&text, n).is_some())
}

struct Look<'k>(&'k mut Keys);

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Look(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            self.0.meet(&key);
            map.next_value_seed(Look(self.0))?;
        }
        Ok(())
    }
}

struct Out {
    counted: usize,
    unknown: Vec<String>,
}

impl Out {
    fn message(&mut self, message: Message, value: &Value, out: &mut Vec<u8>) {
        // serde_json refuses documents nested deeper than 128 levels, so this recursion is bounded.
        let Some(map) = value.as_object() else { return };
        for (key, v) in map {
            let Some((number, kind)) = message.field(&snake(key)) else {
                if self.unknown.len() < 100 {
                    self.unknown.push(key.clone());
                }
                continue;
            };
            match v {
                Value::Null => {}
                Value::Array(items) => items.iter().for_each(|v| self.value(message, number, kind, v, out)),
                v => self.value(message, number, kind, v, out),
            }
        }
    }

    fn value(&mut self, message: Message, number: u32, kind: Kind<Message>, v: &Value, out: &mut Vec<u8>) {
        self.counted += usize::from(message.counts(number));
        let float = || match v {
            Value::String(s) => s.parse().unwrap_or(f64::NAN),
            v => v.as_f64().unwrap_or(f64::NAN),
        };
        match kind {
            Kind::Message(inner) => {
                let mut bytes = Vec::new();
                self.message(inner, v, &mut bytes);
                put_bytes(out, number, &bytes);
            }
            Kind::Text => put_bytes(out, number, v.as_str().unwrap_or_default().as_bytes()),
            Kind::Bytes => {
                let text = v.as_str().unwrap_or_default();
                let letters: Vec<u8> =
                    text.bytes().filter(|b| *b != b'=' && !b.is_ascii_whitespace()).collect();
                put_bytes(out, number, &directive::base64_bytes(&letters));
            }
            Kind::Number => {
                put_varint(out, u64::from(number) << 3);
                put_varint(out, integer(v));
            }
            Kind::Float => put_fixed(out, number, &(float() as f32).to_le_bytes()),
            Kind::Double => put_fixed(out, number, &float().to_le_bytes()),
            Kind::Skip => {}
        }
    }
}

/// A whole number, which JSON may hold as text, or the name of one.
fn integer(v: &Value) -> u64 {
    match v {
        Value::Bool(b) => u64::from(*b),
        Value::String(s) => {
            s.parse::<i64>().map(|n| n as u64).ok().or_else(|| Message::number(s)).unwrap_or_default()
        }
        v => v
            .as_u64()
            .or_else(|| v.as_i64().map(|n| n as u64))
            .or_else(|| v.as_f64().map(|f| f as i64 as u64))
            .unwrap_or_default(),
    }
}

/// `opType` is another way to write `op_type`.
fn snake(key: &str) -> String {
    key.chars().fold(String::with_capacity(key.len() + 4), |mut out, c| {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "ir_version: 8 graph { node { output: 'y' op_type: 'PyOp' attribute { name: 'f' f: 1.5 type: FLOAT } } \
        initializer { dims: 2 data_type: 1 float_data: [1, -2e0] external_data { key: 'location' value: '../x' } } }";

    #[test]
    fn text_and_json_give_the_same_model() {
        let read = text(&Blob::from_vec(MODEL.as_bytes().to_vec())).unwrap();
        assert_eq!((read.counted, read.broken), (2, None));
        let json = serde_json::json!({"irVersion": "8", "graph": {"node": [{"output": ["y"], "opType": "PyOp",
            "attribute": [{"name": "f", "f": 1.5, "type": "FLOAT"}]}],
            "initializer": [{"dims": ["2"], "dataType": 1, "floatData": [1, -2.0],
                "externalData": [{"key": "location", "value": "../x"}]}]}});
        let mut out = Out { counted: 0, unknown: Vec::new() };
        let mut binary = Vec::new();
        out.message(Message::Model, &json, &mut binary);
        assert_eq!(out.counted, 2);
        // The order of fields differs (maps are sorted), so that only the sizes are compared.
        assert_eq!(binary.len(), read.binary.len());
        assert!(out.unknown.is_empty() && read.unknown.is_empty());
    }

    #[test]
    fn bytes_are_base64_in_json_only() {
        let mut binary = Vec::new();
        let json = serde_json::json!({"rawData": "AAD/"});
        Out { counted: 0, unknown: Vec::new() }.message(Message::Tensor, &json, &mut binary);
        assert_eq!(binary, b"\x4a\x03\0\0\xff");
    }
}
