//! What the machine tells while it runs.

use crate::heap::Callee;
use crate::state::State;
use crate::val::{Tag, Val};
use crate::value::{Call, Held, Value};
use std::ops::Range;
use wb_verdict::How;

/// Bytes that the stream hands to another deserialiser.
#[derive(Debug)]
pub enum Nested {
    /// A range of the blob that the machine reads.
    Range(Range<u64>),
    /// Bytes worked out symbolically.
    Bytes(Vec<u8>),
}

/// Receives events in the order in which a loader would cause them.
pub trait Observer {
    /// An object is imported (GLOBAL, STACK_GLOBAL, INST, EXT or symbolically). The id is the same for the same
    /// callee in the same run, see [`PendingCall::callee_id`].
    fn import(&mut self, _offset: u64, _id: u32, _callee: &Callee) {}
    /// Something is called, or an object's state or items are set.
    fn call(&mut self, _call: &PendingCall<'_>) {}
    /// Readers disagree here.
    fn structure(&mut self, _offset: u64, _code: &'static str, _detail: &str) {}
    /// Absurd use of memory or time.
    fn resource(&mut self, _offset: u64, _code: &'static str, _detail: &str) {}
    /// Bytes are handed to the deserialiser `by`.
    fn nested(&mut self, _offset: u64, _by: &str, _bytes: Nested) {}
    /// A persistent id is looked up.
    fn persistent(&mut self, _id: &PendingValue<'_>) {}
    /// BUILD has set the state of an instance. `next` is the offset of the next opcode; a loader that reads
    /// on from the stream itself (joblib's arrays) returns where the opcodes go on.
    fn built(&mut self, _object: &PendingValue<'_>, _state: &PendingValue<'_>, _next: u64) -> Option<Skip> {
        None
    }
}

/// Where opcodes go on behind bytes that a loader took for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skip {
    /// For the loader as it is now.
    pub to: u64,
    /// For other releases of it, which took fewer bytes.
    pub or: Option<u64>,
}

/// A value that is decoded only on demand.
pub struct PendingValue<'a> {
    pub(crate) state: &'a State,
    pub(crate) val: Val,
    pub(crate) at: u64,
}

impl PendingValue<'_> {
    /// The value as a bounded tree.
    pub fn value(&self) -> Value {
        self.state.value(self.val)
    }

    /// The value as readable, bounded, escaped pseudo-Python.
    pub fn rendering(&self) -> String {
        let mut out = String::new();
        crate::render::value(&mut out, &self.value(), 0);
        out
    }

    /// Offset of the opcode that uses it.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// If it is a dict: the value of the key `key`.
    pub fn get(&self, key: &str) -> Option<PendingValue<'_>> {
        let s = self.state.heap.get_seq(self.val).filter(|s| s.kind == crate::heap::Kind::Dict)?;
        let is_key = |k| self.state.name(k).is_some_and(|n| n == key);
        let val = s.items.chunks_exact(2).rev().find(|p| is_key(p[0])).and_then(|p| p.get(1).copied())?;
        Some(PendingValue { state: self.state, val, at: self.at })
    }

