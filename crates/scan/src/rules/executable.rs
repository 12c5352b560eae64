//! Executable files.

use super::names;
use wb_verdict::{Confidence, Family, Location, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Executable,
    severity: Severity::High,
    confidence: Confidence::High,
    verdict: Verdict::Suspicious,
    what: "",
    why: "it is a program, not a model: opened, imported or loaded as a library it runs",
    fix: "take programs and libraries from your package manager, not from a model repository",
    pait: None,
    cwe: Some(829),
    atlas: Some("AML.T0011.000"),
    references: &[],
};

/// Native executables and libraries.
pub(super) static NATIVE: Rule = Rule {
    id: "WB-EXE-001",
    title: "a native program or library",
    verdict: Verdict::Malicious,
    what: "an ELF, PE or Mach-O image as a file or member of a model, llamafiles and AOTInductor packages included",
    pait: Some("PAIT-LMAFL-300"),
    ..BASE
};

/// Scripts under a model's name.
pub(super) static SCRIPT: Rule = Rule {
    id: "WB-EXE-002",
    title: "a script under another name",
    verdict: Verdict::Malicious,
    what: "text with a shebang line under a name that promises something else",
    why: "whoever runs the file runs the script; no loader reads it as a model",
    ..BASE
};

/// Compiled Python.
pub(super) static BYTECODE: Rule = Rule {
    id: "WB-EXE-003",
    title: "compiled Python",
    what: "a .pyc file or member",
    why: "Python runs it without showing its source, in place of a module of the same name",
    ..BASE
};

/// Compiled Python that does harm.
pub(super) static BYTECODE_DANGEROUS: Rule = Rule {
    id: "WB-EXE-004",
    title: "compiled Python reaches the system",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "a .pyc file or a marshalled code object that names commands, files, the network or the interpreter",
    why: "Python runs it without showing its source, in place of a module of the same name, or by exec(marshal.load(f))",
    ..BASE
};

/// The rule for an executable code. Scripts under a script's name are repository code, not disguised programs.
pub(super) fn rule(code: &str, place: &Location, name: &str) -> Option<&'static Rule> {
    match code {
        // What it does is told by its other facts.
        "shebang" if names::of_place(place, name).is_code() => None,
        "shebang" => Some(&SCRIPT),
        "python-bytecode" => Some(&BYTECODE),
        _ => Some(&NATIVE),
    }
}

/// The rule for a directive of compiled Python.
pub(super) fn directive(code: &str) -> Option<&'static Rule> {
    (code == "pyc-dangerous").then_some(&BYTECODE_DANGEROUS)
}
