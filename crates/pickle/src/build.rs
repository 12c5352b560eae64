//! BUILD: states, and what a stream plants by them for later opcodes to call.

use crate::calls::{Target, is_asked};
use crate::heap::{Callee, Kind};
use crate::observer::{Args, Observer, PendingValue, Skip};
use crate::state::State;
use crate::val::{Tag, Val};
use wb_verdict::How;

/// Longest spelling of an attribute that is looked for: an escape for each character.
const MAX_KEY: usize = 256;

impl State {
    /// BUILD. Returns where the opcodes go on if the loader reads from the stream itself.
    pub(crate) fn build(&mut self, inst: Val, state: Val, at: u64, obs: &mut dyn Observer) -> Option<Skip> {
        self.fan = 0;
        self.heap.keep(&[state]);
        match inst.tag() {
            Tag::Object => {
                let o = self.heap.get_object(inst)?;
                let (callee, planted) = (o.callee, o.planted);
                // One node for many objects: each had its own first BUILD. What any of them planted shows in `planted`.
                let again = o.builds > 0 && !o.shared;
                let planted = planted.or_else(|| self.planted_on_class(callee, "__setstate__"));
                if let Some(f) = planted {
                    // The second BUILD finds the `__setstate__` that the first one set.
                    let args = self.heap.seq(Kind::Tuple, &[state]);
                    let _ =
                        self.call_nested(Target { callee: f, how: How::Indirect, at }, args, None, 0, obs);
                }
                self.second_build = again;
                // A dict that is its own `__dict__` is its own state: nothing comes in that was not there.
                let shown = if state == inst { self.heap.seq(Kind::Dict, &[]) } else { state };
                self.emit(obs, at, How::Build, callee, Args::Items(&[shown]), None, false);
                self.second_build = false;
                self.check_methods(state, at, obs);
                let plants = self.planted_state(state);
                if let Some(o) = self.heap.object_mut(inst) {
                    o.planted = planted.or(plants);
                    o.builds = o.builds.saturating_add(1);
                    o.state = Some(state);
                }
                self.partial_state(inst, callee, state);
                if self.linear_only {
                    return None;
                }
                self.late_build = self.fresh.remove(&inst) != Some(self.others);
                let object = PendingValue { state: self, val: inst, at };
                obs.built(&object, &PendingValue { state: self, val: state, at }, at + 1)
            }
            Tag::Global => {
                let id = inst.payload() as u32;
                self.emit(obs, at, How::Build, id, Args::Items(&[state]), None, true);
                let path = self.heap.callee(id).rendering.clone();
                for dict in self.state_dicts(state) {
                    self.plant(&path, dict);
                }
                None
            }
            Tag::Persistent | Tag::Opaque => {
                let id = self.callee_id(inst)?;
                self.emit(obs, at, How::Build, id, Args::Items(&[state]), None, false);
                None
            }
            // Built-in values have neither `__setstate__` nor `__dict__`: the loader raises unless the state is empty.
            // The Python reader asks the state whether it is.
            _ => {
                let parts: Vec<Val> = self.asked_parts(state).collect();
                self.ask(&parts, at, obs);
                None
            }
        }
    }

    /// What of a state the Python reader asks whether it is true, and then for its `items`, if the object has no
    /// `__setstate__`: the state itself, or both halves of a pair.
    pub(crate) fn asked_parts(&self, state: Val) -> impl Iterator<Item = Val> {
        let (first, second) = match self.heap.get_seq(state).map(|s| (s.kind, &s.items[..])) {
            Some((Kind::Tuple, &[first, second])) => (first, Some(second)),
            _ => (state, None),
        };
        [Some(first), second].into_iter().flatten().filter(|&v| is_asked(v))
    }

    /// An attribute that the stream set on the class that made an object.
    pub(crate) fn planted_on_class(&self, class: u32, attribute: &str) -> Option<Val> {
        if self.planted.is_empty() {
            return None;
        }
        self.planted.get(&format!("{}.{attribute}", self.heap.callee(class).rendering)).copied()
    }

