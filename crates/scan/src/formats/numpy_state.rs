//! The state of a pickled `numpy.dtype`: numpy takes it as it is, and reads memory by it.
//!
//! `arraydescr_setstate` (numpy/_core/src/multiarray/descriptor.c) copies item size, offsets and flags without comparing
//! them. An object dtype whose flags deny it, or a field that does, makes numpy follow numbers in the file as pointers:
//! `scalar(dtype, bytes)` does so while the pickle is still being loaded, and no name in it is unusual. What numpy's own
//! `arraydescr_reduce` writes agrees with itself; everything else is told.

use super::numpy::Descr;
use crate::cx::Cx;
use wb_pickle::{PendingValue, Value};

/// Items hold references to Python objects.
const REFCOUNT: i64 = 1;
/// Pickled as a list.
const LIST_PICKLE: i64 = 2;
/// Items are pointers themselves.
const IS_POINTER: i64 = 4;

/// Dtypes inside dtypes that are followed.
const MAX_DEPTH: u32 = 16;

/// Called after each BUILD of an instance.
pub(super) fn after_build(cx: &mut Cx<'_>, object: &PendingValue<'_>, state: &PendingValue<'_>) {
    if !is_dtype(object) {
        return;
    }
    let odd = match object.was_used_before_build() {
        true => Some("its state is set after it was used"),
        false => contradiction(object, state),
    };
    if let Some(what) = odd {
        cx.structure(object.offset(), "numpy-dtype-state", format!("a dtype contradicts itself: {what}"));
    }
}

fn is_dtype(v: &PendingValue<'_>) -> bool {
    v.made_by().is_some_and(|c| c.module == "numpy" && c.name == "dtype")
}

/// The parts of a state that say how memory is read.
struct State<'a> {
    version: i64,
    subarray: Option<PendingValue<'a>>,
    names: Option<PendingValue<'a>>,
    fields: Option<PendingValue<'a>>,
    item_size: i64,
    alignment: i64,
    flags: i64,
}

fn parts<'a>(state: &'a PendingValue<'_>) -> Option<State<'a>> {
    let items = state.items()?;
    let long = items.len();
    let mut items = items.into_iter();
    let mut next = || items.next();
    let some = |v: PendingValue<'a>| (v.value() != Value::None).then_some(v);
    let int = |v: PendingValue<'a>| v.value().as_int();
    // Version 0 had no number of its own.
    let version = if long == 5 { 0 } else { int(next()?)? };
    let _byte_order = next()?;
    let subarray = some(next()?);
    let names = if long >= 7 { some(next()?) } else { None };
    let fields = some(next()?);
    let (item_size, alignment) = (int(next()?)?, int(next()?)?);
    let flags = if long >= 8 { int(next()?)? } else { 0 };
    (5..=9).contains(&long).then_some(State { version, subarray, names, fields, item_size, alignment, flags })
}

/// The text that the dtype was made of. Records are raw bytes with a class of their own.
fn text(dtype: &PendingValue<'_>) -> Option<String> {
    let Value::Object { args, .. } = dtype.value() else { return None };
    match args.first()? {
        Value::Global { module, name } if module == "numpy" || module.starts_with("numpy.") => {
            matches!(name.as_str(), "record" | "void").then(|| "V".to_string())
        }
        first => first.as_str().map(str::to_string),
    }
}

