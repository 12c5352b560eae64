//! Keys and identities under which facts are kept.

use wb_blob::Sha256Digest;
use wb_verdict::Facts;

/// The key of a fact sheet. It does not depend on name, policy or user. The depth is not part of a
/// question: the deepest sheet kept is the answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FactsKey {
    /// The content.
    pub sha256: Sha256Digest,
    /// [`wb_verdict::ENGINE`].
    pub engine: String,
    /// Version of the derived catalogue.
    pub catalogue: String,
    /// Limits profile.
    pub limits: String,
}

impl FactsKey {
    /// The key under which `facts` of this content are kept.
    pub fn of(sha256: Sha256Digest, facts: &Facts) -> Self {
        Self {
            sha256,
            engine: facts.engine.clone(),
            catalogue: facts.catalogue.clone(),
            limits: facts.limits.clone(),
        }
    }
}

/// What became of a fact sheet handed to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is kept.
    Stored,
    /// A sheet at least as deep is kept already; this one was dropped.
    Known,
    /// It was cut short by something that is not a property of the bytes; never kept.
    NotFinal,
}

/// How an upstream names content without stating its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A git blob id (40 hex digits) and the size. Binds the content as well as SHA-1 does; the size is checked too.
    GitBlob {
        /// 40 lower-case hex digits.
        oid: String,
        /// Size in bytes.
        size: u64,
    },
    /// An opaque etag: meaningful only at its upstream, for its repository, commit and path.
    Etag {
        /// Name of the upstream, repository, commit and path, joined by `\n`.
        scope: String,
        /// The etag.
        etag: String,
        /// Size in bytes.
        size: u64,
    },
}

impl Identity {
    /// The text under which it is kept: unambiguous, since no part but the last may hold a newline.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::GitBlob { oid, size } => format!("git\n{oid}\n{size}"),
            Self::Etag { scope, etag, size } => {
                format!("etag\n{size}\n{}\n{scope}\n{etag}", scope.len())
            }
        }
    }
}
