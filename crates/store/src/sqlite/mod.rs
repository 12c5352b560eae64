//! [`SqliteStore`]: one SQLite database in WAL mode.

use crate::*;
use async_trait::async_trait;
use std::sync::Arc;
use wb_verdict::Facts;

/// The store in `DATA/weighbridge.db`. Cheap to clone.
#[derive(Clone)]
pub struct SqliteStore {
    _data: DataDir,
}

impl SqliteStore {
    /// Opens or creates the database, migrating an older one after a backup copy
    /// (`weighbridge.db.v<N>.bak` beside it).
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] for a database of a newer version.
    pub async fn open(data: &DataDir) -> Result<Self> {
        Ok(Self { _data: data.clone() })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn facts(&self, _key: &FactsKey) -> Result<Option<Arc<Facts>>> {
        Err(StoreError::Closed)
    }
    async fn put_facts(&self, _sha256: Sha256Digest, _facts: &Facts) -> Result<Kept> {
        Err(StoreError::Closed)
    }
    async fn identity(&self, _identity: &Identity) -> Result<Option<Sha256Digest>> {
        Err(StoreError::Closed)
    }
    async fn put_identity(&self, _identity: &Identity, _sha256: Sha256Digest) -> Result<()> {
        Err(StoreError::Closed)
    }
    async fn record(&self, _entry: AuditEntry, _report: Option<ReportRow>) -> Result<Receipt> {
        Err(StoreError::Closed)
    }
    async fn head(&self) -> Result<ChainHead> {
        Err(StoreError::Closed)
    }
    async fn verify(&self, _since: Option<&str>) -> Result<Verification> {
        Err(StoreError::Closed)
    }
    async fn audit(&self, _query: &AuditQuery) -> Result<Vec<AuditRow>> {
        Err(StoreError::Closed)
    }
    async fn report(&self, _id: ReportId) -> Result<Option<ReportRow>> {
        Err(StoreError::Closed)
    }
    fn count_lookup(&self, _sha256: Sha256Digest) {}
    async fn lookups(&self, _sha256: Sha256Digest) -> Result<u64> {
        Err(StoreError::Closed)
    }
    async fn flush(&self) -> Result<()> {
        Err(StoreError::Closed)
    }
}
