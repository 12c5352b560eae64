//! The words of the data files and their codes in the compiled table.
//!
//! Shared with the build script, which compiles the data files: hence no other crate is used here.

macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $($(#[$doc:meta])* $variant:ident = $text:literal),* $(,)?) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant),* }

        #[allow(dead_code, reason = "the build script needs half of these, the crate the other half")]
        impl $name {
            /// All, in the order of their codes.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
            /// Their names in the data files, in the same order.
            pub const NAMES: &[&str] = &[$($text),*];

            /// The name in the data files.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// By name.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// A way of use that an entry can prove harmless.
    Use,
    /// Imported and stored.
    Data = "data",
    /// Called: REDUCE, INST, OBJ, or through another callable.
    Call = "call",
    /// `cls.__new__(cls, ...)`: NEWOBJ, NEWOBJ_EX.
    New = "new",
    /// State set by BUILD.
    Build = "build",
    /// `append` or `extend` of an instance.
    Append = "append",
    /// `__setitem__` of an instance.
    SetItem = "setitem",
    /// `add` of an instance.
    AddItems = "additems",
    /// `__hash__` and `__eq__` of an instance: a key of a dict, a member of a set.
    Hash = "hash",
}

words! {
    /// What the arguments of a call or `new` must be.
    Args,
    /// Anything: values are judged where they are made.
    Any = "any",
    /// Literals and built-in containers of literals.
    Plain = "plain",
    /// No argument is an object on which the stream can have set attributes: a container's constructor calls `keys`,
    /// `__iter__` and the like of what it is given. Items of a container may be anything, unless they are hashed.
    Inert = "inert",
    /// Inert values, arrays of numpy, frames of pandas, names that are harmless as data.
    Arrays = "arrays",
    /// Inert values, tensors and storages of torch, numpy arrays, names of torch that are harmless as data.
    Tensors = "tensors",
    /// The packed form of a date and a time zone, or inert values.
    DateState = "date-state",
    /// A class of a catalogued or unknown distribution and a built-in base (`copyreg._reconstructor`).
    Reconstructor = "reconstructor",
    /// A class and arguments for its `__new__` (`copyreg.__newobj__`).
    Newobj = "newobj",
    /// Text and the name of a text codec.
    TextCodec = "text-codec",
    /// A callable that is harmless as data, and its arguments (`functools.partial`).
    Partial = "partial",
    /// A default factory that is harmless as data.
    Factory = "factory",
    /// Names of attributes, none of them private.
    AttributeNames = "attribute-names",
    /// A class and the name of a public attribute of it.
    AttributeOfClass = "attribute-of-class",
    /// A dtype string or a numpy type.
    Dtype = "dtype",
    /// An array class, then data.
    ArrayClass = "array-class",
    /// `numpy` and the name of a catalogued universal function.
    Ufunc = "ufunc",
    /// Names or classes of numpy's bit generators.
    BitGenerator = "bit-generator",
    /// A catalogued function, a type, its arguments and a state.
    RebuildFromType = "rebuild-from-type",
    /// A function, its arguments and plain states; the call of the function must be harmless itself.
    CallAndState = "call-and-state",
    /// A class that a serialiser rebuilt, and what is set on it.
    OnCarriedClass = "on-carried-class",
    /// Bytes that begin as a torch file does.
    TorchFileBytes = "torch-file-bytes",
    /// A class of the module the callable is in.
    ClassOfSameModule = "class-of-same-module",
    /// An index class of pandas, then data.
    PandasIndex = "pandas-index",
    /// A regular expression and its flags.
    Pattern = "pattern",
    /// Plain arguments; the state of a distribution of `scipy.stats`, whose source text is the library's own.
    ScipyDistribution = "scipy-distribution",
    /// Plain arguments; a state whose formula, if it is evaluated, only names columns.
    ModelFormula = "model-formula",
    /// Nothing first, then plain arguments: where a file would be opened otherwise.
    NoneFirst = "none-first",
    /// Anything; what a state says of the version that wrote it (`_sklearn_version`) is a literal: scikit-learn compares
    /// it with its own, and prints it.
    Versioned = "versioned",
    /// Anything; a state is a dict, which goes into `__dict__` as it is: the class has setters that are not proved.
    DictState = "dict-state",
}

words! {
    /// Which part of rebuilding code a serialiser's helper plays.
    Part,
    /// Names a built-in type by a string.
    Type = "type",
    /// Makes a function or a code object; calling the result runs it.
    Code = "code",
    /// Makes a class.
    Class = "class",
    /// Fills or links what was rebuilt.
    Glue = "glue",
    /// Imports a module named by a string.
    Import = "import",
    /// Reads an attribute named by a string.
    Attribute = "attribute",
}

/// Effects of dangerous names, in the order of their codes.
pub const EFFECTS: [&str; 10] =
    ["code", "process", "native", "import", "reach", "file", "network", "deserialise", "state", "other"];

/// Bits of a kind's flags.
pub mod flag {
    /// There is a harmless entry.
    pub const HARMLESS: u8 = 1;
    /// The harmless entry was derived by the tool, not written and reviewed by hand.
    pub const HARMLESS_DERIVED: u8 = 2;
    /// The dangerous effect was derived by the tool, not listed.
    pub const DANGER_DERIVED: u8 = 4;
}
