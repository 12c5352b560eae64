//! `GET verdicts/{sha256}`: what is known of content, from memory where it was asked for before.

use super::{admin, store_failed};
use crate::gate::Gate;
use crate::protocols::hf::refusal;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use std::sync::Arc;
use wb_store::{Sha256Digest, Store};
use wb_verdict::Report;

/// Query of the look-up.
#[derive(Deserialize)]
pub struct Asked {
    name: Option<String>,
}

/// Answers a verdict look-up. Counted, not audited one by one.
pub async fn verdict(
    state: State<Arc<Gate>>,
    Path(sha256): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = admin(&state, &headers) {
        return *refused;
    }
    let gate = &state.0;
    let Ok(sha256) = sha256.parse::<Sha256Digest>() else {
        return refusal::answer(
            StatusCode::BAD_REQUEST,
            "weighbridge: not a sha-256: 64 hex digits expected",
        );
    };
    gate.store.count_lookup(sha256);
    let name = asked.name.unwrap_or_default();
    // The name is part of the judgement, so only questions without one share an answer.
    if name.is_empty()
        && let Some(body) = gate.verdicts.get(&sha256)
    {
        return json(body);
    }
    match gate.kept_facts(sha256).await {
        Ok(Some(facts)) => {
            let report = wb_scan::judge(&facts, &name, Some(sha256.to_hex()));
            let body = Bytes::from(summary(&report).to_string());
            if name.is_empty() {
                gate.verdicts.insert(sha256, body.clone());
            }
            json(body)
        }
        Ok(None) => refusal::answer(StatusCode::NOT_FOUND, "weighbridge: this content was never judged here"),
        Err(e) => store_failed(&e),
    }
}

fn json(body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn summary(report: &Report) -> serde_json::Value {
    let mut rules: Vec<&str> = report.findings.iter().map(|f| f.rule.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    serde_json::json!({
        "schema": 1,
        "sha256": report.sha256,
        "size": report.size,
        "verdict": report.verdict,
        "reason": report.reason,
        "coverage": report.coverage,
        "formats": report.formats,
        "rules": rules,
        "bytes_read": report.bytes_read,
        "engine": report.engine,
        "ruleset": report.ruleset,
    })
}
