//! Predicates over the arguments of a harmless use.

use super::lookup::{is_constant, is_dunder};
use super::of_name;
use super::tables::{Catalogue, Entry};
use super::vocabulary::{Args, Part};
use wb_pickle::{Call, Value};
use wb_verdict::{CallClass, Effect, How};

/// The answer of a predicate.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// Proved.
    Harmless,
    /// Not proved; the dangerous list may know more.
    Unproved,
    /// The arguments decide the class.
    Class(CallClass),
}

use Outcome::{Class, Harmless, Unproved};

/// Does `call` satisfy the entry?
pub(super) fn check(cat: &Catalogue<'_>, entry: &Entry<'_>, call: &Call<'_>) -> Outcome {
    match call.how {
        How::Data => return Harmless,
        // What a partial calls is part of its state.
        How::Build if entry.args == Args::Partial => {
            let Some(Value::Tuple(state)) = call.args.first() else { return Unproved };
            return match state.first().map_or(Unproved, |f| callable_as_data(cat, f)) {
                // A call put off is a call: what is suspicious as arguments is suspicious as a state.
                Class(CallClass::Unknown) => Class(CallClass::Unresolved),
                other => other,
            };
        }
        How::Build => return yes(call.plain_args),
        How::Append | How::SetItem | How::AddItems | How::Hash => return Harmless,
        _ => {}
    }
    let args = call.args;
    match entry.args {
        Args::Any => Harmless,
        Args::Inert => yes(args.iter().all(is_inert)),
        Args::Plain | Args::Pattern => {
            // Strings and numbers cut off for length are plain all the same.
            yes(call.plain_args)
        }
        Args::Reconstructor => reconstructor(cat, args),
        Args::Newobj => match args.first() {
            Some(class) => class_rebuilt(cat, class),
            None => Unproved,
        },
        Args::TextCodec => yes(matches!(args, [Value::Str { .. }])
            || matches!(args, [Value::Str { .. }, codec] if codec.as_str().is_some_and(is_text_codec))),
        Args::Partial => args.first().map_or(Unproved, |f| callable_as_data(cat, f)),
        Args::Factory if !args.iter().skip(1).all(is_inert) => Unproved,
        Args::Factory => match args.first() {
            None | Some(Value::None) => Harmless,
            Some(f) => callable_as_data(cat, f),
        },
        Args::AttributeNames => {
            yes(args.iter().all(|a| a.as_str().is_some_and(|s| s.split('.').all(is_public_name))))
        }
        Args::AttributeOfClass => attribute_of_class(cat, args),
        Args::Dtype => yes(matches!(args.first(), Some(Value::Str { .. } | Value::Object { .. }))
            || matches!(args.first(), Some(Value::Global { module, .. }) if module == "numpy" || module.starts_with("numpy."))),
        Args::ArrayClass => match args.first() {
            Some(Value::Global { module, name }) => as_class(of_name(cat, module, name, How::Data)),
            _ => Unproved,
        },
        Args::Ufunc => match args {
            [module, name] => ufunc(cat, module, name),
            _ => Unproved,
        },
        Args::BitGenerator => yes(args.iter().all(is_bit_generator)),
        Args::RebuildFromType => rebuild_from_type(cat, args),
        Args::CallAndState => match args {
            [function, Value::Tuple(inner), ..] => inner_call(cat, function, inner),
            _ => Unproved,
        },
        Args::OnCarriedClass => match args.first() {
            Some(Value::Object { made_by, .. }) if cat.carries_any_split(made_by) == Some(Part::Class) => {
                Class(CallClass::CarriesCode)
            }
            _ => Unproved,
        },
        Args::TorchFileBytes => match args {
            [Value::Bytes { head, .. }] if is_torch_file(head) => Harmless,
            [Value::Object { made_by, args }] if made_by == "_codecs.encode" => {
                yes(matches!(args.first(), Some(Value::Str { text, .. }) if is_torch_file_text(text)))
            }
            _ => Unproved,
        },
        Args::ClassOfSameModule => {
            yes(matches!(args.first(), Some(Value::Global { module, .. }) if module == call.module))
        }
        Args::PandasIndex => match args.first() {
            Some(Value::Global { module, name }) => {
                yes((module == "pandas" || module.starts_with("pandas.")) && name.ends_with("Index"))
            }
            _ => Unproved,
        },
    }
}

