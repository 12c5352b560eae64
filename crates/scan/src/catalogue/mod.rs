//! What is known of callables: harmless uses, dangerous effects, distributions.
//!
//! The knowledge is data: `harmless/*.toml` (reviewed by hand), `derived/*.tsv` (proved by the tool from the libraries'
//! sources), `dangerous.tsv`, `carries.tsv`, `code-words.txt`, `stdlib.txt`, `distributions.toml`. The build script
//! compiles it into one table. Harmless is decided for an exact name, an exact use and a kind of arguments; a name
//! that is merely absent from the dangerous list is never harmless.

mod about;
mod inert;
mod lookup;
mod predicate;
mod tables;
pub(crate) mod tensorflow;
mod text_run;
pub(crate) mod torch_ops;
mod vocabulary;

pub use about::{About, Harmless, USES, about, is_known, split, use_name};
use tables::{CATALOGUE, Catalogue};
use vocabulary::Part;
use wb_pickle::{Call, Value};
use wb_verdict::{CallClass, Effect, How};

/// Version of the catalogue; part of the key of kept facts. The second half is a digest of the data, of the
/// predicates and of what compiles them: it follows every change by itself.
pub const VERSION: &str = concat!("2026.11-", env!("WB_CATALOGUE_DIGEST"));

/// The catalogue's word on one use of a callable.
pub fn classify(call: &Call<'_>) -> CallClass {
    classify_in(&CATALOGUE, call)
}

fn classify_in(cat: &Catalogue<'_>, call: &Call<'_>) -> CallClass {
    if call.module.is_empty() {
        return of_result(cat, call);
    }
    if !call.tampered
        && !call.on_import
        && let Some(entry) = cat.harmless(call.module, call.name)
        && entry.allows(call.how)
    {
        match predicate::check(cat, &entry, call) {
            predicate::Outcome::Harmless => return CallClass::Harmless,
            predicate::Outcome::Class(class) => return class,
            predicate::Outcome::Unproved => {}
        }
    }
    if let Some(part) = cat.carries(call.module, call.name) {
        return carried(cat, part, call);
    }
    if let Some(class) = cat.danger_of(call.module, call.name, call.how) {
        return class;
    }
    if call.how == How::Data && call.name.is_empty() && cat.is_known(call.module) {
        return CallClass::Harmless;
    }
    if call.tampered || call.on_import {
        return CallClass::Unresolved;
    }
    if call.how == How::Data && cat.is_attribute_of_harmless(call.module, call.name) {
        return CallClass::Harmless;
    }
    match cat.uncatalogued(call.module) {
        // Not its own state alone is set.
        CallClass::Unknown if !inert::answers(call.asked) => CallClass::Unresolved,
        class => class,
    }
}

/// True if [`classify`] looks at the arguments of this use. Otherwise its answer holds for all uses of the same
/// name in the same way with the same `plain_args`, `tampered` and `on_import`.
pub fn depends_on_args(module: &str, name: &str, how: How, plain: bool) -> bool {
    let cat = &CATALOGUE;
    module.is_empty()
        || (matches!(how, How::Append | How::SetItem) && predicate::asks_items(module, name))
        || cat.harmless(module, name).is_some_and(|e| e.allows(how) && e.looks_at_args(how, plain))
        || cat.carries(module, name).is_some()
}

/// The name that a use is about: the class, where a function of the standard library merely rebuilds one that is not
/// catalogued; else the callee.
pub fn subject<'a>(call: &Call<'a>, class: &CallClass) -> (&'a str, &'a str) {
    match (call.module, call.name, call.args.first()) {
        (
            "copyreg",
            "_reconstructor" | "__newobj__" | "__newobj_ex__",
            Some(Value::Global { module, name }),
        ) if *class == CallClass::Unknown => (module, name),
        _ => (call.module, call.name),
    }
}

/// The effect of a name that is listed as dangerous.
pub(crate) fn listed_effect(module: &str, name: &str) -> Option<Effect> {
    CATALOGUE.listed_danger(module, name)
}

/// True if a name or text in a rebuilt function shows more than model work.
pub(crate) fn is_code_word(text: &str) -> bool {
    CATALOGUE.is_code_word(text)
}

