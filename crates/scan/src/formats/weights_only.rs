//! What torch's weights-only unpickler takes: `torch.load(weights_only=True)`, the default since torch 2.6.
//!
//! It knows half of the opcodes (the machine counts the others), hands out names from a fixed list only, sets state on
//! what these made only, appends to plain lists and sets items of dicts, OrderedDicts and Counters only, and takes no
//! persistent ids but those of storages. It stops with an error at the first thing else, before doing it.
//! Source: torch/_weights_only_unpickler.py and the lists it names in torch/__init__.py and torch/storage.py.

use wb_pickle::Callee;
use wb_verdict::How;

/// The loader's id in [`wb_verdict::FactKind::Refused`].
pub(crate) const LOADER: &str = "weights-only";

const NAMES: &[(&str, &[&str])] = &[
    ("collections", &["OrderedDict", "Counter"]),
    ("torch.nn.parameter", &["Parameter"]),
    ("torch.serialization", &["_get_layout"]),
    ("torch", &["Size", "Tensor", "device"]),
    ("_codecs", &["encode"]),
    ("builtins", &["bytearray", "set", "complex"]),
    (
        "torch._utils",
        &[
            "_rebuild_parameter",
            "_rebuild_parameter_with_state",
            "_rebuild_qtensor",
            "_rebuild_tensor",
            "_rebuild_tensor_v2",
            "_rebuild_tensor_v3",
            "_rebuild_sparse_tensor",
            "_rebuild_meta_tensor_no_storage",
            "_rebuild_wrapper_subclass",
            "_rebuild_device_tensor_from_numpy",
            "_rebuild_device_tensor_from_cpu_tensor",
        ],
    ),
    ("torch._tensor", &["_rebuild_from_type_v2"]),
    ("torch.storage", &["TypedStorage", "UntypedStorage"]),
];

/// dtypes and quantisation schemes, as `str` writes them.
const DTYPES: &[&str] = &[
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "complex128",
    "complex64",
    "complex32",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "uint16",
    "uint32",
    "uint64",
    "quint8",
    "qint8",
    "qint32",
    "quint4x2",
    "quint2x4",
    "float8_e5m2",
    "float8_e4m3fn",
    "float8_e5m2fnuz",
    "float8_e4m3fnuz",
    "float8_e8m0fnu",
    "float4_e2m1fn_x2",
    "bits8",
    "bits16",
    "bits1x8",
    "bits2x4",
    "bits4x2",
    "uint1",
    "uint2",
    "uint3",
    "uint4",
    "uint5",
    "uint6",
    "uint7",
    "int1",
    "int2",
    "int3",
    "int4",
    "int5",
    "int6",
    "int7",
    "per_tensor_affine",
    "per_tensor_symmetric",
    "per_channel_affine",
    "per_channel_symmetric",
    "per_channel_affine_float_qparams",
];

/// Element types that storage and tensor classes are named by.
const ELEMENTS: &[&str] = &[
    "Double",
    "Float",
    "Half",
    "BFloat16",
    "Long",
    "Int",
    "Short",
    "Char",
    "Byte",
    "Bool",
    "ComplexDouble",
    "ComplexFloat",
    "QUInt8",
    "QInt8",
    "QInt32",
    "QUInt4x2",
    "QUInt2x4",
];

/// True for names it hands out without being told to by `add_safe_globals`.
pub(super) fn allows(module: &str, name: &str) -> bool {
    if NAMES.iter().any(|(m, names)| *m == module && names.contains(&name)) {
        return true;
    }
    let element = |suffix: &str| name.strip_suffix(suffix).is_some_and(|e| ELEMENTS.contains(&e));
    match module {
        "torch" => DTYPES.contains(&name) || element("Storage") || element("Tensor"),
        "torch.cuda" => element("Storage") || element("Tensor"),
        "torch.sparse" | "torch.cuda.sparse" => element("Tensor"),
        _ => false,
    }
}

/// Why it stops at this use of an import, if it does. `on_import` as in [`wb_pickle::Call`].
pub(super) fn refuses(callee: &Callee, how: How, on_import: bool) -> Option<String> {
    let name = if callee.rendering.is_empty() { "something computed" } else { &callee.rendering };
    if callee.module.is_empty() || !allows(&callee.module, &callee.name) {
        return Some(format!("{name} is not among the names it allows"));
    }
    let counted = matches!(callee.name.as_str(), "OrderedDict" | "Counter");
    match how {
        How::Append | How::AddItems => Some(format!("it appends to lists only, not to what {name} made")),
        How::SetItem if !counted || on_import => {
            Some(format!("it sets items of dicts only, not of what {name} made"))
        }
        How::Build if on_import => Some(format!("it sets no state on {name} itself")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callee(module: &str, name: &str) -> Callee {
        Callee {
            module: module.into(),
            name: name.into(),
            rendering: format!("{module}.{name}"),
            ..Callee::default()
        }
    }

    #[test]
    fn names_of_checkpoints_are_allowed_and_others_are_not() {
        for (m, n) in [
            ("torch", "FloatStorage"),
            ("torch", "bfloat16"),
            ("torch.cuda", "HalfTensor"),
            ("torch._utils", "_rebuild_tensor_v2"),
            ("collections", "OrderedDict"),
        ] {
            assert!(allows(m, n), "{m}.{n}");
        }
        for (m, n) in [("posix", "system"), ("torch", "load"), ("builtins", "getattr"), ("numpy", "dtype")] {
            assert!(!allows(m, n), "{m}.{n}");
        }
    }

    #[test]
    fn allowed_names_are_not_allowed_in_every_way() {
        let dict = callee("collections", "OrderedDict");
        assert_eq!(refuses(&dict, How::SetItem, false), None);
        assert_eq!(refuses(&dict, How::Build, false), None);
        assert!(refuses(&dict, How::Build, true).is_some());
        assert!(refuses(&dict, How::Append, false).is_some());
        assert!(refuses(&callee("torch", "Size"), How::SetItem, false).is_some());
        assert!(refuses(&callee("posix", "system"), How::Data, false).unwrap().contains("posix.system"));
    }
}
