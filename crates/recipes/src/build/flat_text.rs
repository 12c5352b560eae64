//! FlatBuffers assembler: tables as text, one field a line, told by their slots.
//!
//! ```text
//! # an identifier, if there is one
//! identifier ORTM
//! # a number of one, four or eight bytes
//! 5 u8: 1
//! 6 u32: 300
//! 7 u64: 1
//! # a string, a vector of bytes, of 32-bit and of 64-bit numbers, of strings
//! 0 text: "name"
//! 1 bytes: hex:00 "ab"*8
//! 2 ints: 1 2 3
//! 8 longs: 1 2
//! 9 texts: "a" "b"
//! # a table
//! 3 {
//!   0 text: "x"
//! }
//! # a vector of tables
//! 4 [
//!   {
//!   }
//! ]
//! # bytes behind everything else
//! raw "tail"
//! ```

use super::Builder;
use super::flat::{Field, Writer};
use crate::Error;
use crate::value::{eval, term};
use std::collections::BTreeMap;

type Table = BTreeMap<usize, Value>;

enum Value {
    U8(u8),
    U32(u32),
    U64(u64),
    Text(Vec<u8>),
    Ints(Vec<i32>),
    Longs(Vec<u64>),
    Texts(Vec<Vec<u8>>),
    Table(Table),
    Tables(Vec<Table>),
}

struct Lines<'t, 'b> {
    lines: Vec<(usize, &'t str)>,
    at: usize,
    identifier: Option<&'t str>,
    tail: Vec<u8>,
    b: &'b Builder<'b>,
}

pub(crate) fn build(text: &str, b: &Builder<'_>) -> Result<Vec<u8>, Error> {
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#')).collect();
    let mut lines = Lines { lines, at: 0, identifier: None, tail: Vec::new(), b };
    let root = lines.table(false)?;
    let mut w = Writer::new(&[0; 4]);
    if let Some(identifier) = lines.identifier {
        w.out.extend(identifier.bytes());
    }
    let root = table(&mut w, &root);
    w.point_to(0, root);
    w.out.extend(lines.tail);
    Ok(w.out)
}

impl<'t> Lines<'t, '_> {
    fn next(&mut self) -> Option<(usize, &'t str)> {
        self.at += 1;
        self.lines.get(self.at - 1).copied()
    }

    /// Fields up to the closing brace, or to the end.
    fn table(&mut self, inner: bool) -> Result<Table, Error> {
        let mut out = Table::new();
        while let Some((n, line)) = self.next() {
            if line == "}" && inner {
                return Ok(out);
            }
            self.line(line, &mut out).map_err(|e| e.at(format_args!("flat line {}", n + 1)))?;
        }
        if inner { Err(Error::new("flat: a table is not closed")) } else { Ok(out) }
    }

    fn line(&mut self, line: &'t str, out: &mut Table) -> Result<(), Error> {
        let resolve = |name: &str| self.b.part(name);
        if let Some(name) = line.strip_prefix("identifier ") {
            self.identifier = Some(name);
            return Ok(());
        }
        if let Some(bytes) = line.strip_prefix("raw ") {
            self.tail.extend(eval(bytes, &resolve)?);
            return Ok(());
        }
        let slot =
            |text: &str| text.trim().parse::<usize>().map_err(|_| Error::new(format!("`{text}` is no slot")));
        if let Some(text) = line.strip_suffix('{') {
            let inner = self.table(true)?;
            out.insert(slot(text)?, Value::Table(inner));
            return Ok(());
        }
        if let Some(text) = line.strip_suffix('[') {
            let mut tables = Vec::new();
            loop {
                match self.next() {
                    Some((_, "{")) => tables.push(self.table(true)?),
                    Some((_, "]")) => break,
                    _ => return Err(Error::new("a vector of tables holds tables")),
                }
            }
            out.insert(slot(text)?, Value::Tables(tables));
            return Ok(());
        }
        let (head, value) = line.split_once(':').ok_or_else(|| Error::new("`:` is missing"))?;
        let (number, kind) =
            head.split_once(' ').ok_or_else(|| Error::new("a field has a slot and a kind"))?;
        let bad = || Error::new(format!("`{value}` is no such number"));
        let value = value.trim();
        let made = match kind {
            "u8" => Value::U8(value.parse().map_err(|_| bad())?),
            "u32" => Value::U32(value.parse::<i64>().map_err(|_| bad())? as u32),
            "u64" => Value::U64(value.parse::<i128>().map_err(|_| bad())? as u64),
            "text" | "bytes" => Value::Text(eval(value, &resolve)?),
            "ints" => Value::Ints(
                value.split_whitespace().map(str::parse).collect::<Result<_, _>>().map_err(|_| bad())?,
            ),
            "longs" => {
                let numbers = value.split_whitespace().map(|n| n.parse::<i128>().map(|n| n as u64));
                Value::Longs(numbers.collect::<Result<_, _>>().map_err(|_| bad())?)
            }
            "texts" => {
                let (mut texts, mut rest) = (Vec::new(), value);
                while !rest.is_empty() {
                    let (text, after) = term(rest, &resolve)?;
                    texts.push(text);
                    rest = after.trim_start();
                }
                Value::Texts(texts)
            }
            other => return Err(Error::new(format!("`{other}` is no kind of field"))),
        };
        out.insert(slot(number)?, made);
        Ok(())
    }
}

