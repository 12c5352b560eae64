//! Faults for the self-test: what would be told if one part of the machine were wrong.

use crate::generate::names::PYTHON_2;
use crate::judged::{Word, word_of};
use crate::told::{Telling, Told};
use wb_blob::Blob;
use wb_pickle::{Value, disassemble, fix_imports};
use wb_verdict::{FactKind, Facts, How};

/// One seeded bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Imports are not told.
    NoImport,
    /// Python 2 names are not mapped.
    NoMapping,
    /// A dotted name is cut at its first dot.
    NoDots,
    /// Uses of this kind are not told.
    NoUse(How),
    /// Uses of the first kind are told as the second.
    WrongHow(How, How),
    /// The last argument of each call is lost.
    NoLastArgument,
    /// Keyword arguments are lost.
    NoKwargs,
    /// State is told as what it is not.
    WrongState,
    /// Calls of results are not told.
    NoResultCalls,
    /// Persistent ids are not told.
    NoPersistent,
    /// Bytes for deserialisers are not told.
    NoNested,
    /// Only the first pickle of a stream is read.
    OnePickle,
    /// STOP is taken for an error.
    NoStop,
    /// BINGET fetches the entry before.
    MemoOffByOne,
    /// MEMOIZE is a store to entry 0.
    Memoize,
    /// Frames have no end.
    NoFrames,
    /// Disagreement between readers is not told.
    NoStructure,
    /// Absurd sizes are not told.
    NoResource,
    /// DUP pushes None.
    Dup,
    /// POP_MARK pops one value.
    PopMark,
    /// NEWOBJ_EX pops no keyword arguments.
    NewobjEx,
    /// Every stream is clean.
    AllClean,
    /// Counts of facts are one too small.
    FactCounts,
    /// Facts of names held as data are lost.
    NoHeldFacts,
    /// Names that are called are not told as held as well.
    NoKept,
}

impl Fault {
    /// All faults with their names.
    pub fn all() -> Vec<(String, Self)> {
        use How::{
            AddItems, Append, Build, Ext, Hash, Indirect, Inst, Newobj, NewobjEx, Obj, Reduce, SetItem,
        };
        let mut all: Vec<(String, Self)> = vec![
            ("imports are not told".into(), Self::NoImport),
            ("python 2 names are not mapped".into(), Self::NoMapping),
            ("dotted names are cut".into(), Self::NoDots),
            ("the last argument is lost".into(), Self::NoLastArgument),
            ("keyword arguments are lost".into(), Self::NoKwargs),
            ("states are garbled".into(), Self::WrongState),
            ("calls of results are not told".into(), Self::NoResultCalls),
            ("persistent ids are not told".into(), Self::NoPersistent),
            ("nested bytes are not told".into(), Self::NoNested),
            ("second pickles are not read".into(), Self::OnePickle),
            ("STOP is an error".into(), Self::NoStop),
            ("memo is off by one".into(), Self::MemoOffByOne),
            ("MEMOIZE stores to entry 0".into(), Self::Memoize),
            ("frames have no end".into(), Self::NoFrames),
            ("structure is not told".into(), Self::NoStructure),
            ("resource use is not told".into(), Self::NoResource),
            ("DUP pushes None".into(), Self::Dup),
            ("POP_MARK pops one value".into(), Self::PopMark),
            ("NEWOBJ_EX is NEWOBJ".into(), Self::NewobjEx),
            ("every stream is clean".into(), Self::AllClean),
            ("facts are counted wrong".into(), Self::FactCounts),
            ("held names are no facts".into(), Self::NoHeldFacts),
            ("names both called and held are called only".into(), Self::NoKept),
        ];
        for how in
            [Reduce, Inst, Obj, Newobj, NewobjEx, Build, Append, SetItem, AddItems, Ext, Hash, Indirect]
        {
            all.push((format!("{} is not told", how.opcode()), Self::NoUse(how)));
        }
        for (a, b) in [(Reduce, Newobj), (Inst, Reduce), (Obj, Inst), (Newobj, Reduce), (Append, SetItem)] {
            all.push((format!("{} is told as {}", a.opcode(), b.opcode()), Self::WrongHow(a, b)));
        }
        all
    }

    /// The stream as the faulty machine reads it.
    pub fn stream(self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        let blob = Blob::from_vec(out.clone());
        for op in disassemble(&blob, 0).map_while(Result::ok) {
            let at = op.offset as usize;
            let (with, arg): (u8, Option<(usize, u8)>) = match (self, op.opcode.name) {
                (Self::MemoOffByOne, "BINGET" | "LONG_BINGET") => {
                    (op.opcode.code, out.get(at + 1).map(|b| (at + 1, b.wrapping_sub(1))))
                }
                (Self::NoFrames, "FRAME") => {
                    if let Some(field) = out.get_mut(at + 1..at + 9) {
                        field.copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
                    }
                    continue;
                }
                (Self::Dup, "DUP") => (b'N', None),
                (Self::PopMark, "POP_MARK") => (b'0', None),
                (Self::NewobjEx, "NEWOBJ_EX") => (0x81, None),
                _ => continue,
            };
            if let Some(b) = out.get_mut(at) {
                *b = with;
            }
            if let Some((i, v)) = arg
                && let Some(b) = out.get_mut(i)
            {
                *b = v;
            }
        }
        if self == Self::Memoize {
            out = memoize_to_zero(&blob, &out);
        }
        out
    }