    /// If it is the result of a call: its arguments.
    pub fn args(&self) -> Option<Vec<PendingValue<'_>>> {
        let args = self.state.heap.get_object(self.val)?.args;
        let of = |val| PendingValue { state: self.state, val, at: self.at };
        Some(self.state.items(args)?.into_iter().map(of).collect())
    }

    /// The same number for the same object.
    pub fn id(&self) -> u64 {
        self.val.payload()
    }

    /// If it is a byte string of at most `max` bytes: its bytes.
    pub fn bytes(&self, max: usize) -> Option<Vec<u8>> {
        self.state.bytes_of(self.val, max)
    }

    /// If it is a tuple or list: its items, as far as they are kept.
    pub fn items(&self) -> Option<Vec<PendingValue<'_>>> {
        let dict = self.state.heap.get_seq(self.val).is_some_and(|s| s.kind == crate::heap::Kind::Dict);
        let items = self.state.items(self.val).filter(|_| !dict)?;
        Some(items.into_iter().map(|val| PendingValue { state: self.state, val, at: self.at }).collect())
    }

    /// If it is a dict: its keys and values, as far as they are kept.
    pub fn entries(&self) -> Option<Vec<(PendingValue<'_>, PendingValue<'_>)>> {
        let s =
            self.state.heap.get_seq(self.val).filter(|s| s.kind == crate::heap::Kind::Dict && !s.dropped)?;
        let of = |val| PendingValue { state: self.state, val, at: self.at };
        Some(s.items.chunks_exact(2).map(|p| (of(p[0]), of(p[1]))).collect())
    }

    /// True if BUILD found an object that calls had been given before, or whose making was forgotten. Writers set the
    /// state of an object before anything else sees it.
    pub fn was_used_before_build(&self) -> bool {
        self.state.late_build
    }

    /// If it is the result of a call: the state that BUILD set on it last.
    pub fn object_state(&self) -> Option<PendingValue<'_>> {
        let val = self.state.heap.get_object(self.val)?.state?;
        Some(PendingValue { state: self.state, val, at: self.at })
    }

    /// If it is the result of a call: what was called.
    pub fn made_by(&self) -> Option<&Callee> {
        let o = self.state.heap.get_object(self.val)?;
        Some(self.state.heap.callee(o.callee))
    }
}

/// A call whose arguments are decoded only on demand.
pub struct PendingCall<'a> {
    pub(crate) state: &'a State,
    /// Offset of the opcode.
    pub offset: u64,
    /// The way of use.
    pub how: How,
    pub(crate) callee: u32,
    pub(crate) args: Args<'a>,
    pub(crate) kwargs: Option<Val>,
    /// See [`Call::on_import`].
    pub on_import: bool,
    /// See [`Call::tampered`].
    pub tampered: bool,
}

/// Arguments: one tuple value, or the items themselves.
#[derive(Clone, Copy)]
pub(crate) enum Args<'a> {
    Packed(Val),
    Items(&'a [Val]),
}

/// A call with everything decoded; lend it as a [`Call`] by [`Decoded::as_call`].
#[derive(Debug, Clone)]
pub struct Decoded {
    offset: u64,
    how: How,
    callee: Callee,
    on_import: bool,
    tampered: bool,
    plain: bool,
    holds: Vec<Held>,
    asked: Vec<Held>,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments.
    pub kwargs: Vec<(Value, Value)>,
}

impl Decoded {
    /// The call as the catalogue takes it.
    pub fn as_call(&self) -> Call<'_> {
        Call {
            offset: self.offset,
            how: self.how,
            module: &self.callee.module,
            name: &self.callee.name,
            callable: &self.callee.rendering,
            made_by: &self.callee.made_by,
            tampered: self.tampered,
            on_import: self.on_import,
            args: &self.args,
            kwargs: &self.kwargs,
            plain_args: self.plain,
            holds: &self.holds,
            asked: &self.asked,
        }
    }

    /// The call as readable, bounded, escaped pseudo-Python.
    pub fn rendering(&self) -> String {
        crate::render::call(&self.callee, self.how, self.on_import, &self.args, &self.kwargs)
    }
}

