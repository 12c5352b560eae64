//! An HDF5 writer (File Format Specification 3.0) whose shapes, sizes and links may lie: superblock of version 0, object
//! headers of version 1, links as messages, texts of variable length in one global heap.

use super::{Builder, Source};
use crate::Error;
use serde::Deserialize;

/// An HDF5 file of one group.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hdf5 {
    /// Bytes before the superblock, filled up with zeros to 512, 1024 and so on.
    #[serde(default)]
    user_block: Option<Box<Source>>,
    /// Attributes of the root group.
    #[serde(default)]
    attributes: Vec<Attribute>,
    /// Members of the root group.
    #[serde(default)]
    members: Vec<Member>,
    /// Bytes inside of the file that no structure uses.
    #[serde(default)]
    free: Option<Box<Source>>,
    /// Bytes behind the end of the file.
    #[serde(default)]
    trailing: Option<Box<Source>>,
    /// The root group's header goes on in a second block.
    #[serde(default)]
    continued: bool,
}

/// An attribute that holds one text.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attribute {
    name: String,
    value: Source,
    /// Of variable length, in the global heap; else of fixed length, in place.
    #[serde(default)]
    variable: bool,
}

/// A member: a dataset with `shape`, or a link.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    name: String,
    #[serde(default)]
    shape: Vec<u64>,
    /// `f32` (default), `u8`, `opaque`.
    #[serde(default)]
    kind: Option<String>,
    /// Elements; without them no storage is allocated.
    #[serde(default)]
    data: Option<Source>,
    /// In the header itself.
    #[serde(default)]
    compact: bool,
    /// In one chunk under a tree; `deflate` packs it.
    #[serde(default)]
    chunked: bool,
    #[serde(default)]
    deflate: bool,
    /// Raw data in these files.
    #[serde(default)]
    external_data: Vec<String>,
    /// A virtual dataset of this file and dataset.
    #[serde(default)]
    source: Option<(String, String)>,
    /// A soft link to this path.
    #[serde(default)]
    soft: Option<String>,
    /// An external link to this file and path.
    #[serde(default)]
    external: Option<(String, String)>,
    /// Attributes of the dataset.
    #[serde(default)]
    attributes: Vec<Attribute>,
}

const NONE: u64 = u64::MAX;

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    /// Texts of variable length.
    heap: Vec<Vec<u8>>,
    /// Where the address of the heap must be filled in.
    heap_places: Vec<usize>,
}

fn u16le(n: usize) -> [u8; 2] {
    (n as u16).to_le_bytes()
}

