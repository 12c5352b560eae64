//! Looking names up: exact names, whole modules, dotted walks.

use super::tables::{Catalogue, Danger, Entry, use_of};
use super::vocabulary::{Part, Use};
use wb_verdict::{CallClass, Effect, How};

impl<'a> Catalogue<'a> {
    /// The harmless entry of exactly this name, if there is one. What the tool proved does not hold against what is
    /// known to be dangerous.
    pub(super) fn harmless(&self, module: &str, name: &str) -> Option<Entry<'a>> {
        if let Some(entry) = self.row(module, name).and_then(|row| row.harmless) {
            return (!entry.derived || self.danger(module, name).is_none()).then_some(entry);
        }
        // One namespace is harmless as a whole because Python cannot import it (see harmless/torch.toml).
        let (top, _) = module.split_once('.').unwrap_or((module, ""));
        (top == "__torch__").then(|| self.row("__torch__.*", "*")?.harmless).flatten()
    }

    /// True for `Class.NAME`, read but not called, of a class that is harmless as data: a member of an enumeration.
    pub(super) fn is_attribute_of_harmless(&self, module: &str, name: &str) -> bool {
        let Some((class, attribute)) = name.split_once('.') else { return false };
        is_constant(attribute) && self.harmless(module, class).is_some_and(|e| e.allows(How::Data))
    }

    /// The part a serialiser's helper plays.
    pub(super) fn carries(&self, module: &str, name: &str) -> Option<Part> {
        self.row(module, name)?.part
    }

    /// As [`Self::carries`], for `module.name` in one string.
    pub(super) fn carries_any_split(&self, dotted: &str) -> Option<Part> {
        let (module, name) = dotted.rsplit_once('.')?;
        self.carries(module, name)
    }

    /// The class of a use of a dangerous name.
    pub(super) fn danger_of(&self, module: &str, name: &str, how: How) -> Option<CallClass> {
        let known = self.danger(module, name)?;
        Some(match known.derived {
            // A module cannot be called; what is reached through it or written into it is a use of its own.
            false if how == How::Data && name.is_empty() => CallClass::KnownUncatalogued,
            // The tool says what happens if the name is called.
            true if use_of(how) != Some(Use::Call) => CallClass::KnownUncatalogued,
            _ => CallClass::Dangerous { effect: known.effect },
        })
    }

    /// The effect of a name that is listed by hand.
    pub(super) fn listed_danger(&self, module: &str, name: &str) -> Option<Effect> {
        self.danger(module, name).filter(|known| !known.derived).map(|known| known.effect)
    }

    /// The known effect of a name, if it is dangerous.
    ///
    /// `module` and `name` are read as every loader could: split at each dot (`torch`, `serialization.load` is
    /// `torch.serialization`, `load`), and, because protocol 4 walks attributes and modules hold the modules
    /// they import, from each component of `name` on (`pathlib`, `os.system` is `os.system`).
    pub(super) fn danger(&self, module: &str, name: &str) -> Option<Known> {
        // What is listed wins over what was derived, under whatever reading.
        let mut derived = None;
        let dotted = if name.is_empty() { module.to_string() } else { format!("{module}.{name}") };
        match self.dangerous_dotted(&dotted) {
            Some(Danger { derived: true, effect }) => derived = effect,
            Some(Danger { effect, .. }) => return effect.map(Known::listed),
            None => {}
        }
        let mut rest = name;
        // A walk through a module needs at least the module and a name in it.
        while let Some((_, tail)) = rest.split_once('.') {
            match self.dangerous_dotted(rest) {
                Some(Danger { effect: Some(effect), derived: false }) => return Some(Known::listed(effect)),
                Some(Danger { effect, derived: true }) => derived = derived.or(effect),
                _ => {}
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
        // A module that forwards to one of them keeps its name: `six.moves.builtins`.
        let forwarded = module.match_indices('.').any(|(at, _)| {
            let tail = module.get(at + 1..).unwrap_or("");
            HANDED_OUT.contains(&tail)
                && self.dangerous_dotted(&format!("{tail}.{name}")).is_some_and(|d| d.effect.is_some())
        });
        let hands_out = forwarded || name.rsplit('.').next().is_some_and(|last| HANDED_OUT.contains(&last));
        if hands_out || name.split('.').any(is_dunder) {
            return Some(Known::listed(Effect::Reach));
        }
        derived.map(|effect| Known { effect, derived: true })
    }

    /// The most specific listed row of a dotted name, or a derived one where none is listed.
    fn dangerous_dotted(&self, dotted: &str) -> Option<Danger> {
        let (mut wildcard, mut derived) = (None, None);
        // From the longest module to the shortest: the most specific entry wins.
        for (at, _) in dotted.rmatch_indices('.') {
            let (module, name) = (dotted.get(..at)?, dotted.get(at + 1..)?);
            let Some(names) = self.names(module) else { continue };
            let danger = |name: &str| names.get(name).and_then(|row| row.danger);
            // Exactly this name, or a method or attribute of a listed one.
            let first = name.split_once('.').map(|(first, _)| first);
            for found in [Some(name), first].into_iter().flatten().filter_map(danger) {
                match found.derived {
                    true => derived = derived.or(Some(found)),
                    false => return Some(found),
                }
            }
            wildcard = wildcard.or_else(|| danger("*"));
        }
        wildcard.or_else(|| self.row(dotted, "*").and_then(|row| row.danger)).or(derived)
    }

    /// The class of a name without harmless entry and without known effect.
    ///
    /// `package.__main__` is no class's module: importing it runs a program.
    pub(super) fn uncatalogued(&self, module: &str) -> CallClass {
        if self.is_known(module) || module.split('.').skip(1).any(is_dunder) {
            CallClass::KnownUncatalogued
        } else {
            CallClass::Unknown
        }
    }

    /// True if a string among a function's names, constants or source shows more than model work.
    pub(super) fn is_code_word(&self, text: &str) -> bool {
        if self.fragments().any(|f| text.contains(f)) {
            return true;
        }
        // Names come whole; source and dotted names are split into identifiers only where a dot follows or
        // precedes, so that prose in a docstring does not count.
        if !text.contains(char::is_whitespace) {
            return text.split('.').any(|part| self.is_word(part));
        }
        false
    }
}

/// A dangerous effect and where it is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// What it does.
    pub effect: Effect,
    /// Found by the tool: what it does when it is *called*. Kept as data it is only not proved harmless.
    pub derived: bool,
}

impl Known {
    fn listed(effect: Effect) -> Self {
        Self { effect, derived: false }
    }
}

/// Ways of use that run a callee that is itself the result of a call.
pub(super) fn calls(how: How) -> bool {
    matches!(how, How::Reduce | How::Inst | How::Obj | How::Newobj | How::NewobjEx | How::Indirect)
}

/// True for an imported name that is harmless as data.
pub(super) fn uncalled_data(cat: &Catalogue<'_>, module: &str, name: &str) -> bool {
    super::of_name(cat, module, name, How::Data) == CallClass::Harmless
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
