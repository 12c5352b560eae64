//! The protocol of the Hugging Face Hub, as its clients speak it.

pub mod agent;
pub mod file;
pub mod meta;
pub mod refusal;
pub mod rewrite;
pub mod route;
pub mod wait;

use crate::gate::Gate;
use crate::requester::Requester;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use route::{NoRoute, Route};
use std::sync::Arc;

const NO_WRITES: &str = "weighbridge: this gate only lets models in: uploads and changes are refused, unset HF_ENDPOINT to write to the hub";
const NO_GIT: &str =
    "weighbridge: git is refused, since a pack holds files that nobody judged; use: hf download";
const NO_XET: &str = "weighbridge: xet is switched off, content comes by plain http";

/// Answers a request of a hub client.
pub async fn serve(gate: &Arc<Gate>, who: &Requester, parts: Parts, body: Body) -> Response {
    let raw = parts.uri.path();
    let raw = match raw.strip_prefix(gate.own.prefix.as_str()) {
        Some(rest) if rest.starts_with('/') => rest,
        _ => raw,
    };
    let query = parts.uri.query().unwrap_or("");
    let mut hop = wait::Hop::default();
    let mut route = route::parse(parts.method.as_str(), raw);
    let mut raw_path = raw.to_string();
    if let Ok(Route::Waiting { ticket, hop: made, rest }) = route {
        hop = wait::Hop { ticket: Some(ticket), made };
        route = match route::parse(parts.method.as_str(), &rest) {
            file @ Ok(Route::Resolve(_)) => file,
            _ => Err(NoRoute::Unknown),
        };
        raw_path = rest;
    }
    gate.metrics.request(kind(&route));
    match route {
        Ok(Route::Resolve(f)) => file::serve(gate, who, &parts.method, &parts.headers, f, hop).await,
        Ok(Route::Raw(f)) => file::raw(gate, who, &parts.method, &parts.headers, f).await,
        Ok(Route::Meta { question, repo, rev, path }) => {
            let read = axum::body::to_bytes(body, meta::MAX_BODY);
            let body = match tokio::time::timeout(meta::BODY_TIME, read).await {
                Ok(Ok(body)) => body,
                Ok(Err(_)) => {
                    let text = "weighbridge: the request body is too long";
                    return refusal::answer(StatusCode::PAYLOAD_TOO_LARGE, text);
                }
                Err(_) => {
                    let text = "weighbridge: the request body did not arrive";
                    return refusal::answer(StatusCode::REQUEST_TIMEOUT, text);
                }
            };
            let content_type = text(&parts.headers, header::CONTENT_TYPE);
            let query = query.to_string();
            let ask = meta::Ask { question, repo, rev, path, query, raw_path, body, content_type };
            meta::repository(gate, who, ask).await
        }
        Ok(Route::WhoAmI) => meta::whoami(gate, who).await,
        Ok(Route::List(kind)) => meta::list(gate, who, kind, query).await,
        Ok(Route::Write) => unread(body, refusal::answer(StatusCode::METHOD_NOT_ALLOWED, NO_WRITES)).await,
        Ok(Route::Git) => unread(body, refusal::plain(StatusCode::FORBIDDEN, NO_GIT)).await,
        Ok(Route::LfsBatch) => unread(body, lfs_refusal()).await,
        Ok(Route::Xet) => refusal::answer(StatusCode::NOT_FOUND, NO_XET),
        Ok(Route::Waiting { .. }) | Err(NoRoute::Unknown) => {
            // Escaped by the debug format: a path is whatever a client sends.
            tracing::info!(method = %parts.method, path = ?raw, from = %who.address, "unknown route");
            let text = "weighbridge: no such route at this gate";
            unread(body, refusal::answer(StatusCode::NOT_FOUND, text)).await
        }
        Err(NoRoute::Malformed) => refusal::answer(StatusCode::BAD_REQUEST, "weighbridge: malformed path"),
    }
}

fn kind(route: &Result<Route, NoRoute>) -> &'static str {
    match route {
        Ok(Route::Resolve(_)) => "resolve",
        Ok(Route::Raw(_)) => "raw",
        Ok(Route::Meta { .. } | Route::WhoAmI | Route::List(_)) => "metadata",
        Ok(Route::Write) => "write",
        Ok(Route::Git | Route::LfsBatch) => "git",
        Ok(Route::Xet) => "xet",
        Ok(Route::Waiting { .. }) | Err(_) => "unknown",
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(Into::into)
}

/// Answers a request whose body nobody wants.
///
/// A connection with bytes left unread is closed, and a client that meant to use it again sees its next request fail
/// without an answer. So a short body is read and dropped; behind a long one the answer says that the connection ends.
async fn unread(body: Body, mut response: Response) -> Response {
    let read = axum::body::to_bytes(body, meta::MAX_BODY);
    if !matches!(tokio::time::timeout(meta::BODY_TIME, read).await, Ok(Ok(_))) {
        response.headers_mut().insert(header::CONNECTION, axum::http::HeaderValue::from_static("close"));
    }
    response
}

/// git-lfs prints `message`.
fn lfs_refusal() -> Response {
    let mut response = refusal::answer(StatusCode::FORBIDDEN, NO_GIT);
    *response.body_mut() = Body::from(serde_json::json!({ "message": NO_GIT }).to_string());
    let json = axum::http::HeaderValue::from_static("application/vnd.git-lfs+json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
