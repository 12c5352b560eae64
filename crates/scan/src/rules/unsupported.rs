//! What cannot be judged yet.

use super::names;
use wb_verdict::{Confidence, Family, Location, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Unsupported,
    severity: Severity::Low,
    confidence: Confidence::High,
    verdict: Verdict::Unknown,
    what: "",
    why: "",
    fix: "",
    pait: None,
    cwe: None,
    atlas: None,
    references: &[],
};

/// A known format without an analysis.
pub(super) static FORMAT: Rule = Rule {
    id: "WB-UNS-001",
    title: "a format that this version cannot judge",
    what: "a known model format whose loaders can run or deserialise content, recognised but not analysed",
    why: "not looked at is not harmless",
    fix: "ask for safetensors or GGUF, or let your policy admit the format if you trust the publisher",
    ..BASE
};

/// No loader known.
pub(super) static CONTENT: Rule = Rule {
    id: "WB-UNS-002",
    title: "content that no catalogued loader opens",
    what: "bytes that are no known model, archive, document or media format",
    why: "if an application of yours reads them, what it does with them is not known here",
    fix: "nothing if the file is data of your own application; else leave it out",
    ..BASE
};

/// Source under a name that makes it run.
pub(super) static SOURCE: Rule = Rule {
    id: "WB-UNS-003",
    title: "code or instructions shipped with the model",
    what: "a file whose name makes it code or an instruction to a tool: Python, notebooks, shell scripts, \
        requirements, Dockerfile, MLmodel",
    why: "what it does is not analysed by this version; it runs when someone imports it, installs from it, or passes a \
        trust flag",
    fix: "review the file, or leave it out of the pull (allow patterns of the client)",
    ..BASE
};

/// The rule for a plausible reading: only a name that makes a text code gives a finding.
pub(super) fn reading(code: &str, place: &Location, name: &str) -> Option<&'static Rule> {
    match names::of_place(place, name) {
        names::Role::Python | names::Role::Instruction
            if matches!(code, "python" | "text" | "json" | "yaml" | "shell") =>
        {
            Some(&SOURCE)
        }
        _ => None,
    }
}
