//! Indexes of chunks as arrays: fixed (one limit for every dimension) and extensible (one dimension without).
//! Format specification III.C and III.D.

use super::file::{Fields, File, UNDEFINED};
use crate::cx::{Cx, Stop};

/// Address of a chunk, and its size where it is filtered.
type Entries = Vec<(u64, Option<u64>)>;

/// What the elements look like.
#[derive(Clone, Copy)]
struct Element {
    filtered: bool,
    size: u64,
}

impl Element {
    /// The elements of a block, and what they take.
    fn read(self, file: &File, block: &[u8], count: u64, out: &mut Entries, cx: &Cx<'_>) -> Result<(), Stop> {
        let o = file.offset;
        let each = (self.size as usize).max(1);
        for e in block.chunks_exact(each).take(usize::try_from(count).unwrap_or(usize::MAX)) {
            cx.budget.entries(1)?;
            let mut f = Fields::new(e);
            let Some(chunk) = f.address(o) else { continue };
            if chunk != UNDEFINED {
                let size = self.filtered.then(|| f.uint(each.saturating_sub(o + 4).min(8))).flatten();
                out.push((chunk, size));
            }
        }
        Ok(())
    }

    fn bytes(self, count: u64) -> u64 {
        count.saturating_mul(self.size)
    }
}

/// The chunks of a fixed array.
pub(super) fn fixed(file: &mut File, address: u64, cx: &Cx<'_>) -> Result<Entries, Stop> {
    let (o, l) = (file.offset, file.length);
    let head = file.block(address, (8 + l + o + 4) as u64, cx)?;
    let mut f = Fields::new(&head);
    let fields = (|| {
        (f.take(4)? == b"FAHD").then_some(())?;
        f.skip(1)?;
        let filtered = f.u8()? == 1;
        let element = Element { filtered, size: u64::from(f.u8()?) };
        let bits = u32::from(f.u8()?);
        Some((element, bits, f.uint(l)?, f.address(o)?))
    })();
    let Some((element, bits, count, data)) = fields.filter(|f| f.0.size as usize >= o && f.1 < 32) else {
        return Err(file.broken(address, "no fixed array"));
    };
    let mut out = Entries::new();
    if data == UNDEFINED {
        return Ok(out);
    }
    let per_page = 1u64 << bits;
    let pages = if count > per_page { count.div_ceil(per_page) } else { 0 };
    let head = 6 + o as u64 + if pages > 0 { pages.div_ceil(8) + 4 } else { 0 };
    let block = file.block(data, head, cx)?;
    if !block.starts_with(b"FADB") {
        return Err(file.broken(data, "no data block of a fixed array"));
    }
    if pages == 0 {
        let block = file.block(data.saturating_add(head), element.bytes(count).saturating_add(4), cx)?;
        element.read(file, &block, count, &mut out, cx)?;
    } else {
        let there = block.get(6 + o..).unwrap_or_default().to_vec();
        paged(file, element, data.saturating_add(head), &there, per_page, count, &mut out, cx)?;
    }
    Ok(out)
}

/// Elements in pages, each with a checksum; a bit map says which were ever written.
#[allow(clippy::too_many_arguments)]
fn paged(
    file: &mut File,
    element: Element,
    start: u64,
    there: &[u8],
    per_page: u64,
    count: u64,
    out: &mut Entries,
    cx: &Cx<'_>,
) -> Result<(), Stop> {
    let (mut at, mut left, mut page) = (start, count, 0);
    while left > 0 {
        cx.budget.entries(1)?;
        let n = left.min(per_page);
        let size = element.bytes(n).saturating_add(4);
        // The bits of a byte count from its highest.
        if there.get(page / 8).is_some_and(|b| b >> (7 - page % 8) & 1 == 1) {
            let block = file.block(at, size, cx)?;
            element.read(file, &block, n, out, cx)?;
        } else {
            file.explain(at, at.saturating_add(size));
        }
        at = at.saturating_add(element.bytes(per_page)).saturating_add(4);
        left -= n;
        page += 1;
    }
    Ok(())
}

/// The header of an extensible array.
struct Extensible {
    header: u64,
    element: Element,
    /// Bytes of an index into the array.
    offset_width: u64,
    /// Elements of the smallest data block.
    min_elements: u64,
    per_page: u64,
}

impl Extensible {
    /// Data blocks of secondary block `n`, and elements of each.
    fn shape(&self, n: u32) -> Option<(u64, u64)> {
        let blocks = 1u64.checked_shl(n / 2)?;
        Some((blocks, 1u64.checked_shl(n.div_ceil(2))?.checked_mul(self.min_elements)?))
    }

    fn pages(&self, elements: u64) -> u64 {
        if elements > self.per_page { elements / self.per_page } else { 0 }
    }

    fn begins(&self, file: &File, block: &[u8], signature: &[u8]) -> bool {
        let mut f = Fields::new(block);
        f.take(4) == Some(signature) && f.skip(2).is_some() && f.address(file.offset) == Some(self.header)
    }

