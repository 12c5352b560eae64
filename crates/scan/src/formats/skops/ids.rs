//! `__id__`: nodes of one id are one object. The loader takes the first it meets and looks at no other; two nodes that share
//! an id and differ show a reader something else than what is built.

use crate::analyses::keras::json::Json;
use std::collections::{HashMap, HashSet};
use wb_verdict::escape;

/// Values compared at most.
const MAX_COMPARED: u64 = 20_000_000;

/// The ids of a schema.
#[derive(Default)]
pub(super) struct Ids<'j> {
    /// The first node of each id.
    first: HashMap<String, &'j Json>,
    /// Ids that stand without a node: another place is meant.
    pub wanted: HashSet<String>,
    /// Ids of nodes that differ.
    pub reused: Vec<String>,
}

/// The last value of a key, which is the one that Python keeps.
pub(super) fn get<'j>(value: &'j Json, key: &str) -> Option<&'j Json> {
    let Json::Map(pairs) = value else { return None };
    pairs.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v)
}

/// As [`get`], for a text.
pub(super) fn text<'j>(value: &'j Json, key: &str) -> Option<&'j str> {
    get(value, key).and_then(Json::text)
}

/// The id of a node. Python's `1`, `1.0` and `true` are one key.
pub(super) fn id(value: &Json) -> Option<String> {
    match get(value, "__id__")? {
        Json::Number(n) => Some(n.to_string()),
        Json::Text(t) => Some(format!("\"{t}\"")),
        Json::Plain => Some("1".into()),
        _ => None,
    }
}

/// The node type, unless the node only refers to another.
pub(super) fn loader(value: &Json) -> Option<&str> {
    text(value, "__loader__").filter(|l| *l != "CachedNode")
}

impl<'j> Ids<'j> {
    /// Of all nodes below `root`.
    pub(super) fn of(root: &'j Json) -> Self {
        let mut ids = Self::default();
        let mut left = MAX_COMPARED;
        let mut todo = vec![root];
        while let Some(value) = todo.pop() {
            match value {
                // In the order of the text: what comes first is taken first.
                Json::List(items) => todo.extend(items.iter().rev()),
                Json::Map(pairs) => {
                    ids.node(value, &mut left);
                    todo.extend(pairs.iter().rev().map(|(_, v)| v));
                }
                _ => {}
            }
        }
        if left == 0 {
            ids.reused.push("more shared nodes than are compared".into());
        }
        ids
    }

    fn node(&mut self, value: &'j Json, left: &mut u64) {
        let Some(id) = id(value) else { return };
        if loader(value).is_none() {
            self.wanted.insert(id);
            return;
        }
        match self.first.get(&id) {
            None => {
                self.first.insert(id, value);
            }
            Some(first) => {
                if !same(first, value, left) {
                    let name = |v| format!("{} ({})", shown(v), loader(v).unwrap_or_default());
                    let detail = format!("{id}: {} and {}", name(first), name(value));
                    self.reused.push(escape(&detail));
                }
            }
        }
    }

    /// The node that stands for `value`: itself, or the first of its id.
    pub(super) fn resolve(&self, value: &'j Json) -> &'j Json {
        if loader(value).is_some() {
            return value;
        }
        id(value).and_then(|id| self.first.get(&id).copied()).unwrap_or(value)
    }
}

/// Class as skops shows it.
pub(super) fn shown(value: &Json) -> String {
    let part = |key| text(value, key).unwrap_or_default();
    format!("{}.{}", part("__module__"), part("__class__"))
}

/// Equal but for ids and names of members, which differ between two descriptions of one object.
fn same(a: &Json, b: &Json, left: &mut u64) -> bool {
    if *left == 0 {
        return true;
    }
    *left -= 1;
    let counts = |key: &str| !matches!(key, "__id__" | "file");
    match (a, b) {
        (Json::Map(a), Json::Map(b)) => {
            let mut a = a.iter().filter(|(k, _)| counts(k));
            let mut b = b.iter().filter(|(k, _)| counts(k));
            loop {
                match (a.next(), b.next()) {
                    (None, None) => return true,
                    (Some((ka, a)), Some((kb, b))) if ka == kb && same(a, b, left) => {}
                    _ => return false,
                }
            }
        }
        (Json::List(a), Json::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, left))
        }
        (Json::Number(a), Json::Number(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}
