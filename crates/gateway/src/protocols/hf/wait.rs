//! Keeping a client alive while its file is judged.
//!
//! `huggingface_hub` gives up when no byte arrives for ten seconds, but follows twenty redirects. So a client that
//! must wait is sent along a chain of relative 307s, each held for some seconds. The state stands in the path, since
//! old clients drop the query of a redirect: `/_w/<ticket>/<hop>/org/name/resolve/<commit>/file`. A ticket opens
//! nothing: every hop is a request like any other and confirms access anew. It only ties the hops together in logs.

use super::refusal;
use crate::config::Waiting;
use crate::gate::{Error, Gate};
use crate::metrics::KindLabel;
use crate::protocols::hf::route::FileRef;
use crate::requester::Requester;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use std::time::Duration;

/// Seconds a client is asked to stay away once the hops are used up.
const RETRY_AFTER: u64 = 30;

/// Where a request stands in its waiting.
#[derive(Debug, Clone, Default)]
pub struct Hop {
    /// The ticket, if this is not the first request.
    pub ticket: Option<String>,
    /// Hops made.
    pub made: u32,
}

impl Hop {
    /// A request that is not sent along the chain.
    pub fn last(gate: &Gate) -> Self {
        Self { ticket: None, made: gate.config.waiting.hops }
    }
}

/// How long this request may be held.
pub fn hold(config: &Waiting, who: &Requester) -> Duration {
    if who.agent.follows_hops() { config.hold } else { config.hold_others }
}

/// A fresh ticket.
pub fn ticket() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::Io { what: "cannot read random bytes", source: std::io::Error::other(e) })?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// The answer to a request whose judgement is not ready: the next hop, or "come back".
///
/// `file` names the commit, not the branch: all hops speak of the same bytes.
pub fn not_ready(gate: &Gate, who: &Requester, file: &FileRef, hop: &Hop) -> Response {
    let config = &gate.config.waiting;
    let count = |kind| gate.metrics.waits.get_or_create(&KindLabel { kind }).inc();
    if who.agent.follows_hops() && hop.made < config.hops {
        let ticket = match hop.ticket.clone().map_or_else(ticket, Ok) {
            Ok(ticket) => ticket,
            Err(e) => {
                tracing::error!(error = %e, "no ticket");
                return refusal::answer(StatusCode::INTERNAL_SERVER_ERROR, "weighbridge: internal failure");
            }
        };
        count("hop");
        let to = format!("{}/_w/{ticket}/{}{}", who.prefix, hop.made + 1, file.resolve_path());
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        refusal::set(response.headers_mut(), "location", &to);
        return response;
    }
    count("retry");
    let text = format!(
        "weighbridge: {} is being judged and takes longer than this client waits; repeat the command in a minute",
        file.path
    );
    // 429 makes new clients wait and ask again by themselves; old ones would call it an error of the user.
    let status = match who.agent.honours_retry_after() {
        true => StatusCode::TOO_MANY_REQUESTS,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    refusal::retry(status, &text, RETRY_AFTER)
}
