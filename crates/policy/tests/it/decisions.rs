//! What is decided, clause by clause.

use super::*;
use wb_policy::{Action, Profile};
use wb_verdict::{CallClass, How};

#[test]
fn the_profiles() {
    let cases: [(Report, [Action; 3]); 8] = [
        (report(vec![]), [Action::Allow; 3]),
        (report(vec![malicious()]), [Action::Block, Action::Block, Action::Warn]),
        (report(vec![suspicious()]), [Action::Block, Action::Block, Action::Warn]),
        (report(vec![carries_code()]), [Action::Block, Action::Block, Action::Warn]),
        (partial(report(vec![])), [Action::Block, Action::Block, Action::Warn]),
        (report(vec![of_reason(UnknownReason::Unsupported)]), [Action::Block, Action::Block, Action::Warn]),
        (report(vec![unknown_class("x.Y()")]), [Action::Warn, Action::Block, Action::Warn]),
        (report(vec![of_reason(UnknownReason::UnknownContent)]), [Action::Warn, Action::Block, Action::Warn]),
    ];
    for (report, wanted) in cases {
        for (profile, action) in Profile::ALL.into_iter().zip(wanted) {
            let decision = decide_in(&Policy::builtin(profile), &report, None, &[]);
            assert_eq!(decision.action, action, "{} {:?}", profile.name(), report.findings);
            assert_eq!(decision.allowed().is_some(), action != Action::Block);
        }
    }
}

#[test]
fn opt_in_code_without_a_finding_follows_its_key() {
    let mut r = report(vec![]);
    (r.verdict, r.reason) = (Verdict::Unknown, Some(UnknownReason::OptInCode));
    assert_eq!(decide_on("", &r).clause, "unknown.opt-in-code");
    assert_eq!(decide_on("[unknown]\nopt-in-code = \"block\"", &r).action, Action::Block);
    assert_eq!(decide_on("[unknown]\nopt-in-code = \"off\"", &r).action, Action::Allow);
}

#[test]
fn observe_says_what_would_have_been() {
    let observe = Policy::builtin(Profile::Observe);
    let bad = decide_in(&observe, &report(vec![malicious()]), None, &[]);
    assert_eq!((bad.action, bad.would, bad.effective()), (Action::Warn, Some(Action::Block), Action::Block));
    assert!(bad.because_findings);
    let good = decide_in(&observe, &report(vec![]), None, &[]);
    assert_eq!((good.action, good.would), (Action::Allow, Some(Action::Allow)));
    assert_eq!(decide_on("", &report(vec![])).would, None);
}

#[test]
fn only_what_could_not_be_judged_is_not_because_of_findings() {
    assert!(!decide_on("", &partial(report(vec![]))).because_findings);
    assert!(!decide_on("", &report(vec![of_reason(UnknownReason::Unsupported)])).because_findings);
    assert!(decide_on("", &partial(report(vec![suspicious()]))).because_findings);
    assert!(decide_on("profile = \"strict\"", &report(vec![unknown_class("x.Y()")])).because_findings);
    assert!(!decide_on("", &report(vec![])).because_findings);
}

#[test]
fn no_rule_key_softens_a_malicious_finding() {
    for level in ["off", "warn"] {
        let all: String =
            wb_scan::rules::RULES.iter().map(|r| format!("\"{}\" = \"{level}\"\n", r.id)).collect();
        let families: String = Family::ALL.iter().map(|f| format!("{f} = \"{level}\"\n")).collect();
        let decision = decide_on(&format!("[rules]\n{all}{families}"), &report(vec![malicious()]));
        assert_eq!((decision.action, decision.clause.as_str()), (Action::Block, "malicious"));
    }
}

#[test]
fn a_malicious_report_without_its_finding_is_blocked_all_the_same() {
    let mut r = report(vec![]);
    r.verdict = Verdict::Malicious;
    assert_eq!(decide_on("", &r).action, Action::Block);
    r.verdict = Verdict::Suspicious;
    assert_eq!(decide_on("", &r).action, Action::Block);
}

#[test]
fn rule_and_family_keys() {
    let r = report(vec![carries_code()]);
    assert_eq!(decide_on("[rules]\ncarries-code = \"warn\"", &r).action, Action::Warn);
    assert_eq!(decide_on("[rules]\ncarries-code = \"off\"", &r).action, Action::Allow);
    // The rule's own key wins over its family's.
    let id = &r.findings[0].rule;
    let both = format!("[rules]\ncarries-code = \"off\"\n\"{id}\" = \"block\"");
    let decision = decide_on(&both, &r);
    assert_eq!((decision.action, decision.clause), (Action::Block, format!("rules.{id}")));
}

