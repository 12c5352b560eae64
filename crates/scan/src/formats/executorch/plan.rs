//! Plans: the methods of a program, with their values, operators, delegates and instructions.

use super::super::flatbuffer::Table;
use super::super::protobuf::Span;
use super::super::tflite;
use super::tensor::{self, Buffers};
use super::{File, shown};
use crate::analyses::torchscript::{operator_fact, registered};
use crate::cx::{Cx, Stop};
use wb_verdict::FactKind;

/// Backends of ExecuTorch's own repository that take a description of a graph.
const BACKENDS: &[&str] = &[
    "XnnpackBackend",
    "CoreMLBackend",
    "MPSBackend",
    "VulkanBackend",
    "QnnBackend",
    "ArmBackend",
    "EthosUBackend",
    "VgfBackend",
    "TOSABackend",
    "NeuropilotBackend",
    "NeutronBackend",
    "EnnBackend",
    "OpenvinoBackend",
    "MLXBackend",
    "ExecutorBackend",
];
/// Backends that load compiled code from their blob.
const NATIVE: &[&str] = &["CudaBackend", "MetalBackend", "AotiBackend"];

/// Reads plans and the constants that their tensors refer to.
pub(super) fn read(file: &mut File<'_>, root: &Table, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let inline = blobs(file, root, 2, "a constant", cx)?;
    let delegated = blobs(file, root, 3, "a delegate's data", cx)?;
    let mut constants = Vec::new();
    if let Some(t) = file.flat.sub(root, 5, cx)? {
        constants = offsets(file, &t, cx)?;
    }
    let mut mutable = Vec::new();
    for at in file.flat.tables(root, 6, cx)? {
        let t = file.flat.table(at, cx)?;
        mutable.push(offsets(file, &t, cx)?);
    }
    let buffers = Buffers { inline: inline.iter().map(Span::len).collect(), constants, mutable };
    for at in file.flat.tables(root, 1, cx)? {
        plan(file, at, &buffers, delegated.len(), cx)?;
    }
    Ok(())
}

/// Vectors of bytes in tables of one field.
fn blobs(
    file: &mut File<'_>,
    root: &Table,
    slot: usize,
    what: &str,
    cx: &mut Cx<'_>,
) -> Result<Vec<Span>, Stop> {
    let mut out = Vec::new();
    for at in file.flat.tables(root, slot, cx)? {
        let t = file.flat.table(at, cx)?;
        file.newer(&t, 1, what, cx);
        let v = file.flat.vector(&t, 0, 1)?;
        let span = v.map_or(Span { at: 0, end: 0 }, |v| Span { at: v.at, end: v.at + v.len });
        if span.len() >= 8 {
            tflite::hidden(file.blob, span, what, cx)?;
        }
        out.push(span);
    }
    Ok(out)
}

/// Where tensors begin in a segment: what is left of it from each offset on.
fn offsets(file: &mut File<'_>, t: &Table, cx: &mut Cx<'_>) -> Result<Vec<u64>, Stop> {
    const MAX_LOOKED_AT: usize = 20_000;
    file.newer(t, 2, "offsets into a segment", cx);
    let index = file.flat.scalar(t, 0, 4, 0)?;
    let list = file.flat.vector(t, 1, 8)?;
    let count = list.map_or(0, |v| v.len);
    cx.budget.entries(count)?;
    cx.budget.memory(count * 8)?;
    let segment = usize::try_from(index).ok().and_then(|i| file.segments.get(i)).copied();
    // The first offset is a place holder; alone it needs no segment.
    if segment.is_none() && count > 1 {
        let detail = format!("offsets into segment {index} of {}", file.segments.len());
        file.wrong(t.at, "executorch-segment-index", detail, cx);
    }
    let span = segment.unwrap_or(Span { at: 0, end: 0 });
    let mut out = Vec::new();
    for i in 0..count {
        let Some(v) = list else { break };
        let offset = file.flat.number(v.at + 8 * i, 8)?;
        match span.at.checked_add(offset).filter(|at| *at <= span.end) {
            Some(at) => {
                let rest = Span { at, end: span.end };
                if rest.len() >= 8 && out.len() < MAX_LOOKED_AT {
                    tflite::hidden(file.blob, rest, "a tensor", cx)?;
                }
                out.push(rest.len());
            }
            None => {
                if segment.is_some() {
                    let detail = format!("a tensor at {offset} of a segment of {} bytes", span.len());
                    file.wrong(t.at, "executorch-offset-outside", detail, cx);
                }
                out.push(0);
            }
        }
    }
    Ok(out)
}

