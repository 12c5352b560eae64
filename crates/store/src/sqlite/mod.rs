//! [`SqliteStore`]: one SQLite database in WAL mode, one writer, a few readers.

mod schema;
pub(crate) mod writer;

#[cfg(test)]
mod tests;

use crate::{
    AuditEntry, AuditQuery, AuditRow, ChainHead, DataDir, FactsKey, Identity, Kept, Receipt, ReportId,
    ReportRow, Result, Sha256Digest, Store, StoreError, Verification,
};
use async_trait::async_trait;
use lru::LruCache;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row, SqlitePool};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};
use wb_verdict::{Depth, Facts};
use writer::{Change, Command, Done, Writer};

/// Fact sheets kept in memory.
const CACHED_SHEETS: usize = 4096;
/// Larger sheets, in bytes of JSON, are not kept in memory.
const CACHED_BYTES: usize = 64 << 10;
/// How often counted look-ups are written.
const LOOKUPS_EVERY: Duration = Duration::from_secs(10);
/// Log size at which it is folded into the database, in bytes.
const CHECKPOINT_AT: u64 = 8 << 20;
const HOUR_MS: i64 = 3_600_000;

/// The store in `DATA/weighbridge.db`. Cheap to clone.
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

struct Inner {
    queue: mpsc::Sender<Command>,
    readers: SqlitePool,
    sheets: Mutex<LruCache<FactsKey, Arc<Facts>>>,
    lookups: Mutex<HashMap<(Sha256Digest, i64), u64>>,
    /// Holds the lock as long as anything may write.
    data: DataDir,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A cache and counters: whatever a panic elsewhere left is still true.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn options(data: &DataDir) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(data.database())
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(10))
        .pragma("trusted_schema", "OFF")
        // The background task does it, outside anybody's commit.
        .pragma("wal_autocheckpoint", "0")
}

/// Makes the database where missing, readable by its owner alone. SQLite gives its log the same mode.
fn private(path: &std::path::Path) -> Result<()> {
    let open = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    open.and_then(|file| file.set_permissions(std::fs::Permissions::from_mode(0o600)))
        .map_err(|e| StoreError::io("restrict", path, e))
}

impl SqliteStore {
    /// Opens or creates the database, migrating an older one after a backup copy
    /// (`weighbridge.db.v<N>.bak` beside it). Must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] for a database of a newer version, [`StoreError::Chain`] if rows at
    /// the end of the audit are missing.
    pub async fn open(data: &DataDir) -> Result<Self> {
        let options = options(data);
        private(&data.database())?;
        schema::prepare(&data.database(), &options).await?;
        let mut wal = data.database().into_os_string();
        wal.push("-wal");
        let writer = Writer::new(options.clone().connect().await?, wal.clone().into()).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options.clone().create_if_missing(false).read_only(true))
            .await?;
        let (queue, receiver) = mpsc::channel(4096);
        tokio::spawn(writer.run(receiver));
        let sheets = LruCache::new(NonZeroUsize::new(CACHED_SHEETS).unwrap_or(NonZeroUsize::MIN));
        let inner = Arc::new(Inner {
            queue,
            readers,
            sheets: Mutex::new(sheets),
            lookups: Mutex::default(),
            data: data.clone(),
        });
        tokio::spawn(housekeeping(Arc::downgrade(&inner), options, wal.into()));
        Ok(Self { inner })
    }

    /// The data folder it lies in.
    pub fn data(&self) -> &DataDir {
        &self.inner.data
    }
}

impl Inner {
    async fn change(&self, change: Change) -> Result<Done> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Command { change, reply }).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn write_lookups(&self) -> Result<()> {
        let counts: Vec<_> = lock(&self.lookups).drain().map(|((sha, hour), n)| (sha, hour, n)).collect();
        if counts.is_empty() {
            return Ok(());
        }
        let counts = Arc::new(counts);
        let result = self.change(Change::Lookups(counts.clone())).await;
        if result.is_err() {
            let mut lookups = lock(&self.lookups);
            for (sha256, hour, count) in counts.iter() {
                *lookups.entry((*sha256, *hour)).or_default() += count;
            }
        }
        result.map(|_| ())
    }
}

