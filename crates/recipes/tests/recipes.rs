//! Every recipe, hostile and twin, through the whole engine.

mod engine;

use engine::{corpus, engine};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use wb_recipes::{Case, Content, Expected, Label, Outcome, Recipe, Sample, evaluate, read_all};
use wb_verdict::{Report, Verdict};

/// One file of a recipe, judged.
struct Judged {
    recipe: Recipe,
    hostile: bool,
    name: String,
    bytes: Vec<u8>,
    outcome: Outcome,
}

fn recipes() -> Vec<Recipe> {
    let recipes = read_all(&corpus()).expect("the corpus can be read");
    assert!(recipes.len() > 200, "only {} recipes", recipes.len());
    recipes
}

fn judged() -> &'static [Judged] {
    static ALL: OnceLock<Vec<Judged>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = Vec::new();
        for recipe in recipes() {
            let hostile = recipe.expected.is_hostile();
            let twin = recipe.twin().unwrap_or_else(|e| panic!("{e}")).unwrap_or_default();
            let files = recipe.build().unwrap_or_else(|e| panic!("{e}"));
            let files = files.into_iter().map(|f| (hostile, f)).chain(twin.into_iter().map(|f| (false, f)));
            for (hostile, (name, bytes)) in files {
                let outcome = engine(&name, bytes.clone());
                all.push(Judged { recipe: recipe.clone(), hostile, name, bytes, outcome });
            }
        }
        all
    })
}

fn cases() -> Vec<Case> {
    let case = |r: &Recipe, label, files: Vec<(String, Vec<u8>)>| Case {
        id: r.id.clone(),
        label,
        format: r.format.clone(),
        expected_call: r.expected_call.clone().filter(|_| label == Label::Hostile),
        files: files.into_iter().map(|(name, b)| Sample { name, content: Content::Bytes(b) }).collect(),
    };
    let mut cases = Vec::new();
    for r in recipes() {
        let files = r.build().expect("builds");
        cases.push(case(&r, label(r.expected), files));
        if let Some(twin) = r.twin().expect("the twin builds") {
            cases.push(case(&r, label(r.twin_expected()), twin));
        }
    }
    cases
}

fn label(expected: Expected) -> Label {
    match expected {
        Expected::Malicious | Expected::Suspicious => Label::Hostile,
        Expected::Harmless => Label::Benign,
        Expected::Unsupported => Label::Unsupported,
    }
}

fn fail(title: &str, lines: &[String]) {
    assert!(lines.is_empty(), "{title}: {}\n  {}", lines.len(), lines.join("\n  "));
}

#[test]
fn hostile_files_are_blocked_with_a_finding_that_names_the_call() {
    let evaluation = evaluate(&cases(), engine).expect("builds");
    let lines: Vec<_> = evaluation.misses.iter().map(|m| format!("{} {}", m.id, m.why)).collect();
    fail("wrong answers", &lines);
}

#[test]
fn the_benign_twin_of_every_hostile_file_is_let_through() {
    let evaluation = evaluate(&cases(), engine).expect("builds");
    let lines: Vec<_> = evaluation.blocked_benign.iter().map(|m| format!("{} {}", m.id, m.why)).collect();
    fail("twins blocked", &lines);
}

#[test]
fn a_format_that_cannot_be_judged_is_blocked_and_says_so() {
    let mut lines = Vec::new();
    for j in judged().iter().filter(|j| j.recipe.expected == Expected::Unsupported) {
        let said = j.outcome.report.findings.iter().any(|f| f.family == wb_verdict::Family::Unsupported);
        if !j.outcome.blocked || !said {
            lines.push(format!("{}: {}", j.recipe.id, j.outcome.report.verdict));
        }
    }
    fail("unsupported formats", &lines);
}

#[test]
fn malicious_is_said_where_malicious_is_expected() {
    let mut worst: BTreeMap<&str, (Expected, Verdict)> = BTreeMap::new();
    for j in judged().iter().filter(|j| j.hostile) {
        let entry = worst.entry(&j.recipe.id).or_insert((j.recipe.expected, Verdict::Clean));
        entry.1 = entry.1.max(j.outcome.report.verdict);
    }
    let lines: Vec<_> = worst
        .iter()
        .filter(|(_, (expected, got))| *expected == Expected::Malicious && *got < Verdict::Malicious)
        .filter(|(id, _)| !MILDER.iter().any(|(milder, _)| milder == *id))
        .map(|(id, (_, got))| format!("{id} is {got}"))
        .collect();
    fail("too mild", &lines);
}

/// Cases that are blocked, but as suspicious only, and why that is right.
const MILDER: &[(&str, &str)] = &[(
    "ZIP-torch-package",
    "that Python source runs is the finding; what the source does is not judged by its text",
)];

#[test]
fn every_format_has_a_hostile_and_a_benign_recipe() {
    let ids = |hostile: bool| -> BTreeSet<&str> {
        judged()
            .iter()
            .filter(|j| j.hostile == hostile)
            .flat_map(|j| j.outcome.report.formats.iter().map(String::as_str))
            .collect()
    };
    let (hostile, benign) = (ids(true), ids(false));
    let mut lines = Vec::new();
    for format in wb_scan::formats::REGISTRY {
        let id = format.id();
        for (side, ids) in [("hostile", &hostile), ("benign", &benign)] {
            let excused = ONE_SIDED_FORMATS.iter().any(|(f, s, _)| *f == id && *s == side);
            match (ids.contains(id), excused) {
                (false, false) => lines.push(format!("{id}: no {side} recipe")),
                (true, true) => lines.push(format!("{id}: has a {side} recipe, but is listed as without")),
                _ => {}
            }
        }
    }
    fail("formats without recipes", &lines);
}

