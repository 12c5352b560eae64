//! Text for people: what, where, why it matters, what to do; the worst first.

use crate::printable::{printable, shortened, size};
use crate::run::{FileEntry, ScanRun};
use wb_policy::Action;
use wb_verdict::{Finding, LoaderVerdict, Report, Verdict};

/// How [`text`] looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextOptions {
    /// ANSI colours; only for a terminal.
    pub color: bool,
    /// List every file and finding, however many there are.
    pub all: bool,
}

/// Allowed files listed by name unless `all` is asked for.
const ALLOWED_LISTED: usize = 20;

/// Findings shown per file unless `all` is asked for.
const FINDINGS_SHOWN: usize = 5;

/// Characters of evidence shown.
const EVIDENCE: usize = 400;

/// A whole scan.
pub fn text(run: &ScanRun, options: TextOptions) -> String {
    let mut out = Out { text: String::new(), options };
    let mut files: Vec<&FileEntry> = run.files.iter().collect();
    // Stable: files of one action stay in order of their paths.
    files.sort_by_key(|f| std::cmp::Reverse(f.decision.effective()));
    let allowed = files.iter().filter(|f| is_quiet(f)).count();
    for file in &files {
        if options.all || !is_quiet(file) || allowed <= ALLOWED_LISTED {
            out.file(file);
        }
    }
    for error in &run.errors {
        let path = wb_verdict::escape_bytes(&error.path);
        out.line(&format!("{} {path}  {}", out.paint("31;1", "ERROR"), printable(&error.message)));
    }
    out.summary(run);
    out.text
}

/// True if nobody needs to look at the file.
fn is_quiet(file: &FileEntry) -> bool {
    file.decision.action == Action::Allow && file.decision.exceptions.is_empty()
}

struct Out {
    text: String,
    options: TextOptions,
}

/// `clean in a, b; malicious in c`: what becomes of the file in each loader.
fn loaders(report: &Report) -> String {
    let mut by_verdict: std::collections::BTreeMap<_, Vec<&str>> = std::collections::BTreeMap::new();
    for (loader, verdict) in &report.loaders {
        by_verdict.entry(*verdict).or_default().push(loader);
    }
    let parts = by_verdict.into_iter().map(|(verdict, names)| match verdict {
        LoaderVerdict::Refuses => format!("refused by {}", names.join(", ")),
        _ => format!("{verdict} in {}", names.join(", ")),
    });
    parts.collect::<Vec<_>>().join("; ")
}

impl Out {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.options.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }

    fn field(&mut self, label: &str, text: &str) {
        let label = self.paint("2", &format!("{label:<8}"));
        self.line(&format!("        {label} {text}"));
    }

    fn file(&mut self, file: &FileEntry) {
        let FileEntry { report, decision, .. } = file;
        let action = match decision.action {
            Action::Block => self.paint("31;1", "BLOCK"),
            Action::Warn => self.paint("33;1", "WARN "),
            Action::Convert => self.paint("36;1", "CONV "),
            Action::Allow => self.paint("32", "allow"),
        };
        let path = self.paint("1", &wb_verdict::escape_bytes(&file.path));
        let formats = match report.formats.is_empty() {
            true => "format not seen".into(),
            false => printable(&report.formats.join("+")),
        };
        self.line(&format!("{action}  {path}  {}  ({formats}, {})", verdict(report), size(report.size)));
        if is_quiet(file) {
            return;
        }
        if decision.would == Some(Action::Block) {
            self.line("      observed only: the default profile blocks this");
        }
        let shown = if self.options.all { usize::MAX } else { FINDINGS_SHOWN };
        for finding in report.findings.iter().take(shown) {
            self.finding(finding);
        }
        if let Some(more) = report.findings.len().checked_sub(shown).filter(|n| *n > 0) {
            self.line(&format!("      and {more} findings more (--all lists them)"));
        }
        for gap in report.gaps.iter().take(shown) {
            let place = place(&gap.location.to_string());
            let text =
                format!("not judged: {} {place}: {}", gap.reason.name(), shortened(&gap.detail, EVIDENCE));
            self.line(&format!("      {}", printable(&text)));
        }
        if let Some(more) = report.gaps.len().checked_sub(shown).filter(|n| *n > 0) {
            self.line(&format!("      and {more} gaps more (--all lists them)"));
        }
        for reason in decision.reasons.iter().filter(|r| r.rule.is_none() && r.clause != "partial") {
            self.line(&format!("      {}: {}", reason.clause, printable(&reason.text)));
        }
        for e in &decision.exceptions {
            let text = format!("exception by {} until {}: {} ({})", e.owner, e.expires, e.reason, e.scope);
            self.line(&format!("      {}", printable(&text)));
        }
        if !report.loaders.is_empty() {
            self.field("loaders", &printable(&loaders(report)));
        }
        self.field("sha256", report.sha256.as_deref().unwrap_or("not hashed (--hash computes it)"));
        if decision.action == Action::Block {
            self.field("decided", &format!("policy {}, clause {}", decision.policy, decision.clause));
            if let Some(contact) = &decision.contact {
                self.field("ask", &printable(contact));
            }
        }
    }

    fn finding(&mut self, finding: &Finding) {
        let code = match finding.verdict {
            Verdict::Malicious => "31",
            Verdict::Suspicious => "33",
            Verdict::Unknown | Verdict::Clean => "0",
        };
        let message = self.paint(code, &shortened(&finding.message, EVIDENCE));
        self.line(&format!("      {message}"));
        if !finding.evidence.is_empty() {
            self.field("what", &shortened(&finding.evidence, EVIDENCE));
        }
        self.field("where", &place(&finding.location.to_string()));
        let rated = format!("{} severity, {} confidence", finding.severity, finding.confidence);
        match wb_scan::rules::rule(&finding.rule) {
            Some(rule) => {
                self.field("rule", &format!("{}: {} ({rated})", rule.id, rule.title));
                self.field("why", rule.why);
                self.field("do", rule.fix);
            }
            None => self.field("rule", &format!("{} ({rated})", printable(&finding.rule))),
        }
    }

    fn summary(&mut self, run: &ScanRun) {
        let counts = |map: &std::collections::BTreeMap<String, u64>| {
            let parts: Vec<String> = map.iter().map(|(name, n)| format!("{n} {name}")).collect();
            parts.join(", ")
        };
        let files = match run.files.len() {
            0 => "no file judged".into(),
            1 => "1 file".to_string(),
            n => format!("{n} files"),
        };
        let mut parts = vec![files];
        if !run.files.is_empty() {
            parts.push(counts(&run.summary.decisions));
            parts.push(counts(&run.summary.verdicts));
        }
        if run.summary.partial > 0 {
            parts.push(format!("{} partly judged", run.summary.partial));
        }
        if !run.errors.is_empty() {
            parts.push(format!("{} unreadable", run.errors.len()));
        }
        parts.push(format!("{} read", size(run.summary.bytes_read)));
        parts.push(format!("policy {}", printable(&run.policy)));
        self.line(&parts.join("; "));
    }
}

fn verdict(report: &Report) -> String {
    match report.reason {
        Some(reason) => format!("{} ({reason})", report.verdict),
        None => report.verdict.to_string(),
    }
}

fn place(location: &str) -> String {
    if location.is_empty() { "the file itself".into() } else { printable(location) }
}
