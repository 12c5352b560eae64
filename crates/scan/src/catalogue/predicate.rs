//! Predicates over the arguments of a harmless use.

use super::inert::{
    answers, are_arrays, are_pairs, are_tensors, holds_arrays, holds_dtypes, is_contained, is_inert,
};
use super::lookup::{is_constant, is_dunder};
use super::tables::{Catalogue, Entry};
use super::vocabulary::{Args, Part};
use super::{of_name, text_run};
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
        // Where the class has a `__setstate__` of its own that takes pairs, nobody else looks into them.
        How::Build if !answers(call.asked) && !call.module.starts_with("numpy.random") => return Unproved,
        // What a partial calls is part of its state.
        How::Build if entry.args == Args::Partial => {
            let [Value::Tuple(state)] = call.args else { return Unproved };
            let [function, Value::Tuple(_), Value::Dict(_) | Value::None, Value::Dict(_) | Value::None] =
                &state[..]
            else {
                return Unproved;
            };
            return match callable_as_data(cat, function) {
                // A call put off is a call: what is suspicious as arguments is suspicious as a state.
                Class(CallClass::Unknown) => Class(CallClass::Unresolved),
                other => other,
            };
        }
        How::Build if entry.args == Args::ScipyDistribution && call.plain_args => {
            return as_class(text_run::distribution_state(call.args.first()));
        }
        How::Build if entry.args == Args::ModelFormula && call.plain_args => {
            return as_class(text_run::formula_state(cat, call.args.first()));
        }
        // These keep what they are given as attributes and look at none of it. Whoever is handed such an object later
        // is asked about it then; what is written into it after its state is a use of its own.
        How::Build if matches!(call.module, "collections" | "types" | "argparse") => {
            return yes(call.plain_args);
        }
        // Where arguments must be plain, so must what a state holds: such classes look into it.
        // What its numbers mean is looked at where it is built; metadata is kept.
        How::Build if entry.args == Args::Dtype => return yes(call.plain_args && holds_dtypes(cat, call)),
        How::Build if matches!(entry.args, Args::Plain | Args::Inert) => {
            return yes(call.plain_args && call.args.iter().all(is_inert));
        }
        How::Build if entry.args == Args::Versioned => {
            return yes(call.plain_args && call.args.iter().all(version_is_literal));
        }
        // Where arguments are converted as arrays are, so is a state.
        How::Build if entry.args == Args::Arrays && call.plain_args => return holds_arrays(cat, call),
        How::Build if entry.args == Args::DictState => {
            return yes(call.plain_args && matches!(call.args, [Value::Dict(_) | Value::None]));
        }
        How::Build => return yes(call.plain_args),
        How::Append | How::SetItem => return yes(items_are_not_asked(cat, call)),
        How::AddItems | How::Hash => return Harmless,
        _ => {}
    }
    let args = call.args;
    // Keywords take other ways through a callable than the arguments that a predicate names.
    let keywords = !call.kwargs.is_empty();
    match entry.args {
        Args::Any | Args::Versioned | Args::DictState => Harmless,
        Args::Inert => yes(is_contained(call)),
        // Keywords are held as well.
        Args::Arrays => holds_arrays(cat, call),
        Args::NoneFirst => yes(call.plain_args && matches!(args.first(), None | Some(Value::None))),
        Args::Plain | Args::Pattern | Args::ScipyDistribution | Args::ModelFormula => {
            // Strings and numbers cut off for length are plain all the same.
            yes(call.plain_args)
        }
        _ if keywords && entry.args != Args::Partial => Unproved,
        Args::Reconstructor => reconstructor(cat, args),
        Args::Newobj => newobj(cat, call),
        Args::Tensors => yes(are_tensors(cat, args)),
        Args::DateState => match args {
            // The packed form and a time zone, which is kept and not asked.
            [Value::Bytes { .. } | Value::Str { .. }, _] => Harmless,
            [Value::Object { made_by, .. }, _] => yes(made_by == "_codecs.encode"),
            _ => yes(args.iter().all(is_inert)),
        },
        Args::TextCodec => yes(matches!(args, [Value::Str { .. }])
            || matches!(args, [Value::Str { .. }, codec] if codec.as_str().is_some_and(is_text_codec))),
        Args::Partial => args.first().map_or(Unproved, |f| callable_as_data(cat, f)),
        Args::Factory => match args {
            [] => Harmless,
            [factory, rest @ ..] if rest.iter().all(|r| is_inert(r) || is_mapping(r)) => match factory {
                Value::None => Harmless,
                factory => callable_as_data(cat, factory),
            },
            _ => Unproved,
        },
        Args::AttributeNames => {
            yes(args.iter().all(|a| a.as_str().is_some_and(|s| s.split('.').all(is_public_name))))
        }
        Args::AttributeOfClass => attribute_of_class(cat, args),
        Args::Dtype => match args {
            [Value::Global { module, name }, rest @ ..] if rest.iter().all(is_inert) => {
                let numpy = module == "numpy" || module.starts_with("numpy.");
                yes(numpy || (module == "builtins" && !name.contains('.')))
            }
            _ => yes(args.iter().all(is_inert)),
        },
        Args::ArrayClass => array_class(cat, args),
        Args::Ufunc => match args {
            [module, name] => ufunc(cat, module, name),
            _ => Unproved,
        },
        Args::BitGenerator => yes(args.iter().all(|a| is_bit_generator(cat, a))),
        Args::RebuildFromType => rebuild_from_type(cat, args),
        Args::CallAndState => match args {
            [function, Value::Tuple(inner), states @ ..] if are_arrays(cat, states) => {
                array_made(cat, function, inner)
            }
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
            let [Value::Global { module, .. }, rest @ ..] = args else { return Unproved };
            yes(module == call.module && are_arrays(cat, rest))
        }
        Args::PandasIndex => match args {
            [Value::Global { module, name }, rest @ ..] => {
                let pandas = module == "pandas" || module.starts_with("pandas.");
                yes(pandas && name.ends_with("Index") && !name.contains('.') && are_arrays(cat, rest))
            }
            _ => Unproved,
        },
    }
}