#[test]
fn a_rule_key_does_not_soften_unsupported_but_can_sharpen_it() {
    let r = report(vec![of_reason(UnknownReason::Unsupported)]);
    assert_eq!(decide_on("[rules]\nunsupported = \"off\"", &r).action, Action::Block);
    assert_eq!(decide_on("[unknown]\nunsupported = \"warn\"", &r).action, Action::Warn);
    let both = "[unknown]\nunsupported = \"off\"\n[rules]\nunsupported = \"block\"";
    assert_eq!(decide_on(both, &r).action, Action::Block);
}

#[test]
fn thresholds_turn_a_block_into_a_warning_but_not_for_malicious() {
    let mut weak = suspicious();
    (weak.severity, weak.confidence) = (Severity::Low, Confidence::High);
    let text = "[thresholds]\nseverity = \"medium\"";
    assert_eq!(decide_on(text, &report(vec![weak.clone()])).clause, "thresholds.severity");
    assert_eq!(decide_on(text, &report(vec![weak])).action, Action::Warn);
    let mut unsure = suspicious();
    unsure.confidence = Confidence::Low;
    let text = "[thresholds]\nconfidence = \"high\"";
    assert_eq!(decide_on(text, &report(vec![unsure])).action, Action::Warn);
    let mut bad = malicious();
    (bad.severity, bad.confidence) = (Severity::Info, Confidence::Low);
    let text = "[thresholds]\nseverity = \"critical\"\nconfidence = \"high\"";
    assert_eq!(decide_on(text, &report(vec![bad])).action, Action::Block);
}

#[test]
fn deny_lists_win_and_allow_lists_lift_nothing() {
    let clean = report(vec![]);
    assert_eq!(decide_on("[organisations]\ndeny = [\"acme\"]", &clean).clause, "organisations.deny");
    assert_eq!(decide_on("[models]\ndeny = [\"*/BERT\"]", &clean).clause, "models.deny");
    assert_eq!(decide_on("[models]\ndeny = [\"datasets/*/*\"]", &clean).action, Action::Allow);
    assert_eq!(decide_on("[organisations]\nallow = [\"other\"]", &clean).clause, "organisations.allow");
    assert_eq!(decide_on("[organisations]\nallow = []", &clean).action, Action::Block);
    assert_eq!(decide_on("[models]\nallow = [\"models/acme/*\"]", &clean).action, Action::Allow);
    let bad = report(vec![malicious()]);
    assert_eq!(decide_on("[models]\nallow = [\"acme/bert\"]", &bad).clause, "malicious");
    let denied = decide_on("[models]\ndeny = [\"acme/bert\"]", &bad);
    assert_eq!(denied.clause, "models.deny");
    let lifted =
        format!("[models]\ndeny = [\"acme/bert\"]\n{}", exception(&format!("sha256 = \"{DIGEST}\"")));
    assert_eq!(decide_on(&lifted, &bad).clause, "models.deny");
    // A file on disk has no repository.
    let deny = policy("[organisations]\ndeny = [\"*\"]\nallow = []");
    assert_eq!(decide_in(&deny, &clean, None, &[]).action, Action::Allow);
}

#[test]
fn the_order_of_precedence_names_the_clause() {
    let r = partial(report(vec![malicious(), suspicious()]));
    let clauses = |text: &str| decide_on(text, &r).reasons.into_iter().map(|r| r.clause).collect::<Vec<_>>();
    assert_eq!(
        clauses("[models]\ndeny = [\"acme/*\"]"),
        ["models.deny", "malicious", "partial", "suspicious"]
    );
}

#[test]
fn approved_formats() {
    let r = report(vec![]);
    assert_eq!(decide_on("approved_formats = [\"safetensors\"]", &r).clause, "approved_formats");
    assert_eq!(decide_on("approved_formats = [\"safetensors\", \"pick*\"]", &r).action, Action::Allow);
    let mut two = report(vec![]);
    two.formats.push("zip".into());
    assert_eq!(decide_on("approved_formats = [\"pickle\"]", &two).action, Action::Block);
    two.formats = vec!["pytorch-zip".into(), "zip".into()];
    assert_eq!(decide_on("approved_formats = [\"pytorch-zip\"]", &two).action, Action::Allow);
    assert_eq!(decide_on("approved_formats = [\"zip\"]", &two).action, Action::Block);
    two.formats.push("gif".into());
    assert_eq!(decide_on("approved_formats = [\"pytorch-zip\"]", &two).action, Action::Block);
    two.formats = vec!["tflite".into(), "zip".into()];
    assert_eq!(decide_on("approved_formats = [\"tflite\"]", &two).action, Action::Block);
    two.formats.clear();
    assert_eq!(decide_on("approved_formats = [\"*\"]", &two).action, Action::Block);
}

