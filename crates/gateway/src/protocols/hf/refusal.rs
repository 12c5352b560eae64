//! Answers that say no, worded so that the client's last line tells a person what happened and what to do.
//!
//! `huggingface_hub` shows `X-Error-Message` of a 403 on GET in its last line in every version, provided that no
//! `X-Error-Code` comes with it; with one the client shows its own words instead. The same text is the JSON body.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use std::fmt::Write as _;
use wb_policy::{Action, Decision};
use wb_source::{Answer, SourceError};
use wb_verdict::Report;

/// Longest text put into a header, in bytes. Proxies commonly stop at 8 KiB for all headers.
const MAX_TEXT: usize = 900;

/// `text` as one line of printable ASCII without a trailing dot (clients add one), at most [`MAX_TEXT`] bytes.
pub fn header_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => out.push(c),
            c if c.is_whitespace() || c.is_control() => out.push(' '),
            c => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
        }
        if out.len() > MAX_TEXT {
            out.truncate(MAX_TEXT - 4);
            out.push_str(" ...");
            return out;
        }
    }
    out.trim_end_matches(['.', ' ']).to_string()
}

/// Shortens a text from outside to `max` characters.
fn clip(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_string(),
    }
}

/// The cause of a decision in words, with the rule that found it.
pub fn cause(decision: &Decision, report: &Report) -> String {
    let worst = decision.effective();
    let first = decision.reasons.iter().find(|r| r.action == worst).or(decision.reasons.first());
    let Some(reason) = first else { return format!("verdict {}", report.verdict) };
    let text = clip(&reason.text, 240);
    let place = if reason.location.is_empty() {
        String::new()
    } else {
        format!(" at {}", clip(&reason.location, 120))
    };
    match &reason.rule {
        Some(rule) => format!("{text}{place} (rule {rule}, policy '{}')", decision.policy),
        None => format!("{text}{place} (clause {}, policy '{}')", reason.clause, decision.policy),
    }
}

/// The text of a refusal.
pub fn blocked_text(path: &str, decision: &Decision, report: &Report, link: &str) -> String {
    let ask = decision.contact.as_deref().map(|c| format!(", ask {c}")).unwrap_or_default();
    let link_part = format!("; report: {link}{ask}");
    let head = format!("blocked by weighbridge: {}: {}", clip(path, 160), cause(decision, report));
    // The link comes last and must survive any shortening.
    let head = header_text(&head);
    let room = MAX_TEXT.saturating_sub(link_part.len());
    header_text(&format!("{}{link_part}", head.get(..room).unwrap_or(&head)))
}

/// The message of `X-HF-Warning` for a decision that lets the file through with a remark.
pub fn warning_text(path: &str, decision: &Decision, report: &Report, link: &str) -> Option<String> {
    let would = match (decision.action, decision.would) {
        (_, Some(Action::Block)) => "would be blocked",
        (Action::Warn, _) | (_, Some(Action::Warn)) => "let through with a warning",
        _ => return None,
    };
    Some(header_text(&format!("{} {would}: {}; report: {link}", clip(path, 160), cause(decision, report))))
}

/// An error answer: status, text in the header and in JSON.
pub fn answer(status: StatusCode, text: &str) -> Response {
    let text = header_text(text);
    let body = serde_json::json!({ "error": text }).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set(headers, "x-error-message", &text);
    response
}

/// A refusal by decision.
///
/// `huggingface_hub` ends the text of a 403 with advice of its own ("make sure your token has the correct
/// permissions") and drops a JSON text equal to the header's. One that differs it puts behind its advice: so the last
/// line, where people look, is ours in every version.
pub fn blocked(text: &str) -> Response {
    let mut response = answer(StatusCode::FORBIDDEN, text);
    let body = serde_json::json!({ "error": format!("{} (not delivered)", header_text(text)) });
    *response.body_mut() = Body::from(body.to_string());
    response
}

/// As [`answer`], with `Retry-After`.
pub fn retry(status: StatusCode, text: &str, seconds: u64) -> Response {
    let mut response = answer(status, text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Plain text, for git, which prints it behind `remote:`.
pub fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = answer(status, text);
    *response.body_mut() = Body::from(format!("{}\n", header_text(text)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Sets a header, dropping values that cannot be one.
pub fn set(headers: &mut axum::http::HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// An error answer of the upstream, passed on: clients act on its status and code.
pub fn upstream_answer(from: &Answer) -> Response {
    let status = StatusCode::from_u16(from.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = answer(status, from.message.as_deref().unwrap_or("refused by the upstream"));
    let headers = response.headers_mut();
    // The Hub says 401 without a code to anonymous users who ask for what is missing or private. Clients turn that
    // into "repository not found" only for https endpoints, so the gate says it for them.
    let code = match (&from.code, from.status) {
        (Some(code), _) => Some(code.as_str()),
        (None, 401) => Some("RepoNotFound"),
        _ => None,
    };
    if let Some(code) = code {
        set(headers, "x-error-code", code);
    }
    if let Some(commit) = &from.commit {
        set(headers, "x-repo-commit", commit);
    }
    if let Some(seconds) = from.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What a client is told when the upstream, or this machine, failed.
pub fn source_error(what: &str, error: &SourceError) -> Response {
    if let SourceError::Answered(from) = error {
        return upstream_answer(from);
    }
    let status = StatusCode::from_u16(error.gateway_status()).unwrap_or(StatusCode::BAD_GATEWAY);
    match error {
        // 503 is retried by more clients than 502, and says that nothing is wrong with the request.
        SourceError::Down { timeout: false, .. } => retry(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("weighbridge: {what}: {error}, try again later"),
            30,
        ),
        SourceError::Down { .. } => answer(status, &format!("weighbridge: {what}: {error}, try again later")),
        SourceError::Changed(_) | SourceError::Protocol(_) => {
            answer(status, &format!("weighbridge: {what}: not delivered, {error}"))
        }
        SourceError::Io { .. } | SourceError::Internal(_) => {
            tracing::error!(%error, what, "internal failure");
            answer(status, &format!("weighbridge: {what}: internal failure, see the gate's log"))
        }
        _ => answer(status, &format!("weighbridge: {what}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_a_header() {
        assert_eq!(header_text("a\r\nX-Evil: 1\u{202e}é."), "a  X-Evil: 1\\u{202e}\\u{e9}");
        assert!(header_text(&"x".repeat(5000)).len() <= MAX_TEXT);
        assert!(HeaderValue::from_str(&header_text("ü\u{0}\u{7f}")).is_ok());
    }

    #[test]
    fn an_anonymous_401_gets_the_code_that_clients_expect() {
        let mut from = Answer { status: 401, code: None, message: None, commit: None, retry_after: None };
        let code = |r: &Response| r.headers().get("x-error-code").map(|v| v.to_str().unwrap().to_string());
        assert_eq!(code(&upstream_answer(&from)).as_deref(), Some("RepoNotFound"));
        from.code = Some("GatedRepo".into());
        assert_eq!(code(&upstream_answer(&from)).as_deref(), Some("GatedRepo"));
        from = Answer { status: 403, code: None, message: Some("Access is disabled.".into()), ..from };
        assert_eq!(code(&upstream_answer(&from)), None);
    }
}
