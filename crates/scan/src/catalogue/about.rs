//! What the catalogue says of a name, for people and for policies.

use super::tables::{CATALOGUE, use_of};
use super::vocabulary::{Args, Use};
use wb_verdict::{CallClass, Effect, How};

/// Everything that is known of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// True if the module belongs to the standard library or to a catalogued distribution.
    pub known: bool,
    /// The harmless entry, if there is one and nothing dangerous overrides it.
    pub harmless: Option<Harmless>,
    /// The dangerous effect, and true if the tool derived it.
    pub dangerous: Option<(Effect, bool)>,
    /// The part it plays in rebuilding code.
    pub carries: Option<&'static str>,
    /// Per way of use, named as in the data files: the class without looking at arguments.
    pub uses: Vec<(&'static str, CallClass)>,
}

/// A harmless entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Harmless {
    /// Uses that are proved.
    pub uses: Vec<&'static str>,
    /// What the arguments must be.
    pub args: &'static str,
    /// True if the tool derived it from sources; else it was written and reviewed by hand.
    pub derived: bool,
    /// Versions that the proof covers; empty for reviewed entries.
    pub versions: &'static str,
    /// True if the arguments of a call decide more than whether they are plain.
    pub looks_at_args: bool,
}

/// The ways of use that entries name.
pub const USES: &[&str] = Use::NAMES;

/// How a way of use is called in entries; `None` for those that no entry can allow.
pub fn use_name(how: How) -> Option<&'static str> {
    use_of(how).map(Use::name)
}

/// True for modules of the standard library and of catalogued distributions.
pub fn is_known(module: &str) -> bool {
    CATALOGUE.is_known(module)
}

/// What the catalogue says of `name` in `module`.
pub fn about(module: &str, name: &str) -> About {
    let cat = &CATALOGUE;
    let harmless = cat.harmless(module, name).map(|entry| Harmless {
        uses: Use::ALL.iter().filter(|u| entry.has(**u)).map(|u| u.name()).collect(),
        args: entry.args.name(),
        derived: entry.derived,
        versions: entry.versions,
        looks_at_args: !matches!(entry.args, Args::Any | Args::Plain),
    });
    let danger = cat.danger(module, name);
    let class = |used: &Use| {
        let how = how_of(*used);
        (used.name(), super::of_name(cat, module, name, how))
    };
    About {
        known: cat.is_known(module),
        harmless,
        dangerous: danger.map(|d| (d.effect, d.derived)),
        carries: cat.carries(module, name).map(|p| p.name()),
        uses: Use::ALL.iter().map(class).collect(),
    }
}

fn how_of(used: Use) -> How {
    match used {
        Use::Data => How::Data,
        Use::Call => How::Reduce,
        Use::New => How::Newobj,
        Use::Build => How::Build,
        Use::Append => How::Append,
        Use::SetItem => How::SetItem,
        Use::AddItems => How::AddItems,
        Use::Hash => How::Hash,
    }
}

/// Splits `module.name` where the catalogue knows the name, else where it knows the module, else at the last dot.
/// A text without a dot is a module.
pub fn split(dotted: &str) -> (&str, &str) {
    let splits = || dotted.rmatch_indices('.').map(|(at, _)| (&dotted[..at], &dotted[at + 1..]));
    let exact = splits().find(|(module, name)| CATALOGUE.row(module, name).is_some());
    let module = || splits().find(|(module, _)| CATALOGUE.names(module).is_some());
    exact.or_else(module).or_else(|| dotted.rsplit_once('.')).unwrap_or((dotted, ""))
}
