//! Readers disagree on what a file holds.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const FIX: &str = "do not use the file: honest writers do not produce it. fetch it again in case the transfer damaged it, \
    else tell its publisher";

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Structure,
    severity: Severity::High,
    confidence: Confidence::Medium,
    verdict: Verdict::Suspicious,
    what: "",
    why: "",
    fix: FIX,
    pait: None,
    cwe: Some(436),
    atlas: Some("AML.T0010"),
    references: &[],
};

/// Any code without a narrower rule.
pub(super) static GENERIC: Rule = Rule {
    id: "WB-STR-001",
    title: "readers disagree on the file's structure",
    what: "a structural contradiction that one reader resolves differently from another, or a malformed part",
    why: "what a scanner reads is then not what a loader reads",
    ..BASE
};

/// Contradictions in a zip's headers.
pub(super) static ZIP: Rule = Rule {
    id: "WB-STR-002",
    title: "a zip archive's headers contradict each other",
    what: "local header against central directory, encryption flags on plain members, wrong checksums or sizes, more \
        than one central directory, bytes that no record explains",
    why: "torch and Python's zipfile resolve each of these differently: one shows a harmless member, the other loads a \
        different one",
    references: &[
        "https://github.com/advisories/GHSA-7q5r-7gvp-wc82",
        "https://github.com/advisories/GHSA-w8jq-xcqf-f792",
        "https://github.com/advisories/GHSA-mjqp-26hc-grxg",
    ],
    ..BASE
};

/// Several members that readers could take for one.
pub(super) static ZIP_ENTRIES: Rule = Rule {
    id: "WB-STR-003",
    title: "a zip archive holds members that readers confuse",
    what: "duplicate or case-folded member names, and members that the directory does not list",
    why: "torch opens the first of two members of one name, Python's zipfile the last",
    ..BASE
};

/// Opcode-level disagreements.
pub(super) static PICKLE: Rule = Rule {
    id: "WB-STR-010",
    title: "pickle readers disagree on this stream",
    what: "frames that cut through opcodes, redefined memo slots, late or repeated PROTO, numbers that the C and the \
        Python unpickler read differently, streams that break off, functions set in the place of methods that libraries \
        call, joblib's array wrapper by another name or with attributes of its own",
    why: "the loader runs one reading, a scanner may have seen the other; both are judged here, and no honest pickler \
        writes such a stream",
    references: &["https://github.com/python/cpython/issues/154848", "https://arxiv.org/abs/2605.15084"],
    ..BASE
};

/// Tensor tables that contradict the file.
pub(super) static TENSORS: Rule = Rule {
    id: "WB-STR-020",
    title: "tensor tables contradict the file",
    what: "tensors that overlap, leave the file, have impossible types or shapes, or leave bytes unexplained; dtypes \
        whose flags, fields and sizes disagree",
    why: "native loaders that trust such a table read or write outside their buffers",
    cwe: Some(125),
    references: &[
        "https://github.com/huggingface/safetensors",
        "https://github.com/ggml-org/ggml/blob/master/docs/gguf.md",
    ],
    ..BASE
};

/// Keys given twice.
pub(super) static DUPLICATE_KEYS: Rule = Rule {
    id: "WB-STR-021",
    title: "a key is given twice",
    what: "metadata or JSON in which one key has two values",
    why: "one reader takes the first value, another the last: a template or a path can hide behind the other",
    ..BASE
};

/// The rule for a structure code.
pub(super) fn rule(code: &str) -> &'static Rule {
    if code.contains("dup") && code.contains("key") {
        return &DUPLICATE_KEYS;
    }
    match code.split('-').next().unwrap_or(code) {
        "zip"
            if ["duplicate", "case", "unlisted", "orphan", "not-listed"].iter().any(|w| code.contains(w)) =>
        {
            &ZIP_ENTRIES
        }
        "zip" => &ZIP,
        "hdf5" => &super::hdf5::STRUCTURE,
        "pickle" | "joblib" => &PICKLE,
        "skops" => super::skops::rule(code),
        "tflite" => &super::operator::LITE_INDEX,
        "safetensors" | "gguf" | "npy" | "numpy" | "scipy" | "tensor" => &TENSORS,
        _ => &GENERIC,
    }
}
