//! What stand-ins are to the catalogue: imports, what classes made, values. Unlike the machine this reads the
//! recorder's events alone, and only as far as a stream that passes can go.

use crate::recorded::Shown;
use crate::standins::{Made, StandIns, name_of};
use wb_pickle::{Held, Value};

impl StandIns {
    /// Module and name, if this is an import or an attribute of one.
    pub fn import_of(&self, n: usize) -> Option<(String, String)> {
        match self.made(n)? {
            Made::Import(module, name) => Some((module.clone(), name.clone())),
            Made::Result(by, Shown::Seq(_, args)) => match (self.imported(*by)?, &args[..]) {
                (("builtins", "getattr"), [Shown::Object(owner), Shown::Str(attribute)]) => {
                    let (module, name) = self.import_of(*owner)?;
                    let dot = if name.is_empty() { "" } else { "." };
                    Some((module, format!("{name}{dot}{}", name_of(attribute))))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// What made this: a class, also by way of the functions that rebuild instances.
    pub fn class_of(&self, n: usize) -> Option<(String, String)> {
        let Made::Result(by, args) = self.made(n)? else { return None };
        match (self.imported(*by), args) {
            (Some(("copyreg", "_reconstructor" | "__newobj__" | "__newobj_ex__")), Shown::Seq(_, args)) => {
                match args.first()? {
                    Shown::Object(class) => self.import_of(*class),
                    _ => None,
                }
            }
            _ => match self.partial_of(*by, None) {
                Some((f, ..)) => self.import_of(f),
                None => self.import_of(*by),
            },
        }
    }

    /// What a call of this with these arguments calls in the end, if it is a `functools.partial`, and with which.
    fn through_partial(&self, by: usize, args: &Shown) -> (usize, Shown) {
        let Some((f, mut all, _)) = self.partial_of(by, None) else { return (by, args.clone()) };
        if let Shown::Seq(_, rest) = args {
            all.extend(rest.iter().cloned());
        }
        (f, Shown::Seq('T', all))
    }

    /// What `functools.reduce` hands back without calling anything: what it starts with, or the only item.
    fn handed_back(&self, n: usize) -> Option<Shown> {
        let Made::Result(by, args) = self.made(n)? else { return None };
        let (by, args) = self.through_partial(*by, args);
        let Shown::Seq(_, args) = args else { return None };
        let ([_, Shown::Seq(kind, items), start @ ..], ("functools" | "_functools", "reduce")) =
            (&args[..], self.imported(by)?)
        else {
            return None;
        };
        let items: Vec<&Shown> = items.iter().step_by(if *kind == 'D' { 2 } else { 1 }).collect();
        match (&items[..], start) {
            ([], [start]) => Some(start.clone()),
            ([one], []) => Some((*one).clone()),
            _ => None,
        }
    }

    /// True for the result of a call that is a built-in value.
    pub fn is_built_in(&self, n: usize) -> bool {
        self.handed_back(n).is_some_and(|v| !matches!(v, Shown::Object(_) | Shown::Any))
    }

    /// Function, arguments and named arguments of a `functools.partial`, given the last state set on it.
    pub fn partial_of(&self, n: usize, state: Option<&Shown>) -> Option<(usize, Vec<Shown>, Vec<Shown>)> {
        let Made::Result(by, made) = self.made(n)? else { return None };
        if self.imported(*by)? != ("functools", "partial") {
            return None;
        }
        let seq = |v: &Shown| match v {
            Shown::Seq(_, items) => items.clone(),
            _ => Vec::new(),
        };
        match (state, made) {
            (Some(Shown::Seq('T', parts)), _) => match &parts[..] {
                [Shown::Object(f), args, kwargs, ..] => Some((*f, seq(args), seq(kwargs))),
                _ => None,
            },
            (None, Shown::Seq(_, parts)) => match parts.split_first()? {
                (Shown::Object(f), rest) => Some((*f, rest.to_vec(), Vec::new())),
                _ => None,
            },
            _ => None,
        }
    }

    fn imported(&self, n: usize) -> Option<(&str, &str)> {
        match self.made(n)? {
            Made::Import(module, name) => Some((module, name)),
            _ => None,
        }
    }

    /// A shown value as the catalogue takes it. What was cut off is taken for plain: a stream is not blamed for what
    /// the recorder left out.
    pub fn value(&self, v: &Shown) -> Value {
        self.valued(v, false)
    }

    /// As [`Self::value`], with text that a call returned as the result of that call.
    pub fn value_of_objects(&self, v: &Shown) -> Value {
        self.valued(v, true)
    }

    fn valued(&self, v: &Shown, objects: bool) -> Value {
        let all = |items: &[Shown]| items.iter().map(|i| self.valued(i, objects)).collect::<Vec<_>>();
        match v {
            Shown::Any => Value::PlainRest,
            Shown::None => Value::None,
            Shown::Bool(b) => Value::Bool(*b),
            Shown::Int(n) => Value::Int(*n),
            Shown::Float(bits) => Value::Float(f64::from_bits(*bits)),
            Shown::Str(b) => Value::Str { text: name_of(b), len: b.len() as u64, cut: false },
            Shown::Bytes(b) => Value::Bytes { len: b.len() as u64, head: b.clone() },
            Shown::Seq('T', items) => Value::Tuple(all(items)),
            Shown::Seq('L', items) => Value::List(all(items)),
            Shown::Seq('X', items) => Value::Set(all(items)),
            Shown::Seq('Z', items) => Value::FrozenSet(all(items)),
            Shown::Seq(_, items) => {
                let pair = |p: &[Shown]| (self.valued(&p[0], objects), self.valued(&p[1], objects));
                Value::Dict(items.chunks_exact(2).map(pair).collect())
            }
            Shown::Object(n) => self.object_value(*n, objects),
        }
    }

    fn object_value(&self, n: usize, objects: bool) -> Value {
        if let Some((module, name)) = self.import_of(n) {
            return Value::Global { module, name };
        }
        match self.made(n) {
            Some(Made::Result(by, args)) => {
                let (by, args) = self.through_partial(*by, args);
                let args = match self.valued(&args, objects) {
                    Value::Tuple(items) => items,
                    other => vec![other],
                };
                match self.imported(by) {
                    // Text and bytes that the machine works out.
                    Some(("builtins", "str" | "bytes") | ("_codecs" | "codecs", "encode")) if !objects => {
                        Value::PlainRest
                    }
                    Some(("copyreg", _)) if self.class_of(n).is_some() => {
                        let made_by = self.class_of(n).map_or(String::new(), |(m, n)| format!("{m}.{n}"));
                        Value::Object { made_by, args: Vec::new() }
                    }
                    _ => Value::Object { made_by: self.rendering(by), args },
                }
            }
            Some(Made::Persistent) => Value::Persistent(Box::new(Value::Opaque)),
            _ => Value::Object { made_by: self.rendering(n), args: Vec::new() },
        }
    }
}

/// What of a state is asked, see [`wb_pickle::Call::asked`].
pub fn asked(args: &[Value]) -> Vec<Held> {
    let parts = match args {
        [Value::Tuple(parts)] if parts.len() == 2 => parts,
        state => state,
    };
    let held = |v: &Value| match v {
        Value::Global { module, name } => Some(Held::Import { module: module.clone(), name: name.clone() }),
        Value::Object { made_by, .. } => Some(match made_by.rsplit_once('.') {
            Some((module, name)) if !made_by.contains('(') => {
                Held::Object { module: module.into(), name: name.into() }
            }
            _ => Held::Unknown,
        }),
        Value::Persistent(_) | Value::Opaque => Some(Held::Unknown),
        _ => None,
    };
    parts.iter().filter_map(held).collect()
}

/// What values hold that is neither a literal nor a container, as the catalogue takes it.
pub fn held<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<Held> {
    let mut out = Vec::new();
    let mut todo: Vec<&Value> = values.into_iter().collect();
    while let Some(value) = todo.pop() {
        match value {
            Value::Tuple(items) | Value::List(items) | Value::Set(items) | Value::FrozenSet(items) => {
                todo.extend(items);
            }
            Value::Dict(pairs) => todo.extend(pairs.iter().flat_map(|(k, v)| [k, v])),
            Value::Global { module, name } => {
                out.push(Held::Import { module: module.clone(), name: name.clone() });
            }
            Value::Object { made_by, args } => match made_by.rsplit_once('.') {
                Some((module, name)) if !made_by.contains('(') => {
                    // These hand on what they are given.
                    if matches!(module, "builtins" | "collections") || name == "scalar" {
                        todo.extend(args);
                    }
                    out.push(Held::Object { module: module.into(), name: name.into() });
                }
                _ => out.push(Held::Unknown),
            },
            Value::Persistent(_) | Value::Opaque | Value::Truncated => out.push(Held::Unknown),
            _ => {}
        }
    }
    out
}
