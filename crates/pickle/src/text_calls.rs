//! Functions of text and bytes that streams use to build names and nested pickles.
//!
//! Everything here is bounded: a text that would grow beyond [`MAX_TEXT`] is not worked out, and what is called with it
//! is then not known. Not known is never harmless.

use crate::literal::Literal;
use crate::state::State;
use crate::val::{Tag, Val};
use crate::value::Value;
use std::io::Read;

/// Longest text or byte string worked out.
const MAX_TEXT: usize = 1 << 20;
/// Longest output of a decompressor.
const MAX_OUTPUT: u64 = 16 << 20;

/// Memory that a decompressor of `lzma` may take, in KiB.
const MAX_MEMORY_KIB: u32 = 32 << 10;

/// Methods of text and bytes whose result is worked out, for `getattr(text, name)`.
pub(crate) const METHODS: &[&str] = &[
    "__add__",
    "__getitem__",
    "__mod__",
    "capitalize",
    "casefold",
    "decode",
    "encode",
    "format",
    "join",
    "lower",
    "lstrip",
    "removeprefix",
    "removesuffix",
    "replace",
    "rstrip",
    "strip",
    "swapcase",
    "title",
    "upper",
];

/// Text or bytes, and which.
type Raw = (Vec<u8>, bool);

impl State {
    /// Text or bytes that are known in full.
    fn raw(&self, v: Val) -> Option<Raw> {
        let max = if self.heap.bytes() > 32 << 20 { 256 } else { MAX_TEXT };
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
    }

    /// Bytes that are known in full, up to `max`.
    pub(crate) fn bytes_of(&self, v: Val, max: usize) -> Option<Vec<u8>> {
        match v.tag() {
            Tag::Bytes | Tag::Text if self.changed.contains(&v) => None,
            Tag::Bytes => match self.source.literal(v.payload(), max).ok()? {
                Literal::Bytes { head, data } if head.len() as u64 == data.end - data.start => Some(head),
                _ => None,
            },
            Tag::Text => self.heap.texts.get(v.index()).filter(|t| !t.is_str).map(|t| t.bytes.clone()),
            _ => None,
        }
    }

    fn raw_str(&self, v: Val) -> Option<String> {
        String::from_utf8(self.raw(v)?.0).ok()
    }

    /// What iterating over this yields, as texts: `''.join` of lists, of characters, of `reversed` and `map(chr, ...)`.
    fn iterated(&self, v: Val) -> Option<Vec<Vec<u8>>> {
        if let Some(items) = self.items(v) {
            return items.into_iter().map(|v| Some(self.raw(v)?.0)).collect();
        }
        if let Some(o) = self.heap.get_object(v) {
            let callee = self.heap.callee(o.callee);
            let args = self.items(o.args)?;
            return match (callee.name.as_str(), &args[..]) {
                ("reversed", [inner]) => {
                    let mut parts = self.iterated(*inner)?;
                    parts.reverse();
                    Some(parts)
                }
                ("map", [function, inner]) if self.is_chr(*function) => {
                    let one = |v: Val| Some(character(self.value(v).as_int()?)?.to_string().into_bytes());
                    self.items(*inner)?.into_iter().map(one).collect()
                }
                _ => None,
            };
        }
        let (bytes, is_str) = self.raw(v)?;
        let text = String::from_utf8(bytes).ok().filter(|_| is_str)?;
        Some(text.chars().map(|c| c.to_string().into_bytes()).collect())
    }

    fn is_chr(&self, v: Val) -> bool {
        v.tag() == Tag::Global && self.heap.callee(v.payload() as u32).rendering == "builtins.chr"
    }

    /// Text and bytes functions.
    pub(crate) fn text_call(&mut self, module: &str, name: &str, args: Val) -> Option<Val> {
        if self.heap.bytes() > 64 << 20 {
            return None;
        }
        let items = self.items(args)?;
        let (out, is_str) = self.worked_out(module, name, &items)?;
        if out.len() > MAX_TEXT && is_str {
            return None;
        }
        self.work(out.len() / 1024);
        Some(self.heap.text(out, is_str))
    }

