//! The engine touches nothing but the bytes it is given: no files, network, processes or environment in its sources.
//!
//! A textual check, on purpose: it holds for code behind any `cfg` and needs no allow-lists in the crates.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Crates between bytes and decision. `blob` is where files are the point.
const PURE: &[&str] = &["verdict", "pickle", "scan", "policy", "report"];
const FORBIDDEN: &[&str] = &["std::fs", "std::net", "std::process", "std::env::", "std::thread::spawn"];

/// What is wrong, one line a place.
pub fn check(root: &Path) -> io::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for name in PURE {
        let mut files = Vec::new();
        sources(&root.join("crates").join(name).join("src"), &mut files)?;
        if files.is_empty() {
            wrong.push(format!("crates/{name}: no sources found, is the list in xtask/src/purity.rs right?"));
        }
        for file in files {
            for (line, what) in impure(&fs::read_to_string(&file)?) {
                let shown = file.strip_prefix(root).unwrap_or(&file).display();
                wrong.push(format!("{shown}:{line}: {what} has no place in the engine"));
            }
        }
    }
    wrong.sort();
    Ok(wrong)
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Test modules may read their samples.
        if path.is_dir() && name != "tests" {
            sources(&path, out)?;
        } else if name.ends_with(".rs") && name != "tests.rs" && !name.ends_with("_tests.rs") {
            out.push(path);
        }
    }
    Ok(())
}

/// Lines (from 1) before the test module that name something forbidden outside comments.
fn impure(text: &str) -> Vec<(usize, &'static str)> {
    let code = text.lines().take_while(|l| l.trim() != "#[cfg(test)]");
    let mut out = Vec::new();
    for (i, line) in code.enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        out.extend(FORBIDDEN.iter().filter(|f| line.contains(**f)).map(|f| (i + 1, *f)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_files_and_sockets_but_not_in_comments_or_tests() {
        let text = "use std::fs::File;\n// std::net is not used\nfn f() { std::process::exit(1) }\n#[cfg(test)]\nmod t { use std::fs; }\n";
        assert_eq!(impure(text), [(1, "std::fs"), (3, "std::process")]);
    }

    #[test]
    fn the_engine_is_pure() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(check(root).unwrap(), Vec::<String>::new());
    }
}
