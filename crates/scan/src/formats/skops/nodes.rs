//! What the loader does for each type of node (`_construct` of the classes in `skops.io`).

use super::ids::{self, Ids, get, id, loader, text};
use super::opcodes::{Opcodes, Places, Step};
use crate::analyses::keras::json::{self, Json};
use std::collections::HashMap;
use wb_verdict::escape;

/// A schema as opcodes.
pub(super) struct Written<'j> {
    pub opcodes: Vec<u8>,
    pub places: Places<'j>,
    /// What readers of the schema and the loader see differently: code and detail.
    pub odd: Vec<(&'static str, String)>,
    /// Types of nodes that no known version has.
    pub unknown: Vec<String>,
    /// Nodes that the loader cannot read.
    pub broken: Vec<String>,
}

/// Writes what loading `root` does.
pub(super) fn write<'j>(root: &'j Json, ids: &Ids<'j>) -> Written<'j> {
    let mut w = Writer {
        ops: Opcodes::new(),
        ids,
        slots: HashMap::new(),
        slot: 0,
        odd: Vec::new(),
        unknown: Vec::new(),
        broken: Vec::new(),
    };
    w.node(root);
    w.ops.op(b'.');
    Written { opcodes: w.ops.out, places: w.ops.places, odd: w.odd, unknown: w.unknown, broken: w.broken }
}

pub(super) struct Writer<'i, 'j> {
    pub ops: Opcodes<'j>,
    ids: &'i Ids<'j>,
    /// Memo slots of nodes that others refer to.
    slots: HashMap<String, u32>,
    /// The next slot.
    slot: u32,
    pub odd: Vec<(&'static str, String)>,
    pub unknown: Vec<String>,
    broken: Vec<String>,
}

/// Of `_BIT_GENERATORS`: the concrete ones of numpy.
const BIT_GENERATORS: [&str; 5] = ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"];

/// Types that make a plain value of the text of a key.
fn plain_key(module: &str, name: &str) -> bool {
    match module {
        "builtins" => matches!(name, "str" | "int" | "float" | "bool"),
        "numpy" => {
            let width =
                |kind: &str| name.strip_prefix(kind).is_some_and(|r| r.bytes().all(|b| b.is_ascii_digit()));
            matches!(name, "str_" | "bool_" | "bool") || ["int", "uint", "float"].iter().any(|k| width(k))
        }
        _ => false,
    }
}

impl<'j> Writer<'_, 'j> {
    /// Writes what makes the node; its value is left on the stack.
    fn node(&mut self, value: &'j Json) {
        let name = id(value);
        match loader(value) {
            Some(kind) => self.build(kind, value),
            None => {
                let slot = name.as_ref().and_then(|n| self.slots.get(n).copied());
                match slot {
                    Some(slot) => self.ops.memo(b'j', slot),
                    // The loader fails here: it knows no such object yet.
                    None => {
                        self.odd.push((
                            "skops-dangling-id",
                            format!("no object {} comes before", escape(&name.unwrap_or_default())),
                        ));
                        self.ops.op(b'N');
                    }
                }
                return;
            }
        }
        if let Some(name) = name.filter(|n| self.ids.wanted.contains(n))
            && !self.slots.contains_key(&name)
        {
            let slot = self.keep();
            self.slots.insert(name, slot);
        }
    }

    /// Keeps what is on the stack in a slot of the memo.
    fn keep(&mut self) -> u32 {
        let slot = self.slot;
        self.slot += 1;
        self.ops.memo(b'r', slot);
        slot
    }

    fn within(&mut self, step: Step<'j>, f: impl FnOnce(&mut Self)) {
        let outer = self.ops.enter(step);
        f(self);
        self.ops.go(outer);
    }

    /// The node under a path of keys.
    pub(super) fn part(&mut self, value: &'j Json, path: &'static str) {
        match path.split('/').try_fold(value, get) {
            Some(inner) => self.within(Step::Key(path), |w| w.node(inner)),
            None => self.lacks(value, path),
        }
    }

    /// As [`Self::part`], for what is made and thrown away.
    pub(super) fn aside(&mut self, value: &'j Json, path: &'static str) {
        self.part(value, path);
        self.ops.op(b'0');
    }

    /// A `KeyError` of the loader.
    pub(super) fn lacks(&mut self, value: &Json, key: &str) {
        self.broken.push(format!("a node of {} lacks {key}", escape(&ids::shown(value))));
        self.ops.op(b'N');
    }

