//! Templates that loaders render.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Template,
    severity: Severity::Critical,
    confidence: Confidence::High,
    verdict: Verdict::Malicious,
    what: "",
    why: "some runtimes render chat templates without a sandbox; there such a template runs code with the first message",
    fix: "do not use the file; ask for one without the construct, or replace the template by your own",
    pait: None,
    cwe: Some(1336),
    atlas: Some("AML.T0011.000"),
    references: &["https://github.com/advisories/GHSA-56xg-wfcc-g829"],
};

/// Reaches internals.
pub(super) static DANGEROUS: Rule = Rule {
    id: "WB-TPL-001",
    title: "a template reaches the interpreter",
    what: "a Jinja template that walks into dunder attributes, or builds their names from pieces",
    ..BASE
};

/// Not proved harmless.
pub(super) static UNPROVED: Rule = Rule {
    id: "WB-TPL-002",
    title: "a template cannot be proved harmless",
    severity: Severity::Medium,
    confidence: Confidence::Low,
    verdict: Verdict::Suspicious,
    what: "a template that does not parse, or that uses a name, filter or attribute which is not known to be harmless",
    ..BASE
};

/// The rule for what the analysis found; `None` if it proved the template harmless.
pub(super) fn rule(code: &str) -> Option<&'static Rule> {
    match code {
        "harmless" => None,
        "dangerous" => Some(&DANGEROUS),
        _ => Some(&UNPROVED),
    }
}
