//! Bytes that a stream hands to another deserialiser.

use crate::literal::Literal;
use crate::observer::{Nested, Observer};
use crate::state::State;
use crate::val::{Tag, Val};

impl State {
    /// Bytes that go into a deserialiser, or look like a pickle wherever they go.
    pub(crate) fn expose(&mut self, args: Val, by: u32, loads: bool, at: u64, obs: &mut dyn Observer) {
        // A span holds no byte strings, so only deserialisers are asked about it.
        let candidates = match self.heap.get_seq(args) {
            Some(s) => {
                s.items.iter().take(8).any(|v| matches!(v.tag(), Tag::Bytes | Tag::Text | Tag::Object))
            }
            None => loads,
        };
        if !candidates && !loads {
            return;
        }
        let Some(items) = self.items(args) else { return };
        let by = self.heap.callee(by).rendering.clone();
        let by = by.as_str();
        for v in items.into_iter().take(8) {
            let v = match self.heap.get_object(v) {
                Some(o) if self.heap.callee(o.callee).name == "BytesIO" => {
                    match self.items(o.args).and_then(|i| i.first().copied()) {
                        Some(inner) => inner,
                        None => continue,
                    }
                }
                _ => v,
            };
            match v.tag() {
                Tag::Bytes | Tag::Text if self.changed.contains(&v) => {
                    let detail = "a bytearray that the stream has changed is given to a deserialiser";
                    self.structure(obs, at, "pickle-nested-unread", detail);
                }
                Tag::Bytes => {
                    if let Ok(Literal::Bytes { head, data }) = self.source.literal(v.payload(), 2)
                        && (loads || looks_like_pickle(&head))
                        && !data.is_empty()
                    {
                        obs.nested(at, by, Nested::Range(data));
                    }
                }
                Tag::Text => {
                    if let Some(t) = self.heap.texts.get(v.index())
                        && !t.is_str
                        && (loads || looks_like_pickle(&t.bytes))
                    {
                        obs.nested(at, by, Nested::Bytes(t.bytes.clone()));
                    }
                }
                // Text to be encoded, too long to be worked out where it was.
                Tag::Object if loads => match self.encoded_latin1(v) {
                    // The same text again: once decoded is enough.
                    Some(bytes) if bytes.is_empty() => {}
                    Some(bytes) => obs.nested(at, by, Nested::Bytes(bytes)),
                    None => {
                        let detail = "bytes for a deserialiser that were not worked out";
                        obs.structure(at, "pickle-nested-unread", detail);
                    }
                },
                // Python 2 text given as bytes.
                Tag::Str if loads => {
                    if let Some(bytes) = self.text(v, 1 << 20) {
                        obs.nested(at, by, Nested::Bytes(bytes));
                    }
                }
                _ => {}
            }
        }
    }

    /// The bytes of `_codecs.encode(text, "latin1")`, as protocol 2 writes byte strings of any length.
    /// Empty if that text was given to a deserialiser before.
    fn encoded_latin1(&mut self, v: Val) -> Option<Vec<u8>> {
        const MAX: usize = 64 << 20;
        let o = self.heap.get_object(v)?;
        if self.heap.full() || self.heap.callee(o.callee).rendering != "_codecs.encode" {
            return None;
        }
        let items = self.items(o.args)?;
        let codec = self.name(*items.get(1)?)?;
        if !matches!(codec.as_str(), "latin1" | "latin-1" | "iso-8859-1") {
            return None;
        }
        let &text = items.first()?;
        if !self.decoded.insert(text) {
            return Some(Vec::new());
        }
        let text = String::from_utf8(self.text(text, MAX)?).ok()?;
        text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
    }
}

fn looks_like_pickle(head: &[u8]) -> bool {
    matches!(head, [0x80, 1..=5, ..])
}
