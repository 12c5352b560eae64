//! A repository as one unit: before a file is released that makes its loader open others, those are judged too.
//!
//! Which files these are is told by `wb_policy::Walk`; here they are had. Code and configurations are fetched and judged
//! whole, each once for all who ask, and kept by digest like any other file. Of weights only what a loader reads first
//! is looked at, by ranges: that can only speak against them, and each is judged whole before it is released itself.
//! The work goes on when the client that started it leaves. What cannot be had is a gap, and blocks like one.

use crate::access::RepoFacts;
use crate::flight::Waited;
use crate::gate::Gate;
use crate::judge_flow::{Content, Failure, Judged, Ruling, Wanted};
use crate::protocols::hf::route::FileRef;
use crate::requester::{Requester, Who};
use futures_util::StreamExt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use wb_blob::ReadAt;
use wb_policy::{Beside, Files, Known, Link, Need, Neighbour, Walk};
use wb_sandbox::Job;
use wb_source::{RangedLimits, RepoId, SourceError};
use wb_verdict::{Depth, Facts};

/// One unit of work: for whom, which commit, from which file.
pub type UnitKey = (Who, RepoId, String, String);

/// Files of one unit had at the same time.
const AT_ONCE: usize = 8;
/// Largest code or configuration file judged together with others, in bytes.
const LARGEST: u64 = 16 << 20;
/// How long one of them may take. A client has left long before; the next one finds what came of it.
const LONGEST: Duration = Duration::from_secs(600);
/// Files of weights looked at for one unit.
const LOOKS: usize = 32;
/// Bytes of code and configurations judged for one unit.
const UNIT_BYTES: u64 = 256 << 20;
/// Bytes read of each.
const LOOK_BYTES: u64 = 8 << 20;

/// What one unit may still cost.
struct Left {
    looks: AtomicUsize,
    bytes: AtomicU64,
}

/// What is known of a file of weights after a look, if it came to something.
pub type Looked = Option<Arc<Facts>>;

impl Gate {
    /// What is known of the files that a judged file makes its loader open; empty for most.
    pub(crate) async fn beside(
        self: &Arc<Self>,
        who: &Requester,
        wanted: &Wanted,
        judged: &Judged,
        ruling: &Ruling,
        repo: &Arc<RepoFacts>,
        limit: Duration,
    ) -> Waited<Arc<Vec<Beside>>> {
        let path = &wanted.file.path;
        let start = Neighbour::of(path, &judged.facts, &ruling.report, &ruling.decision);
        if !start.wants_others() && !wb_policy::may_be_named(path, &repo.siblings) {
            return Waited::Done(Arc::default());
        }
        let key = (who.who, wanted.file.repo.clone(), wanted.meta.commit.clone(), path.clone());
        let (gate, who, wanted, repo) = (self.clone(), who.clone(), wanted.clone(), repo.clone());
        let work = move || async move { Arc::new(gate.together(&who, &wanted, &start, &repo).await) };
        self.units.join(key, work).wait(limit).await
    }

    async fn together(
        self: &Arc<Self>,
        who: &Requester,
        wanted: &Wanted,
        start: &Neighbour,
        repo: &RepoFacts,
    ) -> Vec<Beside> {
        let files = Files::new(&repo.siblings);
        let mut walk = Walk::new(start, &files).with_namers();
        let left = Left { looks: AtomicUsize::new(LOOKS), bytes: AtomicU64::new(UNIT_BYTES) };
        loop {
            let needs = walk.ask();
            if needs.is_empty() {
                return walk.end();
            }
            let left = &left;
            let mut known = futures_util::stream::iter(needs)
                .map(|need| async move {
                    let known = self.known_of(who, wanted, &need, left).await;
                    (need, known)
                })
                .buffer_unordered(AT_ONCE);
            while let Some((need, known)) = known.next().await {
                walk.put(&need, known);
            }
        }
    }

    /// What is known of one file, now or after it was had.
    async fn known_of(self: &Arc<Self>, who: &Requester, from: &Wanted, need: &Need, left: &Left) -> Known {
        let own = &from.file.repo;
        let (repo, rev) = match &need.place.repo {
            None => (own.clone(), from.meta.commit.clone()),
            // Libraries take the main branch of another repository unless their caller says otherwise.
            Some(id) => match RepoId::new(own.kind(), id) {
                Ok(repo) => (repo, "main".to_string()),
                Err(e) => return Known::NotJudged(e.to_string()),
            },
        };
        let file = FileRef { repo, rev, path: need.place.path.clone() };
        let meta = match self.access.identify(who, &file, false).await {
            Ok(meta) => meta,
            Err(SourceError::Answered(a)) if a.code.as_deref() == Some("EntryNotFound") => {
                return Known::Missing;
            }
            Err(e) => return Known::NotJudged(e.to_string()),
        };
        let repo = match self.access.repo(who, &file.repo, &meta.commit).await {
            Ok(repo) => repo,
            Err(e) => return Known::NotJudged(e.to_string()),
        };
        let wanted = Wanted { file, meta };
        match need.link {
            Link::Takes => self.looked_at(who, &wanted, &repo, left).await,
            Link::Names | Link::Imports | Link::NamedBy => self.judged_whole(who, &wanted, &repo, left).await,
        }
    }

