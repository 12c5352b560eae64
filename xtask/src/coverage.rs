//! `docs/coverage.md`: per format which loaders open it, what is judged, what is not, and how many recipes test it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use wb_recipes::read_all;
use wb_scan::formats::{Coverage, REGISTRY, coverage, recognised};
use wb_scan::rules::RULES;

/// Recipes of one folder: hostile, twins, others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    hostile: usize,
    twins: usize,
    others: usize,
}

/// The page. Fails while a format says nothing of itself, or recipes belong to no format.
pub fn page(corpus: &Path) -> Result<String, String> {
    let counts = counts(corpus)?;
    let (rows, silent) = rows();
    if !silent.is_empty() {
        let text = "formats without a `coverage`, see CONTRIBUTING.md, \"Adding a format\"";
        return Err(format!("{text}: {}", silent.join(", ")));
    }
    let all = rows.iter().map(|(c, _)| *c).chain(coverage::ACROSS.iter().copied());
    let named: BTreeSet<&str> = all.flat_map(|c| c.corpus.iter().copied()).collect();
    let there: BTreeSet<&str> = counts.keys().map(String::as_str).collect();
    // Recipes of formats that are recognised only belong to nobody here.
    if let Some(folder) = named.difference(&there).next() {
        return Err(format!("a coverage names corpus/{folder}, which holds no recipe"));
    }
    let mut out = String::from(HEAD);
    out.push_str("\n## Judged\n\n");
    table(&mut out, &rows, &counts);
    out.push_str("\n## Judged across formats\n\n");
    let across: Vec<(&Coverage, Vec<&str>)> = coverage::ACROSS.iter().map(|c| (*c, c.ids.to_vec())).collect();
    table(&mut out, &across, &counts);
    out.push_str(RECOGNISED);
    let ids: Vec<String> = recognised().iter().map(|id| format!("`{id}`")).collect();
    let _ = writeln!(out, "{}.", ids.join(", "));
    out.push_str("\n## Recipes\n\n| folder | hostile | benign twins | others |\n|---|---|---|---|\n");
    let mut sum = Count::default();
    for (folder, n) in &counts {
        let _ = writeln!(out, "| {folder} | {} | {} | {} |", n.hostile, n.twins, n.others);
        sum = add(sum, *n);
    }
    let _ = writeln!(out, "| all | {} | {} | {} |", sum.hostile, sum.twins, sum.others);
    threats(&mut out);
    Ok(out)
}

const HEAD: &str = "# Coverage\n\nWritten by `cargo xtask docs` from what each format says of itself; see CONTRIBUTING.md. \
\"Recipes\" counts hostile files and their benign twins in `corpus/`; every twin differs only in the payload and must be let through. \
What cuts across all of it stands in [known-gaps.md](known-gaps.md).\n";

const RECOGNISED: &str = "\n## Recognised only\n\nTold by their content, `unsupported`, and blocked by the profile `default`. Nothing in them is judged: ";

/// Rows in the order of the registry, with the ids that reports show; and formats that say nothing.
fn rows() -> (Vec<(&'static Coverage, Vec<&'static str>)>, Vec<&'static str>) {
    let mut rows: Vec<(&'static Coverage, Vec<&'static str>)> = Vec::new();
    let mut silent = Vec::new();
    for format in REGISTRY.iter().filter(|f| f.id() != "recognised") {
        let Some(coverage) = format.coverage() else {
            silent.push(format.id());
            continue;
        };
        match rows.iter_mut().find(|(c, _)| std::ptr::eq(*c, coverage)) {
            Some((_, ids)) => ids.push(format.id()),
            None => rows.push((coverage, vec![format.id()])),
        }
    }
    for (coverage, ids) in &mut rows {
        ids.extend(coverage.ids);
    }
    (rows, silent)
}

