//! The tables: one file a distribution, sorted, so that a change shows in a diff.

use anyhow::{Context, Result, anyhow};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use wb_derive::{Library, Row, derive};

/// Raised when the same sources give other rows.
const TOOL: u32 = 1;

/// What several versions of one distribution have in common.
pub struct Table {
    distribution: String,
    modules: Vec<String>,
    versions: Vec<String>,
    /// What holds in every version that has the name, and which those are.
    rows: BTreeMap<(String, String), (Option<Row>, String, String)>,
    /// Effects that an argument reaches in some version: effect and way.
    dangers: BTreeMap<(String, String), (&'static str, String)>,
}

impl Table {
    /// An empty table.
    pub fn new(distribution: &str, modules: &[String]) -> Self {
        let (distribution, modules) = (distribution.into(), modules.to_vec());
        Self { distribution, modules, versions: Vec::new(), rows: BTreeMap::new(), dangers: BTreeMap::new() }
    }

    /// Judges a version and keeps the worst of each name.
    pub fn add(&mut self, version: &str, libraries: &[&Library], reasons: &mut String) -> Result<()> {
        let derived = derive(libraries).map_err(|e| anyhow!("{} {version}: {e}", self.distribution))?;
        self.versions.push(version.into());
        for failure in &derived.failures {
            writeln!(reasons, "{} {version}\t{failure}", self.distribution)?;
        }
        for (module, name, what, why) in &derived.refused {
            writeln!(reasons, "{} {version}\t{module}\t{name}\t{what}\t{why}", self.distribution)?;
        }
        let proved = derived.rows.values().flatten().count();
        let fillable = derived.rows.values().flatten().filter(|r| r.uses.contains(&"build")).count();
        eprintln!(
            "{} {version}: {} names, something proved of {proved}, states of {fillable}",
            self.distribution,
            derived.rows.len()
        );
        for (name, reached) in derived.dangers {
            self.dangers.insert(name, (reached.effect, reached.evidence));
        }
        for (name, row) in derived.rows {
            let entry =
                self.rows.entry(name).or_insert_with(|| (row.clone(), version.into(), version.into()));
            entry.2 = version.into();
            entry.0 = match (entry.0.take(), row) {
                (Some(old), Some(new)) => Some(old.worst(&new)),
                _ => None,
            };
        }
        Ok(())
    }

    /// Top-level modules are those that rows name.
    pub fn set_top_levels(&mut self) {
        let tops: BTreeSet<String> =
            self.rows.keys().map(|(m, _)| m.split('.').next().unwrap_or(m).to_string()).collect();
        self.modules = tops.into_iter().collect();
    }

    /// Writes `<distribution>.tsv`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut text = String::new();
        writeln!(text, "# distribution: {}", self.distribution)?;
        writeln!(text, "# modules: {}", self.modules.join(" "))?;
        writeln!(text, "# versions: {}", self.versions.join(" "))?;
        writeln!(text, "# tool: {TOOL}")?;
        for ((module, name), (row, first, last)) in &self.rows {
            let Some(row) = row.as_ref() else { continue };
            // Other modules ship in some wheels: tests, benchmarks.
            if !self.modules.iter().any(|m| module == m || module.starts_with(&format!("{m}."))) {
                continue;
            }
            let mut uses = row.uses.clone();
            let mut args = if row.any { "any" } else { "plain" };
            match row.keys.as_slice() {
                [] => {}
                // scikit-learn compares the version that wrote a state, and prints it.
                [key] if key == "_sklearn_version" && row.any && uses.contains(&"build") => {
                    args = "versioned"
                }
                // Nothing in the table says what else a state must hold.
                _ => uses.retain(|u| *u != "build"),
            }
            if !uses.is_empty() {
                writeln!(text, "{module}\t{name}\t{}\t{args}\t{first}..{last}", uses.join(","))?;
            }
        }
        let mut found = String::new();
        for ((module, name), (effect, evidence)) in &self.dangers {
            if self.modules.iter().any(|m| module == m || module.starts_with(&format!("{m}."))) {
                writeln!(found, "{module}\t{name}\t{effect}\t{evidence}")?;
            }
        }
        if !found.is_empty() {
            let path = folder.join(format!("{}.danger.tsv", self.distribution));
            let head = "# Names that hand an argument to something that runs it: module, name, effect, the way there.\n";
            std::fs::write(&path, format!("{head}{found}")).with_context(|| path.display().to_string())?;
        }
        let path = folder.join(format!("{}.tsv", self.distribution));
        std::fs::write(&path, text).with_context(|| path.display().to_string())
    }
}
