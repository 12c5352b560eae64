//! Files on disk.

use super::walk::{self, Found, error, reading};
use super::{Outcome, Session, hash, parallel, unit};
use rustix::fs::OFlags;
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use wb_policy::{Beside, Context, Decision, Neighbour, decide, is_module};
use wb_report::{FileEntry, ScanError};
use wb_sandbox::{Batch, Job};
use wb_verdict::{Facts, Report};

/// Files looked at together.
const GROUP: usize = 48;

/// Judges a file, or every file of a folder, as many at a time as there are workers.
pub fn scan(session: &Session, root: &Path) -> Vec<Outcome> {
    let (found, errors) = walk::walk(session, root);
    let beside = Known { siblings: siblings(session, root, &found), kept: Mutex::default() };
    let larger = Mutex::new(Vec::new());
    let mut outcomes = parallel(session, &found, GROUP, |files| small(session, files, &beside, &larger));
    let larger = larger.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.extend(parallel(session, &larger, 1, |files| {
        files.iter().map(|file| one(session, file, &beside)).collect()
    }));
    outcomes.extend(errors.into_iter().map(Err));
    whole(session, root, &mut outcomes, beside);
    outcomes
}

/// What is known of the files beside a file.
struct Known {
    /// Their names.
    siblings: Vec<String>,
    /// Those that name others or may be named, as far as they are judged.
    kept: Mutex<Vec<Neighbour>>,
}

/// Decides again about files that make a loader open others of the folder, now that all are judged.
fn whole(session: &Session, root: &Path, outcomes: &mut [Outcome], known: Known) {
    let kept = known.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !kept.iter().any(Neighbour::wants_others) {
        return;
    }
    let relative = |entry: &FileEntry| {
        let path = Path::new(std::ffi::OsStr::from_bytes(&entry.path));
        let inside = path.strip_prefix(root).ok().filter(|p| !p.as_os_str().is_empty());
        let name = inside.map(Path::as_os_str).or(path.file_name()).unwrap_or_default();
        wb_verdict::escape_bytes(name.as_bytes())
    };
    // Of a file by itself only the names beside it are known.
    let siblings = match root.is_dir() {
        true => outcomes.iter().flatten().map(&relative).collect(),
        false => in_folder(root),
    };
    let complete = root.is_dir() && session.sees_all() && outcomes.iter().all(Result::is_ok);
    unit::decide_together(
        outcomes,
        &kept,
        &siblings,
        relative,
        complete,
        |name, report, siblings, beside| decide_on(session, name, report, siblings, beside),
    );
}

/// Names of the files beside those judged: modules that a pickle could import, all if the policy looks at them.
fn siblings(session: &Session, root: &Path, found: &[Found]) -> Vec<String> {
    let all = session.policy.needs_siblings();
    if root.is_dir() {
        let names = found.iter().map(|f| f.relative.to_string_lossy());
        return names.filter(|n| all || is_module(n)).map(|n| n.into_owned()).collect();
    }
    if !all {
        return Vec::new();
    }
    in_folder(root)
}

/// Names of the files in the folder of a file.
fn in_folder(file: &Path) -> Vec<String> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

/// Judges those of some files that are small, together. The others are put aside.
fn small<'a>(
    session: &Session,
    files: &'a [Found],
    beside: &Known,
    larger: &Mutex<Vec<&'a Found>>,
) -> Vec<Outcome> {
    let mut batch = Batch::default();
    let mut taken = Vec::with_capacity(files.len());
    let mut outcomes = Vec::with_capacity(files.len());
    for found in files {
        match open(found) {
            Err(e) => outcomes.push(Err(e)),
            Ok((file, meta)) if batch.takes(meta.len()) && batch.read(&file, meta.len()).is_ok() => {
                taken.push(found);
            }
            // Also what cannot be read: a worker says so.
            Ok(_) => larger.lock().unwrap_or_else(PoisonError::into_inner).push(found),
        }
    }
    let sheets = session.pool.scan_batch(&batch);
    for ((found, facts), bytes) in taken.into_iter().zip(sheets).zip(batch.iter()) {
        // The very bytes that were judged.
        let digest = session.hash.then(|| hash::bytes(bytes));
        outcomes.push(Ok(entry(session, found, &facts, digest, beside)));
    }
    outcomes
}

/// Opens a regular file.
fn open(found: &Found) -> Result<(File, Metadata), ScanError> {
    let refused = |e: std::io::Error| error(&found.path, reading(&e));
    // Without NONBLOCK, opening what has just become a named pipe would wait for ever.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&found.path).map_err(refused)?;
    let meta = file.metadata().map_err(refused)?;
    if !meta.is_file() {
        return Err(error(&found.path, "not a regular file: only regular files are judged"));
    }
    Ok((file, meta))
}

/// Judges one file of any size.
fn one(session: &Session, found: &Found, beside: &Known) -> Outcome {
    let (file, before) = open(found)?;
    if !session.hash {
        let facts = session.pool.scan(Job::File(file));
        return Ok(entry(session, found, &facts, None, beside));
    }
    let (facts, digest) = scan_and_hash(session, &file, before.len(), &found.path)?;
    let after = file.metadata().map_err(|e| error(&found.path, reading(&e)))?;
    let stamp = |m: &Metadata| (m.len(), m.mtime(), m.mtime_nsec());
    if stamp(&before) != stamp(&after) {
        return Err(error(&found.path, "changed while it was judged; judge it again when it is at rest"));
    }
    Ok(entry(session, found, &facts, Some(digest), beside))
}

/// From facts to a line of the report.
fn entry(
    session: &Session,
    found: &Found,
    facts: &Facts,
    sha256: Option<String>,
    beside: &Known,
) -> FileEntry {
    let name = wb_verdict::escape_bytes(found.relative.as_os_str().as_bytes());
    let report = wb_scan::judge(facts, &name, sha256);
    let decision = decide_on(session, &name, &report, &beside.siblings, &[]);
    if let Some(kept) = Neighbour::kept(&name, facts, &report, &decision) {
        beside.kept.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
    }
    FileEntry { path: found.path.as_os_str().as_bytes().to_vec(), report, decision }
}

fn decide_on(
    session: &Session,
    path: &str,
    report: &Report,
    siblings: &[String],
    beside: &[Beside],
) -> Decision {
    let sha256 = report.sha256.as_deref();
    let context = Context { repo: None, path, sha256, today: session.today, siblings, beside };
    decide(&session.policy, report, &context)
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
