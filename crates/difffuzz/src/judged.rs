//! The scanner's verdict against the recorder: what it lets pass, the catalogue must know, from the recorder's
//! events alone.

use crate::compare::Divergence;
use crate::recorded::{Event, Reading, Shown};
use crate::standins::{Made, StandIns};
use crate::told::{Telling, Told};
use std::collections::HashMap;
use wb_blob::Blob;
use wb_pickle::{Call, Value};
use wb_scan::{Options, catalogue, judge, scan};
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
    let report = judge(&facts, "model.pkl", None);
    let word = match (report.verdict, report.reason) {
        (Verdict::Clean, _) => Word::Clean,
        (Verdict::Unknown, Some(UnknownReason::UnknownClass)) => Word::UnknownClass,
        (Verdict::Unknown, Some(UnknownReason::UnknownContent)) => Word::UnknownContent,
        _ => Word::Blocked,
    };
    (facts, word)
}

/// Soundness: nothing but what the catalogue knows happened in a stream that passes.
pub fn sound(reading: &Reading, word: Word) -> Result<(), Divergence> {
    if word == Word::Blocked {
        return Ok(());
    }
    let used = StandIns::used(&reading.events);
    let mut seen = StandIns::default();
    let mut builds: HashMap<usize, u32> = HashMap::new();
    for (op, event) in &reading.events {
        seen.note(event);
        let bad = |what: &str| {
            let detail = format!("{word:?}, but the reader did {event:?}: {what}");
            Err(Divergence { rule: "soundness", reader: reading.reader, detail })
        };
        match event {
            Event::Stop(_) | Event::ByTheWay(_) | Event::Persistent(_) => {}
            _ if word == Word::UnknownContent => return bad("not taken for a pickle"),
            Event::Import { .. } => {
                let n = seen.last();
                if !used.contains(&n) && !passes(&seen, n, &[How::Data], &[], word) {
                    return bad("import that the catalogue does not let pass");
                }
            }
            // Who owns the attribute has been judged by BUILD in the readings where it has a `__setstate__`.
            Event::Attribute(n, _) if matches!(seen.made(*n), Some(Made::Result(..))) => {}
            Event::Attribute(..) => return bad("attribute of an import"),
            Event::Call(n, args, _) => {
                let hows: &[How] = match op {
                    Some(0x69) => &[How::Inst],
                    Some(0x6f) => &[How::Obj],
                    Some(_) => &[How::Reduce],
                    None => &[How::Reduce, How::Inst, How::Obj],
                };
                if !passes(&seen, *n, hows, std::slice::from_ref(args), word) {
                    return bad("call that the catalogue does not let pass");
                }
            }
            Event::New(n, args, _) => {
                let hows: &[How] = match op {
                    Some(0x69) => &[How::Inst],
                    Some(0x6f) => &[How::Obj],
                    Some(0x92) => &[How::NewobjEx],
                    Some(_) => &[How::Newobj],
                    None => &[How::Newobj, How::NewobjEx, How::Inst, How::Obj],
                };
                if !passes(&seen, *n, hows, std::slice::from_ref(args), word) {
                    return bad("class that the catalogue does not let pass");
                }
            }
            Event::SetState(n, state) => {
                let count = builds.entry(*n).or_default();
                *count += 1;
                if word == Word::UnknownClass
                    && *count > 1
                    && !changes_pass(&seen, *n, How::Build, &[state], Word::Clean)
                {
                    return bad("a second state");
                }
                if !changes_pass(&seen, *n, How::Build, &[state], word) {
                    return bad("state that the catalogue does not let pass");
                }
            }
            Event::Append(n, items) => {
                let items: Vec<&Shown> = items.iter().collect();
                if !changes_pass(&seen, *n, How::Append, &items, word) {
                    return bad("items that the catalogue does not let pass");
                }
            }
            Event::SetItem(n, k, v) => {
                if !changes_pass(&seen, *n, How::SetItem, &[k, v], word) {
                    return bad("item that the catalogue does not let pass");
                }
            }
            Event::Add(n, item) => {
                if !changes_pass(&seen, *n, How::AddItems, &[item], word) {
                    return bad("item that the catalogue does not let pass");
                }
            }
        }
    }
    Ok(())
}

