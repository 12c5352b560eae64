//! Arrays, one after the other, then their names (`NDArray::Load` and `NDArray::LegacyLoad` of MXNet 1.9, `src/ndarray/ndarray.cc`).
//! The loader allocates what a shape asks for and reads that much.

use super::super::cursor::Cursor;
use super::super::{leftover, safetensors};
use crate::cx::{Cx, Stop};
use std::ops::Range;
use wb_blob::Blob;
use wb_verdict::{FactKind, escape_bytes};

/// `kMXAPINDArrayListMagic`, and a word that is kept free.
pub(super) const MAGIC: &[u8] = b"\x12\x01\0\0\0\0\0\0";
/// Arrays with sparse storage, and those of numpy's semantics.
const V2: u32 = 0xF993_FAC9;
const V3: u32 = 0xF993_FACA;
/// Shapes of 64 bits.
const V1: u32 = 0xF993_FAC8;
/// Arrays of more dimensions than this are none of a model.
const MAX_DIMENSIONS: u32 = 64;

/// The number of elements of a shape of `dims` dimensions of `size` bytes each.
fn elements(r: &mut Cursor, dims: u32, size: usize) -> Result<u64, Stop> {
    let start = r.at;
    if dims > MAX_DIMENSIONS {
        return Err(Stop::malformed(start, format!("an array of {dims} dimensions")));
    }
    let (mut elements, mut without_zeros) = (1u64, 1u64);
    for _ in 0..dims {
        let d = r.number(size)?;
        let d = if size == 8 { u64::try_from(d as i64).ok() } else { Some(d) };
        let d = d.ok_or_else(|| Stop::malformed(start, "an array of a negative dimension"))?;
        let product = without_zeros.checked_mul(d.max(1)).filter(|n| *n < 1 << 62);
        without_zeros =
            product.ok_or_else(|| Stop::malformed(start, "an array whose number of elements overflows"))?;
        elements = elements.saturating_mul(d);
    }
    Ok(elements)
}

/// Bytes of one element (`mshadow::TypeFlag`).
fn element(kind: u32) -> Option<u64> {
    Some(match kind {
        0 | 4 | 10 => 4,
        1 | 6 | 11 => 8,
        2 | 8 | 9 | 12 => 2,
        3 | 5 | 7 => 1,
        _ => return None,
    })
}

pub(super) fn read(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut r = Cursor::new(blob);
    r.skip(8, 1, "bytes of the magic number")?;
    if r.number(8)? != 0 {
        cx.structure(8, "mxnet-header", "the reserved word of the header is not zero");
    }
    let count = r.number(8)?;
    announced(count, 4, &r, "arrays", cx)?;
    let mut arrays: Vec<Range<u64>> = Vec::new();
    for _ in 0..count {
        cx.budget.entries(1)?;
        cx.budget.memory(arrays.len() as u64 * 64)?;
        array(&mut r, &mut arrays)?;
    }
    let names = r.number(8)?;
    announced(names, 8, &r, "names", cx)?;
    if names != 0 && names != count {
        cx.structure(r.at - 8, "mxnet-names", format!("{names} names for {count} arrays"));
    }
    let mut shown = Vec::new();
    for _ in 0..names {
        cx.budget.entries(1)?;
        let len = r.number(8)?;
        let text = r.bytes(len, 200, "bytes of a name")?;
        if shown.len() < arrays.len() {
            shown.push(escape_bytes(&text));
        }
    }
    let end = r.at;
    safetensors::heads(
        blob,
        arrays.iter().enumerate().map(|(i, range)| {
            (shown.get(i).map_or("(an array without a name)", String::as_str), range.clone())
        }),
        cx,
    )?;
    if end < blob.len() {
        leftover::record(blob, end, "mxnet-trailing-bytes", "the names are its end", cx)?;
    }
    Ok(())
}

fn announced(count: u64, least: u64, r: &Cursor, what: &str, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let left = r.left();
    if count.checked_mul(least).is_some_and(|n| n <= left) {
        return Ok(());
    }
    let detail = format!("{count} {what} announced, {left} bytes left");
    cx.fact(Some(r.at), FactKind::Resource { code: "mxnet-impossible-count".into(), detail: detail.clone() });
    Err(Stop::malformed(r.at, detail))
}

/// One array; its data is noted. Of sparse arrays the parts beside the values are too.
fn array(r: &mut Cursor, arrays: &mut Vec<Range<u64>>) -> Result<(), Stop> {
    let start = r.at;
    let magic = r.u32()?;
    if magic != V2 && magic != V3 {
        return old_array(r, magic, arrays);
    }
    // 1 holds rows, 2 is compressed by rows: one and two arrays of indices beside the values.
    let parts = match r.u32()? {
        0 => 0,
        1 => 1,
        2 => 2,
        n => return Err(Stop::malformed(start, format!("an array of storage type {}", n as i32))),
    };
    let stored = if parts > 0 { Some(shape(r, magic)?) } else { None };
    let Some(elements) = shape(r, magic)? else {
        // Without a shape there is nothing more; a list keeps a place per name.
        arrays.push(r.at..r.at);
        return Ok(());
    };
    r.skip(8, 1, "bytes of a context")?;
    let size = kind(r)?;
    let mut beside = Vec::new();
    for _ in 0..parts {
        let size = kind(r)?;
        beside.push((shape(r, magic)?.unwrap_or(0), size));
    }
    let elements = stored.map_or(elements, |s| s.unwrap_or(0));
    data(r, elements, size, arrays)?;
    for (elements, size) in beside {
        let bytes =
            elements.checked_mul(size).ok_or_else(|| Stop::malformed(start, "indices that overflow"))?;
        r.skip(bytes, 1, "bytes of indices")?;
    }
    Ok(())
}

/// Elements of a shape; `None` if it is not known.
fn shape(r: &mut Cursor, magic: u32) -> Result<Option<u64>, Stop> {
    let dims = r.u32()?;
    match (magic, dims) {
        (V3, u32::MAX) => Ok(None),
        // A scalar, with numpy's semantics.
        (V3, 0) => Ok(Some(1)),
        (_, 0) => Ok(None),
        _ => elements(r, dims, 8).map(Some),
    }
}

/// Arrays before 0.12: 64-bit dimensions behind a magic number, or 32-bit ones whose number stands in its place.
fn old_array(r: &mut Cursor, magic: u32, arrays: &mut Vec<Range<u64>>) -> Result<(), Stop> {
    let (dims, size) = if magic == V1 { (r.u32()?, 8) } else { (magic, 4) };
    let elements = elements(r, dims, size)?;
    if dims == 0 {
        arrays.push(r.at..r.at);
        return Ok(());
    }
    r.skip(8, 1, "bytes of a context")?;
    let size = kind(r)?;
    data(r, elements, size, arrays)
}

fn kind(r: &mut Cursor) -> Result<u64, Stop> {
    let at = r.at;
    let kind = r.u32()?;
    element(kind).ok_or_else(|| Stop::malformed(at, format!("elements of type {kind}")))
}

fn data(r: &mut Cursor, elements: u64, size: u64, arrays: &mut Vec<Range<u64>>) -> Result<(), Stop> {
    let bytes = elements.checked_mul(size);
    let bytes = bytes.ok_or_else(|| Stop::malformed(r.at, "an array whose number of bytes overflows"))?;
    let start = r.skip(bytes, 1, "bytes of an array")?;
    arrays.push(start..r.at);
    Ok(())
}
