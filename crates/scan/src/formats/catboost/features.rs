//! Features of a model: how many conditions they make, and what loaders index by them.

use super::newer;
use crate::cx::{Cx, Stop};
use crate::formats::flatbuffer::{Flat, Table};

/// More features than this are a claim on memory.
const MOST: i64 = 100_000_000;
/// Conditions that fit into one byte of quantised features.
const PER_BIN: u64 = 254;

/// How many conditions there are, and how many bytes of quantised features they take.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Conditions {
    pub all: u64,
    pub bins: u64,
}

impl Conditions {
    fn add(&mut self, n: u64) {
        self.all += n;
        self.bins += n.div_ceil(PER_BIN);
    }
}

/// Slots of `TModelTrees` that hold features, in the order of the schema.
pub(super) fn read(flat: &mut Flat, trees: &Table, base: u64, cx: &mut Cx<'_>) -> Result<Conditions, Stop> {
    let mut found = Conditions::default();
    for at in flat.tables(trees, 4, cx)? {
        plain(flat, at, 4, "a categorical feature", base, cx)?;
    }
    for at in flat.tables(trees, 5, cx)? {
        let t = plain(flat, at, 6, "a feature", base, cx)?;
        flat.string(&t, 4)?;
        found.add(flat.vector(&t, 3, 4)?.map_or(0, |v| v.len));
    }
    for at in flat.tables(trees, 6, cx)? {
        let t = flat.table(at, cx)?;
        newer(&t, 3, "a one-hot feature", base, cx);
        index(flat, &t, 0, "a one-hot feature", base, cx)?;
        let values = flat.vector(&t, 1, 4)?.map_or(0, |v| v.len);
        let texts = flat.vector(&t, 2, 4)?;
        for i in 0..texts.map_or(0, |v| v.len) {
            cx.budget.entries(1)?;
            let at = flat.follow(texts.map_or(0, |v| v.at) + 4 * i)?;
            flat.text_at(at)?;
        }
        found.add(values);
    }
    for at in flat.tables(trees, 7, cx)? {
        let t = flat.table(at, cx)?;
        newer(&t, 2, "a feature of target statistics", base, cx);
        if let Some(ctr) = flat.sub(&t, 0, cx)? {
            newer(&ctr, 6, "target statistics", base, cx);
            if let Some(of) = flat.sub(&ctr, 0, cx)? {
                combination(flat, &of, base, cx)?;
            }
        }
        found.add(flat.vector(&t, 1, 4)?.map_or(0, |v| v.len));
    }
    for at in flat.tables(trees, 12, cx)? {
        plain(flat, at, 4, "a text feature", base, cx)?;
    }
    for at in flat.tables(trees, 13, cx)? {
        let t = flat.table(at, cx)?;
        newer(&t, 4, "an estimated feature", base, cx);
        found.add(flat.vector(&t, 3, 4)?.map_or(0, |v| v.len));
    }
    for at in flat.tables(trees, 18, cx)? {
        plain(flat, at, 5, "an embedding feature", base, cx)?;
    }
    Ok(found)
}

/// A feature whose position is in two fields and whose name is a third.
fn plain(
    flat: &mut Flat,
    at: u64,
    slots: usize,
    what: &str,
    base: u64,
    cx: &mut Cx<'_>,
) -> Result<Table, Stop> {
    let t = flat.table(at, cx)?;
    newer(&t, slots, what, base, cx);
    // Those of numbers say first whether values may be missing.
    let first = usize::from(slots == 6);
    index(flat, &t, first, what, base, cx)?;
    index(flat, &t, first + 1, what, base, cx)?;
    if slots != 6 {
        flat.string(&t, 2)?;
    }
    Ok(t)
}

/// An index into the values that a user gives.
fn index(
    flat: &mut Flat,
    t: &Table,
    slot: usize,
    what: &str,
    base: u64,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    let n = flat.scalar(t, slot, 4, u64::from(u32::MAX))? as u32 as i32;
    if !(0..MOST).contains(&i64::from(n)) {
        cx.structure(base + t.at, "catboost-feature", format!("{what} of index {n}"));
    }
    Ok(())
}

/// `TModelCtrBase`: the features that statistics are kept of, their kind, and which borders the target is cut by.
pub(super) fn combination(flat: &mut Flat, of: &Table, base: u64, cx: &mut Cx<'_>) -> Result<u64, Stop> {
    newer(of, 3, "target statistics", base, cx);
    if let Some(features) = flat.sub(of, 0, cx)? {
        newer(&features, 3, "a combination of features", base, cx);
        flat.vector(&features, 0, 4)?;
        flat.vector(&features, 1, 8)?;
        flat.vector(&features, 2, 8)?;
    }
    flat.scalar(of, 1, 1, 0)
}
