//! Files beside a file: where a name that it holds leads to in its own repository.
//!
//! Modules that a repository supplies itself: a pickle names `helpers`, and `helpers.py` lies beside it.
//! Loading such a pickle with the repository's folder on Python's path imports that file, whatever the catalogue knows
//! of names. Which folder is on the path is the loader's choice: every folder from the root down to the file counts.

use std::collections::HashSet;

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

/// The file that a module named by the configuration at `path` means: in the same folder, in a folder of a part beside
/// it, or at the root.
pub(crate) fn code_beside<'a>(module: &str, path: &str, siblings: &'a [String]) -> Option<&'a str> {
    let folder = folder(path);
    let file = format!("{module}.py");
    let fits = |s: &str| {
        let part = s.strip_prefix(folder).and_then(|rest| rest.strip_suffix(&file));
        s == file || part.is_some_and(|part| part.ends_with('/') && part.matches('/').count() == 1)
    };
    siblings
        .iter()
        .map(String::as_str)
        .find(|s| *s == format!("{folder}{file}"))
        .or_else(|| siblings.iter().map(String::as_str).find(|s| fits(s)))
}

/// The folder of a path, with its slash; empty at the root.
pub(crate) fn folder(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..=at])
}

/// The files that `import name` in the file at `path` runs, as far as they are there: the module and the packages around
/// it. An absolute name may start in every folder from the root down; which one is the loader's choice.
pub(crate) fn imported(name: &str, path: &str, there: &HashSet<&str>) -> Vec<String> {
    let dots = name.len() - name.trim_start_matches('.').len();
    let parts: Vec<&str> = name.trim_start_matches('.').split('.').filter(|p| !p.is_empty()).collect();
    let mut bases: Vec<&str> = Vec::new();
    if dots == 0 {
        bases.push("");
        bases.extend(path.match_indices('/').map(|(at, _)| &path[..=at]));
    } else {
        let mut base = folder(path);
        for _ in 1..dots {
            if base.is_empty() {
                return Vec::new();
            }
            base = folder(&base[..base.len() - 1]);
        }
        bases.push(base);
    }
    let mut found = Vec::new();
    let mut add = |file: String| {
        if there.contains(file.as_str()) && !found.contains(&file) {
            found.push(file);
        }
    };
    for base in bases {
        if dots > 0 {
            add(format!("{base}__init__.py"));
        }
        for end in 1..=parts.len() {
            let stem = format!("{base}{}", parts[..end].join("/"));
            add(format!("{stem}.py"));
            add(format!("{stem}/__init__.py"));
        }
    }
    found.retain(|f| f != path);
    found
}

/// The file beside `path` that a relative import names, as a library that fetches modules one by one takes it.
pub(crate) fn relative_file(name: &str, path: &str) -> Option<String> {
    let module = name.strip_prefix('.')?.split('.').next().filter(|m| !m.is_empty())?;
    Some(format!("{}{module}.py", folder(path)))
}

/// True if some configuration or index among `siblings` may name the file at `path`.
pub fn may_be_named(path: &str, siblings: &[String]) -> bool {
    !namers(path, siblings).is_empty()
}

/// Configurations and indexes that may name the file at `path`, by their usual names.
pub(crate) fn namers<'a>(path: &str, siblings: &'a [String]) -> Vec<&'a str> {
    const CONFIGURATIONS: [&str; 11] = [
        "config.json",
        "tokenizer_config.json",
        "processor_config.json",
        "preprocessor_config.json",
        "generation_config.json",
        "adapter_config.json",
        "configuration.json",
        "modules.json",
        "model_index.json",
        "MLmodel",
        "config_sentence_transformers.json",
    ];
    let python = path.ends_with(".py");
    let shard = is_shard(path);
    if !python && !shard {
        return Vec::new();
    }
    let names = |s: &&str| {
        let (place, file) = (folder(s), &s[folder(s).len()..]);
        match python {
            true => path.starts_with(place) && CONFIGURATIONS.contains(&file),
            false => place == folder(path) && file.ends_with(".index.json"),
        }
    };
    siblings.iter().map(String::as_str).filter(names).collect()
}

/// `…-00001-of-00003.safetensors` and the like.
fn is_shard(path: &str) -> bool {
    let Some((front, back)) = path.rsplit_once("-of-") else { return false };
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let number = front.rsplit('-').next().unwrap_or("");
    digits(back) >= 2 && !number.is_empty() && digits(number) == number.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_named_file_is_looked_for() {
        let siblings: Vec<String> =
            ["a/net.py", "net.py", "unet/part.py", "deep/er/x.py", "net.txt"].map(String::from).to_vec();
        let found = |module: &str, path: &str| code_beside(module, path, &siblings);
        assert_eq!(found("net", "config.json"), Some("net.py"));
        assert_eq!(found("net", "a/config.json"), Some("a/net.py"));
        assert_eq!(found("part", "model_index.json"), Some("unet/part.py"));
        assert_eq!(found("x", "config.json"), None);
        assert_eq!(found("other", "config.json"), None);
    }

    #[test]
    fn what_an_import_runs() {
        let files = ["a.py", "p/__init__.py", "p/b.py", "p/q/__init__.py", "p/q/c.py", "n/d.py"];
        let there: HashSet<&str> = files.into_iter().collect();
        let found = |name, path| imported(name, path, &there).join(" ");
        assert_eq!(found(".a.Net", "m.py"), "a.py");
        assert_eq!(found("p.q.c", "m.py"), "p/__init__.py p/q/__init__.py p/q/c.py");
        assert_eq!(found(".b", "p/q/c.py"), "p/q/__init__.py");
        assert_eq!(found("..b.f", "p/q/c.py"), "p/__init__.py p/b.py");
        assert_eq!(found("a", "p/q/c.py"), "a.py");
        assert_eq!(found("n.d", "m.py"), "n/d.py", "a folder without __init__ is a package too");
        assert_eq!(
            (found("torch.nn", "m.py"), found("...x", "m.py"), found("a", "a.py")),
            Default::default()
        );
    }

    #[test]
    fn who_may_name_a_file() {
        let siblings =
            ["config.json", "sub/MLmodel", "w.safetensors.index.json", "data.json"].map(String::from);
        assert_eq!(namers("net.py", &siblings), ["config.json"]);
        assert_eq!(namers("sub/code/net.py", &siblings), ["config.json", "sub/MLmodel"]);
        assert_eq!(namers("w-00001-of-00002.safetensors", &siblings), ["w.safetensors.index.json"]);
        assert_eq!(namers("one-of-many.bin", &siblings), [""; 0]);
    }

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
