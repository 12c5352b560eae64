//! The compiled table: what the build script made of the data files, read in place.
//!
//! Layout in `build/encode.rs`. Looking a name up is two binary searches over bytes of the executable; nothing is
//! parsed, allocated or initialised. A table that did not decode would answer "not known", which no name profits
//! from; a test reads every row.

use super::vocabulary::{Args, EFFECTS, Part, Use, flag};
use std::cmp::Ordering;
use wb_verdict::{Effect, How};

/// The catalogue of this build.
pub(super) static CATALOGUE: Catalogue =
    Catalogue::over(include_bytes!(concat!(env!("OUT_DIR"), "/catalogue.bin")));

/// What is known of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// The harmless entry.
    pub harmless: Option<Entry<'a>>,
    /// The dangerous effect.
    pub danger: Option<Danger>,
    /// The part a serialiser's helper plays.
    pub part: Option<Part>,
}

/// A dangerous name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Danger {
    /// `None` exempts a name from a wildcard.
    pub effect: Option<Effect>,
    /// Found by the tool, not listed by hand.
    pub derived: bool,
}

/// One harmless name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    uses: u8,
    /// What its arguments must be.
    pub args: Args,
    /// Proved by the tool, not written and reviewed by hand.
    pub derived: bool,
    /// Versions that the proof covers; empty for reviewed entries.
    pub versions: &'a str,
}

/// The use that a way of use is, as entries name them.
pub(super) fn use_of(how: How) -> Option<Use> {
    Some(match how {
        How::Data => Use::Data,
        How::Reduce | How::Inst | How::Obj | How::Indirect => Use::Call,
        How::Newobj | How::NewobjEx => Use::New,
        How::Build => Use::Build,
        How::Append => Use::Append,
        How::SetItem => Use::SetItem,
        How::AddItems => Use::AddItems,
        How::Hash => Use::Hash,
        // An extension code or a persistent id says nothing about what is called.
        How::Ext | How::Persid => return None,
    })
}

impl Entry<'_> {
    /// Is this use among the harmless ones?
    pub fn allows(&self, how: How) -> bool {
        use_of(how).is_some_and(|u| self.has(u))
    }

    /// Is this use among the harmless ones?
    pub fn has(&self, used: Use) -> bool {
        self.uses & (1 << used as u8) != 0
    }

    /// Does the answer for this use depend on more of the arguments than whether they are plain?
    pub fn looks_at_args(&self, how: How, plain: bool) -> bool {
        let plain_suffices =
            matches!(self.args, Args::Any | Args::Plain | Args::Pattern | Args::Versioned | Args::DictState);
        match how {
            How::Data | How::Append | How::SetItem | How::AddItems | How::Hash => false,
            // A plain state is one without planted methods; what it holds is looked at where it matters.
            How::Build => BUILD_LOOKS.contains(&self.args),
            // Plain arguments are inert.
            _ if plain && self.args == Args::Inert => false,
            _ => !(plain_suffices || TEXT_STATES.contains(&self.args)),
        }
    }
}

/// Plain arguments, and a state with source text in it.
const TEXT_STATES: [Args; 2] = [Args::ScipyDistribution, Args::ModelFormula];

/// Predicates that look into the state that BUILD sets.
const BUILD_LOOKS: [Args; 9] = [
    Args::Arrays,
    Args::Partial,
    Args::Plain,
    Args::Inert,
    Args::Dtype,
    Args::ScipyDistribution,
    Args::ModelFormula,
    Args::Versioned,
    Args::DictState,
];

/// All tables.
#[derive(Clone, Copy)]
pub(super) struct Catalogue<'a> {
    bytes: &'a [u8],
    pool: Section,
    modules: Section,
    rows: Section,
    kinds: Section,
    versions: Section,
    known: Section,
    words: Section,
    fragments: Section,
}

#[derive(Clone, Copy)]
struct Section {
    at: usize,
    count: usize,
}

const MODULE: usize = 8;
const ROW: usize = 6;
const KIND: usize = 8;
const TEXT: usize = 4;

