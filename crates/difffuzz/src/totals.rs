//! What a run adds up to.

use crate::check::Checked;
use crate::child::Answer;
use crate::compare::Allowed;
use crate::generate::{Origin, Stream};
use crate::judged::Word;
use std::collections::BTreeMap;
use std::fmt;
use wb_blob::Blob;
use wb_pickle::{OPCODES, disassemble};

/// Sums over all streams of a run.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Streams by origin: all, and those of which a reader reached STOP.
    pub streams: BTreeMap<Origin, (u64, u64)>,
    /// Streams read by the Python unpickler as well.
    pub python: u64,
    /// Opcodes executed before a STOP that the C unpickler reached.
    pub opcodes: BTreeMap<&'static str, u64>,
    /// Verdicts, where a reader did anything.
    pub words: BTreeMap<Word, u64>,
    /// Streams whose facts were compared exactly.
    pub exact: u64,
    /// Events of readers.
    pub events: u64,
    /// Streams that killed the recorder.
    pub killed: u64,
    /// Known differences met.
    pub allowed: Allowed,
    /// Divergences.
    pub divergences: u64,
    /// Seconds.
    pub seconds: f64,
}

impl Totals {
    /// Adds one stream.
    pub(crate) fn add(&mut self, stream: &Stream, answer: &Answer, checked: &Checked) {
        let entry = self.streams.entry(stream.origin).or_default();
        entry.0 += 1;
        self.python += u64::from(stream.readers & 4 != 0);
        self.exact += u64::from(checked.exact);
        self.divergences += u64::from(checked.divergence.is_some());
        if let Some(word) = checked.word {
            *self.words.entry(word).or_default() += 1;
        }
        let Answer::Read(readings) = answer else {
            self.killed += 1;
            return;
        };
        self.events += readings.iter().map(|r| r.events.len() as u64).sum::<u64>();
        if readings.iter().any(|r| r.stopped()) {
            entry.1 += 1;
        }
        // A sample is enough to see which opcodes run.
        if self.sum().0.is_multiple_of(16) && readings.first().is_some_and(|r| r.reader == 'c' && r.stopped())
        {
            let blob = Blob::from_vec(stream.bytes.clone());
            for op in disassemble(&blob, 0).map_while(Result::ok) {
                *self.opcodes.entry(op.opcode.name).or_default() += 1;
                if op.opcode.name == "STOP" {
                    break;
                }
            }
        }
    }

    /// Streams, and those that reached STOP.
    pub fn sum(&self) -> (u64, u64) {
        self.streams.values().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |part: u64, all: u64| 100.0 * part as f64 / all.max(1) as f64;
        let (all, stopped) = self.sum();
        writeln!(
            f,
            "{all} streams in {:.0} s, {:.0} a second",
            self.seconds,
            all as f64 / self.seconds.max(0.001)
        )?;
        writeln!(f, "{stopped} reached STOP ({:.1} %)", share(stopped, all))?;
        for (origin, (n, stop)) in &self.streams {
            writeln!(f, "  {:<17} {n:>11}, {:>5.1} % reached STOP", origin.name(), share(*stop, *n))?;
        }
        writeln!(
            f,
            "{} of them read by the Python unpickler too; {} events recorded",
            self.python, self.events
        )?;
        let missing: Vec<&str> =
            OPCODES.iter().map(|o| o.name).filter(|n| !self.opcodes.contains_key(n)).collect();
        write!(f, "opcodes executed before STOP: {} of {}", OPCODES.len() - missing.len(), OPCODES.len())?;
        if !missing.is_empty() && missing.len() < 20 {
            write!(f, " (not: {})", missing.join(", "))?;
        }
        writeln!(f)?;
        let words: Vec<String> = self.words.iter().map(|(w, n)| format!("{w:?} {n}")).collect();
        writeln!(f, "verdicts where a reader did anything: {}", words.join(", "))?;
        writeln!(f, "facts compared exactly: {} streams", self.exact)?;
        for (what, n) in &self.allowed {
            writeln!(f, "allowed: {what}: {n}")?;
        }
        writeln!(f, "killed the recorder: {}", self.killed)?;
        write!(f, "divergences: {}", self.divergences)
    }
}
