//! [`DataDir`]: the folder that holds everything, its lock and its secrets.

use crate::{Result, StoreError};
use hmac::{Hmac, KeyInit, Mac};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The open and locked data folder (`--data`). Mode 0700. Clones share the lock, which ends with the
/// last of them (or with the process, however that ends).
///
/// ```text
/// DATA/weighbridge.db   database (WAL)
/// DATA/blobs/ab/<sha256>
/// DATA/spool/           quarantine, emptied at start
/// DATA/admin-token      0600, made at first start
/// DATA/audit-key        0600, made at first start
/// DATA/lock
/// ```
#[derive(Debug, Clone)]
pub struct DataDir {
    root: PathBuf,
    admin_token: Arc<str>,
    audit_key: AuditKey,
    _lock: Arc<File>,
}

/// Key under which requesters are named in the audit. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct AuditKey([u8; 32]);

impl std::fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditKey(redacted)")
    }
}

impl AuditKey {
    /// The key itself, for hashing tokens (`Token::hash`).
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// "Who" in the audit: the first 16 bytes of a keyed hash of the token, or `anonymous`, then
    /// `@` and the source address.
    pub fn who(&self, token_hash: Option<&[u8; 32]>, source: IpAddr) -> String {
        let Some(token_hash) = token_hash else { return format!("anonymous@{source}") };
        let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(&self.0) else {
            return format!("unknown@{source}"); // unreachable: HMAC takes keys of any length
        };
        mac.update(b"weighbridge who\0");
        mac.update(token_hash);
        let digest = mac.finalize().into_bytes();
        format!("{}@{source}", hex(digest.get(..16).unwrap_or_default()))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

impl DataDir {
    /// Opens the folder, making it (0700), its sub-folders and secrets where missing, and takes the lock.
    /// Leftovers in `spool/` are removed.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process has it; [`StoreError::Io`] with the path otherwise.
    pub fn open(root: &Path) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(|e| StoreError::io("create data folder", root, e))?;
        let root = root.canonicalize().map_err(|e| StoreError::io("open data folder", root, e))?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700))
            .map_err(|e| StoreError::io("restrict data folder", &root, e))?;
        let lock = lock(&root)?;
        for sub in ["blobs", "spool"] {
            let path = root.join(sub);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(|e| StoreError::io("create", path, e))?;
        }
        empty_spool(&root.join("spool"))?;
        let admin = secret(&root.join("admin-token"))?;
        let audit_key = AuditKey(secret_bytes(&root.join("audit-key"))?);
        Ok(Self { root, admin_token: admin.into(), audit_key, _lock: Arc::new(lock) })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// `DATA/weighbridge.db`.
    pub fn database(&self) -> PathBuf {
        self.root.join("weighbridge.db")
    }

    /// The admin token: 64 hex digits, 256 random bits.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// The key that names requesters in the audit.
    pub fn audit_key(&self) -> &AuditKey {
        &self.audit_key
    }
}

fn lock(root: &Path) -> Result<File> {
    let path = root.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|e| StoreError::io("open", &path, e))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Locked(root.into())),
        Err(e) => Err(StoreError::io("lock", path, e.into())),
    }
}

fn empty_spool(spool: &Path) -> Result<()> {
    let entries = fs::read_dir(spool).map_err(|e| StoreError::io("list", spool, e))?;
    for entry in entries {
        let path = entry.map_err(|e| StoreError::io("list", spool, e))?.path();
        fs::remove_file(&path).map_err(|e| StoreError::io("remove leftover", path, e))?;
    }
    Ok(())
}

/// Reads a secret of 64 hex digits, or makes one: written whole under another name first, so that a
/// crash leaves either none or a good one.
fn secret(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let text = text.trim();
            if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                let why = "expected 64 hex digits; restore it from a backup or remove it to make a new one";
                return Err(StoreError::io("read", path, std::io::Error::other(why)));
            }
            Ok(text.to_ascii_lowercase())
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let text = hex(&random::<32>()?);
            let temporary = path.with_extension("new");
            let write = || -> std::io::Result<()> {
                let mut options = OpenOptions::new();
                let mut file =
                    options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
                file.write_all(text.as_bytes())?;
                file.write_all(b"\n")?;
                file.sync_all()?;
                fs::rename(&temporary, path)
            };
            write().map_err(|e| StoreError::io("write", path, e))?;
            Ok(text)
        }
        Err(e) => Err(StoreError::io("read", path, e)),
    }
}

fn secret_bytes(path: &Path) -> Result<[u8; 32]> {
    let text = secret(path)?;
    let digest: wb_blob::Sha256Digest =
        text.parse().map_err(|e| StoreError::io("read", path, std::io::Error::other(e)))?;
    Ok(digest.0)
}

/// Bytes from the operating system's generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| StoreError::io("read random bytes from", "the system", std::io::Error::other(e)))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn secrets_are_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        let first = DataDir::open(&root).unwrap();
        let token = first.admin_token().to_owned();
        let key = first.audit_key().clone();
        assert_eq!(token.len(), 64);
        assert_ne!(token, hex(key.bytes()));
        assert_eq!(mode(&root), 0o700);
        assert_eq!(mode(&root.join("admin-token")), 0o600);
        assert_eq!(mode(&root.join("audit-key")), 0o600);
        drop(first);
        let second = DataDir::open(&root).unwrap();
        assert_eq!(second.admin_token(), token);
        assert_eq!(*second.audit_key(), key);
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(StoreError::Locked(_))));
        drop(first);
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn a_damaged_secret_is_not_silently_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("admin-token"), "short").unwrap();
        assert!(DataDir::open(dir.path()).is_err());
    }

    #[test]
    fn leftovers_in_the_spool_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataDir::open(dir.path()).unwrap());
        let left = dir.path().join("spool/.tmpAbc");
        fs::write(&left, "half a file").unwrap();
        let _data = DataDir::open(dir.path()).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn who_is_stable_and_names_no_token() {
        let key = AuditKey([7; 32]);
        let ip = IpAddr::from([192, 0, 2, 1]);
        let who = key.who(Some(&[1; 32]), ip);
        assert_eq!(who, key.who(Some(&[1; 32]), ip));
        assert_ne!(who, key.who(Some(&[2; 32]), ip));
        assert_ne!(who, AuditKey([8; 32]).who(Some(&[1; 32]), ip));
        assert!(who.ends_with("@192.0.2.1"));
        assert_eq!(key.who(None, ip), "anonymous@192.0.2.1");
    }
}
