//! Configurations of spaCy (`config.cfg`) and thinc: sections of keys whose values are JSON. `@kind = "name"` makes the
//! loader call the function that is registered under that name, with what else stands in the section. Nothing is imported by
//! name: a function is one of spaCy's, of an add-on that is installed, or of code that its user imports.
//!
//! `confection._parser` and `_registry`, `Language.from_config`, `spacy.util.load_model` are the reference.

mod read;

use super::directive::{Finding, bounded, dangerous_name};
use super::{jinja, paths};
use read::{Entry, Table};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::LazyLock;
use wb_verdict::{FactKind, escape};

static NAMES: LazyLock<HashSet<(&str, &str)>> = LazyLock::new(|| {
    let lines = include_str!("names.txt").lines();
    lines.filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(' ')).collect()
});

/// True if a text is such a configuration.
pub(crate) fn is_config(text: &str) -> bool {
    let sections = ["[nlp]", "[components", "[training", "[initialize", "[model", "[paths]"];
    let mut section = false;
    for line in text.lines() {
        section |= sections.iter().any(|s| line.starts_with(s));
        if section && (line.starts_with("@") || line.contains("\"@")) || line.trim_end() == "[nlp]" {
            return true;
        }
    }
    false
}

/// Judges a configuration.
pub(crate) fn judge(text: &str, found: &mut dyn FnMut(FactKind)) {
    let table = read::table(text);
    for entry in &table.entries {
        key(entry, &table, found);
    }
}

fn directive(code: &str, place: &str, text: &str) -> FactKind {
    FactKind::Directive { code: code.into(), detail: format!("{}: {}", escape(place), bounded(text)) }
}

fn key(e: &Entry, table: &Table, found: &mut dyn FnMut(FactKind)) {
    let place = format!("[{}] {}", e.section, e.key);
    value(&e.key, &e.value, &place, e, table, found);
}

