//! `cargo xtask corpus DIR`: judges a labelled folder as the gate would, and lists what came out wrong.

use std::path::Path;
use wb_blob::Blob;
use wb_policy::{
    Action, Beside, Context, Decision, Files, Neighbour, Policy, Profile, decide, gather, hold_against,
};
use wb_recipes::{Outcome, evaluate_together, labelled};
use wb_verdict::Report;

/// The command. A labelled folder is described at `wb_recipes::labelled`.
pub fn command(args: &[String]) -> Result<(), String> {
    let [dir] = args else { return Err("usage: cargo xtask corpus DIR".into()) };
    let cases = labelled(Path::new(dir)).map_err(|e| e.to_string())?;
    let evaluation = evaluate_together(&cases, judge).map_err(|e| e.to_string())?;
    say!("{evaluation}");
    if evaluation.passes() { Ok(()) } else { Err(String::new()) }
}

/// All files of a case as one folder: what a file makes its loader open is held against the files beside it.
fn judge(files: Vec<(String, Vec<u8>)>) -> Vec<Outcome> {
    let today = jiff::Zoned::now().date();
    let policy = Policy::builtin(Profile::Default);
    let siblings: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    let decided = |path: &str, report: &Report, beside: &[Beside]| -> Decision {
        let context = Context { repo: None, path, sha256: None, today, siblings: &siblings, beside };
        decide(&policy, report, &context)
    };
    let mut judged: Vec<(Neighbour, Report)> = Vec::new();
    for (name, bytes) in files {
        let facts = wb_scan::scan(&Blob::from_vec(bytes), &wb_scan::Options::default());
        let report = wb_scan::judge(&facts, &name, None);
        let decision = decided(&name, &report, &[]);
        judged.push((Neighbour::of(&name, &facts, &report, &decision), report));
    }
    let list = Files::new(&siblings);
    let get = |path: &str| judged.iter().find(|(n, _)| n.path == path).map(|(n, _)| n.clone());
    let outcome = |(start, report): &(Neighbour, Report)| {
        let beside = gather(start, &list, get);
        let mut report = report.clone();
        hold_against(&mut report, &start.path, &siblings, &beside);
        let decision = decided(&start.path, &report, &beside);
        Outcome { blocked: decision.effective() == Action::Block, report }
    };
    judged.iter().map(outcome).collect()
}
