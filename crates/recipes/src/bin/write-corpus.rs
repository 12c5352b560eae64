//! Builds every recipe into a folder: `cargo run -p wb-recipes --bin write-corpus -- corpus OUT`.
//!
//! Writes `OUT/malicious/cases/<id>/…` with a `manifest.tsv`, `OUT/benign/<id>/…` for the harmless
//! recipes and `OUT/twins/<id>/…`. The folder can be judged by `cargo xtask corpus OUT`.
//! Hostile files are inert, but never load them.

use std::path::{Path, PathBuf};
use wb_recipes::{Error, Expected, read_all};

fn main() -> Result<(), Error> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(corpus), Some(out)) = (args.next(), args.next()) else {
        return Err(Error::new("usage: write-corpus CORPUS OUT"));
    };
    let mut manifest =
        "id\tpath\texpected_verdict\ttechnique\tsource\treal_loader\tformat\texpected_call\tmember\n"
            .to_owned();
    let recipes = read_all(&corpus)?;
    for r in &recipes {
        if !r.expected.is_hostile() {
            save(&out.join("benign").join(&r.id), r.build()?)?;
            continue;
        }
        let verdict = if r.expected == Expected::Malicious { "malicious" } else { "suspicious" };
        let call = r.expected_call.as_deref().unwrap_or_default();
        let member = r.member.as_deref().unwrap_or_default();
        let (id, title, source, loader, format) = (&r.id, &r.title, &r.source, &r.loader, &r.format);
        manifest += &format!(
            "{id}\tcases/{id}\t{verdict}\t{title}\t{source}\t{loader}\t{format}\t{call}\t{member}\n"
        );
        save(&out.join("malicious/cases").join(id), r.build()?)?;
        if let Some(twin) = r.twin()? {
            save(&out.join("twins").join(id), twin)?;
        }
    }
    std::fs::create_dir_all(out.join("malicious"))?;
    std::fs::write(out.join("malicious/manifest.tsv"), manifest)?;
    println!("{} recipes written to {}", recipes.len(), out.display());
    Ok(())
}

fn save(dir: &Path, files: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
    for (path, bytes) in files {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(dir))?;
        std::fs::write(path, bytes)?;
    }
    Ok(())
}
