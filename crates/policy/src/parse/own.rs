//! `[catalogue]` and `[[trusted_packages]]`.

use super::errors::Errors;
use super::keys::{Entry, Table};
use crate::own::{OwnArgs, OwnEntry, TrustedPackages};
use wb_scan::catalogue;

const ENTRY_KEYS: [&str; 6] = ["module", "names", "uses", "args", "owner", "reason"];
const TRUST_KEYS: [&str; 3] = ["packages", "owner", "reason"];

pub(super) fn catalogue(root: &Table<'_>, errors: &mut Errors<'_>) -> Vec<OwnEntry> {
    let Some(table) = root.get("catalogue").and_then(|e| e.table(errors)) else { return Vec::new() };
    table.known(&["entries"], errors);
    let Some(entries) = table.get("entries") else { return Vec::new() };
    entries.tables(errors).into_iter().filter_map(|(at, table)| entry(at, &table, errors)).collect()
}

pub(super) fn trusted(root: &Table<'_>, errors: &mut Errors<'_>) -> Vec<TrustedPackages> {
    let Some(entry) = root.get("trusted_packages") else { return Vec::new() };
    entry.tables(errors).into_iter().filter_map(|(at, table)| trust(at, &table, errors)).collect()
}

fn entry(at: usize, table: &Table<'_>, errors: &mut Errors<'_>) -> Option<OwnEntry> {
    let before = errors.count();
    table.known(&ENTRY_KEYS, errors);
    let module = required(at, table, "module", errors).and_then(|e| {
        let text = e.text(errors)?;
        dotted(text, e.value_at(), e.path(), errors).then_some(text)
    });
    let names = required(at, table, "names", errors).map(|e| listed(&e, errors)).unwrap_or_default();
    let names: Vec<&str> =
        names.into_iter().filter(|(at, n)| name(module, n, *at, errors)).map(|(_, n)| n).collect();
    let uses = required(at, table, "uses", errors).map(|e| uses(&e, errors)).unwrap_or_default();
    let args = match table.get("args") {
        None => Some(OwnArgs::Plain),
        Some(e) => e.one_of(&["plain", "any"], errors).map(|i| [OwnArgs::Plain, OwnArgs::Any][i]),
    };
    let (owner, reason) = answered(at, table, errors);
    if errors.count() > before {
        return None;
    }
    Some(OwnEntry {
        module: module?.into(),
        names: names.into_iter().map(str::to_string).collect(),
        uses,
        args: args?,
        owner: owner?,
        reason: reason?,
    })
}

/// Reports what no policy may vouch for.
fn name(module: Option<&str>, name: &str, at: usize, errors: &mut Errors<'_>) -> bool {
    const KEY: &str = "catalogue.entries.names";
    if !dotted(name, at, KEY, errors) {
        return false;
    }
    let Some(module) = module else { return false };
    let about = catalogue::about(module, name);
    let what = match (&about.dangerous, about.carries, &about.harmless) {
        (Some((effect, _)), _, _) => {
            let effect = serde_name(*effect);
            format!("{module}.{name} is known to be dangerous ({effect}); a policy cannot make it harmless")
        }
        (_, Some(_), _) => format!(
            "{module}.{name} rebuilds code; no entry can vouch for it, an exception for the file's digest can"
        ),
        (_, _, Some(entry)) if entry.looks_at_args => {
            format!("{module}.{name} is judged by its arguments already; an entry would switch that off")
        }
        _ => return true,
    };
    errors.push(at, KEY, what);
    false
}

fn serde_name(effect: wb_verdict::Effect) -> String {
    format!("{effect:?}").to_lowercase()
}

fn uses(entry: &Entry<'_>, errors: &mut Errors<'_>) -> Vec<&'static str> {
    let mut uses = Vec::new();
    for (at, text) in listed(entry, errors) {
        match catalogue::USES.iter().find(|u| **u == text) {
            Some(known) => uses.push(*known),
            None => {
                let known = catalogue::USES.join(", ");
                let given = wb_verdict::escape(text);
                errors.push(at, entry.path(), format!("\"{given}\" is no use; known: {known}"));
            }
        }
    }
    uses
}

fn trust(at: usize, table: &Table<'_>, errors: &mut Errors<'_>) -> Option<TrustedPackages> {
    let before = errors.count();
    table.known(&TRUST_KEYS, errors);
    let packages = required(at, table, "packages", errors).map(|e| listed(&e, errors)).unwrap_or_default();
    for (at, package) in &packages {
        if dotted(package, *at, "trusted_packages.packages", errors) && catalogue::is_known(package) {
            let what = format!(
                "{package} belongs to the standard library or to a catalogued distribution; its names are judged one \
                 by one, and single uses can be listed in [catalogue]"
            );
            errors.push(*at, "trusted_packages.packages", what);
        }
    }
    let (owner, reason) = answered(at, table, errors);
    if errors.count() > before {
        return None;
    }
    Some(TrustedPackages {
        packages: packages.into_iter().map(|(_, p)| p.to_string()).collect(),
        owner: owner?,
        reason: reason?,
    })
}

/// Owner and reason: without them nothing is vouched for, so a proposal that nobody has signed is no policy.
fn answered(at: usize, table: &Table<'_>, errors: &mut Errors<'_>) -> (Option<String>, Option<String>) {
    let mut text = |key: &str, what: &str| {
        let entry = required(at, table, key, errors)?;
        if entry.value().as_str().is_some_and(|t| t.trim().is_empty()) {
            errors.push(entry.value_at(), entry.path(), format!("is empty: {what}"));
            return None;
        }
        entry.text(errors).map(wb_verdict::escape)
    };
    let owner = text("owner", "a proposal holds only once someone answers for it; name them");
    let reason = text("reason", "a proposal holds only once someone has looked at it; say what was found");
    (owner, reason)
}

/// A list of strings that is not empty.
fn listed<'a>(entry: &Entry<'a>, errors: &mut Errors<'_>) -> Vec<(usize, &'a str)> {
    let before = errors.count();
    let texts = entry.texts(errors);
    if texts.is_empty() && errors.count() == before {
        errors.push(entry.value_at(), entry.path(), "names nothing");
    }
    texts
}

fn required<'a>(at: usize, table: &Table<'a>, name: &str, errors: &mut Errors<'_>) -> Option<Entry<'a>> {
    let entry = table.get(name);
    if entry.is_none() {
        errors.push(at, &table.join(name), "missing");
    }
    entry
}

/// Reports what is no dotted Python name.
fn dotted(text: &str, at: usize, key: &str, errors: &mut Errors<'_>) -> bool {
    let plain = text.split('.').all(|part| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
    });
    if !plain {
        errors.push(at, key, "expected a dotted Python name, as in an import, without wildcards");
    }
    plain
}
