//! Graphs: nodes that name operators, with attributes as text. What the runtime's own registry has is told by
//! `operators.txt`; whatever else a node names must be registered by code outside.

use super::super::Probe;
use crate::analyses::config::tree::Builder;
use crate::cx::{Cx, Stop};
use serde::de::DeserializeSeed;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::sync::OnceLock;
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, escape};

/// Longer graphs are not judged; weights are not among them.
const MAX: u64 = 6 << 20;

/// Operators whose attribute `info` is an address in the process that made the graph.
const POINTER: &[&str] = &[
    "_Native",
    "_NDArray",
    "_CustomFunction",
    "_backward__Native",
    "_backward__NDArray",
    "_backward_CustomFunction",
];
/// Operators that read a file named by an attribute.
const FILE: &[&str] = &["_cvimread", "_npi_cvimread"];
/// Operators that stand for code outside: of Python (`Custom`), of libraries, or compiled for a device.
const CUSTOM: &[&str] = &[
    "Custom",
    "_npi_Custom",
    "_backward_Custom",
    "_TensorRT",
    "_FusedOp",
    "_FusedOpHelper",
    "_FusedOpOutHelper",
    "_CachedOp",
    "_CachedOpThreadSafe",
    "_backward_CachedOp",
];

/// The loader takes an object that has all three names; it knows no escapes in them.
pub(super) fn is_symbol(probe: &Probe) -> bool {
    let start = probe.head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&probe.head).trim_ascii_start();
    // Blanks may fill all that the probe holds.
    if !matches!(start.first(), Some(b'{') | None) {
        return false;
    }
    let names = [&b"\"nodes\""[..], b"\"arg_nodes\"", b"\"heads\""];
    let mut seen = [false; 3];
    let mut window = Window::new(probe.blob.clone(), Window::CHUNK);
    let mut at = 0;
    while at < probe.blob.len().min(MAX * 4) {
        let Ok(v) = window.view(at, 32) else { return false };
        if v.is_empty() || at == 0 && v.contains(&0) {
            return false;
        }
        for (seen, name) in seen.iter_mut().zip(names) {
            *seen = *seen || memchr::memmem::find(v, name).is_some();
        }
        if seen.iter().all(|s| *s) {
            return true;
        }
        // A name cut in two by the window begins the next one.
        let step = (v.len() as u64).saturating_sub(16).max(1);
        at += if at + v.len() as u64 >= probe.blob.len() { v.len() as u64 } else { step };
    }
    false
}

pub(super) fn read(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    if blob.len() > MAX {
        return Err(Stop::Unsupported("an MXNet graph of this size".into()));
    }
    let bytes = blob.read_range(0..blob.len())?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut builder = Builder::new(false);
    // The runtime reads one object and leaves the rest alone.
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = builder.deserialize(&mut json).map_err(|e| {
        let detail = format!("an MXNet graph that is no JSON: {e}");
        cx.structure(0, "mxnet-malformed", escape(&detail));
        Stop::malformed(0, detail)
    })?;
    cx.refine("mxnet-symbol");
    let mut told = HashSet::new();
    walk(&value, "", &mut told, cx);
    for earlier in builder.shadowed {
        // A value that a later one of the same key replaces, for some readers.
        walk(&Value::Object(earlier), "a key given twice", &mut told, cx);
    }
    Ok(())
}

/// Every node, also those of graphs inside nodes.
fn walk(value: &Value, place: &str, told: &mut HashSet<String>, cx: &mut Cx<'_>) {
    // serde_json refuses documents nested deeper than 128 levels, so this recursion is bounded.
    match value {
        Value::Array(items) => items.iter().for_each(|v| walk(v, place, told, cx)),
        Value::Object(map) => {
            if let Some(op) = map.get("op").and_then(Value::as_str) {
                node(op, map, place, told, cx);
            }
            for (key, v) in map {
                let place = if key == "subgraphs" { "a graph inside a node" } else { place };
                walk(v, place, told, cx);
            }
        }
        _ => {}
    }
}

fn node(op: &str, map: &Map<String, Value>, place: &str, told: &mut HashSet<String>, cx: &mut Cx<'_>) {
    const MOST: usize = 1000;
    let name = map.get("name").and_then(Value::as_str).unwrap_or_default();
    let attributes = || ["attrs", "attr", "param"].iter().filter_map(|k| map.get(*k)?.as_object()).flatten();
    let attribute = |wanted: &str| attributes().find(|(k, _)| *k == wanted).and_then(|(_, v)| v.as_str());
    for (_, v) in attributes().filter(|(k, _)| k.as_str() == "__init__") {
        if let Some(file) = v.as_str().and_then(initializer_file) {
            tell("mxnet-file", "load", &format!("initializer of {name}: {file}"), told, cx);
        }
    }
    let (code, shown) = if POINTER.contains(&op) {
        ("mxnet-pointer", op.to_string())
    } else if FILE.contains(&op) {
        ("mxnet-file", format!("{op}({})", attribute("filename").unwrap_or_default()))
    } else if CUSTOM.contains(&op) {
        ("mxnet-custom", attribute("op_type").map_or(op.to_string(), |kind| format!("{op} {kind}")))
    } else if op == "null" || registered().contains(op) {
        return;
    } else {
        ("mxnet-unknown-operator", op.to_string())
    };
    if told.len() < MOST {
        let node = if name.is_empty() { "a node" } else { name };
        let place = if place.is_empty() { "the graph" } else { place };
        tell(code, &shown, &format!("{node} of {place}"), told, cx);
    }
}

/// Each operator is told once.
fn tell(code: &str, op: &str, detail: &str, told: &mut HashSet<String>, cx: &mut Cx<'_>) {
    let op = escape(&op.chars().take(200).collect::<String>());
    if told.insert(format!("{code} {op}")) {
        let detail = escape(&detail.chars().take(200).collect::<String>());
        cx.fact(None, FactKind::Operator { code: code.into(), op, detail });
    }
}

/// The file that an initializer reads: `["load", {"param": FILE}]`.
fn initializer_file(text: &str) -> Option<String> {
    let Ok(Value::Array(items)) = serde_json::from_str(text) else { return None };
    let load = items.first()?.as_str()?.eq_ignore_ascii_case("load");
    load.then(|| items.get(1).map_or(String::new(), ToString::to_string))
}

/// The operators that MXNet registers.
fn registered() -> &'static HashSet<&'static str> {
    static LIST: OnceLock<HashSet<&'static str>> = OnceLock::new();
    LIST.get_or_init(|| include_str!("operators.txt").lines().filter(|l| !l.starts_with('#')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_what_models_use_and_nothing_else() {
        for op in ["FullyConnected", "Convolution", "SoftmaxOutput", "BatchNorm", "_foreach", "_npi_add"] {
            assert!(registered().contains(op), "{op}");
        }
        for op in POINTER.iter().chain(FILE).chain(CUSTOM) {
            assert!(!registered().contains(op), "{op}");
        }
    }

    #[test]
    fn initializers_that_load_a_file() {
        assert!(initializer_file(r#"["Load", {"param": "/etc/passwd"}]"#).is_some());
        assert!(initializer_file(r#"["xavier", {"magnitude": 3}]"#).is_none());
        assert!(initializer_file("zeros").is_none());
    }
}
