//! Object headers: the messages of one group, dataset or named type (format specification IV.A.1), with all their
//! continuation blocks.

use super::file::{Fields, File, UNDEFINED};
use super::message::kind;
use crate::cx::{Cx, Stop};
use std::collections::HashSet;

/// A message of an object header.
pub(super) struct Message {
    pub kind: u16,
    pub flags: u8,
    /// Address of its body.
    pub at: u64,
    pub body: Vec<u8>,
}

impl Message {
    /// The body is not here but in another header or in a heap of shared messages.
    pub(super) fn is_shared(&self) -> bool {
        self.flags & 2 != 0
    }
}

/// Blocks of one header; honest ones have a handful.
const MAX_BLOCKS: usize = 10_000;

/// The messages of the object at `address`. Those of a block that breaks off are kept, beside the reason.
pub(super) fn messages(file: &mut File, address: u64, cx: &Cx<'_>) -> (Vec<Message>, Option<Stop>) {
    let mut out = Vec::new();
    let stop = read(file, address, &mut out, cx).err();
    (out, stop)
}

fn read(file: &mut File, address: u64, out: &mut Vec<Message>, cx: &Cx<'_>) -> Result<(), Stop> {
    let head = file.peek(address, 64)?;
    if head.starts_with(b"OHDR") {
        version2(file, address, &head, out, cx)
    } else {
        version1(file, address, &head, out, cx)
    }
}

fn version1(
    file: &mut File,
    address: u64,
    head: &[u8],
    out: &mut Vec<Message>,
    cx: &Cx<'_>,
) -> Result<(), Stop> {
    let mut f = Fields::new(head);
    let fields = (|| {
        let version = f.u8()?;
        f.skip(7)?;
        Some((version, f.u32()?))
    })();
    let Some((1, size)) = fields else {
        return Err(file.broken(address, "no object header"));
    };
    file.block(address, 16, cx)?;
    let mut blocks = vec![(address.saturating_add(16), u64::from(size))];
    let mut seen = HashSet::new();
    while let Some((at, len)) = blocks.pop() {
        if !seen.insert(at) || seen.len() > MAX_BLOCKS {
            return Err(file.broken(at, "object header blocks in a circle"));
        }
        let block = file.block(at, len, cx)?;
        let mut f = Fields::new(&block);
        while f.left() >= 8 {
            let start = f.at() as u64;
            let (Some(kind), Some(size), Some(flags), Some(())) = (f.u16(), f.u16(), f.u8(), f.skip(3))
            else {
                break;
            };
            let Some(body) = f.take(usize::from(size)) else {
                return Err(file.broken(at + start, "a message leaves its object header"));
            };
            message(
                file,
                Message { kind, flags, at: at + start + 8, body: body.to_vec() },
                &mut blocks,
                out,
            )?;
        }
    }
    Ok(())
}

fn version2(
    file: &mut File,
    address: u64,
    head: &[u8],
    out: &mut Vec<Message>,
    cx: &Cx<'_>,
) -> Result<(), Stop> {
    let mut f = Fields::new(head);
    let fields = (|| {
        f.skip(4)?;
        let (version, flags) = (f.u8()?, f.u8()?);
        if flags & 0x20 != 0 {
            f.skip(16)?;
        }
        if flags & 0x10 != 0 {
            f.skip(4)?;
        }
        Some((version, flags, f.uint(1 << (flags & 3))?))
    })();
    let Some((2, flags, size)) = fields else {
        return Err(file.broken(address, "no object header"));
    };
    let prefix = f.at() as u64;
    file.block(address, prefix, cx)?;
    // The first block has no signature and no room for the checksum in its size; the others have both.
    let mut blocks = vec![(address.saturating_add(prefix), size.saturating_add(4))];
    let mut seen = HashSet::new();
    while let Some((at, len)) = blocks.pop() {
        if !seen.insert(at) || seen.len() > MAX_BLOCKS {
            return Err(file.broken(at, "object header blocks in a circle"));
        }
        let block = file.block(at, len, cx)?;
        let mut f = Fields::new(&block[..block.len().saturating_sub(4)]);
        if seen.len() > 1 && f.take(4) != Some(b"OCHK") {
            return Err(file.broken(at, "no continuation of an object header"));
        }
        let order = if flags & 4 != 0 { 2 } else { 0 };
        while f.left() >= 4 + order {
            let start = f.at();
            let (Some(kind), Some(size), Some(flags), Some(())) = (f.u8(), f.u16(), f.u8(), f.skip(order))
            else {
                break;
            };
            let Some(body) = f.take(usize::from(size)) else {
                return Err(file.broken(at + start as u64, "a message leaves its object header"));
            };
            let at = at + (start + 4 + order) as u64;
            let m = Message { kind: u16::from(kind), flags, at, body: body.to_vec() };
            message(file, m, &mut blocks, out)?;
        }
    }
    Ok(())
}

fn message(
    file: &File,
    m: Message,
    blocks: &mut Vec<(u64, u64)>,
    out: &mut Vec<Message>,
) -> Result<(), Stop> {
    if m.kind == kind::CONTINUATION {
        let mut f = Fields::new(&m.body);
        let (Some(at), Some(len)) = (f.address(file.offset), f.uint(file.length)) else {
            return Err(file.broken(m.at, "a continuation without an address"));
        };
        if at != UNDEFINED {
            blocks.push((at, len));
        }
        return Ok(());
    }
    if m.kind != 0 {
        out.push(m);
    }
    Ok(())
}

/// The body of a message that stands elsewhere (format specification, "shared message").
pub(super) fn shared(file: &mut File, wanted: u16, body: &[u8], cx: &Cx<'_>) -> Result<Vec<u8>, Stop> {
    let mut f = Fields::new(body);
    let place = (|| {
        let (version, place) = (f.u8()?, f.u8()?);
        if version == 1 {
            f.skip(6)?;
        }
        // In version 3, place 1 is a heap of messages of the whole file.
        if version == 3 && place == 1 { None } else { f.address(file.offset) }
    })();
    let Some(address) = place else {
        return Err(Stop::Unsupported("HDF5 messages in a heap of the whole file".into()));
    };
    let (all, stop) = messages(file, address, cx);
    match (all.into_iter().find(|m| m.kind == wanted && !m.is_shared()), stop) {
        (Some(m), _) => Ok(m.body),
        (None, Some(stop)) => Err(stop),
        (None, None) => Err(file.broken(address, "a shared message is not where it should be")),
    }
}
