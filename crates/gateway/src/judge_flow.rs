//! From a name to a judgement: identity, kept facts, else fetch, hash, verify, scan, keep.

use crate::access::RepoFacts;
use crate::flight::Waited;
use crate::gate::Gate;
use crate::metrics::KindLabel;
use crate::protocols::hf::route::FileRef;
use crate::requester::Requester;
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wb_policy::{Beside, Context, Decision};
use wb_sandbox::Job;
use wb_source::{FileMeta, RepoId, SourceError, Token};
use wb_store::{
    AuditEntry, AuditEvent, BlobGuard, Expected, FactsKey, Identity, Sha256Digest, Store, StoreError,
};
use wb_verdict::{Facts, Report};

/// What the upstream says a file's content is: the key under which work on it is shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Content {
    /// Its SHA-256 (an LFS object).
    Sha256(Sha256Digest),
    /// Something that stands for bytes only once these were fetched.
    Other(Identity),
}

impl Content {
    pub(crate) fn of(upstream: &str, repo: &RepoId, meta: &FileMeta) -> Self {
        match (meta.sha256, &meta.git_oid) {
            (Some(sha256), _) => Self::Sha256(sha256),
            (None, Some(oid)) => Self::Other(Identity::GitBlob { oid: oid.clone(), size: meta.size }),
            (None, None) => Self::Other(Identity::Etag {
                scope: format!("{upstream}\n{repo}\n{}\n{}", meta.commit, meta.path),
                etag: meta.etag.clone(),
                size: meta.size,
            }),
        }
    }
}

/// Judged content.
#[derive(Clone)]
pub struct Judged {
    /// SHA-256 of the very bytes.
    pub sha256: Sha256Digest,
    /// What they hold.
    pub facts: Arc<Facts>,
    /// The bytes, if they are in the store.
    pub blob: Option<BlobGuard>,
}

/// Why there is no judgement.
#[derive(Debug)]
pub enum Failure {
    /// The upstream.
    Source(SourceError),
    /// The store: disk full, or content other than announced.
    Store(StoreError),
    /// The file is larger than everything that may be kept (`--spool-max`).
    TooLarge,
    /// More work waits than the gate takes on.
    Busy,
    /// The task was lost.
    Lost,
}

impl From<SourceError> for Failure {
    fn from(e: SourceError) -> Self {
        Self::Source(e)
    }
}

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

/// What came of fetching and scanning.
pub type Outcome = Result<Arc<Judged>, Arc<Failure>>;

/// A file asked for, with what it is.
#[derive(Clone)]
pub struct Wanted {
    /// Its name.
    pub file: FileRef,
    /// What the upstream said.
    pub meta: Arc<FileMeta>,
}

/// A decision about one request, with what it rests on.
pub struct Ruling {
    /// The report.
    pub report: Report,
    /// The decision.
    pub decision: Decision,
}

/// Files fetched, judged or waiting for it.
const MAX_WAITING: usize = 10_000;
/// Times a broken fetch is taken up again.
const FETCH_TRIES: u32 = 5;
/// Largest piece handed to the spool at once.
const PIECE: usize = 1 << 20;

impl Gate {
    /// The judgement on a file, waiting at most `limit` for it. With `bytes` the content is also brought in if it is
    /// known but no longer kept. `again` is set for a client that was told to come back: it gets the outcome of the
    /// work it waited for, even a failed one.
    pub(crate) async fn judged(
        self: &Arc<Self>,
        who: &Requester,
        wanted: &Wanted,
        bytes: bool,
        again: bool,
        limit: Duration,
    ) -> Waited<Outcome> {
        let content = Content::of(self.access.upstream().name(), &wanted.file.repo, &wanted.meta);
        match self.known(&content).await {
            Ok(Some(judged)) if judged.blob.is_some() || !bytes => {
                self.metrics.facts.get_or_create(&KindLabel { kind: "hit" }).inc();
                return Waited::Done(Ok(Arc::new(judged)));
            }
            Ok(_) => {}
            Err(e) => return Waited::Done(Err(Arc::new(e.into()))),
        }
        if again && let Some(outcome) = self.recent.get(&content) {
            return Waited::Done(outcome);
        }
        if self.flight.len() >= MAX_WAITING && !self.flight.has(&content) {
            return Waited::Done(Err(Arc::new(Failure::Busy)));
        }
        let (gate, key, token, wanted) = (self.clone(), content.clone(), who.token.clone(), wanted.clone());
        let mut seat = self.flight.join(content, move || async move { gate.work(key, wanted, token).await });
        match seat.wait(limit).await {
            Waited::Lost => Waited::Done(Err(Arc::new(Failure::Lost))),
            other => other,
        }
    }