    /// What the faulty machine tells.
    pub fn telling(self, mut t: Telling) -> Telling {
        match self {
            Self::NoImport => t.list.retain(|e| !matches!(e, Told::Import { .. })),
            Self::NoUse(how) => t.list.retain(|e| {
                !(matches!(e, Told::Use { how: h, .. } if *h == how)
                    || how == How::Ext
                        && matches!(e, Told::Import { callee, .. } if callee.rendering.starts_with("copyreg.ext")))
            }),
            Self::NoPersistent => t.list.retain(|e| !matches!(e, Told::Persistent(_))),
            Self::NoNested => t.list.retain(|e| !matches!(e, Told::Nested(_))),
            Self::NoResultCalls => t.list.retain(|e| match e {
                Told::Use { callee, how, .. } => !callee.module.is_empty() || *how == How::Ext,
                _ => true,
            }),
            Self::OnePickle => {
                let second = t.list.iter().skip(1).position(|e| matches!(e, Told::Pickle));
                t.list.truncate(second.map_or(t.list.len(), |n| n + 1));
            }
            Self::NoStop => {
                t.list.retain(|e| !matches!(e, Told::Stop(_)));
                t.error = t.error.or(Some("fault"));
            }
            Self::NoStructure => t.structure.clear(),
            Self::NoResource => t.resource.clear(),
            _ => t.list.iter_mut().for_each(|e| self.event(e)),
        }
        t
    }

    fn event(self, e: &mut Told) {
        match (self, e) {
            (Self::NoMapping, Told::Import { callee, .. } | Told::Use { callee, .. }) => {
                let old = PYTHON_2.iter().find(|(m, n)| {
                    fix_imports(m, n) == (callee.module.as_str(), callee.name.as_str())
                        && (*m, *n) != (callee.module.as_str(), callee.name.as_str())
                });
                if let Some((m, n)) = old {
                    callee.module = (*m).into();
                    callee.name = (*n).into();
                }
            }
            (Self::NoDots, Told::Import { callee, .. } | Told::Use { callee, .. }) => {
                if let Some((first, _)) = callee.name.split_once('.') {
                    callee.name = first.to_string();
                }
            }
            (Self::WrongHow(a, b), Told::Use { how, .. }) if *how == a => *how = b,
            (Self::NoLastArgument, Told::Use { args, .. }) => {
                args.pop();
            }
            (Self::NoKwargs, Told::Use { kwargs, .. }) => kwargs.clear(),
            (Self::WrongState, Told::Use { how: How::Build, args, .. }) => *args = vec![Value::Int(-77)],
            _ => {}
        }
    }

    /// What the faulty scanner says.
    pub fn word(self, word: Word, facts: &Facts) -> Word {
        match self {
            Self::AllClean => Word::Clean,
            Self::NoKept => word_of(facts),
            _ => word,
        }
    }

    /// The facts of the faulty scanner.
    pub fn facts(self, facts: &mut Facts) {
        match self {
            Self::FactCounts => {
                for f in &mut facts.facts {
                    if let FactKind::Call { count, .. } = &mut f.kind {
                        *count = count.saturating_sub(1);
                    }
                }
            }
            Self::NoHeldFacts => {
                facts.facts.retain(|f| !matches!(f.kind, FactKind::Call { how: How::Data, .. }));
            }
            Self::NoKept => {
                let called: Vec<String> = facts.facts.iter().filter_map(|f| called(&f.kind)).collect();
                facts.facts.retain(|f| match &f.kind {
                    FactKind::Call { how: How::Data, callable, .. } => !called.contains(callable),
                    _ => true,
                });
            }
            _ => {}
        }
    }
}

/// What a fact says is called.
fn called(fact: &FactKind) -> Option<String> {
    match fact {
        FactKind::Call { how, callable, .. } if *how != How::Data => Some(callable.clone()),
        _ => None,
    }
}

/// MEMOIZE replaced by BINPUT 0.
fn memoize_to_zero(blob: &Blob, bytes: &[u8]) -> Vec<u8> {
    let at: Vec<usize> = disassemble(blob, 0)
        .map_while(Result::ok)
        .filter(|op| op.opcode.name == "MEMOIZE")
        .map(|op| op.offset as usize)
        .collect();
    let mut out = Vec::with_capacity(bytes.len() + at.len());
    for (i, &b) in bytes.iter().enumerate() {
        if at.contains(&i) {
            out.extend([b'q', 0]);
        } else {
            out.push(b);
        }
    }
    out
}
