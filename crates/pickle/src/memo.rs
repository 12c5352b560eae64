//! The memo: a little over two bytes an entry for the usual streams, sparse for jumps.
//!
//! Writers memoise nearly every string and container, so a 200 MB pickle holds tens of millions of entries,
//! most never fetched. Entries are laid down in blocks; a block whose entries lie close together keeps only
//! their distances. An index far beyond the end goes to a map, so that no index can make this allocate.

use crate::val::{Tag, Val};
use hashbrown::HashMap;

const BLOCK: usize = 64;
/// Blocks kept uncompressed at the beginning: attribute names and classes, fetched over and over.
const HOT: usize = 64;
/// Blocks allocated at once.
const CHUNK: usize = 512;
/// Holes up to this size are filled, so that a memo that begins at 1 stays dense.
const HOLE: u64 = 64;
const ABSENT: Val = Val::new(Tag::Opaque, 1);
/// Bytes a sparse entry is charged with.
const SPARSE_COST: u64 = 48;

/// Entries close together: 3 bits of kind and 13 bits of distance to the entry before of the same group
/// (stream offsets; heap indices, zigzag).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Near {
    offset: u64,
    node: u32,
    steps: [u16; BLOCK],
}

/// A full block: where it is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Index into `near` or `wide`.
    at: u32,
    near: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Memo {
    places: Vec<Place>,
    near: Vec<Vec<Near>>,
    wide: Vec<Vec<[Val; BLOCK]>>,
    near_len: u32,
    wide_len: u32,
    /// The block being filled.
    open: Vec<Val>,
    dense: u64,
    holes: u64,
    sparse: HashMap<u64, Val>,
}

impl Near {
    /// The entries as distances; none if they are too far apart or of a kind that has no place.
    fn of(entries: &[Val]) -> Option<Self> {
        let is_node = |v: &&Val| matches!(v.tag(), Tag::Node | Tag::Object);
        let first_node = entries.iter().find(is_node).map_or(0, |v| v.payload());
        let first_offset = entries.iter().find(|v| !is_node(v)).map_or(0, |v| match v.tag() {
            Tag::Span => v.span_range().0,
            _ => v.payload(),
        });
        let mut near =
            Self { offset: first_offset, node: u32::try_from(first_node).ok()?, steps: [0; BLOCK] };
        let (mut offset, mut node) = (first_offset, first_node as i64);
        for (step, v) in near.steps.iter_mut().zip(entries) {
            let (kind, distance) = match v.tag() {
                Tag::Span => {
                    let (start, end) = v.span_range();
                    let (kind, packed) = pack_span(offset, start, end)?;
                    offset = end;
                    (kind, packed)
                }
                tag => {
                    let kind = KINDS.iter().position(|&t| t == tag)? as u16;
                    if is_node(&v) {
                        let d = v.payload() as i64 - node;
                        node = v.payload() as i64;
                        (kind, u64::try_from((d << 1) ^ (d >> 63)).ok()?)
                    } else {
                        let d = v.payload().checked_sub(offset)?;
                        offset = v.payload();
                        (kind, d)
                    }
                }
            };
            if distance >= 1 << 13 {
                return None;
            }
            *step = kind << 13 | distance as u16;
        }
        Some(near)
    }

    fn get(&self, index: usize) -> Option<Val> {
        let (mut offset, mut node) = (self.offset, i64::from(self.node));
        let mut found = None;
        for &step in self.steps.get(..=index)? {
            let (kind, d) = (step >> 13, u64::from(step & 0x1fff));
            found = Some(match KINDS.get(usize::from(kind)) {
                None => {
                    let (start, end) = unpack_span(offset, kind, d);
                    offset = end;
                    Val::span(start, end)?
                }
                Some(&tag @ (Tag::Node | Tag::Object)) => {
                    node += (d >> 1) as i64 ^ -((d & 1) as i64);
                    Val::new(tag, node as u64)
                }
                Some(&tag) => {
                    offset += d;
                    Val::new(tag, offset)
                }
            });
        }
        found
    }
}

/// A span that ends shortly behind the entry before: 7 bits of distance to its end, 6 bits of length.
const SPAN_ENDS_NEAR: u16 = 6;
/// A span that begins right behind the entry before: 3 bits of distance to its start, 10 bits of length.
const SPAN_BEGINS_NEAR: u16 = 7;

fn pack_span(offset: u64, start: u64, end: u64) -> Option<(u16, u64)> {
    let len = end - start;
    match (end.checked_sub(offset), start.checked_sub(offset)) {
        (Some(d), _) if d < 1 << 7 && len < 1 << 6 => Some((SPAN_ENDS_NEAR, d << 6 | len)),
        (_, Some(d)) if d < 1 << 3 && len < 1 << 10 => Some((SPAN_BEGINS_NEAR, d << 10 | len)),
        _ => None,
    }
}