#[test]
fn strict_prefers_the_safe_format_beside_a_pickle() {
    let strict = Policy::builtin(Profile::Strict);
    let here = ["model.safetensors".to_string()];
    let elsewhere = ["other/model.safetensors".to_string()];
    let decided = |siblings: &[String]| decide_in(&strict, &report(vec![]), Some(&repo()), siblings);
    assert_eq!(decided(&here).clause, "pickle_beside_safe_format");
    assert_eq!(decided(&elsewhere).action, Action::Allow);
    assert_eq!(decided(&[]).action, Action::Allow);
}

#[test]
fn an_exception_for_the_digest_lifts_even_malicious_and_shows() {
    let text = exception(&format!("sha256 = \"{}\"", DIGEST.to_uppercase()));
    let decision = decide_on(&text, &partial(report(vec![malicious()])));
    assert_eq!((decision.action, decision.clause.as_str()), (Action::Allow, "exceptions"));
    let [applied] = decision.exceptions.as_slice() else { panic!("{decision:?}") };
    assert_eq!((applied.owner.as_str(), applied.reason.as_str()), ("ml-security", "reviewed"));
    assert_eq!(decision.allowed().map(|a| a.sha256()), Some(DIGEST));
    // It shows only where it did something.
    assert!(decide_on(&text, &report(vec![])).exceptions.is_empty());
}

#[test]
fn an_exception_for_the_digest_can_be_for_some_rules_only() {
    let bad = malicious();
    let text = exception(&format!("sha256 = \"{DIGEST}\"\nrules = [\"{}\"]", bad.rule));
    assert_eq!(decide_on(&text, &report(vec![bad.clone()])).action, Action::Allow);
    let decision = decide_on(&text, &report(vec![bad.clone(), suspicious()]));
    assert_eq!((decision.clause.as_str(), decision.exceptions.len()), ("suspicious", 1));
    assert_eq!(decide_on(&text, &partial(report(vec![bad]))).clause, "partial");
}

#[test]
fn an_exception_for_a_repository_never_lifts_malicious() {
    let scope = |rules: &str| {
        exception(&format!("repository = \"acme/bert\"\ncommit = \"{COMMIT}\"\nrules = [{rules}]"))
    };
    let (bad, odd) = (malicious(), carries_code());
    let text = scope(&format!("\"{}\", \"{}\"", bad.rule, odd.rule));
    assert_eq!(decide_on(&text, &report(vec![odd.clone()])).action, Action::Allow);
    assert_eq!(decide_on(&text, &report(vec![bad, odd.clone()])).clause, "malicious");
    let other = Repo { commit: Some("f".repeat(40)), ..repo() };
    let p = policy(&text);
    assert_eq!(decide_in(&p, &report(vec![odd.clone()]), Some(&other), &[]).action, Action::Block);
    let unknown = Repo { commit: None, ..repo() };
    assert_eq!(decide_in(&p, &report(vec![odd.clone()]), Some(&unknown), &[]).action, Action::Block);
    let dataset = Repo { kind: RepoKind::Dataset, ..repo() };
    assert_eq!(decide_in(&p, &report(vec![odd.clone()]), Some(&dataset), &[]).action, Action::Block);
    assert_eq!(decide_in(&p, &report(vec![odd]), None, &[]).action, Action::Block);
}

#[test]
fn an_exception_holds_from_created_to_expires() {
    let p = policy(&exception(&format!("sha256 = \"{DIGEST}\"")));
    let r = report(vec![malicious()]);
    let on = |y, m, d| {
        let today = jiff::civil::date(y, m, d);
        decide(
            &p,
            &r,
            &Context { repo: None, path: "m", sha256: Some(DIGEST), today, siblings: &[], beside: &[] },
        )
        .action
    };
    assert_eq!(on(2026, 10, 31), Action::Block);
    assert_eq!(on(2026, 11, 1), Action::Allow);
    assert_eq!(on(2027, 1, 31), Action::Allow);
    assert_eq!(on(2027, 2, 1), Action::Block);
}

