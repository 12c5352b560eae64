//! What running a graph does, operator by operator. An operator is harmless only by its exact name, or because the
//! file it uses is shown to be the model's own.

use super::origin::{Index, Origin, Scope};
use super::{Graph, Node};
use crate::analyses::paths;
use crate::catalogue::tensorflow::{self, Effect, NameAt, Operator};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use wb_verdict::{FactKind, escape};

/// One thing a graph does.
pub(crate) struct Found {
    pub at: u64,
    pub kind: FactKind,
}

/// Equal effects told per graph; a graph of a thousand unknown nodes is told in a few.
const MAX_EACH: u32 = 20;

/// Judges every node of a graph and of its functions.
pub(crate) fn judge(graph: &Graph, found: &mut dyn FnMut(Found)) {
    let mut judge = Judge { graph, index: None, reached: None, restored: None, told: HashMap::new(), found };
    let defined: HashSet<&str> = graph.functions.iter().map(|f| &f.name[..]).collect();
    judge.scope(None, &defined);
    for (i, f) in graph.functions.iter().enumerate() {
        judge.scope(Some(i), &defined);
        for name in &f.functions {
            if !defined.contains(&name[..]) {
                judge.missing(Some(i), &Node { name: f.name.clone(), ..Node::default() }, name);
            }
        }
    }
}

struct Judge<'g, 'f> {
    graph: &'g Graph,
    index: Option<Index<'g>>,
    reached: Option<HashSet<(Scope, usize)>>,
    restored: Option<HashSet<(Scope, usize)>>,
    /// How often an effect of an operator was told, by hash.
    told: HashMap<u64, u32>,
    found: &'f mut dyn FnMut(Found),
}

/// What savers put before, behind and instead of their file name.
fn savers_own(text: &[u8]) -> bool {
    let hex = |t: &[u8]| t.iter().all(|b| b.is_ascii_hexdigit() || *b == b'_');
    matches!(text, b"" | b"model" | b".part" | b"_temp/part" | b"/part" | b"part")
        || text.strip_prefix(b"_temp_").and_then(|t| t.strip_suffix(b"/part")).is_some_and(hex)
}

/// Is it the saver's file name, with nothing added that would lead elsewhere?
pub(super) fn is_savers(origin: &Origin) -> bool {
    let named = origin.saver || origin.texts.iter().any(|t| t == b"model");
    named && !origin.unknown && !origin.given && !origin.asset && origin.texts.iter().all(|t| savers_own(t))
}

