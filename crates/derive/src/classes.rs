//! What can make a class something else than its definition says: decorators, `__init_subclass__`, assignments from
//! outside.

use crate::ancestry::Ancestry;
use crate::calls::full_name;
use crate::follow::{Step, World};
use crate::index::{Class, Index, Meaning, Module, Place};
use std::collections::{HashMap, HashSet};
use wb_python::ast::{Decorator, Expr, Stmt, StmtFunctionDef};
use wb_python::{Binding, dotted};

/// Attributes that say something about a class and change nothing.
const TELLING: &[&str] = &[
    "__doc__",
    "__module__",
    "__name__",
    "__qualname__",
    "__signature__",
    "__annotations__",
    "__text_signature__",
    "__version__",
    "__orig_bases__",
    "__abstractmethods__",
];

/// `__init_subclass__` methods that were read: they wrap methods, or add ones with telling names.
const REVIEWED_INIT_SUBCLASS: &[&str] = &[
    // Wraps `transform` and `fit_transform`; a wrapped method is a function.
    "sklearn.utils._set_output._SetOutputMixin",
    // Adds `set_…_request`, whose descriptor has `__get__` only.
    "sklearn.utils._metadata_requests._MetadataRequester",
    // Moves `__call__`'s signature.
    "typing.Protocol",
];

/// Modules that change classes only when the process calls a function of theirs; they were read.
const REVIEWED_PATCHES: &[&str] = &[
    // A method of `torch.nn.Module` that is called as the process's own device is.
    "torch.utils.backend_registration",
    // Counts calls and new modules of a process that traces itself.
    "torch.ao.quantization.utils",
    "torch._dynamo.mutation_guard",
];

/// Fails if a class among the ancestors is not what its definition says.
pub fn check_bodies<'a>(world: &World<'_, 'a>, ancestry: &Ancestry<'a>) -> Step {
    for class in ancestry.sources() {
        for decorator in &class.def.decorator_list {
            check_decorator(world.index, class, decorator)?;
        }
        // An ordinary attribute matters where a proof reads or sets it, and is looked for there.
        if let Some(attribute) = world.patched(class).iter().find(|a| a.starts_with("__") || a.contains(' '))
        {
            return Err(format!("{attribute} of {} is assigned from outside", class.full_name()));
        }
        if class.body.names.contains_key("__init_subclass__")
            && !REVIEWED_INIT_SUBCLASS.contains(&class.full_name().as_str())
        {
            for binding in &class.body.names["__init_subclass__"] {
                let Binding::Function(def) = binding else {
                    return Err(format!("__init_subclass__ of {} is computed", class.full_name()));
                };
                leaves_alone(def, def.parameters.args.first().map_or("cls", |p| p.parameter.name.as_str()))
                    .map_err(|e| format!("__init_subclass__ of {} {e}", class.full_name()))?;
            }
        }
        // Descriptors that are told their name when the class is made run then, not later.
        if class.body.patches.iter().any(|p| p.attribute.is_none() && p.at_import) {
            return Err(format!("the body of {} sets attributes", class.full_name()));
        }
    }
    Ok(())
}

fn check_decorator<'a>(index: &Index<'a>, class: &'a Class<'a>, decorator: &'a Decorator) -> Step {
    let (callee, called) = match &decorator.expression {
        Expr::Call(call) => (&*call.func, true),
        other => (other, false),
    };
    let meanings = index.resolve(class.module, callee);
    let text = dotted(callee).unwrap_or_else(|| "an expression".into());
    for meaning in &meanings {
        let name = full_name(meaning).unwrap_or_default();
        match name.as_str() {
            "dataclasses.dataclass"
            | "functools.total_ordering"
            | "typing.final"
            | "typing_extensions.final"
            | "typing.runtime_checkable"
            | "typing_extensions.runtime_checkable"
            | "enum.unique"
            | "abc.update_abstractmethods"
            | "six.python_2_unicode_compatible" => continue,
            name if name.ends_with(".set_module") => continue,
            _ => {}
        }
        match meaning {
            Meaning::Here(Place::Function(_, def)) if returns_its_class(def, called) => {}
            // An instance that is called with the class.
            Meaning::Here(Place::Class(made))
                if called
                    && matches!(
                        made.body.names.get("__call__").map(Vec::as_slice),
                        Some([Binding::Function(def)]) if returns_parameter(def, 1)
                    ) => {}
            _ => return Err(format!("the decorator {text} of {}", class.full_name())),
        }
    }
    Ok(())
}

