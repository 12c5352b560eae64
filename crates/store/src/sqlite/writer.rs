//! The one writer: everything that changes the database goes through its queue.
//!
//! What waits in the queue is written in one transaction and acknowledged together (group commit), so a
//! hundred decisions cost one commit. After the commit the log file is synced while the next
//! batch is being prepared, and that batch is not committed before the sync is done: kill -9 loses
//! nothing that was acknowledged, and loss of power at most the last batch.

use super::now_ms;
use crate::audit::{GENESIS, decode, row_hash};
use crate::data_dir::hex;
use crate::{AuditEntry, ChainHead, Receipt, ReportId, ReportRow, Result, Sha256Digest, StoreError};
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Commands taken into one transaction.
const BATCH: usize = 512;

/// What the writer can do.
pub(super) enum Change {
    Record(Box<AuditEntry>, Option<Box<ReportRow>>),
    Facts {
        sha256: Sha256Digest,
        engine: String,
        catalogue: String,
        limits: String,
        depth: i64,
        body: String,
    },
    Identity {
        key: String,
        sha256: Sha256Digest,
    },
    Lookups(Arc<Vec<(Sha256Digest, i64, u64)>>),
    /// Nothing; answered when all before it is committed.
    Flush,
}

/// What came of it.
pub(super) enum Done {
    Receipt(Receipt),
    /// Whether a row was written.
    Wrote(bool),
}

/// A change and who waits for it.
pub(super) struct Command {
    pub(super) change: Change,
    pub(super) reply: oneshot::Sender<Result<Done>>,
}

pub(super) struct Writer {
    connection: SqliteConnection,
    /// Rows in the chain and the hash of the last one.
    count: u64,
    hash: [u8; 32],
    wal: PathBuf,
    wal_file: Option<Arc<File>>,
    sync: Option<JoinHandle<()>>,
    /// Rows of the audit that this transaction still has to insert.
    rows: Vec<Row>,
}

/// One row of the audit, complete.
struct Row {
    seq: i64,
    time_ms: i64,
    event: &'static str,
    sha256: Option<Vec<u8>>,
    body: String,
    previous: [u8; 32],
    hash: [u8; 32],
}

impl Writer {
    /// Reads the end of the chain, and refuses a chain whose end does not fit its recorded head.
    pub(super) async fn new(mut connection: SqliteConnection, wal: PathBuf) -> Result<Self> {
        let (count, hash) = load_head(&mut connection).await?;
        Ok(Self { connection, count, hash, wal, wal_file: None, sync: None, rows: Vec::new() })
    }

