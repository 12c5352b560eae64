//! Rules: stable ids with a page each.

use crate::{Confidence, Severity, Verdict};
use serde::{Deserialize, Serialize};

/// Groups of rules that a policy can address together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Calls made by loading a pickle.
    PickleCall,
    /// Honest code that runs by loading or calling the model.
    CarriesCode,
    /// Readers disagree on what the file holds.
    Structure,
    /// Archive members that leave their folder.
    Archive,
    /// Resource exhaustion.
    Resource,
    /// Content hidden where a loader expects data.
    Hidden,
    /// Executable files.
    Executable,
    /// Templates that are rendered.
    Template,
    /// Text that names code to run.
    Directive,
    /// Code and instructions shipped with the model.
    RepositoryCode,
    /// Operators of computation graphs that do more than compute.
    GraphOperator,
    /// Credentials left in a file.
    Secret,
    /// Formats that cannot be judged yet.
    Unsupported,
}

impl Family {
    /// All families, in output order.
    pub const ALL: [Self; 13] = [
        Self::PickleCall,
        Self::CarriesCode,
        Self::Structure,
        Self::Archive,
        Self::Resource,
        Self::Hidden,
        Self::Executable,
        Self::Template,
        Self::Directive,
        Self::RepositoryCode,
        Self::GraphOperator,
        Self::Secret,
        Self::Unsupported,
    ];

    /// The stable name used in output and policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::PickleCall => "pickle-call",
            Self::CarriesCode => "carries-code",
            Self::Structure => "structure",
            Self::Archive => "archive",
            Self::Resource => "resource",
            Self::Hidden => "hidden",
            Self::Executable => "executable",
            Self::Template => "template",
            Self::Directive => "directive",
            Self::RepositoryCode => "repository-code",
            Self::GraphOperator => "graph-operator",
            Self::Secret => "secret",
            Self::Unsupported => "unsupported",
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// One rule and its page. Ids are never reused.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// `WB-PKL-001`.
    pub id: &'static str,
    /// Short title, lower-case.
    pub title: &'static str,
    /// Family.
    pub family: Family,
    /// Severity of its findings.
    pub severity: Severity,
    /// Confidence of its findings.
    pub confidence: Confidence,
    /// The least verdict a finding gives the file.
    pub verdict: Verdict,
    /// What the rule looks for.
    pub what: &'static str,
    /// Why that is bad.
    pub why: &'static str,
    /// What a person should do.
    pub fix: &'static str,
    /// Threat id of the PAIT list, if one exists.
    pub pait: Option<&'static str>,
    /// CWE number, if one fits.
    pub cwe: Option<u16>,
    /// MITRE ATLAS technique, if one fits.
    pub atlas: Option<&'static str>,
    /// Specifications, advisories, papers.
    pub references: &'static [&'static str],
}
