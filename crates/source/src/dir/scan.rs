//! Walking and hashing a repository folder.
//!
//! A digest is kept as long as the file's stamp (size, times, inode) stays; it is checked again on the
//! open descriptor before a byte is served.

use crate::{RepoId, RepoKind, Result, SourceError};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wb_blob::Sha256Digest;

/// Names that belong to tools, not to the repository.
const SKIPPED: [&str; 3] = [".hub.json", ".git", ".cache"];
/// Files in one repository before it is refused.
const MAX_FILES: usize = 200_000;
/// Folders inside folders.
const MAX_DEPTH: usize = 64;
/// Files from this size on are LFS objects whatever their name, as on the Hub.
const LFS_SIZE: u64 = 10 << 20;
/// Extensions of LFS objects of any size (the Hub's default `.gitattributes`, in the main).
const LFS_EXTENSIONS: [&str; 40] = [
    "7z",
    "arrow",
    "bin",
    "bz2",
    "ckpt",
    "ftz",
    "gguf",
    "ggml",
    "gz",
    "h5",
    "joblib",
    "keras",
    "llamafile",
    "lz4",
    "mlmodel",
    "model",
    "msgpack",
    "nemo",
    "npy",
    "npz",
    "onnx",
    "ot",
    "parquet",
    "pb",
    "pickle",
    "pkl",
    "pt",
    "pt2",
    "pth",
    "rar",
    "safetensors",
    "sav",
    "tar",
    "tflite",
    "tgz",
    "wasm",
    "xz",
    "zip",
    "zst",
    "dill",
];

/// The folder that is served, by descriptor: nothing outside can be opened through it.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    dir: OwnedFd,
}

/// What tells a file from its successor under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
    device: u64,
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            inode: meta.ino(),
            device: meta.dev(),
        }
    }

    pub(super) fn fits(&self, meta: &Metadata) -> bool {
        *self == Self::of(meta)
    }
}

/// One file as it was hashed.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) size: u64,
    #[serde(with = "super::kept::digest")]
    pub(super) sha256: Sha256Digest,
    /// Git blob id of what git would hold: the content, or for LFS objects the pointer text.
    pub(super) oid: String,
    pub(super) lfs: bool,
    /// Bytes of the LFS pointer text.
    pub(super) pointer_size: u64,
    pub(super) stamp: Stamp,
}

impl Entry {
    pub(super) fn etag(&self) -> String {
        if self.lfs { self.sha256.to_hex() } else { self.oid.clone() }
    }
}

/// A repository at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// 40 hex digits over names and contents.
    pub(super) commit: String,
    pub(super) entries: BTreeMap<String, Arc<Entry>>,
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |e: io::Error| SourceError::io(format!("open upstream folder {}", path.display()), e);
        let path = path.canonicalize().map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        Ok(Self { path, dir })
    }

    fn folder(&self, repo: &RepoId) -> PathBuf {
        self.path.join(repo.kind().plural()).join(repo.id())
    }

    /// Is there such a repository?
    pub(super) fn has(&self, repo: &RepoId) -> bool {
        // A repository that is itself a link must stay inside.
        repo.owner().is_some()
            && self.folder(repo).canonicalize().is_ok_and(|p| p.starts_with(&self.path) && p.is_dir())
    }

    /// All repositories of a kind, by name.
    pub(super) fn repos(&self, kind: RepoKind) -> Result<Vec<RepoId>> {
        let mut out = Vec::new();
        for owner in names(&self.path.join(kind.plural()))? {
            for name in names(&self.path.join(kind.plural()).join(&owner))? {
                if let Ok(repo) = RepoId::new(kind, &format!("{owner}/{name}"))
                    && self.has(&repo)
                {
                    out.push(repo);
                }
            }
        }
        out.sort();
        Ok(out)
    }

    /// Opens a regular file without ever leaving the root, whatever links are put in the way meanwhile.
    fn open_beneath(&self, path: &Path) -> io::Result<File> {
        let relative = path.strip_prefix(&self.path).map_err(|_| io::ErrorKind::PermissionDenied)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = rustix::fs::openat2(&self.dir, relative, flags, Mode::empty(), ResolveFlags::BENEATH);
        let file = match opened {
            Ok(fd) => File::from(fd),
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
                // Kernels before 5.6: resolve first, then open what was resolved, following nothing.
                let real = path.canonicalize()?;
                if !real.starts_with(&self.path) {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                File::from(rustix::fs::open(&real, flags | OFlags::NOFOLLOW, Mode::empty())?)
            }
            Err(e) => return Err(e.into()),
        };
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// Opens the file of an entry, if its stamp still fits.
    pub(super) fn open_entry(&self, repo: &RepoId, entry: &Entry) -> Result<File> {
        let path = self.folder(repo).join(&entry.path);
        let failed = |e| SourceError::io(format!("open {}", path.display()), e);
        // Links with absolute targets may lead inside, but not through the descriptor walk.
        let real = path.canonicalize().map_err(failed)?;
        let file = self.open_beneath(&real).map_err(failed)?;
        if entry.stamp.fits(&file.metadata().map_err(failed)?) {
            return Ok(file);
        }
        Err(SourceError::Changed(format!("{repo}/{} changed on disk", entry.path)))
    }
}

