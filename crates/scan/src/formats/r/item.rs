//! `ReadItem` of R's `src/main/serialize.c`, without making anything.

use super::code::{Call, Names, Node, Pairs, render};
use super::input::Input;
use crate::cx::{Cx, Stop};
use std::rc::Rc;
use wb_blob::Blob;
use wb_verdict::{FactKind, escape};

/// Nesting that is followed; R's own stack ends soon after.
pub(super) const DEEPEST: u32 = 300;
/// Arguments kept of a call, for its rendering.
pub(super) const MAX_ARGS: usize = 12;
/// The bit of a frame's binding that makes it active: reading the variable calls the function.
const ACTIVE: u32 = 1 << 15;
/// Facts of one kind that are told one by one.
const MAX_TOLD: u32 = 30;

/// The flags in front of an item.
#[derive(Clone, Copy)]
pub(super) struct Flags {
    pub kind: u32,
    levels: u32,
    attributes: bool,
    tag: bool,
    raw: u32,
}

/// Reads items, and tells of code among them.
pub(super) struct Reader<'r, 'c> {
    pub input: Input,
    blob: &'r Blob,
    pub cx: &'r mut Cx<'c>,
    /// Symbols, environments and the like, in their order.
    refs: Vec<Node>,
    held: u64,
    /// The code under way, if any.
    names: Option<Names>,
    told: u32,
}

impl<'r, 'c> Reader<'r, 'c> {
    pub(super) fn new(input: Input, blob: &'r Blob, cx: &'r mut Cx<'c>) -> Self {
        Self { input, blob, cx, refs: Vec::new(), held: 0, names: None, told: 0 }
    }

    /// One object and everything in it.
    pub(super) fn object(&mut self) -> Result<Node, Stop> {
        self.refs.clear();
        self.item(0)
    }

    /// What `save` writes: a list of variables. False if it is something else.
    pub(super) fn workspace(&mut self) -> Result<bool, Stop> {
        self.refs.clear();
        self.bindings(0)
    }

    pub(super) fn flags(&mut self) -> Result<Flags, Stop> {
        let raw = self.input.int()? as u32;
        Ok(Flags {
            kind: raw & 0xff,
            levels: raw >> 12,
            attributes: raw & 1 << 9 != 0,
            tag: raw & 1 << 10 != 0,
            raw,
        })
    }

    pub(super) fn item(&mut self, depth: u32) -> Result<Node, Stop> {
        let flags = self.flags()?;
        self.after_flags(flags, depth)
    }

    fn keep(&mut self, node: Node) -> Result<(), Stop> {
        self.held += size_of::<Node>() as u64 + 16;
        self.cx.budget.memory(self.held)?;
        self.refs.push(node);
        Ok(())
    }

