//! The `weighbridge` command.
//!
//! One file per command. Exit codes are the same for all: 0 nothing to object, 1 blocked because of
//! findings, 2 something could not be judged, 3 nothing was judged, 4 wrong usage or an error of our own.
#![warn(missing_docs)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod audit;
mod catalogue;
mod demo;
mod explain;
mod out;
mod policy;
mod rules;
mod scan;
mod serve;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::process::ExitCode;

/// Wrong usage, an unusable policy, or an error that is not about a file.
const USAGE: u8 = 4;

/// A gate for machine-learning models: works out what loading a file would do, without running it.
#[derive(Debug, Parser)]
#[command(name = "weighbridge", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Scan(scan::Args),
    Explain(explain::Args),
    Rules(rules::Args),
    Policy(policy::Args),
    Catalogue(catalogue::Args),
    Serve(Box<serve::Args>),
    Audit(audit::Args),
    Demo(demo::Args),
    /// Scan worker; started by weighbridge itself.
    #[command(hide = true)]
    Worker,
}

fn main() -> ExitCode {
    // Before anything else: what this process has not read yet, its forks cannot know.
    let forked = wb_sandbox::fork_workers(wb_sandbox::peek_arguments(scan::forks));
    // A worker needs no command line, and every scan waits for one.
    if std::env::args_os().nth(1).is_some_and(|a| a == "worker") {
        return wb_sandbox::worker_main();
    }
    let matches = match Cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(e) => return usage(&e),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    let result = match cli.command {
        Command::Scan(args) => scan::run(&args, forked),
        Command::Explain(args) => explain::run(&args),
        Command::Rules(args) => rules::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Catalogue(args) => catalogue::run(&args),
        Command::Serve(args) => serve::run(*args, &matches),
        Command::Audit(args) => audit::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Worker => Ok(wb_sandbox::worker_main()),
    };
    result.unwrap_or_else(|e| {
        out::complain(on_one_line(&e));
        ExitCode::from(USAGE)
    })
}

/// The chain of causes on one line. An error that already names its cause does not say it twice.
fn on_one_line(error: &anyhow::Error) -> String {
    let mut out = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !out.contains(&cause) {
            out = format!("{out}: {cause}");
        }
    }
    out
}

/// Help and version are no errors; everything else is wrong usage.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}
