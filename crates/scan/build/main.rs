//! Compiles the catalogue's data files into the table that the engine looks names up in.
//!
//! Nothing is parsed, allocated or initialised when a scan starts: a worker that judges one small file lives for
//! less than three milliseconds. Errors in the data are errors of the build, with file and line.

mod compile;
mod encode;
mod read;
#[path = "../src/catalogue/vocabulary.rs"]
mod vocabulary;

use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=src/catalogue");
    println!("cargo:rerun-if-changed=build");
    if let Err(e) = run() {
        // Cargo shows what a failed build script wrote.
        eprintln!("the catalogue does not compile: {e}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), String> {
    let data = Path::new("src/catalogue");
    let mut files = Vec::new();
    collect(data, data, &mut files)?;
    let table = compile::compile(&files)?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("catalogue.bin"), table).map_err(|e| format!("cannot write the table: {e}"))?;
    // Facts are kept by this digest: it covers the data, the predicates and this compiler.
    collect(Path::new("build"), Path::new("build"), &mut files)?;
    files.retain(|(name, _)| name != "tests.rs" && !name.ends_with("_tests.rs"));
    println!("cargo:rustc-env=WB_CATALOGUE_DIGEST={:016x}", digest(&files));
    Ok(())
}

/// All files under `folder`, by their path below `root`, in the order of their names.
fn collect(folder: &Path, root: &Path, out: &mut Vec<(String, String)>) -> Result<(), String> {
    let at = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(at)?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()
        .map_err(at)?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, root, out)?;
            continue;
        }
        // Editors leave files behind; a data file has one of these extensions.
        if !["toml", "tsv", "txt", "rs"].iter().any(|e| path.extension().is_some_and(|x| x == *e)) {
            continue;
        }
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        out.push((name, text));
    }
    Ok(())
}

/// FNV-1a: names a state of the data, protects nothing.
fn digest(files: &[(String, String)]) -> u64 {
    let bytes = files.iter().flat_map(|(name, text)| name.bytes().chain([0]).chain(text.bytes()).chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
