//! One tree of the binary form: 148 bytes of parameters, nodes of 20 bytes, statistics of 16.

use super::super::cursor::Cursor;
use crate::cx::{Cx, Stop};

/// Bytes of `TreeParam`.
pub(super) const PARAMETERS: u64 = 148;

const NODE: u64 = 20;
const STATISTICS: u64 = 16;
/// The feature of a node that was deleted.
const DELETED: u32 = u32::MAX;

struct Node {
    parent: i32,
    left: i32,
    right: i32,
    split: u32,
}

/// Reads a tree. Returns what a loader that trusts it would read outside of it.
pub(super) fn read(c: &mut Cursor, features: u32, cx: &mut Cx<'_>) -> Result<Option<String>, Stop> {
    let start = c.at;
    c.skip(PARAMETERS, 1, "bytes of parameters")?;
    let end = c.at;
    c.at = start;
    let (roots, nodes) = (c.i32()?, c.i32()?);
    c.at = start + 16;
    let own = c.u32()?;
    let vector = c.i32()?;
    c.at = end;
    let Ok(count) = u64::try_from(nodes) else {
        return Err(Stop::malformed(start, format!("a tree of {nodes} nodes")));
    };
    c.skip(count, NODE + STATISTICS, "nodes")?;
    c.at = end;
    cx.budget.entries(count)?;
    cx.budget.memory(count.saturating_mul(NODE))?;
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(Node { parent: c.i32()?, left: c.i32()?, right: c.i32()?, split: c.u32()? });
        c.number(4)?;
    }
    c.skip(count, STATISTICS, "statistics")?;
    // Leaves of vectors, before 1.0.
    if vector != 0 {
        let n = c.number(8)?;
        c.skip(n, 4, "values of leaves")?;
    }
    let features = if own > 0 { own.min(features.max(1)) } else { features };
    Ok(wrong(&all, roots, features))
}

fn wrong(all: &[Node], roots: i32, features: u32) -> Option<String> {
    let n = all.len() as i64;
    if n == 0 || roots != 1 {
        return Some(format!("{roots} roots of {n} nodes"));
    }
    for (i, node) in all.iter().enumerate() {
        if node.split == DELETED {
            continue;
        }
        let up = i64::from(node.parent & i32::MAX);
        if node.parent == -1 {
            if i != 0 {
                return Some(format!("node {i} has no parent"));
            }
        } else if up >= n || i == 0 {
            return Some(format!("node {i} has the parent {up}, of {n}"));
        }
        if node.left == -1 {
            continue;
        }
        let feature = node.split & i32::MAX as u32;
        if feature >= features {
            return Some(format!("node {i} asks for feature {feature} of {features}"));
        }
        for child in [node.left, node.right] {
            let Some(below) = usize::try_from(child).ok().and_then(|c| all.get(c)) else {
                return Some(format!("child {child} of {n} nodes"));
            };
            // Two parents, or a node above itself: predictions that do not end.
            if below.parent == -1 || (below.parent & i32::MAX) as usize != i {
                return Some(format!("node {child} is below node {i} and has another parent"));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(parent: i32, left: i32, right: i32, split: u32) -> Node {
        Node { parent, left, right, split }
    }

    #[test]
    fn what_leaves_the_tree() {
        let sound = || vec![node(-1, 1, 2, 0x8000_0001), node(i32::MIN, -1, -1, 0), node(0, -1, -1, 0)];
        assert_eq!(wrong(&sound(), 1, 2), None);
        assert!(wrong(&sound(), 1, 1).is_some_and(|w| w.contains("feature 1")));
        let with = |i: usize, n: Node| {
            let mut all = sound();
            all[i] = n;
            wrong(&all, 1, 2)
        };
        assert!(with(0, node(-1, 1, 3, 0)).is_some(), "a child that does not exist");
        assert!(with(0, node(-1, -7, 2, 0)).is_some());
        assert!(with(2, node(0, 0, 1, 0)).is_some(), "a node above itself");
        assert!(with(1, node(77, -1, -1, 0)).is_some());
        assert_eq!(with(1, node(0, -1, -1, 0)), None);
        let mut deleted = sound();
        deleted.push(node(9, 5, 6, DELETED));
        assert_eq!(wrong(&deleted, 1, 2), None, "what is deleted is not followed");
        assert!(wrong(&[], 1, 2).is_some());
    }
}