    /// Calls what the stream set as `attribute` on a class or an instance of it.
    pub(crate) fn call_planted(&mut self, f: Val, args: &[Val], at: u64, obs: &mut dyn Observer) {
        let args = self.heap.seq(Kind::Tuple, args);
        let _ = self.call_nested(Target { callee: f, how: How::Indirect, at }, args, None, 1, obs);
    }

    /// READONLY_BUFFER: a view of the object, asked of the object itself.
    pub(crate) fn readonly(&mut self, at: u64, obs: &mut dyn Observer) {
        let Some(&v) = self.stack.last() else { return };
        let (owner, called) = match (v.tag(), self.heap.get_object(v)) {
            (_, Some(o)) => (o.callee, "(...)"),
            // What is imported can be an instance, with a view of its own.
            (Tag::Global, _) => (v.payload() as u32, ""),
            _ => return,
        };
        let made_by = self.heap.callee(owner).rendering.clone();
        let callee = Callee::other(format!("{made_by}{called}.__buffer__"), &made_by);
        let id = self.heap.intern(callee);
        self.emit(obs, at, How::Indirect, id, Args::Items(&[]), None, false);
        if let Some(top) = self.stack.last_mut() {
            *top = Val::OPAQUE;
        }
    }

    /// Counts work that is more than one opcode's.
    pub(crate) fn work(&mut self, items: usize) {
        self.steps += items as u64 * 200;
    }

    /// The dicts in a state: itself, or those of a `(dict, slots)` pair.
    fn state_dicts(&self, state: Val) -> Vec<Val> {
        match self.heap.get_seq(state) {
            Some(s) if s.kind == Kind::Dict => vec![state],
            Some(s) if s.kind == Kind::Tuple => {
                let is_dict = |&v: &Val| self.heap.get_seq(v).is_some_and(|s| s.kind == Kind::Dict);
                s.items.iter().copied().take(4).filter(is_dict).collect()
            }
            _ => Vec::new(),
        }
    }

    fn planted_state(&self, state: Val) -> Option<Val> {
        self.state_dicts(state).into_iter().find_map(|d| self.heap.get_seq(d).and_then(|s| s.planted))
    }

    /// The value that a state sets for an attribute.
    pub(crate) fn state_item(&mut self, state: Val, name: &str) -> Option<Val> {
        for dict in self.state_dicts(state) {
            let items = self.heap.get_seq(dict)?.items.clone();
            self.work(items.len().min(64));
            let is_name = |k: Val| k.is_str() && self.text(k, MAX_KEY).as_deref() == Some(name.as_bytes());
            if let Some(pair) = items.chunks_exact(2).rev().take(256).find(|p| is_name(p[0])) {
                return pair.get(1).copied();
            }
        }
        None
    }

    /// Records that the items of `dict` became attributes of the import `path`.
    fn plant(&mut self, path: &str, dict: Val) {
        let Some(s) = self.heap.get_seq(dict) else { return };
        let items = s.items.clone();
        self.plant_items(path, &items);
    }

    pub(crate) fn plant_items(&mut self, path: &str, items: &[Val]) {
        let path = path.strip_suffix(".__dict__").unwrap_or(path);
        self.work(items.len());
        for pair in items.chunks_exact(2) {
            if let [k, v] = *pair
                && let Some(key) = self.name(k)
            {
                self.heap.charge((path.len() + key.len() + 80) as u64);
                self.planted.insert(format!("{path}.{key}"), v);
            }
        }
    }

    /// `functools.partial` takes its function and arguments from its state.
    pub(crate) fn partial_state(&mut self, inst: Val, callee: u32, state: Val) {
        let c = self.heap.callee(callee);
        if c.name != "partial" || !matches!(c.module.as_str(), "functools" | "_functools") {
            return;
        }
        let Some(items) = self.items(state) else { return };
        if let [func, args, kwargs, ..] = items[..] {
            let mut all = vec![func];
            all.extend(self.items(args).unwrap_or_default());
            let args = self.heap.seq(Kind::Tuple, &all);
            if let Some(o) = self.heap.object_mut(inst) {
                o.args = args;
                o.kwargs = kwargs;
            }
        }
    }

