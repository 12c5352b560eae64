//! Regular expressions that take time without end: a repetition of a repetition, or of alternatives that are the same,
//! where nothing else stands between. Engines that go back try every way to split a text among them (CWE-1333).
//!
//! Told by structure alone, without false alarms on the patterns of published tokenizers: what a group repeats must be
//! able to be exactly one repeated atom.

/// The part of a pattern that does so, if there is one.
pub(crate) fn endless(pattern: &str) -> Option<String> {
    const LONGEST: usize = 1 << 16;
    if pattern.len() > LONGEST {
        return None;
    }
    let chars: Vec<char> = pattern.chars().collect();
    let mut p = Parser { chars: &chars, at: 0, depth: 0, found: None };
    p.alternatives();
    p.found
}

struct Parser<'a> {
    chars: &'a [char],
    at: usize,
    depth: u32,
    found: Option<String>,
}

/// What one alternative of a group is.
#[derive(Default)]
struct Sequence {
    /// Atoms that a text must match, each by how often: once, or without bound.
    must: Vec<bool>,
    /// Atoms that may be left out and are repeated without bound.
    may_loop: bool,
    text: String,
}

impl Sequence {
    /// Could it be nothing but one atom, repeated without bound?
    fn is_loop(&self) -> bool {
        matches!(self.must.as_slice(), [true]) || self.must.is_empty() && self.may_loop
    }
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    /// Alternatives up to the end of the group; true if repeating them has no end.
    fn alternatives(&mut self) -> bool {
        const DEEPEST: u32 = 60;
        self.depth += 1;
        let mut all: Vec<Sequence> = Vec::new();
        let mut bad = false;
        loop {
            if self.depth > DEEPEST {
                self.at = self.chars.len();
            }
            let sequence = self.sequence();
            bad |= sequence.is_loop();
            bad |= !sequence.text.is_empty() && all.iter().any(|s| s.text == sequence.text);
            all.push(sequence);
            if self.peek() != Some('|') {
                break;
            }
            self.take();
        }
        self.depth -= 1;
        bad
    }

    fn sequence(&mut self) -> Sequence {
        let mut out = Sequence::default();
        let start = self.at;
        while let Some(c) = self.peek() {
            if matches!(c, '|' | ')') {
                break;
            }
            let begin = self.at;
            let (atom, inner) = self.atom();
            let (least, unbounded, possessive) = self.repeat();
            if inner && unbounded && !possessive && self.found.is_none() {
                let shown: String = self.chars[begin..self.at].iter().take(120).collect();
                self.found = Some(shown);
            }
            if !atom {
                continue;
            }
            // A group that repeats badly by itself is a loop for the group around it.
            let repeated = unbounded && !possessive;
            if least > 0 {
                out.must.push(repeated || inner && least == 1 && !unbounded);
            } else {
                out.may_loop |= repeated;
            }
        }
        out.text = self.chars[start..self.at].iter().collect();
        out
    }

    /// One atom. Whether it takes characters, and whether repeating it has no end.
    fn atom(&mut self) -> (bool, bool) {
        match self.take() {
            Some('\\') => {
                let c = self.take();
                if matches!(c, Some('p' | 'P' | 'x' | 'u')) && self.peek() == Some('{') {
                    while self.take().is_some_and(|c| c != '}') {}
                }
                (!matches!(c, Some('b' | 'B' | 'A' | 'z' | 'Z' | 'G')), false)
            }
            Some('[') => {
                self.class();
                (true, false)
            }
            Some('(') => self.group(),
            Some('^' | '$') => (false, false),
            _ => (true, false),
        }
    }

    /// A character class, which may hold others.
    fn class(&mut self) {
        let mut depth = 1;
        if self.peek() == Some('^') {
            self.take();
        }
        if self.peek() == Some(']') {
            self.take();
        }
        while depth > 0 {
            match self.take() {
                Some('\\') => drop(self.take()),
                Some('[') => depth += 1,
                Some(']') => depth -= 1,
                Some(_) => {}
                None => return,
            }
        }
    }

