use super::*;
use wb_verdict::{Effect, Family, Location, Verdict};

#[test]
fn ids_are_frozen() {
    let ids: Vec<&str> = RULES.iter().map(|r| r.id).collect();
    let frozen = "WB-ARC-001 WB-ARC-002 WB-ARC-003 WB-ARC-004 WB-ARC-005 WB-BST-001 WB-BST-002 WB-BST-003 \
        WB-CML-001 WB-CML-002 WB-CML-003 WB-CML-010 WB-COD-001 WB-DIR-001 WB-DIR-002 WB-DIR-003 \
        WB-DIR-004 WB-DIR-005 WB-DIR-006 WB-DIR-007 WB-DIR-008 WB-DIR-009 WB-DIR-010 WB-DIR-011 \
        WB-DIR-012 WB-DIR-013 WB-DIR-014 WB-ENG-001 WB-ENG-002 WB-ENG-003 WB-ENG-004 WB-ENG-005 \
        WB-ENG-006 WB-ENG-007 WB-ENG-008 WB-EXE-001 WB-EXE-002 WB-EXE-003 WB-EXE-004 WB-HDF-001 \
        WB-HDF-002 WB-HDF-003 WB-HDF-004 WB-HID-001 WB-HID-002 WB-HID-003 WB-HID-004 WB-JAV-001 \
        WB-JAV-002 WB-KER-001 WB-KER-002 WB-KER-003 WB-KER-004 WB-KER-005 WB-KER-006 WB-KER-007 \
        WB-LUA-001 WB-LUA-002 WB-ONX-001 WB-ONX-002 WB-ONX-003 WB-ONX-004 WB-ONX-005 WB-ONX-006 \
        WB-ONX-010 WB-ONX-011 WB-ONX-020 WB-ONX-030 WB-OVN-001 WB-OVN-002 WB-PAD-001 WB-PAD-002 \
        WB-PAD-003 WB-PAD-004 WB-PAD-005 WB-PKL-001 WB-PKL-002 WB-PKL-003 WB-PKL-004 WB-PKL-005 \
        WB-PKL-006 WB-PKL-007 WB-PKL-008 WB-PKL-009 WB-PKL-010 WB-PKL-011 WB-PKL-012 WB-PKL-020 \
        WB-PKL-021 WB-PKL-022 WB-PKL-023 WB-PKL-024 WB-PKL-025 WB-PKL-026 WB-PKL-027 WB-PKL-028 \
        WB-PMM-001 WB-PMM-002 WB-PMM-003 WB-RDS-001 WB-RDS-002 WB-RDS-003 WB-RDS-004 WB-REP-001 \
        WB-REP-002 WB-REP-003 WB-REP-004 WB-REP-005 WB-REP-006 WB-REP-007 WB-REP-008 WB-REP-009 \
        WB-REP-010 WB-REP-020 WB-REP-021 WB-RES-001 WB-RES-002 WB-RES-003 WB-SEC-001 WB-SEC-002 \
        WB-SEC-003 WB-SKO-001 WB-SKO-002 WB-SPC-001 WB-SPC-002 WB-SPC-003 WB-SPC-004 WB-SPC-005 \
        WB-STR-001 WB-STR-002 WB-STR-003 WB-STR-010 WB-STR-020 WB-STR-021 WB-TF-001 WB-TF-002 WB-TF-003 \
        WB-TF-004 WB-TF-005 WB-TF-006 WB-TF-007 WB-TF-008 WB-TFL-001 WB-TFL-002 WB-TOK-001 WB-TOK-002 \
        WB-TPL-001 WB-TPL-002 WB-TOR-001 WB-TOR-002 WB-TOR-003 WB-TOR-004 WB-TOR-005 WB-TOR-006 \
        WB-TOR-007 WB-TOR-008 WB-TOR-009 WB-UNS-001 WB-UNS-002 WB-UNS-003";
    assert_eq!(ids.join(" "), frozen, "ids are never renamed, reused or dropped; add new ones here");
}