/// What is known of a name used as data or rebuilt as a class, when nothing else is known of the use.
fn of_name(cat: &Catalogue<'_>, module: &str, name: &str, how: How) -> CallClass {
    if cat.harmless(module, name).is_some_and(|e| e.allows(how)) {
        return CallClass::Harmless;
    }
    if cat.carries(module, name).is_some() {
        return CallClass::CarriesCode;
    }
    match cat.danger_of(module, name, how) {
        Some(class) => class,
        None if how == How::Data && cat.is_attribute_of_harmless(module, name) => CallClass::Harmless,
        None => cat.uncatalogued(module),
    }
}

/// A use of something that is itself the result of a call.
fn of_result(cat: &Catalogue<'_>, call: &Call<'_>) -> CallClass {
    let Some((module, name)) = call.made_by.rsplit_once('.') else { return CallClass::Unresolved };
    let calls = lookup::calls(call.how);
    if let Some(part) = cat.carries_any_split(call.made_by) {
        // Setting attributes of a rebuilt function is part of rebuilding it; calling it runs it.
        return match part {
            Part::Code if calls => CallClass::Dangerous { effect: Effect::Code },
            Part::Attribute | Part::Import if calls => CallClass::Unresolved,
            part => words_decide(cat, part, call.args),
        };
    }
    if calls && let Some(effect) = cat.listed_danger(module, name) {
        return CallClass::Dangerous { effect };
    }
    // A bound method, held.
    if call.how == How::Data
        && !call.tampered
        && let Some(method) =
            call.callable.strip_prefix(call.made_by).and_then(|rest| rest.strip_prefix("(...)."))
        && predicate::is_listed_method(cat, module, name, method)
    {
        return CallClass::Harmless;
    }
    CallClass::Unresolved
}

/// A callable that honest serialisers emit to rebuild code.
fn carried(cat: &Catalogue<'_>, part: Part, call: &Call<'_>) -> CallClass {
    if call.tampered || call.on_import {
        return CallClass::Unresolved;
    }
    if part == Part::Attribute
        && let [owner, attribute] = call.args
        && let (Some(module), Some(name)) = (imported_module(owner), attribute.as_str())
    {
        let class = of_name(cat, &module, name, How::Data);
        if matches!(class, CallClass::Harmless | CallClass::Dangerous { .. }) {
            return class;
        }
    }
    if part == Part::Import
        && let [module] = call.args
        && module.as_str().is_some_and(|m| cat.is_known(m) && cat.danger(m, "").is_none())
    {
        return CallClass::Harmless;
    }
    words_decide(cat, part, call.args)
}

/// The module that a value is: imported as such, or by a serialiser's import helper.
fn imported_module(value: &Value) -> Option<String> {
    match value {
        Value::Global { module, name } if name.is_empty() => Some(module.clone()),
        Value::Global { module, name } => Some(format!("{module}.{name}")),
        Value::Object { args, .. } => args.first().and_then(Value::as_str).map(str::to_string),
        _ => None,
    }
}

/// Code is never proved harmless by its words; they only show when it is worse.
fn words_decide(cat: &Catalogue<'_>, part: Part, args: &[Value]) -> CallClass {
    // The state of every rebuilt function and class has dunder keys; only code that names them means something.
    let expected = |text: &str| part == Part::Glue && text.starts_with("__") && text != "__import__";
    if predicate::any_text(args, &mut |text| !expected(text) && cat.is_code_word(text)) {
        CallClass::Dangerous { effect: Effect::Code }
    } else {
        CallClass::CarriesCode
    }
}

/// True if calling the name is listed as dangerous.
pub(crate) fn is_listed_dangerous(module: &str, name: &str) -> bool {
    CATALOGUE.listed_danger(module, name).is_some()
}

/// The class of one use without arguments, in a catalogue of a test's own.
#[cfg(test)]
fn uses(cat: &Catalogue<'_>, module: &str, name: &str, how: How) -> CallClass {
    classify_in(cat, &Call { how, ..Call::import(module, name) })
}

#[cfg(test)]
mod attack_tests;
#[cfg(test)]
mod compile_tests;
#[cfg(test)]
mod gadget_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod withheld_tests;
