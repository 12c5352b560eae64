//! `weighbridge explain`

use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::ExitCode;

/// Show what loading a file would do, in order.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file
    file: PathBuf,
    /// List every opcode
    #[arg(long)]
    opcodes: bool,
}

/// Explains one file.
pub fn run(args: &Args) -> Result<ExitCode> {
    let _ = args.opcodes;
    bail!("cannot explain {} yet", args.file.display())
}
