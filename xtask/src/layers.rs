//! Dependency arrows point one way.
//!
//! ```text
//! blob, verdict < pickle < scan < policy < report < sandbox < source, store < gateway < cli < xtask
//! ```
//! `source` knows blobs only and `store` knows verdicts and blobs only. `recipes` is test support: it makes hostile and
//! harmless files, so only tests, the demo and xtask may use it. Below `source` nothing may reach tokio: the engine
//! is a plain library.

use crate::purity;
use crate::run::{Env, quiet};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Layers, from the bottom.
const RANKS: &[(&str, u32)] = &[
    ("wb-blob", 0),
    ("wb-verdict", 0),
    ("wb-pickle", 1),
    ("wb-python", 1),
    ("wb-derive", 2),
    ("wb-scan", 2),
    ("wb-policy", 3),
    ("wb-difffuzz", 3),
    ("wb-report", 4),
    ("wb-sandbox", 5),
    ("wb-source", 6),
    ("wb-store", 6),
    ("wb-gateway", 7),
    ("weighbridge", 8),
    ("xtask", 9),
    ("catalogue-tool", 9),
];
/// Crates that may know less than their layer would allow.
const NARROW: &[(&str, &[&str])] = &[("wb-source", &["wb-blob"]), ("wb-store", &["wb-blob", "wb-verdict"])];
/// Test support.
const RECIPES: &str = "wb-recipes";
/// Crates that may use test support outside tests.
const RECIPE_USERS: &[&str] = &["weighbridge", "xtask"];
/// What nothing below `source` may reach.
const RUNTIMES: &[&str] = &["tokio", "async-std", "smol"];

/// A dependency between two packages, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    /// Who depends.
    pub from: String,
    /// On what.
    pub to: String,
    /// Only for tests.
    pub dev: bool,
}

/// `cargo xtask layers`.
pub fn command() -> Result<(), String> {
    let wrong = check_all(&Env::new()?)?;
    if wrong.is_empty() {
        say!("layers: every arrow points down, and the engine does no I/O");
        return Ok(());
    }
    Err(wrong.join("\n"))
}

/// What is wrong with this workspace.
pub fn check_all(env: &Env) -> Result<Vec<String>, String> {
    let mut wrong = check(&arrows(env)?);
    wrong.extend(purity::check(&env.root).map_err(|e| format!("cannot read the sources: {e}"))?);
    Ok(wrong)
}

/// All arrows of the workspace and of everything below it.
fn arrows(env: &Env) -> Result<Vec<Arrow>, String> {
    let args = ["metadata", "--format-version", "1", "--all-features", "--locked"];
    let mut command = env.cargo(&args);
    command.stderr(std::process::Stdio::inherit());
    let o = quiet(command).ok_or("cannot start cargo")?;
    let json: Value =
        serde_json::from_str(&o.text).map_err(|e| format!("cargo metadata: {e}\n{}", o.text))?;
    let name_of: BTreeMap<&str, &str> =
        list(&json["packages"]).filter_map(|p| Some((p["id"].as_str()?, p["name"].as_str()?))).collect();
    let mut arrows = BTreeSet::new();
    for node in list(&json["resolve"]["nodes"]) {
        let Some(from) = node["id"].as_str().and_then(|id| name_of.get(id)) else { continue };
        for dep in list(&node["deps"]) {
            let Some(to) = dep["pkg"].as_str().and_then(|id| name_of.get(id)) else { continue };
            for kind in list(&dep["dep_kinds"]) {
                arrows.insert(Arrow { from: (*from).into(), to: (*to).into(), dev: kind["kind"] == "dev" });
            }
        }
    }
    Ok(arrows.into_iter().collect())
}

fn list(v: &Value) -> impl Iterator<Item = &Value> {
    v.as_array().into_iter().flatten()
}

