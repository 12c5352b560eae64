//! HEAD and GET of files: `/{repo}/resolve/{rev}/{path}`.
//!
//! HEAD of `huggingface_hub` is metadata and answered at once, since that client shows the reason of a refusal only on
//! GET. To every other client HEAD speaks for the content: it waits for the decision, or is refused.

use super::refusal;
use super::route::FileRef;
use super::wait::{self, Hop};
use crate::access::RepoFacts;
use crate::deliver::{Delivery, deliver};
use crate::flight::Waited;
use crate::gate::Gate;
use crate::judge_flow::{Failure, Judged, Ruling, Wanted};
use crate::metrics::DecisionLabel;
use crate::record;
use crate::requester::Requester;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wb_source::FileMeta;
use wb_store::{AuditEvent, Store};

/// Above this size `huggingface_hub` refuses plain HTTP, unless it is not told the size (≥ 1.33).
const HF_HUB_MAX: u64 = 50_000_000_000;

/// Answers HEAD or GET of a file.
pub async fn serve(
    gate: &Arc<Gate>,
    who: &Requester,
    method: &Method,
    headers: &HeaderMap,
    file: FileRef,
    hop: Hop,
) -> Response {
    let metadata_only = method == Method::HEAD && who.agent.refuse_on_get_only();
    let meta = match method == Method::HEAD {
        true => gate.access.identify(who, &file, true).await,
        false => gate.access.pinned(who, &file).await,
    };
    let meta = match meta {
        Ok(meta) => meta,
        Err(e) => {
            gate.metrics.failure("upstream");
            return refusal::source_error(&file.path, &e);
        }
    };
    if metadata_only {
        return metadata(who, &file, &meta);
    }
    content(gate, who, method, headers, Wanted { file, meta }, hop).await
}

/// Answers `/raw/`: the content of a small file. For a large one the Hub answers with its pointer text, which is no
/// content of the file and has no judgement: refused.
pub async fn raw(
    gate: &Arc<Gate>,
    who: &Requester,
    method: &Method,
    headers: &HeaderMap,
    file: FileRef,
) -> Response {
    match gate.access.identify(who, &file, false).await {
        Ok(meta) if meta.sha256.is_some() => {
            let text =
                format!("weighbridge: {}: pointers of large files are not served, use /resolve/", file.path);
            refusal::answer(StatusCode::FORBIDDEN, &text)
        }
        // No hops for a route that no client library uses.
        Ok(meta) => content(gate, who, method, headers, Wanted { file, meta }, Hop::last(gate)).await,
        Err(e) => refusal::source_error(&file.path, &e),
    }
}

/// The true metadata.
fn metadata(who: &Requester, file: &FileRef, meta: &FileMeta) -> Response {
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = file_headers(who, file, meta);
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if meta.size > HF_HUB_MAX && who.agent.honours_retry_after() {
        headers.remove("x-linked-size");
        // An empty body would be announced as of length 0; one of unknown length is not.
        *response.body_mut() = Body::from_stream(futures_util::stream::empty::<std::io::Result<Bytes>>());
    } else {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(meta.size));
    }
    response
}

/// Headers that name a file, the same on HEAD and GET.
fn file_headers(who: &Requester, file: &FileRef, meta: &FileMeta) -> HeaderMap {
    let mut h = HeaderMap::new();
    let etag = format!("\"{}\"", meta.etag.replace(['"', '\\'], ""));
    refusal::set(&mut h, "etag", &etag);
    refusal::set(&mut h, "x-repo-commit", &meta.commit);
    if meta.sha256.is_some() {
        refusal::set(&mut h, "x-linked-etag", &etag);
        h.insert("x-linked-size", HeaderValue::from(meta.size));
    }
    h.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    // Content is for loaders, not for browsers.
    h.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    h.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    h.insert(header::VARY, HeaderValue::from_static("Authorization, User-Agent"));
    let name = super::route::encode_segment(file.file_name());
    let plain: String =
        file.file_name().chars().filter(|c| (' '..='~').contains(c) && !"\"\\;".contains(*c)).collect();
    let disposition = format!("inline; filename*=UTF-8''{name}; filename=\"{plain}\";");
    refusal::set(&mut h, "content-disposition", &disposition);
    if let Some(trace) = &who.trace {
        refusal::set(&mut h, "x-request-id", trace);
    }
    h
}

