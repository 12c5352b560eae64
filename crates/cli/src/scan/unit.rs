//! A folder or repository as one unit, once all its files are judged.

use super::Outcome;
use std::collections::HashMap;
use wb_policy::{Beside, Decision, Files, Known, Neighbour, gather, hold_against};
use wb_report::FileEntry;
use wb_verdict::Report;

/// Decides again about the files among `kept` that make a loader open others.
///
/// `siblings` are the names of files that are there; `complete` says that no others are. `relative` gives the path of an
/// entry as it stands in `kept`.
pub fn decide_together(
    outcomes: &mut [Outcome],
    kept: &[Neighbour],
    siblings: &[String],
    relative: impl Fn(&FileEntry) -> String,
    complete: bool,
    decide: impl Fn(&str, &Report, &[String], &[Beside]) -> Decision,
) {
    let mut at: HashMap<String, usize> = HashMap::new();
    for (n, entry) in outcomes.iter().enumerate() {
        if let Ok(entry) = entry {
            at.insert(relative(entry), n);
        }
    }
    let files = Files::new(siblings);
    let by_path: HashMap<&str, &Neighbour> = kept.iter().map(|n| (n.path.as_str(), n)).collect();
    for start in kept.iter().filter(|n| n.wants_others()) {
        let get = |path: &str| match by_path.get(path) {
            Some(neighbour) => Some((*neighbour).clone()),
            None => {
                let entry = outcomes.get(*at.get(path)?)?.as_ref().ok()?;
                Some(Neighbour::bare(path, &entry.report, &entry.decision))
            }
        };
        let mut beside = gather(start, &files, get);
        beside.retain(|b| complete || b.known != Known::Missing);
        let Some(Ok(entry)) = at.get(&start.path).and_then(|n| outcomes.get_mut(*n)) else { continue };
        hold_against(&mut entry.report, &start.path, siblings, &beside);
        entry.decision = decide(&start.path, &entry.report, siblings, &beside);
    }
}
