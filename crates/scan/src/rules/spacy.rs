//! Pipelines of spaCy.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Directive,
    severity: Severity::Medium,
    confidence: Confidence::High,
    verdict: Verdict::Suspicious,
    what: "",
    why: "",
    fix: "check what the entry is for with the pipeline's author; load the pipeline only together with what it was made with",
    pait: Some("PAIT-EXDIR-101"),
    cwe: Some(470),
    atlas: Some("AML.T0011.000"),
    references: &["https://spacy.io/api/top-level#registry", "https://spacy.io/usage/training#config"],
};

/// Functions of add-ons.
pub(super) static ADDON: Rule = Rule {
    id: "WB-SPC-001",
    title: "the pipeline needs functions that spaCy does not bring",
    severity: Severity::Low,
    verdict: Verdict::Unknown,
    what: "`@kind = \"name\"` or `factory` with a name that spaCy, thinc and their official add-ons do not register",
    why: "such a function comes from an installed package or from code that you import first; what it does is not in the file",
    ..BASE
};

/// Another pipeline.
pub(super) static SOURCE: Rule = Rule {
    id: "WB-SPC-002",
    title: "loading the pipeline loads another one",
    severity: Severity::Low,
    verdict: Verdict::Unknown,
    what: "a component with `source`, a copy of the tokenizer or vocabulary of a base model: a folder, or an installed package, \
        which is imported",
    why: "the other pipeline was not judged with this one",
    ..BASE
};

/// Another pipeline, from elsewhere on the machine.
pub(super) static SOURCE_OUTSIDE: Rule = Rule {
    id: "WB-SPC-003",
    title: "loading the pipeline loads one from outside its folder",
    severity: Severity::High,
    what: "a component with `source`, a copy of a base model, with an absolute path, an address or one that climbs out",
    why: "what lies there is not part of what you pulled; somebody else may have put it there",
    cwe: Some(73),
    ..BASE
};

/// Names that are computed.
pub(super) static COMPUTED: Rule = Rule {
    id: "WB-SPC-004",
    title: "the name of a function is computed",
    severity: Severity::High,
    confidence: Confidence::Medium,
    what: "`@kind` whose name is a variable that the configuration does not give as a text",
    why: "which function is called depends on who loads it; no writer of spaCy produces this",
    ..BASE
};

/// Services of elsewhere.
pub(super) static ENDPOINT: Rule = Rule {
    id: "WB-SPC-005",
    title: "the pipeline sends texts to an address of its own",
    severity: Severity::High,
    confidence: Confidence::Medium,
    what: "`endpoint` of a language model in the configuration of a component",
    why: "spacy-llm signs in there with your key when the pipeline is loaded, and sends it what you process",
    fix: "remove the entry: the usual address of the service is the default",
    cwe: Some(918),
    ..BASE
};

/// The rule for a fact's code.
pub(super) fn rule(code: &str) -> Option<&'static Rule> {
    Some(match code {
        "spacy-addon" => &ADDON,
        "spacy-source" => &SOURCE,
        "spacy-source-outside" => &SOURCE_OUTSIDE,
        "spacy-computed-name" => &COMPUTED,
        "spacy-endpoint" => &ENDPOINT,
        _ => return None,
    })
}

/// Findings of these rules make a file an `unknown-class`.
pub(super) fn is_unknown_class(rule: &str) -> bool {
    [ADDON.id, SOURCE.id].contains(&rule)
}
