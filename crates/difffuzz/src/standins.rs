//! The recorder's stand-ins: what each one is, and whether the machine's word for it fits.

use crate::recorded::{Event, Shown};
use std::collections::HashSet;
use wb_pickle::{Callee, Value};
use wb_verdict::escape_bytes;

/// Modules of which some function's result is known to the machine: what such a call returns, and what becomes of
/// it, the recorder cannot say.
const FOLLOWED: &[&str] = &[
    "_codecs",
    "_functools",
    "_operator",
    "base64",
    "binascii",
    "builtins",
    "__builtin__",
    "codecs",
    "copyreg",
    "copy_reg",
    "functools",
    "importlib",
    "operator",
    "pkgutil",
    "pydoc",
    "sys",
    "torch._tensor",
    "types",
];

/// Where a stand-in comes from.
#[derive(Debug, Clone)]
pub enum Made {
    /// `find_class`.
    Import(String, String),
    /// `find_class` for a registered extension code.
    Extension(u64),
    /// A call of, or by `__new__` of, another stand-in with these arguments.
    Result(usize, Shown),
    /// `persistent_load`.
    Persistent,
}

/// All stand-ins of one reading so far.
#[derive(Debug, Default)]
pub struct StandIns {
    made: Vec<Made>,
    loose: Vec<bool>,
    /// Dotted paths of imports that the stream changed: what is below them is no longer what its name says.
    changed: Vec<String>,
    extensions_changed: bool,
}

