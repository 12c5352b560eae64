//! Code in Torch7 objects.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

/// Functions.
pub(super) static FUNCTION: Rule = Rule {
    id: "WB-LUA-001",
    title: "a Torch7 object carries functions",
    family: Family::CarriesCode,
    severity: Severity::Medium,
    confidence: Confidence::High,
    verdict: Verdict::Suspicious,
    what: "a function record: bytecode or source that `torch.load` compiles",
    why: "it runs when the model is used: a table with a `forward` of its own is called like any other. code is not proved \
        harmless from its texts",
    fix: "ask for the weights alone, converted to safetensors. if you trust the author, admit exactly this file with an \
        exception for its digest",
    pait: None,
    cwe: Some(502),
    atlas: Some("AML.T0011.000"),
    references: &["https://github.com/torch/torch7/blob/master/doc/serialization.md"],
};

/// Such that do harm.
pub(super) static DANGEROUS: Rule = Rule {
    id: "WB-LUA-002",
    title: "a function in a Torch7 object reaches the system",
    family: Family::Directive,
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "a function that names what starts programs, loads code or native libraries, or opens files",
    why: "it runs on the machine that uses the model",
    fix: "do not load it. tell its publisher",
    ..FUNCTION
};

/// The rule for a directive of a Torch7 object.
pub(super) fn rule(code: &str) -> Option<&'static Rule> {
    Some(match code {
        "t7-function" => &FUNCTION,
        "t7-function-dangerous" => &DANGEROUS,
        _ => return None,
    })
}
