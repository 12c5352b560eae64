//! Exceptions: named, owned, dated, and gone when they expire.

use crate::context::{Repo, RepoKind};
use jiff::civil::Date;

/// Longest life of an exception, in days from its `created` date.
pub const MAX_EXCEPTION_DAYS: i64 = 365;

/// What an exception covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Exactly these bytes. Lifts every finding and gap, or only the named rules if there are any.
    Sha256(String),
    /// Every file of one repository at one commit, for the named rules only; never a malicious finding.
    Repository {
        /// Kind.
        kind: RepoKind,
        /// `organisation/name`.
        id: String,
        /// Full commit hash.
        commit: String,
    },
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "sha256 {digest}"),
            Self::Repository { kind, id, commit } => write!(f, "{}/{id}@{commit}", kind.plural()),
        }
    }
}

/// One exception of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// What it covers.
    pub scope: Scope,
    /// Rule ids it lifts. Never empty for a repository; empty for a digest means everything.
    pub rules: Vec<String>,
    /// Who answers for it.
    pub owner: String,
    /// Why it was granted.
    pub reason: String,
    /// First day on which it holds.
    pub created: Date,
    /// Last day on which it holds.
    pub expires: Date,
}

impl Exception {
    /// True from `created` to `expires`, both included.
    pub fn holds_on(&self, today: Date) -> bool {
        self.created <= today && today <= self.expires
    }

    pub(crate) fn covers(&self, sha256: Option<&str>, repo: Option<&Repo>) -> bool {
        match &self.scope {
            Scope::Sha256(digest) => sha256.is_some_and(|s| s.eq_ignore_ascii_case(digest)),
            Scope::Repository { kind, id, commit } => repo.is_some_and(|r| {
                r.kind == *kind
                    && r.id.eq_ignore_ascii_case(id)
                    && r.commit.as_deref().is_some_and(|c| c.eq_ignore_ascii_case(commit))
            }),
        }
    }
}
