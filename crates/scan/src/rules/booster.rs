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
    what: "children, features or arrays of a tree that do not exist, nodes above themselves, tables whose searches do not end, counts \
        that differ from what is there, sections that leave the file",
    why: "native loaders that trust them read and write outside their memory, or never end",
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

/// Models as Java source.
pub(super) static JAVA: Rule = Rule {
    id: "WB-JAV-001",
    title: "a model as Java source",
    family: Family::RepositoryCode,
    severity: Severity::Low,
    confidence: Confidence::High,
    verdict: Verdict::Unknown,
    what: "a class that extends H2O's GenModel (POJO); nothing in it reaches beyond arithmetic",
    why: "it runs with all rights of the program that compiles and loads it",
    fix: "read it before you compile it, or ask for the model as MOJO, which is data",
    pait: None,
    cwe: Some(829),
    references: &["https://docs.h2o.ai/h2o/latest-stable/h2o-docs/pojo-quickstart.html"],
    ..BASE
};

/// Java source that does more.
pub(super) static JAVA_EFFECT: Rule = Rule {
    id: "WB-JAV-002",
    title: "a model as Java source does more than compute",
    family: Family::RepositoryCode,
    what: "a class that extends H2O's GenModel and names what starts programs, loads code or native libraries, opens files or \
        connections, or reads the environment",
    why: "H2O's generator writes arithmetic only; the rest was put in by somebody, and runs when the model is loaded or scores",
    fix: "do not compile it; ask its publisher, or for the model as MOJO",
    cwe: Some(506),
    atlas: Some("AML.T0011.000"),
    references: &["https://docs.h2o.ai/h2o/latest-stable/h2o-docs/pojo-quickstart.html"],
    ..BASE
};

/// Parts of a tokenizer.
pub(super) static PART: Rule = Rule {
    id: "WB-TOK-001",
    title: "a tokenizer with a part that this version does not know",
    severity: Severity::Low,
    verdict: Verdict::Unknown,
    what: "a `type` of model, normalizer, pre-tokenizer, post-processor or decoder that tokenizers 0.22 does not have",
    why: "today's readers refuse it; what a newer one does with it was not looked at",
    fix: "update this program, or ask for a tokenizer that tokenizers 0.22 reads",
    cwe: Some(829),
    references: &["https://huggingface.co/docs/tokenizers/components"],
    ..BASE
};

/// Expressions without end.
pub(super) static EXPRESSION: Rule = Rule {
    id: "WB-TOK-002",
    title: "an expression of a tokenizer takes time without end",
    family: Family::Resource,
    severity: Severity::Medium,
    what: "a regular expression that repeats a repetition, or equal alternatives, with nothing between",
    why: "the engine goes back into it: a text of a few dozen characters keeps a processor busy for years",
    fix: "remove the expression, or write it without the outer repetition",
    cwe: Some(1333),
    atlas: Some("AML.T0029"),
    references: &["https://owasp.org/www-community/attacks/Regular_expression_Denial_of_Service_-_ReDoS"],
    ..BASE
};

/// The rule for a fact's code, if the fact is about such a model.
pub(super) fn rule(code: &str) -> Option<&'static Rule> {
    match code.split_once('-')?.0 {
        "msgpack" if !code.ends_with("-count") && !code.ends_with("-nesting") => Some(&MSGPACK),
        "xgboost" | "lightgbm" | "catboost" | "fasttext" | "crfsuite" | "sentencepiece" | "word2vec"
        | "ocdbt" => {
            if code.ends_with("-path") {
                Some(&FILES)
            } else if code.ends_with("-count") {
                None
            } else {
                Some(&INDEX)
            }
        }
        "java" => Some(if code == "java-effect" { &JAVA_EFFECT } else { &JAVA }),
        "tokenizer" => match code {
            "tokenizer-part" => Some(&PART),
            "tokenizer-expression" => Some(&EXPRESSION),
            "tokenizer-rules" => Some(&INDEX),
            _ => None,
        },
        _ => None,
    }
}