/// A use of stand-in `n` in one of these ways; `args` is the tuple of arguments, if it is a call.
fn passes(seen: &StandIns, n: usize, hows: &[How], args: &[Shown], word: Word) -> bool {
    let Some(Made::Import(module, name)) = seen.made(n) else {
        // Results whose calls the machine follows are its word alone; others can never be called cleanly.
        return seen.is_loose(n);
    };
    if args.iter().any(|a| a.is_cut() || seen.holds_loose(a)) || seen.is_loose(n) {
        return true;
    }
    let args = match args.first().map(|a| seen.value(a)) {
        Some(Value::Tuple(items)) => items,
        Some(other) => vec![other],
        None => Vec::new(),
    };
    let plain = args.iter().all(Value::is_plain);
    hows.iter().any(|&how| allows(module, name, how, &args, plain, word))
}

/// A change of stand-in `n`, judged by what made it.
fn changes_pass(seen: &StandIns, n: usize, how: How, args: &[&Shown], word: Word) -> bool {
    let by = match seen.made(n) {
        Some(Made::Result(by, _)) => *by,
        Some(Made::Persistent) => return true,
        // Imports themselves are never changed cleanly.
        _ => return false,
    };
    let Some(Made::Import(module, name)) = seen.made(by) else { return seen.is_loose(n) };
    if seen.is_loose(n) || args.iter().any(|a| a.is_cut() || seen.holds_loose(a)) {
        return true;
    }
    let args: Vec<Value> = args.iter().map(|a| seen.value(a)).collect();
    let plain = args.iter().all(|a| match (how, a) {
        (How::Build, Value::Dict(pairs)) => {
            !pairs.iter().any(|(k, _)| matches!(k.as_str(), Some("__setstate__" | "__class__")))
        }
        (How::Build, Value::Tuple(_)) => true,
        _ => a.is_plain(),
    });
    allows(module, name, how, &args, plain, word)
}

fn allows(module: &str, name: &str, how: How, args: &[Value], plain: bool, word: Word) -> bool {
    let callable = format!("{module}.{name}");
    let call = Call { how, callable: &callable, args, plain_args: plain, ..Call::import(module, name) };
    match catalogue::classify(&call) {
        CallClass::Harmless => true,
        CallClass::Unknown if word == Word::UnknownClass => match how {
            How::Data => true,
            How::Newobj | How::NewobjEx | How::Build => plain,
            // Protocols 0 and 1 rebuild classes by these; the catalogue has looked at the class.
            How::Reduce => name == "_reconstructor" || name == "__newobj__",
            _ => false,
        },
        _ => false,
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
            Told::Use { how, class, .. } => *how != How::Indirect && *class == CallClass::Harmless,
            Told::Import { callee, .. } => callee.via.is_empty() && !callee.module.is_empty(),
            Told::Nested(_) => false,
            _ => true,
        })
}

/// Precision: on a catalogued stream the machine tells exactly what the reader did, and the facts are exactly
/// that, in order and counted.
pub fn precise(reading: &Reading, telling: &Telling, met: &[usize], facts: &Facts) -> Result<(), Divergence> {
    let diverge = |detail: String| Err(Divergence { rule: "precision", reader: reading.reader, detail });
    let events = |t: &Told| !matches!(t, Told::Pickle | Told::Stop(_));
    for (n, told) in telling.list.iter().enumerate().filter(|(_, t)| events(t)) {
        if !met.contains(&n) {
            return diverge(format!("{told:?} is told, but the reader did not do it"));
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
        return diverge(format!("facts {found:?}, the reader did {expected:?}"));
    }
    Ok(())
}
