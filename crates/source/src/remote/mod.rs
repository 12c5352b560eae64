//! [`RemoteHub`]: a hub over HTTP.

mod access;
pub(crate) mod client;
mod files;
/// What reading by ranges shares with fetching whole files.
pub(crate) mod range {
    pub(crate) use super::files::{check_content_range, parse_content_range, plain_etag, refused};
}

use crate::{
    Access, ByteStream, EgressPolicy, FileMeta, HostRule, MetaRequest, MetaResponse, Method, RangedFile,
    RangedLimits, RepoId, RepoKind, Result, SourceError, Token,
};
use client::{Follow, Inner, Request, text};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How to talk to a remote hub.
#[derive(Debug, Clone)]
pub struct RemoteConfig {
    /// The upstream, e.g. `https://huggingface.co`; a path prefix is allowed.
    pub endpoint: Url,
    /// Hosts to which redirects may lead besides the defaults (`--upstream-host`).
    pub hosts: Vec<HostRule>,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Longest silence while waiting for headers or the next bytes.
    pub read_timeout: Duration,
    /// Longest answer taken from the API, in bytes.
    pub max_json: u64,
    /// Longest `Retry-After` waited for, once, before a 429 is passed on.
    pub max_retry_after: Duration,
}

impl RemoteConfig {
    /// Defaults: connect 10 s, silence 60 s, 64 MiB of JSON, 5 s of politeness.
    pub fn new(endpoint: Url) -> Self {
        Self {
            endpoint,
            hosts: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(60),
            max_json: 64 << 20,
            max_retry_after: Duration::from_secs(5),
        }
    }
}

/// A hub over HTTP. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct RemoteHub {
    inner: Arc<Inner>,
}

/// Everything but unreserved characters (RFC 3986) is encoded in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In a path the slashes stay.
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// Encodes a revision as the one segment that the protocol wants.
fn encode_rev(rev: &str) -> Result<String> {
    if rev.is_empty() || matches!(rev, "." | "..") {
        return Err(SourceError::Request(format!("not a revision: {rev:?}")));
    }
    Ok(utf8_percent_encode(rev, SEGMENT).to_string())
}

/// Encodes a path inside a repository, refusing segments that a URL parser would fold away.
fn encode_path(path: &str) -> Result<String> {
    if path.split('/').any(|s| matches!(s, "" | "." | "..")) {
        return Err(SourceError::Request(format!("not a path inside a repository: {path:?}")));
    }
    Ok(utf8_percent_encode(path, PATH).to_string())
}

impl RemoteHub {
    /// Prepares a client. Nothing is sent yet.
    ///
    /// # Errors
    /// If the endpoint is neither http nor https, or TLS cannot be set up.
    pub fn new(config: RemoteConfig) -> Result<Self> {
        let policy = EgressPolicy::for_upstream(&config.endpoint, &config.hosts);
        Self::with_policy(config, policy)
    }

    /// As [`RemoteHub::new`], with an egress policy of one's own instead of `config.hosts`.
    pub fn with_policy(config: RemoteConfig, policy: EgressPolicy) -> Result<Self> {
        Ok(Self { inner: Arc::new(Inner::new(config, policy)?) })
    }