    fn list(value: &'j Json, key: &str) -> &'j [Json] {
        if let Some(Json::List(items)) = get(value, key) { items } else { &[] }
    }

    /// MARK and the nodes of a list.
    pub(super) fn items(&mut self, value: &'j Json, key: &'static str) {
        if !matches!(get(value, key), Some(Json::List(_))) {
            self.broken.push(format!("a node of {} has no list {key}", escape(&ids::shown(value))));
        }
        self.ops.op(b'(');
        self.within(Step::Key(key), |w| {
            for (n, item) in Self::list(value, key).iter().enumerate() {
                w.within(Step::Item(n), |w| w.node(item));
            }
        });
    }

    /// Arguments in a row, as `*` takes them from the value of a node.
    pub(super) fn star(&mut self, value: &'j Json, path: &'static str) {
        let Some(inner) = path.split('/').try_fold(value, get) else {
            self.lacks(value, path);
            return self.ops.op(0x85);
        };
        match loader(inner).unwrap_or_default() {
            // What stands elsewhere is not written again: it may hold this very node.
            "" => self.part(value, path),
            "TupleNode" | "ListNode" | "SetNode" | "NdArrayNode"
                if matches!(get(inner, "content"), Some(Json::List(_))) =>
            {
                self.within(Step::Key(path), |w| w.items(inner, "content"));
                self.ops.op(b't');
            }
            "JsonNode" => {
                self.ops.op(b'(');
                match self.json(inner) {
                    Some(Json::List(items)) => items.iter().for_each(|i| self.ops.literal(i)),
                    Some(Json::Map(pairs)) => pairs.iter().for_each(|(k, _)| self.ops.text(k)),
                    Some(Json::Text(t)) => t.chars().take(16).for_each(|c| self.ops.text(&c.to_string())),
                    // Nothing to iterate over: the loader fails.
                    _ => {}
                }
                self.ops.op(b't');
            }
            _ => {
                self.odd.push((
                    "skops-odd-arguments",
                    format!("arguments of {} are no list", escape(&ids::shown(value))),
                ));
                self.within(Step::Key(path), |w| w.node(inner));
                self.ops.op(0x85);
            }
        }
    }

    /// The value of a JsonNode.
    pub(super) fn json(&mut self, value: &Json) -> Option<Json> {
        let (mut found, fail) = text(value, "content").map(|t| json::documents(t.as_bytes()))?;
        if found.len() != 1 || fail.is_some() {
            self.broken.push("a JsonNode holds no JSON".into());
        }
        found.pop()
    }

    /// A callable of one argument: what converts a key.
    fn key(&mut self, convert: Option<&'j Json>, key: &'j str, n: usize) {
        let Some(convert) = convert else { return self.ops.text(key) };
        let target = self.ids.resolve(convert);
        let names =
            (text(target, "__module__").unwrap_or_default(), text(target, "__class__").unwrap_or_default());
        if loader(target) == Some("TypeNode") && plain_key(names.0, names.1) {
            match names.1 {
                "str" | "str_" => self.ops.text(key),
                _ => self.ops.int(key.parse().unwrap_or_default()),
            }
            return;
        }
        self.within(Step::Key("key_types"), |w| w.within(Step::Item(n), |w| w.node(convert)));
        self.ops.text(key);
        self.ops.out.extend([0x85, b'R']);
    }

    pub(super) fn dict(&mut self, value: &'j Json) {
        let empty: &'j [(String, Json)] = &[];
        let pairs = match get(value, "content") {
            Some(Json::Map(pairs)) => &pairs[..],
            _ => {
                self.broken.push(format!("a node of {} has no content", escape(&ids::shown(value))));
                empty
            }
        };
        let types = get(value, "key_types");
        let listed = types.filter(|t| {
            matches!(loader(t), Some("ListNode" | "TupleNode")) && ids::shown(t).starts_with("builtins.")
        });
        let converters = listed.map_or(&[][..], |t| Self::list(t, "content"));
        if listed.is_none() {
            match types {
                Some(types) => {
                    self.odd.push((
                        "skops-odd-key-types",
                        format!("types of keys are kept as {}", escape(&ids::shown(types))),
                    ));
                    self.within(Step::Key("key_types"), |w| w.node(types));
                    self.ops.op(b'0');
                }
                None => self.broken.push("a dict without types of keys".into()),
            }
        }
        // Without pairs they are made all the same.
        for (n, item) in converters.iter().enumerate().skip(pairs.len()) {
            self.within(Step::Key("key_types"), |w| w.within(Step::Item(n), |w| w.node(item)));
            self.ops.op(b'0');
        }
        self.ops.op(b'(');
        for (n, (key, inner)) in pairs.iter().enumerate() {
            self.key(converters.get(n), key, n);
            self.within(Step::Key("content"), |w| w.within(Step::Key(key), |w| w.node(inner)));
        }
        self.ops.op(b'u');
    }

    /// The dotted name of what a method is looked up on, if it is an import or made of one.
    fn owner(&self, value: &'j Json, depth: u32) -> Option<(&'j str, String)> {
        let value = self.ids.resolve(value);
        let names = (text(value, "__module__")?, text(value, "__class__")?);
        match loader(value)? {
            "MethodNode" if depth < 64 => {
                let (module, name) = self.owner(get(get(value, "content")?, "obj")?, depth + 1)?;
                Some((module, format!("{name}.{}", text(get(value, "content")?, "func")?)))
            }
            "ObjectNode" | "TypeNode" | "FunctionNode" | "TreeNode" | "LossNode" | "ListNode"
            | "DictNode" => Some((names.0, names.1.to_string())),
            _ => None,
        }
    }

    pub(super) fn method(&mut self, value: &'j Json) {
        let content = get(value, "content");
        let (Some(obj), Some(func)) =
            (content.and_then(|c| get(c, "obj")), content.and_then(|c| text(c, "func")))
        else {
            return self.lacks(value, "content/obj");
        };
        // Until 0.11 every honest node of this type was shown as `method`.
        let (shown, built) = (ids::shown(value), ids::shown(self.ids.resolve(obj)));
        if shown != built && text(value, "__class__") != Some("method") {
            self.odd
                .push(("skops-shown-differs", escape(&format!("shows {shown}, reads {func} of {built}"))));
        }
        match self.owner(obj, 0) {
            Some((module, name)) => {
                self.aside(value, "content/obj");
                self.ops.import(module, &format!("{name}.{func}"));
            }
            None => {
                self.ops.import("builtins", "getattr");
                self.part(value, "content/obj");
                self.ops.text(func);
                self.ops.out.extend([0x86, b'R']);
            }
        }
    }

    pub(super) fn partial(&mut self, value: &'j Json) {
        self.ops.import("functools", "partial");
        self.part(value, "content/func");
        let slot = self.keep();
        self.ops.out.extend([0x85, b'R', b'(']);
        self.ops.memo(b'j', slot);
        self.star(value, "content/args");
        self.part(value, "content/kwds");
        self.part(value, "content/namespace");
        self.ops.out.extend([b't', b'b']);
    }

    /// `constructor(*args)` and a state.
    pub(super) fn reduce(&mut self, value: &'j Json, module: &str, name: &str) {
        self.ops.import(module, name);
        self.star(value, "__reduce__/args");
        self.ops.op(b'R');
        self.part(value, "content");
        self.ops.op(b'b');
    }

    pub(super) fn generator(&mut self, value: &'j Json, module: &str, name: &str) {
        // Protocol 0 kept the state as it is, later ones as a DictNode of JsonNodes.
        let state = get(value, "content").and_then(|c| get(c, "bit_generator"));
        let inner = state.and_then(|s| get(get(s, "content")?, "bit_generator"));
        let kind = match inner.map(|i| self.ids.resolve(i)) {
            Some(node) => match self.json(node) {
                Some(Json::Text(t)) => Some(t),
                _ => None,
            },
            None => state.and_then(|s| text(s, "bit_generator")).map(str::to_string),
        };
        if inner.is_some() {
            self.aside(value, "content/bit_generator");
            if get(value, "content").is_some_and(|c| get(c, "seed_seq").is_some()) {
                self.aside(value, "content/seed_seq");
            }
        }
        let numpy = matches!(module, "numpy.random" | "numpy.random._generator") && name == "Generator";
        if numpy {
            self.ops.import("numpy.random._pickle", "__generator_ctor");
        } else {
            self.ops.import(module, name);
        }
        match kind.as_deref() {
            Some(kind) if BIT_GENERATORS.contains(&kind) => self.ops.text(kind),
            // `numpy.random` has functions as well, and the loader calls what it is told.
            Some(kind) => {
                self.ops.make("numpy.random", kind);
            }
            None => self.lacks(value, "content/bit_generator"),
        }
        self.ops.out.extend([0x85, b'R']);
    }
}
