//! Members of groups: symbol tables of old files, link messages and dense storage of newer ones.

use super::file::{Fields, File, UNDEFINED};
use super::heap;
use super::message::{Target, kind, link};
use super::object::Message;
use crate::cx::{Cx, Stop};
use std::collections::HashSet;

/// A member of a group.
pub(super) struct Link {
    pub name: Vec<u8>,
    pub target: Target,
}

/// Nodes of one group's tree.
const MAX_NODES: usize = 1_000_000;

/// The members that the messages of an object name. Those found before an error are kept.
pub(super) fn links(
    file: &mut File,
    messages: &[Message],
    out: &mut Vec<Link>,
    cx: &Cx<'_>,
) -> Result<(), Stop> {
    let mut first = Ok(());
    let mut note = |r: Result<(), Stop>| {
        if first.is_ok() {
            first = r;
        }
    };
    for m in messages {
        match m.kind {
            kind::SYMBOL_TABLE => note(symbol_table(file, m, out, cx)),
            kind::LINK => match link(&m.body, file.offset) {
                Some((name, target)) => out.push(Link { name, target }),
                None => note(Err(file.broken(m.at, "a link that cannot be read"))),
            },
            kind::LINK_INFO => note(dense(file, m, out, cx)),
            _ => {}
        }
    }
    first
}

fn symbol_table(file: &mut File, m: &Message, out: &mut Vec<Link>, cx: &Cx<'_>) -> Result<(), Stop> {
    let mut f = Fields::new(&m.body);
    let (Some(tree), Some(names)) = (f.address(file.offset), f.address(file.offset)) else {
        return Err(file.broken(m.at, "a symbol table without addresses"));
    };
    if tree == UNDEFINED {
        return Ok(());
    }
    let names = heap::local(file, names, cx)?;
    let mut work = vec![tree];
    let mut seen = HashSet::new();
    while let Some(at) = work.pop() {
        if !seen.insert(at) || seen.len() > MAX_NODES {
            return Err(file.broken(at, "a group's tree in a circle"));
        }
        if file.peek(at, 4)? == b"SNOD" {
            symbols(file, at, &names, out, cx)?;
            continue;
        }
        let (o, l) = (file.offset, file.length);
        let size = 8 + 2 * o as u64 + (2 * file.group_k + 1) * l as u64 + 2 * file.group_k * o as u64;
        let block = node(file, at, size, 8 + 2 * o as u64, o + l, cx)?;
        let mut f = Fields::new(&block);
        let count = (|| {
            (f.take(4)? == b"TREE" && f.u8()? == 0).then_some(())?;
            f.skip(1)?;
            let count = f.u16()?;
            f.skip(2 * o)?;
            Some(count)
        })();
        let Some(count) = count else { return Err(file.broken(at, "no node of a group's tree")) };
        for _ in 0..count {
            cx.budget.entries(1)?;
            let (Some(()), Some(child)) = (f.skip(l), f.address(o)) else {
                return Err(file.broken(at, "a node of more members than it can hold"));
            };
            work.push(child);
        }
    }
    Ok(())
}

/// A node with room for more than it uses: its full size counts as explained, and need not all be there.
fn node(file: &mut File, at: u64, full: u64, head: u64, each: usize, cx: &Cx<'_>) -> Result<Vec<u8>, Stop> {
    let start = file.peek(at, 8)?;
    let used = start.get(6..8).map_or(0, |b| u64::from(u16::from_le_bytes([b[0], b[1]])));
    let least = head + used * each as u64;
    let room = full.max(least).min(file.len().saturating_sub(at));
    file.block(at, room.max(least), cx)
}

/// Symbol table node: the members themselves.
fn symbols(file: &mut File, at: u64, names: &[u8], out: &mut Vec<Link>, cx: &Cx<'_>) -> Result<(), Stop> {
    const SOFT: u32 = 2;
    let o = file.offset;
    let each = 2 * o + 24;
    let full = 8 + 2 * file.leaf_k * each as u64;
    let block = node(file, at, full, 8, each, cx)?;
    let mut f = Fields::new(&block);
    let _ = f.skip(6);
    let count = f.u16().unwrap_or(0);
    let text = |start: u64| {
        let start = usize::try_from(start).ok().filter(|s| *s < names.len())?;
        Some(Fields::new(&names[start..]).text().to_vec())
    };
    for _ in 0..count {
        cx.budget.entries(1)?;
        let entry = (|| {
            let (name, header) = (f.uint(o)?, f.address(o)?);
            let cached = f.u32()?;
            f.skip(4)?;
            let scratch = f.take(16)?;
            Some((name, header, cached, u64::from(u32::from_le_bytes(scratch[..4].try_into().ok()?))))
        })();
        let Some((name, header, cached, value)) = entry else {
            return Err(file.broken(at, "a symbol table node of more members than it can hold"));
        };
        let Some(name) = text(name) else {
            return Err(file.broken(at, "a name outside of its heap"));
        };
        let target = match cached {
            SOFT => match text(value) {
                Some(value) => Target::Soft(value),
                None => return Err(file.broken(at, "a soft link outside of its heap")),
            },
            _ => Target::Hard(header),
        };
        out.push(Link { name, target });
    }
    Ok(())
}

/// Links kept in a fractal heap, found by a tree of the hashes of their names.
fn dense(file: &mut File, m: &Message, out: &mut Vec<Link>, cx: &Cx<'_>) -> Result<(), Stop> {
    let mut f = Fields::new(&m.body);
    let places = (|| {
        f.skip(1)?;
        let flags = f.u8()?;
        if flags & 1 != 0 {
            f.skip(8)?;
        }
        let heap = f.address(file.offset)?;
        let tree = f.address(file.offset)?;
        let order = if flags & 2 != 0 { f.address(file.offset)? } else { UNDEFINED };
        Some((heap, tree, order))
    })();
    let Some((heap, tree, order)) = places else {
        return Err(file.broken(m.at, "link information that cannot be read"));
    };
    if heap == UNDEFINED {
        return Ok(());
    }
    let heap = heap::Fractal::read(file, heap, cx)?;
    let mut seen = HashSet::new();
    // Names by hash (4 bytes) and by creation order (8 bytes): the union is what any reader may list.
    for (tree, key) in [(tree, 4), (order, 8)] {
        if tree == UNDEFINED {
            continue;
        }
        for record in heap::tree2(file, tree, cx)? {
            let Some(id) = record.get(key..) else { continue };
            if !seen.insert(id.to_vec()) {
                continue;
            }
            let (at, body) = heap.object(file, id, cx)?;
            match link(&body, file.offset) {
                Some((name, target)) => out.push(Link { name, target }),
                None => return Err(file.broken(at, "a link that cannot be read")),
            }
        }
    }
    Ok(())
}
