//! Follows calls: into functions with source, by a reviewed table into those without.

use crate::follow::{Frame, Proof, Step, container, is_plain, is_shared};
use crate::index::{Class, Meaning, Place};
use crate::table::{Effect, effect};
use crate::value::{Flow, Value};
use wb_python::ast::{Expr, ExprCall};

/// Arguments, evaluated.
pub struct Given<'a> {
    /// By position.
    pub args: Vec<Value<'a>>,
    /// By name; `None` is `**mapping`.
    pub keywords: Vec<(Option<String>, Value<'a>)>,
}

impl<'a> Given<'a> {
    fn all(&self) -> impl Iterator<Item = &Value<'a>> {
        self.args.iter().chain(self.keywords.iter().map(|(_, v)| v))
    }
}

/// `module.name` of something with a name.
pub fn full_name(meaning: &Meaning<'_>) -> Option<String> {
    match meaning {
        Meaning::Here(Place::Class(class)) => Some(class.full_name()),
        Meaning::Here(Place::Function(module, def)) => Some(format!("{}.{}", module.name, def.name)),
        Meaning::Outside(name) => Some(crate::ancestry::canonical(name).to_string()),
        Meaning::Module(name) => Some(name.clone()),
        _ => None,
    }
}

/// The class of what calling this makes, if it is one that the table tells methods of.
pub fn instance_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "logging.getLogger" | "logging.Logger" => "logging.Logger",
        "threading.Lock" | "threading.RLock" | "_thread.allocate_lock" | "_thread.RLock" | "_thread.lock" => {
            "threading.Lock"
        }
        "warnings.catch_warnings" => "warnings.catch_warnings",
        "contextlib.suppress" => "contextlib.suppress",
        "re.compile" => "re.Pattern",
        _ => return None,
    })
}

/// Functions of the table that call an argument: a key function, a replacement, a default.
fn calls_arguments(name: &str) -> bool {
    matches!(name, "builtins.sorted" | "builtins.max" | "builtins.min" | "builtins.next" | "re.sub")
        || matches!(name, "re.Pattern().sub" | "collections.defaultdict")
}

/// Methods of containers that change them.
const CHANGES: [&str; 16] = [
    "append",
    "add",
    "insert",
    "extend",
    "update",
    "appendleft",
    "pop",
    "popitem",
    "popleft",
    "clear",
    "setdefault",
    "remove",
    "discard",
    "sort",
    "reverse",
    "extendleft",
];

/// Values whose methods are those of built-in types, known by name.
fn is_builtin(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::State
            | Value::ThisDict
            | Value::Container(_)
            | Value::Literal
            | Value::Text(_)
            | Value::Bool(_)
            | Value::Any(Some(_))
    )
}

