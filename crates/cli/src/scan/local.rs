//! Files on disk.

use super::walk::{self, Found, error, reading};
use super::{Outcome, Session, hash, parallel};
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use wb_policy::{Context, decide};
use wb_report::{FileEntry, ScanError};
use wb_sandbox::Job;
use wb_verdict::Facts;

/// Judges a file, or every file of a folder, as many at a time as there are workers.
pub fn scan(session: &Session, root: &Path) -> Vec<Outcome> {
    let (found, errors) = walk::walk(session, root);
    let siblings = siblings(session, root, &found);
    let mut outcomes = parallel(session, &found, |file| one(session, file, &siblings));
    outcomes.extend(errors.into_iter().map(Err));
    outcomes
}

/// Names of the files beside those judged, if the policy looks at them.
fn siblings(session: &Session, root: &Path, found: &[Found]) -> Vec<String> {
    if !session.policy.needs_siblings() {
        return Vec::new();
    }
    let name = |path: &Path| path.to_string_lossy().into_owned();
    if root.is_dir() {
        return found.iter().map(|f| name(&f.relative)).collect();
    }
    let folder = root.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

fn one(session: &Session, found: &Found, siblings: &[String]) -> Outcome {
    let refused = |e: &std::io::Error| error(&found.path, reading(e));
    // Without NONBLOCK, opening what has just become a named pipe would wait for ever.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file =
        OpenOptions::new().read(true).custom_flags(flags).open(&found.path).map_err(|e| refused(&e))?;
    let before = file.metadata().map_err(|e| refused(&e))?;
    if !before.is_file() {
        return Err(error(&found.path, "not a regular file: only regular files are judged"));
    }
    let (facts, sha256) = if session.hash {
        let (facts, digest) = scan_and_hash(session, &file, before.len(), &found.path)?;
        let after = file.metadata().map_err(|e| refused(&e))?;
        let stamp = |m: &std::fs::Metadata| (m.len(), m.mtime(), m.mtime_nsec());
        if stamp(&before) != stamp(&after) {
            return Err(error(&found.path, "changed while it was judged; judge it again when it is at rest"));
        }
        (facts, Some(digest))
    } else {
        (session.pool.scan(Job::File(file)), None)
    };
    let name = wb_verdict::escape_bytes(found.relative.as_os_str().as_bytes());
    let report = wb_scan::judge(&facts, &name, sha256);
    let context =
        Context { repo: None, path: &name, sha256: report.sha256.as_deref(), today: session.today, siblings };
    let decision = decide(&session.policy, &report, &context);
    Ok(FileEntry { path: found.path.as_os_str().as_bytes().to_vec(), report, decision })
}

/// The worker parses while this process hashes.
fn scan_and_hash(
    session: &Session,
    file: &File,
    len: u64,
    path: &Path,
) -> Result<(Facts, String), ScanError> {
    let failed = |e: std::io::Error| error(path, reading(&e));
    let ours = file.try_clone().map_err(failed)?;
    let scan = || session.pool.scan(Job::File(ours));
    if len <= hash::INLINE {
        let digest = hash::file(file, len).map_err(failed)?;
        return Ok((scan(), digest));
    }
    std::thread::scope(|scope| {
        let facts = scope.spawn(scan);
        let digest = hash::file(file, len).map_err(failed);
        let facts = facts
            .join()
            .map_err(|_| error(path, "the scan thread failed; this is a defect, please report it"))?;
        Ok((facts, digest?))
    })
}
