//! Honest code that runs by loading or calling the model.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

/// Functions or classes rebuilt from the stream.
pub(super) static CARRIED: Rule = Rule {
    id: "WB-COD-001",
    title: "the model carries code",
    family: Family::CarriesCode,
    severity: Severity::Medium,
    confidence: Confidence::High,
    verdict: Verdict::Suspicious,
    what: "functions, classes or modules rebuilt from the file: by cloudpickle, dill or torch.fx, or as Keras Lambda layers",
    why: "this code runs when the model is loaded or first called, and code cannot be proved harmless from its names, \
        constants or text",
    fix: "ask for the weights as safetensors and the code as reviewed source. if you trust the author, admit exactly \
        this file with an exception for its digest",
    pait: Some("PAIT-PYTCH-101"),
    cwe: Some(502),
    atlas: Some("AML.T0011.000"),
    references: &[
        "https://github.com/cloudpipe/cloudpickle",
        "https://docs.python.org/3/library/pickle.html",
    ],
};
