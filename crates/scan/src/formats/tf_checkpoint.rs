//! TensorFlow checkpoints: the `.index` of a tensor bundle (V2) and the whole of a V1 checkpoint. Both are tables as LevelDB
//! writes them: <https://github.com/google/leveldb/blob/main/doc/table_format.md>. No loader runs anything of it; what can
//! hurt are sizes and offsets that lie, and what is hidden in it.
//!
//! The `.data-*` files beside a `.index` are raw tensors without any structure of their own.

use super::protobuf::{I32, LEN, Span, VARINT, Wire};
use super::{Claim, Coverage, Format, Probe, tf_proto};
use crate::analyses::{opaque, tf_graph::Node};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason, escape_bytes};

/// `.index` files and V1 checkpoints.
pub struct Checkpoint;

const MAGIC: &[u8; 8] = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb";
const FOOTER: u64 = 48;
/// Behind each block: how it is compressed, and a checksum.
const TRAILER: u64 = 5;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "TensorFlow checkpoints",
    ids: &[],
    loaders: "`tf.train.load_checkpoint`, Keras",
    judged: "tables, entries, string tensors",
    blind: "raw tensors are data; compressed blocks of version 1 are gaps",
    corpus: &[],
};

impl Format for Checkpoint {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "tf-checkpoint"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.tail.ends_with(MAGIC) && probe.blob.len() >= FOOTER { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        read(blob, cx).inspect_err(|stop| {
            if let Stop::Malformed { at, what } = stop {
                cx.structure(*at, "tensor-table-malformed", what.clone());
            }
        })
    }
}

#[derive(Clone, Copy)]
struct Handle {
    at: u64,
    len: u64,
}

