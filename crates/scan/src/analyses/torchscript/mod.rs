//! TorchScript source: the Python-like text that torch's own interpreter compiles and runs. It is no Python: what a name means
//! is fixed (`torch/csrc/jit/serialization/import_source.cpp`), and whatever reaches beyond tensors is an operator of torch's
//! registry, reached as `torch.NAME`, `ops.NAMESPACE.NAME` or a method of a value, or a native class under
//! `__torch__.torch.classes`.
//!
//! Every name behind a dot is held against the registry, whether it is called or not: a module may be kept in a variable first.

mod lexer;

use crate::catalogue::torch_ops::{self, Operator};
use lexer::{Kind, Token};
use std::collections::HashSet;
use wb_verdict::{FactKind, escape_bytes};

/// Operators told per source.
const MAX_TOLD: usize = 200;

/// Functions of Python's that run code or open files.
const PYTHON: &[&str] = &["exec", "eval", "compile", "__import__", "open", "breakpoint", "globals", "vars"];

/// What a source defines, and what of it only the other sources can tell.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Functions, methods and classes.
    pub defined: HashSet<Vec<u8>>,
    /// Methods called on values that are neither operators nor defined so far: name, offset, rendering.
    pub open: Vec<(Vec<u8>, u64, String)>,
}

/// Judges one source; returns where torch would refuse to read it, if it would.
pub(crate) fn judge(source: &[u8], names: &mut Names, found: &mut dyn FnMut(u64, FactKind)) -> Option<u64> {
    let (tokens, wrong) = lexer::tokens(source);
    let mut walk = Walk { source, tokens: &tokens, names, found, told: 0, within: None };
    walk.run();
    wrong.map(|at| at as u64)
}

/// A fact about an operator.
pub(crate) fn operator_fact(code: &str, op: &str, detail: String) -> FactKind {
    FactKind::Operator { code: code.into(), op: wb_verdict::escape(op), detail }
}

/// The fact of a name `__torch__.torch.classes.NAME`, unless torch itself registers the class.
pub(crate) fn class_fact(dotted: &str, detail: String) -> Option<FactKind> {
    let name = dotted.strip_prefix("__torch__.torch.classes")?;
    let name = name.strip_prefix('.').unwrap_or(name);
    (!torch_ops::is_known_class(name)).then(|| operator_fact("torch-class", dotted, detail))
}

/// The facts of an operator's full name as registries write it, `aten::relu.out`; `None` if it is no such name.
pub(crate) fn registered(name: &str) -> Option<Operator> {
    let (space, rest) = name.split_once("::")?;
    let plain = rest.split('.').next().unwrap_or(rest);
    Some(torch_ops::operator(space, plain))
}

struct Walk<'a> {
    source: &'a [u8],
    tokens: &'a [Token],
    names: &'a mut Names,
    found: &'a mut dyn FnMut(u64, FactKind),
    told: usize,
    /// The function that is being defined.
    within: Option<Token>,
}

