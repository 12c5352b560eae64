//! Which names Keras itself resolves, and to what. `names.txt` is written by `tools/keras-names/derive.py` from the
//! sources of Keras 1.2 to 3.15 and tf_keras; what is not listed is not harmless.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// Data with a tag of its own: `keras.saving.serialization_lib` turns these into tensors, bytes, slices and the like
/// before it looks any name up.
pub(super) const PLAIN: &[&str] = &[
    "__keras_tensor__",
    "__tensor__",
    "__numpy__",
    "__bytes__",
    "__ellipsis__",
    "__slice__",
    "__tuple__",
    "__set__",
    "__complex__",
    "TensorShape",
    "TypeSpec",
    "CompositeTensor",
];

/// Feature columns of TensorFlow, which configurations of `DenseFeatures` hold.
const COLUMNS: &[&str] = &[
    "NumericColumn",
    "BucketizedColumn",
    "EmbeddingColumn",
    "SharedEmbeddingColumn",
    "CrossedColumn",
    "IndicatorColumn",
    "HashedCategoricalColumn",
    "IdentityCategoricalColumn",
    "VocabularyListCategoricalColumn",
    "VocabularyFileCategoricalColumn",
    "WeightedCategoricalColumn",
    "SequenceCategoricalColumn",
    "SequenceNumericColumn",
];

/// Type specifications that `__typespec__` may name.
pub(super) const TYPE_SPECS: &[&str] =
    &["TensorSpec", "RaggedTensorSpec", "SparseTensorSpec", "IndexedSlicesSpec", "OptionalSpec"];

struct Table {
    classes: HashMap<&'static str, HashSet<&'static str>>,
    functions: HashMap<&'static str, HashSet<&'static str>>,
    /// Class names anywhere in Keras, lower-case: old configurations name no module, and optimizers in any case.
    any_class: HashSet<String>,
    any_function: HashSet<&'static str>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut t = Table {
            classes: HashMap::new(),
            functions: HashMap::new(),
            any_class: COLUMNS.iter().map(|c| c.to_ascii_lowercase()).collect(),
            any_function: HashSet::new(),
        };
        for line in include_str!("names.txt").lines() {
            let mut words = line.split(' ');
            let (Some(kind), Some(module)) = (words.next(), words.next()) else { continue };
            if kind == "class" {
                let home = t.classes.entry(module).or_default();
                for name in words {
                    home.insert(name);
                    t.any_class.insert(name.to_ascii_lowercase());
                }
            } else {
                let home = t.functions.entry(module).or_default();
                for name in words {
                    home.insert(name);
                    t.any_function.insert(name);
                }
            }
        }
        t
    })
}

/// A class that rebuilds from plain configuration, under whatever module of Keras: no other class has its name.
pub(super) fn is_class(name: &str) -> bool {
    table().any_class.contains(&name.to_ascii_lowercase())
}

/// Exactly this function of exactly this module of Keras, or a class there.
pub(super) fn is_function(module: &str, name: &str) -> bool {
    let within = |homes: &HashMap<&str, HashSet<&str>>| homes.get(module).is_some_and(|h| h.contains(name));
    within(&table().functions) || within(&table().classes)
}

/// A function that Keras finds by its name alone (activations, losses, metrics, operations).
pub(super) fn is_any_function(name: &str) -> bool {
    table().any_function.contains(name) || is_class(name)
}

/// The module as Keras's own sources name it, for its several distributions; `None` if it is no module of Keras.
pub(super) fn keras_module(module: &str) -> Option<String> {
    let rest = [
        "keras._tf_keras.keras",
        "keras.api._v2.keras",
        "keras.api._v1.keras",
        "keras.api",
        "tf_keras.api._v2.keras",
        "tensorflow.keras",
        "tensorflow.python.keras",
        "tensorflow_core.python.keras",
        "tf.keras",
        "tf_keras",
        "keras",
    ]
    .into_iter()
    .find_map(|prefix| module.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('.')))?;
    Some(format!("keras{rest}"))
}

