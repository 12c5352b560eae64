//! skops (`skops.io`): a zip whose `schema.json` describes objects as nodes, each with a class and the name of the node
//! type that rebuilds it.
//!
//! skops shows its user the classes of the nodes and asks whether they are trusted. What a node *does* is another matter:
//! node types import, call, set states, and several built something else than they showed (CVE-2025-54412, CVE-2025-54413).
//! So the trust lists of skops decide nothing here. The schema is written down as the opcodes of a pickle that makes the same
//! imports and calls in the same order, and judged as that pickle: by the catalogue, chains and planted attributes included.
//!
//! Sources: `skops/io/_general.py`, `_numpy.py`, `_scipy.py`, `_sklearn.py`, `_quantile_forest.py`, `_audit.py` and `old/` of
//! skops 0.3 to 0.16, protocols 0 to 2.

mod ids;
mod kinds;
mod nodes;
mod opcodes;

use super::pickle;
use crate::analyses::keras::json::{self, Fail, Json};
use crate::analyses::keras::{MAX, decode};
use crate::cx::{Cx, Stop};
use std::collections::HashSet;
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason, escape};

/// Most facts of one kind that are told of a schema.
const MAX_TOLD: usize = 20;

/// Judges `schema.json` of an archive. False for what describes no object: it is left to other readers.
pub(super) fn schema(data: &Blob, cx: &mut Cx<'_>) -> bool {
    let text = match data.head(MAX + 1) {
        Ok(text) => decode(&text),
        Err(e) => {
            cx.stop(e.into());
            return false;
        }
    };
    if data.len() > MAX as u64 {
        let detail = "a schema too large to be held at once";
        cx.gap(GapReason::Limit("memory-limit".into()), Some(0), Some(data.len()), detail);
        return true;
    }
    let (documents, fail) = json::documents(&text);
    let named = memchr::memmem::find(&text, b"__loader__").is_some();
    match fail {
        Some(Fail::Deep) => {
            cx.gap(
                GapReason::Limit("depth-limit".into()),
                Some(0),
                None,
                "a schema nested deeper than is followed",
            );
        }
        Some(Fail::Large) => {
            cx.gap(GapReason::Limit("memory-limit".into()), Some(0), None, "a schema of too many values");
        }
        Some(Fail::Syntax(at)) if named => {
            cx.gap(GapReason::Malformed, Some(at as u64), None, "the schema is no JSON from here on");
        }
        _ => {}
    }
    let Some(root) = documents.first().filter(|d| matches!(d, Json::Map(_))) else {
        return fail.is_some() && named;
    };
    if !root.has("__loader__") && !root.has("__id__") {
        return false;
    }
    judge(root, cx);
    true
}

fn judge(root: &Json, cx: &mut Cx<'_>) {
    duplicates(root, cx);
    let ids = ids::Ids::of(root);
    for detail in ids.reused.iter().take(MAX_TOLD) {
        cx.structure(0, "skops-id-reused", detail.clone());
    }
    let written = nodes::write(root, &ids);
    for (code, detail) in written.odd.iter().take(MAX_TOLD) {
        cx.structure(0, code, detail.clone());
    }
    for kind in written.unknown.iter().take(MAX_TOLD) {
        let detail = format!("a node of the type {} is not known here", escape(kind));
        cx.fact(Some(0), FactKind::Unsupported { format: "skops".into(), detail });
    }
    for what in written.broken.iter().take(MAX_TOLD) {
        cx.gap(GapReason::Malformed, None, None, what.clone());
    }
    let from = cx.sink.facts.len();
    let calls = Blob::from_vec(written.opcodes);
    match pickle::stream(&calls, 0, cx, true) {
        Ok(()) => {}
        // The loader raises there; what comes after it was not looked at.
        Err(Stop::Malformed { at, what }) => {
            let place = written.places.of(at);
            cx.gap(GapReason::Malformed, None, None, format!("{what}, at {}", escape(&place)));
        }
        Err(stop) => cx.stop(stop),
    }
    // Offsets of the opcodes mean nothing to a reader: the place in the schema does.
    let path = cx.path().to_string();
    for fact in cx.sink.facts.iter_mut().skip(from).filter(|f| f.location.path == path) {
        if let Some(at) = fact.location.offset.take() {
            fact.location.path = format!("{path}#{}", escape(&written.places.of(at)));
        }
    }
}

/// Python takes the last of two values of a key, and the place of the first.
fn duplicates(root: &Json, cx: &mut Cx<'_>) {
    let mut todo = vec![root];
    let mut told = 0;
    while let Some(value) = todo.pop() {
        match value {
            Json::List(items) => todo.extend(items),
            Json::Map(pairs) => {
                let mut seen = HashSet::with_capacity(pairs.len());
                if let Some((key, _)) = pairs.iter().find(|(k, _)| !seen.insert(k.as_str()))
                    && told < MAX_TOLD
                {
                    told += 1;
                    let key: String = key.chars().take(60).collect();
                    cx.structure(0, "json-duplicate-key", escape(&key));
                }
                todo.extend(pairs.iter().map(|(_, v)| v));
            }
            _ => {}
        }
    }
}
