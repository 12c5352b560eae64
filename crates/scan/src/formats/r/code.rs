//! R code in an object: calls, functions, promises, and what they name.

use std::collections::BTreeSet;
use std::rc::Rc;
use wb_verdict::escape;

/// What is kept of a value: enough to show and judge code, nothing of data.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Nil,
    /// The value of a promise that was never evaluated.
    Unbound,
    Symbol(Rc<str>),
    Text(Rc<str>),
    Call(Rc<Call>),
    Function,
    /// A function of the interpreter, by its name.
    Builtin(Rc<str>),
    /// Environments, data: what it is.
    Other(&'static str),
}

/// Values of a list of pairs, with their names.
pub(super) type Pairs = Vec<(Option<Rc<str>>, Node)>;

/// A call that is kept as a value.
#[derive(Debug)]
pub(super) struct Call {
    pub head: Node,
    /// Beginning of the arguments, with their names.
    pub args: Pairs,
}

/// Functions that run commands, foreign code or connections.
const STRONG: [&str; 24] = [
    "system",
    "system2",
    "shell",
    "shell.exec",
    "pipe",
    "dyn.load",
    "library.dynam",
    "socketConnection",
    "make.socket",
    "serverSocket",
    "download.file",
    "url.show",
    "install.packages",
    "source",
    "sys.source",
    "sourceCpp",
    "cppFunction",
    "source_python",
    "py_run_string",
    "py_run_file",
    "py_eval",
    "unserialize",
    "run_process",
    "fifo",
];

/// Functions that lead there by text or name, change files or the session. Enough where code runs by itself.
const LEADS: [&str; 42] = [
    "eval",
    "evalq",
    "eval.parent",
    "parse",
    "str2lang",
    "str2expression",
    "do.call",
    "match.fun",
    "get",
    "get0",
    "mget",
    "getFromNamespace",
    "getExportedValue",
    "assign",
    "delayedAssign",
    "makeActiveBinding",
    "unlink",
    "file.remove",
    "file.copy",
    "file.rename",
    "file.create",
    "file",
    "url",
    "gzfile",
    "readLines",
    "writeLines",
    "write",
    "cat",
    "readRDS",
    "load",
    "save",
    "saveRDS",
    "sink",
    "Sys.setenv",
    "Sys.chmod",
    "quit",
    "q",
    ".Internal",
    ".External",
    ".Call",
    ".C",
    "reg.finalizer",
];

/// Functions that call what they are given.
const CALLERS: [&str; 17] = [
    "do.call",
    "match.fun",
    "lapply",
    "sapply",
    "vapply",
    "Map",
    "mapply",
    "Reduce",
    "Filter",
    "apply",
    "get",
    "get0",
    "call",
    "as.call",
    "outer",
    "tapply",
    "match.arg",
];

/// Names in one piece of code.
#[derive(Default)]
pub(super) struct Names {
    /// What is called.
    pub heads: BTreeSet<Rc<str>>,
    /// What else is named, as a symbol or text.
    pub others: BTreeSet<Rc<str>>,
    /// The first call that does harm.
    pub shown: Option<String>,
}

/// Names kept of one piece of code.
const MAX_NAMES: usize = 20_000;

impl Names {
    pub(super) fn called(&mut self, call: &Rc<Call>) {
        let name: Rc<str> = match &call.head {
            Node::Symbol(name) | Node::Builtin(name) => name.clone(),
            // `pkg::name(...)`.
            Node::Call(inner) if is_path(inner) => match inner.args.get(1) {
                Some((_, Node::Symbol(name) | Node::Text(name))) => name.clone(),
                _ => "a computed function".into(),
            },
            Node::Text(name) => name.clone(),
            _ => "a computed function".into(),
        };
        if self.shown.is_none() && STRONG.contains(&&*name) {
            self.shown = Some(render(&Node::Call(call.clone())));
        }
        if self.heads.len() < MAX_NAMES {
            self.heads.insert(name);
        }
    }

