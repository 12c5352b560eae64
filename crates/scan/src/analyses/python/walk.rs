//! The walk over a module: scopes, bindings, functions and when they run.

use super::calls::Scene;
use super::effects;
use super::value::{Kind, Value, taint};
use super::{Found, Unread, When};
use std::collections::HashMap;
use wb_python::Ranged;
use wb_python::ast::{Comprehension, ExceptHandler, Expr, Parameters, Stmt, StmtClassDef, StmtFunctionDef};

/// Names and what they are bound to.
pub(super) type Names = HashMap<String, Value>;

/// Steps after which a module counts as too intricate.
const MAX_STEPS: u64 = 6_000_000;
/// Rounds until what functions return is known to each other.
const ROUNDS: usize = 2;
/// Depth of functions in functions.
const MAX_NESTED: u32 = 24;

/// A piece of code with effects of its own: the module, or one function.
#[derive(Default)]
pub(super) struct Owner {
    pub found: Vec<Found>,
    /// Functions it calls or hands on.
    pub calls: Vec<usize>,
    /// Methods it calls on objects that are not known.
    pub methods: Vec<String>,
    /// Loaders call it.
    pub hook: bool,
}

pub(super) struct Function<'a> {
    pub name: &'a str,
    parameters: Option<&'a Parameters>,
    body: &'a [Stmt],
    /// Names of the functions around it.
    outer: Names,
    pub in_class: Option<usize>,
    nested: u32,
}

/// The state of a walk.
pub(super) struct Walk<'a> {
    pub source: &'a str,
    pub depth: u32,
    pub owners: Vec<Owner>,
    pub owner: usize,
    pub functions: Vec<Function<'a>>,
    /// What functions return, from the round before and of this one.
    pub returns: Vec<Value>,
    returned: Vec<Value>,
    /// Methods of each class.
    pub classes: Vec<Vec<(String, usize)>>,
    pub stars: Vec<String>,
    /// Values of attributes by name, whatever object they are set on.
    pub attributes: Names,
    scopes: Vec<Names>,
    globals: Vec<String>,
    /// Set while the body of a class is walked.
    class: Option<usize>,
    nested: u32,
    steps: u64,
}

/// What a module does.
pub(super) fn module(source: &str, body: &[Stmt], names: &Names, depth: u32) -> Result<Vec<Found>, Unread> {
    let mut returns = Vec::new();
    let mut attributes = Names::new();
    for round in 1.. {
        let mut walk = Walk {
            source,
            depth,
            owners: vec![Owner::default()],
            owner: 0,
            functions: Vec::new(),
            returns,
            returned: Vec::new(),
            classes: Vec::new(),
            stars: Vec::new(),
            attributes,
            scopes: vec![names.clone()],
            globals: Vec::new(),
            class: None,
            nested: 0,
            steps: 0,
        };
        walk.block(body);
        let mut next = 0;
        while next < walk.functions.len() && !walk.is_spent() {
            walk.function(next);
            next += 1;
        }
        if walk.is_spent() {
            return Err(Unread::TooMuch("the source is too intricate to follow".into()));
        }
        if round == ROUNDS || walk.functions.is_empty() {
            return Ok(super::moments::told(walk));
        }
        returns = walk.returned;
        attributes = walk.attributes;
    }
    Ok(Vec::new())
}

impl<'a> Walk<'a> {
    /// Counts work.
    pub fn step(&mut self, cost: usize) {
        self.steps = self.steps.saturating_add(cost as u64 + 1);
    }

    pub fn is_spent(&self) -> bool {
        self.steps > MAX_STEPS
    }

    /// Records something the present owner does.
    pub fn found(&mut self, code: &'static str, callable: &str, at: &impl Ranged) {
        let range = at.range();
        let (start, end) = (range.start().to_usize(), range.end().to_usize());
        let text = self.source.get(start..end).unwrap_or_default();
        let rendering: String =
            text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
        let found =
            Found { code, when: When::Call, callable: callable.into(), rendering, offset: start as u64 };
        if let Some(owner) = self.owners.get_mut(self.owner)
            && owner.found.len() < 500
        {
            owner.found.push(found);
        }
    }

