//! TOML to [`Policy`], with every error at its line and key.
//!
//! The document is walked by hand over spanned values instead of deserialised: a policy that does not
//! mean what its author thinks is a hole in the gate, so an unknown key, a value of the wrong type or an
//! exception without an owner is an error that says where it is and what was probably meant, and all of
//! them are reported at once.

mod errors;
mod exceptions;
mod keys;
mod own;

pub use errors::{PolicyError, PolicyErrors};

use crate::policy::{Level, Lists, Policy, Profile};
use errors::Errors;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use keys::{Entry, Table};
use toml::de::DeTable;
use wb_verdict::{Confidence, Family, Severity, UnknownReason};

const ROOT: [&str; 14] = [
    "name",
    "profile",
    "contact",
    "partial",
    "pickle_beside_safe_format",
    "approved_formats",
    "catalogue",
    "trusted_packages",
    "unknown",
    "rules",
    "thresholds",
    "organisations",
    "models",
    "exceptions",
];

pub(crate) fn parse(text: &str, file: &str) -> Result<Policy, PolicyErrors> {
    let mut errors = Errors::new(text, file);
    let (root, syntax) = DeTable::parse_recoverable(text);
    for e in &syntax {
        let at = e.span().map_or(0, |s| s.start);
        errors.push(at, "", format!("not valid TOML: {}", e.message().replace('\n', ", ")));
    }
    if !syntax.is_empty() {
        return Err(errors.finish());
    }
    let root = Table::new("", root.get_ref());
    root.known(&ROOT, &mut errors);
    let profile = profile(&root, &mut errors);
    let mut policy = Policy::builtin(profile);
    scalars(&root, &mut policy, &mut errors);
    unknown(&root, &mut policy, &mut errors);
    rules(&root, &mut policy, &mut errors);
    thresholds(&root, &mut policy, &mut errors);
    if let Some(lists) = lists(&root, "organisations", &mut errors) {
        policy.organisations = lists;
    }
    if let Some(lists) = lists(&root, "models", &mut errors) {
        policy.models = lists;
    }
    policy.catalogue = own::catalogue(&root, &mut errors);
    policy.trusted_packages = own::trusted(&root, &mut errors);
    policy.exceptions = exceptions::read(&root, &mut errors);
    errors.into_result(policy)
}

fn profile(root: &Table<'_>, errors: &mut Errors<'_>) -> Profile {
    let names = Profile::ALL.map(Profile::name);
    root.get("profile")
        .and_then(|e| e.one_of(&names, errors))
        .and_then(|i| Profile::ALL.get(i).copied())
        .unwrap_or(Profile::Default)
}

fn scalars(root: &Table<'_>, policy: &mut Policy, errors: &mut Errors<'_>) {
    if let Some(name) = root.get("name").and_then(|e| e.text(errors)) {
        policy.name = wb_verdict::escape(name);
    }
    if let Some(contact) = root.get("contact").and_then(|e| e.text(errors)) {
        policy.contact = Some(wb_verdict::escape(contact));
    }
    if let Some(level) = root.get("partial").and_then(|e| level(&e, errors)) {
        policy.unknown.insert(UnknownReason::Partial, level);
    }
    if let Some(level) = root.get("pickle_beside_safe_format").and_then(|e| level(&e, errors)) {
        policy.pickle_beside_safe = level;
    }
    if let Some(set) = root.get("approved_formats").and_then(|e| globs(&e, errors)) {
        policy.formats = Some(set);
    }
}

fn unknown(root: &Table<'_>, policy: &mut Policy, errors: &mut Errors<'_>) {
    const REASONS: [UnknownReason; 4] = [
        UnknownReason::UnknownClass,
        UnknownReason::UnknownContent,
        UnknownReason::OptInCode,
        UnknownReason::Unsupported,
    ];
    let Some(table) = root.get("unknown").and_then(|e| e.table(errors)) else { return };
    table.known(&REASONS.map(UnknownReason::name), errors);
    for reason in REASONS {
        if let Some(level) = table.get(reason.name()).and_then(|e| level(&e, errors)) {
            policy.unknown.insert(reason, level);
        }
    }
}

