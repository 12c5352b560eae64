//! The context a format scans in: where it is, what it may still spend, where facts go.

use std::collections::HashMap;
use std::io;
use wb_blob::{Blob, Budget, Exhausted};
use wb_verdict::{Fact, FactKind, Gap, GapReason, Location, escape_bytes};

/// Why a format stopped before its end. Always becomes a gap; facts recorded before stand.
#[derive(Debug)]
pub enum Stop {
    /// The structure is broken at this offset, so the rest cannot be located.
    Malformed {
        /// Offset in the blob being scanned.
        at: u64,
        /// What is wrong, lower-case, no trailing dot.
        what: String,
    },
    /// Encrypted content.
    Encrypted,
    /// A variant this build has no reader for.
    Unsupported(String),
    /// A budget ran out.
    Exhausted(Exhausted),
    /// Reading failed.
    Io(io::Error),
}

impl Stop {
    /// A [`Stop::Malformed`].
    pub fn malformed(at: u64, what: impl Into<String>) -> Self {
        Self::Malformed { at, what: what.into() }
    }
}

impl From<Exhausted> for Stop {
    fn from(e: Exhausted) -> Self {
        Self::Exhausted(e)
    }
}

impl From<io::Error> for Stop {
    /// A budget that ran out inside a stack of readers stays what it is; everything else is I/O.
    fn from(e: io::Error) -> Self {
        match e.get_ref().and_then(|inner| inner.downcast_ref::<Exhausted>()) {
            Some(spent) => Self::Exhausted(*spent),
            None => Self::Io(e),
        }
    }
}

/// What all levels of one scan share.
#[derive(Default)]
pub(crate) struct Sink {
    pub facts: Vec<Fact>,
    pub gaps: Vec<Gap>,
    pub formats: Vec<&'static str>,
    /// Calls already recorded, by everything but their count and place: index into `facts`.
    seen_calls: HashMap<u64, usize>,
    facts_full: bool,
    /// What an explanation shows, if one is asked for.
    pub trace: Option<crate::explain::Trace>,
}

/// What a reading of a member weighs besides its path, in bytes.
const READING_BYTES: u64 = 64;

impl Sink {
    /// A sink that gathers an explanation as well.
    pub(crate) fn tracing(trace: crate::explain::Trace) -> Self {
        Self { trace: Some(trace), ..Self::default() }
    }
}

/// The scan context of one blob (the outer file or a member of it).
pub struct Cx<'a> {
    pub(crate) sink: &'a mut Sink,
    /// The shared budget.
    pub budget: Budget,
    pub(crate) path: String,
    pub(crate) depth: u32,
    /// A pickle here is one of a torch archive: its persistent ids name the archive's storages.
    pub(crate) in_torch: bool,
    /// The text here is a configuration of Keras by its place and was judged as one.
    pub(crate) keras_judged: bool,
}

