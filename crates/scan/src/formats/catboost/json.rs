//! CatBoost models as JSON. Trees are read one at a time; what they index is held against the features at the end, since
//! keys come in any order.

use crate::cx::{Cx, Stop};
use crate::formats::{Claim, Coverage, Format, Probe};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::BufReader;
use wb_blob::Blob;
use wb_verdict::FactKind;

/// Models in JSON.
pub struct CatBoostJson;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "CatBoost (JSON)",
    ids: &[],
    loaders: "catboost",
    judged: "structure, indices of oblivious trees",
    blind: "other trees; the export to C++ is text",
    corpus: &["catboost"],
};

impl Format for CatBoostJson {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "catboost-json"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        // It is text besides.
        if is_model(&probe.head, &probe.tail) { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let skipped = if blob.head(3)? == b"\xef\xbb\xbf" { 3 } else { 0 };
        let body = blob.sub(skipped..blob.len());
        let mut json = serde_json::Deserializer::from_reader(BufReader::new(body.reader()));
        let model = match Model::deserialize(&mut json) {
            Ok(model) => model,
            Err(e) if e.to_string().contains("recursion limit") => {
                let detail = "JSON nested deeper than readers go".to_string();
                cx.fact(None, FactKind::Resource { code: "json-too-deep".into(), detail });
                return Ok(());
            }
            Err(e) => {
                cx.structure(0, "catboost-malformed", e.to_string());
                return Err(Stop::malformed(0, e.to_string()));
            }
        };
        if let Some(what) = model.wrong() {
            cx.structure(0, "catboost-trees", what);
        }
        Ok(())
    }
}

/// Keys at the beginning (features come first, in alphabetical order) or, written in another order, at the end.
fn is_model(head: &[u8], tail: &[u8]) -> bool {
    let has = |needle: &[u8]| [head, tail].iter().any(|part| memchr::memmem::find(part, needle).is_some());
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    start.starts_with(b"{")
        && (has(b"\"features_info\"") && (has(b"_features\"") || has(b"_trees\""))
            || has(b"\"oblivious_trees\"") && has(b"\"leaf_values\""))
}

/// The length of an array, or of what is none.
#[derive(Default, Clone, Copy)]
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Counter;
        impl<'de> Visitor<'de> for Counter {
            type Value = Count;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_unit<E>(self) -> Result<Count, E> {
                Ok(Count(0))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Count, A::Error> {
                let mut n = 0;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    n += 1;
                }
                Ok(Count(n))
            }
        }
        d.deserialize_any(Counter)
    }
}

#[derive(Deserialize)]
struct Feature {
    #[serde(default)]
    borders: Count,
    #[serde(default)]
    values: Count,
    feature_index: Option<i64>,
    flat_feature_index: Option<i64>,
}

#[derive(Default, Deserialize)]
struct Features {
    #[serde(default)]
    float_features: Vec<Feature>,
    #[serde(default)]
    categorical_features: Vec<Feature>,
    #[serde(default)]
    ctrs: Vec<Feature>,
}

#[derive(Deserialize)]
struct Split {
    split_index: Option<i64>,
    float_feature_index: Option<i64>,
}

#[derive(Deserialize)]
struct Tree {
    #[serde(default)]
    leaf_values: Count,
    #[serde(default)]
    leaf_weights: Count,
    #[serde(default)]
    splits: Option<Vec<Split>>,
}

/// What is kept of all trees.
#[derive(Default)]
struct Trees {
    first: Option<String>,
    /// Values for each leaf, by the first tree.
    dimension: Option<u64>,
    splits: Vec<i64>,
    floats: Vec<i64>,
    n: u64,
}

impl Trees {
    fn add(&mut self, tree: &Tree) {
        const DEEPEST: usize = 30;
        let splits = tree.splits.as_deref().unwrap_or_default();
        self.n += 1;
        let leaves = 1u64 << splits.len().min(DEEPEST);
        let dimension = tree.leaf_values.0 / leaves;
        let fits = splits.len() <= DEEPEST
            && dimension * leaves == tree.leaf_values.0
            && dimension > 0
            && *self.dimension.get_or_insert(dimension) == dimension
            && (tree.leaf_weights.0 == 0 || tree.leaf_weights.0 == leaves);
        if !fits && self.first.is_none() {
            self.first = Some(format!(
                "tree {}: {} values and {} weights of {} conditions",
                self.n - 1,
                tree.leaf_values.0,
                tree.leaf_weights.0,
                splits.len()
            ));
        }
        let keep = |kept: &mut Vec<i64>, n: Option<i64>| {
            // The least and the greatest say enough.
            let Some(n) = n else { return };
            kept.push(n);
            kept.sort_unstable();
            if kept.len() > 2 {
                kept.remove(1);
            }
        };
        for s in splits {
            keep(&mut self.splits, s.split_index);
            keep(&mut self.floats, s.float_feature_index);
        }
    }
}

/// The document: every key is seen, also one that is given twice.
#[derive(Default)]
struct Model {
    features: Features,
    trees: Trees,
    twice: bool,
}

impl Model {
    fn wrong(&self) -> Option<String> {
        if self.twice {
            return Some("features or trees given twice".into());
        }
        if let Some(what) = &self.trees.first {
            return Some(what.clone());
        }
        let f = &self.features;
        let outside = |n: &&i64, of: u64| **n < 0 || **n as u64 >= of;
        let count = |features: &[Feature]| features.iter().map(|f| f.borders.0 + f.values.0).sum::<u64>();
        let all = count(&f.float_features) + count(&f.categorical_features) + count(&f.ctrs);
        if let Some(n) = self.trees.splits.iter().find(|n| outside(n, all)) {
            return Some(format!("condition {n} of {all}"));
        }
        let floats = f.float_features.len() as u64;
        if let Some(n) = self.trees.floats.iter().find(|n| outside(n, floats)) {
            return Some(format!("feature {n} of {floats}"));
        }
        let positions = f.float_features.iter().chain(&f.categorical_features);
        let mut positions = positions.flat_map(|f| [f.feature_index, f.flat_feature_index]).flatten();
        positions.find(|n| !(0..100_000_000).contains(n)).map(|n| format!("a feature of index {n}"))
    }
}

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Top;
        impl<'de> Visitor<'de> for Top {
            type Value = Model;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a model")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Model, A::Error> {
                let mut model = Model::default();
                let mut seen = (false, false);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "features_info" => {
                            model.twice |= std::mem::replace(&mut seen.0, true);
                            model.features = map.next_value()?;
                        }
                        "oblivious_trees" => {
                            model.twice |= std::mem::replace(&mut seen.1, true);
                            model.trees = map.next_value()?;
                        }
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(model)
            }
        }
        d.deserialize_map(Top)
    }
}

impl<'de> Deserialize<'de> for Trees {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Trees;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of trees")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Trees, A::Error> {
                let mut trees = Trees::default();
                while let Some(tree) = seq.next_element::<Tree>()? {
                    trees.add(&tree);
                }
                Ok(trees)
            }
        }
        d.deserialize_seq(All)
    }
}