fn unpack_span(offset: u64, kind: u16, packed: u64) -> (u64, u64) {
    if kind == SPAN_ENDS_NEAR {
        let end = offset + (packed >> 6);
        (end.saturating_sub(packed & 0x3f), end)
    } else {
        let start = offset + (packed >> 10);
        (start, start + (packed & 0x3ff))
    }
}

/// Kinds of entries that a near block can hold, beside spans.
const KINDS: [Tag; 6] = [Tag::Str, Tag::Dunder, Tag::Num, Tag::Bytes, Tag::Node, Tag::Object];

impl Memo {
    /// Number of entries: the index that MEMOIZE uses next.
    #[inline(always)]
    pub(crate) fn len(&self) -> u64 {
        self.dense - self.holes + self.sparse.len() as u64
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        let near = self.near.len() * CHUNK * size_of::<Near>();
        let wide = self.wide.len() * CHUNK * size_of::<[Val; BLOCK]>();
        (near + wide + self.places.capacity() * size_of::<Place>()) as u64
            + self.sparse.len() as u64 * SPARSE_COST
    }

    #[inline(always)]
    pub(crate) fn get(&self, index: u64) -> Option<Val> {
        let v = if index < self.dense {
            let block = index as usize / BLOCK;
            match self.places.get(block) {
                Some(p) if p.near => self.near_block(p.at)?.get(index as usize % BLOCK)?,
                Some(p) => *self.wide_block(p.at)?.get(index as usize % BLOCK)?,
                None => *self.open.get(index as usize % BLOCK)?,
            }
        } else {
            *self.sparse.get(&index)?
        };
        (v != ABSENT).then_some(v)
    }

    fn near_block(&self, at: u32) -> Option<&Near> {
        self.near.get(at as usize / CHUNK)?.get(at as usize % CHUNK)
    }

    fn wide_block(&self, at: u32) -> Option<&[Val; BLOCK]> {
        self.wide.get(at as usize / CHUNK)?.get(at as usize % CHUNK)
    }

    /// MEMOIZE.
    #[inline(always)]
    pub(crate) fn push(&mut self, v: Val) {
        if self.holes == 0 && self.sparse.is_empty() {
            self.push_dense(v);
        } else {
            self.put(self.len(), v);
        }
    }

    #[inline(always)]
    fn push_dense(&mut self, v: Val) {
        if self.open.len() == BLOCK {
            self.close();
        }
        self.open.push(v);
        self.dense += 1;
    }

    /// Stores the full block.
    fn close(&mut self) {
        let near = if self.places.len() < HOT { None } else { Near::of(&self.open) };
        let place = match (near, <[Val; BLOCK]>::try_from(&self.open[..])) {
            (Some(near), _) => {
                // Beyond the heap's bound containers share a node: block after block is the same.
                if self.near.last().and_then(|c| c.last()) != Some(&near) {
                    push_chunked(&mut self.near, near);
                    self.near_len += 1;
                }
                Place { at: self.near_len - 1, near: true }
            }
            (None, Ok(wide)) => self.add_wide(wide),
            (None, Err(_)) => return,
        };
        self.places.push(place);
        self.open.clear();
    }

    fn add_wide(&mut self, block: [Val; BLOCK]) -> Place {
        push_chunked(&mut self.wide, block);
        self.wide_len += 1;
        Place { at: self.wide_len - 1, near: false }
    }

    #[inline(always)]
    pub(crate) fn put(&mut self, index: u64, v: Val) {
        if index == self.dense && self.sparse.is_empty() {
            return self.push_dense(v);
        }
        self.put_slow(index, v);
    }

    fn put_slow(&mut self, index: u64, v: Val) {
        if index < self.dense {
            if self.get(index).is_none() {
                self.holes = self.holes.saturating_sub(1);
            }
            return self.overwrite(index as usize, v);
        }
        if index - self.dense <= HOLE && self.sparse.is_empty() {
            while self.dense < index {
                self.push_dense(ABSENT);
                self.holes += 1;
            }
            return self.push_dense(v);
        }
        self.sparse.insert(index, v);
    }

    fn overwrite(&mut self, index: usize, v: Val) {
        let (block, slot) = (index / BLOCK, index % BLOCK);
        let Some(&place) = self.places.get(block) else {
            if let Some(s) = self.open.get_mut(slot) {
                *s = v;
            }
            return;
        };
        let place = match (place.near, self.near_block(place.at)) {
            (true, Some(near)) => {
                let mut wide = [ABSENT; BLOCK];
                for (i, w) in wide.iter_mut().enumerate() {
                    *w = near.get(i).unwrap_or(ABSENT);
                }
                let place = self.add_wide(wide);
                if let Some(p) = self.places.get_mut(block) {
                    *p = place;
                }
                place
            }
            _ => place,
        };
        if let Some(s) = self
            .wide
            .get_mut(place.at as usize / CHUNK)
            .and_then(|c| c.get_mut(place.at as usize % CHUNK))
            .and_then(|b| b.get_mut(slot))
        {
            *s = v;
        }
    }
}

