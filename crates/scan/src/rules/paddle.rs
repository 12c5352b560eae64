//! Operators of Paddle programs.

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
    fix: "find out from the model's publisher what the operator is for, and ask for a model without it",
    pait: None,
    cwe: Some(829),
    atlas: Some("AML.T0011.000"),
    references: &["https://github.com/PaddlePaddle/Paddle/blob/develop/security/README.md"],
};

/// Python.
pub(super) static PYTHON: Rule = Rule {
    id: "WB-PAD-001",
    title: "a Paddle program calls Python",
    what: "py_func and its like",
    why: "the operator calls a function of the Python process by a number that the program holds",
    ..BASE
};

/// Files written.
pub(super) static WRITE: Rule = Rule {
    id: "WB-PAD-002",
    title: "a Paddle program writes files",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "save and save_combine, with the path that the program names",
    why: "running the program overwrites files of whoever runs it",
    fix: "do not use the model, and tell its publisher",
    cwe: Some(73),
    ..BASE
};

/// Files read, connections.
pub(super) static OUTSIDE: Rule = Rule {
    id: "WB-PAD-003",
    title: "a Paddle program reads files or talks to other machines",
    what: "load, load_combine, read_file and readers; operators of parameter servers and of collective set-up",
    why: "files of the machine become tensors, and inputs or weights leave it",
    cwe: Some(22),
    ..BASE
};

/// Engines.
pub(super) static NATIVE: Rule = Rule {
    id: "WB-PAD-004",
    title: "a part of a Paddle program is not judged",
    what: "engines (TensorRT, Lite, CINN and others) that the program holds in compiled form, and programs inside of programs",
    why: "what an engine runs cannot be seen here",
    ..BASE
};

/// Unknown.
pub(super) static UNKNOWN: Rule = Rule {
    id: "WB-PAD-005",
    title: "a Paddle program needs an operator that Paddle does not have",
    severity: Severity::Medium,
    what: "an operator outside of Paddle's own registry: a custom one, or one of a release that is not listed yet",
    why: "it comes from a library that has to be loaded; what it does is not known here",
    ..BASE
};

/// The rule for an operator of a Paddle program.
pub(super) fn rule(code: &str) -> Option<&'static Rule> {
    Some(match code {
        "paddle-python" => &PYTHON,
        "paddle-file-write" => &WRITE,
        "paddle-file-read" | "paddle-network" => &OUTSIDE,
        "paddle-native" => &NATIVE,
        "paddle-unknown" => &UNKNOWN,
        _ => return None,
    })
}
