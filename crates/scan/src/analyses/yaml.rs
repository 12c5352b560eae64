//! YAML as loaders read it: all documents, anchors and merge keys followed, every tag seen. The result is the tree that a
//! JSON configuration would give, so that both are judged alike.
//!
//! PyYAML composes a document whole before it makes anything of it: what stands before an error in the same document runs
//! nothing. YAML 1.2 and the resolvers of OmegaConf 2.3 are the reference.

use super::config::targets;
use super::directive::{Finding, bounded, dangerous_name};
use saphyr_parser::{Event, Parser, Tag};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Largest text that is read as YAML, in bytes.
const MAX_TEXT: usize = 4 << 20;
/// Most nodes of a text, those that aliases repeat counted each time.
const MAX_NODES: usize = 400_000;
/// Deepest nesting: what walks the tree is recursive.
const MAX_DEPTH: usize = 100;

/// Why a text is not read as YAML.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Nothing in it that a loader could be led by.
    Plain,
    /// No YAML, or not to its end.
    Broken,
    /// Too large or too deep.
    TooMuch,
    /// Grown by aliases beyond what is followed.
    Grown,
}

/// The documents of a text.
#[derive(Debug)]
pub(crate) struct Documents {
    /// One tree each, and what equal keys hid.
    pub values: Vec<Value>,
    /// Tags with what they stand at, in short.
    pub tags: Vec<(String, String)>,
    /// Why the rest is missing.
    pub unread: Option<Unread>,
}

/// True if a text holds anything that makes YAML more than data.
fn may_matter(text: &str) -> bool {
    const SIGNS: [&str; 14] = [
        "_target_",
        "target",
        "class_path",
        "auto_map",
        "trust_remote_code",
        "chat_template",
        "weight_map",
        "flavors",
        "!!",
        " !",
        "\n!",
        "${",
        "\\",
        "_class_name",
    ];
    SIGNS.iter().any(|s| text.contains(s))
        || text.starts_with('!')
        || text.contains('&') && text.contains('*')
}

/// Reads all documents of a text.
pub(crate) fn read(text: &str) -> Documents {
    let nothing = |unread| Documents { values: Vec::new(), tags: Vec::new(), unread: Some(unread) };
    if !may_matter(text) {
        return nothing(Unread::Plain);
    }
    if text.len() > MAX_TEXT {
        return nothing(Unread::TooMuch);
    }
    let mut build = Build::default();
    let mut unread = None;
    for event in Parser::new_from_str(text) {
        let step = event.map_err(|_| Unread::Broken).and_then(|(event, _)| build.event(event));
        if let Err(e) = step {
            unread = Some(e);
            break;
        }
    }
    Documents { values: build.documents, tags: build.tags, unread }
}

#[derive(Default)]
struct Build {
    documents: Vec<Value>,
    tags: Vec<(String, String)>,
    frames: Vec<Frame>,
    anchors: HashMap<usize, (Value, usize)>,
    nodes: usize,
}

struct Frame {
    anchor: usize,
    /// Nodes counted before it began.
    since: usize,
    tag: Option<String>,
    kind: Kind,
}

enum Kind {
    Seq(Vec<Value>),
    Map { map: Map<String, Value>, key: Option<String>, hidden: Vec<Map<String, Value>> },
}

impl Build {
    fn event(&mut self, event: Event<'_>) -> Result<(), Unread> {
        match event {
            Event::Scalar(text, _, anchor, tag) => {
                self.count(1)?;
                if let Some(tag) = tag {
                    self.tag(full(&tag), bounded(&text));
                }
                self.done(Value::String(text.into_owned()), anchor, 1)
            }
            Event::Alias(anchor) => {
                // An anchor that is still open leads back to itself: nothing new is there.
                let (value, size) =
                    self.anchors.get(&anchor).map_or((Value::Null, 1), |(_, size)| (Value::Null, *size));
                self.count(size)?;
                let value = self.anchors.get(&anchor).map_or(value, |(v, _)| v.clone());
                self.done(value, 0, size)
            }
            Event::SequenceStart(anchor, tag) => self.open(anchor, tag.as_deref(), Kind::Seq(Vec::new())),
            Event::MappingStart(anchor, tag) => {
                let kind = Kind::Map { map: Map::new(), key: None, hidden: Vec::new() };
                self.open(anchor, tag.as_deref(), kind)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, nodes: usize) -> Result<(), Unread> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(Unread::Grown);
        }
        Ok(())
    }

