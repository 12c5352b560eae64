//! How long does a decision take to be committed? `cargo run --release -p wb-store --example latency [DIR]`
//!
//! Prints percentiles of [`Store::record`] alone, under 16 parallel writers, and of fact look-ups.

use std::time::{Duration, Instant};
use wb_store::{AuditEntry, AuditEvent, DataDir, FactsKey, Sha256Digest, SqliteStore, Store};
use wb_verdict::{Depth, Facts};

fn show(what: &str, mut times: Vec<Duration>, all: Duration) {
    times.sort_unstable();
    let at = |p: f64| times[((times.len() - 1) as f64 * p) as usize].as_micros();
    let rate = times.len() as f64 / all.as_secs_f64();
    println!("{what:32} p50 {:>6} µs  p99 {:>6} µs  max {:>6} µs  {rate:>9.0}/s", at(0.5), at(0.99), at(1.0));
}

fn entry(n: u32) -> AuditEntry {
    AuditEntry {
        who: "0123456789abcdef0123456789abcdef@192.0.2.1".into(),
        repo: Some("org/name".into()),
        path: Some(format!("model-{n}.safetensors")),
        ..AuditEntry::new(AuditEvent::Pull)
    }
}

async fn many(store: &SqliteStore, writers: u32, each: u32, pause: Duration) -> (Vec<Duration>, Duration) {
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                for n in 0..each {
                    tokio::time::sleep(pause).await;
                    let begin = Instant::now();
                    store.record(entry(n), None).await.expect("record");
                    times.push(begin.elapsed());
                }
                times
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("writer"));
    }
    (all, start.elapsed())
}

#[tokio::main]
async fn main() {
    let own = tempfile::tempdir().expect("temporary folder");
    let dir = std::env::args_os().nth(1).map_or(own.path().to_owned(), Into::into);
    let store = SqliteStore::open(&DataDir::open(&dir).expect("data folder")).await.expect("store");
    let (times, all) = many(&store, 1, 1000, Duration::from_millis(5)).await;
    show("record, one every 5 ms", times, all);
    let (times, all) = many(&store, 1, 2000, Duration::ZERO).await;
    show("record, one after the other", times, all);
    let (times, all) = many(&store, 16, 1000, Duration::ZERO).await;
    show("record, 16 writers", times, all);

    let facts = Facts {
        engine: "e".into(),
        catalogue: "c".into(),
        limits: "l".into(),
        depth: Depth::Whole,
        size: 1,
        formats: vec!["safetensors".into()],
        facts: Vec::new(),
        gaps: Vec::new(),
        bytes_read: 1,
    };
    let digest = |n: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        Sha256Digest(bytes)
    };
    for n in 0..1000 {
        store.put_facts(digest(n), &facts).await.expect("facts");
    }
    let (start, mut times) = (Instant::now(), Vec::new());
    for n in 0..100_000 {
        let begin = Instant::now();
        let found = store.facts(&FactsKey::of(digest(n % 1000), &facts)).await.expect("facts");
        times.push(begin.elapsed());
        assert!(found.is_some());
    }
    show("fact look-up", times, start.elapsed());
}
