//! Expressions: what they come to, and what their calls do.

use super::effects::{self, Effect};
use super::external::{external, opened, writes};
use super::fold;
use super::value::{Kind, Value, taint};
use super::walk::Walk;
use wb_python::ast::{Expr, ExprCall, Number};

/// Evaluation of expressions in a [`Walk`].
pub(super) struct Scene;

/// Attributes through which anything can be reached.
const GATES: [&str; 3] = ["__globals__", "__builtins__", "__dict__"];

impl Scene {
    pub fn eval<'a>(w: &mut Walk<'a>, expr: &'a Expr) -> Value {
        match expr {
            Expr::StringLiteral(s) => {
                w.step(s.value.to_str().len() / 64);
                Value::text(s.value.to_str(), 0)
            }
            Expr::BytesLiteral(b) => Value::bytes(b.value.bytes().collect(), 0),
            Expr::NumberLiteral(n) => match &n.value {
                Number::Int(i) => i.as_i64().map_or(Value::TOP, |i| Value::new(Kind::Int(i), 0)),
                _ => Value::TOP,
            },
            Expr::Name(n) => name(w, n.id.as_str()),
            Expr::Attribute(a) => {
                let on = w.eval(&a.value);
                attribute(w, &on, a.attr.as_str())
            }
            Expr::Subscript(s) => {
                let on = w.eval(&s.value);
                subscript(w, &on, &s.slice)
            }
            Expr::Call(c) => call(w, c),
            Expr::BinOp(b) => {
                let (left, right) = (w.eval(&b.left), w.eval(&b.right));
                let value = fold::binary(b.op, &left, &right);
                w.step(value.as_bytes().map_or(0, |b| b.len() / 64));
                value
            }
            Expr::UnaryOp(u) => match w.eval(&u.operand) {
                Value { kind: Kind::Int(n), taint } if matches!(u.op, wb_python::ast::UnaryOp::USub) => {
                    n.checked_neg().map_or(Value::TOP, |n| Value::new(Kind::Int(n), taint))
                }
                other => Value::top(other.taint),
            },
            Expr::List(l) => items(w, &l.elts),
            Expr::Tuple(t) => items(w, &t.elts),
            Expr::Set(s) => items(w, &s.elts),
            Expr::Dict(d) => {
                let mut values = Vec::new();
                for item in &d.items {
                    item.key.iter().for_each(|k| drop(w.eval(k)));
                    values.push(w.eval(&item.value));
                }
                // Whatever is looked up is one of the values.
                values.truncate(64);
                Value::new(Kind::Items(values), 0)
            }
            Expr::FString(f) => {
                let (mut out, mut all, mut taint) = (String::new(), true, taint::PIECES);
                for element in f.value.elements() {
                    match element {
                        wb_python::ast::InterpolatedStringElement::Literal(l) => out.push_str(&l.value),
                        wb_python::ast::InterpolatedStringElement::Interpolation(i) => {
                            let value = w.eval(&i.expression);
                            taint |= value.taints();
                            match value.as_text() {
                                Some(text) => out.push_str(text),
                                None => {
                                    all = false;
                                    out.push('…');
                                }
                            }
                        }
                    }
                }
                // A command line with holes still shows what it is.
                if all {
                    Value::text(out, taint)
                } else {
                    Value::new(Kind::Items(vec![Value::text(out, taint)]), taint)
                }
            }
            Expr::TString(_) => Value::TOP,
            Expr::Lambda(l) => w.lambda(l.parameters.as_deref(), &l.body),
            Expr::Named(n) => {
                let value = w.eval(&n.value);
                w.assign(&n.target, value.clone());
                value
            }
            Expr::If(i) => {
                w.eval(&i.test);
                w.eval(&i.body).or(w.eval(&i.orelse))
            }
            Expr::BoolOp(b) => {
                let all: Vec<Value> = b.values.iter().map(|v| w.eval(v)).collect();
                all.into_iter().reduce(Value::or).unwrap_or(Value::TOP)
            }
            Expr::Compare(c) => {
                w.eval(&c.left);
                c.comparators.iter().for_each(|e| drop(w.eval(e)));
                Value::TOP
            }
            Expr::ListComp(c) => w.comprehension(&c.elt, &c.generators),
            Expr::SetComp(c) => w.comprehension(&c.elt, &c.generators),
            Expr::Generator(c) => w.comprehension(&c.elt, &c.generators),
            Expr::DictComp(c) => w.comprehension(&c.value, &c.generators),
            Expr::Await(a) => w.eval(&a.value),
            Expr::Yield(y) => y.value.as_ref().map_or(Value::TOP, |v| w.eval(v)),
            Expr::YieldFrom(y) => w.eval(&y.value),
            Expr::Starred(s) => w.eval(&s.value),
            Expr::Slice(s) => {
                [&s.lower, &s.upper, &s.step].into_iter().flatten().for_each(|e| drop(w.eval(e)));
                Value::TOP
            }
            Expr::BooleanLiteral(_)
            | Expr::NoneLiteral(_)
            | Expr::EllipsisLiteral(_)
            | Expr::IpyEscapeCommand(_) => Value::TOP,
        }
    }
}

