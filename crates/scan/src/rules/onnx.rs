//! ONNX: operators that do more than compute, tensors that lie elsewhere, branches on a trigger.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::GraphOperator,
    severity: Severity::High,
    confidence: Confidence::High,
    verdict: Verdict::Suspicious,
    what: "",
    why: "",
    fix: "find out from the model's publisher what the node is for; ask for a model that uses published operators only",
    pait: None,
    cwe: Some(829),
    atlas: Some("AML.T0011.000"),
    references: &["https://onnx.ai/onnx/operators/", "https://onnxruntime.ai/docs/reference/operators/"],
};

/// Python functions.
pub(super) static PYTHON: Rule = Rule {
    id: "WB-ONX-001",
    title: "the model calls Python functions",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "PyOp, PythonOp and the like, and operators of no published list whose attributes name a module or source code",
    why: "the runtime imports the named module and calls what the model names, with whatever rights it runs",
    fix: "do not use the model, and tell its host",
    cwe: Some(94),
    references: &["https://onnxruntime.ai/docs/extensions/"],
    ..BASE
};

/// Operators of other libraries.
pub(super) static CUSTOM: Rule = Rule {
    id: "WB-ONX-002",
    title: "the model needs an operator of a foreign library",
    severity: Severity::Medium,
    what: "operators of domains that neither ONNX nor ONNX Runtime publishes, and that no function of the model defines",
    why: "an application loads a native library to run such a model; what that does is not known here",
    fix: "find out which library the operator comes from and whether you trust it; ask for a model without custom operators",
    references: &["https://onnxruntime.ai/docs/reference/operators/add-custom-op.html"],
    ..BASE
};

/// Names of no schema.
pub(super) static UNKNOWN: Rule = Rule {
    id: "WB-ONX-003",
    title: "the model has an operator that no published list has",
    severity: Severity::Medium,
    confidence: Confidence::Medium,
    what: "operators of a standard domain whose name is in none of its published versions",
    why: "a runtime that takes it has been extended; what the operator does is not known here",
    ..BASE
};

/// Native libraries.
pub(super) static NATIVE: Rule = Rule {
    id: "WB-ONX-004",
    title: "an operator names a native library to load",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "operators of no published list whose attributes name a shared library",
    why: "loading a library runs its code",
    fix: "do not use the model, and tell its host",
    cwe: Some(426),
    ..BASE
};

/// Network and files.
pub(super) static EFFECT: Rule = Rule {
    id: "WB-ONX-005",
    title: "the model reaches the network or files",
    what: "operators that send their inputs to a service (OpenAIAudioToText, AzureTritonInvoker …) or open files that an input \
        names (ImageReader)",
    why: "inputs leave the machine for an address that the model names, or whoever sends requests chooses files of the server",
    cwe: Some(918),
    references: &["https://onnxruntime.ai/docs/extensions/"],
    ..BASE
};

/// Code for accelerators.
pub(super) static COMPILED: Rule = Rule {
    id: "WB-ONX-006",
    title: "a part of the model is compiled for an accelerator",
    severity: Severity::Medium,
    what: "EPContext and similar nodes, which hold or name what a vendor's compiler made",
    why: "what runs is not the graph in the file; it cannot be judged here",
    fix: "ask for the model before compilation and compile it yourself",
    references: &["https://onnxruntime.ai/docs/execution-providers/EP-Context-Design.html"],
    ..BASE
};

/// Paths that leave the folder.
pub(super) static PATH: Rule = Rule {
    id: "WB-ONX-010",
    title: "a tensor's data lies outside the model's folder",
    family: Family::Archive,
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "external data whose location is absolute, climbs out with `..`, is an address, or is the runtime's mark for an address \
        in its own memory; also in sparse tensors, attributes, subgraphs, functions and training graphs",
    why: "loading reads a file of the machine, or its memory, into a tensor, from where the model's outputs or the next save carry \
        it away; saving such a model overwrites the file",
    fix: "do not load it. no exporter writes such a path; tell its publisher",
    cwe: Some(22),
    references: &[
        "https://github.com/advisories/GHSA-whh8-fjgc-qp73",
        "https://onnx.ai/onnx/repo-docs/ExternalData.html",
    ],
    ..BASE
};

/// Paths through a folder.
pub(super) static FOLDER: Rule = Rule {
    id: "WB-ONX-011",
    title: "a tensor's data is reached through a folder",
    family: Family::Archive,
    confidence: Confidence::Medium,
    what: "external data whose location is no plain file name: it goes through a folder, is empty, or has control characters",
    why: "a folder beside the model may be a symbolic link that leads anywhere; exporters write the name of a file beside the model",
    fix: "look at what stands at that place in the repository; ask for the model saved with its data in one file beside it",
    cwe: Some(59),
    references: &[
        "https://nvd.nist.gov/vuln/detail/CVE-2026-27489",
        "https://nvd.nist.gov/vuln/detail/CVE-2026-34447",
    ],
    ..BASE
};

/// Triggers.
pub(super) static TRIGGER: Rule = Rule {
    id: "WB-ONX-020",
    title: "an input may switch the model's answer to a constant",
    severity: Severity::Medium,
    confidence: Confidence::Low,
    what: "a comparison of the input itself with a constant of the file that decides, on the way to an output, between a computed \
        value and another constant (Where, If, or a product with the comparison)",
    why: "this is how a backdoor looks that lives in the architecture and survives retraining: a trigger in the input gives the \
        answer its author wants. honest graphs that pass a marker for missing data through look the same",
    fix: "ask what the branch is for, or export the model yourself from its weights",
    pait: Some("PAIT-ONNX-200"),
    cwe: Some(506),
    atlas: Some("AML.T0018"),
    references: &["https://hiddenlayer.com/innovation-hub/shadowlogic/"],
    ..BASE
};

/// Structure.
pub(super) static STRUCTURE: Rule = Rule {
    id: "WB-ONX-030",
    title: "an ONNX model holds what no exporter writes",
    family: Family::Structure,
    confidence: Confidence::Medium,
    what: "bytes behind the model, fields that no version has or that are given twice, tensors longer or shorter than their shape, \
        entries of external data that are no location, offset or length",
    why: "parsers drop or merge such parts, each in its own way: what a scanner reads is not what a runtime reads, and what is left \
        over carries content for somebody else",
    fix: "do not use the file: honest exporters do not produce it. fetch it again in case the transfer damaged it, else tell its \
        publisher",
    cwe: Some(436),
    atlas: Some("AML.T0010"),
    references: &[
        "https://github.com/onnx/onnx/blob/main/docs/IR.md",
        "https://protobuf.dev/programming-guides/encoding/",
    ],
    ..BASE
};

/// The rule for a fact's code, if the fact is about ONNX.
pub(super) fn rule(code: &str) -> Option<&'static Rule> {
    Some(match code.strip_prefix("onnx-")? {
        "python" => &PYTHON,
        "custom" => &CUSTOM,
        "unknown" => &UNKNOWN,
        "native" => &NATIVE,
        "network" | "file" => &EFFECT,
        "compiled" => &COMPILED,
        "trigger" => &TRIGGER,
        "external-folder" => &FOLDER,
        "external-absolute" | "external-traversal" | "external-address" | "external-memory" => &PATH,
        "external-size-overflow" | "function-recursion" | "function-expansion" | "deep-nesting" => {
            return None;
        }
        _ => &STRUCTURE,
    })
}