#[test]
fn every_rule_has_a_page_worth_reading() {
    let prefix = |f: Family| match f {
        Family::GraphOperator => "WB-TF-",
        Family::PickleCall => "WB-PKL-",
        Family::CarriesCode => "WB-COD-",
        Family::Structure => "WB-STR-",
        Family::Archive => "WB-ARC-",
        Family::Resource => "WB-RES-",
        Family::Hidden => "WB-HID-",
        Family::Executable => "WB-EXE-",
        Family::Template => "WB-TPL-",
        Family::Directive => "WB-DIR-",
        Family::RepositoryCode => "WB-REP-",
        Family::Secret => "WB-SEC-",
        Family::Unsupported => "WB-UNS-",
    };
    // Rules of one format stand under its prefix, whatever their family.
    const FORMATS: &[&str] = &[
        "WB-HDF-", "WB-KER-", "WB-TFL-", "WB-ONX-", "WB-OVN-", "WB-CML-", "WB-PMM-", "WB-BST-", "WB-TOR-",
        "WB-SPC-", "WB-JAV-", "WB-TOK-", "WB-ENG-", "WB-SKO-", "WB-RDS-", "WB-LUA-", "WB-PAD-",
    ];
    for rule in RULES {
        let of_format = FORMATS.iter().any(|p| rule.id.starts_with(p));
        assert!(of_format || rule.id.starts_with(prefix(rule.family)), "{}", rule.id);
        for text in [rule.title, rule.what, rule.why, rule.fix] {
            assert!(text.len() > 10 && !text.ends_with('.'), "{}: {text:?}", rule.id);
            assert!(!text.contains("  "), "{}: {text:?}", rule.id);
        }
        // A credential left behind is no danger to who loads the file.
        let clean = rule.family == Family::Secret;
        assert_eq!(rule.verdict == Verdict::Clean, clean, "{}", rule.id);
        assert_eq!(super::rule(&rule.id.to_lowercase()).map(|r| r.id), Some(rule.id));
    }
}

/// Every finding can be carried into an organisation's own lists of threats.
#[test]
fn every_rule_has_its_weakness_and_technique() {
    for rule in RULES {
        let cwe = rule.cwe.unwrap_or_else(|| panic!("{} has no CWE", rule.id));
        assert!((1..2000).contains(&cwe), "{}: CWE-{cwe}", rule.id);
        let atlas = rule.atlas.unwrap_or_else(|| panic!("{} has no ATLAS technique", rule.id));
        let (technique, sub) =
            atlas.strip_prefix("AML.T").and_then(|n| n.split_at_checked(4)).unwrap_or_default();
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let sub = sub.is_empty() || sub.strip_prefix('.').is_some_and(|s| s.len() == 3 && digits(s));
        assert!(digits(technique) && sub, "{}: {atlas:?}", rule.id);
        if let Some(pait) = rule.pait {
            let parts: Vec<&str> = pait.split('-').collect();
            let sound = parts.len() == 3 && parts[0] == "PAIT" && parts[2].len() == 3 && digits(parts[2]);
            assert!(sound, "{}: {pait:?}", rule.id);
        }
    }
}

fn fact(kind: FactKind) -> Fact {
    Fact { location: Location::default(), kind }
}

fn use_of(how: How, call: CallClass, plain_args: bool) -> Option<&'static str> {
    let fact = fact(FactKind::Call {
        callable: "mine.thing".into(),
        module: "mine".into(),
        name: "thing".into(),
        how,
        call,
        rendering: "mine.thing()".into(),
        plain_args,
        count: 1,
    });
    rule_for(&fact, "model.pkl").map(|r| r.id)
}

#[test]
fn only_harmless_calls_are_neutral() {
    for how in How::ALL {
        for plain in [true, false] {
            assert_eq!(use_of(how, CallClass::Harmless, plain), None);
            for class in [
                CallClass::Unknown,
                CallClass::KnownUncatalogued,
                CallClass::Unresolved,
                CallClass::CarriesCode,
            ] {
                assert!(use_of(how, class.clone(), plain).is_some(), "{how:?} {class:?}");
            }
        }
    }
}

#[test]
fn an_unknown_class_is_unknown_only_when_merely_rebuilt() {
    let unknown: Vec<How> =
        How::ALL.into_iter().filter(|h| use_of(*h, CallClass::Unknown, true) == Some("WB-PKL-022")).collect();
    assert_eq!(unknown, [How::Data, How::Newobj, How::NewobjEx, How::Build]);
    let unplain: Vec<How> = How::ALL
        .into_iter()
        .filter(|h| use_of(*h, CallClass::Unknown, false) == Some("WB-PKL-022"))
        .collect();
    assert_eq!(unplain, [How::Data]);
}

#[test]
fn every_effect_that_runs_is_malicious() {
    for effect in [
        Effect::Code,
        Effect::Process,
        Effect::Native,
        Effect::Import,
        Effect::Reach,
        Effect::File,
        Effect::Network,
        Effect::Deserialise,
        Effect::State,
        Effect::Other,
    ] {
        for how in How::ALL {
            let id = use_of(how, CallClass::Dangerous { effect }, true).expect("dangerous is never neutral");
            let verdict = rule(id).map(|r| r.verdict);
            if how != How::Data {
                assert_eq!(verdict, Some(Verdict::Malicious), "{effect:?} {how:?}");
            } else {
                assert!(verdict >= Some(Verdict::Suspicious), "{effect:?}");
            }
        }
    }
}

