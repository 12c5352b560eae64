//! The memo: dense while indices are contiguous, sparse for jumps, so that no index can make it allocate.

use crate::val::Val;
use std::collections::HashMap;

const CHUNK: usize = 1 << 14;
/// Holes up to this size are filled, so that a memo that begins at 1 stays dense.
const HOLE: u64 = 64;
const ABSENT: Val = Val::new(crate::val::Tag::Opaque, 1);

/// Bytes a sparse entry is charged with.
const SPARSE_COST: u64 = 48;

#[derive(Debug, Clone, Default)]
pub(crate) struct Memo {
    chunks: Vec<Vec<Val>>,
    dense: u64,
    holes: u64,
    sparse: HashMap<u64, Val>,
}

impl Memo {
    /// Number of entries: the index that MEMOIZE uses next.
    #[inline(always)]
    pub(crate) fn len(&self) -> u64 {
        self.dense - self.holes + self.sparse.len() as u64
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        (self.chunks.len() * CHUNK * 8) as u64 + self.sparse.len() as u64 * SPARSE_COST
    }

    #[inline(always)]
    pub(crate) fn get(&self, index: u64) -> Option<Val> {
        if index < self.dense {
            let v = *self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)?;
            return (v != ABSENT).then_some(v);
        }
        self.sparse.get(&index).copied()
    }

    /// MEMOIZE.
    #[inline(always)]
    pub(crate) fn push(&mut self, v: Val) {
        if self.holes == 0 && self.sparse.is_empty() {
            self.push_dense(v);
        } else {
            self.put(self.len(), v);
        }
    }

    #[inline(always)]
    fn push_dense(&mut self, v: Val) {
        match self.chunks.last_mut() {
            Some(c) if c.len() < CHUNK => c.push(v),
            _ => {
                let mut c = Vec::with_capacity(CHUNK);
                c.push(v);
                self.chunks.push(c);
            }
        }
        self.dense += 1;
    }

    #[inline(always)]
    pub(crate) fn put(&mut self, index: u64, v: Val) {
        if index == self.dense && self.sparse.is_empty() {
            return self.push_dense(v);
        }
        self.put_slow(index, v);
    }

    fn put_slow(&mut self, index: u64, v: Val) {
        if index < self.dense {
            if let Some(slot) =
                self.chunks.get_mut(index as usize / CHUNK).and_then(|c| c.get_mut(index as usize % CHUNK))
            {
                if *slot == ABSENT {
                    self.holes -= 1;
                }
                *slot = v;
            }
            return;
        }
        if index - self.dense <= HOLE && self.sparse.is_empty() {
            while self.dense < index {
                self.push_dense(ABSENT);
                self.holes += 1;
            }
            return self.push_dense(v);
        }
        self.sparse.insert(index, v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::val::Tag;

    fn v(n: u64) -> Val {
        Val::new(Tag::Num, n)
    }

    #[test]
    fn a_jump_costs_one_entry_and_stays_readable() {
        let mut m = Memo::default();
        m.put(0, v(1));
        m.put(u64::from(u32::MAX), v(2));
        m.put(1, v(3));
        m.push(v(4));
        assert_eq!(m.get(u64::from(u32::MAX)), Some(v(2)));
        assert_eq!((m.get(1), m.get(3), m.get(2)), (Some(v(3)), Some(v(4)), None));
        assert!(m.bytes() < 200_000);
    }

    #[test]
    fn a_memo_that_begins_at_one_is_dense() {
        let mut m = Memo::default();
        for i in 1..100_000 {
            m.put(i, v(i));
        }
        assert!(m.sparse.is_empty());
        assert_eq!((m.get(0), m.get(99_999), m.len()), (None, Some(v(99_999)), 99_999));
        m.put(5, v(0));
        assert_eq!(m.get(5), Some(v(0)));
    }
}
