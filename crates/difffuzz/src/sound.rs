//! Soundness: what the scanner lets pass, the catalogue must know, judged from the recorder's events alone.

use crate::compare::Divergence;
use crate::judged::Word;
use crate::recorded::{Event, Reading, Shown};
use crate::resolve::{asked, held};
use crate::standins::{Made, StandIns};
use std::collections::{HashMap, HashSet};
use wb_pickle::{Call, Callee, Value};
use wb_scan::catalogue;
use wb_verdict::{CallClass, How};

/// Nothing but what the catalogue knows happened in a stream that passes.
pub fn sound(reading: &Reading, word: Word) -> Result<(), Divergence> {
    if word == Word::Blocked {
        return Ok(());
    }
    let used = used(reading);
    let mut seen = StandIns::default();
    let mut states = States::new();
    // Events behind the last STOP belong to a pickle that fails.
    let stops = reading.events.iter().rposition(|(_, e)| matches!(e, Event::Stop(_)));
    let mut in_array = false;
    for (at, (op, event)) in reading.events.iter().enumerate() {
        seen.note(event);
        let stopped = stops.is_some_and(|stop| at <= stop);
        let judge = Judge { seen: &seen, word, stopped, in_array, used: &used, op: *op };
        if let Err(what) = judge.event(event, &mut states) {
            let detail = format!("{word:?}, but the reader did {event:?}: {what}");
            return Err(Divergence { rule: "soundness", reader: reading.reader, detail });
        }
        if let Event::SetState(n, _) | Event::Attribute(n, ..) = event {
            in_array |= seen.class_of(*n).is_some_and(|(_, name)| name.ends_with("ArrayWrapper"));
        }
    }
    Ok(())
}

/// Imports that are used, not held: called, changed, or classes that `copyreg`'s functions make instances of; and
/// further imports of the same names, with which nothing happens that did not happen with those.
fn used(reading: &Reading) -> HashSet<usize> {
    let mut used = StandIns::used(&reading.events);
    let mut seen = StandIns::default();
    for (_, event) in &reading.events {
        seen.note(event);
        if let Event::Call(by, Shown::Seq(_, args), _) = event
            && let Some(Shown::Object(class)) = args.first()
            && seen.import_of(*by).is_some_and(|(module, _)| module == "copyreg")
        {
            used.insert(*class);
        }
    }
    let names: HashSet<_> = used.iter().filter_map(|&n| imported(&seen, n)).collect();
    used.extend((0..=seen.last()).filter(|&n| imported(&seen, n).is_some_and(|name| names.contains(&name))));
    used
}

/// Module and name of what the stream imports by naming it.
fn imported(seen: &StandIns, n: usize) -> Option<(String, String)> {
    match seen.made(n)? {
        Made::Import(module, name) => Some((module.clone(), name.clone())),
        _ => None,
    }
}

/// States set on a stand-in: how many, and the last.
type States = HashMap<usize, (u32, Shown)>;

struct Judge<'a> {
    seen: &'a StandIns,
    word: Word,
    /// The reader came to STOP in this pickle.
    stopped: bool,
    /// What these readers take for opcodes is the bytes of an array to joblib.
    in_array: bool,
    used: &'a HashSet<usize>,
    /// The opcode under way, where the reader tells it.
    op: Option<u8>,
}

