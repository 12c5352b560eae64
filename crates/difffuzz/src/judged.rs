//! The scanner's word, and its facts against what a reader did.

use crate::compare::Divergence;
use crate::standins::gives_text;
use crate::told::{Telling, Told};
use wb_blob::Blob;
use wb_scan::{Options, judge, scan};
use wb_verdict::{CallClass, FactKind, Facts, How, UnknownReason, Verdict};

/// What the scanner says of a stream, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Word {
    /// Clean.
    Clean,
    /// A class of no catalogued distribution.
    UnknownClass,
    /// No loader opens it.
    UnknownContent,
    /// Blocked by the default policy.
    Blocked,
}

/// Facts and verdict of the scanner.
pub fn scanned(bytes: &[u8]) -> (Facts, Word) {
    let facts = scan(&Blob::from_vec(bytes.to_vec()), &Options::default());
    let word = word_of(&facts);
    (facts, word)
}

/// The word on these facts.
pub fn word_of(facts: &Facts) -> Word {
    let report = judge(facts, "model.pkl", None);
    match (report.verdict, report.reason) {
        (Verdict::Clean, _) => Word::Clean,
        (Verdict::Unknown, Some(UnknownReason::UnknownClass)) => Word::UnknownClass,
        (Verdict::Unknown, Some(UnknownReason::UnknownContent)) => Word::UnknownContent,
        _ => Word::Blocked,
    }
}

/// True if everything told is catalogued and named by the stream itself: then facts must be exact.
pub fn is_catalogued(telling: &Telling) -> bool {
    telling.error.is_none()
        && !telling.exhausted
        && telling.structure.is_empty()
        && telling.resource.is_empty()
        && telling.list.iter().filter(|t| matches!(t, Told::Pickle)).count() == 1
        && telling.list.iter().all(|t| match t {
            // Loaders that read arrays from the stream itself have no reader here: their facts are other ones.
            Told::Use { how: How::Build, callee, .. } if callee.name.ends_with("ArrayWrapper") => false,
            Told::Use { how, class, .. } => *how != How::Indirect && *class == CallClass::Harmless,
            Told::Import { callee, .. } => callee.via.is_empty() && !callee.module.is_empty(),
            Told::Nested(_) => false,
            _ => true,
        })
}

/// Precision: on a catalogued stream the machine tells exactly what the readers did (`met`: what any of them did), and
/// the facts are exactly that, in order and counted.
pub fn precise(telling: &Telling, met: &[usize], facts: &Facts) -> Result<(), Divergence> {
    let diverge = |detail: String| Err(Divergence { rule: "precision", reader: '*', detail });
    for (n, told) in telling.list.iter().enumerate() {
        let before = n.checked_sub(1).filter(|n| met.contains(n)).and_then(|n| telling.list.get(n));
        let expected = match (told, before) {
            (Told::Pickle | Told::Stop(_), _) => continue,
            // A stand-in compares nothing inside itself, and what it is made of is not hashed with it.
            (Told::Use { how: How::Hash, .. }, _) => continue,
            // See `follow`: what is done to what may be text is not compared.
            (Told::Use { how: How::Build | How::Append | How::SetItem | How::AddItems, callee, .. }, _)
                if gives_text(&callee.module, &callee.name) =>
            {
                continue;
            }
            // Nothing is appended: only a stand-in that has `extend` shows that the Python reader calls it.
            (Told::Use { how: How::Append, args, .. }, _) if args.is_empty() => continue,
            // What `copyreg._reconstructor` does when it is called.
            (Told::Use { how: How::Newobj | How::NewobjEx, .. }, Some(Told::Use { callee, .. })) => {
                callee.module == "copyreg" || met.contains(&n)
            }
            _ => met.contains(&n),
        };
        if !expected {
            return diverge(format!("{told:?} is told, but no reader did it"));
        }
    }
    let mut expected: Vec<(String, How, u64)> = Vec::new();
    let used: Vec<u32> = telling
        .list
        .iter()
        .filter_map(|t| match t {
            Told::Use { id, .. } => Some(*id),
            _ => None,
        })
        .collect();
    for told in &telling.list {
        let (name, how) = match told {
            Told::Use { callee, how, .. } => (&callee.rendering, *how),
            Told::Import { id, callee } if !used.contains(id) => (&callee.rendering, How::Data),
            _ => continue,
        };
        match expected.iter_mut().find(|e| e.0 == *name && e.1 == how) {
            Some(e) if how != How::Data => e.2 += 1,
            Some(_) => {}
            None => expected.push((name.clone(), how, 1)),
        }
    }
    let mut found: Vec<(String, How, u64)> = Vec::new();
    for fact in facts.facts.iter().filter(|f| f.location.path.is_empty()) {
        let FactKind::Call { callable, how, count, .. } = &fact.kind else { continue };
        match found.iter_mut().find(|e| e.0 == *callable && e.1 == *how) {
            Some(e) => e.2 += count,
            None => found.push((callable.clone(), *how, *count)),
        }
    }
    if found != expected {
        return diverge(format!("facts {found:?}, the readers did {expected:?}"));
    }
    Ok(())
}
