//! Prints the fact sheet of each file or folder given: what the engine saw, before any rule judged it.

use std::path::{Path, PathBuf};

fn files(path: &Path, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_dir() {
        let mut all: Vec<_> = std::fs::read_dir(path)?.filter_map(|e| Some(e.ok()?.path())).collect();
        all.sort();
        for p in all {
            files(&p, out)?;
        }
    } else {
        out.push(path.to_path_buf());
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let mut all = Vec::new();
    for arg in std::env::args_os().skip(1) {
        files(Path::new(&arg), &mut all)?;
    }
    for path in all {
        let blob = wb_blob::Blob::from_file(std::fs::File::open(&path)?)?;
        let start = std::time::Instant::now();
        let facts = wb_scan::scan(&blob, &wb_scan::Options::default());
        let (took, size) = (start.elapsed(), facts.size);
        println!(
            "{} {:?} {size} bytes, {} read, {took:.1?}",
            path.display(),
            facts.formats,
            facts.bytes_read
        );
        for f in &facts.facts {
            println!("    {} {:?}", f.location, f.kind);
        }
        for g in &facts.gaps {
            println!("    gap {} {:?} {}", g.location, g.reason, g.detail);
        }
    }
    Ok(())
}