    fn worked_out(&self, module: &str, name: &str, items: &[Val]) -> Option<Raw> {
        let &first = items.first()?;
        // A method by its own name, whichever type it is of.
        let method = name.strip_prefix("str.").or_else(|| name.strip_prefix("bytes."));
        Some(match (module, method.unwrap_or(name)) {
            ("operator" | "_operator", "add" | "concat" | "iadd" | "iconcat") | ("builtins", "__add__") => {
                let (mut a, is_str) = self.raw(first)?;
                a.extend(self.raw(*items.get(1)?)?.0);
                (a, is_str)
            }
            ("operator" | "_operator", "mul") => {
                let (a, is_str) = self.raw(first)?;
                let n = usize::try_from(self.value(*items.get(1)?).as_int()?).ok()?;
                (a.len().checked_mul(n)? <= MAX_TEXT).then(|| (a.repeat(n), is_str))?
            }
            ("builtins", "join") => {
                let (sep, is_str) = self.raw(first)?;
                (self.iterated(*items.get(1)?)?.join(&sep[..]), is_str)
            }
            ("builtins", "format") => {
                let given: Option<Vec<String>> = items[1..].iter().map(|&v| self.shown(v)).collect();
                (formatted(&self.raw_str(first)?, "{", "}", &given?)?.into_bytes(), true)
            }
            ("operator" | "_operator", "mod" | "__mod__" | "imod") | ("builtins", "__mod__") => {
                let &right = items.get(1)?;
                let given: Option<Vec<String>> = match self.items(right) {
                    Some(all) => all.into_iter().map(|v| self.shown(v)).collect(),
                    None => self.shown(right).map(|one| vec![one]),
                };
                (formatted(&self.raw_str(first)?, "%s", "", &given?)?.into_bytes(), true)
            }
            ("builtins", "replace") => {
                let (text, is_str) = self.raw(first)?;
                let text = String::from_utf8(text).ok()?;
                let (from, to) = (self.raw_str(*items.get(1)?)?, self.raw_str(*items.get(2)?)?);
                let grown = text.len().checked_mul(to.len().max(1))?;
                (items.len() == 3 && grown <= MAX_TEXT)
                    .then(|| (text.replace(&from, &to).into_bytes(), is_str))?
            }
            (
                "builtins",
                changed @ ("lower" | "upper" | "casefold" | "swapcase" | "title" | "capitalize" | "strip"
                | "lstrip" | "rstrip" | "removeprefix" | "removesuffix"),
            ) => {
                let (text, is_str) = self.raw(first)?;
                let with = match items.get(1) {
                    Some(&v) => Some(self.raw_str(v)?),
                    None => None,
                };
                (recased(changed, &String::from_utf8(text).ok()?, with.as_deref())?.into_bytes(), is_str)
            }
            ("builtins", "chr") => (character(self.value(first).as_int()?)?.to_string().into_bytes(), true),
            ("builtins", "str") => match items.get(1) {
                Some(&codec) => decoded(self.raw(first)?.0, &self.raw_str(codec)?)?,
                None => (self.shown(first)?.into_bytes(), true),
            },
            ("builtins", "bytes") => match (self.items(first), items.get(1)) {
                (Some(all), None) => {
                    let byte = |v: Val| u8::try_from(self.value(v).as_int()?).ok();
                    (all.into_iter().map(byte).collect::<Option<_>>()?, false)
                }
                (None, Some(&codec)) => encoded(self.raw(first)?.0, &self.raw_str(codec)?)?,
                _ => (self.raw(first).filter(|(_, is_str)| !is_str)?.0, false),
            },
            ("builtins", "fromhex") | ("binascii", "unhexlify" | "a2b_hex") | ("base64", "b16decode") => {
                (unhex(&self.raw(first)?.0)?, false)
            }
            (
                "base64",
                "b64decode" | "standard_b64decode" | "urlsafe_b64decode" | "decodebytes" | "decodestring",
            )
            | ("binascii", "a2b_base64") => (unbase64(&self.raw(first)?.0)?, false),
            ("base64", "b32decode") => (unbase32(&self.raw(first)?.0)?, false),
            ("base64", "b85decode") => (unbase85(&self.raw(first)?.0)?, false),
            ("zlib" | "gzip" | "bz2" | "lzma", "decompress") => {
                (decompressed(module, &self.raw(first)?.0)?, false)
            }
            (_, coded @ ("encode" | "decode")) => {
                let (text, _) = self.raw(first)?;
                let codec = match items.get(1) {
                    Some(&c) => self.raw_str(c)?,
                    None => "utf-8".into(),
                };
                if coded == "decode" { decoded(text, &codec)? } else { encoded(text, &codec)? }
            }
            _ => return None,
        })
    }

    /// `str(value)`, of texts and integers.
    fn shown(&self, v: Val) -> Option<String> {
        match self.value(v) {
            Value::Int(n) => Some(n.to_string()),
            _ => {
                let (bytes, is_str) = self.raw(v)?;
                String::from_utf8(bytes).ok().filter(|_| is_str)
            }
        }
    }

