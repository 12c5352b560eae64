//! The `weighbridge` command as people and scripts meet it: real processes, real files.

mod exit_codes;
mod files;
mod other_commands;
mod output;
mod propose;
mod remote;

use serde_json::Value;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

/// A list.
const CLEAN: &[u8] = b"\x80\x04]\x94.";
/// `posix.system("id")`.
const MALICIOUS: &[u8] = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.";
/// `acme_nobody_knows.make()`.
const SUSPICIOUS: &[u8] = b"\x80\x04\x8c\x11acme_nobody_knows\x8c\x04make\x93)R.";
/// `acme_nobody_knows.Thing`, rebuilt as data.
const UNKNOWN_CLASS: &[u8] = b"\x80\x04\x8c\x11acme_nobody_knows\x8c\x05Thing\x93)\x81.";
/// A list, then a string that says it is longer than the file.
const TRUNCATED: &[u8] = b"\x80\x04]\x94\x8c\x08abcdefgh\x94aX\xff\x00\x00\x00abc";

fn weighbridge<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weighbridge"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("WEIGHBRIDGE_")) {
        command.env_remove(name);
    }
    command.args(args).output().expect("the command runs")
}

fn scan(path: &Path, flags: &[&str]) -> Output {
    let flags = flags.iter().map(OsStr::new);
    weighbridge([OsStr::new("scan")].into_iter().chain(flags).chain([path.as_os_str()]))
}

fn scan_json(path: &Path, flags: &[&str]) -> (i32, Value) {
    let out = scan(path, &[&["--format", "json"], flags].concat());
    let value = serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}{}", text(&out.stdout), text(&out.stderr)));
    (code(&out), value)
}

fn code(out: &Output) -> i32 {
    out.status.code().expect("the command ends by itself")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    dir
}
