//! `weighbridge catalogue`

mod show;

use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;

/// Ask the catalogue of harmless and dangerous names.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what is known of a name, per use
    Show {
        /// Dotted name as a pickle imports it; `module:name` says where the module ends
        name: String,
    },
}

/// Runs a catalogue command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let Command::Show { name } = &args.command;
    crate::out::print(&show::show(name))?;
    Ok(ExitCode::SUCCESS)
}
