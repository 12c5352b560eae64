//! Facts -> report, by the rules.

use wb_verdict::{Facts, Report};

/// Version of the rules.
pub const RULESET: &str = "2026.11.1";

/// Judges a fact sheet. `name` is the path under which the file is asked for: the same bytes may be
/// harmless as `notes.txt` and code as `handler.py`.
pub fn judge(facts: &Facts, name: &str, sha256: Option<String>) -> Report {
    let _ = (facts, name, sha256);
    todo!("written by the owner of judge.rs")
}
