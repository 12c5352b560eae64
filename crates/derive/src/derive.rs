//! All names of a library, judged.

use crate::classes::Patches;
use crate::danger::{Reached, reached};
use crate::follow::World;
use crate::importing::Imports;
use crate::index::{Class, Index, Meaning, Module, Place, Space};
use crate::library::Library;
use crate::prove::{Condition, Uses, class_uses, function_uses};
use std::collections::{BTreeMap, BTreeSet};
use wb_python::Binding;
use wb_python::ast::visitor::{Visitor, walk_expr, walk_stmt};
use wb_python::ast::{Expr, Stmt};

/// What was proved of one name in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Harmless uses, in the words of the catalogue, sorted as it has them.
    pub uses: Vec<&'static str>,
    /// Any arguments will do; otherwise literals.
    pub any: bool,
    /// The same, but for a call.
    pub others_any: bool,
    /// Keys of the state at which it must hold literals; `*`: all keys must be texts.
    pub keys: Vec<String>,
    /// The state must be a dict.
    pub dict: bool,
}

/// The outcome for one library.
#[derive(Debug, Default)]
pub struct Derived {
    /// By module and name; `None` where the name exists and nothing is proved.
    pub rows: BTreeMap<(String, String), Option<Row>>,
    /// Why a use is not proved: module, name, use, reason.
    pub refused: Vec<(String, String, &'static str, String)>,
    /// What a caller's argument reaches, by module and name.
    pub dangers: BTreeMap<(String, String), Reached>,
    /// Sources that were not parsed.
    pub failures: Vec<String>,
    /// Names that are bound and not defined here: what they stand for in the library, as module and name; empty if
    /// that is not known.
    pub aliases: BTreeMap<(String, String), Vec<(String, String)>>,
    /// All modules, and what a name can be there that no statement binds.
    pub modules: BTreeMap<String, Unbound>,
}

/// What a name can be that no statement of its module binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unbound {
    /// Nothing: importing it fails.
    Nothing,
    /// What the module's `__getattr__` hands over: something of the library.
    Lazy,
    /// Anything: the module is compiled, not parsed, or imports all names of such a one.
    Anything,
}

/// Stack of the thread that follows code: syntax trees are at most [`wb_python::Limits`] deep, calls 16.
const STACK: usize = 512 << 20;

/// Judges every class and function of the first library; the others are what it is built on.
///
/// # Errors
/// When no thread can be started, or the walk died.
pub fn derive(libraries: &[&Library]) -> Result<Derived, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, || {
                let space = Space::default();
                judge(&space, libraries)
            })
            .map_err(|e| format!("cannot start a thread: {e}"))?;
        thread.join().map_err(|_| "the walk through the sources died".to_string())
    })
}

fn judge<'a>(space: &'a Space<'a>, libraries: &'a [&'a Library]) -> Derived {
    let index = Index::new(space, libraries);
    let Some(subject) = libraries.first() else { return Derived::default() };
    let mut patches = Patches::default();
    let modules: Vec<&'a Module<'a>> = subject.sources.keys().filter_map(|name| index.module(name)).collect();
    for module in &modules {
        patches.read(&index, module);
    }
    let world = World::new(&index, patches);
    let imports = Imports::new(&index);
    let mut out = Derived::default();
    let rebuilders = rebuilders(&modules);
    let compiled = subject.compiled.iter().chain(subject.sources.keys());
    out.modules = compiled.map(|m| (m.clone(), Unbound::Anything)).collect();
    for module in modules {
        let importable = match (imports.check(module.name), replaces_itself(module)) {
            (Ok(()), false) => Ok(()),
            (Ok(()), true) => Err(format!("{} replaces itself", module.name)),
            (Err(e), _) => Err(e),
        };
        let mut names: Vec<&str> = module.symbols.names.keys().copied().collect();
        names.sort_unstable();
        for name in names {
            let bindings = &module.symbols.names[name];
            let defines = |b: &Binding<'_>| matches!(b, Binding::Class(_) | Binding::Function(_));
            if !bindings.iter().any(defines) {
                out.aliases.insert((module.name.to_string(), name.to_string()), homes(&index, module, name));
                continue;
            }
            if let Some(found) = danger(&index, module, bindings) {
                out.dangers.insert((module.name.to_string(), name.to_string()), found);
            }
            if let Err(e) = &importable {
                out.rows.insert((module.name.to_string(), name.to_string()), None);
                out.refused.push((module.name.to_string(), name.to_string(), "all", e.clone()));
                continue;
            }
            let meanings = index.lookup(module.name, name);
            one(&world, &imports, module, name, &meanings, &mut out);
            // Functions that no class names when it is pickled are not called by honest streams.
            if let Some(Some(row)) = out.rows.get_mut(&(module.name.to_string(), name.to_string()))
                && row.uses == ["call"]
                && bindings.iter().any(|b| matches!(b, Binding::Function(_)))
                && !rebuilders.contains(name)
            {
                out.rows.insert((module.name.to_string(), name.to_string()), None);
            }
        }
        let mut stars = BTreeSet::new();
        let unbound = match starred(&index, module, &mut BTreeSet::new(), &mut stars) {
            _ if module.symbols.names.contains_key("__getattr__") => Unbound::Lazy,
            true => Unbound::Nothing,
            false => Unbound::Anything,
        };
        out.modules.insert(module.name.to_string(), unbound);
        for name in stars {
            if !module.symbols.names.contains_key(name) {
                out.aliases.insert((module.name.to_string(), name.to_string()), homes(&index, module, name));
            }
        }
    }
    out.failures = index.failures();
    out
}

