//! The classes a class inherits from, in the order in which Python looks them through.

use crate::index::{Class, Index, Meaning, Module, Place};
use crate::known::{self, Known, Meta};
use wb_python::ast::{Expr, StmtFunctionDef};
use wb_python::{Binding, dotted};

/// One ancestor, the class itself included.
#[derive(Clone, Copy)]
pub enum Ancestor<'a> {
    /// With source.
    Source(&'a Class<'a>),
    /// Of the table.
    Known(&'static Known),
}

impl Ancestor<'_> {
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Source(a), Self::Source(b)) => std::ptr::eq(*a, *b),
            (Self::Known(a), Self::Known(b)) => std::ptr::eq(*a, *b),
            _ => false,
        }
    }
}

/// How many classes a line of ancestors may have.
const MAX_ANCESTORS: usize = 200;
const MAX_DEPTH: u32 = 40;

/// What is known of where a class comes from.
pub struct Ancestry<'a> {
    /// In order of look-up.
    pub order: Vec<Ancestor<'a>>,
    /// Ancestors that only some branches of the sources give; whatever they define counts as well.
    pub others: Vec<Ancestor<'a>>,
    /// What calling the class does.
    pub meta: Meta,
}

/// What a class has under a name.
#[derive(Clone)]
pub enum Found<'a> {
    /// A function of its body.
    Function(&'a Class<'a>, &'a StmtFunctionDef),
    /// Some other value of its body.
    Value(&'a Class<'a>, &'a Expr),
    /// A nested class.
    Class(&'a Class<'a>),
    /// Bound in a way that says little.
    Dynamic,
    /// Inherited from a class of the table.
    Known(&'static Known),
}

impl<'a> Ancestry<'a> {
    /// Works out the ancestors of `class`.
    ///
    /// # Errors
    /// Names the base, metaclass or decorator that could not be resolved.
    pub fn of(index: &Index<'a>, class: &'a Class<'a>) -> Result<Self, String> {
        let mut builder = Builder { index, others: Vec::new(), meta: Meta::Plain };
        let mut order = builder.linear(class, MAX_DEPTH)?;
        let object = Ancestor::Known(known::known("builtins.object").ok_or("no object")?);
        order.retain(|a| !a.same(&object));
        order.push(object);
        for ancestor in order.iter().chain(&builder.others) {
            if let Ancestor::Known(k) = ancestor
                && k.metaclass != Meta::Plain
            {
                builder.meta = k.metaclass;
            }
        }
        Ok(Self { order, others: builder.others, meta: builder.meta })
    }

    /// What a look-up of `name` can find: the first ancestor's that has it, and every uncertain ancestor's.
    pub fn find(&self, index: &Index<'a>, name: &str) -> Vec<Found<'a>> {
        let mut out = Vec::new();
        find_in(index, &self.order, name, &mut out);
        for other in &self.others {
            find_in(index, std::slice::from_ref(other), name, &mut out);
        }
        out
    }

    /// The same for `super()` of a method that `owner` defines.
    pub fn find_after(&self, index: &Index<'a>, owner: &Class<'a>, name: &str) -> Vec<Found<'a>> {
        let mut out = Vec::new();
        let at = self.order.iter().position(|a| matches!(a, Ancestor::Source(c) if std::ptr::eq(*c, owner)));
        find_in(index, &self.order[at.map_or(0, |at| at + 1)..], name, &mut out);
        for other in &self.others {
            if !matches!(other, Ancestor::Source(c) if std::ptr::eq(*c, owner)) {
                find_in(index, std::slice::from_ref(other), name, &mut out);
            }
        }
        out
    }

    /// The classes with source, uncertain ones included.
    pub fn sources(&self) -> impl Iterator<Item = &'a Class<'a>> {
        self.order.iter().chain(&self.others).filter_map(|a| match a {
            Ancestor::Source(c) => Some(*c),
            Ancestor::Known(_) => None,
        })
    }

    /// The classes of the table.
    pub fn knowns(&self) -> impl Iterator<Item = &'static Known> {
        self.order.iter().chain(&self.others).filter_map(|a| match a {
            Ancestor::Known(k) => Some(*k),
            Ancestor::Source(_) => None,
        })
    }
}

fn find_in<'a>(index: &Index<'a>, order: &[Ancestor<'a>], name: &str, out: &mut Vec<Found<'a>>) {
    for ancestor in order {
        match ancestor {
            Ancestor::Source(class) => {
                let Some(bindings) = class.body.names.get(name) else { continue };
                for binding in bindings {
                    out.push(match binding {
                        Binding::Function(def) => Found::Function(class, def),
                        Binding::Value(expr) => alias(class, expr),
                        Binding::Class(def) => Found::Class(index.class(class.module, Some(class), def)),
                        _ => Found::Dynamic,
                    });
                }
                return;
            }
            Ancestor::Known(k) => {
                if gives(k, name) {
                    return out.push(Found::Known(k));
                }
            }
        }
    }
}

/// `__call__ = other` in a class body, where `other` is a function of the same body.
fn alias<'a>(class: &'a Class<'a>, expr: &'a Expr) -> Found<'a> {
    if let Expr::Name(n) = expr
        && let Some([Binding::Function(def)]) = class.body.names.get(n.id.as_str()).map(Vec::as_slice)
    {
        return Found::Function(class, def);
    }
    Found::Value(class, expr)
}

