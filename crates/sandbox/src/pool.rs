//! The parent's side: a pool of worker processes.

use crate::batch::Batch;
use crate::confine::CPU_SECONDS;
use crate::ends::{Ends, WorkerEnd};
use crate::fork::Forked;
use crate::process::{Failure, Process};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wb_blob::ReadAt;
use wb_verdict::{Depth, Facts, Gap, GapReason, Location};

/// A worker is replaced when it has been busy this long, before its own CPU limit can end a scan.
const BUSY_LIMIT: Duration = Duration::from_secs(CPU_SECONDS / 2);

/// How a [`Pool`] runs its workers.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// Number of worker processes; at least 1.
    pub workers: usize,
    /// The program to run; `None` for this very executable.
    pub program: Option<PathBuf>,
    /// Arguments that make the program call [`crate::worker_main`].
    pub args: Vec<OsString>,
    /// A worker is replaced after this many scans.
    pub scans_per_worker: u32,
    /// Wall-clock guard for one scan, time spent waiting for a source not counted. It never decides a
    /// verdict: running out of it is a transient gap.
    pub timeout: Duration,
}

impl Default for PoolConfig {
    /// As many workers as there are processors for this process.
    fn default() -> Self {
        Self::with_workers(std::thread::available_parallelism().map_or(1, |n| n.get()))
    }
}

impl PoolConfig {
    /// So many workers, everything else as usual.
    pub fn with_workers(workers: usize) -> Self {
        Self {
            workers,
            program: None,
            args: vec!["worker".into()],
            scans_per_worker: 10_000,
            timeout: Duration::from_secs(600),
        }
    }
}

/// What to scan.
pub enum Job {
    /// A regular file, opened for reading; the descriptor is handed to the worker.
    File(File),
    /// Anything else (remote ranges, bytes in memory): the worker asks, this process reads.
    Source(Arc<dyn ReadAt>, Depth),
}

/// A pool of scan workers. Shared by threads; each scan occupies one worker.
pub struct Pool {
    config: PoolConfig,
    state: Mutex<State>,
    freed: Condvar,
    ends: Ends,
}

#[derive(Default)]
struct State {
    idle: Vec<Process>,
    /// Workers idle or at work.
    live: usize,
}

impl Pool {
    /// Makes a pool; workers start when first needed.
    pub fn new(config: PoolConfig) -> io::Result<Self> {
        if config.workers == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a pool needs at least one worker"));
        }
        Ok(Self { config, state: Mutex::default(), freed: Condvar::new(), ends: Ends::default() })
    }

    /// As [`Pool::new`], with workers that were forked already. Those beyond [`PoolConfig::workers`] are ended.
    ///
    /// Workers that take the place of these are started as programs, as always.
    pub fn with_forked(config: PoolConfig, forked: Vec<Forked>) -> io::Result<Self> {
        let pool = Self::new(config)?;
        let idle: Vec<Process> = forked.into_iter().take(pool.config.workers).map(Process::from).collect();
        *pool.state() = State { live: idle.len(), idle };
        Ok(pool)
    }

    /// Starts one worker, so that the first scan need not wait for it.
    pub fn warm_up(&self) -> io::Result<()> {
        let worker = self.acquire()?;
        self.release(Some(worker));
        Ok(())
    }

    /// Number of scans that run at the same time.
    pub fn workers(&self) -> usize {
        self.config.workers
    }

    /// How many workers ended so far, by reason.
    pub fn ends(&self) -> [(WorkerEnd, u64); WorkerEnd::ALL.len()] {
        self.ends.get()
    }

    /// Scans one blob, blocking until a worker is free and done. Never fails: what could not be looked
    /// at is a gap, with [`GapReason::Worker`] if the worker is to blame.
    pub fn scan(&self, job: Job) -> Facts {
        let size = match &job {
            Job::Source(source, _) => source.len(),
            Job::File(file) => match file.metadata() {
                Ok(m) if m.is_file() => m.len(),
                Ok(_) => return only_gap(0, GapReason::Io, "not a regular file"),
                Err(e) => return only_gap(0, GapReason::Io, e.to_string()),
            },
        };
        let scanned = self.with_worker(|worker| worker.scan(&job, size, self.config.timeout));
        scanned.unwrap_or_else(|text| only_gap(size, GapReason::Worker, text))
    }

    /// Scans small files together: a sheet for each, as [`Pool::scan`] gives it.
    ///
    /// Where that fails, because one of them is more than a worker stands, each is scanned by itself: the gap is then that of the
    /// file that is to blame, and of no other.
    pub fn scan_batch(&self, batch: &Batch) -> Vec<Facts> {
        if batch.is_empty() {
            return Vec::new();
        }
        let together = self.with_worker(|worker| worker.scan_batch(batch, self.config.timeout));
        together.unwrap_or_else(|_| {
            batch.iter().map(|f| self.scan(Job::Source(Arc::new(f.to_vec()), Depth::Whole))).collect()
        })
    }

    /// Has a worker do something; if it fails, why.
    fn with_worker<T>(&self, work: impl Fn(&mut Process) -> Result<T, Failure>) -> Result<T, String> {
        // A worker that died while idle costs a second try; one that died at work does not get one,
        // because the file may be the reason.
        for _ in 0..=self.config.workers {
            let mut worker = self.acquire().map_err(|e| {
                self.ends.count(WorkerEnd::NotStarted);
                format!("no scan worker could be started: {e}")
            })?;
            match work(&mut worker) {
                Ok(done) => {
                    let worn = worker.scans >= self.config.scans_per_worker || worker.busy >= BUSY_LIMIT;
                    if worn {
                        self.ends.count(WorkerEnd::Worn);
                    }
                    self.release((!worn).then_some(worker));
                    return Ok(done);
                }
                Err(failure) => {
                    drop(worker);
                    self.release(None);
                    match failure {
                        Failure::NotBegun => self.ends.count(WorkerEnd::Idle),
                        Failure::Broken(end, text) => {
                            self.ends.count(end);
                            return Err(text);
                        }
                    }
                }
            }
        }
        Err("scan workers end before they take a file".into())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle worker, a new one, or the next that is freed.
    fn acquire(&self) -> io::Result<Process> {
        let mut state = self.state();
        loop {
            if let Some(worker) = state.idle.pop() {
                return Ok(worker);
            }
            if state.live < self.config.workers {
                state.live += 1;
                break;
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        Process::start(&self.config).inspect_err(|_| self.release(None))
    }

    /// Gives a worker back, or only its place.
    fn release(&self, worker: Option<Process>) {
        let mut state = self.state();
        match worker {
            Some(worker) => state.idle.push(worker),
            None => state.live = state.live.saturating_sub(1),
        }
        drop(state);
        self.freed.notify_one();
    }
}

fn only_gap(size: u64, reason: GapReason, detail: impl Into<String>) -> Facts {
    Facts::only_gap(size, Gap { reason, location: Location::default(), length: None, detail: detail.into() })
}
