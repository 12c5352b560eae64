//! The one function that releases content.
//!
//! It needs an [`AllowedBlob`], which only a decision can make, and an open blob of that very digest from the verified
//! store. The release is in the audit before its first byte.

use crate::gate::Gate;
use crate::protocols::hf::refusal;
use crate::range::{self, Part};
use crate::requester::Requester;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;
use wb_policy::AllowedBlob;
use wb_store::{AuditEntry, AuditEvent, BlobGuard, ReportRow, Store, StoreError};

/// Bytes read from disk at once, on a blocking thread that is held only for that long: slow clients hold memory for
/// one piece and no thread.
const PIECE: usize = 512 << 10;

/// What is to be sent.
pub struct Delivery<'a> {
    /// The permission.
    pub allowed: &'a AllowedBlob,
    /// The bytes.
    pub blob: BlobGuard,
    /// Etag without quotes, as the client saw it by HEAD.
    pub etag: &'a str,
    /// The audit row for this release; its `bytes` are filled in.
    pub entry: AuditEntry,
    /// The report it refers to, if it carries a warning.
    pub report: Option<ReportRow>,
    /// Headers that name the file.
    pub headers: HeaderMap,
}

/// Releases content, or the part of it asked for, to a GET or HEAD.
///
/// # Errors
/// If the audit cannot be written, or the blob is not the one that was allowed: then nothing is sent.
pub async fn deliver(
    gate: &Arc<Gate>,
    who: &Requester,
    method: &Method,
    asked: &HeaderMap,
    delivery: Delivery<'_>,
) -> Result<Response, StoreError> {
    let Delivery { allowed, blob, etag, mut entry, report, headers } = delivery;
    if blob.sha256().to_hex() != allowed.sha256() {
        return Err(StoreError::NoBlob(blob.sha256()));
    }
    let size = blob.len();
    let text = |name: header::HeaderName| asked.get(name).and_then(|v| v.to_str().ok());
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = headers;
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if range::none_match(text(header::IF_NONE_MATCH), etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let asked_range = text(header::RANGE).filter(|_| range::if_range(text(header::IF_RANGE), etag));
    let (start, end) = match range::part(asked_range, size) {
        Part::Whole => (0, size),
        Part::Bytes { start, end } => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let value = format!("bytes {start}-{}/{size}", end.saturating_sub(1));
            refusal::set(response.headers_mut(), "content-range", &value);
            (start, end)
        }
        Part::Unsatisfiable => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            refusal::set(response.headers_mut(), "content-range", &format!("bytes */{size}"));
            return Ok(response);
        }
    };
    let length = end - start;
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if method == Method::HEAD {
        return Ok(response);
    }
    // Opened and, if small, read before the audit says that it was released.
    let content = open(&blob, start, length)?;
    entry.bytes = Some(length);
    let aborted = AuditEntry { event: AuditEvent::Abort, report: None, ..entry.clone() };
    let began = Instant::now();
    gate.store.record(entry, report).await?;
    gate.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
    tracing::info!(who = ?who.address, bytes = length, sha256 = %blob.sha256(), "released");
    let sent = Sent { gate: gate.clone(), aborted: Some(aborted), bytes: 0, length };
    *response.body_mut() = body(content, blob, start, sent);
    Ok(response)
}

/// Counts what has been handed to the connection; says so in the audit if that was not everything.
struct Sent {
    gate: Arc<Gate>,
    aborted: Option<AuditEntry>,
    bytes: u64,
    length: u64,
}

impl Sent {
    fn add(&mut self, n: usize) {
        self.bytes += n as u64;
        self.gate.metrics.delivered.inc_by(n as u64);
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        let Some(mut entry) = self.aborted.take().filter(|_| self.bytes < self.length) else { return };
        entry.bytes = Some(self.bytes);
        entry.detail = Some(format!("the connection ended after {} of {} bytes", self.bytes, self.length));
        let gate = self.gate.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = gate.store.record(entry, None).await {
                    tracing::error!(%error, "an aborted delivery is missing in the audit");
                }
            });
        }
    }
}

/// Content about to be sent.
enum Open {
    Small(Bytes),
    Large(Arc<File>),
}

fn open(blob: &BlobGuard, start: u64, length: u64) -> Result<Open, StoreError> {
    let file = blob.file()?;
    if length > PIECE as u64 {
        return Ok(Open::Large(Arc::new(file)));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(PIECE)];
    file.read_exact_at(&mut bytes, start).map_err(|source| StoreError::Io {
        what: "read blob",
        path: blob.sha256().to_hex().into(),
        source,
    })?;
    Ok(Open::Small(bytes.into()))
}

fn body(content: Open, guard: BlobGuard, start: u64, mut sent: Sent) -> Body {
    let file = match content {
        Open::Small(bytes) => {
            sent.add(bytes.len());
            return Body::from(bytes);
        }
        Open::Large(file) => file,
    };
    let end = start + sent.length;
    let stream = futures_util::stream::try_unfold((start, sent, guard), move |(at, mut sent, guard)| {
        let file = file.clone();
        async move {
            if at >= end {
                return Ok::<_, std::io::Error>(None);
            }
            let length = PIECE.min(usize::try_from(end - at).unwrap_or(PIECE));
            let read = move || {
                let mut piece = vec![0; length];
                file.read_exact_at(&mut piece, at).map(|()| Bytes::from(piece))
            };
            let piece = tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)??;
            sent.add(piece.len());
            Ok(Some((piece, (at + length as u64, sent, guard))))
        }
    });
    Body::from_stream(stream)
}
