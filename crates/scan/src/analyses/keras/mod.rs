//! Configuration of Keras models, wherever it stands: `config.json` of a `.keras` archive, attributes of an HDF5 file,
//! metadata of a SavedModel, a topology of TensorFlow.js, a bare file.
//!
//! Loaders walk the JSON and make an object of everything that has `class_name` and `config`: at any depth, connected
//! or not. So does this analysis. An object is harmless if Keras resolves its name to one of its own classes that
//! rebuild from plain values; what imports a module, rebuilds code or reads another file is told.
//!
//! Sources: `keras/src/saving/serialization_lib.py` of Keras 3.0 to 3.15, `keras/utils/generic_utils.py` of Keras 2,
//! `keras/layers/core.py` of Keras 1.2.

pub(crate) mod code;
pub(crate) mod json;
mod names;
mod paths;
mod walk;

use crate::cx::Cx;
use json::{Fail, Json};
use wb_verdict::{FactKind, GapReason};

/// Configurations up to this size are held as a tree.
pub(crate) const MAX: usize = 16 << 20;

/// What is known of a text before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// A loader of Keras reads this text as a configuration (an attribute `model_config`, `config.json` of an archive).
    Config,
    /// Any JSON: it is a configuration if it looks like one.
    Any,
}

/// Could this text matter? Cheap; true for whatever may spell `class_name`.
pub(crate) fn may_be(text: &[u8]) -> bool {
    let has = |needle: &[u8]| memchr::memmem::find(text, needle).is_some();
    has(b"class_name") || spells_letters(text)
}

/// Letters written as escapes: no encoder does that, and a key can hide behind it.
pub(crate) fn spells_letters(text: &[u8]) -> bool {
    memchr::memmem::find_iter(text, b"\\u00").any(|at| {
        let digits = text.get(at + 4..at + 6).and_then(|d| std::str::from_utf8(d).ok());
        digits
            .and_then(|d| u8::from_str_radix(d, 16).ok())
            .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

/// Judges a JSON text. True if it is a configuration of Keras.
///
/// Facts are recorded at the place of `cx`; a text that is expected to be a configuration and cannot be read is a gap.
pub(crate) fn config(text: &[u8], expect: Expect, cx: &mut Cx<'_>) -> bool {
    if text.len() > MAX {
        if expect == Expect::Config || may_be(text) {
            let detail = format!("a configuration of {} bytes", text.len());
            cx.gap(GapReason::Limit("memory-limit".into()), Some(0), Some(text.len() as u64), detail);
        }
        return expect == Expect::Config;
    }
    let decoded = decode(text);
    let (documents, fail) = json::documents(&decoded);
    match fail {
        Some(Fail::Deep) => {
            let detail = "JSON nested deeper than readers go".to_string();
            cx.fact(Some(0), FactKind::Resource { code: "json-too-deep".into(), detail });
        }
        Some(Fail::Large) => {
            cx.gap(GapReason::Limit("memory-limit".into()), Some(0), None, "JSON of too many values");
        }
        Some(Fail::Syntax(at)) if expect == Expect::Config => {
            cx.gap(GapReason::Malformed, Some(at as u64), None, "the configuration is no JSON from here on");
        }
        _ => {}
    }
    let mut any = expect == Expect::Config;
    for document in &documents {
        let certain = expect == Expect::Config || is_config(document, 0);
        any |= certain;
        walk::walk(document, certain, cx);
    }
    any
}

/// Python's `json` takes bytes in UTF-8, UTF-16 and UTF-32 and tells them by their zeros (`json.detect_encoding`).
pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    let units = |width: usize, big: bool, skip: usize| -> Vec<u8> {
        let mut out = String::new();
        let mut high = None;
        for chunk in text.get(skip..).unwrap_or_default().chunks_exact(width) {
            let value = chunk.iter().enumerate().fold(0u32, |n, (i, b)| {
                let shift = if big { width - 1 - i } else { i } * 8;
                n | u32::from(*b) << shift
            });
            match (width, value, high.take()) {
                (2, 0xd800..0xdc00, _) => high = Some(value),
                (2, 0xdc00..0xe000, Some(first)) => {
                    let code = 0x10000 + ((first - 0xd800) << 10) + (value - 0xdc00);
                    out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                }
                _ => out.push(char::from_u32(value).unwrap_or('\u{fffd}')),
            }
        }
        out.into_bytes()
    };
    match text {
        [0xff, 0xfe, 0, 0, ..] => units(4, false, 4),
        [0, 0, 0xfe, 0xff, ..] => units(4, true, 4),
        [0xff, 0xfe, ..] => units(2, false, 2),
        [0xfe, 0xff, ..] => units(2, true, 2),
        [0, 0, 0, b, ..] if *b != 0 => units(4, true, 0),
        [b, 0, 0, 0, ..] if *b != 0 => units(4, false, 0),
        [0, b, 0, ..] if *b != 0 => units(2, true, 0),
        [b, 0, c, 0, ..] if *b != 0 && *c != 0 => units(2, false, 0),
        _ => text.to_vec(),
    }
}

/// A model that Keras 1 or 2 wrote as YAML (`model.to_yaml()`).
pub(crate) fn yaml(text: &str) -> bool {
    let key = |name: &str| {
        text.lines()
            .any(|l| l.trim_start_matches([' ', '-']).strip_prefix(name).is_some_and(|r| r.starts_with(':')))
    };
    key("class_name") && key("config") && (key("keras_version") || key("backend") || key("layers"))
}

/// Does this look like the configuration of a model: an object with a class and its configuration at the top, or
/// under one of the keys that writers put around it?
fn is_config(value: &Json, depth: u32) -> bool {
    const AROUND: &[&str] =
        &["modelTopology", "model_config", "training_config", "optimizer_config", "config", "model"];
    if depth > 4 {
        return false;
    }
    let named = value.all("class_name").any(|c| c.text().is_some()) && value.has("config");
    let versioned = value.has("keras_version");
    named || versioned || AROUND.iter().any(|key| value.all(key).any(|v| is_config(v, depth + 1)))
}
