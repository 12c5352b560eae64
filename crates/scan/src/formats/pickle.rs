//! Raw pickle streams: one pickle or several, one after the other.
//!
//! There is no magic number before protocol 2, so bytes claim to be a pickle by a trial run: a stream that
//! ends in STOP, or reaches a call before it fails, is one for every loader, whatever else the file may be.

use super::pickle_facts::Collector;
use super::{Claim, Coverage, Format, Probe, torch_legacy};
use crate::catalogue;
use crate::cx::{Cx, Stop};
use wb_blob::{Blob, Budget, Limits};
use wb_pickle::{Call, Callee, End, Machine, Observer, PendingCall, opcode};
use wb_verdict::{CallClass, FactKind, How};

/// Raw pickle.
pub struct Pickle;

/// Opcodes after which a stream that names its protocol needs no further trial.
const TRIAL_STEPS: u64 = 20_000;

/// Opcodes of a first, short look.
const FIRST_STEPS: u64 = 32;

/// What a trial found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Plausible {
    /// Not a pickle.
    No,
    /// Some opcodes that fit, without a call: text and numbers can look like this.
    Perhaps,
    /// A loader runs it.
    Yes,
}

/// Watches a trial for something that no text or number does by chance.
#[derive(Default)]
struct Trial {
    called: bool,
    /// Whatever is called, names that no import statement could spell included: that, and STOP, is no chance.
    any_call: bool,
    known_import: bool,
    absurd: bool,
}

impl Observer for Trial {
    fn import(&mut self, offset: u64, _: u32, callee: &Callee) {
        // Any byte string may begin like an extension code; unregistered, it ends the load.
        let extension = callee.rendering.starts_with("copyreg.extension(");
        // The module is imported before anybody sees that it has no such name.
        if !self.known_import && !extension && callee.has_plausible_module() {
            let class = catalogue::classify(&import_of(offset, callee));
            self.known_import = !matches!(class, CallClass::Unknown | CallClass::Unresolved);
        }
    }

    fn call(&mut self, call: &PendingCall<'_>) {
        self.any_call |= call.how != How::Ext;
        self.called |= call.how != How::Ext && call.callee().is_plausible();
    }

    fn resource(&mut self, _offset: u64, code: &'static str, _detail: &str) {
        self.absurd = true;
        // Only behind a PROTO opcode, wherever it stands: no text, and a walk through modules all the same.
        self.known_import |= code == "pickle-long-name";
    }
}

/// An import as the catalogue takes it.
pub(super) fn import_of(offset: u64, callee: &Callee) -> Call<'_> {
    Call {
        offset,
        callable: &callee.rendering,
        made_by: &callee.made_by,
        ..Call::import(&callee.module, &callee.name)
    }
}

/// Looks whether pickles begin at offsets of one blob.
pub(super) struct Prober {
    machine: Machine,
    blob: Blob,
}

/// Is there a pickle at `at`? The answer and, if the trial came to STOP, the offset after it.
pub(super) fn plausible(blob: &Blob, at: u64) -> (Plausible, Option<u64>) {
    Prober::new(blob).plausible(at)
}

impl Prober {
    pub(super) fn new(blob: &Blob) -> Self {
        let machine = Machine::with_chunk(blob, 0, &Budget::new(Limits::default()), 32 << 10);
        Self { machine, blob: blob.clone() }
    }

    /// See [`plausible`].
    pub(super) fn plausible(&mut self, at: u64) -> (Plausible, Option<u64>) {
        self.machine.restart(at);
        if self.machine.first_byte().and_then(opcode).is_none() {
            return (Plausible::No, None);
        }
        self.go_on(Trial::default())
    }

    /// As [`plausible`], but ends as soon as the answer is sure to be yes; then the end is not told.
    fn claims(&mut self, at: u64) -> (Plausible, Option<u64>) {
        self.machine.restart(at);
        if self.machine.first_byte().and_then(opcode).is_none() {
            return (Plausible::No, None);
        }
        let mut seen = Trial::default();
        // Most pickles import something at once. Whatever comes after that changes nothing.
        if self.machine.trial(&mut seen, FIRST_STEPS).is_none() && (seen.called || seen.known_import) {
            return (Plausible::Yes, None);
        }
        self.machine.restart(at);
        self.go_on(Trial::default())
    }

    fn go_on(&mut self, mut seen: Trial) -> (Plausible, Option<u64>) {
        let mut steps = TRIAL_STEPS;
        let run = loop {
            match self.machine.trial(&mut seen, steps) {
                Some(run) => break run,
                None if seen.called || seen.known_import || self.machine.has_proto() => {
                    return (Plausible::Yes, None);
                }
                // Padding must not hide what follows it. Text and numbers never get this far.
                None => steps = steps.saturating_mul(8),
            }
        };
        let sure = seen.called || seen.known_import;
        match run.end {
            End::Stop(end) => {
                let strong =
                    sure || seen.any_call || run.has_proto || (run.steps > 3 && end == self.blob.len());
                (if strong { Plausible::Yes } else { Plausible::Perhaps }, Some(end))
            }
            End::Exhausted(_) => (Plausible::Yes, None),
            // A loader allocates what such a stream names before it fails.
            _ if sure || (run.has_proto && seen.absurd) => (Plausible::Yes, None),
            _ if run.has_proto && run.steps > 5 => (Plausible::Perhaps, None),
            _ => (Plausible::No, None),
        }
    }
}

