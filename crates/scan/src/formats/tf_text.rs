//! TensorFlow's messages as text (`saved_model.pbtxt`, `graph.pbtxt`): protobuf's text format
//! (<https://protobuf.dev/reference/protobuf/textformat-spec/>), turned into the binary form and judged as that.

use super::prototext::{Parser, Schema};
use super::tf_schema::Message;
use super::{Claim, Coverage, Format, Probe, tensorflow};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{GapReason, escape};

/// Graphs as text.
pub struct Text;

/// Longer texts are not judged.
const MAX: u64 = 32 << 20;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "TensorFlow graphs as text",
    ids: &[],
    loaders: "`google.protobuf.text_format`, TensorFlow",
    judged: "the same as binary graphs",
    blind: "over 32 MiB a gap",
    corpus: &[],
};

impl Format for Text {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

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
    let mut p = Parser::new(text);
    p.space();
    let name = p.word()?;
    p.space();
    if !matches!(p.peek()?, b':' | b'{' | b'<') {
        return None;
    }
    let has = |m: Message| m.field(&name).is_some();
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
    let mut p = Parser::new(&bytes);
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
        nodes: p.counted,
        broken: (!sound).then_some(p.at as u64),
        unknown: p.unknown,
    })
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