    /// Keys that change what a later BUILD does.
    pub(crate) fn note_planted(&mut self, dict: Val, items: &[Val]) {
        for pair in items.chunks_exact(2) {
            let [_, v] = *pair else { continue };
            if self.planted_among(pair, true).is_some()
                && let Some(crate::heap::Node::Seq(s)) = self.heap.nodes.get_mut(dict.index())
            {
                s.planted = Some(v);
            }
        }
    }

    /// The value of the last key that changes what a later BUILD does, if there is one; with `computed` a key that a
    /// call made can be any name.
    pub(crate) fn planted_among(&self, items: &[Val], computed: bool) -> Option<Val> {
        let plants = |k: Val| match k.tag() {
            Tag::Dunder | Tag::Text => {
                matches!(self.text(k, MAX_KEY).as_deref(), Some(b"__setstate__" | b"__class__" | b"__dict__"))
            }
            Tag::Object | Tag::Persistent | Tag::Opaque => computed,
            _ => false,
        };
        items.chunks_exact(2).rev().find(|p| plants(p[0])).and_then(|p| p.get(1).copied())
    }

    /// Attributes named like methods that libraries call on what they are given, holding something to call: such an
    /// object calls it as soon as it is taken for a dict, a list, an array or a file.
    fn check_methods(&mut self, state: Val, at: u64, obs: &mut dyn Observer) {
        const METHODS: [&str; 33] = [
            "__array__",
            "__array_interface__",
            "__array_struct__",
            "__arrow_array__",
            "__arrow_c_array__",
            "__arrow_c_schema__",
            "__arrow_c_stream__",
            "__cuda_array_interface__",
            "__dataframe__",
            "__dlpack__",
            // torch's optimisers call these of their own while their state is set.
            "_hook_for_profile",
            "_patch_step_function",
            "add",
            "append",
            "clear",
            "detach",
            "extend",
            "get",
            "insert",
            "items",
            "keys",
            "pop",
            "popitem",
            "profile_hook_step",
            "read",
            "readinto",
            "readline",
            "seek",
            "setdefault",
            "tolist",
            "update",
            "values",
            "write",
        ];
        if self.linear_only {
            return;
        }
        for dict in self.state_dicts(state) {
            let Some(s) = self.heap.get_seq(dict) else { continue };
            let found = s.items.chunks_exact(2).find_map(|p| {
                let [k, v] = *p else { return None };
                if !k.is_str() || !self.is_callable(v) {
                    return None;
                }
                let name = String::from_utf8(self.text(k, MAX_KEY)?).ok()?;
                METHODS.contains(&name.as_str()).then_some(name)
            });
            if let Some(name) = found {
                let detail = format!("a state puts something to call in the place of the method {name}");
                self.structure(obs, at, "pickle-planted-method", &detail);
            }
        }
    }

    /// A function or class, or one of the objects that stand for a call.
    fn is_callable(&self, v: Val) -> bool {
        match v.tag() {
            Tag::Global => !self.heap.callee(v.payload() as u32).name.is_empty(),
            Tag::Object => self.heap.get_object(v).is_some_and(|o| {
                let c = self.heap.callee(o.callee);
                matches!(
                    (c.module.as_str(), c.name.as_str()),
                    ("functools" | "_functools", "partial" | "partialmethod")
                        | ("operator" | "_operator", "attrgetter" | "itemgetter" | "methodcaller")
                        | ("types", "MethodType")
                        | ("numpy", "vectorize")
                ) || c.module.is_empty()
            }),
            Tag::Persistent | Tag::Opaque => true,
            _ => false,
        }
    }
}
