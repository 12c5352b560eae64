//! skops: what its user is shown against what is built.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Structure,
    severity: Severity::High,
    confidence: Confidence::High,
    verdict: Verdict::Suspicious,
    what: "",
    why: "",
    fix: "do not load it: skops writes no such file. tell its publisher",
    pait: None,
    cwe: Some(351),
    atlas: Some("AML.T0011.000"),
    references: &["https://skops.readthedocs.io/en/stable/persistence.html"],
};

/// Another class than is built.
pub(super) static SHOWN: Rule = Rule {
    id: "WB-SKO-001",
    title: "a skops model shows one class and builds another",
    what: "a node whose class and module differ from what its type makes: a function of `operator` under another module, a \
        method of another object, a tree that is none",
    why: "skops up to 0.11 asks its user about the class that is shown and runs the other; what is run is judged by its own \
        finding",
    references: &[
        "https://github.com/advisories/GHSA-m7f4-hrc6-fwg3",
        "https://nvd.nist.gov/vuln/detail/CVE-2025-54412",
        "https://nvd.nist.gov/vuln/detail/CVE-2025-54413",
    ],
    ..BASE
};

/// Ids.
pub(super) static IDS: Rule = Rule {
    id: "WB-SKO-002",
    title: "objects of a skops model stand for one another",
    what: "two different nodes with one `__id__`, a reference to an object that does not come before, key types or arguments \
        that are no list",
    why: "the loader takes the first object of an id wherever the id stands, so that a reader of the schema sees another \
        object than is used",
    ..BASE
};

/// The rule for a contradiction in a schema.
pub(super) fn rule(code: &str) -> &'static Rule {
    if code == "skops-shown-differs" { &SHOWN } else { &IDS }
}
