//! The corpus test: judges labelled cases and lists what came out wrong.
//!
//! The engine is a closure, so that a test can show what a useless engine gets: one that always
//! gives the same answer must fail.

use crate::Error;
use std::collections::BTreeMap;
use std::path::PathBuf;
use wb_verdict::{Report, Verdict};

/// At most this share of harmless files may be blocked (percent).
const MAX_BLOCKED_PERCENT: usize = 10;

/// What is known to be true of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// Must be blocked, with a finding.
    Hostile,
    /// Honest, but runs its own code by design: suspicious, never malicious.
    CarriesCode,
    /// Honest: not blocked, never malicious.
    Benign,
    /// Honest, of a format that the build recognises but cannot judge: anything but malicious.
    Unsupported,
}

impl Label {
    /// Name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hostile => "hostile",
            Self::CarriesCode => "carries-code",
            Self::Benign => "benign",
            Self::Unsupported => "benign, unsupported format",
        }
    }
}

/// The bytes of a file, or where they are.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// On disk.
    Path(PathBuf),
}

/// One file of a case.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Path under which it is asked for.
    pub name: String,
    /// Its bytes.
    pub content: Content,
}

impl Sample {
    fn bytes(&self) -> Result<Vec<u8>, Error> {
        match &self.content {
            Content::Bytes(b) => Ok(b.clone()),
            Content::Path(p) => std::fs::read(p).map_err(|e| Error::from(e).at(p.display())),
        }
    }
}

/// One labelled case: a file, or a folder of files that belong together.
#[derive(Debug, Clone)]
pub struct Case {
    /// Unique name.
    pub id: String,
    /// What is true of it.
    pub label: Label,
    /// Format name, for counting.
    pub format: String,
    /// A callable that the evidence of a finding must name.
    pub expected_call: Option<String>,
    /// Its files.
    pub files: Vec<Sample>,
}

/// What an engine says about one file.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// True if the default policy's decision is `block`.
    pub blocked: bool,
    /// The report.
    pub report: Report,
}

/// One wrong answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Miss {
    /// The label of the case.
    pub label: &'static str,
    /// Its id.
    pub id: String,
    /// What is wrong.
    pub why: String,
}

/// Numbers of one label and format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases.
    pub cases: usize,
    /// Cases with at least one blocked file.
    pub blocked: usize,
    /// Cases whose answer is right.
    pub right: usize,
}

/// The result over all cases.
#[derive(Debug, Clone, Default)]
pub struct Evaluation {
    /// By (label, format).
    pub tallies: BTreeMap<(Label, String), Tally>,
    /// Every wrong answer.
    pub misses: Vec<Miss>,
    /// Harmless cases that are blocked for want of knowledge: allowed up to a tenth.
    pub blocked_benign: Vec<Miss>,
}

/// Judges every case with `engine`, which is given a file's name and bytes.
pub fn evaluate(cases: &[Case], engine: impl Fn(&str, Vec<u8>) -> Outcome) -> Result<Evaluation, Error> {
    evaluate_together(cases, |files| files.into_iter().map(|(name, bytes)| engine(&name, bytes)).collect())
}

/// As [`evaluate`], for an engine that is given all files of a case at once.
pub fn evaluate_together(
    cases: &[Case],
    engine: impl Fn(Vec<(String, Vec<u8>)>) -> Vec<Outcome>,
) -> Result<Evaluation, Error> {
    let mut out = Evaluation::default();
    for case in cases {
        let files: Result<Vec<_>, Error> =
            case.files.iter().map(|file| Ok((file.name.clone(), file.bytes()?))).collect();
        let outcomes = engine(files?);
        let wrong = check(case, &outcomes);
        let tally = out.tallies.entry((case.label, case.format.clone())).or_default();
        tally.cases += 1;
        tally.blocked += usize::from(outcomes.iter().any(|o| o.blocked));
        match wrong {
            None => tally.right += 1,
            Some((fatal, why)) => {
                let miss = Miss { label: case.label.name(), id: case.id.clone(), why };
                if fatal { out.misses.push(miss) } else { out.blocked_benign.push(miss) }
            }
        }
    }
    Ok(out)
}

