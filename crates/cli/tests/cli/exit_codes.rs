//! 4 usage; else 1 blocked because of findings; else 2 not judged; else 3 nothing judged; else 0.

use super::*;

fn code_of(bytes: &[u8], flags: &[&str]) -> i32 {
    let dir = folder(&[("model.pkl", bytes)]);
    code(&scan(&dir.path().join("model.pkl"), flags))
}

#[test]
fn one_file() {
    assert_eq!(code_of(CLEAN, &[]), 0);
    assert_eq!(code_of(MALICIOUS, &[]), 1);
    assert_eq!(code_of(SUSPICIOUS, &[]), 1);
    assert_eq!(code_of(UNKNOWN_CLASS, &[]), 0);
    assert_eq!(code_of(TRUNCATED, &[]), 2);
}

#[test]
fn fail_on_warn() {
    assert_eq!(code_of(UNKNOWN_CLASS, &["--fail-on", "warn"]), 1);
    assert_eq!(code_of(CLEAN, &["--fail-on", "warn"]), 0);
    assert_eq!(code_of(TRUNCATED, &["--fail-on", "warn"]), 2);
}

#[test]
fn profiles_by_name() {
    assert_eq!(code_of(UNKNOWN_CLASS, &["--policy", "strict"]), 1);
    // Observing changes what is done, not what a script is told.
    for (bytes, wanted) in [(MALICIOUS, 1), (CLEAN, 0), (TRUNCATED, 2), (UNKNOWN_CLASS, 0)] {
        assert_eq!(code_of(bytes, &["--policy", "observe"]), wanted);
    }
}

#[test]
fn a_policy_that_lets_the_partial_pass_does_not_make_it_whole() {
    let dir = folder(&[("model.pkl", TRUNCATED), ("policy.toml", b"partial = \"off\"")]);
    let policy = dir.path().join("policy.toml");
    let out = scan(&dir.path().join("model.pkl"), &["--policy", policy.to_str().unwrap()]);
    assert_eq!(code(&out), 2);
}

#[test]
fn findings_count_more_than_gaps_and_gaps_more_than_nothing() {
    let dir = folder(&[("a.pkl", CLEAN), ("b.pkl", MALICIOUS), ("c.pkl", TRUNCATED)]);
    assert_eq!(code(&scan(dir.path(), &[])), 1);
    assert_eq!(code(&scan(dir.path(), &["--exclude", "b.pkl"])), 2);
    assert_eq!(code(&scan(dir.path(), &["--include", "a*"])), 0);
}

#[test]
fn nothing_judged() {
    let dir = folder(&[]);
    assert_eq!(code(&scan(dir.path(), &[])), 3);
    let dir = folder(&[("a.pkl", CLEAN)]);
    assert_eq!(code(&scan(dir.path(), &["--exclude", "*.pkl"])), 3);
}

#[test]
fn unreadable() {
    let dir = folder(&[("a.pkl", CLEAN)]);
    let out = scan(&dir.path().join("missing.pkl"), &[]);
    assert_eq!(code(&out), 2);
    assert!(text(&out.stdout).contains("missing.pkl  cannot be read"), "{}", text(&out.stdout));
}

#[test]
fn usage() {
    assert_eq!(code(&weighbridge(["scan"])), 4);
    assert_eq!(code(&weighbridge(["scan", "--format", "xml", "x"])), 4);
    assert_eq!(code(&weighbridge(["frobnicate"])), 4);
    assert_eq!(code(&weighbridge(Vec::<&str>::new())), 4);
    assert_eq!(code(&weighbridge(["--help"])), 0);
    assert_eq!(code(&weighbridge(["--version"])), 0);
    let dir = folder(&[("a.pkl", CLEAN), ("policy.toml", b"profil = \"strict\"")]);
    let policy = dir.path().join("policy.toml");
    let out = scan(&dir.path().join("a.pkl"), &["--policy", policy.to_str().unwrap()]);
    assert_eq!(code(&out), 4);
    assert!(text(&out.stderr).contains("policy.toml:1:1: profil: unknown key, did you mean \"profile\"?"));
    assert_eq!(code(&scan(&dir.path().join("a.pkl"), &["--policy", "/nonexistent.toml"])), 4);
    assert_eq!(code(&scan(&dir.path().join("a.pkl"), &["--include", "[a"])), 4);
}
