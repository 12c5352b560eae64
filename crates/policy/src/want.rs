//! What a file makes its loader open, as its facts say it: not yet held against the files that are there.

use crate::unit::Link;
use wb_verdict::{FactKind, Facts};

/// One other file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    /// How the file comes to it.
    pub link: Link,
    /// Which.
    pub target: Target,
    /// The class or function named; empty if any.
    pub name: String,
    /// The loader reads up to here, in bytes; 0 if it is not told.
    pub length: u64,
}

/// How another file is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A module in the same folder, in that of a part, or at the root.
    Module(String),
    /// A dotted name in an import, with its leading dots.
    Import(String),
    /// Every Python file below this folder, which ends with a slash.
    Folder(String),
    /// A path inside the repository.
    Path(String),
    /// Repository and path.
    Elsewhere(String, String),
}

/// What the file at `path` makes a loader open.
pub(crate) fn wants(path: &str, facts: &Facts) -> Vec<Want> {
    let folder = path.rfind('/').map_or("", |at| &path[..=at]);
    let file = &path[folder.len()..];
    let (python, mlmodel) = (path.ends_with(".py"), file.eq_ignore_ascii_case("MLmodel"));
    let mut out: Vec<Want> = Vec::new();
    let mut add = |link, target, name: &str, length| {
        let want = Want { link, target, name: name.into(), length };
        if !out.contains(&want) {
            out.push(want);
        }
    };
    // Members of archives are loaded from the archive.
    for kind in facts.facts.iter().filter(|f| f.location.path.is_empty()).map(|f| &f.kind) {
        match kind {
            FactKind::Opens { code, repo, path: other, length } => match code.as_str() {
                "code-elsewhere" => {
                    add(Link::Imports, Target::Elsewhere(repo.clone(), other.clone()), "", 0);
                }
                "openvino-weights" => {
                    // Only an XML file has weights of its own name beside it.
                    if let Some(stem) = path.strip_suffix(".xml") {
                        add(Link::Takes, Target::Path(format!("{stem}.bin")), "", *length);
                    }
                }
                "saved-model-asset" if !file.starts_with("saved_model.") => {}
                _ => {
                    if let Some(other) = join(folder, other) {
                        add(Link::Takes, Target::Path(other), "", *length);
                    }
                }
            },
            FactKind::Names { module, name, .. } => {
                add(Link::Names, Target::Module(module.clone()), name, 0);
            }
            FactKind::Source { code, rendering, .. } if python && code == "imports" => {
                rendering.split(' ').for_each(|name| add(Link::Imports, Target::Import(name.into()), "", 0));
            }
            FactKind::Source { code, callable, .. } if mlmodel && code == "loader-module" => {
                add(Link::Imports, Target::Import(callable.clone()), "", 0);
            }
            FactKind::Source { code, callable, .. } if mlmodel && code == "model-code" => {
                let Some(other) = join(folder, callable) else { continue };
                if other.ends_with(".py") {
                    add(Link::Imports, Target::Path(other), "", 0);
                } else {
                    add(Link::Imports, Target::Folder(format!("{other}/")), "", 0);
                }
            }
            FactKind::Directive { code, detail } if code == "hydra-target" => {
                let target = detail.rsplit(": ").next().unwrap_or("");
                let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
                if !target.is_empty() && target.chars().all(plain) && !target.starts_with('.') {
                    add(Link::Imports, Target::Import(target.into()), "", 0);
                }
            }
            _ => {}
        }
    }
    out
}

/// A relative path below a folder; `None` if it leaves the repository, which is a finding of its own.
fn join(folder: &str, path: &str) -> Option<String> {
    let mut out: Vec<&str> = folder.split('/').filter(|s| !s.is_empty()).collect();
    if path.starts_with('/') || path.contains('\\') {
        return None;
    }
    // A folder is no file.
    if matches!(path.rsplit('/').next(), Some("" | "." | "..")) {
        return None;
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                out.pop()?;
            }
            part => out.push(part),
        }
    }
    (!out.is_empty()).then(|| out.join("/"))
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(join("", "a.bin").as_deref(), Some("a.bin"));
        assert_eq!(join("onnx/", "./w/../a.bin").as_deref(), Some("onnx/a.bin"));
        assert_eq!(join("onnx/", "../a.bin").as_deref(), Some("a.bin"));
        for bad in ["../../a", "/a", "a\\b", "", ".", "..", "w/", "../onnx/."] {
            assert_eq!(join("onnx/", bad), None, "{bad}");
        }
    }
}
