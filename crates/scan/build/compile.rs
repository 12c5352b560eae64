//! Data files to one set of rows: who wins where two files speak of the same name.

use super::encode;
use super::read;
use super::vocabulary::{Args, Part};
use std::collections::{BTreeMap, BTreeSet};

/// A harmless entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Harmless {
    /// Bit `n` is set for `Use::ALL[n]`.
    pub uses: u8,
    pub args: Args,
    pub derived: bool,
    /// Versions the proof covers, as the file says; empty for reviewed entries.
    pub versions: String,
}

/// A dangerous name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Danger {
    /// Index into `EFFECTS`; `None` exempts a name from a wildcard.
    pub effect: Option<u8>,
    pub derived: bool,
}

/// All that is known of one name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    pub harmless: Option<Harmless>,
    pub danger: Option<Danger>,
    pub part: Option<Part>,
}

/// The data, merged.
#[derive(Debug, Default)]
pub struct Tables {
    /// By module, then by qualified name.
    pub rows: BTreeMap<String, BTreeMap<String, Row>>,
    /// Modules of the standard library and of catalogued distributions, mostly top-level ones.
    pub known: BTreeSet<String>,
    /// Modules of distributions that have derived rows and are not catalogued as a whole; not in the compiled table.
    pub open: BTreeSet<String>,
    /// Identifiers that show more than model work.
    pub words: BTreeSet<String>,
    /// The same, searched for inside longer text.
    pub fragments: BTreeSet<String>,
}

/// Compiles the data files, given as (path below the catalogue's folder, text). Source files are skipped.
pub fn compile(files: &[(String, String)]) -> Result<Vec<u8>, String> {
    encode::encode(&merge(files)?)
}

/// As [`compile`], before encoding.
pub fn merge(files: &[(String, String)]) -> Result<Tables, String> {
    let mut tables = Tables::default();
    let mut derived = Vec::new();
    for (file, text) in files {
        let result = match file.as_str() {
            "dangerous.tsv" => read::dangerous(&mut tables, text),
            "carries.tsv" => read::carries(&mut tables, text),
            "code-words.txt" => read::words(&mut tables, text),
            "stdlib.txt" => read::stdlib(&mut tables, text),
            "distributions.toml" => read::distributions(&mut tables, text),
            f if f.starts_with("harmless/") && f.ends_with(".toml") => read::harmless(&mut tables, text),
            f if f.starts_with("derived/") && f.ends_with(".tsv") => {
                derived.push((file, text));
                Ok(())
            }
            f if f.ends_with(".rs") => Ok(()),
            // Operators of graphs are no Python names; `tensorflow.rs` and `torch_ops.rs` read their own lists.
            name if name.starts_with("tensorflow/") || name.starts_with("torch/") => Ok(()),
            _ => Err("line 1: not a data file of the catalogue".into()),
        };
        result.map_err(|e| at(file, &e))?;
    }
    // Derived rows come last: what is listed or reviewed wins over them.
    for (file, text) in &derived {
        if !file.ends_with(".danger.tsv") {
            read::derived_header(&mut tables, text).map_err(|e| at(file, &e))?;
        }
    }
    for (file, text) in derived {
        let danger = file.ends_with(".danger.tsv");
        let result = match danger {
            true => read::derived_danger(&mut tables, text),
            false => read::derived(&mut tables, text),
        };
        result.map_err(|e| at(file, &e))?;
    }
    Ok(tables)
}

/// `line 7: what` in `file` as `file:7: what`.
fn at(file: &str, error: &str) -> String {
    match error.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((line, what)) => format!("src/catalogue/{file}:{line}: {what}"),
        None => format!("src/catalogue/{file}: {error}"),
    }
}

impl Tables {
    /// The row of a name, made if there is none.
    pub fn row(&mut self, module: &str, name: &str) -> &mut Row {
        self.rows.entry(module.into()).or_default().entry(name.into()).or_default()
    }

    /// True if `module` or a package it is in is known, or has derived rows.
    pub fn is_read(&self, module: &str) -> bool {
        let ends = module.match_indices('.').map(|(at, _)| at).chain([module.len()]);
        ends.into_iter().any(|end| self.known.contains(&module[..end]) || self.open.contains(&module[..end]))
    }
}

impl Row {
    /// Takes a derived proof, unless a reviewed entry speaks of the name. Of two proofs (two distributions ship the
    /// same module) the weaker holds.
    pub fn derive(&mut self, new: Harmless) {
        match &mut self.harmless {
            Some(old) if !old.derived => {}
            Some(old) => {
                old.uses &= new.uses;
                let strict = |a: Args| match a {
                    Args::Any => 0,
                    Args::Inert => 1,
                    Args::Plain => 2,
                    _ => 3,
                };
                // Of a condition on arguments and one on states neither is the weaker.
                let both = [old.args, new.args];
                let on_states = both.iter().any(|a| matches!(a, Args::Versioned | Args::DictState));
                if on_states && !both.contains(&Args::Any) && both[0] != both[1] {
                    old.uses = 0;
                }
                if strict(new.args) > strict(old.args) {
                    old.args = new.args;
                }
                if old.versions != new.versions {
                    old.versions = format!("{}; {}", old.versions, new.versions);
                }
            }
            none => *none = Some(new),
        }
    }

    /// Takes a derived effect, unless one is listed (or the name is exempt) by hand.
    pub fn derive_danger(&mut self, effect: u8) {
        if self.danger.is_none() {
            self.danger = Some(Danger { effect: Some(effect), derived: true });
        }
    }
}
