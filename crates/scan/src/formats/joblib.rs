//! joblib: raw arrays inside the pickle stream, and the older wrappers that name companion files.
//!
//! joblib's unpickler looks at every object that BUILD has finished: after a `NumpyArrayWrapper` it reads the
//! array from the same stream: from joblib 1.2 on a padding byte and as many bytes of padding, then the data;
//! an array of objects is a whole further pickle. (joblib/numpy_pickle.py, `NumpyArrayWrapper.read_array`)

use super::numpy;
use super::pickle_facts::Collector;
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_pickle::{End, Machine, PendingValue, Skip, Value};
use wb_verdict::{FactKind, GapReason, escape};

/// Called after each BUILD of an instance. Returns where joblib's reader goes on with opcodes, if it takes
/// bytes from the stream at `next`.
pub(super) fn after_build(
    cx: &mut Cx<'_>,
    blob: &Blob,
    object: &PendingValue<'_>,
    state: &PendingValue<'_>,
    next: u64,
) -> Option<Skip> {
    let made_by = object.made_by()?;
    // Whatever module it is reached through, it is the same class. Protocol 4 also finds the class through its package: `joblib` and `numpy_pickle.NumpyArrayWrapper`.
    match made_by.name.rsplit('.').next().unwrap_or_default() {
        "NumpyArrayWrapper" => {
            odd_state(cx, object.offset(), &state.value());
            if !made_by.module.contains("joblib") {
                let detail =
                    format!("{} is an array wrapper of joblib by another name", escape(&made_by.rendering));
                cx.structure(object.offset(), "joblib-array-alias", detail);
            }
            Some(array(cx, blob, state, next))
        }
        "NDArrayWrapper" | "ZNDArrayWrapper" => {
            // The companion is a file of its own and judged as such; a path out of the folder is not.
            if let Some(Value::Str { text, .. }) = state.get("filename").map(|v| v.value())
                && text.contains(['/', '\\'])
            {
                let detail =
                    format!("joblib loads the companion file '{}' with pickles allowed", escape(&text));
                cx.fact(
                    Some(object.offset()),
                    FactKind::Directive { code: "joblib-companion-file".into(), detail },
                );
            }
            None
        }
        _ => None,
    }
}

/// Attributes of a `NumpyArrayWrapper`. Any other can stand in the place of a method (`read`, `read_array`), and then
/// nobody knows what is taken from the stream.
const ATTRIBUTES: [&str; 6] =
    ["subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes"];

fn odd_state(cx: &mut Cx<'_>, at: u64, state: &Value) {
    let known = |key: &Value| key.as_str().is_some_and(|k| ATTRIBUTES.contains(&k));
    let odd = match state {
        Value::Dict(pairs) => pairs.iter().map(|(k, _)| k).find(|k| !known(k)),
        other => Some(other),
    };
    if let Some(odd) = odd {
        let name = odd.as_str().map_or_else(|| "an attribute without a name".to_owned(), escape);
        let detail = format!("the state of an array wrapper sets {name}, which joblib never does");
        cx.structure(at, "joblib-array-state", detail);
    }
}

/// Steps over the array that follows a wrapper with this state.
fn array(cx: &mut Cx<'_>, blob: &Blob, state: &PendingValue<'_>, next: u64) -> Skip {
    let end = blob.len();
    let only = |to| Skip { to, or: None };
    let Some((item_size, objects)) = state.get("dtype").and_then(|d| dtype(&d)) else {
        let what = "joblib array of an unknown dtype: where it ends is unknown";
        cx.gap(GapReason::UnsupportedVariant, Some(next), Some(end.saturating_sub(next)), what);
        return only(end);
    };
    if objects {
        return only(object_array(cx, blob, next));
    }
    let Some(count) = state.get("shape").and_then(|s| elements(&s.value())) else {
        cx.gap(
            GapReason::Malformed,
            Some(next),
            Some(end.saturating_sub(next)),
            "joblib array without a usable shape",
        );
        return only(end);
    };
    let aligned = state.get("numpy_array_alignment_bytes").is_some_and(|v| v.value() != Value::None);
    let padding = match aligned {
        true => match blob.read_range(next..next + 1).ok().and_then(|b| b.first().copied()) {
            Some(n) => 1 + u64::from(n),
            None => 0,
        },
        false => 0,
    };
    let stop = count.checked_mul(item_size).and_then(|n| n.checked_add(next)?.checked_add(padding));
    match stop {
        // Releases before 1.2 know of no padding and go on that much earlier.
        Some(stop) if stop <= end => Skip { to: stop, or: (padding > 0).then(|| stop - padding) },
        _ => {
            let detail = format!(
                "an array of {count} elements of {item_size} bytes, {} bytes are left",
                end - next.min(end)
            );
            cx.fact(Some(next), FactKind::Resource { code: "joblib-array-beyond-end".into(), detail });
            only(end)
        }
    }
}

