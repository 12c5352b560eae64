//! Repository names.

use crate::{Result, SourceError};
use std::fmt;
use std::str::FromStr;

/// What kind of repository; decides the path prefix in URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RepoKind {
    /// `models`; no prefix in file URLs.
    Model,
    /// `datasets`.
    Dataset,
    /// `spaces`.
    Space,
}

impl RepoKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Model, Self::Dataset, Self::Space];

    /// `models`, `datasets` or `spaces`: the segment after `/api/`.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
            Self::Space => "spaces",
        }
    }

    /// The prefix of file URLs: empty, `datasets/` or `spaces/`.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
            Self::Space => "spaces/",
        }
    }

    /// The kind of a plural segment.
    pub fn from_plural(segment: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.plural() == segment)
    }
}

impl fmt::Display for RepoKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
            Self::Space => "space",
        })
    }
}

/// A repository: its kind and its id of one or two segments (`gpt2`, `org/name`).
///
/// The id is checked on construction: it can be put into a URL or joined to a folder as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoId {
    kind: RepoKind,
    id: String,
}

impl RepoId {
    /// Checks and keeps a (percent-decoded) id.
    ///
    /// Segments are 1 to 96 characters of letters, digits, `-`, `_`, `.`, and neither begin with a dot
    /// nor contain `..` (the rules of `huggingface_hub.utils.validate_repo_id`).
    pub fn new(kind: RepoKind, id: &str) -> Result<Self> {
        let good = |s: &str| {
            (1..=96).contains(&s.len())
                && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
                && !s.starts_with('.')
                && !s.contains("..")
        };
        let segments = id.split('/').count();
        if (1..=2).contains(&segments) && id.split('/').all(good) {
            Ok(Self { kind, id: id.into() })
        } else {
            Err(SourceError::Request(format!("not a repository id: {id:?}; expected name or org/name")))
        }
    }

    /// The kind.
    pub fn kind(&self) -> RepoKind {
        self.kind
    }

    /// `org/name` or `name`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The organisation or user, if the id has two segments.
    pub fn owner(&self) -> Option<&str> {
        self.id.split_once('/').map(|(owner, _)| owner)
    }
}

/// `org/name`, `datasets/org/name`, `spaces/org/name`.
impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.prefix(), self.id)
    }
}

/// Reads what [`fmt::Display`] writes.
impl FromStr for RepoId {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self> {
        for kind in [RepoKind::Dataset, RepoKind::Space] {
            if let Some(rest) = text.strip_prefix(kind.prefix()) {
                return Self::new(kind, rest);
            }
        }
        Self::new(RepoKind::Model, text.strip_prefix("models/").unwrap_or(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_leave_their_folder() {
        for bad in ["", "/", "a/b/c", "../x", "a/..", "a/.hid", "a b", "a/b%2F", "a\\b", "a/", "é/x"] {
            assert!(RepoId::new(RepoKind::Model, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn display_round_trips() {
        for good in ["gpt2", "org/name-1.0_x", "datasets/org/d", "spaces/o/s"] {
            assert_eq!(good.parse::<RepoId>().unwrap().to_string(), good);
        }
        assert_eq!("org/n".parse::<RepoId>().unwrap().owner(), Some("org"));
    }
}
