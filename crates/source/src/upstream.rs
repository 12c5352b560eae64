//! [`Upstream`]: one interface over remote hubs and folders.

use crate::{
    Access, DirHub, FileMeta, MetaRequest, MetaResponse, RangedFile, RangedLimits, RemoteHub, RepoId,
    RepoKind, Result, Token,
};
use bytes::Bytes;
use futures_util::Stream;
use std::pin::Pin;

/// Bytes as they arrive. Ends with an error, never silently, if they are not all there or not the
/// announced ones as far as the sender can tell (size, etag); digests are the receiver's to check.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A hub that models are pulled from. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// Over HTTP.
    Hub(RemoteHub),
    /// A folder tree.
    Dir(DirHub),
}

impl Upstream {
    /// What `path` at `rev` is: the true metadata, following the hub's own redirects.
    ///
    /// # Errors
    /// The hub's refusal as [`crate::SourceError::Answered`] (`EntryNotFound`, `GatedRepo`, …).
    pub async fn stat(
        &self,
        repo: &RepoId,
        rev: &str,
        path: &str,
        token: Option<&Token>,
    ) -> Result<FileMeta> {
        match self {
            Self::Hub(hub) => hub.stat(repo, rev, path, token).await,
            Self::Dir(hub) => hub.stat(repo, rev, path).await,
        }
    }

    /// The bytes of a file from `offset` on, at the commit in `meta`.
    pub async fn fetch(
        &self,
        repo: &RepoId,
        meta: &FileMeta,
        token: Option<&Token>,
        offset: u64,
    ) -> Result<ByteStream> {
        match self {
            Self::Hub(hub) => hub.fetch(repo, meta, token, offset).await,
            Self::Dir(hub) => hub.fetch(repo, meta, offset).await,
        }
    }

    /// Asks the hub's API. Error statuses are `Ok`: they are to be passed on.
    pub async fn api(&self, request: &MetaRequest, token: Option<&Token>) -> Result<MetaResponse> {
        match self {
            Self::Hub(hub) => hub.api(request, token).await,
            Self::Dir(hub) => hub.api(request).await,
        }
    }

    /// `GET /api/{kind}?{query}`: search and listing.
    pub async fn list(&self, kind: RepoKind, query: &str, token: Option<&Token>) -> Result<MetaResponse> {
        match self {
            Self::Hub(hub) => hub.list(kind, query, token).await,
            Self::Dir(hub) => hub.list(kind, query).await,
        }
    }

    /// `GET /api/whoami-v2`.
    pub async fn whoami(&self, token: Option<&Token>) -> Result<MetaResponse> {
        match self {
            Self::Hub(hub) => hub.whoami(token).await,
            Self::Dir(hub) => Ok(hub.whoami()),
        }
    }

    /// Asks the upstream, now, whether this requester may read the repository. Nothing is cached here.
    ///
    /// # Errors
    /// The hub's refusal as [`crate::SourceError::Answered`].
    pub async fn check_access(&self, repo: &RepoId, token: Option<&Token>) -> Result<Access> {
        match self {
            Self::Hub(hub) => hub.check_access(repo, token).await,
            Self::Dir(hub) => hub.check_access(repo).await,
        }
    }

    /// The file for reading by ranges from blocking code.
    ///
    /// The result must be read outside the async context (a blocking thread): its reads wait on the
    /// runtime that this was called on.
    pub async fn ranged(
        &self,
        repo: &RepoId,
        meta: &FileMeta,
        token: Option<&Token>,
        limits: RangedLimits,
    ) -> Result<RangedFile> {
        match self {
            Self::Hub(hub) => hub.ranged(repo, meta, token, limits).await,
            Self::Dir(hub) => hub.ranged(repo, meta).await,
        }
    }

    /// What to call the upstream in texts and the audit: `https://huggingface.co` or `dir:PATH`.
    pub fn name(&self) -> &str {
        match self {
            Self::Hub(hub) => hub.name(),
            Self::Dir(hub) => hub.name(),
        }
    }
}