fn varint(v: &[u8], at: &mut usize) -> Option<u64> {
    let mut n = 0u64;
    for i in 0..10 {
        let b = *v.get(*at)?;
        *at += 1;
        n |= u64::from(b & 0x7f).wrapping_shl(7 * i);
        if b & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

fn handle(v: &[u8], at: &mut usize) -> Option<Handle> {
    Some(Handle { at: varint(v, at)?, len: varint(v, at)? })
}

fn read(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let start = blob.len() - FOOTER;
    let footer = blob.read_range(start..blob.len())?;
    let mut at = 0;
    let bad = || Stop::malformed(start, "a table's footer without handles");
    let meta = handle(&footer, &mut at).ok_or_else(bad)?;
    let index = handle(&footer, &mut at).ok_or_else(bad)?;
    let mut table = Table {
        blob,
        used: vec![Span { at: start, end: blob.len() }],
        entries: Vec::new(),
        shards: None,
        held: 0,
    };
    table.block(meta, cx)?;
    let Some(index) = table.block(index, cx)? else { return table.finish(cx) };
    for (_, value) in entries(&index, cx)? {
        let mut at = 0;
        let Some(h) = handle(index.get(value).unwrap_or_default(), &mut at) else {
            return Err(Stop::malformed(start, "a table's index without handles"));
        };
        let Some(block) = table.block(h, cx)? else { continue };
        for (key, value) in entries(&block, cx)? {
            table.value(&key, Span { at: h.at + value.start as u64, end: h.at + value.end as u64 }, cx)?;
        }
    }
    table.finish(cx)
}

type Entry = (Vec<u8>, std::ops::Range<usize>);

/// Keys, which share their beginnings with the one before, and the places of values.
fn entries(block: &[u8], cx: &mut Cx<'_>) -> Result<Vec<Entry>, Stop> {
    const MAX_KEY: usize = 1 << 16;
    let bad = |at: usize| Stop::malformed(at as u64, "a table's block with impossible entries");
    let restarts = block.len().checked_sub(4).ok_or_else(|| bad(0))?;
    let n = block[restarts..].iter().rev().fold(0usize, |n, b| n << 8 | usize::from(*b));
    let end = n.checked_mul(4).and_then(|n| restarts.checked_sub(n)).ok_or_else(|| bad(restarts))?;
    let (mut at, mut key, mut out) = (0, Vec::new(), Vec::new());
    while at < end {
        cx.budget.entries(1)?;
        let here = at;
        let mut number = || varint(&block[..end], &mut at).and_then(|n| usize::try_from(n).ok());
        let (Some(shared), Some(own), Some(len)) = (number(), number(), number()) else {
            return Err(bad(here));
        };
        if shared > key.len() || own > MAX_KEY {
            return Err(bad(here));
        }
        key.truncate(shared);
        let value = at.checked_add(own).ok_or_else(|| bad(here))?;
        key.extend(block.get(at..value).ok_or_else(|| bad(here))?);
        at = value.checked_add(len).filter(|next| *next <= end).ok_or_else(|| bad(here))?;
        if key.len() > MAX_KEY {
            return Err(bad(here));
        }
        out.push((key.clone(), value..at));
    }
    Ok(out)
}

struct Table<'b> {
    blob: &'b Blob,
    /// Parts of the file that are explained.
    used: Vec<Span>,
    /// Shard, offset, size, name.
    entries: Vec<(u64, u64, u64, String)>,
    /// Set by the header of a bundle.
    shards: Option<u64>,
    held: u64,
}

impl Table<'_> {
    /// A block's content, if it is stored plainly.
    fn block(&mut self, h: Handle, cx: &mut Cx<'_>) -> Result<Option<Vec<u8>>, Stop> {
        const MAX_BLOCK: u64 = 48 << 20;
        let end =
            h.at.checked_add(h.len)
                .and_then(|n| n.checked_add(TRAILER))
                .filter(|end| *end <= self.blob.len());
        let Some(end) = end else { return Err(Stop::malformed(h.at, "a table's block outside the file")) };
        cx.budget.entries(1)?;
        self.used.push(Span { at: h.at, end });
        if h.len > MAX_BLOCK {
            cx.gap(
                GapReason::Limit("block-size".into()),
                Some(h.at),
                Some(h.len),
                "a very large block of a table",
            );
            return Ok(None);
        }
        let mut bytes = self.blob.read_range(h.at..end)?;
        let trailer = bytes.split_off(h.len as usize);
        let (kind, stored) =
            (trailer[0], u32::from_le_bytes([trailer[1], trailer[2], trailer[3], trailer[4]]));
        if masked(crc32c(&[&bytes, &trailer[..1]])) != stored {
            cx.structure(h.at, "tensor-table-checksum", "a block's checksum does not match");
        }
        if kind != 0 {
            let detail = format!("a block compressed by method {kind}");
            cx.gap(GapReason::UnsupportedVariant, Some(h.at), Some(h.len), detail);
            return Ok(None);
        }
        Ok(Some(bytes))
    }

    fn value(&mut self, key: &[u8], span: Span, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut w = Wire::new(self.blob);
        if key.is_empty() {
            return self.header(&mut w, span, cx);
        }
        if self.shards.is_none() {
            return slices(&mut w, span, cx);
        }
        self.entry(&mut w, key, span, cx)
    }

    /// BundleHeaderProto, or the meta data of a V1 checkpoint (SavedTensorSlices).
    fn header(&mut self, w: &mut Wire, span: Span, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut at = span;
        let mut v1 = false;
        // All fields of a bundle's header may have their default, and then it is empty.
        self.shards.get_or_insert(0);
        while let Some(f) = w.next(&mut at, cx)? {
            match (f.number, f.wire) {
                (1, VARINT) => self.shards = Some(f.value),
                (2, VARINT) | (3, LEN) => {}
                (1 | 2, LEN) => v1 = true,
                _ => w.unknown(&f, "BundleHeaderProto", cx)?,
            }
        }
        if v1 {
            self.shards = None;
            return slices(w, span, cx);
        }
        Ok(())
    }

    /// BundleEntryProto.
    fn entry(&mut self, w: &mut Wire, key: &[u8], span: Span, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let name = escape_bytes(&key[..key.len().min(200)]);
        let (mut dtype, mut shard, mut offset, mut size) = (0, 0, 0u64, 0u64);
        let (mut count, mut sliced) = (Some(1u64), false);
        let (at, mut span) = (span.at, span);
        while let Some(f) = w.next(&mut span, cx)? {
            match (f.number, f.wire) {
                (1, VARINT) => dtype = f.value,
                (2, LEN) => count = elements(w, f.span(), count, cx)?,
                (3, VARINT) => shard = f.value,
                (4, VARINT) => offset = f.value,
                (5, VARINT) => size = f.value,
                (6, I32) => {}
                (7, LEN) => sliced = true,
                _ => w.unknown(&f, "BundleEntryProto", cx)?,
            }
        }
        let Some(count) = count else {
            let detail = format!("{name}: the number of elements overflows");
            cx.fact(Some(at), FactKind::Resource { code: "tensor-size-overflow".into(), detail });
            return Ok(());
        };
        if i64::try_from(offset).is_err()
            || i64::try_from(size).is_err()
            || offset.checked_add(size).is_none()
        {
            let detail = format!("{name}: bytes from {offset}, {size} of them");
            cx.fact(Some(at), FactKind::Resource { code: "tensor-size-overflow".into(), detail });
            return Ok(());
        }
        if self.shards.is_some_and(|n| shard >= n.max(1)) {
            cx.structure(
                at,
                "tensor-bundle-shard",
                format!("{name}: in shard {shard}, which does not exist"),
            );
        }
        if let Some(each) = width(dtype)
            && !sliced
            && count.checked_mul(each) != Some(size)
        {
            let detail = format!("{name}: {count} elements of {each} bytes in {size} bytes");
            cx.structure(at, "tensor-bundle-size", detail);
        }
        self.held += 96 + name.len() as u64;
        cx.budget.memory(self.held)?;
        self.entries.push((shard, offset, size, name));
        Ok(())
    }

    /// Overlaps, and bytes of no block.
    fn finish(mut self, cx: &mut Cx<'_>) -> Result<(), Stop> {
        const MAX_TOLD: usize = 50;
        self.entries.sort();
        let overlaps =
            self.entries.windows(2).filter(|p| p[0].0 == p[1].0 && p[0].1 + p[0].2 > p[1].1 && p[1].2 > 0);
        for pair in overlaps.take(MAX_TOLD) {
            cx.structure(0, "tensor-overlap", format!("{} begins within {}", pair[1].3, pair[0].3));
        }
        self.used.sort_by_key(|s| s.at);
        let mut cursor = 0;
        for s in std::mem::take(&mut self.used) {
            if s.at > cursor {
                unexplained(self.blob, cursor, s.at, cx)?;
            } else if s.at < cursor {
                cx.structure(s.at, "tensor-table-overlap", "two blocks of a table overlap");
            }
            cursor = cursor.max(s.end);
        }
        Ok(())
    }
}

