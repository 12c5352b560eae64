//! The project's own commands: `cargo xtask test` and what it is made of.
//!
//! Kept small and free of heavy dependencies, so that the preflight speaks within seconds on a fresh machine.
#![warn(missing_docs)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

/// As `println!`, see [`run::say`].
macro_rules! say {
    ($($words:tt)*) => { crate::run::say(format_args!($($words)*)) };
}

#[cfg(feature = "engine")]
mod corpus;
#[cfg(feature = "engine")]
mod coverage;
#[cfg(feature = "engine")]
mod diff;
#[cfg(feature = "engine")]
mod docs;
mod engine;
mod layers;
mod preflight;
mod purity;
mod run;
mod stages;
mod tally;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  test [--fast] [STAGE…] [WORD…]   all tests; stages by name, other words choose tests by name
  layers                           fails when a dependency arrow points up, or the engine does I/O
  docs [--check]                   writes docs/rules and docs/coverage.md; --check fails when stale
  corpus DIR                       judges a labelled folder and prints where the engine is wrong
  diff-fuzz --minutes N            compares the pickle machine with CPython; --self-test seeds faults
  ci                               test, with every skip a failure
  stages                           the stages of test";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((c, r)) => (c.as_str(), r),
        None => ("help", &[][..]),
    };
    let command = if rest.iter().any(|a| matches!(a.as_str(), "--help" | "-h")) { "help" } else { command };
    let done = match command {
        "test" => stages::test(rest, false),
        "ci" => stages::test(rest, true),
        "stages" => {
            stages::print_names();
            Ok(())
        }
        "layers" => layers::command(),
        "docs" | "corpus" | "diff-fuzz" => engine::command(command, rest),
        "help" | "--help" | "-h" => {
            say!("{USAGE}");
            Ok(())
        }
        other => Err(format!("no command {other:?}\n\n{USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            if !text.is_empty() {
                run::complain(&text);
            }
            ExitCode::FAILURE
        }
    }
}
