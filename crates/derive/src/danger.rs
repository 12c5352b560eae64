//! Functions that hand what they are given to something that runs it: the opposite question, answered where sure.
//!
//! A parameter is followed through assignments and through calls inside the library. Only a parameter that ends up as
//! the first argument of a function with a known effect counts, so that a row is nearly never wrong; what is not found
//! has no harmless proof either.

use crate::calls::full_name;
use crate::index::{Index, Meaning, Module, Place};
use crate::sinks::sink;
use std::collections::{BTreeSet, HashMap, HashSet};
use wb_python::ast::visitor::{Visitor, walk_expr, walk_stmt};
use wb_python::ast::{Expr, ExprCall, Stmt, StmtFunctionDef};
use wb_python::dotted;

/// How deep calls are followed.
const MAX_DEPTH: u32 = 5;
/// Effects that are named; that something is imported, written or stopped is left to the list.
const NAMED: [&str; 5] = ["code", "process", "native", "network", "deserialise"];

/// What is reached, and by which way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// In the words of the dangerous list.
    pub effect: &'static str,
    /// `runstring -> exec_code -> builtins.exec`.
    pub evidence: String,
}

/// The first effect that a parameter of a function reaches. `skip`: how many parameters are not the caller's (`self`).
pub fn reached<'a>(
    index: &Index<'a>,
    module: &'a Module<'a>,
    def: &'a StmtFunctionDef,
    skip: usize,
) -> Option<Reached> {
    let names = def.parameters.iter_non_variadic_params().map(|p| p.parameter.name.as_str());
    follow(index, module, def, names.skip(skip).collect(), MAX_DEPTH, &mut BTreeSet::new())
}

/// Functions that were followed, and for which of their parameters: once each.
type Seen<'a> = BTreeSet<(usize, Vec<&'a str>)>;

fn follow<'a>(
    index: &Index<'a>,
    module: &'a Module<'a>,
    def: &'a StmtFunctionDef,
    tainted: HashSet<&'a str>,
    depth: u32,
    seen: &mut Seen<'a>,
) -> Option<Reached> {
    let mut parameters: Vec<&str> = tainted.iter().copied().collect();
    parameters.sort_unstable();
    if !seen.insert((std::ptr::from_ref(def) as usize, parameters)) {
        return None;
    }
    let mut walk = Walk { index, module, tainted, depth, found: None, local: HashMap::new(), seen };
    def.body.iter().for_each(|s| walk.visit_stmt(s));
    walk.found.map(|mut found| {
        found.evidence = format!("{} -> {}", def.name, found.evidence);
        found
    })
}

struct Walk<'s, 'i, 'a> {
    seen: &'s mut Seen<'a>,
    index: &'i Index<'a>,
    module: &'a Module<'a>,
    tainted: HashSet<&'a str>,
    depth: u32,
    found: Option<Reached>,
    local: HashMap<&'a str, String>,
}

impl<'a> Walk<'_, '_, 'a> {
    /// Is the value one that the caller gave, perhaps changed a little?
    fn is_tainted(&self, expr: &Expr) -> bool {
        const KEEPS: [&str; 7] = ["strip", "encode", "decode", "format", "replace", "read", "split"];
        const MADE_OF: [&str; 8] =
            ["str", "bytes", "list", "tuple", "io.BytesIO", "BytesIO", "shlex.split", "open"];
        match expr {
            Expr::Name(n) => self.tainted.contains(n.id.as_str()),
            Expr::BinOp(b) => self.is_tainted(&b.left) || self.is_tainted(&b.right),
            Expr::Subscript(s) => self.is_tainted(&s.value),
            Expr::Tuple(t) => t.elts.iter().any(|e| self.is_tainted(e)),
            Expr::List(l) => l.elts.iter().any(|e| self.is_tainted(e)),
            Expr::Call(call) => {
                let (of_given, joined) = match &*call.func {
                    Expr::Attribute(a) => (
                        self.is_tainted(&a.value) && KEEPS.contains(&a.attr.as_str()),
                        a.attr.as_str() == "join",
                    ),
                    _ => (false, false),
                };
                let made = joined || dotted(&call.func).is_some_and(|d| MADE_OF.contains(&d.as_str()));
                of_given || made && call.arguments.args.iter().any(|a| self.is_tainted(a))
            }
            _ => false,
        }
    }

    fn call(&mut self, call: &'a ExprCall) {
        let given: Vec<bool> = call.arguments.args.iter().map(|a| self.is_tainted(a)).collect();
        if !given.contains(&true) {
            return;
        }
        let text = dotted(&call.func).unwrap_or_default();
        let (first, rest) = text.split_once('.').map_or((text.as_str(), None), |(f, r)| (f, Some(r)));
        if self.tainted.contains(first) {
            return;
        }
        let meanings = match self.local.get(first) {
            Some(target) => {
                vec![Meaning::Outside(rest.map_or(target.clone(), |r| format!("{target}.{r}")))]
            }
            None => self.index.resolve(self.module, &call.func),
        };
        // A name with several meanings is not sure.
        let [meaning] = meanings.as_slice() else { return };
        if let Some(name) = full_name(meaning)
            && given[0]
            // Compiling alone runs nothing (`ast.parse`); running what it makes is found by itself.
            && name != "builtins.compile"
            && let Some(effect) = sink(&name).filter(|e| NAMED.contains(e))
        {
            self.found = Some(Reached { effect, evidence: name });
            return;
        }
        if let Meaning::Here(Place::Function(module, def)) = meaning
            && module.library == 0
            && self.depth > 0
        {
            let names = def.parameters.posonlyargs.iter().chain(&def.parameters.args);
            let tainted = names.zip(&given).filter(|(_, g)| **g).map(|(p, _)| p.parameter.name.as_str());
            self.found = follow(self.index, module, def, tainted.collect(), self.depth - 1, self.seen);
        }
    }
}

impl<'a> Visitor<'a> for Walk<'_, '_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        if self.found.is_some() {
            return;
        }
        match stmt {
            // Defined, not called.
            Stmt::FunctionDef(s) => {
                self.local.insert(s.name.as_str(), "here".into());
            }
            Stmt::ClassDef(_) => {}
            Stmt::Import(s) => {
                for name in &s.names {
                    let module = name.name.as_str();
                    let top = module.split('.').next().unwrap_or(module);
                    match &name.asname {
                        Some(alias) => self.local.insert(alias.as_str(), module.into()),
                        None => self.local.insert(top, top.into()),
                    };
                }
            }
            Stmt::ImportFrom(s) => {
                let module = s.module.as_ref().filter(|_| s.level == 0);
                for name in &s.names {
                    let alias = name.asname.as_ref().unwrap_or(&name.name).as_str();
                    let from = module.map_or("here", |m| m.as_str());
                    self.local.insert(alias, format!("{from}.{}", name.name));
                }
            }
            Stmt::Assign(s) => {
                walk_stmt(self, stmt);
                let tainted = self.is_tainted(&s.value);
                for target in &s.targets {
                    if let Expr::Name(n) = target {
                        match tainted {
                            true => self.tainted.insert(n.id.as_str()),
                            false => self.tainted.remove(n.id.as_str()),
                        };
                    }
                }
            }
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if self.found.is_some() {
            return;
        }
        if let Expr::Call(call) = expr {
            self.call(call);
        }
        if !matches!(expr, Expr::Lambda(_)) && self.found.is_none() {
            walk_expr(self, expr);
        }
    }

    fn visit_annotation(&mut self, _: &'a Expr) {}
}
