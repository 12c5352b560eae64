//! [`DirHub`]: a folder tree served as a hub, for air-gapped use and tests.

use crate::*;
use bytes::Bytes;
use std::path::Path;

/// `PATH/{models,datasets,spaces}/<ns>/<name>/…` served as a hub. Cheap to clone.
///
/// Everything in it is public; who may use the gate is the gate's matter.
#[derive(Debug, Clone)]
pub struct DirHub {
    name: String,
}

impl DirHub {
    /// Opens the folder.
    ///
    /// # Errors
    /// If it is not a readable directory.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self { name: format!("dir:{}", root.display()) })
    }

    /// `dir:PATH`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// See [`Upstream::stat`].
    pub async fn stat(&self, repo: &RepoId, rev: &str, path: &str) -> Result<FileMeta> {
        let _ = (repo, rev, path);
        Err(SourceError::Internal("not built yet".into()))
    }

    /// See [`Upstream::fetch`].
    pub async fn fetch(&self, repo: &RepoId, meta: &FileMeta, offset: u64) -> Result<ByteStream> {
        let _ = (repo, meta, offset);
        Err(SourceError::Internal("not built yet".into()))
    }

    /// See [`Upstream::api`].
    pub async fn api(&self, request: &MetaRequest) -> Result<MetaResponse> {
        let _ = request;
        Err(SourceError::Internal("not built yet".into()))
    }

    /// See [`Upstream::list`].
    pub async fn list(&self, kind: RepoKind, query: &str) -> Result<MetaResponse> {
        let _ = (kind, query);
        Err(SourceError::Internal("not built yet".into()))
    }

    /// See [`Upstream::whoami`].
    pub fn whoami(&self) -> MetaResponse {
        MetaResponse { status: 401, body: Bytes::new(), ..MetaResponse::default() }
    }

    /// See [`Upstream::check_access`].
    pub async fn check_access(&self, repo: &RepoId) -> Result<Access> {
        let _ = repo;
        Err(SourceError::Internal("not built yet".into()))
    }

    /// See [`Upstream::ranged`].
    pub async fn ranged(&self, repo: &RepoId, meta: &FileMeta) -> Result<RangedFile> {
        let _ = (repo, meta);
        Err(SourceError::Internal("not built yet".into()))
    }
}
