//! The machine's state: stack, marks, memo, heap, and what the stream changed.

use crate::extensions::Extensions;
use crate::heap::{Heap, Kind};
use crate::literal::Source;
use crate::memo::Memo;
use crate::observer::{Observer, Skip};
use crate::val::{Tag, Val};
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeMap;

pub(crate) const UNDERFLOW: &str = "stack underflow";
pub(crate) const NO_MARK: &str = "no mark on the stack";

/// Why the inner loop came back.
pub(crate) enum Flow {
    /// It needs this many bytes from this offset on.
    More {
        at: u64,
        need: u64,
    },
    /// The text line of the opcode at this offset goes on beyond the bytes given.
    Line {
        at: u64,
    },
    /// The opcode at this offset, or its argument, crosses the end of its frame.
    Straddle {
        at: u64,
    },
    /// A frame begins: its first byte and length.
    Frame {
        at: u64,
        len: u64,
    },
    /// Continue elsewhere.
    Jump(u64),
    /// The loader takes the bytes from this offset on for itself; a plain unpickler executes them.
    Skip {
        from: u64,
        skip: Skip,
    },
    Stop(u64),
    Error {
        at: u64,
        what: &'static str,
    },
}

/// The machine's state; everything except the window.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub source: Source,
    pub len: u64,
    pub stack: Vec<Val>,
    /// Room for items on their way from the stack into a container.
    pub room: Vec<Val>,
    pub marks: Vec<usize>,
    pub memo: Memo,
    pub heap: Heap,
    pub proto: u8,
    /// Extension codes registered by the stream itself.
    pub extensions: Extensions,
    /// Attributes the stream sets on imports: dotted path -> value.
    pub planted: BTreeMap<String, Val>,
    /// The BUILD under way is not the first of its object.
    pub second_build: bool,
    /// The object written into has had its state set before.
    pub after_build: bool,
    /// Calls and writes so far that could have used a `numpy.dtype` whose state was not set yet.
    pub others: u64,
    /// What is told is a method that a reader calls by the way.
    pub asking: bool,
    /// `numpy.dtype` objects without state, and [`Self::others`] when they were made.
    pub fresh: HashMap<Val, u64>,
    /// The object under BUILD was used before.
    pub late_build: bool,
    /// A planted `__hash__` is being followed.
    pub hashing: bool,
    /// Bytearrays that the stream has changed: their bytes are no longer those it wrote.
    pub changed: HashSet<Val>,
    /// Opcodes executed that torch's weights-only unpickler does not have, a bit each, see [`crate::weights_only`].
    pub outside: u64,
    /// No opcode but literals, marks, memo stores and tuples was executed from here on.
    pub clean_since: u64,
    pub frame_end: u64,
    /// Reads as the C unpickler does from a file: an argument that crosses a frame's end is read from there on.
    pub file_reader: bool,
    /// Loaders that take bytes from the stream for themselves are not asked. This reading is a second one, whose
    /// calls count but whose oddities do not: raw numbers may be opcodes by chance.
    pub linear_only: bool,
    pub reported: HashSet<&'static str>,
    pub imports: u64,
    pub calls: u64,
    pub steps: u64,
    pub has_proto: bool,
    /// Calls that the opcode under way has led to.
    pub fan: u32,
    /// Texts that were encoded for a deserialiser.
    pub decoded: HashSet<Val>,
}

impl State {
    pub(crate) fn new(source: Source, start: u64) -> Self {
        Self {
            len: source.blob.len(),
            source,
            stack: Vec::new(),
            room: Vec::new(),
            marks: Vec::new(),
            memo: Memo::default(),
            heap: Heap::default(),
            proto: 0,
            extensions: Extensions::default(),
            second_build: false,
            after_build: false,
            asking: false,
            others: 0,
            fresh: HashMap::new(),
            late_build: false,
            hashing: false,
            changed: HashSet::new(),
            outside: 0,
            planted: BTreeMap::new(),
            clean_since: start,
            frame_end: u64::MAX,
            file_reader: false,
            linear_only: false,
            reported: HashSet::new(),
            imports: 0,
            calls: 0,
            steps: 0,
            has_proto: false,
            fan: 0,
            decoded: HashSet::new(),
        }
    }

