//! The recorder's stand-ins: what each one is, and whether the machine's word for it fits.

use crate::recorded::{Event, Shown};
use std::collections::HashSet;
use wb_pickle::{Callee, Value};
use wb_verdict::escape_bytes;

/// Functions whose result is known to the machine: what such a call returns, and what becomes of it, the recorder
/// cannot say.
fn is_followed(module: &str, name: &str) -> bool {
    match module {
        "builtins" | "__builtin__" => {
            matches!(
                name,
                "__import__" | "apply" | "bytes" | "chr" | "getattr" | "list.__getitem__" | "str" | "vars"
            ) || ["str.", "bytes.", "dict.", "object.", "type."].iter().any(|p| name.starts_with(p))
        }
        "operator" | "_operator" | "functools" | "_functools" | "copyreg" | "copy_reg" => {
            !matches!(name, "dispatch_table" | "_inverted_registry" | "_extension_cache")
        }
        "_codecs" | "codecs" => matches!(name, "encode" | "decode"),
        "base64" | "binascii" | "bz2" | "gzip" | "lzma" | "zlib" => true,
        "importlib" | "importlib._bootstrap" | "pkgutil" | "pydoc" => true,
        "sys" => name.starts_with("modules."),
        "types" => name == "MethodType",
        "torch._tensor" => name.starts_with("_rebuild_from_type"),
        "cloudpickle.cloudpickle" | "dill._dill" | "test.support" | "test.support.import_helper" => true,
        "hydra._internal.utils" | "hydra.utils" | "django.utils.module_loading" | "werkzeug.utils" => true,
        "twisted.python.reflect" | "zope.dottedname.resolve" => true,
        _ => false,
    }
}

/// Those of them that give text or bytes.
pub fn gives_text(module: &str, name: &str) -> bool {
    match module {
        "builtins" | "__builtin__" => {
            matches!(name, "bytes" | "chr" | "str") || name.starts_with("str.") || name.starts_with("bytes.")
        }
        "_codecs" | "codecs" => matches!(name, "encode" | "decode"),
        "base64" | "binascii" | "bz2" | "gzip" | "lzma" | "zlib" => true,
        "operator" | "_operator" => {
            matches!(name, "add" | "concat" | "iadd" | "iconcat" | "mul" | "mod" | "__mod__" | "imod")
        }
        _ => false,
    }
}

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
            Event::Persistent(_) => self.push(Made::Persistent, false),
            Event::Call(by, args, _) | Event::New(by, args, _) => {
                if let Some(Made::Import(m, n)) = self.made.get(*by) {
                    self.extensions_changed |= n == "add_extension" && m.starts_with("copy");
                }
                let loose = self.is_loose(*by)
                    || matches!(self.made.get(*by), Some(Made::Import(m, n)) if is_followed(m, n));
                self.push(Made::Result(*by, args.clone()), loose);
            }
            Event::SetState(n, _) | Event::Attribute(n, ..) | Event::SetItem(n, ..) => {
                match self.made.get(*n) {
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
                }
            }
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

    /// True if the machine may know this for text or bytes.
    pub fn may_be_text(&self, n: usize) -> bool {
        let Some(Made::Result(by, _)) = self.made(n) else { return false };
        let by = self.partial_of(*by, None).map_or(*by, |(f, ..)| f);
        matches!(self.made(by), Some(Made::Import(m, n)) if gives_text(m, n))
    }

    /// True for imports and registered extensions.
    pub fn is_import(&self, n: usize) -> bool {
        matches!(self.made(n), Some(Made::Import(..) | Made::Extension(_)))
    }

    /// As the machine renders what made this.
    pub fn maker_rendering(&self, n: usize) -> String {
        match self.made(n) {
            Some(Made::Result(by, _)) => self.rendering(*by),
            _ => self.rendering(n),
        }
    }

    /// The number of the newest one.
    pub fn last(&self) -> usize {
        self.made.len().saturating_sub(1)
    }

    /// True if the machine may know better than the recorder what this is.
    pub fn is_loose(&self, n: usize) -> bool {
        self.loose.get(n).copied().unwrap_or(true)
    }

    /// True if there is one that the machine may know better: a result, or an import of a name that the stream replaced.
    pub fn any_loose(&self) -> bool {
        self.loose.contains(&true)
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
            Some(Made::Import(module, name)) => {
                same_name(module, &callee.module) && same_name(name, &callee.name)
            }
            _ => same(&self.rendering(n), &callee.rendering),
        }
    }

    /// True if the machine's callee can be what made this stand-in: it stands for the object in changes of it.
    pub fn maker_fits(&self, n: usize, callee: &Callee, on_import: bool) -> bool {
        match self.made.get(n) {
            _ if self.is_loose(n) => true,
            Some(Made::Result(by, _)) => !on_import && self.callee_fits(*by, callee),
            Some(Made::Persistent) => !on_import && self.callee_fits(n, callee),
            Some(_) => on_import && self.callee_fits(n, callee),
            None => false,
        }
    }

    /// True if the machine's value can be this stand-in.
    pub fn value_fits(&self, n: usize, v: &Value) -> bool {
        match (self.made.get(n), v) {
            _ if self.is_loose(n) => true,
            (Some(Made::Import(m, n)), Value::Global { module, name }) => {
                same_name(m, module) && same_name(n, name)
            }
            (Some(Made::Extension(_)), Value::Object { made_by, .. }) => same(&self.rendering(n), made_by),
            (Some(Made::Result(by, _)), Value::Object { made_by, .. }) => same(&self.rendering(*by), made_by),
            (Some(Made::Persistent), Value::Persistent(_)) => true,
            _ => false,
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
                | Event::Attribute(n, ..)
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
pub fn name_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|e| escape_bytes(e.as_bytes()))
}

/// Python 2 strings with bytes beyond ASCII depend on the loader's encoding; the machine keeps them escaped.
fn same_name(reader: &str, machine: &str) -> bool {
    let plain = |s: &str| s.chars().take_while(|c| c.is_ascii_graphic() && *c != '\\').collect::<String>();
    reader == machine || (!reader.is_ascii() && machine.contains('\\') && plain(reader) == plain(machine))
}

/// Renderings are cut at 400 bytes; nested ones at each level.
fn same(a: &str, b: &str) -> bool {
    same_name(a, b) || (a.len() > 390 && b.len() > 390)
}