    async fn judged_whole(
        self: &Arc<Self>,
        who: &Requester,
        wanted: &Wanted,
        repo: &RepoFacts,
        left: &Left,
    ) -> Known {
        if wanted.meta.size > LARGEST {
            return Known::NotJudged(format!("it is larger than {} MiB", LARGEST >> 20));
        }
        let less = |left: u64| left.checked_sub(wanted.meta.size);
        if left.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            let text = format!("more than {} MiB would have to be judged together", UNIT_BYTES >> 20);
            return Known::NotJudged(text);
        }
        match self.judged(who, wanted, false, false, LONGEST).await {
            Waited::Done(Ok(judged)) => Known::Judged(Box::new(self.neighbour(wanted, &judged, repo))),
            Waited::Done(Err(failure)) => Known::NotJudged(why(&failure)),
            Waited::Pending => Known::NotJudged("it takes too long".into()),
            Waited::Lost => Known::NotJudged(why(&Failure::Lost)),
        }
    }

    fn neighbour(&self, wanted: &Wanted, judged: &Judged, repo: &RepoFacts) -> Neighbour {
        let ruling = self.rule(&wanted.file, &wanted.meta.commit, judged, repo, &[]);
        Neighbour::of(&wanted.file.path, &judged.facts, &ruling.report, &ruling.decision)
    }

    /// Weights: kept facts if there are any, else a look by ranges. Only a finding counts; what a look does not reach is
    /// judged when the file itself is asked for.
    async fn looked_at(
        self: &Arc<Self>,
        who: &Requester,
        wanted: &Wanted,
        repo: &RepoFacts,
        left: &Left,
    ) -> Known {
        let later = Known::Later(wanted.meta.size);
        let only_findings = |neighbour: Neighbour| match &neighbour.refused {
            Some(refusal) if refusal.because_findings => Known::Judged(Box::new(neighbour)),
            _ => later.clone(),
        };
        let content = Content::of(self.access.upstream().name(), &wanted.file.repo, &wanted.meta);
        let Content::Sha256(sha256) = content else {
            // A small file: no ranges for that.
            return match self.judged_whole(who, wanted, repo, left).await {
                Known::Judged(neighbour) => only_findings(*neighbour),
                _ => later,
            };
        };
        let judged = match self.known(&content).await {
            Ok(Some(judged)) => judged,
            Ok(None) => {
                let more = |n: usize| n.checked_sub(1);
                if left.looks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
                    return later;
                }
                let (gate, who, wanted) = (self.clone(), who.clone(), wanted.clone());
                let key = content.clone();
                let work = move || async move { gate.look(&who, &wanted, key).await };
                let Waited::Done(Some(facts)) = self.looking.join(content.clone(), work).wait(LONGEST).await
                else {
                    return later;
                };
                // The digest stands for what the upstream announces. Nothing is released by it.
                Judged { sha256, facts, blob: None }
            }
            Err(_) => return later,
        };
        only_findings(self.neighbour(wanted, &judged, repo))
    }

    async fn look(&self, who: &Requester, wanted: &Wanted, content: Content) -> Looked {
        if let Some(facts) = self.looked.get(&content) {
            return Some(facts);
        }
        let _slot = self.slots.acquire().await.ok()?;
        let limits = RangedLimits { cache: 4 << 20, request: 4 << 20, whole: LOOK_BYTES };
        let (repo, meta) = (&wanted.file.repo, &wanted.meta);
        let file = self.access.upstream().ranged(repo, meta, who.token.as_ref(), limits).await.ok()?;
        let source = Arc::new(Bounded { inner: file, left: AtomicU64::new(LOOK_BYTES) });
        let pool = self.pool.clone();
        let scan = move || pool.scan(Job::Source(source, Depth::Ranged));
        let facts = Arc::new(tokio::task::spawn_blocking(scan).await.ok()?);
        // In memory only: ranged facts never stand where whole ones are looked for.
        self.looked.insert(content, facts.clone());
        Some(facts)
    }
}

/// Why there is no judgement, for the user who asked for another file.
fn why(failure: &Failure) -> String {
    match failure {
        Failure::Source(e) => e.to_string(),
        Failure::Store(e) if e.is_mismatch() => {
            format!("the upstream sent other content than it announced: {e}")
        }
        Failure::Store(e) if e.is_full() => "the gate's disk is full".into(),
        Failure::Store(_) => "the gate's store failed".into(),
        Failure::TooLarge => "it is larger than all this gate may keep".into(),
        Failure::Busy => "too much is waiting to be judged, repeat the command in a minute".into(),
        Failure::Lost => "the judgement was interrupted, repeat the command".into(),
    }
}

/// A source that ends in an error after so many bytes.
struct Bounded<R> {
    inner: R,
    left: AtomicU64,
}

impl<R: ReadAt> ReadAt for Bounded<R> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let n = self.inner.read_at(buf, offset)?;
        let less = |left: u64| left.checked_sub(n as u64);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
            Ok(_) => Ok(n),
            Err(_) => Err(io::Error::other("only the beginning was looked at")),
        }
    }

    fn hint(&self, ranges: &[Range<u64>]) {
        self.inner.hint(ranges);
    }
}
