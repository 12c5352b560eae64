//! What cannot be judged yet.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

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
    title: "code or instructions that this version cannot read",
    what: "a file whose name makes it code or an instruction to a tool, in a language or encoding that is not analysed: \
        Python 2, batch files, Lua, JavaScript, or Python too intricate to follow",
    why: "what it does is not known; it runs when someone imports or starts it",
    fix: "review the file, or leave it out of the pull (allow patterns of the client)",
    ..BASE
};
