//! A TensorFlow Lite writer (FlatBuffers by `schema.fbs`) whose indices, offsets and sizes are taken as given.

use super::flat::{Field, Writer};
use super::{Builder, Source};
use crate::Error;
use serde::Deserialize;

/// A `.tflite` file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TfLite {
    codes: Vec<Code>,
    #[serde(default)]
    tensors: Vec<Tensor>,
    #[serde(default)]
    operators: Vec<Operator>,
    /// Tensors that the subgraph takes and gives.
    #[serde(default)]
    inputs: Vec<i32>,
    #[serde(default)]
    outputs: Vec<i32>,
    #[serde(default)]
    buffers: Vec<Buffer>,
    #[serde(default)]
    metadata: Vec<Metadata>,
    /// Written behind the FlatBuffer; buffers may point there.
    #[serde(default)]
    appended: Option<Box<Source>>,
}

/// An operator code: a number, or 32 and a name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    builtin: i32,
    #[serde(default)]
    custom: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensor {
    name: String,
    shape: Vec<i32>,
    /// 0 is FLOAT32, 5 STRING.
    #[serde(rename = "type", default)]
    kind: u8,
    #[serde(default)]
    buffer: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Operator {
    code: u32,
    #[serde(default)]
    inputs: Vec<i32>,
    #[serde(default)]
    outputs: Vec<i32>,
    /// Options of a custom operator.
    #[serde(default)]
    custom_options: Option<Box<Source>>,
    /// Options of a flex operator: the operator's name and its serialized NodeDef, as a FlexBuffer.
    #[serde(default)]
    flex: Option<(String, Box<Source>)>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Buffer {
    #[serde(default)]
    data: Option<Box<Source>>,
    /// Data elsewhere: where, and how much of it.
    #[serde(default)]
    outside: Option<(u64, u64)>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    buffer: u32,
}

/// A FlexBuffer of two strings: what a flex operator has as options.
fn flexbuffer(op: &[u8], node: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = Vec::new();
    for text in [op, node] {
        out.extend((text.len() as u32).to_le_bytes());
        at.push(out.len());
        out.extend(text);
        out.push(0);
        let size = out.len().next_multiple_of(4);
        out.resize(size, 0);
    }
    out.extend(2u32.to_le_bytes());
    for place in at {
        let back = (out.len() - place) as u32;
        out.extend(back.to_le_bytes());
    }
    // Strings whose length has four bytes; the root, a vector of four-byte elements, eight bytes and two types back.
    out.extend([5 << 2 | 2, 5 << 2 | 2]);
    out.extend([10, 10 << 2 | 2, 1]);
    out
}

pub(crate) fn build(model: &TfLite, b: &Builder<'_>) -> Result<Vec<u8>, Error> {
    let mut w = Writer::new(b"\0\0\0\0TFL3");
    let (root, f) = w.table(&[
        Some(Field::U32(3)),
        Some(Field::Offset),
        Some(Field::Offset),
        None,
        Some(Field::Offset),
        None,
        Some(Field::Offset),
    ]);
    w.point_to(0, root);
    let codes = w.offsets(f[1], model.codes.len());
    for (code, at) in model.codes.iter().zip(codes) {
        let name = code.custom.as_ref().map(|_| Field::Offset);
        let old = code.builtin.min(127) as u8;
        let (t, f) = w.table(&[
            Some(Field::U8(old)),
            name,
            Some(Field::U32(1)),
            Some(Field::U32(code.builtin as u32)),
        ]);
        w.point_to(at, t);
        if let Some(name) = &code.custom {
            w.bytes(f[1], name.as_bytes());
        }
    }
    let graphs = w.offsets(f[2], 1);
    subgraph(model, graphs[0], &mut w, b)?;
    let buffers = w.offsets(f[4], model.buffers.len());
    for (buffer, at) in model.buffers.iter().zip(buffers) {
        let outside = |n: fn((u64, u64)) -> u64| buffer.outside.map(|o| Field::U64(n(o)));
        let data = buffer.data.as_ref().map(|_| Field::Offset);
        let (t, f) = w.table(&[data, outside(|o| o.0), outside(|o| o.1)]);
        w.point_to(at, t);
        if let Some(data) = &buffer.data {
            let bytes = b.source(data)?;
            w.bytes(f[0], &bytes);
        }
    }
    let metadata = w.offsets(f[6], model.metadata.len());
    for (m, at) in model.metadata.iter().zip(metadata) {
        let (t, f) = w.table(&[Some(Field::Offset), Some(Field::U32(m.buffer))]);
        w.point_to(at, t);
        w.bytes(f[0], m.name.as_bytes());
    }
    if let Some(appended) = &model.appended {
        w.align(16);
        w.out.extend(b.source(appended)?);
    }
    Ok(w.out)
}

fn subgraph(model: &TfLite, at: usize, w: &mut Writer, b: &Builder<'_>) -> Result<(), Error> {
    let (t, f) =
        w.table(&[Some(Field::Offset), Some(Field::Offset), Some(Field::Offset), Some(Field::Offset)]);
    w.point_to(at, t);
    let tensors = w.offsets(f[0], model.tensors.len());
    for (tensor, at) in model.tensors.iter().zip(tensors) {
        let (t, f) = w.table(&[
            Some(Field::Offset),
            Some(Field::U8(tensor.kind)),
            Some(Field::U32(tensor.buffer)),
            Some(Field::Offset),
        ]);
        w.point_to(at, t);
        w.ints(f[0], &tensor.shape);
        w.bytes(f[3], tensor.name.as_bytes());
    }
    w.ints(f[1], &model.inputs);
    w.ints(f[2], &model.outputs);
    let operators = w.offsets(f[3], model.operators.len());
    for (op, at) in model.operators.iter().zip(operators) {
        let options = match (&op.custom_options, &op.flex) {
            (Some(source), _) => Some(b.source(source)?),
            (None, Some((name, node))) => Some(flexbuffer(name.as_bytes(), &b.source(node)?)),
            (None, None) => None,
        };
        let (t, f) = w.table(&[
            Some(Field::U32(op.code)),
            Some(Field::Offset),
            Some(Field::Offset),
            None,
            None,
            options.as_ref().map(|_| Field::Offset),
        ]);
        w.point_to(at, t);
        w.ints(f[1], &op.inputs);
        w.ints(f[2], &op.outputs);
        if let Some(options) = options {
            w.bytes(f[5], &options);
        }
    }
    Ok(())
}
