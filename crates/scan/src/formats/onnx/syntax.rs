//! ONNX's own text syntax (`.onnxtxt`, `onnx.parser` and `onnx.printer`; <https://onnx.ai/onnx/repo-docs/Syntax.html>): turned
//! into the binary form, and judged as that. Where the text is none, what stands before is judged all the same.

use super::super::prototext::{put_bytes, put_fixed, put_varint};
use super::super::{Claim, Coverage, Format, Probe};
use super::spelled;
use crate::cx::{Cx, Stop};
use wb_blob::Blob;

/// Models in ONNX's own syntax.
pub struct OnnxSyntax;

/// Longer texts are not judged, in bytes.
const MAX: u64 = 32 << 20;
/// Graphs inside graphs, and types inside types.
const DEEPEST: u32 = 100;

impl Format for OnnxSyntax {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&super::COVERAGE)
    }

    fn id(&self) -> &'static str {
        "onnx-text"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.head.contains(&0) {
            return Claim::No;
        }
        let text = if probe.blob.len() <= MAX { probe.blob.head(1 << 20) } else { Ok(probe.head.clone()) };
        if text.is_ok_and(|t| begins_as_model(&t)) { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        if blob.len() > MAX {
            return Err(Stop::Unsupported("an ONNX model as text of this size".into()));
        }
        let bytes = blob.read_range(0..blob.len())?;
        let mut p = Parser { text: &bytes, at: 0 };
        let mut binary = Vec::new();
        let sound = p.model(&mut binary).is_some() && p.done();
        spelled::judge(self.id(), binary, &[], cx)?;
        let at = p.at as u64;
        if sound { Ok(()) } else { Err(Stop::malformed(at, "text that is no model from here on")) }
    }
}

/// A model begins with its properties in angle brackets, the first of which has one of these names; a graph or a function
/// may stand alone.
fn begins_as_model(text: &[u8]) -> bool {
    const PROPERTIES: &[&[u8]] = &[
        b"ir_version",
        b"opset_import",
        b"producer_name",
        b"producer_version",
        b"domain",
        b"model_version",
        b"doc_string",
        b"metadata_props",
    ];
    let mut p = Parser { text, at: 0 };
    if p.take(b"<") {
        return p.id().is_some_and(|name| PROPERTIES.contains(&&name[..])) && p.take(b":");
    }
    // `name (inputs) => (outputs)`.
    p.id().is_some()
        && p.peek() == Some(b'(')
        && p.values(11, &mut Vec::new(), &mut Vec::new(), 0).is_some()
        && p.take(b"=>")
}

struct Parser<'t> {
    text: &'t [u8],
    at: usize,
}

/// Numbers of element types (`TensorProto.DataType`).
fn element(name: &[u8]) -> Option<u64> {
    const NAMES: &[&str] = &[
        "undefined",
        "float",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "double",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
        "float8e4m3fn",
        "float8e4m3fnuz",
        "float8e5m2",
        "float8e5m2fnuz",
        "uint4",
        "int4",
        "float4e2m1",
        "float8e8m0",
        "uint2",
        "int2",
    ];
    NAMES.iter().position(|n| n.as_bytes() == name).map(|n| n as u64)
}

/// A type as far as a tensor of it is written down.
#[derive(Default)]
struct Type {
    element: u64,
    dims: Vec<u64>,
    /// Every dimension is a number.
    fixed: bool,
}

