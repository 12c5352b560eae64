//! The audit: what is recorded, how the rows are chained, how the chain is verified.

mod chain;
mod verify;

pub(crate) use chain::{GENESIS, decode, row_hash};
pub use verify::verify_database;
pub(crate) use verify::verify_rows;

use crate::ReportId;
use serde::{Deserialize, Serialize};
use wb_blob::Sha256Digest;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AuditEvent {
    /// Bytes were released.
    Pull,
    /// Bytes were released with a warning.
    Warn,
    /// Bytes were refused.
    Refuse,
    /// A delivery was cut off after some bytes.
    Abort,
    /// A scan asked for through the API.
    ApiScan,
    /// An exception of the policy lifted a block.
    ExceptionUsed,
    /// A policy was loaded at start.
    PolicyLoad,
    /// A policy was reloaded.
    PolicyReload,
    /// A policy failed to reload; the old one stays.
    PolicyReloadFailed,
    /// The upstream sent other content than it announced.
    UpstreamLied,
    /// A route outside the conformance table was asked for.
    UnknownRoute,
    /// The gate started.
    Start,
    /// The gate stopped in good order.
    Stop,
}

impl AuditEvent {
    /// The stable name kept in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Warn => "warn",
            Self::Refuse => "refuse",
            Self::Abort => "abort",
            Self::ApiScan => "api-scan",
            Self::ExceptionUsed => "exception-used",
            Self::PolicyLoad => "policy-load",
            Self::PolicyReload => "policy-reload",
            Self::PolicyReloadFailed => "policy-reload-failed",
            Self::UpstreamLied => "upstream-lied",
            Self::UnknownRoute => "unknown-route",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

/// One row of the audit, as the gate states it. All text is taken as it is; the reader escapes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// What happened.
    pub event: AuditEvent,
    /// Who: [`crate::AuditKey::who`], never a token.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub who: String,
    /// `org/name`, with `datasets/` or `spaces/` in front.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Commit, 40 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Path inside the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The content, 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// `allow`, `warn`, `block`, `convert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The policy clause that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clause: Option<String>,
    /// Ids of the rules that fired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Name and hash of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// User agent of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Bytes released (size of the answer), or sent before an abort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The first characters of the report's id, enough to find it, not enough to open it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// Anything else worth a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl AuditEntry {
    /// An entry with nothing but its event.
    pub fn new(event: AuditEvent) -> Self {
        Self {
            event,
            who: String::new(),
            repo: None,
            commit: None,
            path: None,
            sha256: None,
            action: None,
            clause: None,
            rules: Vec::new(),
            policy: None,
            agent: None,
            bytes: None,
            report: None,
            detail: None,
        }
    }
}

/// Where a committed entry stands in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// 1 for the first row.
    pub seq: u64,
    /// Hash of the row, 64 hex digits.
    pub hash: String,
    /// Time of the row, milliseconds since 1970.
    pub time_ms: i64,
    /// Id of the report stored with it.
    pub report: Option<ReportId>,
}

/// The end of the chain: export it, and truncation shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// Rows so far.
    pub count: u64,
    /// Hash of the last row (of an empty chain: 64 zeros).
    pub hash: String,
}

/// A row as kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// Position, from 1.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// Hash of the row, 64 hex digits.
    pub hash: String,
    /// What it says.
    pub entry: AuditEntry,
}

/// Which rows to list; newest first. All conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Only rows about this content.
    pub sha256: Option<Sha256Digest>,
    /// Only this event.
    pub event: Option<AuditEvent>,
    /// Only rows before this position (the next page: the last `seq` seen).
    pub before: Option<u64>,
    /// At most this many rows; 0 means 100, more than 1000 is 1000.
    pub limit: u32,
}

/// A chain that was found unbroken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Rows checked.
    pub rows: u64,
    /// The end of the chain.
    pub head: ChainHead,
    /// Position of the row that `--since` named.
    pub since: Option<u64>,
}
