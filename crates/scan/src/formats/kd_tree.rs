//! The state of a pickled `scipy.spatial.cKDTree`: its nodes are copied as they are, and the indices in them followed.
//!
//! While the state is set each node's children are looked up by index and written to (`_post_init_traverse`,
//! scipy/spatial/_ckdtree.pyx), without comparing the index with the number of nodes: a state that lies writes outside
//! the tree while the pickle is still being loaded.

use crate::cx::Cx;
use wb_pickle::PendingValue;

/// `split_dim`, `children`, `split`, `start_idx`, `end_idx`, two pointers, `_less`, `_greater`, eight bytes each.
const NODE: usize = 72;
/// Nodes that are read at most, in bytes.
pub(super) const MAX: u64 = 64 << 20;

/// Called after each BUILD of an instance; `raw` gives the data of an array that the stream holds between opcodes.
pub(super) fn after_build(
    cx: &mut Cx<'_>,
    object: &PendingValue<'_>,
    state: &PendingValue<'_>,
    raw: &dyn Fn(&PendingValue<'_>) -> Option<Vec<u8>>,
) {
    let tree = object.made_by().is_some_and(|c| {
        c.module.starts_with("scipy.spatial")
            && matches!(c.name.as_str(), "cKDTree" | "KDTree" | "new_object")
    });
    // The tree written in Python, whose state is a dict, follows references only.
    if !tree || state.items().is_none() {
        return;
    }
    let what = match nodes(state, raw) {
        None => "a tree whose nodes cannot be read",
        Some(nodes) if !is_sound(&nodes) => "a node of a tree refers to one that is not there",
        Some(_) => return,
    };
    cx.structure(object.offset(), "scipy-tree-state", what);
}

/// The bytes of the nodes: the first part of the state, or an array's of them.
fn nodes(state: &PendingValue<'_>, raw: &dyn Fn(&PendingValue<'_>) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    const MAX: usize = self::MAX as usize;
    let parts = state.items()?;
    let first = parts.first()?;
    if let Some(bytes) = first.bytes(MAX).or_else(|| raw(first)) {
        return Some(bytes);
    }
    // Protocol 5 makes arrays of a buffer.
    if first.made_by().is_some_and(|c| c.name == "_frombuffer") {
        return first.args()?.first()?.bytes(MAX);
    }
    let array = first.object_state()?;
    let parts = array.items()?;
    parts.last()?.bytes(MAX)
}

fn is_sound(nodes: &[u8]) -> bool {
    let count = (nodes.len() / NODE) as i64;
    let number = |node: &[u8], at: usize| {
        node.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(-2, i64::from_le_bytes)
    };
    nodes.len().is_multiple_of(NODE)
        && nodes.chunks_exact(NODE).zip(0i64..).all(|(node, here)| {
            let leaf = number(node, 0) == -1;
            // Children come behind their parent, so that the walk ends.
            leaf || [56, 64].iter().all(|at| (here + 1..count).contains(&number(node, *at)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(split: i64, less: i64, greater: i64) -> Vec<u8> {
        [split, 3, 0, 0, 3, 0, 0, less, greater].iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    #[test]
    fn children_must_be_nodes_behind_their_parent() {
        let leaf = || node(-1, 77, 99);
        let tree = |less, greater| [node(0, less, greater), leaf(), leaf()].concat();
        assert!(is_sound(&tree(1, 2)));
        assert!(is_sound(&leaf()) && is_sound(&[]));
        for (less, greater) in [(1, 3), (0, 2), (-1, 2), (1, i64::MAX), (1_000_000_000, 2)] {
            assert!(!is_sound(&tree(less, greater)), "{less} {greater}");
        }
        assert!(!is_sound(&tree(1, 2)[1..]));
    }
}
