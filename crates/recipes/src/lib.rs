//! Hostile and harmless files as readable recipes, built into bytes when a test needs them.
//!
//! The repository holds no hostile binaries: what makes a file hostile is written out in
//! `corpus/<format>/<case>.toml`, where a person can read and change it. Each recipe also describes
//! its benign twin, the same container with harmless content, so that a rule which merely dislikes
//! a container shows.
//!
//! * [`Recipe`] is one such file; [`read_all`] reads a folder of them.
//! * [`assemble`] turns pickle assembler text into a pickle.
//! * [`evaluate`] judges labelled cases with any engine and lists what it got wrong;
//!   [`labelled`] reads a released corpus folder.
#![warn(missing_docs)]

mod asm;
mod build;
mod error;
mod evaluate;
mod labelled;
mod recipe;
mod value;

pub use asm::assemble;
pub use error::Error;
pub use evaluate::{
    Case, Content, Evaluation, Label, Miss, Outcome, Sample, Tally, evaluate, evaluate_together,
};
pub use labelled::{labelled, read_tsv};
pub use recipe::{Expected, Recipe, read_all};
