//! Tokens of TorchScript source as torch's own lexer cuts them (`torch/csrc/jit/frontend/lexer.h`): Python's words, other rules for
//! strings, numbers and what may follow.

/// One token: what it is and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub at: usize,
    pub end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or keyword.
    Name,
    Number,
    Text,
    /// A single character of anything else.
    Sign(u8),
}

/// Cuts `source` into tokens. The second value is where torch's lexer would stop with an error, if it would.
pub(super) fn tokens(source: &[u8]) -> (Vec<Token>, Option<usize>) {
    let (mut out, mut wrong, mut at) = (Vec::new(), None, 0);
    while let Some(&b) = source.get(at) {
        let rest = &source[at..];
        let (kind, len) = match b {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => (None, 1),
            // What follows `# type:` is read as types; the mark itself names nothing.
            b'#' if rest.starts_with(b"# type:") => (None, 7),
            b'#' => (None, memchr::memchr(b'\n', rest).unwrap_or(rest.len())),
            b'\\' if rest.get(1) == Some(&b'\n') => (None, 2),
            b'0'..=b'9' => (Some(Kind::Number), number(rest)),
            b'.' if rest.get(1).is_some_and(u8::is_ascii_digit) => (Some(Kind::Number), number(rest)),
            b'"' | b'\'' => match text(rest) {
                Some(len) => (Some(Kind::Text), len),
                None => {
                    wrong = wrong.or(Some(at));
                    (None, 1)
                }
            },
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let word = |c: &&u8| c.is_ascii_alphanumeric() || **c == b'_';
                (Some(Kind::Name), rest.iter().take_while(word).count())
            }
            b if b"+-*/@()[]:,={}><.?!&^|%~".contains(&b) => (Some(Kind::Sign(b)), 1),
            _ => {
                wrong = wrong.or(Some(at));
                (None, 1)
            }
        };
        if let Some(kind) = kind {
            out.push(Token { kind, at, end: at + len });
        }
        at += len;
    }
    (out, wrong)
}

/// Length of a number: digits, a fraction, an exponent, `j`.
fn number(text: &[u8]) -> usize {
    let digits = |from: usize| text[from.min(text.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut len = digits(0);
    if text.get(len) == Some(&b'.') {
        len += 1 + digits(len + 1);
    }
    if matches!(text.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(len + 1), Some(b'+' | b'-')));
        let exponent = digits(len + 1 + sign);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    if text.get(len) == Some(&b'j') {
        len += 1;
    }
    len.max(1)
}

/// Length of a string with its quotes; `None` if it has no end.
fn text(source: &[u8]) -> Option<usize> {
    let quote = *source.first()?;
    let width = if source.get(..3).is_some_and(|s| s.iter().all(|b| *b == quote)) { 3 } else { 1 };
    let ends = |at: usize| source.get(at..at + width).is_some_and(|s| s.iter().all(|b| *b == quote));
    let mut at = width;
    while at < source.len() && !ends(at) {
        match source[at] {
            b'\n' if width == 1 => return None,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    (at < source.len()).then_some(at + width)
}

/// What a string literal stands for. Escapes that torch does not know stay as they are.
pub(super) fn decoded(literal: &[u8]) -> Vec<u8> {
    let quote = literal.first().copied().unwrap_or(b'"');
    let width = if literal.len() >= 6 && literal[..3].iter().all(|b| *b == quote) { 3 } else { 1 };
    let inner = literal.get(width..literal.len().saturating_sub(width)).unwrap_or_default();
    let (mut out, mut at) = (Vec::with_capacity(inner.len()), 0);
    while let Some(&b) = inner.get(at) {
        at += 1;
        if b != b'\\' {
            out.push(b);
            continue;
        }
        let Some(&escape) = inner.get(at) else { break };
        at += 1;
        let digits = |from: usize, max: usize, radix: u32| {
            let run = inner[from..].iter().take(max).take_while(|b| char::from(**b).is_digit(radix)).count();
            let text = std::str::from_utf8(&inner[from..from + run]).unwrap_or_default();
            (run, u32::from_str_radix(text, radix).ok().map(|n| n as u8))
        };
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'v' => out.push(11),
            b'\n' => {}
            b'x' => {
                let (run, value) = digits(at, 2, 16);
                out.extend(value);
                at += run;
            }
            b'0'..=b'7' => {
                let (run, value) = digits(at - 1, 3, 8);
                out.extend(value);
                at += run - 1;
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(source: &str) -> Vec<&str> {
        tokens(source.as_bytes()).0.iter().map(|t| &source[t.at..t.end]).collect()
    }

    #[test]
    fn as_torch_cuts_them() {
        assert_eq!(cut("torch\\\n.save(x, 1.5e-3j)"), ["torch", ".", "save", "(", "x", ",", "1.5e-3j", ")"]);
        assert_eq!(cut("a # torch.save\nb"), ["a", "b"]);
        assert_eq!(cut("x = \"a # b\" 'it\\'s'"), ["x", "=", "\"a # b\"", "'it\\'s'"]);
        assert_eq!(cut("'''a\n'b''' c"), ["'''a\n'b'''", "c"]);
        assert_eq!(cut("1if x"), ["1", "if", "x"]);
        assert_eq!(cut("# type: (Tensor) -> Tensor"), ["(", "Tensor", ")", "-", ">", "Tensor"]);
        assert_eq!(tokens(b"a $ b").1, Some(2));
        assert_eq!(tokens(b"\"open\n").1, Some(0));
    }

    #[test]
    fn escapes() {
        assert_eq!(decoded(b"\"s\\x61v\\145\""), b"save");
        assert_eq!(decoded(b"'''a\\\\b'''"), b"a\\b");
        assert_eq!(decoded(b"\""), b"");
    }
}