/// Libraries of the Keras project that loaders import by name.
pub(super) fn is_sister(module: &str) -> bool {
    matches!(
        module.split('.').next(),
        Some("keras_hub" | "keras_nlp" | "keras_cv" | "keras_rs" | "keras_tuner" | "autokeras")
    )
}

/// What in Keras fetches, writes, unpickles, compiles or switches protection off when it is called.
pub(super) fn is_dangerous(module: &str, name: &str) -> bool {
    const NAMES: &[&str] = &[
        "enable_unsafe_deserialization",
        "get_file",
        "func_load",
        "func_dump",
        "load_model",
        "load_weights",
        "load_data",
        "load_img",
        "load_image",
        "load_op_library",
        "model_from_json",
        "model_from_yaml",
        "model_from_config",
        "extract_archive",
        "extract_open_archive",
        "save_model",
        "save_weights",
        "save_img",
        "plot_model",
        "model_to_dot",
        "LambdaCallback",
        "BackupAndRestore",
        "ModelCheckpoint",
        "CSVLogger",
        "RemoteMonitor",
        "TensorBoard",
    ];
    const HOMES: &[&str] = &[
        "datasets",
        "saving",
        "file_utils",
        "data_utils",
        "python_utils",
        "generic_utils",
        "io_utils",
        "saving_lib",
        "saving_api",
        "serialization_lib",
        "torch_utils",
        "model_visualization",
        "callbacks",
        "export",
    ];
    NAMES.contains(&name) || module.split('.').any(|part| HOMES.contains(&part))
}

/// Functions that Python finds in `builtins`; Keras before 3.9 looked there last.
pub(super) fn is_python_builtin(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "__build_class__",
        "__import__",
        "abs",
        "aiter",
        "all",
        "anext",
        "any",
        "ascii",
        "bin",
        "breakpoint",
        "callable",
        "chr",
        "classmethod",
        "compile",
        "copyright",
        "credits",
        "delattr",
        "dir",
        "divmod",
        "eval",
        "exec",
        "execfile",
        "exit",
        "filter",
        "format",
        "getattr",
        "globals",
        "hasattr",
        "hash",
        "help",
        "hex",
        "id",
        "input",
        "isinstance",
        "issubclass",
        "iter",
        "len",
        "license",
        "locals",
        "map",
        "max",
        "memoryview",
        "min",
        "next",
        "oct",
        "open",
        "ord",
        "pow",
        "print",
        "property",
        "quit",
        "range",
        "repr",
        "reversed",
        "round",
        "setattr",
        "sorted",
        "staticmethod",
        "sum",
        "super",
        "vars",
        "zip",
        "object",
        "type",
    ];
    NAMES.contains(&name)
}