impl Walk<'_> {
    fn text(&self, token: Token) -> &[u8] {
        self.source.get(token.at..token.end).unwrap_or_default()
    }

    fn name(&self, at: usize) -> Option<&[u8]> {
        self.tokens.get(at).filter(|t| t.kind == Kind::Name).map(|t| self.text(*t))
    }

    fn is_sign(&self, at: usize, sign: u8) -> bool {
        self.tokens.get(at).is_some_and(|t| t.kind == Kind::Sign(sign))
    }

    fn run(&mut self) {
        let mut at = 0;
        while let Some(&token) = self.tokens.get(at) {
            match token.kind {
                Kind::Name => at = self.chain(at),
                Kind::Sign(b'^') => {
                    let operand = at.checked_sub(1).and_then(|n| self.tokens.get(n)).is_some_and(|t| {
                        matches!(t.kind, Kind::Name | Kind::Number | Kind::Text | Kind::Sign(b')' | b']'))
                    });
                    // `^Function(...)(...)` is how a call of a Python function is written.
                    if !operand && !self.is_sign(at + 1, b'=') {
                        self.tell("torch-python", "a python function", token);
                    }
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }

    /// A name with what follows it behind dots; returns where it ends.
    fn chain(&mut self, start: usize) -> usize {
        let mut end = start + 1;
        while self.is_sign(end, b'.') && self.name(end + 1).is_some() {
            end += 2;
        }
        let behind_dot = start > 0 && self.is_sign(start - 1, b'.');
        let before = start.checked_sub(1).and_then(|n| self.name(n)).map(<[u8]>::to_vec);
        let parts: Vec<String> = (start..end).step_by(2).filter_map(|n| self.name(n)).map(lossy).collect();
        let token = self.tokens[start];
        if before.as_deref() == Some(b"def") || before.as_deref() == Some(b"class") {
            self.within = (before.as_deref() == Some(b"def")).then_some(token);
            self.names.defined.insert(self.text(token).to_vec());
            return end;
        }
        let first = parts.first().map_or("", String::as_str);
        // Names of Python that TorchScript does not have: the same text may be meant for another reader.
        let import = before.as_deref() == Some(b"import") && first != "__torch__";
        let runs = !behind_dot && end == start + 1 && PYTHON.contains(&first) && self.is_sign(end, b'(');
        if import || runs {
            self.tell("torch-python", first, token);
        }
        let from = match first {
            _ if behind_dot => 0,
            "torch" => {
                match parts.get(1) {
                    Some(op) => self.operator("aten", op, token),
                    None => self.tell("torch-unknown", "torch itself as a value", token),
                }
                2
            }
            "ops" => {
                match (parts.get(1), parts.get(2)) {
                    (Some(space), Some(op)) => self.operator(space, op, token),
                    _ => self.tell("torch-unknown", "a namespace of operators as a value", token),
                }
                3
            }
            "__torch__" => {
                self.own(&parts, before.as_deref() == Some(b"import"), token);
                parts.len()
            }
            "rpc_async" | "rpc_sync" | "rpc_remote" => {
                self.tell("torch-network", first, token);
                1
            }
            "getattr" => {
                self.by_text(end);
                1
            }
            _ => 1,
        };
        for (n, name) in parts.iter().enumerate().skip(from) {
            let called = n + 1 == parts.len() && self.is_sign(end, b'(');
            let token = self.tokens[start + 2 * n];
            self.attribute(name, called, token);
        }
        end
    }

    fn operator(&mut self, space: &str, op: &str, token: Token) {
        if let Some(code) = torch_ops::operator(space, op).code() {
            self.tell(code, &format!("{space}::{op}"), token);
        }
    }

    /// Names of the archive itself, and native classes.
    fn own(&mut self, parts: &[String], import: bool, token: Token) {
        let dotted = parts.join(".");
        if parts.get(1).map(String::as_str) == Some("torch")
            && parts.get(2).map(String::as_str) == Some("classes")
        {
            // A class may stand alone or in a namespace; behind it stands what is called of it.
            let known = [4, 5]
                .iter()
                .any(|n| parts.get(3..*n).is_some_and(|name| torch_ops::is_known_class(&name.join("."))));
            if !known {
                self.tell("torch-class", &dotted, token);
            }
        } else if !import && (parts.len() < 2 || (parts.len() == 2 && parts[1] == "torch")) {
            self.tell("torch-unknown", "the namespace of classes as a value", token);
        }
    }

    /// A name behind a dot: an attribute, a method, or an operator that takes the value before it.
    fn attribute(&mut self, name: &str, called: bool, token: Token) {
        if let Some(effect) = torch_ops::effect_of_name(name) {
            return self.tell(effect.code(), name, token);
        }
        let harmless =
            || ["aten", "prim"].iter().any(|space| torch_ops::operator(space, name) == Operator::Harmless);
        if called && !self.names.defined.contains(name.as_bytes()) && !harmless() && self.told < MAX_TOLD {
            self.told += 1;
            let rendering = self.rendering(token);
            self.names.open.push((name.as_bytes().to_vec(), token.at as u64, rendering));
        }
    }

    /// `getattr(value, "name")`: the texts among its arguments are names.
    fn by_text(&mut self, open: usize) {
        let (mut at, mut depth, mut name) = (open, 0i64, Vec::new());
        let mut first = None;
        while let Some(&token) = self.tokens.get(at) {
            match token.kind {
                Kind::Sign(b'(' | b'[' | b'{') => depth += 1,
                Kind::Sign(b')' | b']' | b'}') => {
                    depth -= 1;
                    if depth <= 0 {
                        break;
                    }
                }
                // Texts that stand side by side are one.
                Kind::Text => {
                    first = first.or(Some(token));
                    name.extend(lexer::decoded(self.text(token)));
                }
                _ => {}
            }
            at += 1;
        }
        if let Some(token) = first
            && let Some(effect) = torch_ops::effect_of_name(&lossy(&name))
        {
            self.tell(effect.code(), &lossy(&name), token);
        }
    }

    fn tell(&mut self, code: &str, op: &str, token: Token) {
        self.told += 1;
        if self.told <= MAX_TOLD || code == "torch-file-write" {
            let detail = self.rendering(token);
            (self.found)(token.at as u64, operator_fact(code, op, detail));
        }
    }

    /// The line around a token, and the function it stands in.
    fn rendering(&self, token: Token) -> String {
        const MAX: usize = 200;
        let line = &self.source[token.at..];
        let begin = memchr::memrchr(b'\n', &self.source[..token.at])
            .map_or(0, |n| n + 1)
            .max(token.at.saturating_sub(80));
        let len = memchr::memchr(b'\n', line).unwrap_or(line.len());
        let end = (token.at + len).min(begin + MAX);
        let line = escape_bytes(self.source.get(begin..end).unwrap_or_default().trim_ascii());
        match self.within {
            Some(function) => format!("in {}: {line}", escape_bytes(self.text(function))),
            None => line,
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(source: &str) -> Vec<String> {
        let (mut names, mut out) = (Names::default(), Vec::new());
        judge(source.as_bytes(), &mut names, &mut |_, f| {
            if let FactKind::Operator { code, .. } = f {
                out.push(code);
            }
        });
        let open = names.open.iter().filter(|(n, ..)| !names.defined.contains(n));
        out.extend(open.map(|(n, ..)| format!("open {}", lossy(n))));
        out
    }

    #[test]
    fn what_torch_prints_is_harmless() {
        let source = r#"class Net(Module):
  __parameters__ = ["weight", ]
  c : __torch__.torch.nn.modules.conv.Conv2d
  p : __torch__.torch.classes.quantized.LinearPackedParamsBase
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    _0 = __torch__.torch.nn.functional.batch_norm
    c = self.c
    x0 = torch.relu((c).forward(x, ))
    if torch.ne(torch.dim(x), 4):
      ops.prim.RaiseException(torch.format("torch.save {}", x), "builtins.ValueError")
    else:
      pass
    _1 = getattr(self, "1")
    y = ops.quantized.linear_dynamic(x0, self.p, True)
    return annotate(Tensor, torch.__xor__(y, CONSTANTS.c0))
"#;
        assert_eq!(codes(source), Vec::<String>::new());
    }

    #[test]
    fn every_way_to_an_operator_counts() {
        for source in [
            "torch.save(x, \"/tmp/x\")",
            "(x).save(\"/tmp/x\")",
            "x.save(\"/tmp/x\")",
            "f = x.save",
            "torch . # c\n  save",
            "getattr(x, \"sa\" \"v\\x65\")(\"/tmp/x\")",
            "ops.aten.save(x, \"y\")",
            "torch.from_file(\"/etc/passwd\", True, 10)",
            "ops.image.write_file(\"x\", y)",
        ] {
            assert_eq!(codes(source), ["torch-file-write"], "{source}");
        }
        assert_eq!(codes("ops.image.read_file(\"x\")"), ["torch-file-read"]);
        assert_eq!(codes("ops.mine.thing(x)"), ["torch-unknown"]);
        assert_eq!(codes("t = torch"), ["torch-unknown"]);
        assert_eq!(codes("t = ops.image"), ["torch-unknown"]);
        assert_eq!(codes("t = __torch__.torch"), ["torch-unknown"]);
        assert_eq!(codes("x.frobnicate()"), ["open frobnicate"]);
        assert_eq!(codes("def frobnicate(x): pass\nx.frobnicate()"), Vec::<String>::new());
        assert_eq!(codes("a : __torch__.torch.classes.mine.Thing"), ["torch-class"]);
        assert_eq!(codes("y = ^Mine()(x)"), ["torch-python"]);
        assert_eq!(codes("y = a ^ b"), Vec::<String>::new());
        assert_eq!(codes("import os"), ["torch-python"]);
        assert_eq!(codes("import __torch__.torch.nn"), Vec::<String>::new());
        assert_eq!(codes("exec(\"x\")"), ["torch-python"]);
        assert_eq!(codes("rpc_async(\"w\", f)"), ["torch-network"]);
    }
}
