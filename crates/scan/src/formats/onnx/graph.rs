//! Graphs and functions: their tensors first, then their nodes.

use super::super::protobuf::{Field, LEN, Span};
use super::flow::{Branch, Flow, Origin, Sources};
use super::{Model, schema};
use crate::cx::Stop;
use wb_verdict::{FactKind, escape_bytes};

/// Names longer than this are cut (bytes).
const NAME: usize = 4096;

impl Model<'_, '_> {
    /// Reads the graph of the model, or one that trains it.
    pub(super) fn graph(&mut self, span: Span, place: &str) -> Result<(), Stop> {
        let (flow, outputs) = self.graph_with(span, place, [Origin::Input, Origin::Input])?;
        self.flows.push(flow);
        let replaced: Vec<Vec<u8>> =
            outputs.iter().filter(|o| self.source(o)[0] == Origin::Replaced).cloned().collect();
        let flow = self.flows.pop().unwrap_or_default();
        // A graph that declares no outputs has all its values as outputs.
        let undeclared = outputs.is_empty() && flow.any_replaced();
        for output in replaced.iter().take(10) {
            self.trigger(span, place, &format!("output {}", escape_bytes(output)));
        }
        if undeclared {
            self.trigger(span, place, "a value");
        }
        Ok(())
    }

    fn trigger(&mut self, span: Span, place: &str, what: &str) {
        let detail = format!(
            "{what} of {place} is a constant of the file or not, as a comparison of the input has it"
        );
        let op = "branch".to_string();
        self.cx.fact(Some(span.at), FactKind::Operator { code: "onnx-trigger".into(), op, detail });
    }

    /// Reads a graph inside a node; its values are seen through those of the graphs around it.
    pub(super) fn subgraph(&mut self, span: Span, place: &str) -> Result<Branch, Stop> {
        let (flow, outputs) = self.within(|m| m.graph_with(span, place, [Origin::Other, Origin::Other]))?;
        self.flows.push(flow);
        let sources: Vec<Origin> = outputs.iter().map(|o| self.source(o)[0]).collect();
        let flow = self.flows.pop().unwrap_or_default();
        Ok(if outputs.is_empty() {
            // Whoever declares nothing is judged by what there is.
            Branch { constant: flow.all_constant(), replaced: flow.any_replaced() }
        } else {
            Branch {
                constant: sources.iter().all(|s| *s == Origin::Constant),
                replaced: sources.contains(&Origin::Replaced),
            }
        })
    }

    /// Reads a graph whose inputs are what is given; returns its values and the names of its outputs.
    fn graph_with(&mut self, span: Span, place: &str, inputs: Sources) -> Result<(Flow, Vec<Vec<u8>>), Stop> {
        self.flows.push(Flow::default());
        let done = self.tensors_first(span, place, inputs).and_then(|()| self.nodes(span, place));
        let flow = self.flows.pop().unwrap_or_default();
        Ok((flow, done?))
    }