/// Functions of TensorFlow that `TFOpLambda` layers name and that only compute; the name is the exported one without
/// its leading `tf`.
pub(super) fn is_tensor_function(name: &str) -> bool {
    const SPACES: &[&str] = &[
        "math",
        "nn",
        "linalg",
        "strings",
        "signal",
        "random",
        "ragged",
        "sparse",
        "bitwise",
        "quantization",
        "sets",
        "dtypes",
        "__operators__",
        "image",
        "keras.backend",
        "keras.activations",
        "keras.losses",
        "compat.v1.math",
        "compat.v1.nn",
        "compat.v1.random",
        "compat.v1.image",
        "compat.v1.strings",
        "compat.v1.sparse",
        "compat.v1.linalg",
        "experimental.numpy",
    ];
    /// Of those spaces: they take a function to run, print, or read what is no tensor.
    const NOT: &[&str] =
        &["py_function", "numpy_function", "py_func", "function", "eval", "map_flat_values", "map_fn"];
    const ROOT: &[&str] = &[
        "abs",
        "acos",
        "acosh",
        "add",
        "add_n",
        "argmax",
        "argmin",
        "argsort",
        "asin",
        "asinh",
        "atan",
        "atan2",
        "atanh",
        "batch_to_space",
        "bitcast",
        "boolean_mask",
        "broadcast_dynamic_shape",
        "broadcast_static_shape",
        "broadcast_to",
        "cast",
        "clip_by_global_norm",
        "clip_by_norm",
        "clip_by_value",
        "complex",
        "concat",
        "constant",
        "convert_to_tensor",
        "cos",
        "cosh",
        "cumsum",
        "divide",
        "dynamic_partition",
        "dynamic_stitch",
        "edit_distance",
        "eig",
        "eigvals",
        "einsum",
        "ensure_shape",
        "equal",
        "exp",
        "expand_dims",
        "eye",
        "fill",
        "floor",
        "gather",
        "gather_nd",
        "greater",
        "greater_equal",
        "guarantee_const",
        "histogram_fixed_width",
        "identity",
        "identity_n",
        "less",
        "less_equal",
        "linspace",
        "logical_and",
        "logical_not",
        "logical_or",
        "matmul",
        "maximum",
        "meshgrid",
        "minimum",
        "multiply",
        "negative",
        "no_op",
        "norm",
        "not_equal",
        "one_hot",
        "ones",
        "ones_like",
        "pad",
        "parallel_stack",
        "pow",
        "range",
        "rank",
        "realdiv",
        "recompute",
        "reduce_all",
        "reduce_any",
        "reduce_logsumexp",
        "reduce_max",
        "reduce_mean",
        "reduce_min",
        "reduce_prod",
        "reduce_sum",
        "repeat",
        "reshape",
        "reverse",
        "reverse_sequence",
        "roll",
        "round",
        "saturate_cast",
        "scalar_mul",
        "scatter_nd",
        "searchsorted",
        "sequence_mask",
        "shape",
        "shape_n",
        "sigmoid",
        "sign",
        "sin",
        "sinh",
        "size",
        "slice",
        "sort",
        "space_to_batch",
        "space_to_batch_nd",
        "split",
        "sqrt",
        "square",
        "squeeze",
        "stack",
        "stop_gradient",
        "strided_slice",
        "subtract",
        "tan",
        "tanh",
        "tensor_scatter_nd_add",
        "tensor_scatter_nd_max",
        "tensor_scatter_nd_min",
        "tensor_scatter_nd_sub",
        "tensor_scatter_nd_update",
        "tensordot",
        "tile",
        "timestamp",
        "transpose",
        "truediv",
        "truncatediv",
        "truncatemod",
        "unique",
        "unique_with_counts",
        "unravel_index",
        "unstack",
        "where",
        "zeros",
        "zeros_like",
    ];
    let name = name.strip_prefix("tf.").unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    if NOT.contains(&last) {
        return false;
    }
    let root = name.strip_prefix("compat.v1.").unwrap_or(name);
    if ROOT.contains(&root) {
        return true;
    }
    name.rsplit_once('.').is_some_and(|(space, _)| SPACES.contains(&space))
        || name.strip_prefix("debugging.").is_some_and(|n| n.starts_with("assert_"))
}

/// Operations of TensorFlow's graphs that only compute, by their registered name.
pub(super) fn is_tensor_operation(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "Abs",
        "Add",
        "AddN",
        "AddV2",
        "All",
        "Any",
        "ArgMax",
        "ArgMin",
        "AvgPool",
        "BatchMatMul",
        "BatchMatMulV2",
        "BiasAdd",
        "BroadcastTo",
        "Cast",
        "Ceil",
        "ClipByValue",
        "Concat",
        "ConcatV2",
        "Const",
        "Conv2D",
        "Cos",
        "Cosh",
        "Cumsum",
        "DepthToSpace",
        "DepthwiseConv2dNative",
        "Div",
        "DivNoNan",
        "Einsum",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "ExpandDims",
        "Expm1",
        "Fill",
        "Floor",
        "FloorDiv",
        "FloorMod",
        "FusedBatchNorm",
        "FusedBatchNormV3",
        "Gather",
        "GatherNd",
        "GatherV2",
        "Greater",
        "GreaterEqual",
        "Identity",
        "IdentityN",
        "LeakyRelu",
        "Less",
        "LessEqual",
        "Log",
        "Log1p",
        "LogSoftmax",
        "LogicalAnd",
        "LogicalNot",
        "LogicalOr",
        "MatMul",
        "Max",
        "MaxPool",
        "Maximum",
        "Mean",
        "Min",
        "Minimum",
        "MirrorPad",
        "Mul",
        "Neg",
        "NotEqual",
        "OneHot",
        "OnesLike",
        "Pack",
        "Pad",
        "PadV2",
        "Pow",
        "Prod",
        "RandomNormal",
        "RandomStandardNormal",
        "RandomUniform",
        "Range",
        "Rank",
        "RealDiv",
        "Reciprocal",
        "Relu",
        "Relu6",
        "Reshape",
        "ResizeBilinear",
        "ResizeNearestNeighbor",
        "ReverseV2",
        "Round",
        "Rsqrt",
        "ScatterNd",
        "Select",
        "SelectV2",
        "Selu",
        "Shape",
        "Sigmoid",
        "Sign",
        "Sin",
        "Sinh",
        "Size",
        "Slice",
        "Softmax",
        "Softplus",
        "Softsign",
        "SpaceToDepth",
        "Split",
        "SplitV",
        "Sqrt",
        "Square",
        "SquaredDifference",
        "Squeeze",
        "StopGradient",
        "StridedSlice",
        "Sub",
        "Sum",
        "Tan",
        "Tanh",
        "Tile",
        "TopKV2",
        "Transpose",
        "Unpack",
        "Where",
        "ZerosLike",
    ];
    NAMES.binary_search(&name).is_ok()
}

