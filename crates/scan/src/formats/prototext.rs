//! Protobuf's text format (<https://protobuf.dev/reference/protobuf/textformat-spec/>), turned into the binary form by the
//! names that a schema gives its fields.

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<M> {
    Message(M),
    /// A string.
    Text,
    /// Bytes: base64 in JSON.
    Bytes,
    /// A number that decides something, or the name of one.
    Number,
    /// Four bytes.
    Float,
    /// Eight bytes.
    Double,
    /// Known, and nothing that decides anything.
    Skip,
}

/// A message type of a schema.
pub(super) trait Schema: Copy {
    /// The message in which nothing decides anything.
    const LOOSE: Self;
    /// Number and kind of a field; number 0 is left out.
    fn field(self, name: &str) -> Option<(u32, Kind<Self>)>;
    /// Are unnamed fields of this message of no consequence?
    fn is_loose(self) -> bool;
    /// A number, or the name of a value of an enumeration.
    fn number(word: &str) -> Option<u64>;
    /// Is this the field whose occurrences are counted?
    fn counts(self, number: u32) -> bool;
}

/// A number of the text format with a fraction.
fn float(word: &str) -> Option<f64> {
    let lower = word.to_ascii_lowercase();
    lower.parse().or_else(|_| lower.strip_suffix('f').unwrap_or(&lower).parse()).ok()
}

/// Reads one text.
pub(super) struct Parser<'t> {
    pub text: &'t [u8],
    pub at: usize,
    /// Fields that the schema does not have, with their places.
    pub unknown: Vec<(u64, String)>,
    /// Fields that [`Schema::counts`].
    pub counted: usize,
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends a field of bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

/// Appends a field of a fixed width.
pub(super) fn put_fixed(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    let wire = if bytes.len() == 4 { 5 } else { 1 };
    put_varint(out, u64::from(number) << 3 | wire);
    out.extend(bytes);
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        // A byte order mark is no field.
        let at = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { text, at, unknown: Vec::new(), counted: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn space(&mut self) {
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

    pub(super) fn word(&mut self) -> Option<String> {
        let rest = &self.text[self.at..];
        let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        (len > 0 && !rest[0].is_ascii_digit()).then(|| {
            self.at += len;
            String::from_utf8_lossy(&rest[..len]).into_owned()
        })
    }

    /// Fields up to `close` (or the end); `None` where the text is no message. What was read before stands in `out`.
    pub(super) fn fields<S: Schema>(
        &mut self,
        message: S,
        close: Option<u8>,
        depth: u32,
        out: &mut Vec<u8>,
    ) -> Option<()> {
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
            let field = message.field(&name);
            if field.is_none() && !message.is_loose() && self.unknown.len() < MAX_UNKNOWN {
                self.unknown.push((start as u64, name));
            }
            let (number, kind) = field.unwrap_or((0, Kind::Skip));
            self.counted += usize::from(message.counts(number));
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

    fn value<S: Schema>(&mut self, number: u32, kind: Kind<S>, depth: u32, out: &mut Vec<u8>) -> Option<()> {
        self.space();
        match self.peek()? {
            open @ (b'{' | b'<') => {
                self.at += 1;
                let close = if open == b'{' { b'}' } else { b'>' };
                let message = if let Kind::Message(m) = kind { m } else { S::LOOSE };
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
                if number != 0 && matches!(kind, Kind::Text | Kind::Bytes) {
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
                if number == 0 {
                    return Some(());
                }
                let sign = if negative { -1.0 } else { 1.0 };
                match kind {
                    Kind::Number => {
                        let n = S::number(&word)?;
                        put_varint(out, u64::from(number) << 3);
                        put_varint(out, if negative { n.wrapping_neg() } else { n });
                    }
                    Kind::Float => put_fixed(out, number, &((sign * float(&word)?) as f32).to_le_bytes()),
                    Kind::Double => put_fixed(out, number, &(sign * float(&word)?).to_le_bytes()),
                    _ => {}
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