fn items<'a>(w: &mut Walk<'a>, elts: &'a [Expr]) -> Value {
    let all = elts.iter().map(|e| w.eval(e)).collect::<Vec<_>>();
    if all.len() > super::value::MAX_ITEMS { Value::top(0) } else { Value::new(Kind::Items(all), 0) }
}

fn name(w: &mut Walk<'_>, name: &str) -> Value {
    if let Some(value) = w.lookup(name) {
        return value;
    }
    if name == "__builtins__" {
        return Value::path("builtins", taint::HIDDEN);
    }
    let builtin = format!("builtins.{name}");
    if effects::of(&builtin).is_some()
        || matches!(
            name,
            "getattr"
                | "open"
                | "vars"
                | "globals"
                | "locals"
                | "chr"
                | "ord"
                | "str"
                | "bytes"
                | "bytearray"
                | "map"
                | "reversed"
                | "list"
                | "tuple"
                | "dict"
                | "int"
                | "__import__"
                | "setattr"
                | "filter"
                | "print"
                | "iter"
                | "repr"
                | "super"
                | "type"
        )
    {
        return Value::path(builtin, 0);
    }
    // `from os import *` may have brought it.
    let stars = w.stars.iter().map(|m| format!("{m}.{name}")).find(|p| effects::of(p).is_some());
    stars.map_or(Value::TOP, |p| Value::path(p, 0))
}

pub(super) fn attribute(w: &mut Walk<'_>, on: &Value, attr: &str) -> Value {
    let mut out: Option<Value> = None;
    for one in on.alternatives() {
        let value = match &one.kind {
            Kind::Path(p) if p.len() < 400 => {
                // One variable of the environment is not the environment.
                let taint = if p == "os.environ" { one.taint & !taint::ENVIRON } else { one.taint };
                let path = format!("{p}.{attr}");
                let whole = path == "os.environ" || path == "os.environb";
                Value::path(path, taint | if whole { taint::ENVIRON } else { 0 })
            }
            Kind::Class(c) => {
                let all = w.classes.get(*c).into_iter().flatten().filter(|(n, _)| n == attr);
                let methods: Vec<Value> =
                    all.take(8).map(|(_, f)| Value::new(Kind::Function(*f), one.taint)).collect();
                methods
                    .into_iter()
                    .chain(w.attributes.get(attr).cloned())
                    .reduce(Value::or)
                    .unwrap_or(Value::top(one.taint))
            }
            _ if attr == "__builtins__" => Value::path("builtins", taint::HIDDEN),
            _ if GATES.contains(&attr) => Value::path(format!("?.{attr}"), taint::HIDDEN),
            _ => w.attributes.get(attr).cloned().unwrap_or(Value::TOP).tainted(one.taints()),
        };
        out = Some(out.map_or(value.clone(), |o| o.or(value)));
    }
    out.unwrap_or(Value::TOP)
}