fn plan(
    file: &mut File<'_>,
    at: u64,
    buffers: &Buffers,
    delegated: usize,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    let t = file.flat.table(at, cx)?;
    file.newer(&t, 10, "a method", cx);
    file.flat.string(&t, 0)?;
    if let Some(meta) = file.flat.sub(&t, 1, cx)? {
        file.flat.string(&meta, 0)?;
        file.flat.string(&meta, 1)?;
    }
    let planned = memory(file, &t, cx)?;
    let values = file.flat.tables(&t, 2, cx)?;
    let count = values.len();
    for value in values {
        tensor::value(file, value, count, buffers, &planned, cx)?;
    }
    for (slot, what) in [(3, "an input"), (4, "an output")] {
        indices(file, &t, slot, count, what, cx)?;
    }
    let operators = operators(file, &t, cx)?;
    let delegates = delegates(file, &t, delegated, cx)?;
    for chain in file.flat.tables(&t, 5, cx)? {
        self::chain(file, chain, [count, operators, delegates], cx)?;
    }
    Ok(())
}

/// Sizes of the memory that a method is given.
fn memory(file: &mut File<'_>, t: &Table, cx: &mut Cx<'_>) -> Result<Vec<u64>, Stop> {
    let mut out = Vec::new();
    if let Some(v) = file.flat.vector(t, 8, 8)? {
        cx.budget.entries(v.len)?;
        for i in 0..v.len {
            let size = file.flat.number(v.at + 8 * i, 8)?;
            if size > i64::MAX as u64 {
                file.wrong(t.at, "executorch-memory-size", "memory of negative size".into(), cx);
            }
            out.push(size);
        }
    }
    for at in file.flat.tables(t, 9, cx)? {
        file.flat.table(at, cx)?;
    }
    Ok(out)
}

/// Indices of values.
pub(super) fn indices(
    file: &mut File<'_>,
    t: &Table,
    slot: usize,
    count: usize,
    what: &str,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    for index in file.flat.ints(t, slot, cx)? {
        known(file, t.at, i64::from(index), count, &format!("{what}: value"), cx);
    }
    Ok(())
}

fn known(file: &mut File<'_>, at: u64, index: i64, count: usize, what: &str, cx: &mut Cx<'_>) {
    if usize::try_from(index).map_or(true, |i| i >= count) {
        file.wrong(at, "executorch-index", format!("{what} {index} of {count}"), cx);
    }
}

fn operators(file: &mut File<'_>, t: &Table, cx: &mut Cx<'_>) -> Result<usize, Stop> {
    let tables = file.flat.tables(t, 6, cx)?;
    for at in &tables {
        let op = file.flat.table(*at, cx)?;
        file.newer(&op, 2, "an operator", cx);
        let name = file.flat.string(&op, 0)?.unwrap_or_default();
        file.flat.string(&op, 1)?;
        let name = shown(&name);
        let code = match registered(&name) {
            Some(operator) => operator.code(),
            None => Some("torch-unknown"),
        };
        if let Some(code) = code {
            cx.fact(Some(*at), operator_fact(code, &name, "an operator of a program".into()));
        }
    }
    Ok(tables.len())
}