    fn tag(&mut self, tag: String, at: String) {
        const MAX: usize = 10_000;
        if self.tags.len() < MAX {
            self.tags.push((tag, at));
        }
    }

    fn open(&mut self, anchor: usize, tag: Option<&Tag>, kind: Kind) -> Result<(), Unread> {
        if self.frames.len() >= MAX_DEPTH {
            return Err(Unread::TooMuch);
        }
        self.count(1)?;
        self.frames.push(Frame { anchor, since: self.nodes, tag: tag.map(full), kind });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Unread> {
        let Some(Frame { anchor, since, tag, kind }) = self.frames.pop() else { return Err(Unread::Broken) };
        let size = self.nodes - since + 1;
        let value = match kind {
            Kind::Seq(items) => Value::Array(items),
            Kind::Map { map, hidden, .. } => {
                self.documents.extend(hidden.into_iter().map(Value::Object));
                Value::Object(merged(map))
            }
        };
        if let Some(tag) = tag {
            self.tag(tag, bounded(&value.to_string()));
        }
        self.done(value, anchor, size)
    }

    /// A complete node goes where it belongs.
    fn done(&mut self, value: Value, anchor: usize, size: usize) -> Result<(), Unread> {
        if anchor != 0 {
            self.anchors.insert(anchor, (value.clone(), size));
            self.count(size)?;
        }
        match self.frames.last_mut().map(|f| &mut f.kind) {
            None => self.documents.push(value),
            Some(Kind::Seq(items)) => items.push(value),
            Some(Kind::Map { map, key, hidden }) => match key.take() {
                None => {
                    *key = Some(match value {
                        Value::String(s) => s,
                        other => other.to_string(),
                    });
                }
                Some(key) => {
                    if let Some(earlier) = map.insert(key.clone(), value) {
                        hidden.push(Map::from_iter([(key, earlier)]));
                    }
                }
            },
        }
        Ok(())
    }
}

/// `<<: *base`, also of several: keys of its own win.
fn merged(mut map: Map<String, Value>) -> Map<String, Value> {
    let bases = match map.get("<<") {
        Some(Value::Object(base)) => vec![base.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(|v| v.as_object().cloned()).collect(),
        _ => return map,
    };
    for (key, value) in bases.into_iter().flatten() {
        map.entry(key).or_insert(value);
    }
    map
}

fn full(tag: &Tag) -> String {
    format!("{}{}", tag.handle, tag.suffix)
}

/// What a tag makes a loader import or call.
pub(crate) fn tag(tag: &str, at: &str, found: &mut dyn FnMut(Finding<'_>)) {
    let detail = || bounded(&format!("{tag} {at}"));
    let mut say = |code| found(Finding::Directive(code, detail()));
    if let Some(python) = tag.strip_prefix("tag:yaml.org,2002:python/") {
        let Some((kind, name)) = python.split_once(':') else { return };
        match (kind, targets::code(name)) {
            // A module is imported, which no list speaks of.
            ("module", _) if !dangerous_name(name) => say("yaml-python-tag"),
            (
                "name" | "object" | "object/new" | "object/apply" | "module",
                Some("hydra-target-dangerous"),
            ) => {
                say("hydra-target-dangerous");
            }
            (_, Some("hydra-target-known")) => say("hydra-target-known"),
            (_, None) => {}
            _ => say("yaml-python-tag"),
        }
        return;
    }
    // HyperPyYAML (SpeechBrain): the name follows the tag.
    let local = tag.strip_prefix('!').unwrap_or(tag);
    let Some((kind, name)) = local.split_once(':') else { return };
    let code = targets::code(name);
    match kind {
        "name" => targets::held(name).into_iter().for_each(say),
        "new" | "apply" | "applyref" | "module" => code.into_iter().for_each(say),
        // A file whose tags are followed as well: beside this one it is judged under its own name.
        "include" => {
            if let Some("absolute") = super::paths::escape_of(name.as_bytes()) {
                found(Finding::UnsafePath("absolute", detail()));
            }
        }
        // Loaders of their own call such tags as they like.
        _ if name.contains('.') && code == Some("hydra-target-dangerous") => say("hydra-target-dangerous"),
        _ => {}
    }
}

/// Resolvers of OmegaConf in the texts of a tree. What they are is the program's matter; these are known for what they do.
pub(crate) fn resolvers(value: &Value, found: &mut dyn FnMut(Finding<'_>)) {
    match value {
        Value::String(s) => {
            for (at, _) in s.match_indices("${") {
                let rest = &s[at + 2..];
                let end = rest
                    .find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.'))
                    .unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                if !after.starts_with(':') {
                    continue;
                }
                let variable =
                    after.trim_start_matches(':').split([',', '}']).next().unwrap_or("").to_ascii_uppercase();
                let secret = ["TOKEN", "SECRET", "PASSW", "CREDENTIAL", "PRIVATE", "API_KEY", "ACCESS_KEY"];
                let code = match name {
                    "oc.env" if secret.iter().any(|w| variable.contains(w)) => "config-resolver",
                    "oc.env" | "env" => "config-environment",
                    "eval" | "exec" | "py" | "python" | "shell" | "sh" | "cmd" | "command" | "system"
                    | "import" | "call" | "instantiate" | "subprocess" | "os" | "lambda" | "getattr" => {
                        "config-resolver"
                    }
                    _ => continue,
                };
                found(Finding::Directive(code, bounded(s)));
            }
        }
        Value::Array(items) => items.iter().for_each(|v| resolvers(v, found)),
        Value::Object(map) => map.values().for_each(|v| resolvers(v, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyses::directive::in_json;

    fn codes(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        let read = read(text);
        let mut found = |f: Finding<'_>| {
            out.push(match f {
                Finding::Directive(code, _) => code.to_string(),
                Finding::Own { code, .. } => code.to_string(),
                Finding::UnsafePath(code, _) => format!("path {code}"),
                Finding::Template(..) => "template".into(),
                Finding::Opens { code, path, .. } => format!("opens {code} {path}"),
            });
        };
        for value in &read.values {
            in_json(value, "", &mut found);
            resolvers(value, &mut found);
        }
        for (name, at) in &read.tags {
            tag(name, at, &mut found);
        }
        if let Some(why) = read.unread {
            out.push(format!("{why:?}"));
        }
        out
    }

    #[test]
    fn a_target_in_every_spelling() {
        for text in [
            "a: {_target_: os.system}",
            "a:\n  - b:\n      ? _target_\n      : os.system\n",
            "a: {\"\\x5ftarget_\": os.system}",
            "a: {\"_tar\\\n  get_\": os.system}",
            "n: &k _target_\na:\n  *k : os.system\n",
            "n: &v os.system\na:\n  _target_: *v\n",
            "n: &b {_target_: os.system}\na:\n  <<: *b\n  x: 1\n",
            "a:\n  _target_: >-\n    os.system\n",
            "x: 1\n---\n_target_: os.system\n",
            "a: {_target_: os.system, _target_: torch.nn.Linear}",
            "_target_: !!str os.system",
            "a: !!python/object/apply:os.system [echo]",
            "a: !<tag:yaml.org,2002:python/object/apply:os.system> [echo]",
            "%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system [echo]",
            "a: !!python/name:os.system",
            "a: !apply:os.system [echo]",
            "a: !applyref:os.system [echo]",
            "a: !new:subprocess.Popen\n  args: [echo]\n",
        ] {
            assert!(codes(text).contains(&"hydra-target-dangerous".to_string()), "{text}: {:?}", codes(text));
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "a: {_target_: torch.nn.Linear, in_features: 3}",
            "# _target_: os.system\na: 1",
            "a: \"say _target_: os.system\"",
            "a: !!python/tuple [1, 2]",
            "lr: ${multiply:2,${model.lr}}\ntarget: 1e-2",
            "a: !ref <b>",
        ] {
            assert_eq!(codes(text), [""; 0], "{text}");
        }
        assert_eq!(codes("a: 1\nb: text\n"), ["Plain"]);
        assert_eq!(codes("a: [${oc.env:HOME}"), ["Broken"]);
        assert_eq!(codes("a: ${oc.env:HOME}"), ["config-environment"]);
        assert_eq!(codes("a: ${oc.env:AWS_SECRET_ACCESS_KEY}"), ["config-resolver"]);
        assert_eq!(codes("a: ${eval:\"1\"}"), ["config-resolver"]);
    }

    #[test]
    fn bombs_end() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let list = vec![format!("*a{}", n - 1); 10].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{list}]\n"));
        }
        assert_eq!(codes(&text), ["Grown"]);
        let deep = format!("target: {}{}", "[".repeat(50_000), "]".repeat(50_000));
        assert!(codes(&deep).iter().any(|c| c == "TooMuch" || c == "Broken"));
        assert_eq!(codes("a: &a [*a, {target: x}]"), [""; 0]);
    }
}
