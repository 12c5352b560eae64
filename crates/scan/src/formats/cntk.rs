//! CNTK's models. Version 2 is a dictionary in protobuf (`CNTK.proto` of CNTK 2.7) whose functions are told by keys
//! (`Serialization.h`): a function of type `UserDefinedFunction` makes the loader load a native library, or import a Python
//! module, that the model names (`UserDefinedFunction.cpp`). Version 1 is a binary of its own, in UTF-16.

use super::protobuf::{Field, LEN, Span, VARINT, Wire};
use super::{Claim, Coverage, Format, Probe, compiled, leftover};
use crate::cx::{Cx, Stop};
use std::collections::BTreeMap;
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, escape};

/// `.model`, `.dnn`, `.cmf` files.
pub struct Cntk;

/// The marker that begins a network of version 1, in UTF-16.
const V1: &[u8] = b"B\0C\0N\0\0\0";
/// Dictionaries in dictionaries; parsers go this deep.
const DEEPEST: u32 = 100;
/// Texts longer than this are cut (bytes).
const TEXT: usize = 4096;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "CNTK",
    ids: &[],
    loaders: "cntk",
    judged: "dictionaries, user functions, libraries",
    blind: "networks of CNTK 1 stay `unsupported`",
    corpus: &["cntk"],
};

impl Format for Cntk {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "cntk"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        let known = probe.head.starts_with(V1) || is_dictionary(&probe.blob, &probe.head);
        if known { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        if blob.head(V1.len())? == V1 {
            return version1(blob, cx);
        }
        let mut model = Model { wire: Wire::new(blob), cx, told: 0 };
        let span = model.wire.all();
        model.dictionary(span, 0, true).map(drop).inspect_err(|stop| {
            if let Stop::Malformed { at, what } = stop {
                model.cx.structure(*at, "cntk-malformed", what.clone());
            }
        })
    }
}

/// Is one of the entries of the outermost dictionary one that a function, a variable or a trainer has?
fn is_dictionary(blob: &Blob, head: &[u8]) -> bool {
    const MOST: u32 = 1_000_000;
    const KEYS: &[&[u8]] = &[
        b"type",
        b"user_defined_state",
        b"primitive_functions",
        b"block_function_composite",
        b"deserialize_method",
        b"internal_worker_state",
    ];
    // Cheap for nearly everything else.
    if !matches!(head.first(), Some(b) if matches!(b & 7, 0..=3 | 5) && b >> 3 != 0) {
        return false;
    }
    let mut wire = Wire::new(blob);
    let mut span = wire.all();
    for _ in 0..MOST {
        let Ok(Some(f)) = wire.field(&mut span) else { return false };
        if (f.number, f.wire) != (2, LEN) {
            continue;
        }
        // Parsers skip what they do not know.
        const PARTS: u32 = 1000;
        let (mut entry, mut key, mut value) = (f.span(), false, false);
        for _ in 0..PARTS {
            match wire.field(&mut entry) {
                Ok(Some(f)) => match (f.number, f.wire) {
                    (1, LEN) => key = wire.bytes(&f, 64).is_ok_and(|k| KEYS.contains(&&k[..])),
                    (2, LEN) => value = true,
                    _ => {}
                },
                Ok(None) | Err(_) => break,
            }
        }
        if key && value {
            return true;
        }
    }
    false
}

/// Keys whose values decide something.
const KEPT: &[&str] = &["type", "module", "deserialize_method", "class", "op", "native"];

/// What is kept of a dictionary.
#[derive(Default)]
struct Dictionary {
    texts: BTreeMap<String, String>,
    numbers: BTreeMap<String, u64>,
    /// The dictionary under `user_defined_state`.
    state: Option<Box<Dictionary>>,
    at: u64,
}

enum Value {
    Text(String),
    Number(u64),
    Dictionary(Dictionary),
    Other,
}

struct Model<'m, 'c> {
    wire: Wire,
    cx: &'m mut Cx<'c>,
    told: u32,
}

