//! A parsed policy.

use crate::exception::Exception;
use crate::own::{OwnEntry, TrustedPackages};
use crate::parse::{self, PolicyErrors};
use globset::GlobSet;
use std::collections::BTreeMap;
use wb_verdict::{Confidence, Severity, UnknownReason};

/// The sets of defaults a policy starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Blocks malicious, suspicious, partial and unsupported; warns on the other unknowns.
    Default,
    /// Blocks every unknown too, and pickles that lie beside a safe format.
    Strict,
    /// Blocks nothing, records everything, and warns of what `default` would have blocked.
    Observe,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 3] = [Self::Default, Self::Strict, Self::Observe];

    /// The name used in policies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Strict => "strict",
            Self::Observe => "observe",
        }
    }

    /// The profile of this name.
    pub fn named(name: impl AsRef<std::ffi::OsStr>) -> Option<Self> {
        Self::ALL.into_iter().find(|p| name.as_ref() == p.name())
    }
}

/// What a key of a policy can say of a rule, a family or an unknown reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Ignore it. Never silences a malicious finding.
    Off,
    /// Let through with a warning. Never softens a malicious finding.
    Warn,
    /// Refuse.
    Block,
}

/// A pair of glob lists over one kind of name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists {
    /// If set, everything else is refused.
    pub allow: Option<GlobSet>,
    /// Refused whatever else holds.
    pub deny: GlobSet,
}

/// A policy. Made by [`Policy::parse`] or [`Policy::builtin`]; never partly valid.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) name: String,
    pub(crate) profile: Profile,
    pub(crate) contact: Option<String>,
    /// By rule id or family name.
    pub(crate) rules: BTreeMap<String, Level>,
    /// Findings below these warn instead of block.
    pub(crate) severity: Severity,
    pub(crate) confidence: Confidence,
    pub(crate) unknown: BTreeMap<UnknownReason, Level>,
    pub(crate) pickle_beside_safe: Level,
    pub(crate) formats: Option<GlobSet>,
    pub(crate) organisations: Lists,
    pub(crate) models: Lists,
    pub(crate) catalogue: Vec<OwnEntry>,
    pub(crate) trusted_packages: Vec<TrustedPackages>,
    pub(crate) exceptions: Vec<Exception>,
}

impl Policy {
    /// One of the profiles, without further settings.
    pub fn builtin(profile: Profile) -> Self {
        let others = if profile == Profile::Strict { Level::Block } else { Level::Warn };
        Self {
            name: profile.name().into(),
            profile,
            contact: None,
            rules: BTreeMap::new(),
            severity: Severity::Info,
            confidence: Confidence::Low,
            unknown: BTreeMap::from([
                (UnknownReason::UnknownClass, others),
                (UnknownReason::UnknownContent, others),
                (UnknownReason::OptInCode, others),
                (UnknownReason::Unsupported, Level::Block),
                (UnknownReason::Partial, Level::Block),
            ]),
            pickle_beside_safe: if profile == Profile::Strict { Level::Block } else { Level::Off },
            formats: None,
            organisations: Lists::default(),
            models: Lists::default(),
            catalogue: Vec::new(),
            trusted_packages: Vec::new(),
            exceptions: Vec::new(),
        }
    }

    /// Reads a policy. `file_name` is only used in messages. All errors are reported at once.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, PolicyErrors> {
        parse::parse(text, file_name)
    }

    /// The policy's `name` key, or its profile's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The profile it starts from.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Whom a refused person should ask.
    pub fn contact(&self) -> Option<&str> {
        self.contact.as_deref()
    }

    /// All exceptions, expired ones included.
    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }

    /// The policy's own catalogue entries.
    pub fn catalogue(&self) -> &[OwnEntry] {
        &self.catalogue
    }

    /// Packages whose classes may be rebuilt.
    pub fn trusted_packages(&self) -> &[TrustedPackages] {
        &self.trusted_packages
    }

    /// True if some clause can only be decided with the content's SHA-256.
    pub fn needs_digest(&self) -> bool {
        self.exceptions.iter().any(|e| matches!(e.scope, crate::exception::Scope::Sha256(_)))
    }

    /// True if some clause looks at the files beside the one decided on.
    pub fn needs_siblings(&self) -> bool {
        self.pickle_beside_safe != Level::Off
    }
}