/// Sees whether anything is imported that an import statement could name.
struct Imports(bool);

impl Observer for Imports {
    fn import(&mut self, _offset: u64, _: u32, callee: &Callee) {
        self.0 |= callee.is_plausible() && !callee.module.is_empty();
    }
}

/// Would an unpickler import something of `blob`, a text, before it fails? `cat`, `dog`, a line each, is an import of
/// `dog` from `at`; only the name of the file tells whether anybody unpickles it.
pub(super) fn text_imports(blob: &Blob) -> bool {
    const MAX_PICKLES: u32 = 1000;
    let mut seen = Imports(false);
    let mut machine = Machine::with_chunk(blob, 0, &Budget::new(Limits::default()), 4 << 10);
    for _ in 0..MAX_PICKLES {
        match machine.trial(&mut seen, TRIAL_STEPS).map(|run| run.end) {
            // The next `load` of the same file.
            Some(End::Stop(next)) if !seen.0 && next < blob.len() => machine.restart(next),
            _ => break,
        }
    }
    seen.0
}

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Pickles",
    ids: &["joblib"],
    loaders: "`pickle.load`, `torch.load`, joblib, pandas, numpy, dill, cloudpickle, scikit-learn, Lightning, \
        transformers",
    judged: "every callable that any reader could reach, with the arguments it gets, against a catalogue of exact \
        names; joblib's raw arrays; verdicts per loader",
    blind: "classes of no catalogued distribution are unknown; computed arguments beyond the usual decoders; native \
        states other than those compared",
    corpus: &["pickle", "joblib", "cloudpickle"],
};

impl Format for Pickle {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "pickle"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if torch_legacy::is_legacy(&probe.blob, &probe.head) {
            return Claim::No;
        }
        // "P" asks for a persistent object: loaders without such objects stop there, and torch, which has them,
        // opens everything with this magic as a zip archive.
        if probe.head.starts_with(b"PK\x03\x04") {
            return Claim::No;
        }
        const MAX_PICKLES: u32 = 1000;
        let (mut at, mut pickles) = (0, 0);
        let mut prober = Prober::new(&probe.blob);
        // A harmless first pickle must not hide a second one behind weaker evidence.
        while pickles < MAX_PICKLES {
            pickles += 1;
            match prober.claims(at) {
                (Plausible::Yes, _) => return Claim::Strong,
                (Plausible::Perhaps, Some(next)) if next < probe.blob.len() => at = next,
                (Plausible::Perhaps, _) => return Claim::Weak,
                (Plausible::No, _) => break,
            }
        }
        // No text is a thousand pickles.
        if pickles == MAX_PICKLES {
            return Claim::Strong;
        }
        // Opcodes that fit, STOP, and then something else: text can do that. Padding cannot.
        if at > 0 && is_padding(&probe.blob, at).unwrap_or(false) { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        stream(blob, 0, cx, true)
    }
}

/// Scans all pickles of `blob` from `at` on, and says what follows them.
pub(super) fn stream(blob: &Blob, at: u64, cx: &mut Cx<'_>, mut first: bool) -> Result<(), Stop> {
    let mut at = at;
    let budget = cx.budget.clone();
    let mut machine = Machine::new(blob, at, &budget);
    let mut prober = Prober::new(blob);
    loop {
        // Each pickle costs more than its opcodes.
        cx.budget.steps(100)?;
        if !first && !continues(blob, &mut prober, at, cx)? {
            return Ok(());
        }
        let mut collector = Collector::new(cx, blob, at);
        let run = machine.run(&mut collector);
        collector.note(&run);
        let sure = run.has_proto || run.calls > 0;
        match run.end {
            End::Stop(next) => {
                collector.finish(true);
                if next <= at {
                    return Ok(());
                }
                at = next;
            }
            End::Error { at: bad, what } => {
                let facts = collector.finish(sure);
                if first && !sure && facts == 0 {
                    // It only began like one.
                    cx.fact(None, FactKind::UnknownContent);
                    return Ok(());
                }
                return Err(Stop::malformed(bad, format!("the unpickler fails here: {what}")));
            }
            End::Exhausted(e) => {
                collector.finish(true);
                return Err(e.into());
            }
            End::Io(e) => {
                collector.finish(true);
                return Err(e.into());
            }
        }
        first = false;
        if at >= blob.len() {
            return Ok(());
        }
        machine.restart(at);
    }
}

/// Does another pickle begin at `at`? Anything else but padding is reported.
fn continues(blob: &Blob, prober: &mut Prober, at: u64, cx: &mut Cx<'_>) -> Result<bool, Stop> {
    let (verdict, end) = prober.plausible(at);
    if verdict == Plausible::Yes || (verdict == Plausible::Perhaps && end.is_some()) {
        return Ok(true);
    }
    let rest = blob.len() - at;
    if !is_padding(blob, at)? {
        let detail = format!("{rest} bytes follow the end of the pickle");
        cx.structure(at, "pickle-trailing-data", detail);
    }
    Ok(false)
}

/// True if only zero bytes or white space follow, at most a disk block's worth.
fn is_padding(blob: &Blob, at: u64) -> Result<bool, Stop> {
    const MAX: u64 = 64 << 10;
    if blob.len() - at > MAX {
        return Ok(false);
    }
    let rest = blob.read_range(at..blob.len())?;
    Ok(rest.iter().all(|&b| b == 0) || rest.iter().all(u8::is_ascii_whitespace))
}
