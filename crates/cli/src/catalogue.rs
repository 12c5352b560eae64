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
    match &args.command {
        Command::Show { name } => crate::scan::print(show::show(name).as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}
