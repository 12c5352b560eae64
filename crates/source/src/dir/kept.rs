//! Digests that outlive the process: one file per repository in a private folder.
//!
//! They are believed as long as a file's stamp is the same, ctime included; a file that is missing or does not parse
//! only costs hashing anew.

use super::scan::{Entry, Snapshot, hex};
use sha1::{Digest, Sha1};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Version of the form; another one is not read.
const FORM: u32 = 1;

#[derive(serde::Serialize, serde::Deserialize)]
struct Kept<E> {
    form: u32,
    commit: String,
    entries: Vec<E>,
}

/// Where a repository's digests lie.
pub(super) fn place(folder: &Path, upstream: &str, repo: &crate::RepoId) -> PathBuf {
    folder.join(format!("{}.json", hex(&Sha1::digest(format!("{upstream}\0{repo}")))))
}

/// What was kept, if anything of use was.
pub(super) fn read(place: &Path) -> Option<Snapshot> {
    let kept: Kept<Entry> = serde_json::from_slice(&fs::read(place).ok()?).ok()?;
    let entries = kept.entries.into_iter().map(|e| (e.path.clone(), Arc::new(e))).collect();
    (kept.form == FORM).then_some(Snapshot { commit: kept.commit, entries })
}

/// Writes the state under another name first, so that a crash leaves the old or the new one.
pub(super) fn write(place: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let entries: Vec<&Entry> = snapshot.entries.values().map(AsRef::as_ref).collect();
    let json = serde_json::to_vec(&Kept { form: FORM, commit: snapshot.commit.clone(), entries })?;
    if let Some(folder) = place.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let temporary = place.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&json)?;
    fs::rename(&temporary, place)
}

/// A digest as hexadecimal text.
pub(super) mod digest {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use wb_blob::Sha256Digest;

    pub fn serialize<S: Serializer>(digest: &Sha256Digest, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&digest.to_hex())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Sha256Digest, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