impl<'a> Proof<'_, '_, 'a> {
    /// Evaluates a call.
    pub fn call_expression(
        &mut self,
        call: &'a ExprCall,
        frame: &mut Frame<'a>,
        flow: &mut Flow<'a>,
    ) -> Step<Value<'a>> {
        // Methods of built-in containers depend on what they are called on, and may change it.
        if let Expr::Attribute(a) = &*call.func {
            let owner = self.eval(&a.value, frame, flow)?;
            let builtin = owner.each().iter().any(is_builtin);
            if builtin {
                let given = self.given(call, frame, flow)?;
                let mut out: Option<Value<'a>> = None;
                for owner in owner.each() {
                    let value = match owner {
                        owner if is_builtin(&owner) => {
                            self.builtin_method(&a.value, &owner, a.attr.as_str(), &given, flow)?
                        }
                        other => {
                            let callee = self.attribute(&other, a.attr.as_str(), flow)?;
                            self.call(&callee, &given, frame, flow)?
                        }
                    };
                    out = Some(out.map_or(value.clone(), |old| old.join(&value)));
                }
                return Ok(out.unwrap_or(Value::ANY));
            }
        }
        if matches!(&*call.func, Expr::Name(n) if n.id.as_str() == "super") {
            return self.super_of(call, frame, flow);
        }
        let callee = self.eval(&call.func, frame, flow)?;
        let given = self.given(call, frame, flow)?;
        self.call(&callee, &given, frame, flow)
    }

    fn given(&mut self, call: &'a ExprCall, frame: &mut Frame<'a>, flow: &mut Flow<'a>) -> Step<Given<'a>> {
        let mut out = Given { args: Vec::new(), keywords: Vec::new() };
        for arg in &call.arguments.args {
            if let Expr::Starred(s) = arg {
                // Any number of arguments: enough of them for any parameter list that is followed.
                let value = self.eval(&s.value, frame, flow)?;
                let element = self.iterate(&value)?;
                out.args.extend(std::iter::repeat_n(element.clone(), 12));
                out.keywords.push((None, element));
            } else {
                out.args.push(self.eval(arg, frame, flow)?);
            }
        }
        for keyword in &call.arguments.keywords {
            let value = self.eval(&keyword.value, frame, flow)?;
            match &keyword.arg {
                Some(name) => out.keywords.push((Some(name.to_string()), value)),
                None => {
                    let element = match value {
                        Value::State | Value::ThisDict => Value::ANY,
                        value => self.iterate(&value)?,
                    };
                    out.keywords.push((None, element));
                }
            }
        }
        Ok(out)
    }

    fn super_of(
        &mut self,
        call: &'a ExprCall,
        frame: &mut Frame<'a>,
        flow: &mut Flow<'a>,
    ) -> Step<Value<'a>> {
        let owner = match call.arguments.args.first() {
            None => frame.owner,
            Some(class) => match self.eval(class, frame, flow)? {
                Value::Class(class) => Some(class),
                _ => None,
            },
        };
        let this = match call.arguments.args.get(1) {
            None => frame.first.clone(),
            Some(this) => Some(self.eval(this, frame, flow)?),
        };
        match (owner, this) {
            (Some(owner), Some(this @ (Value::This | Value::Class(_)))) => {
                Ok(Value::Super(owner, Box::new(this)))
            }
            _ => Err("calls super() in a way that is not followed".into()),
        }
    }

    /// Calls `callee`.
    pub fn call(
        &mut self,
        callee: &Value<'a>,
        given: &Given<'a>,
        frame: &mut Frame<'a>,
        flow: &mut Flow<'a>,
    ) -> Step<Value<'a>> {
        self.step()?;
        let mut out: Option<Value<'a>> = None;
        for callee in callee.each() {
            let value = match &callee {
                Value::Function(module, def) => {
                    let name = format!("{}.{}", module.name, def.name);
                    match self.by_name(&name, given, frame, flow)? {
                        Some(value) => value,
                        None => {
                            self.plainly_decorated(module, def)?;
                            self.invoke(None, module, def, None, &given.args, &given.keywords, flow)?
                        }
                    }
                }
                Value::Method(this, owner, def) => {
                    let this = Some((**this).clone());
                    self.invoke(Some(owner), owner.module, def, this, &given.args, &given.keywords, flow)?
                }
                Value::Class(class) => match self.by_name(&class.full_name(), given, frame, flow)? {
                    Some(value) => value,
                    None => self.instance(class, given)?,
                },
                Value::Outside(name) => match self.by_name(name, given, frame, flow)? {
                    Some(value) => value,
                    None => return Err(format!("calls {name}")),
                },
                // No literal can be called.
                Value::Literal | Value::Text(_) | Value::Bool(_) => {
                    given.all().try_for_each(|v| self.need(v, "an argument"))?;
                    Value::Literal
                }
                Value::Any(Some(_)) => {
                    self.need(&callee, "a call")?;
                    Value::Literal
                }
                Value::Any(None) => {
                    return Err("calls an object it is given, or something not resolved".into());
                }
                _ => return Err("calls something else".into()),
            };
            out = Some(out.map_or(value.clone(), |old| old.join(&value)));
        }
        Ok(out.unwrap_or(Value::ANY))
    }

    /// Functions that call what they are given are given nothing that can be called, but for what the table has.
    fn need_uncallable(&mut self, given: &Given<'a>, of: &str) -> Step {
        for value in given.all().flat_map(Value::each) {
            match &value {
                Value::Outside(name) if effect(name) == Some(Effect::Literals) => {}
                Value::Class(_)
                | Value::Function(..)
                | Value::Method(..)
                | Value::Outside(_)
                | Value::Super(..) => {
                    return Err(format!("hands something to call to {of}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn plainly_decorated(
        &self,
        module: &'a crate::index::Module<'a>,
        def: &'a wb_python::ast::StmtFunctionDef,
    ) -> Step {
        use crate::objects::{Decoration, decoration};
        match decoration(module, def, self.world.index) {
            Decoration::Plain | Decoration::Static => Ok(()),
            _ => Err(format!("calls {}, which is decorated", def.name)),
        }
    }

    /// Makes an instance of a class with source.
    fn instance(&mut self, class: &'a Class<'a>, given: &Given<'a>) -> Step<Value<'a>> {
        let mut plain = true;
        for value in given.all() {
            // Literals if they can be held to be. What can be called is none: the class may call it.
            if self.keys_of(value).is_some() {
                self.need(value, "an argument")?;
            } else {
                plain = false;
            }
        }
        crate::prove::making(self.world, class, plain)
            .map_err(|e| format!("makes an instance of {}: {e}", class.name))?;
        Ok(Value::Made(class, plain))
    }

    /// A method of a built-in container or literal.
    fn builtin_method(
        &mut self,
        place: &'a Expr,
        owner: &Value<'a>,
        name: &str,
        given: &Given<'a>,
        flow: &mut Flow<'a>,
    ) -> Step<Value<'a>> {
        if let Value::Any(Some(_)) = owner {
            self.need(owner, &format!("the method {name}"))?;
        }
        if CHANGES.contains(&name) && is_plain(owner) && is_shared(place, flow) {
            return Err(format!("changes a container of the module's: {name}"));
        }
        let first = given.args.first();
        let default = given.args.get(1);
        Ok(match (owner, name) {
            (Value::State | Value::ThisDict | Value::Container(_), "get" | "pop" | "setdefault") => {
                let Some(key) = first else { return Ok(Value::ANY) };
                let value = self.item(owner, key, flow)?;
                if name == "setdefault" {
                    let stored = value.join(default.unwrap_or(&Value::Literal));
                    self.put(place, owner, key, stored, flow)?;
                }
                value.join(default.unwrap_or(&Value::Literal))
            }
            (Value::State | Value::ThisDict, "items" | "values" | "keys" | "iteritems" | "itervalues") => {
                container(None)
            }
            (Value::Container(keys), "items" | "values" | "keys") => container(keys.clone()),
            (Value::State | Value::ThisDict, "copy") => match owner {
                // The same keys, the same values.
                Value::State if flow.state.is_empty() && !flow.state_scattered => Value::State,
                Value::ThisDict => container(None),
                _ => container(None),
            },
            (Value::Container(_), "copy") => owner.clone(),
            (Value::ThisDict, "update") => {
                for value in &given.args {
                    self.merge(value, flow)?;
                }
                for (name, value) in &given.keywords {
                    match name {
                        Some(name) => {
                            flow.attributes.insert(name.clone(), value.clone());
                        }
                        None => crate::follow::scatter(flow, value.clone()),
                    }
                }
                Value::Literal
            }
            (Value::ThisDict, "clear") => {
                flow.attributes.clear();
                Value::Literal
            }
            (Value::State, "update") => {
                for value in &given.args {
                    self.iterate(value)?;
                }
                flow.state_scattered = true;
                Value::Literal
            }
            (Value::State, "clear" | "popitem") => {
                flow.state_scattered = true;
                Value::ANY
            }
            (
                Value::Literal | Value::Container(_),
                "append" | "add" | "insert" | "extend" | "update" | "appendleft",
            ) => {
                let mut values = vec![owner.clone()];
                for value in given.all() {
                    if matches!(name, "extend" | "update") {
                        values.push(self.iterate(value)?);
                    } else {
                        values.push(value.clone());
                    }
                }
                if name == "add" {
                    given.all().try_for_each(|v| self.need(v, "a hash"))?;
                }
                let filled = self.container_of(&values);
                match (place, &filled) {
                    (_, Value::Literal) => {}
                    (Expr::Name(n), _) if flow.locals.contains_key(n.id.as_str()) => {
                        flow.locals.insert(n.id.to_string(), filled);
                    }
                    _ => return Err("puts an object into a container that is kept elsewhere".into()),
                }
                Value::Literal
            }
            (Value::Container(keys), "popleft") => Value::Any(keys.clone()),
            (Value::Text(_), "startswith" | "endswith") if matches!(first, Some(Value::Text(_))) => {
                match (owner, first) {
                    (Value::Text(text), Some(Value::Text(part))) => Value::Bool(match name {
                        "startswith" => text.starts_with(&**part),
                        _ => text.ends_with(&**part),
                    }),
                    _ => Value::Literal,
                }
            }
            // A format string reads attributes of what it is given.
            _ => {
                given.all().try_for_each(|v| self.need(v, &format!("an argument of {name}")))?;
                self.need_uncallable(given, name)?;
                if matches!(owner, Value::State | Value::ThisDict | Value::Container(_)) {
                    return Err(format!("calls {name} of a container"));
                }
                Value::Literal
            }
        })
    }

    /// What the table says of a name; `None` if it is not in it.
    fn by_name(
        &mut self,
        name: &str,
        given: &Given<'a>,
        frame: &mut Frame<'a>,
        flow: &mut Flow<'a>,
    ) -> Step<Option<Value<'a>>> {
        let bound = name.starts_with("super:");
        let name = crate::ancestry::canonical(name.strip_prefix("super:").unwrap_or(name));
        if name == "missing" {
            return Ok(Some(Value::Literal));
        }
        if let Some(class) = instance_of(name) {
            given.all().try_for_each(|v| self.need(v, "an argument"))?;
            return Ok(Some(Value::OutsideMade(class)));
        }
        if let Some(value) = self.special(name, bound, given, frame, flow)? {
            return Ok(Some(value));
        }
        Ok(match effect(name) {
            Some(Effect::Any) => Some(Value::Literal),
            Some(Effect::Literals) => {
                given.all().try_for_each(|v| self.need(v, &format!("an argument of {name}")))?;
                if calls_arguments(name) {
                    self.need_uncallable(given, name)?;
                }
                Some(Value::Literal)
            }
            Some(Effect::Elements) => {
                self.need_uncallable(given, name)?;
                let mut values = Vec::new();
                for value in given.all() {
                    values.push(self.iterate(value)?);
                }
                Some(self.container_of(&values))
            }
            None => None,
        })
    }

    /// Built-ins that do something with the object being made.
    fn special(
        &mut self,
        name: &str,
        bound: bool,
        given: &Given<'a>,
        frame: &mut Frame<'a>,
        flow: &mut Flow<'a>,
    ) -> Step<Option<Value<'a>>> {
        let receiver = if bound { Some(Value::This) } else { given.args.first().cloned() };
        let rest = if bound { &given.args[..] } else { given.args.get(1..).unwrap_or_default() };
        let (class_name, method) = name.rsplit_once('.').unwrap_or(("", name));
        let of_table = crate::known::known(class_name).is_some();
        if of_table {
            match method {
                "__new__" => {
                    // `object.__new__(cls)`, `super().__new__(cls)`: the class comes first either way.
                    let base = crate::known::known(class_name).map_or(crate::known::Need::Never, |k| k.new);
                    match base {
                        crate::known::Need::Any => {}
                        crate::known::Need::Plain => {
                            given.all().try_for_each(|v| self.need(v, "an argument"))?
                        }
                        crate::known::Need::Never => return Err(format!("calls {name}")),
                    }
                    return Ok(Some(match (given.args.first(), self.class) {
                        (Some(Value::Class(c)), Some(own)) if std::ptr::eq(*c, own) => Value::This,
                        _ => Value::ANY,
                    }));
                }
                "__init__" => {
                    if crate::known::known(class_name).is_some_and(|k| k.init == crate::known::Need::Plain) {
                        for value in rest.iter().chain(given.keywords.iter().map(|(_, v)| v)) {
                            self.iterate(value)?;
                        }
                    }
                    return Ok(Some(Value::Literal));
                }
                "__setattr__" => {
                    return match (receiver, rest) {
                        (Some(Value::This), [key, value]) => {
                            let key = match key {
                                Value::Text(key) => Some(key.clone()),
                                _ => None,
                            };
                            self.write(key.as_deref(), value.clone(), true, flow)?;
                            Ok(Some(Value::Literal))
                        }
                        _ => Err("sets an attribute of something else".into()),
                    };
                }
                "__getattribute__" => {
                    return match (receiver, rest) {
                        (Some(Value::This), [Value::Text(key)]) => Ok(Some(self.read(&key.clone(), flow)?)),
                        _ => Err("reads a computed attribute".into()),
                    };
                }
                "__delattr__" | "__init_subclass__" => return Ok(Some(Value::Literal)),
                "__setitem__" | "update" | "append" | "extend" | "setdefault" | "pop" | "get" | "clear" => {
                    if matches!(method, "update" | "extend") {
                        for value in rest.iter() {
                            self.iterate(value)?;
                        }
                    } else if let Some(key) = rest.first()
                        && method != "append"
                    {
                        self.need(key, "a hash")?;
                    }
                    return Ok(Some(Value::ANY));
                }
                "items" | "keys" | "values" => return Ok(Some(Value::Container(None))),
                "__reduce__" | "__reduce_ex__" | "__repr__" | "__str__" | "__eq__" | "__ne__"
                | "__hash__" => {
                    return Err(format!("calls {name}"));
                }
                _ => {}
            }
        }
        Ok(Some(match (name, &given.args[..]) {
            ("builtins.type", [value]) => match value {
                Value::This => self.class.map_or(Value::ANY, Value::Class),
                Value::Made(class, _) => Value::Class(class),
                Value::Literal | Value::Text(_) | Value::Bool(_) => Value::Literal,
                _ => Value::TypeOf,
            },
            ("builtins.getattr" | "builtins.hasattr", [owner, Value::Text(key), default @ ..]) => {
                let value = self.attribute(owner, &key.clone(), flow)?;
                match (name, default) {
                    ("builtins.hasattr", _) => Value::Literal,
                    (_, [default]) => value.join(default),
                    _ => value,
                }
            }
            ("builtins.setattr", [Value::This, key, value]) => {
                match key {
                    Value::Text(key) => self.write(Some(&key.clone()), value.clone(), false, flow)?,
                    // `for key, value in state.items(): setattr(self, key, value)`
                    Value::StateKey
                        if matches!(value, Value::Any(None)) && !self.overrides("__setattr__") =>
                    {
                        self.text_keys = true;
                        self.setters(value, flow)?;
                        let state = Value::State;
                        self.merge(&state, flow)?;
                    }
                    _ => self.write(None, value.clone(), false, flow)?,
                }
                Value::Literal
            }
            ("builtins.delattr", [Value::This, Value::Text(key)]) if !self.overrides("__delattr__") => {
                flow.attributes.remove(&**key);
                Value::Literal
            }
            ("builtins.vars", [Value::This]) => Value::ThisDict,
            ("builtins.len", [Value::State | Value::Container(_) | Value::ThisDict]) => Value::Literal,
            ("builtins.bool", [value]) => {
                self.truth(value)?;
                Value::Literal
            }
            ("builtins.dict", [Value::State]) if given.keywords.is_empty() && flow.state.is_empty() => {
                Value::State
            }
            ("copy.copy", [Value::State]) => Value::State,
            ("builtins.dict" | "builtins.list" | "builtins.tuple", [value]) => {
                let element = self.iterate(value)?;
                let mut all = vec![element];
                all.extend(given.keywords.iter().map(|(_, v)| v.clone()));
                self.container_of(&all)
            }
            ("builtins.dict", []) => {
                let all: Vec<_> = given.keywords.iter().map(|(_, v)| v.clone()).collect();
                self.container_of(&all)
            }
            ("collections.defaultdict", [Value::Outside(name)])
                if matches!(
                    &**name,
                    "builtins.list"
                        | "builtins.dict"
                        | "builtins.set"
                        | "builtins.int"
                        | "builtins.float"
                        | "builtins.str"
                ) =>
            {
                Value::Literal
            }
            ("warnings.warn", args) => {
                for value in args.iter().chain(given.keywords.iter().map(|(_, v)| v)) {
                    match value {
                        // A warning made from literals is printed by its own class.
                        Value::Made(_, true) => {}
                        value => self.need(value, "a warning")?,
                    }
                }
                Value::Literal
            }
            ("typing.cast", [_, value]) => value.clone(),
            ("functools.partial", _) | ("weakref.ref", [_]) => Value::ANY,
            ("builtins.super", []) => match (frame.owner, frame.first.clone()) {
                (Some(owner), Some(this)) => Value::Super(owner, Box::new(this)),
                _ => return Err("calls super() in a way that is not followed".into()),
            },
            _ if name.strip_prefix("builtins.").is_some_and(crate::builtins::is_exception) => Value::Literal,
            _ => return Ok(None),
        }))
    }
}
