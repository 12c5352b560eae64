//! What a module binds at its top level, in every branch.
//!
//! A name may be bound more than once (`try: … except ImportError: …`, a class wrapped later by a call); all bindings
//! are kept, in order of appearance, and a proof holds only if it holds for each that can remain.

use crate::imports::absolute;
use ruff_python_ast::{ExceptHandler, Expr, Stmt, StmtClassDef, StmtFunctionDef};
use std::collections::HashMap;

/// One binding of a name.
#[derive(Debug, Clone)]
pub enum Binding<'a> {
    /// `import a.b as name`, or `import a.b` for the name `a`.
    Module(String),
    /// `from module import attribute as name`.
    From {
        /// Absolute module.
        module: String,
        /// The name in it.
        attribute: &'a str,
    },
    /// `class name`.
    Class(&'a StmtClassDef),
    /// `def name`.
    Function(&'a StmtFunctionDef),
    /// `name = value`.
    Value(&'a Expr),
    /// Bound in a way that says little: loops, unpacking, `with`, `del`, `global` in a function.
    Dynamic,
}

/// `owner.attribute = value`, anywhere in a module.
#[derive(Debug, Clone)]
pub struct Patch<'a> {
    /// What is changed.
    pub owner: &'a Expr,
    /// The attribute; `None` when it is computed (`setattr(owner, name, …)`).
    pub attribute: Option<&'a str>,
    /// True outside of functions.
    pub at_import: bool,
}

/// The table of one module.
#[derive(Debug, Default)]
pub struct Symbols<'a> {
    /// All bindings of each name.
    pub names: HashMap<&'a str, Vec<Binding<'a>>>,
    /// Modules of `from module import *`.
    pub stars: Vec<String>,
    /// Assignments to attributes of anything but `self` and `cls`.
    pub patches: Vec<Patch<'a>>,
}

impl<'a> Symbols<'a> {
    /// Reads the top level of a module of package `package`.
    pub fn of(package: &str, body: &'a [Stmt]) -> Self {
        let mut out = Self::default();
        out.block(package, body);
        out
    }

    fn bind(&mut self, name: &'a str, binding: Binding<'a>) {
        self.names.entry(name).or_default().push(binding);
    }

    fn block(&mut self, package: &str, body: &'a [Stmt]) {
        for stmt in body {
            self.statement(package, stmt);
        }
    }

