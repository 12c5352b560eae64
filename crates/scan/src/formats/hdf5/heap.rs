//! Heaps and the tree that finds things in them: local and global heaps, fractal heaps, B-trees of version 2.

use super::file::{Fields, File, UNDEFINED};
use crate::cx::{Cx, Stop};
use std::collections::HashSet;

/// Data segment of a local heap: names of a group, of external files.
pub(super) fn local(file: &mut File, address: u64, cx: &Cx<'_>) -> Result<Vec<u8>, Stop> {
    let (offset, length) = (file.offset, file.length);
    let head = file.block(address, 8 + 2 * length as u64 + offset as u64, cx)?;
    let mut f = Fields::new(&head);
    let segment = (|| {
        (f.take(4)? == b"HEAP").then_some(())?;
        f.skip(4)?;
        let size = f.uint(length)?;
        f.skip(length)?;
        Some((f.address(offset)?, size))
    })();
    match segment {
        Some((at, size)) => file.block(at, size, cx),
        None => Err(file.broken(address, "no local heap")),
    }
}

/// Objects of a global heap collection: index and content.
pub(super) fn global(file: &mut File, address: u64, cx: &Cx<'_>) -> Result<Vec<(u16, Vec<u8>)>, Stop> {
    let length = file.length;
    let head = file.peek(address, 8 + length)?;
    let mut f = Fields::new(&head);
    let size = (|| {
        (f.take(4)? == b"GCOL").then_some(())?;
        f.skip(4)?;
        f.uint(length)
    })();
    let Some(size) = size.filter(|s| *s >= 8 + length as u64) else {
        return Err(file.broken(address, "no global heap"));
    };
    let block = file.block(address, size, cx)?;
    let mut f = Fields::new(&block);
    let mut out = Vec::new();
    let _ = f.skip(8 + length);
    while f.left() >= 8 + length {
        let (Some(index), Some(()), Some(size)) = (f.u16(), f.skip(6), f.uint(length)) else { break };
        // Free space ends the collection.
        if index == 0 {
            break;
        }
        let content = usize::try_from(size).ok().and_then(|n| f.take(n));
        let Some(content) = content else {
            return Err(file.broken(address + f.at() as u64, "an object leaves its global heap"));
        };
        cx.budget.entries(1)?;
        out.push((index, content.to_vec()));
        let pad = f.at().next_multiple_of(8) - f.at();
        let _ = f.skip(pad.min(f.left()));
    }
    Ok(out)
}

/// A fractal heap: its blocks in the order of the addresses inside of the heap.
pub(super) struct Fractal {
    id_len: usize,
    offset_width: usize,
    length_width: usize,
    /// (first heap offset, size, file address)
    blocks: Vec<(u64, u64, u64)>,
    /// Identifier, address and size of objects too large for a block.
    huge: Vec<(u64, u64, u64)>,
}

struct Table {
    header: u64,
    bits: usize,
    start: u64,
    width: u64,
    /// Rows of direct blocks.
    direct_rows: u64,
}

/// Blocks of one heap.
const MAX_BLOCKS: usize = 100_000;

fn log2(n: u64) -> u64 {
    u64::from(n.max(1).ilog2())
}