    /// The present owner runs this function.
    pub fn runs(&mut self, function: usize) {
        if let Some(owner) = self.owners.get_mut(self.owner) {
            owner.calls.push(function);
        }
    }

    /// All names visible here, for text that is run here.
    pub fn names(&self) -> Names {
        let mut all = Names::new();
        self.scopes.iter().for_each(|s| all.extend(s.iter().map(|(k, v)| (k.clone(), v.clone()))));
        all
    }

    pub fn lookup(&mut self, name: &str) -> Option<Value> {
        let value = self.scopes.iter().rev().find_map(|s| s.get(name))?.clone();
        self.step(value.as_bytes().map_or(0, |b| b.len() / 64));
        Some(value)
    }

    fn bind(&mut self, name: &str, value: Value) {
        self.step(0);
        if self.class.is_some() && !matches!(value.kind, Kind::Top) {
            self.attribute(name, value.clone());
        }
        let global = self.globals.iter().any(|g| g == name);
        let scope = if global { self.scopes.first_mut() } else { self.scopes.last_mut() };
        let Some(scope) = scope else { return };
        let value = match scope.remove(name) {
            Some(old) => old.or(value),
            None => value,
        };
        scope.insert(name.into(), value);
    }

    fn attribute(&mut self, name: &str, value: Value) {
        if !matches!(value.kind, Kind::Top | Kind::Int(_)) || value.taint != 0 {
            let value = match self.attributes.remove(name) {
                Some(old) => old.or(value),
                None => value,
            };
            self.attributes.insert(name.into(), value);
        }
    }

    fn block(&mut self, body: &'a [Stmt]) {
        for stmt in body {
            if self.is_spent() {
                return;
            }
            self.statement(stmt);
        }
    }

