//! SARIF 2.1.0 against the official schema.

use super::*;
use serde_json::Value;
use wb_report::sarif;

/// The official schema. Its pattern for languages has an unbalanced bracket, which ECMAScript reads as itself
/// and other regular expressions reject; it is escaped here, which changes nothing else.
fn validator() -> jsonschema::Validator {
    let text = include_str!("../schema/sarif-schema-2.1.0.json");
    let odd = r#""^[a-zA-Z]{2}|^[a-zA-Z]{2}-[a-zA-Z]{2}]?$""#;
    let text = text.replace(odd, r#""^[a-zA-Z]{2}|^[a-zA-Z]{2}-[a-zA-Z]{2}\\]?$""#);
    let schema: Value = serde_json::from_str(&text).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is a schema")
}

fn checked(run: &ScanRun) -> Value {
    let validator = validator();
    let out = sarif(run);
    assert_inert(&out);
    let value: Value = serde_json::from_str(&out).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    value
}

#[test]
fn it_validates_whatever_was_found() {
    checked(&run());
    checked(&nasty_run());
    checked(&ScanRun::new("default", vec![], vec![]));
    let odd = [&b"/abs/a b.pt"[..], b"x:y/z.pt", b"hf://acme/bert/model.bin", b"\xff\xfe", b"a%41?#[].pt"];
    checked(&ScanRun::new("default", odd.iter().map(|p| entry(p, hostile())).collect(), vec![]));
}

#[test]
fn the_schema_is_not_satisfied_by_anything() {
    let validator = validator();
    let mut value: Value = serde_json::from_str(&sarif(&run())).unwrap();
    value["runs"][0]["results"][0]["level"] = "catastrophe".into();
    assert!(!validator.is_valid(&value));
}

#[test]
fn results_point_at_rules_files_and_members() {
    let value = checked(&run());
    let run = &value["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        let index = result["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
        let place = &result["locations"][0]["physicalLocation"]["artifactLocation"];
        let artifact = place["index"].as_u64().unwrap() as usize;
        assert_eq!(run["artifacts"][artifact]["location"]["uri"], place["uri"]);
    }
    assert_eq!(results[0]["level"], "error");
    assert_eq!(results[0]["message"]["text"], "loading this pickle calls posix.system: posix.system('id')");
    let member = &results[0]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"];
    assert_eq!(member, "archive/data.pkl@0x1f3");
    // An offset inside a member is no region of the outer file; one in the file itself is.
    assert!(results[0]["locations"][0]["physicalLocation"]["region"].is_null());
    assert_eq!(results[1]["ruleId"], "WB-PARTIAL");
    let region = &results[1]["locations"][0]["physicalLocation"]["region"];
    assert_eq!((&region["byteOffset"], &region["byteLength"]), (&64.into(), &100.into()));
    assert_eq!(run["invocations"][0]["executionSuccessful"], false);
    assert!(wb_scan::rules::rule("WB-PARTIAL").is_none());
}