    /// Kept facts, and the blob if it is kept too.
    pub(crate) async fn known(&self, content: &Content) -> Result<Option<Judged>, StoreError> {
        let sha256 = match content {
            Content::Sha256(d) => Some(*d),
            Content::Other(identity) => self.store.identity(identity).await?,
        };
        let Some(sha256) = sha256 else { return Ok(None) };
        let Some(facts) = self.kept_facts(sha256).await? else { return Ok(None) };
        Ok(Some(Judged { sha256, facts, blob: self.blobs.open_blob(sha256)? }))
    }

    /// Facts from memory, else from the store; only those of the present engine, catalogue and limits.
    pub(crate) async fn kept_facts(&self, sha256: Sha256Digest) -> Result<Option<Arc<Facts>>, StoreError> {
        if let Some(facts) = self.facts.get(&sha256) {
            return Ok(Some(facts));
        }
        let key = FactsKey {
            sha256,
            engine: wb_verdict::ENGINE.into(),
            catalogue: wb_scan::catalogue::VERSION.into(),
            limits: wb_blob::Limits::default().profile.into(),
        };
        let facts = self.store.facts(&key).await?;
        if let Some(facts) = &facts {
            self.facts.insert(sha256, facts.clone());
        }
        Ok(facts)
    }

    /// Brings the content in and judges it. Runs on its own task.
    async fn work(self: Arc<Self>, content: Content, wanted: Wanted, token: Option<Token>) -> Outcome {
        let started = Instant::now();
        self.metrics.jobs.inc();
        let outcome = self.bring_in(&content, &wanted, token.as_ref()).await;
        self.metrics.jobs.dec();
        self.metrics.judge_seconds.observe(started.elapsed().as_secs_f64());
        let outcome = outcome.map(Arc::new).map_err(Arc::new);
        let lasting = outcome.as_ref().is_ok_and(|j| j.facts.is_final());
        if !lasting {
            self.recent.insert(content, outcome.clone());
        }
        match &outcome {
            Ok(j) => tracing::info!(repo = %wanted.file.repo, path = %wanted.file.path, sha256 = %j.sha256,
                size = wanted.meta.size, ms = started.elapsed().as_millis() as u64, "judged"),
            Err(e) => {
                tracing::warn!(repo = %wanted.file.repo, path = %wanted.file.path, error = ?e, "not judged");
                self.note_lie(&wanted, e).await;
            }
        }
        outcome
    }

    /// An upstream that sends other content than it announced is broken or owned: the audit says so.
    async fn note_lie(&self, wanted: &Wanted, failure: &Failure) {
        let detail = match failure {
            Failure::Store(e) if e.is_mismatch() => e.to_string(),
            Failure::Source(e @ SourceError::Changed(_)) => e.to_string(),
            _ => return,
        };
        let mut entry = AuditEntry::new(AuditEvent::UpstreamLied);
        entry.repo = Some(wanted.file.repo.to_string());
        entry.commit = Some(wanted.meta.commit.clone());
        entry.path = Some(wanted.file.path.clone());
        entry.detail = Some(detail);
        if let Err(error) = self.store.record(entry, None).await {
            tracing::error!(%error, "a lie of the upstream is missing in the audit");
        }
    }

    async fn bring_in(
        &self,
        content: &Content,
        wanted: &Wanted,
        token: Option<&Token>,
    ) -> Result<Judged, Failure> {
        let _slot = self.slots.acquire().await.map_err(|_| Failure::Lost)?;
        // Between the caller's look and this task another one may have finished, or the bytes may be kept under
        // facts of an older engine.
        let kept = match content {
            Content::Sha256(d) => self.blobs.open_blob(*d)?,
            Content::Other(i) => match self.store.identity(i).await? {
                Some(d) => self.blobs.open_blob(d)?,
                None => None,
            },
        };
        let blob = match kept {
            Some(blob) => blob,
            None => self.fetch(content, wanted, token).await?,
        };
        let sha256 = blob.sha256();
        if let Some(facts) = self.kept_facts(sha256).await? {
            return Ok(Judged { sha256, facts, blob: Some(blob) });
        }
        let facts = self.scan(&blob).await?;
        self.store.put_facts(sha256, &facts).await?;
        let facts = Arc::new(facts);
        if facts.is_final() {
            self.facts.insert(sha256, facts.clone());
        }
        Ok(Judged { sha256, facts, blob: Some(blob) })
    }