    pub(super) fn after_flags(&mut self, f: Flags, depth: u32) -> Result<Node, Stop> {
        self.cx.budget.steps(2)?;
        if depth > DEEPEST {
            return Err(Stop::Unsupported("an R object nested deeper than is followed".into()));
        }
        let at = self.input.at;
        let node = match f.kind {
            254 => return Ok(Node::Nil),
            252 => return Ok(Node::Unbound),
            253 | 250 | 242 | 241 => return Ok(Node::Other("<environment>")),
            251 => return Ok(Node::Other("")),
            255 => {
                let n = match f.raw >> 8 {
                    0 => self.input.int()? as u32,
                    n => n,
                };
                let found = (n as usize).checked_sub(1).and_then(|n| self.refs.get(n)).cloned();
                let node = found.ok_or_else(|| Stop::malformed(at, "a reference to nothing before it"))?;
                if let (Some(names), Node::Symbol(name)) = (&mut self.names, &node) {
                    names.named(name);
                }
                return Ok(node);
            }
            // Environments of packages and namespaces are found by name, which loads installed packages.
            247..=249 => {
                self.input.int()?;
                let count = self.input.length()?;
                for _ in 0..count {
                    self.item(depth + 1)?;
                }
                if f.kind == 247 {
                    let detail = "a reference that only a hook of the reader understands".to_string();
                    self.tell(at, "r-persistent", detail);
                }
                self.keep(Node::Other("<environment>"))?;
                return Ok(Node::Other("<environment>"));
            }
            238 => return self.alternative(at, depth),
            1 => {
                let name = match self.item(depth + 1)? {
                    Node::Text(name) => name,
                    _ => "".into(),
                };
                self.held += name.len() as u64;
                if let Some(names) = &mut self.names {
                    names.named(&name);
                }
                self.keep(Node::Symbol(name.clone()))?;
                return Ok(Node::Symbol(name));
            }
            4 => return self.environment(depth),
            2 | 5 | 6 | 3 | 17 => return self.pairs(f, at, depth),
            22 => {
                self.keep(Node::Other("<pointer>"))?;
                self.item(depth + 1)?;
                self.item(depth + 1)?;
                Node::Other("<pointer>")
            }
            23 => {
                self.keep(Node::Other("<weak reference>"))?;
                Node::Other("<weak reference>")
            }
            7 | 8 => {
                let len = self.input.length()?;
                let name: Rc<str> = self.input.text(len)?.into();
                if let Some(names) = &mut self.names {
                    names.named(&name);
                }
                Node::Builtin(name)
            }
            9 => {
                let node = match self.input.int()? {
                    -1 => Node::Other("NA"),
                    n if n < 0 => return Err(Stop::malformed(at, "a negative length")),
                    n => Node::Text(self.input.text(n as u64)?.into()),
                };
                if f.attributes {
                    self.item(depth + 1)?;
                }
                return Ok(node);
            }
            10 | 13 => self.numbers(4)?,
            14 => self.numbers(8)?,
            15 => {
                let n = self.input.length()?;
                self.input.values(n.saturating_mul(2), 8)?;
                Node::Other("<complex>")
            }
            16 | 19 | 20 => self.list(f, depth)?,
            24 => {
                let n = self.input.length()?;
                self.bytes(n)?;
                Node::Other("<raw>")
            }
            25 => Node::Other("<S4 object>"),
            21 => self.bytecode(depth)?,
            other => return Err(Stop::malformed(at, format!("R has no type {other}"))),
        };
        if f.attributes {
            self.aside(|r| r.item(depth + 1))?;
        }
        Ok(node)
    }