    fn data_block(
        &self,
        file: &mut File,
        at: u64,
        elements: u64,
        there: &[u8],
        out: &mut Entries,
        cx: &Cx<'_>,
    ) -> Result<(), Stop> {
        cx.budget.entries(1)?;
        let head = 6 + file.offset as u64 + self.offset_width;
        let pages = self.pages(elements);
        let block = file.block(at, head + if pages > 0 { 4 } else { 0 }, cx)?;
        if !self.begins(file, &block, b"EADB") {
            return Err(file.broken(at, "no data block of an extensible array"));
        }
        if pages > 0 {
            return paged(
                file,
                self.element,
                at.saturating_add(head + 4),
                there,
                self.per_page,
                elements,
                out,
                cx,
            );
        }
        let block =
            file.block(at.saturating_add(head), self.element.bytes(elements).saturating_add(4), cx)?;
        self.element.read(file, &block, elements, out, cx)
    }

    fn secondary(
        &self,
        file: &mut File,
        at: u64,
        n: u32,
        out: &mut Entries,
        cx: &Cx<'_>,
    ) -> Result<(), Stop> {
        let Some((blocks, elements)) = self.shape(n) else {
            return Err(file.broken(at, "an extensible array of impossible size"));
        };
        let o = file.offset as u64;
        let map = self.pages(elements).div_ceil(8);
        let head = 6 + o + self.offset_width;
        let maps = blocks.saturating_mul(map);
        let size = head.saturating_add(maps).saturating_add(blocks.saturating_mul(o)).saturating_add(4);
        let block = file.block(at, size, cx)?;
        if !self.begins(file, &block, b"EASB") {
            return Err(file.broken(at, "no secondary block of an extensible array"));
        }
        let mut f = Fields::new(&block);
        let _ = f.skip(head as usize);
        let bits = f.take(maps as usize).unwrap_or_default().to_vec();
        for i in 0..blocks {
            let Some(child) = f.address(file.offset) else { break };
            if child != UNDEFINED {
                let start = (i * map) as usize;
                let there = bits.get(start..start + map as usize).unwrap_or_default();
                self.data_block(file, child, elements, there, out, cx)?;
            }
        }
        Ok(())
    }
}

/// The chunks of an extensible array.
pub(super) fn extensible(file: &mut File, address: u64, cx: &Cx<'_>) -> Result<Entries, Stop> {
    let (o, l) = (file.offset, file.length);
    let head = file.block(address, (12 + 6 * l + o + 4) as u64, cx)?;
    let mut f = Fields::new(&head);
    let fields = (|| {
        (f.take(4)? == b"EAHD").then_some(())?;
        f.skip(1)?;
        let filtered = f.u8()? == 1;
        let element = Element { filtered, size: u64::from(f.u8()?) };
        let (bits, inline) = (u32::from(f.u8()?), u64::from(f.u8()?));
        let (min_elements, min_pointers) = (u64::from(f.u8()?), u64::from(f.u8()?));
        let page_bits = u32::from(f.u8()?);
        f.skip(6 * l)?;
        Some((element, bits, inline, min_elements, min_pointers, page_bits, f.address(o)?))
    })();
    let sound = |f: &(Element, u32, u64, u64, u64, u32, u64)| {
        f.0.size as usize >= o && f.1 <= 64 && f.3.is_power_of_two() && f.4.is_power_of_two() && f.5 < 32
    };
    let Some((element, bits, inline, min_elements, min_pointers, page_bits, index)) = fields.filter(sound)
    else {
        return Err(file.broken(address, "no extensible array"));
    };
    let mut out = Entries::new();
    if index == UNDEFINED {
        return Ok(out);
    }
    let array = Extensible {
        header: address,
        element,
        offset_width: u64::from(bits.div_ceil(8)),
        min_elements,
        per_page: 1 << page_bits,
    };
    let secondary = (1 + bits).saturating_sub(min_elements.ilog2());
    let here = 2 * min_pointers.ilog2();
    let pointers = 2 * (min_pointers - 1);
    let others = secondary.saturating_sub(here);
    let head = 6 + o as u64;
    let size = head + element.bytes(inline) + (pointers + u64::from(others)) * o as u64 + 4;
    let block = file.block(index, size, cx)?;
    if !array.begins(file, &block, b"EAIB") {
        return Err(file.broken(index, "no index block of an extensible array"));
    }
    let mut f = Fields::new(&block);
    let _ = f.skip(head as usize);
    let first = f.take(element.bytes(inline) as usize).unwrap_or_default().to_vec();
    element.read(file, &first, inline, &mut out, cx)?;
    for n in 0..here {
        let Some((blocks, elements)) = array.shape(n) else { break };
        for _ in 0..blocks {
            let Some(child) = f.address(o) else { break };
            if child != UNDEFINED {
                array.data_block(file, child, elements, &[], &mut out, cx)?;
            }
        }
    }
    for n in here..secondary {
        let Some(child) = f.address(o) else { break };
        if child != UNDEFINED {
            array.secondary(file, child, n, &mut out, cx)?;
        }
    }
    Ok(out)
}