    /// Could the opcodes at `from` reach an import or a call from this state? Only a quick look: raw data mostly cannot.
    pub(crate) fn could_call(&self, from: u64) -> bool {
        const MAX: usize = 200_000;
        let mut texts = 0;
        let callable =
            |v: Option<&Val>| v.is_some_and(|v| matches!(v.tag(), Tag::Global | Tag::Object | Tag::Opaque));
        let from_top = |n: usize| self.stack.len().checked_sub(n).filter(|&i| i >= self.fence());
        for (i, op) in crate::disassemble::disassemble(&self.source.blob, from).take(MAX).enumerate() {
            let Ok(op) = op else { return false };
            let first = i == 0;
            match op.opcode.code {
                crate::opcode::REDUCE | crate::opcode::NEWOBJ if first => {
                    return from_top(2).is_some_and(|i| callable(self.stack.get(i)));
                }
                crate::opcode::NEWOBJ_EX if first => {
                    return from_top(3).is_some_and(|i| callable(self.stack.get(i)));
                }
                crate::opcode::OBJ if first => {
                    return self.marks.last().is_some_and(|&m| callable(self.stack.get(m)));
                }
                crate::opcode::REDUCE
                | crate::opcode::NEWOBJ
                | crate::opcode::NEWOBJ_EX
                | crate::opcode::OBJ
                | crate::opcode::INST
                | crate::opcode::BUILD => return true,
                crate::opcode::GLOBAL if self.names_module(op.offset + 1) => return true,
                // Of two texts of these opcodes, or of what was there before.
                crate::opcode::STACK_GLOBAL if first || texts > 1 => return true,
                code if crate::decode::literal_tag(code) == Some(Tag::Str) => texts += 1,
                _ => {}
            }
        }
        false
    }

    /// True if the line at `at` could be the name of a module.
    fn names_module(&self, at: u64) -> bool {
        const MAX: usize = 256;
        let Ok((line, whole)) = self.source.line(at, MAX) else { return false };
        let module = String::from_utf8_lossy(&line);
        whole as usize == line.len() && crate::heap::Callee::import(&module, "").has_plausible_module()
    }

    /// Bytes of state held.
    pub(crate) fn held(&self) -> u64 {
        (self.stack.capacity() * 8 + self.marks.capacity() * 8) as u64 + self.memo.bytes() + self.heap.bytes()
    }

    /// Bytes held for a moment if the stack and the marks take `more` values: what outgrows its room is copied.
    pub(crate) fn held_growing(&self, more: usize) -> u64 {
        let growth = |len: usize, room: usize| if len + more > room { room as u64 * 16 } else { 0 };
        self.held()
            + growth(self.stack.len(), self.stack.capacity())
            + growth(self.marks.len(), self.marks.capacity())
    }

    /// Reports a structural fact once per code and run.
    pub(crate) fn structure(&mut self, obs: &mut dyn Observer, at: u64, code: &'static str, detail: &str) {
        if !self.linear_only && self.reported.insert(code) {
            obs.structure(at, code, detail);
        }
    }

    /// Reports a resource fact once per code and run.
    pub(crate) fn resource(&mut self, obs: &mut dyn Observer, at: u64, code: &'static str, detail: &str) {
        if self.reported.insert(code) {
            obs.resource(at, code, detail);
        }
    }

    /// Pops the topmost mark; the index of the first item above it.
    #[inline(always)]
    pub(crate) fn pop_mark(&mut self) -> Option<usize> {
        let m = self.marks.pop()?;
        (m <= self.stack.len()).then_some(m)
    }

    /// The lowest stack index that may be popped.
    #[inline(always)]
    pub(crate) fn fence(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<Val> {
        if self.stack.len() > self.fence() { self.stack.pop() } else { None }
    }

    /// A tuple of the items from `from` on, made by the opcode at `at`.
    pub(crate) fn tuple(&mut self, from: usize, at: u64) {
        let items = self.stack.get(from..).unwrap_or(&[]);
        let v = match items.first() {
            None => Val::new(Tag::EmptyTuple, at),
            Some(first) => {
                let span = first
                    .offset()
                    .filter(|&o| {
                        let fits = |v: &Val| v.is_literal() && v.tag() != Tag::Bytes;
                        o >= self.clean_since && items.iter().all(fits)
                    })
                    .and_then(|start| Val::span(start, at));
                match span {
                    Some(v) => v,
                    None => self.heap.seq(Kind::Tuple, items),
                }
            }
        };
        self.stack.truncate(from);
        self.stack.push(v);
    }
}