impl Fractal {
    pub(super) fn read(file: &mut File, address: u64, cx: &Cx<'_>) -> Result<Self, Stop> {
        let (o, l) = (file.offset, file.length);
        let head = file.block(address, (22 + 3 * o + 12 * l) as u64 + 4, cx)?;
        let mut f = Fields::new(&head);
        let fields = (|| {
            (f.take(4)? == b"FRHP").then_some(())?;
            f.skip(1)?;
            let (id_len, filter) = (usize::from(f.u16()?), f.u16()?);
            f.skip(1)?;
            let max_managed = u64::from(f.u32()?);
            f.skip(l)?;
            let huge = f.address(o)?;
            f.skip(l + o + 8 * l)?;
            let width = u64::from(f.u16()?);
            let (start, max_direct) = (f.uint(l)?, f.uint(l)?);
            let bits = usize::from(f.u16()?);
            f.skip(2)?;
            let root = f.address(o)?;
            let rows = u64::from(f.u16()?);
            Some((id_len, filter, max_managed, huge, width, start, max_direct, bits, root, rows))
        })();
        let Some((id_len, filter, max_managed, huge, width, start, max_direct, bits, root, rows)) = fields
        else {
            return Err(file.broken(address, "no fractal heap"));
        };
        if filter != 0 {
            return Err(Stop::Unsupported("an HDF5 heap that is filtered".into()));
        }
        let sound =
            start.is_power_of_two() && max_direct.is_power_of_two() && max_direct >= start && width > 0;
        if !sound || bits > 64 || rows > 64 || !(1..=64).contains(&id_len) {
            return Err(file.broken(address, "a fractal heap of impossible shape"));
        }
        let limit = (log2(max_managed) / 8 + 1) as usize;
        let mut heap = Self {
            id_len,
            offset_width: bits.div_ceil(8),
            length_width: (log2(max_direct).div_ceil(8) as usize).min(limit),
            blocks: Vec::new(),
            huge: Vec::new(),
        };
        let table =
            Table { header: address, bits, start, width, direct_rows: log2(max_direct) - log2(start) + 2 };
        if root != UNDEFINED {
            if rows == 0 {
                heap.direct(file, root, 0, start, cx)?;
            } else {
                heap.indirect(file, &table, root, 0, rows, 0, cx)?;
            }
        }
        heap.blocks.sort_unstable();
        if huge != UNDEFINED {
            for record in tree2(file, huge, cx)? {
                // Address, size and, where identifiers are not the address itself, the identifier.
                let mut f = Fields::new(&record);
                if let (Some(at), Some(size)) = (f.address(o), f.uint(l)) {
                    heap.huge.push((f.uint(l).unwrap_or(at), at, size));
                }
            }
        }
        Ok(heap)
    }

