//! `weighbridge rules`

use anyhow::{Result, bail};
use clap::ValueEnum;
use std::process::ExitCode;

/// List the rules, or show the page of one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Rule id, e.g. WB-PKL-001
    id: Option<String>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Prints rules.
pub fn run(args: &Args) -> Result<ExitCode> {
    let text = match (&args.id, args.format) {
        (None, Format::Text) => wb_report::rules_table(wb_scan::rules::RULES),
        (None, Format::Json) => format!("{:#}\n", wb_report::rules_json(wb_scan::rules::RULES)),
        (Some(id), format) => {
            let Some(rule) = wb_scan::rules::rule(id) else {
                bail!("no rule {}; `weighbridge rules` lists them", wb_verdict::escape(id));
            };
            match format {
                Format::Text => wb_report::rule_page(rule),
                Format::Json => format!("{:#}\n", wb_report::rule_json(rule)),
            }
        }
    };
    crate::out::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
