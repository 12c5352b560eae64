//! LightGBM's text models: a head, trees, importances, parameters. The loader runs no code, but follows the children and
//! features that a tree names, and jumps from tree to tree by announced sizes.
//!
//! Written by `GBDT::SaveModelToString` of LightGBM.

use super::{Claim, Coverage, Format, Probe};
use crate::analyses::{directive, paths};
use crate::cx::{Cx, Stop};
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, escape};

/// LightGBM text models.
pub struct LightGbm;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "LightGBM text models",
    ids: &[],
    loaders: "lightgbm",
    judged: "every line, indices of trees, parameters that name files",
    blind: "",
    corpus: &["lightgbm"],
};

impl Format for LightGbm {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "lightgbm"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        // It is text besides.
        if is_model(&probe.head) { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut model = Model::default();
        let mut lines = Lines { window: Window::new(blob.clone(), Window::CHUNK), len: blob.len(), at: 0 };
        while let Some((at, line)) = lines.next()? {
            cx.budget.steps(1)?;
            model.line(at, &line, cx);
        }
        model.tree_ends(blob.len(), cx);
        model.ends(blob.len(), cx);
        Ok(())
    }
}

pub(super) fn is_model(head: &[u8]) -> bool {
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let first = start.split(|b| *b == b'\n').next().unwrap_or(start).trim_ascii();
    let has = |needle: &[u8]| memchr::memmem::find(start, needle).is_some();
    first == b"tree" && (has(b"\nversion=") || has(b"\nnum_class=") || has(b"\nmax_feature_idx="))
}

struct Lines {
    window: Window,
    len: u64,
    at: u64,
}

impl Lines {
    /// The next line and where it begins.
    fn next(&mut self) -> Result<Option<(u64, String)>, Stop> {
        const LONGEST: usize = 8 << 20;
        let start = self.at;
        if start >= self.len {
            return Ok(None);
        }
        for most in [4 << 10, 1 << 20, LONGEST] {
            let v = self.window.view(start, most)?;
            let end = memchr::memchr(b'\n', v).or((v.len() as u64 == self.len - start).then_some(v.len()));
            if let Some(end) = end {
                self.at = start + end as u64 + 1;
                return Ok(Some((start, String::from_utf8_lossy(&v[..end]).trim_end().to_string())));
            }
        }
        Err(Stop::Unsupported(format!("a line of more than {LONGEST} bytes")))
    }
}

#[derive(Default)]
struct Tree {
    at: u64,
    leaves: Option<u64>,
    features: Vec<i64>,
    left: Vec<i64>,
    right: Vec<i64>,
    values: usize,
    cats: i64,
    boundaries: Vec<i64>,
    thresholds: usize,
}

#[derive(Default)]
struct Model {
    features: Option<u64>,
    sizes: Vec<u64>,
    starts: Vec<u64>,
    tree: Option<Tree>,
    parameters: bool,
    trees_ended: Option<u64>,
}

/// Parameters that name files which a run of the program reads or writes.
const FILES: &[&str] = &[
    "machine_list_filename",
    "machine_list_file",
    "machine_list",
    "mlist",
    "forcedsplits_filename",
    "forcedbins_filename",
    "input_model",
    "output_model",
    "output_result",
    "convert_model",
    "config",
    "parser_config_file",
];

impl Model {
    fn line(&mut self, at: u64, line: &str, cx: &mut Cx<'_>) {
        if line.starts_with("Tree=") {
            self.tree_ends(at, cx);
            self.starts.push(at);
            self.tree = Some(Tree { at, ..Tree::default() });
            return;
        }
        match line {
            "end of trees" => {
                self.tree_ends(at, cx);
                self.trees_ended = Some(at);
                return;
            }
            "parameters:" => {
                self.tree_ends(at, cx);
                self.parameters = true;
                return;
            }
            "end of parameters" => {
                self.parameters = false;
                return;
            }
            _ => {}
        }
        if self.parameters {
            return parameter(at, line, cx);
        }
        let Some((key, value)) = line.split_once('=') else { return };
        match &mut self.tree {
            Some(tree) => tree.field(key, value),
            None => self.head(at, key, value, cx),
        }
    }

    fn head(&mut self, at: u64, key: &str, value: &str, cx: &mut Cx<'_>) {
        /// More classes or features than this are a claim on memory.
        const MOST: u64 = 10_000_000;
        let count = || value.trim().parse::<u64>().ok().filter(|n| *n <= MOST);
        match key {
            "num_class" | "num_tree_per_iteration" | "max_feature_idx" => match count() {
                Some(n) if key == "max_feature_idx" => self.features = Some(n + 1),
                Some(_) => {}
                None => {
                    let detail = format!("{}={}", escape(key), escape(value));
                    let code = "lightgbm-impossible-count".to_string();
                    cx.fact(Some(at), FactKind::Resource { code, detail });
                }
            },
            "feature_names" | "feature_infos" => {
                let n = value.split(' ').filter(|w| !w.is_empty()).count() as u64;
                // Names with blanks are written as they are: more words than features say nothing.
                if self.features.is_some_and(|f| n < f) {
                    let detail = format!("{n} in {}, {:?} features", escape(key), self.features);
                    cx.structure(at, "lightgbm-features", detail);
                }
            }
            "tree_sizes" => self.sizes = numbers(value).into_iter().map(|n| n.max(0) as u64).collect(),
            _ => {}
        }
        if let Some((code, detail)) = directive::commands(value) {
            let detail = format!("{}: {detail}", escape(key));
            cx.fact(Some(at), FactKind::Directive { code: code.into(), detail });
        }
    }