/// One value, and what is nested in it: an object with an `@` key is a call as well.
fn value(key: &str, v: &Value, place: &str, e: &Entry, table: &Table, found: &mut dyn FnMut(FactKind)) {
    match v {
        Value::Object(map) => {
            let copies = map.iter().any(|(k, v)| {
                k.starts_with('@') && v.as_str().is_some_and(|s| s.contains("copy_from_base_model"))
            });
            for k in ["tokenizer", "vocab"].iter().filter(|_| copies && at_load(&e.section)) {
                if let Some(Value::String(s)) = map.get(*k) {
                    source(&table.resolve(s), place, found);
                }
            }
            for (k, v) in map {
                value(k, v, &format!("{place}.{k}"), e, table, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|v| value("", v, place, e, table, found)),
        Value::String(s) => {
            let resolved = table.resolve(s);
            text(key, &resolved, place, e, table, found);
        }
        Value::Bool(true) if key == "trust_remote_code" => {
            found(directive("remote-code", place, "true"));
        }
        _ => {}
    }
}

/// True where `Language.from_config` resolves a section: the rest waits for a training.
fn at_load(section: &str) -> bool {
    section == "nlp" || section.starts_with("nlp.") || section.starts_with("components")
}

fn text(key: &str, s: &str, place: &str, e: &Entry, table: &Table, found: &mut dyn FnMut(FactKind)) {
    if let Some(kind) = key.strip_prefix('@') {
        return name(kind, s, place, e, found);
    }
    if s.contains("{{") || s.contains("{%") {
        found(jinja::analyse(s).into_fact());
    }
    match key {
        "factory" if at_load(&e.section) => name("factories", s, place, e, found),
        // Another pipeline, from a folder or from a package of this name, which is imported.
        "source" if e.section.starts_with("components") => source(s, place, found),
        // Where they are used it is for a training, and resolved by `initialize`.
        "tokenizer" | "vocab" if at_load(&e.section) && table.calls(&e.section, "copy_from_base_model") => {
            source(s, place, found);
        }
        _ if at_load(&e.section) && path_like(key) => {
            if let Some(code) = paths::escape_of(s.as_bytes()) {
                found(FactKind::UnsafePath {
                    code: code.into(),
                    detail: format!("{}: {}", escape(place), bounded(s)),
                });
            }
        }
        _ if e.section.ends_with(".model") && key.contains("endpoint") && s.contains("://") => {
            // Services of language models are asked with the key of the user when the pipeline is loaded.
            found(directive("spacy-endpoint", place, s));
        }
        _ => {}
    }
    let mut told = |f: Finding<'_>| {
        if let Finding::Directive(code, detail) = f {
            found(FactKind::Directive { code: code.into(), detail: format!("{}: {detail}", escape(place)) });
        }
    };
    if let Some((code, detail)) = super::directive::expression(s) {
        told(Finding::Directive(code, detail));
    }
}

fn path_like(key: &str) -> bool {
    ["path", "file", "dir", "loc"].iter().any(|w| key == *w || key.ends_with(&format!("_{w}")))
}

fn source(s: &str, place: &str, found: &mut dyn FnMut(FactKind)) {
    let outside = paths::escape_of(s.as_bytes()).is_some() || s.starts_with('~') || s.contains("://");
    found(directive(if outside { "spacy-source-outside" } else { "spacy-source" }, place, s));
}

/// The name of a registered function.
fn name(kind: &str, s: &str, place: &str, e: &Entry, found: &mut dyn FnMut(FactKind)) {
    if s.contains("${") || s.contains("__SECTION__") {
        return found(directive("spacy-computed-name", place, s));
    }
    let legacy = s.strip_prefix("spacy.").map(|rest| format!("spacy-legacy.{rest}"));
    let known = NAMES.contains(&(kind, s)) || legacy.is_some_and(|l| NAMES.contains(&(kind, &l)));
    if known {
        return;
    }
    // Components of a language of its own are registered as `xx.lemmatizer` and the like.
    let own = kind == "factories"
        && s.split_once('.').is_some_and(|(lang, f)| lang.len() <= 3 && NAMES.contains(&(kind, f)));
    if own {
        return;
    }
    let code = if s.contains('.') && dangerous_name(s) { "hydra-target-dangerous" } else { "spacy-addon" };
    let when = if at_load(&e.section) { "" } else { " (not before a training)" };
    found(directive(code, place, &format!("{s}{when}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        judge(text, &mut |f| {
            out.push(match f {
                FactKind::Directive { code, .. } => code,
                FactKind::UnsafePath { code, .. } => format!("path-{code}"),
                FactKind::Template { code, .. } => format!("template-{code}"),
                other => panic!("{other:?}"),
            });
        });
        out
    }

    #[test]
    fn what_a_configuration_names() {
        let honest = "[nlp]\nlang = \"en\"\n\n[components.ner]\nfactory = \"ner\"\n\n[components.ner.model]\n\
            @architectures = \"spacy.TransitionBasedParser.v1\"\nnO = null\n[components.l]\nfactory = \"de.lemmatizer\"\n";
        assert_eq!(codes(honest), [""; 0]);
        let of = |line: &str| codes(&format!("[vars]\nf = \"mine.make.v1\"\n[nlp]\n{line}\n"));
        assert_eq!(of("@callbacks = \"mine.make.v1\""), ["spacy-addon"]);
        assert_eq!(of("@callbacks : \"mine.make.v1\""), ["spacy-addon"]);
        assert_eq!(of("before_creation = {\"@callbacks\": \"mine.make.v1\"}"), ["spacy-addon"]);
        assert_eq!(of("before_creation = {\n  \"@callbacks\":\n  \"mine.make.v1\"}"), ["spacy-addon"]);
        assert_eq!(of("x = [{\"a\": [{\"@callbacks\": \"mine.make.v1\"}]}]"), ["spacy-addon"]);
        assert_eq!(of("@callbacks = ${vars.f}"), ["spacy-addon"]);
        assert_eq!(of("@callbacks = ${vars:f}"), ["spacy-addon"]);
        assert_eq!(of("@callbacks = ${vars.other}"), ["spacy-computed-name"]);
        assert_eq!(of("@callbacks = \"os.system\""), ["hydra-target-dangerous"]);
    }

    #[test]
    fn other_pipelines_and_files() {
        let of = |line: &str| codes(&format!("[components.ner]\n{line}\n"));
        assert_eq!(of("source = \"en_core_web_sm\""), ["spacy-source"]);
        assert_eq!(of("source = \"/srv/other\""), ["spacy-source-outside"]);
        assert_eq!(of("kb_path = \"../../kb\""), ["path-traversal"]);
        assert_eq!(of("x = {\"trust_remote_code\": true}"), ["remote-code"]);
        let copy =
            "[nlp.before_creation]\n@callbacks = \"spacy.copy_from_base_model.v1\"\nvocab = \"../x\"\n";
        assert_eq!(codes(copy), ["spacy-source-outside"]);
        let inline =
            "[nlp]\nx = {\"@callbacks\": \"spacy.copy_from_base_model.v1\", \"vocab\": \"/srv/x\"}\n";
        assert_eq!(codes(inline), ["spacy-source-outside"]);
        let later = copy.replace("nlp.before_creation", "initialize.before_init");
        assert_eq!(codes(&later), [""; 0]);
    }

    #[test]
    fn told_by_its_sections() {
        assert!(is_config("[nlp]\nlang = \"en\"\n"));
        assert!(is_config("[model]\n@layers = \"Relu.v1\"\n"));
        assert!(!is_config("[model]\nlayers = 3\n"));
        assert!(!is_config("@dataclass\nclass A:\n    pass\n"));
    }
}
