//! The page for one file.

use super::*;
use wb_report::{Page, html_fragment, html_page};

#[test]
fn the_page_says_it_all() {
    let page = Page { origin: Some("acme/bert at 0123456789ab"), decided_at: Some("2026-11-22 21:00 UTC") };
    let out = html_page(&entry(b"model.pt", hostile()), page);
    let rule = wb_scan::rules::rule(&hostile().findings[0].rule).unwrap();
    for needle in [
        "blocked",
        "model.pt",
        "posix.system(&#39;id&#39;)",
        "archive/data.pkl@0x1f3",
        rule.id,
        "acme/bert at",
        "21:00 UTC",
    ] {
        assert!(out.contains(needle), "{needle:?} is not in\n{out}");
    }
    let lists = format!("CWE-{}, {}", rule.cwe.unwrap(), rule.atlas.unwrap());
    assert!(out.contains(&lists), "{lists} is not in\n{out}");
}

#[test]
fn nothing_in_it_can_act() {
    for out in [
        html_page(&entry(NASTY.as_bytes(), nasty()), Page { origin: Some(NASTY), decided_at: Some(NASTY) }),
        html_fragment(&entry(NASTY.as_bytes(), nasty()), Page::default()),
    ] {
        assert_inert(&out);
        let lower = out.to_lowercase();
        for needle in ["<script", "javascript:", "onerror", "<a ", "<img", "src=", "href="] {
            assert!(!lower.contains(needle), "{needle} in\n{out}");
        }
    }
}

#[test]
fn gaps_and_exceptions_show() {
    let out = html_fragment(&entry(b"m", partial()), Page::default());
    assert!(out.contains("what was not judged") && out.contains("encrypted content"), "{out}");
    let mut lifted = entry(b"m", hostile());
    lifted.decision.exceptions.push(wb_policy::AppliedException {
        scope: "sha256 9f86".into(),
        owner: "ml-security".into(),
        reason: "reviewed".into(),
        expires: jiff::civil::date(2027, 1, 31),
        rules: vec![],
    });
    let out = html_fragment(&lifted, Page::default());
    assert!(out.contains("sha256 9f86 lifts everything, by ml-security until 2027-01-31: reviewed"), "{out}");
}
