//! What is looked at in a model, whatever its spelling: values by key, and each tree when it is complete.

use crate::analyses::directive;
use crate::cx::Cx;
use wb_verdict::{FactKind, escape};

/// Arrays of a tree that hold indices.
const INDICES: [&str; 5] =
    ["left_children", "right_children", "parents", "split_indices", "categories_nodes"];
/// Arrays that have one entry for each node.
const PER_NODE: [&str; 7] = [
    "left_children",
    "right_children",
    "parents",
    "split_indices",
    "split_conditions",
    "default_left",
    "base_weights",
];

#[derive(Default)]
struct Tree {
    nodes: Option<i64>,
    features: Option<i64>,
    vector: i64,
    indices: [Vec<i64>; INDICES.len()],
    /// Lengths of all arrays.
    lengths: Vec<(&'static str, u64)>,
}

/// Gathers trees from events in document order.
#[derive(Default)]
pub(super) struct Trees {
    /// Keys on the way to the present value; an element of an array has none.
    path: Vec<Option<String>>,
    /// The tree being read, and how deep it begins.
    tree: Option<(usize, Tree)>,
    count: u64,
    /// The number of trees that the model announces.
    announced: Option<i64>,
    problems: Vec<String>,
    /// Counts that are a claim on memory.
    impossible: Vec<String>,
    texts: u64,
}

impl Trees {
    /// An object or array begins at `key`.
    pub(super) fn open(&mut self, key: Option<&str>) {
        let parent = self.path.iter().rev().flatten().next().map(String::as_str);
        if self.tree.is_none() && key.is_none() && parent == Some("trees") {
            self.tree = Some((self.path.len(), Tree::default()));
            self.count += 1;
        }
        self.path.push(key.map(str::to_string));
    }

    /// It ends.
    pub(super) fn close(&mut self) {
        self.path.pop();
        let ended = self.tree.as_ref().is_some_and(|(depth, _)| *depth == self.path.len());
        if ended
            && let Some((_, tree)) = self.tree.take()
            && self.problems.len() < 20
            && let Some(what) = tree.wrong()
        {
            self.problems.push(format!("tree {}: {what}", self.count - 1));
        }
    }

    /// True if the numbers of the array `key` are wanted.
    pub(super) fn wants(&self, key: Option<&str>) -> bool {
        self.tree.is_some() && key.is_some_and(|k| INDICES.contains(&k))
    }

    /// The array at `key` has this many elements.
    pub(super) fn length(&mut self, key: Option<&str>, n: u64) {
        if let (Some((_, tree)), Some(key)) = (&mut self.tree, key)
            && let Some(name) = PER_NODE.iter().find(|p| **p == key)
        {
            tree.lengths.push((name, n));
        }
    }

    /// An element of the wanted array `key`, or a number at `key`.
    pub(super) fn number(&mut self, key: Option<&str>, n: i64) {
        /// More classes, features or targets than this are a claim on memory.
        const MOST: i64 = 100_000_000;
        if self.tree.is_none()
            && let Some(key) = key
        {
            if key == "num_trees" {
                self.announced = Some(self.announced.unwrap_or(0).max(n));
            }
            let counted =
                matches!(key, "num_trees" | "num_class" | "num_feature" | "num_target" | "num_parallel_tree");
            if counted && !(0..=MOST).contains(&n) && self.impossible.len() < 20 {
                self.impossible.push(format!("{key}: {n}"));
            }
        }
        if let (Some((_, tree)), Some(key)) = (&mut self.tree, key) {
            if let Some(at) = INDICES.iter().position(|i| *i == key) {
                tree.indices[at].push(n);
            } else {
                tree.parameter(key, n);
            }
        }
    }

    /// A text at `key`.
    pub(super) fn text(&mut self, key: Option<&str>, text: &str, at: u64, cx: &mut Cx<'_>) {
        const MOST: u64 = 100_000;
        if let (Some(key), Ok(n)) = (key, text.trim().parse::<i64>()) {
            self.number(Some(key), n);
        }
        self.texts += 1;
        if text.len() >= 12
            && self.texts <= MOST
            && let Some((code, detail)) = directive::commands(text)
        {
            let detail = format!("{}: {detail}", escape(key.unwrap_or("")));
            cx.fact(Some(at), FactKind::Directive { code: code.into(), detail });
        }
    }

