//! JSON, schema 1. Additive: readers ignore fields they do not know, and enums may grow.

use crate::run::{FileEntry, ScanError, ScanRun};
use base64::Engine;
use serde_json::{Map, Value, json};
use wb_verdict::{Finding, Gap};

/// Version of the schema.
pub const SCHEMA: u32 = 1;

/// A whole scan. Ends with a line feed; characters that a terminal could act on are `\u` escapes.
pub fn json(run: &ScanRun) -> String {
    let value = json!({
        "schema": SCHEMA,
        "engine": run.engine,
        "ruleset": run.ruleset,
        "policy": run.policy,
        "files": run.files.iter().map(json_file).collect::<Vec<_>>(),
        "errors": run.errors.iter().map(error).collect::<Vec<_>>(),
        "summary": run.summary,
    });
    inert(&format!("{value:#}\n"))
}

/// One file of the `files` list.
pub fn json_file(entry: &FileEntry) -> Value {
    let FileEntry { report, decision, .. } = entry;
    let mut file = path(&entry.path);
    let rest = json!({
        "sha256": report.sha256,
        "size": report.size,
        "formats": report.formats,
        "verdict": report.verdict.name(),
        "reason": report.reason.map(|r| r.name()),
        "coverage": report.coverage.name(),
        "gaps": report.gaps.iter().map(gap).collect::<Vec<_>>(),
        "decision": decision.action.name(),
        "clause": decision.clause,
        "would": decision.would.map(|a| a.name()),
        "causes": decision.reasons.iter().filter(|r| r.rule.is_none()).map(cause).collect::<Vec<_>>(),
        "exceptions": decision.exceptions,
        "loaders": report.loaders,
        "bytes_read": report.bytes_read,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    });
    if let Value::Object(rest) = rest {
        file.extend(rest);
    }
    Value::Object(file)
}

/// `path`, and `path_bytes` where the name is not UTF-8.
fn path(bytes: &[u8]) -> Map<String, Value> {
    let mut out = Map::new();
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            out.insert("path".into(), text.into());
        }
        Err(_) => {
            out.insert("path".into(), wb_verdict::escape_bytes(bytes).into());
            let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
            out.insert("path_bytes".into(), encoded.into());
        }
    }
    out
}

fn error(error: &ScanError) -> Value {
    let mut out = path(&error.path);
    out.insert("message".into(), error.message.as_str().into());
    Value::Object(out)
}

/// A cause of the decision that is no finding in the file: a list of the policy, a file beside it.
fn cause(reason: &wb_policy::Reason) -> Value {
    json!({ "decision": reason.action.name(), "clause": reason.clause, "text": reason.text })
}

fn gap(gap: &Gap) -> Value {
    json!({
        "reason": gap.reason.name(),
        "location": gap.location.path,
        "offset": gap.location.offset,
        "length": gap.length,
        "detail": gap.detail,
    })
}

fn finding(finding: &Finding) -> Value {
    let rule = wb_scan::rules::rule(&finding.rule);
    json!({
        "rule": finding.rule,
        "family": finding.family.name(),
        "severity": finding.severity.name(),
        "confidence": finding.confidence.name(),
        "verdict": finding.verdict.name(),
        "location": finding.location.path,
        "offset": finding.location.offset,
        "message": finding.message,
        "evidence": finding.evidence,
        "pait": rule.and_then(|r| r.pait),
        "cwe": rule.and_then(|r| r.cwe),
        "atlas": rule.and_then(|r| r.atlas),
    })
}

/// The same JSON with every character outside ASCII that is no letter or digit as a `\u` escape. Such
/// characters stand only inside strings, so the value does not change.
pub(crate) fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if (c.is_ascii() && c != '\x7f') || c.is_alphanumeric() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}
