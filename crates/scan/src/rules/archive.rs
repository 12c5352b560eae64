//! Archive members that leave the folder they are unpacked into.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Archive,
    severity: Severity::High,
    confidence: Confidence::High,
    verdict: Verdict::Malicious,
    what: "",
    why: "unpacking writes where the author chose: start-up files, keys, other models",
    fix: "do not unpack it. no honest model archive holds such a member; tell its publisher",
    pait: Some("PAIT-ARV-100"),
    cwe: Some(22),
    atlas: Some("AML.T0011.000"),
    references: &[
        "https://docs.python.org/3/library/tarfile.html#extraction-filters",
        "https://peps.python.org/pep-0706/",
    ],
};

/// An absolute path.
pub(super) static ABSOLUTE: Rule = Rule {
    id: "WB-ARC-001",
    title: "an archive member has an absolute path",
    what: "a member whose path begins at the root of the file system or names a drive",
    ..BASE
};

/// A path with `..`.
pub(super) static TRAVERSAL: Rule = Rule {
    id: "WB-ARC-002",
    title: "a path leaves its folder",
    what: "an archive member, or a path that a model names, that climbs out of its folder with `..`",
    ..BASE
};

/// A link that points outside.
pub(super) static LINK: Rule = Rule {
    id: "WB-ARC-003",
    title: "an archive member is a link that points outside",
    what: "a symbolic or hard link whose target is outside the archive's folder",
    cwe: Some(59),
    ..BASE
};

/// A device, pipe or other special file.
pub(super) static DEVICE: Rule = Rule {
    id: "WB-ARC-004",
    title: "an archive member is a device or special file",
    severity: Severity::Medium,
    verdict: Verdict::Suspicious,
    what: "a device node, pipe or other special file as a member, or a path of another unsafe kind",
    why: "unpacked with enough rights it is a door to hardware or another process; models need none",
    cwe: Some(434),
    ..BASE
};

/// A member behind a link of the same archive.
pub(super) static THROUGH_LINK: Rule = Rule {
    id: "WB-ARC-005",
    title: "an archive member is reached through a link of the same archive",
    verdict: Verdict::Suspicious,
    confidence: Confidence::Medium,
    what: "a member whose folder is a symbolic link that the archive itself brings, or a link that climbs out of another \
        link with `..`",
    why: "each of the links stays inside the folder on paper; followed one after the other they lead outside, past \
        checks that look at one name at a time",
    cwe: Some(59),
    ..BASE
};

/// The rule for a path code.
pub(super) fn rule(code: &str) -> &'static Rule {
    match code {
        "absolute" => &ABSOLUTE,
        "traversal" => &TRAVERSAL,
        "link-outside" => &LINK,
        "through-link" => &THROUGH_LINK,
        _ => &DEVICE,
    }
}
