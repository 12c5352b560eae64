//! From outcomes to the exit code.

use std::process::ExitCode;
use wb_policy::Action;
use wb_report::{FileEntry, ScanRun};

/// 1 if any decision is block because of findings (with `warn`, also if any is a warning); else 2 if any
/// file is partial, unreadable, timed out or unsupported; else 3 if no file was judged; else 0. Under
/// `observe` what would have been decided counts.
pub fn code(run: &ScanRun, warn: bool) -> ExitCode {
    ExitCode::from(number(run, warn))
}

fn number(run: &ScanRun, warn: bool) -> u8 {
    let fails = |f: &FileEntry| match f.decision.effective() {
        Action::Block => f.decision.because_findings,
        Action::Warn | Action::Convert => warn,
        Action::Allow => false,
    };
    if run.files.iter().any(fails) {
        1
    } else if !run.errors.is_empty() || run.files.iter().any(FileEntry::is_unjudged) {
        2
    } else if run.files.is_empty() {
        3
    } else {
        0
    }
}