/// Does a decorator return the class it is given, and leave it alone but for what tells of it?
fn returns_its_class(def: &StmtFunctionDef, called: bool) -> bool {
    let inner = match called {
        // The function defined in it that its last statement returns.
        true => match def.body.last() {
            Some(Stmt::Return(r)) => def.body.iter().find_map(|s| match (s, r.value.as_deref()) {
                (Stmt::FunctionDef(inner), Some(Expr::Name(n))) if inner.name.as_str() == n.id.as_str() => {
                    Some(inner)
                }
                _ => None,
            }),
            _ => None,
        },
        false => Some(def),
    };
    inner.is_some_and(|inner| returns_parameter(inner, 0))
}

/// Does a function return the parameter, a class, and leave it alone but for what tells of it?
fn returns_parameter(inner: &StmtFunctionDef, at: usize) -> bool {
    let Some(parameter) = inner.parameters.args.get(at) else { return false };
    let name = parameter.parameter.name.as_str();
    let mut returns = Vec::new();
    returned(&inner.body, &mut returns);
    !returns.is_empty()
        && returns.iter().all(|r| matches!(r, Some(Expr::Name(n)) if n.id.as_str() == name))
        && leaves_alone(inner, name).is_ok()
}

fn returned<'a>(body: &'a [Stmt], out: &mut Vec<Option<&'a Expr>>) {
    for stmt in body {
        match stmt {
            Stmt::Return(r) => out.push(r.value.as_deref()),
            Stmt::If(s) => {
                returned(&s.body, out);
                s.elif_else_clauses.iter().for_each(|c| returned(&c.body, out));
            }
            Stmt::For(s) => returned(&s.body, out),
            Stmt::While(s) => returned(&s.body, out),
            Stmt::With(s) => returned(&s.body, out),
            Stmt::Try(s) => {
                returned(&s.body, out);
                for wb_python::ast::ExceptHandler::ExceptHandler(h) in &s.handlers {
                    returned(&h.body, out);
                }
                returned(&s.orelse, out);
                returned(&s.finalbody, out);
            }
            _ => {}
        }
    }
}

/// Fails if a function sets attributes of its parameter that do more than tell of it, or rebinds it.
fn leaves_alone(def: &StmtFunctionDef, parameter: &str) -> Step {
    let body = wb_python::Symbols::of("", &def.body);
    for patch in &body.patches {
        let of_parameter =
            dotted(patch.owner).is_some_and(|d| d == parameter || d.starts_with(&format!("{parameter}.")));
        if !of_parameter {
            continue;
        }
        match patch.attribute {
            Some(name) if TELLING.contains(&name) => {}
            // An ordinary attribute: no method of the rebuilding's is called so.
            Some(name) if !name.starts_with("__") => {}
            Some(name) => return Err(format!("sets {name}")),
            None => return Err("sets computed attributes".into()),
        }
    }
    match body.names.contains_key(parameter) {
        true => Err("replaces the class".into()),
        false => Ok(()),
    }
}

