//! The outputs: what they contain, that they are valid, and that nothing in them can act.

mod html;
mod json;
mod sarif;
mod text;

use wb_policy::{Context, Policy, Profile, decide};
use wb_report::{FileEntry, ScanError, ScanRun};
use wb_verdict::{Coverage, Family, Finding, Gap, GapReason, Location, Report, UnknownReason, Verdict};

/// What a hostile worker might put into any text: terminal codes, bidirectional marks, HTML, JSON.
const NASTY: &str = "\u{1b}[2Jclear \u{202e}live\u{9b}31m <script>alert(1)</script> \"};\u{7f}\r\n";

fn finding(verdict: Verdict, family: Family, at: Location, evidence: &str) -> Finding {
    let fits = |r: &&&wb_verdict::Rule| r.verdict == verdict && r.family == family;
    let rule = wb_scan::rules::RULES.iter().find(fits).expect("the ruleset has such a rule");
    Finding {
        rule: rule.id.into(),
        family,
        severity: rule.severity,
        confidence: rule.confidence,
        verdict,
        location: at,
        message: "loading this pickle calls posix.system".into(),
        evidence: evidence.into(),
        call: None,
        names: None,
    }
}

fn report(findings: Vec<Finding>) -> Report {
    let verdict = findings.iter().map(|f| f.verdict).max().unwrap_or(Verdict::Clean);
    Report {
        engine: wb_verdict::ENGINE.into(),
        ruleset: wb_scan::RULESET.into(),
        sha256: Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into()),
        size: 1536,
        formats: vec!["torch-zip".into()],
        verdict,
        reason: None,
        coverage: Coverage::Complete,
        gaps: Vec::new(),
        findings,
        loaders: Default::default(),
        bytes_read: 512,
    }
}

fn hostile() -> Report {
    let at = Location::new("archive/data.pkl", Some(0x1f3));
    report(vec![finding(Verdict::Malicious, Family::PickleCall, at, "posix.system('id')")])
}

fn partial() -> Report {
    let mut r = report(vec![]);
    r.coverage = Coverage::Partial;
    (r.verdict, r.reason) = (Verdict::Unknown, Some(UnknownReason::Partial));
    r.gaps.push(Gap {
        reason: GapReason::Encrypted,
        location: Location::new("", Some(64)),
        length: Some(100),
        detail: "encrypted content".into(),
    });
    r
}

fn nasty() -> Report {
    let at = Location::new(NASTY, Some(1));
    let mut r = report(vec![finding(Verdict::Malicious, Family::PickleCall, at.clone(), NASTY)]);
    r.findings[0].message = NASTY.into();
    r.formats.push(NASTY.into());
    r.loaders.insert(NASTY.into(), Verdict::Clean.into());
    r.coverage = Coverage::Partial;
    r.gaps.push(Gap {
        reason: GapReason::Limit(NASTY.into()),
        location: at,
        length: None,
        detail: NASTY.into(),
    });
    r
}

fn entry(path: &[u8], report: Report) -> FileEntry {
    let policy = Policy::builtin(Profile::Default);
    let context = Context {
        repo: None,
        path: "model.pt",
        sha256: report.sha256.as_deref(),
        today: jiff::civil::date(2026, 11, 22),
        siblings: &[],
        beside: &[],
    };
    let decision = decide(&policy, &report, &context);
    FileEntry { path: path.to_vec(), report, decision }
}

fn run() -> ScanRun {
    let files = vec![
        entry(b"models/good.pt", report(vec![])),
        entry(b"models/bad.pt", hostile()),
        entry(b"models/locked.pt", partial()),
    ];
    let errors = vec![ScanError { path: b"models/gone.pt".to_vec(), message: "cannot be read: no".into() }];
    ScanRun::new("default", files, errors)
}

/// A run in which everything an attacker can reach is nasty.
fn nasty_run() -> ScanRun {
    let mut files = vec![entry(NASTY.as_bytes(), nasty()), entry(b"\xff\xfe\x1b.pkl", nasty())];
    for file in &mut files {
        for reason in &mut file.decision.reasons {
            reason.text = NASTY.into();
        }
    }
    let errors = vec![ScanError { path: NASTY.as_bytes().to_vec(), message: NASTY.into() }];
    ScanRun::new("default", files, errors)
}

/// Fails if `out` holds a character that a terminal or a reader could be deceived with.
fn assert_inert(out: &str) {
    let bad = |c: &char| {
        (c.is_control() && *c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if let Some(c) = out.chars().find(bad) {
        panic!("{c:?} in the output:\n{}", out.escape_debug());
    }
}