/// Formats that have no recipe of one side, and why.
const ONE_SIDED_FORMATS: &[(&str, &str, &str)] = &[
    ("pdf-actions", "benign", "reported as pdf"),
    ("pdf-actions", "hostile", "reported as pdf; see MED-pdf-launch"),
    ("recognised", "benign", "reported under the names of the formats it recognises; see REC-*"),
    ("recognised", "hostile", "reported under the names of the formats it recognises; see REC-*"),
    ("python-bytecode", "benign", "code is never proved harmless"),
    ("parquet", "hostile", "known by magics at both ends: whatever follows makes it another format"),
    ("arrow", "hostile", "known by magics at both ends: whatever follows makes it another format"),
];

#[test]
fn every_rule_fires_in_a_recipe() {
    let fired: BTreeSet<&str> =
        judged().iter().flat_map(|j| j.outcome.report.findings.iter().map(|f| f.rule.as_str())).collect();
    let mut lines = Vec::new();
    for rule in wb_scan::rules::RULES {
        let excused = UNREACHED_RULES.iter().any(|(id, _)| *id == rule.id);
        match (fired.contains(rule.id), excused) {
            (false, false) => lines.push(format!("{} ({}) never fires", rule.id, rule.title)),
            (true, true) => lines.push(format!("{} fires, but is listed as unreached", rule.id)),
            _ => {}
        }
    }
    fail("rules", &lines);
}

/// Rules that no file can reach in this version, and why.
const UNREACHED_RULES: &[(&str, &str)] = &[];

#[test]
fn a_name_does_not_change_the_verdict_on_a_binary_file() {
    let mut lines = Vec::new();
    for j in judged() {
        let text = std::str::from_utf8(&j.bytes).is_ok();
        if text || j.recipe.by_name || j.bytes.len() > 1 << 20 {
            continue;
        }
        for name in ["model.safetensors", "notes.txt", "weights/model.bin", "x"] {
            let other = engine(name, j.bytes.clone());
            if other.report.verdict != j.outcome.report.verdict || other.blocked != j.outcome.blocked {
                lines.push(format!(
                    "{} {}: {} as {name}: {}",
                    j.recipe.id, j.name, j.outcome.report.verdict, other.report.verdict
                ));
            }
        }
    }
    fail("verdicts changed by a name", &lines);
}

#[test]
fn an_engine_that_always_gives_the_same_answer_fails() {
    let cases = cases();
    let real = |verdict: Verdict| {
        let found = judged().iter().find(|j| j.outcome.report.verdict == verdict);
        found.map(|j| j.outcome.report.clone()).expect("some recipe gets this verdict")
    };
    let constant = |report: Report, blocked: bool| {
        evaluate(&cases, |_, _| Outcome { blocked, report: report.clone() }).expect("builds")
    };
    for verdict in [Verdict::Clean, Verdict::Suspicious, Verdict::Malicious] {
        for blocked in [false, true] {
            let result = constant(real(verdict), blocked);
            assert!(!result.passes(), "always {verdict}, blocked: {blocked}");
            assert!(!result.misses.is_empty() || result.blocked_benign.len() > cases.len() / 4);
        }
    }
    // A report that names every call at once cannot pass either: it blocks the twins.
    let mut report = real(Verdict::Malicious);
    let finding = report.findings[0].clone();
    let calls = cases.iter().filter_map(|c| c.expected_call.clone());
    report.findings.extend(calls.map(|call| {
        let mut f = finding.clone();
        f.evidence = call.replace("(...)", "(x)");
        f
    }));
    assert!(!constant(report, true).passes());
}

#[test]
fn a_gap_alone_is_no_finding() {
    let cases = cases();
    let mut report = judged().iter().find(|j| j.hostile).expect("a hostile recipe").outcome.report.clone();
    report.findings.clear();
    report.verdict = Verdict::Unknown;
    let result = evaluate(&cases, |_, _| Outcome { blocked: true, report: report.clone() }).expect("builds");
    let hostile = cases.iter().filter(|c| c.label == Label::Hostile).count();
    assert_eq!(result.misses.iter().filter(|m| m.label == "hostile").count(), hostile);
}

#[test]
fn every_recipe_is_listed_under_its_technique() {
    let rows = wb_recipes::read_tsv(&corpus().join("techniques.tsv")).expect("the list can be read");
    let listed: BTreeSet<(String, String)> =
        rows.iter().map(|r| (r["format"].clone(), r["recipe"].clone())).collect();
    let mut lines: Vec<String> = rows
        .iter()
        .filter(|r| r["technique"].is_empty() || r["area"].is_empty())
        .map(|r| format!("{}: no technique or area", r["recipe"]))
        .collect();
    let there: BTreeSet<(String, String)> = recipes().into_iter().map(|r| (r.format, r.id)).collect();
    lines.extend(there.difference(&listed).map(|(f, id)| format!("{f}/{id} is not listed")));
    lines.extend(
        listed.difference(&there).map(|(f, id)| format!("{f}/{id} is listed, but there is no recipe")),
    );
    fail("techniques.tsv", &lines);
}
