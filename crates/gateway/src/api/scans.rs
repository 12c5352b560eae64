//! `POST scans`: judges an upload, or a file of the configured upstream. Never a path on this machine.

use super::{admin, store_failed};
use crate::flight::Waited;
use crate::gate::Gate;
use crate::judge_flow::{Failure, Judged, Ruling, Wanted};
use crate::protocols::hf::refusal;
use crate::protocols::hf::route::{self, FileRef, Route};
use crate::requester::Requester;
use axum::Json;
use axum::body::Body;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use wb_policy::Context;
use wb_source::{RemoteTarget, Token};
use wb_store::{AuditEntry, AuditEvent, Expected, Store, StoreError};

/// How long a request is held for a judgement.
const HOLD: Duration = Duration::from_secs(60);
/// Longest silence within an upload.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest JSON body.
const MAX_JSON: usize = 64 << 10;
/// Names the requester's token for the upstream; `Authorization` holds the admin token.
const UPSTREAM_AUTHORIZATION: &str = "x-upstream-authorization";

/// Query of an upload.
#[derive(Deserialize)]
pub struct Upload {
    name: Option<String>,
}

/// Body that names a file of the upstream.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    url: String,
}

fn bad(text: &str) -> Response {
    refusal::answer(StatusCode::BAD_REQUEST, &format!("weighbridge: {text}"))
}

/// Answers `POST scans`.
pub async fn scan(
    state: State<Arc<Gate>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Query(upload): Query<Upload>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(refused) = admin(&state, &parts.headers) {
        return *refused;
    }
    let gate = &state.0;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    if !kind.starts_with("application/json") {
        let name = upload.name.unwrap_or_default();
        return uploaded(gate, peer, name, &parts.headers, body).await;
    }
    let Ok(Ok(bytes)) = tokio::time::timeout(SILENCE, axum::body::to_bytes(body, MAX_JSON)).await else {
        return bad("the body is too long, or did not arrive");
    };
    let named: Named = match serde_json::from_slice(&bytes) {
        Ok(named) => named,
        Err(e) => return bad(&format!("the body is no scan request: {e}")),
    };
    let Some(file) = upstream_file(gate, &named.url) else {
        let text = "url names no file of the configured upstream; give hf://org/name[@rev]/path or its /resolve/ address";
        return bad(text);
    };
    let mut who = Requester::new(&parts, peer.ip(), &gate.own, gate.key.bytes());
    let token = parts.headers.get(UPSTREAM_AUTHORIZATION).and_then(|v| v.to_str().ok());
    who.token = token.and_then(Token::from_header);
    who.who = who.token.as_ref().map(|t| t.hash(gate.key.bytes())).unwrap_or_default();
    upstream(gate, &who, file).await
}

/// The file of the upstream that a URL names: `hf://…`, or an address below the upstream's or the gate's own.
fn upstream_file(gate: &Gate, url: &str) -> Option<FileRef> {
    if url.starts_with("hf://") {
        let RemoteTarget::Hub { repo, rev, path: Some(path) } = RemoteTarget::parse(url).ok()? else {
            return None;
        };
        return Some(FileRef { repo, rev, path });
    }
    let bases = [Some(gate.access.upstream().name()), gate.own.public.as_deref()];
    let path = bases.into_iter().flatten().filter(|b| b.starts_with("http")).find_map(|base| {
        let rest = url.strip_prefix(base)?;
        rest.starts_with('/').then_some(rest)
    })?;
    let path = path.split(['?', '#']).next().unwrap_or(path);
    match route::parse("GET", path) {
        Ok(Route::Resolve(file)) => Some(file),
        _ => None,
    }
}

async fn upstream(gate: &Arc<Gate>, who: &Requester, file: FileRef) -> Response {
    let failed = |e: &wb_source::SourceError| refusal::source_error(&file.path, e);
    let meta = match gate.access.identify(who, &file, false).await {
        Ok(meta) => meta,
        Err(e) => return failed(&e),
    };
    let repo = match gate.access.repo(who, &file.repo, &meta.commit).await {
        Ok(repo) => repo,
        Err(e) => return failed(&e),
    };
    let wanted = Wanted { file, meta };
    let judged = match gate.judged(who, &wanted, false, true, HOLD).await {
        Waited::Done(Ok(judged)) => judged,
        Waited::Done(Err(failure)) => return not_judged(&failure),
        Waited::Lost => return not_judged(&Failure::Lost),
        Waited::Pending => {
            return refusal::retry(StatusCode::ACCEPTED, "weighbridge: being judged, repeat the request", 30);
        }
    };
    let alone = gate.rule(&wanted.file, &wanted.meta.commit, &judged, &repo, &[]);
    let ruling = match gate.beside(who, &wanted, &judged, &alone, &repo, HOLD).await {
        Waited::Done(beside) if beside.is_empty() => alone,
        Waited::Done(beside) => gate.rule(&wanted.file, &wanted.meta.commit, &judged, &repo, &beside),
        Waited::Lost => return not_judged(&Failure::Lost),
        Waited::Pending => {
            let text = "weighbridge: the files it names are being judged, repeat the request";
            return refusal::retry(StatusCode::ACCEPTED, text, 30);
        }
    };
    let mut entry = entry(gate, who.address, &judged, &ruling);
    entry.repo = Some(wanted.file.repo.to_string());
    entry.commit = Some(wanted.meta.commit.clone());
    entry.path = Some(wanted.file.path.clone());
    answer(gate, entry, &ruling).await
}

