//! Core ML: classes of the application, models and weights by path, content of no message.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::GraphOperator,
    severity: Severity::Medium,
    confidence: Confidence::High,
    verdict: Verdict::Suspicious,
    what: "",
    why: "",
    fix: "find out from the model's publisher which code it needs; ask for a model of built-in layers",
    pait: None,
    cwe: Some(829),
    atlas: Some("AML.T0011.000"),
    references: &["https://apple.github.io/coremltools/mlmodel/index.html"],
};

/// Custom layers and models.
pub(super) static CUSTOM: Rule = Rule {
    id: "WB-CML-001",
    title: "a Core ML model needs a class of the application",
    what: "custom layers and custom models, which name a class that Core ML instantiates, and operators of no published opset",
    why: "the class is code beside the model; what it does is not known here",
    cwe: Some(470),
    references: &[
        "https://developer.apple.com/documentation/coreml/creating-and-integrating-a-model-with-core-ml",
    ],
    ..BASE
};

/// Paths that leave the package.
pub(super) static PATH: Rule = Rule {
    id: "WB-CML-002",
    title: "a Core ML model names a path outside its package",
    family: Family::Archive,
    severity: Severity::High,
    verdict: Verdict::Malicious,
    what: "linked models, search paths and files of weights that are absolute or climb out with `..`",
    why: "loading opens what lies there as a part of the model",
    fix: "do not load it. no converter writes such a path; tell its publisher",
    cwe: Some(22),
    ..BASE
};

/// Framework models.
pub(super) static SERIALIZED: Rule = Rule {
    id: "WB-CML-003",
    title: "a Core ML model holds a model of another framework as bytes",
    what: "serialized models, whose bytes some framework of the system reads by itself",
    why: "the format of the bytes is not published and is not judged here",
    ..BASE
};

/// Structure.
pub(super) static STRUCTURE: Rule = Rule {
    id: "WB-CML-010",
    title: "a Core ML model holds what no converter writes",
    family: Family::Structure,
    confidence: Confidence::Medium,
    what: "bytes behind the model, fields that no published message has or that are given twice",
    why: "parsers drop or merge such parts: what is left over carries content for somebody else",
    fix: "do not use the file: honest converters do not produce it. fetch it again in case the transfer damaged it, else tell \
        its publisher",
    cwe: Some(436),
    atlas: Some("AML.T0010"),
    ..BASE
};

/// The rule for a fact's code, if the fact is about Core ML.
pub(super) fn rule(code: &str) -> Option<&'static Rule> {
    Some(match code.strip_prefix("coreml-")? {
        "custom" | "unknown" => &CUSTOM,
        "serialized" => &SERIALIZED,
        "deep-nesting" => return None,
        code if code.starts_with("path-") => &PATH,
        _ => &STRUCTURE,
    })
}