/// Content, after its decision.
async fn content(
    gate: &Arc<Gate>,
    who: &Requester,
    method: &Method,
    headers: &HeaderMap,
    wanted: Wanted,
    hop: Hop,
) -> Response {
    let deadline = Instant::now() + wait::hold(&gate.config.waiting, who);
    let left = || deadline.saturating_duration_since(Instant::now());
    let repo = match gate.access.repo(who, &wanted.file.repo, &wanted.meta.commit).await {
        Ok(repo) => repo,
        Err(e) => return refusal::source_error(&wanted.file.path, &e),
    };
    let mut bytes = false;
    // Twice at most: kept facts first, and the bytes only if the decision lets them through.
    loop {
        let judged = match judgement(gate, who, &wanted, bytes, &hop, left()).await {
            Ok(judged) => judged,
            Err(response) => return *response,
        };
        let ruling = match ruled(gate, who, &wanted, &judged, &repo, &hop, left()).await {
            Ok(ruling) => ruling,
            Err(response) => return *response,
        };
        let Some(allowed) = ruling.decision.allowed() else {
            return refuse(gate, who, headers, &wanted, &judged, &ruling).await;
        };
        let Some(blob) = judged.blob.clone() else {
            if bytes {
                return failed(gate, &wanted, &Failure::Lost);
            }
            bytes = true;
            continue;
        };
        count(gate, &ruling);
        let (link, report) = match record::report(who, &wanted, &judged, &ruling) {
            Ok(made) => made,
            Err(e) => return failed(gate, &wanted, &Failure::Store(e)),
        };
        let mut named = file_headers(who, &wanted.file, &wanted.meta);
        let warning = refusal::warning_text(&wanted.file.path, &ruling.decision, &ruling.report, &link);
        if let Some(text) = &warning {
            // Clients print the first warning of each topic: the topic is the content.
            let topic = judged.sha256.to_hex().chars().take(12).collect::<String>();
            refusal::set(&mut named, "x-hf-warning", &format!("weighbridge {topic}; {text}"));
        }
        let event = if warning.is_some() { AuditEvent::Warn } else { AuditEvent::Pull };
        let entry = record::entry(gate, event, who, headers, &wanted, &judged, &ruling);
        // An exception that let the file through is to be seen, even where nobody is warned.
        let keep = warning.is_some() || !ruling.decision.exceptions.is_empty();
        let delivery = Delivery {
            allowed,
            blob,
            etag: &wanted.meta.etag,
            entry,
            report: keep.then_some(report),
            headers: named,
        };
        return match deliver(gate, who, method, headers, delivery).await {
            Ok(response) => response,
            Err(e) => failed(gate, &wanted, &Failure::Store(e)),
        };
    }
}

async fn judgement(
    gate: &Arc<Gate>,
    who: &Requester,
    wanted: &Wanted,
    bytes: bool,
    hop: &Hop,
    limit: Duration,
) -> Result<Arc<Judged>, Box<Response>> {
    match gate.judged(who, wanted, bytes, hop.ticket.is_some(), limit).await {
        Waited::Done(Ok(judged)) => Ok(judged),
        Waited::Done(Err(failure)) => Err(Box::new(failed(gate, wanted, &failure))),
        Waited::Lost => Err(Box::new(failed(gate, wanted, &Failure::Lost))),
        Waited::Pending => Err(Box::new(wait::not_ready(gate, who, &pinned(wanted), hop))),
    }
}

/// The decision about a file by itself and, if that lets it through, as a part of its repository.
async fn ruled(
    gate: &Arc<Gate>,
    who: &Requester,
    wanted: &Wanted,
    judged: &Judged,
    repo: &Arc<RepoFacts>,
    hop: &Hop,
    limit: Duration,
) -> Result<Ruling, Box<Response>> {
    let rule = |beside: &[_]| gate.rule(&wanted.file, &wanted.meta.commit, judged, repo, beside);
    let alone = rule(&[]);
    if alone.decision.allowed().is_none() {
        return Ok(alone);
    }
    match gate.beside(who, wanted, judged, &alone, repo, limit).await {
        Waited::Done(beside) if beside.is_empty() => Ok(alone),
        Waited::Done(beside) => Ok(rule(&beside)),
        Waited::Lost => Err(Box::new(failed(gate, wanted, &Failure::Lost))),
        Waited::Pending => Err(Box::new(wait::not_ready(gate, who, &pinned(wanted), hop))),
    }
}