    fn group(&mut self) -> (bool, bool) {
        let (mut atom, mut atomic) = (true, false);
        if self.peek() == Some('?') {
            self.take();
            match self.take() {
                Some('=' | '!') => atom = false,
                Some('>') => atomic = true,
                Some('<') => {
                    if matches!(self.peek(), Some('=' | '!')) {
                        atom = false;
                    }
                    // A name, or what looks back.
                    while !matches!(self.peek(), None | Some('>' | ')' | '=' | '!')) {
                        self.take();
                    }
                    self.take();
                }
                Some('#') => {
                    while !matches!(self.peek(), None | Some(')')) {
                        self.take();
                    }
                    atom = false;
                }
                None => {}
                // Flags, `P<name>`, or a bare `:`.
                Some(_) => {
                    self.at -= 1;
                    while !matches!(self.peek(), None | Some(':' | ')' | '>')) {
                        self.take();
                    }
                    if self.peek() != Some(')') {
                        self.take();
                    } else {
                        atom = false;
                    }
                }
            }
        }
        let bad = self.alternatives();
        if self.peek() == Some(')') {
            self.take();
        }
        (atom, bad && !atomic)
    }

    /// Least count, whether there is no greatest, whether the engine never goes back into it.
    fn repeat(&mut self) -> (u32, bool, bool) {
        let (mut least, mut unbounded, mut possessive) = (1, false, false);
        while let Some(c) = self.peek() {
            match c {
                '*' => (least, unbounded) = (0, true),
                '+' if unbounded => possessive = true,
                '+' => unbounded = true,
                '?' if unbounded => {}
                '?' => least = 0,
                '{' => {
                    let Some(end) = self.chars[self.at..].iter().position(|c| *c == '}') else { break };
                    let body: String = self.chars[self.at + 1..self.at + end].iter().collect();
                    let (low, high) = body.split_once(',').unwrap_or((&body, &body));
                    let (low, high) = (low.trim(), high.trim());
                    if low.parse::<u32>().is_err() && (high.is_empty() || !low.is_empty()) {
                        break;
                    }
                    least = low.parse().unwrap_or(0);
                    // Fifty times is as good as without end.
                    unbounded = high.parse::<u32>().map_or(true, |n| n >= 50 && n != least);
                    self.at += end;
                }
                _ => break,
            }
            self.take();
        }
        (least, unbounded, possessive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_of_repetitions() {
        for p in [
            "(a+)+$",
            "(?:a*)*b",
            "([a-z]+)*",
            "(x|[0-9]+)+",
            "((a+))+",
            "(?:(?:\\w+))*",
            "(a|a)*$",
            "(\\s?\\w+)+",
            "^(?:\\p{L}+)+$",
            "(a+){2,}",
            "(?P<n>a+)+",
            "(a*b*)*",
            "x(y|(z+)+)w",
            "([^)]+)*",
            "(?i:a+)+",
            "(a{1,})+",
        ] {
            assert!(endless(p).is_some(), "{p}");
        }
    }

    #[test]
    fn patterns_of_tokenizers() {
        for p in [
            "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
            "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t)?|\\p{N}{1,3}|\\s*[\\r\\n]+|\\s+",
            "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*",
            " {2,}",
            "\\d{1,3}(?=(?:\\d{3})*\\b)",
            "(?:\\s+\\w+)*",
            "(?:\\r?\\n)+?",
            "(\\d+\\.)*\\d",
            "(?>a+)+",
            "(a++)+",
            "(ab+)*",
            "<\\|[a-z]+\\|>",
            "[",
            "(",
            ")",
            "a{",
            "(?",
            "\\",
        ] {
            assert_eq!(endless(p), None, "{p}");
        }
        endless(&"(".repeat(60_000));
    }
}