/// A thing named by a text: `getattr(os, 'system')`, `os.__dict__['system']`, `sys.modules['os']`.
fn by_text(on: &Value, key: &Value) -> Option<Value> {
    let taint = taint::HIDDEN | key.taints() | on.taint;
    let Kind::Path(path) = &on.kind else { return None };
    let text = key.as_text();
    let of = |owner: &str| match text {
        Some(text) => Value::path(format!("{owner}.{text}"), taint),
        None => Value::path(format!("{owner}.?"), taint),
    };
    if matches!(
        path.as_str(),
        "sys.modules" | "builtins.globals()" | "builtins.locals()" | "builtins.vars()" | "?.__globals__"
    ) || path.ends_with(".__globals__")
    {
        return text.map(|t| Value::path(if t == "__builtins__" { "builtins" } else { t }, taint));
    }
    if let Some(owner) = path.strip_suffix(".__dict__") {
        return Some(of(owner));
    }
    if let Some(owner) = path.strip_prefix("builtins.vars(").and_then(|p| p.strip_suffix(')')) {
        return Some(of(owner));
    }
    (path == "builtins" && on.taint & taint::HIDDEN != 0).then(|| of("builtins"))
}

fn subscript<'a>(w: &mut Walk<'a>, on: &Value, slice: &'a Expr) -> Value {
    if let Expr::Slice(s) = slice {
        let mut bound = |e: &'a Option<Box<Expr>>| e.as_ref().map(|e| w.eval(e));
        let (start, stop, step) = (bound(&s.lower), bound(&s.upper), bound(&s.step));
        // A bound that is not known gives nothing but where it comes from.
        let known = |v: &Option<Value>| v.as_ref().map(Value::as_int);
        return match (known(&start), known(&stop), known(&step)) {
            (Some(None), ..) | (_, Some(None), _) | (.., Some(None)) => Value::top(on.taints()),
            (a, b, c) => fold::slice(on, a.flatten(), b.flatten(), c.flatten()),
        };
    }
    let key = w.eval(slice);
    let mut out: Option<Value> = None;
    for one in on.alternatives() {
        let value = by_text(one, &key).unwrap_or_else(|| match (&one.kind, key.as_int()) {
            (Kind::Items(all), Some(n)) => {
                let at = if n < 0 { usize::try_from(n + all.len() as i64) } else { usize::try_from(n) };
                at.ok().and_then(|n| all.get(n)).cloned().unwrap_or(Value::TOP)
            }
            // A dictionary, or a place that is not known: any of them.
            (Kind::Items(all), None) => all.iter().take(12).cloned().reduce(Value::or).unwrap_or(Value::TOP),
            (Kind::Text(_) | Kind::Bytes(_), Some(n)) => {
                let one = fold::slice(one, Some(n), if n == -1 { None } else { Some(n + 1) }, None);
                match &one.kind {
                    Kind::Bytes(b) => {
                        b.first().map_or(Value::TOP, |b| Value::new(Kind::Int(i64::from(*b)), one.taint))
                    }
                    _ => one,
                }
            }
            (Kind::Path(p), _) if p == "os.environ" => Value::top(0),
            (Kind::Path(p), _) if p.len() < 400 => Value::path(format!("{p}[]"), one.taint),
            _ => Value::top(one.taints()),
        });
        out = Some(out.map_or(value.clone(), |o| o.or(value)));
    }
    out.unwrap_or(Value::TOP)
}

/// The arguments of a call.
pub(super) struct Given {
    pub args: Vec<Value>,
    pub named: Vec<(String, Value)>,
}

impl Given {
    fn all(&self) -> impl Iterator<Item = &Value> {
        self.args.iter().chain(self.named.iter().map(|(_, v)| v))
    }

    pub fn taints(&self) -> u16 {
        self.all().fold(0, |t, v| t | v.taints())
    }

