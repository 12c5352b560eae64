//! Metadata and text that name code to run or fetch.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Directive,
    severity: Severity::High,
    confidence: Confidence::Medium,
    verdict: Verdict::Suspicious,
    what: "",
    why: "the library that reads this file imports and calls what it names",
    fix: "check what the name leads to before you load the model; use a loader that does not follow it",
    pait: Some("PAIT-EXDIR-101"),
    cwe: Some(470),
    atlas: Some("AML.T0011.000"),
    references: &[],
};

/// Any directive without a narrower rule.
pub(super) static GENERIC: Rule = Rule {
    id: "WB-DIR-001",
    title: "metadata names code to run or fetch",
    what: "a key or text that some loader follows to code, a command or a remote file",
    ..BASE
};

/// Hydra targets.
pub(super) static TARGET: Rule = Rule {
    id: "WB-DIR-002",
    title: "metadata names a callable to instantiate",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "a `_target_` or similar key that names a dangerous callable",
    references: &["https://unit42.paloaltonetworks.com/"],
    ..BASE
};

/// Shell commands.
pub(super) static SHELL: Rule = Rule {
    id: "WB-DIR-003",
    title: "metadata holds a command or script",
    what: "text that reads as a shell command or source code, where a model needs none",
    cwe: Some(78),
    ..BASE
};

/// Remote code flags.
pub(super) static REMOTE_CODE: Rule = Rule {
    id: "WB-DIR-004",
    title: "the model names Python code that comes with it",
    severity: Severity::Medium,
    what: "trust_remote_code set by a model's own configuration, handlers and modules in a model archive",
    why: "loading imports that code, and the user who should trust it first is not asked",
    fix: "review the named code at this commit, or use a model that the library supports without it",
    references: &["https://huggingface.co/docs/transformers/custom_models"],
    ..BASE
};

/// XML that reads files or expands without end.
pub(super) static ENTITY: Rule = Rule {
    id: "WB-DIR-005",
    title: "an xml document reads files or fetches through entities",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "external or endlessly growing entity declarations in XML, external document types and XInclude",
    why: "a parser that resolves them reads local files, calls addresses inside your network, or runs out of memory",
    fix: "do not open the file with a parser that resolves entities; no model format needs them",
    cwe: Some(611),
    references: &["https://owasp.org/www-community/vulnerabilities/XML_External_Entity_(XXE)_Processing"],
    ..BASE
};

/// Code beside the configuration, imported with a trust flag.
pub(super) static OWN_CODE: Rule = Rule {
    id: "WB-DIR-007",
    title: "the configuration names code of its own repository",
    severity: Severity::Low,
    confidence: Confidence::High,
    verdict: Verdict::Unknown,
    what: "auto_map and custom_pipelines entries `module.Class`, parts of a pipeline that are a file of the repository",
    why: "with trust_remote_code the library imports that file; it is judged under its own name, and what it does decides",
    fix: "read the named file at this commit before you pass a trust flag, or use a model that the library supports without",
    pait: Some("PAIT-EXDIR-100"),
    references: &["https://huggingface.co/docs/transformers/custom_models"],
    ..BASE
};

/// Code beside the configuration, or an installed package of that name.
pub(super) static OWN_OR_INSTALLED: Rule = Rule {
    id: "WB-DIR-008",
    title: "the configuration names a module that is imported without a trust flag",
    severity: Severity::Medium,
    verdict: Verdict::Suspicious,
    what: "a class in modules.json that is not of sentence-transformers, a library in model_index.json that is not one of \
        diffusers's; it counts as code of the repository if the module lies beside it",
    why: "sentence-transformers before 6.0 imported such a class although trust_remote_code was not given, and diffusers \
        imports an installed package of that name",
    fix: "check that the module is part of this repository and read it, or update sentence-transformers",
    references: &["https://www.cve.org/CVERecord?id=CVE-2026-68770", "https://huggingface.co/docs/diffusers"],
    ..BASE
};

/// Code of another repository.
pub(super) static ELSEWHERE: Rule = Rule {
    id: "WB-DIR-009",
    title: "the configuration takes code from another repository",
    what: "`org/name--module.Class` in auto_map or custom_pipelines, kernels and generation code named by repository",
    why: "who may change that repository decides what runs here; pinning this model's commit does not pin it",
    fix: "have that repository judged too, and use a copy of the code at a fixed commit",
    pait: Some("PAIT-EXDIR-100"),
    cwe: Some(829),
    references: &["https://huggingface.co/docs/transformers/custom_models"],
    ..BASE
};