/// Names of the entries of a folder that are UTF-8; none if there is no such folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    let failed = |e| SourceError::io(format!("list {}", folder.display()), e);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(failed(e)),
    };
    let mut out = Vec::new();
    for entry in entries {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            out.push(name);
        }
    }
    Ok(out)
}

impl Snapshot {
    /// Walks the folder, hashing what `old` does not know. Returns `old` itself if nothing changed.
    pub(super) fn take(root: &Root, repo: &RepoId, old: Option<Arc<Self>>) -> Result<Arc<Self>> {
        let folder = root.folder(repo);
        let mut files = Vec::new();
        walk(root, &folder, String::new(), 0, &mut files)?;
        let known = |path: &str, stamp: &Stamp| {
            old.as_ref().and_then(|o| o.entries.get(path)).filter(|e| e.stamp == *stamp).cloned()
        };
        let mut entries = BTreeMap::new();
        let mut fresh = Vec::new();
        let count = files.len();
        for (path, stamp) in files {
            match known(&path, &stamp) {
                Some(entry) => drop(entries.insert(path, entry)),
                None => fresh.push(path),
            }
        }
        let same = fresh.is_empty() && old.as_ref().is_some_and(|o| o.entries.len() == count);
        for entry in hash_all(root, &folder, &fresh)? {
            entries.insert(entry.path.clone(), Arc::new(entry));
        }
        if let (true, Some(old)) = (same, old) {
            return Ok(old);
        }
        let mut commit = Sha1::new();
        commit.update(format!("weighbridge tree 1\0{repo}\0"));
        for (path, entry) in &entries {
            commit.update((path.len() as u64).to_be_bytes());
            commit.update(path.as_bytes());
            commit.update(entry.sha256.0);
        }
        Ok(Arc::new(Self { commit: hex(&commit.finalize()), entries }))
    }
}

/// Collects regular files with their stamps. Folders are not followed through links.
fn walk(
    root: &Root,
    folder: &Path,
    prefix: String,
    depth: usize,
    out: &mut Vec<(String, Stamp)>,
) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(SourceError::Request(format!("{} is nested too deep", folder.display())));
    }
    for name in names(folder)? {
        if depth == 0 && SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let path = folder.join(&name);
        let relative = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let Ok(link) = fs::symlink_metadata(&path) else { continue };
        if link.is_dir() {
            walk(root, &path, relative, depth + 1, out)?;
            continue;
        }
        if link.file_type().is_fifo() || link.file_type().is_socket() || link.file_type().is_char_device() {
            continue;
        }
        let meta = if link.is_symlink() {
            // A link to a file inside is that file; any other link is not there.
            match path.canonicalize() {
                Ok(real) if real.starts_with(&root.path) => fs::metadata(&real).ok(),
                _ => None,
            }
        } else {
            Some(link)
        };
        if let Some(meta) = meta.filter(Metadata::is_file) {
            if out.len() >= MAX_FILES {
                return Err(SourceError::Request(format!(
                    "{} holds more than {MAX_FILES} files",
                    folder.display()
                )));
            }
            out.push((relative, Stamp::of(&meta)));
        }
    }
    Ok(())
}

/// Hashes files on all processors. One that is gone or replaced since the walk is left out.
fn hash_all(root: &Root, folder: &Path, files: &[String]) -> Result<Vec<Entry>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            match hash(root, folder, path) {
                Ok(entry) => done.push(entry),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(SourceError::io(format!("read {}", folder.join(path).display()), e)),
            }
        }
        Ok(done)
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(files.len());
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut all = work()?;
        for other in others {
            let ended = |_| SourceError::Internal("a hashing thread ended".into());
            all.extend(other.join().map_err(ended)??);
        }
        Ok(all)
    })
}

fn hash(root: &Root, folder: &Path, relative: &str) -> io::Result<Entry> {
    let path = folder.join(relative);
    let real = path.canonicalize()?;
    let mut file = root.open_beneath(&real)?;
    let before = file.metadata()?;
    let stamp = Stamp::of(&before);
    let lfs = is_lfs(relative, before.len());
    let mut sha256 = Sha256::new();
    let mut git = (!lfs).then(|| Sha1::new_with_prefix(format!("blob {}\0", before.len())));
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let n = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let part = buffer.get(..n).unwrap_or_default();
        sha256.update(part);
        if let Some(git) = &mut git {
            git.update(part);
        }
        size += n as u64;
    }
    if size != stamp.size || !stamp.fits(&file.metadata()?) {
        return Err(io::Error::other("the file changes while it is hashed; try again"));
    }
    let sha256 = Sha256Digest(sha256.finalize().into());
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n");
    let oid = match git {
        Some(git) => git.finalize(),
        None => Sha1::new_with_prefix(format!("blob {}\0{pointer}", pointer.len())).finalize(),
    };
    let pointer_size = pointer.len() as u64;
    Ok(Entry { path: relative.to_owned(), size, sha256, oid: hex(&oid), lfs, pointer_size, stamp })
}

fn is_lfs(path: &str, size: u64) -> bool {
    let extension =
        path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, e)| e.to_ascii_lowercase());
    size >= LFS_SIZE || extension.is_some_and(|e| LFS_EXTENSIONS.contains(&e.as_str()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}
