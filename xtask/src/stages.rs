//! `cargo xtask test`: the stages, one after the other, and the sum at the end.

use crate::layers;
use crate::preflight;
use crate::run::{Env, quiet, tee};
use crate::tally::Tally;
use std::process::Command;
use std::time::Instant;

/// What every stage is given.
struct Cx {
    env: Env,
    /// Fewer clients, rounds and builds.
    fast: bool,
    /// Words that choose tests by name.
    words: Vec<String>,
}

/// One stage.
struct Stage {
    name: &'static str,
    what: &'static str,
    run: fn(&Cx) -> Result<Tally, String>,
    /// Can be narrowed by words.
    by_name: bool,
}

const STAGES: &[Stage] = &[
    Stage { name: "fmt", what: "formatting", run: fmt, by_name: false },
    Stage { name: "layers", what: "dependency arrows", run: layers_check, by_name: false },
    Stage { name: "clippy", what: "lints", run: clippy, by_name: false },
    Stage { name: "deny", what: "licences, banned crates and sources", run: deny, by_name: false },
    Stage { name: "docs", what: "generated pages are fresh", run: docs, by_name: false },
    Stage { name: "rust", what: "tests of all crates", run: rust, by_name: true },
    Stage {
        name: "diff-fuzz",
        what: "the pickle machine beside CPython's own unpicklers",
        run: diff_fuzz,
        by_name: false,
    },
    Stage {
        name: "fresh-home",
        what: "the README's commands with an empty HOME",
        run: fresh_home,
        by_name: false,
    },
    Stage {
        name: "clients",
        what: "real huggingface_hub clients through the gate",
        run: clients,
        by_name: true,
    },
    Stage { name: "kill", what: "the gate killed at random moments", run: kill, by_name: false },
    Stage {
        name: "peers",
        what: "programs that may be installed: nginx, git, git-lfs, systemd",
        run: peers,
        by_name: true,
    },
];

/// Prints the stages.
pub fn print_names() {
    for s in STAGES {
        say!("{:<11} {}", s.name, s.what);
    }
}

/// `cargo xtask test` and `cargo xtask ci`.
pub fn test(args: &[String], require_all: bool) -> Result<(), String> {
    let require_all = require_all || std::env::var("WB_REQUIRE_ALL").is_ok_and(|v| v == "1");
    let mut cx = Cx { env: Env::new()?, fast: false, words: Vec::new() };
    let mut chosen = Vec::new();
    for arg in args {
        match arg.as_str() {
            "--fast" => cx.fast = true,
            a if a.starts_with('-') => return Err(format!("no option {a:?}; see: cargo xtask help")),
            a if a == "preflight" || STAGES.iter().any(|s| s.name == a) => chosen.push(a.to_string()),
            a => cx.words.push(a.to_string()),
        }
    }
    say!("== preflight");
    let missing = preflight::check(&cx.env);
    if !missing.is_empty() {
        for (what, how) in &missing {
            say!("missing: {what}\n    {how}");
        }
        say!("\n0 passed, {} failed", missing.len());
        return Err(String::new());
    }
    say!("ok   nothing is missing");
    let mut rows = vec![("preflight", Tally::one(true), 0.0)];
    for stage in STAGES {
        let wanted = if chosen.is_empty() {
            cx.words.is_empty() || stage.by_name
        } else {
            chosen.iter().any(|c| c == stage.name)
        };
        if wanted {
            say!("\n== {}: {}", stage.name, stage.what);
            let start = Instant::now();
            let tally = (stage.run)(&cx).unwrap_or_else(|why| {
                say!("FAIL {}: {why}", stage.name);
                Tally::one(false)
            });
            rows.push((stage.name, tally, start.elapsed().as_secs_f64()));
        }
    }
    let total = summary(&rows);
    let bad = total.failed > 0 || (require_all && total.skipped > 0);
    if require_all && total.skipped > 0 {
        say!("{} skipped, and WB_REQUIRE_ALL=1 allows no skip", total.skipped);
    }
    say!("{}", closing(total, require_all));
    if bad { Err(String::new()) } else { Ok(()) }
}

/// Under WB_REQUIRE_ALL a skip is a failure, and counted as one.
fn closing(total: Tally, require_all: bool) -> String {
    if require_all {
        return Tally { failed: total.failed + total.skipped, skipped: 0, ..total }.line();
    }
    total.line()
}

fn summary(rows: &[(&str, Tally, f64)]) -> Tally {
    let mut total = Tally::default();
    say!("\n{:<12} {:>7} {:>7} {:>7} {:>8}", "stage", "passed", "failed", "skipped", "seconds");
    for (name, t, seconds) in rows {
        say!("{name:<12} {:>7} {:>7} {:>7} {seconds:>8.1}", t.passed, t.failed, t.skipped);
        total += *t;
    }
    say!("");
    total
}

/// A command whose exit code is the check.
fn one(command: Command) -> Result<Tally, String> {
    Ok(Tally::one(tee(command)?.ok))
}

fn fmt(cx: &Cx) -> Result<Tally, String> {
    one(cx.env.cargo(&["fmt", "--all", "--", "--check"]))
}