/// True for containers that ask what is put into them which number it is, or for its items. Most just keep it.
pub(super) fn asks_items(module: &str, name: &str) -> bool {
    matches!((module, name), ("builtins", "bytearray" | "list") | ("collections", "deque"))
        || module.starts_with("scipy.sparse")
}

/// Does nothing that is put into such a container run anything of the stream's?
fn items_are_not_asked(cat: &Catalogue<'_>, call: &Call<'_>) -> bool {
    if !asks_items(call.module, call.name) || call.plain_args || call.args.iter().all(is_inert) {
        return true;
    }
    match (call.name, call.how) {
        ("list" | "deque", How::Append) => true,
        // A slice takes whatever the value yields.
        ("list" | "deque", _) => {
            call.args.iter().step_by(2).all(|key| matches!(key, Value::Int(_) | Value::Bool(_)))
        }
        _ => call.module != "builtins" && are_arrays(cat, call.args),
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

/// `copyreg.__newobj__(cls, *args)`, `copyreg.__newobj_ex__(cls, args, kwargs)`: what opcodes of their own do later.
fn newobj(cat: &Catalogue<'_>, call: &Call<'_>) -> Outcome {
    let Some((class, rest)) = call.args.split_first() else { return Unproved };
    match (call.name, rest) {
        ("__newobj_ex__", [Value::Tuple(args), Value::Dict(kwargs)]) => {
            rebuilt(cat, class, How::NewobjEx, args, kwargs)
        }
        ("__newobj_ex__", _) => Unproved,
        _ => rebuilt(cat, class, How::Newobj, rest, &[]),
    }
}

/// `cls.__new__(cls, *args, **kwargs)` of an imported class, judged as the opcode that does the same.
fn rebuilt(
    cat: &Catalogue<'_>,
    class: &Value,
    how: How,
    args: &[Value],
    kwargs: &[(Value, Value)],
) -> Outcome {
    let plain_args =
        args.iter().all(Value::is_plain) && kwargs.iter().all(|(k, v)| k.is_plain() && v.is_plain());
    match class {
        Value::Global { module, name } => {
            let call = Call { how, args, kwargs, plain_args, ..Call::import(module, name) };
            match super::classify_in(cat, &call) {
                // No plain rebuilding of an unknown class, so nothing that may pass as one.
                CallClass::Unknown if !plain_args => Class(CallClass::KnownUncatalogued),
                class => as_class(class),
            }
        }
        // A class made by the stream; the serialisers that make classes are judged where they do.
        Value::Object { made_by, .. } if cat.carries_any_split(made_by).is_some() => {
            Class(CallClass::CarriesCode)
        }
        _ => Unproved,
    }
}

/// `object.__new__(cls)`, or `base.__new__(cls, state)` and `base.__init__(obj, state)` of a built-in base.
fn reconstructor(cat: &Catalogue<'_>, args: &[Value]) -> Outcome {
    let [class, Value::Global { module, name: base }, state] = args else { return Unproved };
    let class = rebuilt(cat, class, How::Newobj, &[], &[]);
    if matches!(class, Class(CallClass::Dangerous { .. })) || module != "builtins" {
        return if module == "builtins" { class } else { Unproved };
    }
    let state = std::slice::from_ref(state);
    let call = Call {
        how: How::Newobj,
        args: state,
        plain_args: state.iter().all(Value::is_plain),
        ..Call::import(module, base)
    };
    // What a set or dict is filled with is hashed: here no use of its own tells of it.
    let hashes = matches!(base.as_str(), "set" | "frozenset" | "dict")
        && matches!(state, [Value::List(_) | Value::Tuple(_)])
        && !state.iter().all(is_inert);
    let proved = base == "object" || (!hashes && super::classify_in(cat, &call) == CallClass::Harmless);
    if proved { class } else { Unproved }
}

/// Classes of arrays, whose `__array_finalize__` or `__new__` runs, then shape and type.
fn array_class(cat: &Catalogue<'_>, args: &[Value]) -> Outcome {
    let classes = args.iter().take_while(|a| matches!(a, Value::Global { .. })).count();
    let (classes, rest) = args.split_at(classes);
    if classes.is_empty() || !rest.iter().all(is_inert) {
        return Unproved;
    }
    for class in classes {
        let Value::Global { module, name } = class else { return Unproved };
        let of_arrays = module.starts_with("numpy")
            || (module == "pandas.core.indexes.frozen" && name == "FrozenNDArray");
        let reviewed = cat
            .harmless(module, name)
            .is_some_and(|e| !e.derived && e.allows(How::Data) && e.allows(How::Build) && of_arrays);
        if !reviewed {
            return match of_name(cat, module, name, How::Data) {
                CallClass::Harmless => Unproved,
                class => Class(class),
            };
        }
    }
    Harmless
}

/// `array = function(*args); array.__setstate__(state)` with numpy's own function.
fn array_made(cat: &Catalogue<'_>, function: &Value, args: &[Value]) -> Outcome {
    match (inner_call(cat, function, args), function) {
        (Harmless, Value::Global { name, .. }) if name != "_reconstruct" => Unproved,
        (outcome, _) => outcome,
    }
}

/// A dict of the stream's own, or pairs.
fn is_mapping(value: &Value) -> bool {
    match value {
        Value::Dict(_) => true,
        Value::List(pairs) | Value::Tuple(pairs) => are_pairs(pairs),
        _ => false,
    }
}

fn attribute_of_class(cat: &Catalogue<'_>, args: &[Value]) -> Outcome {
    if let [Value::Object { made_by, .. }, attribute] = args {
        return attribute.as_str().map_or(Unproved, |a| method_of_instance(cat, made_by, a));
    }
    let [Value::Global { module, name }, attribute] = args else { return Unproved };
    let Some(attribute) = attribute.as_str() else { return Unproved };
    if name.is_empty() {
        return Unproved;
    }
    if is_listed_method(cat, module, name, attribute) {
        return Harmless;
    }
    if !is_public_name(attribute) {
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

/// A bound method, which is pickled as `getattr(instance, name)`: harmless if it is listed, suspicious of any other
/// instance of a class; what reaches further stays dangerous.
fn method_of_instance(cat: &Catalogue<'_>, made_by: &str, attribute: &str) -> Outcome {
    let Some((module, name)) = made_by.rsplit_once('.') else { return Unproved };
    if is_listed_method(cat, module, name, attribute) {
        return Harmless;
    }
    let is_class = name.trim_start_matches('_').starts_with(char::is_uppercase) || made_by == "re._compile";
    let dangerous = cat.danger_of(module, name, How::Reduce).is_some()
        || is_dunder(attribute)
        || attribute.contains('.')
        || cat.is_code_word(attribute);
    if is_class && !dangerous { Class(CallClass::Unresolved) } else { Unproved }
}

/// A member that is listed by its own name.
pub(super) fn is_listed_method(cat: &Catalogue<'_>, module: &str, name: &str, attribute: &str) -> bool {
    !attribute.contains('.')
        && !is_dunder(attribute)
        && cat.harmless(module, &format!("{name}.{attribute}")).is_some_and(|e| e.allows(How::Data))
}

/// `function(*args)` as an instance of `kind`, on which the state is set.
fn rebuild_from_type(cat: &Catalogue<'_>, args: &[Value]) -> Outcome {
    let [function, kind, Value::Tuple(inner), state] = args else { return Unproved };
    match (inner_call(cat, function, inner), kind) {
        // Tensors as such have no `__setstate__`; those of a subclass are harmless if its states are.
        (Harmless, Value::Global { module, name }) => {
            let plain = matches!(
                (&module[..], &name[..]),
                ("torch", "Tensor") | ("torch.nn.parameter", "Parameter" | "Buffer")
            );
            let built = plain || cat.harmless(module, name).is_some_and(|e| e.allows(How::Build));
            match as_class(of_name(cat, module, name, How::Data)) {
                Harmless => yes(built && are_tensors(cat, std::slice::from_ref(state))),
                other => other,
            }
        }
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
    let plain_args = args.iter().all(Value::is_plain);
    let call = Call { how: How::Reduce, args, plain_args, ..Call::import(module, name) };
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

fn is_bit_generator(cat: &Catalogue<'_>, value: &Value) -> bool {
    match value {
        Value::Str { text, .. } => {
            matches!(text.as_str(), "MT19937" | "PCG64" | "PCG64DXSM" | "Philox" | "SFC64")
        }
        // A class, or the function that makes one: both are called.
        Value::Global { module, name } => {
            module.starts_with("numpy.random.")
                && of_name(cat, module, name, How::Data) == CallClass::Harmless
        }
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

/// Is what a state says of the version that wrote it a literal, if it says anything?
pub(super) fn version_is_literal(state: &Value) -> bool {
    match state {
        Value::Dict(items) => items.iter().all(|(key, value)| match key.as_str() {
            Some("_sklearn_version") => value.is_plain(),
            Some(_) => true,
            // Cut off, or no text: it may be the version.
            None => false,
        }),
        Value::Tuple(parts) => parts.iter().all(version_is_literal),
        Value::None => true,
        other => other.is_plain(),
    }
}