impl<'a> Catalogue<'a> {
    /// The table in `bytes`. At compile time for the build's own.
    pub const fn over(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            pool: section(bytes, 0),
            modules: section(bytes, 1),
            rows: section(bytes, 2),
            kinds: section(bytes, 3),
            versions: section(bytes, 4),
            known: section(bytes, 5),
            words: section(bytes, 6),
            fragments: section(bytes, 7),
        }
    }

    /// What is known of exactly this name.
    pub fn row(&self, module: &str, name: &str) -> Option<Row<'a>> {
        let (first, end) = self.rows_of(self.module(module)?)?;
        self.row_in(first, end, name)
    }

    /// As [`Self::row`] where the module is found already.
    fn row_in(&self, first: usize, end: usize, name: &str) -> Option<Row<'a>> {
        let at = search(first, end, |at| self.text_bytes(self.rows.at + at * ROW), name)?;
        self.kind(self.u16(self.rows.at + at * ROW + TEXT)?)
    }

    /// The names of `module` that are known, to look several up.
    pub fn names(&self, module: &str) -> Option<Names<'a>> {
        let (first, end) = self.rows_of(self.module(module)?)?;
        Some(Names { catalogue: *self, first, end })
    }

    /// Every row: module, name, what is known.
    #[cfg(test)]
    pub fn all(&self) -> Vec<(&'a str, &'a str, Row<'a>)> {
        let mut out = Vec::new();
        for module in 0..self.modules.count {
            let (first, end) = self.rows_of(module).unwrap_or_default();
            for at in first..end {
                let place = self.rows.at + at * ROW;
                let row = self.u16(place + TEXT).and_then(|kind| self.kind(kind));
                let module = self.text(self.modules.at + module * MODULE);
                out.extend(module.zip(self.text(place)).zip(row).map(|((m, n), r)| (m, n, r)));
            }
        }
        out
    }

    /// Size of the table in bytes.
    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Number of names.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.rows.count
    }

    fn module(&self, module: &str) -> Option<usize> {
        search(0, self.modules.count, |at| self.text_bytes(self.modules.at + at * MODULE), module)
    }

    fn rows_of(&self, module: usize) -> Option<(usize, usize)> {
        let first = |n: usize| self.u32(self.modules.at + n * MODULE + TEXT);
        Some((first(module)? as usize, first(module + 1)? as usize))
    }

    fn kind(&self, kind: u16) -> Option<Row<'a>> {
        let at = self.kinds.at + usize::from(kind) * KIND;
        let [uses, args, effect, part, flags, _, low, high] = *self.bytes.get(at..at + KIND)? else {
            return None;
        };
        let version = usize::from(u16::from_le_bytes([low, high]));
        let harmless = match flags & flag::HARMLESS {
            0 => None,
            _ => Some(Entry {
                uses,
                args: Args::ALL.get(usize::from(args)).copied()?,
                derived: flags & flag::HARMLESS_DERIVED != 0,
                versions: self.text(self.versions.at + version * TEXT)?,
            }),
        };
        let danger = match effect {
            0 => None,
            1 => Some(Danger { effect: None, derived: false }),
            code => Some(Danger {
                effect: Some(effect_of(code - 2)?),
                derived: flags & flag::DANGER_DERIVED != 0,
            }),
        };
        let part = match part {
            0 => None,
            code => Some(Part::ALL.get(usize::from(code - 1)).copied()?),
        };
        Some(Row { harmless, danger, part })
    }

    /// True for a module of the standard library or of a catalogued distribution, or one inside such.
    pub fn is_known(&self, module: &str) -> bool {
        let known = |m: &str| {
            search(0, self.known.count, |at| self.text_bytes(self.known.at + at * TEXT), m).is_some()
        };
        let mut ends = module.match_indices('.').map(|(at, _)| at).chain([module.len()]);
        ends.any(|end| module.get(..end).is_some_and(known))
    }

    /// True for a word of the list of code words.
    pub fn is_word(&self, word: &str) -> bool {
        search(0, self.words.count, |at| self.text_bytes(self.words.at + at * TEXT), word).is_some()
    }

    /// Words that are searched for inside longer text.
    pub fn fragments(&self) -> impl Iterator<Item = &'a str> {
        (0..self.fragments.count).filter_map(|at| self.text(self.fragments.at + at * TEXT))
    }

    /// The text that the reference at `at` names.
    fn text(&self, at: usize) -> Option<&'a str> {
        std::str::from_utf8(self.text_bytes(at)?).ok()
    }

    /// As [`Self::text`]: looking a name up compares bytes, and each comparison counts.
    fn text_bytes(&self, at: usize) -> Option<&'a [u8]> {
        let [a, b, c, len] = *self.bytes.get(at..at + TEXT)? else { return None };
        let start = self.pool.at + u32::from_le_bytes([a, b, c, 0]) as usize;
        self.bytes.get(start..start + usize::from(len))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes.get(at..at + 4)?.try_into().ok()?))
    }

    fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(self.bytes.get(at..at + 2)?.try_into().ok()?))
    }
}

/// The known names of one module.
pub(super) struct Names<'a> {
    catalogue: Catalogue<'a>,
    first: usize,
    end: usize,
}

impl<'a> Names<'a> {
    /// What is known of `name` in this module.
    pub fn get(&self, name: &str) -> Option<Row<'a>> {
        self.catalogue.row_in(self.first, self.end, name)
    }
}

/// Evaluated at compile time for the build's own table.
const fn section(bytes: &[u8], index: usize) -> Section {
    let at = index * 8;
    Section { at: number(bytes, at) as usize, count: number(bytes, at + 4) as usize }
}

const fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Binary search for `wanted` among the records from `first` to `end`.
fn search<'a>(
    mut first: usize,
    mut end: usize,
    text: impl Fn(usize) -> Option<&'a [u8]>,
    wanted: &str,
) -> Option<usize> {
    while first < end {
        let middle = first + (end - first) / 2;
        match text(middle)?.cmp(wanted.as_bytes()) {
            Ordering::Equal => return Some(middle),
            Ordering::Less => first = middle + 1,
            Ordering::Greater => end = middle,
        }
    }
    None
}

/// The effect with this code.
fn effect_of(code: u8) -> Option<Effect> {
    Some(match *EFFECTS.get(usize::from(code))? {
        "code" => Effect::Code,
        "process" => Effect::Process,
        "native" => Effect::Native,
        "import" => Effect::Import,
        "reach" => Effect::Reach,
        "file" => Effect::File,
        "network" => Effect::Network,
        "deserialise" => Effect::Deserialise,
        "state" => Effect::State,
        _ => Effect::Other,
    })
}