/// What a name that is not defined in its module stands for; nothing if that is not all of the same library.
fn homes<'a>(index: &Index<'a>, module: &'a Module<'a>, name: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let computed = |b: &Binding<'_>| match b {
        Binding::Value(expr) => !matches!(expr, Expr::NoneLiteral(_)),
        Binding::Dynamic => true,
        _ => false,
    };
    if module.symbols.names.get(name).is_some_and(|all| all.iter().any(computed)) {
        return out;
    }
    for meaning in index.lookup(module.name, name) {
        match meaning {
            Meaning::Here(Place::Class(c)) if c.module.library == 0 => {
                out.push((c.module.name.to_string(), c.name.clone()));
            }
            Meaning::Here(Place::Function(m, def)) if m.library == 0 => {
                out.push((m.name.to_string(), def.name.to_string()));
            }
            // Bound to nothing where an import failed.
            Meaning::Here(Place::Value(_, wb_python::ast::Expr::NoneLiteral(_))) => {}
            _ => return Vec::new(),
        }
    }
    out
}

/// Collects what `from … import *` brings; false if some of it is not known.
fn starred<'a>(
    index: &Index<'a>,
    module: &'a Module<'a>,
    seen: &mut BTreeSet<&'a str>,
    out: &mut BTreeSet<&'a str>,
) -> bool {
    if !seen.insert(module.name) {
        return true;
    }
    let mut all = true;
    for star in &module.symbols.stars {
        match index.module(star) {
            Some(other) => {
                out.extend(other.symbols.names.keys().copied());
                all &= starred(index, other, seen, out) && !other.symbols.names.contains_key("__getattr__");
            }
            None => all = false,
        }
    }
    all
}

/// Names that methods and functions which pickle something mention.
fn rebuilders<'a>(modules: &[&'a Module<'a>]) -> BTreeSet<&'a str> {
    let mut found = Rebuilders { names: BTreeSet::new(), inside: false };
    for module in modules {
        module.tree.body.iter().for_each(|s| found.visit_stmt(s));
    }
    found.names
}

struct Rebuilders<'a> {
    names: BTreeSet<&'a str>,
    inside: bool,
}

impl<'a> Visitor<'a> for Rebuilders<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        let before = self.inside;
        if let Stmt::FunctionDef(def) = stmt {
            let name = def.name.as_str();
            self.inside |= name.contains("reduce") || name.contains("pickle");
            if ["_rebuild", "_reconstruct", "_unpickle", "_restore"].iter().any(|p| name.starts_with(p)) {
                self.names.insert(name);
            }
        }
        walk_stmt(self, stmt);
        self.inside = before;
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        let before = self.inside;
        match expr {
            Expr::Name(n) if self.inside => drop(self.names.insert(n.id.as_str())),
            Expr::Attribute(a) if self.inside => drop(self.names.insert(a.attr.as_str())),
            // `copyreg.pickle(Class, function)`
            Expr::Call(c) => {
                self.inside |= wb_python::dotted(&c.func).is_some_and(|d| d.ends_with(".pickle"))
            }
            _ => {}
        }
        walk_expr(self, expr);
        self.inside = before;
    }
}

