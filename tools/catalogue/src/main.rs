//! Derives the catalogue of names from the sources of pinned library versions. Nothing of them is imported or run.

mod fetch;
mod output;
mod pins;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use wb_derive::Library;

#[derive(Parser)]
#[command(name = "catalogue-tool", about = "derives the catalogue from pinned library sources")]
struct Cli {
    /// folder of downloaded artefacts, outside of the repository
    #[arg(long)]
    cache: PathBuf,
    /// which versions are read
    #[arg(long, default_value = "tools/catalogue/versions.toml")]
    versions: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// downloads what is missing in the cache and checks every digest
    Fetch {
        /// only these distributions
        only: Vec<String>,
    },
    /// judges every name of every version in the cache and writes the tables
    Derive {
        /// only these distributions; `cpython` is the standard library
        only: Vec<String>,
        /// folder of the standard library of a version: 3.11=/usr/lib/python3.11
        #[arg(long, value_parser = pair)]
        stdlib: Vec<(String, PathBuf)>,
        /// folder the tables are written to
        #[arg(long, default_value = "crates/scan/src/catalogue/derived")]
        out: PathBuf,
        /// writes why names are not proved, one line each, to this file
        #[arg(long)]
        refused: Option<PathBuf>,
    },
}

fn pair(text: &str) -> Result<(String, PathBuf), String> {
    let (version, path) = text.split_once('=').ok_or("VERSION=PATH expected")?;
    Ok((version.into(), path.into()))
}

/// What other distributions are built on: their newest versions are read along.
const FOUNDATIONS: &[&str] =
    &["numpy", "scipy", "joblib", "scikit-learn", "pandas", "torch", "huggingface-hub", "six"];

fn main() -> Result<()> {
    let cli = Cli::parse();
    let pins = pins::read(&cli.versions)?;
    match cli.command {
        Command::Fetch { only } => fetch::all(&cli.cache, &pins, &only),
        Command::Derive { only, stdlib, out, refused } => {
            let wanted = |name: &str| only.is_empty() || only.iter().any(|o| o == name);
            let newest = match stdlib.last() {
                Some((version, path)) => standard(version, path)?,
                None => bail!("the standard library is needed: --stdlib 3.11=/usr/lib/python3.11"),
            };
            let mut reasons = String::new();
            if wanted("cpython") {
                let mut table = output::Table::new("cpython", &["builtins".to_string()], false);
                for (version, path) in &stdlib {
                    let library = standard(version, path)?;
                    table.add(version, &[&library], &mut reasons)?;
                }
                table.set_top_levels();
                table.write(&out)?;
            }
            let mut foundations = Vec::new();
            for name in FOUNDATIONS {
                let Some(pin) = pins.iter().find(|p| p.name == *name) else { continue };
                for artefact in pin.artefacts.iter().rev() {
                    if let Some(library) = pins::open(&cli.cache, pin, artefact)? {
                        foundations.push(library);
                        break;
                    }
                }
            }
            let mut tables: Vec<output::Table> = Vec::new();
            for pin in pins.iter().filter(|p| wanted(&p.name)) {
                let at = match tables.iter().position(|t| t.shares(&pin.modules)) {
                    Some(at) => {
                        tables[at].join(&pin.name, &pin.modules);
                        at
                    }
                    None => {
                        tables.push(output::Table::new(&pin.name, &pin.modules, pin.open));
                        tables.len() - 1
                    }
                };
                for artefact in &pin.artefacts {
                    let Some(library) = pins::open(&cli.cache, pin, artefact)? else {
                        eprintln!("{} {}: not in the cache, or no wheel", pin.name, artefact.version);
                        continue;
                    };
                    let mut all = vec![&library];
                    all.extend(foundations.iter().filter(|f| f.name != pin.name));
                    all.push(&newest);
                    tables[at].add(&artefact.version, &all, &mut reasons)?;
                }
            }
            for table in &tables {
                table.write(&out)?;
            }
            if let Some(path) = refused {
                std::fs::write(&path, reasons).with_context(|| path.display().to_string())?;
            }
            Ok(())
        }
    }
}

/// The sources of a standard library.
fn standard(version: &str, root: &Path) -> Result<Library> {
    let mut library = Library::new("cpython", version);
    let mut folders = vec![root.to_path_buf()];
    const LEFT_OUT: [&str; 8] = [
        "test",
        "tests",
        "site-packages",
        "dist-packages",
        "idlelib",
        "lib2to3",
        "turtledemo",
        "__pycache__",
    ];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() {
                if !LEFT_OUT.contains(&name.as_str()) && !name.starts_with("config-") {
                    folders.push(path);
                }
                continue;
            }
            let below = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            let below = below.strip_prefix("lib-dynload/").unwrap_or(&below).to_string();
            library.add(&below, || std::fs::read(&path).ok());
        }
    }
    Ok(library)
}
