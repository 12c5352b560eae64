//! Metadata and text that name code to run or fetch.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Directive,
    severity: Severity::High,
    confidence: Confidence::Medium,
    verdict: Verdict::Suspicious,
    what: "",
    why: "the library that reads this file imports and calls what it names",
    fix: "check what the name leads to before you load the model; use a loader that does not follow it",
    pait: Some("PAIT-EXDIR-101"),
    cwe: Some(470),
    atlas: Some("AML.T0011.000"),
    references: &[],
};

/// Any directive without a narrower rule.
pub(super) static GENERIC: Rule = Rule {
    id: "WB-DIR-001",
    title: "metadata names code to run or fetch",
    what: "a key or text that some loader follows to code, a command or a remote file",
    ..BASE
};

/// Hydra targets.
pub(super) static TARGET: Rule = Rule {
    id: "WB-DIR-002",
    title: "metadata names a callable to instantiate",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "a `_target_` or similar key that names a dangerous callable",
    references: &["https://unit42.paloaltonetworks.com/"],
    ..BASE
};

/// Shell commands.
pub(super) static SHELL: Rule = Rule {
    id: "WB-DIR-003",
    title: "metadata holds a command or script",
    what: "text that reads as a shell command or source code, where a model needs none",
    cwe: Some(78),
    ..BASE
};

/// Remote code flags.
pub(super) static REMOTE_CODE: Rule = Rule {
    id: "WB-DIR-004",
    title: "the configuration names Python code of the repository",
    severity: Severity::Medium,
    what: "auto_map, custom module or remote code entries in a configuration",
    why: "with trust_remote_code, and in some libraries without it, loading imports that code",
    fix: "review the named code at this commit, or use a model that the library supports without it",
    references: &["https://huggingface.co/docs/transformers/custom_models"],
    ..BASE
};

/// The rule for a directive code.
pub(super) fn rule(code: &str) -> &'static Rule {
    match code {
        "hydra-target" | "target" | "python-tag" => &TARGET,
        "shell-command" | "script" | "python-source" => &SHELL,
        "auto-map" | "remote-code" | "custom-module" | "trust-remote-code" => &REMOTE_CODE,
        _ => &GENERIC,
    }
}
