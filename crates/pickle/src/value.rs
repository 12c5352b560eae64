//! What the machine hands out: decoded argument values and calls, bounded and owned.

use wb_verdict::How;

/// A value as far as it is known without running anything.
///
/// Trees are bounded in depth, width and size; [`Value::Truncated`] stands for what was cut off, so
/// "complete" can always be told from "cut" ([`Value::is_complete`]).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True`, `False`.
    Bool(bool),
    /// An integer that fits.
    Int(i64),
    /// An integer beyond 64 bits.
    BigInt {
        /// Length of its encoding in bytes.
        len: u64,
    },
    /// A float.
    Float(f64),
    /// Text, Python 2 strings included (bytes that are not UTF-8 are escaped).
    Str {
        /// At most the first 4 KiB.
        text: String,
        /// Length in bytes in the stream; the text is whole if `text.len()` equals it or `cut` is false.
        len: u64,
        /// True if `text` is only the beginning.
        cut: bool,
    },
    /// `bytes`, `bytearray` or a buffer.
    Bytes {
        /// Length in bytes.
        len: u64,
        /// At most the first 4 KiB.
        head: Vec<u8>,
    },
    /// `tuple`.
    Tuple(Vec<Value>),
    /// `list`.
    List(Vec<Value>),
    /// `dict`.
    Dict(Vec<(Value, Value)>),
    /// `set`.
    Set(Vec<Value>),
    /// `frozenset`.
    FrozenSet(Vec<Value>),
    /// An imported object, not called. A module itself has an empty `name`.
    Global {
        /// Module after Python-2 mapping.
        module: String,
        /// Qualified name inside it.
        name: String,
    },
    /// The result of a call.
    Object {
        /// What was called: `collections.OrderedDict`, `operator.attrgetter(...)`.
        made_by: String,
        /// The arguments of that call, bounded.
        args: Vec<Value>,
    },
    /// What the unpickler's `persistent_load` makes of this id.
    Persistent(Box<Value>),
    /// Not known: an out-of-band buffer, an unregistered extension code, an item of an unknown object.
    Opaque,
    /// Cut off by the bounds.
    Truncated,
    /// Cut off by the bounds, but literals and built-in containers of them all the same.
    PlainRest,
}

impl Value {
    /// The text, if this is a whole string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str { text, cut: false, .. } => Some(text),
            _ => None,
        }
    }

    /// The integer, if this is one (booleans are not).
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// True if nothing was cut off anywhere inside.
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Truncated | Self::PlainRest | Self::Str { cut: true, .. } => false,
            Self::Bytes { len, head } => head.len() as u64 == *len,
            Self::Tuple(v) | Self::List(v) | Self::Set(v) | Self::FrozenSet(v) => {
                v.iter().all(Self::is_complete)
            }
            Self::Dict(v) => v.iter().all(|(k, v)| k.is_complete() && v.is_complete()),
            Self::Object { args, .. } => args.iter().all(Self::is_complete),
            Self::Persistent(id) => id.is_complete(),
            _ => true,
        }
    }

    /// True for literals and built-in containers of literals: nothing imported, made or unknown inside.
    pub fn is_plain(&self) -> bool {
        match self {
            Self::Tuple(v) | Self::List(v) | Self::Set(v) | Self::FrozenSet(v) => {
                v.iter().all(Self::is_plain)
            }
            Self::Dict(v) => v.iter().all(|(k, v)| k.is_plain() && v.is_plain()),
            Self::Global { .. }
            | Self::Object { .. }
            | Self::Persistent(_)
            | Self::Opaque
            | Self::Truncated => false,
            _ => true,
        }
    }
}

/// One use of a callable by a pickle, ready to be classified.
///
/// For [`How::Build`] the callee is what made the object whose state is set (`args` holds the one state
/// value); for `Append`, `SetItem` and `AddItems` it is what made the object that is modified (`args`
/// holds the items, for `SetItem` keys and values in turn). For an import that is never called
/// ([`How::Data`]) `args` is empty.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Offset of the opcode that makes the call.
    pub offset: u64,
    /// The way of use.
    pub how: How,
    /// Module after Python-2 mapping; empty if the callee is not an import.
    pub module: &'a str,
    /// Qualified name inside the module (`Popen`, `Trace.run`); empty if the callee is not an import, or is a module.
    pub name: &'a str,
    /// How the callee reads: `posix.system`, `operator.attrgetter(...)(...)`, `types.FunctionType(...)`.
    pub callable: &'a str,
    /// If the callee is itself the result of a call: what made it (`types.FunctionType`), else empty.
    pub made_by: &'a str,
    /// True if the stream changed the callee (attributes set by BUILD, SETITEM ...) before this use, or if
    /// the callee is no import but a value whose type cannot call anything harmless.
    pub tampered: bool,
    /// For `Build`, `Append`, `SetItem`, `AddItems`: true if the modified value is the import itself (a module,
    /// function or class), false if it is an instance that the callee made.
    pub on_import: bool,
    /// Positional arguments, bounded.
    pub args: &'a [Value],
    /// Keyword arguments (NEWOBJ_EX, `functools.partial`), bounded.
    pub kwargs: &'a [(Value, Value)],
    /// True if only plain data is involved: literals and built-in containers of them; for `Build` a plain dict
    /// or `(dict or None, dict or None)` or tuple state without a planted dunder attribute (what the dict's values
    /// hold is judged where they are made).
    pub plain_args: bool,
    /// The objects, imports and unknown values among the arguments, through containers of any depth and width: what a
    /// library that iterates over its arguments may ask. Each once.
    pub holds: &'a [Held],
    /// For `Build`: what of the state a reader asks whether it is true, and then for its `items`, if the class has no
    /// `__setstate__`: the state itself or the halves of a pair, where they are objects, imports or unknown.
    pub asked: &'a [Held],
}

/// Something among the arguments of a call that is neither a literal nor a container.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Held {
    /// An import as such.
    Import {
        /// Module.
        module: String,
        /// Qualified name.
        name: String,
    },
    /// The result of a call of this import.
    Object {
        /// Module.
        module: String,
        /// Qualified name.
        name: String,
    },
    /// Nothing is known of it.
    Unknown,
}

impl<'a> Call<'a> {
    /// An import that is kept and not called; what else is known of a use is set on it.
    pub fn import(module: &'a str, name: &'a str) -> Self {
        Self {
            offset: 0,
            how: How::Data,
            module,
            name,
            callable: "",
            made_by: "",
            tampered: false,
            on_import: false,
            args: &[],
            kwargs: &[],
            plain_args: true,
            holds: &[],
            asked: &[],
        }
    }
}
