//! Files behind URLs, read by ranges.
//!
//! This process fetches; the scan worker, which has no network, asks it for ranges.

use super::{Outcome, Session, hash, parallel, unit};
use std::sync::{Mutex, PoisonError};
use wb_policy::{Beside, Context, Decision, Neighbour, Repo, RepoKind, decide};
use wb_report::{FileEntry, ScanError};
use wb_sandbox::Job;
use wb_source::{NetPolicy, RemoteFile, RemoteTarget, open_url};
use wb_verdict::{Depth, Report};

/// Judges what a URL names: one file, or all files of a repository.
pub fn scan(session: &Session, url: &str) -> Vec<Outcome> {
    let opened = NetPolicy::from_env().and_then(|net| open_url(url, &net));
    let files = match opened {
        Ok(files) => files,
        Err(e) => return vec![Err(failed(url, &e.to_string()))],
    };
    let wanted: Vec<&RemoteFile> = files.iter().filter(|f| session.wants(f.name.as_ref())).collect();
    let siblings: Vec<String> = files.iter().map(|f| f.name.clone()).collect();
    let kept = Mutex::default();
    let mut outcomes = parallel(session, &wanted, 1, |files| {
        files.iter().map(|file| one(session, url, file, &siblings, &kept)).collect()
    });
    let kept = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    let named = |entry: &FileEntry| wanted.iter().find(|f| shown(url, f).as_bytes() == entry.path);
    let relative = |entry: &FileEntry| named(entry).map(|f| f.name.clone()).unwrap_or_default();
    let file_of = |name: &str| wanted.iter().find(|f| f.name == name);
    // One file by its URL: what lies beside it is not known.
    let complete = files.len() > 1;
    unit::decide_together(
        &mut outcomes,
        &kept,
        &siblings,
        relative,
        complete,
        |name, report, siblings, beside| {
            let repo = file_of(name).and_then(|file| repo(url, file));
            decide_on(session, repo.as_ref(), name, report, siblings, beside)
        },
    );
    outcomes
}

fn one(
    session: &Session,
    url: &str,
    file: &RemoteFile,
    siblings: &[String],
    kept: &Mutex<Vec<Neighbour>>,
) -> Outcome {
    let path = shown(url, file);
    let facts = session.pool.scan(Job::Source(file.source.clone(), Depth::Ranged));
    // A hub's word for a digest is not the digest: it is computed from the bytes, which fetches them all.
    let sha256 = if session.hash {
        Some(
            hash::source(file.source.as_ref())
                .map_err(|e| failed(&path, &format!("cannot be hashed: {e}")))?,
        )
    } else {
        None
    };
    let report = wb_scan::judge(&facts, &file.name, sha256);
    let repo = repo(url, file);
    let decision = decide_on(session, repo.as_ref(), &file.name, &report, siblings, &[]);
    if let Some(judged) = Neighbour::kept(&file.name, &facts, &report, &decision) {
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(judged);
    }
    Ok(FileEntry { path: path.into_bytes(), report, decision })
}

fn decide_on(
    session: &Session,
    repo: Option<&Repo>,
    path: &str,
    report: &Report,
    siblings: &[String],
    beside: &[Beside],
) -> Decision {
    let sha256 = report.sha256.as_deref();
    let context = Context { repo, path, sha256, today: session.today, siblings, beside };
    decide(&session.policy, report, &context)
}

/// The repository, for policies that name organisations, models or commits.
fn repo(url: &str, file: &RemoteFile) -> Option<Repo> {
    let Ok(RemoteTarget::Hub { repo, .. }) = RemoteTarget::parse(url) else { return None };
    let kind = match repo.kind() {
        wb_source::RepoKind::Model => RepoKind::Model,
        wb_source::RepoKind::Dataset => RepoKind::Dataset,
        wb_source::RepoKind::Space => RepoKind::Space,
    };
    Some(Repo { kind, id: repo.id().into(), commit: file.meta.as_ref().map(|m| m.commit.clone()) })
}

/// The URL of one file: for a repository its name is added.
fn shown(url: &str, file: &RemoteFile) -> String {
    if file.meta.is_some() && !url.ends_with(&file.name) {
        format!("{}/{}", url.trim_end_matches('/'), file.name)
    } else {
        url.into()
    }
}

fn failed(url: &str, message: &str) -> ScanError {
    ScanError { path: url.as_bytes().to_vec(), message: message.into() }
}
