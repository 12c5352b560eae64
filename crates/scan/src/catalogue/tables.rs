//! The data files, parsed once.

use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use wb_verdict::{Effect, How};

use super::predicate::Args;

/// Every data file, by name. The catalogue's version is held to their digest by a test.
pub(super) const FILES: &[(&str, &str)] = &[
    ("harmless/stdlib.toml", include_str!("harmless/stdlib.toml")),
    ("harmless/numpy.toml", include_str!("harmless/numpy.toml")),
    ("harmless/torch.toml", include_str!("harmless/torch.toml")),
    ("harmless/learning.toml", include_str!("harmless/learning.toml")),
    ("dangerous.tsv", include_str!("dangerous.tsv")),
    ("carries.tsv", include_str!("carries.tsv")),
    ("code-words.txt", include_str!("code-words.txt")),
    ("stdlib.txt", include_str!("stdlib.txt")),
    ("distributions.toml", include_str!("distributions.toml")),
];

/// The parsed catalogue. The files are part of the build and a test reads them; should one be malformed all the
/// same, scanning dies, which its parent records as a gap: better than judging with half a catalogue.
pub(super) static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::parse(FILES).unwrap_or_else(|e| panic!("the catalogue is malformed: {e}")));

/// Which part of rebuilding code a serialiser's helper plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Names a built-in type by a string.
    Type,
    /// Makes a function or a code object; calling the result runs it.
    Code,
    /// Makes a class.
    Class,
    /// Fills or links what was rebuilt.
    Glue,
    /// Imports a module named by a string.
    Import,
    /// Reads an attribute named by a string.
    Attribute,
}

/// One harmless name.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    uses: Vec<Use>,
    pub args: Args,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Use {
    Data,
    Call,
    New,
    Build,
    Append,
    SetItem,
    AddItems,
}

impl Entry {
    /// Is this use among the harmless ones?
    pub fn allows(&self, how: How) -> bool {
        let used = match how {
            How::Data => Use::Data,
            How::Reduce | How::Inst | How::Obj | How::Indirect => Use::Call,
            How::Newobj | How::NewobjEx => Use::New,
            How::Build => Use::Build,
            How::Append => Use::Append,
            How::SetItem => Use::SetItem,
            How::AddItems => Use::AddItems,
            // An extension code or a persistent id says nothing about what is called.
            How::Ext | How::Persid => return false,
        };
        self.uses.contains(&used)
    }