impl PendingCall<'_> {
    /// True if only a loader that executes as opcodes what another takes for an array gets here. Chance can
    /// spell names there, so only names that an import statement could spell should count.
    pub fn is_second_reading(&self) -> bool {
        self.state.linear_only
    }

    /// What is called, or what made the object that is changed.
    pub fn callee(&self) -> &Callee {
        self.state.heap.callee(self.callee)
    }

    /// A number that is the same for the same callee in the same run.
    pub fn callee_id(&self) -> u32 {
        self.callee
    }

    /// A hash of the kinds of the arguments (not of their values): equal kinds, equal number.
    pub fn shape(&self) -> u64 {
        let mut n = u64::from(self.on_import) | u64::from(self.tampered) << 1 | u64::from(self.plain()) << 2;
        let mut mix = |v: Val| {
            let kind = match v.tag() {
                Tag::Node => {
                    32 + self.state.heap.get_seq(v).map_or(0, |s| s.kind as u64 * 2 + u64::from(s.plain))
                }
                Tag::Object => self.state.heap.get_object(v).map_or(0, |o| 64 + u64::from(o.callee) * 2),
                Tag::Global => 65 + v.payload() * 2,
                Tag::Dunder => Tag::Str as u64,
                Tag::EmptyTuple => Tag::Span as u64,
                t => t as u64,
            };
            n = (n.rotate_left(7) ^ kind).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        };
        match self.args {
            Args::Items(items) => items.iter().take(64).for_each(|&v| mix(v)),
            Args::Packed(v) => match self.state.heap.get_seq(v) {
                Some(s) => s.items.iter().take(64).for_each(|&v| mix(v)),
                None => mix(v),
            },
        }
        if let Some(k) = self.kwargs {
            mix(k);
        }
        n
    }

    /// True if there are no arguments at all.
    pub fn is_bare(&self) -> bool {
        let none = match self.args {
            Args::Items(items) => items.is_empty(),
            Args::Packed(v) => v.tag() == Tag::EmptyTuple,
        };
        none && self.kwargs.is_none()
    }

    /// See [`Call::plain_args`].
    pub fn plain(&self) -> bool {
        let s = self.state;
        let kwargs = self.kwargs.is_none_or(|k| s.is_plain(k));
        kwargs
            && match (self.how, self.args) {
                (How::Build, Args::Packed(v)) => s.is_plain_state(v),
                (How::Build, Args::Items([v])) => s.is_plain_state(*v),
                (_, Args::Packed(v)) => s.is_plain(v),
                (_, Args::Items(items)) => items.iter().all(|&v| s.is_plain(v)),
            }
    }

    /// True if [`Call::asked`] is not empty.
    pub fn asks(&self) -> bool {
        match (self.how, self.args) {
            (How::Build, Args::Items([state])) => self.state.asked_parts(*state).next().is_some(),
            _ => false,
        }
    }

    /// See [`Call::asked`].
    fn asked(&self) -> Vec<Held> {
        match (self.how, self.args) {
            (How::Build, Args::Items([state])) => {
                self.state.asked_parts(*state).map(|v| self.state.held_one(v)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Decodes the arguments.
    pub fn decode(&self) -> Decoded {
        const MAX_ITEMS: usize = 64;
        let s = self.state;
        let args = match self.args {
            Args::Items(items) => {
                let mut v: Vec<Value> = items.iter().take(MAX_ITEMS).map(|&v| s.value(v)).collect();
                if items.len() > MAX_ITEMS {
                    v.push(Value::Truncated);
                }
                v
            }
            Args::Packed(v) => match s.value(v) {
                Value::Tuple(items) => items,
                // `callable(*args)` of the Python reader takes any iterable.
                Value::List(items) | Value::Set(items) | Value::FrozenSet(items) => items,
                Value::Dict(pairs) => pairs.into_iter().map(|(k, _)| k).collect(),
                // Its characters or bytes, one by one; or whatever an object yields.
                _ => vec![Value::Truncated],
            },
        };
        let kwargs = match self.kwargs.map(|k| s.value(k)) {
            None | Some(Value::None) => Vec::new(),
            Some(Value::Dict(pairs)) => pairs,
            Some(other) => vec![(Value::Opaque, other)],
        };
        Decoded {
            offset: self.offset,
            how: self.how,
            callee: self.callee().clone(),
            on_import: self.on_import,
            tampered: self.tampered,
            plain: self.plain(),
            holds: self.holds(),
            asked: self.asked(),
            args,
            kwargs,
        }
    }
}

impl State {
    pub(crate) fn is_plain(&self, v: Val) -> bool {
        v.is_literal() || self.heap.get_seq(v).is_some_and(|s| s.plain)
    }

    fn is_plain_state(&self, v: Val) -> bool {
        use crate::heap::Kind;
        if v.is_literal() {
            return true;
        }
        let Some(s) = self.heap.get_seq(v) else { return false };
        match s.kind {
            Kind::Dict => s.planted.is_none(),
            Kind::Tuple => s.items.iter().take(4).all(|&i| match self.heap.get_seq(i) {
                Some(inner) => inner.planted.is_none(),
                None => true,
            }),
            _ => true,
        }
    }
}