fn table(out: &mut String, rows: &[(&Coverage, Vec<&str>)], counts: &BTreeMap<String, Count>) {
    out.push_str("| format | opened by | judged | blind spots | recipes |\n|---|---|---|---|---|\n");
    for (c, ids) in rows {
        let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
        let ids = if ids.is_empty() { String::new() } else { format!(" ({})", ids.join(", ")) };
        let n = c.corpus.iter().filter_map(|f| counts.get(*f)).fold(Count::default(), |a, n| add(a, *n));
        let recipes = match (n.hostile, n.twins) {
            (0, 0) => "with others".to_string(),
            (hostile, twins) => format!("{hostile} + {twins}"),
        };
        let cells =
            [&format!("{}{ids}", c.title), c.loaders, c.judged, c.blind].map(|t| t.replace('|', "\\|"));
        let _ = writeln!(out, "| {} | {recipes} |", cells.join(" | "));
    }
}

/// Threats by the ids of public lists.
fn threats(out: &mut String) {
    let mut by_pait: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut by_cwe: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for rule in RULES {
        if let Some(pait) = rule.pait {
            by_pait.entry(pait).or_default().push(rule.id);
        }
        if let Some(cwe) = rule.cwe {
            by_cwe.entry(cwe).or_default().push(rule.id);
        }
    }
    let link = |ids: &[&str]| {
        let links: Vec<String> = ids.iter().map(|id| format!("[{id}](rules/{id}.md)")).collect();
        links.join(", ")
    };
    out.push_str("\n## Threats\n\nEvery rule has a CWE and an ATLAS technique on its page; here by PAIT id and by CWE.\n\n");
    out.push_str("| threat | rules |\n|---|---|\n");
    for (pait, ids) in by_pait {
        let _ = writeln!(out, "| {pait} | {} |", link(&ids));
    }
    for (cwe, ids) in by_cwe {
        let url = format!("https://cwe.mitre.org/data/definitions/{cwe}.html");
        let _ = writeln!(out, "| [CWE-{cwe}]({url}) | {} |", link(&ids));
    }
}

fn add(a: Count, b: Count) -> Count {
    Count { hostile: a.hostile + b.hostile, twins: a.twins + b.twins, others: a.others + b.others }
}

fn counts(corpus: &Path) -> Result<BTreeMap<String, Count>, String> {
    let mut out: BTreeMap<String, Count> = BTreeMap::new();
    for recipe in read_all(corpus).map_err(|e| e.to_string())? {
        let n = out.entry(recipe.format.clone()).or_default();
        match recipe.expected.is_hostile() {
            // Every hostile recipe has a twin: the reader of recipes insists.
            true => *n = add(*n, Count { hostile: 1, twins: 1, others: 0 }),
            false => n.others += 1,
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_says_what_is_judged() {
        let (rows, silent) = rows();
        assert!(silent.is_empty(), "formats without a coverage: {silent:?}");
        for (c, ids) in
            rows.iter().map(|(c, ids)| (*c, ids.len())).chain(coverage::ACROSS.iter().map(|c| (*c, 1)))
        {
            assert!(ids > 0 && !c.title.is_empty() && !c.loaders.is_empty() && c.judged.len() > 10, "{c:?}");
            assert!(!c.judged.ends_with('.') && !c.blind.ends_with('.'), "{c:?}");
        }
    }

    #[test]
    fn the_page_lists_formats_and_counts_recipes() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
        let page = page(&corpus).unwrap();
        for format in REGISTRY.iter().filter(|f| f.id() != "recognised") {
            assert!(page.contains(&format!("`{}`", format.id())), "{}", format.id());
        }
        for id in recognised() {
            assert!(page.contains(&format!("`{id}`")), "{id}");
        }
        let counts = counts(&corpus).unwrap();
        assert!(counts["pickle"].hostile > 50 && counts["pickle"].twins == counts["pickle"].hostile);
        assert!(RULES.iter().all(|r| page.contains(&format!("(rules/{}.md)", r.id))));
    }
}
