//! Trees: arrays that evaluators index without looking.

use super::features::{self, Conditions};
use super::newer;
use crate::cx::{Cx, Stop};
use crate::formats::flatbuffer::{Flat, Table};
use wb_verdict::FactKind;

/// `TModelTrees`.
pub(super) fn judge(flat: &mut Flat, t: &Table, base: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    /// More classes than this are a claim on memory.
    const MOST: i64 = 10_000_000;
    newer(t, 19, "trees", base, cx);
    let dimension = i64::from(flat.scalar(t, 0, 4, 0)? as u32 as i32);
    let splits = flat.ints(t, 1, cx)?;
    let sizes = flat.ints(t, 2, cx)?;
    let starts = flat.ints(t, 3, cx)?;
    let conditions = features::read(flat, t, base, cx)?;
    let leaves = flat.vector(t, 8, 8)?.map_or(0, |v| v.len);
    let weights = flat.vector(t, 9, 8)?.map_or(0, |v| v.len);
    let steps = flat.ints(t, 10, cx)?;
    let ids = flat.ints(t, 11, cx)?;
    flat.vector(t, 16, 8)?;
    let bins = flat.ints(t, 17, cx)?;
    if !(0..=MOST).contains(&dimension) {
        let detail = format!("{dimension} dimensions of the result");
        cx.fact(Some(base + t.at), FactKind::Resource { code: "catboost-dimension-count".into(), detail });
        return Ok(());
    }
    let forest =
        Forest { dimension: dimension as u64, splits, sizes, starts, steps, ids, bins, leaves, weights };
    if let Some(what) = forest.wrong(conditions) {
        cx.structure(base + t.at, "catboost-trees", what);
    }
    Ok(())
}

struct Forest {
    dimension: u64,
    splits: Vec<i32>,
    sizes: Vec<i32>,
    starts: Vec<i32>,
    /// Two steps of 16 bits each.
    steps: Vec<i32>,
    ids: Vec<i32>,
    bins: Vec<i32>,
    leaves: u64,
    weights: u64,
}

impl Forest {
    /// What an evaluator would read outside of its arrays.
    fn wrong(&self, conditions: Conditions) -> Option<String> {
        let n = self.splits.len() as u64;
        if let Some(s) = self.splits.iter().find(|s| **s < 0 || **s as u64 >= conditions.all) {
            return Some(format!("condition {s} of {}", conditions.all));
        }
        if !self.starts.is_empty() && self.starts.len() != self.sizes.len() {
            return Some(format!("{} beginnings of {} trees", self.starts.len(), self.sizes.len()));
        }
        let mut at = 0u64;
        for (i, size) in self.sizes.iter().enumerate() {
            let start = self.starts.get(i).map_or(at as i64, |s| i64::from(*s));
            if *size < 0 || start != at as i64 || at + *size as u64 > n {
                return Some(format!("tree {i} of {size} conditions begins at {start}, of {n}"));
            }
            at += *size as u64;
        }
        if at != n {
            return Some(format!("{n} conditions, of which trees hold {at}"));
        }
        let bins = self.bins.iter().map(|b| u64::from(*b as u32 & 0xffff));
        if !self.bins.is_empty() && self.bins.len() as u64 != n {
            return Some(format!("{} quantised conditions of {n}", self.bins.len()));
        }
        if let Some(bin) = bins.clone().find(|b| *b >= conditions.bins.max(1)) {
            return Some(format!("quantised feature {bin} of {}", conditions.bins));
        }
        if self.steps.is_empty() { self.oblivious() } else { self.uneven() }
    }

    /// Trees of which each level has one condition: two leaves to the power of the depth.
    fn oblivious(&self) -> Option<String> {
        const DEEPEST: i32 = 30;
        let mut leaves = 0u64;
        for (i, size) in self.sizes.iter().enumerate() {
            if *size > DEEPEST {
                return Some(format!("tree {i} is {size} levels deep"));
            }
            leaves += 1 << size;
        }
        let want = leaves.saturating_mul(self.dimension);
        if want != self.leaves {
            return Some(format!("{} leaf values, {want} wanted", self.leaves));
        }
        (self.weights != 0 && self.weights != leaves)
            .then(|| format!("{} leaf weights, {leaves} leaves", self.weights))
    }

    /// Trees of nodes, each with steps to its children; a step of none ends at a leaf.
    fn uneven(&self) -> Option<String> {
        let n = self.splits.len();
        if self.steps.len() != n || self.ids.len() != n {
            return Some(format!("{} steps and {} leaves of {n} nodes", self.steps.len(), self.ids.len()));
        }
        let mut at = 0usize;
        for size in &self.sizes {
            let end = at + *size as usize;
            for i in at..end {
                let step = self.steps[i] as u32;
                for diff in [step & 0xffff, step >> 16] {
                    if i + diff as usize >= end {
                        return Some(format!("node {i} leads {diff} further, its tree ends at {end}"));
                    }
                    let leaf = u64::from(self.ids[i] as u32);
                    if diff == 0 && leaf + self.dimension > self.leaves {
                        return Some(format!("leaf {leaf} of {}", self.leaves));
                    }
                }
            }
            at = end;
        }
        None
    }
}