    /// The tensors and inputs of a graph, which stand behind the nodes that use them.
    fn tensors_first(&mut self, mut span: Span, place: &str, inputs: Sources) -> Result<(), Stop> {
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            match (f.number, f.wire) {
                (5, LEN) => {
                    let name = self.tensor(f.span(), place)?;
                    self.set(name.as_bytes(), [Origin::Constant; 2]);
                }
                (15, LEN) => {
                    let name = self.sparse(f.span(), place)?;
                    self.set(name.as_bytes(), [Origin::Constant; 2]);
                }
                (11, LEN) => {
                    let name = self.name_in(&f)?;
                    // Older models list their tensors as inputs too.
                    if self.flows.last().is_some_and(|flow| flow.get(&name).is_none()) {
                        self.set(&name, inputs);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Everything else; returns the names of outputs.
    fn nodes(&mut self, mut span: Span, place: &str) -> Result<Vec<Vec<u8>>, Stop> {
        const MOST_OUTPUTS: usize = 10_000;
        let (mut seen, mut outputs) = (0, Vec::new());
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            if !self.expected(&schema::GRAPH, &f, &mut seen)? {
                continue;
            }
            match f.number {
                1 => self.node(f.span(), place)?,
                10 => self.prose(&f, "graph", false)?,
                12 if outputs.len() < MOST_OUTPUTS => outputs.push(self.name_in(&f)?),
                16 => self.pair(&f, "graph")?,
                _ => {}
            }
        }
        Ok(outputs)
    }

    /// The first field of a message: the name of an input or output.
    fn name_in(&mut self, f: &Field) -> Result<Vec<u8>, Stop> {
        let mut span = f.span();
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            if (f.number, f.wire) == (1, LEN) {
                return self.wire.bytes(&f, NAME);
            }
        }
        Ok(Vec::new())
    }

    fn set(&mut self, name: &[u8], sources: Sources) {
        if let Some(flow) = self.flows.last_mut() {
            flow.set(name, sources);
        }
    }

    /// Where a value comes from; what nobody made is an input.
    pub(super) fn source(&self, name: &[u8]) -> Sources {
        let known = self.flows.iter().rev().find_map(|flow| flow.get(name));
        known.unwrap_or([Origin::Input; 2])
    }

    /// Sets where the outputs of a node come from.
    pub(super) fn made(&mut self, outputs: &[Vec<u8>], sources: Sources) {
        outputs.iter().for_each(|name| self.set(name, sources));
    }

    /// The functions of the model: all names, then all bodies, before anything calls them.
    pub(super) fn functions_first(&mut self) -> Result<(), Stop> {
        let mut span = self.wire.all();
        let mut bodies = Vec::new();
        // What cannot be read is told when the model is.
        while let Ok(Some(f)) = self.wire.next(&mut span, self.cx) {
            if (f.number, f.wire) != (25, LEN) {
                continue;
            }
            self.cx.budget.entries(1)?;
            let (name, domain) = self.signature(f.span())?;
            if !self.functions.add(&domain, &name) {
                let detail = format!("function {}", wb_verdict::escape(&name));
                self.cx.structure(f.tag, "onnx-function-twice", detail);
            }
            bodies.push((f.span(), domain, name));
        }
        for (body, domain, name) in bodies {
            let index = self.functions.find(&domain, &name);
            self.functions.enter(index);
            let done = self.within(|m| m.function(body, &name));
            self.functions.enter(None);
            let outcome = done?;
            if let Some(index) = index {
                self.functions.set_outcome(index, outcome);
            }
        }
        Ok(())
    }

    fn signature(&mut self, mut span: Span) -> Result<(String, String), Stop> {
        let (mut name, mut domain) = (String::new(), String::new());
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            match (f.number, f.wire) {
                (1, LEN) => name = self.wire.text(&f, NAME)?,
                (10, LEN) => domain = self.wire.text(&f, NAME)?,
                _ => {}
            }
        }
        Ok((name, domain))
    }

    /// Reads the body of a function; returns where its outputs come from.
    fn function(&mut self, span: Span, name: &str) -> Result<Sources, Stop> {
        let place = format!("function {}", wb_verdict::escape(name));
        let mut outputs = Vec::new();
        self.flows.push(Flow::default());
        let mut first = span;
        while let Some(f) = self.wire.next(&mut first, self.cx)? {
            match (f.number, f.wire) {
                (4, LEN) => {
                    let name = self.wire.bytes(&f, NAME)?;
                    self.set(&name, [Origin::Input, Origin::Condition]);
                }
                (5, LEN) => outputs.push(self.wire.bytes(&f, NAME)?),
                _ => {}
            }
        }
        let (mut rest, mut seen) = (span, 0);
        while let Some(f) = self.wire.next(&mut rest, self.cx)? {
            if !self.expected(&schema::FUNCTION, &f, &mut seen)? {
                continue;
            }
            match f.number {
                7 => self.node(f.span(), &place)?,
                8 => self.prose(&f, "function", false)?,
                11 => {
                    self.attribute(f.span(), &place)?;
                }
                14 => self.pair(&f, "function")?,
                _ => {}
            }
        }
        let sources: Vec<Sources> = outputs.iter().map(|o| self.source(o)).collect();
        self.flows.clear();
        Ok([0, 1].map(|i| {
            let of = |from: Origin| sources.iter().any(|s| s[i] == from);
            if of(Origin::Replaced) {
                Origin::Replaced
            } else if of(Origin::Condition) {
                Origin::Condition
            } else if of(Origin::Other) || of(Origin::Masked) {
                Origin::Other
            } else {
                Origin::Input
            }
        }))
    }
}