fn u32le(n: usize) -> [u8; 4] {
    (n as u32).to_le_bytes()
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// What an address in a message must be replaced by once the heap is written.
const HEAP_MARK: [u8; 8] = *b"\x00HEAP-AT";

impl Writer {
    fn align(&mut self) -> u64 {
        self.out.resize(self.out.len().next_multiple_of(8), 0);
        self.out.len() as u64
    }

    fn raw(&mut self, bytes: &[u8]) -> u64 {
        let at = self.align();
        self.out.extend(bytes);
        at
    }

    /// An object header of version 1; `split` puts the last message into a second block.
    fn header(&mut self, messages: &[(u16, Vec<u8>)], split: bool) -> u64 {
        let message = |(kind, body): &(u16, Vec<u8>)| {
            let body = padded(body.clone());
            [&kind.to_le_bytes()[..], &u16le(body.len()), &[0; 4], &body].concat()
        };
        let (here, there) =
            if split { messages.split_at(messages.len().saturating_sub(1)) } else { (messages, &[][..]) };
        let mut block: Vec<u8> = here.iter().flat_map(message).collect();
        if !there.is_empty() {
            let rest: Vec<u8> = there.iter().flat_map(message).collect();
            let at = self.raw(&rest);
            self.mark(at as usize, rest.len());
            block.extend(message(&(16, [at.to_le_bytes(), (rest.len() as u64).to_le_bytes()].concat())));
        }
        let count = messages.len() + usize::from(!there.is_empty());
        let at = self.align();
        self.out.extend([1, 0]);
        self.out.extend(u16le(count));
        self.out.extend(u32le(1));
        self.out.extend(u32le(block.len()));
        self.out.extend([0; 4]);
        self.out.extend(&block);
        self.mark(at as usize, block.len() + 16);
        at
    }

    /// Notes the places in a block that wait for the heap's address.
    fn mark(&mut self, at: usize, len: usize) {
        let block = &self.out[at..at + len];
        let found: Vec<usize> =
            block.windows(8).enumerate().filter(|(_, w)| **w == HEAP_MARK).map(|(n, _)| at + n).collect();
        self.heap_places.extend(found);
    }

    fn attribute(&mut self, a: &Attribute, b: &Builder<'_>) -> Result<(u16, Vec<u8>), Error> {
        let value = b.source(&a.value)?;
        let name = [a.name.as_bytes(), b"\0"].concat();
        let (datatype, data) = if a.variable {
            self.heap.push(value.clone());
            let reference = [&u32le(value.len())[..], &HEAP_MARK, &u32le(self.heap.len())].concat();
            (b"\x19\x01\x00\x00\x10\0\0\0\x13\0\0\0\x01\0\0\0".to_vec(), reference)
        } else {
            ([b"\x13\0\0\0".as_slice(), &u32le(value.len().max(1))].concat(), value)
        };
        // A scalar: rank 0.
        let space = vec![1, 0, 0, 0, 0, 0, 0, 0];
        let sizes = [u16le(name.len()), u16le(datatype.len()), u16le(space.len())].concat();
        let body = [vec![1, 0], sizes, padded(name), padded(datatype), padded(space), data].concat();
        if body.len() > 65_000 {
            return Err(Error::new(format!("hdf5: attribute {} must be `variable`", a.name)));
        }
        Ok((12, body))
    }

    fn link(m: &Member, header: u64) -> Vec<u8> {
        let (kind, value) = match (&m.soft, &m.external) {
            (Some(path), _) => (1u8, [&u16le(path.len())[..], path.as_bytes()].concat()),
            (_, Some((file, path))) => {
                let value = [b"\0", file.as_bytes(), b"\0", path.as_bytes(), b"\0"].concat();
                (64, [&u16le(value.len())[..], &value].concat())
            }
            _ => (0, header.to_le_bytes().to_vec()),
        };
        [&[1, 8, kind, m.name.len() as u8][..], m.name.as_bytes(), &value].concat()
    }

    fn dataset(&mut self, m: &Member, b: &Builder<'_>) -> Result<u64, Error> {
        let mut space = vec![1, m.shape.len() as u8, 0, 0, 0, 0, 0, 0];
        space.extend(m.shape.iter().flat_map(|d| d.to_le_bytes()));
        let (datatype, size): (&[u8], u64) = match m.kind.as_deref().unwrap_or("f32") {
            "f32" => (b"\x11\x20\x1f\x00\x04\0\0\0\0\0\x20\0\x17\x08\0\x17\x7f\0\0\0", 4),
            "u8" => (b"\x10\0\0\0\x01\0\0\0\0\0\x08\0", 1),
            "opaque" => (b"\x15\x08\0\0\x01\0\0\0tag\0\0\0\0\0", 1),
            other => return Err(Error::new(format!("hdf5: no type `{other}`"))),
        };
        let data = m.data.as_ref().map(|s| b.source(s)).transpose()?;
        let mut messages = vec![(1, space), (3, datatype.to_vec()), (5, vec![2, 2, 2, 0])];
        let place = |at: u64, len: u64| [&[3, 1][..], &at.to_le_bytes(), &len.to_le_bytes()].concat();
        if !m.external_data.is_empty() {
            messages.push(self.external_data(m, size));
            messages.push((8, place(NONE, m.shape.iter().product::<u64>().wrapping_mul(size))));
        } else if let Some((file, path)) = &m.source {
            self.heap.push(mapping(file, path));
            let index = u32le(self.heap.len());
            messages.push((8, [&[4, 3][..], &HEAP_MARK, &index].concat()));
        } else if m.compact {
            let data = data.unwrap_or_default();
            messages.push((8, [&[3, 0][..], &u16le(data.len()), &data].concat()));
        } else if m.chunked {
            let data = data.unwrap_or_default();
            messages.push((8, self.chunk(m, &data, size)?));
            if m.deflate {
                messages
                    .push((11, vec![1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0]));
            }
        } else if let Some(data) = data {
            let at = self.raw(&data);
            messages.push((8, place(at, data.len() as u64)));
        } else {
            messages.push((8, place(NONE, m.shape.iter().fold(size, |n, d| n.wrapping_mul(*d)))));
        }
        for a in &m.attributes {
            let message = self.attribute(a, b)?;
            messages.push(message);
        }
        Ok(self.header(&messages, false))
    }

    /// One chunk under a tree of version 1.
    fn chunk(&mut self, m: &Member, data: &[u8], size: u64) -> Result<Vec<u8>, Error> {
        let packed = if m.deflate { super::compress::zlib(data)? } else { data.to_vec() };
        let at = self.raw(&packed);
        let rank = m.shape.len() + 1;
        let key = |stored: usize, end: bool| {
            let offsets = m.shape.iter().map(|d| if end { *d } else { 0 }).chain([0]);
            let offsets: Vec<u8> = offsets.flat_map(u64::to_le_bytes).collect();
            [&u32le(stored)[..], &[0; 4], &offsets].concat()
        };
        let mut node = [&b"TREE\x01\0\x01\0"[..], &NONE.to_le_bytes(), &NONE.to_le_bytes()].concat();
        node.extend(key(packed.len(), false));
        node.extend(at.to_le_bytes());
        node.extend(key(0, true));
        // Room for 64 chunks, as the library reads it.
        node.resize(24 + 65 * (8 + 8 * rank) + 64 * 8, 0);
        let tree = self.raw(&node);
        let dims = m.shape.iter().copied().chain([size]).flat_map(|d| u32le(d as usize));
        Ok([&[3, 2, rank as u8][..], &tree.to_le_bytes(), &dims.collect::<Vec<u8>>()].concat())
    }

    fn external_data(&mut self, m: &Member, size: u64) -> (u16, Vec<u8>) {
        let mut names = vec![0; 8];
        let mut slots = Vec::new();
        let each = m.shape.iter().product::<u64>().wrapping_mul(size) / m.external_data.len() as u64;
        for file in &m.external_data {
            slots.extend((names.len() as u64).to_le_bytes());
            slots.extend([0; 8]);
            slots.extend(each.to_le_bytes());
            names.extend(padded([file.as_bytes(), b"\0"].concat()));
        }
        let segment = self.raw(&names);
        let head = [
            &b"HEAP\0\0\0\0"[..],
            &(names.len() as u64).to_le_bytes(),
            // No free block in the heap.
            &1u64.to_le_bytes(),
            &segment.to_le_bytes(),
        ]
        .concat();
        let heap = self.raw(&head);
        let count = u16le(m.external_data.len());
        (7, [&[1, 0, 0, 0][..], &count, &count, &heap.to_le_bytes(), &slots].concat())
    }
}

/// A mapping of everything of one dataset to everything of a virtual one.
fn mapping(file: &str, path: &str) -> Vec<u8> {
    // Selection "all", version 1.
    let all = [u32le(3), u32le(1), [0; 4], [0; 4]].concat();
    let body =
        [&[0][..], &1u64.to_le_bytes(), file.as_bytes(), b"\0", path.as_bytes(), b"\0", &all, &all].concat();
    [body, vec![0; 4]].concat()
}

pub(crate) fn build(h: &Hdf5, b: &Builder<'_>) -> Result<Vec<u8>, Error> {
    const SUPERBLOCK: usize = 96;
    let mut w = Writer::default();
    w.out.resize(SUPERBLOCK, 0);
    let mut messages = vec![
        // No dense storage; no estimates.
        (2, [&[0, 0][..], &NONE.to_le_bytes(), &NONE.to_le_bytes()].concat()),
        (10, vec![0, 0]),
    ];
    for a in &h.attributes {
        let message = w.attribute(a, b).map_err(|e| e.at(&a.name))?;
        messages.push(message);
    }
    for m in &h.members {
        let is_link = m.soft.is_some() || m.external.is_some();
        let header = if is_link { 0 } else { w.dataset(m, b).map_err(|e| e.at(&m.name))? };
        messages.push((6, Writer::link(m, header)));
    }
    if let Some(free) = &h.free {
        let bytes = b.source(free)?;
        w.raw(&bytes);
    }
    let root = w.header(&messages, h.continued);
    if !w.heap.is_empty() {
        let objects: Vec<u8> = w
            .heap
            .iter()
            .enumerate()
            .flat_map(|(n, text)| {
                let head =
                    [&u16le(n + 1)[..], &u16le(1), &[0; 4], &(text.len() as u64).to_le_bytes()].concat();
                [head, padded(text.clone())].concat()
            })
            .collect();
        // The library makes collections of at least 4096 bytes.
        let size = (16 + objects.len() + 16).max(4096);
        let mut heap = [&b"GCOL\x01\0\0\0"[..], &(size as u64).to_le_bytes(), &objects].concat();
        let free = (size - heap.len()) as u64;
        heap.extend([0; 8]);
        heap.extend(free.to_le_bytes());
        heap.resize(size, 0);
        let at = w.raw(&heap);
        for place in std::mem::take(&mut w.heap_places) {
            w.out[place..place + 8].copy_from_slice(&at.to_le_bytes());
        }
    }
    let mut end = w.align();
    let user = match &h.user_block {
        Some(user) => {
            let mut bytes = b.source(user)?;
            bytes.resize(bytes.len().max(512).next_power_of_two(), 0);
            bytes
        }
        None => Vec::new(),
    };
    // The end alone counts from the start of the file.
    end += user.len() as u64;
    let superblock = [
        &b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0\x04\0\x10\0\0\0\0\0"[..],
        &(user.len() as u64).to_le_bytes(),
        &NONE.to_le_bytes(),
        &end.to_le_bytes(),
        &NONE.to_le_bytes(),
        &0u64.to_le_bytes(),
        &root.to_le_bytes(),
        &[0; 24],
    ]
    .concat();
    w.out[..SUPERBLOCK].copy_from_slice(&superblock);
    let mut out = user;
    out.extend(w.out);
    if let Some(trailing) = &h.trailing {
        out.extend(b.source(trailing)?);
    }
    Ok(out)
}
