//! Names to definitions, across the modules of a library and of those it depends on.
//!
//! Modules are parsed when first asked for. A name resolves to every definition that any branch of its module binds;
//! what cannot be resolved stays visible as such.

use crate::builtins;
use crate::library::Library;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use typed_arena::Arena;
use wb_python::ast::{ExceptHandler, Expr, ModModule, Stmt, StmtClassDef, StmtFunctionDef};
use wb_python::{Binding, Limits, Symbols, TextSize, absolute, package_of};

/// What the index keeps for as long as it is used.
#[derive(Default)]
pub struct Space<'a> {
    trees: Arena<ModModule>,
    modules: Arena<Module<'a>>,
    classes: Arena<Class<'a>>,
}

/// One parsed module.
pub struct Module<'a> {
    /// Dotted name.
    pub name: &'a str,
    /// Where relative imports start.
    pub package: &'a str,
    /// Index of the library it is from.
    pub library: usize,
    /// Its statements.
    pub tree: &'a ModModule,
    /// What it binds.
    pub symbols: Symbols<'a>,
    /// `from other import *` at its top level, by place: what comes later binds anew what was bound before.
    pub late_stars: Vec<(TextSize, String)>,
}

/// One class.
pub struct Class<'a> {
    /// The module that defines it.
    pub module: &'a Module<'a>,
    /// Name inside the module, dotted if nested.
    pub name: String,
    /// Its definition.
    pub def: &'a StmtClassDef,
    /// What its body binds.
    pub body: Symbols<'a>,
}

impl Class<'_> {
    /// `module.name`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.module.name, self.name)
    }
}

/// What a name stands for.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// A class of an indexed module.
    Class(&'a Class<'a>),
    /// A function of an indexed module.
    Function(&'a Module<'a>, &'a StmtFunctionDef),
    /// The value of an expression of an indexed module.
    Value(&'a Module<'a>, &'a Expr),
}

/// One meaning of a name.
#[derive(Clone)]
pub enum Meaning<'a> {
    /// Something written in an indexed module.
    Here(Place<'a>),
    /// A module, indexed or not.
    Module(String),
    /// A name of a module that is not indexed, or is not written in Python: `numpy.ndarray`, `builtins.dict`.
    Outside(String),
    /// Not known.
    Dynamic,
}

/// All modules.
pub struct Index<'a> {
    space: &'a Space<'a>,
    libraries: &'a [&'a Library],
    /// Modules looked up so far; `None` was not found or not parsed.
    modules: RefCell<HashMap<String, Option<&'a Module<'a>>>>,
    classes: RefCell<HashMap<usize, &'a Class<'a>>>,
    failed: RefCell<BTreeSet<String>>,
    /// How many names the look-up under way may still ask for: aliases of aliases multiply.
    fuel: Cell<u32>,
    /// Names whose bindings are being looked through.
    active: RefCell<Vec<(&'a str, String)>>,
    known_as: HashMap<&'a str, usize>,
}

/// Statements that import all names of another module when the module is imported.
fn stars_in(body: &[Stmt], package: &str, out: &mut Vec<(TextSize, String)>) {
    for stmt in body {
        match stmt {
            Stmt::ImportFrom(s) if s.names.iter().any(|n| n.name.as_str() == "*") => {
                out.extend(absolute(package, s.level, s.module.as_deref()).map(|m| (s.range.start(), m)));
            }
            Stmt::If(s) => {
                stars_in(&s.body, package, out);
                s.elif_else_clauses.iter().for_each(|c| stars_in(&c.body, package, out));
            }
            Stmt::Try(s) => {
                stars_in(&s.body, package, out);
                for ExceptHandler::ExceptHandler(h) in &s.handlers {
                    stars_in(&h.body, package, out);
                }
                stars_in(&s.orelse, package, out);
                stars_in(&s.finalbody, package, out);
            }
            Stmt::With(s) => stars_in(&s.body, package, out),
            Stmt::For(s) => stars_in(&s.body, package, out),
            Stmt::While(s) => stars_in(&s.body, package, out),
            _ => {}
        }
    }
}

/// How many names one look-up may ask for.
const FUEL: u32 = 2_000;
/// How many steps an import or alias may take.
const MAX_STEPS: u32 = 24;

