//! Values as trees, for the judges of calls: bounded, owned, readable.

use crate::heap::{Kind, Node};
use crate::literal::{Literal, le_uint};
use crate::opcode::{self as op, Arg, opcode};
use crate::state::State;
use crate::val::{Tag, Val};
use crate::value::Value;
use wb_verdict::escape_bytes;

/// Longest text or bytes decoded for a judge.
const MAX_TEXT: usize = 4096;
const MAX_DEPTH: u32 = 8;
const MAX_NODES: u32 = 600;
const MAX_WIDTH: usize = 128;
/// Most items of a container that are followed one by one.
const MAX_ITEMS: usize = 4096;

impl State {
    /// `v` as a tree.
    pub(crate) fn value(&self, v: Val) -> Value {
        let mut left = MAX_NODES;
        self.tree(v, MAX_DEPTH, &mut left)
    }

    fn tree(&self, v: Val, depth: u32, left: &mut u32) -> Value {
        if depth == 0 || *left == 0 {
            return Value::Truncated;
        }
        *left -= 1;
        match v.tag() {
            Tag::None => Value::None,
            Tag::True => Value::Bool(true),
            Tag::False => Value::Bool(false),
            Tag::EmptyTuple => Value::Tuple(Vec::new()),
            Tag::Bytes | Tag::Text if self.changed.contains(&v) => Value::Opaque,
            Tag::Num | Tag::Str | Tag::Dunder | Tag::Bytes => self.literal_value(v),
            Tag::Span => match self.span_items(v) {
                Some(items) => Value::Tuple(self.trees(&items, depth, left, false)),
                None => Value::Truncated,
            },
            Tag::Text => match self.heap.texts.get(v.index()) {
                Some(t) if t.is_str => text_value(&t.bytes, t.bytes.len() as u64, t.bytes.len() > MAX_TEXT),
                Some(t) => Value::Bytes {
                    len: t.bytes.len() as u64,
                    head: t.bytes.iter().copied().take(MAX_TEXT).collect(),
                },
                None => Value::Opaque,
            },
            Tag::Global => {
                let c = self.heap.callee(v.payload() as u32);
                if c.module.is_empty() && c.name.is_empty() {
                    return Value::Object { made_by: c.rendering.clone(), args: Vec::new() };
                }
                Value::Global { module: c.module.clone(), name: c.name.clone() }
            }
            Tag::Opaque => Value::Opaque,
            Tag::Node | Tag::Object | Tag::Persistent => match self.heap.nodes.get(v.index()) {
                Some(Node::Seq(s)) => {
                    let mut items = self.trees(&s.items, depth, left, s.dropped);
                    if s.plain
                        && let Some(rest) = items.last_mut().filter(|v| **v == Value::Truncated)
                    {
                        *rest = Value::PlainRest;
                    }
                    match s.kind {
                        Kind::Tuple => Value::Tuple(items),
                        Kind::List => Value::List(items),
                        Kind::Set => Value::Set(items),
                        Kind::FrozenSet => Value::FrozenSet(items),
                        Kind::Dict => {
                            let mut pairs = Vec::with_capacity(items.len() / 2);
                            let mut it = items.into_iter();
                            while let Some(k) = it.next() {
                                let rest = if s.plain { Value::PlainRest } else { Value::Truncated };
                                pairs.push((k, it.next().unwrap_or(rest)));
                            }
                            Value::Dict(pairs)
                        }
                    }
                }
                Some(Node::Object(o)) => {
                    let made_by = self.heap.callee(o.callee).rendering.clone();
                    let args = match self.items(o.args) {
                        Some(items) => self.trees(&items, depth, left, false),
                        None => vec![self.tree(o.args, depth - 1, left)],
                    };
                    Value::Object { made_by, args }
                }
                Some(Node::Persistent(id)) => Value::Persistent(Box::new(self.tree(*id, depth - 1, left))),
                None => Value::Opaque,
            },
        }
    }

    fn trees(&self, items: &[Val], depth: u32, left: &mut u32, dropped: bool) -> Vec<Value> {
        let mut out = Vec::new();
        for &v in items.iter().take(MAX_WIDTH) {
            if *left == 0 {
                break;
            }
            out.push(self.tree(v, depth - 1, left));
        }
        if dropped || out.len() < items.len() {
            out.push(Value::Truncated);
        }
        out
    }

    fn literal_value(&self, v: Val) -> Value {
        match self.source.literal(v.payload(), MAX_TEXT) {
            Ok(Literal::None) => Value::None,
            Ok(Literal::Bool(b)) => Value::Bool(b),
            Ok(Literal::Int(n)) => Value::Int(n),
            Ok(Literal::BigInt { len }) => Value::BigInt { len },
            Ok(Literal::Float(f)) => Value::Float(f),
            Ok(Literal::Str { bytes, len, cut }) => text_value(&bytes, len, cut),
            Ok(Literal::Bytes { head, data }) => {
                Value::Bytes { len: data.end.saturating_sub(data.start), head }
            }
            Ok(Literal::Unknown) | Err(_) => Value::Opaque,
        }
    }