    pub fn named(&self, name: &str) -> Option<&Value> {
        self.named.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    pub fn words(&self) -> String {
        self.all().map(Value::words).collect::<Vec<_>>().join(" ")
    }
}

fn call<'a>(w: &mut Walk<'a>, c: &'a ExprCall) -> Value {
    let callee = w.eval(&c.func);
    let given = Given {
        args: c.arguments.args.iter().map(|a| w.eval(a)).collect(),
        named: c
            .arguments
            .keywords
            .iter()
            .map(|k| (k.arg.as_ref().map_or(String::new(), |n| n.as_str().to_string()), w.eval(&k.value)))
            .collect(),
    };
    let method = match &*c.func {
        Expr::Attribute(a) => Some((&*a.value, a.attr.as_str())),
        _ => None,
    };
    // Methods of texts fold.
    if let Some((on, name)) = method
        && matches!(callee.kind, Kind::Top)
    {
        let on = w.eval_quiet(on);
        for one in on.alternatives() {
            if let Some(value) = fold::method(one, name, &given.args) {
                w.step(value.as_bytes().map_or(0, |b| b.len() / 16));
                return value;
            }
            if matches!(name, "read_text" | "read_bytes" | "open" | "write_text" | "write_bytes") {
                opened(w, c, one, name.starts_with("write") || writes(&given, 0), &given);
            }
        }
        if let Some(owner) = w.owners.get_mut(w.owner) {
            owner.methods.push(name.to_string());
        }
        if name == "__subclasses__" && matches!(on.kind, Kind::Top) {
            return Value::top(given.taints() | taint::HIDDEN);
        }
        // `sock.connect(…)` on what a function of this module gave.
        return Value::top(on.taints() | given.taints());
    }
    let mut out: Option<Value> = None;
    for one in callee.alternatives().to_vec() {
        let value = match &one.kind {
            Kind::Path(path) => external(w, c, path, &one, &given),
            Kind::Function(f) => {
                w.runs(*f);
                given.all().for_each(|v| hand(w, v));
                w.returns.get(*f).cloned().unwrap_or(Value::TOP).tainted(given.taints() & !taint::PIECES)
            }
            Kind::Class(class) => {
                let made: Vec<usize> = w
                    .classes
                    .get(*class)
                    .into_iter()
                    .flatten()
                    .filter(|(n, _)| {
                        matches!(n.as_str(), "__init__" | "__new__" | "__post_init__" | "__call__")
                    })
                    .map(|(_, f)| *f)
                    .collect();
                made.into_iter().for_each(|f| w.runs(f));
                Value::new(Kind::Class(*class), given.taints() & !taint::PIECES)
            }
            _ => Value::top(one.taints() | given.taints()),
        };
        out = Some(out.map_or(value.clone(), |o| o.or(value)));
    }
    // Whatever is handed to somebody unknown may be called by it.
    let asks = matches!(&*c.func, Expr::Name(n) if matches!(n.id.as_str(), "isinstance" | "issubclass" | "hasattr" | "callable"
        | "id" | "repr" | "print" | "dir" | "super" | "cast" | "hash"));
    if !matches!(callee.kind, Kind::Function(_)) && !asks {
        for value in given.all() {
            handed(w, c, value);
        }
    }
    out.unwrap_or(Value::TOP)
}

fn hand(w: &mut Walk<'_>, value: &Value) {
    for one in value.alternatives() {
        if let Kind::Function(f) = one.kind {
            w.runs(f);
        }
    }
}

/// A function, or something dangerous, as an argument: `Thread(target=os.system)`, `map(exec, …)`.
fn handed(w: &mut Walk<'_>, c: &ExprCall, value: &Value) {
    hand(w, value);
    for one in value.alternatives() {
        if let Kind::Path(path) = &one.kind {
            match effects::of(path) {
                Some(Effect::Process) => w.found("process", path, c),
                Some(Effect::Code)
                    if matches!(path.as_str(), "builtins.exec" | "builtins.eval" | "builtins.execfile") =>
                {
                    w.found("computed-code", path, c);
                }
                _ => {}
            }
        }
    }
}

impl<'a> Walk<'a> {
    /// The value of something that was evaluated before, its calls not noted again.
    fn eval_quiet(&mut self, expr: &'a Expr) -> Value {
        let before = self
            .owners
            .get(self.owner)
            .map_or((0, 0, 0), |o| (o.found.len(), o.calls.len(), o.methods.len()));
        let value = self.eval(expr);
        if let Some(owner) = self.owners.get_mut(self.owner) {
            owner.found.truncate(before.0);
            owner.calls.truncate(before.1);
            owner.methods.truncate(before.2);
        }
        value
    }

    /// A decorator: called with what it decorates.
    pub fn handed_on(&mut self, value: &Value, at: &impl wb_python::Ranged) {
        for one in value.alternatives() {
            match &one.kind {
                Kind::Function(f) => self.runs(*f),
                Kind::Path(path) => {
                    if let Some(effect @ (Effect::Process | Effect::Code)) = effects::of(path) {
                        self.found(effect.code(), path, at);
                    }
                }
                _ => {}
            }
        }
    }
}
