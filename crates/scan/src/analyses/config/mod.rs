//! Configurations that name code: which module and class, of whose repository, and whether the library that reads the
//! name asks its user first.
//!
//! Sources: `transformers.dynamic_module_utils` and `auto_factory`, `sentence_transformers.util.misc.import_module_class`,
//! `diffusers.pipelines.pipeline_loading_utils`, `peft.auto`, `hydra._internal.instantiate`, `nemo.core.classes.common`.

mod known;
mod reference;
pub(crate) mod targets;
pub(crate) mod tree;

use super::directive::{Finding, bounded, dangerous_name};
use reference::{Reference, parse};
use serde_json::{Map, Value};
use wb_verdict::escape;

/// Looks at one key of an object; true if nothing else need look at it.
pub(crate) fn key(
    key: &str,
    v: &Value,
    path: &str,
    map: &Map<String, Value>,
    found: &mut dyn FnMut(Finding<'_>),
) -> bool {
    let shown = || escape(path);
    match (key, v) {
        ("_target_", Value::String(s)) => target(s, &format!("{}: _target_", shown()), found),
        // NeMo and lightning's command line, latent diffusion's configurations.
        ("target" | "class_path", Value::String(s)) if is_dotted(s) => class_path(s, &shown(), found),
        ("auto_map", Value::Object(m)) => m.values().for_each(|v| names("auto-map", v, &shown(), found)),
        ("auto_map", Value::String(_) | Value::Array(_)) => names("auto-map", v, &shown(), found),
        ("custom_pipelines", Value::Object(m)) => {
            for pipeline in m.values() {
                match pipeline.get("impl") {
                    Some(v) => names("custom-pipeline", v, &shown(), found),
                    None => names("custom-pipeline", pipeline, &shown(), found),
                }
            }
        }
        ("custom_generate" | "custom_pipeline", Value::String(s)) if s.contains('/') => {
            elsewhere(s, &shown(), found)
        }
        // Kernels of the Hub are native code or Python of another repository.
        (
            "attn_implementation" | "_attn_implementation" | "_attn_implementation_internal",
            Value::String(s),
        ) if s.contains('/') => {
            elsewhere(s, &shown(), found);
        }
        ("trust_remote_code", Value::Bool(true)) => {
            let code = if is_model(map) { "remote-code" } else { "trust-flag" };
            found(Finding::Directive(code, format!("{}: true", shown())));
        }
        ("auto_mapping", Value::Object(m)) if m.contains_key("parent_library") => adapter(m, &shown(), found),
        // LoRA on layers of Megatron: PEFT imports the module that is named here.
        ("megatron_core", Value::String(s)) if s != "megatron.core" => imported(s, &shown(), found),
        ("type", Value::String(s)) if map.contains_key("idx") && map.contains_key("path") => {
            module_type(s, &shown(), found);
        }
        ("_class_name", Value::Array(pair)) if pair.len() == 2 => part(pair, &shown(), found),
        (_, Value::Array(pair))
            if pair.len() == 2
                && map.contains_key("_class_name")
                && map.contains_key("_diffusers_version") =>
        {
            part(pair, &shown(), found);
        }
        _ => return false,
    }
    true
}

/// What a configuration of a model has beside a flag that it sets for itself. Results of evaluations and settings of
/// training hold the same flag, which nobody reads back.
fn is_model(map: &Map<String, Value>) -> bool {
    const KEYS: [&str; 9] = [
        "auto_map",
        "model_type",
        "architectures",
        "tokenizer_class",
        "processor_class",
        "transformers_version",
        "_class_name",
        "custom_pipelines",
        "peft_type",
    ];
    map.len() <= 2 || KEYS.iter().any(|k| map.contains_key(*k))
}

/// A reference, or a list of them (slow and fast tokenizer).
fn names(code: &'static str, v: &Value, place: &str, found: &mut dyn FnMut(Finding<'_>)) {
    match v {
        Value::String(s) => name(code, s, place, found),
        Value::Array(items) => items.iter().for_each(|v| names(code, v, place, found)),
        Value::Null => {}
        other => odd(&other.to_string(), place, found),
    }
}

fn name(code: &'static str, text: &str, place: &str, found: &mut dyn FnMut(Finding<'_>)) {
    match parse(text) {
        Reference::Own { module, class } => found(Finding::Own {
            code,
            module: module.into(),
            name: class.into(),
            detail: format!("{place}: {}", bounded(text)),
        }),
        Reference::Elsewhere { repo, module } => {
            elsewhere(text, place, found);
            found(Finding::Opens { code: "code-elsewhere", repo: repo.into(), path: format!("{module}.py") });
        }
        Reference::Odd => odd(text, place, found),
    }
}

