//! What a decision depends on besides the file's report.

use crate::unit::Beside;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// The kinds of repositories a hub serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepoKind {
    /// Model weights and code.
    Model,
    /// Data sets.
    Dataset,
    /// Applications.
    Space,
}

impl RepoKind {
    /// The word used in hub paths: `models`, `datasets`, `spaces`.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
            Self::Space => "spaces",
        }
    }
}

/// A repository at one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repo {
    /// Model, dataset or space.
    pub kind: RepoKind,
    /// `organisation/name`, or `name` alone for the hub's oldest repositories.
    pub id: String,
    /// The full commit hash the revision resolved to. Repository exceptions apply only if it is known.
    pub commit: Option<String>,
}

impl Repo {
    /// The part before the slash.
    pub fn organisation(&self) -> Option<&str> {
        self.id.split_once('/').map(|(org, _)| org)
    }
}

/// The circumstances of one request for one file.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Where the file comes from; `None` for a file on disk.
    pub repo: Option<&'a Repo>,
    /// Path of the file inside its repository or scan root.
    pub path: &'a str,
    /// SHA-256 of the very bytes that were judged and would be released, lower-case hex.
    pub sha256: Option<&'a str>,
    /// Today, UTC.
    pub today: Date,
    /// Paths of all files of the same revision (or folder), at least those that Python imports. A module that the
    /// repository supplies itself is vouched for by nobody, and a policy can prefer a safe format beside a pickle.
    pub siblings: &'a [String],
    /// What is known of the files that this one makes its loader open, from [`crate::Walk`]. None is needed for safety,
    /// as each is judged under its own name; with them a repository is judged as one unit.
    pub beside: &'a [Beside],
}