    /// `text[index]` and `text[start:stop:step]`.
    pub(crate) fn text_item(&mut self, text: Val, index: Val) -> Option<Val> {
        let (bytes, is_str) = self.raw(text)?;
        if !is_str {
            return None;
        }
        let chars: Vec<char> = String::from_utf8(bytes).ok()?.chars().collect();
        let picked: String = match self.value(index) {
            Value::Int(i) => {
                let i = if i < 0 { i.checked_add(chars.len() as i64)? } else { i };
                chars.get(usize::try_from(i).ok()?)?.to_string()
            }
            Value::Object { made_by, args } if made_by == "builtins.slice" => slice(&chars, &args)?,
            _ => return None,
        };
        Some(self.heap.text(picked.into_bytes(), true))
    }
}

/// `chars[slice(*bounds)]`.
fn slice(chars: &[char], bounds: &[Value]) -> Option<String> {
    let bound = |v: Option<&Value>| match v {
        None | Some(Value::None) => Some(None),
        Some(v) => v.as_int().map(Some),
    };
    let (start, stop, step) = match bounds {
        [stop] => (None, bound(Some(stop))?, None),
        _ => (bound(bounds.first())?, bound(bounds.get(1))?, bound(bounds.get(2))?),
    };
    let len = chars.len() as i64;
    let step = step.unwrap_or(1);
    if step == 0 || step == i64::MIN {
        return None;
    }
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let place = |v: i64| (if v < 0 { v.saturating_add(len) } else { v }).clamp(low, high);
    let (mut at, end) = match step > 0 {
        true => (start.map_or(0, place), stop.map_or(len, place)),
        false => (start.map_or(len - 1, place), stop.map_or(-1, place)),
    };
    let mut out = String::new();
    while (step > 0 && at < end) || (step < 0 && at > end) {
        out.push(*chars.get(usize::try_from(at).ok()?)?);
        at = at.checked_add(step)?;
    }
    Some(out)
}

fn character(code: i64) -> Option<char> {
    char::from_u32(u32::try_from(code).ok()?)
}

/// A template whose fields are `open` and `close` with nothing or a number between them.
fn formatted(template: &str, open: &str, close: &str, given: &[String]) -> Option<String> {
    let mut out = String::new();
    let mut rest = template;
    let mut next = 0usize;
    while let Some((before, after)) = rest.split_once(open) {
        out.push_str(before);
        let (field, tail) = if close.is_empty() { ("", after) } else { after.split_once(close)? };
        let index = if field.is_empty() {
            next += 1;
            next - 1
        } else {
            field.parse().ok()?
        };
        out.push_str(given.get(index)?);
        if out.len() > MAX_TEXT {
            return None;
        }
        rest = tail;
    }
    // What is left must hold no further syntax.
    if rest.contains(['{', '}', '%']) {
        return None;
    }
    out.push_str(rest);
    Some(out)
}

fn recased(method: &str, text: &str, with: Option<&str>) -> Option<String> {
    let strip = |c: char| match with {
        Some(set) => set.contains(c),
        None => c.is_whitespace(),
    };
    Some(match method {
        "lower" | "casefold" => text.to_lowercase(),
        "upper" => text.to_uppercase(),
        "swapcase" => text
            .chars()
            .map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
            .collect(),
        "title" | "capitalize" if text.chars().all(char::is_alphanumeric) => {
            let mut chars = text.chars();
            let first = chars.next()?;
            first.to_uppercase().chain(chars.flat_map(char::to_lowercase)).collect()
        }
        "strip" => text.trim_matches(strip).into(),
        "lstrip" => text.trim_start_matches(strip).into(),
        "rstrip" => text.trim_end_matches(strip).into(),
        "removeprefix" => text.strip_prefix(with?).unwrap_or(text).into(),
        "removesuffix" => text.strip_suffix(with?).unwrap_or(text).into(),
        _ => return None,
    })
}

/// The name of a codec as Python compares them.
fn codec_name(name: &str) -> String {
    let plain = name.to_ascii_lowercase().replace(['_', ' '], "-");
    match plain.as_str() {
        "utf8" | "u8" | "utf" | "ascii" | "us-ascii" | "646" => "utf-8".into(),
        "latin-1" | "iso-8859-1" | "iso8859-1" | "l1" | "latin" | "cp819" | "8859" => "latin1".into(),
        "base64-codec" | "base-64" => "base64".into(),
        "hex-codec" => "hex".into(),
        "zlib-codec" | "zip" => "zlib".into(),
        "bz2-codec" => "bz2".into(),
        "rot-13" => "rot13".into(),
        _ => plain,
    }
}

