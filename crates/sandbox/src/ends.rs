//! Why workers end, counted: one that dies now and then is a file's doing, many are the machine's.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a worker ended, or did not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerEnd {
    /// It ended while it scanned: a signal, a resource limit, memory.
    Died,
    /// It took longer than the wall-clock guard allows.
    Timeout,
    /// It answered something that is no report about its job.
    BadReport,
    /// It reported that it failed.
    Fault,
    /// It was gone before it was given a job.
    Idle,
    /// It had done its share and was replaced.
    Worn,
    /// It could not be started.
    NotStarted,
}

impl WorkerEnd {
    /// All reasons.
    pub const ALL: [Self; 7] =
        [Self::Died, Self::Timeout, Self::BadReport, Self::Fault, Self::Idle, Self::Worn, Self::NotStarted];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Died => "died",
            Self::Timeout => "timeout",
            Self::BadReport => "bad-report",
            Self::Fault => "fault",
            Self::Idle => "idle",
            Self::Worn => "worn",
            Self::NotStarted => "not-started",
        }
    }
}

/// Counts by reason.
#[derive(Debug, Default)]
pub(crate) struct Ends([AtomicU64; WorkerEnd::ALL.len()]);

impl Ends {
    pub fn count(&self, end: WorkerEnd) {
        if let Some(counter) = self.0.get(end as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn get(&self) -> [(WorkerEnd, u64); WorkerEnd::ALL.len()] {
        WorkerEnd::ALL.map(|end| (end, self.0.get(end as usize).map_or(0, |n| n.load(Ordering::Relaxed))))
    }
}