impl Parser<'_> {
    fn space(&mut self) {
        while let Some(b) = self.text.get(self.at) {
            match b {
                b'#' => {
                    let line = memchr::memchr(b'\n', &self.text[self.at..]);
                    self.at = line.map_or(self.text.len(), |n| self.at + n + 1);
                }
                b if b.is_ascii_whitespace() || *b == 0x0b => self.at += 1,
                _ => break,
            }
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.text.get(self.at).copied()
    }

    fn done(&mut self) -> bool {
        self.peek().is_none()
    }

    fn take(&mut self, what: &[u8]) -> bool {
        self.space();
        let there = self.text[self.at..].starts_with(what);
        self.at += if there { what.len() } else { 0 };
        there
    }

    fn need(&mut self, what: &[u8]) -> Option<()> {
        self.take(what).then_some(())
    }

    /// An identifier, or one in quotes.
    fn id(&mut self) -> Option<Vec<u8>> {
        if self.peek()? == b'"' {
            return self.string();
        }
        let rest = &self.text[self.at..];
        let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        if len == 0 || rest[0].is_ascii_digit() {
            return None;
        }
        self.at += len;
        Some(rest[..len].to_vec())
    }

    fn string(&mut self) -> Option<Vec<u8>> {
        self.need(b"\"")?;
        let mut out = Vec::new();
        loop {
            let b = *self.text.get(self.at)?;
            self.at += 1;
            match b {
                b'"' => return Some(out),
                b'\\' => {
                    out.push(*self.text.get(self.at)?);
                    self.at += 1;
                }
                b => out.push(b),
            }
        }
    }

    /// A number; its text.
    fn number(&mut self) -> Option<String> {
        self.space();
        let rest = &self.text[self.at..];
        let len =
            rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-')).count();
        let text = String::from_utf8_lossy(&rest[..len]).into_owned();
        // Hexadecimal integers, `inf` and `nan` are numbers here too.
        let body = text.strip_prefix(['-', '+']).unwrap_or(&text);
        let is = body.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            || matches!(&body.to_ascii_lowercase()[..], "inf" | "infinity" | "nan");
        if !is {
            return None;
        }
        self.at += len;
        Some(text)
    }

    fn integer(&mut self) -> Option<u64> {
        whole(&self.number()?)
    }

    /// `item, item, …` up to and with `close`, which may follow at once.
    fn list(&mut self, close: &[u8], item: &mut dyn FnMut(&mut Self) -> Option<()>) -> Option<()> {
        while !self.take(close) {
            item(self)?;
            let _ = self.take(b",");
        }
        Some(())
    }

    fn model(&mut self, out: &mut Vec<u8>) -> Option<()> {
        if self.take(b"<") {
            self.list(b">", &mut |p| p.property(out))?;
        }
        message(out, 7, |out| self.graph(out, 0))?;
        while !self.done() {
            message(out, 25, |out| self.function(out))?;
        }
        Some(())
    }

    fn property(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let name = self.id()?;
        self.need(b":")?;
        let texts: [(&[u8], u32); 4] =
            [(b"producer_name", 2), (b"producer_version", 3), (b"domain", 4), (b"doc_string", 6)];
        if let Some((_, number)) = texts.iter().find(|(n, _)| *n == name) {
            put_bytes(out, *number, &self.string()?);
            return Some(());
        }
        match &name[..] {
            b"ir_version" => put_number(out, 1, self.integer()?),
            b"model_version" => put_number(out, 5, self.integer()?),
            b"opset_import" => self.opsets(8, out)?,
            b"metadata_props" => self.pairs(14, out)?,
            _ => return None,
        }
        Some(())
    }

    /// `["domain": version, …]`
    fn opsets(&mut self, number: u32, out: &mut Vec<u8>) -> Option<()> {
        self.need(b"[")?;
        self.list(b"]", &mut |p| {
            let domain = p.string()?;
            p.need(b":")?;
            let version = p.integer()?;
            message(out, number, |out| {
                put_bytes(out, 1, &domain);
                put_number(out, 2, version);
                Some(())
            })
        })
    }

    /// `["key": "value", …]`
    fn pairs(&mut self, number: u32, out: &mut Vec<u8>) -> Option<()> {
        self.need(b"[")?;
        self.list(b"]", &mut |p| {
            let key = p.string()?;
            p.need(b":")?;
            let value = p.string()?;
            message(out, number, |out| {
                put_bytes(out, 1, &key);
                put_bytes(out, 2, &value);
                Some(())
            })
        })
    }

    fn graph(&mut self, out: &mut Vec<u8>, depth: u32) -> Option<()> {
        let name = self.id()?;
        put_bytes(out, 2, &name);
        self.graph_rest(out, depth)
    }

    fn graph_rest(&mut self, out: &mut Vec<u8>, depth: u32) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        let mut tensors = Vec::new();
        let done = self.graph_parts(out, &mut tensors, depth);
        out.extend(tensors);
        done
    }

    fn graph_parts(&mut self, out: &mut Vec<u8>, tensors: &mut Vec<u8>, depth: u32) -> Option<()> {
        self.values(11, out, tensors, depth)?;
        self.need(b"=>")?;
        self.values(12, out, tensors, depth)?;
        if self.take(b"<") {
            self.list(b">", &mut |p| p.value_info(13, out, tensors, depth))?;
        }
        self.nodes(1, out, depth)
    }

    fn nodes(&mut self, number: u32, out: &mut Vec<u8>, depth: u32) -> Option<()> {
        self.need(b"{")?;
        while !self.take(b"}") {
            message(out, number, |out| self.node(out, depth))?;
        }
        Some(())
    }

    /// `(type name = value, …)`
    fn values(&mut self, number: u32, out: &mut Vec<u8>, tensors: &mut Vec<u8>, depth: u32) -> Option<()> {
        self.need(b"(")?;
        self.list(b")", &mut |p| p.value_info(number, out, tensors, depth))
    }

    /// `type name`, with a value behind it if it is a tensor of the model. A name alone has no type.
    fn value_info(
        &mut self,
        number: u32,
        out: &mut Vec<u8>,
        tensors: &mut Vec<u8>,
        depth: u32,
    ) -> Option<()> {
        let start = self.at;
        let (mut kind, mut name) = (Type::default(), None);
        let first = self.id()?;
        if !matches!(self.peek(), Some(b',' | b')' | b'>' | b'=')) {
            self.at = start;
            kind = self.kind(depth)?;
            name = Some(self.id()?);
        }
        let name = name.unwrap_or(first);
        message(out, number, |out| {
            put_bytes(out, 1, &name);
            Some(())
        })?;
        if self.take(b"=") {
            return message(tensors, 5, |out| {
                put_bytes(out, 8, &name);
                self.tensor(&kind, out)
            });
        }
        Some(())
    }

    fn kind(&mut self, depth: u32) -> Option<Type> {
        if depth > DEEPEST {
            return None;
        }
        let name = self.id()?;
        if self.take(b"(") {
            // seq(T), map(K, T), optional(T), sparse_tensor(T), tensor(T)
            let mut inner = Type::default();
            self.list(b")", &mut |p| {
                inner = p.kind(depth + 1)?;
                Some(())
            })?;
            return Some(inner);
        }
        let mut kind = Type { element: element(&name)?, dims: Vec::new(), fixed: true };
        if self.take(b"[") {
            self.list(b"]", &mut |p| {
                match p.integer() {
                    Some(n) => kind.dims.push(n),
                    None => {
                        kind.fixed = false;
                        if !p.take(b"?") {
                            p.id()?;
                        }
                    }
                }
                Some(())
            })?;
        }
        Some(kind)
    }

    /// `{1, 2}`, or the keys of data in another file: `["location": "x"]`.
    fn tensor(&mut self, kind: &Type, out: &mut Vec<u8>) -> Option<()> {
        if kind.fixed {
            kind.dims.iter().for_each(|d| put_number(out, 1, *d));
        }
        put_number(out, 2, kind.element);
        if self.peek()? == b'[' {
            put_number(out, 14, 1);
            return self.pairs(13, out);
        }
        self.need(b"{")?;
        self.list(b"}", &mut |p| {
            if p.peek()? == b'"' {
                let text = p.string()?;
                put_bytes(out, 6, &text);
                return Some(());
            }
            let number = p.number()?;
            match kind.element {
                1 | 14 => put_fixed(out, 4, &number.parse::<f32>().ok()?.to_le_bytes()),
                11 | 15 => put_fixed(out, 10, &number.parse::<f64>().ok()?.to_le_bytes()),
                7 => put_number(out, 7, whole(&number)?),
                12 | 13 => put_number(out, 11, whole(&number)?),
                _ => put_number(out, 5, whole(&number).unwrap_or_default()),
            }
            Some(())
        })
    }

    /// `outputs = domain.op:overload <attributes> (inputs) <attributes>`
    fn node(&mut self, out: &mut Vec<u8>, depth: u32) -> Option<()> {
        if self.take(b"[") {
            let name = self.id()?;
            put_bytes(out, 3, &name);
            self.need(b"]")?;
        }
        while !self.take(b"=") {
            let output = self.id()?;
            put_bytes(out, 2, &output);
            let _ = self.take(b",");
        }
        let (mut domain, mut op) = (Vec::new(), self.id()?);
        while self.take(b".") {
            if !domain.is_empty() {
                domain.push(b'.');
            }
            domain.extend(op);
            op = self.id()?;
        }
        put_bytes(out, 4, &op);
        put_bytes(out, 7, &domain);
        if self.take(b":") {
            let overload = self.id()?;
            put_bytes(out, 8, &overload);
        }
        self.attributes(5, out, depth)?;
        self.need(b"(")?;
        self.inputs(out)?;
        self.attributes(5, out, depth)
    }

    /// Names up to the bracket; a place may be empty.
    fn inputs(&mut self, out: &mut Vec<u8>) -> Option<()> {
        loop {
            match self.peek()? {
                b')' => return self.need(b")"),
                b',' => {
                    put_bytes(out, 1, b"");
                    self.need(b",")?;
                }
                _ => {
                    let name = self.id()?;
                    put_bytes(out, 1, &name);
                    if !self.take(b",") {
                        return self.need(b")");
                    }
                }
            }
        }
    }

    /// `<name = value, …>`, which may be left out.
    fn attributes(&mut self, number: u32, out: &mut Vec<u8>, depth: u32) -> Option<()> {
        if !self.take(b"<") {
            return Some(());
        }
        self.list(b">", &mut |p| message(out, number, |out| p.attribute(out, depth)))
    }

    fn attribute(&mut self, out: &mut Vec<u8>, depth: u32) -> Option<()> {
        let name = self.id()?;
        put_bytes(out, 1, &name);
        if self.take(b":") {
            self.id()?;
            // A function declares its attributes without values.
            if !self.take(b"=") {
                return Some(());
            }
        } else {
            self.need(b"=")?;
        }
        if self.take(b"@") {
            let other = self.id()?;
            put_bytes(out, 21, &other);
            return Some(());
        }
        if self.take(b"[") {
            return self.list(b"]", &mut |p| p.value(out, true, depth));
        }
        self.value(out, false, depth)
    }

    fn value(&mut self, out: &mut Vec<u8>, many: bool, depth: u32) -> Option<()> {
        let field = |one: u32, more: u32| if many { more } else { one };
        if self.peek()? == b'"' {
            let text = self.string()?;
            put_bytes(out, field(4, 9), &text);
            return Some(());
        }
        if let Some(number) = self.number() {
            match whole(&number) {
                Some(n) => put_number(out, field(3, 8), n),
                None => put_fixed(out, field(2, 7), &number.parse::<f32>().ok()?.to_le_bytes()),
            }
            return Some(());
        }
        let start = self.at;
        let name = self.id()?;
        // A graph has its inputs behind the name; a type may have an element in brackets, too.
        if self.peek()? == b'('
            && !matches!(&name[..], b"seq" | b"map" | b"optional" | b"sparse_tensor" | b"tensor")
        {
            return message(out, field(6, 11), |out| {
                put_bytes(out, 2, &name);
                self.graph_rest(out, depth + 1)
            });
        }
        self.at = start;
        let kind = self.kind(0)?;
        // A tensor may have a name, and needs a value; a type stands alone.
        if !matches!(self.peek()?, b'{' | b'[' | b'=') && !matches!(self.peek()?, b',' | b'>' | b']') {
            self.id()?;
        }
        let _ = self.take(b"=");
        if matches!(self.peek()?, b'{' | b'[') {
            return message(out, field(5, 10), |out| self.tensor(&kind, out));
        }
        Some(())
    }

    /// `<properties> name <attributes> (inputs) => (outputs) {nodes}`
    fn function(&mut self, out: &mut Vec<u8>) -> Option<()> {
        if self.take(b"<") {
            self.list(b">", &mut |p| {
                let name = p.id()?;
                p.need(b":")?;
                match &name[..] {
                    b"domain" => put_bytes(out, 10, &p.string()?),
                    b"doc_string" => put_bytes(out, 8, &p.string()?),
                    b"overload" => put_bytes(out, 13, &p.string()?),
                    b"opset_import" => p.opsets(9, out)?,
                    b"metadata_props" => p.pairs(14, out)?,
                    _ => return None,
                }
                Some(())
            })?;
        }
        let name = self.id()?;
        put_bytes(out, 1, &name);
        if self.take(b"<") {
            self.list(b">", &mut |p| {
                let start = p.at;
                let name = p.id()?;
                if matches!(p.peek()?, b',' | b'>') {
                    put_bytes(out, 6, &name);
                    return Some(());
                }
                p.at = start;
                message(out, 11, |out| p.attribute(out, 0))
            })?;
        }
        let (mut unused, mut tensors) = (Vec::new(), Vec::new());
        for number in [4, 5] {
            self.need(b"(")?;
            self.list(b")", &mut |p| {
                let mut info = Vec::new();
                p.value_info(1, &mut info, &mut tensors, 0)?;
                // Tag and length of the value, tag and length of the name.
                let name =
                    info.get(2..).and_then(|v| (*v.first()? == 10).then(|| v.get(2..))?).unwrap_or_default();
                put_bytes(out, number, name);
                unused.extend(info);
                Some(())
            })?;
            if number == 4 {
                self.need(b"=>")?;
            }
        }
        if self.take(b"<") {
            self.list(b">", &mut |p| p.value_info(12, out, &mut tensors, 0))?;
        }
        self.nodes(7, out, 0)
    }
}