    fn statement(&mut self, package: &str, stmt: &'a Stmt) {
        match stmt {
            Stmt::Import(s) => {
                for alias in &s.names {
                    let module = alias.name.as_str();
                    match &alias.asname {
                        Some(name) => self.bind(name.as_str(), Binding::Module(module.into())),
                        None => {
                            let top = module.split('.').next().unwrap_or(module);
                            self.bind(top, Binding::Module(top.into()));
                        }
                    }
                }
            }
            Stmt::ImportFrom(s) => {
                let module = absolute(package, s.level, s.module.as_deref());
                for alias in &s.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
                    match (&module, alias.name.as_str()) {
                        (Some(module), "*") => self.stars.push(module.clone()),
                        (Some(module), attribute) => {
                            self.bind(name, Binding::From { module: module.clone(), attribute });
                        }
                        (None, _) => self.bind(name, Binding::Dynamic),
                    }
                }
            }
            Stmt::ClassDef(s) => {
                self.bind(s.name.as_str(), Binding::Class(s));
                self.inner(&s.body, true);
            }
            Stmt::FunctionDef(s) => {
                self.bind(s.name.as_str(), Binding::Function(s));
                self.inner(&s.body, false);
            }
            Stmt::Assign(s) => {
                for target in &s.targets {
                    match target {
                        Expr::Name(n) => self.bind(n.id.as_str(), Binding::Value(&s.value)),
                        other => self.target(other, true),
                    }
                }
            }
            Stmt::AnnAssign(s) => match (&*s.target, &s.value) {
                (Expr::Name(n), Some(value)) => self.bind(n.id.as_str(), Binding::Value(value)),
                (Expr::Name(_), None) => {}
                (other, _) => self.target(other, true),
            },
            Stmt::AugAssign(s) => match &*s.target {
                // `__all__ += …` and counters: still plain values if they were.
                Expr::Name(n) => self.bind(n.id.as_str(), Binding::Dynamic),
                other => self.target(other, true),
            },
            Stmt::Delete(s) => s.targets.iter().for_each(|t| self.target(t, true)),
            Stmt::For(s) => {
                self.target(&s.target, true);
                self.block(package, &s.body);
                self.block(package, &s.orelse);
            }
            Stmt::While(s) => {
                self.block(package, &s.body);
                self.block(package, &s.orelse);
            }
            Stmt::If(s) => {
                self.block(package, &s.body);
                s.elif_else_clauses.iter().for_each(|c| self.block(package, &c.body));
            }
            Stmt::With(s) => {
                s.items.iter().filter_map(|i| i.optional_vars.as_deref()).for_each(|t| self.target(t, true));
                self.block(package, &s.body);
            }
            Stmt::Try(s) => {
                self.block(package, &s.body);
                for ExceptHandler::ExceptHandler(h) in &s.handlers {
                    self.block(package, &h.body);
                }
                self.block(package, &s.orelse);
                self.block(package, &s.finalbody);
            }
            Stmt::Match(s) => s.cases.iter().for_each(|c| self.block(package, &c.body)),
            Stmt::Expr(s) => self.setattr(&s.value, true),
            Stmt::TypeAlias(s) => self.target(&s.name, true),
            _ => {}
        }
    }

    /// A target of an assignment: names are bound, attributes of something else are patched.
    fn target(&mut self, target: &'a Expr, at_import: bool) {
        match target {
            Expr::Name(n) if at_import => self.bind(n.id.as_str(), Binding::Dynamic),
            Expr::Tuple(t) => t.elts.iter().for_each(|t| self.target(t, at_import)),
            Expr::List(t) => t.elts.iter().for_each(|t| self.target(t, at_import)),
            Expr::Starred(s) => self.target(&s.value, at_import),
            Expr::Attribute(a) if !matches!(&*a.value, Expr::Name(n) if n.id.as_str() == "self") => {
                let attribute = Some(a.attr.as_str());
                self.patches.push(Patch { owner: &a.value, attribute, at_import });
            }
            _ => {}
        }
    }

    /// `setattr(owner, name, value)`.
    fn setattr(&mut self, expr: &'a Expr, at_import: bool) {
        let Expr::Call(call) = expr else { return };
        let args = &call.arguments.args;
        let is_setattr = matches!(&*call.func, Expr::Name(n) if n.id.as_str() == "setattr" || n.id.as_str() == "delattr")
            || matches!(&*call.func, Expr::Attribute(a) if a.attr.as_str() == "__setattr__" && args.len() == 3);
        if is_setattr
            && let [owner, name, ..] = &**args
            && !matches!(owner, Expr::Name(n) if n.id.as_str() == "self")
        {
            let attribute = name.as_string_literal_expr().map(|s| s.value.to_str());
            self.patches.push(Patch { owner, attribute, at_import });
        }
    }

    /// Statements inside functions and classes: only what reaches out to the module or to other objects.
    fn inner(&mut self, body: &'a [Stmt], in_class: bool) {
        for stmt in body {
            match stmt {
                Stmt::Global(s) => s.names.iter().for_each(|n| self.bind(n.as_str(), Binding::Dynamic)),
                Stmt::Assign(s) => s.targets.iter().for_each(|t| self.inner_target(t, in_class)),
                Stmt::AnnAssign(s) => self.inner_target(&s.target, in_class),
                Stmt::AugAssign(s) => self.inner_target(&s.target, in_class),
                Stmt::Delete(s) => s.targets.iter().for_each(|t| self.inner_target(t, in_class)),
                Stmt::Expr(s) => self.setattr(&s.value, in_class),
                Stmt::FunctionDef(s) => self.inner(&s.body, false),
                Stmt::ClassDef(s) => self.inner(&s.body, in_class),
                Stmt::For(s) => {
                    self.inner(&s.body, in_class);
                    self.inner(&s.orelse, in_class);
                }
                Stmt::While(s) => {
                    self.inner(&s.body, in_class);
                    self.inner(&s.orelse, in_class);
                }
                Stmt::If(s) => {
                    self.inner(&s.body, in_class);
                    s.elif_else_clauses.iter().for_each(|c| self.inner(&c.body, in_class));
                }
                Stmt::With(s) => self.inner(&s.body, in_class),
                Stmt::Try(s) => {
                    self.inner(&s.body, in_class);
                    for ExceptHandler::ExceptHandler(h) in &s.handlers {
                        self.inner(&h.body, in_class);
                    }
                    self.inner(&s.orelse, in_class);
                    self.inner(&s.finalbody, in_class);
                }
                Stmt::Match(s) => s.cases.iter().for_each(|c| self.inner(&c.body, in_class)),
                _ => {}
            }
        }
    }

    fn inner_target(&mut self, target: &'a Expr, in_class: bool) {
        match target {
            Expr::Name(_) => {}
            other => self.target(other, in_class && !matches!(other, Expr::Tuple(_) | Expr::List(_))),
        }
    }
}

/// `a.b.c` of an expression of names and attributes only.
pub fn dotted(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Name(n) => Some(n.id.to_string()),
        Expr::Attribute(a) => {
            let mut text = dotted(&a.value)?;
            text.push('.');
            text.push_str(a.attr.as_str());
            Some(text)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, parse};

    #[test]
    fn every_binding_is_kept() {
        let source = b"
import a.b, c.d as e
from ..x import y as z, w
from .s import *
try:
    class K: pass
except E:
    K = None
for i, j in q: pass
def f():
    global g
    K.m = 1
    self.n = 2
setattr(K, 'o', 3)
K.p, t = 4, 5
with h() as l: pass
";
        let module = parse(source, &Limits::default()).unwrap();
        let symbols = Symbols::of("p.q", &module.body);
        let count = |n: &str| symbols.names.get(n).map_or(0, Vec::len);
        for name in ["a", "e", "z", "w", "i", "j", "f", "g", "t", "l"] {
            assert_eq!(count(name), 1, "{name}");
        }
        assert_eq!(count("K"), 2);
        assert_eq!(symbols.stars, ["p.q.s"]);
        assert!(
            matches!(&symbols.names["z"][0], Binding::From { module, attribute: "y" } if module == "p.x")
        );
        let patched: Vec<_> = symbols.patches.iter().map(|p| (p.attribute, p.at_import)).collect();
        assert_eq!(patched, [(Some("m"), false), (Some("o"), true), (Some("p"), true)]);
    }
}
