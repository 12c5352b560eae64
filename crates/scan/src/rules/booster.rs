//! Models that are data: boosted trees, tables of weights, vocabularies. Their loaders run no code, but trust numbers.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Structure,
    severity: Severity::High,
    confidence: Confidence::Medium,
    verdict: Verdict::Suspicious,
    what: "",
    why: "",
    fix: "do not use the file: honest writers do not produce it. fetch it again in case the transfer damaged it, else tell its \
        publisher",
    pait: None,
    cwe: Some(125),
    atlas: Some("AML.T0010"),
    references: &[],
};

/// Indices and sizes.
pub(super) static INDEX: Rule = Rule {
    id: "WB-BST-001",
    title: "a model of trees points outside itself",
    what: "children, features or arrays of a tree that do not exist, counts that differ from what is there, sections that leave the \
        file",
    why: "native loaders that trust them read and write outside their memory",
    references: &["https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html"],
    ..BASE
};

/// Files among parameters.
pub(super) static FILES: Rule = Rule {
    id: "WB-BST-002",
    title: "the parameters of a model name files outside its folder",
    family: Family::Archive,
    severity: Severity::Medium,
    what: "parameters such as machine_list_filename, forcedsplits_filename or output_model with an absolute path or one that climbs \
        out of the folder",
    why: "a program that continues training with the parameters of the model reads or overwrites those files",
    fix: "clear the parameters before you load the model, or take the file from somebody else",
    cwe: Some(73),
    references: &["https://lightgbm.readthedocs.io/en/stable/Parameters.html"],
    ..BASE
};

/// msgpack.
pub(super) static MSGPACK: Rule = Rule {
    id: "WB-BST-003",
    title: "a msgpack checkpoint holds what its loader does not write",
    what: "extension types that are no array of the framework, arrays of objects or of another size than their shape, bytes behind \
        the document",
    why: "a reader that trusts type and shape reads outside its memory, or takes bytes for addresses of objects",
    references: &["https://github.com/google/flax/blob/main/flax/serialization.py"],
    ..BASE
};

/// The rule for a fact's code, if the fact is about such a model.
pub(super) fn rule(code: &str) -> Option<&'static Rule> {
    match code.split_once('-')?.0 {
        "msgpack" if !code.ends_with("-count") && !code.ends_with("-nesting") => Some(&MSGPACK),
        "xgboost" | "lightgbm" | "catboost" | "fasttext" | "crfsuite" | "sentencepiece" => {
            if code.ends_with("-path") {
                Some(&FILES)
            } else if code.ends_with("-count") {
                None
            } else {
                Some(&INDEX)
            }
        }
        _ => None,
    }
}
