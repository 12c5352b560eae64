//! The engine under test, as the gate runs it: scan, judge, decide by the default policy.

use std::path::{Path, PathBuf};
use wb_blob::Blob;
use wb_policy::{Action, Context, Policy, Profile, decide};
use wb_recipes::Outcome;

/// Judges bytes under a name.
pub fn engine(name: &str, bytes: Vec<u8>) -> Outcome {
    let facts = wb_scan::scan(&Blob::from_vec(bytes), &wb_scan::Options::default());
    let report = wb_scan::judge(&facts, name, None);
    let context = Context {
        repo: None,
        path: name,
        sha256: None,
        today: jiff::civil::date(2026, 11, 1),
        siblings: &[],
        beside: &[],
    };
    let decision = decide(&Policy::builtin(Profile::Default), &report, &context);
    Outcome { blocked: decision.effective() == Action::Block, report }
}

/// The repository's `corpus/`.
pub fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpus")
}
