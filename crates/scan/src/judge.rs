//! Facts -> report, by the rules.

use crate::loaders::loaders;
use crate::rules;
use std::cmp::Reverse;
use std::collections::HashMap;
use wb_verdict::{CallUse, Coverage, Facts, Finding, Report, UnknownReason, Verdict};

/// Version of the rules.
pub const RULESET: &str = "2026.11.1";

/// Findings listed per file. Beyond it the mildest are counted, not listed.
pub const MAX_FINDINGS: usize = 200;

/// Judges a fact sheet. `name` is the path under which the file is asked for: the same bytes may be
/// harmless as `notes.txt` and code as `handler.py`.
pub fn judge(facts: &Facts, name: &str, sha256: Option<String>) -> Report {
    let findings = findings(facts, name);
    let coverage = if facts.gaps.is_empty() { Coverage::Complete } else { Coverage::Partial };
    let worst = findings.iter().map(|f| f.verdict).max().unwrap_or(Verdict::Clean);
    // Partial is never clean.
    let verdict = if coverage == Coverage::Partial { worst.max(Verdict::Unknown) } else { worst };
    Report {
        engine: facts.engine.clone(),
        ruleset: RULESET.into(),
        sha256,
        size: facts.size,
        formats: facts.formats.clone(),
        verdict,
        reason: (verdict == Verdict::Unknown).then(|| reason(coverage, &findings)),
        coverage,
        gaps: facts.gaps.clone(),
        loaders: loaders(facts, &findings, verdict),
        findings: capped(findings),
        bytes_read: facts.bytes_read,
    }
}

/// All findings, worst first, one per rule, member and message: a forest of a thousand trees is one finding.
fn findings(facts: &Facts, name: &str) -> Vec<Finding> {
    let mut out: Vec<Finding> = Vec::new();
    let mut again: Vec<u64> = Vec::new();
    let mut seen: HashMap<(String, String, String, Option<CallUse>), usize> = HashMap::new();
    for finding in facts.facts.iter().filter_map(|f| rules::judge_fact(f, name)) {
        // Uses that a policy can tell apart stay apart.
        let place = finding.location.path.clone();
        let key = (finding.rule.clone(), place, finding.message.clone(), finding.call.clone());
        match seen.get(&key).copied() {
            Some(at) => again[at] += 1,
            None => {
                seen.insert(key, out.len());
                out.push(finding);
                again.push(0);
            }
        }
    }
    for (finding, more) in out.iter_mut().zip(again) {
        if more > 0 {
            finding.message.push_str(&format!(" (and {more} more like it)"));
        }
    }
    // Stable: equals stay in file order.
    out.sort_by_key(|f| Reverse((f.verdict, f.severity, f.confidence)));
    out
}

/// The worst [`MAX_FINDINGS`]. What is left out is told in one more finding, under the rule of the worst of it.
fn capped(mut findings: Vec<Finding>) -> Vec<Finding> {
    if findings.len() <= MAX_FINDINGS {
        return findings;
    }
    let left_out = findings.len() - MAX_FINDINGS;
    findings.truncate(MAX_FINDINGS + 1);
    if let Some(note) = findings.last_mut() {
        note.message = format!(
            "{left_out} further findings of the same or lesser weight are not listed; the first: {}",
            note.message
        );
    }
    findings
}

/// The reason that weighs most: a policy that lets one unknown pass must not let a worse one pass with it.
fn reason(coverage: Coverage, findings: &[Finding]) -> UnknownReason {
    if coverage == Coverage::Partial {
        return UnknownReason::Partial;
    }
    let weight = |r: &UnknownReason| match r {
        UnknownReason::Unsupported => 3,
        UnknownReason::OptInCode => 2,
        UnknownReason::UnknownContent => 1,
        UnknownReason::UnknownClass | UnknownReason::Partial => 0,
    };
    let reasons =
        findings.iter().filter(|f| f.verdict == Verdict::Unknown).map(|f| rules::unknown_reason(&f.rule));
    reasons.max_by_key(weight).unwrap_or(UnknownReason::UnknownContent)
}