/// What the function of this name, or making an instance of the class, does with an argument.
fn danger<'a>(index: &Index<'a>, module: &'a Module<'a>, bindings: &[Binding<'a>]) -> Option<Reached> {
    match bindings {
        [Binding::Function(def)] if def.decorator_list.is_empty() => reached(index, module, def, 0),
        [Binding::Class(def)] => {
            let class = index.class(module, None, def);
            match class.body.names.get("__init__").map(Vec::as_slice) {
                Some([Binding::Function(def)]) => reached(index, module, def, 1),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `sys.modules[__name__] = …`
fn replaces_itself(module: &Module<'_>) -> bool {
    use wb_python::ast::{Expr, Stmt};
    fn in_block(body: &[Stmt]) -> bool {
        body.iter().any(|stmt| match stmt {
            Stmt::Assign(s) => s.targets.iter().any(|t| {
                matches!(t, Expr::Subscript(s) if wb_python::dotted(&s.value).is_some_and(|d| d.ends_with("sys.modules")))
            }),
            Stmt::If(s) => in_block(&s.body) || s.elif_else_clauses.iter().any(|c| in_block(&c.body)),
            Stmt::Try(s) => in_block(&s.body) || in_block(&s.orelse),
            _ => false,
        })
    }
    in_block(&module.tree.body)
}

fn one<'a>(
    world: &World<'_, 'a>,
    imports: &Imports<'_, 'a>,
    module: &'a Module<'a>,
    name: &str,
    meanings: &[Meaning<'a>],
    out: &mut Derived,
) {
    let mut worst: Option<Row> = None;
    for meaning in meanings {
        let (uses, is_class) = match meaning {
            Meaning::Here(Place::Class(class)) => {
                nested(world, imports, module, class, out);
                (class_uses(world, class), true)
            }
            Meaning::Here(Place::Function(m, def)) => (function_uses(world, m, def), false),
            // Bound to nothing where an import failed.
            Meaning::Here(Place::Value(_, wb_python::ast::Expr::NoneLiteral(_))) => continue,
            _ => {
                out.rows.insert((module.name.into(), name.into()), None);
                out.refused.push((
                    module.name.into(),
                    name.into(),
                    "all",
                    "it is bound to something else too".into(),
                ));
                return;
            }
        };
        for (what, why) in &uses.why {
            out.refused.push((module.name.into(), name.into(), what, why.clone()));
        }
        let row = row(&uses, is_class, imports);
        worst = Some(worst.map_or(row.clone(), |old| old.worst(&row)));
    }
    out.rows.insert((module.name.into(), name.into()), worst.filter(|r| !r.uses.is_empty()));
}

fn nested<'a>(
    world: &World<'_, 'a>,
    imports: &Imports<'_, 'a>,
    module: &'a Module<'a>,
    outer: &'a Class<'a>,
    out: &mut Derived,
) {
    for bindings in outer.body.names.values() {
        let [Binding::Class(def)] = bindings.as_slice() else { continue };
        let class = world.index.class(module, Some(outer), def);
        let uses = class_uses(world, class);
        let row = row(&uses, true, imports);
        out.rows.insert((module.name.into(), class.name.clone()), Some(row).filter(|r| !r.uses.is_empty()));
        nested(world, imports, module, class, out);
    }
}

fn row(uses: &Uses, is_class: bool, imports: &Imports<'_, '_>) -> Row {
    let mut row = Row { uses: Vec::new(), any: true, others_any: true, keys: Vec::new(), dict: false };
    // A method that imports something at last does what that module does.
    let imported = uses.imports.iter().all(|m| imports.check(m).is_ok());
    let mut allow = |name: &'static str, proved: bool| {
        if proved {
            row.uses.push(name);
        }
    };
    // Whatever is held can be called later, by a container that asks for a default or by a `partial`.
    let held = match is_class {
        true => uses.call.is_some() || uses.new.is_some() && uses.build.is_some(),
        false => uses.call == Some(Condition::Any),
    };
    allow("data", imported && held);
    if !imported {
        return row;
    }
    allow("call", uses.call.is_some());
    allow("new", uses.new.is_some());
    allow("build", uses.build.is_some());
    let made = uses.call.is_some() || uses.new.is_some();
    allow("append", made && uses.append);
    allow("setitem", made && uses.setitem);
    allow("additems", made && uses.additems);
    allow("hash", made && uses.hash);
    row.others_any = uses.new != Some(Condition::Plain);
    row.any = uses.call != Some(Condition::Plain) && row.others_any;
    row.dict = uses.dict;
    row.keys = uses.build.iter().flatten().cloned().collect();
    row
}

impl Row {
    /// The row under one condition for all its uses: states of any objects matter more than calls with literals.
    pub fn settled(&self) -> Self {
        let mut row = self.clone();
        if !row.any && row.others_any && row.uses.contains(&"build") {
            row.uses.retain(|u| *u != "call");
            row.any = true;
        }
        row
    }

    /// What holds for both.
    pub fn worst(&self, other: &Self) -> Self {
        let mut keys: Vec<String> = self.keys.iter().chain(&other.keys).cloned().collect();
        keys.sort();
        keys.dedup();
        Self {
            uses: self.uses.iter().copied().filter(|u| other.uses.contains(u)).collect(),
            any: self.any && other.any,
            others_any: self.others_any && other.others_any,
            keys,
            dict: self.dict || other.dict,
        }
    }
}
