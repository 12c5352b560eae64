//! The page behind the link of a refusal: one file, plain HTML, nothing loaded from anywhere.
//!
//! Its id is a capability of 128 random bits; the page shows that one file and leads nowhere else.

use crate::gate::Gate;
use crate::protocols::hf::refusal;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::Arc;
use wb_store::{ReportId, ReportRow, Store};

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    repo: String,
    path: String,
    commit: String,
    sha256: String,
    size: u64,
    formats: String,
    action: String,
    would: String,
    policy: String,
    contact: String,
    verdict: String,
    reason: String,
    coverage: String,
    when: String,
    causes: Vec<Cause>,
    findings: Vec<Finding>,
    gaps: Vec<Gap>,
    exceptions: Vec<Exception>,
    engine: String,
    ruleset: String,
}

struct Cause {
    action: String,
    clause: String,
    place: String,
    text: String,
}

struct Finding {
    rule: String,
    severity: String,
    confidence: String,
    place: String,
    message: String,
    evidence: String,
}

struct Gap {
    reason: String,
    place: String,
    detail: String,
}

struct Exception {
    scope: String,
    owner: String,
    reason: String,
    expires: String,
}

/// Findings shown; the rest is counted in the API's answer.
const SHOWN: usize = 200;

fn text(v: &Value, key: &str) -> String {
    match v.get(key) {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn list<'a>(v: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    v.get(key).and_then(Value::as_array).into_iter().flatten().take(SHOWN)
}

fn place(v: &Value) -> String {
    let location = v.get("location").cloned().unwrap_or_default();
    let path = text(&location, "path");
    match location.get("offset").and_then(Value::as_u64) {
        Some(at) => format!("{path}@{at:#x}"),
        None => path,
    }
}

impl Page {
    fn new(row: &ReportRow) -> Option<Self> {
        let body: Value = serde_json::from_str(&row.body).ok()?;
        let (report, decision) = (body.get("report")?, body.get("decision")?);
        let when = jiff::Timestamp::from_millisecond(row.time_ms).map(|t| t.to_string()).unwrap_or_default();
        Some(Self {
            repo: row.repo.clone(),
            path: row.path.clone(),
            commit: row.commit.clone(),
            sha256: row.sha256.map(|d| d.to_hex()).unwrap_or_default(),
            size: report.get("size").and_then(Value::as_u64).unwrap_or(0),
            formats: list(report, "formats").filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            action: text(decision, "action"),
            would: text(decision, "would"),
            policy: text(decision, "policy"),
            contact: text(decision, "contact"),
            verdict: text(report, "verdict"),
            reason: text(report, "reason"),
            coverage: text(report, "coverage"),
            when,
            causes: list(decision, "reasons")
                .map(|r| Cause {
                    action: text(r, "action"),
                    clause: text(r, "clause"),
                    place: text(r, "location"),
                    text: text(r, "text"),
                })
                .collect(),
            findings: list(report, "findings")
                .map(|f| Finding {
                    rule: text(f, "rule"),
                    severity: text(f, "severity"),
                    confidence: text(f, "confidence"),
                    place: place(f),
                    message: text(f, "message"),
                    evidence: text(f, "evidence"),
                })
                .collect(),
            gaps: list(report, "gaps")
                .map(|g| Gap {
                    reason: g
                        .get("reason")
                        .map(|r| r.as_str().map_or_else(|| r.to_string(), Into::into))
                        .unwrap_or_default(),
                    place: place(g),
                    detail: text(g, "detail"),
                })
                .collect(),
            exceptions: list(decision, "exceptions")
                .map(|e| Exception {
                    scope: text(e, "scope"),
                    owner: text(e, "owner"),
                    reason: text(e, "reason"),
                    expires: text(e, "expires"),
                })
                .collect(),
            engine: text(report, "engine"),
            ruleset: text(report, "ruleset"),
        })
    }
}

/// Answers `/r/{id}`.
pub async fn page(State(gate): State<Arc<Gate>>, Path(id): Path<String>) -> Response {
    let missing = || refusal::plain(StatusCode::NOT_FOUND, "weighbridge: no such report");
    let Ok(id) = id.parse::<ReportId>() else { return missing() };
    let row = match gate.store.report(id).await {
        Ok(Some(row)) => row,
        Ok(None) => return missing(),
        Err(error) => {
            tracing::error!(%error, "report not read");
            return refusal::plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "weighbridge: the report cannot be read",
            );
        }
    };
    let Some(html) = Page::new(&row).and_then(|p| p.render().ok()) else {
        return refusal::plain(StatusCode::INTERNAL_SERVER_ERROR, "weighbridge: the report cannot be shown");
    };
    let mut response = html.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_attacker_names_is_text() {
        let hostile = "<script>alert(1)</script>";
        let body = serde_json::json!({
            "report": {"verdict":"malicious","size":3,"findings":[{"rule":"WB-X-1","message":hostile,
                "evidence":hostile,"location":{"path":hostile,"offset":16}}]},
            "decision": {"action":"block","policy":hostile,"reasons":[{"action":"block","clause":"malicious",
                "location":"x","text":hostile}]},
        });
        let row = ReportRow {
            id: ReportId::random().unwrap(),
            time_ms: 0,
            sha256: None,
            repo: hostile.into(),
            commit: String::new(),
            path: hostile.into(),
            body: body.to_string(),
        };
        let html = Page::new(&row).unwrap().render().unwrap();
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("WB-X-1") && html.contains("@0x10"));
    }
}
