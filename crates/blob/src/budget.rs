//! Counted limits shared by an analysis and everything nested in it.
//!
//! Budgets that decide a verdict are counts, not seconds, so that the same bytes get the same
//! verdict on every machine. Running out is never silent: the caller turns [`Exhausted`] into a gap.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Bytes produced by decompressors.
    InflatedBytes,
    /// Decompressed bytes per compressed byte, once past a floor.
    Ratio,
    /// Containers inside containers.
    Depth,
    /// Archive members, directory entries, tensors.
    Entries,
    /// Interpreter steps (pickle opcodes).
    Steps,
    /// Facts recorded.
    Facts,
    /// Bytes of interpreter state held at once.
    Memory,
}

impl Resource {
    /// The stable name used as a gap's reason.
    pub fn name(self) -> &'static str {
        match self {
            Self::InflatedBytes => "inflated-bytes-limit",
            Self::Ratio => "compression-ratio-limit",
            Self::Depth => "nesting-depth-limit",
            Self::Entries => "entries-limit",
            Self::Steps => "steps-limit",
            Self::Facts => "facts-limit",
            Self::Memory => "memory-limit",
        }
    }
}

/// A budget ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted(pub Resource);

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "budget spent: {}", self.0.name())
    }
}

// So that a reader in the middle of a stack of `io::Read`s can report it through `io::Error`.
impl std::error::Error for Exhausted {}

/// The limits profile. All values are totals for one outer file, except `depth` and `ratio`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Name of the profile; part of the key under which facts are kept.
    pub profile: &'static str,
    /// Bytes produced by decompressors.
    pub inflated_bytes: u64,
    /// Decompressed bytes allowed per compressed byte once 64 MiB have been produced.
    pub ratio: u64,
    /// Nesting depth of containers.
    pub depth: u32,
    /// Members, entries, tensors.
    pub entries: u64,
    /// Pickle opcodes.
    pub steps: u64,
    /// Facts recorded.
    pub facts: u64,
    /// Bytes of recorded readings of members as text. Archives hold texts by the ten thousand, and these must not use
    /// up what other facts need.
    pub readings: u64,
    /// Bytes of interpreter state.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            profile: "standard-2",
            inflated_bytes: 8 << 30,
            ratio: 1100,
            depth: 16,
            entries: 1_000_000,
            steps: 4_000_000_000,
            facts: 20_000,
            readings: 16 << 20,
            memory: 128 << 20,
        }
    }
}

/// Counters against [`Limits`]; clones share the counters.
#[derive(Debug, Clone)]
pub struct Budget {
    limits: Rc<Limits>,
    used: Rc<Used>,
    decoders: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Used {
    inflated: Cell<u64>,
    entries: Cell<u64>,
    steps: Cell<u64>,
    facts: Cell<u64>,
    readings: Cell<u64>,
}

impl Budget {
    /// A fresh budget.
    pub fn new(limits: Limits) -> Self {
        Self { limits: Rc::new(limits), used: Rc::default(), decoders: Arc::default() }
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn take(cell: &Cell<u64>, n: u64, limit: u64, what: Resource) -> Result<(), Exhausted> {
        let next = cell.get().saturating_add(n);
        cell.set(next);
        if next > limit { Err(Exhausted(what)) } else { Ok(()) }
    }

    /// Counts decompressed bytes; `compressed` is the input consumed so far by this decompressor
    /// and `produced` its output so far, `n` of which are new.
    pub fn inflate(&self, n: u64, produced: u64, compressed: u64) -> Result<(), Exhausted> {
        const RATIO_FLOOR: u64 = 64 << 20;
        if produced > RATIO_FLOOR && produced / compressed.max(1) > self.limits.ratio {
            return Err(Exhausted(Resource::Ratio));
        }
        Self::take(&self.used.inflated, n, self.limits.inflated_bytes, Resource::InflatedBytes)
    }

    /// Counts archive members, directory entries or tensors.
    pub fn entries(&self, n: u64) -> Result<(), Exhausted> {
        Self::take(&self.used.entries, n, self.limits.entries, Resource::Entries)
    }

    /// Counts interpreter steps.
    pub fn steps(&self, n: u64) -> Result<(), Exhausted> {
        Self::take(&self.used.steps, n, self.limits.steps, Resource::Steps)
    }

    /// Counts recorded facts.
    pub fn facts(&self, n: u64) -> Result<(), Exhausted> {
        Self::take(&self.used.facts, n, self.limits.facts, Resource::Facts)
    }

    /// Counts bytes of recorded readings of members.
    pub fn readings(&self, n: u64) -> Result<(), Exhausted> {
        Self::take(&self.used.readings, n, self.limits.readings, Resource::Facts)
    }

    /// Checks a nesting depth.
    pub fn depth(&self, depth: u32) -> Result<(), Exhausted> {
        if depth > self.limits.depth { Err(Exhausted(Resource::Depth)) } else { Ok(()) }
    }

    /// Bytes held by live decompressors of this scan. Shared with readers that outlive a borrow of the budget.
    pub fn decoder_memory(&self) -> Arc<AtomicU64> {
        self.decoders.clone()
    }

    /// Checks interpreter state, in bytes held at this moment.
    pub fn memory(&self, held: u64) -> Result<(), Exhausted> {
        if held > self.limits.memory { Err(Exhausted(Resource::Memory)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_counters() {
        let a = Budget::new(Limits { entries: 3, ..Limits::default() });
        a.clone().entries(2).unwrap();
        a.entries(1).unwrap();
        assert_eq!(a.entries(1), Err(Exhausted(Resource::Entries)));
    }

    #[test]
    fn ratio_counts_only_past_the_floor() {
        let b = Budget::new(Limits::default());
        b.inflate(1 << 20, 1 << 20, 10).unwrap();
        assert_eq!(b.inflate(1, 65 << 20, 10), Err(Exhausted(Resource::Ratio)));
    }
}
