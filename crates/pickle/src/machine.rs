//! The abstract machine: CPython's unpickler over abstract values, resumable at every opcode.
//!
//! The reference is `_pickle.c`; where it and `pickle.py` (or readers derived from either) differ the union
//! of what they would run is followed.

use crate::literal::Source;
use crate::observer::Observer;
use crate::state::{Flow, State};
use crate::val::Val;
use hashbrown::{HashMap, HashSet};
use std::io;
use wb_blob::{Blob, Budget, Exhausted, Window};

/// How a run ended.
#[derive(Debug)]
pub enum End {
    /// STOP; the offset after it.
    Stop(u64),
    /// The loader raises an error here; what it did before stands.
    Error {
        /// Offset of the opcode that fails.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A counted budget ran out before the end.
    Exhausted(Exhausted),
    /// Reading failed.
    Io(io::Error),
}

/// What a run found besides the events that the observer was given.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub end: End,
    /// Opcodes executed.
    pub steps: u64,
    /// Calls and other uses reported.
    pub calls: u64,
    /// Imports.
    pub imports: u64,
    /// True if the stream names a protocol (PROTO) at its beginning.
    pub has_proto: bool,
    /// Names of the opcodes executed that torch's weights-only unpickler does not have.
    pub not_weights_only: Vec<&'static str>,
    /// Ids of the imports that a container, a state or the result keeps, whether they are called as well or not.
    pub kept: HashSet<u32>,
}

/// Sees whether anything is imported or called.
struct Watch(bool);

impl Observer for Watch {
    fn call(&mut self, call: &crate::observer::PendingCall<'_>) {
        // The module is imported, whatever is looked for in it.
        self.0 |= call.callee().has_plausible_module();
    }
}

/// An unpickler that only looks.
pub struct Machine {
    window: Window,
    state: State,
    start: u64,
    at: u64,
    budget: Budget,
    /// Other readings of frames that opcodes cross, each from the first such place that it reads otherwise.
    forks: Vec<(State, u64)>,
    skips: Vec<(State, u64)>,
    cloned: u64,
    /// Opcodes followed in second readings of arrays.
    watched: u64,
}

impl Machine {
    /// Bytes processed between two looks at the budget.
    const SLICE: usize = 128 << 10;

    /// A machine at the offset `start` of `blob`.
    pub fn new(blob: &Blob, start: u64, budget: &Budget) -> Self {
        Self::with_chunk(blob, start, budget, Window::CHUNK)
    }

    /// As [`Machine::new`], fetching `chunk` bytes at once.
    pub fn with_chunk(blob: &Blob, start: u64, budget: &Budget, chunk: usize) -> Self {
        let source = Source { blob: blob.clone(), patches: HashMap::new() };
        let state = State::new(source, start);
        let window = Window::new(blob.clone(), chunk.max(16));
        Self {
            window,
            state,
            start,
            at: start,
            budget: budget.clone(),
            forks: Vec::new(),
            skips: Vec::new(),
            cloned: 0,
            watched: 0,
        }
    }

    /// Starts afresh at `start`, as the next `load` from the same file does.
    pub fn restart(&mut self, start: u64) {
        let source = Source { blob: self.state.source.blob.clone(), patches: HashMap::new() };
        self.state = State::new(source, start);
        self.start = start;
        self.at = start;
        self.forks.clear();
        self.skips.clear();
        self.cloned = 0;
        self.watched = 0;
    }

    /// Runs to the end. If a frame is straddled, the other reading is run too, after this one.
    pub fn run(&mut self, obs: &mut dyn Observer) -> Run {
        let end = self.run_one(obs, u64::MAX);
        let mut run = self.summary(end);
        for (mut state, at) in std::mem::take(&mut self.forks) {
            state.heap.adopt_names(&self.state.heap);
            let mut linear = std::mem::replace(&mut self.state, state);
            self.at = at;
            let end = self.run_one(obs, u64::MAX);
            linear.heap.adopt_names(&self.state.heap);
            run.calls = run.calls.max(self.state.calls);
            run.imports = run.imports.max(self.state.imports);
            run.steps += self.state.steps;
            run.kept.extend(self.state.heap.kept());
            if let End::Exhausted(_) | End::Io(_) = end {
                run.end = end;
            }
            self.state = linear;
        }
        for (state, at) in std::mem::take(&mut self.skips) {
            self.run_skipped(state, at, obs);
        }
        run
    }