/// What in the state contradicts the dtype, if anything does.
fn contradiction(dtype: &PendingValue<'_>, state: &PendingValue<'_>) -> Option<&'static str> {
    let Value::Object { args, .. } = dtype.value() else { return Some("what it is made of is unknown") };
    // Without a copy the state is that of a dtype which the whole process shares.
    let copied = matches!(args.get(2), Some(Value::Bool(true) | Value::Int(1)));
    if !copied {
        return Some("a state for a dtype that is no copy");
    }
    let Some(text) = text(dtype) else { return Some("a state for a dtype that is not made of a text") };
    let Some(s) = parts(state) else { return Some("a state of unknown shape") };
    let descr = Descr::Text(text);
    let flexible = descr.is_flexible();
    let Some(size) = (if flexible { u64::try_from(s.item_size).ok() } else { descr.item_size() }) else {
        return Some("an item size that is no size");
    };
    if !(s.alignment == -1 || (1..=64).contains(&s.alignment) && s.alignment.count_ones() == 1) {
        return Some("an impossible alignment");
    }
    let mut objects = descr.has_objects();
    if let Some(sub) = &s.subarray {
        match subarray(sub) {
            Some((wanted, holds)) if wanted == size => objects |= holds,
            Some(_) => return Some("the item size is not that of its subarray"),
            None => return Some("a subarray that cannot be told"),
        }
    }
    if s.fields.is_some() || s.names.is_some() {
        match fields(s.fields.as_ref(), s.names.as_ref(), size) {
            Ok(holds) => objects |= holds,
            Err(what) => return Some(what),
        }
    }
    // Before version 3 numpy works the flags out by itself.
    if s.version < 3 {
        return None;
    }
    let wanted = match objects {
        true if descr.has_objects() => REFCOUNT | LIST_PICKLE | IS_POINTER,
        true => REFCOUNT | LIST_PICKLE,
        false => 0,
    };
    let mask = if objects { wanted } else { REFCOUNT | LIST_PICKLE | IS_POINTER };
    (s.flags & mask != wanted).then_some(match objects {
        true => "its flags deny that it holds objects",
        false => "its flags say that it holds objects, and it holds none",
    })
}

/// Item size of a dtype that stands inside another one, and whether it holds objects.
fn inner(dtype: &PendingValue<'_>, depth: u32) -> Option<(u64, bool)> {
    if depth > MAX_DEPTH || !is_dtype(dtype) {
        return None;
    }
    let descr = Descr::Text(text(dtype)?);
    // Set before it is used, and looked at then.
    let state = dtype.object_state()?;
    let s = parts(&state)?;
    let size = if descr.is_flexible() { u64::try_from(s.item_size).ok()? } else { descr.item_size()? };
    let inside = |v: &PendingValue<'_>| inner(v, depth + 1).is_some_and(|(_, holds)| holds);
    let by_fields = s.fields.as_ref().and_then(PendingValue::entries).is_some_and(|all| {
        all.iter().any(|(_, field)| field.items().is_some_and(|f| f.first().is_some_and(inside)))
    });
    let by_subarray =
        s.subarray.as_ref().and_then(PendingValue::items).is_some_and(|i| i.first().is_some_and(inside));
    Some((size, descr.has_objects() || s.flags & REFCOUNT != 0 || by_fields || by_subarray))
}

/// Size of a `(dtype, shape)` and whether it holds objects.
fn subarray(sub: &PendingValue<'_>) -> Option<(u64, bool)> {
    let items = sub.items()?;
    let [dtype, shape] = &items[..] else { return None };
    let (size, holds) = inner(dtype, 0)?;
    let count = match shape.value() {
        Value::Int(n) => u64::try_from(n).ok()?,
        Value::Tuple(dims) => {
            dims.iter().try_fold(1u64, |n, d| n.checked_mul(u64::try_from(d.as_int()?).ok()?))?
        }
        _ => return None,
    };
    Some((size.checked_mul(count)?, holds))
}

/// Do the fields lie inside the item, and is there one for each name? Whether any of them holds objects.
fn fields(
    fields: Option<&PendingValue<'_>>,
    names: Option<&PendingValue<'_>>,
    size: u64,
) -> Result<bool, &'static str> {
    let (Some(fields), Some(names)) = (fields, names) else { return Err("names without fields") };
    let (Some(entries), Some(names)) = (fields.entries(), names.items()) else {
        return Err("fields that cannot be told");
    };
    let known: std::collections::HashSet<String> =
        entries.iter().filter_map(|(k, _)| k.value().as_str().map(str::to_string)).collect();
    if !names.iter().all(|n| n.value().as_str().is_some_and(|n| known.contains(n))) {
        return Err("a name without a field");
    }
    let mut holds = false;
    for (_, field) in &entries {
        let parts = field.items().unwrap_or_default();
        let [dtype, offset, ..] = &parts[..] else { return Err("a field without an offset") };
        let Some((inner_size, objects)) = inner(dtype, 0) else { return Err("a field of an unknown dtype") };
        let end = offset
            .value()
            .as_int()
            .and_then(|n| u64::try_from(n).ok())
            .and_then(|n| n.checked_add(inner_size));
        if end.is_none_or(|end| end > size) {
            return Err("a field lies outside the item");
        }
        holds |= objects;
    }
    Ok(holds)
}
