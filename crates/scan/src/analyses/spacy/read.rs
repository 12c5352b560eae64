//! Sections and keys as Python's `configparser` reads them: `=` or `:`, continued by indented lines, whole-line comments.

use serde_json::Value;

/// One key.
pub(super) struct Entry {
    pub section: String,
    pub key: String,
    pub value: Value,
}

/// All keys of a text, those given twice included.
#[derive(Default)]
pub(super) struct Table {
    pub entries: Vec<Entry>,
}

/// Reads a text. What is no key is passed over: the loader refuses it, a later one may not.
pub(super) fn table(text: &str) -> Table {
    const MOST: usize = 100_000;
    let mut out = Table::default();
    let mut section = String::new();
    let mut open: Option<(String, String)> = None;
    for line in text.trim_start_matches('\u{feff}').lines() {
        let bare = line.trim();
        if bare.starts_with(['#', ';']) || out.entries.len() >= MOST {
            continue;
        }
        let inside = line.starts_with([' ', '\t']);
        if let Some((_, value)) = open.as_mut().filter(|_| inside && !bare.is_empty()) {
            value.push('\n');
            value.push_str(bare);
            continue;
        }
        if bare.is_empty() && open.is_some() {
            continue;
        }
        out.close(&section, open.take());
        if let Some(name) = bare.strip_prefix('[').and_then(|b| b.split(']').next()) {
            section = name.to_string();
        } else if let Some((key, value)) = bare.split_once(['=', ':']) {
            open = Some((key.trim().to_string(), value.trim().to_string()));
        }
    }
    out.close(&section, open);
    out
}

impl Table {
    fn close(&mut self, section: &str, open: Option<(String, String)>) {
        let Some((key, text)) = open else { return };
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        self.entries.push(Entry { section: section.into(), key, value });
    }

    /// A text with its variables replaced, where these are texts: `${section.key}`, `${section:key}`.
    pub(super) fn resolve(&self, text: &str) -> String {
        const DEEPEST: usize = 8;
        const LONGEST: usize = 1 << 16;
        let mut text = text.to_string();
        for _ in 0..DEEPEST {
            let Some((before, rest)) = text.split_once("${") else { break };
            let Some((variable, after)) = rest.split_once('}') else { break };
            let (section, key) = variable.rsplit_once([':', '.']).unwrap_or(("", variable));
            let value = self.entries.iter().rev().find(|e| e.section == section && e.key == key);
            let Some(Value::String(value)) = value.map(|e| &e.value) else { break };
            text = format!("{before}{value}{after}");
            if text.len() > LONGEST {
                break;
            }
        }
        text
    }

    /// Does this section call a function with such a name?
    pub(super) fn calls(&self, section: &str, name: &str) -> bool {
        self.entries.iter().any(|e| {
            e.section == section
                && e.key.starts_with('@')
                && e.value.as_str().is_some_and(|s| s.contains(name))
        })
    }
}
