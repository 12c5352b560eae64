//! The formats of the data files. Errors begin with `line N: `.

use super::compile::{Danger, Harmless, Tables};
use super::vocabulary::{Args, EFFECTS, Part, Use};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

type Result<T = ()> = std::result::Result<T, String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HarmlessFile {
    entry: Vec<Spanned<EntryText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryText {
    modules: Vec<String>,
    names: Vec<String>,
    #[serde(rename = "use")]
    uses: Vec<String>,
    args: Option<String>,
    /// Why the entry holds, for the reader of the file.
    #[allow(dead_code, reason = "read by people")]
    why: Option<String>,
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

/// `harmless/*.toml`: entries written and reviewed by hand.
pub fn harmless(tables: &mut Tables, text: &str) -> Result {
    let file: HarmlessFile = parse_toml(text)?;
    for spanned in file.entry {
        let line = line_of(text, spanned.span().start);
        let entry = spanned.into_inner();
        let new = Harmless {
            uses: uses(entry.uses.iter().map(String::as_str)).map_err(|e| on(line, &e))?,
            args: args(entry.args.as_deref().unwrap_or("any")).map_err(|e| on(line, &e))?,
            derived: false,
            versions: String::new(),
        };
        for module in &entry.modules {
            for name in &entry.names {
                let row = tables.row(module, name);
                if row.harmless.is_some() {
                    return Err(on(line, &format!("{module}.{name} is listed twice")));
                }
                row.harmless = Some(new.clone());
            }
        }
    }
    Ok(())
}

/// `distributions.toml`.
pub fn distributions(tables: &mut Tables, text: &str) -> Result {
    let file: DistributionsFile = parse_toml(text)?;
    tables.known.extend(file.distribution.into_iter().flat_map(|d| d.modules));
    Ok(())
}

/// `stdlib.txt`.
pub fn stdlib(tables: &mut Tables, text: &str) -> Result {
    tables.known.extend(lines(text).map(|(_, l)| l.to_string()));
    Ok(())
}

/// `dangerous.tsv`: module, name, effect.
pub fn dangerous(tables: &mut Tables, text: &str) -> Result {
    for (line, text) in lines(text) {
        let [module, name, effect] = columns(line, text)?;
        let effect = match effect {
            "none" => None,
            _ => Some(effect_code(effect).map_err(|e| on(line, &e))?),
        };
        let row = tables.row(module, name);
        if row.danger.is_some() {
            return Err(on(line, &format!("{module}.{name} is listed twice")));
        }
        row.danger = Some(Danger { effect, derived: false });
    }
    Ok(())
}

/// `carries.tsv`: module, name, part.
pub fn carries(tables: &mut Tables, text: &str) -> Result {
    for (line, text) in lines(text) {
        let [module, name, part] = columns(line, text)?;
        let part = Part::named(part).ok_or_else(|| on(line, &format!("no part is called {part:?}")))?;
        tables.row(module, name).part = Some(part);
    }
    Ok(())
}

/// `code-words.txt`.
pub fn words(tables: &mut Tables, text: &str) -> Result {
    for (_, word) in lines(text) {
        let bare = word.chars().all(|c| c.is_alphanumeric() || c == '_');
        let set = if bare { &mut tables.words } else { &mut tables.fragments };
        set.insert(word.into());
    }
    Ok(())
}

/// The header of `derived/<distribution>.tsv`: its modules are catalogued from now on, unless `# names: open` says that
/// names without a row are merely not known.
pub fn derived_header(tables: &mut Tables, text: &str) -> Result {
    let mut distribution = false;
    let mut modules = false;
    let open = text.lines().take_while(|l| l.starts_with('#')).any(|l| l.trim_end() == "# names: open");
    for (at, line) in text.lines().enumerate().take_while(|(_, l)| l.starts_with('#')) {
        let line_number = at + 1;
        let Some((key, value)) = line.trim_start_matches(['#', ' ']).split_once(':') else { continue };
        match key.trim() {
            "distribution" => distribution = true,
            "modules" => {
                for module in value.split([',', ' ', '\t']).filter(|m| !m.is_empty()) {
                    if !is_module(module) {
                        return Err(on(line_number, &format!("{module:?} is no module")));
                    }
                    let set = if open { &mut tables.open } else { &mut tables.known };
                    set.insert(module.into());
                    modules = true;
                }
            }
            _ => {}
        }
    }
    match distribution && modules {
        true => Ok(()),
        false => Err(on(1, "the header must say `# distribution: …` and `# modules: …`")),
    }
}

/// `derived/<distribution>.tsv`: module, name, uses, args, versions.
pub fn derived(tables: &mut Tables, text: &str) -> Result {
    for (line, text) in lines(text) {
        let [module, name, names, predicate, versions] = columns(line, text)?;
        check_name(tables, line, module, name)?;
        let names = names.split(',').map(str::trim).filter(|u| !u.is_empty() && *u != "-");
        let new = Harmless {
            uses: uses(names).map_err(|e| on(line, &e))?,
            args: args(predicate).map_err(|e| on(line, &e))?,
            derived: true,
            versions: versions.trim().into(),
        };
        if !matches!(new.args, Args::Any | Args::Plain | Args::Inert | Args::Versioned | Args::DictState) {
            let what = format!(
                "{predicate:?} cannot be derived; any, plain, inert, versioned or dict-state expected"
            );
            return Err(on(line, &what));
        }
        if new.uses != 0 {
            tables.row(module, name).derive(new);
        }
    }
    Ok(())
}

/// `derived/<distribution>.danger.tsv`: module, name, effect, evidence.
pub fn derived_danger(tables: &mut Tables, text: &str) -> Result {
    for (line, text) in lines(text) {
        let [module, name, effect, _evidence] = columns(line, text)?;
        check_name(tables, line, module, name)?;
        let effect = effect_code(effect).map_err(|e| on(line, &e))?;
        tables.row(module, name).derive_danger(effect);
    }
    Ok(())
}

/// A tool's row names one thing in a catalogued module: no wildcard, no whole module.
fn check_name(tables: &Tables, line: usize, module: &str, name: &str) -> Result {
    if !is_module(module) || name.is_empty() || name.contains(['*', ' ']) {
        return Err(on(line, &format!("{module:?} {name:?} is no name in a module")));
    }
    match tables.is_read(module) {
        true => Ok(()),
        false => Err(on(line, &format!("{module} is in no catalogued distribution (see the header)"))),
    }
}

fn is_module(text: &str) -> bool {
    text.split('.').all(|part| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.chars().all(|c| c == '_' || c.is_alphanumeric())
    })
}

fn uses<'a>(names: impl Iterator<Item = &'a str>) -> Result<u8> {
    names.into_iter().try_fold(0u8, |mask, name| {
        let at = Use::NAMES.iter().position(|n| *n == name);
        let at = at.ok_or_else(|| format!("no use is called {name:?}; known: {}", Use::NAMES.join(", ")))?;
        Ok(mask | 1 << at)
    })
}

fn args(name: &str) -> Result<Args> {
    Args::named(name)
        .ok_or_else(|| format!("no predicate is called {name:?}; known: {}", Args::NAMES.join(", ")))
}

fn effect_code(name: &str) -> Result<u8> {
    let at = EFFECTS.iter().position(|e| *e == name);
    at.and_then(|at| u8::try_from(at).ok()).ok_or_else(|| format!("no effect is called {name:?}"))
}

fn parse_toml<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(1, |s| line_of(text, s.start));
        on(line, &e.message().replace('\n', ", "))
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}

fn on(line: usize, what: &str) -> String {
    format!("line {line}: {what}")
}

/// Lines that are neither empty nor comments, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, l)| (at + 1, l.trim_end_matches(['\r', ' '])));
    numbered.filter(|(_, l)| !l.is_empty() && !l.starts_with('#'))
}

fn columns<const N: usize>(line: usize, text: &str) -> Result<[&str; N]> {
    let parts: Vec<&str> = text.split('\t').collect();
    parts.try_into().map_err(|_| on(line, &format!("{N} columns separated by tabs expected")))
}