fn elsewhere(text: &str, place: &str, found: &mut dyn FnMut(Finding<'_>)) {
    found(Finding::Directive("code-elsewhere", format!("{place}: {}", bounded(text))));
}

fn odd(text: &str, place: &str, found: &mut dyn FnMut(Finding<'_>)) {
    found(Finding::Directive("code-name-odd", format!("{place}: {}", bounded(text))));
}

/// PEFT imports this library when the base model is chosen by the adapter.
fn adapter(m: &Map<String, Value>, place: &str, found: &mut dyn FnMut(Finding<'_>)) {
    let text = |key| m.get(key).and_then(Value::as_str).unwrap_or("");
    let (library, class) = (text("parent_library"), text("base_model_class"));
    let detail = || format!("{place}: {}", bounded(&format!("{library}.{class}")));
    // Only the class is taken from the module and only its `from_pretrained` is called.
    let plain = targets::is_identifier(class);
    match library.split('.').next().unwrap_or(library) {
        _ if library.is_empty() => {}
        _ if dangerous_name(library) || dangerous_name(class) => {
            found(Finding::Directive("hydra-target-dangerous", detail()));
        }
        "transformers" | "diffusers" | "sentence_transformers" | "peft"
            if plain && is_dotted_or_name(library) => {}
        // The cache of modules that a trust flag once let in.
        "transformers_modules" | "diffusers_modules" if plain => {
            found(Finding::Directive("trust-flag", detail()));
        }
        _ => found(Finding::Directive("imported-module", detail())),
    }
}

/// A module that a library imports by this name.
fn imported(s: &str, place: &str, found: &mut dyn FnMut(Finding<'_>)) {
    let code = if dangerous_name(s) { "hydra-target-dangerous" } else { "imported-module" };
    found(Finding::Directive(code, format!("{place}: {}", bounded(s))));
}

/// One entry of a sentence-transformers `modules.json`.
fn module_type(s: &str, place: &str, found: &mut dyn FnMut(Finding<'_>)) {
    if known::is_sentence_module(s) {
        return;
    }
    let detail = format!("{place}: {}", bounded(s));
    if dangerous_name(s) || targets::effect(s) {
        return found(Finding::Directive("hydra-target-dangerous", detail));
    }
    match parse(s) {
        Reference::Own { module, class } => {
            found(Finding::Own { code: "module-type", module: module.into(), name: class.into(), detail });
        }
        Reference::Elsewhere { repo, module } => {
            elsewhere(s, place, found);
            found(Finding::Opens { code: "code-elsewhere", repo: repo.into(), path: format!("{module}.py") });
        }
        Reference::Odd if is_dotted_or_name(s) => found(Finding::Directive("imported-module", detail)),
        Reference::Odd => odd(s, place, found),
    }
}

/// One part of a diffusers pipeline: library and class.
fn part(pair: &[Value], place: &str, found: &mut dyn FnMut(Finding<'_>)) {
    let [library, class] = pair else { return };
    let (library, class) = match (library, class) {
        (Value::Null, Value::Null) => return,
        (Value::String(library), Value::String(class)) => (library, class),
        // Sizes and the like.
        _ => return,
    };
    let plain = targets::is_identifier(class);
    if plain && known::is_pipeline_library(library) {
        return;
    }
    let both = format!("{library}.{class}");
    let detail = format!("{place}: {}", bounded(&both));
    if dangerous_name(&both) || targets::effect(&both) {
        found(Finding::Directive("hydra-target-dangerous", detail));
    } else if plain && targets::is_identifier(library) {
        found(Finding::Own { code: "pipeline-part", module: library.clone(), name: class.clone(), detail });
    } else if is_dotted_or_name(library) {
        found(Finding::Directive("imported-module", detail));
    } else {
        odd(&both, place, found);
    }
}

/// A `_target_`, or what stands in a tag that calls.
pub(crate) fn target(s: &str, place: &str, found: &mut dyn FnMut(Finding<'_>)) {
    if let Some(code) = targets::code(s) {
        found(Finding::Directive(code, format!("{place}: {}", bounded(s))));
    }
}

/// A class path that a program of its own kind may import. Nothing but a dangerous one is told of names that are
/// unknown: no loader of a hub's models follows them.
fn class_path(s: &str, place: &str, found: &mut dyn FnMut(Finding<'_>)) {
    match targets::code(s) {
        Some("hydra-target-dangerous") => {
            found(Finding::Directive("hydra-target-dangerous", format!("{place}: {}", bounded(s))));
        }
        Some(_) if s.rsplit('.').next().is_some_and(|c| c.starts_with(char::is_uppercase)) => {
            found(Finding::Directive("hydra-target-known", format!("{place}: {}", bounded(s))));
        }
        _ => {}
    }
}

/// `a.b.C`: at least two identifiers.
fn is_dotted(s: &str) -> bool {
    s.contains('.') && is_dotted_or_name(s)
}

fn is_dotted_or_name(s: &str) -> bool {
    s.len() <= 300 && s.split('.').all(targets::is_identifier)
}

#[cfg(test)]
mod tests;
