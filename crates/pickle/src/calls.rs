//! Imports, calls, BUILD and item setting: where a stream reaches code.

use crate::heap::{Callee, Kind};
use crate::names::fix_imports;
use crate::observer::{Args, Observer, PendingCall, PendingValue};
use crate::state::State;
use crate::val::{Tag, Val};
use wb_verdict::How;

/// What is called, how, and by the opcode at which offset.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub callee: Val,
    pub how: How,
    pub at: u64,
}

/// What a global with a computed name counts as made by.
const COMPUTED: &str = "importlib.import_module";

/// Where a module replaced in `sys.modules` is kept among the planted attributes.
fn module_key(module: &str) -> String {
    format!("sys.modules[{module}]")
}

/// Longest rendering of a callee.
const MAX_RENDERING: usize = 400;

impl Callee {
    /// An import; an empty `name` is the module itself.
    pub(crate) fn import(module: &str, name: &str) -> Self {
        let rendering = if name.is_empty() { module.to_string() } else { format!("{module}.{name}") };
        Self { module: module.into(), name: name.into(), rendering, ..Self::default() }
    }

    /// Something that is not an import, as it reads.
    pub(crate) fn other(rendering: String, made_by: &str) -> Self {
        let mut rendering = rendering;
        if rendering.len() > MAX_RENDERING {
            let mut end = MAX_RENDERING;
            while !rendering.is_char_boundary(end) {
                end -= 1;
            }
            rendering.truncate(end);
        }
        Self { rendering, made_by: made_by.into(), ..Self::default() }
    }

    /// True if an import statement could name this: plain text and numbers read as opcodes rarely do.
    pub fn is_plausible(&self) -> bool {
        let ok = |s: &str| {
            !s.is_empty()
                && s.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '<' | '>'))
        };
        if self.module.is_empty() {
            return !self.rendering.is_empty();
        }
        ok(&self.module)
            && !self.module.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == '-')
            && (self.name.is_empty()
                || ok(&self.name) && !self.name.starts_with(|c: char| c.is_ascii_digit()))
    }
}

impl State {
    /// GLOBAL: imports `module.name` as the stream spells it.
    pub(crate) fn import(&mut self, module: &str, name: &str, at: u64, obs: &mut dyn Observer) -> Val {
        let (module, name) = if self.proto < 3 { fix_imports(module, name) } else { (module, name) };
        // A module that the stream replaced in `sys.modules`. What it was replaced by is final.
        if !self.planted.is_empty()
            && let Some(&found) = self.planted.get(&module_key(module))
            && let Some(v) = self.attr(found, name, "sys.modules[...]", at, obs)
        {
            return v;
        }
        self.global(Callee::import(module, name), at, obs)
    }

    /// An import by its final name; what the stream planted there wins.
    pub(crate) fn global(&mut self, callee: Callee, at: u64, obs: &mut dyn Observer) -> Val {
        if !self.planted.is_empty()
            && let Some(&v) = self.planted.get(&callee.rendering)
        {
            return v;
        }
        let id = self.heap.intern(callee);
        if self.heap.traits(id).plausible {
            self.imports += 1;
        }
        // A second reading of raw numbers imports what chance spells; only what it calls is told.
        if !self.linear_only {
            obs.import(at, id, self.heap.callee(id));
        }
        Val::new(Tag::Global, u64::from(id))
    }

