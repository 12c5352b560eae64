//! Scanning in child processes: descriptor in, size-bounded schema-checked facts out.
#![warn(missing_docs)]

mod pool;
mod worker;

pub use pool::{Job, Pool, PoolConfig};
pub use worker::worker_main;