/// Every code that the formats emit is a string literal in their sources. Whatever it is, it must fall under a
/// rule; the neutral ones are named here.
#[test]
fn every_fact_falls_under_a_rule_or_is_named_neutral() {
    let new = || "a-code-nobody-has-heard-of".to_string();
    let detail = String::new;
    for kind in [
        FactKind::Structure { code: new(), detail: detail() },
        FactKind::Resource { code: new(), detail: detail() },
        FactKind::UnsafePath { code: new(), detail: detail() },
        FactKind::Executable { code: new() },
        FactKind::Template { code: new(), detail: detail() },
        FactKind::Directive { code: new(), detail: detail() },
        FactKind::Hidden { code: new(), detail: detail() },
        FactKind::Unsupported { format: new(), detail: detail() },
        FactKind::Operator { code: new(), op: "X".into(), detail: detail() },
        FactKind::UnknownContent,
        FactKind::Secret { code: new(), what: new(), detail: detail() },
    ] {
        assert!(rule_for(&fact(kind.clone()), "model.bin").is_some(), "{kind:?} is dropped");
    }
    // Neutral: a template proved harmless, a reading under a document's name.
    assert!(rule_for(&fact(FactKind::Template { code: "harmless".into(), detail: detail() }), "m").is_none());
    for code in ["text", "python", "json", "pickle"] {
        assert!(rule_for(&fact(FactKind::Reading { code: code.into() }), "notes.txt").is_none());
    }
}

#[test]
fn the_same_text_is_inert_as_notes_and_code_as_handler() {
    let python = fact(FactKind::Reading { code: "python".into() });
    assert!(rule_for(&python, "docs/notes.txt").is_none());
    assert_eq!(rule_for(&python, "code/handler.py").map(|r| r.id), Some("WB-REP-001"));
    let script = fact(FactKind::Executable { code: "shebang".into() });
    assert_eq!(rule_for(&script, "install.sh").map(|r| r.id), None, "its other facts say what it does");
    let text = fact(FactKind::Reading { code: "text".into() });
    assert_eq!(rule_for(&text, "install.sh").map(|r| r.id), Some("WB-REP-001"));
    assert_eq!(rule_for(&script, "model.pt").map(|r| r.id), Some("WB-EXE-002"));
}

#[test]
fn codes_reach_their_narrow_rules() {
    for (kind, id) in [
        (FactKind::Structure { code: "zip-duplicate-entry".into(), detail: String::new() }, "WB-STR-003"),
        (FactKind::Structure { code: "zip-local-name-differs".into(), detail: String::new() }, "WB-STR-002"),
        (FactKind::Structure { code: "pickle-frame-straddle".into(), detail: String::new() }, "WB-STR-010"),
        (FactKind::Structure { code: "gguf-tensor-overlap".into(), detail: String::new() }, "WB-STR-020"),
        (FactKind::Structure { code: "json-duplicate-key".into(), detail: String::new() }, "WB-STR-021"),
        (FactKind::Resource { code: "pickle-memo-jump".into(), detail: String::new() }, "WB-RES-003"),
        (FactKind::Resource { code: "tensor-size-overflow".into(), detail: String::new() }, "WB-RES-002"),
        (FactKind::UnsafePath { code: "traversal".into(), detail: String::new() }, "WB-ARC-002"),
        (FactKind::Hidden { code: "elf".into(), detail: String::new() }, "WB-HID-004"),
    ] {
        assert_eq!(rule_for(&fact(kind.clone()), "m").map(|r| r.id), Some(id), "{kind:?}");
    }
}

#[test]
fn a_finding_names_the_callable_even_if_the_rendering_was_cut() {
    let kind = FactKind::Call {
        callable: "posix.system".into(),
        module: "posix".into(),
        name: "system".into(),
        how: How::Reduce,
        call: CallClass::Dangerous { effect: Effect::Process },
        rendering: "...".into(),
        plain_args: true,
        count: 1,
    };
    let finding = judge_fact(&fact(kind), "model.pkl").expect("dangerous");
    assert_eq!(finding.message, "loading this pickle calls posix.system");
    assert_eq!(finding.evidence, "posix.system: ...");
    assert_eq!((finding.rule.as_str(), finding.verdict), ("WB-PKL-002", Verdict::Malicious));
}
