//! An ExecuTorch writer (FlatBuffers by `schema/program.fbs`) whose indices, offsets and sizes are taken as given.

use super::flat::{Field, Writer};
use super::{Builder, Source};
use crate::Error;
use serde::Deserialize;

/// A `.pte` file of one method.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExecuTorch {
    tensors: Vec<Tensor>,
    #[serde(default)]
    inputs: Vec<i32>,
    #[serde(default)]
    outputs: Vec<i32>,
    /// Names, `aten::relu`.
    #[serde(default)]
    operators: Vec<String>,
    #[serde(default)]
    delegates: Vec<Delegate>,
    #[serde(default)]
    instructions: Vec<Instruction>,
    /// Sizes of planned memory; the first is not used.
    memory: Vec<u64>,
    /// Constants, each at its offset of one segment.
    #[serde(default)]
    constants: Vec<Source>,
    /// Size of the segment, if it lies.
    #[serde(default)]
    segment_size: Option<u64>,
    /// Written behind everything.
    #[serde(default)]
    appended: Option<Box<Source>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensor {
    /// 6 is float.
    #[serde(rename = "type", default = "float")]
    kind: u8,
    sizes: Vec<i32>,
    /// Constant by number, from 1 on.
    #[serde(default)]
    buffer: u32,
    /// Memory and offset.
    #[serde(default)]
    memory: Option<(u32, u32)>,
}

fn float() -> u8 {
    6
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Delegate {
    id: String,
    data: Source,
}

/// Kind (1 calls an operator, 2 a delegate), which one, and values.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Instruction {
    kind: u8,
    of: i32,
    args: Vec<i32>,
}

const HEADER: usize = 40;

pub(crate) fn build(program: &ExecuTorch, b: &Builder<'_>) -> Result<Vec<u8>, Error> {
    let mut w = Writer::new(b"\0\0\0\0ET12eh00\x20\0\0\0");
    w.out.resize(HEADER, 0);
    let (root, f) = w.table(&[
        Some(Field::U32(0)),
        Some(Field::Offset),
        None,
        Some(Field::Offset),
        Some(Field::Offset),
        Some(Field::Offset),
    ]);
    w.point_to(0, root);
    let plans = w.offsets(f[1], 1);
    plan(program, plans[0], &mut w)?;
    let data = w.offsets(f[3], program.delegates.len());
    for (delegate, at) in program.delegates.iter().zip(data) {
        let bytes = b.source(&delegate.data)?;
        let (t, f) = w.table(&[Some(Field::Offset)]);
        w.point_to(at, t);
        w.bytes(f[0], &bytes);
    }
    // The first offset stands for tensors that are no constants.
    let (mut segment, mut offsets) = (Vec::new(), vec![0]);
    for constant in &program.constants {
        offsets.push(segment.len() as u64);
        segment.extend(b.source(constant)?);
        segment.resize(segment.len().next_multiple_of(16), 0);
    }
    let segments = w.offsets(f[4], 1);
    let size = program.segment_size.unwrap_or(segment.len() as u64);
    let (t, _) = w.table(&[Some(Field::U64(0)), Some(Field::U64(size))]);
    w.point_to(segments[0], t);
    let (t, inner) = w.table(&[Some(Field::U32(0)), Some(Field::Offset)]);
    w.point_to(f[5], t);
    w.longs(inner[1], &offsets);
    w.align(16);
    let base = w.out.len() as u64;
    w.out.extend(&segment);
    for (at, n) in [(16, base), (24, base), (32, size)] {
        w.out[at..at + 8].copy_from_slice(&n.to_le_bytes());
    }
    if let Some(appended) = &program.appended {
        w.out.extend(b.source(appended)?);
    }
    Ok(w.out)
}

fn plan(program: &ExecuTorch, at: usize, w: &mut Writer) -> Result<(), Error> {
    let offset = || Some(Field::Offset);
    let (t, f) =
        w.table(&[offset(), None, offset(), offset(), offset(), offset(), offset(), offset(), offset()]);
    w.point_to(at, t);
    w.bytes(f[0], b"forward");
    let values = w.offsets(f[2], program.tensors.len());
    for (tensor, at) in program.tensors.iter().zip(values) {
        value(tensor, at, w)?;
    }
    w.ints(f[3], &program.inputs);
    w.ints(f[4], &program.outputs);
    let chains = w.offsets(f[5], 1);
    let (t, inner) = w.table(&[None, None, offset()]);
    w.point_to(chains[0], t);
    let instructions = w.offsets(inner[2], program.instructions.len());
    for (i, at) in program.instructions.iter().zip(instructions) {
        let (t, f) = w.table(&[Some(Field::U8(i.kind)), offset()]);
        w.point_to(at, t);
        let (args, inner) = w.table(&[Some(Field::U32(i.of as u32)), offset()]);
        w.point_to(f[1], args);
        w.ints(inner[1], &i.args);
    }
    let operators = w.offsets(f[6], program.operators.len());
    for (name, at) in program.operators.iter().zip(operators) {
        let (t, f) = w.table(&[offset(), offset()]);
        w.point_to(at, t);
        w.bytes(f[0], name.as_bytes());
        w.bytes(f[1], b"out");
    }
    let delegates = w.offsets(f[7], program.delegates.len());
    for (n, (delegate, at)) in program.delegates.iter().zip(delegates).enumerate() {
        let (t, f) = w.table(&[offset(), offset()]);
        w.point_to(at, t);
        w.bytes(f[0], delegate.id.as_bytes());
        let (data, _) = w.table(&[Some(Field::U8(0)), Some(Field::U32(n as u32))]);
        w.point_to(f[1], data);
    }
    w.longs(f[8], &program.memory);
    Ok(())
}

fn value(tensor: &Tensor, at: usize, w: &mut Writer) -> Result<(), Error> {
    const TENSOR: u8 = 5;
    let (t, f) = w.table(&[Some(Field::U8(TENSOR)), Some(Field::Offset)]);
    w.point_to(at, t);
    let (t, inner) = w.table(&[
        Some(Field::U8(tensor.kind)),
        None,
        Some(Field::Offset),
        Some(Field::Offset),
        None,
        Some(Field::U32(tensor.buffer)),
        tensor.memory.map(|_| Field::Offset),
    ]);
    w.point_to(f[1], t);
    w.ints(inner[2], &tensor.sizes);
    let order = (0..tensor.sizes.len()).map(u8::try_from).collect::<Result<Vec<_>, _>>();
    let order = order.map_err(|_| Error::new("executorch: too many dimensions"))?;
    w.bytes(inner[3], &order);
    if let Some((memory, offset)) = tensor.memory {
        let (t, _) = w.table(&[Some(Field::U32(memory)), Some(Field::U32(offset))]);
        w.point_to(inner[6], t);
    }
    Ok(())
}
