//! Code in R objects.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::CarriesCode,
    severity: Severity::Medium,
    confidence: Confidence::High,
    verdict: Verdict::Suspicious,
    what: "",
    why: "",
    fix: "",
    pait: None,
    cwe: Some(502),
    atlas: Some("AML.T0011.000"),
    references: &["https://cran.r-project.org/doc/manuals/r-release/R-ints.html#Serialization-Formats"],
};

/// Functions and calls.
pub(super) static CODE: Rule = Rule {
    id: "WB-RDS-001",
    title: "an R object carries code",
    what: "a closure or bytecode in the object, or a kept call of a function that is none of models and arithmetic",
    why: "it runs when the object is used: printed, predicted with, updated. R code is not proved harmless here",
    fix: "ask for the model in a format without code (PMML, ONNX, coefficients as a table). if you trust the author, admit \
        exactly this file with an exception for its digest",
    ..BASE
};

/// Such that does harm.
pub(super) static DANGEROUS: Rule = Rule {
    id: "WB-RDS-002",
    title: "code in an R object reaches the system",
    family: Family::Directive,
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "a function, promise or kept call that starts commands, loads foreign code, or fetches and runs something; in a \
        promise or active binding also what evaluates text, changes files or the session",
    why: "it runs on the machine that reads or uses the object",
    fix: "do not read it. tell its publisher",
    references: &["https://nvd.nist.gov/vuln/detail/CVE-2024-27322"],
    ..BASE
};

/// What runs without being called.
pub(super) static BY_ITSELF: Rule = Rule {
    id: "WB-RDS-003",
    title: "an R object holds code that runs without being called",
    family: Family::Directive,
    severity: Severity::High,
    what: "a promise that was not evaluated yet, an active binding, a reference for a hook of the reader, or a function \
        `.First` or `.Last` of a workspace",
    why: "R evaluates a promise the first time its value is looked at, and calls an active binding's function whenever the \
        variable is read; `.First` runs when R starts in the folder of a `.RData`",
    fix: "do not read it with R before 4.4. ask for an object without environments of functions",
    references: &["https://nvd.nist.gov/vuln/detail/CVE-2024-27322"],
    ..BASE
};

/// Vectors that make themselves.
pub(super) static ALTREP: Rule = Rule {
    id: "WB-RDS-004",
    title: "a vector of an R object is made by a class of its own",
    family: Family::Directive,
    severity: Severity::Medium,
    what: "an alternative representation (ALTREP) other than the sequences, wrappers and deferred texts of base R",
    why: "reading it loads the package that is named and calls its class with a state from the file: base R's `mmap_real` \
        maps the file whose path the state holds",
    fix: "ask for the object written with `saveRDS` after a copy (`x[]`)",
    cwe: Some(470),
    ..BASE
};

/// The rule for a directive of an R object.
pub(super) fn rule(code: &str) -> Option<&'static Rule> {
    Some(match code {
        "r-function" | "r-call" => &CODE,
        "r-code-dangerous" => &DANGEROUS,
        "r-promise" | "r-persistent" | "r-startup" => &BY_ITSELF,
        "r-altrep" => &ALTREP,
        _ => return None,
    })
}
