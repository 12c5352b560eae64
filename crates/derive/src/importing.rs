//! What importing a module does.
//!
//! Nothing of the stream's is in play then: the library runs its own statements with its own values. So the question
//! is narrower than for a method: is a function called that starts processes, talks to the network, changes files,
//! loads foreign code or runs text? Calls are followed into the library; imports are followed within it. Modules of
//! other distributions are judged with those; modules in C are the library's own.

use crate::calls::full_name;
use crate::index::{Index, Meaning, Module, Place};
use crate::sinks::sink;
use std::cell::RefCell;
use std::collections::HashMap;
use wb_python::ast::visitor::{Visitor, walk_expr, walk_stmt};
use wb_python::ast::{Expr, ExprCall, Stmt, StmtFunctionDef};
use wb_python::{absolute, dotted};

/// How deep calls are followed.
const MAX_DEPTH: u32 = 6;

/// Modules that do one of these things at import with nothing but their own values: effect and the end of the name.
const REVIEWED: &[(&str, &str)] = &[
    // Python 2 and 3 in one source: `exec_` and the like are made from text.
    ("code", "six"),
    ("code", "torch._six"),
    ("code", "pandas.compat"),
    ("code", "cloudpickle.cloudpickle"),
    // One name of another module each.
    ("code", "array_api_compat._internal"),
    ("code", "array_api_compat.common._helpers"),
    // Functions that only differ in a name.
    ("code", "torch._prims.nvfuser_prims"),
    ("code", "pandas.core.groupby.generic"),
    // `register_func(name, eval(name))` for a few names of its own.
    ("code", "scipy.linalg"),
    ("code", "scipy.fft"),
    ("code", "scipy.fftpack"),
    // The package itself, under its own name.
    ("code", "transformers.utils.import_utils"),
    ("code", "transformers.utils"),
    ("code", "transformers.file_utils"),
    // A module written from a template of its own into a new folder, and imported.
    ("code", "torch.distributed.nn.jit.instantiator"),
    // `open(os.devnull, "w")` where there is no standard error.
    ("file", "transformers.utils.logging"),
    ("file", "diffusers.utils.logging"),
    // Their own caches: moved to a new place, or made.
    ("file", "transformers.utils.hub"),
    ("file", "transformers.file_utils"),
    ("file", "torch._inductor.runtime.cache_dir_utils"),
    ("file", "torch._inductor.runtime.runtime_utils"),
    ("file", "torch.distributed.nn.jit.instantiator"),
];

/// The answers so far.
pub struct Imports<'i, 'a> {
    index: &'i Index<'a>,
    /// `None` while it is being worked out: a circle adds nothing.
    known: RefCell<HashMap<String, Option<Result<(), String>>>>,
    /// What calling a function does, by address; `None` while it is being worked out.
    functions: RefCell<HashMap<usize, Option<Result<(), String>>>>,
}

impl<'i, 'a> Imports<'i, 'a> {
    /// Over an index.
    pub fn new(index: &'i Index<'a>) -> Self {
        Self { index, known: RefCell::default(), functions: RefCell::default() }
    }

    /// Fails with what importing `name` does.
    pub fn check(&self, name: &str) -> Result<(), String> {
        let mut at = 0;
        while let Some(dot) = name[at..].find('.') {
            self.one(&name[..at + dot])?;
            at += dot + 1;
        }
        self.one(name)
    }

    fn one(&self, name: &str) -> Result<(), String> {
        if let Some(known) = self.known.borrow().get(name) {
            return known.clone().unwrap_or(Ok(()));
        }
        // Another distribution's, or a module in C.
        if !self.index.is_subject(name) {
            return Ok(());
        }
        let Some(module) = self.index.module(name) else {
            return Err(format!("{name} is not parsed"));
        };
        self.known.borrow_mut().insert(name.to_string(), None);
        let mut walk = Walk { imports: self, module, depth: 0, wrong: None, local: HashMap::new() };
        for stmt in &module.tree.body {
            walk.visit_stmt(stmt);
        }
        let result = walk.wrong.map_or(Ok(()), |wrong| Err(format!("importing {name} {wrong}")));
        self.known.borrow_mut().insert(name.to_string(), Some(result.clone()));
        result
    }
}

struct Walk<'w, 'i, 'a> {
    imports: &'w Imports<'i, 'a>,
    module: &'a Module<'a>,
    depth: u32,
    wrong: Option<String>,
    /// What functions and class bodies import, by the name it gets there.
    local: HashMap<&'a str, String>,
}

impl<'a> Walk<'_, '_, 'a> {
    fn import(&mut self, name: &str) {
        if let Err(e) = self.imports.check(name) {
            self.wrong.get_or_insert(e);
        }
    }