/// What is wrong with a graph, one line a fault; empty when nothing is.
pub fn check(arrows: &[Arrow]) -> Vec<String> {
    let rank = |name: &str| RANKS.iter().find(|(n, _)| *n == name).map(|(_, r)| *r);
    let ours =
        |name: &str| name == RECIPES || name == "xtask" || name == "weighbridge" || name.starts_with("wb-");
    let mut wrong = Vec::new();
    for a in arrows.iter().filter(|a| ours(&a.from) && ours(&a.to)) {
        for name in [&a.from, &a.to] {
            if rank(name).is_none() && name != RECIPES {
                wrong.push(format!("{name} has no layer: add it to RANKS in xtask/src/layers.rs"));
            }
        }
        if a.to == RECIPES {
            if !a.dev && !RECIPE_USERS.contains(&a.from.as_str()) {
                wrong.push(format!("{} -> {RECIPES}: test support may only be a dev-dependency", a.from));
            }
            continue;
        }
        if a.from == RECIPES {
            if !a.dev && a.to == "weighbridge" {
                wrong.push(format!("{RECIPES} -> {}: test support must not know the command line", a.to));
            }
            continue;
        }
        if let (Some(from), Some(to)) = (rank(&a.from), rank(&a.to))
            && from <= to
            && a.from != a.to
        {
            wrong.push(format!("{} -> {}: this arrow points up", a.from, a.to));
        }
        if let Some((_, known)) = NARROW.iter().find(|(n, _)| *n == a.from)
            && !a.dev
            && !known.contains(&a.to.as_str())
        {
            wrong.push(format!("{} -> {}: {} may know {} only", a.from, a.to, a.from, known.join(" and ")));
        }
    }
    let source = rank("wb-source").unwrap_or(0);
    for (name, _) in RANKS.iter().filter(|(_, r)| *r < source) {
        if let Some(path) = reach(arrows, name, RUNTIMES) {
            wrong.push(format!("{}: nothing below source may reach an async runtime", path.join(" -> ")));
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

/// The shortest way from one package to one of some others, tests left out.
fn reach(arrows: &[Arrow], from: &str, targets: &[&str]) -> Option<Vec<String>> {
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for a in arrows.iter().filter(|a| !a.dev) {
        edges.entry(&a.from).or_default().push(&a.to);
    }
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        if targets.contains(&at) {
            let mut path = vec![at.to_string()];
            let mut here = at;
            while let Some(back) = came_from.get(here) {
                path.push((*back).to_string());
                here = back;
            }
            path.reverse();
            return Some(path);
        }
        for next in edges.get(at).into_iter().flatten() {
            if *next != from && !came_from.contains_key(next) {
                came_from.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrow(from: &str, to: &str) -> Arrow {
        Arrow { from: from.into(), to: to.into(), dev: false }
    }

    fn dev(from: &str, to: &str) -> Arrow {
        Arrow { dev: true, ..arrow(from, to) }
    }

    #[test]
    fn downward_arrows_are_fine() {
        let good = [
            arrow("wb-scan", "wb-pickle"),
            arrow("wb-pickle", "wb-blob"),
            arrow("wb-gateway", "wb-source"),
            arrow("wb-source", "wb-blob"),
            arrow("wb-source", "tokio"),
            arrow("weighbridge", "wb-recipes"),
            dev("wb-scan", "wb-recipes"),
            dev("wb-recipes", "wb-policy"),
        ];
        assert_eq!(check(&good), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_up_is_found() {
        for up in [
            arrow("wb-scan", "wb-policy"),
            arrow("wb-blob", "wb-verdict"),
            arrow("wb-policy", "wb-gateway"),
            dev("wb-pickle", "wb-scan"),
        ] {
            let wrong = check(std::slice::from_ref(&up));
            assert!(wrong.iter().any(|w| w.contains("points up")), "{up:?}: {wrong:?}");
        }
    }

    #[test]
    fn narrow_crates_stay_narrow() {
        assert!(check(&[arrow("wb-source", "wb-scan")])[0].contains("may know wb-blob only"));
        assert!(check(&[arrow("wb-store", "wb-policy")])[0].contains("may know wb-blob and wb-verdict only"));
    }

    #[test]
    fn test_support_stays_in_tests() {
        assert!(check(&[arrow("wb-scan", "wb-recipes")])[0].contains("dev-dependency"));
    }

    #[test]
    fn a_runtime_is_found_however_deep() {
        let deep =
            [arrow("wb-policy", "wb-scan"), arrow("wb-scan", "a"), arrow("a", "b"), arrow("b", "tokio")];
        let wrong = check(&deep);
        assert!(wrong.iter().any(|w| w.starts_with("wb-scan -> a -> b -> tokio")), "{wrong:?}");
        assert!(check(&[dev("wb-scan", "tokio")]).is_empty());
    }

    #[test]
    fn an_unknown_crate_needs_a_layer() {
        assert!(check(&[arrow("weighbridge", "wb-new")])[0].contains("has no layer"));
    }
}
