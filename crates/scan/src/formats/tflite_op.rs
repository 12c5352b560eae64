//! Operators of TensorFlow Lite: built-in by number, custom by name, and TensorFlow's own behind the prefix `Flex`.

use super::flatbuffer::{self, Table};
use super::tf_proto;
use super::tflite::Model;
use crate::analyses::opaque;
use crate::analyses::tf_graph::{self, Graph, Node};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{FactKind, escape_bytes};

/// The last built-in operator of the schema this was written by (TensorFlow 2.21).
const LAST_BUILTIN: i64 = 209;
const CUSTOM: i64 = 32;
const DELEGATE: i64 = 51;
const STABLEHLO_CUSTOM_CALL: i64 = 173;

/// Custom operators that the runtime's own resolver registers (`tensorflow/lite/core/kernels/register.cc`).
const OWN: &[&[u8]] = &[b"TFLite_Detection_PostProcess", b"Mfcc", b"AudioSpectrogram", b"NumericVerify"];

/// An entry of the table of operator codes.
#[derive(Debug, Clone)]
pub(super) struct Code {
    /// The name behind `Flex`.
    flex: Option<String>,
}

/// Reads an operator code; what is not known to be harmless is told here, once, used or not.
pub(super) fn code(m: &mut Model<'_>, t: &Table, cx: &mut Cx<'_>) -> Result<Code, Stop> {
    m.newer(t, 4, "an operator code", cx);
    // The old field has 8 bits; where both are given, readers take the greater.
    let old = i64::from(m.flat.scalar(t, 0, 1, 0)? as u8 as i8);
    let new = i64::from(m.flat.scalar(t, 3, 4, 0)? as u32 as i32);
    let builtin = old.max(new);
    let name = m.flat.string(t, 1)?.unwrap_or_default();
    let tell = |code: &str, op: String, cx: &mut Cx<'_>| {
        cx.fact(Some(t.at), FactKind::Operator { code: code.into(), op, detail: "operator code".into() });
    };
    let mut flex = None;
    if builtin == CUSTOM || old == CUSTOM || new == CUSTOM {
        match name.strip_prefix(b"Flex") {
            Some(op) if !op.is_empty() => flex = Some(String::from_utf8_lossy(op).into_owned()),
            _ if OWN.contains(&&name[..]) => {}
            _ => tell("tflite-custom", escape_bytes(&name[..name.len().min(100)]), cx),
        }
    } else if builtin == DELEGATE {
        tell("tflite-delegate", "DELEGATE".into(), cx);
    } else if builtin == STABLEHLO_CUSTOM_CALL {
        tell("tflite-custom-call", "STABLEHLO_CUSTOM_CALL".into(), cx);
    } else if !(0..=LAST_BUILTIN).contains(&builtin) {
        tell("tflite-unknown-builtin", format!("built-in operator {builtin}"), cx);
    }
    if let Some(op) = &flex {
        let node =
            Node { name: "(operator code)".into(), ops: vec![op.clone()], at: t.at, ..Node::default() };
        judge(node, cx);
    }
    Ok(Code { flex })
}

fn judge(node: Node, cx: &mut Cx<'_>) {
    let graph = Graph { nodes: vec![node], place: "a flex operator".into(), ..Graph::default() };
    tf_graph::judge(&graph, &mut |found| cx.fact(Some(found.at), found.kind));
}

/// Is a tensor's index one? -1 stands for an input that is left out.
pub(super) fn in_range(
    m: &mut Model<'_>,
    at: u64,
    index: i32,
    count: usize,
    optional: bool,
    what: &str,
    cx: &mut Cx<'_>,
) {
    let fine = usize::try_from(index).map_or(optional && index == -1, |i| i < count);
    if !fine {
        m.wrong(at, "tflite-tensor-index", format!("{what}: tensor {index} of {count}"), cx);
    }
}

/// One operator.
pub(super) fn operator(m: &mut Model<'_>, at: u64, tensors: usize, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let t = m.flat.table(at, cx)?;
    m.newer(&t, 14, "an operator", cx);
    let index = m.flat.scalar(&t, 0, 4, 0)?;
    let code = usize::try_from(index).ok().and_then(|i| m.codes.get(i)).cloned();
    if code.is_none() {
        let detail = format!("an operator of code {index}, of {} codes", m.codes.len());
        m.wrong(at, "tflite-operator-index", detail, cx);
    }
    for (slot, optional, what) in [
        (1, true, "an operator's input"),
        (2, false, "an operator's output"),
        (8, true, "an operator's intermediate"),
    ] {
        for i in m.flat.ints(&t, slot, cx)? {
            in_range(m, at, i, tensors, optional, what, cx);
        }
    }
    m.skip(&t, &[(7, 1)])?;
    options(m, &t, cx)?;
    let mut custom = Vec::new();
    if let Some(v) = m.flat.vector(&t, 5, 1)? {
        custom.push((v.at, v.len));
    }
    let (offset, size) = (m.flat.scalar(&t, 9, 8, 0)?, m.flat.scalar(&t, 10, 8, 0)?);
    if offset > 1 {
        match offset.checked_add(size).filter(|end| *end <= m.blob.len()) {
            Some(_) => {
                m.flat.mark(offset, size);
                custom.push((offset, size));
            }
            None => {
                let detail = format!("options of {size} bytes at {offset}, outside the file");
                m.wrong(at, "tflite-options-outside", detail, cx);
            }
        }
    }
    let flex = code.as_ref().and_then(|c| c.flex.clone());
    for (from, len) in custom {
        custom_options(m.blob, from, len, flex.as_deref(), cx)?;
    }
    Ok(())
}

