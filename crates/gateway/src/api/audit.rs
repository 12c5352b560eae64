//! `GET decisions` and `GET reports/{id}`.

use super::{admin, store_failed};
use crate::gate::Gate;
use crate::protocols::hf::refusal;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;
use wb_store::{AuditQuery, ReportId, Sha256Digest, Store};

/// Query of the list of decisions.
#[derive(Deserialize)]
pub struct Page {
    limit: Option<u32>,
    before: Option<u64>,
    sha256: Option<String>,
}

/// The audit, newest first, with the head of its chain.
pub async fn decisions(state: State<Arc<Gate>>, Query(page): Query<Page>, headers: HeaderMap) -> Response {
    if let Err(refused) = admin(&state, &headers) {
        return *refused;
    }
    let sha256 = match page.sha256.map(|s| s.parse::<Sha256Digest>()).transpose() {
        Ok(sha256) => sha256,
        Err(e) => return refusal::answer(StatusCode::BAD_REQUEST, &format!("weighbridge: sha256: {e}")),
    };
    let limit = page.limit.unwrap_or(100).clamp(1, 1000);
    let query = AuditQuery { sha256, event: None, before: page.before, limit };
    let store = &state.0.store;
    let (rows, head) = match (store.audit(&query).await, store.head().await) {
        (Ok(rows), Ok(head)) => (rows, head),
        (Err(e), _) | (_, Err(e)) => return store_failed(&e),
    };
    let rows: Vec<_> = rows
        .iter()
        .map(|r| serde_json::json!({"seq": r.seq, "time_ms": r.time_ms, "hash": r.hash, "entry": r.entry}))
        .collect();
    let next = rows.len() as u64 == u64::from(limit);
    Json(serde_json::json!({
        "schema": 1,
        "head": {"count": head.count, "hash": head.hash},
        "more": next,
        "rows": rows,
    }))
    .into_response()
}

/// One report by the id of its link, or by the beginning of it that the audit holds.
pub async fn report(state: State<Arc<Gate>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refused) = admin(&state, &headers) {
        return *refused;
    }
    let missing = || refusal::answer(StatusCode::NOT_FOUND, "weighbridge: no such report");
    let store = &state.0.store;
    let found = match id.parse::<ReportId>() {
        Ok(id) => store.report(id).await,
        Err(_) if (ReportId::HEAD..26).contains(&id.len()) => store.report_beginning(&id).await,
        Err(_) => return missing(),
    };
    match found {
        Ok(Some(row)) => {
            let (file, decision) = crate::record::parts(&row).unwrap_or_default();
            Json(serde_json::json!({
                "schema": 1,
                "id": row.id.to_string(),
                "time_ms": row.time_ms,
                "repo": row.repo,
                "commit": row.commit,
                "path": row.path,
                "report": file,
                "decision": decision,
            }))
            .into_response()
        }
        Ok(None) => missing(),
        Err(e) => store_failed(&e),
    }
}
