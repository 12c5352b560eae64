//! The behavioural suite, written against the trait so that another back-end can run it too, and
//! what is particular to SQLite.

use super::*;
use crate::{AuditEvent, verify_database};
use wb_verdict::{Gap, GapReason, Location};

fn sha(n: u8) -> Sha256Digest {
    Sha256Digest([n; 32])
}

fn sheet(depth: Depth, size: u64) -> Facts {
    Facts {
        engine: "e1".into(),
        catalogue: "c1".into(),
        limits: "l1".into(),
        depth,
        size,
        formats: vec!["pickle".into()],
        facts: Vec::new(),
        gaps: Vec::new(),
        bytes_read: size,
    }
}

fn entry(n: u8) -> AuditEntry {
    AuditEntry {
        who: "anonymous@192.0.2.1".into(),
        repo: Some("org/name".into()),
        path: Some(format!("file-{n}.bin")),
        sha256: Some(sha(n).to_hex()),
        rules: vec!["WB-PKL-001".into()],
        ..AuditEntry::new(if n.is_multiple_of(2) { AuditEvent::Pull } else { AuditEvent::Refuse })
    }
}

/// Everything a back-end must do. `store` is empty.
async fn suite<S: Store>(store: S) {
    facts(&store).await;
    identities(&store).await;
    chain(&store).await;
    reports(&store).await;
    lookups(&store).await;
}

async fn facts<S: Store>(store: &S) {
    let (ranged, whole) = (sheet(Depth::Ranged, 7), sheet(Depth::Whole, 8));
    let key = FactsKey::of(sha(1), &ranged);
    assert_eq!(store.facts(&key).await.unwrap(), None);
    assert_eq!(store.put_facts(sha(1), &ranged).await.unwrap(), Kept::Stored);
    assert_eq!(*store.facts(&key).await.unwrap().unwrap(), ranged);
    assert_eq!(store.put_facts(sha(1), &whole).await.unwrap(), Kept::Stored);
    assert_eq!(*store.facts(&key).await.unwrap().unwrap(), whole, "whole supersedes ranged");
    assert_eq!(store.put_facts(sha(1), &ranged).await.unwrap(), Kept::Known);
    assert_eq!(*store.facts(&key).await.unwrap().unwrap(), whole, "never the reverse");

    for other in [
        FactsKey { sha256: sha(2), ..key.clone() },
        FactsKey { engine: "e2".into(), ..key.clone() },
        FactsKey { catalogue: "c2".into(), ..key.clone() },
        FactsKey { limits: "l2".into(), ..key.clone() },
    ] {
        assert_eq!(store.facts(&other).await.unwrap(), None, "{other:?}");
    }

    let location = Location::default();
    let gap = Gap { reason: GapReason::Worker, location, length: None, detail: String::new() };
    let cut = Facts { gaps: vec![gap], ..sheet(Depth::Whole, 9) };
    assert_eq!(store.put_facts(sha(3), &cut).await.unwrap(), Kept::NotFinal);
    assert_eq!(store.facts(&FactsKey::of(sha(3), &cut)).await.unwrap(), None, "cut short is never kept");
}

async fn identities<S: Store>(store: &S) {
    let git = Identity::GitBlob { oid: "a".repeat(40), size: 5 };
    let etag = Identity::Etag { scope: "up\norg/n\nc\np".into(), etag: "x".into(), size: 5 };
    assert_eq!(store.identity(&git).await.unwrap(), None);
    store.put_identity(&git, sha(1)).await.unwrap();
    store.put_identity(&etag, sha(2)).await.unwrap();
    assert_eq!(store.identity(&git).await.unwrap(), Some(sha(1)));
    assert_eq!(store.identity(&etag).await.unwrap(), Some(sha(2)));
    store.put_identity(&etag, sha(3)).await.unwrap();
    assert_eq!(store.identity(&etag).await.unwrap(), Some(sha(3)));
    let other_size = Identity::GitBlob { oid: "a".repeat(40), size: 6 };
    assert_eq!(store.identity(&other_size).await.unwrap(), None);
}

async fn chain<S: Store>(store: &S) {
    let empty = store.head().await.unwrap();
    assert_eq!((empty.count, empty.hash.as_str()), (0, "0".repeat(64).as_str()));
    let mut receipts = Vec::new();
    for n in 0..10 {
        receipts.push(store.record(entry(n), None).await.unwrap());
    }
    let head = store.head().await.unwrap();
    assert_eq!((head.count, &head.hash), (10, &receipts[9].hash));
    let verified = store.verify(Some(&receipts[4].hash)).await.unwrap();
    assert_eq!((verified.rows, verified.since, verified.head), (10, Some(5), head));
    assert!(store.verify(Some(&"1".repeat(64))).await.is_err(), "an unknown head is a broken chain");

    let all = store.audit(&AuditQuery::default()).await.unwrap();
    assert_eq!(all.iter().map(|r| r.seq).collect::<Vec<_>>(), (1..=10).rev().collect::<Vec<_>>());
    assert_eq!(all[0].entry, entry(9));
    let of = |sha256, event| AuditQuery { sha256, event, ..AuditQuery::default() };
    assert_eq!(store.audit(&of(Some(sha(4)), None)).await.unwrap().len(), 1);
    assert_eq!(store.audit(&of(None, Some(AuditEvent::Refuse))).await.unwrap().len(), 5);
    assert_eq!(store.audit(&of(Some(sha(4)), Some(AuditEvent::Refuse))).await.unwrap().len(), 0);
    let page = AuditQuery { before: Some(4), limit: 2, ..AuditQuery::default() };
    assert_eq!(store.audit(&page).await.unwrap().iter().map(|r| r.seq).collect::<Vec<_>>(), [3, 2]);
}

