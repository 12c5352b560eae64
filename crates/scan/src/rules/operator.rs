//! Operators of computation graphs that do more than compute: TensorFlow, TensorFlow Lite.

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
    fix: "find out from the model's publisher what the node is for; ask for a model without it, or one whose weights come as \
        safetensors with code that you can read",
    pait: Some("PAIT-TF-200"),
    cwe: Some(829),
    atlas: Some("AML.T0011.000"),
    references: &[
        "https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md",
        "https://www.tensorflow.org/api_docs/python/tf/raw_ops",
    ],
};

/// Files written.
pub(super) static WRITE: Rule = Rule {
    id: "WB-TF-001",
    title: "the graph writes files",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "operators that write files (WriteFile, SaveV2, PrintV2 to a file, debug operators, datasets kept on disk) to a \
        place that the model itself names; the saver's own operators are left alone as long as only the saver feeds and runs them",
    why: "running the graph, or only loading it where it has an initialiser, overwrites files of whoever runs it: a shell \
        profile, a key file, a cron entry",
    fix: "do not use the model, and tell its host",
    cwe: Some(73),
    ..BASE
};

/// Files read.
pub(super) static READ: Rule = Rule {
    id: "WB-TF-002",
    title: "the graph reads files",
    what: "operators that read or list files (ReadFile, MatchingFiles, RestoreV2, record readers, tables from text files) that are \
        neither assets of the model nor the saver's own checkpoint",
    why: "secrets of the machine become tensors, and leave it with the model's answers or the next operator",
    cwe: Some(22),
    ..BASE
};

/// Network.
pub(super) static NETWORK: Rule = Rule {
    id: "WB-TF-003",
    title: "the graph talks to other machines",
    what: "operators that open connections, send tensors to other processes or set credentials of remote file systems",
    why: "inputs, weights or files leave the machine, or come from where nobody judged them",
    cwe: Some(918),
    ..BASE
};

/// Python.
pub(super) static PYTHON: Rule = Rule {
    id: "WB-TF-004",
    title: "the graph calls Python functions",
    what: "PyFunc, EagerPyFunc and the like, which call a function that the running process registered under a number",
    why: "which function that is depends on the process, not on the model: code beside the model can register it",
    cwe: Some(470),
    ..BASE
};

/// Not catalogued.
pub(super) static UNKNOWN: Rule = Rule {
    id: "WB-TF-005",
    title: "the graph has an operator that is not known to be harmless",
    severity: Severity::Medium,
    what: "operators of no TensorFlow release that was catalogued, and functions that the model does not define",
    why: "such a model needs a native library that registers the operator; what that does is not known here",
    fix: "find out which library the operator comes from and whether you trust it; ask for a model without custom operators",
    ..BASE
};

/// Native code and processes.
pub(super) static NATIVE: Rule = Rule {
    id: "WB-TF-006",
    title: "the graph compiles or starts something",
    what: "operators that compile modules given in the graph, start programs (ffmpeg), map memory regions by name or end the process",
    why: "what they run is not visible as operators and is not judged here",
    cwe: Some(94),
    ..BASE
};

/// Graphs as data.
pub(super) static GRAPH: Rule = Rule {
    id: "WB-TF-007",
    title: "the graph runs a graph that is data",
    what: "DatasetFromGraph and the like on a serialized graph that is no constant of the model, or that cannot be read",
    why: "the operators that run are not those of the file",
    cwe: Some(502),
    ..BASE
};

/// Names given from outside.
pub(super) static GIVEN: Rule = Rule {
    id: "WB-TF-008",
    title: "the graph uses files that its caller names",
    severity: Severity::Medium,
    what: "operators that write or read a file whose name is an input of the model",
    why: "whoever sends requests to the model chooses files of the machine that serves it",
    cwe: Some(73),
    ..BASE
};

/// Lite: custom operators.
pub(super) static LITE_CUSTOM: Rule = Rule {
    id: "WB-TFL-001",
    title: "the model needs a custom operator",
    severity: Severity::Medium,
    what: "custom operators of a TensorFlow Lite model that the runtime itself does not bring, delegates, and custom calls",
    why: "an application loads a native library to run such a model; what that does is not known here",
    fix: "find out which library the operator comes from and whether you trust it; ask for a model of built-in operators",
    references: &["https://ai.google.dev/edge/litert/models/ops_custom"],
    ..BASE
};

/// Lite: offsets and indices.
pub(super) static LITE_INDEX: Rule = Rule {
    id: "WB-TFL-002",
    title: "a TensorFlow Lite model points outside itself",
    family: Family::Structure,
    what: "indices of tensors, buffers, operators or subgraphs that do not exist, offsets that leave the file or run in circles, \
        buffers smaller than their tensors",
    why: "interpreters that trust them read and write outside their memory",
    fix: "do not use the file: no converter produces it. fetch it again in case the transfer damaged it",
    cwe: Some(125),
    references: &[
        "https://github.com/tensorflow/tensorflow/blob/master/tensorflow/security/advisory/tfsa-2020-005.md",
        "https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs",
    ],
    ..BASE
};

/// The rule for what an operator does.
pub(super) fn rule(code: &str) -> &'static Rule {
    match code {
        "tf-file-write" => &WRITE,
        "tf-file-read" => &READ,
        "tf-network" => &NETWORK,
        "tf-python" => &PYTHON,
        "tf-native" => &NATIVE,
        "tf-graph" => &GRAPH,
        "tf-file-given" => &GIVEN,
        code if code.starts_with("tflite-") => &LITE_CUSTOM,
        _ => &UNKNOWN,
    }
}