    /// Attributes and environments are data, wherever they stand.
    pub(super) fn aside<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        let names = self.names.take();
        let done = f(self);
        self.names = names;
        done
    }

    fn numbers(&mut self, size: u64) -> Result<Node, Stop> {
        let n = self.input.length()?;
        self.input.values(n, size)?;
        Ok(Node::Other(if n == 1 { "<number>" } else { "<numbers>" }))
    }

    /// Raw vectors hold models of other libraries: judged under whatever reading they have.
    fn bytes(&mut self, n: u64) -> Result<(), Stop> {
        const LEAST: u64 = 16;
        let at = self.input.at;
        let Some(range) = self.input.raw(n)? else { return Ok(()) };
        let data = self.blob.sub(range);
        if n >= LEAST && crate::analyses::opaque::hidden(&data, &data.head(4096)?).is_some() {
            self.cx.member(format!("raw@{at:#x}").as_bytes(), &data);
        }
        Ok(())
    }

    fn list(&mut self, f: Flags, depth: u32) -> Result<Node, Stop> {
        let n = self.input.length()?;
        if n > self.input.left() {
            return Err(Stop::malformed(self.input.at, "a vector longer than the file"));
        }
        let mut first = None;
        for i in 0..n {
            let node = self.item(depth + 1)?;
            if f.kind == 16
                && let (Some(names), Node::Text(text)) = (&mut self.names, &node)
            {
                names.named(text);
            }
            if i == 0 && n == 1 && f.kind == 16 {
                first = Some(node);
            }
        }
        Ok(first.unwrap_or(Node::Other(match f.kind {
            16 => "<texts>",
            19 => "<list>",
            _ => "<expressions>",
        })))
    }

    fn environment(&mut self, depth: u32) -> Result<Node, Stop> {
        self.input.int()?;
        self.keep(Node::Other("<environment>"))?;
        self.aside(|r| {
            r.item(depth + 1)?;
            // The frame is a list of bindings, the table a vector of such.
            r.bindings(depth + 1)?;
            r.bindings(depth + 1)?;
            r.item(depth + 1)
        })?;
        Ok(Node::Other("<environment>"))
    }

    /// A frame: pairs whose flags may make them active. False if it is none.
    fn bindings(&mut self, depth: u32) -> Result<bool, Stop> {
        const AT_START: [&str; 4] = [".First", ".Last", ".First.sys", ".Last.sys"];
        let mut f = self.flags()?;
        let frame = matches!(f.kind, 2 | 19 | 254);
        if f.kind == 19 {
            let n = self.input.length()?;
            if n > self.input.left() {
                return Err(Stop::malformed(self.input.at, "a table longer than the file"));
            }
            for _ in 0..n {
                self.bindings(depth + 1)?;
            }
            if f.attributes {
                self.item(depth + 1)?;
            }
            return Ok(depth > 0);
        }
        if depth > DEEPEST {
            return Err(Stop::Unsupported("an R object nested deeper than is followed".into()));
        }
        loop {
            if f.kind != 2 {
                self.after_flags(f, depth + 1)?;
                return Ok(frame);
            }
            self.cx.budget.steps(2)?;
            let at = self.input.at;
            if f.attributes {
                self.item(depth + 1)?;
            }
            let name = if f.tag { self.item(depth + 1)? } else { Node::Nil };
            let value =
                if f.levels & ACTIVE != 0 { self.active(at, &name, depth)? } else { self.item(depth + 1)? };
            if let (Node::Function, Node::Symbol(name)) = (&value, &name)
                && AT_START.contains(&&**name)
            {
                let detail = format!("{name} runs when R starts or ends in the folder of a workspace");
                self.tell(at, "r-startup", detail);
            }
            f = self.flags()?;
        }
    }

    fn active(&mut self, at: u64, name: &Node, depth: u32) -> Result<Node, Stop> {
        let outer = self.names.replace(Names::default());
        let value = self.item(depth + 1);
        let names = std::mem::replace(&mut self.names, outer).unwrap_or_default();
        self.by_itself(at, &format!("an active binding {}", render(name)), &names);
        value
    }

    /// Everything that is a pair: lists, calls, functions, promises.
    fn pairs(&mut self, f: Flags, at: u64, depth: u32) -> Result<Node, Stop> {
        match f.kind {
            3 => self.function(f, at, depth),
            5 => self.promise(f, at, depth),
            6 => {
                let fresh = self.names.is_none();
                if fresh {
                    self.names = Some(Names::default());
                }
                let call = self.call(f, depth);
                let names = if fresh { self.names.take() } else { None };
                if let Some(names) = names {
                    self.kept_call(at, &names, call.as_ref().ok());
                }
                call
            }
            _ => {
                self.pair_list(f, depth)?;
                Ok(Node::Other("<pairs>"))
            }
        }
    }

    /// The pairs from `f` on; returns the first of them. Written iteratively, as R reads it since 4.0.
    pub(super) fn pair_list(&mut self, mut f: Flags, depth: u32) -> Result<Pairs, Stop> {
        let mut out = Vec::new();
        loop {
            self.cx.budget.steps(2)?;
            if f.attributes {
                self.aside(|r| r.item(depth + 1))?;
            }
            let tag = if f.tag { self.item(depth + 1)? } else { Node::Nil };
            let value = self.item(depth + 1)?;
            if out.len() < MAX_ARGS {
                let name = if let Node::Symbol(name) = tag { Some(name) } else { None };
                out.push((name, value));
            }
            f = self.flags()?;
            if !matches!(f.kind, 2 | 17) {
                self.after_flags(f, depth + 1)?;
                return Ok(out);
            }
        }
    }

    fn call(&mut self, f: Flags, depth: u32) -> Result<Node, Stop> {
        if f.attributes {
            self.aside(|r| r.item(depth + 1))?;
        }
        if f.tag {
            self.item(depth + 1)?;
        }
        let head = self.item(depth + 1)?;
        let rest = self.flags()?;
        let args = match rest.kind {
            2 | 17 => self.pair_list(rest, depth)?,
            _ => {
                self.after_flags(rest, depth + 1)?;
                Vec::new()
            }
        };
        Ok(self.called(head, args))
    }

    pub(super) fn called(&mut self, head: Node, args: Pairs) -> Node {
        let call = Rc::new(Call { head, args });
        if let Some(names) = &mut self.names {
            names.called(&call);
        }
        Node::Call(call)
    }

    fn function(&mut self, f: Flags, at: u64, depth: u32) -> Result<Node, Stop> {
        if f.attributes {
            self.aside(|r| r.item(depth + 1))?;
        }
        if f.tag {
            self.aside(|r| r.item(depth + 1))?;
        }
        let outer = self.names.replace(Names::default());
        let done = self.item(depth + 1).and_then(|_| self.item(depth + 1));
        let names = std::mem::replace(&mut self.names, outer).unwrap_or_default();
        match (names.harm(), &names.shown) {
            (Some(what), shown) => {
                let shown = shown.clone().unwrap_or_default();
                self.tell(at, "r-code-dangerous", format!("a function calls {what}: {shown}"));
            }
            _ => self.tell(at, "r-function", format!("a function that calls {}", summary(&names))),
        }
        done.map(|_| Node::Function)
    }

    fn promise(&mut self, f: Flags, at: u64, depth: u32) -> Result<Node, Stop> {
        if f.attributes {
            self.aside(|r| r.item(depth + 1))?;
        }
        if f.tag {
            self.aside(|r| r.item(depth + 1))?;
        }
        let value = self.aside(|r| r.item(depth + 1))?;
        let outer = self.names.replace(Names::default());
        let code = self.item(depth + 1);
        let names = std::mem::replace(&mut self.names, outer).unwrap_or_default();
        let shown = code.as_ref().map(render).unwrap_or_default();
        // A constant runs nothing; what a variable leads to is told where it is kept.
        let runs = !names.heads.is_empty()
            || !matches!(code, Ok(Node::Symbol(_) | Node::Text(_) | Node::Nil | Node::Other("<number>")));
        if matches!(value, Node::Unbound) && runs {
            self.by_itself(at, &format!("a promise of {shown}"), &names);
        } else {
            self.kept_call(at, &names, code.as_ref().ok());
        }
        code.map(|_| Node::Other("<promise>"))
    }

    /// Code that runs when its value is looked at.
    fn by_itself(&mut self, at: u64, what: &str, names: &Names) {
        match names.harm_at_once() {
            Some(harm) => self.tell(at, "r-code-dangerous", format!("{what} calls {harm}")),
            None => self.tell(at, "r-promise", what.to_string()),
        }
    }

    /// A call that is kept as data, as fitted models and formulas keep it.
    fn kept_call(&mut self, at: u64, names: &Names, call: Option<&Node>) {
        let shown = call.map(render).unwrap_or_default();
        if let Some(harm) = names.harm() {
            let shown = names.shown.clone().unwrap_or(shown);
            self.tell(at, "r-code-dangerous", format!("a call that is kept leads to {harm}: {shown}"));
        } else if let Some(name) = names.unknown() {
            self.tell(at, "r-call", format!("{name} in {shown}"));
        }
    }

    pub(super) fn tell(&mut self, at: u64, code: &str, detail: String) {
        let dangerous = code == "r-code-dangerous";
        if !dangerous && self.told >= MAX_TOLD {
            return;
        }
        self.told += 1;
        let detail: String = detail.chars().take(400).collect();
        self.cx.fact(Some(at), FactKind::Directive { code: code.into(), detail: escape(&detail) });
    }
}

fn summary(names: &Names) -> String {
    let shown: Vec<&str> = names.heads.iter().map(|h| &**h).filter(|h| h.len() > 1).take(8).collect();
    if shown.is_empty() { "nothing".into() } else { shown.join(", ") }
}
