//! Which fields the tables of a FlatBuffers schema have, and a walk over all of them. A schema is a text with a line for each
//! table: its name, then the kind of each field in the order of the schema:
//!
//! ```text
//! .         a number                          s    a string          S    strings
//! 1 2 4 8   a vector of elements of so many bytes
//! =T        a table T                         *T   tables T
//! |U        a member of the union U; the field before it tells which
//! ```
//! A line `union U A B …` lists the members of a union.

use super::compressed::all_zero;
use super::flatbuffer::{Flat, Table};
use crate::analyses::opaque;
use crate::cx::{Cx, Stop};
use std::collections::HashMap;
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason};

/// Tables inside tables deeper than this are none of a model.
const DEEPEST: u32 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Texts,
    Vector(u64),
    Table(&'static str),
    Tables(&'static str),
    Union(&'static str),
}

/// A schema.
#[derive(Default)]
pub(super) struct Layout {
    tables: HashMap<&'static str, Vec<Kind>>,
    unions: HashMap<&'static str, Vec<&'static str>>,
}

impl Layout {
    pub(super) fn parse(text: &'static str) -> Self {
        let mut all = Self::default();
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let mut words = line.split_whitespace();
            match words.next() {
                None => {}
                Some("union") => {
                    all.unions.insert(words.next().unwrap_or_default(), words.collect());
                }
                Some(name) => {
                    all.tables.insert(name, words.map(kind).collect());
                }
            }
        }
        all
    }

    /// The number of fields that a table may have.
    pub(super) fn fields(&self, table: &str) -> usize {
        self.tables.get(table).map_or(0, Vec::len)
    }

    /// The number of members of a union.
    pub(super) fn members(&self, union: &str) -> usize {
        self.unions.get(union).map_or(0, Vec::len)
    }
}

fn kind(word: &'static str) -> Kind {
    match word.split_at(1) {
        (".", _) => Kind::Number,
        ("s", _) => Kind::Text,
        ("S", _) => Kind::Texts,
        ("=", table) => Kind::Table(table),
        ("*", table) => Kind::Tables(table),
        ("|", union) => Kind::Union(union),
        _ => Kind::Vector(word.parse().unwrap_or(1)),
    }
}

/// What a format does with what the walk meets.
pub(super) trait Visitor {
    /// A table of this name.
    fn table(&mut self, name: &str, t: &Table, flat: &mut Flat, cx: &mut Cx<'_>) -> Result<(), Stop>;
    /// Raw data: where it is and how long.
    fn data(&mut self, at: u64, len: u64, cx: &mut Cx<'_>) -> Result<(), Stop>;
}

/// Goes through the table at `at` and all that it refers to, and marks what it explains.
pub(super) fn walk(
    layout: &Layout,
    name: &'static str,
    at: u64,
    flat: &mut Flat,
    visitor: &mut dyn Visitor,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    Walk { layout, flat, visitor, newer: 0 }.table(name, at, 0, cx)
}

struct Walk<'w> {
    layout: &'w Layout,
    flat: &'w mut Flat,
    visitor: &'w mut dyn Visitor,
    newer: u32,
}

impl Walk<'_> {
    fn table(&mut self, name: &'static str, at: u64, depth: u32, cx: &mut Cx<'_>) -> Result<(), Stop> {
        if depth > DEEPEST {
            return Err(Stop::malformed(at, "tables nested deeper than a model has them"));
        }
        let layout = self.layout;
        let Some(kinds) = layout.tables.get(name) else { return Ok(()) };
        let t = self.flat.table(at, cx)?;
        if t.beyond(kinds.len()) && self.newer < 50 {
            self.newer += 1;
            cx.gap(GapReason::Unexplained, Some(at), None, format!("{name} with fields of a newer schema"));
        }
        self.visitor.table(name, &t, self.flat, cx)?;
        for (slot, kind) in kinds.iter().enumerate() {
            let Some(field) = t.field(slot) else { continue };
            match kind {
                Kind::Number => {}
                Kind::Text => {
                    self.flat.string(&t, slot)?;
                }
                Kind::Texts => {
                    for text in self.flat.tables(&t, slot, cx)? {
                        self.flat.text_at(text)?;
                    }
                }
                Kind::Vector(size) => {
                    if let Some(v) = self.flat.vector(&t, slot, *size)? {
                        self.visitor.data(v.at, v.len * size, cx)?;
                    }
                }
                Kind::Table(inner) => {
                    let to = self.flat.follow(field)?;
                    self.table(inner, to, depth + 1, cx)?;
                }
                Kind::Tables(inner) => {
                    for to in self.flat.tables(&t, slot, cx)? {
                        self.table(inner, to, depth + 1, cx)?;
                    }
                }
                Kind::Union(union) => {
                    let member = self.flat.scalar(&t, slot.saturating_sub(1), 1, 0)?;
                    let names = layout.unions.get(union).map_or(&[][..], Vec::as_slice);
                    let name = member.checked_sub(1).and_then(|m| names.get(m as usize));
                    match name {
                        Some(name) => {
                            let to = self.flat.follow(field)?;
                            self.table(name, to, depth + 1, cx)?;
                        }
                        None if member == 0 => {}
                        None => {
                            let detail = format!("member {member} of {union}, which has {}", names.len());
                            cx.gap(GapReason::Unexplained, Some(field), None, detail);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Bytes that no table refers to.
pub(super) fn unexplained(blob: &Blob, flat: Flat, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MAX_TOLD: usize = 20;
    let mut told = 0;
    for hole in flat.holes() {
        let data = blob.sub(hole.at..hole.end);
        if all_zero(&data)? {
            continue;
        }
        told += 1;
        if told > MAX_TOLD {
            break;
        }
        let detail = format!("{} bytes of no table of the model", hole.len());
        cx.gap(GapReason::Unexplained, Some(hole.at), Some(hole.len()), detail);
        if let Some(what) = opaque::hidden(&data, &data.head(4096)?) {
            let detail = "in bytes that belong to nothing".to_string();
            cx.fact(Some(hole.at), FactKind::Hidden { code: what.into(), detail });
            cx.member(format!("(bytes at {:#x})", hole.at).as_bytes(), &data);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_read() {
        let l = Layout::parse("# a comment\nA . s |U 4 *B\nB\nunion U A B\n");
        assert_eq!((l.fields("A"), l.fields("B"), l.members("U")), (5, 0, 2));
        assert_eq!(l.tables["A"][4], Kind::Tables("B"));
    }
}
