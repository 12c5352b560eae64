//! Scans and judges every file of a folder and prints one line per file, its findings and a summary.
//!
//! `cargo run --release -p wb-scan --example scan_dir -- DIR [--json]`; `--json` prints one report a line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use wb_verdict::{Coverage, Report};

fn files(path: &Path, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        out.push(path.to_path_buf());
        return Ok(());
    }
    let mut all = std::fs::read_dir(path)?.map(|e| Ok(e?.path())).collect::<std::io::Result<Vec<_>>>()?;
    all.sort();
    all.iter().try_for_each(|p| files(p, out))
}

fn print(path: &str, report: &Report) {
    let reason = report.reason.map(|r| format!(" ({r})")).unwrap_or_default();
    println!("{}{reason} {} {:?} {path}", report.verdict, report.coverage, report.formats);
    for gap in &report.gaps {
        println!("    gap {} {}: {}", gap.reason.name(), gap.location, gap.detail);
    }
    for f in &report.findings {
        println!("    {} {} {}: {} [{}]", f.rule, f.verdict, f.location, f.message, f.evidence);
    }
}

fn main() -> std::io::Result<()> {
    let mut all = Vec::new();
    let mut json = false;
    for arg in std::env::args_os().skip(1) {
        match arg == "--json" {
            true => json = true,
            false => files(Path::new(&arg), &mut all)?,
        }
    }
    let mut summary = BTreeMap::<String, u64>::new();
    for path in &all {
        let blob = wb_blob::Blob::from_file(std::fs::File::open(path)?)?;
        let name = path.to_string_lossy();
        let report = wb_scan::judge(&wb_scan::scan(&blob, &wb_scan::Options::default()), &name, None);
        let partial = if report.coverage == Coverage::Partial { " partial" } else { "" };
        let reason = report.reason.map(|r| format!(" {r}")).unwrap_or_default();
        *summary.entry(format!("{}{reason}{partial}", report.verdict)).or_default() += 1;
        if json {
            println!("{}", serde_json::json!({ "path": name, "report": report }));
        } else {
            print(&name, &report);
        }
    }
    if !json {
        println!("{} files: {summary:?}", all.len());
    }
    Ok(())
}
