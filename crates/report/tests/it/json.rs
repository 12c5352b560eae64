//! JSON, schema 1.

use super::*;
use base64::Engine;
use serde_json::Value;
use wb_report::json;

fn parsed(run: &ScanRun) -> Value {
    serde_json::from_str(&json(run)).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The fields of schema 1. New ones may be added to the output, none may go.
#[test]
fn every_field_of_the_schema_is_there() {
    let out = parsed(&run());
    let has = |value: &Value, wanted: &[&str]| {
        for key in wanted {
            assert!(keys(value).contains(key), "{key} is not among {:?}", keys(value));
        }
    };
    has(&out, &["schema", "engine", "ruleset", "policy", "files", "errors", "summary"]);
    assert_eq!(out["schema"], 1);
    let file = &out["files"][0];
    has(
        file,
        &[
            "path",
            "sha256",
            "size",
            "formats",
            "verdict",
            "reason",
            "coverage",
            "gaps",
            "decision",
            "loaders",
            "bytes_read",
            "findings",
        ],
    );
    has(
        &file["findings"][0],
        &["rule", "family", "severity", "confidence", "location", "offset", "message", "evidence"],
    );
    // The same threat in lists of others; `pait` is null where that list has none.
    let rule = wb_scan::rules::rule(file["findings"][0]["rule"].as_str().unwrap()).unwrap();
    assert_eq!(file["findings"][0]["cwe"], serde_json::json!(rule.cwe.unwrap()));
    assert_eq!(file["findings"][0]["atlas"], serde_json::json!(rule.atlas.unwrap()));
    assert_eq!(file["findings"][0]["pait"], serde_json::json!(rule.pait));
    has(file, &["causes"]);
    has(&out["files"][2]["gaps"][0], &["reason", "location", "offset", "length"]);
    has(&out["errors"][0], &["path", "message"]);
    has(&out["summary"], &["files", "verdicts", "decisions", "partial", "bytes_read"]);
}

#[test]
fn values() {
    let out = parsed(&run());
    let bad = &out["files"][0];
    assert_eq!(bad["path"], "models/bad.pt");
    assert_eq!(
        (&bad["verdict"], &bad["decision"], &bad["reason"]),
        (&"malicious".into(), &"block".into(), &Value::Null)
    );
    assert_eq!(bad["findings"][0]["location"], "archive/data.pkl");
    assert_eq!(bad["findings"][0]["offset"], 0x1f3);
    let locked = &out["files"][2];
    assert_eq!((&locked["reason"], &locked["coverage"]), (&"partial".into(), &"partial".into()));
    assert_eq!(
        locked["gaps"][0],
        serde_json::json!({
            "reason": "encrypted", "location": "", "offset": 64, "length": 100, "detail": "encrypted content"
        })
    );
    assert_eq!(out["summary"]["verdicts"]["malicious"], 1);
}

#[test]
fn names_that_are_not_utf8_keep_their_bytes() {
    let out = parsed(&ScanRun::new("default", vec![entry(b"a\xff.pkl", report(vec![]))], vec![]));
    let file = &out["files"][0];
    assert_eq!(file["path"], "a\\xff.pkl");
    let bytes = base64::engine::general_purpose::STANDARD.decode(file["path_bytes"].as_str().unwrap());
    assert_eq!(bytes.unwrap(), b"a\xff.pkl");
    let plain = parsed(&run());
    assert!(!keys(&plain["files"][0]).contains(&"path_bytes"));
}

#[test]
fn nothing_in_it_can_act_and_nothing_is_lost() {
    let out = json(&nasty_run());
    assert_inert(&out);
    let value: Value = serde_json::from_str(&out).unwrap();
    let paths: Vec<&Value> = value["files"].as_array().unwrap().iter().map(|f| &f["path"]).collect();
    assert!(paths.contains(&&Value::from(NASTY)));
}