/// Functions and operations of TensorFlow that touch files, processes or code.
pub(super) fn is_dangerous_tensor_function(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "write_file",
        "read_file",
        "matching_files",
        "writefile",
        "readfile",
        "matchingfiles",
        "py_function",
        "numpy_function",
        "py_func",
        "pyfunc",
        "eagerpyfunc",
        "pyfuncstateless",
        "load_op_library",
        "load_library",
        "load_file_system_library",
        "save",
        "savev2",
        "restore",
        "restorev2",
        "mergev2checkpoints",
    ];
    let lower = name.to_ascii_lowercase();
    NAMES.contains(&lower.rsplit('.').next().unwrap_or(&lower)) || lower.split('.').any(|p| p == "gfile")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_keras_and_nothing_that_runs_code() {
        for name in [
            "Dense",
            "InputLayer",
            "Functional",
            "Sequential",
            "adam",
            "GlorotUniform",
            "LSTM",
            "DTypePolicy",
        ] {
            assert!(is_class(name), "{name}");
        }
        for name in
            ["Lambda", "TorchModuleWrapper", "TFSMLayer", "TFOpLambda", "JaxLayer", "LambdaCallback", "Merge"]
        {
            assert!(!is_class(name), "{name}");
        }
        assert!(is_function("keras.activations", "relu") && is_any_function("mse"));
        for (module, name) in [
            ("keras.utils", "get_file"),
            ("keras.src.utils.file_utils", "copy"),
            ("keras.ops", "map"),
            ("keras.activations", "deserialize"),
            ("keras.losses", "get"),
            ("keras.ops", "jvp"),
        ] {
            assert!(!is_function(module, name), "{module}.{name}");
        }
    }

    #[test]
    fn distributions_of_keras_are_one() {
        assert_eq!(
            keras_module("tf_keras.src.layers.core.dense").as_deref(),
            Some("keras.src.layers.core.dense")
        );
        assert_eq!(keras_module("keras").as_deref(), Some("keras"));
        assert_eq!(keras_module("kerasx.layers"), None);
        assert_eq!(keras_module("keras_evil"), None);
    }

    #[test]
    fn tensor_functions() {
        assert!(is_tensor_operation("Abs") && is_tensor_operation("ZerosLike") && is_tensor_operation("Mul"));
        assert!(!is_tensor_operation("WriteFile"));
        for name in
            ["math.multiply", "reshape", "nn.relu", "__operators__.add", "compat.v1.gather", "tf.concat"]
        {
            assert!(is_tensor_function(name), "{name}");
        }
        for name in
            ["io.write_file", "py_function", "raw_ops.WriteFile", "numpy_function", "math.x.y", "os.system"]
        {
            assert!(!is_tensor_function(name), "{name}");
        }
    }
}
