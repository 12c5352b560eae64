//! One file's report as HTML. No script, no link that the file's author could choose.

use crate::printable::{printable, size};
use crate::run::FileEntry;
use askama::Template;
use wb_policy::Action;
use wb_verdict::Verdict;

/// What a page says besides the report itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Page<'a> {
    /// Repository and commit the file was asked for from, readable.
    pub origin: Option<&'a str>,
    /// When the decision was taken, readable.
    pub decided_at: Option<&'a str>,
}

/// A whole page. Safe under `default-src 'none'; style-src 'unsafe-inline'`.
pub fn html_page(entry: &FileEntry, page: Page<'_>) -> String {
    let view = View::new(entry, page);
    render(&PageTemplate { title: format!("{} – weighbridge", view.path), body: html_view(view) })
}

/// The report alone, to be put into a page of one's own.
pub fn html_fragment(entry: &FileEntry, page: Page<'_>) -> String {
    html_view(View::new(entry, page))
}

fn html_view(view: View) -> String {
    render(&FragmentTemplate { v: view })
}

/// Rendering into memory fails only if formatting a field fails, and none of ours can.
fn render(template: &impl Template) -> String {
    template.render().unwrap_or_else(|e| format!("<p>this report cannot be shown: {e}</p>"))
}

#[derive(Template)]
#[template(path = "page.html")]
struct PageTemplate {
    title: String,
    body: String,
}

#[derive(Template)]
#[template(path = "fragment.html")]
struct FragmentTemplate {
    v: View,
}

/// The report with every text made printable; the templates escape for HTML.
struct View {
    path: String,
    origin: Option<String>,
    decided_at: Option<String>,
    action: &'static str,
    headline: String,
    verdict: &'static str,
    reason: Option<&'static str>,
    coverage: &'static str,
    formats: String,
    size: String,
    sha256: Option<String>,
    policy: String,
    clause: String,
    contact: Option<String>,
    findings: Vec<FindingView>,
    gaps: Vec<GapView>,
    others: Vec<(String, String)>,
    exceptions: Vec<String>,
    loaders: Vec<(String, &'static str)>,
    engine: String,
    ruleset: String,
}

struct FindingView {
    class: &'static str,
    message: String,
    evidence: String,
    location: String,
    rule: String,
    title: &'static str,
    why: &'static str,
    fix: &'static str,
    rated: String,
    /// The same threat in lists of others: CWE, ATLAS, PAIT.
    lists: String,
}

struct GapView {
    reason: String,
    location: String,
    detail: String,
}

impl View {
    fn new(entry: &FileEntry, page: Page<'_>) -> Self {
        let FileEntry { report, decision, .. } = entry;
        let headline = match (decision.action, decision.would) {
            (Action::Block, _) => "blocked",
            (Action::Warn, Some(Action::Block)) => "let through under observation; would be blocked",
            (Action::Warn, _) => "let through with a warning",
            (Action::Convert, _) => "to be converted",
            (Action::Allow, _) => "let through",
        };
        let others = decision.reasons.iter().filter(|r| r.rule.is_none() && r.clause != "partial");
        Self {
            path: wb_verdict::escape_bytes(&entry.path),
            origin: page.origin.map(printable),
            decided_at: page.decided_at.map(printable),
            action: decision.action.name(),
            headline: headline.into(),
            verdict: report.verdict.name(),
            reason: report.reason.map(|r| r.name()),
            coverage: report.coverage.name(),
            formats: printable(&report.formats.join(", ")),
            size: size(report.size),
            sha256: report.sha256.clone(),
            policy: printable(&decision.policy),
            clause: printable(&decision.clause),
            contact: decision.contact.as_deref().map(printable),
            findings: report.findings.iter().map(FindingView::new).collect(),
            gaps: report
                .gaps
                .iter()
                .map(|g| GapView {
                    reason: printable(&g.reason.name()),
                    location: printable(&g.location.to_string()),
                    detail: printable(&g.detail),
                })
                .collect(),
            others: others.map(|r| (printable(&r.clause), printable(&r.text))).collect(),
            exceptions: decision.exceptions.iter().map(|e| printable(&e.to_string())).collect(),
            loaders: report.loaders.iter().map(|(name, v)| (printable(name), v.name())).collect(),
            engine: printable(&report.engine),
            ruleset: printable(&report.ruleset),
        }
    }
}

impl FindingView {
    fn new(finding: &wb_verdict::Finding) -> Self {
        let rule = wb_scan::rules::rule(&finding.rule);
        Self {
            class: match finding.verdict {
                Verdict::Malicious => "malicious",
                Verdict::Suspicious => "suspicious",
                Verdict::Unknown => "unknown",
                Verdict::Clean => "clean",
            },
            message: printable(&finding.message),
            evidence: printable(&finding.evidence),
            location: printable(&finding.location.to_string()),
            rule: printable(&finding.rule),
            title: rule.map_or("", |r| r.title),
            why: rule.map_or("", |r| r.why),
            fix: rule.map_or("", |r| r.fix),
            rated: format!("{} severity, {} confidence", finding.severity, finding.confidence),
            lists: rule.map(lists).unwrap_or_default(),
        }
    }
}

/// `CWE-502, AML.T0011.000, PAIT-PKL-100`.
fn lists(rule: &wb_verdict::Rule) -> String {
    let cwe = rule.cwe.map(|n| format!("CWE-{n}"));
    let others = [rule.atlas, rule.pait].into_iter().flatten().map(str::to_string);
    cwe.into_iter().chain(others).collect::<Vec<_>>().join(", ")
}
