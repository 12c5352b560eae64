//! What a scan of many files came to.

use wb_policy::Decision;
use wb_verdict::{Coverage, ENGINE, Report, Summary, UnknownReason};

/// One judged file.
#[derive(Debug, Clone)]
pub struct FileEntry {
    /// Path as given or found: bytes, because names of files need not be UTF-8. URLs are their text.
    pub path: Vec<u8>,
    /// The verdict and what it rests on.
    pub report: Report,
    /// What the policy makes of it.
    pub decision: Decision,
}

impl FileEntry {
    /// True if the file could not be judged completely, or only recognised.
    pub fn is_unjudged(&self) -> bool {
        self.report.coverage == Coverage::Partial || self.report.reason == Some(UnknownReason::Unsupported)
    }
}

/// A path that could not be judged at all: unreadable, special, a broken link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanError {
    /// Path as given or found.
    pub path: Vec<u8>,
    /// What happened and what to do: lower-case, no trailing dot.
    pub message: String,
}

/// A whole scan.
#[derive(Debug, Clone)]
pub struct ScanRun {
    /// Engine that made the facts.
    pub engine: String,
    /// Version of the rules.
    pub ruleset: String,
    /// Name of the policy.
    pub policy: String,
    /// Judged files, by path.
    pub files: Vec<FileEntry>,
    /// Paths that could not be judged.
    pub errors: Vec<ScanError>,
    /// Counts.
    pub summary: Summary,
}

impl ScanRun {
    /// Sorts the files by path and counts them.
    pub fn new(policy: impl Into<String>, mut files: Vec<FileEntry>, mut errors: Vec<ScanError>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        errors.sort_by(|a, b| a.path.cmp(&b.path));
        let mut summary = Summary { files: files.len() as u64, ..Summary::default() };
        for file in &files {
            *summary.verdicts.entry(file.report.verdict.name().into()).or_default() += 1;
            *summary.decisions.entry(file.decision.action.name().into()).or_default() += 1;
            summary.partial += u64::from(file.report.coverage == Coverage::Partial);
            summary.bytes_read = summary.bytes_read.saturating_add(file.report.bytes_read);
        }
        Self {
            engine: ENGINE.into(),
            ruleset: wb_scan::RULESET.into(),
            policy: policy.into(),
            files,
            errors,
            summary,
        }
    }
}
