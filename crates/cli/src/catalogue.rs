//! `weighbridge catalogue`

mod propose;
mod show;

use anyhow::{Context, Result};
use clap::Subcommand;
use std::path::PathBuf;
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
    /// Propose entries for a policy from the sources of a wheel; nothing of it is imported or run
    Propose {
        /// The wheel: NAME-VERSION-….whl
        #[arg(long, value_name = "WHEEL")]
        from_wheel: PathBuf,
        /// A wheel that it is built on; classes are followed into it
        #[arg(long, value_name = "WHEEL")]
        built_on: Vec<PathBuf>,
        /// Write to this file, which must not exist; else to standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Runs a catalogue command.
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::Show { name } => {
            crate::out::print(&show::show(name))?;
        }
        Command::Propose { from_wheel, built_on, output } => {
            let text = propose::propose(from_wheel, built_on)?;
            match output {
                None => {
                    crate::out::print(&text)?;
                }
                // Never over a policy.
                Some(path) => std::fs::File::create_new(path)
                    .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
                    .with_context(|| path.display().to_string())?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