    /// Runs the linear reading until about `max_steps` opcodes in all. None: it could go on, by another call. Once it has
    /// ended, other readings of frames are run as far: what they reach is told too.
    pub fn trial(&mut self, obs: &mut dyn Observer, max_steps: u64) -> Option<Run> {
        let end = self.run_one(obs, max_steps);
        match end {
            // The budget itself is not asked again: that would never end.
            End::Exhausted(_) if self.state.steps >= max_steps => None,
            end => {
                let run = self.summary(end);
                for (state, at) in std::mem::take(&mut self.forks) {
                    let linear = std::mem::replace(&mut self.state, state);
                    let here = std::mem::replace(&mut self.at, at);
                    self.run_one(obs, self.state.steps.saturating_add(max_steps));
                    self.state = linear;
                    self.at = here;
                }
                Some(run)
            }
        }
    }

    /// The value that STOP returned, as a bounded tree.
    pub fn result(&self) -> crate::Value {
        self.state.stack.last().map_or(crate::Value::Opaque, |&v| self.state.value(v))
    }

    /// If STOP returned a list or tuple of strings: these, all of them.
    pub fn result_texts(&self) -> Option<Vec<String>> {
        let v = *self.state.stack.last()?;
        let items = match self.state.heap.get_seq(v) {
            Some(s) if !s.dropped => s.items.clone(),
            _ => self.state.items(v)?,
        };
        items.into_iter().map(|v| self.state.name(v)).collect()
    }

    /// The byte at which the machine stands.
    pub fn first_byte(&mut self) -> Option<u8> {
        self.window.view(self.at, 1).ok()?.first().copied()
    }

    /// True if the stream names its protocol.
    pub fn has_proto(&self) -> bool {
        self.state.has_proto
    }

    /// What has been seen so far.
    pub fn calls_and_imports(&self) -> (u64, u64) {
        (self.state.calls, self.state.imports)
    }

    fn summary(&self, end: End) -> Run {
        let s = &self.state;
        Run {
            end,
            steps: s.steps,
            calls: s.calls,
            imports: s.imports,
            has_proto: s.has_proto,
            not_weights_only: crate::weights_only::opcodes(s.outside).map(|o| o.name).collect(),
            kept: s.heap.kept().clone(),
        }
    }

    fn run_one(&mut self, obs: &mut dyn Observer, max_steps: u64) -> End {
        let mut need = 1u64;
        loop {
            let state = &mut self.state;
            let steps_before = state.steps;
            let view = match self.window.view(self.at, usize::try_from(need).unwrap_or(usize::MAX)) {
                Ok(v) => v,
                Err(e) => return End::Io(e),
            };
            let slice = if max_steps == u64::MAX { Self::SLICE } else { max_steps as usize };
            let view = match view.get(..slice.max(need as usize)) {
                Some(part) => part,
                None => view,
            };
            // No more than the budget and half of it, even while room is made.
            if let Err(e) = self.budget.memory(state.held_growing(view.len()) / 3 * 2) {
                return End::Exhausted(e);
            }
            // Nothing more to come: what does not fit now never will.
            let whole = view.len() as u64 >= state.len.saturating_sub(self.at);
            let flow = state.steps_over(view, self.at, self.start, obs);
            if let Err(e) = self.budget.steps(state.steps - steps_before) {
                return End::Exhausted(e);
            }
            if let Err(e) = self.budget.memory(state.held()) {
                return End::Exhausted(e);
            }
            let spent = state.steps >= max_steps;
            match flow {
                Flow::More { at, need: n } => {
                    if at >= state.len {
                        return End::Error { at, what: "stream ends without STOP" };
                    }
                    if whole {
                        return End::Error { at, what: "argument runs past the end" };
                    }
                    self.at = at;
                    need = n.min(state.len - at);
                    if spent {
                        return End::Exhausted(Exhausted(wb_blob::Resource::Steps));
                    }
                    continue;
                }
                Flow::Jump(at) => self.at = at,
                Flow::Skip { from, skip } => {
                    self.at = skip.to;
                    for other in [Some(from), skip.or].into_iter().flatten() {
                        self.note_skip(other, obs);
                    }
                }
                Flow::Line { at } => match self.long_line(at, obs) {
                    Ok(next) => self.at = next,
                    Err(end) => return end,
                },
                Flow::Straddle { at } => {
                    if let Err(end) = self.straddle(at, obs) {
                        return end;
                    }
                }
                Flow::Frame { at, len } => self.frame(at, len, obs),
                Flow::Stop(at) => {
                    self.at = at;
                    return End::Stop(at);
                }
                Flow::Error { at, what } => {
                    self.at = at;
                    return End::Error { at, what };
                }
            }
            if spent {
                return End::Exhausted(Exhausted(wb_blob::Resource::Steps));
            }
            need = 1;
        }
    }

