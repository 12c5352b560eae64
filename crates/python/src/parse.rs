//! Text to syntax tree, within bounds.

use crate::depth;
use ruff_python_ast::ModModule;
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};

/// What a source may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest source, in bytes.
    pub bytes: usize,
    /// Deepest nesting of the syntax tree, counted generously: brackets, blocks and chains of operators.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 8 << 20, depth: 400 }
    }
}

/// Why a source was not parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Larger than [`Limits::bytes`].
    TooLarge,
    /// Nested deeper than [`Limits::depth`].
    TooDeep,
    /// Not UTF-8, with or without a declaration of another encoding.
    NotText,
    /// No Python that this parser knows; says what was expected.
    Syntax(String),
}

/// A source that was not parsed, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Why.
    pub reason: Reason,
    /// Line, from 1.
    pub line: usize,
    /// Byte in the line, from 1.
    pub column: usize,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match &self.reason {
            Reason::TooLarge => "the source is too large",
            Reason::TooDeep => "the source is nested too deeply",
            Reason::NotText => "the source is not UTF-8",
            Reason::Syntax(what) => what,
        };
        write!(f, "line {}, column {}: {what}", self.line, self.column)
    }
}

impl std::error::Error for Error {}

/// Parses a module.
///
/// # Errors
/// When a limit is passed or the text is no Python of any version the parser knows (up to 3.14). Syntax that only
/// some versions accept is accepted.
pub fn parse(source: &[u8], limits: &Limits) -> Result<ModModule, Error> {
    if source.len() > limits.bytes {
        return Err(Error { reason: Reason::TooLarge, line: 1, column: 1 });
    }
    let source = source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source);
    let text = std::str::from_utf8(source).map_err(|e| at(source, e.valid_up_to(), Reason::NotText))?;
    depth::check(text, limits.depth).map_err(|line| Error { reason: Reason::TooDeep, line, column: 1 })?;
    let parsed = parse_unchecked(text, ParseOptions::from(Mode::Module));
    if let Some(e) = parsed.errors().first() {
        return Err(at(source, e.location.start().to_usize(), Reason::Syntax(e.error.to_string())));
    }
    match parsed.into_syntax() {
        ruff_python_ast::Mod::Module(module) => Ok(module),
        ruff_python_ast::Mod::Expression(_) => {
            Err(at(source, 0, Reason::Syntax("a module was expected".into())))
        }
    }
}

/// An error at a byte offset.
fn at(source: &[u8], offset: usize, reason: Reason) -> Error {
    let before = &source[..offset.min(source.len())];
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&b| b != b'\n').count() + 1;
    Error { reason, line, column }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(source: &str) -> Option<Reason> {
        parse(source.as_bytes(), &Limits::default()).err().map(|e| e.reason)
    }

    #[test]
    fn honest_sources_parse() {
        assert_eq!(
            reason("class A(B, metaclass=M):\n    x: int = 1\n    def f(self, *a, **k): return {**k}\n"),
            None
        );
        assert_eq!(reason(&format!("x = {}\n", vec!["'a'"; 20_000].join(", "))), None);
        assert_eq!(reason(&format!("x = [{}]\n", vec!["f(1).g[2]"; 20_000].join(",\n  "))), None);
        assert_eq!(reason(&"x = 1\n".repeat(50_000)), None);
        assert_eq!(reason(&format!("x = {}\n", vec!["'a'"; 150].join(" + "))), None);
        assert_eq!(reason(&format!("if a:\n  pass\n{}", "elif b:\n  pass\n".repeat(2000))), None);
    }

    /// Each of these would recurse once a repetition, in the parser or in whatever walks or drops the tree.
    #[test]
    fn deep_sources_are_refused() {
        let n = 100_000;
        let deep = [
            "(".repeat(n),
            format!("x = {}1{}", "[".repeat(n), "]".repeat(n)),
            format!("x = {}1", "-".repeat(n)),
            format!("x = {}1", "not ".repeat(n)),
            format!("x = {}1", "await ".repeat(n)),
            format!("x = {}1", "lambda: ".repeat(n)),
            format!("x = {}1", "1 ** ".repeat(n)),
            format!("x = {}1", "1 + ".repeat(n)),
            format!("x = {}1", "1 if 1 else ".repeat(n)),
            format!("x = a{}", ".b".repeat(n)),
            format!("x = a{}", "()".repeat(n)),
            format!("x = a{}", "[0]".repeat(n)),
            format!("x = a{}", "(0,)[0].c".repeat(n)),
            format!("match x:\n  case {}1{}: pass", "[".repeat(n), "]".repeat(n)),
            format!("x = {}", "f'{".repeat(n)),
            format!("x = f'{{1:{}'", "{1:".repeat(n)),
            (0..2000).map(|i| format!("{}if x:\n", " ".repeat(i))).collect(),
        ];
        for source in deep {
            let start: String = source.chars().take(20).collect();
            assert!(matches!(reason(&source), Some(Reason::TooDeep | Reason::Syntax(_))), "{start}");
        }
    }

    #[test]
    fn errors_say_where() {
        let e = parse(b"x = 1\ny = = 2\n", &Limits::default()).unwrap_err();
        assert_eq!((e.line, e.column), (2, 5));
        let e = parse(b"x = 1\ny = '\xff'\n", &Limits::default()).unwrap_err();
        assert_eq!((e.reason, e.line), (Reason::NotText, 2));
        let limits = Limits { bytes: 3, depth: 10 };
        assert_eq!(parse(b"x = 1", &limits).unwrap_err().reason, Reason::TooLarge);
    }
}
