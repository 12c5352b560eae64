//! A recipe file: what the case is, how its files are built, and how its benign twin differs.

use crate::Error;
use crate::build::{Source, build};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What a judge must make of the hostile form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// A known-dangerous effect is reached.
    Malicious,
    /// Blocked with a finding.
    Suspicious,
    /// A harmless file that only shows what must not be blocked; it has no twin.
    Harmless,
    /// A file of a known format that cannot be judged: blocked for that reason; it has no twin.
    Unsupported,
}

impl Expected {
    /// True if the file must be blocked with a finding.
    pub fn is_hostile(self) -> bool {
        matches!(self, Self::Malicious | Self::Suspicious)
    }
}

/// One case of the corpus.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Unique id; the file's name without `.toml`.
    pub id: String,
    /// What makes the file dangerous, in one line.
    pub title: String,
    /// Where the technique was published.
    pub source: String,
    /// What a victim runs.
    pub loader: String,
    /// The verdict for the hostile form. Both kinds must be blocked.
    pub expected: Expected,
    /// A callable that must be named in the evidence of a finding.
    pub expected_call: Option<String>,
    /// The member that carries the payload.
    pub member: Option<String>,
    /// Set if a copy under another name may be judged differently (formats recognised by name).
    #[serde(default)]
    pub by_name: bool,
    /// Name of the folder the recipe lies in.
    #[serde(skip)]
    pub format: String,
    /// Named byte strings that files refer to as `part`.
    #[serde(default)]
    parts: toml::Table,
    /// The files of the case, by path.
    files: toml::Table,
    /// How the benign twin differs.
    #[serde(default)]
    twin: Option<Twin>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Twin {
    /// What a judge makes of the twin: harmless, or of a format that cannot be judged.
    #[serde(default = "harmless")]
    expected: Expected,
    /// Drops every field with which an archive or header lies; see [`LIES`].
    #[serde(default)]
    honest: bool,
    /// Text replacements in every part and file, applied before building. Each must apply.
    #[serde(default)]
    replace: Vec<(String, String)>,
    /// Parts replaced as a whole.
    #[serde(default)]
    parts: toml::Table,
    /// Files replaced as a whole.
    #[serde(default)]
    files: toml::Table,
}

fn harmless() -> Expected {
    Expected::Harmless
}

/// The files of a case in the order of their paths: (path, bytes).
pub type Files = Vec<(String, Vec<u8>)>;

impl Recipe {
    /// Parses one recipe. `format` is the name of its folder.
    pub fn parse(text: &str, format: &str) -> Result<Self, Error> {
        let mut recipe: Self = toml::from_str(text).map_err(|e| Error::new(e.to_string()))?;
        recipe.format = format.to_owned();
        if recipe.files.is_empty() {
            return Err(Error::new("a recipe needs at least one file"));
        }
        if recipe.twin.is_some() != recipe.expected.is_hostile() {
            return Err(Error::new("every hostile recipe has a [twin], and no other has"));
        }
        if recipe.twin_expected().is_hostile() {
            return Err(Error::new("a twin is harmless or unsupported"));
        }
        Ok(recipe)
    }

    /// The hostile files (for a harmless recipe the harmless ones).
    pub fn build(&self) -> Result<Files, Error> {
        build_all(&self.parts, &self.files).map_err(|e| e.at(&self.id))
    }

    /// What a judge makes of the twin: harmless or unsupported.
    pub fn twin_expected(&self) -> Expected {
        self.twin.as_ref().map_or(Expected::Harmless, |t| t.expected)
    }

