//! Is a chat template harmless to render, even by an unsandboxed Jinja?
//!
//! Proof by construction, not by looking for known payloads: attribute and subscript names must be constants
//! without a leading underscore (or values that cannot hold one), and filters, tests, functions and methods must
//! be among those that honest chat templates use. CVE-2024-34359 and CVE-2026-5760 are what happens otherwise.

use super::jinja_names::{self as names, fragment};
use minijinja::machinery::{ast, parse};
use minijinja::value::{Value, ValueKind};
use std::collections::{HashMap, HashSet};
use wb_verdict::escape;

/// What rendering can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Template {
    /// Nothing beyond reading the data given to it and writing text.
    Harmless,
    /// Not proved harmless; the construct that stands in the way.
    Unproved(String),
    /// Reaches Python internals; the construct that does.
    Dangerous(String),
}

impl Template {
    /// The code and detail of a [`wb_verdict::FactKind::Template`].
    pub(crate) fn into_fact(self) -> wb_verdict::FactKind {
        let (code, detail) = match self {
            Self::Harmless => ("harmless", String::new()),
            Self::Unproved(why) => ("unproved", why),
            Self::Dangerous(why) => ("dangerous", why),
        };
        wb_verdict::FactKind::Template { code: code.into(), detail }
    }
}

/// Analyses one template.
pub(crate) fn analyse(source: &str) -> Template {
    const MAX: usize = 1 << 20;
    if source.len() > MAX {
        return Template::Unproved(format!("template of {} bytes", source.len()));
    }
    if too_deep(source) {
        return match names::internals_in_code(source) {
            Some(name) => Template::Dangerous(format!("names {name}")),
            None => Template::Unproved("an expression or a chain of conditions of extreme length".into()),
        };
    }
    let prepared = without_extensions(source);
    let tree = match parse(&prepared, "template", Default::default()) {
        Ok(tree) => tree,
        Err(e) => {
            return match names::internals_in_code(source) {
                Some(name) => Template::Dangerous(format!("names {name}")),
                None => Template::Unproved(escape(&format!("cannot be parsed: {e}"))),
            };
        }
    };
    // Learning goes twice, so that a binding made further down is known where it is used further up.
    let mut check = Check { learning: true, ..Check::default() };
    check.stmt(&tree);
    check.stmt(&tree);
    check.learning = false;
    check.stmt(&tree);
    if let Some(why) = check.dangerous {
        return Template::Dangerous(why);
    }
    if let Some(why) = check.unproved {
        return Template::Unproved(why);
    }
    // The parser is not Jinja's own: what it took for text must hold nothing either.
    match names::internals_in_code(source) {
        Some(name) => Template::Unproved(format!("names {name} where the parser saw no code")),
        None => Template::Harmless,
    }
}

/// Could parsing or walking this need more stack than there is? Chains of operators and of `elif` become nested
/// trees, one level each; honest templates have dozens.
fn too_deep(source: &str) -> bool {
    const MAX_OPERATORS: usize = 1500;
    const MAX_ELIF: usize = 200;
    let operators = |segment: &str| {
        let signs = segment.bytes().filter(|b| b"~+-*/%|.[(<>=!".contains(b)).count();
        let words = segment.split(|c: char| !c.is_alphanumeric() && c != '_');
        signs + words.filter(|w| matches!(*w, "if" | "not" | "and" | "or" | "in" | "is")).count()
    };
    source.matches("elif").count() > MAX_ELIF
        || source.split("{{").flat_map(|s| s.split("{%")).any(|segment| operators(segment) > MAX_OPERATORS)
}

/// Drops the tags of honest extensions that the parser does not know (`generation` marks trained spans).
fn without_extensions(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let Some(len) = rest[at..].find("%}") else { break };
        let tag = &rest[at + 2..at + len];
        let word = tag.trim_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '+'));
        out.push_str(&rest[..at]);
        if !matches!(word, "generation" | "endgeneration") {
            out.push_str(&rest[at..at + len + 2]);
        }
        rest = &rest[at + len + 2..];
    }
    out.push_str(rest);
    out
}