    fn statement(&mut self, stmt: &'a Stmt) {
        self.step(0);
        match stmt {
            Stmt::Import(s) => {
                for alias in &s.names {
                    let module = alias.name.as_str();
                    match &alias.asname {
                        Some(name) => self.bind(name.as_str(), Value::path(module, 0)),
                        None => {
                            let top = module.split('.').next().unwrap_or(module);
                            self.bind(top, Value::path(top, 0));
                        }
                    }
                }
            }
            Stmt::ImportFrom(s) => {
                let dots = ".".repeat(usize::try_from(s.level).unwrap_or(1).min(8));
                let module = format!("{dots}{}", s.module.as_ref().map_or("", |m| m.as_str()));
                for alias in &s.names {
                    if alias.name.as_str() == "*" {
                        self.stars.push(module.clone());
                        continue;
                    }
                    let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
                    self.bind(name, Value::path(format!("{module}.{}", alias.name.as_str()), 0));
                }
            }
            Stmt::FunctionDef(s) => self.define(s),
            Stmt::ClassDef(s) => self.class(s),
            Stmt::Return(s) => {
                if let Some(value) = &s.value {
                    let value = self.eval(value);
                    if let Some(place) = self.owner.checked_sub(1).and_then(|f| self.returned.get_mut(f)) {
                        let old = std::mem::replace(place, Value::TOP);
                        *place = if old == Value::TOP { value } else { old.or(value) };
                    }
                }
            }
            Stmt::Assign(s) => {
                let value = self.eval(&s.value);
                for target in &s.targets {
                    self.assign(target, value.clone());
                }
            }
            Stmt::AnnAssign(s) => {
                self.eval(&s.annotation);
                if let Some(value) = &s.value {
                    let value = self.eval(value);
                    self.assign(&s.target, value);
                }
            }
            Stmt::AugAssign(s) => {
                let old = self.eval(&s.target);
                let value = self.eval(&s.value);
                let new = super::fold::binary(s.op, &old, &value);
                self.assign(&s.target, new);
            }
            Stmt::For(s) => {
                let over = self.eval(&s.iter);
                self.iterate(&s.target, &over);
                self.block(&s.body);
                self.block(&s.orelse);
            }
            Stmt::While(s) => {
                self.eval(&s.test);
                self.block(&s.body);
                self.block(&s.orelse);
            }
            Stmt::If(s) => {
                self.eval(&s.test);
                if is_main_guard(&s.test) && self.owner == 0 {
                    // Runs as a program only: a place of its own.
                    self.guarded(&s.body);
                } else {
                    self.block(&s.body);
                }
                for clause in &s.elif_else_clauses {
                    if let Some(test) = &clause.test {
                        self.eval(test);
                    }
                    self.block(&clause.body);
                }
            }
            Stmt::With(s) => {
                for item in &s.items {
                    let value = self.eval(&item.context_expr);
                    if let Some(target) = &item.optional_vars {
                        self.assign(target, value);
                    }
                }
                self.block(&s.body);
            }
            Stmt::Try(s) => {
                self.block(&s.body);
                for ExceptHandler::ExceptHandler(h) in &s.handlers {
                    if let Some(kind) = &h.type_ {
                        self.eval(kind);
                    }
                    if let Some(name) = &h.name {
                        self.bind(name.as_str(), Value::TOP);
                    }
                    self.block(&h.body);
                }
                self.block(&s.orelse);
                self.block(&s.finalbody);
            }
            Stmt::Match(s) => {
                self.eval(&s.subject);
                for case in &s.cases {
                    if let Some(guard) = &case.guard {
                        self.eval(guard);
                    }
                    self.block(&case.body);
                }
            }
            Stmt::Expr(s) => drop(self.eval(&s.value)),
            Stmt::Raise(s) => {
                s.exc.iter().chain(&s.cause).for_each(|e| drop(self.eval(e)));
            }
            Stmt::Assert(s) => {
                self.eval(&s.test);
                s.msg.iter().for_each(|e| drop(self.eval(e)));
            }
            Stmt::Delete(s) => s.targets.iter().for_each(|e| drop(self.eval(e))),
            Stmt::Global(s) => self.globals.extend(s.names.iter().map(|n| n.as_str().to_string())),
            Stmt::TypeAlias(_) | Stmt::Nonlocal(_) | Stmt::Pass(_) | Stmt::Break(_) | Stmt::Continue(_) => {}
            Stmt::IpyEscapeCommand(_) => {}
        }
    }

    /// Binds the target of an iteration to what is iterated over.
    pub fn iterate(&mut self, target: &'a Expr, over: &Value) {
        let taint = over.taints();
        let one = match super::fold::elements(over) {
            // A few alternatives are kept; of many nothing but where they come from.
            Some(all) if all.len() <= 8 => all.into_iter().reduce(Value::or).unwrap_or(Value::TOP),
            _ => Value::top(taint),
        };
        self.assign(target, one.tainted(taint));
    }

    pub fn assign(&mut self, target: &'a Expr, value: Value) {
        match target {
            Expr::Name(n) => self.bind(n.id.as_str(), value),
            Expr::Tuple(t) => self.unpack(&t.elts, &value),
            Expr::List(t) => self.unpack(&t.elts, &value),
            Expr::Starred(s) => self.assign(&s.value, Value::top(value.taints())),
            Expr::Attribute(a) => {
                let on = self.eval(&a.value);
                if let Kind::Path(path) = &on.kind
                    && matches!(path.as_str(), "builtins" | "__builtins__" | "__builtin__")
                {
                    self.found("interpreter", &format!("builtins.{}", a.attr.as_str()), a);
                }
                self.attribute(a.attr.as_str(), value);
            }
            other => drop(self.eval(other)),
        }
    }

