//! What the tests need, looked at first: one line a thing that is missing, with the line that installs it.

use crate::run::{Env, quiet};

/// Space a full debug and release build with the Python environments takes, in GiB (measured: 6).
const DISK_GIB: u64 = 8;

/// What is missing, as (what, how to get it).
pub fn check(env: &Env) -> Vec<(String, String)> {
    let mut missing = Vec::new();
    let mut need = |what: &str, how: &str| missing.push((what.to_string(), how.to_string()));
    for (tool, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !quiet(env.cargo(&[tool, "--version"])).is_some_and(|o| o.ok) {
            need(&format!("cargo {tool}"), &format!("rustup component add {component}"));
        }
    }
    let mut cc = env.command(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
    cc.arg("--version");
    if !quiet(cc).is_some_and(|o| o.ok) {
        need("a C compiler (SQLite is built from source)", "sudo apt-get install -y gcc libc6-dev");
    }
    if let Some((what, how)) = python(env) {
        need(&what, &how);
    }
    if let Some(free) = free_gib(env)
        && free < DISK_GIB
        // What is built already needs no room any more.
        && !env.target.join("debug/weighbridge").exists()
    {
        need(
            &format!("disk space: {free} GiB free, {DISK_GIB} needed"),
            "free some, or set CARGO_TARGET_DIR to another disk",
        );
    }
    missing
}

fn python(env: &Env) -> Option<(String, String)> {
    let name = env.python();
    let mut c = env.command(&name);
    c.args(["-c", "import sys; print('%d.%d' % sys.version_info[:2]); import venv, ensurepip"]);
    let install = "sudo apt-get install -y python3 python3-venv";
    let Some(o) = quiet(c) else {
        return Some((format!("{name} (the real clients run in it)"), install.into()));
    };
    let version = o.text.lines().next().unwrap_or_default().trim().to_string();
    let mut parts = version.split('.').map(|p| p.parse::<u32>().unwrap_or(0));
    if (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < (3, 10) {
        let what = format!("python 3.10 or newer ({name} is {version}; newer huggingface_hub needs it)");
        return Some((what, "install a newer Python and set PYTHON to it".into()));
    }
    (!o.ok).then(|| (format!("the venv module of {name}"), install.into()))
}

fn free_gib(env: &Env) -> Option<u64> {
    let mut c = env.command("df");
    c.args(["-Pk", "."]);
    let o = quiet(c)?;
    let kib: u64 = o.text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kib >> 20)
}
