//! Code and instructions shipped with a model: Python, notebooks, requirements, environments, scripts.

use super::names::{self, Role};
use wb_verdict::{Confidence, Family, Location, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::RepositoryCode,
    severity: Severity::High,
    confidence: Confidence::High,
    verdict: Verdict::Suspicious,
    what: "",
    why: "",
    fix: "read the code at this commit before anyone passes trust_remote_code or imports it; better, use the model through the \
        library's own classes",
    pait: Some("PAIT-EXDIR-100"),
    cwe: Some(506),
    atlas: Some("AML.T0011.000"),
    references: &["https://huggingface.co/docs/transformers/custom_models"],
};

/// Definitions and tensor work.
pub(super) static OPT_IN: Rule = Rule {
    id: "WB-REP-001",
    title: "code that comes with the model",
    severity: Severity::Low,
    verdict: Verdict::Unknown,
    what: "Python source, a notebook or a script in which effect analysis finds nothing that runs programs or computed code, \
        talks to the network, reads credentials or hides what it does when it is imported or loaded",
    why: "it runs only when somebody passes a trust flag, imports it or starts it; effects in code that nothing calls are \
        told as notes",
    cwe: Some(829),
    ..BASE
};

/// Chains that are an attack by themselves.
pub(super) static ATTACK: Rule = Rule {
    id: "WB-REP-002",
    title: "source code that is an attack",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "decoded or fetched data run as code or command, names of dangerous functions put together from pieces, a shell \
        connected to the network, credentials sent out, files changed that run at the next login",
    why: "no model needs it; whoever imports or runs the file is compromised",
    fix: "do not use the repository, and tell its host",
    ..BASE
};

/// Names reached by text.
pub(super) static HIDDEN: Rule = Rule {
    id: "WB-REP-003",
    title: "source code hides what it calls",
    what: "a function that runs programs or code, reached through getattr, __import__, a dictionary or a frame instead of by \
        its name",
    why: "honest code calls such functions by their names; this one keeps them from readers and simple scanners",
    ..BASE
};

/// Processes.
pub(super) static PROCESS: Rule = Rule {
    id: "WB-REP-004",
    title: "importing or loading the code starts a program",
    what: "os.system, subprocess and the like, at import or in methods that loaders call",
    why: "a program runs with the rights of whoever loads the model",
    cwe: Some(78),
    ..BASE
};

/// Computed code.
pub(super) static COMPUTED: Rule = Rule {
    id: "WB-REP-005",
    title: "importing or loading the code runs computed code",
    what: "exec, eval or a deserialiser over data that is not written in the source, at import or in methods that loaders call",
    why: "what runs cannot be read in the source: configuration, files or the network decide it",
    cwe: Some(95),
    ..BASE
};

/// Network.
pub(super) static NETWORK: Rule = Rule {
    id: "WB-REP-006",
    title: "importing or loading the code talks to the network",
    severity: Severity::Medium,
    what: "connections and requests at import, data sent in methods that loaders call",
    why: "it tells somebody that the model is used and where, or brings in what nobody judged",
    cwe: Some(829),
    ..BASE
};

/// Credentials.
pub(super) static CREDENTIAL: Rule = Rule {
    id: "WB-REP-007",
    title: "source code reads credentials",
    what: "files where keys and tokens lie: ~/.ssh, ~/.aws, .netrc, token files, browser profiles",
    why: "a model has no use for them",
    cwe: Some(522),
    ..BASE
};

/// Native code.
pub(super) static NATIVE: Rule = Rule {
    id: "WB-REP-008",
    title: "importing or loading the code loads native code",
    severity: Severity::Medium,
    what: "libraries loaded or compiled at import or in methods that loaders call: ctypes, load_library, cpp_extension",
    why: "native code is not judged here and can do anything",
    cwe: Some(114),
    ..BASE
};

/// Files.
pub(super) static FILES: Rule = Rule {
    id: "WB-REP-009",
    title: "importing the code changes files",
    severity: Severity::Medium,
    what: "files written at import, files at absolute paths removed or changed at import or in methods that loaders call",
    why: "importing a model's code should leave the machine as it is",
    cwe: Some(73),
    ..BASE
};

/// Effects where nothing calls them.
pub(super) static NOTE: Rule = Rule {
    id: "WB-REP-010",
    title: "a note on what the code can do",
    severity: Severity::Info,
    verdict: Verdict::Unknown,
    what: "the same effects in functions that nothing in the file calls, or such as honest code often has when it is used",
    why: "it matters to whoever reviews the code before trusting it",
    cwe: Some(829),
    ..BASE
};

/// Packages from elsewhere.
pub(super) static REQUIREMENT: Rule = Rule {
    id: "WB-REP-020",
    title: "requirements from an unusual place",
    what: "package indexes, direct addresses and repositories other than the usual public ones, or over unencrypted http",
    why: "installing a package runs its code; who answers at that address decides what is installed",
    fix: "install from your own index or the public one, with pinned versions",
    pait: None,
    cwe: Some(829),
    references: &["https://pip.pypa.io/en/stable/reference/requirements-file-format/"],
    ..BASE
};

/// Packages by address at usual hosts, and local ones.
pub(super) static REQUIREMENT_DIRECT: Rule = Rule {
    id: "WB-REP-021",
    title: "requirements by address or path",
    severity: Severity::Low,
    verdict: Verdict::Unknown,
    what: "packages named by a repository at a well-known host, by a path, or as editable",
    why: "what is installed is whatever lies there at that moment; it was not judged here",
    fix: "pin a release from an index, or a full commit",
    ..REQUIREMENT
};

