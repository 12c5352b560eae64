//! Which files are judged, and which are refused.

use super::*;
use base64::Engine;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

fn paths(value: &Value) -> Vec<String> {
    let names = value["files"].as_array().unwrap().iter();
    names.map(|f| f["path"].as_str().unwrap().rsplit('/').next().unwrap().to_string()).collect()
}

#[test]
fn hidden_files_count_and_ignore_files_do_not() {
    let dir = folder(&[
        (".gitignore", b"*.pkl\n"),
        (".ignore", b"*.pkl\n"),
        ("a.pkl", CLEAN),
        (".hidden.pkl", MALICIOUS),
        (".cache/deep/b.pkl", CLEAN),
    ]);
    let (code, value) = scan_json(dir.path(), &["--include", "*.pkl"]);
    assert_eq!((code, paths(&value)), (1, vec!["b.pkl".into(), ".hidden.pkl".into(), "a.pkl".into()]));
}

#[test]
fn globs_see_paths_inside_what_was_named() {
    let dir = folder(&[("x/a.pkl", CLEAN), ("x/y/b.pkl", CLEAN), ("z/c.bin", CLEAN)]);
    let seen = |flags: &[&str]| paths(&scan_json(dir.path(), flags).1);
    assert_eq!(seen(&["--include", "x/*"]), ["a.pkl", "b.pkl"]);
    assert_eq!(seen(&["--exclude", "x/y/**"]), ["a.pkl", "c.bin"]);
    assert_eq!(seen(&["--include", "*.pkl", "--include", "*.bin", "--exclude", "*/c.*"]), ["a.pkl", "b.pkl"]);
}

#[test]
fn links_inside_are_followed_and_links_outside_are_errors() {
    let outside = folder(&[("secret.pkl", CLEAN)]);
    let dir = folder(&[("a.pkl", CLEAN), ("sub/b.pkl", CLEAN)]);
    symlink("a.pkl", dir.path().join("in.pkl")).unwrap();
    symlink("sub", dir.path().join("folder")).unwrap();
    symlink("..", dir.path().join("sub/loop")).unwrap();
    let (code, value) = scan_json(dir.path(), &[]);
    assert_eq!((code, paths(&value)), (0, vec!["a.pkl".into(), "in.pkl".into(), "b.pkl".into()]));
    symlink(outside.path().join("secret.pkl"), dir.path().join("out.pkl")).unwrap();
    symlink("nowhere", dir.path().join("broken.pkl")).unwrap();
    let (code, value) = scan_json(dir.path(), &[]);
    assert_eq!(code, 2);
    let messages: Vec<&str> =
        value["errors"].as_array().unwrap().iter().map(|e| e["message"].as_str().unwrap()).collect();
    assert_eq!(messages.len(), 2);
    assert!(
        messages[0].contains("leads nowhere") && messages[1].contains("leads out of the folder"),
        "{messages:?}"
    );
    // What is named itself is meant.
    assert_eq!(scan_json(&dir.path().join("out.pkl"), &[]).0, 0);
}

#[test]
fn a_snapshot_of_the_hub_cache_is_judged_through_its_links() {
    let cache = folder(&[("models--a--b/blobs/0123", CLEAN), ("models--a--b/secret.pkl", CLEAN)]);
    let snapshot = cache.path().join("models--a--b/snapshots/c0ffee");
    std::fs::create_dir_all(&snapshot).unwrap();
    symlink("../../blobs/0123", snapshot.join("model.pkl")).unwrap();
    let (code, value) = scan_json(&snapshot, &[]);
    assert_eq!((code, paths(&value)), (0, vec!["model.pkl".into()]));
    symlink("../../secret.pkl", snapshot.join("other.pkl")).unwrap();
    assert_eq!(scan_json(&snapshot, &[]).0, 2);
}

#[test]
fn special_files_are_refused_and_nothing_hangs() {
    let dir = folder(&[("a.pkl", CLEAN)]);
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    let made = Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap();
    assert!(made.success());
    let (code, value) = scan_json(dir.path(), &[]);
    assert_eq!(code, 2);
    let messages: Vec<&str> =
        value["errors"].as_array().unwrap().iter().map(|e| e["message"].as_str().unwrap()).collect();
    assert!(messages[0].starts_with("a named pipe") && messages[1].starts_with("a socket"), "{messages:?}");
    let out = scan(&dir.path().join("pipe"), &[]);
    assert_eq!(super::code(&out), 2);
    assert_eq!(super::code(&scan(Path::new("/dev/zero"), &[])), 2);
}

