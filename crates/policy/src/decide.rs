//! Report and context to decision.

use crate::beside::{code_beside, folder, module_beside};
use crate::code;
use crate::context::Context;
use crate::decision::{Action, AllowedBlob, AppliedException, Decision, Reason};
use crate::exception::{Exception, Scope};
use crate::own;
use crate::policy::{Level, Policy, Profile};
use crate::unit::{Known, Link};
use wb_scan::{MAX_FINDINGS, rules::unknown_reason};
use wb_verdict::{CallClass, Coverage, Family, Finding, Report, UnknownReason, Verdict, escape};

/// Extensions of formats that hold tensors and nothing that runs.
const SAFE_EXTENSIONS: [&str; 2] = [".safetensors", ".gguf"];

/// Prefixes of the ids of formats whose loaders unpickle.
const PICKLE_FORMATS: [&str; 4] = ["pickle", "pytorch", "torch", "joblib"];

/// Formats that are zip archives by definition: who approves one has approved its zip reading.
const ZIPS: [&str; 8] = [
    "pytorch-zip",
    "torchscript",
    "torch-package",
    "torch-export",
    "torchserve-mar",
    "npz",
    "keras-zip",
    "skops",
];

/// Causes kept in a decision; the strictest come first.
const MAX_REASONS: usize = 64;

/// Clauses that are not because of findings: the file could not be judged.
const PARTIAL: &str = "partial";
const UNSUPPORTED: &str = "unknown.unsupported";
const PICKLE_BESIDE_SAFE: &str = "pickle_beside_safe_format";
const UNIT_PARTIAL: &str = "repository.partial";

/// The clause of findings about code of the repository that another of its files holds.
const CODE: &str = "code_in_repository";

/// Decides about one file. Pure and total: every report under every policy has exactly one decision.
///
/// Bytes can be released (see [`Decision::allowed`]) only if the action is allow or warn and report and
/// context carry the same SHA-256, so a report of one file never releases another.
pub fn decide(policy: &Policy, report: &Report, context: &Context<'_>) -> Decision {
    let mut judge =
        Judge { policy, report, context, reasons: Vec::new(), softened: false, applied: Vec::new() };
    let mismatch =
        matches!((&report.sha256, context.sha256), (Some(a), Some(b)) if !a.eq_ignore_ascii_case(b));
    judge.lists();
    judge.content();
    judge.unit();
    judge.finish(mismatch)
}

struct Judge<'a> {
    policy: &'a Policy,
    report: &'a Report,
    context: &'a Context<'a>,
    /// In order of precedence.
    reasons: Vec<Reason>,
    /// Some finding counts for less than the profile would have it.
    softened: bool,
    applied: Vec<AppliedException>,
}

impl<'a> Judge<'a> {
    fn reason(&mut self, level: Level, clause: impl Into<String>, text: impl Into<String>) {
        let Some(action) = action(level) else { return };
        self.reasons.push(Reason {
            action,
            clause: clause.into(),
            rule: None,
            location: String::new(),
            text: text.into(),
            evidence: String::new(),
        });
    }

    fn finding(&mut self, level: Level, clause: impl Into<String>, finding: &Finding) {
        let Some(action) = action(level) else { return };
        self.reasons.push(Reason {
            action,
            clause: clause.into(),
            rule: Some(finding.rule.clone()),
            location: finding.location.to_string(),
            text: finding.message.clone(),
            evidence: finding.evidence.clone(),
        });
    }

    /// Deny lists, then allow-lists. Files on disk have no repository and are not restricted.
    fn lists(&mut self) {
        let Some(repo) = self.context.repo else { return };
        let policy = self.policy;
        let organisation = repo.organisation().unwrap_or("");
        let full = format!("{}/{}", repo.kind.plural(), repo.id);
        let is_model = |set: &globset::GlobSet| set.is_match(&repo.id) || set.is_match(&full);
        let shown = escape(&repo.id);
        if policy.organisations.deny.is_match(organisation) {
            self.reason(Level::Block, "organisations.deny", format!("the organisation of {shown} is denied"));
        }
        if is_model(&policy.models.deny) {
            self.reason(Level::Block, "models.deny", format!("{shown} is denied"));
        }
        if policy.organisations.allow.as_ref().is_some_and(|set| !set.is_match(organisation)) {
            let text = format!("the organisation of {shown} is not among those allowed");
            self.reason(Level::Block, "organisations.allow", text);
        }
        if policy.models.allow.as_ref().is_some_and(|set| !is_model(set)) {
            self.reason(Level::Block, "models.allow", format!("{shown} is not among the models allowed"));
        }
    }

