//! JSON as Python's `json` reads it, with everything kept that a parser may throw away: both values of a key given
//! twice, `NaN`, lone surrogates. Keras walks what Python made of the text; a judge must see at least as much.

/// Nesting that is followed. Python's own limit stops Keras, which needs several frames for each level, before that.
const MAX_DEPTH: u32 = 400;
/// Values held at once.
const MAX_VALUES: usize = 4_000_000;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    /// `null`.
    Null,
    /// `true`, `false`, `NaN`, `Infinity`.
    Plain,
    /// A number, as near as a float comes.
    Number(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object: pairs in their order, keys possibly repeated.
    Map(Vec<(String, Json)>),
}

/// Why a text could not be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fail {
    /// No JSON from this byte on.
    Syntax(usize),
    /// Nested deeper than any reader goes.
    Deep,
    /// More values than are held.
    Large,
}

impl Json {
    /// All values of a key; readers take the first or the last.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Json> {
        let pairs = if let Self::Map(pairs) = self { &pairs[..] } else { &[] };
        pairs.iter().filter(move |(k, _)| k == key).map(|(_, v)| v)
    }

    /// True for an object with this key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.all(key).next().is_some()
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(t) = self { Some(t) } else { None }
    }
}

/// The documents of a text, one after another; stops at the first byte that is no JSON.
pub(crate) fn documents(text: &[u8]) -> (Vec<Json>, Option<Fail>) {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut p = Parser { text, at: 0, values: 0 };
    let mut all = Vec::new();
    loop {
        p.blanks();
        if p.at >= text.len() {
            return (all, None);
        }
        match p.value(0) {
            Ok(v) => all.push(v),
            Err(fail) => return (all, Some(fail)),
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    values: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn syntax<T>(&self) -> Result<T, Fail> {
        Err(Fail::Syntax(self.at))
    }

    fn value(&mut self, depth: u32) -> Result<Json, Fail> {
        if depth > MAX_DEPTH {
            return Err(Fail::Deep);
        }
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Fail::Large);
        }
        match self.peek() {
            Some(b'{') => self.map(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9' | b'a'..=b'z' | b'N' | b'I') => self.word(),
            _ => self.syntax(),
        }
    }

    fn word(&mut self) -> Result<Json, Fail> {
        let word = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.');
        let start = self.at;
        let rest = &self.text[start..];
        let word = &rest[..rest.iter().take_while(word).count()];
        self.at += word.len();
        match word {
            b"null" => Ok(Json::Null),
            b"true" | b"false" | b"NaN" | b"Infinity" | b"-Infinity" => Ok(Json::Plain),
            [b'-', b'0'..=b'9', ..] | [b'0'..=b'9', ..] => Ok(std::str::from_utf8(word)
                .ok()
                .and_then(|w| w.parse().ok())
                .map_or(Json::Plain, Json::Number)),
            _ => Err(Fail::Syntax(start)),
        }
    }

    fn list(&mut self, depth: u32) -> Result<Json, Fail> {
        self.at += 1;
        let mut items = Vec::new();
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::List(items));
        }
        loop {
            self.blanks();
            items.push(self.value(depth + 1)?);
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::List(items));
                }
                _ => return self.syntax(),
            }
        }
    }

    fn map(&mut self, depth: u32) -> Result<Json, Fail> {
        self.at += 1;
        let mut pairs = Vec::new();
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Map(pairs));
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return self.syntax();
            }
            let key = self.string()?;
            self.blanks();
            if self.peek() != Some(b':') {
                return self.syntax();
            }
            self.at += 1;
            self.blanks();
            pairs.push((key, self.value(depth + 1)?));
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Map(pairs));
                }
                _ => return self.syntax(),
            }
        }
    }

    /// A string literal; control characters are taken as they stand, surrogates without a partner become U+FFFD.
    fn string(&mut self) -> Result<String, Fail> {
        let mut out = Vec::new();
        self.at += 1;
        loop {
            let rest = &self.text[self.at.min(self.text.len())..];
            let Some(n) = memchr::memchr2(b'"', b'\\', rest) else { return self.syntax() };
            out.extend_from_slice(&rest[..n]);
            self.at += n + 1;
            if rest[n] == b'"' {
                return Ok(String::from_utf8(out)
                    .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()));
            }
            let c = match self.peek() {
                Some(b @ (b'"' | b'\\' | b'/')) => char::from(b),
                Some(b'b') => '\u{8}',
                Some(b'f') => '\u{c}',
                Some(b'n') => '\n',
                Some(b'r') => '\r',
                Some(b't') => '\t',
                Some(b'u') => {
                    self.at += 1;
                    let c = self.unicode()?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
                _ => return self.syntax(),
            };
            self.at += 1;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn hex4(&mut self) -> Result<u32, Fail> {
        let digits = self.text.get(self.at..self.at + 4).and_then(|d| std::str::from_utf8(d).ok());
        let value = digits.and_then(|d| u32::from_str_radix(d, 16).ok());
        match value {
            Some(v) => {
                self.at += 4;
                Ok(v)
            }
            None => self.syntax(),
        }
    }

    /// The character after `\u`, with the second half of a surrogate pair.
    fn unicode(&mut self) -> Result<char, Fail> {
        let first = self.hex4()?;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or('\u{fffd}'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Json {
        let (mut all, fail) = documents(text.as_bytes());
        assert_eq!(fail, None, "{text}");
        all.remove(0)
    }

    #[test]
    fn both_values_of_a_key_are_kept() {
        let v = one(r#"{"a": "x", "a": ["y", NaN, -Infinity, 1e5, true, null]}"#);
        assert_eq!(v.all("a").count(), 2);
        assert_eq!(v.all("a").next().and_then(Json::text), Some("x"));
    }

    #[test]
    fn keys_may_be_spelled_with_escapes() {
        let v = one(r#"{"class\u005fname": "L\u0061mbda", "e": "\ud83d\ude00 \ud800 \/"}"#);
        assert_eq!(v.all("class_name").next().and_then(Json::text), Some("Lambda"));
        assert_eq!(v.all("e").next().and_then(Json::text), Some("\u{1f600} \u{fffd} /"));
    }

    #[test]
    fn depth_and_breakage_are_told() {
        assert_eq!(documents("[".repeat(100_000).as_bytes()).1, Some(Fail::Deep));
        assert_eq!(documents(b"{\"a\": 1} {\"b\"").0.len(), 1);
        for broken in ["{", "{\"a\"", "[1,", "\"x", "nul", "{\"a\": \"\\q\"}", "\"\\u12\"", "}"] {
            assert!(documents(broken.as_bytes()).1.is_some(), "{broken}");
        }
    }
}