fn decoded(bytes: Vec<u8>, codec: &str) -> Option<Raw> {
    Some(match codec_name(codec).as_str() {
        "utf-8" => (bytes, true),
        "latin1" => (bytes.iter().map(|&b| char::from(b)).collect::<String>().into_bytes(), true),
        "hex" => (unhex(&bytes)?, false),
        "base64" => (unbase64(&bytes)?, false),
        "rot13" => (bytes.into_iter().map(rot13).collect(), true),
        name @ ("zlib" | "bz2") => (decompressed(name, &bytes)?, false),
        _ => return None,
    })
}

fn encoded(text: Vec<u8>, codec: &str) -> Option<Raw> {
    Some(match codec_name(codec).as_str() {
        "utf-8" => (text, false),
        "latin1" => {
            let s = std::str::from_utf8(&text).ok()?;
            (s.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<_>>()?, false)
        }
        "rot13" => (text.into_iter().map(rot13).collect(), true),
        _ => return None,
    })
}

/// What `zlib.decompress` and its kin return; none if that is too much, or broken.
fn decompressed(codec: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let limit = MAX_OUTPUT + 1;
    match codec {
        "zlib" => flate2::read::ZlibDecoder::new(bytes).take(limit).read_to_end(&mut out).ok()?,
        "gzip" => flate2::read::MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut out).ok()?,
        "bz2" => bzip2::read::MultiBzDecoder::new(bytes).take(limit).read_to_end(&mut out).ok()?,
        "lzma" => lzma_rust2::XzReader::new_mem_limit(bytes, true, MAX_MEMORY_KIB)
            .take(limit)
            .read_to_end(&mut out)
            .ok()?,
        _ => return None,
    };
    (out.len() as u64 <= MAX_OUTPUT).then_some(out)
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
    let digits = text.iter().filter(|b| !b.is_ascii_whitespace() && **b != b'=');
    ungroup(digits, 6, |b| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    })
}

fn unbase32(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.iter().filter(|b| **b != b'=');
    ungroup(digits, 5, |b| match b.to_ascii_uppercase() {
        b @ b'A'..=b'Z' => Some(b - b'A'),
        b @ b'2'..=b'7' => Some(b - b'2' + 26),
        _ => None,
    })
}

/// Characters that are digits of `width` bits each, as bytes; none if one is no digit.
fn ungroup<'a>(
    text: impl Iterator<Item = &'a u8>,
    width: u32,
    digit: impl Fn(u8) -> Option<u8>,
) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut acc, mut bits) = (0u32, 0u32);
    for &b in text {
        acc = acc << width | u32::from(digit(b)?);
        bits += width;
        if bits >= 8 {
            bits -= 8;
            out.push((acc >> bits) as u8);
            acc &= (1 << bits) - 1;
        }
    }
    Some(out)
}

/// Python's `base64.b85decode`: the alphabet of git and Mercurial, five characters for four bytes.
fn unbase85(text: &[u8]) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] =
        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
    let mut out = Vec::with_capacity(text.len() / 5 * 4);
    for group in text.chunks(5) {
        let mut n = 0u32;
        for i in 0..5 {
            let d = match group.get(i) {
                Some(b) => ALPHABET.iter().position(|a| a == b)? as u32,
                None => 84,
            };
            n = n.checked_mul(85)?.checked_add(d)?;
        }
        out.extend(n.to_be_bytes().iter().take(group.len().saturating_sub(1)));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs() {
        assert_eq!(unbase64(b"cG9zaXg=").unwrap(), b"posix");
        assert_eq!(unhex(b"706f73 6978").unwrap(), b"posix");
        assert_eq!("cbfvk".bytes().map(rot13).collect::<Vec<_>>(), b"posix");
        assert_eq!(unbase32(b"OBXXG2LY").unwrap(), b"posix");
        // base64.b85encode(b"posix")
        assert_eq!(unbase85(b"aBp*Icm").unwrap(), b"posix");
    }

    #[test]
    fn slices_and_templates() {
        let chars: Vec<char> = "metsys".chars().collect();
        assert_eq!(slice(&chars, &[Value::None, Value::None, Value::Int(-1)]).unwrap(), "system");
        assert_eq!(slice(&chars, &[Value::Int(3)]).unwrap(), "met");
        assert_eq!(slice(&chars, &[Value::Int(-3), Value::Int(100)]).unwrap(), "sys");
        assert_eq!(slice(&chars, &[Value::Int(9), Value::None, Value::Int(0)]), None);
        let given = ["sys".to_string(), "tem".to_string()];
        assert_eq!(formatted("{}{}", "{", "}", &given).unwrap(), "system");
        assert_eq!(formatted("{1}{0}", "{", "}", &given).unwrap(), "temsys");
        assert_eq!(formatted("%s%s", "%s", "", &given).unwrap(), "system");
        assert_eq!(formatted("{0!r}", "{", "}", &given), None);
    }
}
