//! Wheels: zip archives of which only the `.py` members are read.

use crate::library::Library;
use std::io::{Cursor, Read};

/// Largest source file read, in bytes: what the parser takes.
const MAX_SOURCE: u64 = 8 << 20;
/// Most files of one wheel.
const MAX_FILES: usize = 100_000;
/// Most bytes of source of one wheel.
const MAX_TOTAL: u64 = 1 << 30;

/// Reads the sources of a wheel. `below` is cut off the front of each path, for archives that hold the import path in a
/// folder; files outside of it are left out.
///
/// # Errors
/// When the archive is no zip, or holds more source than any honest wheel; the text says which.
pub fn read_wheel(name: &str, version: &str, bytes: &[u8], below: &str) -> Result<Library, String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| format!("no zip archive: {e}"))?;
    if archive.len() > MAX_FILES {
        return Err(format!("more than {MAX_FILES} files"));
    }
    let mut library = Library::new(name, version);
    let mut total = 0_u64;
    for number in 0..archive.len() {
        let mut file = archive.by_index(number).map_err(|e| format!("member {number}: {e}"))?;
        let path = file.name().map_err(|e| format!("member {number}: {e}"))?.into_owned();
        let Some(path) = path.strip_prefix(below).map(installed) else { continue };
        let mut failed = None;
        library.add(&path, || {
            let mut text = Vec::new();
            match file.by_ref().take(MAX_SOURCE + 1).read_to_end(&mut text) {
                Ok(_) => {}
                Err(e) => failed = Some(e),
            }
            total += text.len() as u64;
            Some(text)
        });
        if let Some(e) = failed {
            return Err(format!("{path}: {e}"));
        }
        if total > MAX_TOTAL {
            return Err(format!("more than {MAX_TOTAL} bytes of source"));
        }
    }
    Ok(library)
}

/// Where a member is installed: a wheel's `name.data/purelib` folder is laid into the same place as the rest.
fn installed(path: &str) -> String {
    match path.split_once(".data/") {
        Some((_, rest)) => {
            rest.strip_prefix("purelib/").or_else(|| rest.strip_prefix("platlib/")).unwrap_or("").to_string()
        }
        None => path.to_string(),
    }
}
