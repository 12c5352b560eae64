//! Errors of policy files, and where they point.

use super::*;
use wb_policy::PolicyErrors;

fn errors(text: &str) -> PolicyErrors {
    Policy::parse(text, "policy.toml").expect_err("the policy is wrong")
}

fn only(text: &str) -> (usize, usize, String, String) {
    let found = errors(text);
    let [e] = found.errors.as_slice() else { panic!("expected one error:\n{found}") };
    (e.line, e.column, e.key.clone(), e.message.clone())
}

#[test]
fn everything_at_once() {
    let id = wb_scan::rules::RULES[0].id;
    let p = policy(&format!(
        r#"
name = "acme"
profile = "strict"
contact = "ask ml-security@acme.example"
partial = "warn"
pickle_beside_safe_format = "warn"
approved_formats = ["safetensors", "gguf"]

[unknown]
unknown-class = "warn"
unknown-content = "off"
opt-in-code = "block"
unsupported = "block"

[rules]
"{id}" = "block"
carries-code = "warn"

[thresholds]
severity = "medium"
confidence = "low"

[organisations]
allow = ["acme", "google*"]
deny = ["evil"]

[models]
deny = ["acme/old-*"]

[[trusted_packages]]
packages = ["acme_ml", "acme.tools"]
owner = "a"
reason = "our own"

[[catalogue.entries]]
module = "acme_ml.build"
names = ["restore", "Model.load"]
uses = ["call"]
args = "any"
owner = "a"
reason = "reviewed in SEC-7"

[[exceptions]]
sha256 = "{DIGEST}"
owner = "a"
reason = "b"
created = 2026-11-01
expires = "2027-11-01"

[[exceptions]]
repository = "datasets/acme/data"
commit = "{COMMIT}"
rules = ["{id}"]
owner = "a"
reason = "b"
created = 2026-11-01
expires = 2026-12-01
"#
    ));
    assert_eq!((p.name(), p.contact()), ("acme", Some("ask ml-security@acme.example")));
    assert_eq!(p.exceptions().len(), 2);
    assert!(p.needs_digest() && p.needs_siblings());
    assert_eq!(policy("").name(), "default");
    assert!(!policy("").needs_digest() && !policy("").needs_siblings());
}

#[test]
fn a_misspelt_key_is_an_error_with_a_hint() {
    assert_eq!(
        only("name = \"x\"\nprofil = \"strict\""),
        (2, 1, "profil".into(), "unknown key, did you mean \"profile\"?".into())
    );
    let (line, _, key, message) = only("[unknown]\nunsuported = \"off\"");
    assert_eq!((line, key.as_str()), (2, "unknown.unsuported"));
    assert!(message.contains("\"unsupported\""));
    assert!(only("[thresholds]\nx = 1").3.contains("known here: severity, confidence"));
}

#[test]
fn a_misspelt_value_is_an_error_with_a_hint() {
    let (line, column, key, message) = only("[rules]\ncarries-code =  \"blok\"");
    assert_eq!((line, column, key.as_str()), (2, 17, "rules.carries-code"));
    assert_eq!(message, "\"blok\" is none of off, warn, block, did you mean \"block\"?");
}

#[test]
fn rules_and_families_must_exist() {
    let id = wb_scan::rules::RULES[0].id;
    let (_, _, key, message) = only(&format!("[rules]\n\"{id}X\" = \"off\""));
    assert_eq!(key, format!("rules.{id}X"));
    assert!(message.starts_with("no such rule or family, did you mean"), "{message}");
}

#[test]
fn convert_is_reserved() {
    assert!(only("[rules]\ncarries-code = \"convert\"").3.contains("reserved"));
    assert!(only("convert = true").3.contains("reserved"));
}

#[test]
fn all_errors_are_reported_in_order() {
    let found = errors("profile = \"strikt\"\npartial = 3\n\n[rules]\nstructure = \"of\"\n");
    let places: Vec<_> = found.errors.iter().map(|e| (e.line, e.key.as_str())).collect();
    assert_eq!(places, [(1, "profile"), (2, "partial"), (5, "rules.structure")]);
    let text = found.to_string();
    assert!(text.starts_with("policy.toml:1:11: profile: \"strikt\" is none of"), "{text}");
    assert!(text.contains("\npolicy.toml:2:11: partial: expected a string, found integer"), "{text}");
}

