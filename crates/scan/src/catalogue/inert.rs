//! What library code can be handed without running code of the stream's choice.
//!
//! A stream can set attributes on most objects that it makes, and library code asks its arguments for attributes and
//! methods: `dict(x)` calls `x.keys`, `numpy.dtype(x)` reads `x.dtype`, `torch.nn.Parameter(x)` calls `x.detach`.
//! An attribute set to a `partial`, or a class with a `__getattr__` of its own, makes a call of that without any call
//! opcode. So where a function touches what it is given, only values without such attributes are proved.

use super::lookup::uncalled_data;
use super::predicate::Outcome;
use super::tables::Catalogue;
use wb_pickle::{Call, Held, Value};
use wb_verdict::{CallClass, How};

/// Makers of objects that are immutable, have no attributes of their own, and run nothing but C code of their own
/// when they are hashed, compared, converted or iterated.
const IMMUTABLE: [&str; 19] = [
    "_codecs.encode",
    "builtins.int",
    "builtins.float",
    "builtins.complex",
    "builtins.bool",
    "builtins.str",
    "builtins.bytes",
    "builtins.bytearray",
    "builtins.tuple",
    "builtins.frozenset",
    "builtins.slice",
    "builtins.range",
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    "numpy.dtype",
    "torch.Size",
    "torch.device",
    "torch.serialization._get_layout",
];

/// Functions that make a tensor or a storage of their arguments.
const TENSOR_MAKERS: [&str; 5] = [
    "torch._utils._rebuild_",
    "torch._tensor._rebuild_from_type_v2",
    "torch.storage._load_from_bytes",
    "torch.Tensor",
    "torch._C.Size",
];

/// True for literals, containers of inert values, and objects that have nothing a stream could have set.
pub(super) fn is_inert(value: &Value) -> bool {
    match value {
        Value::Tuple(v) | Value::List(v) | Value::Set(v) | Value::FrozenSet(v) => v.iter().all(is_inert),
        Value::Dict(v) => v.iter().all(|(k, v)| is_inert(k) && is_inert(v)),
        Value::Object { made_by, args } => is_immutable(made_by) && args.iter().all(is_inert_argument),
        Value::Global { .. } | Value::Persistent(_) | Value::Opaque | Value::Truncated => false,
        _ => true,
    }
}

/// `numpy.core.multiarray.scalar` of an object dtype hands its argument back: what it was given must be inert too.
fn is_immutable(made_by: &str) -> bool {
    const KINDS: [&str; 8] = ["bool", "int", "uint", "float", "complex", "str_", "bytes_", "longdouble"];
    let scalar = |name: &str| {
        matches!(name, "core.multiarray.scalar" | "_core.multiarray.scalar")
            || KINDS.iter().any(|k| name.strip_prefix(k).is_some_and(is_width))
    };
    IMMUTABLE.contains(&made_by)
        || made_by.starts_with("datetime.")
        || made_by.strip_prefix("numpy.").is_some_and(scalar)
}

/// What follows the kind in the name of a scalar type: `64`, `_` or nothing.
fn is_width(rest: &str) -> bool {
    rest == "_" || rest.bytes().all(|b| b.is_ascii_digit())
}

/// Inside the makers above numpy's own types are arguments too.
fn is_inert_argument(value: &Value) -> bool {
    is_inert(value) || matches!(value, Value::Global { module, .. } if module == "numpy")
}

/// Can all of these be asked whether they are true, and for their `items`, without running anything of the stream's?
///
/// `BUILD` of an object without `__setstate__` does so with its state and the halves of a pair. A class that has one
/// takes what it likes.
pub(super) fn answers(asked: &[Held]) -> bool {
    asked.iter().all(|held| match held {
        Held::Object { module, name } => {
            let made_by = format!("{module}.{name}");
            let array = makes_arrays(&made_by) || made_by.starts_with("torch._utils._rebuild_");
            // A method of theirs that a state replaces is told.
            let container = matches!(module.as_str(), "collections" | "builtins")
                && matches!(
                    name.as_str(),
                    "OrderedDict" | "defaultdict" | "Counter" | "deque" | "list" | "dict" | "set"
                );
            is_immutable(&made_by) || (array && name != "scalar") || container
        }
        Held::Import { .. } | Held::Unknown => false,
    })
}

/// Makers of arrays, frames, columns, and the time zones of indexes.
const ARRAY_MAKERS: [&str; 12] = [
    "numpy.",
    "pandas.",
    "scipy.sparse.",
    // joblib puts the array in the wrapper's place.
    "joblib.numpy_pickle.NumpyArrayWrapper",
    "sklearn.externals.joblib.numpy_pickle.NumpyArrayWrapper",
    "pyarrow.lib.",
    "pytz.",
    "dateutil.tz.",
    "dateutil.zoneinfo.",
    "dateutil.relativedelta.",
    "datetime.",
    "zoneinfo.",
];

fn makes_arrays(made_by: &str) -> bool {
    ARRAY_MAKERS.iter().any(|m| made_by.starts_with(m))
}

