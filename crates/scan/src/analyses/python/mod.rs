//! Effects of Python source: what a module does when it is imported, when a loader calls into it, and otherwise.
//!
//! The source is walked as an interpreter would, with values as far as constants and names tell them ([`value`]):
//! aliases, `getattr`, `__import__`, dictionaries of modules and folded strings come to the names they stand for.
//! Every binding of a name is kept, both branches are taken, a loop's body once. What a call does is told by the
//! full name of what is called ([`effects`]), never by words in the text. Nothing is run.

mod calls;
mod effects;
mod external;
mod fold;
mod imports;
mod moments;
mod value;
mod walk;

#[cfg(test)]
mod tests;

pub(crate) use effects::is_attack;
use wb_python::{Limits, Reason};

/// When an effect happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    /// By a call that nothing in the module makes, or under `if __name__ == "__main__"`.
    Call,
    /// In methods that loaders call, or in what these call.
    Load,
    /// By importing the module.
    Import,
}

impl When {
    /// Its name in facts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Load => "load",
            Self::Import => "import",
        }
    }
}

/// Something a module does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Stable id: `process`, `decoded-code`.
    pub code: &'static str,
    /// When.
    pub when: When,
    /// What is called, by its full name.
    pub callable: String,
    /// The call as it is written, bounded, not escaped.
    pub rendering: String,
    /// Offset in the source, in bytes.
    pub offset: u64,
}

/// Why a source has no effects told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// No Python.
    NotPython,
    /// Python, or likely so, that is too large, nested too deep or too intricate to follow, or in an encoding that
    /// hides it.
    TooMuch(String),
}

/// Most things told of one module.
const MAX_FOUND: usize = 200;

/// A module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Module {
    /// What it does.
    pub found: Vec<Found>,
    /// Names that it binds at its top level, if they can be listed.
    pub defines: Option<Vec<String>>,
    /// Modules that its import statements may name, wherever they stand, see [`imports::of`].
    pub imports: Vec<String>,
}

/// What a module does, defines and imports.
pub(crate) fn analyse(source: &[u8]) -> Result<Module, Unread> {
    if let Some(encoding) = declared_encoding(source).filter(|e| !is_transparent(e)) {
        return Err(Unread::TooMuch(format!(
            "the source is in the encoding {encoding}, which can hide code"
        )));
    }
    // Legacy encodings: what is not ASCII stands in texts and comments only, so any character does.
    let lossy = String::from_utf8_lossy(source);
    let code = lossy.trim_start_matches('\u{feff}');
    let module = parse(code)?;
    // Names can be bound by other means: then there is no list.
    let computed =
        ["globals", "exec", "vars", "setattr", "sys.modules", "locals"].iter().any(|w| code.contains(w));
    let defines = defines(&module.body).filter(|_| !computed);
    let mut found = walk::module(code, &module.body, &Default::default(), 0)?;
    found.sort_by(|a, b| b.when.cmp(&a.when).then(a.offset.cmp(&b.offset)));
    found.dedup_by(|a, b| {
        a.code == b.code && a.callable == b.callable && a.when == b.when && a.rendering == b.rendering
    });
    found.truncate(MAX_FOUND);
    Ok(Module { found, defines, imports: imports::of(&module.body) })
}

/// Names bound at the top level. `None` where more can appear: star imports, a `__getattr__`, too many.
fn defines(body: &[wb_python::ast::Stmt]) -> Option<Vec<String>> {
    const MAX: usize = 300;
    let symbols = wb_python::Symbols::of("", body);
    let listed =
        symbols.stars.is_empty() && symbols.names.len() <= MAX && !symbols.names.contains_key("__getattr__");
    let mut names: Vec<String> = symbols.names.keys().map(|n| n.to_string()).collect();
    names.sort();
    listed.then_some(names)
}

/// The same for text met on the way (`exec("…")`), with the names known there.
fn text(source: &str, names: &walk::Names, depth: u32) -> Result<Vec<Found>, Unread> {
    walk::module(source, &parse(source)?.body, names, depth)
}

fn parse(source: &str) -> Result<wb_python::ast::ModModule, Unread> {
    wb_python::parse(source.as_bytes(), &Limits::default()).map_err(|e| match e.reason {
        Reason::Syntax(_) | Reason::NotText => Unread::NotPython,
        Reason::TooLarge | Reason::TooDeep => Unread::TooMuch(e.to_string()),
    })
}

/// Encodings in which what looks like ASCII is ASCII. In others a byte may be a quote to one reader and half a letter to
/// another, or the whole text something else.
fn is_transparent(encoding: &str) -> bool {
    matches!(
        encoding,
        "utf-8" | "utf8" | "utf-8-sig" | "ascii" | "us-ascii" | "latin-1" | "latin1" | "iso-latin-1"
    ) || ["iso-8859-", "iso8859-", "koi8-", "cp125", "windows-125"].iter().any(|p| encoding.starts_with(p))
}

/// The encoding that one of the first two lines declares (PEP 263), in lower case.
fn declared_encoding(source: &[u8]) -> Option<String> {
    source.split(|b| *b == b'\n').take(2).find_map(|line| {
        let line = std::str::from_utf8(line.get(..line.len().min(200))?).ok()?.trim_start();
        let rest = line.strip_prefix('#')?.split_once("coding")?.1.strip_prefix([':', '='])?.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'));
        let name = rest.get(..end.unwrap_or(rest.len()))?.to_ascii_lowercase().replace('_', "-");
        (!name.is_empty()).then_some(name)
    })
}
