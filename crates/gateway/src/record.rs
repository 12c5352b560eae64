//! What is written down about a decision: the audit row, and the report behind its link.

use crate::gate::Gate;
use crate::judge_flow::{Judged, Ruling, Wanted};
use crate::requester::Requester;
use axum::http::{HeaderMap, header};
use serde_json::Value;
use wb_policy::Action;
use wb_report::{FileEntry, Page};
use wb_store::{AuditEntry, AuditEvent, ReportId, ReportRow, StoreError};

/// Findings and gaps kept in a report. They come worst first; one file with a hundred thousand must not fill the
/// database each time somebody asks for it.
const KEPT: usize = 200;

/// A link and the report behind it.
pub fn report(
    who: &Requester,
    wanted: &Wanted,
    judged: &Judged,
    ruling: &Ruling,
) -> Result<(String, ReportRow), StoreError> {
    let id = ReportId::random()?;
    let mut entry = FileEntry {
        path: wanted.file.path.clone().into_bytes(),
        report: ruling.report.clone(),
        decision: ruling.decision.clone(),
    };
    entry.report.findings.truncate(KEPT);
    entry.report.gaps.truncate(KEPT);
    entry.decision.reasons.truncate(KEPT);
    let origin = format!("{} at commit {}", wanted.file.repo, wanted.meta.commit);
    let when = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let page = wb_report::html_page(&entry, Page { origin: Some(&origin), decided_at: Some(&when) });
    let body = serde_json::json!({
        "file": wb_report::json_file(&entry),
        "decision": entry.decision,
        "page": page,
    });
    let row = ReportRow {
        id,
        time_ms: 0,
        sha256: Some(judged.sha256),
        repo: wanted.file.repo.to_string(),
        commit: wanted.meta.commit.clone(),
        path: wanted.file.path.clone(),
        body: body.to_string(),
    };
    Ok((format!("{}/r/{id}", who.base), row))
}

/// The page of a kept report.
pub fn page(row: &ReportRow) -> Option<String> {
    match serde_json::from_str::<Value>(&row.body).ok()?.get_mut("page")?.take() {
        Value::String(page) => Some(page),
        _ => None,
    }
}

/// The file and the decision of a kept report.
pub fn parts(row: &ReportRow) -> Option<(Value, Value)> {
    let mut body: Value = serde_json::from_str(&row.body).ok()?;
    Some((body.get_mut("file")?.take(), body.get_mut("decision")?.take()))
}

/// The audit row of a decision.
pub fn entry(
    gate: &Gate,
    event: AuditEvent,
    who: &Requester,
    headers: &HeaderMap,
    wanted: &Wanted,
    judged: &Judged,
    ruling: &Ruling,
) -> AuditEntry {
    let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok());
    let mut rules: Vec<String> = ruling.report.findings.iter().map(|f| f.rule.clone()).collect();
    rules.sort();
    rules.dedup();
    let would = ruling.decision.would.filter(|w| *w != Action::Allow).map(|w| format!("would {w}"));
    // In full: a policy is edited, the audit is not.
    let lifted = ruling.decision.exceptions.iter().map(|e| format!("exception {e}"));
    // The file to blame is another one than the row is about.
    let because =
        ruling.decision.reasons.iter().filter(|r| r.clause.contains("repository")).map(|r| r.text.clone());
    let detail: Vec<String> = would.into_iter().chain(lifted).chain(because.take(3)).collect();
    let mut entry = AuditEntry::new(event);
    entry.who = gate.key.who(who.token.as_ref().map(|_| &who.who), who.address);
    entry.repo = Some(wanted.file.repo.to_string());
    entry.commit = Some(wanted.meta.commit.clone());
    entry.path = Some(wanted.file.path.clone());
    entry.sha256 = Some(judged.sha256.to_hex());
    entry.action = Some(ruling.decision.action.name().into());
    entry.clause = Some(ruling.decision.clause.clone());
    entry.rules = rules;
    entry.policy = Some(ruling.decision.policy.clone());
    entry.agent = agent.map(|a| a.chars().take(200).collect());
    entry.detail = (!detail.is_empty()).then(|| detail.join("; "));
    entry
}
