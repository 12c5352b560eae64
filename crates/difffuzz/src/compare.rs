//! Recorder against machine: is everything that a reader did among what the machine told, in order?

use crate::recorded::{Event, Reading, Shown, all_fit, dict_fits, is_rest};
use crate::standins::StandIns;
use crate::told::{Telling, Told};
use std::collections::BTreeMap;
use wb_pickle::Value;
use wb_verdict::How;

/// Something that one side knows and the other does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// Which rule of the comparison.
    pub rule: &'static str,
    /// Which reader.
    pub reader: char,
    /// What exactly.
    pub detail: String,
}

/// Known differences that are allowed, by name: how often each was met.
pub type Allowed = BTreeMap<&'static str, u64>;

/// Errors of the machine that mean: this value is known and is no stand-in.
const KNOWN_RESULT: &[&str] =
    &["the object called is not callable", "STACK_GLOBAL needs two strings", "the object has no such method"];

/// Looks for each event of a reading among the machine's, in order. Returns the indices of the machine's events
/// that were met.
pub fn follow(reading: &Reading, telling: &Telling, allowed: &mut Allowed) -> Result<Vec<usize>, Divergence> {
    let mut seen = StandIns::default();
    let mut met: Vec<usize> = Vec::new();
    let mut next = 0;
    // Events that one opcode makes in turn (`add` for each item) are one event of the machine.
    let mut repeated: Option<usize> = None;
    let straddles = telling.structure.contains(&"pickle-frame-straddle");
    for (op, event) in &reading.events {
        if let Event::Stop(at) = event {
            match telling.list.iter().skip(next).position(|t| matches!(t, Told::Stop(_))) {
                Some(n) => {
                    let n = next + n;
                    if !matches!(&telling.list[n], Told::Stop(to) if to == at) {
                        // A reader of files takes whole frames from its file; it goes on behind the frame.
                        if reading.reader == 'c' && !straddles {
                            let detail = format!("reader stops at {at}, machine: {:?}", telling.list[n]);
                            return Err(diverge("stop", reading, detail));
                        }
                        *allowed.entry("file position after a frame").or_default() += 1;
                        return Ok(met);
                    }
                    next = n + 1;
                }
                None if excused(telling, &seen, allowed) => return Ok(met),
                None if straddles => {
                    *allowed.entry("STOP in the other reading of frames").or_default() += 1;
                    return Ok(met);
                }
                None => {
                    let detail = format!("reader stops at {at}, machine: {:?}", telling.error);
                    return Err(diverge("outcome", reading, detail));
                }
            }
            repeated = None;
            continue;
        }
        if let Event::ByTheWay(n, build) = event {
            // By itself, or as the state of an object.
            let told = |t: &Told| match (t, build) {
                (Told::Use { how: How::Indirect, callee, .. }, _) => seen.callee_fits(*n, callee),
                (Told::Use { how: How::Build, callee, on_import, .. }, Some((Shown::Object(object), _))) => {
                    seen.maker_fits(*object, callee, *on_import)
                }
                // An out-of-band buffer, which can be anything to the machine.
                (Told::Use { how: How::Build, callee, args, .. }, Some((_, state))) => {
                    callee.rendering == "<unknown object>"
                        && args.first().is_some_and(|v| state.fits(v, &|n, v| seen.value_fits(n, v)))
                }
                _ => false,
            };
            if seen.is_loose(*n) || telling.list.iter().any(told) {
                continue;
            }
            if excused(telling, &seen, allowed) {
                return Ok(met);
            }
            return Err(diverge("missing", reading, format!("{event:?} is not told; made: {seen:?}")));
        }
        if let Event::Buffer(n) = event
            && seen.is_loose(*n)
        {
            continue;
        }
        if let Event::Hash(n) | Event::Equal(n) = event
            && (seen.is_import(*n) || seen.is_loose(*n))
        {
            // Imports are hashed by their identity; what the machine knows better may be a literal.
            continue;
        }
        if let Event::SetState(n, _)
        | Event::Attribute(n, ..)
        | Event::Append(n, _)
        | Event::SetItem(n, ..)
        | Event::Add(n, _) = event
            && (seen.may_be_text(*n) || seen.is_built_in(*n))
        {
            *allowed.entry("change of a result known to be a built-in value").or_default() += 1;
            seen.note(event);
            continue;
        }
        if let Event::Equal(n) = event {
            // Whatever is compared was hashed before, here or when it was put in.
            let hashed = |t: &Told| matches!(t, Told::Use { how: How::Hash, callee, .. } if seen.maker_fits(*n, callee, false));
            if telling.list.iter().any(hashed) {
                continue;
            }
            return Err(diverge("missing", reading, format!("{event:?} is not told; made: {seen:?}")));
        }
        if let Some(n) = repeated
            && one_of_many(event)
            && fits(event, *op, &seen, &telling.list[n])
        {
            seen.note(event);
            continue;
        }
        let this_pickle =
            telling.list.iter().enumerate().skip(next).take_while(|(_, t)| !matches!(t, Told::Stop(_)));
        let mut found = None;
        for (n, told) in this_pickle {
            if fits(event, *op, &seen, told) {
                found = Some(n);
                break;
            }
        }
        match found {
            Some(n) => {
                met.push(n);
                next = n + 1;
                repeated = Some(n);
                seen.note(event);
            }
            None => {
                seen.note(event);
                if let Event::Import { .. } = event
                    && seen.is_loose(seen.last())
                {
                    *allowed.entry("import of a name that the stream replaced").or_default() += 1;
                    continue;
                }
                if let Event::SetState(n, _)
                | Event::Attribute(n, ..)
                | Event::Append(n, _)
                | Event::SetItem(n, ..)
                | Event::Add(n, _) = event
                    && seen.is_import(*n)
                    && seen.is_loose(*n)
                {
                    *allowed.entry("change of a name that the stream replaced").or_default() += 1;
                    continue;
                }
                if excused(telling, &seen, allowed) {
                    return Ok(met);
                }
                let detail = format!("{event:?} (opcode {op:02x?}) is not told; made: {seen:?}");
                return Err(diverge("missing", reading, detail));
            }
        }
    }
    Ok(met)
}

