//! What a name can hold while the body of a method is followed.

use crate::index::{Class, Module};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use wb_python::ast::StmtFunctionDef;

/// Keys of the state at which values must be literals.
pub type Keys = BTreeSet<String>;

/// An abstract value.
#[derive(Clone)]
pub enum Value<'a> {
    /// Built-in data made of literals, or something the library made of such: whatever is done with it is harmless.
    Literal,
    /// A known text.
    Text(Rc<str>),
    /// A known truth.
    Bool(bool),
    /// An object that the stream made. Nothing of it may be run: no method, operator, iteration, `str()`. With keys
    /// it is a literal if the state's values at these keys are.
    Any(Option<Rc<Keys>>),
    /// A built-in container of such objects.
    Container(Option<Rc<Keys>>),
    /// The state that is being set: a literal or a built-in container of objects that the stream made.
    State,
    /// A key of the state.
    StateKey,
    /// The object that is being made.
    This,
    /// Its `__dict__`.
    ThisDict,
    /// The class of an object that the stream made: it can be compared and named, not called or asked.
    TypeOf,
    /// A class.
    Class(&'a Class<'a>),
    /// A function.
    Function(&'a Module<'a>, &'a StmtFunctionDef),
    /// A method of the object being made, or of its class.
    Method(Box<Value<'a>>, &'a Class<'a>, &'a StmtFunctionDef),
    /// `super()` in a method that this class defines.
    Super(&'a Class<'a>, Box<Value<'a>>),
    /// A module.
    Module(Rc<str>),
    /// A name of a module without Python source.
    Outside(Rc<str>),
    /// An instance that the library made of one of its classes, from literals or not.
    Made(&'a Class<'a>, bool),
    /// An instance of a class of a module without Python source (`logging.Logger`).
    OutsideMade(&'static str),
    /// One of several.
    OneOf(Rc<Vec<Value<'a>>>),
}

/// Most alternatives kept apart.
const MAX_ALTERNATIVES: usize = 6;

impl<'a> Value<'a> {
    /// An object that the stream made.
    pub const ANY: Self = Self::Any(None);

    /// An object that is a literal if the state's value at `key` is.
    pub fn at_key(key: &str) -> Self {
        Self::Any(Some(Rc::new(BTreeSet::from([key.to_string()]))))
    }

    /// The alternatives.
    pub fn each(&self) -> Vec<Self> {
        match self {
            Self::OneOf(all) => all.to_vec(),
            one => vec![one.clone()],
        }
    }

    fn same(&self, other: &Self) -> bool {
        use Value::{
            Any, Bool, Class, Container, Function, Literal, Made, Method, Module, OneOf, Outside,
            OutsideMade, State, StateKey, Super, Text, This, ThisDict, TypeOf,
        };
        match (self, other) {
            (Literal, Literal)
            | (State, State)
            | (StateKey, StateKey)
            | (This, This)
            | (ThisDict, ThisDict)
            | (TypeOf, TypeOf) => true,
            (Text(a), Text(b)) | (Module(a), Module(b)) | (Outside(a), Outside(b)) => a == b,
            (Bool(a), Bool(b)) => a == b,
            (Any(a), Any(b)) | (Container(a), Container(b)) => a == b,
            (Class(a), Class(b)) => std::ptr::eq(*a, *b),
            (Made(a, p), Made(b, q)) => std::ptr::eq(*a, *b) && p == q,
            (OutsideMade(a), OutsideMade(b)) => a == b,
            (Function(_, a), Function(_, b)) => std::ptr::eq(*a, *b),
            (Method(s, _, a), Method(t, _, b)) => std::ptr::eq(*a, *b) && s.same(t),
            (Super(a, s), Super(b, t)) => std::ptr::eq(*a, *b) && s.same(t),
            (OneOf(a), OneOf(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.same(b)),
            _ => false,
        }
    }

    /// Either of two.
    pub fn join(&self, other: &Self) -> Self {
        if self.same(other) {
            return self.clone();
        }
        let mut all: Vec<Self> = Vec::new();
        for value in self.each().into_iter().chain(other.each()) {
            let value = match value {
                // Not worth keeping apart.
                Self::Text(_) | Self::Bool(_) => Self::Literal,
                value => value,
            };
            // Two that differ in their keys only hold the keys of both.
            let merged = all.iter_mut().find_map(|old| {
                let keys = |a: &Option<Rc<Keys>>, b: &Option<Rc<Keys>>| match (a, b) {
                    (Some(a), Some(b)) => Some(Rc::new(a.union(b).cloned().collect())),
                    _ => None,
                };
                match (&*old, &value) {
                    (Self::Any(a), Self::Any(b)) => *old = Self::Any(keys(a, b)),
                    (Self::Container(a), Self::Container(b)) => *old = Self::Container(keys(a, b)),
                    (old, value) if old.same(value) => {}
                    _ => return None,
                }
                Some(())
            });
            if merged.is_none() {
                all.push(value);
            }
        }
        match all.len() {
            1 => all.remove(0),
            n if n > MAX_ALTERNATIVES => Self::ANY,
            _ => Self::OneOf(Rc::new(all)),
        }
    }
}

/// What changes while statements are followed.
#[derive(Clone, Default)]
pub struct Flow<'a> {
    /// Local names.
    pub locals: HashMap<String, Value<'a>>,
    /// Attributes set on the object being made.
    pub attributes: HashMap<String, Value<'a>>,
    /// Attributes of computed names were set: any attribute may hold this.
    pub scattered: Option<Value<'a>>,
    /// Values put into the state by the library.
    pub state: HashMap<String, Value<'a>>,
    /// The same, under computed keys.
    pub state_scattered: bool,
    /// False after `return`, `raise`, `continue`, `break`.
    pub ended: bool,
}

impl<'a> Flow<'a> {
    /// Either of two flows.
    pub fn join(self, other: Self) -> Self {
        match (self.ended, other.ended) {
            (true, false) => return other,
            (false, true) => return self,
            _ => {}
        }
        let mut out = self;
        // A local bound on one side only is unbound on the other: using it fails there.
        for (name, value) in other.locals {
            let joined = out.locals.get(&name).map_or(value.clone(), |old| old.join(&value));
            out.locals.insert(name, joined);
        }
        // An attribute set on one side only is still the object's own on the other.
        let both = |a: &mut HashMap<String, Value<'a>>, b: HashMap<String, Value<'a>>| {
            let old = std::mem::take(a);
            for name in old.keys().chain(b.keys()) {
                let own = || Value::at_key(name);
                let left = old.get(name).cloned().unwrap_or_else(own);
                let right = b.get(name).cloned().unwrap_or_else(own);
                a.insert(name.clone(), left.join(&right));
            }
        };
        both(&mut out.attributes, other.attributes);
        both(&mut out.state, other.state);
        out.scattered = match (out.scattered, other.scattered) {
            (Some(a), Some(b)) => Some(a.join(&b)),
            (a, b) => a.or(b),
        };
        out.state_scattered |= other.state_scattered;
        out
    }

    /// True if nothing that matters differs.
    pub fn same(&self, other: &Self) -> bool {
        let equal = |a: &HashMap<String, Value<'a>>, b: &HashMap<String, Value<'a>>| {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| v.same(w)))
        };
        equal(&self.locals, &other.locals)
            && equal(&self.attributes, &other.attributes)
            && equal(&self.state, &other.state)
            && self.state_scattered == other.state_scattered
            && match (&self.scattered, &other.scattered) {
                (None, None) => true,
                (Some(a), Some(b)) => a.same(b),
                _ => false,
            }
    }
}
