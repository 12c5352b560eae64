//! The [`Store`] trait: what every database behind the gate must do.

use crate::{
    AuditEntry, AuditQuery, AuditRow, ChainHead, FactsKey, Identity, Kept, Receipt, ReportId, ReportRow,
    Result, Verification,
};
use async_trait::async_trait;
use std::sync::Arc;
use wb_blob::Sha256Digest;
use wb_verdict::Facts;

/// Facts, identities, audit and reports. Decisions are recorded, never looked up.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The deepest fact sheet kept under this key.
    async fn facts(&self, key: &FactsKey) -> Result<Option<Arc<Facts>>>;

    /// Keeps a fact sheet. Whole supersedes ranged, never the reverse; a sheet that is not
    /// [`Facts::is_final`] is dropped.
    async fn put_facts(&self, sha256: Sha256Digest, facts: &Facts) -> Result<Kept>;

    /// The SHA-256 of content that an upstream named otherwise, if these very bytes were fetched before.
    async fn identity(&self, identity: &Identity) -> Result<Option<Sha256Digest>>;

    /// Remembers which content an identity stood for. A later, different answer replaces it.
    async fn put_identity(&self, identity: &Identity, sha256: Sha256Digest) -> Result<()>;

    /// Appends to the audit, together with the report it refers to, in one transaction. Resolves when
    /// committed: only then may the first byte that the entry speaks of leave, or the refusal be sent.
    /// The store fills in the times, and `entry.report` from the report's id.
    async fn record(&self, entry: AuditEntry, report: Option<ReportRow>) -> Result<Receipt>;

    /// The end of the audit chain.
    async fn head(&self) -> Result<ChainHead>;

    /// Checks the whole chain; `since` is a head hash noted earlier that must still be part of it.
    ///
    /// # Errors
    /// [`crate::StoreError::Chain`] names the first row that is wrong, or what is missing.
    async fn verify(&self, since: Option<&str>) -> Result<Verification>;

    /// Rows of the audit, newest first.
    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRow>>;

    /// The one file a report link shows.
    async fn report(&self, id: ReportId) -> Result<Option<ReportRow>>;

    /// The report whose id begins so, as the audit holds it; `None` if there is none or more than one. For operators
    /// only: the beginning of an id opens nothing to anybody else.
    async fn report_beginning(&self, head: &str) -> Result<Option<ReportRow>>;

    /// Counts one verdict look-up. Aggregated in memory per content and hour and written now and then;
    /// never waits.
    fn count_lookup(&self, sha256: Sha256Digest);

    /// Verdict look-ups of this content that were written so far.
    async fn lookups(&self, sha256: Sha256Digest) -> Result<u64>;

    /// Writes everything that is still in memory. Call it before the process ends in good order.
    async fn flush(&self) -> Result<()>;
}
