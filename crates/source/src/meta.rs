//! What is asked of a hub and what it answers.

use crate::{RepoId, Result, SourceError};
use bytes::Bytes;
use wb_blob::Sha256Digest;

/// What a hub says about one file at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMeta {
    /// 40 hex digits: the commit that the revision stood for when asked.
    pub commit: String,
    /// Path inside the repository, decoded.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// `X-Linked-ETag`, else `ETag`, without quotes and `W/`.
    pub etag: String,
    /// SHA-256 of the content, where the hub states it (an LFS object).
    pub sha256: Option<Sha256Digest>,
    /// Git blob id, 40 hex digits, where the etag is one (a small file).
    pub git_oid: Option<String>,
}

/// Whether a repository may be served to a requester.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Anyone may read it.
    Public,
    /// The upstream confirmed that this requester's token may read it.
    Granted,
}

/// HTTP methods that metadata requests use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST (paths-info).
    Post,
}

/// The API routes a gateway passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// `GET /api/{kind}/{id}`.
    Info,
    /// `GET /api/{kind}/{id}/revision/{rev}`.
    Revision,
    /// `GET /api/{kind}/{id}/tree/{rev}[/{path}]`.
    Tree,
    /// `POST /api/{kind}/{id}/paths-info/{rev}`.
    PathsInfo,
    /// `GET /api/{kind}/{id}/refs`.
    Refs,
    /// `GET /api/{kind}/{id}/commits/{rev}`.
    Commits,
    /// `GET /api/{kind}/{id}/auth-check`.
    AuthCheck,
}

impl Route {
    /// The path segment after the id; empty for [`Route::Info`].
    pub fn segment(self) -> &'static str {
        match self {
            Self::Info => "",
            Self::Revision => "revision",
            Self::Tree => "tree",
            Self::PathsInfo => "paths-info",
            Self::Refs => "refs",
            Self::Commits => "commits",
            Self::AuthCheck => "auth-check",
        }
    }

    /// True if the revision follows the segment.
    pub fn takes_rev(self) -> bool {
        matches!(self, Self::Revision | Self::Tree | Self::PathsInfo | Self::Commits)
    }
}

/// One metadata request.
#[derive(Debug, Clone)]
pub struct MetaRequest {
    /// Method; `Post` only for [`Route::PathsInfo`].
    pub method: Method,
    /// The repository.
    pub repo: RepoId,
    /// Which question.
    pub route: Route,
    /// Revision, decoded (`main`, `refs/pr/3`, a commit); ignored by routes without one.
    pub rev: String,
    /// Path, decoded, for [`Route::Tree`]; empty for the root.
    pub path: String,
    /// The raw query string without `?`, as the client sent it.
    pub query: String,
    /// Body of a POST.
    pub body: Bytes,
    /// `Content-Type` of the body.
    pub content_type: Option<String>,
}

impl MetaRequest {
    /// A GET without query.
    pub fn get(repo: RepoId, route: Route, rev: &str) -> Self {
        Self {
            method: Method::Get,
            repo,
            route,
            rev: rev.into(),
            path: String::new(),
            query: String::new(),
            body: Bytes::new(),
            content_type: None,
        }
    }
}

/// The hub's answer to a metadata request: any status, to be passed on after rewriting.
#[derive(Debug, Clone, Default)]
pub struct MetaResponse {
    /// HTTP status (never 3xx: redirects were followed).
    pub status: u16,
    /// `X-Error-Code`.
    pub error_code: Option<String>,
    /// `X-Error-Message`.
    pub error_message: Option<String>,
    /// `X-Repo-Commit`.
    pub commit: Option<String>,
    /// `Link`, as sent: it names the upstream and must be rewritten, see [`MetaResponse::next_query`].
    pub link: Option<String>,
    /// `X-HF-Warning`.
    pub warning: Option<String>,
    /// `X-Total-Count`.
    pub total_count: Option<String>,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// The body, at most [`crate::RemoteConfig::max_json`] bytes, not encoded.
    pub body: Bytes,
}

impl MetaResponse {
    /// True for 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .map_err(|e| SourceError::Protocol(format!("the answer is not JSON: {e}")))
    }

    /// The query string of the next page named by `Link: <…>; rel="next"`, whatever host it names.
    pub fn next_query(&self) -> Option<String> {
        next_link(self.link.as_deref()?)
    }

    /// The error this answer stands for.
    pub fn into_error(self) -> SourceError {
        let from_body = || self.json().ok().and_then(|v| v.get("error")?.as_str().map(str::to_owned));
        let message = self.error_message.clone().or_else(from_body);
        SourceError::Answered(Box::new(crate::Answer {
            status: self.status,
            code: self.error_code,
            message,
            commit: self.commit,
            retry_after: self.retry_after,
        }))
    }
}

/// Query of the target of the first `rel="next"` in a `Link` header (RFC 8288).
fn next_link(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, tail) = after.split_once('>')?;
        let params = tail.split('<').next().unwrap_or(tail);
        if params.split([';', ',']).any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next")) {
            return Some(target.split_once('?')?.1.to_owned());
        }
        rest = tail;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_page_is_found_among_links() {
        let link = "<https://h/a?cursor=0>; rel=\"prev\", <https://huggingface.co/api/x?recursive=true&cursor=1000>; rel=\"next\"";
        assert_eq!(next_link(link).as_deref(), Some("recursive=true&cursor=1000"));
        assert_eq!(next_link("<https://h/a?c=1>; rel=\"xet-auth\""), None);
        assert_eq!(next_link("<broken"), None);
    }
}
