//! Names that generated streams import.

use crate::rng::Rng;

/// Module, name. Harmless for some use, by the catalogue.
pub const HARMLESS: &[(&str, &str)] = &[
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("collections", "deque"),
    ("collections", "Counter"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("builtins", "list"),
    ("builtins", "dict"),
    ("builtins", "int"),
    ("builtins", "float"),
    ("builtins", "str"),
    ("builtins", "object"),
    ("builtins", "complex"),
    ("builtins", "bytearray"),
    ("builtins", "slice"),
    ("builtins", "range"),
    ("_codecs", "encode"),
    ("datetime", "datetime"),
    ("datetime", "timedelta"),
    ("decimal", "Decimal"),
    ("fractions", "Fraction"),
    ("uuid", "UUID"),
    ("pathlib", "PosixPath"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy", "float64"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "FloatStorage"),
    ("torch", "Size"),
    ("torch", "device"),
    ("torch", "float32"),
    ("argparse", "Namespace"),
    ("types", "SimpleNamespace"),
    ("sklearn.utils", "Bunch"),
    ("sklearn.tree._tree", "Tree"),
    ("pandas.core.frame", "DataFrame"),
];

/// Of no catalogued distribution.
pub const UNKNOWN: &[(&str, &str)] = &[
    ("mypkg", "Model"),
    ("mypkg.sub", "Net"),
    ("acme_models.core", "Layer.Config"),
    ("__main__", "MyModel"),
    ("zzz", "f"),
];

/// Dangerous, or of the standard library without an entry.
pub const OTHERS: &[(&str, &str)] = &[
    ("posix", "system"),
    ("os", "system"),
    ("nt", "system"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "print"),
    ("builtins", "__import__"),
    ("subprocess", "Popen"),
    ("runpy", "_run_code"),
    ("string", "Template"),
    ("textwrap", "dedent"),
    ("json", "loads"),
    ("socket", "socket"),
    ("sys", "modules"),
    ("os", ""),
    ("", "x"),
    ("a b", "c d"),
    ("m\u{e9}", "\u{3c0}"),
    ("os\npath", "join"),
    ("copyreg", "_inverted_registry"),
    ("copyreg", "_extension_cache"),
    ("copyreg", "dispatch_table"),
];

/// Whose results the machine may know.
pub const FOLLOWED: &[(&str, &str)] = &[
    ("builtins", "getattr"),
    ("operator", "attrgetter"),
    ("operator", "methodcaller"),
    ("operator", "itemgetter"),
    ("operator", "getitem"),
    ("functools", "partial"),
    ("functools", "reduce"),
    ("importlib", "import_module"),
    ("pydoc", "locate"),
    ("pkgutil", "resolve_name"),
    ("codecs", "decode"),
    ("builtins", "map"),
    ("builtins", "vars"),
    ("types", "MethodType"),
    ("copyreg", "_reconstructor"),
    ("copyreg", "__newobj__"),
    ("copyreg", "__newobj_ex__"),
    ("copyreg", "add_extension"),
    ("pickle", "loads"),
    ("_pickle", "loads"),
    ("torch.storage", "_load_from_bytes"),
    ("marshal", "loads"),
    ("types", "FunctionType"),
];

/// Python 2 spellings, which the readers map below protocol 3.
pub const PYTHON_2: &[(&str, &str)] = &[
    ("__builtin__", "eval"),
    ("__builtin__", "set"),
    ("__builtin__", "xrange"),
    ("__builtin__", "unicode"),
    ("__builtin__", "object"),
    ("__builtin__", "getattr"),
    ("exceptions", "ValueError"),
    ("exceptions", "StandardError"),
    ("copy_reg", "_reconstructor"),
    ("cPickle", "loads"),
    ("urllib2", "urlopen"),
    ("urllib", "urlretrieve"),
    ("itertools", "izip"),
    ("UserDict", "UserDict"),
    ("UserDict", "IterableUserDict"),
    ("commands", "getoutput"),
    ("Queue", "Queue"),
    ("anydbm", "open"),
    ("socket", "fromfd"),
    ("whichdb", "whichdb"),
    ("multiprocessing", "Process"),
];

/// Walked at protocol 4.
pub const DOTTED: &[(&str, &str)] = &[
    ("os", "path.join"),
    ("collections", "OrderedDict.fromkeys"),
    ("pathlib", "os.system"),
    ("builtins", "list.append"),
    ("mypkg", "a.b.c.d"),
    ("a.b.c", "d..e"),
    ("__builtin__", "eval.__call__"),
];

/// Names for one stream: a catalogued stream takes harmless names only.
pub fn name(rng: &mut Rng, catalogued: bool) -> (&'static str, &'static str) {
    let list = match rng.below(100) {
        _ if catalogued => HARMLESS,
        0..30 => HARMLESS,
        30..45 => UNKNOWN,
        45..60 => OTHERS,
        60..75 => FOLLOWED,
        75..90 => PYTHON_2,
        _ => DOTTED,
    };
    rng.pick(list).copied().unwrap_or(("os", "system"))
}