    fn direct(&mut self, file: &mut File, at: u64, offset: u64, size: u64, cx: &Cx<'_>) -> Result<(), Stop> {
        cx.budget.entries(1)?;
        if self.blocks.len() >= MAX_BLOCKS {
            return Err(file.broken(at, "a fractal heap of too many blocks"));
        }
        if file.peek(at, 4)? != b"FHDB" {
            return Err(file.broken(at, "no block of a fractal heap"));
        }
        file.explain(at, at.saturating_add(size));
        self.blocks.push((offset, size, at));
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn indirect(
        &mut self,
        file: &mut File,
        t: &Table,
        at: u64,
        offset: u64,
        rows: u64,
        depth: u32,
        cx: &Cx<'_>,
    ) -> Result<(), Stop> {
        if depth > 8 {
            return Err(file.broken(at, "a fractal heap nested too deep"));
        }
        let entries = rows.saturating_mul(t.width);
        let head = 5 + file.offset as u64 + t.bits.div_ceil(8) as u64;
        let block = file.block(
            at,
            head.saturating_add(entries.saturating_mul(file.offset as u64)).saturating_add(4),
            cx,
        )?;
        let mut f = Fields::new(&block);
        let owner = (|| {
            (f.take(4)? == b"FHIB").then_some(())?;
            f.skip(1)?;
            let owner = f.address(file.offset)?;
            f.skip(t.bits.div_ceil(8))?;
            Some(owner)
        })();
        if owner != Some(t.header) {
            return Err(file.broken(at, "no inner block of this fractal heap"));
        }
        let mut offset = offset;
        for row in 0..rows {
            let size = if row == 0 { Some(t.start) } else { t.start.checked_shl(row as u32 - 1) };
            let Some(size) = size.filter(|s| *s >= t.start) else { break };
            for _ in 0..t.width {
                let child = f.address(file.offset).unwrap_or(UNDEFINED);
                if child != UNDEFINED {
                    if row < t.direct_rows {
                        self.direct(file, child, offset, size, cx)?;
                    } else {
                        let inner = (log2(size) + 1).saturating_sub(log2(t.start.saturating_mul(t.width)));
                        self.indirect(file, t, child, offset, inner.max(1), depth + 1, cx)?;
                    }
                }
                offset = offset.saturating_add(size);
            }
        }
        Ok(())
    }

    /// The object of an identifier.
    pub(super) fn object(&self, file: &mut File, id: &[u8], cx: &Cx<'_>) -> Result<(u64, Vec<u8>), Stop> {
        let mut f = Fields::new(id);
        let first = f.u8().unwrap_or(0xff);
        let lost = |file: &File| file.broken(0, "an object of a fractal heap that is not there");
        match first >> 4 & 3 {
            0 => {
                let place = f.uint(self.offset_width).zip(f.uint(self.length_width));
                let Some((offset, len)) = place else { return Err(lost(file)) };
                let n = self.blocks.partition_point(|b| b.0 <= offset);
                let Some((start, size, at)) = n.checked_sub(1).and_then(|n| self.blocks.get(n)).copied()
                else {
                    return Err(lost(file));
                };
                let within = offset - start;
                if within.checked_add(len).is_none_or(|end| end > size) {
                    return Err(lost(file));
                }
                Ok((at + within, file.block(at + within, len, cx)?))
            }
            1 => {
                let direct = self.id_len > file.offset + file.length;
                let place = if direct {
                    f.address(file.offset).zip(f.uint(file.length))
                } else {
                    let id = f.uint(f.left().min(8));
                    self.huge.iter().find(|h| Some(h.0) == id).map(|h| (h.1, h.2))
                };
                match place {
                    Some((at, len)) => Ok((at, file.block(at, len, cx)?)),
                    None => Err(lost(file)),
                }
            }
            2 => {
                let len = usize::from(first & 0xf) + 1;
                f.take(len).map(|b| (0, b.to_vec())).ok_or_else(|| lost(file))
            }
            _ => Err(lost(file)),
        }
    }
}

/// All records of a B-tree of version 2 (format specification III.A.2).
pub(super) fn tree2(file: &mut File, address: u64, cx: &Cx<'_>) -> Result<Vec<Vec<u8>>, Stop> {
    let (o, l) = (file.offset, file.length);
    let head = file.block(address, (16 + o + 2 + l + 4) as u64, cx)?;
    let mut f = Fields::new(&head);
    let fields = (|| {
        (f.take(4)? == b"BTHD").then_some(())?;
        f.skip(2)?;
        let (node, record, depth) = (u64::from(f.u32()?), u64::from(f.u16()?), f.u16()?);
        f.skip(2)?;
        let root = f.address(o)?;
        Some((node, record, depth, root, u64::from(f.u16()?)))
    })();
    let Some((node, record, depth, root, count)) = fields else {
        return Err(file.broken(address, "no tree of version 2"));
    };
    if record == 0 || node < 16 || depth > 16 {
        return Err(file.broken(address, "a tree of impossible shape"));
    }
    let width = |n: u64| log2(n) / 8 + 1;
    // Per level from the leaves up: bytes of a pointer to a child.
    let leaf_max = (node - 10) / record;
    let mut total = vec![leaf_max];
    let mut pointer = vec![0u64];
    for level in 1..=usize::from(depth) {
        let below = if level > 1 { width(total[level - 1]) } else { 0 };
        let p = o as u64 + width(leaf_max) + below;
        let max = node.saturating_sub(10 + p) / (record + p);
        let sum = (max + 1).saturating_mul(total[level - 1]).saturating_add(max);
        total.push(sum);
        pointer.push(p);
    }
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    let mut work = vec![(root, count, usize::from(depth))];
    while let Some((at, count, level)) = work.pop() {
        if at == UNDEFINED {
            continue;
        }
        if !seen.insert(at) {
            return Err(file.broken(at, "a tree in a circle"));
        }
        let block = file.block(at, node, cx)?;
        let mut f = Fields::new(&block);
        let signature: &[u8] = if level == 0 { b"BTLF" } else { b"BTIN" };
        if f.take(4) != Some(signature) || f.skip(2).is_none() {
            return Err(file.broken(at, "no node of a tree"));
        }
        for _ in 0..count {
            cx.budget.entries(1)?;
            let Some(r) = f.take(record as usize) else {
                return Err(file.broken(at, "a node of more records than it can hold"));
            };
            out.push(r.to_vec());
        }
        if level > 0 {
            for _ in 0..=count {
                let child = (|| {
                    let at = f.address(o)?;
                    let n = f.uint(width(leaf_max) as usize)?;
                    f.skip((pointer[level] - o as u64 - width(leaf_max)) as usize)?;
                    Some((at, n))
                })();
                let Some((child, n)) = child else {
                    return Err(file.broken(at, "a node of more children than it can hold"));
                };
                work.push((child, n, level - 1));
            }
        }
    }
    Ok(out)
}