#[test]
fn broken_toml_points_at_its_place() {
    let found = errors("name = \"x\"\nprofile = = 1\n");
    assert_eq!(found.errors[0].line, 2);
    assert!(found.to_string().contains("not valid TOML"), "{found}");
    let twice = errors("name = \"x\"\nname = \"y\"\n");
    assert_eq!(twice.errors[0].line, 2, "{twice}");
}

#[test]
fn columns_count_characters() {
    let (line, column, ..) = only("unknown = { \"ü\" = 1 }");
    assert_eq!((line, column), (1, 13));
    assert_eq!(only("[unknown]\n'é' . x = 1").1, 1);
}

#[test]
fn globs_must_be_valid() {
    let (_, _, key, message) = only("[models]\nallow = [\"acme/[a\"]");
    assert_eq!(key, "models.allow");
    assert!(message.contains("not a valid glob"), "{message}");
    assert!(only("[models]\nallow = \"acme/*\"").3.contains("list of strings"));
    assert!(only("[models]\nallow = [1]").3.contains("string"));
}

fn with(lines: &str) -> String {
    format!("[[exceptions]]\nsha256 = \"{DIGEST}\"\n{lines}")
}

const OWNED: &str = "owner = \"o\"\nreason = \"r\"\n";

#[test]
fn an_exception_needs_owner_reason_and_dates() {
    let keys: Vec<String> = errors(&with("")).errors.into_iter().map(|e| e.key).collect();
    assert_eq!(keys, ["exceptions.owner", "exceptions.reason", "exceptions.created", "exceptions.expires"]);
    let blank = only(&with("owner = \" \"\nreason = \"r\"\ncreated = 2026-01-01\nexpires = 2026-02-01"));
    assert_eq!((blank.0, blank.3.as_str()), (3, "must not be empty"));
}

#[test]
fn an_exception_lasts_at_most_a_year() {
    let year = |to: &str| with(&format!("{OWNED}created = 2026-01-01\nexpires = {to}"));
    policy(&year("2027-01-01"));
    let (line, _, key, message) = only(&year("2027-01-02"));
    assert_eq!((line, key.as_str()), (6, "exceptions.expires"));
    assert_eq!(message, "at most 365 days after created, that is 2027-01-01");
    assert!(only(&year("2025-12-31")).3.contains("before created"));
    assert!(only(&year("2026-02-01T00:00:00Z")).3.contains("expected a date"));
    assert!(only(&year("\"soon\"")).3.contains("expected a date"));
}

#[test]
fn an_exception_names_one_thing() {
    let dates = "created = 2026-01-01\nexpires = 2026-02-01\n";
    let message = |scope: &str| only(&format!("[[exceptions]]\n{scope}\n{OWNED}{dates}")).3;
    let repo = format!("repository = \"a/b\"\ncommit = \"{COMMIT}\"");
    assert!(message("").contains("either sha256"));
    assert!(message("repository = \"a/b\"").contains("either sha256"));
    assert!(message(&format!("sha256 = \"{DIGEST}\"\n{repo}")).contains("either sha256"));
    assert!(message("sha256 = \"abc\"").contains("64 hexadecimal"));
    assert!(message(&repo).contains("must name the rules"));
    assert!(message(&format!("sha256 = \"{DIGEST}\"\nrules = []")).contains("names no rule"));
    assert!(message(&format!("sha256 = \"{DIGEST}\"\nrules = [\"WB-XXX-999\"]")).contains("no such rule"));
    let id = wb_scan::rules::RULES[0].id;
    let glob = format!("repository = \"a/*\"\ncommit = \"{COMMIT}\"\nrules = [\"{id}\"]");
    assert!(message(&glob).contains("without globs"));
}

/// The example of the documentation is a valid policy and uses every key.
#[test]
fn the_documented_policy_is_valid() {
    let page = include_str!("../../../../docs/policy.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let example = example.expect("the page has an example");
    policy(example);
    for key in [
        "profile",
        "partial",
        "approved_formats",
        "[[trusted_packages]]",
        "[[catalogue.entries]]",
        "[unknown]",
        "[rules]",
    ] {
        assert!(example.contains(key), "{key} is not documented");
    }
}
