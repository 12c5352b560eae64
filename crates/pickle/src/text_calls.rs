//! Functions of text and bytes that streams use to build names and nested pickles.

use crate::literal::Literal;
use crate::state::State;
use crate::val::{Tag, Val};
use crate::value::Value;

impl State {
    /// Text and bytes functions.
    pub(crate) fn text_call(&mut self, name: &str, args: Val) -> Option<Val> {
        let max = if self.heap.bytes() > 32 << 20 { 256 } else { 1 << 20 };
        if self.heap.bytes() > 64 << 20 {
            return None;
        }
        let items = self.items(args)?;
        let raw = |v: Val| -> Option<(Vec<u8>, bool)> {
            match v.tag() {
                Tag::Bytes | Tag::Text if self.changed.contains(&v) => None,
                Tag::Bytes => match self.source.literal(v.payload(), max).ok()? {
                    Literal::Bytes { head, data } if head.len() as u64 == data.end - data.start => {
                        Some((head, false))
                    }
                    _ => None,
                },
                Tag::Text => self.heap.texts.get(v.index()).map(|t| (t.bytes.clone(), t.is_str)),
                _ => Some((self.text(v, max)?, true)),
            }
        };
        let (out, is_str) = match name {
            "add" | "concat" | "iadd" | "iconcat" | "str.__add__" => {
                let (mut a, is_str) = raw(*items.first()?)?;
                a.extend(raw(*items.get(1)?)?.0);
                (a, is_str)
            }
            "str.join" => {
                let (sep, _) = raw(*items.first()?)?;
                let parts: Option<Vec<Vec<u8>>> =
                    self.items(*items.get(1)?)?.into_iter().map(|v| Some(raw(v)?.0)).collect();
                (parts?.join(&sep[..]), true)
            }
            "bytes.fromhex" | "unhexlify" | "a2b_hex" | "b16decode" => {
                (unhex(&raw(*items.last()?)?.0)?, false)
            }
            "b64decode" | "a2b_base64" => (unbase64(&raw(*items.first()?)?.0)?, false),
            "encode" | "decode" | "bytes.decode" | "str.encode" => {
                let (text, _) = raw(*items.first()?)?;
                let codec = match items.get(1) {
                    Some(&c) => match self.value(c) {
                        Value::Str { text, cut: false, .. } => text.to_ascii_lowercase().replace('_', "-"),
                        _ => return None,
                    },
                    None => "utf-8".into(),
                };
                let decode = name.ends_with("decode");
                match (codec.as_str(), decode) {
                    ("utf-8" | "utf8" | "ascii" | "us-ascii", _) => (text, decode),
                    ("latin1" | "latin-1" | "iso-8859-1" | "l1" | "iso8859-1", true) => {
                        (text.iter().map(|&b| char::from(b)).collect::<String>().into_bytes(), true)
                    }
                    ("latin1" | "latin-1" | "iso-8859-1" | "l1" | "iso8859-1", false) => {
                        let s = std::str::from_utf8(&text).ok()?;
                        (s.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<_>>()?, false)
                    }
                    ("hex" | "hex-codec", true) => (unhex(&text)?, false),
                    ("base64" | "base-64" | "base64-codec", true) => (unbase64(&text)?, false),
                    ("rot13" | "rot-13", _) => (text.into_iter().map(rot13).collect(), true),
                    _ => return None,
                }
            }
            _ => return None,
        };
        Some(self.heap.text(out, is_str))
    }
}

fn rot13(b: u8) -> u8 {
    match b {
        b'a'..=b'z' => (b - b'a' + 13) % 26 + b'a',
        b'A'..=b'Z' => (b - b'A' + 13) % 26 + b'A',
        _ => b,
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .iter()
        .filter(|b| !b.is_ascii_whitespace())
        .map(|&b| char::from(b).to_digit(16).map(|d| d as u8))
        .collect();
    let digits = digits?;
    (digits.len() % 2 == 0).then(|| digits.chunks_exact(2).map(|p| p[0] << 4 | p[1]).collect())
}

fn unbase64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut acc, mut bits) = (0u32, 0u32);
    for &b in text.iter().filter(|b| !b.is_ascii_whitespace() && **b != b'=') {
        let d = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        acc = acc << 6 | u32::from(d);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((acc >> bits) as u8);
            acc &= (1 << bits) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn codecs() {
        assert_eq!(super::unbase64(b"cG9zaXg=").unwrap(), b"posix");
        assert_eq!(super::unhex(b"706f73 6978").unwrap(), b"posix");
        assert_eq!("cbfvk".bytes().map(super::rot13).collect::<Vec<_>>(), b"posix");
    }
}
