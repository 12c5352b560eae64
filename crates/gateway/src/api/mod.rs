//! `/api/v1`: scans, reports, decisions and verdicts for programs. Everything but the OpenAPI document needs the
//! admin token, and nothing here hands out content.

mod audit;
mod scans;
mod verdicts;

use crate::gate::Gate;
use crate::protocols::hf::refusal;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;

/// What a request without the token is told.
pub const NEEDS_TOKEN: &str =
    "weighbridge: the admin token is needed (Authorization: Bearer, see DATA/admin-token)";

const OPENAPI: &str = include_str!("openapi.json");

/// The routes below `/api/v1`.
pub fn router() -> Router<Arc<Gate>> {
    Router::new()
        .route("/openapi.json", get(openapi))
        .route("/scans", post(scans::scan))
        .route("/reports/{id}", get(audit::report))
        .route("/decisions", get(audit::decisions))
        .route("/verdicts/{sha256}", get(verdicts::verdict))
        .fallback(unknown)
        .layer(from_fn(no_store))
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn unknown() -> Response {
    refusal::answer(StatusCode::NOT_FOUND, "weighbridge: no such route, see /api/v1/openapi.json")
}

async fn no_store(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// True if the request carries the admin token. Compared in constant time.
pub fn is_admin(gate: &Gate, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let Some(given) = given.and_then(|v| v.strip_prefix("Bearer ")) else { return false };
    let (given, wanted) = (given.trim().as_bytes(), gate.admin_token.as_bytes());
    given.len() == wanted.len() && given.iter().zip(wanted).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
}

/// Refuses a request without the admin token.
fn admin(State(gate): &State<Arc<Gate>>, headers: &HeaderMap) -> Result<(), Box<Response>> {
    match is_admin(gate, headers) {
        true => Ok(()),
        false => Err(Box::new(refusal::answer(StatusCode::UNAUTHORIZED, NEEDS_TOKEN))),
    }
}

/// A failure of the store, as an answer.
fn store_failed(error: &wb_store::StoreError) -> Response {
    if error.is_full() {
        return refusal::answer(
            StatusCode::INSUFFICIENT_STORAGE,
            "weighbridge: the gate's disk is full, free space",
        );
    }
    tracing::error!(%error, "store failed");
    refusal::answer(StatusCode::INTERNAL_SERVER_ERROR, "weighbridge: the gate's store failed, see its log")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_is_json_and_names_every_route() {
        let doc: serde_json::Value = serde_json::from_str(super::OPENAPI).unwrap();
        let paths: Vec<_> = doc["paths"].as_object().unwrap().keys().cloned().collect();
        for route in ["/openapi.json", "/scans", "/reports/{id}", "/decisions", "/verdicts/{sha256}"] {
            assert!(paths.iter().any(|p| p == route), "{route}");
        }
        assert_eq!(paths.len(), 5);
    }
}
