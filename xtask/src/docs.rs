//! `cargo xtask docs`: one page a rule in `docs/rules/`, written from the rules themselves, and `docs/coverage.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use wb_scan::rules::RULES;
use wb_verdict::{Family, Rule};

/// Writes the pages; with `--check` only says which are stale.
pub fn command(args: &[String]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no parent folder")?;
    let dir = root.join("docs/rules");
    let pages = pages(RULES);
    let stale = stale(&dir, &pages).map_err(|e| format!("{}: {e}", dir.display()))?;
    let coverage = root.join("docs/coverage.md");
    let text = crate::coverage::page(&root.join("corpus"))?;
    let told = fs::read_to_string(&coverage).ok().as_ref() == Some(&text);
    if args.iter().any(|a| a == "--check") {
        if !told {
            return Err("docs/coverage.md is stale\nrun: cargo xtask docs".into());
        }
        if stale.is_empty() {
            say!("docs: {} pages are up to date", pages.len() + 1);
            return Ok(());
        }
        return Err(format!("docs/rules is stale: {}\nrun: cargo xtask docs", stale.join(", ")));
    }
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    for name in &stale {
        let path = dir.join(name);
        match pages.get(name) {
            Some(text) => fs::write(&path, text),
            None => fs::remove_file(&path),
        }
        .map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if !told {
        fs::write(&coverage, text).map_err(|e| format!("{}: {e}", coverage.display()))?;
    }
    say!("docs: {} pages, {} changed", pages.len() + 1, stale.len() + usize::from(!told));
    Ok(())
}

/// Names of pages that differ from what is on disk, or are no rule's.
fn stale(dir: &Path, pages: &BTreeMap<String, String>) -> std::io::Result<Vec<String>> {
    let mut stale: Vec<String> = pages
        .iter()
        .filter(|(name, text)| fs::read_to_string(dir.join(name)).ok().as_ref() != Some(text))
        .map(|(name, _)| name.clone())
        .collect();
    if dir.is_dir() {
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".md") && !pages.contains_key(&name) {
                stale.push(name);
            }
        }
    }
    stale.sort();
    Ok(stale)
}

/// All pages by file name, with an index.
fn pages(rules: &[&Rule]) -> BTreeMap<String, String> {
    let mut pages: BTreeMap<String, String> =
        rules.iter().map(|r| (format!("{}.md", r.id), page(r))).collect();
    pages.insert("README.md".into(), index(rules));
    pages
}

fn index(rules: &[&Rule]) -> String {
    let mut out = String::from(
        "# Rules\n\nWritten by `cargo xtask docs` from the rules themselves. Ids are stable and never reused.\n",
    );
    for family in Family::ALL {
        let mut of: Vec<_> = rules.iter().filter(|r| r.family == family).collect();
        if of.is_empty() {
            continue;
        }
        of.sort_by_key(|r| r.id);
        let _ = write!(out, "\n## {family}\n\n| rule | finds | severity | verdict |\n|---|---|---|---|\n");
        for r in of {
            let _ = writeln!(
                out,
                "| [{0}]({0}.md) | {1} | {2} | {3} |",
                r.id,
                cell(r.title),
                r.severity,
                r.verdict
            );
        }
    }
    out
}

fn page(r: &Rule) -> String {
    let mut out = format!("# {}: {}\n\n", r.id, r.title);
    let _ = write!(
        out,
        "| | |\n|---|---|\n| family | {} |\n| severity | {} |\n| confidence | {} |\n| verdict at least | {} |\n",
        r.family, r.severity, r.confidence, r.verdict
    );
    if let Some(id) = r.pait {
        let _ = writeln!(out, "| PAIT | {id} |");
    }
    if let Some(n) = r.cwe {
        let _ = writeln!(out, "| CWE | [CWE-{n}](https://cwe.mitre.org/data/definitions/{n}.html) |");
    }
    if let Some(id) = r.atlas {
        let _ = writeln!(out, "| MITRE ATLAS | [{id}](https://atlas.mitre.org/techniques/{id}) |");
    }
    for (title, text) in [("What it finds", r.what), ("Why that is bad", r.why), ("What to do", r.fix)] {
        let _ = write!(out, "\n## {title}\n\n{}\n", sentence(text));
    }
    if !r.references.is_empty() {
        out.push_str("\n## References\n\n");
        for reference in r.references {
            let _ = writeln!(
                out,
                "- {}",
                if reference.starts_with("http") { format!("<{reference}>") } else { (*reference).into() }
            );
        }
    }
    out
}

/// Rule texts are words on screen, lower-case without a trailing dot: pages are prose.
fn sentence(text: &str) -> String {
    text.split(". ")
        .map(|s| {
            let mut chars = s.chars();
            chars.next().map(|c| c.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default()
        })
        .collect::<Vec<_>>()
        .join(". ")
        + if text.ends_with('.') { "" } else { "." }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_page_and_a_row() {
        let pages = pages(RULES);
        assert_eq!(pages.len(), RULES.len() + 1);
        for r in RULES {
            assert!(pages["README.md"].contains(&format!("[{0}]({0}.md)", r.id)), "{}", r.id);
        }
    }

    #[test]
    fn prose() {
        assert_eq!(sentence("do not load this. ask"), "Do not load this. Ask.");
    }

    #[test]
    fn changed_missing_and_left_over_pages_are_stale() {
        let dir = tempfile::tempdir().unwrap();
        let pages = BTreeMap::from([("a.md".into(), "a".into()), ("b.md".into(), "b".into())]);
        fs::write(dir.path().join("a.md"), "a").unwrap();
        fs::write(dir.path().join("old.md"), "x").unwrap();
        assert_eq!(stale(dir.path(), &pages).unwrap(), ["b.md", "old.md"]);
    }
}