fn clippy(cx: &Cx) -> Result<Tally, String> {
    let args =
        ["clippy", "--workspace", "--all-targets", "--features", "xtask/engine", "--", "-D", "warnings"];
    one(cx.env.cargo(&args))
}

fn layers_check(cx: &Cx) -> Result<Tally, String> {
    let wrong = layers::check_all(&cx.env)?;
    for line in &wrong {
        say!("FAIL {line}");
    }
    Ok(Tally::one(wrong.is_empty()))
}

fn deny(cx: &Cx) -> Result<Tally, String> {
    if !quiet(cx.env.cargo(&["deny", "--version"])).is_some_and(|o| o.ok) {
        return Ok(skipped(1, "cargo-deny is not installed; cargo install --locked cargo-deny"));
    }
    // Advisories need their database from the network: see CONTRIBUTING.md.
    one(cx.env.cargo(&["deny", "--all-features", "check", "licenses", "bans", "sources"]))
}

fn docs(cx: &Cx) -> Result<Tally, String> {
    let args = ["run", "--quiet", "--package", "xtask", "--features", "engine", "--", "docs", "--check"];
    one(cx.env.cargo(&args))
}

fn rust(cx: &Cx) -> Result<Tally, String> {
    let mut command = cx.env.cargo(&["test", "--workspace", "--features", "xtask/engine", "--no-fail-fast"]);
    if !cx.words.is_empty() {
        command.arg("--").args(&cx.words);
    }
    let o = tee(command)?;
    Ok(Tally::libtest(&o.text, o.ok))
}

fn diff_fuzz(cx: &Cx) -> Result<Tally, String> {
    // Counted, so that it is the same run on every machine; the time only ends one that hangs.
    let streams = if cx.fast { "20000" } else { "60000" };
    let tool = ["run", "--quiet", "--package", "xtask", "--features", "engine", "--", "diff-fuzz"];
    let mut command = cx.env.cargo(&tool);
    command.args(["--streams", streams, "--minutes", "15", "--python", &cx.env.python()]);
    rows(command)
}

/// The gate, built for tests.
fn binary(cx: &Cx) -> Result<String, String> {
    if !tee(cx.env.cargo(&["build", "--package", "weighbridge"]))?.ok {
        return Err("the gate does not build".into());
    }
    Ok(cx.env.target.join("debug/weighbridge").to_string_lossy().into_owned())
}

fn fresh_home(cx: &Cx) -> Result<Tally, String> {
    let mut total = Tally::default();
    // HOME is an empty folder for everything started here.
    let profile: &[&str] = if cx.fast { &[] } else { &["--release"] };
    let demo = [&["run"], profile, &["--package", "weighbridge", "--", "demo", "--once"]].concat();
    let ok = tee(cx.env.cargo(&demo))?.ok;
    say!("{} demo --once with an empty HOME", if ok { "ok  " } else { "FAIL" });
    total += Tally::one(ok);
    // And this very command. Through cargo: its own file may have been built anew since this process started.
    let mut again = cx.env.cargo(&["xtask", "test", "layers"]);
    again.env_remove("WB_REQUIRE_ALL");
    let o = quiet(again).ok_or("cannot start xtask again")?;
    let ok = o.ok && o.text.trim_end().lines().last() == Some("2 passed, 0 failed");
    if !ok {
        say!("{}", o.text);
    }
    say!("{} cargo xtask test with an empty HOME", if ok { "ok  " } else { "FAIL" });
    total += Tally::one(ok);
    Ok(total)
}

fn clients(cx: &Cx) -> Result<Tally, String> {
    let mut command = script(cx, "tests/clients/run.py")?;
    if cx.fast {
        command.args(["--no-slow", "--versions", "2.4.0", "0.23.5"]);
    }
    command.arg("--").args(&cx.words);
    rows(command)
}

fn kill(cx: &Cx) -> Result<Tally, String> {
    let mut command = script(cx, "tests/kill/run.py")?;
    command.args(["--rounds", if cx.fast { "2" } else { "8" }]);
    rows(command)
}

fn peers(cx: &Cx) -> Result<Tally, String> {
    let mut command = script(cx, "tests/peers/run.py")?;
    command.arg("--").args(&cx.words);
    rows(command)
}

/// A script under tests/, given the gate and the folder for Python environments.
fn script(cx: &Cx, path: &str) -> Result<Command, String> {
    let binary = binary(cx)?;
    let mut command = cx.env.command(cx.env.python());
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(path).args(["--binary", &binary, "--venvs", ".venvs"]);
    Ok(command)
}

fn rows(command: Command) -> Result<Tally, String> {
    let o = tee(command)?;
    Ok(Tally::rows(&o.text, o.ok))
}

fn skipped(n: u64, why: &str) -> Tally {
    say!("skipped: {n} ({why})");
    Tally { skipped: n, ..Tally::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_fails_where_all_is_required() {
        let t = Tally { passed: 3, failed: 0, skipped: 2 };
        assert_eq!(closing(t, true), "3 passed, 2 failed");
        assert_eq!(closing(t, false), "3 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn stage_names_are_unique() {
        let mut names: Vec<_> = STAGES.iter().map(|s| s.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STAGES.len());
    }
}