/// Does the call hold nothing but what [`are_arrays`] takes, however deep and wide?
///
/// pandas iterates over its arguments, asks them for `__array__` and `keys`, and so runs code of any other object's
/// class: a lazy sequence calls the function it keeps, a corpus opens the file it names.
pub(super) fn holds_arrays(cat: &Catalogue<'_>, call: &Call<'_>) -> Outcome {
    // Made up by a predicate from the arguments of another call.
    let told = |v: &Value| are_arrays(cat, std::slice::from_ref(v));
    let keywords = || call.kwargs.iter().all(|(k, v)| is_inert(k) && told(v));
    if call.holds.is_empty() && !call.plain_args && !(call.args.iter().all(told) && keywords()) {
        return Outcome::Class(CallClass::KnownUncatalogued);
    }
    let mut unknown = false;
    for held in call.holds {
        match held {
            Held::Import { module, name } if uncalled_data(cat, module, name) => {}
            // Judged as the import that it is; asked for attributes it can be anything.
            Held::Import { .. } | Held::Unknown => return Outcome::Class(CallClass::KnownUncatalogued),
            Held::Object { module, name } => {
                let made_by = format!("{module}.{name}");
                // What these hand on is held by the call as well.
                let passes_on = module == "builtins" || name == "scalar";
                if makes_arrays(&made_by) || passes_on || is_immutable(&made_by) {
                    continue;
                }
                // A column type of an uncatalogued package runs its own code, as it does where it is rebuilt.
                let foreign = super::of_name(cat, module, name, How::Newobj) == CallClass::Unknown
                    && cat.harmless(module, name).is_none();
                if !foreign {
                    return Outcome::Class(CallClass::KnownUncatalogued);
                }
                unknown = true;
            }
        }
    }
    if unknown { Outcome::Class(CallClass::Unknown) } else { Outcome::Harmless }
}

/// Does the call hold nothing but immutable objects, and names that are harmless as data?
pub(super) fn holds_dtypes(cat: &Catalogue<'_>, call: &Call<'_>) -> bool {
    call.holds.iter().all(|held| match held {
        Held::Import { module, name } => uncalled_data(cat, module, name),
        Held::Object { module, name } => is_immutable(&format!("{module}.{name}")),
        Held::Unknown => false,
    })
}

/// Arrays, frames and what they are made of.
pub(super) fn are_arrays(cat: &Catalogue<'_>, values: &[Value]) -> bool {
    all(values, &|v| match v {
        Value::Object { made_by, .. } => makes_arrays(made_by) && !made_by.ends_with(".scalar"),
        Value::Global { module, name } => uncalled_data(cat, module, name),
        _ => false,
    })
}

/// Tensors, storages and what they are made of.
pub(super) fn are_tensors(cat: &Catalogue<'_>, values: &[Value]) -> bool {
    all(values, &|v| match v {
        Value::Object { made_by, .. } => {
            TENSOR_MAKERS.iter().any(|m| made_by.starts_with(m))
                || made_by.starts_with("numpy.") && made_by.ends_with("._reconstruct")
                // Hooks; they are called when the model is trained, and judged where they are made.
                || made_by == "collections.OrderedDict"
        }
        Value::Persistent(_) => true,
        Value::Global { module, name } => {
            (module == "torch" || module.starts_with("torch.")) && uncalled_data(cat, module, name)
        }
        _ => false,
    })
}

/// True if all values are inert, satisfy `known`, or are containers of such.
fn all(values: &[Value], known: &dyn Fn(&Value) -> bool) -> bool {
    values.iter().all(|value| match value {
        Value::Tuple(v) | Value::List(v) | Value::Set(v) | Value::FrozenSet(v) => all(v, known),
        Value::Dict(v) => v.iter().all(|(k, v)| is_inert(k) && all(std::slice::from_ref(v), known)),
        value => is_inert(value) || known(value),
    })
}

/// The arguments of a call or `new` of a built-in container or another type that asks what it is given.
///
/// Items of a container that the stream itself built may be anything: they are moved, not asked. Where they are
/// hashed (`set`, keys of `dict`) the machine tells of that as a use of its own.
pub(super) fn is_contained(call: &Call<'_>) -> bool {
    if !call.kwargs.iter().all(|(k, v)| is_inert(k) && is_inert(v)) {
        return false;
    }
    let Some((first, rest)) = call.args.split_first() else { return true };
    if call.plain_args || call.args.iter().all(is_inert) {
        return true;
    }
    if !rest.iter().all(is_inert) || !matches!(call.module, "builtins" | "collections") {
        return false;
    }
    match (call.name, first) {
        ("slice" | "object", _) => true,
        ("list" | "tuple" | "deque", first) => is_container(first),
        // What they hash is a use of its own, told by the machine.
        ("set" | "frozenset", first) => is_container(first),
        ("dict" | "OrderedDict" | "Counter", Value::Dict(_)) => true,
        ("dict" | "OrderedDict", Value::List(pairs) | Value::Tuple(pairs)) => are_pairs(pairs),
        _ => false,
    }
}

fn is_container(value: &Value) -> bool {
    use Value::{Dict, FrozenSet, List, Set, Tuple};
    matches!(value, List(_) | Tuple(_) | Set(_) | FrozenSet(_) | Dict(_))
}

/// Pairs as far as they are shown; of long lists the machine tells what is no pair. Their keys are hashed, which is a
/// use of its own.
pub(super) fn are_pairs(pairs: &[Value]) -> bool {
    pairs.iter().all(|pair| match pair {
        Value::List(pair) | Value::Tuple(pair) => pair.len() == 2,
        Value::Truncated | Value::PlainRest => true,
        _ => false,
    })
}