    fn meanings(&self, callee: &'a Expr) -> Vec<Meaning<'a>> {
        let index = self.imports.index;
        let mut all = index.resolve(self.module, callee);
        let text = dotted(callee).unwrap_or_default();
        let (first, rest) = text.split_once('.').map_or((text.as_str(), None), |(f, r)| (f, Some(r)));
        if let Some(target) = self.local.get(first) {
            let full = rest.map_or(target.clone(), |rest| format!("{target}.{rest}"));
            match full.rsplit_once('.') {
                Some((module, name)) => all.extend(index.lookup(module, name)),
                None => all.push(Meaning::Module(full.clone())),
            }
            all.push(Meaning::Outside(full));
        }
        all
    }

    fn call(&mut self, call: &'a ExprCall) {
        for meaning in self.meanings(&call.func) {
            if let Some(name) = full_name(&meaning) {
                let writes = name == "builtins.open" && !reads_only(call);
                if let Some(effect) = sink(&name).or(writes.then_some("file"))
                    && !self.is_reviewed(effect)
                {
                    self.wrong.get_or_insert(format!("calls {name} ({effect})"));
                }
            }
            match meaning {
                Meaning::Here(Place::Function(module, def)) => self.enter(module, def),
                Meaning::Here(Place::Class(class)) => {
                    for name in ["__new__", "__init__"] {
                        for binding in class.body.names.get(name).into_iter().flatten() {
                            if let wb_python::Binding::Function(def) = binding {
                                self.enter(class.module, def);
                            }
                        }
                    }
                }
                Meaning::Dynamic => {
                    const TELLING: [&str; 12] = [
                        "system",
                        "popen",
                        "Popen",
                        "check_output",
                        "check_call",
                        "urlopen",
                        "urlretrieve",
                        "write_text",
                        "write_bytes",
                        "rmtree",
                        "exec_module",
                        "load_module",
                    ];
                    if let Expr::Attribute(a) = &*call.func
                        && TELLING.contains(&a.attr.as_str())
                        && !(a.attr.ends_with("_module") && self.is_reviewed("code"))
                    {
                        self.wrong.get_or_insert(format!("calls something's {}", a.attr));
                    }
                }
                _ => {}
            }
        }
    }

    /// Compiled parts are loaded when a library is imported. A few modules compile text of their own or touch files of
    /// their own; they were read.
    fn is_reviewed(&self, effect: &str) -> bool {
        let name = self.module.name;
        let is = |m: &str| name == m || name.strip_suffix(m).is_some_and(|rest| rest.ends_with('.'));
        effect == "native" || REVIEWED.iter().any(|(e, m)| *e == effect && is(m))
    }

    fn enter(&mut self, module: &'a Module<'a>, def: &'a StmtFunctionDef) {
        if module.library != 0 || self.depth >= MAX_DEPTH || self.wrong.is_some() {
            return;
        }
        let key = std::ptr::from_ref(def) as usize;
        let known = self.imports.functions.borrow().get(&key).cloned();
        let result = match known {
            Some(known) => known.unwrap_or(Ok(())),
            None => {
                self.imports.functions.borrow_mut().insert(key, None);
                let local = HashMap::new();
                let mut walk =
                    Walk { imports: self.imports, module, depth: self.depth + 1, wrong: None, local };
                def.body.iter().for_each(|s| walk.visit_stmt(s));
                let result =
                    walk.wrong.map_or(Ok(()), |wrong| Err(format!("calls {}, which {wrong}", def.name)));
                self.imports.functions.borrow_mut().insert(key, Some(result.clone()));
                result
            }
        };
        self.wrong = result.err();
    }
}

impl<'a> Visitor<'a> for Walk<'_, '_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        if self.wrong.is_some() {
            return;
        }
        match stmt {
            // Defined, not called.
            Stmt::FunctionDef(def) => {
                def.decorator_list.iter().for_each(|d| self.visit_decorator(d));
                for parameter in def.parameters.iter_non_variadic_params() {
                    if let Some(default) = parameter.default() {
                        self.visit_expr(default);
                    }
                }
            }
            Stmt::If(s) if is_never_at_import(&s.test) => {
                s.elif_else_clauses.iter().for_each(|c| c.body.iter().for_each(|s| self.visit_stmt(s)));
            }
            Stmt::Import(s) => {
                for name in &s.names {
                    self.import(name.name.as_str());
                    let module = name.name.as_str();
                    let top = module.split('.').next().unwrap_or(module);
                    match &name.asname {
                        Some(alias) => self.local.insert(alias.as_str(), module.to_string()),
                        None => self.local.insert(top, top.to_string()),
                    };
                }
            }
            Stmt::ImportFrom(s) => {
                if let Some(module) = absolute(self.module.package, s.level, s.module.as_deref()) {
                    self.import(&module);
                    for name in &s.names {
                        let submodule = format!("{module}.{}", name.name);
                        let alias = name.asname.as_ref().unwrap_or(&name.name).as_str();
                        self.local.insert(alias, submodule.clone());
                        if self.imports.index.is_module(&submodule) {
                            self.import(&submodule);
                        }
                    }
                }
            }
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if self.wrong.is_some() {
            return;
        }
        match expr {
            Expr::Lambda(_) => {}
            Expr::Call(call) => {
                self.call(call);
                walk_expr(self, expr);
            }
            _ => walk_expr(self, expr),
        }
    }

    fn visit_annotation(&mut self, _: &'a Expr) {}
}

fn is_never_at_import(test: &Expr) -> bool {
    match test {
        Expr::Compare(c) => {
            matches!(&*c.left, Expr::Name(n) if n.id.as_str() == "__name__")
                && matches!(&c.comparators[..], [Expr::StringLiteral(s)] if s.value.to_str() == "__main__")
        }
        other => dotted(other).is_some_and(|d| d == "TYPE_CHECKING" || d.ends_with(".TYPE_CHECKING")),
    }
}

/// `open(path)`, `open(path, "r")`.
fn reads_only(call: &ExprCall) -> bool {
    let mode = call.arguments.find_argument_value("mode", 1);
    match mode {
        None => true,
        Some(Expr::StringLiteral(s)) => !s.value.to_str().contains(['w', 'a', 'x', '+']),
        Some(_) => false,
    }
}