fn diverge(rule: &'static str, reading: &Reading, detail: String) -> Divergence {
    Divergence { rule, reader: reading.reader, detail }
}

/// True if the machine knows a value to be no stand-in, and stops where the real one does.
fn excused(telling: &Telling, seen: &StandIns, allowed: &mut Allowed) -> bool {
    if telling.exhausted {
        *allowed.entry("budget spent").or_default() += 1;
        return true;
    }
    let known = knows_better(telling, seen);
    if known {
        *allowed.entry("call of a result known to be no callable").or_default() += 1;
    }
    known
}

/// The machine ended at something that is no stand-in to it.
fn knows_better(telling: &Telling, seen: &StandIns) -> bool {
    telling.error.is_some_and(|e| KNOWN_RESULT.contains(&e)) && seen.any_loose()
}

/// As [`knows_better`], of a whole reading.
pub fn ended_early(reading: &Reading, telling: &Telling) -> bool {
    let mut seen = StandIns::default();
    reading.events.iter().for_each(|(_, event)| seen.note(event));
    knows_better(telling, &seen)
}

/// Events that an opcode can make once for each item.
fn one_of_many(event: &Event) -> bool {
    match event {
        Event::Attribute(..) | Event::SetItem(..) | Event::Add(..) => true,
        Event::Append(_, items) => items.len() == 1,
        _ => false,
    }
}

