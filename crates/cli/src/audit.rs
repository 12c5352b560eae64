//! `weighbridge audit`

use anyhow::{Context, Result};
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;

/// Work with a gate's audit.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check that the audit's chain is unbroken; a gate may be using it meanwhile
    Verify {
        /// The gate's data folder
        #[arg(long, env = "WEIGHBRIDGE_DATA")]
        data: PathBuf,
        /// A head hash noted earlier, which must still be part of the chain
        #[arg(long, value_name = "HEAD-HASH")]
        since: Option<String>,
    },
}

/// Exit: 0 unbroken, 1 broken or shortened, 4 not readable at all.
pub fn run(args: &Args) -> Result<ExitCode> {
    let Command::Verify { data, since } = &args.command;
    let database = data.join("weighbridge.db");
    if !database.is_file() {
        anyhow::bail!("no audit at {}; name the gate's data folder with --data", database.display());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(wb_store::verify_database(&database, since.as_deref())) {
        Ok(v) => {
            let mut text = format!("unbroken: {} rows, head {} {}\n", v.rows, v.head.count, v.head.hash);
            if let Some(at) = v.since {
                text.push_str(&format!("the head given is row {at}\n"));
            }
            crate::out::print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(e @ wb_store::StoreError::Chain(_)) => {
            crate::out::complain(e);
            Ok(ExitCode::from(1))
        }
        Err(e) => Err(e).with_context(|| format!("cannot verify {}", database.display())),
    }
}
