//! Calls whose result is known without running them: attribute walks, imports by name, codecs, partials.
//!
//! Following them is what turns `getattr(import_module("os"), "system")` into `os.system`. A result that is
//! not known stays the result of a call; nothing is guessed.

use crate::calls::Target;
use crate::heap::{Callee, Kind, Traits};
use crate::observer::Observer;
use crate::state::State;
use crate::text_calls::METHODS;
use crate::val::{Tag, Val};
use wb_verdict::How;

/// Deserialisers that take bytes.
const LOADS: &[&str] = &[
    "pickle.loads",
    "pickle._loads",
    "_pickle.loads",
    "cPickle.loads",
    "pickle5.loads",
    "dill.loads",
    "dill._dill.loads",
    "cloudpickle.loads",
    "cloudpickle.cloudpickle.loads",
    "joblib.externals.cloudpickle.loads",
    "torch.storage._load_from_bytes",
    "marshal.loads",
];

/// Attribute and module resolvers that take one dotted path.
const LOCATE: &[&str] = &[
    "pydoc.locate",
    "pkgutil.resolve_name",
    "hydra._internal.utils._locate",
    "hydra.utils.get_method",
    "hydra.utils.get_class",
    "hydra.utils.get_object",
    "django.utils.module_loading.import_string",
    "werkzeug.utils.import_string",
    "twisted.python.reflect.namedAny",
    "zope.dottedname.resolve.resolve",
];

/// Modules of which some function's result can be known.
const FOLLOWED: &[&str] = &[
    "_codecs",
    "__builtin__",
    "_functools",
    "_operator",
    "base64",
    "binascii",
    "builtins",
    "bz2",
    "cloudpickle.cloudpickle",
    "codecs",
    "copy_reg",
    "copyreg",
    "dill._dill",
    "functools",
    "gzip",
    "importlib",
    "importlib._bootstrap",
    "itertools",
    "lzma",
    "operator",
    "sys",
    "test.support",
    "test.support.import_helper",
    "torch._tensor",
    "zlib",
];

impl Callee {
    /// What is asked about it at every call.
    pub(crate) fn traits(&self) -> Traits {
        let path = self.rendering.as_str();
        Traits {
            plausible: self.is_plausible(),
            symbolic: FOLLOWED.contains(&self.module.as_str()) || LOCATE.contains(&path),
            loads: LOADS.contains(&path),
            hashes: matches!(
                (self.module.as_str(), self.name.as_str()),
                ("builtins" | "__builtin__", "set" | "frozenset" | "dict" | "dict.fromkeys")
                    | ("collections", "OrderedDict" | "Counter" | "defaultdict")
            ),
            dtype: path == "numpy.dtype",
            aside: matches!(path, "numpy.dtype" | "_codecs.encode" | "builtins.bytes"),
            sizes: is_sized(&self.module, &self.name),
            exact: matches!(
                (self.module.as_str(), self.name.as_str()),
                ("operator" | "_operator", "attrgetter" | "methodcaller" | "itemgetter")
                    | ("functools" | "_functools", "partial")
                    | ("types", "MethodType")
                    | ("numpy", "dtype")
                    | ("io" | "_io", "BytesIO")
                    | ("builtins", "slice" | "reversed" | "map" | "range")
            ),
        }
    }
}

/// Constructors that a short stream can ask for any amount of memory or time.
fn is_sized(module: &str, name: &str) -> bool {
    match module {
        "builtins" => matches!(name, "bytes" | "bytearray" | "list" | "tuple" | "set" | "frozenset"),
        "collections" => matches!(name, "deque" | "Counter" | "OrderedDict"),
        "fractions" => name == "Fraction",
        _ => matches!(name, "_reconstruct" | "_mareconstruct") && module.starts_with("numpy"),
    }
}

/// A method of text or bytes whose result is worked out: `str.join`, `bytes.decode`.
fn is_text_method(name: &str) -> bool {
    let method = name.strip_prefix("str.").or_else(|| name.strip_prefix("bytes."));
    method.is_some_and(|m| METHODS.contains(&m))
}

