//! Differential fuzzing of the pickle machine against CPython's own unpicklers.
//!
//! ```text
//! generate -> stream -+-> recorder (CPython, nothing imported) -> events   \
//!                     +-> machine (wb-pickle) -> events                     > compare
//!                     +-> scanner (wb-scan) -> facts, verdict              /
//! ```
//! What is compared is described in docs/differential-fuzzing.md. [`run`] is the loop, [`self_test`] seeds faults and
//! looks how fast each is found.
#![warn(missing_docs)]

mod check;
mod child;
mod compare;
mod fault;
mod generate;
mod judged;
mod minimise;
mod recorded;
mod resolve;
mod rng;
mod run;
mod sound;
mod standins;
mod told;
mod totals;

pub use compare::Divergence;
pub use run::{Config, Found, Outcome, run, self_test, try_one, version};
pub use totals::Totals;
