//! Errors that point at a line, a column and a key.

/// One thing wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Dotted key, e.g. `rules.WB-PKL-001`; empty for errors of syntax.
    pub key: String,
    /// What is wrong and what to do: lower-case, no trailing dot.
    pub message: String,
}

/// Everything wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.render())]
pub struct PolicyErrors {
    /// The file, as given to the parser.
    pub file: String,
    /// Never empty, in file order.
    pub errors: Vec<PolicyError>,
}

impl PolicyErrors {
    /// One line per error: `policy.toml:3:1: rules.WB-PKL-001: …`.
    fn render(&self) -> String {
        let line = |e: &PolicyError| {
            let key = if e.key.is_empty() { String::new() } else { format!("{}: ", e.key) };
            format!("{}:{}:{}: {key}{}", self.file, e.line, e.column, e.message)
        };
        self.errors.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Collects errors while a document is walked.
pub(super) struct Errors<'a> {
    text: &'a str,
    file: &'a str,
    errors: Vec<PolicyError>,
}

impl<'a> Errors<'a> {
    pub fn new(text: &'a str, file: &'a str) -> Self {
        Self { text, file, errors: Vec::new() }
    }

    /// Records an error at a byte offset of the document.
    pub fn push(&mut self, at: usize, key: &str, message: impl Into<String>) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        self.errors.push(PolicyError {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            key: key.into(),
            message: message.into(),
        });
    }

    pub fn count(&self) -> usize {
        self.errors.len()
    }

    pub fn finish(mut self) -> PolicyErrors {
        self.errors.sort_by_key(|e| (e.line, e.column));
        PolicyErrors { file: self.file.into(), errors: self.errors }
    }

    pub fn into_result<T>(self, value: T) -> Result<T, PolicyErrors> {
        if self.errors.is_empty() { Ok(value) } else { Err(self.finish()) }
    }
}
