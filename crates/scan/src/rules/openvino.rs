//! OpenVINO: layers of foreign libraries, constants outside the weights.

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
    fix: "do not use the file: OpenVINO does not write it. fetch it again in case the transfer damaged it",
    pait: None,
    cwe: Some(829),
    atlas: Some("AML.T0011.000"),
    references: &["https://docs.openvino.ai/latest/documentation/openvino-ir-format/operation-sets.html"],
};

/// Layers of foreign libraries.
pub(super) static CUSTOM: Rule = Rule {
    id: "WB-OVN-001",
    title: "an OpenVINO model needs a layer of a foreign library",
    what: "layers whose type is in no operation set of OpenVINO or of its tokenizer extension",
    why: "an application loads a native library to run such a model (`Core.add_extension`); what that does is not known here",
    fix: "find out which library the layer comes from and whether you trust it; ask for a model without custom layers",
    references: &["https://docs.openvino.ai/latest/documentation/openvino-extensibility.html"],
    ..BASE
};

/// Constants outside the weights.
pub(super) static CONSTANT: Rule = Rule {
    id: "WB-OVN-002",
    title: "a constant of an OpenVINO model lies outside its weights",
    family: Family::Structure,
    severity: Severity::High,
    confidence: Confidence::Medium,
    what: "offsets and sizes that overflow or that no file of weights can have, constants shorter than their shape, attributes \
        given twice, documents that break off",
    why: "a reader that trusts them reads memory that is not the model's",
    cwe: Some(125),
    ..BASE
};

/// The rule for a fact's code, if the fact is about OpenVINO.
pub(super) fn rule(code: &str) -> Option<&'static Rule> {
    Some(match code.strip_prefix("openvino-")? {
        "custom" => &CUSTOM,
        _ => &CONSTANT,
    })
}