impl Judge<'_> {
    fn event(&self, event: &Event, states: &mut States) -> Result<(), &'static str> {
        check(self.keeps(event), "keeps an import that the catalogue does not let pass as data")?;
        match event {
            Event::Stop(_) => Ok(()),
            // Loaders without such ids stop there; those of torch take tuples that name storages or modules.
            Event::Persistent(id) => check(!self.is_known_id(id), "a persistent id"),
            // Text and numbers spell names that no import statement could; such a name alone makes no pickle of a
            // file that fails before STOP.
            _ if self.by_chance(event) => Ok(()),
            // Imports are hashed by their identity.
            Event::Hash(n) | Event::Equal(n)
                if self.seen.is_import(*n) || self.seen.import_of(*n).is_some() =>
            {
                Ok(())
            }
            Event::Import { .. } if self.word == Word::UnknownContent => {
                // Of what no loader opens an unpickler may read a name of no known module before it fails.
                let unknown = self.seen.import_of(self.seen.last()).is_none_or(|(module, name)| {
                    catalogue::classify(&Call::import(&module, &name)) == CallClass::Unknown
                });
                check(unknown, "import of a known module, not taken for a pickle")
            }
            _ if self.word == Word::UnknownContent => Err("not taken for a pickle"),
            // Text and bytes have none of the methods that change a stand-in: the reader fails there.
            Event::SetState(n, _)
            | Event::Attribute(n, ..)
            | Event::Append(n, _)
            | Event::SetItem(n, ..)
            | Event::Add(n, _)
            | Event::Hash(n)
            | Event::Equal(n)
            | Event::ByTheWay(n, _)
                if self.seen.may_be_text(*n) =>
            {
                Ok(())
            }
            Event::Import { .. } => {
                let n = self.seen.last();
                let held = !self.used.contains(&n);
                // A reader that fails between an import and the use for which the catalogue has it.
                let catalogued = || {
                    let name = self.seen.import_of(n);
                    name.is_some_and(|(m, n)| catalogue::about(&m, &n).harmless.is_some())
                };
                if held && !self.stopped && catalogued() {
                    return Ok(());
                }
                check(
                    !held || self.use_of(n, &[How::Data], &[]),
                    "import that the catalogue does not let pass",
                )
            }
            Event::Call(n, args, kwargs) => {
                let hows: &[How] = match self.op {
                    Some(0x69) => &[How::Inst],
                    Some(0x6f) => &[How::Obj],
                    Some(_) => &[How::Reduce],
                    None => &[How::Reduce, How::Inst, How::Obj],
                };
                let passes = match self.seen.partial_of(*n, states.get(n).map(|s| &s.1)) {
                    Some(partial) => self.partial_call(partial, args, kwargs, states, 8),
                    None => self.use_of(*n, hows, &[args, kwargs]),
                };
                check(passes, "call that the catalogue does not let pass")
            }
            Event::New(n, args, kwargs) => {
                let hows: &[How] = match self.op {
                    Some(0x69) => &[How::Inst],
                    Some(0x6f) => &[How::Obj],
                    Some(0x92) => &[How::NewobjEx],
                    Some(_) => &[How::Newobj],
                    None => &[How::Newobj, How::NewobjEx, How::Inst, How::Obj],
                };
                check(self.use_of(*n, hows, &[args, kwargs]), "class that the catalogue does not let pass")
            }
            Event::SetState(n, state) => {
                let (count, last) = states.entry(*n).or_insert((0, Shown::None));
                *count += 1;
                *last = state.clone();
                // Of an unknown class only the first state may pass.
                let word = if *count > 1 { Word::Clean } else { self.word };
                check(self.change_of(*n, How::Build, &[self.seen.value(state)], word), "state")
            }
            Event::Attribute(n, key, value) => {
                let state = Value::Dict(vec![(self.seen.value(key), self.seen.value(value))]);
                let pair = Value::Tuple(vec![Value::None, state.clone()]);
                let passes = |state| self.change_of(*n, How::Build, &[state], self.word);
                check(passes(state) || passes(pair), "attribute")
            }
            Event::Append(n, items) => {
                let items: Vec<Value> = items.iter().map(|i| self.seen.value(i)).collect();
                check(self.change_of(*n, How::Append, &items, self.word), "items")
            }
            Event::SetItem(n, k, v) => {
                let pair = [self.seen.value(k), self.seen.value(v)];
                check(self.change_of(*n, How::SetItem, &pair, self.word), "item")
            }
            Event::Add(n, item) => {
                check(self.change_of(*n, How::AddItems, &[self.seen.value(item)], self.word), "member")
            }
            Event::Hash(n) | Event::Equal(n) => {
                check(self.change_of(*n, How::Hash, &[], Word::Clean), "hash of an instance")
            }
            Event::Buffer(_) => Err("a view of an instance"),
            // The catalogue knows which classes have a `__setstate__` of their own, where a stand-in has none.
            Event::ByTheWay(_, Some((Shown::Object(object), state))) => {
                let state = self.seen.value(state);
                check(self.change_of(*object, How::Build, &[state], self.word), "a state is asked")
            }
            Event::ByTheWay(..) => Err("an instance is iterated over"),
        }
    }

    /// Imports among what is set on an object are kept, whether they are called elsewhere or not.
    fn keeps(&self, event: &Event) -> bool {
        // Nothing is kept where it cannot be set.
        let set_on = |n: &usize| !self.seen.may_be_text(*n) && !self.by_chance(event);
        let data = |values: &[&Shown]| {
            values.iter().all(|v| !v.holds(&|n| self.seen.is_import(n) && !self.use_of(n, &[How::Data], &[])))
        };
        match event {
            // What a partial calls is part of its state, and judged there.
            Event::SetState(n, _) if self.seen.partial_of(*n, None).is_some() => true,
            Event::SetState(n, state) => !set_on(n) || data(&[state]),
            Event::Attribute(n, key, value) | Event::SetItem(n, key, value) => {
                !set_on(n) || data(&[key, value])
            }
            Event::Append(n, items) => !set_on(n) || data(&items.iter().collect::<Vec<_>>()),
            Event::Add(n, item) => !set_on(n) || data(&[item]),
            _ => true,
        }
    }

    /// The ids that a loader of some kind acts on.
    fn is_known_id(&self, id: &Shown) -> bool {
        let Shown::Seq('T', parts) = id else { return false };
        match parts.first() {
            Some(Shown::Str(kind) | Shown::Bytes(kind)) => kind == b"storage" || kind == b"module",
            // Text that a call returned.
            Some(Shown::Object(n)) => !self.seen.is_import(*n),
            _ => false,
        }
    }

    /// A call of `functools.partial(f, *first, **named)`: one of `f`, judged as such.
    fn partial_call(
        &self,
        (f, first, named): (usize, Vec<Shown>, Vec<Shown>),
        args: &Shown,
        kwargs: &Shown,
        states: &States,
        depth: u32,
    ) -> bool {
        let joined = |mut first: Vec<Shown>, rest: &Shown, letter| {
            if let Shown::Seq(_, rest) = rest {
                first.extend(rest.iter().cloned());
            }
            Shown::Seq(letter, first)
        };
        let (args, kwargs) = (joined(first, args, 'T'), joined(named, kwargs, 'D'));
        match self.seen.partial_of(f, states.get(&f).map(|s| &s.1)) {
            Some(inner) => depth > 0 && self.partial_call(inner, &args, &kwargs, states, depth - 1),
            None => self.use_of(f, &[How::Indirect], &[&args, &kwargs]),
        }
    }

    /// True if this is about a name that is none, in a pickle that never comes to STOP, or among numbers.
    fn by_chance(&self, event: &Event) -> bool {
        let n = match event {
            Event::Import { .. } => self.seen.last(),
            Event::Call(n, ..)
            | Event::New(n, ..)
            | Event::SetState(n, _)
            | Event::Attribute(n, ..)
            | Event::Append(n, _)
            | Event::SetItem(n, ..)
            | Event::Add(n, _)
            | Event::Hash(n)
            | Event::Equal(n)
            | Event::Buffer(n)
            | Event::ByTheWay(n, _) => *n,
            _ => return false,
        };
        // Nobody can call the wrapper of an array; what is reached through imports is told by them.
        if self.in_array && self.seen.import_of(n).is_none() {
            return true;
        }
        let Some((module, name)) = self.seen.import_of(n).or_else(|| self.seen.class_of(n)) else {
            return false;
        };
        // A module that is known is imported, whatever is looked for in it.
        let known = !matches!(
            catalogue::classify(&Call::import(&module, &name)),
            CallClass::Unknown | CallClass::Unresolved
        );
        let callee = Callee { module, name, rendering: "?".into(), ..Callee::default() };
        if known && callee.has_plausible_module() && matches!(event, Event::Import { .. }) {
            return false;
        }
        // An empty name is no attribute of any module: the reader fails before it calls.
        let no_call = !matches!(event, Event::Import { .. }) && callee.name.is_empty();
        (!self.stopped || self.in_array) && (no_call || !callee.is_plausible())
    }

    /// A use of stand-in `n` in one of these ways; `args` are the tuple of arguments and the dict of those with names.
    fn use_of(&self, n: usize, hows: &[How], args: &[&Shown]) -> bool {
        // Results are never called cleanly, unless they are an import by another way.
        let Some((module, name)) = self.seen.import_of(n) else { return false };
        // Text that a call returned is text and what the call returned: either is true of it.
        [false, true].iter().any(|&objects| {
            let value = |v: &Shown| if objects { self.seen.value_of_objects(v) } else { self.seen.value(v) };
            self.allowed_call(
                (&module, &name),
                hows,
                args.first().map(|v| value(v)),
                args.get(1).map(|v| value(v)),
            )
        })
    }

    fn allowed_call(
        &self,
        (module, name): (&str, &str),
        hows: &[How],
        args: Option<Value>,
        kwargs: Option<Value>,
    ) -> bool {
        let positional = match args {
            Some(Value::Tuple(items)) => items,
            Some(other) => vec![other],
            None => Vec::new(),
        };
        let by_name = match kwargs {
            Some(Value::Dict(pairs)) => pairs,
            _ => Vec::new(),
        };
        let plain = positional.iter().all(Value::is_plain) && by_name.iter().all(|(_, v)| v.is_plain());
        let holds = held(positional.iter().chain(by_name.iter().map(|(_, v)| v)));
        let call = Call {
            args: &positional,
            kwargs: &by_name,
            plain_args: plain,
            holds: &holds,
            ..Call::import(module, name)
        };
        hows.iter().any(|&how| allows(Call { how, ..call }, self.word))
    }

    /// A change of stand-in `n`, judged by what made it. Imports themselves are never changed cleanly.
    fn change_of(&self, n: usize, how: How, args: &[Value], word: Word) -> bool {
        let Some((module, name)) = self.seen.class_of(n) else { return false };
        let plain = args.iter().all(|a| match (how, a) {
            (How::Build, state) => is_plain_state(state),
            _ => a.is_plain(),
        });
        let holds = held(args);
        let asked = if how == How::Build { asked(args) } else { Vec::new() };
        let call = Call { how, args, plain_args: plain, holds: &holds, ..Call::import(&module, &name) };
        allows(Call { asked: &asked, ..call }, word)
    }
}

