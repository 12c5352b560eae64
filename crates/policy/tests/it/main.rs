//! Tests of policies and decisions.

mod decisions;
mod own;
mod parsing;
mod properties;
mod unit;

use wb_policy::{Context, Decision, Policy, Repo, RepoKind, decide};
use wb_verdict::{
    Confidence, Coverage, Family, Finding, Gap, GapReason, Location, Report, Severity, UnknownReason, Verdict,
};

/// A digest for reports.
const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// A commit for repositories.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn today() -> jiff::civil::Date {
    jiff::civil::date(2026, 11, 22)
}

fn rule_with(verdict: Verdict, family: Family) -> &'static wb_verdict::Rule {
    let fits = |r: &&&wb_verdict::Rule| r.verdict == verdict && r.family == family;
    wb_scan::rules::RULES.iter().find(fits).expect("the ruleset has such a rule")
}

fn finding(rule: &wb_verdict::Rule, evidence: &str) -> Finding {
    Finding {
        rule: rule.id.into(),
        family: rule.family,
        severity: rule.severity,
        confidence: rule.confidence,
        verdict: rule.verdict,
        location: Location::new("", Some(2)),
        message: "as the test says".into(),
        evidence: evidence.into(),
        call: None,
        names: None,
    }
}

fn malicious() -> Finding {
    finding(rule_with(Verdict::Malicious, Family::PickleCall), "posix.system('id')")
}

fn suspicious() -> Finding {
    finding(rule_with(Verdict::Suspicious, Family::PickleCall), "acme_ml.make(1)")
}

fn carries_code() -> Finding {
    finding(rule_with(Verdict::Suspicious, Family::CarriesCode), "types.CodeType(...)")
}

fn unknown_class(evidence: &str) -> Finding {
    finding(rule_with(Verdict::Unknown, Family::PickleCall), evidence)
}

fn of_reason(reason: UnknownReason) -> Finding {
    let rule = wb_scan::rules::RULES
        .iter()
        .find(|r| r.verdict == Verdict::Unknown && wb_scan::rules::unknown_reason(r.id) == reason);
    finding(rule.expect("the ruleset has such a rule"), "")
}

fn report(findings: Vec<Finding>) -> Report {
    let verdict = findings.iter().map(|f| f.verdict).max().unwrap_or(Verdict::Clean);
    let reason = (verdict == Verdict::Unknown)
        .then(|| findings.iter().map(|f| wb_scan::rules::unknown_reason(&f.rule)).max())
        .flatten();
    Report {
        engine: wb_verdict::ENGINE.into(),
        ruleset: "test".into(),
        sha256: Some(DIGEST.into()),
        size: 40,
        formats: vec!["pickle".into()],
        verdict,
        reason,
        coverage: Coverage::Complete,
        gaps: Vec::new(),
        findings,
        loaders: Default::default(),
        bytes_read: 40,
    }
}

fn partial(mut report: Report) -> Report {
    report.coverage = Coverage::Partial;
    report.gaps.push(Gap {
        reason: GapReason::Encrypted,
        location: Location::new("data.pkl", None),
        length: None,
        detail: "encrypted content".into(),
    });
    if report.verdict <= Verdict::Unknown {
        report.verdict = Verdict::Unknown;
        report.reason = Some(UnknownReason::Partial);
    }
    report
}

fn repo() -> Repo {
    Repo { kind: RepoKind::Model, id: "Acme/bert".into(), commit: Some(COMMIT.into()) }
}

fn policy(text: &str) -> Policy {
    Policy::parse(text, "policy.toml").unwrap_or_else(|e| panic!("{e}"))
}

fn decide_in(policy: &Policy, report: &Report, repo: Option<&Repo>, siblings: &[String]) -> Decision {
    let sha256 = Some(DIGEST);
    decide(
        policy,
        report,
        &Context { repo, path: "model.pkl", sha256, today: today(), siblings, beside: &[] },
    )
}

fn decide_on(text: &str, report: &Report) -> Decision {
    decide_in(&policy(text), report, Some(&repo()), &[])
}

/// The lines of an exception for the test's digest or repository.
fn exception(scope: &str) -> String {
    format!(
        "[[exceptions]]\n{scope}\nowner = \"ml-security\"\nreason = \"reviewed\"\n\
         created = 2026-11-01\nexpires = 2027-01-31\n"
    )
}