    fn tree_ends(&mut self, at: u64, cx: &mut Cx<'_>) {
        let Some(tree) = self.tree.take() else { return };
        if let Some(what) = tree.wrong(self.features) {
            cx.structure(tree.at, "lightgbm-tree", format!("the tree that ends at {at}: {what}"));
        }
    }

    /// The loader jumps by the announced sizes.
    fn ends(&self, len: u64, cx: &mut Cx<'_>) {
        let Some(first) = self.starts.first().copied().filter(|_| !self.sizes.is_empty()) else { return };
        let mut at = first;
        for (n, size) in self.sizes.iter().enumerate() {
            let there = self.starts.get(n).copied();
            // Editors change line ends: a few bytes a tree are no lie.
            if there.is_none() || at > len || there.is_some_and(|t| t.abs_diff(at) > 64 * (n as u64 + 1)) {
                let detail = format!("tree {n} is announced at {at}, it is at {there:?}");
                return cx.structure(first, "lightgbm-tree-sizes", detail);
            }
            at = at.saturating_add(*size);
        }
        if at > len.saturating_add(64 * self.sizes.len() as u64) {
            cx.structure(
                first,
                "lightgbm-tree-sizes",
                format!("the last tree ends at {at}, the file at {len}"),
            );
        }
    }
}

impl Tree {
    fn field(&mut self, key: &str, value: &str) {
        let count = |v: &str| v.split(' ').filter(|w| !w.is_empty()).count();
        match key {
            "num_leaves" => self.leaves = value.trim().parse().ok(),
            "split_feature" => self.features = numbers(value),
            "left_child" => self.left = numbers(value),
            "right_child" => self.right = numbers(value),
            "leaf_value" => self.values = count(value),
            "num_cat" => self.cats = value.trim().parse().unwrap_or(-1),
            "cat_boundaries" => self.boundaries = numbers(value),
            "cat_threshold" => self.thresholds = count(value),
            _ => {}
        }
    }

    /// What a loader that trusts the tree would read outside of it.
    fn wrong(&self, features: Option<u64>) -> Option<String> {
        let Some(leaves) = self.leaves.filter(|n| *n >= 1) else { return Some("no number of leaves".into()) };
        let inner = leaves - 1;
        for (name, n) in [
            ("split_feature", self.features.len()),
            ("left_child", self.left.len()),
            ("right_child", self.right.len()),
        ] {
            // A stump of one leaf has no splits, and old writers left the arrays out.
            if n as u64 != inner && !(inner == 0 && n <= 1) {
                return Some(format!("{n} entries of {name}, {inner} splits"));
            }
        }
        if (self.values as u64) < leaves {
            return Some(format!("{} values for {leaves} leaves", self.values));
        }
        let outside = |c: &&i64| if **c >= 0 { **c as u64 >= inner } else { !**c as u64 >= leaves };
        if inner > 0
            && let Some(child) = self.left.iter().chain(&self.right).find(outside)
        {
            return Some(format!("child {child} of {inner} splits and {leaves} leaves"));
        }
        // A split below two others, or the first below any: from it a way may lead back to it.
        let mut seen = vec![false; self.left.len()];
        let twice = self.left.iter().chain(&self.right).filter_map(|c| usize::try_from(*c).ok());
        for child in twice {
            if inner > 0 && (child == 0 || seen.get_mut(child).is_some_and(|s| std::mem::replace(s, true))) {
                return Some(format!(
                    "split {child} is below two splits or the first of all: predictions do not end"
                ));
            }
        }
        if let Some(feature) =
            self.features.iter().find(|f| **f < 0 || features.is_some_and(|n| **f as u64 >= n))
        {
            return Some(format!("feature {feature} of {features:?}"));
        }
        let rising =
            self.boundaries.windows(2).all(|w| w[0] <= w[1]) && self.boundaries.iter().all(|b| *b >= 0);
        if self.cats < 0
            || self.cats > 0
                && (self.boundaries.len() as i64 != self.cats + 1
                    || !rising
                    || self.boundaries.last().is_some_and(|b| *b as usize > self.thresholds))
        {
            return Some("bounds of categories that do not fit".into());
        }
        None
    }
}

fn numbers(text: &str) -> Vec<i64> {
    text.split(' ').filter(|w| !w.is_empty()).map(|w| w.trim().parse().unwrap_or(i64::MIN)).collect()
}

/// `[name: value]`
fn parameter(at: u64, line: &str, cx: &mut Cx<'_>) {
    let Some((key, value)) = line.trim_start_matches('[').trim_end_matches(']').split_once(':') else {
        return;
    };
    let (key, value) = (key.trim(), value.trim());
    if FILES.contains(&key) && paths::escape_of(value.as_bytes()).is_some() {
        let detail = format!("{}: {}", escape(key), escape(value));
        cx.structure(at, "lightgbm-path", detail);
    }
    if let Some((code, detail)) = directive::commands(value) {
        let detail = format!("{}: {detail}", escape(key));
        cx.fact(Some(at), FactKind::Directive { code: code.into(), detail });
    }
}