    /// Everything that follows from the bytes, in order of precedence.
    fn content(&mut self) {
        let context = self.context;
        let active: Vec<&Exception> = self
            .policy
            .exceptions
            .iter()
            .filter(|e| e.holds_on(context.today) && e.covers(context.sha256, context.repo))
            .collect();
        let everything =
            active.iter().find(|e| matches!(e.scope, Scope::Sha256(_)) && e.rules.is_empty()).copied();
        if let Some(exception) = everything {
            let before = self.reasons.len();
            self.judge_content(&[]);
            if self.reasons.len() > before {
                self.reasons.truncate(before);
                self.applied.push(AppliedException::new(exception, Vec::new()));
            }
            return;
        }
        self.judge_content(&active);
    }

    fn judge_content(&mut self, active: &[&Exception]) {
        let report = self.report;
        let (lifted, findings): (Vec<&Finding>, Vec<&Finding>) =
            report.findings.iter().partition(|f| active.iter().any(|e| lifts(e, f)));
        self.softened |= !lifted.is_empty();
        self.record(active, &lifted);
        let of = |v: Verdict| findings.iter().copied().filter(move |f| f.verdict == v);

        for f in of(Verdict::Malicious) {
            self.finding(Level::Block, "malicious", f);
        }
        if !found(report, Verdict::Malicious) && report.verdict == Verdict::Malicious {
            self.reason(Level::Block, "malicious", "the file is malicious");
        }
        self.partial();
        let unsupported = |f: &&Finding| unknown_reason(&f.rule) == UnknownReason::Unsupported;
        for f in of(Verdict::Unknown).filter(unsupported) {
            let level =
                self.unknown_level(UnknownReason::Unsupported).max(self.rule_level(f).unwrap_or(Level::Off));
            self.finding(level, UNSUPPORTED, f);
        }
        self.unknown_without_finding();
        for f in of(Verdict::Unknown).filter(|f| !unsupported(f)) {
            self.unknown(f);
        }
        for f in of(Verdict::Suspicious) {
            self.suspicious(f);
        }
        if !found(report, Verdict::Suspicious) && report.verdict == Verdict::Suspicious {
            self.reason(Level::Block, "suspicious", "the file is suspicious");
        }
        for f in of(Verdict::Clean) {
            // A credential in a file is no danger to who loads it, and worth a word to them.
            let secret = (f.family == Family::Secret).then_some(Level::Warn);
            match self.rule_level(f) {
                Some(level) => self.finding(level, self.rule_clause(f), f),
                None => self.finding(secret.unwrap_or(Level::Off), "secret", f),
            }
        }
        self.unlisted();
        self.formats();
        self.pickle_beside_safe();
    }

    /// A report lists so many findings and counts the rest. What lifts or softens those listed must not
    /// lift one that is not listed with them.
    fn unlisted(&mut self) {
        if self.softened && self.report.findings.len() > MAX_FINDINGS {
            let text = "more findings than are listed: what the policy makes of some cannot be known for all";
            self.reason(Level::Block, "unlisted-findings", text);
        }
    }

    fn record(&mut self, active: &[&Exception], lifted: &[&Finding]) {
        for exception in active {
            let mut rules: Vec<String> =
                lifted.iter().filter(|f| lifts(exception, f)).map(|f| f.rule.clone()).collect();
            rules.sort();
            rules.dedup();
            if !rules.is_empty() {
                self.applied.push(AppliedException::new(exception, rules));
            }
        }
    }

    fn partial(&mut self) {
        let report = self.report;
        let partial = report.coverage == Coverage::Partial
            || !report.gaps.is_empty()
            || report.reason == Some(UnknownReason::Partial);
        if !partial {
            return;
        }
        let text = match report.gaps.first() {
            Some(gap) => {
                let more = match report.gaps.len() - 1 {
                    0 => String::new(),
                    n => format!(" (and {n} more)"),
                };
                format!("not judged completely: {}: {}{more}", gap.reason.name(), gap.detail)
            }
            None => "not judged completely".into(),
        };
        self.reason(self.unknown_level(UnknownReason::Partial), PARTIAL, text);
    }

    /// An unknown verdict whose reason no finding carries.
    fn unknown_without_finding(&mut self) {
        let report = self.report;
        if report.verdict != Verdict::Unknown {
            return;
        }
        let reason = report.reason.unwrap_or(UnknownReason::Unsupported);
        let carried = |f: &Finding| f.verdict == Verdict::Unknown && unknown_reason(&f.rule) == reason;
        if reason == UnknownReason::Partial || report.findings.iter().any(carried) {
            return;
        }
        let text = match reason {
            UnknownReason::UnknownClass => "rebuilds a class of no catalogued distribution",
            UnknownReason::UnknownContent => "no catalogued loader opens this content",
            UnknownReason::OptInCode => "code that runs only when a user passes a trust flag",
            UnknownReason::Unsupported | UnknownReason::Partial => "a format that this build cannot judge",
        };
        self.reason(self.unknown_level(reason), format!("unknown.{reason}"), text);
    }