#[test]
fn permission_needs_the_digest_of_the_very_report() {
    let p = Policy::builtin(Profile::Default);
    let r = report(vec![]);
    let with = |r: &Report, sha256: Option<&str>| {
        decide(&p, r, &Context { repo: None, path: "m", sha256, today: today(), siblings: &[], beside: &[] })
    };
    assert!(with(&r, Some(DIGEST)).allowed().is_some());
    assert!(with(&r, None).allowed().is_none());
    let other = "0".repeat(64);
    let mismatch = with(&r, Some(&other));
    assert_eq!((mismatch.action, mismatch.clause.as_str()), (Action::Block, "digest-mismatch"));
    assert!(mismatch.allowed().is_none());
    let mut unhashed = report(vec![]);
    unhashed.sha256 = None;
    assert!(with(&unhashed, Some(DIGEST)).allowed().is_none());
}

#[test]
fn changing_a_decision_does_not_make_a_permission() {
    let mut decision = decide_on("", &report(vec![malicious()]));
    decision.action = Action::Allow;
    decision.would = None;
    assert!(decision.clone().into_allowed().is_none());
    assert!(decision.allowed().is_none());
}

#[test]
fn what_softens_a_listed_finding_does_not_lift_an_unlisted_one() {
    let many = |f: Finding, n: usize| report(vec![f; n]);
    let cap = wb_scan::MAX_FINDINGS;
    let soft = "[rules]\ncarries-code = \"warn\"";
    assert_eq!(decide_on(soft, &many(carries_code(), cap)).action, Action::Warn);
    assert_eq!(decide_on(soft, &many(carries_code(), cap + 1)).clause, "unlisted-findings");
    let trust = "[[trusted_packages]]\npackages = [\"acme\"]\nowner = \"o\"\nreason = \"r\"";
    let rebuilt = || super::own::finding_of("acme", "X", How::Newobj, CallClass::Unknown, true);
    assert_eq!(decide_on(trust, &many(rebuilt(), cap)).action, Action::Allow);
    assert_eq!(decide_on(trust, &many(rebuilt(), cap + 1)).action, Action::Block);
    assert_eq!(decide_on("", &many(unknown_class("acme.X()"), cap + 1)).action, Action::Warn);
    let digest = exception(&format!("sha256 = \"{DIGEST}\""));
    assert_eq!(decide_on(&digest, &many(malicious(), cap + 1)).action, Action::Allow);
}

#[test]
fn a_module_of_the_same_repository_is_vouched_for_by_nobody() {
    let rebuilt = super::own::finding_of("acme.trees", "X", How::Newobj, CallClass::Unknown, true);
    let trust = "[[trusted_packages]]\npackages = [\"acme\"]\nowner = \"o\"\nreason = \"r\"";
    let beside = ["acme/__init__.py".to_string(), "config.json".to_string()];
    let decided = |siblings: &[String]| {
        decide_in(&policy(trust), &report(vec![rebuilt.clone()]), Some(&repo()), siblings)
    };
    assert_eq!(decided(&[]).action, Action::Allow);
    assert_eq!(decided(&beside[1..]).action, Action::Allow);
    let decision = decided(&beside);
    assert_eq!((decision.action, decision.clause.as_str()), (Action::Block, "module_in_repository"));
    assert!(decision.reasons[0].text.contains("acme/__init__.py"), "{decision:?}");
    // A name that is known is not imported from there.
    let known = super::own::finding_of("numpy", "X", How::Reduce, CallClass::KnownUncatalogued, true);
    let numpy = ["numpy.py".to_string()];
    assert_eq!(decide_in(&policy(""), &report(vec![known]), Some(&repo()), &numpy).clause, "suspicious");
}

#[test]
fn a_refused_pickle_names_the_safe_file_beside_it() {
    let siblings = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
    let text = |report: &Report, names: &[&str]| {
        decide_in(&policy(""), report, Some(&repo()), &siblings(names)).reasons[0].text.clone()
    };
    let bad = report(vec![malicious()]);
    assert!(text(&bad, &["model.pkl", "model.safetensors"]).contains("model.safetensors lies beside it"));
    assert!(!text(&bad, &["model.pkl", "sub/model.safetensors"]).contains("beside"));
    let mut other = bad;
    other.formats = vec!["gguf".into()];
    assert!(!text(&other, &["model.pkl", "model.safetensors"]).contains("beside"));
}