/// An array of objects: a pickle of its own in the same stream, read by a fresh unpickler.
fn object_array(cx: &mut Cx<'_>, blob: &Blob, at: u64) -> u64 {
    let mut stop = blob.len();
    cx.enter(format!("array@{at:#x}").as_bytes(), |cx| {
        let budget = cx.budget.clone();
        let mut machine = Machine::new(blob, at, &budget);
        let mut collector = Collector::new(cx, blob, at);
        let run = machine.run(&mut collector);
        collector.note(&run);
        collector.finish(true);
        match run.end {
            End::Stop(next) => stop = next,
            End::Error { at, what } => {
                cx.stop(Stop::malformed(at, format!("the unpickler of an object array fails here: {what}")));
            }
            End::Exhausted(e) => cx.stop(e.into()),
            End::Io(e) => cx.stop(e.into()),
        }
    });
    stop
}

/// Item size in bytes of a pickled `numpy.dtype`, and whether it holds Python objects.
fn dtype(v: &PendingValue<'_>) -> Option<(u64, bool)> {
    let Value::Object { made_by, args } = v.value() else { return None };
    if !(made_by == "numpy.dtype" || made_by.ends_with(".dtype") || made_by.starts_with("numpy.dtypes.")) {
        return None;
    }
    let text = args.first().and_then(Value::as_str)?;
    // Fields that are aligned have gaps between them, of which only their offsets would tell.
    let packed = matches!(args.get(1), None | Some(Value::Bool(false) | Value::Int(0) | Value::None));
    if text.contains(',') && !packed {
        return None;
    }
    let descr = numpy::Descr::Text(text.to_string());
    let state = v.object_state().map(|s| s.value());
    // The state of a structured dtype holds its fields; objects may hide there.
    let hidden =
        state.as_ref().is_some_and(|s| names_object(s, 0)) || state.as_ref().is_some_and(flag_object);
    let objects = descr.has_objects() || hidden;
    let size = match &state {
        // Flexible types have the size that their state says.
        Some(state) if descr.is_flexible() => state_size(state),
        _ => descr.item_size(),
    };
    match size {
        Some(n) => Some((n, objects)),
        None if objects => Some((8, true)),
        None => None,
    }
}

/// The item size in a dtype's state (numpy/core/src/multiarray/descriptor.c, `arraydescr_setstate`): the sixth
/// element from version 2 on, before that one or two places earlier.
fn state_size(state: &Value) -> Option<u64> {
    let Value::Tuple(items) = state else { return None };
    let at = match items.len() {
        7..=9 => 5,
        6 => 4,
        5 => 3,
        _ => return None,
    };
    items.get(at).and_then(Value::as_int).and_then(|n| u64::try_from(n).ok())
}

/// Does a dtype's state mention an object dtype among its fields?
fn names_object(v: &Value, depth: u32) -> bool {
    if depth > 8 {
        return true;
    }
    match v {
        Value::Object { args, .. } => args
            .first()
            .and_then(Value::as_str)
            .is_some_and(|t| numpy::Descr::Text(t.to_string()).has_objects()),
        Value::Tuple(items) | Value::List(items) => items.iter().any(|i| names_object(i, depth + 1)),
        Value::Dict(pairs) => pairs.iter().any(|(_, v)| names_object(v, depth + 1)),
        _ => false,
    }
}

/// The last element of a dtype's state are its flags; bit 0 says that items hold objects.
fn flag_object(v: &Value) -> bool {
    match v {
        Value::Tuple(items) if items.len() >= 8 => {
            items.get(7).and_then(Value::as_int).is_some_and(|f| f & 1 == 1)
        }
        _ => false,
    }
}

/// The number of elements of a shape.
fn elements(shape: &Value) -> Option<u64> {
    match shape {
        Value::Tuple(dims) | Value::List(dims) => dims.iter().try_fold(1u64, |n, d| {
            let d = match d {
                Value::Int(d) => u64::try_from(*d).ok()?,
                Value::Bool(d) => u64::from(*d),
                _ => return None,
            };
            n.checked_mul(d)
        }),
        Value::Int(n) => u64::try_from(*n).ok(),
        _ => None,
    }
}