impl State {
    /// The result of a call, where it is known.
    pub(crate) fn symbolic(
        &mut self,
        target: Target,
        id: u32,
        args: Val,
        depth: u32,
        obs: &mut dyn Observer,
    ) -> Option<Val> {
        if target.callee.tag() == Tag::Object {
            return self.call_result(target, args, depth, obs);
        }
        let at = target.at;
        let traits = self.heap.traits(id);
        self.expose(args, id, traits.loads, at, obs);
        if !traits.symbolic {
            return None;
        }
        let c = self.heap.callee(id);
        let (module, name) = (c.module.clone(), c.name.clone());
        let path = c.rendering.clone();
        match (module.as_str(), name.as_str()) {
            ("importlib" | "importlib._bootstrap", "import_module" | "_gcd_import" | "_import_module")
            | ("test.support.import_helper" | "test.support", "import_module")
            | ("dill._dill", "_import_module")
            | ("cloudpickle.cloudpickle", "subimport") => {
                let name = self.name(*self.items(args)?.first()?)?;
                Some(self.module(&name, at, obs))
            }
            ("builtins" | "importlib" | "__builtin__" | "importlib._bootstrap", "__import__") => {
                let items = self.items(args)?;
                let name = self.name(*items.first()?)?;
                let from_list = items.get(3).is_some_and(|v| !matches!(v.tag(), Tag::None | Tag::EmptyTuple));
                let top = name.split('.').next().unwrap_or("").to_string();
                Some(self.module(if from_list { &name } else { &top }, at, obs))
            }
            _ if LOCATE.contains(&path.as_str()) => {
                let name = self.name(*self.items(args)?.first()?)?;
                let (m, n) =
                    name.split_once(':').or_else(|| name.split_once('.')).unwrap_or((name.as_str(), ""));
                let (m, n) = (m.to_string(), n.to_string());
                Some(self.global(Callee { via: format!("{path}(...)"), ..Callee::import(&m, &n) }, at, obs))
            }
            ("builtins" | "__builtin__", "getattr" | "object.__getattribute__" | "type.__getattribute__")
            | ("test.support", "get_attribute")
            | ("dill._dill", "_get_attr") => {
                let items = self.items(args)?;
                let name = self.name(*items.get(1)?)?;
                self.attr(*items.first()?, &name, &format!("{path}(...)"), at, obs)
            }
            ("builtins" | "__builtin__", "vars") => {
                self.attr(*self.items(args)?.first()?, "__dict__", &format!("{path}(...)"), at, obs)
            }
            ("operator" | "_operator", "getitem" | "__getitem__")
            | (
                "builtins" | "__builtin__",
                "dict.get" | "dict.__getitem__" | "dict.pop" | "list.__getitem__",
            ) => {
                let items = self.items(args)?;
                self.item(*items.first()?, *items.get(1)?, at, obs)
            }
            ("sys", "modules.get" | "modules.__getitem__" | "modules.pop" | "modules.setdefault") => {
                let name = self.name(*self.items(args)?.first()?)?;
                Some(self.module(&name, at, obs))
            }
            ("operator" | "_operator", "call" | "__call__") | ("builtins" | "__builtin__", "apply") => {
                let items = self.items(args)?;
                let (&callee, rest) = items.split_first()?;
                let packed = match (name.as_str(), rest) {
                    ("apply", [packed, ..]) => *packed,
                    _ => self.heap.seq(Kind::Tuple, rest),
                };
                self.indirect(callee, packed, at, depth, obs)
            }
            ("builtins" | "__builtin__", "map" | "filter") | ("itertools", "starmap" | "filterfalse") => {
                self.mapped(&name, args, at, depth, obs);
                None
            }
            ("functools" | "_functools", "reduce") => {
                let items = self.items(args)?;
                let callee = *items.first()?;
                let mut rest = self.items(*items.get(1)?)?.into_iter();
                let mut value = match items.get(2) {
                    Some(&start) => start,
                    None => rest.next()?,
                };
                for item in rest.take(16) {
                    let packed = self.heap.seq(Kind::Tuple, &[value, item]);
                    value = self.indirect(callee, packed, at, depth, obs)?;
                }
                Some(value)
            }
            ("torch._tensor", "_rebuild_from_type" | "_rebuild_from_type_v2") => {
                let items = self.items(args)?;
                let (&callee, packed) = (items.first()?, items.get(2)?);
                self.indirect(callee, *packed, at, depth, obs);
                None
            }
            ("copyreg" | "copy_reg", "__newobj__") => {
                let items = self.items(args)?;
                let (&callee, rest) = items.split_first()?;
                let packed = self.heap.seq(Kind::Tuple, rest);
                self.call_nested(Target { callee, how: How::Newobj, at }, packed, None, depth + 1, obs).ok()
            }
            ("copyreg" | "copy_reg", "__newobj_ex__") => {
                let items = self.items(args)?;
                let (&callee, &packed) = (items.first()?, items.get(1)?);
                let kwargs = items.get(2).copied();
                self.call_nested(Target { callee, how: How::NewobjEx, at }, packed, kwargs, depth + 1, obs)
                    .ok()
            }
            ("copyreg" | "copy_reg", "_reconstructor") => {
                let items = self.items(args)?;
                let &callee = items.first()?;
                let packed: Vec<Val> =
                    items.get(2).copied().filter(|v| v.tag() != Tag::None).into_iter().collect();
                let packed = self.heap.seq(Kind::Tuple, &packed);
                let target = Target { callee, how: How::Newobj, at };
                let made = self.call_nested(target, packed, None, depth + 1, obs).ok()?;
                // The base makes it, whatever the class would make of the same.
                (made.tag() != Tag::Text).then_some(made)
            }
            ("copyreg" | "copy_reg", "add_extension") => {
                let items = self.items(args)?;
                self.register_extension(*items.first()?, *items.get(1)?, *items.get(2)?);
                None
            }
            ("_codecs" | "codecs", "encode" | "decode")
            | ("builtins", "chr" | "str" | "bytes" | "bytes.fromhex")
            | ("base64" | "binascii" | "zlib" | "gzip" | "bz2" | "lzma", _)
            | (
                "operator" | "_operator",
                "add" | "concat" | "iadd" | "iconcat" | "mul" | "mod" | "__mod__" | "imod",
            ) => self.text_call(&module, &name, args),
            ("builtins", method) if is_text_method(method) => {
                if method.ends_with("__getitem__") {
                    let items = self.items(args)?;
                    return self.item(*items.first()?, *items.get(1)?, at, obs);
                }
                self.text_call(&module, &name, args)
            }
            _ => None,
        }
    }

