//! Datasets: where their elements are, whether the file holds what the shape says, and what begins there.

use super::file::{Fields, File, UNDEFINED};
use super::heap;
use super::message::{self, Index, Layout, Type, kind};
use super::object::{self, Message};
use super::{External, Names, array};
use crate::analyses::opaque;
use crate::cx::{Cx, Stop};
use crate::formats::codec::Codec;
use crate::formats::decoded;
use std::collections::HashSet;
use wb_blob::Blob;
use wb_verdict::{FactKind, escape_bytes};

/// Filters by number (registered with The HDF Group).
const DEFLATE: u16 = 1;
const SHUFFLE: u16 = 2;
const FLETCHER32: u16 = 3;

/// Deflate expands by at most this factor (RFC 1951: 258 bytes in two bits, nearly).
const MAX_RATIO: u64 = 1100;
/// Below this, a shape that is not backed by data harms nobody.
const SMALL: u64 = 16 << 20;

/// What one dataset is made of.
struct Dataset {
    dims: Vec<u64>,
    count: Option<u64>,
    kind: Type,
    filters: Vec<(u16, u32)>,
}

/// Judges the dataset of these messages.
pub(super) fn dataset(
    file: &mut File,
    messages: &[Message],
    names: &mut Names,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    let Some(layout_at) = messages.iter().find(|m| m.kind == kind::LAYOUT) else { return Ok(()) };
    let body = |file: &mut File, wanted: u16, cx: &Cx<'_>| -> Result<Option<Vec<u8>>, Stop> {
        match messages.iter().find(|m| m.kind == wanted) {
            Some(m) if m.is_shared() => object::shared(file, wanted, &m.body, cx).map(Some),
            Some(m) => Ok(Some(m.body.clone())),
            None => Ok(None),
        }
    };
    let at = layout_at.at;
    let space = body(file, kind::DATASPACE, cx)?.and_then(|b| message::elements(&b, file.length));
    let datatype = body(file, kind::DATATYPE, cx)?.and_then(|b| message::datatype(&b));
    let (Some((dims, count)), Some(kind)) = (space, datatype) else {
        return Err(file.broken(at, "a dataset of unreadable type or shape"));
    };
    let filters = match body(file, kind::FILTERS, cx)? {
        Some(b) => message::filters(&b).ok_or_else(|| file.broken(at, "filters that cannot be read"))?,
        None => Vec::new(),
    };
    let d = Dataset { dims, count, kind, filters };
    let external = external(file, messages, names, cx)?;
    let Some(layout) = message::layout(&layout_at.body, file.offset, file.length) else {
        return Err(file.broken(at, "a dataset whose layout cannot be read"));
    };
    let declared = d.count.and_then(|n| n.checked_mul(d.kind.size));
    let stored = match layout {
        Layout::Compact(bytes) => {
            look(&Blob::from_vec(bytes.clone()), at, file, names, cx);
            Some(bytes.len() as u64)
        }
        Layout::Contiguous(UNDEFINED, _) => Some(0),
        Layout::Contiguous(..) if external => None,
        Layout::Contiguous(address, size) => Some(contiguous(file, at, address, size, declared, names, cx)?),
        Layout::Chunked { address: UNDEFINED, .. } => Some(0),
        Layout::Chunked { index, address, ref dims } => {
            chunks(file, at, &d, index, address, dims, names, cx)?
        }
        Layout::Virtual(address, index) => {
            virtual_dataset(file, address, index, names, cx)?;
            None
        }
    };
    size(file, at, declared, stored, names, cx);
    Ok(())
}

/// Does the shape claim more than is stored (CVE-2026-0897)?
fn size(
    file: &File,
    at: u64,
    declared: Option<u64>,
    stored: Option<u64>,
    names: &mut Names,
    cx: &mut Cx<'_>,
) {
    let stored = stored.unwrap_or(u64::MAX / MAX_RATIO);
    let excess = match declared {
        None => true,
        Some(n) => {
            names.unbacked =
                names.unbacked.saturating_add(n.saturating_sub(stored.saturating_mul(MAX_RATIO)));
            n > SMALL && n / MAX_RATIO > stored
        }
    };
    if excess {
        let claim = declared.map_or("more than any number of bytes".to_string(), |n| format!("{n} bytes"));
        let detail = format!("{}: the shape claims {claim}, {stored} are stored", escape_bytes(&names.path));
        cx.fact(Some(file.base + at), FactKind::Resource { code: "hdf5-dataset-size".into(), detail });
    }
}