impl<'g> Judge<'g, '_> {
    fn scope(&mut self, scope: Scope, defined: &HashSet<&str>) {
        let graph = self.graph;
        let nodes = match scope {
            None => &graph.nodes,
            Some(f) => &graph.functions[f].nodes,
        };
        for (i, node) in nodes.iter().enumerate() {
            for op in &node.ops {
                match tensorflow::operator(op) {
                    Some(Operator::Harmless) => {}
                    Some(Operator::Effect(effect, at)) => self.effect(scope, i, node, op, effect, at),
                    None if defined.contains(&op[..]) => {}
                    None => self.tell("tf-unknown", scope, node, op, ""),
                }
            }
            if node.ops.is_empty() {
                self.tell("tf-unknown", scope, node, "(none)", "");
            }
            for name in node.functions.iter().filter(|f| !defined.contains(&f[..])) {
                self.missing(scope, node, name);
            }
        }
    }

    /// A function that the library lacks: some runtimes take an operator of that name.
    fn missing(&mut self, scope: Scope, node: &Node, name: &str) {
        match tensorflow::operator(name) {
            Some(Operator::Harmless) => {}
            Some(Operator::Effect(effect, _)) => {
                self.tell(code(effect), scope, node, name, "named as a function")
            }
            None => self.tell("tf-missing-function", scope, node, name, ""),
        }
    }

    fn tell(&mut self, code: &str, scope: Scope, node: &Node, op: &str, more: &str) {
        let mut hash = DefaultHasher::new();
        (code, op).hash(&mut hash);
        let told = self.told.entry(hash.finish()).or_default();
        *told += 1;
        if *told > MAX_EACH {
            return;
        }
        let cut = |s: &str| escape(&s.chars().take(100).collect::<String>());
        let mut detail = format!("node {}", cut(&node.name));
        if let Some(f) = scope {
            detail.push_str(&format!(" of function {}", cut(&self.graph.functions[f].name)));
        }
        for part in [&self.graph.place[..], more] {
            if !part.is_empty() {
                detail.push_str(", ");
                detail.push_str(part);
            }
        }
        let kind = FactKind::Operator { code: code.into(), op: cut(op), detail };
        (self.found)(Found { at: node.at, kind });
    }

    fn index(&mut self) -> &Index<'g> {
        self.index.get_or_insert_with(|| Index::new(self.graph))
    }

    fn is_reached(&mut self, at: (Scope, usize)) -> bool {
        if self.reached.is_none() {
            let graph = self.graph;
            self.reached = Some(self.index().reachable(&graph.roots));
        }
        self.reached.as_ref().is_some_and(|r| r.contains(&at))
    }

    /// Run when the checkpoint is restored, which is at loading.
    fn is_restored(&mut self, at: (Scope, usize)) -> bool {
        if self.restored.is_none() {
            let graph = self.graph;
            self.restored = Some(self.index().reachable(&graph.restores));
        }
        self.restored.as_ref().is_some_and(|r| r.contains(&at))
    }

    fn effect(&mut self, scope: Scope, i: usize, node: &'g Node, op: &str, effect: Effect, at: NameAt) {
        match effect {
            Effect::Network | Effect::Python | Effect::Native | Effect::Reader => {
                let files =
                    if effect == Effect::Reader { "reads the files that its queue names" } else { "" };
                self.tell(code(effect), scope, node, op, files);
            }
            Effect::Debug | Effect::Copy | Effect::Print | Effect::Optional | Effect::Descriptor => {
                self.by_attribute(scope, node, op, effect, at);
            }
            Effect::Graph => self.graph_as_data(scope, node, op, at),
            Effect::Write | Effect::Cache | Effect::Read | Effect::Save | Effect::Restore => match at {
                NameAt::Attribute(_) => self.by_attribute(scope, node, op, effect, at),
                NameAt::Inputs(inputs) => {
                    let names: Vec<usize> = inputs.split(',').filter_map(|n| n.parse().ok()).collect();
                    self.by_inputs(scope, i, node, op, effect, &names);
                }
                NameAt::Nowhere => self.tell(code(effect), scope, node, op, ""),
            },
        }
    }

    fn by_attribute(&mut self, scope: Scope, node: &Node, op: &str, effect: Effect, at: NameAt) {
        let NameAt::Attribute(key) = at else { return self.tell(code(effect), scope, node, op, "") };
        let values = node.texts.iter().filter(|(k, v)| k == key && !v.is_empty()).map(|(_, v)| &v[..]);
        let told = |v: &[u8]| match effect {
            Effect::Print => {
                !matches!(v, b"stdout" | b"stderr" | b"log(info)" | b"log(warning)" | b"log(error)")
            }
            Effect::Descriptor => v != b"local://" && !v.starts_with(b"bytes://"),
            _ => true,
        };
        let named: Vec<String> = values.filter(|v| told(v)).take(4).map(short).collect();
        let optional = matches!(effect, Effect::Copy | Effect::Print | Effect::Optional | Effect::Descriptor);
        if optional && named.is_empty() {
            return;
        }
        let more = if named.is_empty() { String::new() } else { format!("given {}", named.join(", ")) };
        self.tell(code(effect), scope, node, op, &more);
    }

    fn by_inputs(
        &mut self,
        scope: Scope,
        i: usize,
        node: &'g Node,
        op: &str,
        effect: Effect,
        names: &[usize],
    ) {
        let inputs: Vec<&'g String> = node.inputs.iter().filter(|i| !i.starts_with('^')).collect();
        for (n, at) in names.iter().enumerate() {
            let origin = match inputs.get(*at) {
                Some(&input) => self.index().origin(scope, input),
                None => Origin { unknown: true, ..Origin::default() },
            };
            let savers = matches!(effect, Effect::Save | Effect::Restore) && is_savers(&origin);
            let (writes, here) = (effect == Effect::Save, (scope, i));
            if savers && !self.is_reached(here) && !(writes && self.is_restored(here)) {
                continue;
            }
            let constant = !origin.given && !origin.unknown && !origin.saver && !origin.asset;
            if effect == Effect::Cache && constant && origin.texts.iter().all(Vec::is_empty) {
                continue;
            }
            let own = origin.asset
                && !origin.given
                && !origin.unknown
                && origin.texts.iter().all(|t| joins_inside(t));
            if effect == Effect::Read && own {
                continue;
            }
            let given = origin.given
                && !origin.unknown
                && !origin.saver
                && origin.texts.iter().all(|t| harmless_part(t));
            let code = if given { "tf-file-given" } else { code(effect) };
            let mut more = format!("given {}", origin.say());
            if savers {
                more.push_str(", run by loading or serving instead of by the saver");
            }
            self.tell(code, scope, node, op, &more);
            // One name is enough, and the first that leads outside says most.
            if n + 1 < names.len() && code != "tf-file-given" {
                break;
            }
        }
    }

    fn graph_as_data(&mut self, scope: Scope, node: &'g Node, op: &str, at: NameAt) {
        let NameAt::Inputs(_) = at else { return self.tell("tf-graph", scope, node, op, "") };
        let input = node.inputs.iter().find(|i| !i.starts_with('^'));
        let constants = input.map(|i| self.index().origin(scope, i));
        let judged = constants.is_some_and(|o| {
            let constant = !(o.given || o.unknown || o.saver || o.asset || o.texts.is_empty());
            constant && o.texts.len() == o.graphs
        });
        if !judged {
            self.tell("tf-graph", scope, node, op, "");
        }
    }
}

fn short(text: &[u8]) -> String {
    format!("\"{}\"", wb_verdict::escape_bytes(&text[..text.len().min(120)]))
}

/// Joined to an asset's path, does it stay in the model's folder?
fn joins_inside(text: &[u8]) -> bool {
    text.is_empty() || (paths::escape_of(text).is_none() && !text.contains(&b':'))
}

/// Joined to a name that the caller gives, does it still lead where the caller meant?
fn harmless_part(text: &[u8]) -> bool {
    joins_inside(text)
}

fn code(effect: Effect) -> &'static str {
    match effect {
        Effect::Write | Effect::Save | Effect::Cache | Effect::Debug | Effect::Copy | Effect::Print => {
            "tf-file-write"
        }
        Effect::Read | Effect::Restore | Effect::Reader | Effect::Optional | Effect::Descriptor => {
            "tf-file-read"
        }
        Effect::Network => "tf-network",
        Effect::Python => "tf-python",
        Effect::Graph => "tf-graph",
        Effect::Native => "tf-native",
    }
}