    /// A loader with its own reading took the bytes from `from` on; would a plain unpickler reach an import there?
    fn note_skip(&mut self, from: u64, obs: &mut dyn Observer) {
        /// Bytes of state copied at most for such second readings.
        const MAX_COPIED: u64 = 512 << 20;
        /// Opcodes followed at most to find out whether a second reading reaches a call.
        const MAX_WATCHED: u64 = 8 << 20;
        if !self.state.could_call(from) {
            return;
        }
        self.cloned = self.cloned.saturating_add(self.state.held());
        if self.cloned > MAX_COPIED || self.watched > MAX_WATCHED || self.skips.len() >= 64 {
            let detail = "too many arrays that are opcodes as well: not all are read both ways";
            return self.state.structure(obs, from, "pickle-array-is-opcodes", detail);
        }
        let mut state = self.state.clone();
        state.linear_only = true;
        // Most honest arrays fail within a few opcodes: keep only those that do not.
        let mut watch = Watch(false);
        let main = std::mem::replace(&mut self.state, state.clone());
        let at = std::mem::replace(&mut self.at, from);
        let before = self.state.steps;
        self.run_one(&mut watch, before.saturating_add(1 << 20));
        self.watched += self.state.steps - before;
        self.state = main;
        self.at = at;
        if watch.0 {
            self.skips.push((state, from));
        }
    }

    /// The other reading of bytes that were skipped, known to reach an import.
    fn run_skipped(&mut self, mut state: State, at: u64, obs: &mut dyn Observer) {
        state.heap.adopt_names(&self.state.heap);
        let mut main = std::mem::replace(&mut self.state, state);
        let here = std::mem::replace(&mut self.at, at);
        self.run_one(obs, u64::MAX);
        main.heap.adopt_names(&self.state.heap);
        self.state = main;
        self.at = here;
    }

    /// A frame opens at `at`, its first byte.
    fn frame(&mut self, at: u64, len: u64, obs: &mut dyn Observer) {
        let s = &mut self.state;
        self.at = at;
        let end = at.saturating_add(len);
        if end > s.len {
            s.structure(obs, at, "pickle-frame-beyond-end", "a frame is longer than the rest of the stream");
        }
        if s.frame_end != u64::MAX && at <= s.frame_end && at != s.frame_end {
            // C keeps the outer buffer if the new frame fits, else drops what is left of it.
            s.structure(obs, at, "pickle-frame-straddle", "a frame opens inside another");
            if end <= s.frame_end {
                return;
            }
            if s.file_reader {
                self.at = s.frame_end;
                s.frame_end = s.frame_end.saturating_add(len);
                return;
            }
            let mut other = s.clone();
            other.file_reader = true;
            let from = other.frame_end;
            other.frame_end = from.saturating_add(len);
            Self::fork(&mut self.forks, other, from);
        }
        s.frame_end = if end > s.len { u64::MAX } else { end };
    }

    /// Keeps another reading. A buffered file reads small frames as memory does and large ones apart, so it can take
    /// the other way at any of several places.
    fn fork(forks: &mut Vec<(State, u64)>, other: State, at: u64) {
        const MAX_FORKS: usize = 8;
        const MAX_HELD: u64 = 64 << 20;
        let held: u64 = forks.iter().map(|(s, _)| s.held()).sum();
        if forks.is_empty() || (forks.len() < MAX_FORKS && held + other.held() <= MAX_HELD) {
            forks.push((other, at));
        }
    }

