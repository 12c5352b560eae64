//! `weighbridge explain`

use anyhow::{Context, Result, bail};
use rustix::fs::OFlags;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use wb_blob::Blob;
use wb_scan::Explanation;

/// Show what loading a file would do, in order: imports and calls as readable pseudo-Python.
///
/// Nothing of it is run. Exit code: 0 all shown; 2 something could not be looked at, or lines were left out;
/// 4 wrong usage.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file; of a container every member is shown
    file: PathBuf,
    /// List every opcode too
    #[arg(long)]
    opcodes: bool,
    /// Most lines shown
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    lines: usize,
}

/// Explains one file. The file is hostile: this process gives up what a scan worker gives up before it parses.
pub fn run(args: &Args) -> Result<ExitCode> {
    let shown = wb_verdict::escape_bytes(args.file.as_os_str().as_bytes());
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(&args.file)
        .with_context(|| format!("cannot read {shown}"))?;
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        bail!("{shown} is not a regular file");
    }
    let blob = Blob::from_file(file).with_context(|| format!("cannot read {shown}"))?;
    wb_sandbox::confine().context("this process cannot be confined")?;
    let explanation = wb_scan::explain(&blob, &shown, &Default::default(), args.lines, args.opcodes);
    crate::out::print(&text(&shown, &explanation))?;
    let whole = explanation.gaps.is_empty() && !explanation.truncated;
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn text(file: &str, explanation: &Explanation) -> String {
    let mut out = format!("{file}  ({})\n", explanation.formats.join("+"));
    let mut member = "";
    for line in &explanation.lines {
        if line.location.path != member {
            member = &line.location.path;
            out.push_str(&format!("\n{}:\n", wb_report::printable(member)));
        }
        let offset = line.location.offset.map_or_else(String::new, |at| format!("{at:#x}"));
        let times = if line.count > 1 { format!("   # {} times", line.count) } else { String::new() };
        out.push_str(&format!("{offset:>10}  {}{times}\n", wb_report::printable(&line.text)));
    }
    let quiet = explanation.besides.is_empty() && explanation.gaps.is_empty();
    if explanation.lines.is_empty() && quiet {
        out.push_str("loading this file imports and calls nothing\n");
    }
    if explanation.truncated {
        out.push_str("further lines are left out; --lines shows more\n");
    }
    if !explanation.besides.is_empty() {
        out.push_str(if explanation.lines.is_empty() { "\n" } else { "\nbesides:\n" });
    }
    for found in &explanation.besides {
        let place = match found.location.to_string() {
            place if place.is_empty() => String::new(),
            place => format!(" at {place}"),
        };
        let text = format!("{}{place} (rule {})", found.message, found.rule);
        out.push_str(&format!("  {}\n", wb_report::printable(&text)));
        for line in found.evidence.lines() {
            out.push_str(&format!("      {}\n", wb_report::printable(line)));
        }
    }
    for gap in &explanation.gaps {
        let place = gap.location.to_string();
        let text = format!("not looked at: {} {place}: {}", gap.reason.name(), gap.detail);
        out.push_str(&wb_report::printable(&text));
        out.push('\n');
    }
    out
}
