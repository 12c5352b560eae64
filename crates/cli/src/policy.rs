//! `weighbridge policy`

use anyhow::{Context, Result, anyhow};
use clap::Subcommand;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wb_policy::{Policy, Profile};

/// Work with policy files.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a policy file and say what it comes to
    Check {
        /// The file
        file: PathBuf,
    },
}

/// Runs a policy command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let Command::Check { file } = &args.command;
    let policy = read(file)?;
    let today = today();
    let holding = policy.exceptions().iter().filter(|e| e.holds_on(today)).count();
    let expired = policy.exceptions().len() - holding;
    let text = format!(
        "{}: valid; policy {}, profile {}; {holding} exceptions hold today, {expired} do not; \
         {} own catalogue entries, {} trusted packages\n",
        file.display(),
        policy.name(),
        policy.profile().name(),
        policy.catalogue().len(),
        policy.trusted_packages().iter().map(|t| t.packages.len()).sum::<usize>(),
    );
    crate::out::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Today, UTC: exceptions expire everywhere at once.
pub fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// The policy named on the command line: the name of a profile, or a file.
pub fn load(given: Option<&Path>) -> Result<Policy> {
    let Some(given) = given else { return Ok(Policy::builtin(Profile::Default)) };
    match Profile::named(given) {
        Some(profile) if !given.exists() => Ok(Policy::builtin(profile)),
        _ => read(given),
    }
}

fn read(file: &Path) -> Result<Policy> {
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the policy {shown}"))?;
    Policy::parse(&text, &shown).map_err(|errors| anyhow!("the policy is not usable\n{errors}"))
}