    /// Does the answer for this use depend on more of the arguments than whether they are plain?
    pub fn looks_at_args(&self, how: How, plain: bool) -> bool {
        match how {
            // Plain arguments are inert.
            _ if plain && self.args == Args::Inert => false,
            How::Data | How::Append | How::SetItem | How::AddItems => false,
            How::Build => self.args == Args::Partial,
            _ => !matches!(self.args, Args::Any | Args::Plain | Args::Pattern),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HarmlessFile {
    entry: Vec<EntryText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryText {
    modules: Vec<String>,
    names: Vec<String>,
    #[serde(rename = "use")]
    uses: Vec<Use>,
    args: Option<Args>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DistributionsFile {
    distribution: Vec<Distribution>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Distribution {
    #[allow(dead_code, reason = "names the distribution for the reader of the file")]
    name: String,
    modules: Vec<String>,
}

type Names<T> = HashMap<String, HashMap<String, T>>;

/// All tables.
#[derive(Default)]
pub(super) struct Catalogue {
    pub(super) harmless: Names<Entry>,
    /// `None` exempts a name from a wildcard.
    pub(super) dangerous: Names<Option<Effect>>,
    pub(super) carries: Names<Part>,
    pub(super) words: HashSet<String>,
    /// Words searched for inside longer text.
    pub(super) fragments: Vec<String>,
    /// Top-level modules whose names are catalogued.
    pub(super) known: HashSet<String>,
}

impl Catalogue {
    /// Reads the data files. The error names file and line.
    pub(super) fn parse(files: &[(&str, &str)]) -> Result<Self, String> {
        let mut out = Self::default();
        for (file, text) in files {
            let result = match *file {
                "dangerous.tsv" => out.read_dangerous(text),
                "carries.tsv" => out.read_carries(text),
                "code-words.txt" => out.read_words(text),
                "stdlib.txt" => {
                    out.known.extend(lines(text).map(|(_, l)| l.to_string()));
                    Ok(())
                }
                "distributions.toml" => out.read_distributions(text),
                _ => out.read_harmless(text),
            };
            result.map_err(|e| format!("{file}: {e}"))?;
        }
        Ok(out)
    }

    fn read_harmless(&mut self, text: &str) -> Result<(), String> {
        let file: HarmlessFile = toml::from_str(text).map_err(|e| e.to_string())?;
        for e in file.entry {
            let entry = Entry { uses: e.uses, args: e.args.unwrap_or(Args::Any) };
            for module in &e.modules {
                for name in &e.names {
                    let old =
                        self.harmless.entry(module.clone()).or_default().insert(name.clone(), entry.clone());
                    if old.is_some() {
                        return Err(format!("{module}.{name} is listed twice"));
                    }
                }
            }
        }
        Ok(())
    }

    fn read_dangerous(&mut self, text: &str) -> Result<(), String> {
        for (number, line) in lines(text) {
            let [module, name, effect] = columns(number, line)?;
            let effect = match effect {
                "none" => None,
                _ => Some(
                    effect_named(effect).ok_or(format!("line {number}: no effect is called {effect:?}"))?,
                ),
            };
            if self.dangerous.entry(module.into()).or_default().insert(name.into(), effect).is_some() {
                return Err(format!("line {number}: {module}.{name} is listed twice"));
            }
        }
        Ok(())
    }

    fn read_carries(&mut self, text: &str) -> Result<(), String> {
        for (number, line) in lines(text) {
            let [module, name, part] = columns(number, line)?;
            let part = match part {
                "type" => Part::Type,
                "code" => Part::Code,
                "class" => Part::Class,
                "glue" => Part::Glue,
                "import" => Part::Import,
                "attribute" => Part::Attribute,
                other => return Err(format!("line {number}: no part is called {other:?}")),
            };
            self.carries.entry(module.into()).or_default().insert(name.into(), part);
        }
        Ok(())
    }

    fn read_words(&mut self, text: &str) -> Result<(), String> {
        for (_, word) in lines(text) {
            if word.chars().all(|c| c.is_alphanumeric() || c == '_') {
                self.words.insert(word.into());
            } else {
                self.fragments.push(word.into());
            }
        }
        Ok(())
    }

    fn read_distributions(&mut self, text: &str) -> Result<(), String> {
        let file: DistributionsFile = toml::from_str(text).map_err(|e| e.to_string())?;
        self.known.extend(file.distribution.into_iter().flat_map(|d| d.modules));
        Ok(())
    }
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, l)| (at + 1, l.trim_end()));
    numbered.filter(|(_, l)| !l.is_empty() && !l.starts_with('#'))
}

fn columns(number: usize, line: &str) -> Result<[&str; 3], String> {
    let parts: Vec<&str> = line.split('\t').collect();
    match parts.try_into() {
        Ok(three) => Ok(three),
        Err(_) => Err(format!("line {number}: three columns separated by tabs expected")),
    }
}

fn effect_named(name: &str) -> Option<Effect> {
    Some(match name {
        "code" => Effect::Code,
        "process" => Effect::Process,
        "native" => Effect::Native,
        "import" => Effect::Import,
        "reach" => Effect::Reach,
        "file" => Effect::File,
        "network" => Effect::Network,
        "deserialise" => Effect::Deserialise,
        "state" => Effect::State,
        "other" => Effect::Other,
        _ => return None,
    })
}
