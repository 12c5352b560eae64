//! Nothing that was acknowledged is lost when the process is killed at any moment.
//!
//! The test runs itself as a child that records entries and prints each one once it is acknowledged;
//! the child is killed with SIGKILL after a varying number of lines.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use wb_store::{AuditEntry, AuditEvent, AuditQuery, BlobStore, DataDir, Expected, SqliteStore, Store};

const CHILD: &str = "WB_STORE_KILL_TEST_CHILD";

/// Not a test of its own: the child's part, when started by the test below.
#[test]
fn child() {
    let Some(data) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(write_for_ever(&data));
}

async fn write_for_ever(data: &Path) {
    let data = DataDir::open(data).unwrap();
    let store = SqliteStore::open(&data).await.unwrap();
    let blobs = BlobStore::open(&data, None).await.unwrap();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (store, blobs) = (store.clone(), blobs.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    let name = format!("{}-{writer}-{n}", std::process::id());
                    if writer == 0 {
                        let mut spool = blobs.spool_writer(Expected::default(), 1 << 20).unwrap();
                        spool.write(name.repeat(1000).as_bytes()).unwrap();
                        let blob = spool.finish().unwrap().keep().await.unwrap();
                        say(&format!("blob {}", blob.sha256()));
                    }
                    let entry =
                        AuditEntry { detail: Some(name.clone()), ..AuditEntry::new(AuditEvent::Pull) };
                    let receipt = store.record(entry, None).await.unwrap();
                    say(&format!("row {} {} {name}", receipt.seq, receipt.hash));
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ACK {line}").unwrap();
    out.flush().unwrap();
}

/// Starts the child, kills it after `lines` acknowledgements, and returns all that it managed to say.
fn run_and_kill(data: &Path, lines: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = Vec::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 0 {
        // A line that the kill tore was not received by anybody.
        if let (true, Some(at)) = (line.ends_with('\n'), line.find("ACK ")) {
            out.push(line[at + 4..].trim().to_owned());
        }
        line.clear();
        if out.len() == lines {
            child.kill().unwrap(); // SIGKILL; what is in the pipe is still read
        }
    }
    child.wait().unwrap();
    assert!(out.len() >= lines, "the child died on its own after {} lines", out.len());
    out
}

#[test]
fn acknowledged_entries_survive_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..8 {
        acknowledged.extend(run_and_kill(dir.path(), 1 + round * round * 37 % 400));
        runtime.block_on(check(dir.path(), &acknowledged));
    }
    assert!(acknowledged.len() > 300);
}

async fn check(dir: &Path, acknowledged: &[String]) {
    let data = DataDir::open(dir).unwrap();
    assert!(std::fs::read_dir(dir.join("spool")).unwrap().next().is_none(), "quarantine is emptied");
    let store = SqliteStore::open(&data).await.unwrap();
    let verified = store.verify(None).await.unwrap();
    let mut present = HashSet::new();
    let mut query = AuditQuery { limit: 1000, ..AuditQuery::default() };
    loop {
        let page = store.audit(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        query.before = Some(last.seq);
        for row in page {
            present.insert(format!("row {} {} {}", row.seq, row.hash, row.entry.detail.unwrap()));
        }
    }
    assert_eq!(verified.rows, present.len() as u64);
    let blobs = BlobStore::open(&data, None).await.unwrap();
    for line in acknowledged {
        match line.strip_prefix("blob ") {
            Some(sha256) => {
                let guard = blobs.open_blob(sha256.parse().unwrap()).unwrap().expect("an acknowledged blob");
                let bytes = std::io::read_to_string(guard.file().unwrap()).unwrap();
                use sha2::Digest;
                assert_eq!(sha2::Sha256::digest(bytes)[..], guard.sha256().0, "its bytes are whole");
            }
            None => assert!(present.contains(line), "lost: {line}"),
        }
    }
    drop((store, blobs));
}