    /// STACK_GLOBAL.
    pub(crate) fn stack_global(
        &mut self,
        module: Val,
        name: Val,
        at: u64,
        obs: &mut dyn Observer,
    ) -> Result<Val, &'static str> {
        const NOT_STR: &str = "STACK_GLOBAL needs two strings";
        let known = |v: Val| v.is_literal() || v.tag() == Tag::Node || v.tag() == Tag::Global;
        if (known(module) && !module.is_str()) || (known(name) && !name.is_str()) {
            return Err(NOT_STR);
        }
        let names = (self.name(module), self.name(name));
        let len = |n: &Option<String>| n.as_ref().map_or(0, String::len);
        self.steps += (len(&names.0) + len(&names.1)) as u64 / 4;
        match names {
            (Some(m), Some(n)) => Ok(self.import(&m, &n, at, obs)),
            _ if self.linear_only => Err(NOT_STR),
            (m, n) => {
                let part = |s: Option<String>| s.unwrap_or_else(|| "<computed>".into());
                let callee = Callee::other(format!("{}.{}", part(m), part(n)), COMPUTED);
                Ok(self.global(callee, at, obs))
            }
        }
    }

    /// EXT1, EXT2, EXT4.
    pub(crate) fn extension(&mut self, code: u64, at: u64, obs: &mut dyn Observer) -> Val {
        if let Some(&v) = self.extensions.get(&code) {
            return v;
        }
        let callee = Callee::other(format!("copyreg.extension({code})"), "copyreg");
        let v = self.global(callee, at, obs);
        self.emit(obs, at, How::Ext, v.payload() as u32, Args::Items(&[]), None, false);
        v
    }

    pub(crate) fn persistent(&mut self, id: Val, at: u64, obs: &mut dyn Observer) {
        obs.persistent(&PendingValue { state: self, val: id, at });
        let v = match self.class_of_persistent(id) {
            Some(class) => class,
            None => self.heap.persistent(id),
        };
        self.stack.push(v);
    }

    /// torch's legacy loader hands out the class itself for `("module", class, source file, source)`.
    fn class_of_persistent(&self, id: Val) -> Option<Val> {
        let [kind, class, _, _] = self.items(id)?[..] else { return None };
        let module = self.text(kind, 16).as_deref() == Some(b"module");
        (module && class.tag() == Tag::Global).then_some(class)
    }

    #[allow(clippy::too_many_arguments)]
    fn emit(
        &mut self,
        obs: &mut dyn Observer,
        offset: u64,
        how: How,
        callee: u32,
        args: Args<'_>,
        kwargs: Option<Val>,
        on_import: bool,
    ) {
        if self.heap.traits(callee).plausible {
            self.calls += 1;
        }
        let tampered = !self.planted.is_empty() && {
            let c = self.heap.callee(callee);
            let prefix = format!("{}.", c.rendering);
            self.planted.range(prefix.clone()..).next().is_some_and(|(k, _)| k.starts_with(&prefix))
        };
        // What a second BUILD does depends on what the first one set.
        let tampered = tampered || self.second_build;
        obs.call(&PendingCall { state: self, offset, how, callee, args, kwargs, on_import, tampered });
    }

    /// The callee id of a value; none if calling it always raises.
    fn callee_id(&mut self, v: Val) -> Option<u32> {
        match v.tag() {
            Tag::Global => Some(v.payload() as u32),
            Tag::Object => {
                let o = self.heap.get_object(v)?;
                let made_by = self.heap.callee(o.callee).rendering.clone();
                Some(self.heap.intern(Callee::other(format!("{made_by}(...)"), &made_by)))
            }
            Tag::Persistent => {
                Some(self.heap.intern(Callee::other("<persistent object>".into(), "persistent_load")))
            }
            Tag::Opaque => Some(self.heap.intern(Callee::other("<unknown object>".into(), "<unknown>"))),
            _ => None,
        }
    }

    /// Calls something; the value that stands for its result.
    pub(crate) fn call(
        &mut self,
        target: Target,
        args: Val,
        kwargs: Option<Val>,
        obs: &mut dyn Observer,
    ) -> Result<Val, &'static str> {
        self.fan = 0;
        self.call_nested(target, args, kwargs, 0, obs)
    }

    pub(crate) fn call_nested(
        &mut self,
        target: Target,
        args: Val,
        kwargs: Option<Val>,
        depth: u32,
        obs: &mut dyn Observer,
    ) -> Result<Val, &'static str> {
        const MAX_DEPTH: u32 = 8;
        let Target { callee, how, at } = target;
        /// Calls that one opcode may lead to.
        const MAX_FAN: u32 = 64;
        let Some(id) = self.callee_id(callee) else { return Err("the object called is not callable") };
        self.fan += 1;
        let depth = if self.fan > MAX_FAN { MAX_DEPTH } else { depth };
        // What `partial(f, ...)` does when it is called is what `f` does: judged there if `f` is known.
        if depth < MAX_DEPTH
            && let Some((inner, packed, fixed)) = self.partial_target(callee, args)
        {
            let target = Target { callee: inner, how: How::Indirect, at };
            if let Ok(v) = self.call_nested(target, packed, fixed.or(kwargs), depth + 1, obs) {
                return Ok(v);
            }
        }
        self.emit(obs, at, how, id, Args::Packed(args), kwargs, false);
        if !self.planted.is_empty() && depth < MAX_DEPTH {
            for name in ["__new__", "__init__", "__call__"] {
                if let Some(f) = self.planted_on_class(id, name) {
                    let target = Target { callee: f, how: How::Indirect, at };
                    let _ = self.call_nested(target, args, kwargs, depth + 1, obs);
                }
            }
        }
        let symbolic =
            if depth < MAX_DEPTH { self.symbolic(target, id, args, kwargs, depth, obs) } else { None };
        let (result, exact) = match symbolic {
            Some(v) => (Some(v), false),
            None => (None, self.heap.traits(id).exact),
        };
        Ok(match result {
            Some(v) => v,
            None => self.heap.object(id, how, args, kwargs.unwrap_or(Val::EMPTY_TUPLE), exact),
        })
    }

    /// BUILD. Returns where the opcodes go on if the loader reads from the stream itself.
    pub(crate) fn build(&mut self, inst: Val, state: Val, at: u64, obs: &mut dyn Observer) -> Option<u64> {
        self.fan = 0;
        match inst.tag() {
            Tag::Object => {
                let o = self.heap.get_object(inst)?;
                let (callee, planted, builds) = (o.callee, o.planted, o.builds);
                let planted = planted.or_else(|| self.planted_on_class(callee, "__setstate__"));
                if let Some(f) = planted {
                    // The second BUILD finds the `__setstate__` that the first one set.
                    let args = self.heap.seq(Kind::Tuple, &[state]);
                    let _ =
                        self.call_nested(Target { callee: f, how: How::Indirect, at }, args, None, 0, obs);
                }
                self.second_build = builds > 0;
                self.emit(obs, at, How::Build, callee, Args::Items(&[state]), None, false);
                self.second_build = false;
                let plants = self.planted_state(state);
                if let Some(o) = self.heap.object_mut(inst) {
                    o.planted = planted.or(plants);
                    o.builds = builds.saturating_add(1);
                    o.state = Some(state);
                }
                self.partial_state(inst, callee, state);
                if self.linear_only {
                    return None;
                }
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
            _ => None,
        }
    }

    /// An attribute that the stream set on the class that made an object.
    fn planted_on_class(&self, class: u32, attribute: &str) -> Option<Val> {
        if self.planted.is_empty() {
            return None;
        }
        self.planted.get(&format!("{}.{attribute}", self.heap.callee(class).rendering)).copied()
    }

    /// Calls what the stream set as `attribute` on a class or an instance of it.
    fn call_planted(&mut self, f: Val, args: &[Val], at: u64, obs: &mut dyn Observer) {
        let args = self.heap.seq(Kind::Tuple, args);
        let _ = self.call_nested(Target { callee: f, how: How::Indirect, at }, args, None, 1, obs);
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
    fn state_item(&mut self, state: Val, name: &str) -> Option<Val> {
        for dict in self.state_dicts(state) {
            let items = self.heap.get_seq(dict)?.items.clone();
            self.work(items.len().min(64));
            let is_name = |k: Val| k.is_str() && self.text(k, 16).as_deref() == Some(name.as_bytes());
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

    fn plant_items(&mut self, path: &str, items: &[Val]) {
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
    fn partial_state(&mut self, inst: Val, callee: u32, state: Val) {
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
            if let [k, v] = *pair
                && matches!(k.tag(), Tag::Dunder | Tag::Text)
                && matches!(self.text(k, 16).as_deref(), Some(b"__setstate__" | b"__class__"))
                && let Some(crate::heap::Node::Seq(s)) = self.heap.nodes.get_mut(dict.index())
            {
                s.planted = Some(v);
            }
        }
    }

    /// APPEND, APPENDS, ADDITEMS: the items from `from` on go into the value below them.
    pub(crate) fn append(&mut self, from: usize, how: How, at: u64, obs: &mut dyn Observer) {
        let items = self.stack.split_off(from);
        let Some(&to) = self.stack.last() else { return };
        match to.tag() {
            Tag::Node => {
                self.heap.extend(to, &items);
                self.check_size(to, at, obs);
            }
            Tag::Global | Tag::Object | Tag::Persistent | Tag::Opaque
                if !items.is_empty() || how == How::Append =>
            {
                self.foreign(to, how, &items, at, obs);
            }
            _ => {}
        }
    }

    /// SETITEM, SETITEMS.
    pub(crate) fn set_items(&mut self, from: usize, at: u64, obs: &mut dyn Observer) {
        let items = self.stack.split_off(from);
        let Some(&to) = self.stack.last() else { return };
        match to.tag() {
            Tag::Node => {
                self.note_planted(to, &items);
                self.heap.extend(to, &items);
                self.check_size(to, at, obs);
            }
            Tag::Global | Tag::Object | Tag::Persistent | Tag::Opaque if !items.is_empty() => {
                self.foreign(to, How::SetItem, &items, at, obs);
            }
            _ => {}
        }
    }

    /// A method of something that is no built-in container is called with `items`.
    fn foreign(&mut self, to: Val, how: How, items: &[Val], at: u64, obs: &mut dyn Observer) {
        self.fan = 0;
        let (id, on_import) = match (to.tag(), self.heap.get_object(to)) {
            (Tag::Object, Some(o)) => (o.callee, false),
            (Tag::Global, _) => (to.payload() as u32, true),
            _ => match self.callee_id(to) {
                Some(id) => (id, false),
                None => return,
            },
        };
        self.emit(obs, at, how, id, Args::Items(items), None, on_import);
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
            let path = self.heap.callee(id).rendering.clone();
            match path.as_str() {
                "copyreg._inverted_registry" => self.register_extensions(items, at, obs),
                "copyreg._extension_cache" => {
                    for pair in items.chunks_exact(2) {
                        if let [k, v] = *pair
                            && let Some(code) = self.value(k).as_int()
                        {
                            self.extensions.insert(code as u64, v);
                        }
                    }
                }
                "sys.modules" => {
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

    /// `copyreg._inverted_registry[code] = (module, name)`.
    fn register_extensions(&mut self, items: &[Val], at: u64, obs: &mut dyn Observer) {
        for pair in items.chunks_exact(2) {
            if let [k, v] = *pair
                && let Some(code) = self.value(k).as_int()
                && let Some([m, n]) = self.items(v).as_deref().and_then(|i| <[Val; 2]>::try_from(i).ok())
            {
                self.register_extension(m, n, code as u64, at, obs);
            }
        }
    }

    /// Registers an extension code for `module.name`.
    pub(crate) fn register_extension(
        &mut self,
        module: Val,
        name: Val,
        code: u64,
        at: u64,
        obs: &mut dyn Observer,
    ) {
        if let Ok(v) = self.stack_global(module, name, at, obs) {
            self.heap.charge(64);
            self.extensions.insert(code, v);
        }
    }
}
