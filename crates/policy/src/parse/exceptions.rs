//! `[[exceptions]]`.

use super::errors::Errors;
use super::keys::{Entry, Table, did_you_mean};
use super::{known_rule, rule_ids};
use crate::context::RepoKind;
use crate::exception::{Exception, MAX_EXCEPTION_DAYS, Scope};
use jiff::ToSpan;
use jiff::civil::Date;

const KEYS: [&str; 8] = ["sha256", "repository", "commit", "rules", "owner", "reason", "created", "expires"];

pub(super) fn read(root: &Table<'_>, errors: &mut Errors<'_>) -> Vec<Exception> {
    let Some(entry) = root.get("exceptions") else { return Vec::new() };
    entry.tables(errors).into_iter().filter_map(|(at, table)| exception(at, &table, errors)).collect()
}

fn exception(at: usize, table: &Table<'_>, errors: &mut Errors<'_>) -> Option<Exception> {
    let before = errors.count();
    table.known(&KEYS, errors);
    let scope = scope(at, table, errors);
    let rules = rules(table, errors);
    if matches!(scope, Some(Scope::Repository { .. })) && rules.is_empty() && errors.count() == before {
        let what =
            "an exception for a repository must name the rules that it lifts, e.g. rules = [\"WB-PKL-002\"]";
        errors.push(at, "exceptions.rules", what);
    }
    let owner = required(at, table, "owner", errors).and_then(|e| e.text(errors));
    let reason = required(at, table, "reason", errors).and_then(|e| e.text(errors));
    let created = required(at, table, "created", errors).and_then(|e| date(&e, errors));
    let expires_entry = required(at, table, "expires", errors);
    let expires = expires_entry.as_ref().and_then(|e| date(e, errors));
    if let (Some(from), Some(to), Some(entry)) = (created, expires, &expires_entry) {
        let last = from.checked_add(MAX_EXCEPTION_DAYS.days()).unwrap_or(Date::MAX);
        if to > last {
            let what = format!("at most {MAX_EXCEPTION_DAYS} days after created, that is {last}");
            errors.push(entry.value_at(), entry.path(), what);
        } else if to < from {
            errors.push(entry.value_at(), entry.path(), "is before created");
        }
    }
    if errors.count() > before {
        return None;
    }
    Some(Exception {
        scope: scope?,
        rules,
        owner: wb_verdict::escape(owner?),
        reason: wb_verdict::escape(reason?),
        created: created?,
        expires: expires?,
    })
}

fn required<'a>(at: usize, table: &Table<'a>, name: &str, errors: &mut Errors<'_>) -> Option<Entry<'a>> {
    let entry = table.get(name);
    if entry.is_none() {
        errors.push(
            at,
            &format!("exceptions.{name}"),
            "missing; every exception names its owner, reason, created and expires dates",
        );
    }
    entry
}

fn scope(at: usize, table: &Table<'_>, errors: &mut Errors<'_>) -> Option<Scope> {
    match (table.get("sha256"), table.get("repository"), table.get("commit")) {
        (Some(digest), None, None) => hex(&digest, &[64], errors).map(Scope::Sha256),
        (None, Some(repository), Some(commit)) => {
            let commit = hex(&commit, &[40, 64], errors);
            let (kind, id) = repository_id(&repository, errors)?;
            Some(Scope::Repository { kind, id, commit: commit? })
        }
        _ => {
            errors.push(at, "exceptions", "name either sha256, or repository and commit");
            None
        }
    }
}

fn hex(entry: &Entry<'_>, lengths: &[usize], errors: &mut Errors<'_>) -> Option<String> {
    let text = entry.text(errors)?;
    if lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Some(text.to_ascii_lowercase());
    }
    let lengths = lengths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    errors.push(entry.value_at(), entry.path(), format!("expected {lengths} hexadecimal digits"));
    None
}

fn repository_id(entry: &Entry<'_>, errors: &mut Errors<'_>) -> Option<(RepoKind, String)> {
    let text = entry.text(errors)?;
    let kinds = [RepoKind::Model, RepoKind::Dataset, RepoKind::Space];
    let (kind, id) = kinds
        .into_iter()
        .find_map(|k| Some((k, text.strip_prefix(k.plural())?.strip_prefix('/')?)))
        .unwrap_or((RepoKind::Model, text));
    let parts = id.split('/').count();
    if parts > 2 || id.split('/').any(str::is_empty) || id.contains(['*', '?', '[', '{']) {
        let what = "expected one repository, organisation/name or datasets/organisation/name, without globs";
        errors.push(entry.value_at(), entry.path(), what);
        return None;
    }
    Some((kind, id.to_string()))
}

fn rules(table: &Table<'_>, errors: &mut Errors<'_>) -> Vec<String> {
    let Some(entry) = table.get("rules") else { return Vec::new() };
    let mut rules = Vec::new();
    for (at, id) in entry.texts(errors) {
        if known_rule(id) {
            rules.push(id.to_string());
        } else {
            let hint = did_you_mean(id, &rule_ids().collect::<Vec<_>>());
            errors.push(at, entry.path(), format!("no such rule{hint}"));
        }
    }
    if entry.value().as_array().is_some_and(|list| list.is_empty()) {
        // An empty list would read as "lift everything" for a digest.
        errors.push(
            entry.value_at(),
            entry.path(),
            "names no rule; leave the key out to lift everything for a digest",
        );
    }
    rules
}

fn date(entry: &Entry<'_>, errors: &mut Errors<'_>) -> Option<Date> {
    let text = match (entry.value().as_datetime(), entry.value().as_str()) {
        (Some(d), _) => d.to_string(),
        (_, Some(s)) => s.to_string(),
        _ => String::new(),
    };
    let date = text.parse::<Date>().ok().filter(|_| text.len() == 10);
    if date.is_none() {
        errors.push(entry.value_at(), entry.path(), "expected a date, e.g. 2027-01-31");
    }
    date
}
