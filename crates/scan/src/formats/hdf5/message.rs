//! Header messages (HDF5 File Format Specification 3.0, IV.A.2): shape, type, layout, filters, links, attributes.

use super::file::{Fields, UNDEFINED};

/// Message types by number.
pub(super) mod kind {
    pub const DATASPACE: u16 = 1;
    pub const LINK_INFO: u16 = 2;
    pub const DATATYPE: u16 = 3;
    pub const LINK: u16 = 6;
    pub const EXTERNAL: u16 = 7;
    pub const LAYOUT: u16 = 8;
    pub const FILTERS: u16 = 11;
    pub const ATTRIBUTE: u16 = 12;
    pub const SHARED_TABLE: u16 = 15;
    pub const CONTINUATION: u16 = 16;
    pub const SYMBOL_TABLE: u16 = 17;
    pub const TREE_K: u16 = 19;
    pub const DRIVER: u16 = 20;
    pub const ATTRIBUTE_INFO: u16 = 21;
    pub const CACHE_IMAGE: u16 = 24;
}

/// Number of elements; `None` where the product overflows.
pub(super) fn elements(body: &[u8], length: usize) -> Option<(Vec<u64>, Option<u64>)> {
    let mut f = Fields::new(body);
    let version = f.u8()?;
    let rank = usize::from(f.u8()?);
    let _flags = f.u8()?;
    let null = match version {
        1 => {
            f.skip(5)?;
            false
        }
        2 => f.u8()? == 2,
        _ => return None,
    };
    let mut dims = Vec::with_capacity(rank);
    for _ in 0..rank {
        dims.push(f.uint(length)?);
    }
    let product = dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
    Some((dims, if null { Some(0) } else { product }))
}

/// What of a datatype matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Type {
    pub class: u8,
    pub size: u64,
    /// Variable length: each element is a reference into a global heap.
    pub variable: bool,
    /// Bytes of one element in the heap.
    pub base_size: u64,
}

/// Classes of types.
pub(super) const STRING: u8 = 3;
pub(super) const OPAQUE: u8 = 5;

pub(super) fn datatype(body: &[u8]) -> Option<Type> {
    let mut f = Fields::new(body);
    let head = f.u8()?;
    f.skip(3)?;
    let size = u64::from(f.u32()?);
    let class = head & 0xf;
    let variable = class == 9;
    let base_size = if variable { datatype(&body[f.at()..]).map_or(1, |t| t.size) } else { size };
    Some(Type { class, size, variable, base_size })
}

/// Where the elements of a dataset are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    Compact(Vec<u8>),
    /// Address and size; versions before 3 leave the size to shape and type.
    Contiguous(u64, Option<u64>),
    Chunked {
        index: Index,
        address: u64,
        dims: Vec<u64>,
    },
    /// A global heap and the index of an object in it.
    Virtual(u64, u32),
}

/// How chunks are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Index {
    /// B-tree of version 1.
    Tree1,
    /// One chunk; its size where it is filtered.
    Single(Option<u64>),
    Implicit,
    FixedArray,
    ExtensibleArray,
    Tree2,
}

pub(super) fn layout(body: &[u8], offset: usize, length: usize) -> Option<Layout> {
    let mut f = Fields::new(body);
    let version = f.u8()?;
    match version {
        1 | 2 => {
            let rank = usize::from(f.u8()?);
            let class = f.u8()?;
            f.skip(5)?;
            let address = if class == 0 { UNDEFINED } else { f.address(offset)? };
            let dims = (0..rank).map(|_| f.uint(4)).collect::<Option<Vec<u64>>>()?;
            match class {
                0 => {
                    let size = f.u32()? as usize;
                    Some(Layout::Compact(f.take(size)?.to_vec()))
                }
                1 => Some(Layout::Contiguous(address, None)),
                2 => Some(Layout::Chunked { index: Index::Tree1, address, dims }),
                _ => None,
            }
        }
        3..=5 => match f.u8()? {
            0 => {
                let size = usize::from(f.u16()?);
                Some(Layout::Compact(f.take(size)?.to_vec()))
            }
            1 => {
                let address = f.address(offset)?;
                Some(Layout::Contiguous(address, Some(f.uint(length)?)))
            }
            2 if version == 3 => {
                let rank = usize::from(f.u8()?);
                let address = f.address(offset)?;
                let dims = (0..rank).map(|_| f.uint(4)).collect::<Option<Vec<u64>>>()?;
                Some(Layout::Chunked { index: Index::Tree1, address, dims })
            }
            2 => chunked4(&mut f, offset, length),
            3 => {
                let heap = f.address(offset)?;
                Some(Layout::Virtual(heap, f.u32()?))
            }
            _ => None,
        },
        _ => None,
    }
}

