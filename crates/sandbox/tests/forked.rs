//! Workers that are forked have no more than workers that are started.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

/// A pickle that calls `posix.system("id")`.
const HOSTILE: &[u8] = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.";
const SECRET: &str = "hf_QvJtkwzRbmXnTlYd";

/// Runs a mode of the test program, with a secret in its environment and arguments and a descriptor of ours.
fn run(mode: &str, input: &[u8]) -> String {
    // Not closed on exec: the program starts with it, as it does with what a shell left open.
    let left_open = File::open("/etc/passwd").unwrap();
    rustix::io::fcntl_setfd(&left_open, rustix::io::FdFlags::empty()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_wb-test-worker"))
        .args([mode, &format!("--token={SECRET}")])
        .env("HF_TOKEN", SECRET)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    String::from_utf8(out.stdout).unwrap()
}

/// Has a process look at itself.
fn look(mode: &str) -> Vec<(String, String)> {
    let masked: Vec<u8> = SECRET.bytes().map(|b| b ^ 0x55).collect();
    let answer = run(mode, &masked);
    answer.lines().filter_map(|l| l.split_once(' ')).map(|(k, v)| (k.into(), v.into())).collect()
}

#[test]
fn a_forked_worker_has_no_environment_no_arguments_no_descriptors_and_no_secret_in_memory() {
    let had = look("inherited");
    let expected = [
        ("variables", "0"),
        ("arguments", "0"),
        ("descriptors", "/dev/null /dev/null /dev/null socket"),
        ("folder", "/"),
        ("needles", "none"),
    ];
    assert_eq!(had, expected.map(|(k, v)| (k.to_string(), v.to_string())));
}

#[test]
fn the_same_look_finds_all_that_in_a_process_that_gave_up_nothing() {
    let had = look("inherited-control");
    let of = |key: &str| had.iter().find(|(k, _)| k == key).unwrap().1.clone();
    assert_ne!(of("variables"), "0");
    assert_eq!(of("arguments"), "3");
    assert!(of("descriptors").contains("/etc/passwd"));
    assert_eq!(of("needles"), "some");
}

#[test]
fn a_forked_worker_gives_the_facts_that_a_started_one_gives() {
    assert_eq!(run("forked-scan", HOSTILE), "forked 1\nfinal true\nfacts 1\n");
}

#[test]
fn a_forked_worker_cannot_open_connect_run_or_see_anything() {
    let answer = run("forked-probe", HOSTILE);
    let done: Vec<&str> = answer.lines().filter_map(|l| l.strip_prefix("gap ")).collect();
    assert_eq!(done, ["the probe ran"]);
}

#[test]
fn one_that_cannot_give_up_what_it_inherited_is_replaced_by_one_that_is_started() {
    assert_eq!(run("forked-unfit", HOSTILE), "forked 1\nfinal true\nfacts 1\n");
}

#[test]
fn nothing_is_forked_beside_a_second_thread() {
    assert_eq!(run("forked-beside-thread", b""), "0\n");
}
