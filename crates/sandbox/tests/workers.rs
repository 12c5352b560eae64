//! What the pool makes of workers that do well, die, hang, lie or are owned.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wb_blob::{Blob, ReadAt};
use wb_sandbox::{Batch, Job, Pool, PoolConfig};
use wb_scan::Options;
use wb_verdict::{Depth, Facts, GapReason};

fn config(mode: &str) -> PoolConfig {
    PoolConfig {
        workers: 2,
        program: Some(env!("CARGO_BIN_EXE_wb-test-worker").into()),
        args: vec![mode.into()],
        ..PoolConfig::default()
    }
}

fn pool(mode: &str) -> Pool {
    Pool::new(config(mode)).unwrap()
}

/// Why workers ended, where any did.
fn ends(pool: &Pool) -> Vec<(&'static str, u64)> {
    pool.ends().into_iter().filter(|(_, n)| *n > 0).map(|(end, n)| (end.name(), n)).collect()
}

/// A pickle that calls `posix.system("id")`.
const HOSTILE: &[u8] = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.";

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn assert_worker_gap(facts: &Facts, needle: &str) {
    let [gap] = facts.gaps.as_slice() else { panic!("expected one gap, got {facts:?}") };
    assert_eq!(gap.reason, GapReason::Worker);
    assert!(gap.detail.contains(needle), "{:?} does not say {needle:?}", gap.detail);
    assert!(facts.facts.is_empty());
    assert!(!facts.is_final());
}

#[test]
fn a_file_gives_the_facts_that_a_scan_in_this_process_gives() {
    let here = here(&Options::default());
    assert_eq!(pool("worker").scan(Job::File(file(HOSTILE))), here);
    assert!(!here.facts.is_empty());
}

/// Counts what is read from it.
struct Counted(Vec<u8>, AtomicU64);

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let n = ReadAt::read_at(&self.0, buf, offset)?;
        self.1.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// What a scan in this process gives, through a source that is no memory either.
fn here(options: &Options) -> Facts {
    wb_scan::scan(&Blob::new(Arc::new(Counted(HOSTILE.to_vec(), AtomicU64::new(0)))), options)
}

#[test]
fn a_source_is_read_by_this_process_and_gives_the_same_facts() {
    let options = Options { depth: Depth::Ranged, ..Options::default() };
    let here = here(&options);
    let source = Arc::new(Counted(HOSTILE.to_vec(), AtomicU64::new(0)));
    assert_eq!(pool("worker").scan(Job::Source(source.clone(), Depth::Ranged)), here);
    assert_eq!(source.1.load(Ordering::Relaxed), here.bytes_read);
}

struct Broken;

impl ReadAt for Broken {
    fn len(&self) -> u64 {
        1000
    }
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Err(io::Error::other("upstream hung up"))
    }
}

#[test]
fn a_source_that_fails_is_an_io_gap_and_not_final() {
    let facts = pool("worker").scan(Job::Source(Arc::new(Broken), Depth::Ranged));
    assert!(facts.gaps.iter().any(|g| g.reason == GapReason::Io && g.detail.contains("upstream hung up")));
    assert!(!facts.is_final());
}

#[test]
fn one_worker_serves_many_files_from_many_threads() {
    let pool = pool("worker");
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..50 {
                    assert!(pool.scan(Job::File(file(HOSTILE))).is_final());
                }
            });
        }
    });
}

#[test]
fn a_worn_worker_is_replaced() {
    let pool = Pool::new(PoolConfig { workers: 1, scans_per_worker: 2, ..config("worker") }).unwrap();
    for _ in 0..7 {
        assert!(pool.scan(Job::File(file(HOSTILE))).is_final());
    }
    assert_eq!(ends(&pool), [("worn", 3)]);
}

#[test]
fn a_worker_cannot_open_connect_run_or_see_anything() {
    let facts = pool("probe").scan(Job::File(file(HOSTILE)));
    let done: Vec<&str> = facts.gaps.iter().map(|g| g.detail.as_str()).collect();
    assert_eq!(done, ["the probe ran"]);
}

#[test]
fn memory_within_the_limit_is_had_and_beyond_it_the_worker_dies() {
    let fits = pool("fitting").scan(Job::File(file(HOSTILE)));
    assert!(fits.is_final(), "{:?}", fits.gaps);
    assert_worker_gap(&pool("allocate").scan(Job::File(file(HOSTILE))), "signal");
}

