//! PMML: models as XML. Evaluators compute what the elements say; what can hurt is what an XML parser resolves, functions
//! that are classes of the evaluator's language, and code in extensions.
//!
//! <https://dmg.org/pmml/v4-4-1/GeneralStructure.html>.

use super::xml::{self, Token, Xml};
use super::{Claim, Coverage, Format, Probe};
use crate::analyses::{directive, opaque};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{FactKind, escape};

/// PMML models.
pub struct Pmml;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "PMML",
    ids: &[],
    loaders: "PMML evaluators",
    judged: "entities, extensions with scripts, functions by name",
    blind: "functions registered under plain names",
    corpus: &["pmml"],
};

impl Format for Pmml {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "pmml"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        // It is text besides.
        if xml::root_is(&probe.head, "PMML") { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        read(blob, cx).inspect_err(|stop| {
            if let Stop::Malformed { at, what } = stop {
                cx.structure(*at, "pmml-malformed", what.clone());
            }
        })
    }
}

fn read(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut document = Xml::new(blob, cx)?;
    let mut element = String::new();
    while let Some((at, token)) = document.next(cx)? {
        match token {
            Token::Open { name, attributes } => {
                opened(at, xml::local(&name), &attributes, cx);
                element = name;
            }
            Token::Text(text) => {
                if text.len() >= 8 {
                    content(at, &escape(&element), &text, cx);
                }
            }
            Token::Close => {}
        }
    }
    Ok(())
}

fn opened(at: u64, name: &str, attributes: &[(String, String)], cx: &mut Cx<'_>) {
    const SCRIPTS: &[&str] = &["script", "javascript", "groovy", "python", "code", "java"];
    if SCRIPTS.contains(&name.to_ascii_lowercase().as_str()) {
        let detail = format!("element {}", escape(name));
        cx.fact(Some(at), FactKind::Directive { code: "pmml-script".into(), detail });
    }
    for (key, value) in attributes {
        let place = format!("{} {}", escape(name), escape(key));
        // Evaluators in Java load a function with a dotted name as a class.
        if name == "Apply" && key == "function" && value.contains('.') {
            let code = if dangerous_class(value) { "pmml-java-class-dangerous" } else { "pmml-java-class" };
            let detail = format!("{place}: {}", escape(value));
            cx.fact(Some(at), FactKind::Directive { code: code.into(), detail });
        }
        if value.len() >= 8 {
            content(at, &place, value, cx);
        }
        let path = matches!(
            key.to_ascii_lowercase().as_str(),
            "href" | "src" | "file" | "filename" | "path" | "uri"
        );
        if path && let Some(code) = crate::analyses::paths::escape_of(value.as_bytes()) {
            let detail = format!("{place}: {}", escape(value));
            cx.fact(Some(at), FactKind::UnsafePath { code: code.into(), detail });
        }
    }
}

fn dangerous_class(name: &str) -> bool {
    ["java.", "javax.", "jdk.", "sun.", "com.sun.", "groovy.", "org.python.", "clojure.", "bsh."]
        .iter()
        .any(|p| name.starts_with(p))
}

/// Text of an element or attribute.
fn content(at: u64, place: &str, text: &str, cx: &mut Cx<'_>) {
    xml::commands(at, place, text, cx);
    if text.len() >= 24
        && let Some(what) = directive::encoded(text)
    {
        let detail = format!("base64 in {place}");
        cx.fact(Some(at), FactKind::Hidden { code: what.into(), detail });
    }
    if text.trim_start().starts_with("#!") {
        let head = text.trim_start().as_bytes();
        if let Some(what) = opaque::executable(&Blob::from_vec(head.to_vec()), head) {
            let detail = format!("in {place}");
            cx.fact(Some(at), FactKind::Hidden { code: what.into(), detail });
        }
    }
}