/// What is wrong with the answers, and whether that is never allowed.
fn check(case: &Case, outcomes: &[Outcome]) -> Option<(bool, String)> {
    let worst = outcomes.iter().map(|o| o.report.verdict).max().unwrap_or(Verdict::Clean);
    match case.label {
        Label::Hostile => hostile(case, outcomes).map(|why| (true, why)),
        _ if worst == Verdict::Malicious => {
            Some((true, format!("an honest file is malicious: {}", first(outcomes))))
        }
        Label::CarriesCode => {
            let said = outcomes.iter().any(|o| o.report.verdict == Verdict::Suspicious);
            (!said).then(|| (true, format!("runs its own code by design, but is {worst}")))
        }
        Label::Benign => {
            outcomes.iter().any(|o| o.blocked).then(|| (false, format!("blocked: {}", first(outcomes))))
        }
        Label::Unsupported => None,
    }
}

fn hostile(case: &Case, outcomes: &[Outcome]) -> Option<String> {
    if !outcomes.iter().any(|o| o.blocked) {
        let verdicts: Vec<_> = outcomes.iter().map(|o| o.report.verdict.name()).collect();
        return Some(format!("not blocked ({})", verdicts.join(", ")));
    }
    // A gap alone is no finding about the file: "I could not look" would block everything.
    let judged =
        |o: &&Outcome| o.blocked && o.report.findings.iter().any(|f| f.verdict >= Verdict::Suspicious);
    let Some(_) = outcomes.iter().find(judged) else {
        return Some(format!("blocked without a finding: {}", first(outcomes)));
    };
    let call = case.expected_call.as_deref()?;
    let named = outcomes.iter().flat_map(|o| &o.report.findings).any(|f| names(&f.evidence, call));
    (!named).then(|| format!("no evidence names {call}: {}", first(outcomes)))
}

/// True if `evidence` names `call`. Labels write `f(...)` for any arguments of `f`: the text before
/// each `(...)` must occur, in order.
fn names(evidence: &str, call: &str) -> bool {
    let mut rest = evidence;
    call.split("(...)").filter(|p| !p.is_empty()).all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

/// The first finding or gap, as an explanation.
fn first(outcomes: &[Outcome]) -> String {
    let blocked = outcomes.iter().filter(|o| o.blocked).chain(outcomes).map(|o| &o.report);
    for r in blocked {
        if let Some(f) = r.findings.first() {
            return format!("{} {} {}: {}", r.verdict, f.rule, f.message, f.evidence);
        }
        if let Some(g) = r.gaps.first() {
            return format!("{} gap {} at {}: {}", r.verdict, g.reason.name(), g.location, g.detail);
        }
        if let Some(reason) = r.reason {
            return format!("{} ({reason})", r.verdict);
        }
    }
    "no finding and no gap".into()
}

impl Evaluation {
    /// Cases of `label`, and how many of these are blocked.
    pub fn count(&self, label: Label) -> (usize, usize) {
        let of = self.tallies.iter().filter(|((l, _), _)| *l == label);
        of.fold((0, 0), |(n, b), (_, t)| (n + t.cases, b + t.blocked))
    }

    /// True if every answer is right, except that a tenth of the harmless cases may be blocked.
    pub fn passes(&self) -> bool {
        let (benign, _) = self.count(Label::Benign);
        self.misses.is_empty() && self.blocked_benign.len() * 100 <= benign * MAX_BLOCKED_PERCENT
    }
}

impl std::fmt::Display for Evaluation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{:<28} {:<18} {:>6} {:>8} {:>6}", "label", "format", "cases", "blocked", "right")?;
        for ((label, format), t) in &self.tallies {
            writeln!(
                f,
                "{:<28} {:<18} {:>6} {:>8} {:>6}",
                label.name(),
                format,
                t.cases,
                t.blocked,
                t.right
            )?;
        }
        for (title, list) in [("wrong", &self.misses), ("harmless but blocked", &self.blocked_benign)] {
            if !list.is_empty() {
                writeln!(f, "\n{title}: {}", list.len())?;
            }
            for m in list {
                writeln!(f, "  {} [{}] {}", m.id, m.label, m.why)?;
            }
        }
        let verdict = if self.passes() { "passed" } else { "failed" };
        write!(f, "\n{verdict}")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_labelled_call_may_leave_arguments_out() {
        let names = super::names;
        assert!(names("posix.system('id')", "posix.system"));
        assert!(names("operator.attrgetter('system')(posix)('id')", "operator.attrgetter(...)(...)"));
        assert!(!names("operator.itemgetter(1)", "operator.attrgetter(...)"));
    }
}
