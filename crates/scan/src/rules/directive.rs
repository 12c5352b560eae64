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
    title: "the model names Python code that comes with it",
    severity: Severity::Medium,
    what: "auto_map or remote code entries in a configuration, handlers and modules in a model archive",
    why: "with trust_remote_code, and in some libraries without it, loading imports that code",
    fix: "review the named code at this commit, or use a model that the library supports without it",
    references: &["https://huggingface.co/docs/transformers/custom_models"],
    ..BASE
};

/// XML that reads files or expands without end.
pub(super) static ENTITY: Rule = Rule {
    id: "WB-DIR-005",
    title: "an xml document reads files or fetches through entities",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "external or endlessly growing entity declarations in XML, external document types and XInclude",
    why: "a parser that resolves them reads local files, calls addresses inside your network, or runs out of memory",
    fix: "do not open the file with a parser that resolves entities; no model format needs them",
    cwe: Some(611),
    references: &["https://owasp.org/www-community/vulnerabilities/XML_External_Entity_(XXE)_Processing"],
    ..BASE
};

/// The rule for a directive code.
pub(super) fn rule(code: &str) -> &'static Rule {
    match code {
        "hydra-target-dangerous" => &TARGET,
        "shell-command" | "python-code" | "script-tag" | "script-text" | "svg-script"
        | "notebook-command" => &SHELL,
        "auto-map" | "remote-code" | "torch-package-source" | "torchserve-handler" => &REMOTE_CODE,
        "keras-lambda" | "keras-callable" => &super::code::CARRIED,
        "xml-external-entity" | "xml-entity" | "xml-include" => &ENTITY,
        _ => &GENERIC,
    }
}
