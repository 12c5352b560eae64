//! Which files a path means.

use super::Session;
use ignore::WalkBuilder;
use std::fs::{self, FileType};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use wb_report::ScanError;

/// A file to judge.
pub struct Found {
    /// Where it is, as shown.
    pub path: PathBuf,
    /// Path inside what was named; the file's name if it was named itself.
    pub relative: PathBuf,
}

/// Everything that `root` means: itself, or the files below it. Hidden files count, ignore files do not.
pub fn walk(session: &Session, root: &Path) -> (Vec<Found>, Vec<ScanError>) {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    match fs::metadata(root) {
        Err(e) => errors.push(error(root, reading(&e))),
        Ok(m) if m.is_dir() => folder(session, root, &mut found, &mut errors),
        Ok(m) if m.is_file() => {
            let relative = root.file_name().map_or_else(|| root.to_path_buf(), PathBuf::from);
            if session.wants(&relative) {
                found.push(Found { path: root.to_path_buf(), relative });
            }
        }
        Ok(m) => errors.push(error(root, special(m.file_type()))),
    }
    (found, errors)
}

fn folder(session: &Session, root: &Path, found: &mut Vec<Found>, errors: &mut Vec<ScanError>) {
    let real_root = match fs::canonicalize(root) {
        Ok(real) => real,
        Err(e) => return errors.push(error(root, reading(&e))),
    };
    let roots = [Some(real_root.clone()), hub_cache_blobs(&real_root)];
    // No ignore files, no hidden-file rule, links not followed: what lies there is what gets loaded.
    let walk = WalkBuilder::new(root).standard_filters(false).follow_links(false).build();
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            Err(e) => {
                let path = broken_path(&e).unwrap_or(root).to_path_buf();
                errors.push(error(&path, e.to_string()));
                continue;
            }
        };
        let Some(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            continue;
        }
        let relative = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_path_buf();
        if !session.wants(&relative) {
            continue;
        }
        let path = entry.into_path();
        if kind.is_file() {
            found.push(Found { path, relative });
        } else if kind.is_symlink() {
            match link(&path, roots.iter().flatten()) {
                Ok(true) => found.push(Found { path, relative }),
                // A folder inside the root is walked under its own name.
                Ok(false) => {}
                Err(message) => errors.push(error(&path, message)),
            }
        } else {
            errors.push(error(&path, special(kind)));
        }
    }
}

/// The cache of huggingface_hub keeps contents once in `blobs/`; a folder `snapshots/<commit>` holds links to them.
fn hub_cache_blobs(real_root: &Path) -> Option<PathBuf> {
    let snapshots = real_root.ancestors().find(|a| a.file_name().is_some_and(|n| n == "snapshots"))?;
    Some(snapshots.parent()?.join("blobs"))
}

/// True if a link leads to a regular file below one of the roots; false for a folder below one.
fn link<'a>(path: &Path, mut roots: impl Iterator<Item = &'a PathBuf>) -> Result<bool, String> {
    let target = fs::canonicalize(path).map_err(|e| format!("a link that leads nowhere: {e}"))?;
    if !roots.any(|root| target.starts_with(root)) {
        return Err(
            "a link that leads out of the folder, not followed; name its target to have it judged".into()
        );
    }
    let meta = fs::metadata(&target).map_err(|e| reading(&e))?;
    if meta.is_file() || meta.is_dir() { Ok(meta.is_file()) } else { Err(special(meta.file_type())) }
}

fn broken_path(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => broken_path(err),
        _ => None,
    }
}

fn special(kind: FileType) -> String {
    let what = if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "not a regular file"
    };
    format!("{what}: only regular files are judged")
}

/// Why reading failed, in the words of the system.
pub fn reading(e: &std::io::Error) -> String {
    format!("cannot be read: {e}")
}

/// An error about a path.
pub fn error(path: &Path, message: impl Into<String>) -> ScanError {
    ScanError { path: path.as_os_str().as_bytes().to_vec(), message: message.into() }
}
