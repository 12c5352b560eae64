//! Imports, calls, BUILD and item setting: where a stream reaches code.

use crate::heap::Callee;
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
pub(crate) fn module_key(module: &str) -> String {
    format!("sys.modules[{module}]")
}

/// Longest rendering of a callee.
const MAX_RENDERING: usize = 400;

/// True for text that could be a name.
fn is_spelled(s: &str) -> bool {
    !s.is_empty() && s.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '<' | '>'))
}

/// True for what has methods of its own, as far as is known.
pub(crate) fn is_asked(v: Val) -> bool {
    matches!(v.tag(), Tag::Object | Tag::Global | Tag::Persistent | Tag::Opaque)
}

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
        if self.module.is_empty() {
            return !self.rendering.is_empty();
        }
        self.has_plausible_module()
            && (self.name.is_empty()
                || is_spelled(&self.name) && !self.name.starts_with(|c: char| c.is_ascii_digit()))
    }

    /// True if an import statement could name the module. It is imported before the name is looked for in it.
    pub fn has_plausible_module(&self) -> bool {
        is_spelled(&self.module)
            && !self.module.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == '-')
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
        if self.linear_only {
            // Chance spells names in raw numbers: told as a use, so that it can be told apart.
            self.emit(obs, at, How::Data, id, Args::Items(&[]), None, false);
        } else {
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
        let module = self.text(kind, 128).as_deref() == Some(b"module");
        (module && class.tag() == Tag::Global).then_some(class)
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn emit(
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
        if !self.heap.traits(callee).aside {
            self.others += 1;
        }
        let tampered = !self.planted.is_empty() && {
            let c = self.heap.callee(callee);
            let prefix = format!("{}.", c.rendering);
            self.planted.range(prefix.clone()..).next().is_some_and(|(k, _)| k.starts_with(&prefix))
        };
        // What a second BUILD does depends on what the first one set.
        let tampered = tampered
            || self.second_build
            || self.after_build
            || self.asking
            || matches!(args, Args::Packed(v) if is_asked(v))
            || kwargs.is_some_and(is_asked);
        obs.call(&PendingCall { state: self, offset, how, callee, args, kwargs, on_import, tampered });
    }

    /// A reader asks these by the way: for their items, for an index, whether they are true. What has methods of its own
    /// runs them.
    pub(crate) fn ask(&mut self, values: &[Val], at: u64, obs: &mut dyn Observer) {
        // No use that anything is known harmless for.
        let before = std::mem::replace(&mut self.asking, true);
        for &v in values {
            if is_asked(v)
                && let Some(id) = self.callee_id(v)
            {
                self.emit(obs, at, How::Indirect, id, Args::Items(&[]), None, false);
            }
        }
        self.asking = before;
    }

    /// The callee id of a value; none if calling it always raises.
    pub(crate) fn callee_id(&mut self, v: Val) -> Option<u32> {
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
        // The Python reader takes `*args` of whatever can be iterated, and `**kwargs` of whatever has keys, before it
        // finds out whether there is anything to call. The C reader takes tuples and dicts only.
        self.ask(&[args], at, obs);
        if let Some(kwargs) = kwargs {
            self.ask(&[kwargs], at, obs);
        }
        let Some(id) = self.callee_id(callee) else {
            return Err("the object called is not callable");
        };
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
        if self.heap.traits(id).hashes {
            self.hash_arguments(id, args, at, obs);
        }
        if self.heap.traits(id).sizes {
            self.check_allocation(id, args, at, obs);
        }
        if !self.planted.is_empty() && depth < MAX_DEPTH {
            for name in ["__new__", "__init__", "__call__"] {
                if let Some(f) = self.planted_on_class(id, name) {
                    let target = Target { callee: f, how: How::Indirect, at };
                    let _ = self.call_nested(target, args, kwargs, depth + 1, obs);
                }
            }
        }
        let symbolic = if depth < MAX_DEPTH { self.symbolic(target, id, args, depth, obs) } else { None };
        let (result, exact) = match symbolic {
            Some(v) => (Some(v), false),
            None => (None, self.heap.traits(id).exact),
        };
        Ok(match result {
            Some(v) => v,
            None => {
                let made = self.heap.object(id, how, args, kwargs.unwrap_or(Val::EMPTY_TUPLE), exact);
                if self.heap.traits(id).dtype {
                    self.note_fresh(made);
                }
                made
            }
        })
    }
}