    /// Indices held at the moment, for the budget of memory.
    pub(super) fn held(&self) -> u64 {
        self.tree.as_ref().map_or(0, |(_, t)| t.indices.iter().map(|i| i.len() as u64 * 8).sum())
    }

    /// Records what is wrong with the trees.
    pub(super) fn report(&self, cx: &mut Cx<'_>) {
        for what in &self.impossible {
            let code = "xgboost-impossible-count".to_string();
            cx.fact(None, FactKind::Resource { code, detail: what.clone() });
        }
        if let Some(announced) = self.announced.filter(|n| *n > self.count as i64) {
            let detail = format!("{announced} trees announced, {} there", self.count);
            cx.fact(None, FactKind::Structure { code: "xgboost-trees".into(), detail });
        }
        for what in &self.problems {
            cx.fact(None, FactKind::Structure { code: "xgboost-tree".into(), detail: what.clone() });
        }
    }
}

impl Tree {
    fn parameter(&mut self, key: &str, n: i64) {
        match key {
            "num_nodes" => self.nodes = Some(n),
            "num_feature" => self.features = Some(n),
            "size_leaf_vector" => self.vector = n,
            _ => {}
        }
    }

    /// What a loader that trusts the tree would read outside of it.
    fn wrong(&self) -> Option<String> {
        let [left, right, parents, splits, categories] = &self.indices;
        let nodes = self.nodes.unwrap_or(left.len() as i64);
        if nodes < 0 || left.is_empty() && nodes > 0 {
            return Some(format!("{nodes} nodes, {} children", left.len()));
        }
        for (name, n) in &self.lengths {
            // Vector leaves keep their weights as vectors, and newer writers leave arrays out that are empty.
            let vector = self.vector > 1 && matches!(*name, "base_weights" | "split_conditions");
            if *n != nodes as u64 && !vector && *n != 0 {
                return Some(format!("{n} entries of {name}, {nodes} nodes"));
            }
        }
        if left.len() != right.len() {
            return Some(format!("{} left and {} right children", left.len(), right.len()));
        }
        let outside = |c: &&i64| **c < -1 || **c >= nodes;
        if let Some(child) = left.iter().chain(right).find(outside) {
            return Some(format!("child {child} of {nodes} nodes"));
        }
        // A root has no parent: -1, or all bits of 31 set.
        if let Some(parent) = parents.iter().find(|p| outside(p) && **p != i64::from(i32::MAX)) {
            return Some(format!("parent {parent} of {nodes} nodes"));
        }
        if let Some(node) = categories.iter().find(|n| **n < 0 || **n >= nodes) {
            return Some(format!("categories of node {node} of {nodes}"));
        }
        if let Some(node) = twice(left, right, nodes) {
            return Some(format!(
                "node {node} is below two nodes or the root of all: predictions do not end"
            ));
        }
        // Leaves have no feature.
        let features = self.features.filter(|n| *n > 0);
        let inner = splits.iter().zip(left).filter(|(_, l)| **l >= 0).map(|(s, _)| s);
        let bad = |s: &&i64| **s < 0 || features.is_some_and(|n| **s >= n);
        inner.clone().find(bad).map(|feature| format!("feature {feature} of {features:?}"))
    }
}

/// A node that is the child of two, or the root that is a child: from it a way may lead back to it.
fn twice(left: &[i64], right: &[i64], nodes: i64) -> Option<i64> {
    let mut seen = vec![false; usize::try_from(nodes).unwrap_or(0)];
    let mut children = left.iter().zip(right).filter(|(l, _)| **l >= 0).flat_map(|(l, r)| [*l, *r]);
    children.find(|c| {
        let Some(seen) = usize::try_from(*c).ok().and_then(|c| seen.get_mut(c)) else { return false };
        *c == 0 || std::mem::replace(seen, true)
    })
}