    /// The benign twin's files, if the recipe is hostile.
    pub fn twin(&self) -> Result<Option<Files>, Error> {
        let Some(twin) = &self.twin else { return Ok(None) };
        let (mut parts, mut files) = (self.parts.clone(), self.files.clone());
        for (from, to) in &twin.replace {
            let done =
                parts.iter_mut().chain(files.iter_mut()).map(|(_, v)| replace(v, from, to)).sum::<usize>();
            if done == 0 {
                return Err(Error::new(format!("{}: twin: nothing holds `{from}`", self.id)));
            }
        }
        if twin.honest {
            parts.iter_mut().chain(files.iter_mut()).for_each(|(_, v)| be_honest(v));
        }
        overlay(&mut parts, &twin.parts);
        overlay(&mut files, &twin.files);
        let built = build_all(&parts, &files).map_err(|e| e.at(format_args!("{}: twin", self.id)))?;
        Ok(Some(built))
    }
}

fn overlay(base: &mut toml::Table, over: &toml::Table) {
    for (k, v) in over {
        base.insert(k.clone(), v.clone());
    }
}

/// Fields of archive and header writers that exist only to lie.
const LIES: [&str; 17] = [
    "local_name",
    "flags",
    "local_flags",
    "crc",
    "size",
    "packed_size",
    "listed",
    "directories",
    "end_points_to",
    "header_len",
    "header_size",
    "tensor_count",
    "kv_count",
    "size_text",
    "bad_checksum",
    "method",
    "mode",
];

fn be_honest(value: &mut toml::Value) {
    match value {
        toml::Value::Array(items) => items.iter_mut().for_each(be_honest),
        toml::Value::Table(t) => {
            t.retain(|k, _| !LIES.contains(&k));
            t.iter_mut().for_each(|(_, v)| be_honest(v));
        }
        _ => {}
    }
}

/// Replaces `from` in every text inside `value`; returns the number of texts changed.
fn replace(value: &mut toml::Value, from: &str, to: &str) -> usize {
    match value {
        toml::Value::String(s) if s.contains(from) => {
            *s = s.replace(from, to);
            1
        }
        toml::Value::Array(items) => items.iter_mut().map(|v| replace(v, from, to)).sum(),
        toml::Value::Table(t) => t.iter_mut().map(|(_, v)| replace(v, from, to)).sum(),
        _ => 0,
    }
}

fn build_all(parts: &toml::Table, files: &toml::Table) -> Result<Files, Error> {
    let parse = |table: &toml::Table| -> Result<BTreeMap<String, Source>, Error> {
        table
            .iter()
            .map(|(name, v)| {
                let source =
                    Source::deserialize(v.clone()).map_err(|e| Error::new(e.to_string()).at(name))?;
                Ok((name.clone(), source))
            })
            .collect()
    };
    let (parts, files) = (parse(parts)?, parse(files)?);
    files
        .into_iter()
        .map(|(path, source)| {
            let bytes = build(&source, &parts, 0).map_err(|e| e.at(&path))?;
            Ok((path, bytes))
        })
        .collect()
}

/// Reads every `<format>/<case>.toml` below `corpus`, sorted by path.
pub fn read_all(corpus: &Path) -> Result<Vec<Recipe>, Error> {
    let mut out = Vec::new();
    for folder in sorted(corpus)? {
        if !folder.is_dir() {
            continue;
        }
        let format = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for path in sorted(&folder)? {
            if path.extension().is_some_and(|e| e == "toml") {
                let text = std::fs::read_to_string(&path)?;
                let recipe = Recipe::parse(&text, &format).map_err(|e| e.at(path.display()))?;
                if path.file_stem().is_none_or(|s| s != recipe.id.as_str()) {
                    return Err(Error::new("the id must be the file's name").at(path.display()));
                }
                out.push(recipe);
            }
        }
    }
    Ok(out)
}

fn sorted(folder: &Path) -> Result<Vec<std::path::PathBuf>, Error> {
    let read = std::fs::read_dir(folder).map_err(|e| Error::from(e).at(folder.display()))?;
    let mut paths: Vec<_> = read.map(|e| Ok(e?.path())).collect::<Result<_, std::io::Error>>()?;
    paths.sort();
    Ok(paths)
}
