//! Calls made by loading a pickle.

use super::runs;
use wb_verdict::{CallClass, Confidence, Effect, Family, How, Rule, Severity, Verdict};

const DOCS: &str = "https://docs.python.org/3/library/pickle.html";
const HIDE_AND_SEEK: &str = "https://arxiv.org/abs/2508.19774";

const REFUSE: &str = "do not load this file. ask whoever published it for safetensors weights, and report the \
    repository if it is public. nothing in a model needs this call";

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::PickleCall,
    severity: Severity::Critical,
    confidence: Confidence::High,
    verdict: Verdict::Malicious,
    what: "",
    why: "",
    fix: REFUSE,
    pait: Some("PAIT-PKL-100"),
    cwe: Some(502),
    atlas: Some("AML.T0011.000"),
    references: &[DOCS],
};

/// Effect [`Effect::Code`].
pub(super) static CODE: Rule = Rule {
    id: "WB-PKL-001",
    title: "loading runs code given as source, code object or module",
    what: "a pickle that calls eval, exec, compile, runpy, timeit or another callable that runs code it is given",
    why: "the code runs with the rights of whoever loads the model, before a single weight is read",
    cwe: Some(94),
    ..BASE
};

/// Effect [`Effect::Process`].
pub(super) static PROCESS: Rule = Rule {
    id: "WB-PKL-002",
    title: "loading starts a process",
    what: "a pickle that calls os, subprocess, pty or another callable that starts or controls processes",
    why: "a shell command of the author's choice runs on the machine that loads the model",
    cwe: Some(78),
    ..BASE
};

/// Effect [`Effect::Native`].
pub(super) static NATIVE: Rule = Rule {
    id: "WB-PKL-003",
    title: "loading runs native code",
    what: "a pickle that loads a shared library or reaches raw memory (ctypes, cffi, load_op_library ...)",
    why: "native code is outside every check that Python makes",
    cwe: Some(114),
    ..BASE
};

/// Effect [`Effect::Import`].
pub(super) static IMPORT: Rule = Rule {
    id: "WB-PKL-004",
    title: "loading imports modules by name",
    what: "a pickle that calls importlib, pkgutil.resolve_name, pydoc.locate or another resolver of names",
    why: "importing runs the module, and a resolver hands out anything that is installed",
    cwe: Some(470),
    ..BASE
};

/// Effect [`Effect::Reach`].
pub(super) static REACH: Rule = Rule {
    id: "WB-PKL-005",
    title: "loading reaches attributes or methods by name",
    what: "a pickle that calls getattr, operator.methodcaller, attrgetter or walks into dunder attributes",
    why: "from any object such a walk leads to the interpreter's internals, and so to any function",
    cwe: Some(470),
    ..BASE
};

/// Effect [`Effect::File`].
pub(super) static FILE: Rule = Rule {
    id: "WB-PKL-006",
    title: "loading opens, writes or removes files",
    what: "a pickle that calls open, shutil, tempfile, logging.FileHandler or the like",
    why: "a file written to the right place is code that runs later; a file read is data that leaves",
    cwe: Some(73),
    ..BASE
};

/// Effect [`Effect::Network`].
pub(super) static NETWORK: Rule = Rule {
    id: "WB-PKL-007",
    title: "loading talks to the network",
    what: "a pickle that opens a socket or fetches a URL",
    why: "it fetches further code, reaches services inside your network, or tells the author who loaded the model",
    cwe: Some(918),
    ..BASE
};

/// Effect [`Effect::Deserialise`].
pub(super) static DESERIALISE: Rule = Rule {
    id: "WB-PKL-008",
    title: "loading deserialises further data",
    what: "a pickle that calls pickle.loads, torch.load, marshal, dill or another deserialiser that can run code",
    why: "the payload sits in the inner data, where scanners that read only the outer stream do not look",
    ..BASE
};

/// Effect [`Effect::State`].
pub(super) static STATE: Rule = Rule {
    id: "WB-PKL-009",
    title: "loading changes or stops the process",
    what: "a pickle that calls sys.exit, installs a trace function, a signal handler or the like",
    why: "it stops the service that loads the model, or plants something that runs later",
    cwe: Some(749),
    ..BASE
};

/// Effect [`Effect::Other`].
pub(super) static OTHER: Rule = Rule {
    id: "WB-PKL-010",
    title: "loading calls something listed as dangerous",
    what: "a pickle that calls a name which public advisories list without a narrower effect",
    why: "it has been used to attack model loaders before",
    ..BASE
};