async fn reports<S: Store>(store: &S) {
    let row = ReportRow {
        id: ReportId::random().unwrap(),
        time_ms: 0,
        sha256: Some(sha(5)),
        repo: "org/name".into(),
        commit: "c".repeat(40),
        path: "a/ü.bin".into(),
        body: "{}".into(),
    };
    let receipt = store.record(entry(5), Some(row.clone())).await.unwrap();
    assert_eq!(receipt.report, Some(row.id));
    let kept = store.report(row.id).await.unwrap().unwrap();
    assert_eq!(kept, ReportRow { time_ms: receipt.time_ms, ..row.clone() });
    assert_eq!(store.report(ReportId::random().unwrap()).await.unwrap(), None);
    let logged = store.audit(&AuditQuery { limit: 1, ..AuditQuery::default() }).await.unwrap();
    let short = logged[0].entry.report.clone().unwrap();
    assert!(
        row.id.to_string().starts_with(&short) && short.len() < 10,
        "the audit does not hold the capability"
    );
    assert_eq!(store.report_beginning(&short).await.unwrap().map(|r| r.id), Some(row.id));
    let other = if short.starts_with('a') { "bbbbbb" } else { "aaaaaa" };
    assert_eq!(store.report_beginning(other).await.unwrap(), None);
    // Both or neither: the same id again fails, and leaves the chain as it was.
    let before = store.head().await.unwrap();
    assert!(store.record(entry(6), Some(row)).await.is_err());
    assert_eq!(store.head().await.unwrap(), before);
}

async fn lookups<S: Store>(store: &S) {
    for _ in 0..1000 {
        store.count_lookup(sha(9));
    }
    store.count_lookup(sha(8));
    store.flush().await.unwrap();
    store.count_lookup(sha(9));
    store.flush().await.unwrap();
    assert_eq!(store.lookups(sha(9)).await.unwrap(), 1001);
    assert_eq!(store.lookups(sha(7)).await.unwrap(), 0);
}

async fn open(dir: &std::path::Path) -> Result<SqliteStore> {
    // A store that was just dropped may still be closing.
    for _ in 0..200 {
        match DataDir::open(dir) {
            Err(StoreError::Locked(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            other => return SqliteStore::open(&other?).await,
        }
    }
    Err(StoreError::Locked(dir.into()))
}

#[tokio::test]
async fn sqlite_does_what_a_store_must() {
    let dir = tempfile::tempdir().unwrap();
    suite(open(dir.path()).await.unwrap()).await;
}

#[tokio::test]
async fn many_at_once_make_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.record(entry(n as u8), None).await.unwrap().seq })
        })
        .collect();
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(task.await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=500).collect::<Vec<_>>());
    assert_eq!(store.verify(None).await.unwrap().rows, 500);
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).await.unwrap();
    first.put_facts(sha(1), &sheet(Depth::Whole, 3)).await.unwrap();
    let receipt = first.record(entry(1), None).await.unwrap();
    drop(first);
    let second = open(dir.path()).await.unwrap();
    assert!(second.facts(&FactsKey::of(sha(1), &sheet(Depth::Whole, 3))).await.unwrap().is_some());
    assert_eq!(second.record(entry(2), None).await.unwrap().seq, 2);
    assert_eq!(second.verify(Some(&receipt.hash)).await.unwrap().since, Some(1));
}

/// Makes a chain of 10, lets `tamper` at it with plain SQL, and returns what verification says.
async fn tampered(tamper: &'static str) -> Result<Verification> {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    let mut middle = String::new();
    for n in 0..10 {
        let receipt = store.record(entry(n), None).await.unwrap();
        if n == 7 {
            middle = receipt.hash;
        }
    }
    let path = store.data().database();
    let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    for step in ["DROP TRIGGER audit_no_update", "DROP TRIGGER audit_no_delete", tamper] {
        sqlx::raw_sql(step).execute(&mut connection).await.unwrap();
    }
    verify_database(&path, Some(&middle)).await
}