/// The fields that a generated `__init__` sets; `None` if no ancestor is a dataclass.
pub fn dataclass_of<'a>(world: &World<'_, 'a>, ancestry: &Ancestry<'a>) -> Step<Option<Vec<&'a str>>> {
    let mut fields = Vec::new();
    let mut found = false;
    for class in ancestry.sources() {
        let is_dataclass = class.def.decorator_list.iter().any(|d| {
            let callee = match &d.expression {
                Expr::Call(call) => &*call.func,
                other => other,
            };
            let all = world.index.resolve(class.module, callee);
            all.iter().any(|m| full_name(m).as_deref() == Some("dataclasses.dataclass"))
        });
        if !is_dataclass {
            continue;
        }
        found = true;
        for stmt in &class.def.body {
            let Stmt::AnnAssign(s) = stmt else { continue };
            let Expr::Name(n) = &*s.target else { continue };
            fields.push(n.id.as_str());
            // A default factory is called.
            if let Some(Expr::Call(call)) = s.value.as_deref() {
                for keyword in &call.arguments.keywords {
                    if keyword.arg.as_ref().is_some_and(|a| a.as_str() == "default_factory") {
                        check_factory(world, class, &keyword.value)?;
                    }
                }
            }
        }
    }
    Ok(found.then_some(fields))
}

fn check_factory<'a>(world: &World<'_, 'a>, class: &'a Class<'a>, factory: &'a Expr) -> Step {
    if matches!(factory, Expr::Lambda(l) if l.parameters.is_none() && is_display(&l.body)) {
        return Ok(());
    }
    for meaning in world.index.resolve(class.module, factory) {
        match &meaning {
            Meaning::Here(Place::Class(made)) => crate::prove::making(world, made, true)?,
            m => match full_name(m).as_deref() {
                Some(
                    "builtins.list" | "builtins.dict" | "builtins.set" | "builtins.tuple" | "builtins.str",
                ) => {}
                _ => return Err("a field has a default factory that is not followed".into()),
            },
        }
    }
    Ok(())
}

/// A literal, or a list, tuple or dict of literals.
fn is_display(expr: &Expr) -> bool {
    match expr {
        Expr::List(l) => l.elts.iter().all(is_display),
        Expr::Tuple(t) => t.elts.iter().all(is_display),
        Expr::Dict(d) => {
            d.items.iter().all(|i| i.key.as_ref().is_some_and(is_display) && is_display(&i.value))
        }
        expr => expr.is_literal_expr(),
    }
}

/// Assignments to classes from outside of their bodies.
#[derive(Default)]
pub struct Patches {
    /// By class, what is assigned.
    of: HashMap<usize, Vec<String>>,
    /// Modules in which something unknown is changed while they are imported.
    modules: HashSet<usize>,
}

impl Patches {
    /// Looks through a module.
    pub fn read<'a>(&mut self, index: &Index<'a>, module: &'a Module<'a>) {
        if REVIEWED_PATCHES.contains(&module.name) {
            return;
        }
        for patch in &module.symbols.patches {
            if patch.attribute.is_some_and(|a| TELLING.contains(&a)) {
                continue;
            }
            let meanings = index.resolve(module, patch.owner);
            let mut resolved = false;
            for meaning in meanings {
                match meaning {
                    Meaning::Here(Place::Class(class)) => {
                        resolved = true;
                        let what = patch.attribute.unwrap_or("a computed attribute").to_string();
                        self.of.entry(std::ptr::from_ref(class) as usize).or_default().push(what);
                    }
                    Meaning::Dynamic => {}
                    _ => resolved = true,
                }
            }
            let telling = patch.attribute.is_some_and(|a| !a.starts_with("__"));
            if !resolved && patch.at_import && !telling {
                self.modules.insert(std::ptr::from_ref(module) as usize);
            }
        }
    }

    /// What of `class` is assigned from outside.
    pub fn of(&self, class: &Class<'_>) -> Vec<String> {
        let module = std::ptr::from_ref(class.module) as usize;
        if self.modules.contains(&module) {
            return vec!["something unknown".into()];
        }
        self.of.get(&(std::ptr::from_ref(class) as usize)).cloned().unwrap_or_default()
    }
}
