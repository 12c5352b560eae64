//! TensorFlow's graph messages (`tensorflow/core/framework/{graph,function,node_def,attr_value,tensor}.proto`), from the
//! wire into [`Graph`]. Weights stay in the file.

use super::protobuf::{Field, I32, I64, LEN, Span, VARINT, Wire};
use super::tensorflow::is_graph;
use crate::analyses::tf_graph::{Function, Graph, MAX_TEXT, MAX_TEXTS, Node};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{FactKind, escape};

/// Names are cut at this; longer ones are no honest names.
const MAX_NAME: usize = 1024;
/// Messages in messages, as parsers limit them.
const MAX_DEPTH: u32 = 100;

/// DT_STRING.
const STRING: u64 = 7;

/// GraphDef.
pub(super) fn graph(w: &mut Wire, mut span: Span, g: &mut Graph, cx: &mut Cx<'_>) -> Result<(), Stop> {
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => {
                let node = node(w, &f, g.held, cx)?;
                hold(g, node.held(), cx)?;
                g.nodes.push(node);
            }
            (2, LEN) => library(w, f.span(), g, cx)?,
            // Versions and debug information are read by no kernel.
            (3, VARINT) | (4, LEN) => {}
            (5, LEN) => w.opaque(&f, "the debug information", cx)?,
            _ => w.unknown(&f, "GraphDef", cx)?,
        }
    }
    Ok(())
}

fn hold(g: &mut Graph, bytes: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    g.held += bytes;
    cx.budget.entries(1)?;
    room(g.held, cx)
}

/// The index that is made for judging takes about as much again.
fn room(held: u64, cx: &Cx<'_>) -> Result<(), Stop> {
    Ok(cx.budget.memory(held.saturating_mul(2))?)
}

/// FunctionDefLibrary.
fn library(w: &mut Wire, mut span: Span, g: &mut Graph, cx: &mut Cx<'_>) -> Result<(), Stop> {
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => function(w, f.span(), g, cx)?,
            // Gradients: names of functions of the library.
            (2 | 3, LEN) => {}
            _ => w.unknown(&f, "FunctionDefLibrary", cx)?,
        }
    }
    Ok(())
}

/// FunctionDef.
fn function(w: &mut Wire, mut span: Span, g: &mut Graph, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut function = Function::default();
    let mut attrs = Node::default();
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => signature(w, f.span(), &mut function, cx)?,
            (3, LEN) => {
                let node = node(w, &f, g.held, cx)?;
                hold(g, node.held(), cx)?;
                function.nodes.push(node);
            }
            (5, LEN) => attribute(w, f.span(), &mut attrs, cx)?,
            // Names of results, attributes of arguments, ids of resources; field 2 was the body before 0.8, which no
            // current release reads.
            (4 | 6 | 7 | 8, LEN) => {}
            _ => w.unknown(&f, "FunctionDef", cx)?,
        }
    }
    function.functions = attrs.functions;
    let arguments: usize = function.arguments.iter().map(|a| a.len() + 64).sum();
    hold(g, (128 + function.name.len() + arguments) as u64, cx)?;
    g.functions.push(function);
    Ok(())
}

/// OpDef of a function: its name and arguments.
fn signature(w: &mut Wire, mut span: Span, function: &mut Function, cx: &mut Cx<'_>) -> Result<(), Stop> {
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => function.name = w.text(&f, MAX_NAME)?,
            (2, LEN) => {
                let mut inner = f.span();
                while let Some(a) = w.next(&mut inner, cx)? {
                    if (a.number, a.wire) == (1, LEN) {
                        cx.budget.entries(1)?;
                        function.arguments.push(w.text(&a, MAX_NAME)?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// NodeDef. `held` is what is held already.
pub(super) fn node(w: &mut Wire, field: &Field, held: u64, cx: &mut Cx<'_>) -> Result<Node, Stop> {
    let mut span = field.span();
    let mut node = Node { at: field.tag, ..Node::default() };
    let mut held = held;
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => node.name = w.text(&f, MAX_NAME)?,
            (2, LEN) => {
                let op = w.text(&f, MAX_NAME)?;
                if node.ops.last() != Some(&op) {
                    held += 32 + op.len() as u64;
                    node.ops.push(op);
                }
            }
            (3, LEN) => {
                let input = w.text(&f, MAX_NAME)?;
                held += 32 + input.len() as u64;
                node.inputs.push(input);
            }
            (5, LEN) => {
                let before = node.functions.len();
                attribute(w, f.span(), &mut node, cx)?;
                held += 64 * (node.functions.len() - before) as u64;
            }
            // Device, debug information, type.
            (4, LEN) => {}
            (6 | 7, LEN) => w.opaque(&f, "a node's debug information", cx)?,
            _ => w.unknown(&f, "NodeDef", cx)?,
        }
        room(held, cx)?;
    }
    Ok(node)
}

/// An entry of a map of attributes.
fn attribute(w: &mut Wire, mut span: Span, node: &mut Node, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut key = String::new();
    // The key may stand behind the value.
    let mut look = span;
    while let Some(f) = w.next(&mut look, cx)? {
        if (f.number, f.wire) == (1, LEN) {
            key = w.text(&f, MAX_NAME)?;
        }
    }
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => {}
            (2, LEN) => value(w, f.span(), &key, node, 0, cx)?,
            _ => w.unknown(&f, "an attribute", cx)?,
        }
    }
    Ok(())
}

/// AttrValue.
fn value(
    w: &mut Wire,
    mut span: Span,
    key: &str,
    node: &mut Node,
    depth: u32,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    too_deep(depth, span.at)?;
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => list(w, f.span(), key, node, depth + 1, cx)?,
            (2 | 9, LEN) => text(w, &f, key, node, cx)?,
            (3 | 5 | 6, VARINT) | (4, I32) | (7, LEN) => {}
            (8, LEN) => tensor(w, f.span(), node, depth + 1, cx)?,
            (10, LEN) => named(w, f.span(), key, node, depth + 1, cx)?,
            _ => w.unknown(&f, "AttrValue", cx)?,
        }
    }
    Ok(())
}