/// Raw data in other files (message "external data files"; CVE-2026-1669).
fn external(file: &mut File, messages: &[Message], names: &Names, cx: &mut Cx<'_>) -> Result<bool, Stop> {
    let Some(m) = messages.iter().find(|m| m.kind == kind::EXTERNAL) else { return Ok(false) };
    let mut f = Fields::new(&m.body);
    let list = (|| {
        f.skip(6)?;
        let used = f.u16()?;
        Some((used, f.address(file.offset)?))
    })();
    let Some((used, heap)) = list else {
        return Err(file.broken(m.at, "a list of external files that cannot be read"));
    };
    let names_of = heap::local(file, heap, cx);
    for _ in 0..used {
        let Some(name) = f.uint(file.length) else { break };
        let _ = f.skip(2 * file.length);
        let name = names_of.as_ref().ok().and_then(|h| {
            let start = usize::try_from(name).ok().filter(|s| *s < h.len())?;
            Some(Fields::new(&h[start..]).text().to_vec())
        });
        let name = name.unwrap_or_else(|| b"(unreadable)".to_vec());
        super::other_file(file, External::Data, &name, m.at, names, cx);
    }
    names_of.map(|_| true)
}

/// Source files of a virtual dataset (CVE-2026-12480), from its mapping in a global heap.
fn virtual_dataset(
    file: &mut File,
    heap: u64,
    index: u32,
    names: &mut Names,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    if heap == UNDEFINED || heap == 0 {
        return Ok(());
    }
    let block = names.heaps.object(file, heap, index, cx)?;
    let mut f = Fields::new(&block);
    let count = f.u8().and_then(|_| f.uint(file.length));
    let Some(count) = count else { return Err(file.broken(heap, "a virtual dataset that cannot be read")) };
    // Selections have no length of their own: behind the first mapping the names are looked for as text.
    let mut found = false;
    if count > 0 {
        let name = f.text().to_vec();
        if name != b"." {
            super::other_file(file, External::Virtual, &name, heap, names, cx);
        }
        found = true;
    }
    if count > 1 {
        const MAX_TOLD: usize = 100;
        let rest = &block[f.at().min(block.len())..];
        let printable = |b: &u8| (0x20..0x7f).contains(b) || *b >= 0x80;
        let texts = rest.split(|b| *b == 0).filter(|t| t.len() >= 4 && t.iter().all(printable));
        let mut said = HashSet::new();
        for text in texts.filter(|t| t.contains(&b'.') || t.contains(&b'/')).take(10_000) {
            // Names of datasets in the source begin with a slash and look like any path.
            if said.len() < MAX_TOLD && said.insert(text.to_vec()) && text != b"." {
                super::other_file(file, External::Mapped, text, heap, names, cx);
            }
        }
    }
    let _ = found;
    Ok(())
}

fn contiguous(
    file: &mut File,
    at: u64,
    address: u64,
    size: Option<u64>,
    declared: Option<u64>,
    names: &mut Names,
    cx: &mut Cx<'_>,
) -> Result<u64, Stop> {
    let size = size.or(declared).unwrap_or(0);
    if size == 0 {
        return Ok(0);
    }
    let end = address.saturating_add(size);
    if end > file.len() {
        let detail = format!("{}: data at {address:#x}..{end:#x} leave the file", escape_bytes(&names.path));
        cx.structure(file.base + at, "hdf5-data-out-of-bounds", detail);
    }
    if declared.is_some_and(|n| n > size) {
        let detail =
            format!("{}: the shape needs more than the {size} bytes stored", escape_bytes(&names.path));
        cx.structure(file.base + at, "hdf5-shape-exceeds-data", detail);
    }
    file.explain(address, end);
    let data = file.blob.sub(address..end);
    look(&data, address, file, names, cx);
    Ok(data.len())
}

/// What begins at the start of a run of elements.
fn look(data: &Blob, at: u64, file: &File, names: &Names, cx: &mut Cx<'_>) {
    const MIN: u64 = 16;
    const HEAD: usize = 256;
    if data.len() < MIN {
        return;
    }
    let head = match data.head(HEAD) {
        Ok(head) => head,
        Err(e) => return cx.stop(e.into()),
    };
    if let Some(what) = opaque::hidden(data, &head) {
        let detail = format!("at the start of dataset {}", escape_bytes(&names.path));
        cx.fact(Some(file.base + at), FactKind::Hidden { code: what.into(), detail });
        cx.member(&names.path, data);
    }
}

/// Walks an index of chunks; returns what is stored, or `None` where that cannot be told.
#[allow(clippy::too_many_arguments)]
fn chunks(
    file: &mut File,
    at: u64,
    d: &Dataset,
    index: Index,
    address: u64,
    dims: &[u64],
    names: &mut Names,
    cx: &mut Cx<'_>,
) -> Result<Option<u64>, Stop> {
    let whole = dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
    let Some(whole) = whole.filter(|n| *n > 0) else {
        return Err(file.broken(at, "chunks of impossible size"));
    };
    let mut seen = Seen { stored: 0, first: true };
    match index {
        Index::Tree1 => tree1(file, d, address, dims.len(), names, &mut seen, cx)?,
        Index::Single(size) => seen.chunk(file, d, address, size.unwrap_or(whole), names, cx)?,
        Index::Implicit => {
            let n = d.dims.iter().zip(dims).try_fold(1u64, |n, (d, c)| n.checked_mul(d.div_ceil(*c)));
            let size = n.and_then(|n| n.checked_mul(whole)).unwrap_or(u64::MAX);
            seen.chunk(file, d, address, size, names, cx)?;
        }
        Index::Tree2 => {
            let width = chunk_size_width(whole);
            for record in heap::tree2(file, address, cx)? {
                let mut f = Fields::new(&record);
                let Some(chunk) = f.address(file.offset) else { continue };
                let filtered = !d.filters.is_empty();
                let size = if filtered { f.uint(width).unwrap_or(whole) } else { whole };
                seen.chunk(file, d, chunk, size, names, cx)?;
            }
        }
        Index::FixedArray | Index::ExtensibleArray => {
            let entries = match index {
                Index::FixedArray => array::fixed(file, address, cx)?,
                _ => array::extensible(file, address, cx)?,
            };
            for (chunk, size) in entries {
                seen.chunk(file, d, chunk, size.unwrap_or(whole), names, cx)?;
            }
        }
    }
    Ok(Some(seen.stored))
}

