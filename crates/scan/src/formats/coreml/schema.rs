//! The messages of Core ML by field, read once from the table beside this file.

use super::super::protobuf::{I32, I64, LEN, VARINT};
use std::collections::HashMap;
use std::sync::OnceLock;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Fixed32,
    Fixed64,
    Text,
    Bytes,
    /// A message, by its index.
    Message(usize),
}

/// One field.
#[derive(Debug)]
pub(super) struct Entry {
    pub number: u32,
    pub name: &'static str,
    pub kind: Kind,
    pub many: bool,
}

impl Entry {
    /// Can the field come in this wire type? Repeated numbers may be packed.
    pub fn takes(&self, wire: u8) -> bool {
        match self.kind {
            Kind::Int => wire == VARINT || self.many && wire == LEN,
            Kind::Fixed32 => wire == I32 || self.many && wire == LEN,
            Kind::Fixed64 => wire == I64 || self.many && wire == LEN,
            Kind::Text | Kind::Bytes | Kind::Message(_) => wire == LEN,
        }
    }
}

/// One message.
#[derive(Debug)]
pub(super) struct Schema {
    pub name: &'static str,
    pub entries: Vec<Entry>,
}

impl Schema {
    pub fn entry(&self, number: u32, wire: u8) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&number, |e| e.number).ok()?;
        self.entries.get(at).filter(|e| e.takes(wire))
    }
}

/// All messages; the first is the model.
pub(super) fn all() -> &'static [Schema] {
    static ALL: OnceLock<Vec<Schema>> = OnceLock::new();
    ALL.get_or_init(|| {
        let lines = || include_str!("schema.txt").lines().filter(|l| !l.starts_with('#'));
        let names = lines().filter_map(|l| l.strip_suffix(':'));
        let index: HashMap<&str, usize> = names.enumerate().map(|(n, name)| (name, n)).collect();
        let mut out: Vec<Schema> = Vec::new();
        for line in lines() {
            if let Some(name) = line.strip_suffix(':') {
                out.push(Schema { name, entries: Vec::new() });
                continue;
            }
            let mut words = line.split_whitespace();
            let number = words.next().and_then(|n| n.parse().ok());
            let (Some(number), Some(name), Some(kind)) = (number, words.next(), words.next()) else {
                continue;
            };
            let (kind, many) = kind.strip_suffix('*').map_or((kind, false), |k| (k, true));
            let kind = match kind {
                "int" => Kind::Int,
                "i32" => Kind::Fixed32,
                "i64" => Kind::Fixed64,
                "text" => Kind::Text,
                "bytes" => Kind::Bytes,
                message => Kind::Message(index.get(message).copied().unwrap_or_default()),
            };
            if let Some(schema) = out.last_mut() {
                schema.entries.push(Entry { number, name, kind, many });
            }
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let all = all();
        assert_eq!(all[0].name, "Model");
        assert!(all.len() > 300);
        for schema in all {
            assert!(schema.entries.is_sorted_by_key(|e| e.number), "{}", schema.name);
        }
        let linked = all[0].entry(556, LEN).unwrap();
        let Kind::Message(at) = linked.kind else { panic!("{linked:?}") };
        assert_eq!(all[at].name, "LinkedModel");
        // A name that is no message would be the model itself.
        let to_model = all.iter().flat_map(|s| &s.entries).filter(|e| e.kind == Kind::Message(0));
        assert!(to_model.clone().count() < 10, "{:?}", to_model.map(|e| e.name).collect::<Vec<_>>());
    }
}
