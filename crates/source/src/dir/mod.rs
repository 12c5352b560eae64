//! [`DirHub`]: a folder tree served as a hub, for air-gapped use and tests.

mod answers;
mod kept;
mod scan;

use crate::{
    Access, ByteStream, FileMeta, MetaRequest, MetaResponse, RangedFile, RepoId, RepoKind, Result,
    SourceError,
};
use bytes::BytesMut;
use scan::{Entry, Root, Snapshot};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// Bytes read at once while streaming.
const CHUNK: usize = 256 << 10;

/// `PATH/{models,datasets,spaces}/<ns>/<name>/…` served as a hub. Cheap to clone.
///
/// Everything in it is public; who may use the gate is the gate's matter. A revision is `main` or the
/// current commit, a hash of the tree's content. `.hub.json`, `.git` and `.cache` are not served, nor
/// is anything that a symbolic link places outside `PATH`.
#[derive(Debug, Clone)]
pub struct DirHub {
    inner: Arc<Inner>,
}

/// The last known state of a repository.
type Slot = tokio::sync::Mutex<Option<Arc<Snapshot>>>;

#[derive(Debug)]
struct Inner {
    name: String,
    root: Root,
    /// One lock per repository, so that a new file is hashed by one request only.
    repos: Mutex<HashMap<RepoId, Arc<Slot>>>,
    /// Where digests outlive the process.
    kept: Option<PathBuf>,
}

impl DirHub {
    /// Opens the folder.
    ///
    /// `kept` is a private folder for the digests, so that only changed files are hashed after a restart.
    ///
    /// # Errors
    /// If it is not a readable directory.
    pub fn open(root: &Path, kept: Option<PathBuf>) -> Result<Self> {
        let name = format!("dir:{}", root.display());
        let root = Root::open(root)?;
        Ok(Self { inner: Arc::new(Inner { name, root, repos: Mutex::default(), kept }) })
    }

