//! FlatBuffers (<https://flatbuffers.dev/internals/>) and FlexBuffers, read by offsets that are all checked, with a record of
//! which bytes were explained.

use super::protobuf::Span;
use crate::cx::{Cx, Stop};
use wb_blob::{Blob, Window};

/// A table: where it is and where its fields are.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub at: u64,
    vtable: Vec<u16>,
}

/// A vector: where its first element is, and how many there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vector {
    pub at: u64,
    pub len: u64,
}

/// Reads one buffer.
pub(super) struct Flat {
    window: Window,
    len: u64,
    used: Vec<Span>,
}

fn outside(at: u64, what: &str) -> Stop {
    Stop::malformed(at, format!("{what} that leaves the file"))
}

impl Flat {
    pub(super) fn new(blob: &Blob) -> Self {
        Self { window: Window::new(blob.clone(), 64 << 10), len: blob.len(), used: Vec::new() }
    }

    /// Notes bytes as explained.
    pub(super) fn mark(&mut self, at: u64, len: u64) {
        match self.used.last_mut() {
            // Neighbours are written in sequence: few spans hold most of a file.
            Some(last) if last.end == at => last.end = at + len,
            _ => self.used.push(Span { at, end: at + len }),
        }
    }

    /// The parts that nothing explains.
    pub(super) fn holes(mut self) -> Vec<Span> {
        self.used.sort_by_key(|s| s.at);
        let (mut cursor, mut out) = (0, Vec::new());
        for s in &self.used {
            if s.at > cursor {
                out.push(Span { at: cursor, end: s.at });
            }
            cursor = cursor.max(s.end);
        }
        if cursor < self.len {
            out.push(Span { at: cursor, end: self.len });
        }
        out
    }

