//! TensorFlow.js: `model.json`, a graph as JSON (protobuf's JSON form) or a Keras configuration, and a list of weight files.
//! The weight files beside it are raw tensors without any structure.

use super::{Claim, Coverage, Format, Probe};
use crate::analyses::tf_graph::{self, Function, Graph, MAX_TEXT, MAX_TEXTS, Node};
use crate::analyses::{directive, paths};
use crate::cx::{Cx, Stop};
use serde_json::Value;
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, escape};

/// `model.json` of TensorFlow.js.
pub struct TfJs;

/// Longer models are not judged; weights are not among them.
const MAX: u64 = 6 << 20;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "TensorFlow.js models",
    ids: &[],
    loaders: "TensorFlow.js, its converter",
    judged: "graphs and Keras configurations, paths of weights",
    blind: "over 6 MiB a gap; weights are data",
    corpus: &[],
};

impl Format for TfJs {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "tfjs"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        let start = probe.head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&probe.head).trim_ascii_start();
        // Blanks may fill all that the probe holds.
        if !matches!(start.first(), Some(b'{') | None) {
            return Claim::No;
        }
        if names_topology(&probe.blob) { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        if blob.len() > MAX {
            return Err(Stop::Unsupported("a TensorFlow.js model of this size".into()));
        }
        let bytes = blob.read_range(0..blob.len())?;
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let value: Value = serde_json::from_slice(text)
            .map_err(|e| Stop::malformed(0, format!("a TensorFlow.js model that is no JSON: {e}")))?;
        // As far as judged, it is more than text.
        cx.refine(self.id());
        for key in ["modelTopology", "modelInitializer"] {
            if let Some(topology) = value.get(key) {
                graph(topology, key, cx);
            }
        }
        weights(&value, cx);
        Ok(())
    }
}

/// Both names are in a model; one is enough, and the names may be spelled with escapes.
fn names_topology(blob: &Blob) -> bool {
    let names = [&b"\"modelTopology\""[..], b"\"weightsManifest\""];
    let mut window = Window::new(blob.clone(), Window::CHUNK);
    let (mut at, mut escapes) = (0, false);
    while at < blob.len().min(MAX * 4) {
        let Ok(v) = window.view(at, 64) else { return false };
        if v.is_empty() {
            return false;
        }
        if names.iter().any(|n| memchr::memmem::find(v, n).is_some()) {
            return true;
        }
        escapes |= memchr::memmem::find(v, b"\\u00").is_some();
        let read = v.len() as u64;
        at += if at + read >= blob.len() { read } else { read.saturating_sub(32).max(1) };
    }
    let spelled = || {
        let bytes = blob.read_range(0..blob.len()).ok()?;
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        Some(value.get("modelTopology").is_some() || value.get("weightsManifest").is_some())
    };
    escapes && blob.len() <= MAX && spelled() == Some(true)
}

fn graph(topology: &Value, place: &str, cx: &mut Cx<'_>) {
    let Some(nodes) = topology.get("node").and_then(Value::as_array) else { return };
    let mut g = Graph { place: place.into(), ..Graph::default() };
    g.nodes = nodes.iter().map(node).collect();
    let functions = topology.get("library").and_then(|l| l.get("function")).and_then(Value::as_array);
    for f in functions.into_iter().flatten() {
        let signature = f.get("signature");
        let name = |v: Option<&Value>| {
            v.and_then(|s| s.get("name")).and_then(Value::as_str).unwrap_or("").to_string()
        };
        let arguments = signature.and_then(|s| s.get("inputArg")).and_then(Value::as_array);
        let body = f.get("nodeDef").and_then(Value::as_array);
        g.functions.push(Function {
            name: name(signature),
            arguments: arguments.into_iter().flatten().map(|a| name(Some(a))).collect(),
            nodes: body.into_iter().flatten().map(node).collect(),
            functions: Vec::new(),
        });
    }
    tf_graph::judge(&g, &mut |found| cx.fact(None, found.kind));
}

fn text(v: &Value, key: &str) -> String {
    v.get(key).and_then(Value::as_str).unwrap_or_default().chars().take(4096).collect()
}

fn node(v: &Value) -> Node {
    let mut node = Node { name: text(v, "name"), ops: vec![text(v, "op")], ..Node::default() };
    node.ops.retain(|op| !op.is_empty());
    let inputs = v.get("input").and_then(Value::as_array);
    node.inputs = inputs.into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect();
    if let Some(Value::Object(attrs)) = v.get("attr") {
        for (key, value) in attrs {
            attribute(key, value, &mut node);
        }
    }
    node
}

fn attribute(key: &str, value: &Value, node: &mut Node) {
    let list = value.get("list");
    let lists = |name: &str| list.and_then(|l| l.get(name)).and_then(Value::as_array).into_iter().flatten();
    for s in value.get("s").into_iter().chain(lists("s")).take(64) {
        node.texts.push((key.to_string(), bytes(s)));
    }
    for f in value.get("func").into_iter().chain(lists("func")) {
        let name = text(f, "name");
        if !name.is_empty() && !node.functions.contains(&name) {
            node.functions.push(name);
        }
    }
    for t in value.get("tensor").into_iter().chain(lists("tensor")) {
        for s in t.get("stringVal").and_then(Value::as_array).into_iter().flatten() {
            if node.values.len() >= MAX_TEXTS {
                node.more_values = true;
                break;
            }
            node.values.push(bytes(s));
        }
        node.more_values |= t.get("tensorContent").is_some() && text(t, "dtype") == "DT_STRING";
    }
}

/// Bytes are base64 in protobuf's JSON; some writers leave texts as they are, or give numbers.
fn bytes(v: &Value) -> Vec<u8> {
    let mut out = match v {
        Value::String(s) => directive::from_base64(s).unwrap_or_else(|| s.clone().into_bytes()),
        Value::Array(items) => items.iter().filter_map(Value::as_u64).map(|n| n as u8).collect(),
        other => other.to_string().into_bytes(),
    };
    out.truncate(MAX_TEXT);
    out
}

/// Files of weights: names beside the model.
fn weights(value: &Value, cx: &mut Cx<'_>) {
    let groups = value.get("weightsManifest").and_then(Value::as_array);
    for path in
        groups.into_iter().flatten().filter_map(|g| g.get("paths").and_then(Value::as_array)).flatten()
    {
        let Some(path) = path.as_str() else { continue };
        let shown = escape(&path.chars().take(200).collect::<String>());
        if path.contains("://") || path.starts_with("//") {
            let detail = format!("weights from {shown}");
            cx.fact(None, FactKind::Directive { code: "remote-weights".into(), detail });
        } else if let Some(code) = paths::escape_of(path.as_bytes()) {
            cx.fact(None, FactKind::UnsafePath { code: code.into(), detail: format!("weights in {shown}") });
        }
    }
}
