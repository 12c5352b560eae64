//! Content hidden where a loader expects opaque data.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Hidden,
    severity: Severity::High,
    confidence: Confidence::Medium,
    verdict: Verdict::Suspicious,
    what: "",
    why: "it is not what the model's loader reads, so it waits for something else that does: a second stage, or code \
        shipped beside it",
    fix: "do not use the file until its publisher explains the content; ask for a file without it",
    pait: None,
    cwe: Some(506),
    atlas: Some("AML.T0018"),
    references: &[],
};

/// Any hidden content without a narrower rule.
pub(super) static GENERIC: Rule = Rule {
    id: "WB-HID-001",
    title: "content hidden in a model file",
    what: "structured content where a loader expects raw data",
    ..BASE
};

/// A pickle.
pub(super) static PICKLE: Rule = Rule {
    id: "WB-HID-002",
    title: "a pickle hidden in a model file",
    what: "a complete pickle inside tensor data, metadata or trailing bytes",
    ..BASE
};

/// An archive.
pub(super) static ARCHIVE: Rule = Rule {
    id: "WB-HID-003",
    title: "an archive hidden in a model file",
    what: "a zip or other archive appended to or placed inside a file of another format",
    ..BASE
};

/// An executable.
pub(super) static EXECUTABLE: Rule = Rule {
    id: "WB-HID-004",
    title: "an executable hidden in a model file",
    severity: Severity::Critical,
    what: "an ELF, PE or Mach-O image inside tensor data, metadata or trailing bytes",
    ..BASE
};

/// The rule for a hidden content code.
pub(super) fn rule(code: &str) -> &'static Rule {
    match code {
        "pickle" => &PICKLE,
        "zip" | "tar" | "7z" | "gzip" => &ARCHIVE,
        "elf" | "pe" | "mach-o" | "shebang" => &EXECUTABLE,
        _ => &GENERIC,
    }
}