    /// The endpoint without a trailing slash.
    pub fn name(&self) -> &str {
        &self.inner.base
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// See [`crate::Upstream::stat`].
    pub async fn stat(
        &self,
        repo: &RepoId,
        rev: &str,
        path: &str,
        token: Option<&Token>,
    ) -> Result<FileMeta> {
        files::stat(&self.inner, repo, rev, path, token).await
    }

    /// See [`crate::Upstream::fetch`].
    pub async fn fetch(
        &self,
        repo: &RepoId,
        meta: &FileMeta,
        token: Option<&Token>,
        offset: u64,
    ) -> Result<ByteStream> {
        files::fetch(&self.inner, repo, meta, token, offset).await
    }

    /// See [`crate::Upstream::api`].
    pub async fn api(&self, request: &MetaRequest, token: Option<&Token>) -> Result<MetaResponse> {
        let mut path = format!("/api/{}/{}", request.repo.kind().plural(), request.repo.id());
        if !request.route.segment().is_empty() {
            path = format!("{path}/{}", request.route.segment());
        }
        if request.route.takes_rev() {
            path = format!("{path}/{}", encode_rev(&request.rev)?);
            if !request.path.is_empty() {
                path = format!("{path}/{}", encode_path(&request.path)?);
            }
        }
        let method = match request.method {
            Method::Get => http::Method::GET,
            Method::Head => http::Method::HEAD,
            Method::Post => http::Method::POST,
        };
        let mut out = Request::new(method, self.with_query(&path, &request.query)?, token);
        out.body = request.body.clone();
        if let Some(value) = request.content_type.as_deref().and_then(|t| http::HeaderValue::from_str(t).ok())
        {
            out.headers.insert(http::header::CONTENT_TYPE, value);
        }
        self.ask(out).await
    }

    /// See [`crate::Upstream::list`].
    pub async fn list(&self, kind: RepoKind, query: &str, token: Option<&Token>) -> Result<MetaResponse> {
        let url = self.with_query(&format!("/api/{}", kind.plural()), query)?;
        self.ask(Request::new(http::Method::GET, url, token)).await
    }

    /// See [`crate::Upstream::whoami`].
    pub async fn whoami(&self, token: Option<&Token>) -> Result<MetaResponse> {
        self.ask(Request::new(http::Method::GET, self.inner.url("/api/whoami-v2")?, token)).await
    }

    /// See [`crate::Upstream::check_access`].
    pub async fn check_access(&self, repo: &RepoId, token: Option<&Token>) -> Result<Access> {
        access::check(self, repo, token).await
    }

    /// See [`crate::Upstream::ranged`].
    pub async fn ranged(
        &self,
        repo: &RepoId,
        meta: &FileMeta,
        token: Option<&Token>,
        limits: RangedLimits,
    ) -> Result<RangedFile> {
        let url = files::resolve_url(&self.inner, repo, &meta.commit, &meta.path)?;
        Ok(RangedFile::over_http(self.inner.clone(), url, token.cloned(), meta.size, limits))
    }

    fn with_query(&self, path: &str, query: &str) -> Result<Url> {
        let mut url = self.inner.url(path)?;
        url.set_query((!query.is_empty()).then_some(query));
        Ok(url)
    }

    /// Sends an API request and reads the answer, whatever its status.
    async fn ask(&self, request: Request) -> Result<MetaResponse> {
        let arrived = self.inner.send(request, Follow::All).await?;
        let headers = arrived.response.headers().clone();
        let owned = |name: &str| text(&headers, name).map(str::to_owned);
        let status = arrived.response.status().as_u16();
        if text(&headers, "content-encoding").is_some_and(|e| e != "identity") {
            return Err(SourceError::Protocol("an encoded answer though identity was asked for".into()));
        }
        Ok(MetaResponse {
            status,
            error_code: owned("x-error-code"),
            error_message: owned("x-error-message"),
            commit: owned("x-repo-commit"),
            link: owned("link"),
            warning: owned("x-hf-warning"),
            total_count: owned("x-total-count"),
            retry_after: owned("retry-after").and_then(|t| t.parse().ok()),
            content_type: owned("content-type"),
            body: self.inner.bounded_body(arrived.response, &arrived.url).await?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_one_segment_and_paths_keep_slashes() {
        assert_eq!(encode_rev("refs/pr/3").unwrap(), "refs%2Fpr%2F3");
        assert_eq!(encode_path("a b/ü?#%.txt").unwrap(), "a%20b/%C3%BC%3F%23%25.txt");
        for bad in ["", "/a", "a//b", "a/../b", ".", "a/"] {
            assert!(encode_path(bad).is_err(), "{bad}");
        }
        assert!(encode_rev("..").is_err());
    }
}
