//! HDF5 files.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Structure,
    severity: Severity::Medium,
    confidence: Confidence::High,
    verdict: Verdict::Suspicious,
    what: "",
    why: "",
    fix: "ask its publisher to write the file again; do not load it before",
    pait: None,
    cwe: Some(436),
    atlas: Some("AML.T0010"),
    references: &["https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html"],
};

/// Malformed parts.
pub(super) static STRUCTURE: Rule = Rule {
    id: "WB-HDF-001",
    title: "an HDF5 file's structure is broken or contradicts itself",
    what: "objects, heaps or trees that are broken, links that lead in circles, names given twice, bytes behind the end",
    why: "native readers that trust such a structure read or write outside of their buffers or never end",
    cwe: Some(125),
    ..BASE
};

/// Data of another file beside it.
pub(super) static EXTERNAL: Rule = Rule {
    id: "WB-HDF-002",
    title: "an HDF5 file takes data from another file",
    family: Family::Directive,
    what: "an external link, external raw data or a virtual dataset that names a file in the same folder",
    why: "what is loaded is not what was judged; weights then hold whatever lies there",
    fix: "ask for a file that holds its own data",
    cwe: Some(73),
    references: &["https://nvd.nist.gov/vuln/detail/CVE-2026-1669"],
    ..BASE
};

/// Data of a file anywhere.
pub(super) static EXTERNAL_OUTSIDE: Rule = Rule {
    id: "WB-HDF-003",
    title: "an HDF5 file reads files of the machine that loads it",
    family: Family::Directive,
    severity: Severity::High,
    verdict: Verdict::Malicious,
    what: "an external link, external raw data or a virtual dataset with an absolute path or a path with `..`",
    why: "loading puts the content of that file into the weights, from where it leaves with the model",
    fix: "do not load it. tell its publisher",
    cwe: Some(73),
    references: &["https://nvd.nist.gov/vuln/detail/CVE-2026-1669"],
    ..BASE
};

/// Sizes beyond the file.
pub(super) static SHAPE: Rule = Rule {
    id: "WB-HDF-004",
    title: "an HDF5 dataset claims more than the file holds",
    family: Family::Resource,
    what: "a shape whose size overflows or exceeds by far what is stored for it",
    why: "the loader allocates what the shape says before it reads a byte",
    fix: "do not load it on a machine that matters. tell its publisher",
    cwe: Some(789),
    atlas: Some("AML.T0029"),
    references: &["https://github.com/advisories/GHSA-mgx6-5cf9-rr43"],
    ..BASE
};
