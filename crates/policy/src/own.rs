//! What an organisation vouches for itself: its own catalogue entries and its own packages.
//!
//! Facts do not depend on any of this. It is held against the uses that a report's findings carry, when a decision is
//! made: an entry admits one use of one name, trust admits the rebuilding of a package's classes. Neither can speak of
//! what the built-in catalogue knows to be dangerous, and neither lifts a malicious finding.

use wb_scan::catalogue::use_name;
use wb_scan::rules::unknown_reason;
use wb_verdict::{CallClass, CallUse, Finding, How, UnknownReason, Verdict};

/// What the arguments of an own entry must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnArgs {
    /// Literals and built-in containers of literals; for `build` a plain state.
    Plain,
    /// Anything.
    Any,
}

/// One entry of a policy's own catalogue: names of one module and the uses of them that are harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnEntry {
    /// The module, as the pickle names it.
    pub module: String,
    /// Qualified names in it.
    pub names: Vec<String>,
    /// Uses, named as in the built-in catalogue.
    pub uses: Vec<&'static str>,
    /// What arguments must be.
    pub args: OwnArgs,
    /// Who answers for it.
    pub owner: String,
    /// Why it holds.
    pub reason: String,
}

/// Packages whose classes may be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedPackages {
    /// Import names, `acme` or `acme.models`.
    pub packages: Vec<String>,
    /// Who answers for them.
    pub owner: String,
    /// Why they are trusted.
    pub reason: String,
}

impl OwnEntry {
    /// True if this very use is vouched for.
    fn admits(&self, call: &CallUse, how: How) -> bool {
        // Neither what is known to be dangerous, nor code, nor what could not be worked out.
        matches!(call.class, CallClass::Unknown | CallClass::KnownUncatalogued)
            && call.module == self.module
            && self.names.contains(&call.name)
            && use_name(how).is_some_and(|used| self.uses.contains(&used))
            && (self.args == OwnArgs::Any || call.plain_args)
    }
}

impl TrustedPackages {
    /// True if a class of one of these packages is merely rebuilt, or kept as it is.
    fn admits(&self, call: &CallUse, how: How) -> bool {
        let rebuilt = match how {
            How::Data | How::Newobj | How::NewobjEx => true,
            How::Append | How::SetItem | How::AddItems | How::Hash => true,
            // A state that is no plain one can plant methods.
            How::Build => call.plain_args,
            _ => false,
        };
        rebuilt && call.class == CallClass::Unknown && is_class(&call.name) && self.has(&call.module)
    }

    fn has(&self, module: &str) -> bool {
        self.packages.iter().any(|package| {
            module.strip_prefix(package.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

/// A name that does not walk through a module that the package happens to import: a class in a class is capitalised.
fn is_class(name: &str) -> bool {
    let (outer, _) = name.rsplit_once('.').unwrap_or(("", name));
    !name.is_empty()
        && outer
            .split('.')
            .all(|part| outer.is_empty() || part.trim_start_matches('_').starts_with(char::is_uppercase))
}

/// The way of use. A call by which `copyreg` rebuilds a class that nobody catalogued is that class's `__new__`.
fn how_of(finding: &Finding, call: &CallUse) -> How {
    let rebuilds = unknown_reason(&finding.rule) == UnknownReason::UnknownClass;
    if rebuilds && call.how == How::Reduce { How::Newobj } else { call.how }
}

/// True if the policy vouches for the use that a finding is about.
pub(crate) fn admits(own: &[OwnEntry], trusted: &[TrustedPackages], finding: &Finding) -> bool {
    finding.verdict != Verdict::Malicious
        && finding.call.as_ref().is_some_and(|call| {
            let how = how_of(finding, call);
            own.iter().any(|entry| entry.admits(call, how)) || trusted.iter().any(|t| t.admits(call, how))
        })
}
