//! The object being made: its attributes, descriptors, items; and what may be done with values at all.

use crate::ancestry::Found;
use crate::calls::full_name;
use crate::follow::{Frame, Proof, Step, container, join_keys, scatter};
use crate::index::{Class, Index, Module};
use crate::reviewed::{Does, reviewed};
use crate::value::{Flow, Keys, Value};
use std::rc::Rc;
use wb_python::ast::StmtFunctionDef;
use wb_python::dotted;

/// What the decorators of a method make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoration {
    /// It stays what it is.
    Plain,
    /// `@staticmethod`.
    Static,
    /// `@classmethod`.
    Class,
    /// `@property`: reading the attribute calls it.
    Property,
    /// `@x.setter` or `@x.deleter`: one function of a property.
    Accessor,
    /// Something else.
    Unknown,
}

/// Reads the decorators.
pub fn decoration<'a>(module: &'a Module<'a>, def: &'a StmtFunctionDef, index: &Index<'a>) -> Decoration {
    let mut out = Decoration::Plain;
    if def.is_async {
        return Decoration::Unknown;
    }
    for decorator in &def.decorator_list {
        let text = dotted(&decorator.expression).unwrap_or_default();
        if text.ends_with(".setter") || text.ends_with(".deleter") || text.ends_with(".getter") {
            out = Decoration::Accessor;
            continue;
        }
        let name = match index.resolve(module, &decorator.expression).as_slice() {
            [one] => full_name(one).unwrap_or_default(),
            _ => String::new(),
        };
        let this = match name.as_str() {
            "builtins.staticmethod" => Decoration::Static,
            "builtins.classmethod" => Decoration::Class,
            "builtins.property" | "functools.cached_property" => Decoration::Property,
            "abc.abstractmethod"
            | "typing.overload"
            | "typing.final"
            | "typing.override"
            | "typing_extensions.override"
            | "typing_extensions.overload"
            | "typing.no_type_check" => continue,
            _ => return Decoration::Unknown,
        };
        out = this;
    }
    out
}

