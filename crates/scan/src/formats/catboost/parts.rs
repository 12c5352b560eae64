//! The parts behind the core.

use super::{features, newer, sized};
use crate::cx::{Cx, Stop};
use crate::formats::cursor::Cursor;
use crate::formats::flatbuffer::Flat;
use wb_blob::Blob;
use wb_verdict::FactKind;

/// Tables of target statistics of categorical features.
pub(super) const STATISTICS: &str = "static_provider_v1";
/// Text features.
pub(super) const TEXT: &str = "text_process_v2\0";
/// Embedding features.
pub(super) const EMBEDDING: &str = "embed_process_v1";

/// Reads the tables; returns how many bytes they take.
pub(super) fn statistics(rest: &Blob, cx: &mut Cx<'_>) -> Result<u64, Stop> {
    let mut c = Cursor::new(rest);
    let count = match c.u32()? {
        u32::MAX => c.number(8)?,
        n => u64::from(n),
    };
    // Each has at least its size.
    if count > c.left() / 4 {
        let detail = format!("{count} tables announced, {} bytes left", c.left());
        cx.fact(
            Some(c.at),
            FactKind::Resource { code: "catboost-table-count".into(), detail: detail.clone() },
        );
        return Err(Stop::malformed(c.at, detail));
    }
    let mut end = c.at;
    for i in 0..count {
        cx.budget.entries(1)?;
        let (table, start) = sized(rest, end)?;
        if let Some(what) = one(&table, cx)? {
            cx.structure(start, "catboost-statistics", format!("table {i}: {what}"));
        }
        end = start + table.len();
    }
    Ok(end)
}

/// One `TCtrValueTable`; what an evaluator would read outside of it.
fn one(table: &Blob, cx: &mut Cx<'_>) -> Result<Option<String>, Stop> {
    let mut flat = Flat::new(table);
    flat.mark(0, 4);
    let root = flat.follow(0)?;
    let t = flat.table(root, cx)?;
    newer(&t, 5, "a table of statistics", 0, cx);
    let kind = match flat.sub(&t, 0, cx)? {
        Some(of) => features::combination(&mut flat, &of, 0, cx)?,
        None => return Ok(Some("statistics of nothing".into())),
    };
    let (index, values) = (flat.vector(&t, 1, 1)?, flat.vector(&t, 2, 1)?);
    let classes = flat.scalar(&t, 4, 4, 0)? as u32 as i32;
    super::explained(flat, table, 0, cx)?;
    let (Some(index), Some(values)) = (index, values) else {
        return Ok(Some("no index or no values".into()));
    };
    // Mean and count; classes of the target; one count.
    let size = match kind {
        0 | 1 => 4 * u64::try_from(classes).unwrap_or(0),
        2 | 3 => 8,
        4 | 5 => 4,
        other => return Ok(Some(format!("statistics of kind {other}"))),
    };
    if size == 0 {
        return Ok(Some(format!("{classes} classes of the target")));
    }
    let bytes = table.sub(index.at..index.at + index.len);
    buckets(&bytes, values.len / size, cx)
}

/// A hash table with open addressing: a bucket is a hash and an index, and the search ends at an empty one.
fn buckets(bytes: &Blob, values: u64, cx: &Cx<'_>) -> Result<Option<String>, Stop> {
    const BUCKET: u64 = 12;
    let n = bytes.len() / BUCKET;
    if !bytes.len().is_multiple_of(BUCKET) || !n.is_power_of_two() {
        return Ok(Some(format!("an index of {} bytes", bytes.len())));
    }
    let mut c = Cursor::new(bytes);
    let mut empty = 0u64;
    for _ in 0..n {
        cx.budget.steps(1)?;
        let hash = c.number(8)?;
        let at = u64::from(c.u32()?);
        if hash == u64::MAX {
            empty += 1;
        } else if at >= values {
            return Ok(Some(format!("value {at} of {values}")));
        }
    }
    Ok((empty == 0).then(|| format!("an index of {n} buckets of which none is empty: searches do not end")))
}