/// Names that are no names.
pub(super) static ODD_NAME: Rule = Rule {
    id: "WB-DIR-010",
    title: "the configuration names code in a way that no library writes",
    what: "paths, addresses, calls and other text where `module.Class` is expected",
    why: "loaders build file names and imports from it; what it leads to differs between their versions",
    fix: "do not use the configuration, and ask its author what the entry is for",
    cwe: Some(22),
    ..BASE
};

/// Classes of frameworks.
pub(super) static KNOWN_TARGET: Rule = Rule {
    id: "WB-DIR-011",
    title: "the configuration makes objects of a framework's classes",
    severity: Severity::Low,
    confidence: Confidence::High,
    verdict: Verdict::Unknown,
    what: "a `_target_` that is a class of NVIDIA NeMo, Lightning and the like, of exactly the names listed; a class path \
        that only a program of its own kind imports",
    why: "the class runs its constructor with the values given here; nobody has read all of them",
    fix: "load the model with the framework it was made for, in a version without known defects",
    references: &["https://hydra.cc/docs/advanced/instantiate_objects/overview/"],
    ..BASE
};

/// A flag where nobody reads it back.
pub(super) static TRUST_FLAG: Rule = Rule {
    id: "WB-DIR-012",
    title: "settings that trust code of models",
    severity: Severity::Low,
    verdict: Verdict::Unknown,
    what: "trust_remote_code in settings of training or evaluation, adapters of a model that needed it",
    why: "who repeats the training or evaluation with these settings runs code that comes with some model",
    fix: "remove the flag where the model does not need it",
    pait: Some("PAIT-EXDIR-100"),
    ..BASE
};

/// Values from the environment.
pub(super) static ENVIRONMENT: Rule = Rule {
    id: "WB-DIR-014",
    title: "the configuration takes a value from the environment",
    severity: Severity::Info,
    verdict: Verdict::Unknown,
    what: "`${oc.env:NAME}` of a variable that is no credential by its name",
    why: "what the model is built from depends on the machine that loads it; it matters only together with a call",
    fix: "check what the value is used for",
    pait: None,
    cwe: Some(15),
    references: &["https://omegaconf.readthedocs.io/en/2.3_branch/custom_resolvers.html"],
    ..BASE
};

/// Indexes of shards.
pub(super) static SHARD: Rule = Rule {
    id: "WB-DIR-013",
    title: "an index names something that is no file beside it",
    severity: Severity::Medium,
    what: "values of weight_map that are addresses, empty, overlong or no text",
    why: "loaders join them to the model's folder and open what comes out",
    fix: "ask for the file as its framework writes it",
    pait: None,
    cwe: Some(73),
    references: &["https://huggingface.co/docs/transformers/big_models"],
    ..BASE
};

/// The rule for a name of code in the same repository.
pub(super) fn names(code: &str) -> &'static Rule {
    if or_installed(code) { &OWN_OR_INSTALLED } else { &OWN_CODE }
}

/// True for names that are looked for among installed packages if no file has them.
pub(super) fn or_installed(code: &str) -> bool {
    !matches!(code, "auto-map" | "custom-pipeline")
}

/// Findings of these rules make a file `opt-in-code`.
pub(super) fn is_opt_in(rule: &str) -> bool {
    [OWN_CODE.id, TRUST_FLAG.id, ENVIRONMENT.id].contains(&rule)
}

/// The rule for a directive code.
pub(super) fn rule(code: &str) -> &'static Rule {
    if let Some(rule) = super::keras::rule(code) {
        return rule;
    }
    match code {
        "hydra-target-dangerous" => &TARGET,
        "shell-command" | "python-code" | "script-tag" | "script-text" | "svg-script"
        | "notebook-command" => &SHELL,
        "hydra-target-known" => &KNOWN_TARGET,
        "code-elsewhere" => &ELSEWHERE,
        "code-name-odd" => &ODD_NAME,
        "trust-flag" => &TRUST_FLAG,
        "config-environment" => &ENVIRONMENT,
        "index-shard-odd" => &SHARD,
        "remote-code" | "torch-package-source" | "torchserve-handler" | "torchserve-requirements" => {
            &REMOTE_CODE
        }
        "hdf5-external" => &super::hdf5::EXTERNAL,
        "hdf5-external-outside" => &super::hdf5::EXTERNAL_OUTSIDE,
        "xml-external-entity" | "xml-entity" | "xml-include" => &ENTITY,
        _ => &GENERIC,
    }
}