fn too_deep(depth: u32, at: u64) -> Result<(), Stop> {
    if depth > MAX_DEPTH {
        Err(Stop::malformed(at, "messages nested deeper than parsers go"))
    } else {
        Ok(())
    }
}

/// AttrValue.ListValue.
fn list(
    w: &mut Wire,
    mut span: Span,
    key: &str,
    node: &mut Node,
    depth: u32,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (2, LEN) => text(w, &f, key, node, cx)?,
            (3 | 5 | 6, VARINT) | (3..=7, LEN) | (4, I32) => {}
            (8, LEN) => tensor(w, f.span(), node, depth + 1, cx)?,
            (9, LEN) => named(w, f.span(), key, node, depth + 1, cx)?,
            _ => w.unknown(&f, "a list of values", cx)?,
        }
    }
    Ok(())
}

/// NameAttrList: a function with attributes.
fn named(
    w: &mut Wire,
    mut span: Span,
    key: &str,
    node: &mut Node,
    depth: u32,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => {
                let name = w.text(&f, MAX_NAME)?;
                if !name.is_empty() && node.functions.last() != Some(&name) {
                    cx.budget.entries(1)?;
                    node.functions.push(name);
                }
            }
            (2, LEN) => {
                let mut inner = f.span();
                while let Some(a) = w.next(&mut inner, cx)? {
                    if (a.number, a.wire) == (2, LEN) {
                        value(w, a.span(), key, node, depth + 1, cx)?;
                    }
                }
            }
            _ => w.unknown(&f, "NameAttrList", cx)?,
        }
    }
    Ok(())
}

/// A text of an attribute: kept, and looked over as data.
fn text(w: &mut Wire, f: &Field, key: &str, node: &mut Node, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MAX_KEPT: usize = 64;
    if node.texts.len() < MAX_KEPT {
        node.texts.push((key.to_string(), w.bytes(f, MAX_TEXT)?));
    } else {
        // What is given over and over: only what decides is missed, so it counts as unread.
        node.texts.push((key.to_string(), b"...".to_vec()));
        node.texts.truncate(MAX_KEPT + 1);
    }
    data(w, f.at, f.len, &format!("attribute {key} of node {}", node.name), cx).map(drop)
}

/// A string of the graph that may be a graph itself, or something that does not belong there. True if it is a graph.
fn data(w: &mut Wire, at: u64, len: u64, place: &str, cx: &mut Cx<'_>) -> Result<bool, Stop> {
    const LEAST: u64 = 8;
    if len < LEAST {
        return Ok(false);
    }
    let blob = w.blob().sub(at..at + len);
    if is_graph(&blob) {
        let place: String = place.chars().take(200).collect();
        cx.member(format!("({} at {at:#x})", escape(&place)).as_bytes(), &blob);
        return Ok(true);
    }
    let field = Field { number: 0, wire: LEN, tag: at, at, len, value: 0 };
    w.opaque(&field, &escape(&place.chars().take(200).collect::<String>()), cx)?;
    Ok(false)
}

