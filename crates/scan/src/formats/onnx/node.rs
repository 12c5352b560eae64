//! Nodes: which operator they call, and with which attributes.

use super::super::protobuf::{LEN, Span};
use super::flow::{Branch, Origin, Sources, outcome};
use super::operators::{Kind, kind, normal};
use super::{Model, external, schema};
use crate::cx::Stop;
use wb_verdict::{FactKind, escape};

/// Names longer than this are cut (bytes).
const NAME: usize = 4096;

/// What an attribute says, as far as it matters.
pub(super) struct Attribute {
    name: String,
    text: String,
    branches: Vec<Branch>,
}

#[derive(Default)]
struct Node {
    name: String,
    ops: Vec<String>,
    domains: Vec<String>,
    inputs: Vec<Sources>,
    outputs: Vec<Vec<u8>>,
    attributes: Vec<Attribute>,
    branches: Vec<Branch>,
}

impl Model<'_, '_> {
    pub(super) fn node(&mut self, span: Span, place: &str) -> Result<(), Stop> {
        self.within(|m| m.node_fields(span, place))
    }

    fn node_fields(&mut self, mut span: Span, place: &str) -> Result<(), Stop> {
        const MOST_VALUES: usize = 100_000;
        const MOST_ATTRIBUTES: usize = 200;
        // More than one is told as a contradiction.
        const MOST_NAMES: usize = 8;
        self.cx.budget.entries(1)?;
        self.functions.node();
        let start = span.at;
        let (mut node, mut seen) = (Node::default(), 0);
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            if !self.expected(&schema::NODE, &f, &mut seen)? {
                continue;
            }
            match f.number {
                1 if node.inputs.len() < MOST_VALUES => {
                    let name = self.wire.bytes(&f, NAME)?;
                    // An input left out has its default.
                    let source = if name.is_empty() { [Origin::Constant; 2] } else { self.source(&name) };
                    node.inputs.push(source);
                }
                2 if node.outputs.len() < MOST_VALUES => node.outputs.push(self.wire.bytes(&f, NAME)?),
                3 => node.name = self.wire.text(&f, 256)?,
                4 if node.ops.len() < MOST_NAMES => node.ops.push(self.wire.text(&f, NAME)?),
                7 if node.domains.len() < MOST_NAMES => node.domains.push(self.wire.text(&f, NAME)?),
                5 => {
                    let mut attribute = self.attribute(f.span(), place)?;
                    node.branches.append(&mut attribute.branches);
                    if node.attributes.len() < MOST_ATTRIBUTES && !attribute.text.is_empty() {
                        node.attributes.push(attribute);
                    }
                }
                6 => self.prose(&f, "node", false)?,
                9 => self.pair(&f, "node")?,
                _ => {}
            }
        }
        if node.ops.is_empty() {
            node.ops.push(String::new());
        }
        if node.domains.is_empty() {
            node.domains.push(String::new());
        }
        // A field given twice is told; whichever a reader takes is judged.
        let mut made = [Origin::Other; 2];
        for op in &node.ops {
            for domain in &node.domains {
                made = self.operator(domain, op, &node, start, place);
            }
        }
        self.made(&node.outputs, made);
        Ok(())
    }

    /// Judges a call of an operator; returns where its outputs come from.
    fn operator(&mut self, domain: &str, op: &str, node: &Node, at: u64, place: &str) -> Sources {
        let kind = kind(domain, op);
        // A function of the same name hides nothing: a runtime that has the operator runs the operator.
        let resolved = matches!(kind, Kind::Plain | Kind::Unknown | Kind::Custom);
        if resolved && let Some(function) = self.functions.find(domain, op) {
            self.functions.call(function);
            let effect = self.functions.outcome(function).unwrap_or([Origin::Other; 2]);
            return [0, 1].map(|i| {
                let given = |from: Origin| node.inputs.iter().any(|s| s[i] == from);
                if given(Origin::Condition) {
                    effect[1]
                } else if given(Origin::Input) && !given(Origin::Other)
                    || effect[0] == Origin::Replaced && given(Origin::Input)
                {
                    effect[0]
                } else {
                    Origin::Other
                }
            });
        }
        let code = match kind {
            Kind::Plain => None,
            Kind::Python => Some("onnx-python"),
            Kind::Network => Some("onnx-network"),
            Kind::File => Some("onnx-file"),
            Kind::Compiled => Some("onnx-compiled"),
            Kind::Unknown => Some(self.names_code(node).unwrap_or("onnx-unknown")),
            Kind::Custom => Some(self.names_code(node).unwrap_or("onnx-custom")),
        };
        let Some(code) = code else {
            if normal(domain) != "ai.onnx" {
                return [Origin::Other; 2];
            }
            return [0, 1].map(|i| {
                let inputs: Vec<Origin> = node.inputs.iter().map(|s| s[i]).collect();
                outcome(op, &inputs, &node.branches)
            });
        };
        let shown = format!("{}::{}", escape(normal(domain)), escape(op));
        let detail = format!("{place}, node {}{}", escape(&node.name), attributes(node));
        self.once(code, &shown, |cx| {
            cx.fact(Some(at), FactKind::Operator { code: code.into(), op: shown.clone(), detail });
        });
        if code == "onnx-compiled" {
            self.context_path(node, at, place);
        }
        [Origin::Other; 2]
    }

    /// An operator that nobody publishes and whose attributes name a module or a library to load.
    fn names_code(&self, node: &Node) -> Option<&'static str> {
        let of = |names: &[&str]| {
            node.attributes.iter().any(|a| names.contains(&a.name.to_ascii_lowercase().as_str()))
        };
        let library = node.attributes.iter().any(|a| {
            let text = a.text.to_ascii_lowercase();
            [".so", ".dll", ".dylib", ".pyd"].iter().any(|e| text.ends_with(e)) || text.contains(".so.")
        });
        if library || of(&["library", "library_path", "lib_path", "shared_library", "dll"]) {
            Some("onnx-native")
        } else if of(&[
            "module",
            "module_name",
            "py_module",
            "pyfunc",
            "python_code",
            "callable",
            "source_code",
        ]) {
            Some("onnx-python")
        } else {
            None
        }
    }

    /// Precompiled parts may lie in another file.
    fn context_path(&mut self, node: &Node, at: u64, place: &str) {
        const LONGEST: usize = 1024;
        for a in &node.attributes {
            if a.name == "ep_cache_context"
                && a.text.len() < LONGEST
                && !a.text.contains('\u{fffd}')
                && let Some(code) = external::unsafe_location(&a.text)
            {
                let detail = format!("{place}: ep_cache_context={}", escape(&a.text));
                self.cx.fact(Some(at), FactKind::UnsafePath { code: code.into(), detail });
            }
        }
    }

    /// Reads an attribute: the graphs and tensors in it are judged, its text is kept.
    pub(super) fn attribute(&mut self, span: Span, place: &str) -> Result<Attribute, Stop> {
        self.within(|m| m.attribute_fields(span, place))
    }

    fn attribute_fields(&mut self, mut span: Span, place: &str) -> Result<Attribute, Stop> {
        const LONGEST: usize = 2048;
        let mut a = Attribute { name: String::new(), text: String::new(), branches: Vec::new() };
        let mut seen = 0;
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            if !self.expected(&schema::ATTRIBUTE, &f, &mut seen)? {
                continue;
            }
            match f.number {
                1 => a.name = self.wire.text(&f, 256)?,
                13 => self.prose(&f, "attribute", false)?,
                4 | 9 => {
                    let name = escape(&a.name);
                    self.wire.opaque(&f, &format!("attribute {name}"), self.cx)?;
                    if a.text.is_empty() {
                        a.text = self.wire.text(&f, LONGEST)?;
                    }
                }
                5 | 10 if f.wire == LEN => {
                    self.tensor(f.span(), place)?;
                }
                22 | 23 => {
                    self.sparse(f.span(), place)?;
                }
                6 | 11 => {
                    let inner = format!("{place}/{}", escape(&a.name));
                    // Paths of deeply nested graphs do not grow without end.
                    let inner = if inner.len() > 256 { place.to_string() } else { inner };
                    let branch = self.subgraph(f.span(), &inner)?;
                    a.branches.push(branch);
                }
                _ => {}
            }
        }
        Ok(a)
    }
}

/// The text attributes of a node, for evidence.
fn attributes(node: &Node) -> String {
    const MOST: usize = 6;
    const LONGEST: usize = 80;
    node.attributes.iter().take(MOST).fold(String::new(), |mut out, a| {
        let text: String = a.text.chars().take(LONGEST).collect();
        out.push_str(&format!(", {}={}", escape(&a.name), escape(&text)));
        out
    })
}
