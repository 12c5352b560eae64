//! What the gate remembers: facts by digest, blobs, identities, decisions and the audit chain.
//!
//! Everything lies in one data folder ([`DataDir`]): a database behind the [`Store`] trait, and
//! blobs under their digests ([`BlobStore`]). A crash at any moment leaves no entry that was
//! acknowledged and lost, no blob under a wrong name, and no half-made state that is served.
#![warn(missing_docs)]

mod audit;
mod blobs;
mod data_dir;
mod error;
mod facts;
mod report;
mod sqlite;
mod store;

pub use audit::{
    AuditEntry, AuditEvent, AuditQuery, AuditRow, ChainHead, Receipt, Verification, verify_database,
};
pub use blobs::{BlobGuard, BlobStore, Expected, SpoolWriter, Spooled};
pub use data_dir::{AuditKey, DataDir};
pub use error::StoreError;
pub use facts::{FactsKey, Identity, Kept};
pub use report::{ReportId, ReportRow};
pub use sqlite::SqliteStore;
pub use store::Store;
pub use wb_blob::Sha256Digest;

/// Result of everything here.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
