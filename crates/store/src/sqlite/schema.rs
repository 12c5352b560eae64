//! Schema versions and migrations.
//!
//! `PRAGMA user_version` holds the version, `application_id` says whose file it is. A migration runs in
//! one transaction, after a backup copy of the whole database.

use crate::{Result, StoreError};
use sqlx::{ConnectOptions, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// `WBRG`.
const APPLICATION_ID: i64 = 0x5742_5247;

/// What leads from version `n` to `n + 1`, from 0 on. Never change an entry; append.
pub(super) const STEPS: [&str; 2] = [
    // 1: facts, identities, audit, reports.
    "CREATE TABLE facts (
        sha256 BLOB NOT NULL, engine TEXT NOT NULL, catalogue TEXT NOT NULL, limits TEXT NOT NULL,
        depth INTEGER NOT NULL, time_ms INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (sha256, engine, catalogue, limits));
     CREATE TABLE identities (
        key TEXT NOT NULL PRIMARY KEY, sha256 BLOB NOT NULL, time_ms INTEGER NOT NULL);
     CREATE TABLE audit (
        seq INTEGER NOT NULL PRIMARY KEY, time_ms INTEGER NOT NULL, event TEXT NOT NULL, sha256 BLOB,
        body TEXT NOT NULL, previous BLOB NOT NULL, hash BLOB NOT NULL);
     CREATE INDEX audit_by_content ON audit (sha256, seq) WHERE sha256 IS NOT NULL;
     CREATE TABLE audit_head (
        id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL, hash BLOB NOT NULL);
     INSERT INTO audit_head VALUES (1, 0, zeroblob(32));
     CREATE TABLE reports (
        id BLOB NOT NULL PRIMARY KEY, time_ms INTEGER NOT NULL, sha256 BLOB, repo TEXT NOT NULL,
        commit_id TEXT NOT NULL, path TEXT NOT NULL, body TEXT NOT NULL);",
    // 2: counted look-ups, listing by event, and rows that refuse to be changed by accident.
    "CREATE TABLE lookups (
        sha256 BLOB NOT NULL, hour INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (sha256, hour))
        WITHOUT ROWID;
     CREATE INDEX audit_by_event ON audit (event, seq);
     CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
     CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;",
];

/// The version this build writes.
pub(super) const VERSION: i64 = STEPS.len() as i64;

async fn pragma(connection: &mut SqliteConnection, text: &'static str) -> Result<i64> {
    Ok(sqlx::query(text).fetch_one(connection).await?.try_get(0)?)
}

/// Brings the database at `path` to [`VERSION`], creating it where missing.
pub(super) async fn prepare(path: &Path, options: &SqliteConnectOptions) -> Result<()> {
    let mut connection = options.connect().await?;
    let found = pragma(&mut connection, "PRAGMA user_version").await?;
    let owner = pragma(&mut connection, "PRAGMA application_id").await?;
    let tables = pragma(&mut connection, "SELECT count(*) FROM sqlite_master").await?;
    if tables > 0 && owner != APPLICATION_ID {
        let why = "not a weighbridge database; choose another --data folder";
        return Err(StoreError::Database(format!("{}: {why}", path.display())));
    }
    if found > VERSION {
        return Err(StoreError::NewerSchema { path: path.into(), found, known: VERSION });
    }
    if found < VERSION && tables > 0 {
        back_up(&mut connection, path, found).await?;
    }
    migrate(&mut connection, found, VERSION).await?;
    sqlx::Connection::close(connection).await?;
    Ok(())
}

/// Runs the steps from one version to another in one transaction.
pub(super) async fn migrate(connection: &mut SqliteConnection, from: i64, to: i64) -> Result<()> {
    if from >= to {
        return Ok(());
    }
    let steps = STEPS.iter().take(usize::try_from(to).unwrap_or(0)).skip(usize::try_from(from).unwrap_or(0));
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let result = async {
        for step in steps {
            sqlx::raw_sql(*step).execute(&mut *connection).await?;
        }
        // Pragmas take no parameters; these are numbers of our own.
        let text = format!("PRAGMA user_version = {to}; PRAGMA application_id = {APPLICATION_ID}; COMMIT;");
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut *connection).await
    }
    .await;
    if let Err(error) = result {
        let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
        return Err(StoreError::Database(format!("migration from schema {from} to {to}: {error}")));
    }
    Ok(())
}

/// Where the copy of a database of version `found` goes.
pub(super) fn backup_path(path: &Path, found: i64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".v{found}.bak"));
    name.into()
}

/// Copies the whole database beside itself: written under another name first, so that a copy with the
/// final name is a whole one.
async fn back_up(connection: &mut SqliteConnection, path: &Path, found: i64) -> Result<()> {
    let target = backup_path(path, found);
    let temporary = target.with_extension("part");
    let failed = |e| StoreError::io("write backup", &target, e);
    match std::fs::remove_file(&temporary) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let name = temporary.to_str().ok_or_else(|| failed(std::io::Error::other("path is not UTF-8")))?;
    sqlx::query("VACUUM INTO ?").bind(name).execute(connection).await?;
    std::fs::File::open(&temporary)
        .and_then(|f| f.set_permissions(std::fs::Permissions::from_mode(0o600)).and_then(|()| f.sync_all()))
        .map_err(failed)?;
    std::fs::rename(&temporary, &target).map_err(failed)?;
    tracing::info!(backup = %target.display(), schema = found, "database copied before migration");
    Ok(())
}
