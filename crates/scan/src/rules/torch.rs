//! Programs of torch: TorchScript, mobile bytecode, exported programs, compiled packages, ExecuTorch.

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
    fix: "find out from the model's publisher what the program does this for; ask for the weights as safetensors",
    pait: Some("PAIT-PYTCH-101"),
    cwe: Some(829),
    atlas: Some("AML.T0011.000"),
    references: &["https://github.com/pytorch/pytorch/blob/main/SECURITY.md"],
};

/// Files written.
pub(super) static WRITE: Rule = Rule {
    id: "WB-TOR-001",
    title: "the program writes files",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "operators of a TorchScript, mobile or exported program that write or map files: aten::save, aten::from_file (which \
        creates and changes the file if it is shared), image::write_file and the like",
    why: "the program runs when the model is loaded (__setstate__) or called, and overwrites files of whoever runs it, or reads \
        them into tensors: no weights-only switch is between",
    fix: "do not use the model, and tell its host",
    cwe: Some(73),
    ..BASE
};

/// Files read.
pub(super) static READ: Rule = Rule {
    id: "WB-TOR-002",
    title: "the program reads files",
    what: "operators that read files by name: image::read_file, video and audio readers, vocabularies",
    why: "secrets of the machine become tensors, and leave it with the model's answers or the next operator",
    cwe: Some(22),
    ..BASE
};

/// Network.
pub(super) static NETWORK: Rule = Rule {
    id: "WB-TOR-003",
    title: "the program talks to other processes",
    what: "remote calls and collective operators (rpc, c10d)",
    why: "inputs and weights leave the process, or functions run in another one",
    cwe: Some(918),
    ..BASE
};

/// Operators and classes of no known library.
pub(super) static UNKNOWN: Rule = Rule {
    id: "WB-TOR-004",
    title: "the program needs an operator or class that is not known to be harmless",
    severity: Severity::Medium,
    what: "operators of no catalogued registry (torch.ops.NAMESPACE.NAME), native classes under torch.classes that torch itself \
        does not register, and the registry taken as a value, so that its names cannot be followed",
    why: "an application loads a native library to run such a model; what that does is not known here",
    fix: "find out which library the operator comes from and whether you trust it; ask for a model without custom operators",
    references: &["https://pytorch.org/tutorials/advanced/custom_ops_landing_page.html"],
    ..BASE
};

/// Code of other kinds.
pub(super) static NATIVE: Rule = Rule {
    id: "WB-TOR-005",
    title: "the program brings compiled code or calls python",
    what: "AOTInductor packages (shared libraries, C++ that the loader compiles, GPU kernels), Triton kernels, engines compiled for \
        other runtimes, calls of Python functions",
    why: "what runs is not the graph that can be read, and is not judged here",
    fix: "compile the package yourself from an exported program that you trust",
    cwe: Some(94),
    references: &["https://docs.pytorch.org/docs/stable/torch.compiler_aot_inductor.html"],
    ..BASE
};

/// Text that becomes code.
pub(super) static TEXT: Rule = Rule {
    id: "WB-TOR-006",
    title: "a text of an exported program runs as code",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "symbolic expressions and guards with calls, attributes or texts that no export writes, names of nodes that are no names, \
        targets that are no operators, trees that import modules",
    why: "torch.export.load hands expressions to sympy, which evaluates them, writes names and guards into a function that it \
        compiles, and imports what trees name: the text runs while the program is loaded",
    fix: "do not load the file, and tell its host",
    cwe: Some(95),
    references: &["https://docs.pytorch.org/docs/stable/export.html"],
    ..BASE
};

/// Text that no export writes.
pub(super) static ODD: Rule = Rule {
    id: "WB-TOR-007",
    title: "a text of an exported program is none that an export writes",
    severity: Severity::Medium,
    what: "names, functions and classes in expressions, guards and trees that are not known to be harmless",
    why: "torch.export.load evaluates expressions, compiles guards and resolves names; what these stand for depends on the process",
    fix: "export the program again, or ask its publisher what wrote it",
    cwe: Some(95),
    references: &["https://docs.pytorch.org/docs/stable/export.html"],
    ..BASE
};

/// Delegates.
pub(super) static DELEGATE: Rule = Rule {
    id: "WB-TOR-008",
    title: "the program needs a backend that is not known",
    severity: Severity::Medium,
    what: "delegates of an ExecuTorch program whose backend is none of ExecuTorch's own",
    why: "an application links a native library to run such a part, and hands it bytes of the model; what it does with them is not \
        known here",
    fix: "find out which library the backend comes from and whether you trust it; ask for a program without it",
    references: &["https://docs.pytorch.org/executorch/stable/compiler-delegate-and-partitioner.html"],
    ..BASE
};

/// Offsets, sizes and indices.
pub(super) static STRUCTURE: Rule = Rule {
    id: "WB-TOR-009",
    title: "an ExecuTorch program points outside itself",
    family: Family::Structure,
    what: "indices of values, operators, delegates or segments that do not exist, tensors larger than the memory or buffer they lie \
        in, offsets that leave the file, tables that cannot be followed",
    why: "runtimes that trust them read and write outside their memory",
    fix: "do not use the file: no exporter produces it. fetch it again in case the transfer damaged it",
    pait: None,
    cwe: Some(125),
    references: &[
        "https://www.cve.org/CVERecord?id=CVE-2025-30404",
        "https://github.com/pytorch/executorch/blob/main/schema/program.fbs",
    ],
    ..BASE
};

/// The rule for a fact's code, if the fact is about a program of torch.
pub(super) fn rule(code: &str) -> Option<&'static Rule> {
    if let Some(code) = code.strip_prefix("executorch-") {
        return Some(match code {
            "delegate" => &DELEGATE,
            "native" => &NATIVE,
            _ => &STRUCTURE,
        });
    }
    Some(match code.strip_prefix("torch-")? {
        "file-write" => &WRITE,
        "file-read" => &READ,
        "network" => &NETWORK,
        "native" | "python" | "compiled" => &NATIVE,
        "unknown" | "class" => &UNKNOWN,
        "text-code" => &TEXT,
        "text-odd" => &ODD,
        _ => return None,
    })
}