/// A dangerous callable imported and kept.
pub(super) static HELD: Rule = Rule {
    id: "WB-PKL-011",
    title: "the pickle holds a dangerous callable",
    what: "a pickle that imports a callable which runs code, starts processes, or touches files or the network, and \
        keeps it in its data without calling it",
    why: "kept as a callback or planted as an attribute it is called as soon as the model is used",
    confidence: Confidence::Medium,
    severity: Severity::High,
    references: &[DOCS, HIDE_AND_SEEK],
    ..BASE
};

/// A callable of weaker effect imported and kept.
pub(super) static HELD_REACH: Rule = Rule {
    id: "WB-PKL-012",
    title: "the pickle holds a callable that reaches by name",
    verdict: Verdict::Suspicious,
    severity: Severity::Medium,
    confidence: Confidence::Low,
    what: "a pickle that imports getattr, a method caller or an interpreter switch and keeps it without calling it",
    why: "traced graphs keep such names honestly; attacks keep them as the first link of a chain",
    fix: "load it only if you know why the model keeps this name; an exception for the digest admits exactly this file",
    pait: None,
    cwe: Some(470),
    ..BASE
};

/// A call of a name that nobody catalogued.
pub(super) static UNCATALOGUED: Rule = Rule {
    id: "WB-PKL-020",
    title: "loading calls a function of an uncatalogued package",
    verdict: Verdict::Suspicious,
    severity: Severity::High,
    confidence: Confidence::Medium,
    what: "a pickle that calls (REDUCE, INST, OBJ) a callable of a package that the catalogue does not cover",
    why: "calling runs the function, whatever it does, if the package is installed where the model is loaded",
    fix: "find out what the function does. if it is your own, list it in the policy's [catalogue]; else ask for \
        safetensors, or admit the digest with an exception",
    pait: Some("PAIT-PYTCH-101"),
    ..BASE
};

/// A name of a catalogued distribution without a harmless entry for the use.
pub(super) static KNOWN_UNCATALOGUED: Rule = Rule {
    id: "WB-PKL-021",
    title: "loading uses a library name in a way not known to be harmless",
    verdict: Verdict::Suspicious,
    severity: Severity::High,
    confidence: Confidence::Medium,
    what: "a pickle that uses a name of the standard library, numpy or torch for which the catalogue has no harmless \
        entry with this use and these arguments",
    why: "most published bypasses use ordinary library functions in unforeseen ways",
    fix: "if the use is ordinary, report it so that the catalogue can learn it; meanwhile admit the digest with an \
        exception, or ask for safetensors",
    pait: Some("PAIT-PYTCH-101"),
    references: &[DOCS, HIDE_AND_SEEK],
    ..BASE
};

/// A class of no catalogued distribution rebuilt as data.
pub(super) static UNKNOWN_CLASS: Rule = Rule {
    id: "WB-PKL-022",
    title: "the pickle rebuilds a class that the catalogue does not know",
    verdict: Verdict::Unknown,
    severity: Severity::Low,
    confidence: Confidence::Medium,
    what: "a class of a package outside the catalogue, rebuilt with plain data and at most one plain state",
    why: "no function is called, but the class's own __new__ or __setstate__ runs if the package is installed",
    fix: "nothing if you trust the package; name it in the policy's trusted_packages to silence this",
    pait: None,
    ..BASE
};

/// What is called cannot be worked out.
pub(super) static UNRESOLVED: Rule = Rule {
    id: "WB-PKL-023",
    title: "loading calls something that cannot be worked out",
    verdict: Verdict::Suspicious,
    severity: Severity::High,
    confidence: Confidence::Medium,
    what: "a call whose callee is a computed value, or a name that the stream changed before",
    why: "honest pickles call imported names; computed callees are how names are hidden from scanners",
    fix: "do not load it unless its author explains the call; ask for safetensors",
    ..BASE
};

/// BUILD, APPEND, SETITEM, ADDITEMS on something foreign.
pub(super) static MODIFIES: Rule = Rule {
    id: "WB-PKL-024",
    title: "loading modifies a module, function, class or unknown object",
    verdict: Verdict::Suspicious,
    severity: Severity::High,
    confidence: Confidence::High,
    what: "BUILD, SETITEM, APPEND or ADDITEMS on something that is neither a plain container nor a catalogued instance",
    why: "such writes change what harmless names mean, plant __setstate__, or call methods without a call opcode",
    fix: "do not load it unless its author explains the write; ask for safetensors",
    cwe: Some(915),
    references: &[DOCS, "https://github.com/protectai/modelscan/issues/85"],
    ..BASE
};

