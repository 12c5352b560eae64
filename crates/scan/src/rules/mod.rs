//! The rules: facts to findings. Ids are stable and never reused.
//!
//! One file per family. Each holds its rules' pages and the function that maps a fact of its kind to a rule.

mod archive;
mod booster;
mod code;
mod coreml;
mod directive;
mod engine;
mod executable;
mod hdf5;
mod hidden;
mod keras;
mod message;
mod names;
mod onnx;
mod openvino;
mod operator;
mod paddle;
mod pickle;
mod pmml;
mod r;
mod repository;
mod resource;
mod secret;
mod skops;
mod spacy;
mod structure;
mod template;
mod torch;
mod torch7;
mod unsupported;

use wb_verdict::{CallClass, Fact, FactKind, Finding, How, Rule, UnknownReason};

pub(crate) use message::finding;

/// All rules, by id.
pub static RULES: &[&Rule] = &[
    &archive::ABSOLUTE,
    &archive::TRAVERSAL,
    &archive::LINK,
    &archive::DEVICE,
    &archive::THROUGH_LINK,
    &booster::INDEX,
    &booster::FILES,
    &booster::MSGPACK,
    &coreml::CUSTOM,
    &coreml::PATH,
    &coreml::SERIALIZED,
    &coreml::STRUCTURE,
    &code::CARRIED,
    &directive::GENERIC,
    &directive::TARGET,
    &directive::SHELL,
    &directive::REMOTE_CODE,
    &directive::ENTITY,
    &repository::LOADER_MODULE,
    &directive::OWN_CODE,
    &directive::OWN_OR_INSTALLED,
    &directive::ELSEWHERE,
    &directive::ODD_NAME,
    &directive::KNOWN_TARGET,
    &directive::TRUST_FLAG,
    &directive::SHARD,
    &directive::ENVIRONMENT,
    &engine::LIBRARY,
    &engine::HOST_CODE,
    &engine::PLUGIN,
    &engine::USER_FUNCTION,
    &engine::CUSTOM,
    &engine::POINTER,
    &engine::FILES,
    &engine::STRUCTURE,
    &executable::NATIVE,
    &executable::SCRIPT,
    &executable::BYTECODE,
    &executable::BYTECODE_DANGEROUS,
    &hdf5::STRUCTURE,
    &hdf5::EXTERNAL,
    &hdf5::EXTERNAL_OUTSIDE,
    &hdf5::SHAPE,
    &hidden::GENERIC,
    &hidden::PICKLE,
    &hidden::ARCHIVE,
    &hidden::EXECUTABLE,
    &booster::JAVA,
    &booster::JAVA_EFFECT,
    &keras::LAMBDA,
    &keras::LAMBDA_DANGEROUS,
    &keras::CALLABLE,
    &keras::CALLABLE_DANGEROUS,
    &keras::UNKNOWN_CLASS,
    &keras::FILE_OUTSIDE,
    &keras::FILE_BESIDE,
    &torch7::FUNCTION,
    &torch7::DANGEROUS,
    &onnx::PYTHON,
    &onnx::CUSTOM,
    &onnx::UNKNOWN,
    &onnx::NATIVE,
    &onnx::EFFECT,
    &onnx::COMPILED,
    &onnx::PATH,
    &onnx::FOLDER,
    &onnx::TRIGGER,
    &onnx::STRUCTURE,
    &openvino::CUSTOM,
    &openvino::CONSTANT,
    &paddle::PYTHON,
    &paddle::WRITE,
    &paddle::OUTSIDE,
    &paddle::NATIVE,
    &paddle::UNKNOWN,
    &pickle::CODE,
    &pickle::PROCESS,
    &pickle::NATIVE,
    &pickle::IMPORT,
    &pickle::REACH,
    &pickle::FILE,
    &pickle::NETWORK,
    &pickle::DESERIALISE,
    &pickle::STATE,
    &pickle::OTHER,
    &pickle::HELD,
    &pickle::HELD_REACH,
    &pickle::UNCATALOGUED,
    &pickle::KNOWN_UNCATALOGUED,
    &pickle::UNKNOWN_CLASS,
    &pickle::UNRESOLVED,
    &pickle::MODIFIES,
    &pickle::EXTENSION,
    &pickle::PERSISTENT,
    &pickle::UNKNOWN_CLASS_ARGS,
    &pickle::HASHED,
    &pmml::CLASS,
    &pmml::DANGEROUS,
    &pmml::SCRIPT,
    &r::CODE,
    &r::DANGEROUS,
    &r::BY_ITSELF,
    &r::ALTREP,
    &repository::OPT_IN,
    &repository::ATTACK,
    &repository::HIDDEN,
    &repository::PROCESS,
    &repository::COMPUTED,
    &repository::NETWORK,
    &repository::CREDENTIAL,
    &repository::NATIVE,
    &repository::FILES,
    &repository::NOTE,
    &repository::REQUIREMENT,
    &repository::REQUIREMENT_DIRECT,
    &resource::GENERIC,
    &resource::SIZES,
    &resource::PICKLE,
    &secret::PRIVATE_KEY,
    &secret::CLOUD,
    &secret::TOKEN,
    &skops::SHOWN,
    &skops::IDS,
    &spacy::ADDON,
    &spacy::SOURCE,
    &spacy::SOURCE_OUTSIDE,
    &spacy::COMPUTED,
    &spacy::ENDPOINT,
    &structure::GENERIC,
    &structure::ZIP,
    &structure::ZIP_ENTRIES,
    &structure::PICKLE,
    &structure::TENSORS,
    &structure::DUPLICATE_KEYS,
    &operator::WRITE,
    &operator::READ,
    &operator::NETWORK,
    &operator::PYTHON,
    &operator::UNKNOWN,
    &operator::NATIVE,
    &operator::GRAPH,
    &operator::GIVEN,
    &operator::LITE_CUSTOM,
    &operator::LITE_INDEX,
    &booster::PART,
    &booster::EXPRESSION,
    &template::DANGEROUS,
    &template::UNPROVED,
    &torch::WRITE,
    &torch::READ,
    &torch::NETWORK,
    &torch::UNKNOWN,
    &torch::NATIVE,
    &torch::TEXT,
    &torch::ODD,
    &torch::DELEGATE,
    &torch::STRUCTURE,
    &unsupported::FORMAT,
    &unsupported::CONTENT,
    &unsupported::SOURCE,
];

