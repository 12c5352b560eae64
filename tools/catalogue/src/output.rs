//! The tables: one file a distribution, sorted, so that a change shows in a diff.

use anyhow::{Context, Result, anyhow};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::path::Path;
use wb_derive::{Derived, Library, Reached, Row, Unbound, derive};

/// Raised when the same sources give other rows.
const TOOL: u32 = 3;

type Name = (String, String);

/// What several versions of one distribution have in common.
pub struct Table {
    distribution: String,
    modules: Vec<String>,
    open: bool,
    versions: Vec<(String, Derived)>,
}

/// A row, and the first and the last version that have its name.
struct Common {
    row: Row,
    first: String,
    last: String,
}

impl Table {
    /// An empty table.
    pub fn new(distribution: &str, modules: &[String], open: bool) -> Self {
        Self { open, distribution: distribution.into(), modules: modules.to_vec(), versions: Vec::new() }
    }

    /// Does a distribution with these modules belong into this table? Two can ship the same ones.
    pub fn shares(&self, modules: &[String]) -> bool {
        modules.iter().any(|m| self.modules.contains(m))
    }

    /// Takes another distribution in.
    pub fn join(&mut self, distribution: &str, modules: &[String]) {
        self.distribution = format!("{} {distribution}", self.distribution);
        self.modules
            .extend(modules.iter().filter(|m| !self.modules.contains(m)).cloned().collect::<Vec<_>>());
    }

    /// Judges a version.
    pub fn add(&mut self, version: &str, libraries: &[&Library], reasons: &mut String) -> Result<()> {
        let mut derived = derive(libraries).map_err(|e| anyhow!("{} {version}: {e}", self.distribution))?;
        for failure in &derived.failures {
            writeln!(reasons, "{} {version}\t{failure}", self.distribution)?;
        }
        for (module, name, what, why) in std::mem::take(&mut derived.refused) {
            writeln!(reasons, "{} {version}\t{module}\t{name}\t{what}\t{why}", self.distribution)?;
        }
        let proved = derived.rows.values().flatten().count();
        let fillable = derived.rows.values().flatten().filter(|r| r.uses.contains(&"build")).count();
        eprintln!(
            "{} {version}: {} names, something proved of {proved}, states of {fillable}",
            self.distribution,
            derived.rows.len()
        );
        self.versions.push((version.into(), derived));
        Ok(())
    }

    /// What holds in every version that has the name.
    fn common(&self) -> BTreeMap<&Name, Common> {
        let names: BTreeSet<&Name> = self.versions.iter().flat_map(|(_, d)| d.rows.keys()).collect();
        let bare: Vec<HashMap<&str, Vec<&Name>>> =
            self.versions.iter().map(|(_, d)| by_bare_name(d)).collect();
        let mut out = BTreeMap::new();
        'names: for name in names {
            let mut common: Option<Common> = None;
            for ((version, derived), bare) in self.versions.iter().zip(&bare) {
                match in_version(derived, bare, name) {
                    Verdict::Absent => {}
                    Verdict::Refused => continue 'names,
                    Verdict::Proved(row) => {
                        let common = common.get_or_insert_with(|| Common {
                            row: row.clone(),
                            first: version.clone(),
                            last: version.clone(),
                        });
                        common.row = common.row.worst(&row);
                        common.last.clone_from(version);
                    }
                }
            }
            out.extend(common.map(|c| (name, c)));
        }
        out
    }

    /// Top-level modules are those that rows name.
    pub fn set_top_levels(&mut self) {
        let tops: BTreeSet<String> =
            self.versions.iter().flat_map(|(_, d)| d.rows.keys()).map(|(m, _)| top(m)).collect();
        self.modules = tops.into_iter().collect();
    }

    /// Writes `<distribution>.tsv`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut text = String::new();
        writeln!(text, "# distribution: {}", self.distribution)?;
        writeln!(text, "# modules: {}", self.modules.join(" "))?;
        let versions: Vec<&str> = self.versions.iter().map(|(v, _)| v.as_str()).collect();
        writeln!(text, "# versions: {}", versions.join(" "))?;
        writeln!(text, "# tool: {TOOL}")?;
        if self.open {
            writeln!(text, "# names: open")?;
        }
        for ((module, name), Common { row, first, last }) in self.common() {
            // Other modules ship in some wheels: tests, benchmarks.
            if !self.modules.iter().any(|m| module == m || module.starts_with(&format!("{m}."))) {
                continue;
            }
            let row = row.settled();
            let mut uses = row.uses.clone();
            let mut args = if row.any { "any" } else { "plain" };
            match row.keys.as_slice() {
                [] if !row.dict || !uses.contains(&"build") => {}
                [] if row.any => args = "dict-state",
                // scikit-learn compares the version that wrote a state, and prints it.
                [key] if key == "_sklearn_version" && row.any && !row.dict && uses.contains(&"build") => {
                    args = "versioned"
                }
                // Nothing in the table says what else a state must hold.
                _ => uses.retain(|u| *u != "build"),
            }
            // A function that may be given anything: nothing that writes pickles calls these, and a proof that nobody needs
            // is only one more that could be wrong. Enumerations and what objects are rebuilt by take literals.
            if args == "any" && !uses.iter().any(|u| matches!(*u, "new" | "build")) {
                uses.retain(|u| *u != "call");
            }
            if !uses.is_empty() {
                writeln!(text, "{module}\t{name}\t{}\t{args}\t{first}..{last}", uses.join(","))?;
            }
        }
        let mut found = String::new();
        let dangers: BTreeMap<&Name, &Reached> = self.versions.iter().flat_map(|(_, d)| &d.dangers).collect();
        for ((module, name), Reached { effect, evidence }) in dangers {
            if self.modules.iter().any(|m| module == m || module.starts_with(&format!("{m}."))) {
                writeln!(found, "{module}\t{name}\t{effect}\t{evidence}")?;
            }
        }
        let file = self.distribution.split(' ').next().unwrap_or(&self.distribution);
        if !found.is_empty() {
            let path = folder.join(format!("{file}.danger.tsv"));
            let head = "# Names that hand an argument to something that runs it: module, name, effect, the way there.\n";
            std::fs::write(&path, format!("{head}{found}")).with_context(|| path.display().to_string())?;
        }
        let path = folder.join(format!("{file}.tsv"));
        std::fs::write(&path, text).with_context(|| path.display().to_string())
    }
}

