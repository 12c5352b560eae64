//! What is printed.

use super::*;

#[test]
fn json_is_schema_1() {
    let dir = folder(&[("model.pkl", MALICIOUS)]);
    let (_, value) = scan_json(&dir.path().join("model.pkl"), &[]);
    assert_eq!(value["schema"], 1);
    let file = &value["files"][0];
    for key in [
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
    ] {
        assert!(file.as_object().unwrap().contains_key(key), "{key}");
    }
    assert_eq!((&file["verdict"], &file["decision"]), (&"malicious".into(), &"block".into()));
    assert_eq!(file["sha256"], Value::Null);
    let finding = &file["findings"][0];
    assert_eq!(finding["evidence"], "posix.system('id')");
    let offset = finding["offset"].as_u64().unwrap() as usize;
    assert_eq!(MALICIOUS[offset], b'R', "the offset is that of REDUCE");
}

#[test]
fn a_digest_is_computed_when_asked_for_or_when_the_policy_needs_it() {
    let digest = "5aa0ba3b3b5a1ee0fa1b5fab55cb2b1f2fe2b6ab24d87f7e1b6b9f8fd1e3a0aa";
    let exception = format!(
        "[[exceptions]]\nsha256 = \"{digest}\"\nowner = \"o\"\nreason = \"r\"\ncreated = 2026-01-01\nexpires = 2026-12-31\n"
    );
    let dir = folder(&[("model.pkl", CLEAN), ("policy.toml", exception.as_bytes())]);
    let model = dir.path().join("model.pkl");
    let policy = dir.path().join("policy.toml");
    assert_eq!(scan_json(&model, &[]).1["files"][0]["sha256"], Value::Null);
    let asked = scan_json(&model, &["--hash"]).1["files"][0]["sha256"].clone();
    assert_eq!(asked.as_str().map(str::len), Some(64));
    let needed = scan_json(&model, &["--policy", policy.to_str().unwrap()]).1["files"][0]["sha256"].clone();
    assert_eq!(asked, needed);
}

#[test]
fn an_exception_for_the_digest_lifts_a_block() {
    let dir = folder(&[("model.pkl", MALICIOUS)]);
    let model = dir.path().join("model.pkl");
    let digest = scan_json(&model, &["--hash"]).1["files"][0]["sha256"].as_str().unwrap().to_string();
    let today: jiff::civil::Date = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let policy = dir.path().join("policy.toml");
    let exception = format!(
        "[[exceptions]]\nsha256 = \"{digest}\"\nowner = \"ml-security\"\nreason = \"reviewed\"\n\
         created = {today}\nexpires = {today}\n"
    );
    std::fs::write(&policy, exception).unwrap();
    let out = scan(&model, &["--policy", policy.to_str().unwrap()]);
    assert_eq!(code(&out), 0, "{}", text(&out.stdout));
    assert!(text(&out.stdout).contains("exception by ml-security"), "{}", text(&out.stdout));
}

#[test]
fn large_files_are_hashed_while_they_are_scanned() {
    let mut bytes = b"\x80\x04B\x00\x00\x60\x00".to_vec();
    bytes.resize(bytes.len() + (6 << 20), 7);
    bytes.push(b'.');
    let dir = folder(&[("large.pkl", &bytes)]);
    let (code, value) = scan_json(dir.path(), &["--hash"]);
    assert_eq!((code, &value["files"][0]["verdict"]), (0, &"clean".into()));
    use sha2::Digest;
    let digest: String = sha2::Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(value["files"][0]["sha256"], digest);
}

#[test]
fn sarif_and_output_files() {
    let dir = folder(&[("model.pkl", MALICIOUS)]);
    let target = dir.path().join("out.sarif");
    let out = scan(&dir.path().join("model.pkl"), &["--format", "sarif", "-o", target.to_str().unwrap()]);
    assert_eq!((code(&out), out.stdout.len()), (1, 0));
    let value: Value = serde_json::from_slice(&std::fs::read(target).unwrap()).unwrap();
    assert_eq!(value["version"], "2.1.0");
    assert_eq!(value["runs"][0]["results"][0]["level"], "error");
}

#[test]
fn text_is_plain_unless_it_goes_to_a_terminal() {
    let dir = folder(&[("model.pkl", MALICIOUS)]);
    let model = dir.path().join("model.pkl");
    let plain = text(&scan(&model, &[]).stdout);
    assert!(plain.starts_with("BLOCK  ") && !plain.contains('\x1b'), "{plain}");
    assert!(plain.contains("posix.system('id')") && plain.contains("not hashed"), "{plain}");
    assert!(text(&scan(&model, &["--color", "always"]).stdout).starts_with("\x1b[31;1mBLOCK"));
}