/// Writes counters and folds the log into the database, until the store is gone.
async fn housekeeping(inner: Weak<Inner>, options: SqliteConnectOptions, wal: std::path::PathBuf) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut since = Duration::ZERO;
    loop {
        tick.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        since += tick.period();
        if since >= LOOKUPS_EVERY {
            since = Duration::ZERO;
            if let Err(error) = inner.write_lookups().await {
                tracing::warn!(%error, "cannot write look-up counts");
            }
        }
        drop(inner);
        if std::fs::metadata(&wal).is_ok_and(|m| m.len() > CHECKPOINT_AT)
            && let Ok(mut connection) = options.connect().await
        {
            let folded = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut connection).await;
            if let Err(error) = folded {
                tracing::warn!(%error, "cannot fold the database log");
            }
            let _ = sqlx::Connection::close(connection).await;
        }
    }
}

fn digest(bytes: &[u8]) -> Result<Sha256Digest> {
    let bytes = bytes.try_into().map_err(|_| StoreError::Database("a digest of wrong length".into()))?;
    Ok(Sha256Digest(bytes))
}

#[async_trait]
impl Store for SqliteStore {
    async fn facts(&self, key: &FactsKey) -> Result<Option<Arc<Facts>>> {
        if let Some(facts) = lock(&self.inner.sheets).get(key) {
            return Ok(Some(facts.clone()));
        }
        let row = sqlx::query(
            "SELECT body FROM facts WHERE sha256 = ? AND engine = ? AND catalogue = ? AND limits = ?",
        )
        .bind(&key.sha256.0[..])
        .bind(&key.engine)
        .bind(&key.catalogue)
        .bind(&key.limits)
        .fetch_optional(&self.inner.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let body: String = row.try_get(0)?;
        // A sheet that does not parse is as good as none: it will be made again.
        let Ok(facts) = serde_json::from_str::<Facts>(&body) else { return Ok(None) };
        let facts = Arc::new(facts);
        if body.len() <= CACHED_BYTES {
            let mut sheets = lock(&self.inner.sheets);
            // A deeper sheet may have come while this one was read.
            if sheets.peek(key).is_none_or(|old| old.depth < facts.depth) {
                sheets.put(key.clone(), facts.clone());
            }
        }
        Ok(Some(facts))
    }

    async fn put_facts(&self, sha256: Sha256Digest, facts: &Facts) -> Result<Kept> {
        if !facts.is_final() {
            return Ok(Kept::NotFinal);
        }
        let change = Change::Facts {
            sha256,
            engine: facts.engine.clone(),
            catalogue: facts.catalogue.clone(),
            limits: facts.limits.clone(),
            depth: match facts.depth {
                Depth::Ranged => 0,
                Depth::Whole => 1,
            },
            body: serde_json::to_string(facts).map_err(|e| StoreError::Database(e.to_string()))?,
        };
        let done = self.inner.change(change).await?;
        // Also when nothing was written: a reader may have put back a shallower sheet it read before.
        lock(&self.inner.sheets).pop(&FactsKey::of(sha256, facts));
        Ok(if matches!(done, Done::Wrote(true)) { Kept::Stored } else { Kept::Known })
    }

    async fn identity(&self, identity: &Identity) -> Result<Option<Sha256Digest>> {
        let row = sqlx::query("SELECT sha256 FROM identities WHERE key = ?")
            .bind(identity.key())
            .fetch_optional(&self.inner.readers)
            .await?;
        row.map(|row| digest(row.try_get(0)?)).transpose()
    }

    async fn put_identity(&self, identity: &Identity, sha256: Sha256Digest) -> Result<()> {
        self.inner.change(Change::Identity { key: identity.key(), sha256 }).await.map(|_| ())
    }

    async fn record(&self, entry: AuditEntry, report: Option<ReportRow>) -> Result<Receipt> {
        match self.inner.change(Change::Record(Box::new(entry), report.map(Box::new))).await? {
            Done::Receipt(receipt) => Ok(receipt),
            Done::Wrote(_) => Err(StoreError::Closed),
        }
    }

    async fn head(&self) -> Result<ChainHead> {
        writer::head(&mut *self.inner.readers.acquire().await?).await
    }

    async fn verify(&self, since: Option<&str>) -> Result<Verification> {
        crate::audit::verify_rows(&mut *self.inner.readers.acquire().await?, since).await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRow>> {
        let limit = if query.limit == 0 { 100 } else { query.limit.min(1000) };
        let before = query.before.and_then(|b| i64::try_from(b).ok()).unwrap_or(i64::MAX);
        // One text per combination, so that each uses its index.
        let sql = match (query.sha256, query.event) {
            (None, None) => {
                "SELECT seq, time_ms, hash, body FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?"
            }
            (Some(_), None) => {
                "SELECT seq, time_ms, hash, body FROM audit WHERE seq < ? AND sha256 = ? ORDER BY seq DESC LIMIT ?"
            }
            (None, Some(_)) => {
                "SELECT seq, time_ms, hash, body FROM audit WHERE seq < ? AND event = ? ORDER BY seq DESC LIMIT ?"
            }
            (Some(_), Some(_)) => {
                "SELECT seq, time_ms, hash, body FROM audit WHERE seq < ? AND sha256 = ? AND event = ?
                 ORDER BY seq DESC LIMIT ?"
            }
        };
        let mut select = sqlx::query(sql).bind(before);
        if let Some(sha256) = query.sha256 {
            select = select.bind(sha256.0.to_vec());
        }
        if let Some(event) = query.event {
            select = select.bind(event.name());
        }
        let rows = select.bind(limit).fetch_all(&self.inner.readers).await?;
        rows.iter()
            .map(|row| {
                let body: &str = row.try_get(3)?;
                Ok(AuditRow {
                    seq: u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0),
                    time_ms: row.try_get(1)?,
                    hash: crate::data_dir::hex(row.try_get(2)?),
                    entry: serde_json::from_str(body)
                        .map_err(|e| StoreError::Chain(format!("a row is not readable: {e}")))?,
                })
            })
            .collect()
    }

    async fn report(&self, id: ReportId) -> Result<Option<ReportRow>> {
        let row =
            sqlx::query("SELECT time_ms, sha256, repo, commit_id, path, body FROM reports WHERE id = ?")
                .bind(&id.bytes()[..])
                .fetch_optional(&self.inner.readers)
                .await?;
        row.map(|row| report_row(id, &row)).transpose()
    }

    async fn report_beginning(&self, head: &str) -> Result<Option<ReportRow>> {
        let Ok((first, last)) = ReportId::beginning(head) else { return Ok(None) };
        let rows = sqlx::query(
            "SELECT time_ms, sha256, repo, commit_id, path, body, id FROM reports WHERE id BETWEEN ? AND ? LIMIT 2",
        )
        .bind(&first.bytes()[..])
        .bind(&last.bytes()[..])
        .fetch_all(&self.inner.readers)
        .await?;
        let [row] = rows.as_slice() else { return Ok(None) };
        Ok(Some(report_row(ReportId::from_bytes(row.try_get(6)?)?, row)?))
    }

    fn count_lookup(&self, sha256: Sha256Digest) {
        *lock(&self.inner.lookups).entry((sha256, now_ms() / HOUR_MS)).or_default() += 1;
    }

    async fn lookups(&self, sha256: Sha256Digest) -> Result<u64> {
        let row = sqlx::query("SELECT coalesce(sum(count), 0) FROM lookups WHERE sha256 = ?")
            .bind(&sha256.0[..])
            .fetch_one(&self.inner.readers)
            .await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0))
    }

    async fn flush(&self) -> Result<()> {
        self.inner.write_lookups().await?;
        self.inner.change(Change::Flush).await.map(|_| ())
    }
}

fn report_row(id: ReportId, row: &SqliteRow) -> Result<ReportRow> {
    Ok(ReportRow {
        id,
        time_ms: row.try_get(0)?,
        sha256: row.try_get::<Option<&[u8]>, _>(1)?.map(digest).transpose()?,
        repo: row.try_get(2)?,
        commit: row.try_get(3)?,
        path: row.try_get(4)?,
        body: row.try_get(5)?,
    })
}
