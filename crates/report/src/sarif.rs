//! SARIF 2.1.0 (OASIS), for code-scanning dashboards.

use crate::json::inert;
use crate::printable::printable;
use crate::run::{FileEntry, ScanRun};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use serde_json::{Value, json};
use wb_verdict::{Finding, Gap, Location, Rule, Severity};

/// Everything but unreserved characters, slash and colon.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The id under which parts that were not judged are reported; no rule of the engine has it.
const PARTIAL: &str = "WB-PARTIAL";

/// A whole scan as one SARIF run. Ends with a line feed.
pub fn sarif(run: &ScanRun) -> String {
    let rules = wb_scan::rules::RULES;
    let mut descriptors: Vec<Value> = rules.iter().map(|r| descriptor(r)).collect();
    descriptors.push(partial_descriptor());
    let mut results = Vec::new();
    for (index, file) in run.files.iter().enumerate() {
        results.extend(file.report.findings.iter().map(|f| finding(file, index, f, rules)));
        results.extend(file.report.gaps.iter().map(|g| gap(file, index, g, rules.len())));
    }
    let notifications: Vec<Value> = run
        .errors
        .iter()
        .map(|e| {
            json!({
                "level": "error",
                "message": { "text": printable(&e.message) },
                "locations": [{ "physicalLocation": { "artifactLocation": { "uri": uri(&e.path) } } }],
            })
        })
        .collect();
    let value = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "weighbridge",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "properties": { "ruleset": run.ruleset, "policy": run.policy },
                "rules": descriptors,
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": run.errors.is_empty(),
                "toolExecutionNotifications": notifications,
            }],
            "artifacts": run.files.iter().map(artifact).collect::<Vec<_>>(),
            "results": results,
        }],
    });
    inert(&format!("{value:#}\n"))
}

fn artifact(file: &FileEntry) -> Value {
    let report = &file.report;
    let mut out = json!({
        "location": { "uri": uri(&file.path) },
        "length": report.size,
        "properties": {
            "verdict": report.verdict.name(),
            "coverage": report.coverage.name(),
            "decision": file.decision.action.name(),
            "clause": file.decision.clause,
        },
    });
    if let (Some(digest), Some(object)) = (&report.sha256, out.as_object_mut()) {
        object.insert("hashes".into(), json!({ "sha-256": digest }));
    }
    out
}

fn descriptor(rule: &Rule) -> Value {
    let mut tags = vec!["security".to_string(), rule.family.name().to_string()];
    tags.extend(rule.cwe.map(|n| format!("external/cwe/cwe-{n}")));
    tags.extend(rule.atlas.map(str::to_string));
    tags.extend(rule.pait.map(str::to_string));
    json!({
        "id": rule.id,
        "shortDescription": { "text": rule.title },
        "fullDescription": { "text": rule.what },
        "help": { "text": format!("{}\n\n{}", rule.why, rule.fix) },
        "defaultConfiguration": { "level": level(rule.severity) },
        "properties": {
            "tags": tags,
            "precision": rule.confidence.name(),
            "security-severity": score(rule.severity),
        },
    })
}

fn partial_descriptor() -> Value {
    json!({
        "id": PARTIAL,
        "shortDescription": { "text": "a part of the file was not judged" },
        "fullDescription": { "text": "a budget ran out, or the part is encrypted, malformed or unreadable" },
        "help": { "text": "not looked at is not harmless: treat the file as unjudged" },
        "defaultConfiguration": { "level": "warning" },
        "properties": { "tags": ["security"] },
    })
}

fn finding(file: &FileEntry, index: usize, finding: &Finding, rules: &[&Rule]) -> Value {
    let message = if finding.evidence.is_empty() {
        printable(&finding.message)
    } else {
        printable(&format!("{}: {}", finding.message, finding.evidence))
    };
    let mut out = json!({
        "ruleId": finding.rule,
        "level": level(finding.severity),
        "message": { "text": message },
        "locations": [location(file, index, &finding.location, None)],
        "properties": {
            "verdict": finding.verdict.name(),
            "confidence": finding.confidence.name(),
            "decision": file.decision.action.name(),
        },
    });
    let position = rules.iter().position(|r| r.id == finding.rule);
    if let (Some(position), Some(object)) = (position, out.as_object_mut()) {
        object.insert("ruleIndex".into(), position.into());
    }
    out
}

fn gap(file: &FileEntry, index: usize, gap: &Gap, position: usize) -> Value {
    json!({
        "ruleId": PARTIAL,
        "ruleIndex": position,
        "level": "warning",
        "message": { "text": printable(&format!("not judged: {}: {}", gap.reason.name(), gap.detail)) },
        "locations": [location(file, index, &gap.location, gap.length)],
        "properties": { "decision": file.decision.action.name() },
    })
}

/// The outer file, and for a member its path as a logical location. Offsets count in the member, so a
/// byte region is given only for the file itself.
fn location(file: &FileEntry, index: usize, place: &Location, length: Option<u64>) -> Value {
    let mut physical = json!({ "artifactLocation": { "uri": uri(&file.path), "index": index } });
    if let (true, Some(at), Some(object)) = (place.path.is_empty(), place.offset, physical.as_object_mut()) {
        let mut region = json!({ "byteOffset": at });
        if let (Some(n), Some(region)) = (length, region.as_object_mut()) {
            region.insert("byteLength".into(), n.into());
        }
        object.insert("region".into(), region);
    }
    let mut out = json!({ "physicalLocation": physical });
    if let (false, Some(object)) = (place.path.is_empty(), out.as_object_mut()) {
        let logical = json!([{ "fullyQualifiedName": printable(&place.to_string()), "kind": "member" }]);
        object.insert("logicalLocations".into(), logical);
    }
    out
}

fn uri(path: &[u8]) -> String {
    let encoded = percent_encode(path, PATH).to_string();
    match encoded.strip_prefix('/') {
        Some(rest) => format!("file:///{rest}"),
        // A first segment with a colon would read as a scheme.
        None if !encoded.contains("://") && encoded.split('/').next().is_some_and(|s| s.contains(':')) => {
            format!("./{encoded}")
        }
        None => encoded,
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// The scale of GitHub's `security-severity`, 0 to 10.
fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.0",
        Severity::Low => "3.0",
        Severity::Info => "0.0",
    }
}
