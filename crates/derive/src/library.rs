//! The Python sources of one version of one distribution, by module.

use std::collections::{BTreeMap, BTreeSet};

/// A module's source.
#[derive(Debug, Clone)]
pub struct Source {
    /// True for `__init__.py`.
    pub is_package: bool,
    /// The file as it is.
    pub text: Vec<u8>,
}

/// The sources of one version.
#[derive(Debug, Clone, Default)]
pub struct Library {
    /// The distribution's name, as in the package index.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Modules written in Python.
    pub sources: BTreeMap<String, Source>,
    /// Modules compiled from another language.
    pub compiled: BTreeSet<String>,
}

impl Library {
    /// An empty library.
    pub fn new(name: &str, version: &str) -> Self {
        Self { name: name.into(), version: version.into(), ..Self::default() }
    }

    /// Adds a file by its path below the folder that is on the import path. Files that no import finds are left
    /// out; so are tests, which people do not pickle classes of.
    pub fn add(&mut self, path: &str, text: impl FnOnce() -> Option<Vec<u8>>) {
        let Some((stem, kind)) = module_of(path) else { return };
        if stem.split('.').any(|part| matches!(part, "tests" | "testing_data" | "conftest")) {
            return;
        }
        match kind {
            Kind::Compiled => {
                self.compiled.insert(stem);
            }
            Kind::Module | Kind::Package => {
                if let Some(text) = text() {
                    self.sources.insert(stem, Source { is_package: kind == Kind::Package, text });
                }
            }
        }
    }

    /// True if an import of `module` finds something of this library.
    pub fn has(&self, module: &str) -> bool {
        self.sources.contains_key(module) || self.compiled.contains(module)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Module,
    Package,
    Compiled,
}

/// The module a path is imported as.
fn module_of(path: &str) -> Option<(String, Kind)> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let (stem, kind) = match file.rsplit_once('.')? {
        ("__init__", "py") => ("", Kind::Package),
        (stem, "py") => (stem, Kind::Module),
        // `name.cpython-311-x86_64-linux-gnu.so`
        (stem, "so" | "pyd") => (stem.split('.').next()?, Kind::Compiled),
        _ => return None,
    };
    let parts: Vec<&str> = folder.split('/').chain([stem]).filter(|p| !p.is_empty()).collect();
    let importable =
        |p: &&str| p.chars().all(|c| c.is_alphanumeric() || c == '_') && !p.starts_with(char::is_numeric);
    (!parts.is_empty() && parts.iter().all(importable)).then(|| (parts.join("."), kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_modules() {
        let of = |p: &str| module_of(p).map(|(m, _)| m);
        assert_eq!(of("a/b/c.py").as_deref(), Some("a.b.c"));
        assert_eq!(of("a/__init__.py").as_deref(), Some("a"));
        assert_eq!(of("a/_x.cpython-311-x86_64-linux-gnu.so").as_deref(), Some("a._x"));
        assert_eq!(of("a-1.0.dist-info/METADATA"), None);
        assert_eq!(of("a-1.0.data/purelib/b.py"), None);
    }
}