fn delegates(file: &mut File<'_>, t: &Table, inline: usize, cx: &mut Cx<'_>) -> Result<usize, Stop> {
    let tables = file.flat.tables(t, 7, cx)?;
    for at in &tables {
        let delegate = file.flat.table(*at, cx)?;
        file.newer(&delegate, 3, "a delegate", cx);
        let id = file.flat.string(&delegate, 0)?.unwrap_or_default();
        backend(&shown(&id), *at, cx);
        if let Some(data) = file.flat.sub(&delegate, 1, cx)? {
            let in_segment = file.flat.scalar(&data, 0, 1, 0)? == 1;
            let index = file.flat.scalar(&data, 1, 4, 0)?;
            let count = if in_segment { file.segments.len() } else { inline };
            known(file, data.at, index as i64, count, "a delegate's data", cx);
        }
        for spec in file.flat.tables(&delegate, 2, cx)? {
            let spec = file.flat.table(spec, cx)?;
            file.flat.string(&spec, 0)?;
            if let Some(v) = file.flat.vector(&spec, 1, 1)?
                && v.len >= 8
            {
                tflite::hidden(
                    file.blob,
                    Span { at: v.at, end: v.at + v.len },
                    "a setting of a delegate",
                    cx,
                )?;
            }
        }
    }
    Ok(tables.len())
}

/// Tells a backend that is not known to take a description of a graph only.
pub(super) fn backend(id: &str, at: u64, cx: &mut Cx<'_>) {
    if BACKENDS.contains(&id) {
        return;
    }
    let code = if NATIVE.contains(&id) { "executorch-native" } else { "executorch-delegate" };
    let detail = "a delegate of a program".to_string();
    cx.fact(Some(at), FactKind::Operator { code: code.into(), op: id.into(), detail });
}

/// Instructions: what they call, and the values they take.
fn chain(file: &mut File<'_>, at: u64, counts: [usize; 3], cx: &mut Cx<'_>) -> Result<(), Stop> {
    let [values, operators, delegates] = counts;
    let t = file.flat.table(at, cx)?;
    file.newer(&t, 4, "a chain", cx);
    indices(file, &t, 0, values, "an input of a chain", cx)?;
    indices(file, &t, 1, values, "an output of a chain", cx)?;
    let instructions = file.flat.tables(&t, 2, cx)?;
    let count = instructions.len();
    for at in instructions {
        let i = file.flat.table(at, cx)?;
        file.newer(&i, 2, "an instruction", cx);
        let kind = file.flat.scalar(&i, 0, 1, 0)?;
        let Some(args) = file.flat.sub(&i, 1, cx)? else { continue };
        let first = i64::from(file.flat.scalar(&args, 0, 4, 0)? as u32 as i32);
        let second = i64::from(file.flat.scalar(&args, 1, 4, 0)? as u32 as i32);
        match kind {
            1 | 2 => {
                let (of, what) = if kind == 1 { (operators, "operator") } else { (delegates, "delegate") };
                known(file, at, first, of, &format!("an instruction of {what}"), cx);
                indices(file, &args, 1, values, "an argument", cx)?;
            }
            3 => {
                known(file, at, first, values, "a move of value", cx);
                known(file, at, second, values, "a move to value", cx);
            }
            4 => {
                known(file, at, first, values, "a jump by value", cx);
                known(file, at, second, count + 1, "a jump to instruction", cx);
            }
            5 => known(file, at, first, values, "a release of value", cx),
            other => {
                let detail = format!("an instruction of kind {other}");
                file.wrong(at, "executorch-instruction", detail, cx);
            }
        }
    }
    for at in file.flat.tables(&t, 3, cx)? {
        let frames = file.flat.table(at, cx)?;
        for at in file.flat.tables(&frames, 0, cx)? {
            let frame = file.flat.table(at, cx)?;
            for slot in [0, 2, 3] {
                file.flat.string(&frame, slot)?;
            }
        }
    }
    Ok(())
}