impl<'a> Index<'a> {
    /// An index over `libraries`; where two have a module of one name, the first one's counts.
    pub fn new(space: &'a Space<'a>, libraries: &'a [&'a Library]) -> Self {
        let mut known_as = HashMap::new();
        for (number, library) in libraries.iter().enumerate().rev() {
            known_as.extend(library.sources.keys().map(|m| (m.as_str(), number)));
        }
        Self {
            space,
            libraries,
            modules: RefCell::default(),
            classes: RefCell::default(),
            failed: RefCell::default(),
            fuel: Cell::new(FUEL),
            active: RefCell::default(),
            known_as,
        }
    }

    /// True for a module of the first library that is written in Python.
    pub fn is_subject(&self, name: &str) -> bool {
        self.known_as.get(name) == Some(&0)
    }

    /// A module, parsed; `None` if it is not indexed, not written in Python, or not parsed.
    pub fn module(&self, name: &str) -> Option<&'a Module<'a>> {
        if let Some(found) = self.modules.borrow().get(name) {
            return *found;
        }
        let module = self.known_as.get_key_value(name).and_then(|(&name, &library)| {
            let source = &self.libraries[library].sources[name];
            match wb_python::parse(&source.text, &Limits::default()) {
                Ok(tree) => {
                    let tree: &'a ModModule = self.space.trees.alloc(tree);
                    let package = package_of(name, source.is_package);
                    let symbols = Symbols::of(package, &tree.body);
                    let mut late_stars = Vec::new();
                    if !symbols.stars.is_empty() {
                        stars_in(&tree.body, package, &mut late_stars);
                    }
                    let module = Module { name, package, library, tree, symbols, late_stars };
                    Some(&*self.space.modules.alloc(module))
                }
                Err(e) => {
                    self.failed.borrow_mut().insert(format!("{name}: {e}"));
                    None
                }
            }
        });
        self.modules.borrow_mut().insert(name.to_string(), module);
        module
    }

    /// True if `name` is a module of an indexed library, parsed or compiled.
    pub fn is_module(&self, name: &str) -> bool {
        self.known_as.contains_key(name) || self.libraries.iter().any(|l| l.compiled.contains(name))
    }

    /// Sources that were not parsed, and why.
    pub fn failures(&self) -> Vec<String> {
        self.failed.borrow().iter().cloned().collect()
    }

    /// The class of a definition.
    pub fn class(
        &self,
        module: &'a Module<'a>,
        outer: Option<&Class<'a>>,
        def: &'a StmtClassDef,
    ) -> &'a Class<'a> {
        let key = std::ptr::from_ref(def) as usize;
        if let Some(found) = self.classes.borrow().get(&key) {
            return found;
        }
        let name = match outer {
            Some(outer) => format!("{}.{}", outer.name, def.name),
            None => def.name.to_string(),
        };
        let body = Symbols::of(module.package, &def.body);
        let class: &'a Class<'a> = self.space.classes.alloc(Class { module, name, def, body });
        self.classes.borrow_mut().insert(key, class);
        class
    }

    /// Everything `name` can mean in `module`.
    pub fn lookup(&self, module: &str, name: &str) -> Vec<Meaning<'a>> {
        let mut out = Vec::new();
        self.fuel.set(FUEL);
        self.find(module, name, MAX_STEPS, &mut out);
        if out.is_empty() {
            out.push(Meaning::Dynamic);
        }
        out
    }

    fn find(&self, module_name: &str, name: &str, steps: u32, out: &mut Vec<Meaning<'a>>) {
        let fuel = self.fuel.get();
        if steps == 0 || fuel == 0 {
            return out.push(Meaning::Dynamic);
        }
        self.fuel.set(fuel - 1);
        let Some(module) = self.module(module_name) else {
            let submodule = format!("{module_name}.{name}");
            return out.push(match self.is_module(&submodule) {
                true => Meaning::Module(submodule),
                false => Meaning::Outside(submodule),
            });
        };
        if let Some(bindings) = module.symbols.names.get(name) {
            // `str = str`: what it was before.
            if self.active.borrow().iter().any(|(m, n)| *m == module.name && n == name) {
                return out.push(match builtins::is_builtin(name) {
                    true => Meaning::Outside(format!("builtins.{name}")),
                    false => Meaning::Dynamic,
                });
            }
            self.active.borrow_mut().push((module.name, name.to_string()));
            for binding in bindings {
                self.binding(module, None, binding, steps, out);
                let at = match binding {
                    Binding::Class(def) => def.range.end(),
                    Binding::Function(def) => def.range.end(),
                    _ => continue,
                };
                for (_, star) in module.late_stars.iter().filter(|(place, _)| *place > at) {
                    match self.module(star) {
                        Some(other) if self.binds(other, name, &mut BTreeSet::new()) => {
                            self.find(star, name, steps - 1, out)
                        }
                        Some(_) => {}
                        None => out.push(Meaning::Outside(format!("{star}.{name}"))),
                    }
                }
            }
            self.active.borrow_mut().pop();
            return;
        }
        let submodule = format!("{module_name}.{name}");
        if self.is_module(&submodule) {
            return out.push(Meaning::Module(submodule));
        }
        for star in &module.symbols.stars {
            match self.module(star) {
                Some(other) if self.binds(other, name, &mut BTreeSet::new()) => {
                    return self.find(star, name, steps - 1, out);
                }
                Some(_) => {}
                // Whatever a compiled or foreign module hands over.
                None if !builtins::is_builtin(name) => out.push(Meaning::Outside(format!("{star}.{name}"))),
                None => {}
            }
        }
        if out.is_empty() && builtins::is_builtin(name) {
            out.push(Meaning::Outside(format!("builtins.{name}")));
        }
    }

    fn binds(&self, module: &'a Module<'a>, name: &str, seen: &mut BTreeSet<&'a str>) -> bool {
        seen.insert(module.name)
            && (module.symbols.names.contains_key(name)
                || module.symbols.stars.iter().any(|star| match self.module(star) {
                    Some(other) => self.binds(other, name, seen),
                    None => false,
                }))
    }

    /// The meaning of one binding.
    fn binding(
        &self,
        module: &'a Module<'a>,
        class: Option<&Class<'a>>,
        binding: &Binding<'a>,
        steps: u32,
        out: &mut Vec<Meaning<'a>>,
    ) {
        match binding {
            Binding::Module(name) => out.push(Meaning::Module(name.clone())),
            Binding::From { module: from, attribute } => {
                if from == module.name {
                    // `from . import sub` in a package.
                    let submodule = format!("{from}.{attribute}");
                    return out.push(match self.is_module(&submodule) {
                        true => Meaning::Module(submodule),
                        false => Meaning::Dynamic,
                    });
                }
                self.find(from, attribute, steps - 1, out);
            }
            Binding::Class(def) => out.push(Meaning::Here(Place::Class(self.class(module, class, def)))),
            Binding::Function(def) => out.push(Meaning::Here(Place::Function(module, def))),
            Binding::Value(expr @ (Expr::Name(_) | Expr::Attribute(_))) => {
                let mut alias = Vec::new();
                // Inside a class body names are those of the class first; that is left to the caller.
                self.expression(module, expr, steps - 1, &mut alias);
                match alias.iter().all(|m| matches!(m, Meaning::Dynamic)) {
                    true => out.push(Meaning::Here(Place::Value(module, expr))),
                    false => out.extend(alias),
                }
            }
            Binding::Value(expr) => out.push(Meaning::Here(Place::Value(module, expr))),
            Binding::Dynamic => out.push(Meaning::Dynamic),
        }
    }

    /// Everything an expression of names and attributes can mean in `module`.
    pub fn resolve(&self, module: &'a Module<'a>, expr: &'a Expr) -> Vec<Meaning<'a>> {
        let mut out = Vec::new();
        self.fuel.set(FUEL);
        self.expression(module, expr, MAX_STEPS, &mut out);
        if out.is_empty() {
            out.push(Meaning::Dynamic);
        }
        out
    }

    fn expression(&self, module: &'a Module<'a>, expr: &'a Expr, steps: u32, out: &mut Vec<Meaning<'a>>) {
        if steps == 0 {
            return out.push(Meaning::Dynamic);
        }
        match expr {
            Expr::Name(n) => self.find(module.name, n.id.as_str(), steps - 1, out),
            Expr::Attribute(a) => {
                let mut owners = Vec::new();
                self.expression(module, &a.value, steps - 1, &mut owners);
                for owner in owners {
                    self.attribute(&owner, a.attr.as_str(), steps - 1, out);
                }
            }
            _ => out.push(Meaning::Dynamic),
        }
    }

    /// What `owner.name` can mean.
    pub fn attribute(&self, owner: &Meaning<'a>, name: &str, steps: u32, out: &mut Vec<Meaning<'a>>) {
        match owner {
            Meaning::Module(module) => self.find(module, name, steps, out),
            Meaning::Outside(outside) => out.push(Meaning::Outside(format!("{outside}.{name}"))),
            Meaning::Here(Place::Class(class)) => match class.body.names.get(name) {
                Some(bindings) if steps > 0 => {
                    bindings.iter().for_each(|b| self.binding(class.module, Some(class), b, steps - 1, out));
                }
                _ => out.push(Meaning::Dynamic),
            },
            _ => out.push(Meaning::Dynamic),
        }
    }
}
