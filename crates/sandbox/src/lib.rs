//! Scanning in child processes: descriptor in, size-bounded schema-checked facts out.
//!
//! A parser of hostile files is the part of a gate most likely to be attacked, so it runs where an
//! attacker who owns it has nothing: a child process without environment, tokens, file system or
//! network, whose memory and CPU time are limited, and which can say no more than one fact sheet of
//! bounded size.
//!
//! ```text
//! Pool::scan(Job)  --socket-->  worker: confine(), then for each request wb_scan::scan
//!   file      descriptor passed with SCM_RIGHTS, read by the worker with pread
//!   source    the worker asks for ranges, this process reads them (remote ranges, bytes in memory)
//! ```
//!
//! What a worker has locked before it sees the first byte (see [`confine`]): resource limits, which must
//! be set or the worker ends; no new privileges, not dumpable; on Linux a seccomp allow-list, which must
//! be installed too; and Landlock, which is best effort because older kernels lack it (the seccomp list
//! already holds no call that opens a path).
//!
//! Whatever goes wrong with a worker (death, time, a report that is too large or does not parse) is a gap
//! with [`wb_verdict::GapReason::Worker`], never a clean sheet, and never kept as final.
#![warn(missing_docs)]

mod batch;
mod confine;
mod ends;
mod fork;
mod pool;
mod process;
mod wire;
mod worker;

pub use batch::Batch;
pub use confine::{MEMORY_HEADROOM, confine};
pub use ends::WorkerEnd;
pub use fork::{Forked, fork_children, fork_workers, peek_arguments};
pub use pool::{Job, Pool, PoolConfig};
pub use worker::{serve, serve_on, worker_main};
