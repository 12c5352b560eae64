//! Resource exhaustion.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Resource,
    severity: Severity::Medium,
    confidence: Confidence::High,
    verdict: Verdict::Suspicious,
    what: "",
    why: "",
    fix: "do not load it on a machine that matters. no honest writer produces such sizes; fetch the file again in case \
        the transfer damaged it, else tell its publisher",
    pait: None,
    cwe: Some(400),
    atlas: Some("AML.T0029"),
    references: &[],
};

/// Any resource code without a narrower rule.
pub(super) static GENERIC: Rule = Rule {
    id: "WB-RES-001",
    title: "loading exhausts memory, disk or time",
    what: "content that expands far beyond its size, nests without end, or claims more than any machine has",
    why: "whatever loads the model, a service included, is brought to a halt",
    cwe: Some(409),
    ..BASE
};

/// Impossible sizes.
pub(super) static SIZES: Rule = Rule {
    id: "WB-RES-002",
    title: "a size or count is impossible",
    what: "a length, shape or count that overflows or exceeds the file",
    why: "a loader that trusts it allocates gigabytes, or computes with an overflown number",
    cwe: Some(789),
    ..BASE
};

/// Pickle bombs.
pub(super) static PICKLE: Rule = Rule {
    id: "WB-RES-003",
    title: "a pickle exhausts its loader",
    what: "giant memo indices, giant lengths, values that double at each step, constructors asked for absurd sizes",
    why: "the C unpickler and the constructors allocate what the stream names before they look at the data",
    cwe: Some(789),
    ..BASE
};

/// The rule for a resource code.
pub(super) fn rule(code: &str) -> &'static Rule {
    if code.starts_with("hdf5-") {
        &super::hdf5::SHAPE
    } else if code.starts_with("pickle-") {
        &PICKLE
    } else if ["overflow", "size", "length", "count", "shape", "dims"].iter().any(|w| code.contains(w)) {
        &SIZES
    } else {
        &GENERIC
    }
}