fn yes(proved: bool) -> Outcome {
    if proved { Harmless } else { Unproved }
}

fn as_class(class: CallClass) -> Outcome {
    if class == CallClass::Harmless { Harmless } else { Class(class) }
}

/// A callable that is stored and not called here.
fn callable_as_data(cat: &Catalogue<'_>, value: &Value) -> Outcome {
    match value {
        Value::Global { module, name } => as_class(of_name(cat, module, name, How::Data)),
        // The result of a call, judged as that call.
        Value::Object { .. } => Harmless,
        _ => Unproved,
    }
}

/// `cls.__new__(cls)` of an imported class.
fn class_rebuilt(cat: &Catalogue<'_>, class: &Value) -> Outcome {
    match class {
        Value::Global { module, name } => as_class(of_name(cat, module, name, How::Newobj)),
        // A class made by the stream; the serialisers that make classes are judged where they do.
        Value::Object { made_by, .. } if cat.carries_any_split(made_by).is_some() => {
            Class(CallClass::CarriesCode)
        }
        _ => Unproved,
    }
}

fn reconstructor(cat: &Catalogue<'_>, args: &[Value]) -> Outcome {
    let [class, base, _state] = args else { return Unproved };
    let rebuilt = class_rebuilt(cat, class);
    if matches!(rebuilt, Class(CallClass::Dangerous { .. })) {
        return rebuilt;
    }
    // The base's own `__new__` and `__init__` run: only built-in types are known to be harmless there.
    match base {
        Value::Global { module, name }
            if module == "builtins" && cat.harmless(module, name).is_some_and(|e| e.allows(How::Newobj)) =>
        {
            rebuilt
        }
        _ => Unproved,
    }
}

fn attribute_of_class(cat: &Catalogue<'_>, args: &[Value]) -> Outcome {
    let [Value::Global { module, name }, attribute] = args else { return Unproved };
    let Some(attribute) = attribute.as_str() else { return Unproved };
    if name.is_empty() || !is_public_name(attribute) {
        return Unproved;
    }
    if let Some(class) = cat.danger_of(module, &format!("{name}.{attribute}"), How::Data) {
        return Class(class);
    }
    // A capital: a class, and an attribute that can be a member of an enumeration.
    let class =
        name.rsplit('.').next().is_some_and(|n| n.trim_start_matches('_').starts_with(char::is_uppercase));
    if !class {
        return Unproved;
    }
    match of_name(cat, module, name, How::Data) {
        // The attribute is judged as the import that it is; of catalogued classes only constants are harmless.
        CallClass::Harmless if is_constant(attribute) => Harmless,
        CallClass::Harmless => Class(CallClass::KnownUncatalogued),
        CallClass::Unknown => Harmless,
        class => Class(class),
    }
}

/// True for what has no attributes of its own, or was made by a type whose instances have none.
fn is_inert(value: &Value) -> bool {
    const MADE_BY: [&str; 8] =
        ["builtins.", "_codecs.", "numpy.", "datetime.", "decimal.", "fractions.", "uuid.", "array."];
    match value {
        Value::Object { made_by, .. } => MADE_BY.iter().any(|m| made_by.starts_with(m)),
        Value::Global { .. } | Value::Persistent(_) | Value::Opaque => false,
        _ => true,
    }
}

fn rebuild_from_type(cat: &Catalogue<'_>, args: &[Value]) -> Outcome {
    let [function, kind, Value::Tuple(inner), _state] = args else { return Unproved };
    match (inner_call(cat, function, inner), kind) {
        (Harmless, Value::Global { module, name }) => as_class(of_name(cat, module, name, How::Data)),
        (Harmless, _) => Unproved,
        (other, _) => other,
    }
}