    pub(super) fn named(&mut self, name: &Rc<str>) {
        if self.others.len() < MAX_NAMES && name.len() < 64 {
            self.others.insert(name.clone());
        }
    }

    /// The first name that does harm, in code that is kept and may run.
    pub(super) fn harm(&self) -> Option<&str> {
        let strong = |names: &BTreeSet<Rc<str>>| STRONG.iter().copied().find(|s| names.contains(*s));
        strong(&self.heads).or_else(|| {
            CALLERS.iter().any(|c| self.heads.contains(*c)).then(|| strong(&self.others)).flatten()
        })
    }

    /// As [`Self::harm`], in code that runs by itself.
    pub(super) fn harm_at_once(&self) -> Option<&str> {
        self.harm()
            .or_else(|| STRONG.iter().copied().find(|s| self.others.contains(*s)))
            .or_else(|| LEADS.iter().copied().find(|s| self.heads.contains(*s)))
    }

    /// A function that is called and not known to be one of models and arithmetic.
    pub(super) fn unknown(&self) -> Option<&str> {
        self.heads.iter().map(|h| &**h).find(|h| !is_modelling(h))
    }
}

fn is_path(call: &Call) -> bool {
    matches!(&call.head, Node::Symbol(s) if matches!(&**s, "::" | ":::"))
}

/// Functions of formulas and of calls that fitted models remember: operators, transformations, model functions of
/// packages. None of them runs a text or a file that it is given.
fn is_modelling(name: &str) -> bool {
    const LIST: &str = include_str!("functions.txt");
    LIST.lines().filter(|l| !l.starts_with('#')).flat_map(str::split_whitespace).any(|f| f == name)
}

/// R's own spelling, bounded.
pub(super) fn render(node: &Node) -> String {
    let mut out = String::new();
    write(node, 0, &mut out);
    escape(&out)
}

fn write(node: &Node, depth: u32, out: &mut String) {
    const MAX: usize = 240;
    if out.len() > MAX || depth > 8 {
        if !out.ends_with("...") {
            out.push_str("...");
        }
        return;
    }
    match node {
        Node::Nil => out.push_str("NULL"),
        Node::Unbound => out.push_str("<not evaluated>"),
        Node::Symbol(s) | Node::Builtin(s) => out.push_str(s),
        Node::Text(t) => {
            out.push('"');
            out.push_str(t);
            out.push('"');
        }
        Node::Function => out.push_str("<function>"),
        Node::Other(what) => out.push_str(what),
        Node::Call(call) if is_path(call) => {
            for (n, (_, arg)) in call.args.iter().enumerate() {
                if n > 0 {
                    out.push_str("::");
                }
                write(arg, depth + 1, out);
            }
        }
        Node::Call(call) => {
            write(&call.head, depth + 1, out);
            out.push('(');
            for (n, (name, arg)) in call.args.iter().enumerate() {
                if n > 0 {
                    out.push_str(", ");
                }
                if let Some(name) = name {
                    out.push_str(name);
                    out.push_str(" = ");
                }
                write(arg, depth + 1, out);
            }
            out.push(')');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(head: Node, args: &[Node]) -> Rc<Call> {
        Rc::new(Call { head, args: args.iter().map(|a| (None, a.clone())).collect() })
    }

    fn symbol(name: &str) -> Node {
        Node::Symbol(name.into())
    }

    #[test]
    fn what_is_called_decides_not_what_is_named() {
        let mut names = Names::default();
        names.called(&call(symbol("lm"), &[symbol("system")]));
        names.named(&"system".into());
        assert_eq!((names.harm(), names.unknown()), (None, None));
        names.called(&call(symbol("lapply"), &[]));
        assert_eq!(names.harm(), Some("system"));
    }

    #[test]
    fn functions_of_packages_are_told_by_their_names() {
        let path = Node::Call(call(symbol("::"), &[symbol("base"), symbol("system")]));
        let whole = call(path, &[Node::Text("id".into())]);
        let mut names = Names::default();
        names.called(&whole);
        assert_eq!(names.shown.as_deref(), Some("base::system(\"id\")"));
    }
}
