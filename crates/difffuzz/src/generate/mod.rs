//! Streams: random bytes, changed corpus streams, and a grammar.

mod grammar;
pub mod names;
mod random;

use crate::rng::Rng;
pub use random::mutate;

/// Where a stream comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// Random bytes, mostly opcodes.
    Random,
    /// A stream of the corpus with some bytes or opcodes changed.
    Mutated,
    /// Valid most of the time, all opcodes and names.
    Grammar,
    /// The grammar, with catalogued names only.
    Catalogued,
    /// Grammar streams with bytes changed.
    Bent,
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Random, Self::Mutated, Self::Grammar, Self::Catalogued, Self::Bent];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random bytes",
            Self::Mutated => "changed corpus",
            Self::Grammar => "grammar",
            Self::Catalogued => "catalogued only",
            Self::Bent => "grammar, changed",
        }
    }
}

/// One stream to be read by everybody.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Who made it.
    pub origin: Origin,
    /// What the recorder's stand-ins can do, see there.
    pub profile: u8,
    /// Which readers the recorder runs, see there.
    pub readers: u8,
}

/// Stream number `index` of the run with this seed. `seeds` are the corpus streams.
pub fn stream(seed: u64, index: u64, seeds: &[Vec<u8>]) -> Stream {
    let mut rng = Rng::new(seed, index);
    let origin = match rng.below(100) {
        0..12 => Origin::Random,
        12..30 if !seeds.is_empty() => Origin::Mutated,
        30..45 => Origin::Catalogued,
        45..60 => Origin::Bent,
        _ => Origin::Grammar,
    };
    let bytes = match origin {
        Origin::Random => random::random(&mut rng),
        Origin::Mutated => {
            let mut bytes = rng.pick(seeds).cloned().unwrap_or_default();
            for _ in 0..1 + rng.below(4) {
                mutate(&mut rng, &mut bytes);
            }
            bytes
        }
        Origin::Grammar => grammar::stream(&mut rng, false),
        Origin::Catalogued => grammar::stream(&mut rng, true),
        Origin::Bent => {
            let mut bytes = grammar::stream(&mut rng, false);
            for _ in 0..1 + rng.below(3) {
                mutate(&mut rng, &mut bytes);
            }
            bytes
        }
    };
    Stream { bytes, origin, profile: rng.below(3) as u8, readers: 7 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use wb_pickle::disassemble;

    #[test]
    fn equal_seeds_give_equal_streams() {
        for i in 0..200 {
            assert_eq!(stream(7, i, &[]).bytes, stream(7, i, &[]).bytes);
        }
        let different = (0..200).filter(|&i| stream(7, i, &[]).bytes != stream(8, i, &[]).bytes);
        assert!(different.count() > 190);
    }

    #[test]
    fn the_grammar_has_all_opcodes() {
        let mut seen = HashSet::new();
        for i in 0..4000 {
            let bytes = grammar::stream(&mut Rng::new(1, i), false);
            let blob = wb_blob::Blob::from_vec(bytes);
            seen.extend(disassemble(&blob, 0).map_while(Result::ok).map(|op| op.opcode.code));
        }
        assert_eq!(seen.len(), 68);
    }
}
