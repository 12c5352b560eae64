//! `tokenizer.json` of Hugging Face's tokenizers: a pipeline of named parts and a vocabulary. Its reader, in Rust, runs no code;
//! what can hurt are expressions and sizes. The vocabulary is passed over, so that its size does not matter.
//!
//! `tokenizers/src/tokenizer/serialization.rs` and the wrappers of tokenizers 0.22.

use super::{Claim, Coverage, Format, Probe};
use crate::analyses::{directive, double_array, regex_cost};
use crate::cx::{Cx, Stop};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::io::BufReader;
use wb_blob::Blob;
use wb_verdict::{FactKind, escape};

/// Tokenizers.
pub struct TokenizerJson;

/// Parts by the key that holds them.
const PARTS: &[(&str, &[&str])] = &[
    ("model", &["BPE", "WordPiece", "WordLevel", "Unigram"]),
    (
        "normalizer",
        &[
            "BertNormalizer",
            "Strip",
            "StripAccents",
            "NFC",
            "NFD",
            "NFKC",
            "NFKD",
            "Sequence",
            "Lowercase",
            "Nmt",
            "Precompiled",
            "Replace",
            "Prepend",
            "ByteLevel",
        ],
    ),
    (
        "pre_tokenizer",
        &[
            "BertPreTokenizer",
            "ByteLevel",
            "CharDelimiterSplit",
            "Delimiter",
            "Metaspace",
            "Whitespace",
            "Sequence",
            "Split",
            "Punctuation",
            "WhitespaceSplit",
            "Digits",
            "UnicodeScripts",
            "FixedLength",
        ],
    ),
    (
        "post_processor",
        &["RobertaProcessing", "BertProcessing", "ByteLevel", "TemplateProcessing", "Sequence"],
    ),
    (
        "decoder",
        &[
            "BPEDecoder",
            "ByteLevel",
            "WordPiece",
            "Metaspace",
            "CTC",
            "Sequence",
            "Replace",
            "Fuse",
            "Strip",
            "ByteFallback",
        ],
    ),
];

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "tokenizer.json",
    ids: &[],
    loaders: "tokenizers, transformers",
    judged: "parts by their types, expressions that repeat without end",
    blind: "merges and scores",
    corpus: &["tokenizer"],
};

impl Format for TokenizerJson {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "tokenizer-json"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        // It is text besides.
        if is_tokenizer(&probe.head, &probe.tail) { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let skipped = if blob.head(3)? == b"\xef\xbb\xbf" { 3 } else { 0 };
        let body = blob.sub(skipped..blob.len());
        let mut json = serde_json::Deserializer::from_reader(BufReader::new(body.reader()));
        match Tokenizer::deserialize(&mut json) {
            Ok(t) => t.judge(cx),
            // What is no sound JSON is told by the reading as text.
            Err(e) => cx.explain(0, || format!("no tokenizer: {e}")),
        }
        Ok(())
    }
}

fn is_tokenizer(head: &[u8], tail: &[u8]) -> bool {
    let has = |part: &[u8], key: &str| memchr::memmem::find(part, key.as_bytes()).is_some();
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let keys = [
        "\"added_tokens\"",
        "\"truncation\"",
        "\"padding\"",
        "\"normalizer\"",
        "\"pre_tokenizer\"",
        "\"post_processor\"",
    ];
    start.starts_with(b"{") && keys.iter().filter(|k| has(head, k) || has(tail, k)).count() >= 2
}

/// The document without vocabulary and merges. A key given twice is kept twice.
struct Tokenizer {
    parts: Vec<(String, Value)>,
}

impl<'de> Deserialize<'de> for Tokenizer {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Top;
        impl<'de> Visitor<'de> for Top {
            type Value = Tokenizer;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a tokenizer")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tokenizer, A::Error> {
                let mut parts = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        // Tokens that are added are a vocabulary as well.
                        "added_tokens" => drop(map.next_value::<IgnoredAny>()?),
                        "model" => parts.push((key, map.next_value::<Model>()?.0)),
                        _ if parts.len() < 64 => parts.push((key, map.next_value::<Value>()?)),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Tokenizer { parts })
            }
        }
        d.deserialize_map(Top)
    }
}

struct Model(Value);

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Model;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a model")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Model, A::Error> {
                let mut kept = serde_json::Map::new();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "vocab" | "merges" => drop(map.next_value::<IgnoredAny>()?),
                        _ => drop(kept.insert(key, map.next_value()?)),
                    }
                }
                Ok(Model(Value::Object(kept)))
            }
        }
        d.deserialize_map(Keys)
    }
}

impl Tokenizer {
    fn judge(&self, cx: &mut Cx<'_>) {
        for (key, value) in &self.parts {
            if let Some((_, known)) = PARTS.iter().find(|(k, _)| k == key) {
                part(key, known, value, 0, cx);
            }
            if matches!(key.as_str(), "padding" | "truncation") {
                sizes(key, value, cx);
            }
        }
    }
}

/// One part, and those that a sequence is made of.
fn part(key: &str, known: &[&str], v: &Value, depth: u32, cx: &mut Cx<'_>) {
    const DEEPEST: u32 = 32;
    let Value::Object(map) = v else { return };
    if let Some(Value::String(kind)) = map.get("type")
        && !known.contains(&kind.as_str())
    {
        let detail = format!("{key}: {}", escape(&kind.chars().take(100).collect::<String>()));
        cx.fact(None, FactKind::Directive { code: "tokenizer-part".into(), detail });
    }
    // Expressions stand alone, or as the pattern of a part.
    for v in map.get("Regex").into_iter().chain(map.get("pattern").and_then(|p| p.get("Regex"))) {
        if let Some(found) = v.as_str().and_then(regex_cost::endless) {
            let detail = format!("{key}: {}", escape(&found));
            cx.fact(None, FactKind::Resource { code: "tokenizer-expression".into(), detail });
        }
    }
    if let Some(Value::String(rules)) = map.get("precompiled_charsmap")
        && !rules.is_empty()
    {
        let wrong = match directive::from_base64(rules) {
            Some(bytes) => double_array::rules(&bytes),
            None => Some("rules that are no base64".into()),
        };
        if let Some(what) = wrong {
            cx.fact(None, FactKind::Structure { code: "tokenizer-rules".into(), detail: what });
        }
    }
    if depth < DEEPEST {
        for inner in ["normalizers", "pretokenizers", "decoders", "processors"] {
            for v in map.get(inner).and_then(Value::as_array).into_iter().flatten() {
                part(key, known, v, depth + 1, cx);
            }
        }
    }
}

/// Every text is filled up to these.
fn sizes(key: &str, v: &Value, cx: &mut Cx<'_>) {
    /// Longer than any context: gigabytes for one text.
    const MOST: u64 = 100_000_000;
    let fixed = if key == "padding" {
        [v.pointer("/strategy/Fixed"), v.get("pad_to_multiple_of")]
    } else {
        // A great length cuts nothing off; the stride is only taken from it.
        [None, None]
    };
    for n in fixed.into_iter().flatten() {
        if n.as_u64().is_some_and(|n| n > MOST) || n.as_f64().is_some_and(|n| n > MOST as f64) {
            let detail = format!("{key}: {n}");
            cx.fact(None, FactKind::Resource { code: "tokenizer-padding-size".into(), detail });
        }
    }
}