#[test]
fn a_stack_overflow_is_a_gap() {
    assert_worker_gap(&pool("overflow").scan(Job::File(file(HOSTILE))), "signal");
}

#[test]
fn a_panic_is_a_gap_that_says_why_and_the_pool_goes_on() {
    let pool = Pool::new(PoolConfig { workers: 1, ..config("panic") }).unwrap();
    for _ in 0..3 {
        assert_worker_gap(&pool.scan(Job::File(file(HOSTILE))), "as the test asked");
    }
}

#[test]
fn a_worker_that_hangs_is_killed() {
    let pool = Pool::new(PoolConfig { timeout: Duration::from_millis(200), ..config("hang") }).unwrap();
    assert_worker_gap(&pool.scan(Job::File(file(HOSTILE))), "took longer");
    assert_eq!(ends(&pool), [("timeout", 1)]);
}

#[test]
fn garbage_is_a_gap() {
    let pool = pool("garbage");
    assert_worker_gap(&pool.scan(Job::File(file(HOSTILE))), "no valid report");
    assert_eq!(ends(&pool), [("bad-report", 1)]);
}

#[test]
fn a_report_of_impossible_size_is_a_gap_and_allocates_nothing() {
    assert_worker_gap(&pool("oversize").scan(Job::File(file(HOSTILE))), "no valid report");
}

#[test]
fn a_report_about_another_file_is_a_gap() {
    assert_worker_gap(&pool("liar").scan(Job::File(file(HOSTILE))), "another file");
}

#[test]
fn a_worker_that_never_comes_up_is_a_gap() {
    let facts = pool("exit").scan(Job::File(file(HOSTILE)));
    assert_eq!(facts.gaps.first().map(|g| &g.reason), Some(&GapReason::Worker));
    let missing = PoolConfig { program: Some("/nonexistent/worker".into()), ..config("worker") };
    let missing = Pool::new(missing).unwrap();
    assert_worker_gap(&missing.scan(Job::File(file(HOSTILE))), "could be started");
    assert_eq!(ends(&missing), [("not-started", 1)]);
}

fn batch(files: &[&[u8]]) -> Batch {
    let mut batch = Batch::default();
    for bytes in files {
        batch.read(&file(bytes), bytes.len() as u64).unwrap();
    }
    batch
}

#[test]
fn a_batch_gives_for_each_file_what_it_gives_alone() {
    let pool = pool("worker");
    let files: [&[u8]; 4] = [HOSTILE, b"", b"\x80\x04N.", b"some text\n"];
    let together = pool.scan_batch(&batch(&files));
    let alone: Vec<Facts> = files.iter().map(|f| pool.scan(Job::File(file(f)))).collect();
    assert_eq!(together, alone);
    assert_eq!(pool.scan_batch(&Batch::default()), []);
}

#[test]
fn a_file_that_kills_its_worker_costs_no_other_of_its_batch() {
    let pool = pool("killer");
    let files: [&[u8]; 5] = [HOSTILE, b"\x80\x04N.", b"kill", HOSTILE, b"\x80\x04]."];
    let sheets = pool.scan_batch(&batch(&files));
    assert_eq!(sheets.len(), files.len());
    for (i, (sheet, bytes)) in sheets.iter().zip(files).enumerate() {
        if i == 2 {
            assert_worker_gap(sheet, "signal");
        } else {
            assert_eq!(*sheet, pool.scan(Job::File(file(bytes))));
            assert!(sheet.is_final());
        }
    }
    // Once in the batch, once by itself.
    assert_eq!(ends(&pool), [("died", 2)]);
}

#[test]
fn a_batch_is_not_believed_more_than_a_single_report() {
    for (mode, says) in
        [("liar", "another file"), ("garbage", "no valid report"), ("panic", "as the test asked")]
    {
        let pool = pool(mode);
        for sheet in pool.scan_batch(&batch(&[HOSTILE, HOSTILE])) {
            assert_worker_gap(&sheet, says);
        }
    }
}

#[test]
fn only_regular_files_are_scanned() {
    let facts = pool("worker").scan(Job::File(File::open("/dev/null").unwrap()));
    assert_eq!(facts.gaps.first().map(|g| &g.reason), Some(&GapReason::Io));
}