    /// A name that an import would find in a file of the same repository: no package vouches for that.
    fn is_supplied(&mut self, f: &Finding) -> bool {
        let Some(call) = f.call.as_ref().filter(|c| c.class == CallClass::Unknown) else { return false };
        let Some(file) = module_beside(&call.module, self.context.path, self.context.siblings) else {
            return false;
        };
        let text = format!("{}; {} of the same repository is what it imports", f.message, escape(file));
        self.finding(Level::Block, "module_in_repository", f);
        if let Some(last) = self.reasons.last_mut() {
            last.text = text;
        }
        true
    }

    /// What the files mean that this one makes its loader open. No exception for this file's digest speaks for another
    /// one; an exception for the other one is in its own decision already.
    fn unit(&mut self) {
        let path = self.context.path;
        let mut missing = Vec::new();
        for beside in self.context.beside {
            if beside.known == Known::Missing && beside.need.link == Link::Takes {
                missing.push(&beside.need.place);
            }
            let Some(objection) = beside.objection(path) else { continue };
            if self.reasons.iter().any(|r| r.clause == CODE && r.text.ends_with(&objection.text)) {
                continue;
            }
            match objection.because_findings {
                true => self.reason(Level::Block, "repository", objection.text),
                false => {
                    self.reason(self.unknown_level(UnknownReason::Partial), UNIT_PARTIAL, objection.text);
                }
            }
        }
        if let Some(first) = missing.first() {
            let more = match missing.len() {
                1 => String::new(),
                n => format!(" (and {} more)", n - 1),
            };
            let text = format!("names {first}{more}, which the repository does not have: loading it fails");
            self.reason(Level::Warn, "repository.missing", text);
        }
    }

    /// A name of code in the same repository, where the file lies beside the configuration: what was found in the file
    /// decides, and a library that would import any installed package of that name finds this one.
    fn is_beside(&mut self, f: &Finding) -> bool {
        let Some(names) = &f.names else { return false };
        let Context { path, siblings, beside, .. } = *self.context;
        if code_beside(&names.module, path, siblings).is_none() {
            return false;
        }
        if let Some(objection) = code::objection(f, path, siblings, beside) {
            // What could not be judged is told by `unit`, as such.
            if objection.because_findings {
                self.finding(Level::Block, CODE, f);
                if let Some(last) = self.reasons.last_mut().filter(|r| !r.text.ends_with(&objection.text)) {
                    last.text = format!("{}; {}", last.text, objection.text);
                }
                return true;
            }
        }
        if f.verdict != Verdict::Suspicious || self.rule_level(f).is_some() {
            return false;
        }
        self.softened = true;
        self.finding(self.unknown_level(UnknownReason::OptInCode), "unknown.opt-in-code", f);
        true
    }

    fn unknown(&mut self, f: &Finding) {
        if self.is_supplied(f) || self.is_beside(f) {
            return;
        }
        let reason = unknown_reason(&f.rule);
        if self.is_vouched_for(f) {
            self.softened = true;
            return;
        }
        self.softened |= self.rule_level(f).is_some_and(|level| level < self.unknown_level(reason));
        match self.rule_level(f) {
            Some(level) => self.finding(level, self.rule_clause(f), f),
            None => self.finding(self.unknown_level(reason), format!("unknown.{reason}"), f),
        }
    }

    fn suspicious(&mut self, f: &Finding) {
        if self.is_supplied(f) || self.is_beside(f) {
            return;
        }
        if self.is_vouched_for(f) {
            self.softened = true;
            return;
        }
        let below = f.severity < self.policy.severity || f.confidence < self.policy.confidence;
        self.softened |= self.rule_level(f).map_or(below, |level| level < Level::Block);
        match self.rule_level(f) {
            Some(level) => self.finding(level, self.rule_clause(f), f),
            None if f.severity < self.policy.severity => self.finding(Level::Warn, "thresholds.severity", f),
            None if f.confidence < self.policy.confidence => {
                self.finding(Level::Warn, "thresholds.confidence", f);
            }
            None => self.finding(Level::Block, "suspicious", f),
        }
    }

    fn formats(&mut self) {
        let Some(approved) = &self.policy.formats else { return };
        let formats = &self.report.formats;
        let approves = |f: &String| approved.is_match(f);
        let implied = |generic: &String| match generic.as_str() {
            "zip" => formats.iter().any(|f| ZIPS.contains(&f.as_str()) && approves(f)),
            "tar" => formats.iter().any(|f| f == "pytorch-tar" && approves(f)),
            "text" => formats.iter().any(|f| f != "text" && approves(f)),
            _ => false,
        };
        let odd = formats.iter().find(|f| !approves(f) && !implied(f));
        if let Some(format) = odd.map(String::as_str).or(formats.is_empty().then_some("unrecognised")) {
            let format = escape(format);
            self.reason(Level::Block, "approved_formats", format!("format {format} is not approved"));
        }
    }

