//! Names that honest chat templates use, and names that lead into the Python interpreter.

/// Filters without side effects that do not reach attributes by a name hidden in data.
pub(super) const FILTERS: &[&str] = &[
    "abs",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "forceescape",
    "from_json",
    "fromjson",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "lstrip",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "rstrip",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "strip",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "wordcount",
    "wordwrap",
];

/// Tests.
pub(super) const TESTS: &[&str] = &[
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "boolean",
    "callable",
    "containing",
    "contains",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "startingwith",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
];

/// Functions that template engines and `transformers` provide.
pub(super) const FUNCTIONS: &[&str] =
    &["caller", "dict", "joiner", "loop", "namespace", "raise_exception", "range", "strftime_now"];

/// Methods of strings, lists and dictionaries.
pub(super) const METHODS: &[&str] = &[
    "append",
    "capitalize",
    "copy",
    "count",
    "endswith",
    "extend",
    "find",
    "get",
    "index",
    "insert",
    "isalnum",
    "isalpha",
    "isdigit",
    "isspace",
    "items",
    "join",
    "keys",
    "lower",
    "lstrip",
    "pop",
    "replace",
    "reverse",
    "rfind",
    "rsplit",
    "rstrip",
    "setdefault",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "strftime",
    "title",
    "update",
    "upper",
    "values",
];

/// Attributes that lead from a value to frames, code and modules although no underscore leads them.
pub(super) const INTERNALS: &[&str] = &[
    "ag_code",
    "ag_frame",
    "cr_code",
    "cr_frame",
    "f_back",
    "f_builtins",
    "f_code",
    "f_globals",
    "f_locals",
    "func_code",
    "func_globals",
    "gi_code",
    "gi_frame",
    "gi_yieldfrom",
    "im_class",
    "im_func",
    "mro",
    "tb_frame",
    "tb_next",
];

/// Could this text be (a part of) a name that begins with an underscore?
pub(super) fn fragment(s: &str) -> bool {
    s.contains('_') || s.contains('\\') || s.contains("%c")
}

/// Does a `str.format` text read attributes or items of its arguments?
pub(super) fn format_reaches(s: &str) -> bool {
    s.split('{').skip(1).any(|f| {
        let field = f.split(['}', ':']).next().unwrap_or(f);
        field.contains('.') || field.contains('[')
    })
}

/// A dunder name of the interpreter inside `{{ }}` or `{% %}`, found without parsing.
pub(super) fn internals_in_code(source: &str) -> Option<&'static str> {
    const NAMES: &[&str] = &[
        "__class__",
        "__mro__",
        "__bases__",
        "__base__",
        "__subclasses__",
        "__globals__",
        "__builtins__",
        "__import__",
        "__init__",
        "__getattribute__",
        "__getattr__",
        "__dict__",
        "__reduce__",
        "__code__",
        "__call__",
        "__loader__",
        "__spec__",
        "__module__",
        "__getitem__",
        "__self__",
        "__func__",
        "__wrapped__",
        "gi_frame",
        "f_globals",
        "f_builtins",
        "_TemplateReference__context",
    ];
    let mut rest = source;
    while let Some(at) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        let close = if rest[at..].starts_with("{{") { "}}" } else { "%}" };
        let code = &rest[at + 2..];
        let end = code.find(close).unwrap_or(code.len());
        if let Some(name) = NAMES.iter().find(|n| code[..end].contains(**n)) {
            return Some(name);
        }
        rest = &code[end..];
    }
    None
}