/// TensorProto.
pub(super) fn tensor(
    w: &mut Wire,
    span: Span,
    node: &mut Node,
    depth: u32,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    too_deep(depth, span.at)?;
    let mut dtype = 0;
    let mut look = span;
    while let Some(f) = w.next(&mut look, cx)? {
        if (f.number, f.wire) == (1, VARINT) {
            // Of several the last counts; strings are looked at whichever it is.
            dtype = if dtype == STRING { STRING } else { f.value };
        }
    }
    let mut span = span;
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1 | 3, VARINT) | (2, LEN) => {}
            (4, LEN) if dtype == STRING => string_list(w, &f, node, cx)?,
            (4, LEN) => w.opaque(&f, "tensor data", cx)?,
            (5 | 6 | 7 | 9 | 10 | 11 | 12 | 13 | 16 | 17, LEN) => {}
            (7 | 10 | 11 | 13 | 16 | 17, VARINT) | (5 | 9, I32) | (6 | 12, I64) => {}
            (8, LEN) => string(w, f.at, f.len, node, cx)?,
            (14, LEN) => {}
            (15, LEN) => variant(w, f.span(), node, depth + 1, cx)?,
            (18, LEN) => w.opaque(&f, "tensor data", cx)?,
            _ => w.unknown(&f, "TensorProto", cx)?,
        }
    }
    Ok(())
}

fn string(w: &mut Wire, at: u64, len: u64, node: &mut Node, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let is_graph = data(w, at, len, &format!("a constant of node {}", node.name), cx)?;
    if node.values.len() >= MAX_TEXTS {
        node.more_values = true;
        return Ok(());
    }
    let f = Field { number: 0, wire: LEN, tag: at, at, len, value: 0 };
    node.values.push(w.bytes(&f, MAX_TEXT)?);
    node.graphs += usize::from(is_graph);
    Ok(())
}

/// Strings in `tensor_content`: all lengths as varints, then the bytes. The number of strings is that of the shape;
/// here as many are taken as fit exactly.
fn string_list(w: &mut Wire, f: &Field, node: &mut Node, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let bytes = w.bytes(f, f.len.min(1 << 24) as usize)?;
    let (mut at, mut total, mut lengths) = (0usize, 0u64, Vec::new());
    let mut found = None;
    while let Some((len, n)) = small_varint(bytes.get(at..).unwrap_or_default()) {
        lengths.push(len);
        at += n;
        total = total.saturating_add(len);
        let data = f.len - at as u64;
        if total == data {
            // Empty strings may follow: they change nothing.
            found = Some((at, lengths.len()));
            break;
        }
        if total > data {
            break;
        }
    }
    let Some((mut at, n)) = found else {
        node.more_values = true;
        let place = escape(&node.name.chars().take(100).collect::<String>());
        cx.structure(
            f.at,
            "tensor-strings-malformed",
            format!("a constant of node {place} whose lengths do not add up"),
        );
        return w.opaque(f, "tensor data", cx);
    };
    for len in lengths.into_iter().take(n) {
        string(w, f.at + at as u64, len, node, cx)?;
        at += len as usize;
    }
    Ok(())
}

fn small_varint(v: &[u8]) -> Option<(u64, usize)> {
    let mut n = 0u64;
    for (i, b) in v.iter().take(10).enumerate() {
        n |= u64::from(b & 0x7f).wrapping_shl(7 * i as u32);
        if b & 0x80 == 0 {
            return Some((n, i + 1));
        }
    }
    None
}

/// VariantTensorDataProto: a registered decoder of this name reads it.
fn variant(w: &mut Wire, mut span: Span, node: &mut Node, depth: u32, cx: &mut Cx<'_>) -> Result<(), Stop> {
    // Containers of tensors.
    const KNOWN: &[&str] = &[
        "tensorflow::TensorList",
        "tensorflow::TensorMap",
        "RaggedTensorVariant",
        "tensorflow::data::Optional",
        "tensorflow::Tensor",
        "",
    ];
    let start = span.at;
    let mut name = String::new();
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => name = w.text(&f, MAX_NAME)?,
            (2, LEN) => w.opaque(&f, "a variant's metadata", cx)?,
            (3, LEN) => tensor(w, f.span(), node, depth + 1, cx)?,
            _ => w.unknown(&f, "VariantTensorDataProto", cx)?,
        }
    }
    if !KNOWN.contains(&&name[..]) {
        let detail = format!("a variant in node {}", escape(&node.name));
        let op = escape(&name.chars().take(100).collect::<String>());
        cx.fact(Some(start), FactKind::Operator { code: "tf-unknown-variant".into(), op, detail });
    }
    Ok(())
}

/// A NodeDef that is all of `blob`, as flex operators of TensorFlow Lite hold it.
pub(super) fn lone_node(blob: &Blob, cx: &mut Cx<'_>) -> Result<Node, Stop> {
    let mut w = Wire::new(blob);
    let field = Field { number: 1, wire: LEN, tag: 0, at: 0, len: blob.len(), value: 0 };
    node(&mut w, &field, 0, cx)
}
