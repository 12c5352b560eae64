//! Downloads artefacts with pip, the package index's ordinary client. Wheels only: a source archive would be built,
//! that is, run.

use crate::pins::{Pin, check};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Downloads what is missing.
pub fn all(cache: &Path, pins: &[Pin], only: &[String]) -> Result<()> {
    std::fs::create_dir_all(cache).with_context(|| cache.display().to_string())?;
    let mut missing = Vec::new();
    for pin in pins.iter().filter(|p| only.is_empty() || only.contains(&p.name)) {
        for artefact in &pin.artefacts {
            let path = cache.join(&artefact.file);
            if !path.exists() {
                let Some(tags) = tags(&artefact.file) else {
                    missing.push(format!("{}: no wheel, left out", artefact.file));
                    continue;
                };
                let requirements = cache.join("requirements.txt");
                let line = format!("{}=={} --hash=sha256:{}\n", pin.name, artefact.version, artefact.sha256);
                std::fs::write(&requirements, line)?;
                let mut pip = Command::new("pip");
                pip.args([
                    "download",
                    "--quiet",
                    "--no-deps",
                    "--only-binary=:all:",
                    "--ignore-requires-python",
                ]);
                pip.args(["--require-hashes", "--dest"]).arg(cache).args(tags).arg("-r").arg(&requirements);
                let status = pip.status().context("cannot start pip")?;
                if !status.success() || !path.exists() {
                    missing.push(format!("{}: pip did not bring it", artefact.file));
                    continue;
                }
            }
            check(&std::fs::read(&path)?, artefact)?;
        }
    }
    if !missing.is_empty() {
        bail!("{} of the pinned artefacts are not in the cache:\n{}", missing.len(), missing.join("\n"));
    }
    Ok(())
}

/// What pip is told so that it takes exactly this wheel.
fn tags(file: &str) -> Option<Vec<String>> {
    let stem = file.strip_suffix(".whl")?;
    let mut parts = stem.rsplit('-');
    let (platform, abi, python) = (parts.next()?, parts.next()?, parts.next()?);
    let python = python.split('.').next_back()?;
    let (implementation, version) = python.split_at(python.len().min(2));
    let version = match version {
        "3" | "2" => format!("{version}.12"),
        v => format!("{}.{}", v.get(..1)?, v.get(1..)?),
    };
    let mut out = vec!["--implementation".into(), implementation.into(), "--python-version".into(), version];
    for abi in abi.split('.') {
        out.extend(["--abi".into(), abi.into()]);
    }
    for platform in platform.split('.') {
        out.extend(["--platform".into(), platform.into()]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_wheels_name_tells_what_to_ask_for() {
        let of = |f: &str| super::tags(f).map(|t| t.join(" "));
        assert_eq!(
            of("a-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl").as_deref(),
            Some(
                "--implementation cp --python-version 3.11 --abi cp311 --platform manylinux_2_17_x86_64 \
                 --platform manylinux2014_x86_64"
            )
        );
        assert_eq!(
            of("a-1.0-py2.py3-none-any.whl").as_deref(),
            Some("--implementation py --python-version 3.12 --abi none --platform any")
        );
        assert_eq!(of("a-1.0.tar.gz"), None);
    }
}