/// MLmodel.
pub(super) static LOADER_MODULE: Rule = Rule {
    id: "WB-DIR-006",
    title: "the model names a module to import",
    family: Family::Directive,
    what: "loader_module or keras_module of an MLmodel file that is no part of mlflow or keras",
    why: "mlflow imports the module and calls it when the model is loaded, without a trust flag; code beside the model is put on \
        the path before",
    fix: "review that module at this commit, or use a flavour that mlflow itself loads",
    pait: Some("PAIT-EXDIR-101"),
    cwe: Some(470),
    references: &["https://mlflow.org/docs/latest/ml/model/"],
    ..BASE
};

/// Findings of these rules make a file `opt-in-code`.
pub(super) fn is_opt_in(rule: &str) -> bool {
    [OPT_IN.id, NOTE.id, REQUIREMENT_DIRECT.id].contains(&rule)
}

/// The rule for what source does, under the name it is asked for by.
pub(super) fn rule(code: &str, when: &str, place: &Location, name: &str) -> Option<&'static Rule> {
    match names::of_place(place, name) {
        Role::Python if when == "call" && names::is_entrance(place, name) => python(code, "load"),
        Role::Python => python(code, when),
        Role::Notebook => (code == "notebook").then_some(&OPT_IN),
        Role::Requirements | Role::Environment => match code {
            "requirement-elsewhere" => Some(&REQUIREMENT),
            "requirement-direct" => Some(&REQUIREMENT_DIRECT),
            _ => None,
        },
        Role::MlModel => match code {
            "loader-module" => Some(&LOADER_MODULE),
            "model-code" => Some(&NOTE),
            _ => None,
        },
        Role::Script => match code {
            "script-attack" => Some(&ATTACK),
            _ => None,
        },
        Role::Instruction | Role::Document | Role::Yaml => None,
    }
}

fn python(code: &str, when: &str) -> Option<&'static Rule> {
    let (import, used) = (when == "import", when != "call");
    Some(match code {
        "attack-command" | "decoded-code" | "fetched-code" | "decoded-command" | "fetched-command"
        | "disguised-call" | "reverse-shell" | "credential-send" | "startup-write" | "download-and-run" => {
            &ATTACK
        }
        "piped-command" if used => &ATTACK,
        "hidden-call" => &HIDDEN,
        "credential-read" => &CREDENTIAL,
        "process" | "process-download" if used => &PROCESS,
        "computed-code" | "file-code" | "deserialise-coded" if used => &COMPUTED,
        "deserialise" if import => &COMPUTED,
        "network-send" if used => &NETWORK,
        "network-fetch" if import => &NETWORK,
        "native-code" if used => &NATIVE,
        "file-write" if import => &FILES,
        "file-change" if used => &FILES,
        "unread" => &super::unsupported::SOURCE,
        code if code.starts_with("requirement-") || code.starts_with("script-") => return None,
        "loader-module" | "model-code" | "notebook" | "defines" | "imports" => return None,
        _ => &NOTE,
    })
}

/// The rule for a plausible reading of a text: only a name that makes it code gives a finding.
pub(super) fn reading(code: &str, place: &Location, name: &str) -> Option<&'static Rule> {
    match (names::of_place(place, name), code) {
        (_, "pickle") => (!names::is_text(place, name)).then_some(&super::pickle::UNKNOWN_CLASS),
        (Role::Python, "python") => Some(&OPT_IN),
        (Role::Python, "not-python") => Some(&super::unsupported::SOURCE),
        (Role::Script, "text") => Some(&OPT_IN),
        (Role::Instruction, "text") => Some(&super::unsupported::SOURCE),
        (Role::Yaml | Role::MlModel, "yaml-unread") => Some(&super::unsupported::SOURCE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(code: &str, when: &str, name: &str) -> Option<&'static str> {
        rule(code, when, &Location::default(), name).map(|r| r.id)
    }

    #[test]
    fn the_moment_decides_and_so_does_the_name() {
        assert_eq!(id("process", "import", "handler.py"), Some("WB-REP-004"));
        assert_eq!(id("process", "call", "handler.py"), Some("WB-REP-010"));
        assert_eq!(id("process", "call", "hubconf.py"), Some("WB-REP-004"));
        assert_eq!(id("process", "import", "notes.txt"), None);
        assert_eq!(id("decoded-code", "call", "setup.py"), Some("WB-REP-002"));
        assert_eq!(id("requirement-elsewhere", "", "requirements.txt"), Some("WB-REP-020"));
        assert_eq!(id("requirement-elsewhere", "", "README.md"), None);
        assert_eq!(id("script-attack", "", "install.sh"), Some("WB-REP-002"));
        assert_eq!(id("loader-module", "", "model/MLmodel"), Some("WB-DIR-006"));
    }

    #[test]
    fn readings_under_names() {
        let id = |code, name| reading(code, &Location::default(), name).map(|r| r.id);
        assert_eq!(id("python", "a/modeling_x.py"), Some("WB-REP-001"));
        assert_eq!(id("not-python", "a/modeling_x.py"), Some("WB-UNS-003"));
        assert_eq!((id("text", "a/__init__.py"), id("python", "notes.txt")), (None, None));
        assert_eq!((id("text", "run.sh"), id("text", "run.bat")), (Some("WB-REP-001"), Some("WB-UNS-003")));
        assert_eq!(id("text", "requirements.txt"), None);
    }
}
