//! Commands other than `scan`.

use super::*;

#[test]
fn rules_and_their_pages() {
    let list = weighbridge(["rules"]);
    assert_eq!(code(&list), 0);
    let list = text(&list.stdout);
    let id = list.split_whitespace().next().unwrap();
    assert!(id.starts_with("WB-"), "{list}");
    let page = text(&weighbridge(["rules", id]).stdout);
    assert!(page.starts_with(id) && page.contains("  why "), "{page}");
    let json: Value = serde_json::from_slice(&weighbridge(["rules", "--format", "json"]).stdout).unwrap();
    assert_eq!(json["rules"].as_array().unwrap().len(), list.lines().count());
    let one: Value = serde_json::from_slice(&weighbridge(["rules", id, "--format", "json"]).stdout).unwrap();
    assert_eq!(one["id"], id);
    assert_eq!(code(&weighbridge(["rules", "WB-NONE-000"])), 4);
}

#[test]
fn policy_check() {
    let dir = folder(&[("good.toml", b"profile = \"strict\""), ("bad.toml", b"\n[rules]\nx = \"off\"\n")]);
    let good = weighbridge(["policy".as_ref(), "check".as_ref(), dir.path().join("good.toml").as_os_str()]);
    assert_eq!(code(&good), 0);
    assert!(text(&good.stdout).contains("valid; policy strict, profile strict"), "{}", text(&good.stdout));
    let bad = weighbridge(["policy".as_ref(), "check".as_ref(), dir.path().join("bad.toml").as_os_str()]);
    assert_eq!(code(&bad), 4);
    assert!(
        text(&bad.stderr).contains("bad.toml:3:1: rules.x: no such rule or family"),
        "{}",
        text(&bad.stderr)
    );
}

#[test]
fn audit_verify_needs_an_audit() {
    let dir = folder(&[]);
    let out = weighbridge(["audit".as_ref(), "verify".as_ref(), "--data".as_ref(), dir.path().as_os_str()]);
    assert_eq!(code(&out), 4);
    assert!(text(&out.stderr).contains("no audit at"), "{}", text(&out.stderr));
}

fn serve(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weighbridge"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("WEIGHBRIDGE_")) {
        command.env_remove(name);
    }
    command.current_dir(dir).envs(environment.iter().copied()).arg("serve").args(args);
    command.output().expect("the command runs")
}

#[test]
fn settings_are_layered_and_say_where_they_come_from() {
    let dir = folder(&[(
        "weighbridge.toml",
        b"upstream = 'dir:/models'\nlisten = '127.0.0.1:1111'\nspool_max = '2KiB'\nupstream_host = ['a', 'b:1']\ndata = '/file'",
    )]);
    let environment = [("WEIGHBRIDGE_LISTEN", "127.0.0.1:2222"), ("WEIGHBRIDGE_DATA", "/environment")];
    let out = serve(dir.path(), &["--print-config", "--data", "/flag"], &environment);
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    let printed = text(&out.stdout);
    for line in [
        "upstream = \"dir:/models\"  # file",
        "listen = \"127.0.0.1:2222\"  # environment",
        "data = \"/flag\"  # flag",
        "spool_max = 2048  # file",
        "upstream_host = [\"a\", \"b:1\"]  # file",
        "log = \"info\"  # default",
        "# tls_cert is not set",
    ] {
        assert!(printed.lines().any(|l| l == line), "{line:?} is not in\n{printed}");
    }
    // What is printed is a configuration file.
    std::fs::write(dir.path().join("again.toml"), &printed).unwrap();
    let again = text(&serve(dir.path(), &["--print-config", "--config", "again.toml"], &[]).stdout);
    let values = |s: &str| s.lines().map(|l| l.split("  # ").next().unwrap().to_string()).collect::<Vec<_>>();
    assert_eq!(values(&printed), values(&again));
}