/// The rule with this id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|r| r.id.eq_ignore_ascii_case(id))
}

/// The rule a fact falls under, given the name its file is asked for by; `None` if the fact is neutral.
///
/// Every code that no rule names falls under its family's generic rule: nothing is dropped for being new.
pub(crate) fn rule_for(fact: &Fact, name: &str) -> Option<&'static Rule> {
    if let Some(rule) = framework(&fact.kind) {
        return Some(rule);
    }
    match &fact.kind {
        FactKind::Call { how, call, callable, plain_args, .. } => match call {
            CallClass::CarriesCode => Some(&code::CARRIED),
            _ => pickle::rule(*how, call, callable, *plain_args),
        },
        FactKind::Structure { code, .. } => Some(structure::rule(code)),
        FactKind::Resource { code, .. } => Some(resource::rule(code)),
        FactKind::UnsafePath { code, .. } => Some(archive::rule(code)),
        FactKind::Executable { code } => executable::rule(code, &fact.location, name),
        FactKind::Template { code, .. } => template::rule(code),
        FactKind::Directive { code, .. } => Some(directive::rule(code)),
        FactKind::Names { code, .. } => Some(directive::names(code)),
        FactKind::Hidden { code, .. } => Some(hidden::rule(code)),
        FactKind::Reading { code } => repository::reading(code, &fact.location, name),
        FactKind::Source { code, when, .. } => repository::rule(code, when, &fact.location, name),
        FactKind::Operator { code, .. } => Some(operator::rule(code)),
        FactKind::Unsupported { .. } => Some(&unsupported::FORMAT),
        // No reason for or against the file: which loader takes it is told in the report's `loaders`.
        FactKind::Refused { .. } => None,
        // The files beside this one decide: see `wb_policy`.
        FactKind::Opens { .. } => None,
        FactKind::Secret { code, .. } => Some(secret::rule(code)),
        FactKind::UnknownContent => unsupported::content(&fact.location, name),
    }
}

/// Rules of one framework each, by the beginning of the code.
fn framework(kind: &FactKind) -> Option<&'static Rule> {
    let (FactKind::Structure { code, .. }
    | FactKind::Resource { code, .. }
    | FactKind::UnsafePath { code, .. }
    | FactKind::Directive { code, .. }
    | FactKind::Operator { code, .. }) = kind
    else {
        return None;
    };
    onnx::rule(code)
        .or_else(|| openvino::rule(code))
        .or_else(|| coreml::rule(code))
        .or_else(|| pmml::rule(code))
        .or_else(|| booster::rule(code))
        .or_else(|| torch::rule(code))
        .or_else(|| r::rule(code))
        .or_else(|| executable::directive(code))
        .or_else(|| paddle::rule(code))
        .or_else(|| torch7::rule(code))
        .or_else(|| spacy::rule(code))
        .or_else(|| engine::rule(code))
}

/// Why a file is unknown, if a finding of this rule is its worst.
pub fn unknown_reason(rule: &str) -> UnknownReason {
    match rule {
        id if id == pickle::UNKNOWN_CLASS.id => UnknownReason::UnknownClass,
        id if id == directive::KNOWN_TARGET.id => UnknownReason::UnknownClass,
        id if id == booster::PART.id => UnknownReason::UnknownClass,
        id if id == booster::JAVA.id => UnknownReason::OptInCode,
        id if spacy::is_unknown_class(id) => UnknownReason::UnknownClass,
        id if directive::is_opt_in(id) => UnknownReason::OptInCode,
        id if id == keras::UNKNOWN_CLASS.id => UnknownReason::UnknownClass,
        id if id == unsupported::CONTENT.id || id == keras::FILE_BESIDE.id => UnknownReason::UnknownContent,
        id if repository::is_opt_in(id) => UnknownReason::OptInCode,
        _ => UnknownReason::Unsupported,
    }
}

/// A finding for a fact, if it is not neutral.
pub(crate) fn judge_fact(fact: &Fact, name: &str) -> Option<Finding> {
    rule_for(fact, name).map(|rule| finding(rule, fact))
}

/// True for ways of use that run the callee.
fn runs(how: How) -> bool {
    !matches!(how, How::Data)
}

#[cfg(test)]
mod tests;