    /// Calls the result of a call.
    fn call_result(&mut self, target: Target, args: Val, depth: u32, obs: &mut dyn Observer) -> Option<Val> {
        let o = self.heap.get_object(target.callee)?;
        let (made_args, made_by) = (o.args, self.heap.callee(o.callee).clone());
        let via = format!("{}(...)(...)", made_by.rendering);
        let at = target.at;
        match (made_by.module.as_str(), made_by.name.as_str()) {
            ("operator" | "_operator", "attrgetter") => {
                let object = *self.items(args)?.first()?;
                let names = self.items(made_args)?;
                let mut found = Vec::new();
                for n in names {
                    let name = self.name(n)?;
                    found.push(self.attr(object, &name, &via, at, obs)?);
                }
                match found[..] {
                    // Without names it is not made.
                    [] => None,
                    [one] => Some(one),
                    _ => Some(self.heap.seq(Kind::Tuple, &found)),
                }
            }
            ("operator" | "_operator", "itemgetter") => {
                let object = *self.items(args)?.first()?;
                let key = *self.items(made_args)?.first()?;
                self.item(object, key, at, obs)
            }
            ("operator" | "_operator", "methodcaller") => {
                let object = *self.items(args)?.first()?;
                let made = self.items(made_args)?;
                let (&name, rest) = made.split_first()?;
                let name = self.name(name)?;
                let method = self.attr(object, &name, &via, at, obs)?;
                let packed = self.heap.seq(Kind::Tuple, rest);
                self.indirect(method, packed, at, depth, obs)
            }
            _ => None,
        }
    }

    /// Function and arguments of a call of a `functools.partial` or bound method that the stream made.
    pub(crate) fn partial_target(&mut self, callee: Val, args: Val) -> Option<(Val, Val, Option<Val>)> {
        let o = self.heap.get_object(callee)?;
        let made_by = self.heap.callee(o.callee);
        if !matches!(
            (made_by.module.as_str(), made_by.name.as_str()),
            ("functools" | "_functools", "partial") | ("types", "MethodType")
        ) {
            return None;
        }
        let kwargs = Some(o.kwargs).filter(|k| !matches!(k.tag(), Tag::EmptyTuple | Tag::None));
        let made = self.items(o.args)?;
        let (&inner, first) = made.split_first()?;
        let mut all = first.to_vec();
        all.extend(self.items(args)?);
        Some((inner, self.heap.seq(Kind::Tuple, &all), kwargs))
    }

    /// `map`, `filter` and `starmap` call their function once for each item, as soon as somebody iterates over them.
    fn mapped(&mut self, name: &str, args: Val, at: u64, depth: u32, obs: &mut dyn Observer) {
        const MAX_CALLS: usize = 16;
        let Some(items) = self.items(args) else { return };
        let Some((&callee, rest)) = items.split_first() else { return };
        if callee.tag() == Tag::None {
            return;
        }
        let columns: Vec<Option<Vec<Val>>> = rest.iter().map(|&v| self.items(v)).collect();
        let len = columns.iter().flatten().map(Vec::len).min().unwrap_or(1).min(MAX_CALLS);
        for i in 0..len {
            let row: Vec<Val> = columns
                .iter()
                .map(|c| c.as_ref().and_then(|c| c.get(i).copied()).unwrap_or(Val::OPAQUE))
                .collect();
            let packed = match (name, &row[..]) {
                ("starmap", [one]) => *one,
                _ => self.heap.seq(Kind::Tuple, &row),
            };
            self.indirect(callee, packed, at, depth, obs);
        }
    }

    fn indirect(
        &mut self,
        callee: Val,
        args: Val,
        at: u64,
        depth: u32,
        obs: &mut dyn Observer,
    ) -> Option<Val> {
        self.call_nested(Target { callee, how: How::Indirect, at }, args, None, depth + 1, obs).ok()
    }
}