impl Model<'_, '_> {
    fn dictionary(&mut self, mut span: Span, depth: u32, outermost: bool) -> Result<Dictionary, Stop> {
        if depth > DEEPEST {
            return Err(Stop::malformed(span.at, "dictionaries nested deeper than parsers go"));
        }
        self.cx.budget.entries(1)?;
        let mut d = Dictionary { at: span.at, ..Dictionary::default() };
        loop {
            let at = span.at;
            let f = match self.wire.next(&mut span, self.cx) {
                Ok(Some(f)) => f,
                Ok(None) => break,
                Err(Stop::Malformed { what, .. }) if outermost && at > 0 => {
                    let blob = self.wire.blob().clone();
                    leftover::record(&blob, at, "cntk-trailing-bytes", &what, self.cx)?;
                    break;
                }
                Err(stop) => return Err(stop),
            };
            match (f.number, f.wire) {
                (1, VARINT) => {}
                (2, LEN) => {
                    let (key, value) = self.entry(f.span(), depth)?;
                    match value {
                        Value::Dictionary(inner) if key == "user_defined_state" => {
                            d.state = Some(Box::new(inner));
                        }
                        Value::Text(text) if KEPT.contains(&&key[..]) => {
                            let again = d.texts.insert(key.clone(), text).is_some();
                            if again {
                                self.cx.structure(f.at, "cntk-duplicate-key", escape(&key));
                            }
                        }
                        Value::Number(n) if KEPT.contains(&&key[..]) => {
                            d.numbers.insert(key, n);
                        }
                        _ => {}
                    }
                }
                _ => self.unknown(&f, "Dictionary")?,
            }
        }
        self.judge(&d);
        Ok(d)
    }

    /// A key and its value.
    fn entry(&mut self, mut span: Span, depth: u32) -> Result<(String, Value), Stop> {
        let (mut key, mut value) = (String::new(), Value::Other);
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            match (f.number, f.wire) {
                (1, LEN) => key = self.wire.text(&f, TEXT)?,
                (2, LEN) => {
                    let given = self.value(f.span(), depth)?;
                    if !matches!(given, Value::Other) {
                        value = given;
                    }
                }
                _ => self.unknown(&f, "DataEntry")?,
            }
        }
        Ok((key, value))
    }

    fn value(&mut self, mut span: Span, depth: u32) -> Result<Value, Stop> {
        self.cx.budget.entries(1)?;
        if depth > DEEPEST {
            return Err(Stop::malformed(span.at, "values nested deeper than parsers go"));
        }
        let mut value = Value::Other;
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            match (f.number, f.wire) {
                (1 | 2, VARINT) => {}
                (3..=5, VARINT) => value = Value::Number(f.value),
                (6, super::protobuf::I32) | (7, super::protobuf::I64) => {}
                (8, LEN) => value = Value::Text(self.wire.text(&f, TEXT)?),
                (9 | 10, LEN) => {}
                (11, LEN) => self.vector(f.span(), depth + 1)?,
                (12, LEN) => value = Value::Dictionary(self.dictionary(f.span(), depth + 1, false)?),
                (13, LEN) => self.array(f.span())?,
                _ => {
                    self.unknown(&f, "DictionaryValue")?;
                    // Writers of other versions may have numbered the kinds otherwise: what it can be read as is judged.
                    if f.wire == LEN {
                        value = self.guess(&f, depth)?;
                    }
                }
            }
        }
        Ok(value)
    }

    /// A value of a kind that is not known: a dictionary, else a text.
    fn guess(&mut self, f: &Field, depth: u32) -> Result<Value, Stop> {
        let (mut span, mut sound) = (f.span(), f.len > 0);
        while sound {
            match self.wire.field(&mut span) {
                Ok(Some(inner)) => sound = matches!((inner.number, inner.wire), (1, VARINT) | (2, LEN)),
                Ok(None) => break,
                Err(_) => sound = false,
            }
        }
        if sound {
            match self.dictionary(f.span(), depth + 1, false) {
                Ok(d) => return Ok(Value::Dictionary(d)),
                Err(Stop::Malformed { .. }) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(Value::Text(self.wire.text(f, TEXT)?))
    }

    fn vector(&mut self, mut span: Span, depth: u32) -> Result<(), Stop> {
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            match (f.number, f.wire) {
                (1, LEN) => {
                    self.value(f.span(), depth)?;
                }
                _ => self.unknown(&f, "Vector")?,
            }
        }
        Ok(())
    }

    /// Numbers of a parameter: shape and values.
    fn array(&mut self, mut span: Span) -> Result<(), Stop> {
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            match (f.number, f.wire) {
                (1 | 2, VARINT) | (3, LEN) => {}
                (4..=7, LEN) => self.wire.opaque(&f, "an array", self.cx)?,
                _ => self.unknown(&f, "NDArrayView")?,
            }
        }
        Ok(())
    }

    fn unknown(&mut self, f: &Field, message: &str) -> Result<(), Stop> {
        self.told += 1;
        if self.told <= 50 {
            let detail = format!("field {} (wire type {}) of {message}", f.number, f.wire);
            self.cx.structure(f.tag, "cntk-unknown-field", detail);
        }
        self.wire.unknown(f, message, self.cx)
    }

    /// What the loader does with this dictionary.
    fn judge(&mut self, d: &Dictionary) {
        let text = |d: &Dictionary, key: &str| d.texts.get(key).cloned();
        let kind = text(d, "type").unwrap_or_default();
        let state = d.state.as_deref();
        if kind == "UserDefinedFunction" || state.is_some() {
            let native = d.numbers.get("native").is_some_and(|n| *n != 0);
            // A native one is told where its state is read.
            let named = state.is_some_and(names_code);
            if !named {
                let code = if native { "cntk-native" } else { "cntk-python" };
                self.function(d.at, code, "a user's function", "its state names no module");
            }
        }
        if names_code(d) {
            let module = text(d, "module").unwrap_or_default();
            let method = text(d, "deserialize_method");
            let native = kind == "NativeUserDefinedFunction" || method.is_some();
            let class = text(d, "class").or_else(|| text(d, "op")).unwrap_or_default();
            if native {
                let detail = format!("method {}", escape(&method.unwrap_or_default()));
                self.function(d.at, "cntk-native", &module, &detail);
            } else {
                self.function(
                    d.at,
                    "cntk-python",
                    &format!("{module}.{class}"),
                    "imported when the model is loaded",
                );
            }
        }
        if kind == "PrimitiveFunction"
            && let Some(op) = d.numbers.get("op")
        {
            self.operator(d.at, *op);
        }
        const TYPES: &[&str] = &[
            "",
            "CompositeFunction",
            "PrimitiveFunction",
            "Variable",
            "Learner",
            "LearnerBase",
            "Trainer",
            "TrainingParameterSchedule",
            "ProgressWriter",
            "MinibatchSource",
            "Evaluator",
            "NativeUserDefinedFunction",
            "UserDefinedFunction",
        ];
        if !TYPES.contains(&&kind[..]) && !kind.ends_with("Learner") {
            let (code, op) = ("cntk-unknown-operator".into(), escape(&kind));
            self.cx.fact(
                Some(d.at),
                FactKind::Operator { code, op, detail: "a dictionary of this type".into() },
            );
        }
    }

    fn function(&mut self, at: u64, code: &str, op: &str, detail: &str) {
        let op = escape(&op.chars().take(300).collect::<String>());
        self.cx.fact(Some(at), FactKind::Operator { code: code.into(), op, detail: detail.into() });
    }

    /// Operators by number (`PrimitiveOpType.h`): up to 97 those of CNTK 2.7, from 197 on those of its face recognition.
    fn operator(&mut self, at: u64, op: u64) {
        let (code, name) = match op {
            // Names files of symbols, phones, states and transitions.
            90 => ("cntk-file", "LatticeSequenceWithSoftmax".to_string()),
            93 => ("cntk-custom", "CustomProxyOp".to_string()),
            0..=97 | 197..=208 => return,
            n => ("cntk-unknown-operator", format!("operator {n}")),
        };
        let detail = "a primitive function".to_string();
        self.cx.fact(Some(at), FactKind::Operator { code: code.into(), op: name, detail });
    }
}

