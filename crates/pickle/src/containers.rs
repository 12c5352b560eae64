//! Opcodes that fill containers, and the methods they call on everything else.
//!
//! `_pickle.c` and `pickle.py` differ here in what comes first: the C reader refuses an odd number of items at once,
//! the Python reader sets the pairs before it notices; the C reader does nothing for no items, the Python reader
//! looks the method up all the same. What either of them calls is reported.

use crate::calls::module_key;
use crate::heap::Kind;
use crate::observer::{Args, Observer};
use crate::opcode as op;
use crate::state::{NO_MARK, State, UNDERFLOW};
use crate::val::{Tag, Val};
use crate::value::Value;
use hashbrown::HashSet;
use wb_verdict::How;

const NO_METHOD: &str = "the object has no such method";
const ODD: &str = "odd number of items";

impl State {
    /// Takes the items from `from` on off the stack, into room that is used again and again.
    fn lift(&mut self, from: usize) -> Vec<Val> {
        let mut items = std::mem::take(&mut self.room);
        items.clear();
        items.extend(self.stack.drain(from.min(self.stack.len())..));
        items
    }

    /// Keeps the room of items that are done with, unless it is large.
    fn lay_down(&mut self, items: Vec<Val>) {
        const MAX: usize = 16 << 10;
        if items.capacity() <= MAX {
            self.room = items;
        }
    }