#[derive(Default)]
struct Check {
    learning: bool,
    /// Variables (and `namespace.attribute`) that may hold a string with an underscore in it.
    tainted: HashSet<String>,
    macros: HashMap<String, Vec<String>>,
    dangerous: Option<String>,
    unproved: Option<String>,
}

impl Check {
    fn danger(&mut self, what: impl Into<String>) {
        if !self.learning && self.dangerous.is_none() {
            self.dangerous = Some(escape(&what.into()));
        }
    }

    fn doubt(&mut self, what: impl Into<String>) {
        if !self.learning && self.unproved.is_none() {
            self.unproved = Some(escape(&what.into()));
        }
    }

    fn all(&mut self, body: &[ast::Stmt<'_>]) {
        for s in body {
            self.stmt(s);
        }
    }

    fn stmt(&mut self, s: &ast::Stmt<'_>) {
        match s {
            ast::Stmt::Template(t) => self.all(&t.children),
            ast::Stmt::EmitExpr(e) => {
                constants(&e.expr).iter().for_each(|s| self.written(s));
                self.expr(&e.expr);
            }
            ast::Stmt::EmitRaw(r) => self.written(r.raw),
            ast::Stmt::ForLoop(f) => {
                self.bind(&f.target, &f.iter);
                self.expr(&f.iter);
                if let Some(e) = &f.filter_expr {
                    self.expr(e);
                }
                self.all(&f.body);
                self.all(&f.else_body);
            }
            ast::Stmt::IfCond(i) => {
                self.expr(&i.expr);
                self.all(&i.true_body);
                self.all(&i.false_body);
            }
            ast::Stmt::WithBlock(w) => {
                for (target, value) in &w.assignments {
                    self.bind(target, value);
                    self.expr(value);
                }
                self.all(&w.body);
            }
            ast::Stmt::Set(s) => {
                self.bind(&s.target, &s.expr);
                self.expr(&s.expr);
            }
            ast::Stmt::SetBlock(s) => {
                // Text of any kind can come out of a block.
                self.taint(&s.target);
                if let Some(f) = &s.filter {
                    self.expr(f);
                }
                self.all(&s.body);
            }
            ast::Stmt::AutoEscape(a) => {
                self.expr(&a.enabled);
                self.all(&a.body);
            }
            ast::Stmt::FilterBlock(f) => {
                self.expr(&f.filter);
                self.all(&f.body);
            }
            ast::Stmt::Block(b) => self.all(&b.body),
            ast::Stmt::Macro(m) => self.a_macro(m),
            ast::Stmt::CallBlock(c) => {
                self.call(&c.call);
                self.a_macro(&c.macro_decl);
            }
            ast::Stmt::Do(d) => self.call(&d.call),
            ast::Stmt::Continue(_) | ast::Stmt::Break(_) => {}
            ast::Stmt::Import(i) => self.other_template(&i.expr),
            ast::Stmt::FromImport(i) => self.other_template(&i.expr),
            ast::Stmt::Extends(e) => self.other_template(&e.name),
            ast::Stmt::Include(i) => self.other_template(&i.name),
        }
    }

    /// Text that the template itself puts before the model: roles and markers, no links and no scripts.
    fn written(&mut self, text: &str) {
        let lower = text.to_ascii_lowercase();
        for what in ["http://", "https://", "<script", "javascript:"] {
            if lower.contains(what) {
                self.doubt(format!("writes {what} into the conversation"));
            }
        }
    }

    fn other_template(&mut self, name: &ast::Expr<'_>) {
        self.expr(name);
        self.doubt("loads another template");
    }

    fn a_macro(&mut self, m: &ast::Macro<'_>) {
        let params: Vec<String> = m.args.iter().filter_map(variable).collect();
        for (param, default) in m.args.iter().rev().zip(m.defaults.iter().rev()) {
            self.bind(param, default);
        }
        for d in &m.defaults {
            self.expr(d);
        }
        self.macros.insert(m.name.to_string(), params);
        self.all(&m.body);
    }

    fn taint(&mut self, target: &ast::Expr<'_>) {
        match target {
            ast::Expr::List(l) => l.items.iter().for_each(|t| self.taint(t)),
            ast::Expr::Tuple(l) => l.items.iter().for_each(|t| self.taint(t)),
            other => {
                if let Some(name) = variable(other) {
                    self.tainted.insert(name);
                }
            }
        }
    }

    /// `target` is given (a part of) `value`.
    fn bind(&mut self, target: &ast::Expr<'_>, value: &ast::Expr<'_>) {
        if self.may_spell_underscore(value) {
            self.taint(target);
        }
        if let (Some(target), ast::Expr::Call(c)) = (variable(target), value)
            && matches!(&c.expr, ast::Expr::Var(v) if v.id == "namespace")
        {
            for arg in &c.args {
                if let ast::CallArg::Kwarg(name, e) = arg
                    && self.may_spell_underscore(e)
                {
                    self.tainted.insert(format!("{target}.{name}"));
                }
            }
        }
    }

    /// Could this expression be a string that holds an underscore which the template itself put there?
    fn may_spell_underscore(&self, e: &ast::Expr<'_>) -> bool {
        match e {
            ast::Expr::Const(c) => value_strings(&c.value).iter().any(|s| fragment(s)),
            ast::Expr::Var(v) => self.tainted.contains(v.id),
            ast::Expr::GetAttr(g) => {
                variable(e).is_some_and(|n| self.tainted.contains(&n)) || self.may_spell_underscore(&g.expr)
            }
            ast::Expr::GetItem(g) => self.may_spell_underscore(&g.expr),
            ast::Expr::Slice(s) => self.may_spell_underscore(&s.expr),
            ast::Expr::UnaryOp(_) | ast::Expr::Compare(_) | ast::Expr::Test(_) => false,
            ast::Expr::BinOp(b) => self.may_spell_underscore(&b.left) || self.may_spell_underscore(&b.right),
            ast::Expr::IfExpr(i) => {
                self.may_spell_underscore(&i.true_expr)
                    || i.false_expr.as_ref().is_some_and(|e| self.may_spell_underscore(e))
            }
            ast::Expr::Filter(f) => {
                !matches!(f.name, "length" | "count" | "int" | "float" | "abs" | "round" | "wordcount")
                    && (matches!(f.name, "urlencode" | "tojson" | "pprint")
                        || (f.name == "format" && !plain_format(&f.expr))
                        || f.expr.as_ref().is_some_and(|e| self.may_spell_underscore(e))
                        || f.args.iter().any(|a| self.may_spell_underscore(argument(a))))
            }
            ast::Expr::Call(c) => {
                let kwarg = |a: &ast::CallArg<'_>| matches!(a, ast::CallArg::Kwarg(n, _) if fragment(n));
                // Text of any kind can come out of a macro.
                matches!(&c.expr, ast::Expr::Var(v) if v.id == "caller" || self.macros.contains_key(v.id))
                    || self.may_spell_underscore(&c.expr)
                    || c.args.iter().any(|a| kwarg(a) || self.may_spell_underscore(argument(a)))
            }
            ast::Expr::List(l) => l.items.iter().any(|e| self.may_spell_underscore(e)),
            ast::Expr::Tuple(l) => l.items.iter().any(|e| self.may_spell_underscore(e)),
            ast::Expr::Map(m) => m.keys.iter().chain(&m.values).any(|e| self.may_spell_underscore(e)),
        }
    }

    fn expr(&mut self, e: &ast::Expr<'_>) {
        match e {
            ast::Expr::Var(v) => self.name(v.id),
            ast::Expr::Const(_) => {}
            ast::Expr::Slice(s) => {
                self.expr(&s.expr);
                for part in [&s.start, &s.stop, &s.step].into_iter().flatten() {
                    self.expr(part);
                }
            }
            ast::Expr::UnaryOp(u) => self.expr(&u.expr),
            ast::Expr::BinOp(b) => {
                if matches!(b.op, ast::BinOpKind::Rem)
                    && let ast::Expr::Const(c) = &b.left
                    && value_strings(&c.value).iter().any(|s| s.contains("%c"))
                {
                    self.doubt("builds text from character codes");
                }
                self.expr(&b.left);
                self.expr(&b.right);
            }
            ast::Expr::Compare(c) => {
                self.expr(&c.expr);
                for op in &c.ops {
                    self.expr(&op.expr);
                }
            }
            ast::Expr::IfExpr(i) => {
                self.expr(&i.test_expr);
                self.expr(&i.true_expr);
                if let Some(e) = &i.false_expr {
                    self.expr(e);
                }
            }
            ast::Expr::Filter(f) => self.filter(f.name, &f.expr, &f.args),
            ast::Expr::Test(t) => {
                if !names::TESTS.contains(&t.name) {
                    self.doubt(format!("test {}", t.name));
                }
                self.expr(&t.expr);
                self.args(&t.args);
            }
            ast::Expr::GetAttr(g) => {
                self.attribute(g.name);
                self.expr(&g.expr);
            }
            ast::Expr::GetItem(g) => {
                self.expr(&g.expr);
                self.subscript(&g.subscript_expr);
            }
            ast::Expr::Call(c) => self.call(c),
            ast::Expr::List(l) => l.items.iter().for_each(|e| self.expr(e)),
            ast::Expr::Tuple(l) => l.items.iter().for_each(|e| self.expr(e)),
            ast::Expr::Map(m) => m.keys.iter().chain(&m.values).for_each(|e| self.expr(e)),
        }
    }

    fn args(&mut self, args: &[ast::CallArg<'_>]) {
        for a in args {
            if let ast::CallArg::Kwarg(name, _) = a {
                self.name(name);
            }
            self.expr(argument(a));
        }
    }

    /// A variable or keyword name.
    fn name(&mut self, name: &str) {
        if name.starts_with("__") {
            self.danger(format!("name {name}"));
        } else if name.starts_with('_') && name.len() > 1 {
            self.doubt(format!("name {name}"));
        }
    }

    fn attribute(&mut self, name: &str) {
        for part in name.split('.') {
            let leads_in = part.starts_with('_') && part.contains("__");
            if leads_in || names::INTERNALS.contains(&part) {
                self.danger(format!("attribute {part}"));
            } else if part.starts_with('_') || part.contains('\\') {
                self.doubt(format!("attribute {part}"));
            }
        }
    }

    fn subscript(&mut self, e: &ast::Expr<'_>) {
        if let ast::Expr::Const(c) = e
            && let Some(s) = c.value.as_str()
        {
            return self.attribute(s);
        }
        self.expr(e);
        if self.may_spell_underscore(e) {
            let dunder = constants(e).iter().any(|s| s.contains("__"));
            let what = "subscript that is put together from text";
            if dunder { self.danger(what) } else { self.doubt(what) }
        }
    }

    fn filter(&mut self, name: &str, on: &Option<ast::Expr<'_>>, args: &[ast::CallArg<'_>]) {
        if let Some(e) = on {
            self.expr(e);
        }
        self.args(args);
        let reads_attribute = matches!(
            name,
            "attr"
                | "map"
                | "selectattr"
                | "rejectattr"
                | "groupby"
                | "sort"
                | "unique"
                | "sum"
                | "min"
                | "max"
        );
        if reads_attribute {
            for (n, a) in args.iter().enumerate() {
                let named = matches!(a, ast::CallArg::Kwarg("attribute", _));
                let positional = n == 0
                    && matches!(a, ast::CallArg::Pos(_))
                    && matches!(name, "attr" | "selectattr" | "rejectattr" | "groupby");
                if named || positional {
                    match argument(a) {
                        ast::Expr::Const(c) => value_strings(&c.value).iter().for_each(|s| self.attribute(s)),
                        other if constants(other).iter().any(|s| s.contains("__")) => {
                            self.danger(format!("filter {name} with a name put together from text"));
                        }
                        _ => self.doubt(format!("filter {name} with a computed name")),
                    }
                }
            }
        }
        // `map('name')`, `select('test')` and the like call a filter or test by name.
        if matches!(name, "map" | "select" | "reject")
            && let Some(ast::CallArg::Pos(first)) = args.first()
        {
            match first {
                ast::Expr::Const(c) => {
                    let known = c
                        .value
                        .as_str()
                        .is_some_and(|s| names::FILTERS.contains(&s) || names::TESTS.contains(&s));
                    if !known {
                        self.doubt(format!("filter {name} calls {}", c.value));
                    }
                }
                _ => self.doubt(format!("filter {name} calls a computed name")),
            }
        }
        if name == "format" && plain_format(on) {
            return;
        }
        if !names::FILTERS.contains(&name) {
            self.doubt(format!("filter {name}"));
        }
    }

    fn call(&mut self, c: &ast::Call<'_>) {
        self.args(&c.args);
        match &c.expr {
            ast::Expr::Var(v) => {
                self.name(v.id);
                if let Some(params) = self.macros.get(v.id).cloned() {
                    for (n, a) in c.args.iter().enumerate() {
                        let param = match a {
                            ast::CallArg::Kwarg(name, _) => Some((*name).to_string()),
                            ast::CallArg::Pos(_) => params.get(n).cloned(),
                            _ => None,
                        };
                        if let Some(p) = param
                            && self.may_spell_underscore(argument(a))
                        {
                            self.tainted.insert(p);
                        }
                    }
                } else if !names::FUNCTIONS.contains(&v.id) {
                    self.doubt(format!("calls {}", v.id));
                }
            }
            ast::Expr::GetAttr(g) => {
                self.attribute(g.name);
                self.expr(&g.expr);
                if g.name == "format"
                    && let ast::Expr::Const(f) = &g.expr
                    && value_strings(&f.value).iter().all(|s| !names::format_reaches(s))
                {
                    return;
                }
                if !names::METHODS.contains(&g.name) {
                    self.doubt(format!("calls method {}", g.name));
                }
            }
            other => {
                self.expr(other);
                self.doubt("calls a computed value");
            }
        }
    }
}

/// Is this a constant for the `format` filter that puts values in and makes no characters from numbers?
fn plain_format(on: &Option<ast::Expr<'_>>) -> bool {
    let Some(ast::Expr::Const(c)) = on else { return false };
    c.value.as_str().is_some_and(|s| !s.contains("%c") && !s.contains("%(") && s.matches('%').count() < 20)
}

/// The name of a variable or of an attribute of one.
fn variable(e: &ast::Expr<'_>) -> Option<String> {
    match e {
        ast::Expr::Var(v) => Some(v.id.to_string()),
        ast::Expr::GetAttr(g) => Some(format!("{}.{}", variable(&g.expr)?, g.name)),
        _ => None,
    }
}

fn argument<'a, 'b>(a: &'b ast::CallArg<'a>) -> &'b ast::Expr<'a> {
    match a {
        ast::CallArg::Pos(e)
        | ast::CallArg::Kwarg(_, e)
        | ast::CallArg::PosSplat(e)
        | ast::CallArg::KwargSplat(e) => e,
    }
}

/// All strings inside a constant.
fn value_strings(v: &Value) -> Vec<String> {
    if let Some(s) = v.as_str() {
        return vec![s.to_string()];
    }
    if matches!(v.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        let mut out = Vec::new();
        for item in v.try_iter().into_iter().flatten() {
            if v.kind() == ValueKind::Map
                && let Ok(inner) = v.get_item(&item)
            {
                out.extend(value_strings(&inner));
            }
            out.extend(value_strings(&item));
        }
        return out;
    }
    Vec::new()
}

/// All string constants in an expression.
fn constants(e: &ast::Expr<'_>) -> Vec<String> {
    match e {
        ast::Expr::Const(c) => value_strings(&c.value),
        ast::Expr::BinOp(b) => [constants(&b.left), constants(&b.right)].concat(),
        ast::Expr::Filter(f) => {
            let mut all = f.expr.as_ref().map(constants).unwrap_or_default();
            all.extend(f.args.iter().flat_map(|a| constants(argument(a))));
            all
        }
        ast::Expr::Call(c) => {
            let mut all = constants(&c.expr);
            all.extend(c.args.iter().flat_map(|a| constants(argument(a))));
            all
        }
        ast::Expr::GetAttr(g) => constants(&g.expr),
        ast::Expr::List(l) => l.items.iter().flat_map(constants).collect(),
        ast::Expr::Tuple(l) => l.items.iter().flat_map(constants).collect(),
        ast::Expr::IfExpr(i) => {
            let mut all = constants(&i.true_expr);
            all.extend(i.false_expr.iter().flat_map(constants));
            all
        }
        ast::Expr::Slice(s) => constants(&s.expr),
        ast::Expr::GetItem(g) => constants(&g.expr),
        _ => Vec::new(),
    }
}
