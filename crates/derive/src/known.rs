//! Classes that other classes are built on and whose source is C, or too clever to be read: a small reviewed table.
//!
//! What a class inherits from one of these, and may be relied on: how instances are made and filled.

/// What arguments a use takes without running anything of the arguments'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Any object.
    Any,
    /// Literals and containers of literals.
    Plain,
    /// No arguments are harmless.
    Never,
}

/// One class of the table.
#[derive(Debug)]
pub struct Known {
    /// Full name.
    pub name: &'static str,
    /// `cls.__new__(cls, *args)`.
    pub new: Need,
    /// `__init__(*args)`.
    pub init: Need,
    /// The kind of container, if it is one.
    pub container: Container,
    /// The metaclass is an ordinary one.
    pub metaclass: Meta,
    /// Instances hash and compare by identity, or by plain content.
    pub hash: bool,
}

/// Which filling opcodes a built-in base has methods for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// None.
    No,
    /// `append`, `extend`.
    List,
    /// `__setitem__`.
    Dict,
    /// `add`.
    Set,
}

/// What calling the class itself does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meta {
    /// `type.__call__`: `__new__`, then `__init__`.
    Plain,
    /// A look-up among the members.
    Enum,
    /// A named tuple: one field each argument.
    NamedTuple,
}

const fn object_like(name: &'static str) -> Known {
    Known {
        name,
        new: Need::Any,
        init: Need::Any,
        container: Container::No,
        metaclass: Meta::Plain,
        hash: true,
    }
}

const fn exact(name: &'static str) -> Known {
    Known {
        name,
        new: Need::Plain,
        init: Need::Any,
        container: Container::No,
        metaclass: Meta::Plain,
        hash: true,
    }
}

const fn container(name: &'static str, container: Container) -> Known {
    Known { name, new: Need::Any, init: Need::Plain, container, metaclass: Meta::Plain, hash: false }
}

const fn members(name: &'static str) -> Known {
    Known {
        name,
        new: Need::Never,
        init: Need::Plain,
        container: Container::No,
        metaclass: Meta::Enum,
        hash: true,
    }
}

/// The table.
static TABLE: &[Known] = &[
    object_like("builtins.object"),
    object_like("abc.ABC"),
    object_like("typing.Generic"),
    object_like("typing.Protocol"),
    object_like("typing_extensions.Protocol"),
    object_like("typing_extensions.Generic"),
    object_like("collections.abc.Container"),
    object_like("collections.abc.Hashable"),
    object_like("collections.abc.Iterable"),
    object_like("collections.abc.Iterator"),
    object_like("collections.abc.Sized"),
    object_like("collections.abc.Callable"),
    object_like("collections.abc.Collection"),
    object_like("collections.abc.Generator"),
    object_like("collections.abc.Mapping"),
    object_like("collections.abc.MutableMapping"),
    object_like("collections.abc.Sequence"),
    object_like("collections.abc.MutableSequence"),
    object_like("collections.abc.Set"),
    object_like("collections.abc.MutableSet"),
    object_like("typing.Hashable"),
    object_like("typing.Iterable"),
    object_like("typing.Iterator"),
    object_like("typing.Sized"),
    object_like("typing.Container"),
    object_like("typing.Collection"),
    object_like("typing.Callable"),
    object_like("typing.Mapping"),
    object_like("typing.MutableMapping"),
    object_like("typing.Sequence"),
    object_like("typing.MutableSequence"),
    object_like("contextlib.ContextDecorator"),
    object_like("contextlib.AbstractContextManager"),
    object_like("numbers.Number"),
    exact("builtins.int"),
    exact("builtins.float"),
    exact("builtins.complex"),
    exact("builtins.str"),
    exact("builtins.bytes"),
    exact("builtins.tuple"),
    exact("typing.Tuple"),
    exact("builtins.frozenset"),
    container("builtins.list", Container::List),
    container("typing.List", Container::List),
    container("builtins.dict", Container::Dict),
    container("typing.Dict", Container::Dict),
    container("collections.OrderedDict", Container::Dict),
    container("typing.OrderedDict", Container::Dict),
    container("builtins.set", Container::Set),
    Known {
        name: "typing.NamedTuple",
        new: Need::Any,
        init: Need::Any,
        container: Container::No,
        metaclass: Meta::NamedTuple,
        hash: true,
    },
    members("enum.Enum"),
    members("enum.IntEnum"),
    members("enum.StrEnum"),
    members("enum.Flag"),
    members("enum.IntFlag"),
];

static EXCEPTION: Known = object_like("builtins.BaseException");

/// The class called `name`, if it is in the table.
pub fn known(name: &str) -> Option<&'static Known> {
    if let Some(found) = TABLE.iter().find(|k| k.name == name) {
        return Some(found);
    }
    let exception = name.strip_prefix("builtins.").is_some_and(crate::builtins::is_exception);
    exception.then_some(&EXCEPTION)
}

/// Metaclasses that neither change how a class is called nor what its instances are.
pub fn is_plain_metaclass(name: &str) -> bool {
    matches!(name, "builtins.type" | "abc.ABCMeta" | "_py_abc.ABCMeta" | "typing.GenericMeta")
}