/// Bytes in which the size of a filtered chunk is written.
fn chunk_size_width(whole: u64) -> usize {
    (1 + (whole.max(1).ilog2() as usize + 8) / 8).min(8)
}

/// What was seen of the chunks of one dataset.
struct Seen {
    stored: u64,
    first: bool,
}

impl Seen {
    fn chunk(
        &mut self,
        file: &mut File,
        d: &Dataset,
        at: u64,
        size: u64,
        names: &Names,
        cx: &mut Cx<'_>,
    ) -> Result<(), Stop> {
        cx.budget.entries(1)?;
        if at == UNDEFINED {
            return Ok(());
        }
        let end = at.saturating_add(size);
        if end > file.len() {
            let detail =
                format!("{}: a chunk at {at:#x}..{end:#x} leaves the file", escape_bytes(&names.path));
            cx.structure(file.base + at.min(file.len()), "hdf5-data-out-of-bounds", detail);
        }
        file.explain(at, end);
        let data = file.blob.sub(at..end);
        self.stored = self.stored.saturating_add(data.len());
        if self.first {
            self.first = false;
            match content(d, &data, cx) {
                Some(plain) => look(&plain, at, file, names, cx),
                None => look(&data, at, file, names, cx),
            }
        }
        Ok(())
    }
}

/// The elements of a chunk with the filters of the library itself taken off; `None` where there are others.
fn content(d: &Dataset, data: &Blob, cx: &Cx<'_>) -> Option<Blob> {
    let mut plain = data.clone();
    for (filter, parameter) in d.filters.iter().rev() {
        plain = match *filter {
            DEFLATE => {
                let head = decoded::decode(cx, &plain, Codec::Zlib, false).content;
                head.sub(0..1 << 20)
            }
            FLETCHER32 => plain.sub(0..plain.len().saturating_sub(4)),
            SHUFFLE => {
                let size = (*parameter as usize).max(1);
                let bytes = plain.head(1 << 20).ok()?;
                let n = bytes.len() / size;
                if size == 1 || n == 0 {
                    continue;
                }
                let mut out: Vec<u8> = (0..n)
                    .flat_map(|i| (0..size).map(move |j| (i, j)))
                    .map(|(i, j)| bytes[j * n + i])
                    .collect();
                out.extend(&bytes[n * size..]);
                Blob::from_vec(out)
            }
            _ => return None,
        };
    }
    Some(plain)
}

/// B-tree of version 1 over chunks (format specification III.A.1).
fn tree1(
    file: &mut File,
    d: &Dataset,
    root: u64,
    rank: usize,
    names: &Names,
    seen: &mut Seen,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    let o = file.offset;
    let key = 8 + 8 * rank;
    let mut work = vec![root];
    let mut visited = HashSet::new();
    while let Some(at) = work.pop() {
        if !visited.insert(at) {
            return Err(file.broken(at, "an index of chunks in a circle"));
        }
        let head = file.peek(at, 8)?;
        if !head.starts_with(b"TREE\x01") || head.len() < 8 {
            return Err(file.broken(at, "no node of an index of chunks"));
        }
        let (level, used) = (head[5], u64::from(u16::from_le_bytes([head[6], head[7]])));
        let size = |n: u64| 8 + 2 * o as u64 + (n + 1) * key as u64 + n * o as u64;
        let room = size(used.max(2 * file.chunk_k)).min(file.len().saturating_sub(at));
        let block = file.block(at, room.max(size(used)), cx)?;
        let mut f = Fields::new(&block);
        let _ = f.skip(8 + 2 * o);
        for _ in 0..used {
            cx.budget.entries(1)?;
            let entry = (|| {
                let stored = u64::from(f.u32()?);
                f.skip(key - 4)?;
                Some((stored, f.address(o)?))
            })();
            let Some((stored, child)) = entry else {
                return Err(file.broken(at, "a node of more chunks than it can hold"));
            };
            if level > 0 { work.push(child) } else { seen.chunk(file, d, child, stored, names, cx)? }
        }
    }
    Ok(())
}
