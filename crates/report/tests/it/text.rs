//! Text for people.

use super::*;
use wb_report::{TextOptions, text};

#[test]
fn what_where_why_and_what_to_do() {
    let out = text(&run(), TextOptions::default());
    let rule = wb_scan::rules::rule(&hostile().findings[0].rule).unwrap();
    for needle in [
        "BLOCK  models/bad.pt  malicious  (torch-zip, 1.5 KiB)",
        "posix.system('id')",
        "archive/data.pkl@0x1f3",
        rule.id,
        rule.why,
        rule.fix,
        "9f86d081884c7d65",
        "policy default, clause malicious",
        "BLOCK  models/locked.pt  unknown (partial)",
        "not judged: encrypted @0x40: encrypted content",
        "allow  models/good.pt  clean",
        "ERROR models/gone.pt  cannot be read: no",
        "3 files; 1 allow, 2 block; 1 clean, 1 malicious, 1 unknown; 1 partly judged; 1 unreadable; 1.5 KiB read; policy default",
    ] {
        assert!(out.contains(needle), "{needle:?} is not in\n{out}");
    }
}

#[test]
fn the_worst_comes_first() {
    let out = text(&run(), TextOptions::default());
    assert!(out.find("bad.pt") < out.find("good.pt"));
}

#[test]
fn what_was_not_hashed_says_so() {
    let mut r = hostile();
    r.sha256 = None;
    let out = text(&ScanRun::new("default", vec![entry(b"m", r)], vec![]), TextOptions::default());
    assert!(out.contains("not hashed"), "{out}");
}

#[test]
fn nothing_in_it_can_act() {
    for all in [false, true] {
        assert_inert(&text(&nasty_run(), TextOptions { color: false, all }));
    }
}

#[test]
fn colours_are_the_only_control_codes() {
    let out = text(&nasty_run(), TextOptions { color: true, all: true });
    assert!(out.contains("\x1b[31;1mBLOCK\x1b[0m"));
    let mut rest = out;
    for code in ["31;1", "33;1", "36;1", "32", "31", "33", "1", "2", "0"] {
        rest = rest.replace(&format!("\x1b[{code}m"), "");
    }
    assert_inert(&rest);
}

#[test]
fn many_allowed_files_are_counted_not_listed() {
    let files = (0..50).map(|i| entry(format!("f{i:02}").as_bytes(), report(vec![]))).collect();
    let run = ScanRun::new("default", files, vec![]);
    assert_eq!(text(&run, TextOptions::default()).lines().count(), 1);
    assert_eq!(text(&run, TextOptions { all: true, color: false }).lines().count(), 51);
}

#[test]
fn many_findings_are_cut_and_the_cut_is_said() {
    let at = |i| Location::new("data.pkl", Some(i));
    let findings = (0..9).map(|i| finding(Verdict::Malicious, Family::PickleCall, at(i), "f()")).collect();
    let run = ScanRun::new("default", vec![entry(b"m", report(findings))], vec![]);
    let out = text(&run, TextOptions::default());
    assert!(out.contains("and 4 findings more") && !out.contains("@0x8"), "{out}");
    assert!(text(&run, TextOptions { all: true, color: false }).contains("@0x8"));
}
