//! Configurations of Keras models.

use wb_verdict::{Confidence, Family, Rule, Severity, Verdict};

const BASE: Rule = Rule {
    id: "",
    title: "",
    family: Family::Directive,
    severity: Severity::High,
    confidence: Confidence::High,
    verdict: Verdict::Suspicious,
    what: "",
    why: "",
    fix: "",
    pait: Some("PAIT-KERAS-101"),
    cwe: Some(502),
    atlas: Some("AML.T0011.000"),
    references: &["https://keras.io/api/models/model_saving_apis/model_saving_and_loading/"],
};

/// A function kept in the configuration.
pub(super) static LAMBDA: Rule = Rule {
    id: "WB-KER-001",
    title: "a Keras model carries code",
    family: Family::CarriesCode,
    severity: Severity::Medium,
    what: "a Lambda layer, or marshalled code anywhere in a configuration: losses, initializers, masks, wrappers, nested \
        models",
    why: "the code runs when the model is rebuilt or first called, and cannot be proved harmless from its names and \
        constants. files in HDF5 ignore safe_mode",
    fix: "ask for a model without Lambda layers (built-in layers, or a registered class from reviewed source). if you \
        trust the author, admit exactly this file with an exception for its digest",
    references: &[
        "https://nvd.nist.gov/vuln/detail/CVE-2024-3660",
        "https://keras.io/api/layers/core_layers/lambda/",
    ],
    ..BASE
};

/// Such a function that does harm.
pub(super) static LAMBDA_DANGEROUS: Rule = Rule {
    id: "WB-KER-002",
    title: "code in a Keras model reaches the system",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "marshalled code in a configuration that names commands, files, the network or the interpreter, or that is the \
        body of a module where writers put functions",
    why: "it runs on the machine that loads or calls the model",
    fix: "do not load it. tell its publisher",
    references: &["https://nvd.nist.gov/vuln/detail/CVE-2024-3660"],
    ..BASE
};

/// A module that Keras imports.
pub(super) static CALLABLE: Rule = Rule {
    id: "WB-KER-003",
    title: "a configuration names a callable outside of Keras's own classes",
    what: "a module and a name, or a TensorFlow function, that is none of the plain classes and functions of Keras",
    why: "Keras before 3.9 imports whatever module is named and calls what it finds there; what it does is not known here",
    fix: "check what the name leads to. honest custom classes are registered under a package name and need no module",
    cwe: Some(470),
    references: &[
        "https://github.com/advisories/GHSA-48g7-3x6r-xfhp",
        "https://github.com/advisories/GHSA-c9rc-mg46-23w3",
    ],
    ..BASE
};

/// One that does harm.
pub(super) static CALLABLE_DANGEROUS: Rule = Rule {
    id: "WB-KER-004",
    title: "a configuration names a dangerous callable",
    severity: Severity::Critical,
    verdict: Verdict::Malicious,
    what: "a name in a configuration that leads to commands, files, downloads, other deserialisers or the switch that \
        turns protection off",
    why: "it is called while the model is rebuilt, in several versions with safe_mode on",
    fix: "do not load it. tell its publisher",
    cwe: Some(470),
    references: &[
        "https://github.com/advisories/GHSA-48g7-3x6r-xfhp",
        "https://github.com/advisories/GHSA-c9rc-mg46-23w3",
        "https://github.com/advisories/GHSA-36fq-jgmw-4r9c",
    ],
    ..BASE
};

/// A class of the user's own.
pub(super) static UNKNOWN_CLASS: Rule = Rule {
    id: "WB-KER-005",
    title: "a configuration names a class that Keras does not have",
    severity: Severity::Low,
    verdict: Verdict::Unknown,
    what: "a custom layer, loss or function, by the name under which a user registered it",
    why: "Keras finds it only if a program of yours registered such a class, and runs that class; nothing of it is in the \
        file",
    fix: "nothing if the class is yours. else look where the publisher says it comes from, and review that code",
    pait: None,
    cwe: Some(470),
    ..BASE
};

/// A file or address outside.
pub(super) static FILE_OUTSIDE: Rule = Rule {
    id: "WB-KER-006",
    title: "a layer reads a file or address outside of the model",
    verdict: Verdict::Malicious,
    what: "a vocabulary, weights or a SavedModel given as an absolute path, a path with `..` or an address",
    why: "rebuilding the layer reads any file of the machine into the model, or calls an address inside of your network",
    fix: "do not load it. ask for a model that holds its vocabulary",
    cwe: Some(73),
    references: &["https://github.com/advisories/GHSA-mq84-hjqx-cwf2"],
    ..BASE
};

/// A file beside the model.
pub(super) static FILE_BESIDE: Rule = Rule {
    id: "WB-KER-007",
    title: "a layer reads a file beside the model",
    severity: Severity::Low,
    verdict: Verdict::Unknown,
    what: "a vocabulary or a SavedModel given as a relative path",
    why: "the layer reads whatever lies there in the folder where the program runs; only a file of this repository is \
        judged",
    fix: "make sure that the file comes with the model and was judged too",
    pait: None,
    cwe: Some(73),
    references: &["https://github.com/advisories/GHSA-mq84-hjqx-cwf2"],
    ..BASE
};

/// The rule for a directive of a Keras configuration.
pub(super) fn rule(code: &str) -> Option<&'static Rule> {
    Some(match code {
        "keras-lambda" => &LAMBDA,
        "keras-lambda-dangerous" => &LAMBDA_DANGEROUS,
        "keras-callable" => &CALLABLE,
        "keras-callable-dangerous" => &CALLABLE_DANGEROUS,
        "keras-unknown-class" => &UNKNOWN_CLASS,
        "keras-file-outside" => &FILE_OUTSIDE,
        "keras-file-beside" => &FILE_BESIDE,
        _ => return None,
    })
}
