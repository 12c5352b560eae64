//! Decisions, and the only value with which bytes can be released.

use crate::exception::Exception;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// What is done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Let through.
    Allow,
    /// Let through, and say so to the person who asked.
    Warn,
    /// Rewrite into a harmless form. Reserved: no policy of this version can ask for it.
    Convert,
    /// Refuse.
    Block,
}

impl Action {
    /// The stable name used in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Convert => "convert",
            Self::Block => "block",
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// One cause of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What this cause alone asks for.
    pub action: Action,
    /// The clause of the policy: `malicious`, `partial`, `unknown.unsupported`, `rules.WB-PKL-001`,
    /// `organisations.deny` ...
    pub clause: String,
    /// The rule whose finding is the cause, if one is.
    pub rule: Option<String>,
    /// Where in the file, written `member@0x1f3`; empty for the file itself.
    pub location: String,
    /// One line, lower-case, no trailing dot, escaped.
    pub text: String,
    /// The finding's evidence (for calls the rendering of the call), escaped; may be empty.
    pub evidence: String,
}

/// An exception that changed a decision. Shown in reports, metrics and the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedException {
    /// What it covers, e.g. `sha256 9f86…` or `models/acme/bert@<commit>`.
    pub scope: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it was granted.
    pub reason: String,
    /// Last day on which it holds.
    pub expires: Date,
    /// Rules it lifted here; empty if it lifted everything.
    pub rules: Vec<String>,
}

impl AppliedException {
    pub(crate) fn new(exception: &Exception, rules: Vec<String>) -> Self {
        Self {
            scope: exception.scope.to_string(),
            owner: exception.owner.clone(),
            reason: exception.reason.clone(),
            expires: exception.expires,
            rules,
        }
    }
}

impl std::fmt::Display for AppliedException {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rules = if self.rules.is_empty() { "everything".into() } else { self.rules.join(", ") };
        let Self { scope, owner, expires, reason, .. } = self;
        write!(f, "{scope} lifts {rules}, by {owner} until {expires}: {reason}")
    }
}

/// Permission to release the bytes with one digest.
///
/// The fields are private and only [`crate::decide`] makes one, so a function that demands an
/// `AllowedBlob` cannot be called for bytes that no decision let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedBlob {
    pub(crate) sha256: String,
    pub(crate) action: Action,
    pub(crate) clause: String,
}

impl AllowedBlob {
    /// SHA-256 of the bytes that may be released, lower-case hex. The bytes sent must have it.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// [`Action::Allow`] or [`Action::Warn`].
    pub fn action(&self) -> Action {
        self.action
    }

    /// The clause of the policy that decided.
    pub fn clause(&self) -> &str {
        &self.clause
    }
}

/// The outcome of [`crate::decide`].
///
/// Changing the public fields changes what is shown, never what may be released: the permission is
/// made once, by `decide`, and kept beside them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// What is done.
    pub action: Action,
    /// True if the action (or under `observe` what would have been done) is a block that does not rest
    /// on partial coverage or unsupported content alone.
    pub because_findings: bool,
    /// The clause of the policy that decided; `allow` if none objected.
    pub clause: String,
    /// All causes, strictest first.
    pub reasons: Vec<Reason>,
    /// Under `observe`: what the `default` profile with the same settings would have done. `None` under
    /// every other profile.
    pub would: Option<Action>,
    /// Exceptions that took effect.
    pub exceptions: Vec<AppliedException>,
    /// Name of the policy.
    pub policy: String,
    /// Whom to ask, as the policy says.
    pub contact: Option<String>,
    #[serde(skip)]
    pub(crate) permission: Option<AllowedBlob>,
}

impl Decision {
    /// Permission to release the bytes: only for allow and warn, and only if their digest is known.
    pub fn allowed(&self) -> Option<&AllowedBlob> {
        self.permission.as_ref()
    }

    /// As [`Decision::allowed`], by value.
    pub fn into_allowed(self) -> Option<AllowedBlob> {
        self.permission
    }

    /// What counts for exit codes: under `observe` what would have been done.
    pub fn effective(&self) -> Action {
        self.would.unwrap_or(self.action)
    }
}
