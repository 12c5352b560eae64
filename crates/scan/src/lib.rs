//! The engine: bytes in, facts out; and the rules that judge facts.
//!
//! ```text
//! scan(blob) -> Facts        depends on the bytes alone
//! judge(facts, name) -> Report   applies the rules; depends on facts, the file's name and the ruleset
//! ```
//! A format is one file in `formats/`, one line in `formats/mod.rs`, one recipe in `corpus/`.
//! A rule is one entry in `rules/`.
#![warn(missing_docs)]

pub mod analyses;
pub mod catalogue;
mod cx;
mod engine;
mod explain;
pub mod formats;
mod judge;
mod loaders;
pub mod rules;

pub use cx::{Cx, Stop};
pub use engine::{Options, scan};
pub use explain::{Explained, Explanation, explain};
pub use judge::{MAX_FINDINGS, RULESET, judge};