    /// The opcodes that fill or make a container of what is on the stack.
    pub(crate) fn fill(&mut self, code: u8, at: u64, obs: &mut dyn Observer) -> Result<(), &'static str> {
        let len = self.stack.len();
        let from = match code {
            op::APPEND if len < self.fence() + 2 => return Err(UNDERFLOW),
            op::APPEND => len - 1,
            op::SETITEM if len < self.fence() + 3 => return Err(UNDERFLOW),
            op::SETITEM => len - 2,
            _ => self.pop_mark().ok_or(NO_MARK)?,
        };
        match code {
            op::LIST | op::DICT | op::FROZENSET => self.container(code, from, at, obs),
            // What is filled lies below the mark.
            _ if from <= self.fence() => Err(UNDERFLOW),
            op::SETITEM | op::SETITEMS => self.set_items(from, at, obs),
            op::ADDITEMS => self.append(from, How::AddItems, at, obs),
            _ => self.append(from, How::Append, at, obs),
        }
    }

    /// APPEND, APPENDS, ADDITEMS: the items from `from` on go into the value below them.
    fn append(&mut self, from: usize, how: How, at: u64, obs: &mut dyn Observer) -> Result<(), &'static str> {
        let items = self.lift(from);
        let done = self.append_items(&items, how, at, obs);
        self.lay_down(items);
        done
    }

    fn append_items(
        &mut self,
        items: &[Val],
        how: How,
        at: u64,
        obs: &mut dyn Observer,
    ) -> Result<(), &'static str> {
        self.fan = 0;
        let Some(&to) = self.stack.last() else { return Ok(()) };
        match to.tag() {
            Tag::Node => {
                let kind = self.heap.get_seq(to).map(|s| s.kind);
                match (how, kind) {
                    (How::Append, Some(Kind::List)) => {}
                    (How::AddItems, Some(Kind::Set)) => self.hash_all(items, at, obs),
                    _ if items.is_empty() => return Ok(()),
                    _ => return Err(NO_METHOD),
                }
                self.heap.extend(to, items);
                self.check_size(to, at, obs);
            }
            Tag::Global | Tag::Object | Tag::Persistent | Tag::Opaque
                if !items.is_empty() || how == How::Append =>
            {
                self.foreign(to, how, items, at, obs);
            }
            _ if items.is_empty() => {}
            // A bytearray has `extend`: from here on its bytes are not those of the stream.
            Tag::Bytes | Tag::Text if how == How::Append && self.is_bytearray(to) => {
                // Each is asked for the number that it is.
                self.ask(items, at, obs);
                self.changed.insert(to);
            }
            _ => return Err(NO_METHOD),
        }
        Ok(())
    }

    /// SETITEM, SETITEMS.
    fn set_items(&mut self, from: usize, at: u64, obs: &mut dyn Observer) -> Result<(), &'static str> {
        let items = self.lift(from);
        let done = self.set_pairs(&items, at, obs);
        self.lay_down(items);
        done
    }

    fn set_pairs(&mut self, items: &[Val], at: u64, obs: &mut dyn Observer) -> Result<(), &'static str> {
        self.fan = 0;
        let odd = items.len() % 2 == 1;
        let items = items.get(..items.len() - usize::from(odd)).unwrap_or(items);
        let Some(&to) = self.stack.last() else { return Ok(()) };
        match to.tag() {
            _ if items.is_empty() => {}
            Tag::Node => match self.heap.get_seq(to).map(|s| s.kind) {
                Some(Kind::Dict) => {
                    self.hash_keys(items, at, obs);
                    self.note_planted(to, items);
                    self.heap.extend(to, items);
                    self.check_size(to, at, obs);
                }
                Some(Kind::List) => self.set_in_list(to, items, at, obs),
                _ => return Err(NO_METHOD),
            },
            Tag::Global | Tag::Object | Tag::Persistent | Tag::Opaque => {
                self.hash_keys(items, at, obs);
                self.foreign(to, How::SetItem, items, at, obs);
            }
            Tag::Bytes | Tag::Text if self.is_bytearray(to) => {
                self.ask(items, at, obs);
                self.changed.insert(to);
            }
            _ => return Err(NO_METHOD),
        }
        if odd { Err(ODD) } else { Ok(()) }
    }

    /// LIST, DICT, FROZENSET: a container of the items from `from` on.
    fn container(
        &mut self,
        code: u8,
        from: usize,
        at: u64,
        obs: &mut dyn Observer,
    ) -> Result<(), &'static str> {
        self.fan = 0;
        let mut items = self.stack.split_off(from);
        let v = match code {
            op::LIST => self.heap.seq(Kind::List, &items),
            op::DICT => {
                let odd = items.len() % 2 == 1;
                if odd {
                    items.pop();
                }
                self.hash_keys(&items, at, obs);
                if odd {
                    return Err(ODD);
                }
                let v = self.heap.seq(Kind::Dict, &items);
                self.note_planted(v, &items);
                v
            }
            _ => {
                self.hash_all(&items, at, obs);
                self.heap.seq(Kind::FrozenSet, &items)
            }
        };
        self.check_size(v, at, obs);
        self.stack.push(v);
        Ok(())
    }

    /// `list[key] = value`. An index that is not known leaves a list that is not known: a slice takes whatever the
    /// value yields, and any other object is asked for the index that it is.
    fn set_in_list(&mut self, list: Val, items: &[Val], at: u64, obs: &mut dyn Observer) {
        for pair in items.chunks_exact(2) {
            let [key, value] = *pair else { continue };
            let index = match self.value(key) {
                Value::Bool(b) => Some(i64::from(b)),
                key => key.as_int(),
            };
            if index.is_none() {
                self.ask(pair, at, obs);
            }
            self.heap.replace(list, index, value);
        }
    }

    fn is_bytearray(&self, v: Val) -> bool {
        match v.tag() {
            Tag::Bytes => self.source.code(v.payload()) == Some(op::BYTEARRAY8),
            Tag::Text => self.heap.texts.get(v.index()).is_some_and(|t| !t.is_str),
            _ => false,
        }
    }

    /// The keys among keys and values in turn are hashed and compared.
    #[inline]
    pub(crate) fn hash_keys(&mut self, pairs: &[Val], at: u64, obs: &mut dyn Observer) {
        if pairs.iter().step_by(2).all(|k| k.is_literal()) {
            return;
        }
        let keys: Vec<Val> = pairs.iter().step_by(2).copied().collect();
        self.hash_all(&keys, at, obs);
    }

    /// All of these are hashed and compared: what was made by a call runs its own `__hash__` and `__eq__`, which hash
    /// what it was made of and what its state holds. A class or function as such is hashed by its identity.
    pub(crate) fn hash_all(&mut self, values: &[Val], at: u64, obs: &mut dyn Observer) {
        /// Values inside containers and objects that are followed one by one.
        const MAX_FOLLOWED: usize = 100_000;
        let mut todo: Vec<Val> = values.iter().rev().copied().filter(|v| !v.is_literal()).collect();
        let mut seen: HashSet<Val> = HashSet::new();
        while let Some(v) = todo.pop() {
            match v.tag() {
                Tag::Object => {
                    self.hash_one(v, at, obs);
                    if !seen.insert(v) {
                        continue;
                    }
                    if let Some(o) = self.heap.get_object(v) {
                        let parts = [Some(o.args), Some(o.kwargs), o.state];
                        todo.extend(parts.into_iter().flatten().rev().filter(|v| !v.is_literal()));
                    }
                }
                Tag::Persistent | Tag::Opaque => self.hash_one(v, at, obs),
                Tag::Node => {
                    let Some(s) = self.heap.get_seq(v) else { continue };
                    if s.plain || !seen.insert(v) {
                        continue;
                    }
                    if s.dropped || todo.len() + s.items.len() > MAX_FOLLOWED {
                        self.hash_one(Val::OPAQUE, at, obs);
                        continue;
                    }
                    let items = s.items.clone();
                    self.steps += items.len() as u64;
                    todo.extend(items.into_iter().rev().filter(|v| !v.is_literal()));
                }
                _ => {}
            }
        }
    }

    fn hash_one(&mut self, v: Val, at: u64, obs: &mut dyn Observer) {
        let id = match self.heap.get_object(v) {
            Some(o) => o.callee,
            None => match self.callee_id(v) {
                Some(id) => id,
                None => return,
            },
        };
        self.emit(obs, at, How::Hash, id, Args::Items(&[]), None, false);
        // What is planted may hash in turn; once is enough to have told of it.
        if self.planted.is_empty() || std::mem::replace(&mut self.hashing, true) {
            return;
        }
        for name in ["__hash__", "__eq__"] {
            if let Some(f) = self.planted_on_class(id, name) {
                self.call_planted(f, &[v], at, obs);
            }
        }
        self.hashing = false;
    }

    /// What the constructors of dicts and sets hash of what they are given.
    pub(crate) fn hash_arguments(&mut self, id: u32, args: Val, at: u64, obs: &mut dyn Observer) {
        if args.tag() == Tag::EmptyTuple {
            return;
        }
        let name = self.heap.callee(id).name.clone();
        let Some(args) = self.items(args) else { return };
        let given = match name.as_str() {
            "defaultdict" => args.get(1),
            _ => args.first(),
        };
        let Some(&given) = given else { return };
        let kind = self.heap.get_seq(given).map(|s| s.kind);
        // A dict hashed its keys when it was made; literals run nothing.
        if kind.is_none() || kind == Some(Kind::Dict) || self.is_plain(given) {
            return;
        }
        // More than are followed one by one.
        let Some(items) = self.items(given) else { return self.hash_one(Val::OPAQUE, at, obs) };
        if matches!(name.as_str(), "set" | "frozenset" | "Counter" | "dict.fromkeys") {
            return self.hash_all(&items, at, obs);
        }
        let key = |pair: Val| match self.items(pair) {
            Some(pair) => pair.first().copied(),
            None if self.is_plain(pair) => None,
            // An object that is asked for two items yields a key that nobody knows.
            None => Some(Val::OPAQUE),
        };
        let keys: Vec<Val> = items.into_iter().filter_map(key).collect();
        self.hash_all(&keys, at, obs);
    }

    /// A method of something that is no built-in container is called with `items`.
    fn foreign(&mut self, to: Val, how: How, items: &[Val], at: u64, obs: &mut dyn Observer) {
        self.fan = 0;
        let (id, on_import, built) = match (to.tag(), self.heap.get_object(to)) {
            (Tag::Object, Some(o)) => (o.callee, false, o.builds > 0 && !o.shared),
            (Tag::Global, _) => (to.payload() as u32, true, false),
            _ => match self.callee_id(to) {
                Some(id) => (id, false, false),
                None => return,
            },
        };
        if how == How::AddItems {
            self.hash_all(items, at, obs);
        }
        // No writer fills a container after it has set its state: a state can hold the methods called here.
        self.heap.keep(items);
        let before = std::mem::replace(&mut self.after_build, built);
        self.emit(obs, at, how, id, Args::Items(items), None, on_import);
        self.after_build = before;
        // The methods called here can have been set as attributes by the stream itself.
        let names: &[&str] = match how {
            How::Append => &["extend", "append"],
            How::AddItems => &["add", "update"],
            _ => &["__setitem__"],
        };
        let state = self.heap.get_object(to).and_then(|o| o.state);
        for name in names {
            let own = state.and_then(|s| self.state_item(s, name));
            let Some(f) = own.or_else(|| self.planted_on_class(id, name)) else { continue };
            let whole = matches!(*name, "extend" | "update");
            if whole {
                let list = self.heap.seq(Kind::List, items);
                self.call_planted(f, &[list], at, obs);
            } else {
                for item in items.iter().take(16) {
                    self.call_planted(f, &[*item], at, obs);
                }
            }
        }
        if how == How::SetItem && on_import {
            self.set_on_import(id, items);
        }
        // Dicts that show their items as attributes: the next BUILD finds the method there.
        if how == How::SetItem
            && !on_import
            && let Some(f) = self.planted_among(items, false)
            && let Some(o) = self.heap.object_mut(to)
        {
            o.planted = Some(f);
        }
    }

    /// Items set on an import: the extension registry, `sys.modules`, the dict of a module.
    fn set_on_import(&mut self, id: u32, items: &[Val]) {
        let path = self.heap.callee(id).rendering.clone();
        let last = path.rsplit('.').next().unwrap_or(&path);
        match last {
            // Wherever it is reached from, it is the same dict.
            "_inverted_registry" => self.register_extensions(items),
            "_extension_cache" => self.cache_extensions(items),
            "modules" if path == "sys.modules" || path.ends_with(".sys.modules") => {
                self.work(items.len());
                for pair in items.chunks_exact(2) {
                    if let [k, v] = *pair
                        && let Some(name) = self.name(k)
                    {
                        self.heap.charge(name.len() as u64 + 100);
                        self.planted.insert(module_key(&name), v);
                    }
                }
            }
            _ => self.plant_items(&path, items),
        }
    }
}
