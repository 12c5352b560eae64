//! TensorFlow's messages as text (`saved_model.pbtxt`, `graph.pbtxt`): protobuf's text format
//! (<https://protobuf.dev/reference/protobuf/textformat-spec/>), turned into the binary form and judged as that.

use super::tf_schema::{self, Kind, Message};
use super::{Claim, Format, Probe, tensorflow};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{GapReason, escape};

/// Graphs as text.
pub struct Text;

/// Longer texts are not judged.
const MAX: u64 = 32 << 20;

impl Format for Text {
    fn id(&self) -> &'static str {
        "tf-text"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.head.contains(&0) || first_field(&probe.blob).is_none() {
            return Claim::No;
        }
        // Other texts begin alike (`version: 3`): it takes operators.
        let nodes = probe.blob.len() > MAX || translate(&probe.blob).is_ok_and(|t| t.nodes > 0);
        if nodes { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        if blob.len() > MAX {
            return Err(Stop::Unsupported("a graph as text of this size".into()));
        }
        let text = translate(blob)?;
        cx.budget.memory(text.bytes.len() as u64 * 2)?;
        for (at, what) in &text.unknown {
            cx.gap(
                GapReason::Unexplained,
                Some(*at),
                None,
                format!("a field {} that TensorFlow does not have", escape(what)),
            );
        }
        let binary = Blob::from_vec(text.bytes);
        cx.enter(b"(as binary)", |cx| {
            let format: &dyn Format = match text.root {
                Root::SavedModel => &tensorflow::SavedModel,
                Root::MetaGraph => &tensorflow::MetaGraph,
                Root::Graph => &tensorflow::GraphDef,
            };
            if let Err(stop) = format.scan(&binary, cx) {
                cx.stop(stop);
            }
        });
        text.broken.map_or(Ok(()), |at| Err(Stop::malformed(at, "text that is no message from here on")))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    SavedModel,
    MetaGraph,
    Graph,
}

/// What the first field of the text makes it.
fn first_field(blob: &Blob) -> Option<Root> {
    const LOOK: usize = 1 << 20;
    let head = blob.head(4096).ok()?;
    let mut root = root_of(&head);
    if root.is_none() && head.len() == 4096 && head.trim_ascii_start().first().is_none_or(|b| *b == b'#') {
        root = root_of(&blob.head(LOOK).ok()?);
    }
    root
}

fn root_of(text: &[u8]) -> Option<Root> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut p = Parser { text, at: 0, unknown: Vec::new(), nodes: 0 };
    p.space();
    let name = p.word()?;
    p.space();
    if !matches!(p.peek()?, b':' | b'{' | b'<') {
        return None;
    }
    let has = |m: Message| tf_schema::field(m, &name).is_some();
    [
        (Root::SavedModel, Message::SavedModel),
        (Root::MetaGraph, Message::MetaGraph),
        (Root::Graph, Message::Graph),
    ]
    .into_iter()
    .find(|(_, m)| has(*m))
    .map(|(root, _)| root)
}

struct Translated {
    bytes: Vec<u8>,
    root: Root,
    nodes: usize,
    unknown: Vec<(u64, String)>,
    /// Where the text stops being a message.
    broken: Option<u64>,
}

fn translate(blob: &Blob) -> Result<Translated, Stop> {
    let root = first_field(blob).ok_or_else(|| Stop::malformed(0, "no message of TensorFlow"))?;
    let bytes = blob.read_range(0..blob.len())?;
    let skip = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut p = Parser { text: &bytes, at: skip, unknown: Vec::new(), nodes: 0 };
    let message = match root {
        Root::SavedModel => Message::SavedModel,
        Root::MetaGraph => Message::MetaGraph,
        Root::Graph => Message::Graph,
    };
    let mut out = Vec::new();
    let sound = p.fields(message, None, 0, &mut out).is_some() && p.at >= bytes.len();
    Ok(Translated {
        bytes: out,
        root,
        nodes: p.nodes,
        broken: (!sound).then_some(p.at as u64),
        unknown: p.unknown,
    })
}

struct Parser<'t> {
    text: &'t [u8],
    at: usize,
    unknown: Vec<(u64, String)>,
    nodes: usize,
}

fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b) = self.peek() {
            match b {
                b'#' => {
                    let line = memchr::memchr(b'\n', &self.text[self.at..]);
                    self.at = line.map_or(self.text.len(), |n| self.at + n + 1);
                }
                b if b.is_ascii_whitespace() || b == 0x0b => self.at += 1,
                _ => break,
            }
        }
    }

    fn take(&mut self, b: u8) -> bool {
        self.space();
        let there = self.peek() == Some(b);
        self.at += usize::from(there);
        there
    }

    fn word(&mut self) -> Option<String> {
        let rest = &self.text[self.at..];
        let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        (len > 0 && !rest[0].is_ascii_digit()).then(|| {
            self.at += len;
            String::from_utf8_lossy(&rest[..len]).into_owned()
        })
    }

    /// Fields up to `close` (or the end); `None` where the text is no message. What was read before stands in `out`.
    fn fields(&mut self, message: Message, close: Option<u8>, depth: u32, out: &mut Vec<u8>) -> Option<()> {
        const DEEPEST: u32 = 100;
        const MAX_UNKNOWN: usize = 100;
        if depth > DEEPEST {
            return None;
        }
        loop {
            self.space();
            match (self.peek(), close) {
                (None, None) => return Some(()),
                (None, Some(_)) => return None,
                (Some(b), Some(c)) if b == c => {
                    self.at += 1;
                    return Some(());
                }
                _ => {}
            }
            let start = self.at;
            let name = if self.take(b'[') {
                let end = memchr::memchr(b']', &self.text[self.at..])?;
                self.at += end + 1;
                "[]".to_string()
            } else {
                self.word()?
            };
            let colon = self.take(b':');
            let field = tf_schema::field(message, &name);
            if field.is_none() && !tf_schema::is_loose(message) && self.unknown.len() < MAX_UNKNOWN {
                self.unknown.push((start as u64, name));
            }
            let (number, kind) = field.unwrap_or((0, Kind::Skip));
            if matches!((message, number), (Message::Node, 2)) {
                self.nodes += 1;
            }
            self.space();
            if colon && self.peek() == Some(b'[') {
                self.at += 1;
                self.space();
                if !self.take(b']') {
                    loop {
                        self.value(number, kind, depth, out)?;
                        if self.take(b']') {
                            break;
                        }
                        if !self.take(b',') {
                            return None;
                        }
                    }
                }
            } else {
                self.value(number, kind, depth, out)?;
            }
            let _ = self.take(b',') || self.take(b';');
        }
    }

    fn value(&mut self, number: u32, kind: Kind, depth: u32, out: &mut Vec<u8>) -> Option<()> {
        self.space();
        match self.peek()? {
            open @ (b'{' | b'<') => {
                self.at += 1;
                let close = if open == b'{' { b'}' } else { b'>' };
                let message = if let Kind::Message(m) = kind { m } else { Message::Loose };
                let mut inner = Vec::new();
                let end = self.fields(message, Some(close), depth + 1, &mut inner);
                if number != 0 {
                    put_bytes(out, number, &inner);
                }
                end
            }
            b'"' | b'\'' => {
                let mut bytes = Vec::new();
                while let Some(quote @ (b'"' | b'\'')) = self.peek() {
                    self.at += 1;
                    self.string(quote, &mut bytes)?;
                    self.space();
                }
                if number != 0 && kind == Kind::Text {
                    put_bytes(out, number, &bytes);
                }
                Some(())
            }
            _ => {
                let negative = self.take(b'-');
                self.space();
                let rest = &self.text[self.at..];
                let len = rest
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'+' | b'-'))
                    .count();
                if len == 0 {
                    return None;
                }
                let word = String::from_utf8_lossy(&rest[..len]).into_owned();
                self.at += len;
                if number != 0 && kind == Kind::Number {
                    let n = tf_schema::number(&word)?;
                    put_varint(out, u64::from(number) << 3);
                    put_varint(out, if negative { n.wrapping_neg() } else { n });
                }
                Some(())
            }
        }
    }

    fn string(&mut self, quote: u8, out: &mut Vec<u8>) -> Option<()> {
        loop {
            let b = self.peek()?;
            self.at += 1;
            match b {
                b if b == quote => return Some(()),
                b'\n' => return None,
                b'\\' => {
                    let e = self.peek()?;
                    self.at += 1;
                    self.escape(e, out)?;
                }
                b => out.push(b),
            }
        }
    }

    fn escape(&mut self, e: u8, out: &mut Vec<u8>) -> Option<()> {
        out.push(match e {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'v' => 11,
            b'\\' | b'\'' | b'"' | b'?' => e,
            b'0'..=b'7' => {
                self.at -= 1;
                self.digits(8, 3)? as u8
            }
            b'x' | b'X' => self.digits(16, 2)? as u8,
            b'u' | b'U' => {
                let c = self.digits(16, if e == b'u' { 4 } else { 8 })?;
                let c = char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Some(());
            }
            _ => return None,
        });
        Some(())
    }

    fn digits(&mut self, base: u32, most: usize) -> Option<u32> {
        let mut n = None;
        for _ in 0..most {
            let Some(d) = self.peek().and_then(|b| char::from(b).to_digit(base)) else { break };
            n = Some(n.unwrap_or(0u32) * base + d);
            self.at += 1;
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        translate(&Blob::from_vec(text.as_bytes().to_vec())).unwrap().bytes
    }

    #[test]
    fn spellings_of_one_message_give_the_same_bytes() {
        let plain = bytes("node { name: \"a\" op: \"NoOp\" input: \"b\" input: \"c\" }");
        assert_eq!(plain, b"\x0a\x0f\x0a\x01a\x12\x04NoOp\x1a\x01b\x1a\x01c".to_vec());
        for other in [
            "node: < name: 'a', op: \"No\" \"O\\160\"; input: ['b', \"\\x63\"] >",
            "# a comment\nnode:{name:\"a\"op:\"\\116oOp\"input:\"b\"input:\"c\"}",
            "node [{name: 'a' op: 'NoOp' input: ['b','c']}]",
        ] {
            let other = other.replace("node [", "node: [");
            assert_eq!(bytes(&other), plain, "{other}");
        }
    }

    #[test]
    fn what_was_read_before_an_error_stands() {
        let t = translate(&Blob::from_vec(b"node { name: 'a' op: 'WriteFile' } ???".to_vec())).unwrap();
        assert_eq!((t.nodes, t.broken.is_some()), (1, true));
        let t = translate(&Blob::from_vec(b"node { name: 'a' op: 'WriteFile' input: ".to_vec())).unwrap();
        assert!(t.bytes.windows(9).any(|w| w == b"WriteFile"), "an open message counts too");
    }

    #[test]
    fn other_texts_are_none() {
        for text in ["version: 3\nservices:\n  a: b\n", "node: x\n", "library(foo)\n", "name: CI\n", ""] {
            let blob = Blob::from_vec(text.as_bytes().to_vec());
            assert!(translate(&blob).map_or(0, |t| t.nodes) == 0, "{text}");
        }
    }
}