/// Does it name a module to load?
fn names_code(d: &Dictionary) -> bool {
    ["module", "deserialize_method"].iter().any(|k| d.texts.contains_key(*k))
}

/// The binary of version 1: its nodes are of types built into CNTK, but only the reader of each type knows how long its
/// part is. What can be told are names, which are UTF-16.
fn version1(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MAX: usize = 16 << 20;
    let mut window = Window::new(blob.clone(), Window::CHUNK);
    let mut narrow = Vec::new();
    // Flags of one byte stand between the parts: texts begin at odd places too.
    for start in [0, 1] {
        let mut at = start;
        while at < blob.len() && narrow.len() < MAX {
            let v = window.view(at, 2)?;
            let len = v.len() & !1;
            if len == 0 {
                break;
            }
            for pair in v[..len].chunks_exact(2) {
                match pair {
                    [c, 0] if (0x20..0x7f).contains(c) => narrow.push(*c),
                    _ if narrow.last().is_some_and(|b| *b != 0) => narrow.push(0),
                    _ => {}
                }
            }
            at += len as u64;
        }
        narrow.push(0);
    }
    compiled::look(&Blob::from_vec(narrow), "cntk", cx, &mut |_, _, _| {})?;
    let detail = "a network of version 1 is not judged";
    compiled::judge(blob, "cntk", detail, cx, &mut |_, _, _| {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries_are_told_by_their_keys() {
        let is = |bytes: &[u8]| is_dictionary(&Blob::from_vec(bytes.to_vec()), bytes);
        assert!(is(b"\x08\x01\x12\x0a\x0a\x04type\x12\x02\x10\x01"));
        assert!(is(b"\x12\x08\x0a\x04name\x12\x00\x12\x0a\x0a\x04type\x12\x02\x10\x01"), "a later entry");
        assert!(!is(b"\x08\x01\x12\x0a\x0a\x04tyqe\x12\x02\x10\x01"));
        assert!(!is(b"\x08\x01\x12\x04abcd"));
    }
}
