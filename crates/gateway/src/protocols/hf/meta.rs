//! Metadata: passed on from the upstream, asked with the requester's own token, without Xet and foreign addresses.

use super::{refusal, rewrite};
use crate::gate::Gate;
use crate::requester::Requester;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use wb_source::{
    Answer, MetaRequest, MetaResponse, Method, RepoId, RepoKind, Route as Question, SourceError,
};

/// Longest body of a metadata request (`paths-info` of a large repository), in bytes.
pub const MAX_BODY: usize = 8 << 20;
/// Time in which it must have arrived.
pub const BODY_TIME: std::time::Duration = std::time::Duration::from_secs(30);

/// A question about a repository.
pub struct Ask {
    /// Which.
    pub question: Question,
    /// Of which repository.
    pub repo: RepoId,
    /// Revision; empty where there is none.
    pub rev: String,
    /// Folder; empty for the root.
    pub path: String,
    /// Raw query.
    pub query: String,
    /// Raw path as the client sent it, for the link to the next page.
    pub raw_path: String,
    /// Body of a POST.
    pub body: Bytes,
    /// Its type.
    pub content_type: Option<String>,
}

/// Answers a question about a repository.
pub async fn repository(gate: &Gate, who: &Requester, ask: Ask) -> Response {
    let request = MetaRequest {
        method: if ask.question == Question::PathsInfo { Method::Post } else { Method::Get },
        repo: ask.repo,
        route: ask.question,
        rev: ask.rev,
        path: ask.path,
        query: ask.query,
        body: ask.body,
        content_type: ask.content_type,
    };
    let answer = gate.access.upstream().api(&request, who.token.as_ref()).await;
    pass_on(gate, who, &request.repo.to_string(), &ask.raw_path, answer)
}

/// Answers a search.
pub async fn list(gate: &Gate, who: &Requester, kind: RepoKind, query: &str) -> Response {
    let answer = gate.access.upstream().list(kind, query, who.token.as_ref()).await;
    pass_on(gate, who, kind.plural(), &format!("/api/{}", kind.plural()), answer)
}

/// Answers `whoami`.
pub async fn whoami(gate: &Gate, who: &Requester) -> Response {
    match gate.access.upstream().whoami(who.token.as_ref()).await {
        // No repository is spoken of: the answer keeps its own code.
        Ok(answer) => build(gate, who, "/api/whoami-v2", &answer),
        Err(e) => failed(gate, "whoami", &e),
    }
}

fn failed(gate: &Gate, what: &str, error: &SourceError) -> Response {
    gate.metrics.failure("upstream");
    refusal::source_error(what, error)
}

fn pass_on(
    gate: &Gate,
    who: &Requester,
    what: &str,
    raw_path: &str,
    answer: wb_source::Result<MetaResponse>,
) -> Response {
    match answer {
        Ok(answer) if answer.is_success() => build(gate, who, raw_path, &answer),
        Ok(answer) => match answer.into_error() {
            SourceError::Answered(from) => refused(who, &from),
            other => failed(gate, what, &other),
        },
        Err(SourceError::Answered(from)) => refused(who, &from),
        Err(e) => failed(gate, what, &e),
    }
}

fn refused(who: &Requester, from: &Answer) -> Response {
    let mut response = refusal::upstream_answer(from);
    trace(who, &mut response);
    response
}

fn trace(who: &Requester, response: &mut Response) {
    if let Some(trace) = &who.trace {
        refusal::set(response.headers_mut(), "x-request-id", trace);
    }
}

fn build(gate: &Gate, who: &Requester, raw_path: &str, answer: &MetaResponse) -> Response {
    let upstream = gate.access.upstream().name();
    let Some(body) = rewrite::json(&answer.body, &who.base, upstream) else {
        gate.metrics.failure("upstream");
        return refusal::answer(
            StatusCode::BAD_GATEWAY,
            "weighbridge: the upstream's answer is not json, try again later",
        );
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let next = answer.next_query();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    for (name, value) in [
        ("x-repo-commit", &answer.commit),
        ("x-error-code", &answer.error_code),
        ("x-error-message", &answer.error_message),
        ("x-hf-warning", &answer.warning),
        ("x-total-count", &answer.total_count),
    ] {
        if let Some(value) = value {
            refusal::set(headers, name, value);
        }
    }
    if let Some(query) = next {
        refusal::set(headers, "link", &format!("<{}{raw_path}?{query}>; rel=\"next\"", who.base));
    }
    trace(who, &mut response);
    response
}
