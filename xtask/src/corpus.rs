//! `cargo xtask corpus DIR`: judges a labelled folder as the gate would, and lists what came out wrong.

use std::path::Path;
use wb_blob::Blob;
use wb_policy::{Action, CodeBeside, Context, Policy, Profile, decide, hold_against};
use wb_recipes::{Outcome, evaluate_together, labelled};

/// The command. A labelled folder is described at `wb_recipes::labelled`.
pub fn command(args: &[String]) -> Result<(), String> {
    let [dir] = args else { return Err("usage: cargo xtask corpus DIR".into()) };
    let cases = labelled(Path::new(dir)).map_err(|e| e.to_string())?;
    let evaluation = evaluate_together(&cases, judge).map_err(|e| e.to_string())?;
    say!("{evaluation}");
    if evaluation.passes() { Ok(()) } else { Err(String::new()) }
}

/// All files of a case as one folder: what a configuration names is held against the files beside it.
fn judge(files: Vec<(String, Vec<u8>)>) -> Vec<Outcome> {
    let today = jiff::Zoned::now().date();
    let siblings: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    let mut code = Vec::new();
    let mut reports = Vec::new();
    for (name, bytes) in files {
        let facts = wb_scan::scan(&Blob::from_vec(bytes), &wb_scan::Options::default());
        let report = wb_scan::judge(&facts, &name, None);
        code.extend(CodeBeside::of(&name, &facts, &report));
        reports.push((name, report));
    }
    let policy = Policy::builtin(Profile::Default);
    let decided = |(name, mut report): (String, _)| {
        hold_against(&mut report, &name, &siblings, &code);
        let context =
            Context { repo: None, path: &name, sha256: None, today, siblings: &siblings, code: &code };
        let decision = decide(&policy, &report, &context);
        Outcome { blocked: decision.effective() == Action::Block, report }
    };
    reports.into_iter().map(decided).collect()
}