    /// `dir:PATH`.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Hashes everything now, so that no first request waits for it. Returns the number of repositories.
    pub async fn warm(&self) -> Result<usize> {
        let mut count = 0;
        for kind in RepoKind::ALL {
            for repo in self.repos(kind).await? {
                self.snapshot(&repo).await?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// See [`crate::Upstream::stat`].
    pub async fn stat(&self, repo: &RepoId, rev: &str, path: &str) -> Result<FileMeta> {
        let (snapshot, entry) = self.entry(repo, rev, path).await?;
        Ok(FileMeta {
            commit: snapshot.commit.clone(),
            path: path.to_owned(),
            size: entry.size,
            etag: entry.etag(),
            sha256: entry.lfs.then_some(entry.sha256),
            git_oid: (!entry.lfs).then(|| entry.oid.clone()),
        })
    }

    /// See [`crate::Upstream::fetch`].
    pub async fn fetch(&self, repo: &RepoId, meta: &FileMeta, offset: u64) -> Result<ByteStream> {
        let (file, entry) = self.open_file(repo, meta).await?;
        let left = entry.size.checked_sub(offset).ok_or_else(|| {
            SourceError::Request(format!("offset {offset} is past the end of {}", meta.path))
        })?;
        let mut file = tokio::fs::File::from_std(file);
        let failed = |e: io::Error| SourceError::io("read the upstream folder", e);
        file.seek(io::SeekFrom::Start(offset)).await.map_err(failed)?;
        let state = (file, entry, left);
        Ok(Box::pin(futures_util::stream::try_unfold(state, |(mut file, entry, left)| async move {
            let changed = || SourceError::Changed(format!("{} changed while it was read", entry.path));
            if left == 0 {
                let now = file.metadata().await.map_err(|e| SourceError::io("stat", e))?;
                return if entry.stamp.fits(&now) { Ok(None) } else { Err(changed()) };
            }
            let want = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let mut chunk = BytesMut::with_capacity(want);
            let n = (&mut file).take(want as u64).read_buf(&mut chunk).await;
            match n.map_err(|e| SourceError::io("read the upstream folder", e))? {
                0 => Err(changed()),
                n => Ok(Some((chunk.freeze(), (file, entry, left - n as u64)))),
            }
        })))
    }

    /// See [`crate::Upstream::api`].
    pub async fn api(&self, request: &MetaRequest) -> Result<MetaResponse> {
        let snapshot =
            match self.at(&request.repo, if request.route.takes_rev() { &request.rev } else { "main" }).await
            {
                Ok(snapshot) => snapshot,
                Err(SourceError::Answered(answer)) => return Ok(answers::error(&answer)),
                Err(other) => return Err(other),
            };
        answers::api(request, &snapshot)
    }

    /// See [`crate::Upstream::list`]. Knows `search`, `author` and `limit`.
    pub async fn list(&self, kind: RepoKind, query: &str) -> Result<MetaResponse> {
        let filter = answers::Filter::parse(query);
        let mut out = Vec::new();
        for repo in self.repos(kind).await? {
            if out.len() >= filter.limit {
                break;
            }
            if filter.admits(&repo) {
                out.push(answers::listed(&repo, &*self.snapshot(&repo).await?));
            }
        }
        Ok(answers::ok(&serde_json::Value::Array(out)))
    }

    /// See [`crate::Upstream::whoami`]: a folder knows nobody.
    pub fn whoami(&self) -> MetaResponse {
        answers::error(&crate::Answer {
            status: 401,
            code: None,
            message: Some("Invalid username or password.".into()),
            commit: None,
            retry_after: None,
        })
    }

    /// See [`crate::Upstream::check_access`].
    pub async fn check_access(&self, repo: &RepoId) -> Result<Access> {
        let (inner, id) = (self.inner.clone(), repo.clone());
        match blocking(move || Ok(inner.root.has(&id))).await? {
            true => Ok(Access::Public),
            false => Err(not_found(repo)),
        }
    }

    /// See [`crate::Upstream::ranged`].
    pub async fn ranged(&self, repo: &RepoId, meta: &FileMeta) -> Result<RangedFile> {
        let (file, entry) = self.open_file(repo, meta).await?;
        Ok(RangedFile::local(file, entry.size))
    }

    async fn repos(&self, kind: RepoKind) -> Result<Vec<RepoId>> {
        let inner = self.inner.clone();
        blocking(move || inner.root.repos(kind)).await
    }

    /// The repository as it is now. Only changed files are hashed again.
    async fn snapshot(&self, repo: &RepoId) -> Result<Arc<Snapshot>> {
        let slot = {
            let (inner, id) = (self.inner.clone(), repo.clone());
            if !blocking(move || Ok(inner.root.has(&id))).await? {
                return Err(not_found(repo));
            }
            let mut repos = self.inner.repos.lock().unwrap_or_else(PoisonError::into_inner);
            repos.entry(repo.clone()).or_default().clone()
        };
        let mut slot = slot.lock().await;
        let (inner, id, old) = (self.inner.clone(), repo.clone(), slot.clone());
        let new = blocking(move || {
            let place = inner.kept.as_ref().map(|folder| kept::place(folder, &inner.name, &id));
            let old = old.or_else(|| kept::read(place.as_deref()?).map(Arc::new));
            let new = Snapshot::take(&inner.root, &id, old.clone())?;
            if let Some(place) = place
                && !old.is_some_and(|old| Arc::ptr_eq(&old, &new))
                && let Err(error) = kept::write(&place, &new)
            {
                tracing::warn!(%error, repo = %id, "digests not kept, they are computed again after a restart");
            }
            Ok(new)
        })
        .await?;
        *slot = Some(new.clone());
        Ok(new)
    }

    /// The repository, if `rev` names its present state.
    async fn at(&self, repo: &RepoId, rev: &str) -> Result<Arc<Snapshot>> {
        let snapshot = self.snapshot(repo).await?;
        if matches!(rev, "main" | "refs/heads/main") || rev == snapshot.commit {
            return Ok(snapshot);
        }
        let text = format!("Invalid rev id: {rev}");
        Err(SourceError::answered(404, Some("RevisionNotFound"), &text, None))
    }

    async fn entry(&self, repo: &RepoId, rev: &str, path: &str) -> Result<(Arc<Snapshot>, Arc<Entry>)> {
        let snapshot = self.at(repo, rev).await?;
        match snapshot.entries.get(path) {
            Some(entry) => {
                let entry = entry.clone();
                Ok((snapshot, entry))
            }
            None => {
                let commit = Some(snapshot.commit.as_str());
                Err(SourceError::answered(404, Some("EntryNotFound"), "Entry not found", commit))
            }
        }
    }

    /// Opens the file that `meta` is about, if it is still that file.
    async fn open_file(&self, repo: &RepoId, meta: &FileMeta) -> Result<(std::fs::File, Arc<Entry>)> {
        let (_, entry) = self.entry(repo, "main", &meta.path).await?;
        if entry.etag() != meta.etag || entry.size != meta.size {
            return Err(SourceError::Changed(format!("{}/{} is another file now", repo, meta.path)));
        }
        let (inner, repo, wanted) = (self.inner.clone(), repo.clone(), entry.clone());
        let file = blocking(move || inner.root.open_entry(&repo, &wanted)).await?;
        Ok((file, entry))
    }
}

fn not_found(repo: &RepoId) -> SourceError {
    SourceError::answered(404, Some("RepoNotFound"), &format!("Repository not found: {repo}"), None)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended = |e| SourceError::Internal(format!("a file task ended: {e}"));
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}