/// What a version says of a name.
enum Verdict {
    /// Importing it fails.
    Absent,
    /// Nothing is proved.
    Refused,
    Proved(Row),
}

fn of(row: Option<&Option<Row>>) -> Verdict {
    row.and_then(Option::as_ref).map_or(Verdict::Refused, |row| Verdict::Proved(row.clone()))
}

/// The worst of several.
fn worst<'a>(derived: &Derived, names: impl IntoIterator<Item = &'a Name>) -> Verdict {
    let all: Option<Vec<&Row>> =
        names.into_iter().map(|name| derived.rows.get(name).and_then(Option::as_ref)).collect();
    let row = all.and_then(|all| all.into_iter().cloned().reduce(|a, b| a.worst(&b)));
    row.map_or(Verdict::Refused, Verdict::Proved)
}

/// A module can define a name in one version, import it from elsewhere in another, and be written in C in a third.
fn in_version(derived: &Derived, bare: &HashMap<&str, Vec<&Name>>, name: &Name) -> Verdict {
    if let found @ Some(_) = derived.rows.get(name) {
        return of(found);
    }
    let (module, qualified) = name;
    let (first, rest) = qualified.split_once('.').map_or((qualified.as_str(), None), |(f, r)| (f, Some(r)));
    if let Some(homes) = derived.aliases.get(&(module.clone(), first.to_string())) {
        let homes: Vec<Name> = homes
            .iter()
            .map(|(m, n)| (m.clone(), rest.map_or(n.clone(), |rest| format!("{n}.{rest}"))))
            .collect();
        return worst(derived, &homes);
    }
    // A nested class that is not defined there may be inherited.
    if rest.is_some() && derived.rows.contains_key(&(module.clone(), first.to_string())) {
        return Verdict::Refused;
    }
    match derived.modules.get(module) {
        None | Some(Unbound::Nothing) => Verdict::Absent,
        Some(Unbound::Anything) => Verdict::Refused,
        Some(Unbound::Lazy) => worst(derived, bare.get(qualified.as_str()).into_iter().flatten().copied()),
    }
}

/// Every definition of the version, by its name alone.
fn by_bare_name(derived: &Derived) -> HashMap<&str, Vec<&Name>> {
    let mut out: HashMap<&str, Vec<&Name>> = HashMap::new();
    for name in derived.rows.keys() {
        out.entry(&name.1).or_default().push(name);
    }
    out
}

fn top(module: &str) -> String {
    module.split('.').next().unwrap_or(module).to_string()
}
