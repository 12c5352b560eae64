//! The vocabulary of Weighbridge: facts, findings, verdicts, reports.
//!
//! *Facts* say what a file holds and what loading it would do. They depend on the bytes alone.
//! *Rules* turn facts into [`Finding`]s and a [`Verdict`]; *policy* turns a [`Report`] into a
//! decision. This crate holds the words, not the logic.
#![warn(missing_docs)]

mod escape;
mod fact;
mod report;
mod rule;

pub use escape::{escape, escape_bytes, escape_to};
pub use fact::{CallClass, Depth, Effect, Fact, FactKind, Facts, Gap, GapReason, How, Location};
pub use report::{
    CallUse, Confidence, Coverage, Finding, LoaderVerdict, OwnCode, Report, Severity, Summary, UnknownReason,
    Verdict,
};
pub use rule::{Family, Rule};

/// Version of the engine (the code that makes facts). Part of the key of kept facts.
pub const ENGINE: &str = concat!("weighbridge ", env!("CARGO_PKG_VERSION"));
