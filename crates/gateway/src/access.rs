//! What a name stands for, and whether this requester may have it.
//!
//! Both are one question to the upstream, asked with this requester's own token: only an upstream that lets the
//! requester see a file says what it is. A positive answer is kept at most [`KEEP`] for that token and that file;
//! a negative one is never kept. Nothing learnt with one token is ever used for another.
//!
//! Branches move. What a branch stood for when a client asked by HEAD is remembered for that client, so that the GET
//! that follows is answered from the same commit, and all files of one snapshot come from one commit.

use crate::protocols::hf::route::FileRef;
use crate::requester::{Requester, Who};
use moka::sync::Cache;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use wb_source::{FileMeta, MetaRequest, RepoId, Result, Route, SourceError, Upstream};

/// How long a positive answer holds.
pub const KEEP: Duration = Duration::from_secs(60);

/// How long a client's own HEAD pins the commit for its GET. Longer than any wait for a judgement.
const PIN: Duration = Duration::from_secs(900);

/// Entries kept of each kind.
const ENTRIES: u64 = 100_000;

/// A file as one client asked for it.
type PinKey = (Who, IpAddr, FileRef);

/// What else a decision needs to know about a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepoFacts {
    /// The repository's own name for itself; differs from the name asked for after a renaming.
    pub canonical: Option<RepoId>,
    /// Paths of all its files.
    pub siblings: Vec<String>,
}

/// Answers of the upstream, by token.
pub struct Access {
    upstream: Upstream,
    files: Cache<(Who, RepoId, String, String), Arc<FileMeta>>,
    refs: Cache<(Who, RepoId, String), String>,
    pins: Cache<PinKey, String>,
    repos: Cache<(Who, RepoId, String), Arc<RepoFacts>>,
}

/// True for a full commit hash: it names content and never moves.
pub fn is_commit(rev: &str) -> bool {
    rev.len() == 40 && rev.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl Access {
    /// Asks `upstream`.
    pub fn new(upstream: Upstream) -> Self {
        fn cache<K, V>(keep: Duration) -> Cache<K, V>
        where
            K: std::hash::Hash + Eq + Send + Sync + 'static,
            V: Clone + Send + Sync + 'static,
        {
            Cache::builder().max_capacity(ENTRIES).time_to_live(keep).build()
        }
        Self { upstream, files: cache(KEEP), refs: cache(KEEP), pins: cache(PIN), repos: cache(KEEP) }
    }

    /// The upstream asked.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// What the file is, for this requester, now. `pin` remembers the commit for a later [`Access::pinned`].
    pub async fn identify(&self, who: &Requester, file: &FileRef, pin: bool) -> Result<Arc<FileMeta>> {
        let snapshot = (who.who, file.repo.clone(), file.rev.clone());
        let commit = match is_commit(&file.rev) {
            true => Some(file.rev.clone()),
            false => self.refs.get(&snapshot),
        };
        let asked = self.at(who, file, commit.as_deref().unwrap_or(&file.rev)).await;
        let (meta, commit) = match (asked, commit) {
            // The branch moved and what it was before is gone (a folder has no past): it means what it is now.
            (Err(error), Some(_)) if !is_commit(&file.rev) && revision_is_gone(&error) => {
                (self.at(who, file, &file.rev).await?, None)
            }
            (asked, commit) => (asked?, commit),
        };
        if commit.is_none() {
            self.refs.insert(snapshot, meta.commit.clone());
        }
        if pin && !is_commit(&file.rev) {
            self.pins.insert((who.who, who.address, file.clone()), meta.commit.clone());
        }
        Ok(meta)
    }

    /// As [`Access::identify`], at the commit this client saw last.
    pub async fn pinned(&self, who: &Requester, file: &FileRef) -> Result<Arc<FileMeta>> {
        match self.pins.get(&(who.who, who.address, file.clone())) {
            Some(commit) => self.at(who, file, &commit).await,
            None => self.identify(who, file, false).await,
        }
    }

    async fn at(&self, who: &Requester, file: &FileRef, rev: &str) -> Result<Arc<FileMeta>> {
        let key = |commit: &str| (who.who, file.repo.clone(), commit.to_string(), file.path.clone());
        if is_commit(rev)
            && let Some(meta) = self.files.get(&key(rev))
        {
            return Ok(meta);
        }
        let meta = self.upstream.stat(&file.repo, rev, &file.path, who.token.as_ref()).await?;
        if !is_commit(&meta.commit) {
            return Err(SourceError::Protocol(format!("{:?} is no commit", clip(&meta.commit))));
        }
        if is_commit(rev) && meta.commit != rev {
            return Err(SourceError::Protocol(format!("asked for commit {rev}, got {}", meta.commit)));
        }
        let meta = Arc::new(meta);
        self.files.insert(key(&meta.commit), meta.clone());
        Ok(meta)
    }

    /// What else lies in the repository at `commit`, and what it calls itself.
    pub async fn repo(&self, who: &Requester, repo: &RepoId, commit: &str) -> Result<Arc<RepoFacts>> {
        let key = (who.who, repo.clone(), commit.to_string());
        if let Some(known) = self.repos.get(&key) {
            return Ok(known);
        }
        let request = MetaRequest::get(repo.clone(), Route::Revision, commit);
        let answer = self.upstream.api(&request, who.token.as_ref()).await?;
        if !answer.is_success() {
            return Err(answer.into_error());
        }
        let json = answer.json()?;
        let canonical =
            json.get("id").and_then(|v| v.as_str()).and_then(|id| RepoId::new(repo.kind(), id).ok());
        let siblings = json
            .get("siblings")
            .and_then(|v| v.as_array())
            .map(|list| list.iter().filter_map(|s| Some(s.get("rfilename")?.as_str()?.to_string())).collect())
            .unwrap_or_default();
        let facts = Arc::new(RepoFacts { canonical, siblings });
        self.repos.insert(key, facts.clone());
        Ok(facts)
    }
}

fn revision_is_gone(error: &SourceError) -> bool {
    matches!(error, SourceError::Answered(answer) if answer.code.as_deref() == Some("RevisionNotFound"))
}

fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}
