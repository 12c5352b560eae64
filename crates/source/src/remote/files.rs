//! Files of a remote hub: metadata and bytes.

use super::client::{Arrived, Follow, Inner, Request, text, transport};
use super::{encode_path, encode_rev};
use crate::{Answer, ByteStream, FileMeta, RepoId, Result, SourceError, Token};
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::sync::Arc;
use url::Url;

/// `/{prefix}{id}/resolve/{rev}/{path}`.
pub(super) fn resolve_url(inner: &Inner, repo: &RepoId, rev: &str, path: &str) -> Result<Url> {
    inner.url(&format!("/{repo}/resolve/{}/{}", encode_rev(rev)?, encode_path(path)?))
}

pub(super) async fn stat(
    inner: &Inner,
    repo: &RepoId,
    rev: &str,
    path: &str,
    token: Option<&Token>,
) -> Result<FileMeta> {
    let url = resolve_url(inner, repo, rev, path)?;
    let arrived = inner.send(Request::new(Method::HEAD, url, token), Follow::UntilLinked).await?;
    let status = arrived.response.status();
    if status.is_client_error() || status.is_server_error() {
        return Err(refused(&arrived));
    }
    let missing = |what: &str| SourceError::Protocol(format!("no {what} in the answer for {repo}/{path}"));
    let headers = arrived.response.headers();
    let commit = text(&arrived.trail, "x-repo-commit").ok_or_else(|| missing("x-repo-commit"))?;
    if !is_hex(commit, 40) {
        return Err(SourceError::Protocol(format!("x-repo-commit is not a commit: {commit:?}")));
    }
    if is_hex(rev, 40) && rev != commit {
        return Err(SourceError::Changed(format!("asked for commit {rev}, got {commit}")));
    }
    let etag = text(&arrived.trail, "x-linked-etag").or_else(|| text(headers, "etag"));
    let etag = etag.map(plain_etag).filter(|e| !e.is_empty()).ok_or_else(|| missing("etag"))?;
    let size = text(&arrived.trail, "x-linked-size").or_else(|| {
        // The length of a redirect's own body says nothing about the file.
        status.is_success().then(|| text(headers, "content-length")).flatten()
    });
    let size = size.and_then(|s| s.parse().ok()).ok_or_else(|| missing("size"))?;
    Ok(FileMeta {
        commit: commit.to_owned(),
        path: path.to_owned(),
        size,
        sha256: etag.parse().ok(),
        git_oid: is_hex(etag, 40).then(|| etag.to_owned()),
        etag: etag.to_owned(),
    })
}

