//! Functions kept in a configuration: marshalled code in base64 (Keras 2 and 3) or as text of one character a byte
//! (Keras 1). What they hold can only make matters worse; nothing in it proves them harmless.

use crate::analyses::{directive, marshal};
use crate::catalogue;
use wb_verdict::{Effect, escape};

/// What a piece of code shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shown {
    /// Code, and a summary of it.
    Code(String),
    /// Code that reaches something dangerous, and what.
    Dangerous(String),
}

/// Code in a string of whatever place; `None` if it is no marshalled code object.
pub(super) fn in_text(text: &str) -> Option<Shown> {
    candidates(text).into_iter().find_map(|bytes| marshal::code(&bytes)).map(|code| judge(&code))
}

/// Code where the loader expects code: unreadable bytes are looked over for words.
pub(super) fn expected(text: &str) -> Shown {
    if let Some(shown) = in_text(text) {
        return shown;
    }
    let words: Vec<String> = candidates(text).iter().flat_map(|bytes| marshal::words(bytes)).collect();
    match dangerous_names(std::slice::from_ref(&words)) {
        Some(what) => Shown::Dangerous(what),
        None => Shown::Code("code of no known Python version".into()),
    }
}

/// The bytes that a loader may make of the text.
fn candidates(text: &str) -> Vec<Vec<u8>> {
    const MIN: usize = 20;
    const MAX: usize = 8 << 20;
    if !(MIN..MAX).contains(&text.len()) {
        return Vec::new();
    }
    let mut out = Vec::new();
    // `c` and the flagged `c` in base64.
    let base64 = |b: u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_') || b.is_ascii_whitespace()
    };
    let trimmed = text.trim_start();
    if trimmed.starts_with(['Y', '4']) && text.bytes().all(base64) {
        let letters: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'=').collect();
        out.push(directive::base64_bytes(&letters));
    }
    if text.starts_with(['c', '\u{e3}']) && text.chars().all(|c| (c as u32) < 256) {
        out.push(text.chars().map(|c| c as u8).collect());
    }
    out.retain(|bytes| marshal::begins(bytes));
    out
}

fn judge(code: &marshal::Code) -> Shown {
    let summary = summary(code);
    if code.module_level {
        return Shown::Dangerous(format!("the body of a module where writers put functions; {summary}"));
    }
    match harm(code) {
        Some(what) => Shown::Dangerous(format!("{what}; {summary}")),
        None => Shown::Code(summary),
    }
}

/// What shows that code does more than model work: a name, a command, a text.
pub(crate) fn harm(code: &marshal::Code) -> Option<String> {
    dangerous_names(&code.names)
        .or_else(|| code.texts.iter().find_map(|t| directive::commands(t)).map(|(_, what)| what))
        .or_else(|| code.texts.iter().find(|t| catalogue::is_code_word(t)).map(|word| bounded(word)))
}

fn bounded(text: &str) -> String {
    escape(&text.chars().take(80).collect::<String>())
}

pub(crate) fn summary(code: &marshal::Code) -> String {
    let list = |words: Vec<&String>| {
        let shown: Vec<String> = words.iter().take(8).map(|w| bounded(w)).collect();
        if shown.is_empty() { "none".to_string() } else { shown.join(", ") }
    };
    let names = list(code.names.iter().flatten().collect());
    let texts = list(code.texts.iter().filter(|t| !t.is_empty()).collect());
    format!("names: {names}; texts: {texts}")
}

/// The first name that shows more than model work, told with the module it is reached through.
pub(crate) fn dangerous_names(functions: &[Vec<String>]) -> Option<String> {
    /// Pairs looked at.
    const MAX: usize = 200;
    let runs = |effect: Effect| {
        matches!(
            effect,
            Effect::Code
                | Effect::Process
                | Effect::Native
                | Effect::Import
                | Effect::File
                | Effect::Network
                | Effect::Deserialise
        )
    };
    for names in functions {
        let modules: Vec<&String> =
            names.iter().filter(|n| catalogue::is_known(n) && *n != "builtins").take(MAX).collect();
        for module in modules {
            let found = names
                .iter()
                .take(MAX)
                .find(|name| *name != module && catalogue::listed_effect(module, name).is_some_and(runs));
            if let Some(name) = found {
                return Some(format!("{module}.{name}"));
            }
        }
        // The name that a function uses first is no attribute of anything.
        if let Some(first) = names.first()
            && catalogue::listed_effect("builtins", first).is_some_and(runs)
        {
            return Some(format!("builtins.{first}"));
        }
        let tensorflow = |n: &&String| matches!(n.as_str(), "write_file" | "load_op_library");
        if let Some(word) =
            names.iter().find(|n| catalogue::is_code_word(n)).or_else(|| names.iter().find(tensorflow))
        {
            return Some(bounded(word));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What CPython 3.13 made of `lambda x: x * 2` and Keras 3 of that.
    const HONEST: &str = "4wEAAAAAAAAAAAAAAAIAAAATAAAA8wwAAACXAHwAZAF6BQAAUwCpAk7pAgAAAKkAKQHaAXRzAQAA\nACD6Ki93b3JrL2xhYi9yZWFsbW9kZWxzL2dlbmVyYXRlL2dlbl9rZXJhcy5wefoIPGxhbWJkYT76\nFWxhbS48bG9jYWxzPi48bGFtYmRhPg8AAABzCgAAAIAAqBGoMakTgADzAAAAAA==\n";

    #[test]
    fn an_honest_lambda_is_code_and_no_more() {
        assert!(matches!(in_text(HONEST), Some(Shown::Code(_))), "{:?}", in_text(HONEST));
        assert_eq!(in_text("YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo="), None);
        assert_eq!(in_text("a name of a layer, nothing more than that"), None);
        assert!(matches!(expected("bm90IGNvZGUgYXQgYWxsLCBqdXN0IHRleHQ="), Shown::Code(_)));
    }

    #[test]
    fn names_are_read_together() {
        let names = |n: &[&str]| dangerous_names(&[n.iter().map(|s| (*s).to_string()).collect()]);
        assert_eq!(names(&["os", "system"]).as_deref(), Some("os.system"));
        assert_eq!(names(&["shutil", "rmtree"]).as_deref(), Some("shutil.rmtree"));
        assert_eq!(names(&["eval"]).as_deref(), Some("builtins.eval"));
        assert_eq!(names(&["tf", "io", "write_file"]).as_deref(), Some("write_file"));
        assert_eq!(names(&["K", "eval"]), None);
        assert_eq!(names(&["tf", "math", "reduce_sum", "shape", "len"]), None);
    }
}
