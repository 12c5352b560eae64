//! What a configuration makes of the code it names: findings about names, held against what is known of the files.

use crate::beside::code_beside;
use crate::unit::{Beside, Link, Objection};
use wb_verdict::{FactKind, Facts, Finding, Report, Verdict};

/// Names that a Python file binds at its top level; `None` if it is none, or they cannot be listed.
pub(crate) fn defines(facts: &Facts) -> Option<Vec<String>> {
    let outer = || facts.facts.iter().filter(|f| f.location.path.is_empty()).map(|f| &f.kind);
    let listed = outer().find_map(|kind| match kind {
        FactKind::Source { code, rendering, .. } if code == "defines" => Some(rendering.as_str()),
        _ => None,
    });
    let python = outer().any(|kind| matches!(kind, FactKind::Reading { code } if code == "python"));
    match listed {
        Some("*") => None,
        Some(names) => Some(names.split(' ').map(str::to_string).collect()),
        None => python.then(Vec::new),
    }
}

/// What speaks against loading what a finding of the configuration at `path` names.
pub(crate) fn objection(
    finding: &Finding,
    path: &str,
    siblings: &[String],
    beside: &[Beside],
) -> Option<Objection> {
    let names = finding.names.as_ref()?;
    let file = code_beside(&names.module, path, siblings)?;
    let named = |b: &&Beside| {
        let need = &b.need;
        need.link == Link::Names
            && need.from == path
            && need.place.repo.is_none()
            && need.place.path == file
            && need.name == names.name
    };
    beside.iter().find(named)?.objection(path)
}

/// Raises findings about names of code to what is known of the files that they name: a report of a configuration by
/// itself knows the name only. `path`, `siblings` and `beside` are as in [`crate::Context`].
pub fn hold_against(report: &mut Report, path: &str, siblings: &[String], beside: &[Beside]) {
    for at in 0..report.findings.len() {
        let Some(objection) = objection(&report.findings[at], path, siblings, beside) else { continue };
        if !objection.because_findings {
            continue;
        }
        let f = &mut report.findings[at];
        f.verdict = f.verdict.max(Verdict::Suspicious);
        f.message = format!("{}; {}", f.message, objection.text);
        report.verdict = report.verdict.max(f.verdict);
        report.reason = None;
    }
}