/// The methods of the table's classes that matter here.
fn gives(k: &Known, name: &str) -> bool {
    use crate::known::Container;
    match name {
        "__new__" => k.name == "builtins.object" || k.new != known::Need::Any || k.metaclass != Meta::Plain,
        "__init__" => {
            k.name == "builtins.object" || k.init != known::Need::Any || k.container != Container::No
        }
        "__setattr__" | "__delattr__" | "__getattribute__" | "__hash__" | "__eq__" | "__ne__"
        | "__repr__" | "__str__" | "__init_subclass__" | "__reduce__" | "__reduce_ex__" | "__class__"
        | "__doc__" => k.name == "builtins.object" || k.container != Container::No && name != "__setattr__",
        "append" | "extend" => k.container == Container::List,
        "__setitem__" | "update" | "pop" | "get" | "setdefault" | "items" | "keys" | "values" | "clear" => {
            k.container == Container::Dict
        }
        "add" => k.container == Container::Set,
        _ => false,
    }
}

struct Builder<'i, 'a> {
    index: &'i Index<'a>,
    others: Vec<Ancestor<'a>>,
    meta: Meta,
}

impl<'a> Builder<'_, 'a> {
    /// Python's linearization (C3).
    fn linear(&mut self, class: &'a Class<'a>, depth: u32) -> Result<Vec<Ancestor<'a>>, String> {
        if depth == 0 {
            return Err(format!("{} has too many ancestors", class.full_name()));
        }
        let mut direct = Vec::new();
        let mut lines = Vec::new();
        if let Some(arguments) = &class.def.arguments {
            for base in &arguments.args {
                self.base(class, base, depth, &mut direct, &mut lines)?;
            }
            for keyword in &arguments.keywords {
                match keyword.arg.as_ref().map(|a| a.as_str()) {
                    Some("metaclass") => self.metaclass(class, &keyword.value)?,
                    // Seen by `__init_subclass__`, when the class is defined.
                    Some(_) => {}
                    None => return Err(format!("{} has computed bases", class.full_name())),
                }
            }
        }
        // Python 2 and its bridges.
        for binding in class.body.names.get("__metaclass__").into_iter().flatten() {
            match binding {
                Binding::Value(expr) => self.metaclass(class, expr)?,
                _ => return Err(format!("the metaclass of {} is computed", class.full_name())),
            }
        }
        lines.push(direct);
        let mut out = vec![Ancestor::Source(class)];
        loop {
            lines.retain(|l| !l.is_empty());
            if lines.is_empty() {
                return Ok(out);
            }
            let head = lines
                .iter()
                .map(|l| l[0])
                .find(|head| !lines.iter().any(|l| l[1..].iter().any(|a| a.same(head))));
            let Some(head) = head else {
                return Err(format!("the bases of {} have no consistent order", class.full_name()));
            };
            lines.iter_mut().for_each(|l| l.retain(|a| !a.same(&head)));
            out.push(head);
            if out.len() > MAX_ANCESTORS {
                return Err(format!("{} has too many ancestors", class.full_name()));
            }
        }
    }

    fn base(
        &mut self,
        class: &'a Class<'a>,
        base: &'a Expr,
        depth: u32,
        direct: &mut Vec<Ancestor<'a>>,
        lines: &mut Vec<Vec<Ancestor<'a>>>,
    ) -> Result<(), String> {
        // `six.with_metaclass(Meta, A, B)`: the bases are A and B.
        if let Expr::Call(call) = base
            && depth > 0
            && dotted(&call.func).is_some_and(|d| d.ends_with("with_metaclass"))
            && let [meta, bases @ ..] = &*call.arguments.args
        {
            self.metaclass_in(class.module, meta)?;
            return bases.iter().try_for_each(|b| self.base(class, b, depth - 1, direct, lines));
        }
        let mut found = Vec::new();
        self.ancestors(class.module, base, depth, &mut found)?;
        // Exceptions are one entry of the table.
        if found.iter().all(|a| matches!(a, Ancestor::Known(_)) && direct.iter().any(|d| d.same(a)))
            && !found.is_empty()
        {
            return Ok(());
        }
        let mut found = found.into_iter();
        let Some(first) = found.next() else {
            let text = dotted(base).unwrap_or_else(|| "an expression".into());
            return Err(format!("{} derives from {text}, which is not resolved", class.full_name()));
        };
        let line = self.line(first, depth)?;
        direct.push(first);
        lines.push(line);
        for other in found {
            let line = self.line(other, depth)?;
            self.others.extend(line);
        }
        Ok(())
    }

    fn line(&mut self, ancestor: Ancestor<'a>, depth: u32) -> Result<Vec<Ancestor<'a>>, String> {
        match ancestor {
            Ancestor::Source(class) => self.linear(class, depth - 1),
            Ancestor::Known(_) => Ok(vec![ancestor]),
        }
    }

    /// Every class a base can be.
    fn ancestors(
        &mut self,
        module: &'a Module<'a>,
        base: &'a Expr,
        depth: u32,
        out: &mut Vec<Ancestor<'a>>,
    ) -> Result<(), String> {
        if depth == 0 {
            return Err("aliases of bases run in a circle".into());
        }
        let unresolved = |what: &str| Err(format!("the base {what} is not resolved"));
        match base {
            // `Generic[T]`
            Expr::Subscript(s) => return self.ancestors(module, &s.value, depth - 1, out),
            Expr::Call(call) => {
                let function = self.index.resolve(module, &call.func);
                let [Meaning::Outside(name)] = function.as_slice() else {
                    // `six.with_metaclass` where six is indexed, or vendored.
                    if dotted(&call.func).is_some_and(|d| d.ends_with("with_metaclass")) {
                        return self.with_metaclass(module, &call.arguments.args, depth, out);
                    }
                    if let [Meaning::Here(Place::Function(m, f))] = function.as_slice()
                        && m.name == "collections"
                        && f.name.as_str() == "namedtuple"
                    {
                        out.extend(known::known("typing.NamedTuple").map(Ancestor::Known));
                        return Ok(());
                    }
                    return unresolved(&dotted(&call.func).unwrap_or_else(|| "made by a call".into()));
                };
                if name.ends_with("with_metaclass") {
                    return self.with_metaclass(module, &call.arguments.args, depth, out);
                }
                if name == "collections.namedtuple" || name == "typing.NamedTuple" {
                    out.extend(known::known("typing.NamedTuple").map(Ancestor::Known));
                    return Ok(());
                }
                return unresolved(name);
            }
            _ => {}
        }
        for meaning in self.index.resolve(module, base) {
            match meaning {
                Meaning::Here(Place::Class(class)) => {
                    out.push(match known::known(&class.full_name()) {
                        Some(k) => Ancestor::Known(k),
                        None => Ancestor::Source(class),
                    });
                }
                Meaning::Outside(name) => match known::known(canonical(&name)) {
                    Some(k) => out.push(Ancestor::Known(k)),
                    None => return unresolved(&name),
                },
                // `Base = None` where an import failed: deriving from it fails.
                Meaning::Here(Place::Value(_, Expr::NoneLiteral(_))) => {}
                Meaning::Here(Place::Value(module, expr @ (Expr::Call(_) | Expr::Subscript(_)))) => {
                    // `typing.List` and the like are made by calls.
                    let text = dotted(base).unwrap_or_default();
                    let last = text.rsplit('.').next().unwrap_or_default();
                    match known::known(&format!("{}.{last}", module.name)) {
                        Some(k) => out.push(Ancestor::Known(k)),
                        None => self.ancestors(module, expr, depth - 1, out)?,
                    }
                }
                Meaning::Here(Place::Function(module, def)) => {
                    match known::known(&format!("{}.{}", module.name, def.name)) {
                        // `typing.NamedTuple` is a function that bases are made of.
                        Some(k) => out.push(Ancestor::Known(k)),
                        None => return unresolved(def.name.as_str()),
                    }
                }
                _ => return unresolved(&dotted(base).unwrap_or_else(|| "of an expression".into())),
            }
        }
        Ok(())
    }

    fn with_metaclass(
        &mut self,
        module: &'a Module<'a>,
        args: &'a [Expr],
        depth: u32,
        out: &mut Vec<Ancestor<'a>>,
    ) -> Result<(), String> {
        match args {
            [meta] | [meta, _] => {
                self.metaclass_in(module, meta)?;
                match args.get(1) {
                    Some(base) => self.ancestors(module, base, depth - 1, out),
                    None => {
                        out.extend(known::known("builtins.object").map(Ancestor::Known));
                        Ok(())
                    }
                }
            }
            _ => Err("with_metaclass of several bases".into()),
        }
    }

    fn metaclass(&mut self, class: &'a Class<'a>, expr: &'a Expr) -> Result<(), String> {
        self.metaclass_in(class.module, expr).map_err(|e| format!("{e} of {}", class.full_name()))
    }

    fn metaclass_in(&mut self, module: &'a Module<'a>, expr: &'a Expr) -> Result<(), String> {
        for meaning in self.index.resolve(module, expr) {
            match meaning {
                Meaning::Outside(name) if known::is_plain_metaclass(canonical(&name)) => {}
                Meaning::Here(Place::Class(meta)) if known::is_plain_metaclass(&meta.full_name()) => {}
                Meaning::Here(Place::Class(meta)) => self.own_metaclass(meta)?,
                _ => return Err(format!("the metaclass {}", dotted(expr).unwrap_or_default())),
            }
        }
        Ok(())
    }

    /// A metaclass with source is as good as `type` if it leaves alone what rebuilding consults.
    fn own_metaclass(&mut self, meta: &'a Class<'a>) -> Result<(), String> {
        const CONSULTED: [&str; 8] = [
            "__call__",
            "__getattribute__",
            "__getattr__",
            "__setattr__",
            "__instancecheck__",
            "__subclasscheck__",
            "__hash__",
            "__eq__",
        ];
        if let Some(name) = CONSULTED.iter().find(|n| meta.body.names.contains_key(*n)) {
            return Err(format!("the metaclass {} defines {name}", meta.full_name()));
        }
        // What a metaclass adds to or takes from the class while it is made is not followed.
        if meta.body.names.contains_key("__new__") || meta.body.names.contains_key("__prepare__") {
            return Err(format!("the metaclass {} makes the class", meta.full_name()));
        }
        for base in meta.def.arguments.iter().flat_map(|a| a.args.iter()) {
            self.metaclass_in(meta.module, base)?;
        }
        Ok(())
    }
}

/// Names that move between modules without meaning something else.
pub fn canonical(name: &str) -> &str {
    match name {
        "six.with_metaclass" => "with_metaclass",
        "enum.EnumMeta" | "enum.EnumType" => "enum.EnumMeta",
        "collections.Mapping" | "_collections_abc.Mapping" => "collections.abc.Mapping",
        "_collections.OrderedDict" => "collections.OrderedDict",
        "_warnings.warn" => "warnings.warn",
        "_warnings.warn_explicit" => "warnings.warn_explicit",
        "_abc.ABCMeta" => "abc.ABCMeta",
        other => other,
    }
}