async fn uploaded(
    gate: &Arc<Gate>,
    peer: SocketAddr,
    name: String,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let limit = gate.config.upload_max;
    let too_long = || {
        let text = format!("weighbridge: the upload is longer than {limit} bytes, use weighbridge scan");
        refusal::answer(StatusCode::PAYLOAD_TOO_LARGE, &text)
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n| n > limit) {
        return too_long();
    }
    let spooled = async {
        let mut spool =
            gate.blobs.spool_writer(Expected { size: announced, ..Expected::default() }, limit)?;
        let mut stream = body.into_data_stream();
        loop {
            let piece = match tokio::time::timeout(SILENCE, stream.next()).await {
                Ok(None) => break,
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(_))) | Err(_) => return Ok(None),
            };
            for part in piece.chunks(1 << 20) {
                spool.write(part)?;
            }
        }
        let spooled =
            tokio::task::spawn_blocking(move || spool.finish()).await.map_err(|_| StoreError::Closed)??;
        spooled.keep().await.map(Some)
    };
    let blob = match spooled.await {
        Ok(Some(blob)) => blob,
        Ok(None) => return bad("the upload broke off"),
        Err(StoreError::TooLong { .. }) => return too_long(),
        Err(e) if e.is_mismatch() => return bad("the upload is not of the announced length"),
        Err(e) => return store_failed(&e),
    };
    let sha256 = blob.sha256();
    let facts = match gate.kept_facts(sha256).await {
        Ok(Some(facts)) => facts,
        Ok(None) => {
            let Ok(_slot) = gate.slots.acquire().await else { return not_judged(&Failure::Lost) };
            match gate.scan(&blob).await {
                Ok(facts) => {
                    if let Err(e) = gate.store.put_facts(sha256, &facts).await {
                        return store_failed(&e);
                    }
                    Arc::new(facts)
                }
                Err(failure) => return not_judged(&failure),
            }
        }
        Err(e) => return store_failed(&e),
    };
    let judged = Judged { sha256, facts, blob: Some(blob) };
    let digest = sha256.to_hex();
    let report = wb_scan::judge(&judged.facts, &name, Some(digest.clone()));
    let today = crate::gate::today();
    let context =
        Context { repo: None, path: &name, sha256: Some(&digest), today, siblings: &[], beside: &[] };
    let decision = wb_policy::decide(&gate.policy.current(), &report, &context);
    let ruling = Ruling { report, decision };
    let mut entry = entry(gate, peer.ip(), &judged, &ruling);
    entry.path = Some(name);
    answer(gate, entry, &ruling).await
}

fn entry(gate: &Gate, address: std::net::IpAddr, judged: &Judged, ruling: &Ruling) -> AuditEntry {
    let mut entry = AuditEntry::new(AuditEvent::ApiScan);
    entry.who = format!("admin@{address}");
    entry.sha256 = Some(judged.sha256.to_hex());
    entry.action = Some(ruling.decision.action.name().into());
    entry.clause = Some(ruling.decision.clause.clone());
    entry.policy = Some(gate.policy.current().name().into());
    entry
}

async fn answer(gate: &Gate, entry: AuditEntry, ruling: &Ruling) -> Response {
    let path = entry.path.clone().unwrap_or_default();
    if let Err(e) = gate.store.record(entry, None).await {
        return store_failed(&e);
    }
    let file = wb_report::FileEntry {
        path: path.into_bytes(),
        report: ruling.report.clone(),
        decision: ruling.decision.clone(),
    };
    let report = wb_report::json_file(&file);
    Json(serde_json::json!({ "schema": 1, "report": report, "decision": ruling.decision })).into_response()
}

fn not_judged(failure: &Failure) -> Response {
    match failure {
        Failure::Source(e) => refusal::source_error("scan", e),
        Failure::Store(e) if e.is_mismatch() => refusal::answer(
            StatusCode::BAD_GATEWAY,
            &format!("weighbridge: the upstream sent other content: {e}"),
        ),
        Failure::TooLarge => refusal::answer(
            StatusCode::INSUFFICIENT_STORAGE,
            "weighbridge: larger than --spool-max allows to keep",
        ),
        Failure::Store(e) => store_failed(e),
        Failure::Busy | Failure::Lost => refusal::retry(
            StatusCode::SERVICE_UNAVAILABLE,
            "weighbridge: the judgement was interrupted or must wait, repeat the request",
            5,
        ),
    }
}