fn chunked4(f: &mut Fields<'_>, offset: usize, length: usize) -> Option<Layout> {
    const SINGLE_FILTERED: u8 = 2;
    let flags = f.u8()?;
    let rank = usize::from(f.u8()?);
    let width = usize::from(f.u8()?);
    let dims = (0..rank).map(|_| f.uint(width)).collect::<Option<Vec<u64>>>()?;
    let index = match f.u8()? {
        1 if flags & SINGLE_FILTERED != 0 => {
            let size = f.uint(length)?;
            f.skip(4)?;
            Index::Single(Some(size))
        }
        1 => Index::Single(None),
        2 => Index::Implicit,
        3 => {
            f.skip(1)?;
            Index::FixedArray
        }
        4 => {
            f.skip(5)?;
            Index::ExtensibleArray
        }
        5 => {
            f.skip(6)?;
            Index::Tree2
        }
        _ => return None,
    };
    Some(Layout::Chunked { index, address: f.address(offset)?, dims })
}

/// A filter: its number and its first parameter.
pub(super) fn filters(body: &[u8]) -> Option<Vec<(u16, u32)>> {
    let mut f = Fields::new(body);
    let version = f.u8()?;
    let count = f.u8()?;
    if version == 1 {
        f.skip(6)?;
    } else if version != 2 {
        return None;
    }
    let mut out = Vec::new();
    for _ in 0..count {
        let id = f.u16()?;
        let name = if version == 1 || id >= 256 { usize::from(f.u16()?) } else { 0 };
        f.skip(2)?;
        let values = usize::from(f.u16()?);
        f.skip(if version == 1 { name.next_multiple_of(8) } else { name })?;
        let first = if values > 0 { f.u32()? } else { 0 };
        f.skip(4 * values.saturating_sub(1))?;
        if version == 1 && values % 2 == 1 {
            f.skip(4)?;
        }
        out.push((id, first));
    }
    Some(out)
}

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Hard(u64),
    Soft(Vec<u8>),
    /// File and path in it.
    External(Vec<u8>, Vec<u8>),
    /// A kind that a program defined for itself.
    User(u8),
}

pub(super) fn link(body: &[u8], offset: usize) -> Option<(Vec<u8>, Target)> {
    let mut f = Fields::new(body);
    if f.u8()? != 1 {
        return None;
    }
    let flags = f.u8()?;
    let kind = if flags & 8 != 0 { f.u8()? } else { 0 };
    if flags & 4 != 0 {
        f.skip(8)?;
    }
    if flags & 0x10 != 0 {
        f.skip(1)?;
    }
    let len = usize::try_from(f.uint(1 << (flags & 3))?).ok()?;
    let name = f.take(len)?.to_vec();
    let target = match kind {
        0 => Target::Hard(f.address(offset)?),
        1 => {
            let len = usize::from(f.u16()?);
            Target::Soft(f.take(len)?.to_vec())
        }
        64 => {
            let len = usize::from(f.u16()?);
            let mut value = Fields::new(f.take(len)?);
            value.u8()?;
            let file = value.text().to_vec();
            Target::External(file, value.text().to_vec())
        }
        other => Target::User(other),
    };
    Some((name, target))
}

/// An attribute: name, type and shape as messages with whether they are shared, and value.
pub(super) struct Attribute<'a> {
    pub name: &'a [u8],
    pub datatype: (&'a [u8], bool),
    pub dataspace: (&'a [u8], bool),
    pub value: &'a [u8],
}

pub(super) fn attribute(body: &[u8]) -> Option<Attribute<'_>> {
    let mut f = Fields::new(body);
    let version = f.u8()?;
    let flags = f.u8()?;
    let (name, kind, space) = (usize::from(f.u16()?), usize::from(f.u16()?), usize::from(f.u16()?));
    let pad = |n: usize| if version == 1 { n.next_multiple_of(8) } else { n };
    match version {
        1 | 2 => {}
        3 => f.skip(1)?,
        _ => return None,
    }
    let shared = |bit: u8| version > 1 && flags & bit != 0;
    let field = |f: &mut Fields<'_>, n: usize| {
        let at = f.at();
        f.skip(pad(n)).or_else(|| f.skip(n))?;
        body.get(at..at + n)
    };
    // The lifetimes of what is returned are those of `body`.
    let name = field(&mut f, name)?;
    let kind = field(&mut f, kind)?;
    let space = field(&mut f, space)?;
    let name = name.split(|b| *b == 0).next().unwrap_or(name);
    Some(Attribute {
        name,
        datatype: (kind, shared(1)),
        dataspace: (space, shared(2)),
        value: &body[f.at()..],
    })
}