    /// Works until the last sender is gone.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            self.commit(&mut batch).await;
        }
        self.synced().await;
        let _ = sqlx::Connection::close(self.connection).await;
    }

    async fn commit(&mut self, batch: &mut Vec<Command>) {
        match self.transaction(batch).await {
            Ok(done) => {
                for (command, done) in batch.drain(..).zip(done) {
                    let _ = command.reply.send(Ok(done));
                }
            }
            // One bad command must not take the others with it.
            Err(_) if batch.len() > 1 => {
                for command in batch.drain(..) {
                    let one = std::slice::from_ref(&command);
                    let done = self
                        .transaction(one)
                        .await
                        .and_then(|d| d.into_iter().next().ok_or(StoreError::Closed));
                    let _ = command.reply.send(done);
                }
            }
            Err(error) => {
                if let Some(command) = batch.pop() {
                    let _ = command.reply.send(Err(error));
                }
            }
        }
        self.start_sync();
    }

    async fn transaction(&mut self, batch: &[Command]) -> Result<Vec<Done>> {
        let (count, hash) = (self.count, self.hash);
        let result = self.apply(batch).await;
        if result.is_err() {
            (self.count, self.hash) = (count, hash);
            self.rows.clear();
            let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
        }
        result
    }

    async fn apply(&mut self, batch: &[Command]) -> Result<Vec<Done>> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
        let time_ms = now_ms();
        let before = self.count;
        let mut done = Vec::with_capacity(batch.len());
        for command in batch {
            done.push(self.one(&command.change, time_ms).await?);
        }
        if self.count != before {
            self.insert_rows().await?;
            sqlx::query("UPDATE audit_head SET count = ?, hash = ?")
                .bind(i64::try_from(self.count).unwrap_or(i64::MAX))
                .bind(&self.hash[..])
                .execute(&mut self.connection)
                .await?;
        }
        self.synced().await;
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        Ok(done)
    }

    async fn one(&mut self, change: &Change, time_ms: i64) -> Result<Done> {
        match change {
            Change::Record(entry, report) => {
                self.record(entry, report.as_deref(), time_ms).await.map(Done::Receipt)
            }
            Change::Facts { sha256, engine, catalogue, limits, depth, body } => {
                let rows = sqlx::query(
                    "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?)
                     ON CONFLICT DO UPDATE SET depth = excluded.depth, time_ms = excluded.time_ms, body = excluded.body
                     WHERE excluded.depth > facts.depth",
                )
                .bind(&sha256.0[..])
                .bind(engine)
                .bind(catalogue)
                .bind(limits)
                .bind(depth)
                .bind(time_ms)
                .bind(body)
                .execute(&mut self.connection)
                .await?
                .rows_affected();
                Ok(Done::Wrote(rows > 0))
            }
            Change::Identity { key, sha256 } => {
                sqlx::query("INSERT OR REPLACE INTO identities VALUES (?, ?, ?)")
                    .bind(key)
                    .bind(&sha256.0[..])
                    .bind(time_ms)
                    .execute(&mut self.connection)
                    .await?;
                Ok(Done::Wrote(true))
            }
            Change::Lookups(counts) => {
                for (sha256, hour, count) in counts.iter() {
                    sqlx::query(
                        "INSERT INTO lookups VALUES (?, ?, ?)
                         ON CONFLICT DO UPDATE SET count = count + excluded.count",
                    )
                    .bind(&sha256.0[..])
                    .bind(hour)
                    .bind(i64::try_from(*count).unwrap_or(i64::MAX))
                    .execute(&mut self.connection)
                    .await?;
                }
                Ok(Done::Wrote(!counts.is_empty()))
            }
            Change::Flush => Ok(Done::Wrote(false)),
        }
    }

    async fn record(
        &mut self,
        entry: &AuditEntry,
        report: Option<&ReportRow>,
        time_ms: i64,
    ) -> Result<Receipt> {
        let mut entry = entry.clone();
        if let Some(report) = report {
            let id = report.id.to_string();
            entry.report = id.get(..ReportId::HEAD).map(str::to_owned);
            sqlx::query("INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?, ?)")
                .bind(&report.id.bytes()[..])
                .bind(time_ms)
                .bind(report.sha256.map(|d| d.0.to_vec()))
                .bind(&report.repo)
                .bind(&report.commit)
                .bind(&report.path)
                .bind(&report.body)
                .execute(&mut self.connection)
                .await?;
        }
        let body = serde_json::to_string(&entry).map_err(|e| StoreError::Database(e.to_string()))?;
        let seq = self.count + 1;
        let hash = row_hash(&self.hash, seq, time_ms, body.as_bytes());
        self.rows.push(Row {
            seq: i64::try_from(seq).map_err(|_| StoreError::Chain("too many rows".into()))?,
            time_ms,
            event: entry.event.name(),
            sha256: entry.sha256.as_deref().and_then(content_column),
            body,
            previous: self.hash,
            hash,
        });
        (self.count, self.hash) = (seq, hash);
        Ok(Receipt { seq, hash: hex(&hash), time_ms, report: report.map(|r| r.id) })
    }

    /// Inserts the rows of this transaction with one statement: most of the cost is per statement.
    async fn insert_rows(&mut self) -> Result<()> {
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO audit ");
        insert.push_values(self.rows.drain(..), |mut values, row| {
            values.push_bind(row.seq).push_bind(row.time_ms).push_bind(row.event).push_bind(row.sha256);
            values.push_bind(row.body).push_bind(row.previous.to_vec()).push_bind(row.hash.to_vec());
        });
        // At most BATCH rows of seven values: far below what SQLite binds at once.
        insert.build().persistent(false).execute(&mut self.connection).await?;
        Ok(())
    }

    /// Waits for the sync of the batch before.
    async fn synced(&mut self) {
        if let Some(sync) = self.sync.take() {
            let _ = sync.await;
        }
    }

    fn start_sync(&mut self) {
        if self.wal_file.is_none() {
            self.wal_file = File::open(&self.wal).ok().map(Arc::new);
        }
        let Some(file) = self.wal_file.clone() else { return };
        self.sync = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = file.sync_data() {
                tracing::warn!(%error, "cannot sync the database log");
            }
        }));
    }
}

/// The column by which rows are listed; text that is no digest stays in the body only.
pub(crate) fn content_column(sha256: &str) -> Option<Vec<u8>> {
    sha256.parse::<Sha256Digest>().ok().map(|d| d.0.to_vec())
}

/// Count and hash of the chain, checked against its last row.
pub(crate) async fn load_head(connection: &mut SqliteConnection) -> Result<(u64, [u8; 32])> {
    let row = sqlx::query(
        "SELECT h.count, h.hash, a.seq, a.hash FROM audit_head h
         LEFT JOIN (SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1) a",
    )
    .fetch_optional(connection)
    .await?
    .ok_or_else(|| StoreError::Chain("its head is missing".into()))?;
    let (count, hash): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
    let last: (Option<i64>, Option<Vec<u8>>) = (row.try_get(2)?, row.try_get(3)?);
    let (last_seq, last_hash) = (last.0.unwrap_or(0), last.1.unwrap_or_else(|| GENESIS.to_vec()));
    if count != last_seq {
        let text = format!(
            "the head speaks of {count} rows, the last row is {last_seq}; rows were removed or added"
        );
        return Err(StoreError::Chain(text));
    }
    if hash != last_hash {
        return Err(StoreError::Chain(format!("the head's hash is not that of row {count}")));
    }
    let hash = decode(&hash).ok_or_else(|| StoreError::Chain("the head's hash has a wrong length".into()))?;
    Ok((u64::try_from(count).unwrap_or(0), hash))
}

/// The head for export.
pub(crate) async fn head(connection: &mut SqliteConnection) -> Result<ChainHead> {
    let (count, hash) = load_head(connection).await?;
    Ok(ChainHead { count, hash: hex(&hash) })
}
