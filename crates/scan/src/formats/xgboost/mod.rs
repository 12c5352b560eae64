//! XGBoost's models as JSON and as UBJSON: one schema in two spellings. The loader runs no code, but follows the children
//! and features that trees name.
//!
//! <https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html>. The binary form before them is read by
//! `binary.rs`.

mod binary;
mod binary_tree;
mod json;
mod trees;
mod ubjson;

use super::{Claim, Coverage, Format, Probe, leftover};
use crate::cx::{Cx, Stop};
pub use binary::XgboostBinary;
use trees::Trees;
use wb_blob::Blob;

/// Models in JSON.
pub struct XgboostJson;

/// Models in UBJSON.
pub struct XgboostUbjson;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "XGBoost (JSON, UBJSON)",
    ids: &[],
    loaders: "xgboost",
    judged: "structure, indices of trees, sizes",
    blind: "categories and vector leaves by length only",
    corpus: &["xgboost"],
};

impl Format for XgboostJson {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "xgboost-json"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        // It is text besides.
        if is_json(&probe.head) { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut trees = Trees::default();
        json::read(blob, &mut trees, cx)?;
        trees.report(cx);
        Ok(())
    }
}

impl Format for XgboostUbjson {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "xgboost-ubjson"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if is_ubjson(&probe.head) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut trees = Trees::default();
        let end = ubjson::read(blob, &mut trees, cx).inspect_err(|stop| {
            if let Stop::Malformed { at, what } = stop {
                cx.structure(*at, "xgboost-malformed", what.clone());
            }
        })?;
        trees.report(cx);
        if end < blob.len() {
            leftover::record(blob, end, "xgboost-trailing-bytes", "a model is one object", cx)?;
        }
        Ok(())
    }
}

fn is_json(head: &[u8]) -> bool {
    let has = |needle: &[u8]| memchr::memmem::find(head, needle).is_some();
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    start.starts_with(b"{")
        && has(b"\"learner\"")
        && (has(b"\"gradient_booster\"")
            || has(b"\"attributes\"")
            || has(b"\"learner_model_param\"")
            || start[1..].trim_ascii_start().starts_with(b"\"learner\""))
}

/// An object whose first keys are those of a model.
fn is_ubjson(head: &[u8]) -> bool {
    let key = |name: &[u8]| {
        [&b"L\0\0\0\0\0\0\0"[..], b"l\0\0\0", b"I\0", b"i", b"U"]
            .iter()
            .any(|p| memchr::memmem::find(head, &[p, &[name.len() as u8][..], name].concat()).is_some())
    };
    head.starts_with(b"{")
        && (key(b"learner") || key(b"version"))
        && (key(b"gradient_booster") || key(b"learner"))
}
