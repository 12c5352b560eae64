//! PMML: code in a document of models.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Directive,
    severity: Severity::High,
    confidence: Confidence::Medium,
    verdict: Verdict::Suspicious,
    what: "",
    why: "",
    fix: "take the element out, or ask for a model without it; evaluate only with classes that you chose yourself",
    pait: Some("PAIT-EXDIR-101"),
    cwe: Some(470),
    atlas: Some("AML.T0011.000"),
    references: &["https://dmg.org/pmml/v4-4-1/Functions.html"],
};

/// Functions that are classes.
pub(super) static CLASS: Rule = Rule {
    id: "WB-PMM-001",
    title: "a PMML document calls a class of the evaluator's language",
    what: "functions with a dotted name, which evaluators in Java load as a class",
    why: "the class runs when the model is evaluated; which code that is depends on what the application has on its class path",
    references: &["https://github.com/jpmml/jpmml-evaluator"],
    ..BASE
};

/// Functions that are dangerous classes.
pub(super) static DANGEROUS: Rule = Rule {
    id: "WB-PMM-002",
    title: "a PMML document calls a class of the runtime itself",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "functions named after classes of the Java platform or of script engines",
    why: "no model needs them: they start programs, load code or reach the network",
    fix: "do not use the file, and tell its host",
    ..BASE
};

/// Scripts.
pub(super) static SCRIPT: Rule = Rule {
    id: "WB-PMM-003",
    title: "a PMML document holds a script",
    what: "elements named script, code or after a language, style sheets, and documents that cannot be read to their end",
    why: "PMML has no scripts; an evaluator or viewer that takes them runs them",
    cwe: Some(94),
    ..BASE
};

/// The rule for a fact's code, if the fact is about PMML.
pub(super) fn rule(code: &str) -> Option<&'static Rule> {
    Some(match code.strip_prefix("pmml-")? {
        "java-class-dangerous" => &DANGEROUS,
        "java-class" => &CLASS,
        "script" => &SCRIPT,
        _ => return None,
    })
}
