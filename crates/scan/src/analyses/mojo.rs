//! `model.ini` of H2O's MOJO: a section of values, the columns, and which file of the archive holds a column's categories.
//! `hex.genmodel.ModelMojoReader` of H2O 3.46: nothing is called by name beyond H2O's own algorithms, but folders are
//! opened by the names given here when a MOJO lies unpacked.

use super::directive::{self, bounded};
use super::paths;
use wb_verdict::FactKind;

/// True if a text is such a file.
pub(crate) fn is_ini(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with("[info]") && text.contains("mojo_version")
}

/// Paths, and what reads as a command.
pub(crate) fn judge(text: &str, found: &mut dyn FnMut(FactKind)) {
    let mut section = "";
    for line in text.lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
            continue;
        }
        let path = match section {
            // `3: 10 d000.txt`
            "domains" => line.split_whitespace().nth(2),
            "info" => line.split_once('=').filter(|(k, _)| names_files(k.trim())).map(|(_, v)| v.trim()),
            _ => None,
        };
        if let Some(code) = path.and_then(|p| paths::escape_of(p.as_bytes())) {
            found(FactKind::UnsafePath { code: code.into(), detail: bounded(line) });
        }
        if section == "info"
            && let Some((code, detail)) = directive::commands(line)
        {
            found(FactKind::Directive { code: code.into(), detail });
        }
    }
}

/// Keys whose values are folders or files of the archive.
fn names_files(key: &str) -> bool {
    ["_dir", "dir_", "_file", "_path", "filename"].iter().any(|w| key.contains(w))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_outside() {
        let honest = "[info]\nmojo_version = 1.40\nsubmodel_dir_0 = models/gbm/\n\n[columns]\na\n\n[domains]\n3: 10 d000.txt\n";
        let codes = |text: &str| {
            let mut n = Vec::new();
            judge(text, &mut |f| match f {
                FactKind::UnsafePath { code, .. } | FactKind::Directive { code, .. } => n.push(code),
                other => panic!("{other:?}"),
            });
            n
        };
        assert!(is_ini(honest));
        assert_eq!(codes(honest), [""; 0]);
        assert_eq!(codes(&honest.replace("d000.txt", "../../etc/passwd")), ["traversal"]);
        assert_eq!(codes(&honest.replace("models/gbm/", "/srv/models/")), ["absolute"]);
    }
}