impl Cx<'_> {
    /// Member path of the blob being scanned; empty for the outer file.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// True for the outer file.
    pub fn is_outer(&self) -> bool {
        self.depth == 0
    }

    /// Records a fact at `offset` of the blob being scanned.
    ///
    /// Equal calls are counted instead of repeated. When the facts budget is spent one gap is
    /// recorded and further facts are dropped, except dangerous calls, which always stand.
    pub fn fact(&mut self, offset: Option<u64>, kind: FactKind) {
        if let Some(key) = call_key(&self.path, &kind)
            && let Some(&at) = self.sink.seen_calls.get(&key)
        {
            let FactKind::Call { count, .. } = &mut self.sink.facts[at].kind else { return };
            let FactKind::Call { count: more, .. } = kind else { return };
            *count += more;
            return;
        }
        // What a name makes of a text is for the rules to say; the budget of other facts is not theirs to use up.
        let spent = match &kind {
            FactKind::Reading { .. } if !self.is_outer() => {
                self.budget.readings(READING_BYTES + self.path.len() as u64)
            }
            _ => self.budget.facts(1),
        };
        if let Err(e) = spent {
            if !self.sink.facts_full {
                self.sink.facts_full = true;
                self.stop(e.into());
            }
            let dangerous =
                matches!(&kind, FactKind::Call { call: wb_verdict::CallClass::Dangerous { .. }, .. });
            let room = self.sink.facts.len() as u64 <= 2 * self.budget.limits().facts;
            if !(dangerous && room) {
                return;
            }
        }
        if let Some(key) = call_key(&self.path, &kind) {
            self.sink.seen_calls.insert(key, self.sink.facts.len());
        }
        self.sink.facts.push(Fact { location: Location::new(self.path.clone(), offset), kind });
    }

    /// Shorthand for a [`FactKind::Structure`] fact.
    pub fn structure(&mut self, offset: u64, code: &str, detail: impl Into<String>) {
        self.fact(Some(offset), FactKind::Structure { code: code.into(), detail: detail.into() });
    }

    /// Adds a line to the explanation, if one is asked for.
    pub(crate) fn explain(&mut self, offset: u64, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.sink.trace {
            trace.line(&self.path, offset, text);
        }
    }

    /// True if further lines of the explanation will be left out.
    pub(crate) fn explanation_is_full(&self) -> bool {
        self.sink.trace.as_ref().is_some_and(crate::explain::Trace::is_full)
    }

    /// True if an explanation with opcodes is asked for.
    pub(crate) fn lists_opcodes(&self) -> bool {
        self.sink.trace.as_ref().is_some_and(|t| t.opcodes)
    }

    /// Records a part that could not be judged.
    pub fn gap(
        &mut self,
        reason: GapReason,
        offset: Option<u64>,
        length: Option<u64>,
        detail: impl Into<String>,
    ) {
        const MAX_GAPS: usize = 1000;
        if self.sink.gaps.len() < MAX_GAPS {
            let location = Location::new(self.path.clone(), offset);
            self.sink.gaps.push(Gap { reason, location, length, detail: detail.into() });
        }
    }

    /// Records why scanning this blob ended early.
    pub fn stop(&mut self, stop: Stop) {
        match stop {
            Stop::Malformed { at, what } => self.gap(GapReason::Malformed, Some(at), None, what),
            Stop::Encrypted => self.gap(GapReason::Encrypted, None, None, "encrypted content"),
            Stop::Unsupported(what) => self.gap(GapReason::UnsupportedVariant, None, None, what),
            Stop::Exhausted(Exhausted(r)) => {
                self.gap(
                    GapReason::Limit(r.name().into()),
                    None,
                    None,
                    format!("budget spent: {}", r.name()),
                );
            }
            Stop::Io(e) => self.gap(GapReason::Io, None, None, e.to_string()),
        }
    }

    /// Names a format recognised in the outer file (ignored for members).
    pub fn format(&mut self, id: &'static str) {
        if self.depth == 0 && !self.sink.formats.contains(&id) {
            self.sink.formats.push(id);
        }
    }

    /// Names what a container of the outer file turned out to be: more specific, so it comes first.
    pub(crate) fn refine(&mut self, id: &'static str) {
        if self.depth == 0 {
            self.sink.formats.retain(|f| *f != id);
            self.sink.formats.insert(0, id);
        }
    }

    /// Takes back a format id that says nothing to a reader.
    pub(crate) fn unname(&mut self, id: &'static str) {
        if self.depth == 0 {
            self.sink.formats.retain(|f| *f != id);
        }
    }

    /// Scans `blob` as the member `name` of the blob being scanned, under every reading it has.
    pub fn member(&mut self, name: &[u8], blob: &Blob) {
        self.enter(name, |cx| crate::engine::scan_blob(blob, cx));
    }

    /// As [`Self::member`], for a pickle that torch's own reader opens together with the storages beside it.
    pub(crate) fn torch_member(&mut self, name: &[u8], blob: &Blob) {
        self.enter(name, |cx| {
            cx.in_torch = true;
            crate::engine::scan_blob(blob, cx);
        });
    }

    /// As [`Self::member`], for a text that Keras reads as the configuration of a model.
    pub(crate) fn keras_member(&mut self, name: &[u8], blob: &Blob) {
        use crate::analyses::{keras, keras_config};
        self.enter(name, |cx| {
            match blob.head(keras::MAX + 1) {
                Ok(text) => {
                    keras_config(&text, keras::Expect::Config, cx);
                }
                Err(e) => cx.stop(e.into()),
            }
            cx.keras_judged = true;
            crate::engine::scan_blob(blob, cx);
        });
    }

    /// Runs `f` in the context of the member `name`, one level deeper. Depth limits become gaps.
    pub fn enter(&mut self, name: &[u8], f: impl FnOnce(&mut Cx<'_>)) {
        let name = escape_bytes(name);
        let path = if self.path.is_empty() { name } else { format!("{}!{}", self.path, name) };
        let mut child = Cx {
            sink: self.sink,
            budget: self.budget.clone(),
            path,
            depth: self.depth + 1,
            in_torch: false,
            keras_judged: false,
        };
        match child.budget.depth(child.depth) {
            Ok(()) => f(&mut child),
            Err(e) => child.stop(e.into()),
        }
    }
}

fn call_key(path: &str, kind: &FactKind) -> Option<u64> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let FactKind::Call { callable, how, call, rendering, plain_args, .. } = kind else { return None };
    let mut h = DefaultHasher::new();
    (path, callable, how, call, rendering, plain_args).hash(&mut h);
    Some(h.finish())
}