    /// The opcode at `at` crosses the end of its frame: readers differ from here on.
    fn straddle(&mut self, at: u64, obs: &mut dyn Observer) -> Result<(), End> {
        let s = &mut self.state;
        s.structure(
            obs,
            at,
            "pickle-frame-straddle",
            "an argument crosses the end of its frame: readers disagree",
        );
        let frame_end = std::mem::replace(&mut s.frame_end, u64::MAX);
        self.at = at;
        let code = s.source.blob.read_range(at..at + 1).map_err(End::Io)?;
        let Some(&code) = code.first() else { return Ok(()) };
        if !s.file_reader {
            let mut other = s.clone();
            other.file_reader = true;
            other.frame_end = frame_end;
            Self::fork(&mut self.forks, other, at);
            return Ok(());
        }
        // The rest of the frame is dropped and the argument read from the frame's end.
        use crate::opcode::{Arg, opcode};
        let header = match opcode(code).map(|o| o.arg) {
            Some(Arg::Counted(n)) => u64::from(n),
            Some(Arg::Fixed(n)) => u64::from(n),
            _ => 1,
        };
        let counted = matches!(opcode(code).map(|o| o.arg), Some(Arg::Counted(_)));
        if counted && at + 1 + header <= frame_end {
            // The length was read inside the frame; only the payload crosses. Byte strings are copied piecewise
            // (same result as reading on); others are read whole from the frame's end.
            if matches!(code, crate::opcode::BINBYTES | crate::opcode::BINBYTES8 | crate::opcode::BYTEARRAY8)
                || code == crate::opcode::SHORT_BINBYTES
            {
                return Ok(());
            }
            let len = s.source.blob.read_range(at + 1..at + 1 + header).map_err(End::Io)?;
            let len = crate::literal::le_uint(&len);
            let next = frame_end.saturating_add(len);
            if next > s.len {
                return Err(End::Error { at, what: "argument runs past the end" });
            }
            let v = if matches!(code, crate::opcode::LONG1 | crate::opcode::LONG4) {
                // A number that stands nowhere in the file behind its own opcode.
                Val::OPAQUE
            } else {
                let bytes =
                    s.source.blob.read_range(frame_end..next.min(frame_end + (64 << 10))).map_err(End::Io)?;
                s.heap.text(bytes, true)
            };
            s.stack.push(v);
            self.at = next;
            return Ok(());
        }
        if matches!(code, crate::opcode::GLOBAL | crate::opcode::INST) {
            const MAX_LINE: usize = 64 << 10;
            let inside = at + 1..frame_end.min(at + 1 + MAX_LINE as u64);
            let inside = s.source.blob.read_range(inside).map_err(End::Io)?;
            // The module was read inside the frame; only the name crosses.
            if let Some(n) = memchr::memchr(b'\n', &inside) {
                let (name, len) = s.source.line(frame_end, MAX_LINE).map_err(End::Io)?;
                let module = String::from_utf8_lossy(inside.get(..n).unwrap_or(&[])).into_owned();
                let name = String::from_utf8_lossy(&name).into_owned();
                self.at = frame_end.saturating_add(len + 1).min(s.len);
                s.clean_since = self.at;
                s.steps += 1;
                return s.named(code, &module, &name, at, obs).map_err(|what| End::Error { at, what });
            }
        }
        if frame_end > 0 {
            s.source.patches.insert(frame_end - 1, code);
            s.clean_since = frame_end;
            self.at = frame_end - 1;
        }
        Ok(())
    }

    /// Executes the text opcode at `at` whose line is longer than a window.
    fn long_line(&mut self, at: u64, obs: &mut dyn Observer) -> Result<u64, End> {
        let mut from = at + 1;
        let newline = loop {
            let view = self.window.view(from, 1).map_err(End::Io)?;
            if view.is_empty() {
                // The C reader takes the last byte of an unterminated line for its newline.
                break self.state.len.saturating_sub(1).max(at + 1);
            }
            match view.iter().position(|&b| b == b'\n') {
                Some(n) => break from + n as u64,
                None => from += view.len() as u64,
            }
        };
        if newline >= self.state.frame_end {
            self.straddle(at, obs)?;
            return Ok(self.at);
        }
        let s = &mut self.state;
        s.steps += 1;
        match s.line_opcode(at, newline, obs) {
            Flow::Jump(next) => Ok(next),
            Flow::Error { at, what } => Err(End::Error { at, what }),
            _ => Ok(newline + 1),
        }
    }
}