fn check(passes: bool, what: &'static str) -> Result<(), &'static str> {
    if passes { Ok(()) } else { Err(what) }
}

/// What the dict's values hold is judged where they are made.
fn is_plain_state(state: &Value) -> bool {
    let plants = |v: &Value| match v {
        Value::Dict(pairs) => pairs.iter().any(|(k, _)| match k {
            Value::Object { .. } | Value::Persistent(_) | Value::Opaque => true,
            k => matches!(k.as_str(), Some("__setstate__" | "__class__" | "__dict__")),
        }),
        _ => false,
    };
    match state {
        Value::Dict(_) => !plants(state),
        Value::Tuple(parts) => !parts.iter().take(4).any(plants),
        Value::List(_) | Value::Set(_) | Value::FrozenSet(_) => true,
        other => other.is_plain(),
    }
}

fn allows(call: Call<'_>, word: Word) -> bool {
    let callable = format!("{}.{}", call.module, call.name);
    let call = Call { callable: &callable, ..call };
    match catalogue::classify(&call) {
        CallClass::Harmless => true,
        CallClass::Unknown if word == Word::UnknownClass => match call.how {
            How::Data => true,
            How::Newobj | How::NewobjEx | How::Build => call.plain_args,
            // Protocols 0 and 1 rebuild classes by these; the catalogue has looked at the class.
            How::Reduce => matches!(call.name, "_reconstructor" | "__newobj__" | "__newobj_ex__"),
            _ => false,
        },
        _ => false,
    }
}