fn push_chunked<T>(chunks: &mut Vec<Vec<T>>, item: T) {
    match chunks.last_mut() {
        Some(c) if c.len() < CHUNK => c.push(item),
        _ => {
            // The first grows as it fills: most pickles are small, and a large block is dear to give back.
            let mut c = Vec::with_capacity(if chunks.is_empty() { 4 } else { CHUNK });
            c.push(item);
            chunks.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(n: u64) -> Val {
        Val::new(Tag::Num, n)
    }

    #[test]
    fn a_jump_costs_one_entry_and_stays_readable() {
        let mut m = Memo::default();
        m.put(0, v(1));
        m.put(u64::from(u32::MAX), v(2));
        m.put(1, v(3));
        m.push(v(4));
        assert_eq!(m.get(u64::from(u32::MAX)), Some(v(2)));
        assert_eq!((m.get(1), m.get(3), m.get(2)), (Some(v(3)), Some(v(4)), None));
        assert!(m.bytes() < 1000);
    }

    #[test]
    fn a_memo_that_begins_at_one_is_dense() {
        let mut m = Memo::default();
        for i in 1..100_000 {
            m.put(i, v(i));
        }
        assert!(m.sparse.is_empty());
        assert_eq!((m.get(0), m.get(99_999), m.len()), (None, Some(v(99_999)), 99_999));
        m.put(5, v(0));
        assert_eq!(m.get(5), Some(v(0)));
        m.put(90_000, v(1));
        assert_eq!(
            (m.get(90_000), m.get(90_001), m.get(89_999)),
            (Some(v(1)), Some(v(90_001)), Some(v(89_999)))
        );
    }

    /// Against the obvious implementation, over values near and far, of all kinds.
    #[test]
    fn it_gives_back_what_was_put() {
        let tags =
            [Tag::Str, Tag::Span, Tag::Bytes, Tag::Node, Tag::Object, Tag::Dunder, Tag::Global, Tag::None];
        let mut plain: HashMap<u64, Val> = HashMap::new();
        let mut m = Memo::default();
        let (mut seed, mut at) = (7u64, 0u64);
        for i in 0..40_000u64 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let r = seed >> 33;
            at += if r % 97 == 0 { 100_000 } else { r % 60 };
            let tag = tags[if (i / 500) % 2 == 0 {
                (r % 3) as usize + (r as usize % 2) * 3 % 5
            } else {
                (r % 8) as usize
            }];
            let value = match tag {
                Tag::Node | Tag::Object => Val::new(tag, (i + r % 9).saturating_sub(r % 7)),
                Tag::Span => Val::span(at.saturating_sub(r % 50), at + r % [30, 900, 60_000][i as usize % 3])
                    .unwrap_or(Val::OPAQUE),
                _ => Val::new(tag, at),
            };
            let index = if r % 31 == 0 { r % (i + 1) } else { i };
            if index == i {
                m.push(value);
            } else {
                m.push(v(3));
                m.put(index, value);
                plain.insert(i, v(3));
            }
            plain.insert(index, value);
        }
        for (i, value) in plain {
            assert_eq!(m.get(i), Some(value), "index {i}");
        }
    }

    #[test]
    fn the_usual_entries_cost_little_over_two_bytes() {
        let mut m = Memo::default();
        for i in 0..1_000_000 {
            m.push(Val::new(Tag::Str, i * 12));
        }
        assert!(m.bytes() < 2_700_000, "{}", m.bytes());
    }

    #[test]
    fn tuples_cost_as_little_and_shared_nodes_next_to_nothing() {
        let mut m = Memo::default();
        for i in 0..500_000 {
            m.push(Val::span(i * 40 + 2, i * 40 + 10).unwrap());
            m.push(Val::span(i * 40 + 2, i * 40 + 38).unwrap());
        }
        assert!(m.near_len > 15_000, "{}", m.near_len);
        assert!(m.bytes() < 2_700_000, "{}", m.bytes());
        assert_eq!(m.get(999_999), Val::span(499_999 * 40 + 2, 499_999 * 40 + 38));
        let mut m = Memo::default();
        for _ in 0..1_000_000 {
            m.push(Val::new(Tag::Node, 7));
        }
        assert!(m.bytes() < 500_000, "{}", m.bytes());
        m.put(900_000, v(1));
        assert_eq!((m.get(900_000), m.get(900_001)), (Some(v(1)), Some(Val::new(Tag::Node, 7))));
    }
}
