//! Files behind URLs, read by ranges.
//!
//! This process fetches; the scan worker, which has no network, asks it for ranges.

use super::{Outcome, Session, hash, parallel};
use std::sync::{Mutex, PoisonError};
use wb_policy::{CodeBeside, Context, Decision, Repo, RepoKind, decide, hold_against};
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
    let code = Mutex::default();
    let mut outcomes = parallel(session, &wanted, 1, |files| {
        files.iter().map(|file| one(session, url, file, &siblings, &code)).collect()
    });
    // Configurations that name code of the repository, again, now that the code is judged.
    let code = code.into_inner().unwrap_or_else(PoisonError::into_inner);
    let naming =
        outcomes.iter_mut().flatten().filter(|e| e.report.findings.iter().any(|f| f.names.is_some()));
    for entry in naming {
        if let Some(file) = wanted.iter().find(|f| shown(url, f).as_bytes() == entry.path) {
            hold_against(&mut entry.report, &file.name, &siblings, &code);
            entry.decision = decide_on(session, url, file, &entry.report, &siblings, &code);
        }
    }
    outcomes
}

fn one(
    session: &Session,
    url: &str,
    file: &RemoteFile,
    siblings: &[String],
    code: &Mutex<Vec<CodeBeside>>,
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
    if let Some(judged) = CodeBeside::of(&file.name, &facts, &report) {
        code.lock().unwrap_or_else(PoisonError::into_inner).push(judged);
    }
    let decision = decide_on(session, url, file, &report, siblings, &[]);
    Ok(FileEntry { path: path.into_bytes(), report, decision })
}

fn decide_on(
    session: &Session,
    url: &str,
    file: &RemoteFile,
    report: &Report,
    siblings: &[String],
    code: &[CodeBeside],
) -> Decision {
    let repo = repo(url, file);
    let context = Context {
        repo: repo.as_ref(),
        path: &file.name,
        sha256: report.sha256.as_deref(),
        today: session.today,
        siblings,
        code,
    };
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