/// The file at its commit: all hops speak of the same bytes.
fn pinned(wanted: &Wanted) -> FileRef {
    FileRef { rev: wanted.meta.commit.clone(), ..wanted.file.clone() }
}

/// A refusal, in the audit before it is sent.
async fn refuse(
    gate: &Arc<Gate>,
    who: &Requester,
    headers: &HeaderMap,
    wanted: &Wanted,
    judged: &Judged,
    ruling: &Ruling,
) -> Response {
    count(gate, ruling);
    let (link, report) = match record::report(who, wanted, judged, ruling) {
        Ok(made) => made,
        Err(e) => return failed(gate, wanted, &Failure::Store(e)),
    };
    let text = refusal::blocked_text(&wanted.file.path, &ruling.decision, &ruling.report, &link);
    let entry = record::entry(gate, AuditEvent::Refuse, who, headers, wanted, judged, ruling);
    let began = Instant::now();
    if let Err(e) = gate.store.record(entry, Some(report)).await {
        return failed(gate, wanted, &Failure::Store(e));
    }
    gate.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
    tracing::info!(repo = %wanted.file.repo, path = %wanted.file.path, sha256 = %judged.sha256,
        clause = %ruling.decision.clause, "refused");
    let mut response = refusal::blocked(&text);
    if let Some(trace) = &who.trace {
        refusal::set(response.headers_mut(), "x-request-id", trace);
    }
    response
}

fn count(gate: &Gate, ruling: &Ruling) {
    let label =
        DecisionLabel { action: ruling.decision.action.name(), verdict: ruling.report.verdict.name() };
    gate.metrics.decisions.get_or_create(&label).inc();
    gate.metrics.exceptions.inc_by(ruling.decision.exceptions.len() as u64);
}

/// What a client is told when there is no judgement.
fn failed(gate: &Gate, wanted: &Wanted, failure: &Failure) -> Response {
    let path = &wanted.file.path;
    match failure {
        Failure::Source(e) => {
            gate.metrics.failure("upstream");
            refusal::source_error(path, e)
        }
        Failure::Store(e) if e.is_mismatch() => {
            gate.metrics.failure("mismatch");
            refusal::answer(
                StatusCode::BAD_GATEWAY,
                &format!(
                    "weighbridge: {path}: not delivered, the upstream sent other content than it announced: {e}"
                ),
            )
        }
        Failure::Store(e) if e.is_full() => {
            gate.metrics.failure("disk-full");
            tracing::error!(error = %e, "disk full");
            refusal::answer(
                StatusCode::INSUFFICIENT_STORAGE,
                &format!("weighbridge: {path}: not delivered, the gate's disk is full, tell its operator"),
            )
        }
        Failure::Store(e) => {
            gate.metrics.failure("store");
            tracing::error!(error = %e, "store failed");
            refusal::answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("weighbridge: {path}: not delivered, the gate's store failed, tell its operator"),
            )
        }
        Failure::TooLarge => {
            gate.metrics.failure("too-large");
            let text = format!(
                "weighbridge: {path}: not delivered, it is larger than all this gate may keep (--spool-max), tell its operator"
            );
            refusal::answer(StatusCode::INSUFFICIENT_STORAGE, &text)
        }
        Failure::Busy => {
            gate.metrics.failure("busy");
            let text = format!(
                "weighbridge: {path}: too much is waiting to be judged, repeat the command in a minute"
            );
            refusal::retry(StatusCode::SERVICE_UNAVAILABLE, &text, 60)
        }
        Failure::Lost => {
            gate.metrics.failure("lost");
            let text = format!("weighbridge: {path}: the judgement was interrupted, repeat the command");
            refusal::retry(StatusCode::SERVICE_UNAVAILABLE, &text, 5)
        }
    }
}