fn unexplained(blob: &Blob, from: u64, to: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let part = blob.sub(from..to);
    cx.gap(GapReason::Unexplained, Some(from), Some(to - from), "bytes of no block of the table");
    if let Some(what) = opaque::hidden(&part, &part.head(4096)?) {
        let detail = "between the blocks of a table".to_string();
        cx.fact(Some(from), FactKind::Hidden { code: what.into(), detail });
        cx.member(format!("(bytes at {from:#x})").as_bytes(), &part);
    }
    Ok(())
}

/// TensorShapeProto: the product of its dimensions.
fn elements(
    w: &mut Wire,
    mut span: Span,
    mut count: Option<u64>,
    cx: &mut Cx<'_>,
) -> Result<Option<u64>, Stop> {
    while let Some(f) = w.next(&mut span, cx)? {
        if (f.number, f.wire) != (2, LEN) {
            continue;
        }
        let (mut inner, mut size) = (f.span(), 0);
        while let Some(d) = w.next(&mut inner, cx)? {
            if (d.number, d.wire) == (1, VARINT) {
                size = d.value;
            }
        }
        count = count.filter(|_| i64::try_from(size).is_ok()).and_then(|n| n.checked_mul(size));
    }
    Ok(count)
}

/// Bytes per element of `tensorflow.DataType`; strings, variants and packed types have no fixed width.
fn width(dtype: u64) -> Option<u64> {
    Some(match dtype {
        4 | 6 | 10 | 11 | 12 | 24 | 25 => 1,
        5 | 14 | 15 | 16 | 17 | 19 => 2,
        1 | 3 | 13 | 22 => 4,
        2 | 8 | 9 | 23 => 8,
        18 => 16,
        _ => return None,
    })
}

/// SavedTensorSlices of a V1 checkpoint: names, shapes, and tensors as messages.
fn slices(w: &mut Wire, mut span: Span, cx: &mut Cx<'_>) -> Result<(), Stop> {
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => {}
            (2, LEN) => {
                let mut inner = f.span();
                while let Some(s) = w.next(&mut inner, cx)? {
                    match (s.number, s.wire) {
                        (1 | 2, LEN) => {}
                        (3, LEN) => tf_proto::tensor(w, s.span(), &mut Node::default(), 0, cx)?,
                        _ => w.unknown(&s, "SavedSlice", cx)?,
                    }
                }
            }
            _ => w.unknown(&f, "SavedTensorSlices", cx)?,
        }
    }
    Ok(())
}

/// CRC-32C (Castagnoli), RFC 3720.
fn crc32c(parts: &[&[u8]]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0u32; 256];
        let mut i = 0;
        while i < 256 {
            let (mut c, mut k) = (i as u32, 0);
            while k < 8 {
                c = if c & 1 == 1 { c >> 1 ^ 0x82f6_3b78 } else { c >> 1 };
                k += 1;
            }
            table[i] = c;
            i += 1;
        }
        table
    };
    let bytes = parts.iter().flat_map(|p| p.iter());
    !bytes.fold(!0u32, |c, b| c >> 8 ^ TABLE[(c as u8 ^ b) as usize])
}

/// LevelDB's masking of checksums that are stored beside what they are of.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums() {
        assert_eq!(crc32c(&[b"123456789"]), 0xe306_9283);
        assert_eq!(crc32c(&[b"1234", b"56789"]), 0xe306_9283);
    }
}