    /// A file of tensors alone in the folder of a pickle: the one that loaders pick where they are not told otherwise.
    fn safe_beside(&self) -> Option<&'a str> {
        let pickles = |f: &String| PICKLE_FORMATS.iter().any(|p| f.starts_with(p));
        if !self.report.formats.iter().any(pickles) {
            return None;
        }
        let here = folder(self.context.path);
        let safe = |s: &&str| {
            folder(s) == here && SAFE_EXTENSIONS.iter().any(|e| s.to_ascii_lowercase().ends_with(e))
        };
        self.context.siblings.iter().map(String::as_str).find(safe)
    }

    fn pickle_beside_safe(&mut self) {
        if self.policy.pickle_beside_safe == Level::Off {
            return;
        }
        if let Some(safe) = self.safe_beside() {
            let text = format!("a pickle, and {} lies beside it: use that", escape(safe));
            self.reason(self.policy.pickle_beside_safe, PICKLE_BESIDE_SAFE, text);
        }
    }

    fn unknown_level(&self, reason: UnknownReason) -> Level {
        self.policy.unknown.get(&reason).copied().unwrap_or(Level::Block)
    }

    /// A rule's own key wins over its family's.
    fn rule_level(&self, f: &Finding) -> Option<Level> {
        let rules = &self.policy.rules;
        rules.get(&f.rule).or_else(|| rules.get(f.family.name())).copied()
    }

    fn rule_clause(&self, f: &Finding) -> String {
        let own = self.policy.rules.contains_key(&f.rule);
        format!("rules.{}", if own { f.rule.as_str() } else { f.family.name() })
    }

    /// True if the policy itself vouches for the use that a finding is about.
    fn is_vouched_for(&self, f: &Finding) -> bool {
        own::admits(&self.policy.catalogue, &self.policy.trusted_packages, f)
    }

    fn finish(self, mismatch: bool) -> Decision {
        let safe = self.safe_beside();
        let Self { policy, report, context, mut reasons, applied, .. } = self;
        reasons.sort_by_key(|r| std::cmp::Reverse(r.action));
        if let (Some(first), Some(safe)) = (reasons.first_mut().filter(|r| r.action == Action::Block), safe)
            && first.clause != PICKLE_BESIDE_SAFE
        {
            first
                .text
                .push_str(&format!("; {} lies beside it, which loaders take if asked for", escape(safe)));
        }
        let wanted = reasons.first().map_or(Action::Allow, |r| r.action);
        let mut clause = reasons.first().map_or_else(|| "allow".to_string(), |r| r.clause.clone());
        if wanted == Action::Allow && !applied.is_empty() {
            clause = "exceptions".into();
        }
        let because_findings = reasons.iter().any(|r| {
            r.action == Action::Block && ![PARTIAL, UNSUPPORTED, UNIT_PARTIAL].contains(&&r.clause[..])
        });
        reasons.truncate(MAX_REASONS);
        let observing = policy.profile == Profile::Observe;
        let mut action = if observing && wanted == Action::Block { Action::Warn } else { wanted };
        if mismatch {
            // Not a matter of policy: the report is of other bytes.
            action = Action::Block;
            clause = "digest-mismatch".into();
        }
        let digest = context.sha256.filter(|d| {
            report.sha256.as_deref().is_some_and(|r| r.eq_ignore_ascii_case(d))
                && d.len() == 64
                && d.bytes().all(|b| b.is_ascii_hexdigit())
        });
        let permission = match (action, digest) {
            (Action::Allow | Action::Warn, Some(digest)) => {
                Some(AllowedBlob { sha256: digest.to_ascii_lowercase(), action, clause: clause.clone() })
            }
            _ => None,
        };
        Decision {
            action,
            because_findings: because_findings || mismatch,
            clause,
            reasons,
            would: observing.then_some(if mismatch { Action::Block } else { wanted }),
            exceptions: applied,
            policy: policy.name.clone(),
            contact: policy.contact.clone(),
            permission,
        }
    }
}

fn action(level: Level) -> Option<Action> {
    match level {
        Level::Off => None,
        Level::Warn => Some(Action::Warn),
        Level::Block => Some(Action::Block),
    }
}

fn found(report: &Report, verdict: Verdict) -> bool {
    report.findings.iter().any(|f| f.verdict == verdict)
}

/// A repository exception never lifts a malicious finding; one for the exact digest may.
fn lifts(exception: &Exception, finding: &Finding) -> bool {
    exception.rules.contains(&finding.rule)
        && (matches!(exception.scope, Scope::Sha256(_)) || finding.verdict != Verdict::Malicious)
}