/// Options of a custom operator: opaque, but those of a flex operator hold the node that TensorFlow runs.
fn custom_options(blob: &Blob, at: u64, len: u64, flex: Option<&str>, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MAX: u64 = 16 << 20;
    let data = blob.sub(at..at + len);
    let Some(op) = flex else {
        if len >= 8
            && let Some(what) = opaque::hidden(&data, &data.head(4096)?)
        {
            cx.fact(
                Some(at),
                FactKind::Hidden { code: what.into(), detail: "in options of an operator".into() },
            );
            cx.member(format!("(options at {at:#x})").as_bytes(), &data);
        }
        return Ok(());
    };
    let texts = if len <= MAX { flatbuffer::flex_texts(&data.read_range(0..len)?) } else { None };
    // The operator's name, then its serialized NodeDef.
    let Some(node) = texts.as_ref().and_then(|t| t.get(1)) else {
        let detail = format!("options of Flex{op} that hold no node");
        cx.fact(Some(at), FactKind::Operator { code: "tf-graph".into(), op: format!("Flex{op}"), detail });
        return Ok(());
    };
    let blob = Blob::from_vec(node.clone());
    let mut found = None;
    cx.enter(format!("(node at {at:#x})").as_bytes(), |cx| match tf_proto::lone_node(&blob, cx) {
        Ok(node) => found = Some(node),
        Err(stop) => cx.stop(stop),
    });
    if let Some(mut node) = found {
        node.at = at;
        judge(node, cx);
    }
    Ok(())
}

/// Vectors and strings in the options of built-in operators: union (1 or 2), type, slot, bytes per element.
const VECTORS: &[(usize, u64, usize, u64)] = &[
    (1, 3, 1, 4),
    (1, 3, 2, 4),
    (1, 17, 0, 4),
    (1, 30, 0, 4),
    (1, 111, 0, 1),
    (1, 111, 1, 1),
    (1, 115, 0, 4),
    (2, 2, 0, 8),
    (2, 3, 0, 8),
    (2, 3, 1, 8),
    (2, 3, 2, 8),
    (2, 4, 0, 8),
    (2, 4, 1, 8),
    (2, 4, 2, 8),
    (2, 4, 3, 8),
    (2, 4, 4, 1),
    (2, 4, 7, 8),
    (2, 4, 10, 8),
    (2, 4, 13, 8),
    (2, 4, 16, 4),
    (2, 5, 0, 1),
    (2, 5, 2, 1),
    (2, 5, 4, 4),
    (2, 5, 5, 1),
    (2, 6, 0, 8),
    (2, 7, 1, 8),
    (2, 7, 2, 8),
    (2, 7, 3, 8),
    (2, 9, 0, 8),
    (2, 10, 0, 8),
    (2, 10, 1, 8),
    (2, 10, 2, 8),
    (2, 12, 0, 8),
    (2, 12, 1, 8),
    (2, 12, 2, 8),
    (2, 12, 3, 8),
    (2, 12, 4, 4),
    (2, 13, 0, 8),
    (2, 13, 1, 8),
    (2, 13, 2, 8),
    (2, 13, 3, 8),
    (2, 13, 4, 8),
    (2, 16, 0, 8),
    (2, 16, 1, 8),
    (2, 16, 2, 8),
    (2, 16, 4, 8),
    (2, 17, 0, 8),
    (2, 21, 0, 1),
    (2, 21, 2, 1),
    (2, 23, 0, 4),
];

/// Options that name subgraphs: type of the first union, slots.
const SUBGRAPHS: &[(u64, &[usize])] = &[(92, &[0, 1]), (93, &[0, 1]), (103, &[0])];

fn options(m: &mut Model<'_>, t: &Table, cx: &mut Cx<'_>) -> Result<(), Stop> {
    for (union, kind, slot) in [(1, 3, 4), (2, 11, 12)] {
        let kind = m.flat.scalar(t, kind, 1, 0)?;
        let Some(options) = m.flat.sub(t, slot, cx)? else { continue };
        for (_, _, slot, size) in VECTORS.iter().filter(|(u, k, ..)| (*u, *k) == (union, kind)) {
            if *size == 1 {
                m.flat.string(&options, *slot)?;
            } else {
                m.skip(&options, &[(*slot, *size)])?;
            }
        }
        let slots = SUBGRAPHS.iter().find(|(k, _)| union == 1 && *k == kind).map_or(&[][..], |(_, s)| s);
        for slot in slots {
            let index = m.flat.scalar(&options, *slot, 4, 0)?;
            if index >= m.subgraphs as u64 {
                let detail = format!("an operator runs subgraph {index}, which does not exist");
                m.wrong(options.at, "tflite-subgraph-index", detail, cx);
            }
        }
    }
    Ok(())
}
