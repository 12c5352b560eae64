//! Modules that a repository supplies itself: a pickle names `helpers`, and `helpers.py` lies beside it.
//!
//! Loading such a pickle with the repository's folder on Python's path imports that file, whatever the catalogue knows
//! of names. Which folder is on the path is the loader's choice: every folder from the root down to the file counts.

/// The file among `siblings` that an import of `module` by the file at `path` could run, if there is one.
pub(crate) fn module_beside<'a>(module: &str, path: &str, siblings: &'a [String]) -> Option<&'a str> {
    let top = module.split('.').next().filter(|top| !top.is_empty())?;
    let folders = path.match_indices('/').map(|(at, _)| &path[..=at]);
    let folders: Vec<&str> = std::iter::once("").chain(folders).collect();
    siblings.iter().map(String::as_str).find(|sibling| {
        is_module(sibling)
            && folders.iter().any(|folder| sibling.strip_prefix(folder).is_some_and(|rest| names(rest, top)))
    })
}

/// True for files that Python imports.
pub fn is_module(path: &str) -> bool {
    [".py", ".pyc", ".so", ".pyd"].iter().any(|extension| path.ends_with(extension))
}

/// `top.py`, `top.cpython-312-x86_64-linux-gnu.so`, or anything in the package `top`.
fn names(path: &str, top: &str) -> bool {
    path.strip_prefix(top)
        .is_some_and(|rest| rest.starts_with('/') || (rest.starts_with('.') && !rest.contains('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_and_packages_up_to_the_root() {
        let siblings: Vec<String> =
            ["README.md", "helpers.py", "pkg/__init__.py", "sub/own.so", "deep/er/x.py", "data.txt"]
                .map(String::from)
                .to_vec();
        let found = |module, path| module_beside(module, path, &siblings);
        assert_eq!(found("helpers", "model.pkl"), Some("helpers.py"));
        assert_eq!(found("helpers.Tree", "sub/model.pkl"), Some("helpers.py"));
        assert_eq!(found("pkg.tree", "model.pkl"), Some("pkg/__init__.py"));
        assert_eq!(found("own", "sub/model.pkl"), Some("sub/own.so"));
        assert_eq!(found("own", "model.pkl"), None);
        assert_eq!(found("help", "model.pkl"), None);
        assert_eq!(found("data", "model.pkl"), None);
        assert_eq!(found("", "model.pkl"), None);
    }
}