#[test]
fn names_that_are_not_utf8() {
    let dir = folder(&[]);
    let name = OsStr::from_bytes(b"a\xff\x1b.pkl");
    std::fs::write(dir.path().join(name), CLEAN).unwrap();
    let (code, value) = scan_json(dir.path(), &[]);
    assert_eq!(code, 0);
    let file = &value["files"][0];
    assert!(file["path"].as_str().unwrap().ends_with("a\\xff\\x1b.pkl"));
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(file["path_bytes"].as_str().unwrap()).unwrap();
    assert_eq!(bytes, dir.path().join(name).as_os_str().as_bytes());
    assert!(!text(&scan(dir.path(), &["--color", "never"]).stdout).contains('\x1b'));
}

#[test]
fn many_files_by_many_workers() {
    let files: Vec<(String, &[u8])> = (0..300)
        .map(|i| (format!("d{}/f{i}.pkl", i % 7), if i == 123 { MALICIOUS } else { CLEAN }))
        .collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), *b)).collect();
    let dir = folder(&files);
    let (code, value) = scan_json(dir.path(), &["--jobs", "4"]);
    assert_eq!((code, value["files"].as_array().unwrap().len()), (1, 300));
    assert_eq!(value["summary"]["decisions"], serde_json::json!({"allow": 299, "block": 1}));
    let sorted: Vec<&str> =
        value["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert!(sorted.is_sorted());
}

#[test]
fn an_empty_file_is_a_file() {
    let dir = folder(&[("empty.bin", b"")]);
    let (code, value) = scan_json(dir.path(), &["--hash"]);
    assert_eq!(value["files"][0]["size"], 0);
    assert_eq!(
        value["files"][0]["sha256"],
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_ne!(code, 3);
}

#[test]
fn a_folder_is_judged_as_one_unit() {
    let config: &[u8] = br#"{"model_type": "x", "auto_map": {"AutoModel": "net.Net"}}"#;
    let index: &[u8] = br#"{"weight_map": {"a": "one.bin", "b": "two.bin"}}"#;
    let decided = |files: &[(&str, &[u8])], flags: &[&str], name: &str| {
        let (_, value) = scan_json(folder(files).path(), flags);
        let file =
            value["files"].as_array().unwrap().iter().find(|f| f["path"].as_str().unwrap().ends_with(name));
        file.unwrap().clone()
    };
    let evil: &[u8] = b"import os\nos.system('id')\nclass Net:\n    pass\n";
    let file = decided(&[("m/config.json", config), ("m/net.py", evil)], &[], "config.json");
    assert_eq!((&file["decision"], &file["verdict"]), (&"block".into(), &"suspicious".into()));
    assert!(
        file["findings"][0]["message"].as_str().unwrap().contains("m/net.py, which it names, is refused")
    );
    let good: &[u8] = b"class Net:\n    pass\n";
    let file = decided(&[("m/config.json", config), ("m/net.py", good)], &[], "config.json");
    assert_eq!(file["decision"], "warn", "{file}");

    let file =
        decided(&[("index.json", index), ("one.bin", CLEAN), ("two.bin", MALICIOUS)], &[], "index.json");
    assert_eq!((&file["decision"], &file["clause"]), (&"block".into(), &"repository".into()));
    assert!(file["causes"][0]["text"].as_str().unwrap().starts_with("two.bin, which it takes data from"));
    let two: &[(&str, &[u8])] = &[("index.json", index), ("one.bin", CLEAN)];
    assert_eq!(decided(two, &[], "index.json")["clause"], "repository.missing");
    // What was left out may be there.
    assert_eq!(decided(two, &["--exclude", "*.txt"], "index.json")["decision"], "allow");
}

#[test]
fn credentials_are_a_warning_and_never_shown() {
    let token = format!("hf_{}", "QwErTyUiOpAsDfGhJkLzXcVbNmQaZwSxEd");
    let source = format!("import os\nTOKEN = '{token}'\n");
    let dir = folder(&[("notes.txt", source.as_bytes())]);
    let (code, value) = scan_json(dir.path(), &[]);
    let file = &value["files"][0];
    assert_eq!((code, &file["verdict"], &file["decision"]), (0, &"clean".into(), &"warn".into()));
    assert_eq!(file["findings"][0]["rule"], "WB-SEC-003");
    assert!(!value.to_string().contains(&token));
}