    pub(super) fn number(&mut self, at: u64, size: usize) -> Result<u64, Stop> {
        let v = self.window.view(at, size)?;
        let b = v.get(..size).ok_or_else(|| outside(at, "an offset"))?;
        Ok(b.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    /// Follows an unsigned offset.
    pub(super) fn follow(&mut self, at: u64) -> Result<u64, Stop> {
        let to = at + self.number(at, 4)?;
        if to >= self.len || to == at { Err(outside(at, "an offset")) } else { Ok(to) }
    }

    pub(super) fn table(&mut self, at: u64, cx: &Cx<'_>) -> Result<Table, Stop> {
        cx.budget.entries(1)?;
        cx.budget.memory(self.used.len() as u64 * 16)?;
        let back = self.number(at, 4)? as u32 as i32;
        let vtable = i64::try_from(at).ok().and_then(|at| u64::try_from(at - i64::from(back)).ok());
        let vtable = vtable.filter(|v| *v + 4 <= self.len).ok_or_else(|| outside(at, "a table's vtable"))?;
        let (vlen, tlen) = (self.number(vtable, 2)?, self.number(vtable + 2, 2)?);
        if vlen < 4 || vlen % 2 != 0 || vtable + vlen > self.len || tlen < 4 || at + tlen > self.len {
            return Err(outside(vtable, "a table"));
        }
        let v = self.window.view(vtable, vlen as usize)?;
        let slots = v.get(4..vlen as usize).unwrap_or_default().chunks_exact(2);
        let slots: Vec<u16> = slots.map(|c| u16::from_le_bytes([c[0], c[1]])).collect();
        if slots.iter().any(|s| u64::from(*s) >= tlen && *s != 0) {
            return Err(outside(vtable, "a table's field"));
        }
        self.mark(vtable, vlen);
        self.mark(at, tlen);
        Ok(Table { at, vtable: slots })
    }

    /// The table that a field refers to.
    pub(super) fn sub(&mut self, t: &Table, slot: usize, cx: &Cx<'_>) -> Result<Option<Table>, Stop> {
        match t.field(slot) {
            Some(at) => {
                let to = self.follow(at)?;
                self.table(to, cx).map(Some)
            }
            None => Ok(None),
        }
    }

    /// A number in a field, or its default.
    pub(super) fn scalar(&mut self, t: &Table, slot: usize, size: usize, default: u64) -> Result<u64, Stop> {
        t.field(slot).map_or(Ok(default), |at| self.number(at, size))
    }

    /// The vector that a field refers to, of elements of `size` bytes.
    pub(super) fn vector(&mut self, t: &Table, slot: usize, size: u64) -> Result<Option<Vector>, Stop> {
        let Some(field) = t.field(slot) else { return Ok(None) };
        let at = self.follow(field)?;
        let len = self.number(at, 4)?;
        let bytes = len.checked_mul(size).filter(|n| at + 4 + n <= self.len);
        let bytes = bytes.ok_or_else(|| outside(at, &format!("a vector of {len} elements")))?;
        self.mark(at, 4 + bytes);
        Ok(Some(Vector { at: at + 4, len }))
    }

    /// The numbers of a vector of 32-bit integers.
    pub(super) fn ints(&mut self, t: &Table, slot: usize, cx: &Cx<'_>) -> Result<Vec<i32>, Stop> {
        let Some(v) = self.vector(t, slot, 4)? else { return Ok(Vec::new()) };
        cx.budget.entries(v.len)?;
        cx.budget.memory(v.len * 4)?;
        let mut out = Vec::new();
        for i in 0..v.len {
            out.push(self.number(v.at + 4 * i, 4)? as u32 as i32);
        }
        Ok(out)
    }

    /// The tables of a vector of tables.
    pub(super) fn tables(&mut self, t: &Table, slot: usize, cx: &Cx<'_>) -> Result<Vec<u64>, Stop> {
        let Some(v) = self.vector(t, slot, 4)? else { return Ok(Vec::new()) };
        cx.budget.entries(v.len)?;
        cx.budget.memory(v.len * 8)?;
        (0..v.len).map(|i| self.follow(v.at + 4 * i)).collect()
    }

    /// A string, cut at 4 KiB.
    pub(super) fn string(&mut self, t: &Table, slot: usize) -> Result<Option<Vec<u8>>, Stop> {
        let Some(field) = t.field(slot) else { return Ok(None) };
        let at = self.follow(field)?;
        self.text_at(at).map(Some)
    }

    /// The string at an address, cut at 4 KiB.
    pub(super) fn text_at(&mut self, at: u64) -> Result<Vec<u8>, Stop> {
        const MAX: u64 = 4096;
        let len = self.number(at, 4)?;
        let data = at + 4;
        if data + len > self.len {
            return Err(outside(at, &format!("a string of {len} bytes")));
        }
        self.mark(at, 4 + len);
        // The terminating zero belongs to it.
        if data + len < self.len && self.number(data + len, 1)? == 0 {
            self.mark(data + len, 1);
        }
        let want = len.min(MAX) as usize;
        let bytes = self.window.view(data, want)?;
        Ok(bytes[..want.min(bytes.len())].to_vec())
    }
}

impl Table {
    /// Where a field's value is, if it is given.
    pub(super) fn field(&self, slot: usize) -> Option<u64> {
        self.vtable.get(slot).filter(|s| **s != 0).map(|s| self.at + u64::from(*s))
    }

    /// Fields beyond those that the schema has.
    pub(super) fn beyond(&self, slots: usize) -> bool {
        self.vtable.iter().skip(slots).any(|s| *s != 0)
    }
}

/// The strings and blobs of a FlexBuffer whose root is a vector, as flex operators keep their node.
/// `None` if it is something else.
pub(super) fn flex_texts(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    const MAX: usize = 64;
    let n = bytes.len();
    let (kind, width) = (*bytes.get(n.checked_sub(2)?)?, usize::from(*bytes.last()?));
    let number = |at: usize, width: usize| -> Option<usize> {
        let b = bytes.get(at..at.checked_add(width)?)?;
        usize::try_from(b.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b))).ok()
    };
    let root = n.checked_sub(2 + width)?;
    // An untyped vector: offsets to elements, then a byte of type for each.
    if kind >> 2 != 10 || !matches!(width, 1 | 2 | 4 | 8) {
        return None;
    }
    let at = root.checked_sub(number(root, width)?)?;
    let width = 1usize << (kind & 3);
    let len = number(at.checked_sub(width)?, width)?;
    let types = at.checked_add(len.checked_mul(width)?)?;
    let mut out = Vec::new();
    for i in 0..len.min(MAX) {
        let kind = *bytes.get(types + i)?;
        // Strings, keys and blobs.
        if !matches!(kind >> 2, 4 | 5 | 25) {
            continue;
        }
        let slot = at + i * width;
        let data = slot.checked_sub(number(slot, width)?)?;
        let inner = 1usize << (kind & 3);
        let len = match kind >> 2 {
            4 => memchr::memchr(0, bytes.get(data..)?)?,
            _ => number(data.checked_sub(inner)?, inner)?,
        };
        out.push(bytes.get(data..data.checked_add(len)?)?.to_vec());
    }
    Some(out)
}