impl<'a> Proof<'_, '_, 'a> {
    /// `self.name`, read.
    pub fn read(&mut self, name: &str, flow: &mut Flow<'a>) -> Step<Value<'a>> {
        let Some(class) = self.class else { return Ok(Value::ANY) };
        match name {
            "__dict__" => return Ok(Value::ThisDict),
            "__class__" => return Ok(Value::Class(class)),
            "__doc__" | "__module__" => return Ok(Value::Literal),
            _ => {}
        }
        if self.overrides("__getattribute__") {
            return Err("defines __getattribute__".into());
        }
        if self.world.is_patched(class, Some(name)) {
            return Err(format!("reads {name}, which is assigned from outside"));
        }
        let ancestry = self.world.ancestry(class);
        let ancestry = ancestry.as_ref().as_ref().map_err(Clone::clone)?;
        let found = ancestry.find(self.world.index, name);
        let mut out: Option<Value<'a>> = None;
        let mut give =
            |value: Value<'a>| out = Some(out.take().map_or(value.clone(), |old| old.join(&value)));
        let mut has_own = true;
        for found in &found {
            match found {
                Found::Function(c, def) => match decoration(c.module, def, self.world.index) {
                    Decoration::Plain => give(Value::Method(Box::new(Value::This), c, def)),
                    Decoration::Class => give(Value::Method(Box::new(Value::Class(class)), c, def)),
                    Decoration::Static => give(Value::Function(c.module, def)),
                    // The value is the getter's; the object's own attribute of that name is not seen.
                    Decoration::Property => {
                        has_own = is_cached(c.module, def, self.world.index);
                        give(self.invoke(Some(c), c.module, def, Some(Value::This), &[], &[], flow)?);
                    }
                    Decoration::Accessor => has_own = false,
                    Decoration::Unknown => return Err(format!("reads {name}, which is decorated")),
                },
                Found::Value(c, expr) => match self.constant(c.module, expr) {
                    // Perhaps a descriptor.
                    Value::Any(_) | Value::Made(..) => {
                        return Err(format!("reads {name}, which the class computes"));
                    }
                    value => give(value),
                },
                Found::Class(c) => give(Value::Class(c)),
                Found::Known(k) => give(Value::Outside(format!("super:{}.{name}", k.name).as_str().into())),
                Found::Dynamic => return Err(format!("reads {name}, which the class computes")),
            }
        }
        let mut certain = false;
        if has_own {
            match flow.attributes.get(name) {
                Some(value) => {
                    give(value.clone());
                    certain = true;
                }
                // What the stream may have put there: in its place a literal is harmless to call or read from.
                None if self.filled => {
                    if found.is_empty() {
                        give(Value::at_key(name));
                    } else {
                        self.keys.insert(name.to_string());
                    }
                }
                None => {}
            }
            if let Some(value) = &flow.scattered {
                give(value.clone());
            }
        }
        if !certain && found.is_empty() && self.overrides("__getattr__") {
            for found in ancestry.find(self.world.index, "__getattr__") {
                let Found::Function(c, def) = found else { return Err("computes __getattr__".into()) };
                if decoration(c.module, def, self.world.index) != Decoration::Plain {
                    return Err("decorates __getattr__".into());
                }
                let args = [Value::Text(name.into())];
                give(self.invoke(Some(c), c.module, def, Some(Value::This), &args, &[], flow)?);
            }
        }
        // Nothing has it: reading it raises.
        Ok(out.unwrap_or(Value::Literal))
    }

    /// `self.name = value`; `name` is `None` when it is computed. `direct`: past the class's own `__setattr__`.
    pub fn write(&mut self, name: Option<&str>, value: Value<'a>, direct: bool, flow: &mut Flow<'a>) -> Step {
        let Some(class) = self.class else { return Err("sets an attribute".into()) };
        let ancestry = self.world.ancestry(class);
        let ancestry = ancestry.as_ref().as_ref().map_err(Clone::clone)?;
        if !direct && self.overrides("__setattr__") {
            for found in ancestry.find(self.world.index, "__setattr__") {
                match found {
                    Found::Function(c, def)
                        if decoration(c.module, def, self.world.index) == Decoration::Plain =>
                    {
                        let key = name.map_or(Value::Literal, |n| Value::Text(n.into()));
                        let args = [key, value.clone()];
                        self.invoke(Some(c), c.module, def, Some(Value::This), &args, &[], flow)?;
                    }
                    Found::Known(_) => {}
                    _ => return Err("computes __setattr__".into()),
                }
            }
            return Ok(());
        }
        match name {
            Some("__class__") => Err("changes its own class".into()),
            Some("__dict__") => self.merge(&value, flow),
            Some(name) if self.world.is_patched(class, Some(name)) => {
                Err(format!("sets {name}, which is assigned from outside"))
            }
            Some(name) => {
                let mut plain = true;
                for found in ancestry.find(self.world.index, name) {
                    plain &= self.set_through(&found, class, name, &value, flow)?;
                }
                if plain {
                    flow.attributes.insert(name.to_string(), value);
                }
                Ok(())
            }
            None => {
                self.setters(&value, flow)?;
                scatter(flow, value);
                Ok(())
            }
        }
    }

    /// Every setter of the class must take `value`: which one is called is not known.
    pub fn setters(&mut self, value: &Value<'a>, flow: &mut Flow<'a>) -> Step {
        let Some(class) = self.class else { return Ok(()) };
        if self.world.is_patched(class, None) {
            return Err("some attribute is assigned from outside".into());
        }
        let ancestry = self.world.ancestry(class);
        let ancestry = ancestry.as_ref().as_ref().map_err(Clone::clone)?;
        let sources: Vec<_> = ancestry.sources().collect();
        for source in sources {
            let mut names: Vec<_> = source.body.names.keys().copied().collect();
            names.sort_unstable();
            for name in names {
                // A planted dunder is refused before any of this.
                if name.starts_with("__") && name.ends_with("__") {
                    continue;
                }
                for found in ancestry.find(self.world.index, name) {
                    self.set_through(&found, class, name, value, flow)?;
                }
            }
        }
        Ok(())
    }

    /// Sets an attribute for which the class has something; true if it just lands in the object.
    fn set_through(
        &mut self,
        found: &Found<'a>,
        class: &'a Class<'a>,
        name: &str,
        value: &Value<'a>,
        flow: &mut Flow<'a>,
    ) -> Step<bool> {
        match found {
            Found::Function(c, def) => match decoration(c.module, def, self.world.index) {
                // A property without setter: setting it raises.
                Decoration::Property => Ok(is_cached(c.module, def, self.world.index)),
                Decoration::Accessor => {
                    let setter = def
                        .decorator_list
                        .iter()
                        .any(|d| dotted(&d.expression).is_some_and(|t| t.ends_with(".setter")));
                    if setter {
                        self.invoke(
                            Some(c),
                            c.module,
                            def,
                            Some(Value::This),
                            std::slice::from_ref(value),
                            &[],
                            flow,
                        )?;
                    }
                    Ok(false)
                }
                // Functions give way to the object's own attributes; decorators may make a descriptor.
                Decoration::Unknown => match is_function_wrapper(c.module, def, self.world.index) {
                    true => Ok(true),
                    false => Err(format!("{name} of {} is decorated", class.name)),
                },
                _ => Ok(true),
            },
            Found::Value(c, expr) => match self.constant(c.module, expr) {
                Value::Any(_) if self.is_descriptor_free(c, expr) => Ok(true),
                Value::Any(_) => Err(format!("{name} of {} may be a descriptor", class.name)),
                _ => Ok(true),
            },
            Found::Dynamic => Err(format!("{name} of {} is computed", class.name)),
            Found::Class(_) | Found::Known(_) => Ok(true),
        }
    }

    /// A value in a class body that cannot be a data descriptor: containers, and calls of what makes none.
    fn is_descriptor_free(&self, class: &'a Class<'a>, expr: &'a wb_python::ast::Expr) -> bool {
        use wb_python::ast::Expr;
        match expr {
            Expr::Dict(_)
            | Expr::List(_)
            | Expr::Tuple(_)
            | Expr::Set(_)
            | Expr::ListComp(_)
            | Expr::SetComp(_)
            | Expr::DictComp(_)
            | Expr::Lambda(_)
            | Expr::Compare(_)
            | Expr::Subscript(_) => true,
            Expr::BoolOp(_) | Expr::BinOp(_) | Expr::If(_) | Expr::UnaryOp(_) => true,
            Expr::Call(call) => {
                let all = self.world.index.resolve(class.module, &call.func);
                all.iter().all(|m| {
                    // An instance of a class that sets nothing through itself.
                    if let crate::index::Meaning::Here(crate::index::Place::Class(made)) = m {
                        return match &*self.world.ancestry(made) {
                            Ok(ancestry) => ["__set__", "__delete__", "__new__", "__getattr__"]
                                .iter()
                                .all(|n| !ancestry.sources().any(|c| c.body.names.contains_key(n))),
                            Err(_) => false,
                        };
                    }
                    // A property that is only read: setting it raises.
                    if full_name(m).as_deref() == Some("builtins.property") {
                        return call.arguments.args.len() == 1 && call.arguments.keywords.is_empty();
                    }
                    full_name(m).is_some_and(|n| {
                        matches!(
                            n.as_str(),
                            "builtins.dict"
                                | "builtins.list"
                                | "builtins.set"
                                | "builtins.frozenset"
                                | "builtins.tuple"
                                | "builtins.str"
                                | "builtins.int"
                                | "builtins.float"
                                | "builtins.staticmethod"
                                | "builtins.classmethod"
                                | "dataclasses.field"
                                | "collections.OrderedDict"
                                | "collections.defaultdict"
                                | "re.compile"
                                | "logging.getLogger"
                                | "typing.TypeVar"
                                | "functools.partial"
                                | "numpy.array"
                        )
                    })
                })
            }
            _ => false,
        }
    }

    /// `self.__dict__.update(value)`.
    pub fn merge(&mut self, value: &Value<'a>, flow: &mut Flow<'a>) -> Step {
        for value in value.each() {
            match value {
                // What is set from here on is set at its own key.
                Value::State => {
                    let names: Vec<String> = flow.attributes.keys().cloned().collect();
                    for name in names {
                        let own = Value::at_key(&name);
                        if let Some(old) = flow.attributes.get_mut(&name) {
                            *old = old.join(&own);
                        }
                    }
                    let put: Vec<_> = flow.state.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                    flow.attributes.extend(put);
                    if flow.state_scattered {
                        scatter(flow, Value::ANY);
                    }
                }
                Value::ThisDict => {}
                Value::Literal | Value::Text(_) | Value::Bool(_) => {}
                Value::Container(keys) => scatter(flow, Value::Any(keys)),
                Value::Any(Some(_)) => self.need(&value, "an update")?,
                _ => return Err("fills the object from something else".into()),
            }
        }
        Ok(())
    }

    /// `owner[key]`, read.
    pub fn item(&mut self, owner: &Value<'a>, key: &Value<'a>, flow: &mut Flow<'a>) -> Step<Value<'a>> {
        self.need(key, "a hash")?;
        let mut out: Option<Value<'a>> = None;
        for owner in owner.each() {
            let value = match (&owner, key) {
                (Value::State, Value::Text(key)) => match flow.state.get(&**key) {
                    Some(value) => value.clone(),
                    None if flow.state_scattered => Value::ANY,
                    None => Value::at_key(key),
                },
                (Value::State, _) => Value::ANY,
                (Value::ThisDict, Value::Text(key)) => match flow.attributes.get(&**key) {
                    Some(value) => value.clone(),
                    None => Value::at_key(key),
                },
                (Value::ThisDict, _) => Value::ANY,
                (Value::Container(keys), _) => Value::Any(keys.clone()),
                (Value::Literal | Value::Text(_) | Value::Bool(_), _) => Value::Literal,
                (Value::StateKey, _) => {
                    self.text_keys = true;
                    Value::Literal
                }
                (Value::Any(_), _) => {
                    self.need(&owner, "an item")?;
                    Value::Literal
                }
                // `Generic[T]`, `np.dtype[…]`.
                (Value::Class(_) | Value::Outside(_), _) => owner.clone(),
                _ => return Err("reads an item of something else".into()),
            };
            let value = match (&flow.scattered, &owner) {
                (Some(scattered), Value::ThisDict) => value.join(scattered),
                _ => value,
            };
            out = Some(out.map_or(value.clone(), |old| old.join(&value)));
        }
        Ok(out.unwrap_or(Value::ANY))
    }

    /// Something is done with `value` that could run a method of it: it must not be an object of the stream's.
    pub fn need(&mut self, value: &Value<'a>, what: &str) -> Step {
        for value in value.each() {
            match &value {
                // Before any state is set there is nothing of the stream's in the object.
                Value::Any(Some(_)) | Value::Container(Some(_)) if !self.filled => {}
                Value::Any(Some(keys)) | Value::Container(Some(keys)) => {
                    self.keys.extend(keys.iter().cloned())
                }
                Value::StateKey => self.text_keys = true,
                Value::Any(None) => return Err(format!("{what} of an object it is given")),
                Value::Container(None) => {
                    return Err(format!("{what} of what may hold an object it is given"));
                }
                Value::State => return Err(format!("{what} of the whole state")),
                Value::This | Value::ThisDict | Value::Super(..) => {
                    return Err(format!("{what} of the object itself"));
                }
                Value::Made(class, _) => {
                    return Err(format!("{what} of an instance of {}", class.name));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// `if value:`.
    pub fn truth(&mut self, value: &Value<'a>) -> Step {
        for value in value.each() {
            match &value {
                Value::State | Value::Container(_) | Value::ThisDict => {}
                Value::This if !self.overrides("__bool__") && !self.overrides("__len__") => {}
                other => self.need(other, "the truth")?,
            }
        }
        Ok(())
    }

    /// The elements of what is iterated over.
    pub fn iterate(&mut self, value: &Value<'a>) -> Step<Value<'a>> {
        let mut out: Option<Value<'a>> = None;
        for value in value.each() {
            let element = match &value {
                Value::State | Value::ThisDict => Value::ANY,
                Value::Container(keys) => Value::Any(keys.clone()),
                Value::OutsideMade(_) => return Err("iterates over something else".into()),
                // Members, or whatever a foreign object yields.
                Value::Class(_) | Value::Outside(_) | Value::Module(_) => Value::ANY,
                other => {
                    self.need(other, "iteration")?;
                    Value::Literal
                }
            };
            out = Some(out.map_or(element.clone(), |old| old.join(&element)));
        }
        Ok(out.unwrap_or(Value::ANY))
    }

    /// At which keys the state must be literal for this to be one; `None`: it may not be one.
    pub fn keys_of(&self, value: &Value<'a>) -> Option<Rc<Keys>> {
        match value {
            Value::Literal | Value::Text(_) | Value::Bool(_) => Some(Rc::default()),
            Value::Any(keys) | Value::Container(keys) => keys.clone(),
            Value::OneOf(all) => all.iter().map(|v| self.keys_of(v)).reduce(join_keys).flatten(),
            _ => None,
        }
    }

    /// A container of these.
    pub fn container_of(&self, values: &[Value<'a>]) -> Value<'a> {
        let keys = values.iter().map(|v| self.keys_of(v)).reduce(join_keys);
        container(keys.unwrap_or_else(|| Some(Rc::default())))
    }

    /// Binds arguments to parameters and follows the body.
    #[allow(clippy::too_many_arguments, reason = "a call has a receiver, a callee and arguments")]
    pub fn invoke(
        &mut self,
        owner: Option<&'a Class<'a>>,
        module: &'a Module<'a>,
        def: &'a StmtFunctionDef,
        receiver: Option<Value<'a>>,
        args: &[Value<'a>],
        keywords: &[(Option<String>, Value<'a>)],
        flow: &mut Flow<'a>,
    ) -> Step<Value<'a>> {
        if let Some(class) = owner
            && matches!(receiver, Some(Value::This))
            && let (Some(Does::Sets), [key, value]) = (reviewed(&class.full_name(), &def.name), args)
        {
            match key {
                Value::Text(key) => drop(flow.attributes.insert(key.to_string(), value.clone())),
                _ => scatter(flow, value.clone()),
            }
            return Ok(Value::Literal);
        }
        let mut positional: Vec<Value<'a>> = receiver.iter().cloned().chain(args.iter().cloned()).collect();
        let parameters = &def.parameters;
        let mut locals = std::collections::HashMap::new();
        // `**mapping`: any parameter may be in it.
        let spread: Option<Value<'a>> =
            keywords.iter().filter(|(n, _)| n.is_none()).map(|(_, v)| v.clone()).reduce(|a, b| a.join(&b));
        let mut rest = Vec::new();
        let names: Vec<_> = parameters.posonlyargs.iter().chain(&parameters.args).collect();
        let extra = positional.split_off(positional.len().min(names.len()));
        let mut positional = positional.into_iter();
        let first = receiver.clone();
        for parameter in names.into_iter().chain(&parameters.kwonlyargs) {
            let name = parameter.parameter.name.as_str();
            let given = positional.next().or_else(|| {
                keywords.iter().find(|(n, _)| n.as_deref() == Some(name)).map(|(_, v)| v.clone())
            });
            let value = match (given, &parameter.default) {
                // With `*values` before it, whether it is given is not sure.
                (Some(value), Some(default)) if spread.is_some() => {
                    value.join(&self.constant(module, default))
                }
                (Some(value), _) => value,
                (None, Some(default)) => {
                    let default = self.constant(module, default);
                    match &spread {
                        Some(value) => default.join(value),
                        None => default,
                    }
                }
                // Missing: the call fails.
                (None, None) => spread.clone().unwrap_or(Value::Literal),
            };
            locals.insert(name.to_string(), value);
        }
        if let Some(name) = &parameters.vararg {
            // A spread stands for arguments by position as well where a proof calls with anything.
            let all: Vec<_> = extra.into_iter().chain(spread.clone()).collect();
            locals.insert(name.name.to_string(), self.container_of(&all));
        }
        if let Some(name) = &parameters.kwarg {
            rest.extend(
                keywords
                    .iter()
                    .filter(|(n, _)| match n {
                        Some(n) => !locals.contains_key(n.as_str()),
                        None => true,
                    })
                    .map(|(_, v)| v.clone()),
            );
            let value = self.container_of(&rest);
            locals.insert(name.name.to_string(), value);
        }
        let outer = std::mem::replace(&mut flow.locals, locals);
        // Inside, `state` may be a name for something else: what was put into it stays with it.
        let mut frame = Frame::new(module, owner, first);
        let result = self.run(def, &mut frame, flow);
        flow.locals = outer;
        result
    }
}

/// `functools.cached_property` gives way to the object's own attribute.
fn is_cached<'a>(module: &'a Module<'a>, def: &'a StmtFunctionDef, index: &Index<'a>) -> bool {
    def.decorator_list.iter().any(|d| {
        index
            .resolve(module, &d.expression)
            .iter()
            .any(|m| full_name(m).as_deref() == Some("functools.cached_property"))
    })
}

/// Decorators that make a function or a method of it, never something that is called when an attribute is set.
fn is_function_wrapper<'a>(module: &'a Module<'a>, def: &'a StmtFunctionDef, index: &Index<'a>) -> bool {
    use wb_python::ast::{Expr, Stmt};
    def.decorator_list.iter().all(|d| {
        let callee = match &d.expression {
            Expr::Call(call) => &*call.func,
            other => other,
        };
        // Descriptors that are only read (sklearn/utils/_available_if.py, metaestimators.py).
        const ONLY_READ: [&str; 2] = [".available_if", ".if_delegate_has_method"];
        index.resolve(module, callee).iter().all(|m| match m {
            crate::index::Meaning::Here(crate::index::Place::Class(class)) => {
                std::ptr::eq(callee, &d.expression) && only_reads(index, class, 4)
            }
            m if full_name(m).is_some_and(|n| ONLY_READ.iter().any(|e| n.ends_with(e))) => true,
            crate::index::Meaning::Here(crate::index::Place::Function(_, maker)) => {
                // A function whose last statement returns a function defined in it, at one or two levels.
                let returns_inner = |body: &[Stmt]| {
                    let Some(Stmt::Return(r)) = body.last() else { return false };
                    let Some(Expr::Name(n)) = r.value.as_deref() else { return false };
                    body.iter().any(|s| matches!(s, Stmt::FunctionDef(f) if f.name.as_str() == n.id.as_str()))
                };
                returns_inner(&maker.body)
            }
            m => full_name(m).is_some_and(|n| {
                matches!(
                    n.as_str(),
                    "functools.wraps"
                        | "functools.lru_cache"
                        | "functools.cache"
                        | "contextlib.contextmanager"
                        | "builtins.staticmethod"
                        | "builtins.classmethod"
                        | "abc.abstractmethod"
                        | "torch.no_grad"
                        | "torch.jit.export"
                        | "torch.jit.unused"
                        | "torch.jit.ignore"
                )
            }),
        })
    })
}

/// A class of descriptors without `__set__`: properties that are only read, or plain descriptors that give way.
fn only_reads<'a>(index: &Index<'a>, class: &'a Class<'a>, depth: u32) -> bool {
    use crate::index::{Meaning, Place};
    const SETS: [&str; 5] = ["__set__", "__delete__", "__new__", "__setattr__", "__getattribute__"];
    let bases = class.def.arguments.iter().flat_map(|a| a.args.iter());
    depth > 0
        && SETS.iter().all(|n| !class.body.names.contains_key(n))
        && class.def.arguments.iter().all(|a| a.keywords.is_empty())
        && class.def.decorator_list.is_empty()
        && bases.flat_map(|b| index.resolve(class.module, b)).all(|m| match &m {
            Meaning::Here(Place::Class(base)) => {
                base.full_name() == "functools.cached_property" || only_reads(index, base, depth - 1)
            }
            m => matches!(
                full_name(m).as_deref(),
                Some("builtins.property" | "builtins.object" | "functools.cached_property")
            ),
        })
}