/// Writes a message; what was read of it stands even where the text breaks off.
fn message(out: &mut Vec<u8>, number: u32, f: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
    let mut inner = Vec::new();
    let done = f(&mut inner);
    put_bytes(out, number, &inner);
    done
}

fn put_number(out: &mut Vec<u8>, number: u32, n: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, n);
}

/// A whole number, as the bits of 64.
fn whole(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok();
    }
    text.parse::<i64>().map(|n| n as u64).ok().or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(text: &str) -> (Vec<u8>, bool) {
        let mut p = Parser { text: text.as_bytes(), at: 0 };
        let mut out = Vec::new();
        let sound = p.model(&mut out).is_some() && p.done();
        (out, sound)
    }

    #[test]
    fn everything_that_the_syntax_has() {
        let text = r#"
            # a comment
            < ir_version: 8, opset_import: ["" : 17, "my.domain": 1], metadata_props: ["a": "b"] >
            g (float[N, 3] x, seq(float[?]) s) => (float[N] y)
            < float[2] W = {1, -2.5}, int64[1] k = {3}, float[4] E = ["location": "w.bin", "offset": "0"], string[1] t = {"a\"b"} >
            {
                ["first"] a, b = my.domain.Op <alpha = 1.5, axes = [1, 2], mode: string = "x"> (x, , W)
                y = If (a) <then_branch = t () => (z) { z = Neg (b) }, value = float[2] {1, 2}>
                z = f:over (y)
            }
            < domain: "my.domain", opset_import: ["": 17] >
            f <k, w: int = 3> (p) => (q) { q = Add <v = @k> (p, p) }
        "#;
        let (out, sound) = binary(text);
        assert!(sound);
        for name in ["my.domain", "Op", "then_branch", "Neg", "w.bin", "a\"b", "first"] {
            assert!(memchr::memmem::find(&out, name.as_bytes()).is_some(), "{name}");
        }
    }

    #[test]
    fn what_stands_before_an_error_is_kept() {
        let (out, sound) = binary("<ir_version: 8> g () => () { y = PyOp (x) ???");
        assert!(!sound);
        assert!(memchr::memmem::find(&out, b"PyOp").is_some());
    }

    #[test]
    fn only_models_begin_as_models() {
        assert!(begins_as_model(b"<ir_version: 8>"));
        assert!(begins_as_model(b"agraph (float[N] x) => (float[N] y) {"));
        assert!(!begins_as_model(b"<html><body>"));
        assert!(!begins_as_model(b"print (x) + 1"));
    }
}
