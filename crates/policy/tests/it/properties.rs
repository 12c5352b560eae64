//! What holds for every policy and every report.

use super::*;
use proptest::prelude::*;
use proptest::sample::select;
use wb_policy::{Action, Profile};

fn any_finding() -> impl Strategy<Value = Finding> {
    (select(wb_scan::rules::RULES.to_vec()), 0..5usize, 0..3usize, ".{0,12}").prop_map(
        |(rule, s, c, evidence)| {
            let severities =
                [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
            let confidences = [Confidence::Low, Confidence::Medium, Confidence::High];
            Finding { severity: severities[s], confidence: confidences[c], ..finding(rule, &evidence) }
        },
    )
}

fn any_report() -> impl Strategy<Value = Report> {
    let reasons = vec![
        None,
        Some(UnknownReason::UnknownClass),
        Some(UnknownReason::UnknownContent),
        Some(UnknownReason::OptInCode),
        Some(UnknownReason::Unsupported),
        Some(UnknownReason::Partial),
    ];
    let verdicts = vec![Verdict::Clean, Verdict::Unknown, Verdict::Suspicious, Verdict::Malicious];
    let findings = prop::collection::vec(any_finding(), 0..6);
    (findings, select(reasons), select(verdicts), any::<bool>(), any::<bool>()).prop_map(
        |(findings, reason, verdict, cut, hashed)| {
            let mut r = report(findings);
            // Also reports whose verdict and findings do not agree: decide must not be fooled by them.
            r.verdict = r.verdict.max(verdict);
            r.reason = reason;
            if cut {
                r.coverage = Coverage::Partial;
            }
            if !hashed {
                r.sha256 = None;
            }
            r
        },
    )
}

fn any_policy() -> impl Strategy<Value = String> {
    let level = || select(vec!["off", "warn", "block"]);
    let profile = select(vec!["default", "strict", "observe"]);
    let rules =
        prop::collection::btree_map(select(wb_scan::rules::RULES.to_vec()).prop_map(|r| r.id), level(), 0..8);
    let families = prop::collection::btree_map(select(Family::ALL.to_vec()), level(), 0..5);
    let severity = select(vec!["info", "low", "medium", "high", "critical"]);
    let confidence = select(vec!["low", "medium", "high"]);
    let allow = select(vec!["", "allow = []", "allow = [\"*/*\"]", "deny = [\"other/*\"]"]);
    (profile, rules, families, level(), level(), severity, confidence, allow).prop_map(
        |(profile, rules, families, partial, unsupported, severity, confidence, allow)| {
            let rules: String = rules.iter().map(|(id, l)| format!("\"{id}\" = \"{l}\"\n")).collect();
            let families: String = families.iter().map(|(f, l)| format!("{f} = \"{l}\"\n")).collect();
            let repository = exception(&format!(
                "repository = \"acme/bert\"\ncommit = \"{COMMIT}\"\nrules = [{}]",
                wb_scan::rules::RULES.iter().map(|r| format!("\"{}\"", r.id)).collect::<Vec<_>>().join(",")
            ));
            format!(
                "profile = \"{profile}\"\npartial = \"{partial}\"\n[unknown]\nunsupported = \"{unsupported}\"\n\
                 unknown-class = \"off\"\n[rules]\n{rules}{families}[thresholds]\nseverity = \"{severity}\"\n\
                 confidence = \"{confidence}\"\n[models]\n{allow}\n{repository}"
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, rng_seed: proptest::test_runner::RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a policy says short of an exception for the digest, malicious is refused.
    #[test]
    fn malicious_is_never_let_through(text in any_policy(), r in any_report()) {
        let p = policy(&text);
        let decision = decide_in(&p, &r, Some(&repo()), &[]);
        let bad = r.verdict == Verdict::Malicious || r.findings.iter().any(|f| f.verdict == Verdict::Malicious);
        if bad {
            prop_assert_eq!(decision.effective(), Action::Block);
            prop_assert!(decision.because_findings);
            if p.profile() != Profile::Observe {
                prop_assert!(decision.allowed().is_none());
            }
        }
    }

    /// One decision for every report, the same each time; permission exactly for allow and warn of hashed bytes.
    #[test]
    fn decide_is_total_and_repeatable(text in any_policy(), r in any_report()) {
        let p = policy(&text);
        let decision = decide_in(&p, &r, Some(&repo()), &[]);
        prop_assert_eq!(&decision, &decide_in(&p, &r, Some(&repo()), &[]));
        let open = matches!(decision.action, Action::Allow | Action::Warn) && r.sha256.is_some();
        prop_assert_eq!(decision.allowed().is_some(), open);
        prop_assert!(decision.action != Action::Convert);
        prop_assert_eq!(decision.would.is_some(), p.profile() == Profile::Observe);
        prop_assert!(decision.reasons.is_sorted_by_key(|r| std::cmp::Reverse(r.action)));
    }

    /// Observing changes nothing but the outcome: what it would have done is what `default` does.
    #[test]
    fn observe_would_do_what_default_does(r in any_report()) {
        let default = decide_in(&Policy::builtin(Profile::Default), &r, None, &[]);
        let observed = decide_in(&Policy::builtin(Profile::Observe), &r, None, &[]);
        prop_assert_eq!(observed.would, Some(default.action));
        prop_assert!(observed.action <= Action::Warn);
        prop_assert_eq!(observed.because_findings, default.because_findings);
    }

    /// An allow-list only ever makes a decision stricter.
    #[test]
    fn an_allow_list_lifts_nothing(r in any_report(), list in select(vec!["[]", "[\"acme/*\"]", "[\"*/*\"]"])) {
        let with = policy(&format!("[models]\nallow = {list}"));
        let without = policy("");
        let a = decide_in(&with, &r, Some(&repo()), &[]).action;
        prop_assert!(a >= decide_in(&without, &r, Some(&repo()), &[]).action);
    }

    /// No text makes the parser panic.
    #[test]
    fn parsing_is_total(text in "[\\[\\]a-z =\"\\.\n,0-9#é{}'-]{0,80}") {
        let _ = Policy::parse(&text, "p");
    }
}
