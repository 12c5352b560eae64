//! A TensorFlow Lite writer (FlatBuffers by `schema.fbs`) whose indices, offsets and sizes are taken as given.
//!
//! Everything is written forwards: a table, then what it refers to, whose offsets are filled in behind.

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

/// A field of a table.
enum Field {
    U8(u8),
    U32(u32),
    U64(u64),
    /// Filled in later.
    Offset,
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
}

impl Writer {
    fn align(&mut self, to: usize) {
        let size = self.out.len().next_multiple_of(to);
        self.out.resize(size, 0);
    }

    /// Writes a table; returns where it is and where each given field is.
    fn table(&mut self, fields: &[Option<Field>]) -> (usize, Vec<usize>) {
        let size = |f: &Field| match f {
            Field::U8(_) => 1,
            Field::U32(_) | Field::Offset => 4,
            Field::U64(_) => 8,
        };
        self.align(8);
        let vtable = self.out.len();
        let (mut at, mut slots) = (4usize, Vec::new());
        for f in fields {
            slots.push(f.as_ref().map(|f| {
                at = at.next_multiple_of(size(f));
                at += size(f);
                at - size(f)
            }));
        }
        let len = at.next_multiple_of(4);
        self.out.extend((4 + 2 * fields.len() as u16).to_le_bytes());
        self.out.extend((len as u16).to_le_bytes());
        slots.iter().for_each(|s| self.out.extend((s.unwrap_or(0) as u16).to_le_bytes()));
        self.align(8);
        let table = self.out.len();
        self.out.extend(((table - vtable) as i32).to_le_bytes());
        self.out.resize(table + len, 0);
        for (f, slot) in fields.iter().zip(&slots) {
            if let (Some(f), Some(slot)) = (f, slot) {
                let bytes = match f {
                    Field::U8(n) => vec![*n],
                    Field::U32(n) => n.to_le_bytes().to_vec(),
                    Field::U64(n) => n.to_le_bytes().to_vec(),
                    Field::Offset => continue,
                };
                self.out[table + slot..][..bytes.len()].copy_from_slice(&bytes);
            }
        }
        (table, slots.into_iter().map(|s| table + s.unwrap_or(0)).collect())
    }

    /// Makes the offset at `at` point to what is written next.
    fn point(&mut self, at: usize) {
        self.align(4);
        let to = (self.out.len() - at) as u32;
        self.out[at..at + 4].copy_from_slice(&to.to_le_bytes());
    }

    /// Makes the offset at `at` point to a table already written.
    fn point_to(&mut self, at: usize, table: usize) {
        self.out[at..at + 4].copy_from_slice(&((table - at) as u32).to_le_bytes());
    }

    fn bytes(&mut self, at: usize, bytes: &[u8]) {
        self.point(at);
        self.out.extend((bytes.len() as u32).to_le_bytes());
        self.out.extend(bytes);
        self.out.push(0);
    }

    fn ints(&mut self, at: usize, values: &[i32]) {
        self.point(at);
        self.out.extend((values.len() as u32).to_le_bytes());
        values.iter().for_each(|v| self.out.extend(v.to_le_bytes()));
    }

    /// A vector of `n` offsets; returns where they are.
    fn offsets(&mut self, at: usize, n: usize) -> Vec<usize> {
        self.ints(at, &vec![0; n]);
        let end = self.out.len();
        (0..n).map(|i| end - 4 * (n - i)).collect()
    }
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
    let mut w = Writer { out: b"\0\0\0\0TFL3".to_vec() };
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
