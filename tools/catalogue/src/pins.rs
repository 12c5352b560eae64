//! `versions.toml`, and the artefacts it names.

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::Path;
use wb_derive::{Library, read_wheel};

/// One distribution.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Its name in the package index.
    pub name: String,
    /// Its top-level modules.
    pub modules: Vec<String>,
    /// Names without a row are merely not known: too few of its names are proved.
    #[serde(default)]
    pub open: bool,
    /// What is read of it, oldest first.
    #[serde(rename = "artefact")]
    pub artefacts: Vec<Artefact>,
}

/// One version.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefact {
    /// The version.
    pub version: String,
    /// The file's name in the package index.
    pub file: String,
    /// Its digest, in hex.
    pub sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    distribution: Vec<Pin>,
}

/// Reads the pins.
pub fn read(path: &Path) -> Result<Vec<Pin>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let file: File = toml::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(file.distribution)
}

/// The sources of one artefact, if it is in the cache and a wheel. Its digest is checked.
pub fn open(cache: &Path, pin: &Pin, artefact: &Artefact) -> Result<Option<Library>> {
    let path = cache.join(&artefact.file);
    if !artefact.file.ends_with(".whl") || !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    check(&bytes, artefact)?;
    let library = read_wheel(&pin.name, &artefact.version, &bytes, "");
    library.map(Some).map_err(|e| anyhow!("{}: {e}", artefact.file))
}

/// Fails if a file is not the pinned one.
pub fn check(bytes: &[u8], artefact: &Artefact) -> Result<()> {
    let found: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    if found != artefact.sha256 {
        bail!("{}: its digest is {found}, pinned is {}", artefact.file, artefact.sha256);
    }
    Ok(())
}