/// EXT1, EXT2, EXT4.
pub(super) static EXTENSION: Rule = Rule {
    id: "WB-PKL-025",
    title: "the pickle uses an extension code",
    verdict: Verdict::Suspicious,
    severity: Severity::High,
    confidence: Confidence::Medium,
    what: "EXT1, EXT2 or EXT4: an object fetched by a number from the loader's copyreg registry",
    why: "what the number means is decided where the model is loaded, or by the stream itself, not by the file",
    fix: "do not load it; no published model format uses extension codes",
    references: &[DOCS, "https://peps.python.org/pep-0307/"],
    ..BASE
};

/// PERSID, BINPERSID outside the known schemes.
pub(super) static PERSISTENT: Rule = Rule {
    id: "WB-PKL-026",
    title: "the pickle hands an unusual id to its loader",
    verdict: Verdict::Suspicious,
    severity: Severity::Medium,
    confidence: Confidence::Medium,
    what: "a persistent id that is not a tensor storage of the file it is in",
    why: "the loader's persistent_load decides what it does; torch checkpoints use it for storages only",
    fix: "find out which application loads this file and what it does with such ids",
    pait: None,
    ..BASE
};

/// A class of no catalogued distribution made from more than plain data.
pub(super) static UNKNOWN_CLASS_ARGS: Rule = Rule {
    id: "WB-PKL-027",
    title: "the pickle makes an unknown class from more than plain data",
    verdict: Verdict::Suspicious,
    severity: Severity::Medium,
    confidence: Confidence::Medium,
    what: "a class of a package outside the catalogue whose __new__ or state takes imported or computed values",
    why: "what its constructor or state does with them is not known; a planted attribute can be called",
    fix: "if the package is your own, name it in the policy's trusted_packages; else ask for safetensors, or admit the \
        digest with an exception",
    pait: Some("PAIT-PYTCH-101"),
    ..BASE
};

/// A key or set member with methods of its own.
pub(super) static HASHED: Rule = Rule {
    id: "WB-PKL-028",
    title: "loading hashes or compares an object with methods of its own",
    verdict: Verdict::Suspicious,
    severity: Severity::Medium,
    confidence: Confidence::Medium,
    what: "an instance used as a dict key or set member whose class is not known to hash and compare harmlessly",
    why: "putting it there calls its __hash__ and __eq__, on attributes that the stream has set, without a call opcode",
    fix: "if the class is ordinary, report it so that the catalogue can learn it; if the package is your own, name it \
        in the policy's trusted_packages; else ask for safetensors, or admit the digest with an exception",
    pait: None,
    ..BASE
};

/// Functions of the standard library that rebuild the class they are given.
const REBUILDERS: [&str; 3] = ["copyreg._reconstructor", "copyreg.__newobj__", "copyreg.__newobj_ex__"];

/// The rule for one classified use.
pub(super) fn rule(how: How, class: &CallClass, callable: &str, plain_args: bool) -> Option<&'static Rule> {
    Some(match class {
        CallClass::Harmless => return None,
        CallClass::CarriesCode => &super::code::CARRIED,
        CallClass::Dangerous { effect } if !runs(how) => match effect {
            Effect::Reach | Effect::State | Effect::Other => &HELD_REACH,
            _ => &HELD,
        },
        CallClass::Dangerous { effect } => by_effect(*effect),
        _ if how == How::Ext => &EXTENSION,
        _ if how == How::Persid => &PERSISTENT,
        _ if how == How::Hash => &HASHED,
        CallClass::Unknown => match how {
            How::Data => &UNKNOWN_CLASS,
            How::Newobj | How::NewobjEx | How::Build if plain_args => &UNKNOWN_CLASS,
            How::Newobj | How::NewobjEx => &UNKNOWN_CLASS_ARGS,
            // Protocols 0 and 1 write the same rebuilding as a call; the catalogue answers `Unknown` for it only
            // after it has looked at the class, the base and the state.
            // Exactly these: a function that somebody else calls so is a call like any other.
            How::Reduce if REBUILDERS.contains(&callable) => &UNKNOWN_CLASS,
            How::Build | How::Append | How::SetItem | How::AddItems => &MODIFIES,
            _ => &UNCATALOGUED,
        },
        CallClass::KnownUncatalogued => &KNOWN_UNCATALOGUED,
        CallClass::Unresolved => match how {
            How::Build | How::Append | How::SetItem | How::AddItems => &MODIFIES,
            _ => &UNRESOLVED,
        },
    })
}

fn by_effect(effect: Effect) -> &'static Rule {
    match effect {
        Effect::Code => &CODE,
        Effect::Process => &PROCESS,
        Effect::Native => &NATIVE,
        Effect::Import => &IMPORT,
        Effect::Reach => &REACH,
        Effect::File => &FILE,
        Effect::Network => &NETWORK,
        Effect::Deserialise => &DESERIALISE,
        Effect::State => &STATE,
        Effect::Other => &OTHER,
    }
}