#[tokio::test]
async fn tampering_shows() {
    assert!(tampered("SELECT 1").await.is_ok(), "the untouched chain verifies");
    for (tamper, named) in [
        ("UPDATE audit SET body = replace(body, 'org/name', 'org/nice') WHERE seq = 4", "row 4"),
        ("UPDATE audit SET time_ms = time_ms + 1 WHERE seq = 4", "row 4"),
        ("UPDATE audit SET event = 'refuse' WHERE seq = 1", "row 1"),
        ("UPDATE audit SET sha256 = zeroblob(32) WHERE seq = 4", "row 4"),
        ("DELETE FROM audit WHERE seq = 4", "row 4"),
        ("DELETE FROM audit WHERE seq = 1", "row 1"),
        (
            "UPDATE audit SET seq = 99 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 99",
            "row 4",
        ),
        ("DELETE FROM audit WHERE seq > 8", "removed"),
        // Cut off before the noted head, and the recorded head mended: only the noted head shows it.
        (
            "DELETE FROM audit WHERE seq > 5; UPDATE audit_head SET count = 5, hash = (SELECT hash FROM audit WHERE seq = 5)",
            "noted earlier",
        ),
        ("DELETE FROM audit; UPDATE audit_head SET count = 0, hash = zeroblob(32)", "noted earlier"),
    ] {
        let error = tampered(tamper).await.expect_err(tamper).to_string();
        assert!(error.contains(named), "{tamper}: {error}");
    }
}

#[tokio::test]
async fn rows_refuse_careless_changes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    store.record(entry(1), None).await.unwrap();
    let mut connection =
        SqliteConnectOptions::new().filename(store.data().database()).connect().await.unwrap();
    for sql in ["UPDATE audit SET time_ms = 0", "DELETE FROM audit"] {
        assert!(
            sqlx::query(sql).execute(&mut connection).await.unwrap_err().to_string().contains("append-only")
        );
    }
}

#[tokio::test]
async fn an_older_schema_is_migrated_after_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weighbridge.db");
    // A database exactly as version 1 made it, with a row in the chain.
    let mut old =
        SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
    schema::migrate(&mut old, 0, 1).await.unwrap();
    let body = serde_json::to_string(&entry(1)).unwrap();
    let hash = crate::audit::row_hash(&crate::audit::GENESIS, 1, 42, body.as_bytes());
    sqlx::query("INSERT INTO audit VALUES (1, 42, 'refuse', ?, ?, zeroblob(32), ?)")
        .bind(sha(1).0.to_vec())
        .bind(&body)
        .bind(&hash[..])
        .execute(&mut old)
        .await
        .unwrap();
    sqlx::query("UPDATE audit_head SET count = 1, hash = ?").bind(&hash[..]).execute(&mut old).await.unwrap();
    sqlx::Connection::close(old).await.unwrap();

    let store = open(dir.path()).await.unwrap();
    assert_eq!(store.verify(None).await.unwrap().rows, 1);
    store.record(entry(2), None).await.unwrap();
    store.count_lookup(sha(1));
    store.flush().await.unwrap();
    assert_eq!(store.lookups(sha(1)).await.unwrap(), 1, "the table of version 2 is there");

    let backup = schema::backup_path(&store.data().database(), 1);
    let mut copy = SqliteConnectOptions::new().filename(&backup).read_only(true).connect().await.unwrap();
    let version: i64 = sqlx::query("PRAGMA user_version").fetch_one(&mut copy).await.unwrap().get(0);
    let rows: i64 = sqlx::query("SELECT count(*) FROM audit").fetch_one(&mut copy).await.unwrap().get(0);
    assert_eq!((version, rows), (1, 1), "the copy is the database as it was");
    for private in [&store.data().database(), &backup] {
        assert_eq!(std::fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o600, "{private:?}");
    }
    drop(store);
    drop(open(dir.path()).await.unwrap());
    assert!(
        !schema::backup_path(&dir.path().join("weighbridge.db"), 2).exists(),
        "no copy without a migration"
    );
}

#[tokio::test]
async fn a_newer_or_foreign_database_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).await.unwrap());
    let path = dir.path().join("weighbridge.db");
    let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::query("PRAGMA user_version = 99").execute(&mut connection).await.unwrap();
    let refused = open(dir.path()).await.err().unwrap();
    assert!(
        matches!(refused, StoreError::NewerSchema { found: 99, known: schema::VERSION, .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("use a newer weighbridge"));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weighbridge.db");
    let mut other =
        SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
    sqlx::query("CREATE TABLE theirs (x)").execute(&mut other).await.unwrap();
    assert!(open(dir.path()).await.err().unwrap().to_string().contains("not a weighbridge database"));
}

#[tokio::test]
async fn a_full_disk_is_told_apart() {
    use std::io::Write;
    let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = full.write_all(b"x").unwrap_err();
    assert!(StoreError::io("write", "/dev/full", error).is_full());

    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    let mut connection =
        SqliteConnectOptions::new().filename(store.data().database()).connect().await.unwrap();
    sqlx::query("PRAGMA max_page_count = 1").execute(&mut connection).await.unwrap();
    let insert = "INSERT INTO identities VALUES (hex(randomblob(1000000)), x'00', 0)";
    let error = sqlx::query(insert).execute(&mut connection).await.unwrap_err();
    assert!(StoreError::from(error).is_full());
}