    /// The whole text of a string value, at most `max` bytes of it.
    pub(crate) fn text(&self, v: Val, max: usize) -> Option<Vec<u8>> {
        match v.tag() {
            Tag::Str | Tag::Dunder => match self.source.literal(v.payload(), max) {
                Ok(Literal::Str { bytes, cut: false, .. }) => Some(bytes),
                _ => None,
            },
            Tag::Text => {
                let t = self.heap.texts.get(v.index())?;
                (t.is_str && t.bytes.len() <= max).then(|| t.bytes.clone())
            }
            _ => None,
        }
    }

    /// A string value that can be a name.
    pub(crate) fn name(&self, v: Val) -> Option<String> {
        const MAX_NAME: usize = 4 << 10;
        let bytes = self.text(v, MAX_NAME)?;
        Some(match String::from_utf8(bytes) {
            Ok(s) => s,
            Err(e) => escape_bytes(e.as_bytes()),
        })
    }

    /// The items of a tuple, list, set or frozenset (for a dict its keys); none if they are not all known.
    pub(crate) fn items(&self, v: Val) -> Option<Vec<Val>> {
        match v.tag() {
            Tag::EmptyTuple => Some(Vec::new()),
            Tag::Span => self.span_items(v),
            Tag::Node => {
                let s = self.heap.get_seq(v)?;
                if s.dropped || s.items.len() > MAX_ITEMS {
                    return None;
                }
                Some(match s.kind {
                    Kind::Dict => s.items.iter().step_by(2).copied().collect(),
                    _ => s.items.clone(),
                })
            }
            _ => None,
        }
    }

    /// The items of a tuple kept as a range of the stream: its literals are pushed again.
    fn span_items(&self, v: Val) -> Option<Vec<Val>> {
        let (start, end) = v.span_range();
        let buf = self.source.blob.read_range(start..end + 1).ok()?;
        let mut stack: Vec<Val> = Vec::new();
        let mut marks: Vec<usize> = Vec::new();
        let mut p = 0usize;
        while let Some(&raw) = buf.get(p) {
            let at = start + p as u64;
            let code = self.source.patches.get(&at).copied().unwrap_or(raw);
            let last = at == end;
            let size = match opcode(code)?.arg {
                Arg::No => 1,
                Arg::Fixed(n) => 1 + usize::from(n),
                Arg::Counted(n) => {
                    let n = usize::from(n);
                    let len = le_uint(buf.get(p + 1..p + 1 + n)?);
                    (1 + n).checked_add(usize::try_from(len).ok()?)?
                }
                Arg::Line | Arg::TwoLines => 2 + buf.get(p + 1..)?.iter().position(|&b| b == b'\n')?,
            };
            let from = match code {
                op::TUPLE1 => Some(stack.len().checked_sub(1)?),
                op::TUPLE2 => Some(stack.len().checked_sub(2)?),
                op::TUPLE3 => Some(stack.len().checked_sub(3)?),
                op::TUPLE if last => Some(0),
                op::TUPLE => Some(marks.pop()?),
                _ => None,
            };
            if let Some(from) = from {
                let items = stack.split_off(from.min(stack.len()));
                if last {
                    return Some(items);
                }
                let tuple = match items.first().and_then(|v| v.offset()) {
                    Some(first) => Val::span(first, at)?,
                    None => Val::new(Tag::EmptyTuple, at),
                };
                stack.push(tuple);
            } else if code == op::MARK {
                marks.push(stack.len());
            } else if !matches!(code, op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE) {
                stack.push(Val::new(literal_tag(code)?, at));
            }
            p = p.checked_add(size)?;
        }
        None
    }
}

/// The tag of the value that a literal opcode pushes.
pub(crate) fn literal_tag(code: u8) -> Option<Tag> {
    Some(match code {
        op::NONE => Tag::None,
        op::NEWTRUE => Tag::True,
        op::NEWFALSE => Tag::False,
        op::EMPTY_TUPLE => Tag::EmptyTuple,
        op::INT | op::LONG | op::LONG1 | op::LONG4 | op::BININT | op::BININT1 | op::BININT2 => Tag::Num,
        op::FLOAT | op::BINFLOAT => Tag::Num,
        op::STRING | op::UNICODE | op::BINSTRING | op::SHORT_BINSTRING => Tag::Str,
        op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => Tag::Str,
        op::BINBYTES | op::SHORT_BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => Tag::Bytes,
        _ => return None,
    })
}

fn text_value(bytes: &[u8], len: u64, cut: bool) -> Value {
    let mut head = bytes.get(..bytes.len().min(MAX_TEXT)).unwrap_or(bytes);
    if cut && let Err(e) = std::str::from_utf8(head) {
        // Do not cut inside a character.
        if e.error_len().is_none() {
            head = head.get(..e.valid_up_to()).unwrap_or(head);
        }
    }
    let text = match std::str::from_utf8(head) {
        Ok(s) => s.to_string(),
        Err(_) => escape_bytes(head),
    };
    Value::Str { text, len, cut }
}
