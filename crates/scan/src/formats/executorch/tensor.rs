//! Values: tensors and what their sizes say of the memory they lie in.

use super::super::flatbuffer::Table;
use super::File;
use super::plan;
use crate::cx::{Cx, Stop};

/// Where constants lie: the bytes that each has at most.
pub(super) struct Buffers {
    /// In the FlatBuffer.
    pub inline: Vec<u64>,
    /// From each offset of the segment of constants on.
    pub constants: Vec<u64>,
    /// The same for the initial values of mutable tensors.
    pub mutable: Vec<Vec<u64>>,
}

/// One value.
pub(super) fn value(
    file: &mut File<'_>,
    at: u64,
    count: usize,
    buffers: &Buffers,
    planned: &[u64],
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    let t = file.flat.table(at, cx)?;
    file.newer(&t, 2, "a value", cx);
    let kind = file.flat.scalar(&t, 0, 1, 0)?;
    let Some(value) = file.flat.sub(&t, 1, cx)? else { return Ok(()) };
    match kind {
        5 => tensor(file, &value, buffers, planned, cx)?,
        6 => {
            file.flat.string(&value, 0)?;
        }
        7 => {
            if let Some(v) = file.flat.vector(&value, 0, 8)? {
                cx.budget.entries(v.len)?;
                for i in 0..v.len {
                    let index = file.flat.number(v.at + 8 * i, 8)?;
                    if index >= count as u64 {
                        let detail = format!("a list of numbers: value {index} of {count}");
                        file.wrong(at, "executorch-index", detail, cx);
                    }
                }
            }
        }
        8 => {
            file.flat.vector(&value, 0, 8)?;
        }
        9 => {
            file.flat.vector(&value, 0, 1)?;
        }
        10 => plan::indices(file, &value, 0, count, "a list of tensors", cx)?,
        11 => {
            for index in file.flat.ints(&value, 0, cx)? {
                if index != -1 && usize::try_from(index).map_or(true, |i| i >= count) {
                    let detail = format!("a list of tensors: value {index} of {count}");
                    file.wrong(at, "executorch-index", detail, cx);
                }
            }
        }
        0..=4 => {}
        other => file.wrong(at, "executorch-value", format!("a value of kind {other}"), cx),
    }
    Ok(())
}

/// Bytes of an element, by the number of its type (`c10/core/ScalarType.h`).
fn width(kind: u64) -> Option<u64> {
    Some(match kind {
        0 | 1 | 11 | 12 | 13 | 16..=21 | 23..=26 => 1,
        2 | 5 | 15 | 22 | 27 => 2,
        3 | 6 | 8 | 14 | 28 => 4,
        4 | 7 | 9 | 29 => 8,
        10 => 16,
        _ => return None,
    })
}

fn tensor(
    file: &mut File<'_>,
    t: &Table,
    buffers: &Buffers,
    planned: &[u64],
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    file.newer(t, 10, "a tensor", cx);
    let kind = file.flat.scalar(t, 0, 1, 0)?;
    let sizes = file.flat.ints(t, 2, cx)?;
    let order = match file.flat.vector(t, 3, 1)? {
        Some(v) => (0..v.len).map(|i| file.flat.number(v.at + i, 1)).collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    let buffer = file.flat.scalar(t, 5, 4, 0)?;
    let allocation = file.flat.sub(t, 6, cx)?;
    let mut external = false;
    let mut segment = 0;
    if let Some(extra) = file.flat.sub(t, 9, cx)? {
        file.newer(&extra, 5, "details of a tensor", cx);
        segment = file.flat.scalar(&extra, 0, 8, 0)?;
        file.flat.string(&extra, 1)?;
        external = file.flat.scalar(&extra, 2, 1, 0)? == 1;
    }
    let mut seen = vec![false; sizes.len()];
    let ordered = order.len() == sizes.len()
        && order.iter().all(|d| {
            let slot = usize::try_from(*d).ok().and_then(|d| seen.get_mut(d));
            slot.is_some_and(|s| !std::mem::replace(s, true))
        });
    if !ordered {
        file.wrong(t.at, "executorch-dim-order", format!("dimensions {order:?} of {}", sizes.len()), cx);
    }
    let bytes = sizes.iter().try_fold(width(kind), |n, size| {
        let size = u64::try_from(*size).ok()?;
        Some(n.and_then(|n| n.checked_mul(size)))
    });
    let Some(Some(bytes)) = bytes.filter(|b| b.is_none_or(|n| n <= i64::MAX as u64)) else {
        let detail = format!("a tensor of type {kind} and sizes {sizes:?}");
        file.wrong(t.at, "executorch-tensor-size", detail, cx);
        return Ok(());
    };
    if let Some(allocation) = &allocation {
        let id = file.flat.scalar(allocation, 0, 4, 0)?;
        let low = file.flat.scalar(allocation, 1, 4, 0)?;
        let high = file.flat.scalar(allocation, 2, 4, 0)?;
        let end = (high << 32 | low).checked_add(bytes);
        let room = usize::try_from(id).ok().and_then(|i| planned.get(i)).copied();
        if id == 0 || room.is_none() || end.is_none_or(|e| Some(e) > room) {
            let detail = format!("{bytes} bytes at {} of memory {id}, which has {room:?}", high << 32 | low);
            file.wrong(t.at, "executorch-memory-outside", detail, cx);
        }
    }
    if buffer > 0 && !external {
        let list = match &allocation {
            Some(_) => usize::try_from(segment).ok().and_then(|i| buffers.mutable.get(i)),
            None if buffers.inline.is_empty() => Some(&buffers.constants),
            None => Some(&buffers.inline),
        };
        let room = list.and_then(|l| l.get(usize::try_from(buffer).ok()?)).copied();
        if room.is_none_or(|room| bytes > room) {
            let detail = format!("a tensor of {bytes} bytes in buffer {buffer}, which has {room:?}");
            file.wrong(t.at, "executorch-buffer-outside", detail, cx);
        }
    }
    Ok(())
}
