//! Verifying the chain, row by row in constant memory.

use super::{GENESIS, decode, row_hash};
use crate::data_dir::hex;
use crate::sqlite::writer::{content_column, load_head};
use crate::{AuditEntry, ChainHead, Result, StoreError, Verification};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row, SqliteConnection};
use std::path::Path;

/// Rows read at once.
const PAGE: i64 = 1000;

/// Verifies the chain in a database file that a gate may be using at the same time. Opens it
/// read-only, without the data folder's lock. `since` is a head hash noted earlier: the row must
/// still be part of the chain.
///
/// # Errors
/// [`StoreError::Chain`] names the first row that is wrong, or what is missing.
pub async fn verify_database(path: &Path, since: Option<&str>) -> Result<Verification> {
    if !path.is_file() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(StoreError::io("open database", path, missing));
    }
    let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await?;
    verify_rows(&mut connection, since).await
}

/// Checks every row in one consistent view of the database.
pub(crate) async fn verify_rows(
    connection: &mut SqliteConnection,
    since: Option<&str>,
) -> Result<Verification> {
    sqlx::query("BEGIN").execute(&mut *connection).await?;
    let result = walk(connection, since).await;
    let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
    result
}

async fn walk(connection: &mut SqliteConnection, since: Option<&str>) -> Result<Verification> {
    let since = since.map(|s| s.trim().to_ascii_lowercase());
    let mut found = since.as_deref().filter(|s| *s == hex(&GENESIS)).map(|_| 0);
    let mut hash = GENESIS;
    let mut seq: u64 = 0;
    loop {
        let rows = sqlx::query(
            "SELECT seq, time_ms, event, sha256, body, previous, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?",
        )
        .bind(i64::try_from(seq).unwrap_or(i64::MAX))
        .bind(PAGE)
        .fetch_all(&mut *connection)
        .await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            hash = check(row, seq + 1, &hash)?;
            seq += 1;
            if since.as_deref().is_some_and(|s| s == hex(&hash)) {
                found = Some(seq);
            }
        }
    }
    let (count, head) = load_head(connection).await?;
    if count != seq || head != hash {
        return Err(broken(seq, "the recorded head is not that of the last row"));
    }
    if let (Some(since), None) = (&since, found) {
        let text = format!(
            "the head {since} noted earlier is not part of the chain; rows were removed or rewritten"
        );
        return Err(StoreError::Chain(text));
    }
    Ok(Verification { rows: seq, head: ChainHead { count: seq, hash: hex(&hash) }, since: found })
}

fn broken(seq: u64, why: &str) -> StoreError {
    StoreError::Chain(format!("row {seq}: {why}"))
}

/// Checks one row, and returns its hash.
fn check(row: &sqlx::sqlite::SqliteRow, expected: u64, previous: &[u8; 32]) -> Result<[u8; 32]> {
    let seq: i64 = row.try_get(0)?;
    if u64::try_from(seq) != Ok(expected) {
        return Err(broken(expected, &format!("missing; the next one is {seq}")));
    }
    let (time_ms, body): (i64, &str) = (row.try_get(1)?, row.try_get(4)?);
    if row.try_get::<&[u8], _>(5)? != previous {
        return Err(broken(expected, "it does not follow the row before it"));
    }
    let hash = row_hash(previous, expected, time_ms, body.as_bytes());
    if decode(row.try_get(6)?) != Some(hash) {
        return Err(broken(expected, "it was edited: its content does not match its hash"));
    }
    // The columns for listing are not hashed themselves; they must say what the body says.
    let entry: AuditEntry = serde_json::from_str(body)
        .map_err(|e| broken(expected, &format!("its content is not readable: {e}")))?;
    let (event, sha256): (&str, Option<Vec<u8>>) = (row.try_get(2)?, row.try_get(3)?);
    if event != entry.event.name() || sha256 != entry.sha256.as_deref().and_then(content_column) {
        return Err(broken(expected, "it was edited: its columns do not match its content"));
    }
    Ok(hash)
}
