//! Reads a labelled folder: hostile cases by `manifest.tsv`, honest files by folder or tarball.
//!
//! ```text
//! DIR/manifest.tsv or DIR/malicious/manifest.tsv   id path expected_verdict … format expected_call …
//!     beside it the cases, unpacked or as cases.tar.xz
//! DIR/benign/**                                    honest files, unpacked or in *.tar.xz
//! DIR/benign/by-design.tsv                         path, reason: honest files that carry code
//! DIR/benign/formats.tsv                           path, format, and `unsupported` if so
//! ```
//! The first line of a `.tsv` that is no `#` comment names its columns. A hostile path may be a file or a folder.

use crate::{Case, Content, Error, Label, Sample};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

/// Files below a folder: relative path and content.
type Tree = BTreeMap<String, Content>;

/// Unpacked tarballs may be this large in all (bytes).
const MAX_UNPACKED: u64 = 2 << 30;

/// All cases of `dir`; an empty folder is an error.
pub fn labelled(dir: &Path) -> Result<Vec<Case>, Error> {
    let mut cases = Vec::new();
    for root in [dir.to_path_buf(), dir.join("malicious")] {
        if root.join("manifest.tsv").is_file() {
            hostile(&root, &mut cases)?;
        }
    }
    let benign_dir = dir.join("benign");
    if benign_dir.is_dir() {
        benign(&benign_dir, &mut cases)?;
    }
    if cases.is_empty() {
        return Err(Error::new(format!(
            "{}: no labelled files found; a labelled folder has a manifest.tsv or a folder benign/",
            dir.display()
        )));
    }
    Ok(cases)
}

fn hostile(root: &Path, cases: &mut Vec<Case>) -> Result<(), Error> {
    let tree = tree(root)?;
    for row in read_tsv(&root.join("manifest.tsv"))? {
        let get = |column: &str| row.get(column).cloned().unwrap_or_default();
        let (id, path) = (get("id"), get("path"));
        let inside = format!("{path}/");
        let files: Vec<Sample> = tree
            .iter()
            .filter(|(p, _)| **p == path || p.starts_with(&inside))
            .map(|(p, content)| {
                let name = p.strip_prefix(&inside).unwrap_or(p.rsplit('/').next().unwrap_or(p));
                Sample { name: name.to_owned(), content: content.clone() }
            })
            .collect();
        if files.is_empty() {
            return Err(Error::new(format!("manifest.tsv: {id}: no file at {path}")).at(root.display()));
        }
        let expected_call = Some(get("expected_call")).filter(|c| !c.is_empty());
        cases.push(Case { id, label: Label::Hostile, format: get("format"), expected_call, files });
    }
    Ok(())
}

fn benign(dir: &Path, cases: &mut Vec<Case>) -> Result<(), Error> {
    let optional = |name: &str| {
        let path = dir.join(name);
        if path.is_file() { read_tsv(&path) } else { Ok(Vec::new()) }
    };
    let column = |row: &BTreeMap<String, String>, c: &str| row.get(c).cloned().unwrap_or_default();
    let by_design: BTreeSet<String> = optional("by-design.tsv")?.iter().map(|r| column(r, "path")).collect();
    let formats: BTreeMap<String, (String, bool)> = optional("formats.tsv")?
        .iter()
        .map(|r| (column(r, "path"), (column(r, "format"), column(r, "support") == "unsupported")))
        .collect();
    let mut seen = BTreeSet::new();
    for (path, content) in tree(dir)? {
        // The corpus's own lists are not samples.
        if !path.contains('/') && (path.ends_with(".tsv") || path.ends_with(".md") || path == "compact.txt") {
            continue;
        }
        let (format, unsupported) =
            formats.get(&path).cloned().unwrap_or_else(|| (extension(&path).to_owned(), false));
        let label = match (by_design.contains(&path), unsupported) {
            (_, true) => Label::Unsupported,
            (true, false) => Label::CarriesCode,
            (false, false) => Label::Benign,
        };
        let sample = Sample { name: path.clone(), content };
        seen.insert(path.clone());
        cases.push(Case { id: path, label, format, expected_call: None, files: vec![sample] });
    }
    if let Some(stale) = by_design.iter().chain(formats.keys()).find(|p| !seen.contains(*p)) {
        return Err(Error::new(format!("a list names {stale}, which is not there")).at(dir.display()));
    }
    Ok(())
}

fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or("none", |(_, e)| e)
}

/// Every regular file below `root`, tarballs (`*.tar.xz` directly in it) unpacked.
fn tree(root: &Path) -> Result<Tree, Error> {
    let mut out = Tree::new();
    walk(root, root, &mut out)?;
    let tarballs: Vec<String> =
        out.keys().filter(|p| p.ends_with(".tar.xz") && !p.contains('/')).cloned().collect();
    for name in tarballs {
        out.remove(&name);
        unpack(&root.join(&name), &mut out).map_err(|e| e.at(&name))?;
    }
    Ok(out)
}

fn walk(root: &Path, dir: &Path, out: &mut Tree) -> Result<(), Error> {
    for entry in std::fs::read_dir(dir).map_err(|e| Error::from(e).at(dir.display()))? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(root, &path, out)?;
        } else if kind.is_file() {
            let inside = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            out.insert(inside, Content::Path(path));
        }
    }
    Ok(())
}

fn unpack(path: &Path, out: &mut Tree) -> Result<(), Error> {
    let file = std::io::BufReader::new(std::fs::File::open(path)?);
    let mut files = Vec::new();
    let xz = lzma_rust2::XzReader::new(file, true).take(MAX_UNPACKED);
    for entry in tar::Archive::new(xz).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let name = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            files.push((name, bytes));
        }
    }
    // A tarball of one folder is that folder's content, unless the folder is `cases`, which manifests name.
    let first = files.first().and_then(|(n, _)| n.split_once('/')).map(|(top, _)| format!("{top}/"));
    let top =
        first.filter(|t| t != "cases/" && files.iter().all(|(n, _)| n.starts_with(t))).unwrap_or_default();
    for (name, bytes) in files {
        // An unpacked copy beside the tarball wins.
        out.entry(name[top.len()..].to_owned()).or_insert(Content::Bytes(bytes));
    }
    Ok(())
}

/// Reads a table of tab-separated values whose first line names the columns.
pub fn read_tsv(path: &Path) -> Result<Vec<BTreeMap<String, String>>, Error> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::from(e).at(path.display()))?;
    let mut lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    let columns: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    Ok(lines
        .map(|l| {
            columns
                .iter()
                .zip(l.split('\t'))
                .map(|(c, v)| ((*c).to_owned(), v.trim_matches('"').replace("\"\"", "\"")))
                .collect()
        })
        .collect())
}