/// Writes a table and all that it refers to; returns where it is.
fn table(w: &mut Writer, t: &Table) -> usize {
    let slots = t.keys().next_back().map_or(0, |n| n + 1);
    let fields: Vec<Option<Field>> = (0..slots)
        .map(|slot| {
            t.get(&slot).map(|v| match v {
                Value::U8(n) => Field::U8(*n),
                Value::U32(n) => Field::U32(*n),
                Value::U64(n) => Field::U64(*n),
                _ => Field::Offset,
            })
        })
        .collect();
    let (at, places) = w.table(&fields);
    for (slot, value) in t {
        let place = places[*slot];
        match value {
            Value::U8(_) | Value::U32(_) | Value::U64(_) => {}
            Value::Text(bytes) => w.bytes(place, bytes),
            Value::Ints(values) => w.ints(place, values),
            Value::Longs(values) => w.longs(place, values),
            Value::Texts(texts) => {
                let places = w.offsets(place, texts.len());
                texts.iter().zip(places).for_each(|(text, place)| w.bytes(place, text));
            }
            Value::Table(inner) => {
                let at = table(w, inner);
                w.point_to(place, at);
            }
            Value::Tables(tables) => {
                let places = w.offsets(place, tables.len());
                for (inner, place) in tables.iter().zip(places) {
                    let at = table(w, inner);
                    w.point_to(place, at);
                }
            }
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use crate::Recipe;

    fn built(text: &str) -> Result<Vec<u8>, crate::Error> {
        let recipe = format!(
            "id = \"x\"\ntitle = \"\"\nsource = \"\"\nloader = \"\"\nexpected = \"harmless\"\n[files.x]\nflat = '''\n{text}'''\n"
        );
        Ok(Recipe::parse(&recipe, "x")?.build()?.remove(0).1)
    }

    #[test]
    fn a_table_is_written_with_its_parts() {
        let out = built("identifier ABCD\n1 u8: 7\n0 text: \"hi\"\n3 [\n{\n0 ints: 1 -1\n}\n]\nraw \"!\"\n")
            .unwrap();
        assert_eq!(&out[4..8], b"ABCD");
        let root = u32::from_le_bytes(out[..4].try_into().unwrap()) as usize;
        let back = i32::from_le_bytes(out[root..root + 4].try_into().unwrap());
        let vtable = (root as i64 - i64::from(back)) as usize;
        assert_eq!(u16::from_le_bytes(out[vtable..vtable + 2].try_into().unwrap()), 12, "four slots");
        let slot = u16::from_le_bytes(out[vtable + 6..vtable + 8].try_into().unwrap()) as usize;
        assert_eq!(out[root + slot], 7);
        assert!(out.ends_with(b"!") && out.windows(6).any(|w| w == b"\x02\0\0\0hi"));
    }

    #[test]
    fn mistakes_are_errors() {
        for bad in ["1 {\n", "}\n", "x u8: 1\n", "1 odd: 1\n", "1 u8: 300\n", "1 [\n1 u8: 1\n]\n"] {
            assert!(built(bad).is_err(), "{bad}");
        }
    }
}
