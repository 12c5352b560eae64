//! The page behind the link of a refusal: one file, plain HTML, nothing loaded from anywhere.
//!
//! Its id is a capability of 128 random bits; the page shows that one file and leads nowhere else. It was made with the
//! decision and is shown as it was then.

use crate::gate::Gate;
use crate::protocols::hf::refusal;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use wb_store::{ReportId, Store};

/// Answers `/r/{id}`.
pub async fn page(State(gate): State<Arc<Gate>>, Path(id): Path<String>) -> Response {
    let missing = || refusal::plain(StatusCode::NOT_FOUND, "weighbridge: no such report");
    // Clients end the sentence that holds the link with a dot, and people copy it along.
    let Ok(id) = id.trim_end_matches('.').parse::<ReportId>() else { return missing() };
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
    let Some(page) = crate::record::page(&row) else {
        return refusal::plain(StatusCode::INTERNAL_SERVER_ERROR, "weighbridge: the report cannot be shown");
    };
    let mut response = page.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