fn rules(root: &Table<'_>, policy: &mut Policy, errors: &mut Errors<'_>) {
    let Some(table) = root.get("rules").and_then(|e| e.table(errors)) else { return };
    for entry in table.entries() {
        if known_rule_or_family(entry.name(), entry.at(), errors)
            && let Some(level) = level(&entry, errors)
        {
            policy.rules.insert(entry.name().to_string(), level);
        }
    }
}

/// Checks a rule id or a family name, and reports it if it is neither.
fn known_rule_or_family(name: &str, at: usize, errors: &mut Errors<'_>) -> bool {
    let families = Family::ALL.map(Family::name);
    if families.contains(&name) || known_rule(name) {
        return true;
    }
    let ids: Vec<&str> = families.into_iter().chain(rule_ids()).collect();
    let hint = keys::did_you_mean(name, &ids);
    errors.push(at, &keys::join("rules", name), format!("no such rule or family{hint}"));
    false
}

fn rule_ids() -> impl Iterator<Item = &'static str> {
    wb_scan::rules::RULES.iter().map(|r| r.id)
}

fn known_rule(id: &str) -> bool {
    rule_ids().any(|known| known == id)
}

fn thresholds(root: &Table<'_>, policy: &mut Policy, errors: &mut Errors<'_>) {
    const SEVERITIES: [Severity; 5] =
        [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    const CONFIDENCES: [Confidence; 3] = [Confidence::Low, Confidence::Medium, Confidence::High];
    let Some(table) = root.get("thresholds").and_then(|e| e.table(errors)) else { return };
    table.known(&["severity", "confidence"], errors);
    let severity = table.get("severity").and_then(|e| e.one_of(&SEVERITIES.map(Severity::name), errors));
    if let Some(value) = severity.and_then(|i| SEVERITIES.get(i)) {
        policy.severity = *value;
    }
    let confidence =
        table.get("confidence").and_then(|e| e.one_of(&CONFIDENCES.map(Confidence::name), errors));
    if let Some(value) = confidence.and_then(|i| CONFIDENCES.get(i)) {
        policy.confidence = *value;
    }
}

fn lists(root: &Table<'_>, key: &'static str, errors: &mut Errors<'_>) -> Option<Lists> {
    let table = root.get(key)?.table(errors)?;
    table.known(&["allow", "deny"], errors);
    Some(Lists {
        allow: table.get("allow").and_then(|e| globs(&e, errors)),
        deny: table.get("deny").and_then(|e| globs(&e, errors)).unwrap_or_default(),
    })
}

/// A list of globs; `*` does not cross a slash, and case does not matter, as on the Hub.
fn globs(entry: &Entry<'_>, errors: &mut Errors<'_>) -> Option<GlobSet> {
    let mut set = GlobSetBuilder::new();
    let mut failed = !entry.is_array();
    for (at, text) in entry.texts(errors) {
        match GlobBuilder::new(text).literal_separator(true).case_insensitive(true).build() {
            Ok(glob) => drop(set.add(glob)),
            Err(e) => {
                failed = true;
                errors.push(at, entry.path(), format!("not a valid glob: {}", e.kind()));
            }
        }
    }
    match set.build() {
        Ok(set) if !failed => Some(set),
        Ok(_) => None,
        Err(e) => {
            errors.push(entry.at(), entry.path(), format!("these globs cannot be used together: {e}"));
            None
        }
    }
}

fn level(entry: &Entry<'_>, errors: &mut Errors<'_>) -> Option<Level> {
    if entry.is_text("convert") {
        let what = "\"convert\" is reserved for a later version; use \"block\", \"warn\" or \"off\"";
        errors.push(entry.value_at(), entry.path(), what);
        return None;
    }
    entry
        .one_of(&["off", "warn", "block"], errors)
        .and_then(|i| [Level::Off, Level::Warn, Level::Block].get(i).copied())
}
