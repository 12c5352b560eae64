//! Findings and reports: facts after judgement by the rules.

use crate::{CallClass, Family, Gap, How, Location};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The verdict on one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Proved harmless, completely read.
    Clean,
    /// Neither proved harmless nor seen to be harmful; see [`UnknownReason`].
    Unknown,
    /// Calls something uncatalogued, or its structure makes readers disagree.
    Suspicious,
    /// Reaches a known-dangerous effect.
    Malicious,
}

/// Why a verdict is [`Verdict::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownReason {
    /// A class of no catalogued distribution merely rebuilt as data.
    UnknownClass,
    /// No catalogued loader opens it.
    UnknownContent,
    /// Repository Python that runs only when a user passes a trust flag.
    OptInCode,
    /// A known loader could run or deserialise it, but this build cannot judge it.
    Unsupported,
    /// Coverage is partial and nothing worse was found.
    Partial,
}

/// Whether every byte was attributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// Every byte is structure, tensor data or otherwise explained.
    Complete,
    /// See the gaps. Never clean.
    Partial,
}

/// How bad it is if true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Could matter in some setting.
    Low,
    /// Should be looked at.
    Medium,
    /// Runs something nobody vouched for.
    High,
    /// Runs something known to be dangerous.
    Critical,
}

/// How sure the rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// An indication.
    Low,
    /// Likely.
    Medium,
    /// Follows from the loader's semantics.
    High,
}

/// The use of a callable that a finding is about. A policy's own catalogue and its trusted packages are held against
/// this, never against text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallUse {
    /// Module after Python-2 mapping, escaped; empty if what is called could not be worked out.
    pub module: String,
    /// Qualified name inside it, escaped.
    pub name: String,
    /// The way of use.
    pub how: How,
    /// The built-in catalogue's word.
    pub class: CallClass,
    /// True if only plain data is involved; see the fact it comes from.
    pub plain_args: bool,
}

/// Code of the same repository that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OwnCode {
    /// File name without `.py`, escaped.
    pub module: String,
    /// Class or function, escaped; empty if any.
    pub name: String,
    /// The library that reads the name imports an installed package if no file has it, without asking.
    pub or_installed: bool,
}

/// One finding. Built only by rules, so it always carries its rule's id and family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable rule id, e.g. `WB-PKL-001`.
    pub rule: String,
    /// The rule's family.
    pub family: Family,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// What this finding makes of the file, taken alone.
    pub verdict: Verdict,
    /// Where.
    pub location: Location,
    /// One sentence, lower-case, no trailing dot: what happens.
    pub message: String,
    /// The evidence, escaped: for calls the rendering of the call.
    pub evidence: String,
    /// For uses of callables: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallUse>,
    /// For names of code in the same repository: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<OwnCode>,
}

/// What becomes of the file in one loader, where loaders differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoaderVerdict {
    /// The loader stops with an error before it does anything that the verdicts below are about.
    Refuses,
    /// As [`Verdict::Clean`].
    Clean,
    /// As [`Verdict::Unknown`].
    Unknown,
    /// As [`Verdict::Suspicious`].
    Suspicious,
    /// As [`Verdict::Malicious`].
    Malicious,
}

impl From<Verdict> for LoaderVerdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Clean => Self::Clean,
            Verdict::Unknown => Self::Unknown,
            Verdict::Suspicious => Self::Suspicious,
            Verdict::Malicious => Self::Malicious,
        }
    }
}

/// One judged file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Engine that made the facts.
    pub engine: String,
    /// Version of the rules that judged them.
    pub ruleset: String,
    /// SHA-256 of the content in lower-case hex, if computed.
    pub sha256: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// Format ids.
    pub formats: Vec<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// Set exactly when the verdict is unknown.
    pub reason: Option<UnknownReason>,
    /// Complete or partial.
    pub coverage: Coverage,
    /// What was not judged.
    pub gaps: Vec<Gap>,
    /// Worst first.
    pub findings: Vec<Finding>,
    /// Verdict per loader, where it is known to differ between loaders.
    pub loaders: BTreeMap<String, LoaderVerdict>,
    /// Bytes read.
    pub bytes_read: u64,
}

/// Counts over many files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Files judged.
    pub files: u64,
    /// By verdict name.
    pub verdicts: BTreeMap<String, u64>,
    /// By decision name.
    pub decisions: BTreeMap<String, u64>,
    /// Files with partial coverage.
    pub partial: u64,
    /// Bytes read.
    pub bytes_read: u64,
}

macro_rules! names {
    ($ty:ident { $($variant:ident => $text:literal),* $(,)? }) => {
        impl $ty {
            /// The stable name used in output and policy.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
        impl std::fmt::Display for $ty {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.name()) }
        }
    };
}

names!(Verdict { Clean => "clean", Unknown => "unknown", Suspicious => "suspicious", Malicious => "malicious" });
names!(LoaderVerdict {
    Refuses => "refuses",
    Clean => "clean",
    Unknown => "unknown",
    Suspicious => "suspicious",
    Malicious => "malicious",
});
names!(UnknownReason {
    UnknownClass => "unknown-class",
    UnknownContent => "unknown-content",
    OptInCode => "opt-in-code",
    Unsupported => "unsupported",
    Partial => "partial",
});
names!(Coverage { Complete => "complete", Partial => "partial" });
names!(Severity { Info => "info", Low => "low", Medium => "medium", High => "high", Critical => "critical" });
names!(Confidence { Low => "low", Medium => "medium", High => "high" });