/// `function(*args)` of an imported function.
fn inner_call(cat: &Catalogue<'_>, function: &Value, args: &[Value]) -> Outcome {
    let Value::Global { module, name } = function else { return Unproved };
    // One level: a callable that calls another in turn is not followed further.
    if cat
        .harmless(module, name)
        .is_some_and(|e| matches!(e.args, Args::RebuildFromType | Args::CallAndState))
    {
        return Unproved;
    }
    let call = Call {
        offset: 0,
        how: How::Reduce,
        module,
        name,
        callable: "",
        made_by: "",
        tampered: false,
        on_import: false,
        args,
        kwargs: &[],
        plain_args: args.iter().all(Value::is_plain),
    };
    as_class(super::classify_in(cat, &call))
}

/// `getattr(__import__(module), name)`: one of numpy's own functions, found in whatever module exports it first, or
/// a resolver of anything.
fn ufunc(cat: &Catalogue<'_>, module: &Value, name: &Value) -> Outcome {
    const EXPORTERS: [&str; 4] = ["numpy", "scipy", "sklearn", "pandas"];
    let (Some(module), Some(name)) = (module.as_str(), name.as_str()) else { return Unproved };
    let exporter = module.split('.').next().is_some_and(|top| EXPORTERS.contains(&top))
        && !module.split('.').any(is_dunder);
    match exporter && cat.harmless("numpy", name).is_some_and(|e| e.allows(How::Data)) {
        true => Harmless,
        false => Class(CallClass::Dangerous { effect: Effect::Import }),
    }
}

fn is_bit_generator(value: &Value) -> bool {
    match value {
        Value::Str { text, .. } => {
            matches!(text.as_str(), "MT19937" | "PCG64" | "PCG64DXSM" | "Philox" | "SFC64")
        }
        Value::Global { module, .. } => module.starts_with("numpy.random."),
        Value::Object { made_by, .. } => made_by.starts_with("numpy.random."),
        _ => false,
    }
}

fn is_text_codec(name: &str) -> bool {
    matches!(name, "latin1" | "latin-1" | "iso-8859-1" | "utf-8" | "utf8" | "ascii")
}

fn is_public_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(char::is_alphabetic) && chars.all(|c| c.is_alphanumeric() || c == '_')
}

/// A zip, or the magic number of the legacy format: a pickled long.
fn is_torch_file(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.")
}

/// The same, as protocol 2 writes bytes: text that is encoded as latin1.
fn is_torch_file_text(text: &str) -> bool {
    let head: Option<Vec<u8>> = text.chars().take(16).map(|c| u8::try_from(u32::from(c)).ok()).collect();
    head.is_some_and(|h| is_torch_file(&h))
}

/// True if `test` holds for any text inside.
pub(super) fn any_text(values: &[Value], test: &mut impl FnMut(&str) -> bool) -> bool {
    let mut found = false;
    for value in values {
        walk(value, 0, &mut |v| match v {
            Value::Str { text, .. } => found |= test(text),
            Value::Bytes { head, .. } => found |= std::str::from_utf8(head).is_ok_and(&mut *test),
            _ => {}
        });
    }
    found
}

/// Visits a value and all values inside. Trees are bounded where they are made; the depth is held all the same.
fn walk(value: &Value, depth: u32, visit: &mut impl FnMut(&Value)) {
    const DEPTH: u32 = 64;
    visit(value);
    if depth == DEPTH {
        return;
    }
    match value {
        Value::Tuple(v) | Value::List(v) | Value::Set(v) | Value::FrozenSet(v) => {
            v.iter().for_each(|v| walk(v, depth + 1, visit));
        }
        Value::Dict(v) => v.iter().for_each(|(k, v)| {
            walk(k, depth + 1, visit);
            walk(v, depth + 1, visit);
        }),
        Value::Object { args, .. } => args.iter().for_each(|v| walk(v, depth + 1, visit)),
        Value::Persistent(id) => walk(id, depth + 1, visit),
        _ => {}
    }
}