impl StandIns {
    /// Notes what an event makes and changes.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Import { module, name } => {
                let (module, name) = (name_of(module), name_of(name));
                let made = match name.strip_prefix('e').and_then(|n| n.parse().ok()) {
                    Some(code) if module == "wbext" => Made::Extension(code),
                    _ => Made::Import(module, name),
                };
                let loose = self.is_changed(&made);
                self.push(made, loose);
            }
            Event::Persistent(_) => self.push(Made::Persistent, true),
            Event::Call(by, args, _) | Event::New(by, args, _) => {
                if let Some(Made::Import(m, n)) = self.made.get(*by) {
                    self.extensions_changed |= n == "add_extension" && m.starts_with("copy");
                }
                let loose = self.is_loose(*by)
                    || matches!(self.made.get(*by), Some(Made::Import(m, _)) if FOLLOWED.contains(&m.as_str()));
                self.push(Made::Result(*by, args.clone()), loose);
            }
            Event::SetState(n, _) | Event::Attribute(n, _) | Event::SetItem(n, ..) => match self.made.get(*n)
            {
                Some(Made::Import(..)) => {
                    let path = self.rendering(*n);
                    let path = path.strip_suffix(".__dict__").unwrap_or(&path).to_string();
                    self.extensions_changed |= path.starts_with("copyreg");
                    self.changed.push(path);
                }
                // A result may be an import by another way.
                Some(_) if self.is_loose(*n) => {
                    self.extensions_changed = true;
                    self.changed.push(String::new());
                }
                // A `__setstate__` set before changes what the next BUILD does; the machine tells both.
                _ => {}
            },
            _ => {}
        }
    }

    fn push(&mut self, made: Made, loose: bool) {
        self.made.push(made);
        self.loose.push(loose);
    }

    /// True if the stream itself changed what this import gives.
    fn is_changed(&self, made: &Made) -> bool {
        let Made::Import(module, name) = made else { return self.extensions_changed };
        let path = format!("{module}.{name}");
        self.changed.iter().any(|c| {
            c.is_empty()
                || c == "sys.modules"
                || path.strip_prefix(c.as_str()).is_some_and(|r| r.starts_with('.'))
        })
    }

    /// What a stand-in is.
    pub fn made(&self, n: usize) -> Option<&Made> {
        self.made.get(n)
    }

    /// The number of the newest one.
    pub fn last(&self) -> usize {
        self.made.len().saturating_sub(1)
    }

    /// True if the machine may know better than the recorder what this is.
    pub fn is_loose(&self, n: usize) -> bool {
        self.loose.get(n).copied().unwrap_or(true)
    }

    /// True if there is a result that the machine may know better.
    pub fn any_loose_result(&self) -> bool {
        self.made.iter().zip(&self.loose).any(|(m, l)| *l && !matches!(m, Made::Import(..)))
    }

    /// As the machine renders a callee.
    pub fn rendering(&self, n: usize) -> String {
        match self.made.get(n) {
            Some(Made::Import(m, n)) if n.is_empty() => m.clone(),
            Some(Made::Import(m, n)) => format!("{m}.{n}"),
            Some(Made::Extension(code)) => format!("copyreg.extension({code})"),
            Some(Made::Result(by, _)) => format!("{}(...)", self.rendering(*by)),
            Some(Made::Persistent) | None => "<persistent object>".into(),
        }
    }

    /// True if the machine's callee can be this stand-in.
    pub fn callee_fits(&self, n: usize, callee: &Callee) -> bool {
        match self.made.get(n) {
            _ if self.is_loose(n) => true,
            Some(Made::Import(module, name)) => callee.module == *module && callee.name == *name,
            _ => same(&self.rendering(n), &callee.rendering),
        }
    }

    /// True if the machine's callee can be what made this stand-in: it stands for the object in changes of it.
    pub fn maker_fits(&self, n: usize, callee: &Callee, on_import: bool) -> bool {
        match self.made.get(n) {
            _ if self.is_loose(n) => true,
            Some(Made::Result(by, _)) => !on_import && self.callee_fits(*by, callee),
            Some(_) => on_import && self.callee_fits(n, callee),
            None => false,
        }
    }

    /// True if the machine's value can be this stand-in.
    pub fn value_fits(&self, n: usize, v: &Value) -> bool {
        match (self.made.get(n), v) {
            _ if self.is_loose(n) => true,
            (Some(Made::Import(m, n)), Value::Global { module, name }) => module == m && name == n,
            (Some(Made::Extension(_)), Value::Object { made_by, .. }) => same(&self.rendering(n), made_by),
            (Some(Made::Result(by, _)), Value::Object { made_by, .. }) => same(&self.rendering(*by), made_by),
            (Some(Made::Persistent), Value::Persistent(_)) => true,
            _ => false,
        }
    }

    /// A shown value as the catalogue takes it.
    pub fn value(&self, v: &Shown) -> Value {
        let all = |items: &[Shown]| items.iter().map(|i| self.value(i)).collect::<Vec<_>>();
        match v {
            Shown::Any => Value::Truncated,
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
                Value::Dict(items.chunks_exact(2).map(|p| (self.value(&p[0]), self.value(&p[1]))).collect())
            }
            Shown::Object(n) => match self.made.get(*n) {
                Some(Made::Import(module, name)) => {
                    Value::Global { module: module.clone(), name: name.clone() }
                }
                Some(Made::Result(by, args)) => Value::Object {
                    made_by: self.rendering(*by),
                    args: match self.value(args) {
                        Value::Tuple(items) => items,
                        other => vec![other],
                    },
                },
                Some(Made::Persistent) => Value::Persistent(Box::new(Value::Opaque)),
                _ => Value::Object { made_by: self.rendering(*n), args: Vec::new() },
            },
        }
    }

    /// True if a value holds something that the machine may know better.
    pub fn holds_loose(&self, v: &Shown) -> bool {
        v.holds(&|n| self.is_loose(n))
    }

    /// Imports that no later event calls or changes are held as data: those of these events that are used.
    pub fn used(events: &[(Option<u8>, Event)]) -> HashSet<usize> {
        let mut used = HashSet::new();
        for (_, e) in events {
            match e {
                Event::Call(n, ..)
                | Event::New(n, ..)
                | Event::SetState(n, _)
                | Event::Attribute(n, _)
                | Event::Append(n, _)
                | Event::SetItem(n, ..)
                | Event::Add(n, _) => {
                    used.insert(*n);
                }
                _ => {}
            }
        }
        used
    }
}

/// Names as the machine keeps them.
fn name_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|e| escape_bytes(e.as_bytes()))
}

/// Renderings are cut at 400 bytes; nested ones at each level.
fn same(a: &str, b: &str) -> bool {
    a == b || (a.len() > 390 && b.len() > 390)
}