/// An etag without `W/` and quotes.
pub(crate) fn plain_etag(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The error an answer to a file request stands for.
pub(crate) fn refused(arrived: &Arrived) -> SourceError {
    let headers = arrived.response.headers();
    let owned = |name: &str| text(headers, name).map(str::to_owned);
    let status = arrived.response.status().as_u16();
    if !arrived.on_origin {
        // A storage host's refusal is no statement of the hub about the requester.
        let host = arrived.url.host_str().unwrap_or_default();
        return match status {
            500.. | 408 | 429 => SourceError::Down {
                host: host.into(),
                detail: format!("answered with status {status}"),
                timeout: false,
            },
            _ => SourceError::Protocol(format!("storage host {host} answered {status}")),
        };
    }
    SourceError::Answered(Box::new(Answer {
        status,
        code: owned("x-error-code"),
        message: owned("x-error-message"),
        commit: owned("x-repo-commit"),
        retry_after: owned("retry-after").and_then(|t| t.parse().ok()),
    }))
}

pub(super) async fn fetch(
    inner: &Arc<Inner>,
    repo: &RepoId,
    meta: &FileMeta,
    token: Option<&Token>,
    offset: u64,
) -> Result<ByteStream> {
    let left = meta
        .size
        .checked_sub(offset)
        .ok_or_else(|| SourceError::Request(format!("offset {offset} is past the end of {}", meta.path)))?;
    if left == 0 && offset > 0 {
        return Ok(Box::pin(futures_util::stream::empty()));
    }
    let mut request = Request::new(Method::GET, resolve_url(inner, repo, &meta.commit, &meta.path)?, token);
    if offset > 0 {
        request = request.range(offset, None);
    }
    let arrived = inner.send(request, Follow::All).await?;
    let status = arrived.response.status();
    if !status.is_success() {
        return Err(refused(&arrived));
    }
    check_identity(&arrived, meta)?;
    let skip = match status.as_u16() {
        206 => {
            check_content_range(arrived.response.headers(), offset, meta.size)?;
            0
        }
        // A server that ignores ranges begins at the beginning.
        _ => offset,
    };
    check_length(arrived.response.headers(), left.saturating_add(skip))?;
    Ok(body_stream(arrived, skip, left))
}

/// The answer must still be about the file that the metadata was about.
fn check_identity(arrived: &Arrived, meta: &FileMeta) -> Result<()> {
    let headers = arrived.response.headers();
    if text(headers, "content-encoding").is_some_and(|e| e != "identity") {
        return Err(SourceError::Protocol(format!(
            "{} came encoded though identity was asked for",
            meta.path
        )));
    }
    let differs = |what: &str, was: &str, is: &str| {
        Err(SourceError::Changed(format!("{what} of {} was {was}, is {is}", meta.path)))
    };
    if let Some(commit) = text(&arrived.trail, "x-repo-commit").filter(|c| *c != meta.commit) {
        return differs("commit", &meta.commit, commit);
    }
    let own = arrived.on_origin.then(|| text(headers, "etag")).flatten();
    let etag = text(&arrived.trail, "x-linked-etag").or(own).map(plain_etag);
    match etag {
        Some(etag) if etag != meta.etag => differs("etag", &meta.etag, etag),
        _ => Ok(()),
    }
}

/// `Content-Range: bytes first-last/total` of a 206; returns the last offset.
pub(crate) fn check_content_range(headers: &HeaderMap, first: u64, total: u64) -> Result<u64> {
    let value = text(headers, "content-range");
    let parsed = value.and_then(parse_content_range);
    match parsed {
        Some((f, last, t)) if f == first && t == total && f <= last && last < t => Ok(last),
        Some((_, _, t)) if t != total => Err(SourceError::Changed(format!("size was {total} bytes, is {t}"))),
        _ => Err(SourceError::Protocol(format!(
            "asked for bytes from {first} of {total}, got content-range {:?}",
            value.unwrap_or("none")
        ))),
    }
}

/// First, last, total.
pub(crate) fn parse_content_range(value: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?, total.trim().parse().ok()?))
}

fn check_length(headers: &HeaderMap, expected: u64) -> Result<()> {
    match text(headers, "content-length").and_then(|l| l.parse::<u64>().ok()) {
        Some(length) if length != expected => {
            Err(SourceError::Changed(format!("announced {expected} bytes, sends {length}")))
        }
        _ => Ok(()),
    }
}

/// Exactly `left` bytes after the first `skip`, or an error.
fn body_stream(arrived: Arrived, skip: u64, left: u64) -> ByteStream {
    let state = (arrived, skip, left);
    Box::pin(futures_util::stream::try_unfold(state, |(mut arrived, mut skip, left)| async move {
        loop {
            let chunk = arrived.response.chunk().await.map_err(|e| transport(&arrived.url, &e))?;
            let Some(mut chunk) = chunk else {
                if skip == 0 && left == 0 {
                    return Ok(None);
                }
                let host = arrived.url.host_str().unwrap_or_default().to_owned();
                let detail = format!("ended the connection {} bytes early", left.saturating_add(skip));
                return Err(SourceError::Down { host, detail, timeout: false });
            };
            let drop = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            let _: Bytes = chunk.split_to(drop);
            skip -= drop as u64;
            if chunk.is_empty() {
                continue;
            }
            let Some(rest) = left.checked_sub(chunk.len() as u64) else {
                return Err(SourceError::Changed("more bytes than announced".into()));
            };
            return Ok(Some((chunk, (arrived, skip, rest))));
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(parse_content_range("bytes 0-9/10"), Some((0, 9, 10)));
        for bad in ["bytes */10", "0-9/10", "bytes 0-9/*", "bytes 9/10", ""] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn etags_lose_their_dress() {
        assert_eq!(plain_etag("W/\"abc\""), "abc");
        assert_eq!(plain_etag("\"abc\""), "abc");
        assert_eq!(plain_etag("abc"), "abc");
    }
}