    /// One verified copy of the content in the store.
    async fn fetch(
        &self,
        content: &Content,
        wanted: &Wanted,
        token: Option<&Token>,
    ) -> Result<BlobGuard, Failure> {
        let meta = &wanted.meta;
        if self.config.spool_max > 0 && meta.size > self.config.spool_max {
            return Err(Failure::TooLarge);
        }
        let expected = Expected { size: Some(meta.size), sha256: meta.sha256, git_oid: meta.git_oid.clone() };
        let mut spool = self.blobs.spool_writer(expected, meta.size)?;
        let mut tries = 0;
        loop {
            let before = spool.written();
            let broken = match self.stream(wanted, token, &mut spool).await {
                Ok(()) => break,
                Err(Failure::Source(e)) if e.is_retryable() => e,
                Err(other) => return Err(other),
            };
            // Progress earns new tries: a long file over a bad line arrives in the end.
            tries = if spool.written() > before { 1 } else { tries + 1 };
            if tries >= FETCH_TRIES {
                return Err(broken.into());
            }
            tracing::warn!(repo = %wanted.file.repo, path = %wanted.file.path, at = spool.written(), error = %broken,
                "fetch broke off, taking it up again");
            tokio::time::sleep(
                broken.retry_after().unwrap_or(Duration::from_millis(250 << tries)).min(MAX_PAUSE),
            )
            .await;
        }
        let spooled =
            tokio::task::spawn_blocking(move || spool.finish()).await.map_err(|_| Failure::Lost)??;
        let sha256 = spooled.sha256();
        let blob = spooled.keep().await?;
        if let Content::Other(identity) = content {
            self.store.put_identity(identity, sha256).await?;
        }
        Ok(blob)
    }

    async fn stream(
        &self,
        wanted: &Wanted,
        token: Option<&Token>,
        spool: &mut wb_store::SpoolWriter,
    ) -> Result<(), Failure> {
        let upstream = self.access.upstream();
        let mut stream = upstream.fetch(&wanted.file.repo, &wanted.meta, token, spool.written()).await?;
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            for part in piece.chunks(PIECE) {
                spool.write(part)?;
            }
            self.metrics.fetched.inc_by(piece.len() as u64);
        }
        Ok(())
    }

    /// Scans a kept blob in a worker process.
    pub(crate) async fn scan(&self, blob: &BlobGuard) -> Result<Facts, Failure> {
        self.metrics.facts.get_or_create(&KindLabel { kind: "miss" }).inc();
        let (pool, file) = (self.pool.clone(), blob.file()?);
        tokio::task::spawn_blocking(move || pool.scan(Job::File(file))).await.map_err(|_| Failure::Lost)
    }

    /// Decides about judged content under one name, with what is known of the files that it makes its loader open. Pure:
    /// the same facts are decided anew each time.
    pub(crate) fn rule(
        &self,
        file: &FileRef,
        commit: &str,
        judged: &Judged,
        repo: &RepoFacts,
        beside: &[Beside],
    ) -> Ruling {
        let policy = self.policy.current();
        let sha256 = judged.sha256.to_hex();
        let mut report = wb_scan::judge(&judged.facts, &file.path, Some(sha256.clone()));
        wb_policy::hold_against(&mut report, &file.path, &repo.siblings, beside);
        let today = crate::gate::today();
        let under = |id: &RepoId| {
            let repo_ref =
                wb_policy::Repo { kind: policy_kind(id), id: id.id().into(), commit: Some(commit.into()) };
            let context = Context {
                repo: Some(&repo_ref),
                path: &file.path,
                sha256: Some(&sha256),
                today,
                siblings: &repo.siblings,
                beside,
            };
            wb_policy::decide(&policy, &report, &context)
        };
        let mut decision = under(&file.repo);
        // A renamed repository is judged under both names: an old name is no way around a deny list.
        if let Some(canonical) = repo.canonical.as_ref().filter(|c| **c != file.repo) {
            let other = under(canonical);
            if other.action > decision.action {
                decision = other;
            }
        }
        Ruling { report, decision }
    }
}

const MAX_PAUSE: Duration = Duration::from_secs(30);

fn policy_kind(id: &RepoId) -> wb_policy::RepoKind {
    match id.kind() {
        wb_source::RepoKind::Model => wb_policy::RepoKind::Model,
        wb_source::RepoKind::Dataset => wb_policy::RepoKind::Dataset,
        wb_source::RepoKind::Space => wb_policy::RepoKind::Space,
    }
}