/// True if the machine's event can be the reader's.
fn fits(event: &Event, op: Option<u8>, seen: &StandIns, told: &Told) -> bool {
    let value = |n: usize, v: &Value| seen.value_fits(n, v);
    match (event, told) {
        (Event::Import { .. }, Told::Import { callee, .. }) => {
            let mut with = StandIns::default();
            with.note(event);
            with.callee_fits(0, callee)
        }
        (Event::Persistent(id), Told::Persistent(v)) => seen.holds_loose(id) || id.fits(v, &value),
        (Event::Call(n, args, kwargs) | Event::New(n, args, kwargs), Told::Use { how, callee, .. }) => {
            let loose = seen.is_loose(*n);
            let is_new = matches!(event, Event::New(..));
            (call_how(is_new, op, *how, args) || (loose && *how == How::Indirect))
                && seen.callee_fits(*n, callee)
                && (loose || args_fit(args, kwargs, seen, told, op))
        }
        (Event::SetState(n, state), Told::Use { how: How::Build, callee, on_import, args, .. }) => {
            // An object that is its own state: nothing comes in that was not there.
            let own = |v: &Value| *state == Shown::Object(*n) && *v == Value::Dict(Vec::new());
            seen.maker_fits(*n, callee, *on_import)
                && (seen.holds_loose(state) || args.first().is_some_and(|v| state.fits(v, &value) || own(v)))
        }
        (Event::Attribute(n, key, v), Told::Use { how: How::Build, callee, on_import, args, .. }) => {
            let pair = [key.clone(), v.clone()];
            let dict_has = |state: &Value| match state {
                Value::Dict(pairs) => dict_fits(&pair, pairs, &value),
                Value::Tuple(_)
                | Value::Truncated
                | Value::PlainRest
                | Value::Opaque
                | Value::Object { .. } => true,
                Value::Global { .. } | Value::Persistent(_) => true,
                _ => false,
            };
            let has = |state: &Value| match state {
                Value::Tuple(parts) => parts.iter().any(dict_has),
                state => dict_has(state),
            };
            let loose = seen.holds_loose(key) || seen.holds_loose(v);
            seen.maker_fits(*n, callee, *on_import) && (loose || args.first().is_some_and(has))
        }
        (Event::Hash(n), Told::Use { how: How::Hash, callee, on_import, .. }) => {
            seen.maker_fits(*n, callee, *on_import)
        }
        (Event::Buffer(n), Told::Use { how: How::Indirect, callee, .. }) => {
            let called = if seen.is_import(*n) { "" } else { "(...)" };
            callee.rendering == format!("{}{called}.__buffer__", seen.maker_rendering(*n))
        }
        (Event::Append(n, items), Told::Use { how: How::Append, callee, on_import, args, .. }) => {
            seen.maker_fits(*n, callee, *on_import) && items_fit(items, args, seen)
        }
        (Event::Add(n, item), Told::Use { how: How::AddItems, callee, on_import, args, .. }) => {
            seen.maker_fits(*n, callee, *on_import) && items_fit(std::slice::from_ref(item), args, seen)
        }
        (Event::SetItem(n, k, v), Told::Use { how: How::SetItem, callee, on_import, args, .. }) => {
            seen.maker_fits(*n, callee, *on_import)
                && (seen.holds_loose(k)
                    || seen.holds_loose(v)
                    || args.iter().any(is_rest)
                    || args.chunks_exact(2).any(|p| k.fits(&p[0], &value) && v.fits(&p[1], &value)))
        }
        _ => false,
    }
}

/// One item fits any of the machine's, several fit all.
fn items_fit(items: &[Shown], args: &[Value], seen: &StandIns) -> bool {
    let value = |n: usize, v: &Value| seen.value_fits(n, v);
    if items.iter().any(|i| seen.holds_loose(i)) {
        return true;
    }
    match items {
        [one] => args.iter().any(is_rest) || args.iter().any(|v| one.fits(v, &value)),
        all => all_fit(all, args, &value),
    }
}

/// The reader's way of calling is the machine's. Only the Python reader tells its opcode.
fn call_how(is_new: bool, op: Option<u8>, how: How, args: &Shown) -> bool {
    let no_args = matches!(args, Shown::Seq(_, items) if items.is_empty());
    match (op, how) {
        (Some(0x52), How::Reduce) | (None, How::Reduce) => !is_new,
        (Some(0x69) | None, How::Inst) | (Some(0x6f) | None, How::Obj) => !is_new || no_args,
        (Some(0x81) | None, How::Newobj) | (Some(0x92) | None, How::NewobjEx) => is_new,
        _ => false,
    }
}

fn args_fit(args: &Shown, kwargs: &Shown, seen: &StandIns, told: &Told, op: Option<u8>) -> bool {
    let Told::Use { args: machine, kwargs: machine_kwargs, .. } = told else { return false };
    let value = |n: usize, v: &Value| seen.value_fits(n, v);
    if seen.holds_loose(args) || seen.holds_loose(kwargs) {
        return true;
    }
    let Shown::Seq(_, items) = args else { return true };
    // `f(*x)` of the Python reader takes whatever can be iterated: the machine hands on what is iterated.
    let iterated = op.is_some()
        && matches!(
            machine[..],
            [Value::Str { .. } | Value::Bytes { .. } | Value::Object { .. } | Value::Global { .. }]
        );
    // Nor does a set keep its order, or a dict its equal keys.
    let mixed = op.is_some()
        && items.len() <= machine.len()
        && items.is_empty() == machine.is_empty()
        && items.iter().all(|i| machine.iter().any(|v| i.fits(v, &value)));
    let positional = all_fit(items, machine, &value) || iterated || mixed;
    let by_name = match kwargs {
        Shown::Seq(_, pairs) if !pairs.is_empty() => dict_fits(pairs, machine_kwargs, &value),
        _ => true,
    };
    positional && by_name
}
