//! Files and addresses that layers read when they are rebuilt (CVE-2025-12058): vocabularies, weights, SavedModels.

use crate::analyses::paths;

/// Where a name of a file leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leads {
    /// To an address, or to a place of its own on the machine.
    Outside,
    /// To a file beside the model or in the folder where the program runs.
    Beside,
}

/// Keys of Keras's own classes whose text is a file to read.
pub(super) const FILE_KEYS: &[&str] = &["vocabulary", "idf_weights", "vocabulary_file", "filepath"];

/// Where `name` leads.
pub(super) fn leads(name: &str) -> Leads {
    let name = name.trim();
    let scheme = name.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.len() > 1
            && (rest.starts_with('/') || matches!(scheme, "data" | "file"))
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-'))
    });
    if scheme || name.starts_with(['~', '$', '%']) || paths::escape_of(name.as_bytes()).is_some() {
        Leads::Outside
    } else {
        Leads::Beside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for name in [
            "/etc/hostname",
            "http://x.invalid/v",
            "gs://b/v",
            "../v",
            "a/../../v",
            "C:\\v",
            "~/v",
            "file:/x",
            "\\\\host\\v",
        ] {
            assert_eq!(leads(name), Leads::Outside, "{name}");
        }
        for name in ["vocab.txt", "assets/vocab.txt", "ab:c", "x/y"] {
            assert_eq!(leads(name), Leads::Beside, "{name}");
        }
    }
}
