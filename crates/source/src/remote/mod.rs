//! [`RemoteHub`]: a hub over HTTP.

mod client;

use crate::*;
use bytes::Bytes;
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
    inner: Arc<client::Inner>,
}

impl RemoteHub {
    /// Prepares a client. Nothing is sent yet.
    ///
    /// # Errors
    /// If the endpoint is neither http nor https, or TLS cannot be set up.
    pub fn new(config: RemoteConfig) -> Result<Self> {
        let _ = config;
        Err(SourceError::Internal("not built yet".into()))
    }

    /// The endpoint without a trailing slash.
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// See [`Upstream::stat`].
    pub async fn stat(
        &self,
        repo: &RepoId,
        rev: &str,
        path: &str,
        token: Option<&Token>,
    ) -> Result<FileMeta> {
        let _ = (repo, rev, path, token);
        Err(SourceError::Internal("not built yet".into()))
    }

    /// See [`Upstream::fetch`].
    pub async fn fetch(
        &self,
        repo: &RepoId,
        meta: &FileMeta,
        token: Option<&Token>,
        offset: u64,
    ) -> Result<ByteStream> {
        let _ = (repo, meta, token, offset);
        Err(SourceError::Internal("not built yet".into()))
    }

    /// See [`Upstream::api`].
    pub async fn api(&self, request: &MetaRequest, token: Option<&Token>) -> Result<MetaResponse> {
        let _ = (request, token);
        Err(SourceError::Internal("not built yet".into()))
    }

    /// See [`Upstream::list`].
    pub async fn list(&self, kind: RepoKind, query: &str, token: Option<&Token>) -> Result<MetaResponse> {
        let _ = (kind, query, token);
        Err(SourceError::Internal("not built yet".into()))
    }

    /// See [`Upstream::whoami`].
    pub async fn whoami(&self, token: Option<&Token>) -> Result<MetaResponse> {
        let _ = token;
        Err(SourceError::Internal("not built yet".into()))
    }

    /// See [`Upstream::check_access`].
    pub async fn check_access(&self, repo: &RepoId, token: Option<&Token>) -> Result<Access> {
        let _ = (repo, token);
        Err(SourceError::Internal("not built yet".into()))
    }

    /// See [`Upstream::ranged`].
    pub async fn ranged(
        &self,
        repo: &RepoId,
        meta: &FileMeta,
        token: Option<&Token>,
        limits: RangedLimits,
    ) -> Result<RangedFile> {
        let _ = (repo, meta, token, limits);
        Err(SourceError::Internal("not built yet".into()))
    }
}
