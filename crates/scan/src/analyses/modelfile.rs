//! Ollama's Modelfiles and manifests: which files and layers creating or pulling a model opens.
//!
//! `parser/parser.go` of Ollama 0.12: instructions in any case, values bare, quoted or between triple quotes. Templates are
//! Go's `text/template`, which reaches nothing but what it is given; they are looked at as Jinja's are, because
//! other programs render them so.

use super::directive::bounded;
use super::paths;
use wb_verdict::FactKind;

const OTHERS: [&str; 8] =
    ["template", "adapter", "parameter", "system", "license", "message", "requires", "renderer"];

/// True if a text is a Modelfile.
pub(crate) fn is_modelfile(text: &str) -> bool {
    let (mut from, mut other) = (false, false);
    for (word, _) in text.lines().filter_map(instruction) {
        from |= word == "from" || word == "adapter";
        other |= OTHERS.contains(&&*word);
    }
    from && other
}

/// The first word of a line in lower case, and what follows it.
fn instruction(line: &str) -> Option<(String, &str)> {
    let (word, rest) = line.trim_start().split_once([' ', '\t'])?;
    (word.len() <= 10).then(|| (word.to_ascii_lowercase(), rest.trim()))
}

/// Paths and addresses.
pub(crate) fn judge(text: &str, found: &mut dyn FnMut(FactKind)) {
    let mut quoted = false;
    for line in text.lines() {
        let inside = quoted;
        if line.matches("\"\"\"").count() % 2 == 1 {
            quoted = !quoted;
        }
        if inside {
            continue;
        }
        let Some((word, value)) = instruction(line) else { continue };
        if !matches!(word.as_str(), "from" | "adapter" | "draft") {
            continue;
        }
        let value = value.trim_matches('"').trim();
        let detail = bounded(line);
        if let Some(code) = escape(value) {
            found(FactKind::UnsafePath { code: code.into(), detail });
        } else if value.contains("://") && !usual(value) {
            found(FactKind::Directive { code: "remote-weights".into(), detail });
        }
    }
}

fn escape(value: &str) -> Option<&'static str> {
    if value.starts_with('~') { Some("absolute") } else { paths::escape_of(value.as_bytes()) }
}

/// Registries that everybody uses, over TLS.
fn usual(value: &str) -> bool {
    ["https://ollama.com/", "https://registry.ollama.ai/", "https://hf.co/", "https://huggingface.co/"]
        .iter()
        .any(|h| value.starts_with(h))
}

/// A digest that names a blob: its file is `sha256-…` in the store, so what is no digest is a path (CVE-2024-37032).
pub(crate) fn digest(s: &str) -> Option<&'static str> {
    let hex = s.split_once([':', '-']).map(|(_, hex)| hex);
    let sound =
        hex.is_some_and(|h| (32..=128).contains(&h.len()) && h.bytes().all(|b| b.is_ascii_hexdigit()));
    if sound {
        return None;
    }
    Some(if s.contains(['/', '\\']) || s.contains("..") { "path" } else { "odd" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        judge(text, &mut |f| match f {
            FactKind::UnsafePath { code, .. } | FactKind::Directive { code, .. } => out.push(code),
            other => panic!("{other:?}"),
        });
        out
    }

    #[test]
    fn paths_in_every_spelling() {
        assert_eq!(
            codes("FROM ./model.gguf\nADAPTER lora.gguf\nFROM llama3.2:1b\nFROM hf.co/a/b:Q4_K_M\n"),
            [""; 0]
        );
        for line in ["ADAPTER ../../x", "adapter ../../x", "  Adapter\t\"../../x\"", "FROM a/../../b"] {
            assert_eq!(codes(line), ["traversal"], "{line}");
        }
        assert_eq!(codes("from /etc/x"), ["absolute"]);
        assert_eq!(codes("FROM ~/x.gguf"), ["absolute"]);
        assert_eq!(codes("FROM http://example.org/a/b"), ["remote-weights"]);
        assert_eq!(codes("SYSTEM \"\"\"\nFROM /the beginning\n\"\"\"\n"), [""; 0]);
    }

    #[test]
    fn told_by_its_instructions() {
        assert!(is_modelfile("# a comment\nfrom llama3\nparameter temperature 1\n"));
        assert!(!is_modelfile("FROM python:3\nRUN pip install x\n"));
    }

    #[test]
    fn digests() {
        let hex = "ab".repeat(32);
        assert_eq!(digest(&format!("sha256:{hex}")), None);
        assert_eq!(digest(&format!("sha256-{hex}")), None);
        assert_eq!(digest("sha256:../../../../etc/passwd"), Some("path"));
        assert_eq!(digest(&format!("sha256:{hex}/../x")), Some("path"));
        assert_eq!(digest("latest"), Some("odd"));
    }
}
