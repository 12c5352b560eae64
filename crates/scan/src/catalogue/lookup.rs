//! Looking names up: exact names, whole modules, dotted walks.

use super::tables::{Catalogue, Entry, Part};
use wb_verdict::{CallClass, Effect};

impl Catalogue {
    /// The harmless entry of exactly this name, if there is one.
    pub(super) fn harmless(&self, module: &str, name: &str) -> Option<&Entry> {
        if let Some(entry) = self.harmless.get(module).and_then(|names| names.get(name)) {
            return Some(entry);
        }
        // One namespace is harmless as a whole because Python cannot import it (see harmless/torch.toml).
        let (top, _) = module.split_once('.').unwrap_or((module, ""));
        (top == "__torch__").then(|| self.harmless.get("__torch__.*")?.get("*")).flatten()
    }

    /// True for `Class.NAME`, read but not called, of a class that is harmless as data: a member of an enumeration.
    pub(super) fn is_attribute_of_harmless(&self, module: &str, name: &str) -> bool {
        let Some((class, attribute)) = name.split_once('.') else { return false };
        is_constant(attribute)
            && self.harmless(module, class).is_some_and(|e| e.allows(wb_verdict::How::Data))
    }

    /// The part a serialiser's helper plays.
    pub(super) fn carries(&self, module: &str, name: &str) -> Option<Part> {
        self.carries.get(module)?.get(name).copied()
    }

    /// As [`Self::carries`], for `module.name` in one string.
    pub(super) fn carries_any_split(&self, dotted: &str) -> Option<Part> {
        let (module, name) = dotted.rsplit_once('.')?;
        self.carries(module, name)
    }

    /// The known effect of a name, if it is dangerous.
    ///
    /// `module` and `name` are read as every loader could: split at each dot (`torch`, `serialization.load` is
    /// `torch.serialization`, `load`), and, because protocol 4 walks attributes and modules hold the modules
    /// they import, from each component of `name` on (`pathlib`, `os.system` is `os.system`).
    pub(super) fn dangerous(&self, module: &str, name: &str) -> Option<Effect> {
        let dotted = if name.is_empty() { module.to_string() } else { format!("{module}.{name}") };
        match self.dangerous_dotted(&dotted) {
            Some(Some(effect)) => return Some(effect),
            Some(None) => return None,
            None => {}
        }
        let mut rest = name;
        // A walk through a module needs at least the module and a name in it.
        while let Some((_, tail)) = rest.split_once('.') {
            if let Some(Some(effect)) = self.dangerous_dotted(rest) {
                return Some(effect);
            }
            rest = tail;
        }
        // A last component that names a module hands that module out (`linecache`, `os`).
        const HANDED_OUT: [&str; 12] = [
            "os",
            "posix",
            "nt",
            "sys",
            "subprocess",
            "builtins",
            "importlib",
            "ctypes",
            "pty",
            "socket",
            "shutil",
            "runpy",
        ];
        if name.rsplit('.').next().is_some_and(|last| HANDED_OUT.contains(&last)) {
            return Some(Effect::Reach);
        }
        name.split('.').any(is_dunder).then_some(Effect::Reach)
    }

    /// `Some(None)`: listed as exempt.
    fn dangerous_dotted(&self, dotted: &str) -> Option<Option<Effect>> {
        let mut wildcard = None;
        // From the longest module to the shortest: the most specific entry wins.
        for (at, _) in dotted.rmatch_indices('.') {
            let (module, name) = (&dotted[..at], &dotted[at + 1..]);
            if let Some(names) = self.dangerous.get(module) {
                if let Some(effect) = names.get(name) {
                    return Some(*effect);
                }
                // A method or attribute of a listed name.
                if let Some((first, _)) = name.split_once('.')
                    && let Some(effect) = names.get(first)
                {
                    return Some(*effect);
                }
                wildcard = wildcard.or_else(|| names.get("*").copied());
            }
        }
        wildcard.or_else(|| self.dangerous.get(dotted).and_then(|n| n.get("*")).copied())
    }

    /// True for modules of the standard library and of catalogued distributions.
    pub(super) fn is_known(&self, module: &str) -> bool {
        self.known.contains(module.split('.').next().unwrap_or(module))
    }

    /// The class of a name without harmless entry and without known effect.
    pub(super) fn uncatalogued(&self, module: &str) -> CallClass {
        if self.is_known(module) { CallClass::KnownUncatalogued } else { CallClass::Unknown }
    }

    /// True if a string among a function's names, constants or source shows more than model work.
    pub(super) fn is_code_word(&self, text: &str) -> bool {
        if self.fragments.iter().any(|f| text.contains(f.as_str())) {
            return true;
        }
        // Names come whole; source and dotted names are split into identifiers only where a dot follows or
        // precedes, so that prose in a docstring does not count.
        if !text.contains(char::is_whitespace) {
            return text.split('.').any(|part| self.words.contains(part));
        }
        false
    }
}

/// Spelled as members of enumerations are. Methods are not, and a method kept is called later, by a container
/// that asks its argument for `keys` or by a `partial`: `DataFrame.eval`, `ndarray.tofile`, `PosixPath.unlink`.
pub(super) fn is_constant(attribute: &str) -> bool {
    attribute.starts_with(|c: char| c.is_ascii_uppercase())
        && attribute.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

pub(super) fn is_dunder(component: &str) -> bool {
    component.len() > 4 && component.starts_with("__") && component.ends_with("__")
}
