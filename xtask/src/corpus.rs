//! `cargo xtask corpus DIR`: judges a labelled folder as the gate would, and lists what came out wrong.

use std::path::Path;
use wb_blob::Blob;
use wb_policy::{Action, Context, Policy, Profile, decide};
use wb_recipes::{Outcome, evaluate, labelled};

/// The command. A labelled folder is described at `wb_recipes::labelled`.
pub fn command(args: &[String]) -> Result<(), String> {
    let [dir] = args else { return Err("usage: cargo xtask corpus DIR".into()) };
    let cases = labelled(Path::new(dir)).map_err(|e| e.to_string())?;
    let evaluation = evaluate(&cases, judge).map_err(|e| e.to_string())?;
    say!("{evaluation}");
    if evaluation.passes() { Ok(()) } else { Err(String::new()) }
}

fn judge(name: &str, bytes: Vec<u8>) -> Outcome {
    let facts = wb_scan::scan(&Blob::from_vec(bytes), &wb_scan::Options::default());
    let report = wb_scan::judge(&facts, name, None);
    let today = jiff::Zoned::now().date();
    let context = Context { repo: None, path: name, sha256: None, today, siblings: &[] };
    let decision = decide(&Policy::builtin(Profile::Default), &report, &context);
    Outcome { blocked: decision.effective() == Action::Block, report }
}