#[test]
fn a_setting_that_is_missing_or_wrong_is_said() {
    let dir = folder(&[("bad.toml", b"\nupstraem = 'x'\n")]);
    let out = serve(dir.path(), &[], &[]);
    assert_eq!(code(&out), 4);
    assert!(text(&out.stderr).contains("--upstream"), "{}", text(&out.stderr));
    let out = serve(dir.path(), &["--config", "bad.toml"], &[]);
    assert_eq!(code(&out), 4);
    assert!(
        text(&out.stderr).contains("upstraem") && text(&out.stderr).contains("line 2"),
        "{}",
        text(&out.stderr)
    );
    let out = serve(dir.path(), &["--upstream", "dir:.", "--data", "d", "--tls-cert", "x"], &[]);
    assert_eq!(code(&out), 4);
    assert!(text(&out.stderr).contains("belong together"), "{}", text(&out.stderr));
}

#[test]
fn a_worker_started_by_hand_ends() {
    let out = Command::new(env!("CARGO_BIN_EXE_weighbridge")).arg("worker").output().unwrap();
    assert!(!out.status.success() || out.stdout.is_empty());
}

#[test]
fn explain_shows_imports_and_calls_in_order() {
    let dir = folder(&[("model.pkl", MALICIOUS), ("list.pkl", CLEAN), ("cut.pkl", TRUNCATED)]);
    let explain = |name: &str, flags: &[&str]| {
        let path = dir.path().join(name);
        weighbridge(["explain"].iter().chain(flags).map(OsStr::new).chain([path.as_os_str()]))
    };
    let out = explain("model.pkl", &[]);
    let shown = text(&out.stdout);
    assert_eq!(code(&out), 0, "{}", text(&out.stderr));
    let import = shown.find("from posix import system").expect("the import is shown");
    let call = shown.find("posix.system('id')").expect("the call is shown");
    assert!(import < call, "{shown}");
    let listing = text(&explain("model.pkl", &["--opcodes"]).stdout);
    for opcode in ["PROTO", "STACK_GLOBAL", "TUPLE1", "REDUCE", "STOP"] {
        assert!(listing.contains(opcode), "{opcode} is not in\n{listing}");
    }
    assert!(text(&explain("list.pkl", &[]).stdout).contains("imports and calls nothing"));
    let cut = explain("cut.pkl", &[]);
    assert_eq!(code(&cut), 2);
    assert!(text(&cut.stdout).contains("not looked at"), "{}", text(&cut.stdout));
    assert_eq!(code(&explain("missing.pkl", &[])), 4);
    // Not only pickles do things: what else is found is told, and never "nothing".
    std::fs::write(dir.path().join("setup.py"), "import os\nos.system('id')\n").unwrap();
    let source = text(&explain("setup.py", &[]).stdout);
    assert!(source.contains("os.system") && source.contains("(rule WB-"), "{source}");
    assert!(!source.contains("calls nothing"), "{source}");
}

/// Runs the command with a standard output whose reader has gone, and a standard error nobody reads either.
fn unread(args: &[&OsStr]) -> Option<i32> {
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_weighbridge"));
    command.args(args).stdout(gone()).stderr(gone()).status().unwrap().code()
}

#[test]
fn a_reader_that_goes_away_ends_no_command_badly() {
    let policy = b"profile = \"strict\"";
    let dir = folder(&[("model.pkl", CLEAN), ("evil.pkl", MALICIOUS), ("policy.toml", policy)]);
    let path = |name: &str| dir.path().join(name).into_os_string();
    let (clean, evil, policy) = (path("model.pkl"), path("evil.pkl"), path("policy.toml"));
    let code = |words: &str, last: Option<&OsStr>| {
        let words: Vec<&OsStr> = words.split_whitespace().map(OsStr::new).chain(last).collect();
        unread(&words)
    };
    assert_eq!(code("scan", Some(&clean)), Some(0));
    assert_eq!(code("scan --format json", Some(&evil)), Some(1));
    assert_eq!(code("explain --opcodes", Some(&evil)), Some(0));
    assert_eq!(code("rules", None), Some(0));
    assert_eq!(code("policy check", Some(&policy)), Some(0));
    assert_eq!(code("policy check", Some(&clean)), Some(4));
    assert_eq!(code("catalogue show os.system", None), Some(0));
    assert_eq!(code("serve --print-config", None), Some(0));
    assert_eq!(code("scan --help", None), Some(0));
    assert_eq!(code("demo --once --port 0", None), Some(0));
    // Without --once the demo would stay: not where nobody was told of it.
    assert_eq!(code("demo --port 0", None), Some(0));
    assert_eq!(code("nothing", None), Some(4));
}
