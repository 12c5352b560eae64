//! Tables and entries with their place in the document.

use super::errors::Errors;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table and the dotted path to it.
pub(super) struct Table<'a> {
    path: String,
    table: &'a DeTable<'a>,
}

/// A key, its value and the dotted path to it.
pub(super) struct Entry<'a> {
    path: String,
    name: &'a str,
    at: usize,
    value: &'a Spanned<DeValue<'a>>,
}

/// `a.b`, or `b` at the top.
pub(super) fn join(path: &str, name: &str) -> String {
    let name = wb_verdict::escape(name);
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// ` – did you mean "x"?` for the nearest candidate, if one is near.
pub(super) fn did_you_mean(name: &str, candidates: &[&str]) -> String {
    let distance = |c: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &c.to_lowercase());
    let near = candidates.iter().map(|c| (distance(c), *c)).min();
    match near {
        Some((d, c)) if d <= 1 + c.len() / 4 => format!(", did you mean \"{c}\"?"),
        _ => String::new(),
    }
}

impl<'a> Table<'a> {
    pub fn new(path: impl Into<String>, table: &'a DeTable<'a>) -> Self {
        Self { path: path.into(), table }
    }

    /// The dotted path of a key in this table.
    pub fn join(&self, name: &str) -> String {
        join(&self.path, name)
    }

    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> {
        self.table.iter().map(|(key, value)| {
            let name: &'a str = key.get_ref().as_ref();
            Entry { path: join(&self.path, name), name, at: key.span().start, value }
        })
    }

    pub fn get(&self, name: &str) -> Option<Entry<'a>> {
        self.entries().find(|e| e.name == name)
    }

    /// Reports every key that is not in `known`.
    pub fn known(&self, known: &[&str], errors: &mut Errors<'_>) {
        for entry in self.entries().filter(|e| !known.contains(&e.name)) {
            let message = if entry.name == "convert" {
                "reserved for a later version; remove it".to_string()
            } else {
                match did_you_mean(entry.name, known) {
                    hint if hint.is_empty() => format!("unknown key; known here: {}", known.join(", ")),
                    hint => format!("unknown key{hint}"),
                }
            };
            errors.push(entry.at, &entry.path, message);
        }
    }
}

impl<'a> Entry<'a> {
    pub fn name(&self) -> &'a str {
        self.name
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where the key is.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Where the value is.
    pub fn value_at(&self) -> usize {
        self.value.span().start
    }

    pub fn value(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    pub fn is_text(&self, text: &str) -> bool {
        self.value().as_str() == Some(text)
    }

    pub fn is_array(&self) -> bool {
        self.value().is_array()
    }

    fn wrong(&self, expected: &str, errors: &mut Errors<'_>) {
        let found = self.value().type_str();
        errors.push(self.value_at(), &self.path, format!("expected {expected}, found {found}"));
    }

    /// A string that is not blank.
    pub fn text(&self, errors: &mut Errors<'_>) -> Option<&'a str> {
        match self.value().as_str() {
            Some(text) if text.trim().is_empty() => {
                errors.push(self.value_at(), &self.path, "must not be empty");
                None
            }
            Some(text) => Some(text),
            None => {
                self.wrong("a string", errors);
                None
            }
        }
    }

    /// A list of strings, each with its place.
    pub fn texts(&self, errors: &mut Errors<'_>) -> Vec<(usize, &'a str)> {
        let Some(array) = self.value().as_array() else {
            self.wrong("a list of strings", errors);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) if !text.trim().is_empty() => texts.push((item.span().start, text)),
                _ => errors.push(item.span().start, &self.path, "expected a string that is not empty"),
            }
        }
        texts
    }

    /// The position of the value in `names`.
    pub fn one_of(&self, names: &[&str], errors: &mut Errors<'_>) -> Option<usize> {
        let text = self.text(errors)?;
        let found = names.iter().position(|n| *n == text);
        if found.is_none() {
            let hint = did_you_mean(text, names);
            let given = wb_verdict::escape(text);
            let message = format!("\"{given}\" is none of {}{hint}", names.join(", "));
            errors.push(self.value_at(), &self.path, message);
        }
        found
    }

    pub fn table(&self, errors: &mut Errors<'_>) -> Option<Table<'a>> {
        match self.value().as_table() {
            Some(table) => Some(Table::new(self.path.clone(), table)),
            None => {
                self.wrong("a table", errors);
                None
            }
        }
    }

    /// A list of tables (`[[name]]`), each with its place.
    pub fn tables(&self, errors: &mut Errors<'_>) -> Vec<(usize, Table<'a>)> {
        let Some(array) = self.value().as_array() else {
            errors.push(self.value_at(), &self.path, format!("expected tables written [[{}]]", self.path));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_table() {
                Some(table) => tables.push((item.span().start, Table::new(self.path.clone(), table))),
                None => errors.push(item.span().start, &self.path, "expected a table"),
            }
        }
        tables
    }
}
