//! Tensors of TensorFlow Lite: shapes and types against the buffers they refer to.

use super::flatbuffer::Table;
use super::tflite::Model;
use crate::cx::{Cx, Stop};
use wb_verdict::FactKind;

/// One tensor: its buffer must exist and hold what the shape says.
pub(super) fn tensor(m: &mut Model<'_>, at: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let t = m.flat.table(at, cx)?;
    m.newer(&t, 11, "a tensor", cx);
    let shape = m.flat.ints(&t, 0, cx)?;
    let kind = m.flat.scalar(&t, 1, 1, 0)?;
    let buffer = m.flat.scalar(&t, 2, 4, 0)?;
    let name = m.flat.string(&t, 3)?.unwrap_or_default();
    let name = wb_verdict::escape_bytes(&name[..name.len().min(100)]);
    quantization(m, &t, cx)?;
    let sparse = sparsity(m, &t, cx)?;
    m.skip(&t, &[(7, 4)])?;
    for variant in m.flat.tables(&t, 9, cx)? {
        let v = m.flat.table(variant, cx)?;
        m.skip(&v, &[(0, 4)])?;
        m.newer(&v, 3, "a variant", cx);
    }
    let Some(bytes) = usize::try_from(buffer).ok().and_then(|n| m.buffers.get(n).copied()) else {
        let detail = format!("tensor {name} in buffer {buffer}, which does not exist");
        m.wrong(at, "tflite-buffer-index", detail, cx);
        return Ok(());
    };
    // Negative sizes are those known only at run time; such tensors have no data.
    let mut elements = Some(1u64);
    for d in &shape {
        elements = elements.and_then(|n| n.checked_mul(u64::try_from(*d).unwrap_or(0)));
    }
    let Some(elements) = elements.filter(|n| *n < 1 << 62) else {
        let detail = format!("tensor {name}: the number of elements overflows");
        cx.fact(Some(at), FactKind::Resource { code: "tensor-size-overflow".into(), detail });
        return Ok(());
    };
    let Some(bits) = bits(kind) else {
        if kind > 20 {
            m.wrong(at, "tflite-unknown-type", format!("tensor {name} of type {kind}"), cx);
        }
        return Ok(());
    };
    let need = elements.saturating_mul(bits).div_ceil(8);
    if let Some(have) = bytes.filter(|n| *n > 0)
        && have < need
        && !sparse
    {
        let detail = format!("tensor {name} of {need} bytes in a buffer of {have}");
        m.wrong(at, "tflite-buffer-too-small", detail, cx);
    }
    Ok(())
}

/// Width of a TensorType; strings, resources and variants have none.
fn bits(kind: u64) -> Option<u64> {
    Some(match kind {
        0 | 2 | 15 => 32,
        1 | 7 | 16 | 18 => 16,
        3 | 6 | 9 => 8,
        4 | 8 | 10 | 12 => 64,
        11 => 128,
        17 | 20 => 4,
        19 => 2,
        _ => return None,
    })
}

fn quantization(m: &mut Model<'_>, t: &Table, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let Some(q) = m.flat.sub(t, 4, cx)? else { return Ok(()) };
    m.newer(&q, 7, "a quantization", cx);
    m.skip(&q, &[(0, 4), (1, 4), (2, 4), (3, 8)])?;
    if let Some(details) = m.flat.sub(&q, 5, cx)?
        && m.flat.scalar(&q, 4, 1, 0)? == 1
    {
        m.skip(&details, &[(0, 1)])?;
    }
    Ok(())
}

/// True if the tensor is sparse, so that its buffer holds fewer elements than its shape.
fn sparsity(m: &mut Model<'_>, t: &Table, cx: &mut Cx<'_>) -> Result<bool, Stop> {
    let Some(s) = m.flat.sub(t, 6, cx)? else { return Ok(false) };
    m.newer(&s, 3, "a sparsity", cx);
    m.skip(&s, &[(0, 4), (1, 4)])?;
    for at in m.flat.tables(&s, 2, cx)? {
        let d = m.flat.table(at, cx)?;
        m.newer(&d, 6, "a dimension's metadata", cx);
        for (kind, slot) in [(2, 3), (4, 5)] {
            let width = match m.flat.scalar(&d, kind, 1, 0)? {
                1 => 4,
                2 => 2,
                _ => 1,
            };
            if let Some(values) = m.flat.sub(&d, slot, cx)? {
                m.skip(&values, &[(0, width)])?;
            }
        }
    }
    Ok(true)
}