    fn unpack(&mut self, targets: &'a [Expr], value: &Value) {
        let items = match &value.kind {
            Kind::Items(items) if items.len() == targets.len() => Some(items.clone()),
            _ => None,
        };
        for (i, target) in targets.iter().enumerate() {
            let one = items.as_ref().and_then(|all| all.get(i)).cloned();
            self.assign(target, one.unwrap_or(Value::top(value.taints())));
        }
    }

    fn define(&mut self, s: &'a StmtFunctionDef) {
        for decorator in &s.decorator_list {
            let value = self.eval(&decorator.expression);
            self.handed_on(&value, decorator);
        }
        let at = self.enqueue(s.name.as_str(), Some(&s.parameters), &s.body);
        if !s.decorator_list.is_empty() && self.class.is_none() {
            // Whoever decorates may call.
            let known = s.decorator_list.iter().all(|d| is_plain_decorator(&d.expression));
            if !known && self.owner == 0 && s.parameters.is_empty() {
                self.runs(at);
            }
        }
        self.bind(s.name.as_str(), Value::new(Kind::Function(at), 0));
    }

    /// Takes note of a function whose body is walked later, and evaluates its defaults now.
    fn enqueue(&mut self, name: &'a str, parameters: Option<&'a Parameters>, body: &'a [Stmt]) -> usize {
        if let Some(parameters) = parameters {
            for p in parameters.iter_non_variadic_params() {
                p.default.iter().for_each(|d| drop(self.eval(d)));
            }
        }
        let mut outer = Names::new();
        for scope in self.scopes.iter().skip(1) {
            outer.extend(scope.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        self.step(outer.len());
        let at = self.functions.len();
        let in_class = self.class;
        self.functions.push(Function { name, parameters, body, outer, in_class, nested: self.nested + 1 });
        let hook = if in_class.is_some() { effects::is_hook(name) } else { effects::is_entry(name) };
        self.owners.push(Owner { hook, ..Owner::default() });
        self.returned.push(Value::TOP);
        if let Some(class) = self.class
            && let Some(methods) = self.classes.get_mut(class)
        {
            methods.push((name.to_string(), at));
        }
        at
    }

    fn guarded(&mut self, body: &'a [Stmt]) {
        self.enqueue("__main__", None, body);
    }

    fn class(&mut self, s: &'a StmtClassDef) {
        for decorator in &s.decorator_list {
            self.eval(&decorator.expression);
        }
        let mut bases = Vec::new();
        if let Some(arguments) = &s.arguments {
            bases.extend(arguments.args.iter().map(|b| self.eval(b)));
            arguments.keywords.iter().for_each(|k| drop(self.eval(&k.value)));
        }
        let class = self.classes.len();
        let inherited = bases.iter().filter_map(|b| match b.kind {
            Kind::Class(base) => self.classes.get(base).cloned(),
            _ => None,
        });
        let methods: Vec<(String, usize)> = inherited.flatten().collect();
        self.classes.push(methods);
        let around = self.class.replace(class);
        self.scopes.push(Names::new());
        self.block(&s.body);
        self.scopes.pop();
        self.class = around;
        self.bind(s.name.as_str(), Value::new(Kind::Class(class), 0));
    }

    /// Walks the body of a function that was met before.
    fn function(&mut self, at: usize) {
        let Some(f) = self.functions.get_mut(at) else { return };
        let (parameters, body, nested, class) = (f.parameters, f.body, f.nested, f.in_class);
        let outer = std::mem::take(&mut f.outer);
        let main = f.name == "__main__" && f.parameters.is_none();
        if nested > MAX_NESTED {
            self.steps = MAX_STEPS + 1;
            return;
        }
        let before = (self.owner, self.nested);
        (self.owner, self.nested) = (at + 1, nested);
        let mut own = Names::new();
        if let Some(parameters) = parameters {
            own.extend(parameters.iter().map(|p| (p.name().as_str().to_string(), Value::TOP)));
            // An instance answers as its class does.
            if let (Some(class), Some(first)) = (class, parameters.iter_non_variadic_params().next()) {
                own.insert(first.parameter.name.as_str().to_string(), Value::new(Kind::Class(class), 0));
            }
        }
        if !main {
            self.scopes.push(outer);
            self.scopes.push(own);
        }
        self.block(body);
        if !main {
            self.scopes.truncate(1);
        }
        self.globals.clear();
        (self.owner, self.nested) = before;
    }

    /// The element of a comprehension, its targets bound. `None` where the elements are not all known.
    pub fn comprehension(&mut self, elt: &'a Expr, generators: &'a [Comprehension]) -> Value {
        self.scopes.push(Names::new());
        let mut out = None;
        if let [one] = generators
            && one.ifs.is_empty()
        {
            let over = self.eval(&one.iter);
            if let Some(all) = super::fold::elements(&over).filter(|all| all.len() <= 4096) {
                let mut items = Vec::with_capacity(all.len());
                for item in all {
                    if self.is_spent() {
                        break;
                    }
                    if let Some(scope) = self.scopes.last_mut() {
                        scope.clear();
                    }
                    self.assign(&one.target, item);
                    items.push(self.eval(elt));
                }
                out = Some(Value::new(Kind::Items(items), over.taint));
            }
        }
        if out.is_none() {
            for generator in generators {
                let over = self.eval(&generator.iter);
                self.iterate(&generator.target, &over);
                generator.ifs.iter().for_each(|e| drop(self.eval(e)));
            }
            let taint = self.eval(elt).taints();
            out = Some(Value::top(taint));
        }
        self.scopes.pop();
        out.unwrap_or(Value::TOP)
    }

    /// Binds the parameters of a lambda and walks its body here: it runs wherever it is handed to.
    pub fn lambda(&mut self, parameters: Option<&'a Parameters>, body: &'a Expr) -> Value {
        let own = parameters.map(|p| p.iter().map(|p| (p.name().as_str().to_string(), Value::TOP)).collect());
        self.scopes.push(own.unwrap_or_default());
        let value = self.eval(body);
        self.scopes.pop();
        Value::top(value.taints())
    }
}

/// `__name__ == "__main__"`.
fn is_main_guard(test: &Expr) -> bool {
    let Expr::Compare(c) = test else { return false };
    let sides = [&*c.left, c.comparators.first().unwrap_or(&c.left)];
    sides.iter().any(|e| matches!(e, Expr::Name(n) if n.id.as_str() == "__name__"))
        && sides.iter().any(|e| e.as_string_literal_expr().is_some_and(|s| s.value.to_str() == "__main__"))
        && matches!(&*c.ops, [wb_python::ast::CmpOp::Eq])
}

/// Decorators that do not call what they decorate.
fn is_plain_decorator(decorator: &Expr) -> bool {
    let target = match decorator {
        Expr::Call(c) => &*c.func,
        other => other,
    };
    wb_python::dotted(target).is_some_and(|d| {
        d.contains("torch.")
            || matches!(
                d.rsplit('.').next().unwrap_or(&d),
                "wraps"
                    | "property"
                    | "staticmethod"
                    | "classmethod"
                    | "lru_cache"
                    | "cache"
                    | "contextmanager"
                    | "overload"
                    | "fixture"
                    | "dataclass"
                    | "abstractmethod"
                    | "njit"
                    | "jit"
                    | "no_grad"
                    | "singledispatch"
                    | "route"
                    | "get"
                    | "post"
                    | "command"
                    | "tool"
                    | "deprecated"
            )
    })
}

impl<'a> Walk<'a> {
    /// The value of an expression, its calls noted.
    pub fn eval(&mut self, expr: &'a Expr) -> Value {
        self.step(0);
        if self.is_spent() {
            return Value::TOP;
        }
        Scene::eval(self, expr)
    }
}

/// Taint of what a file gives.
pub(super) const FROM_FILE: u16 = taint::FILE;
