//! ONNX models: a graph of operators in protobuf, whose tensors may lie in other files.
//!
//! Loading opens the files that tensors name; running calls the operators. Both are judged by exact lists: operators by
//! the schemas of the published domains, paths by what exporters write. Functions of the model define operators and are
//! judged by their bodies. Tensor data is skipped: a model of any size costs what its graph costs.

mod external;
mod flow;
mod functions;
mod graph;
mod names;
mod node;
mod operators;
mod ort;
mod schema;
mod spelled;
mod syntax;
mod tensor;

use super::protobuf::{Field, LEN, Span, VARINT, Wire};
use super::{Claim, Coverage, Format, Probe, leftover};
use crate::analyses::directive;
use crate::cx::{Cx, Stop};
use functions::Functions;
pub use ort::Ort;
use schema::Schema;
pub use spelled::{OnnxJson, OnnxText};
use std::collections::HashSet;
pub use syntax::OnnxSyntax;
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason, escape};

/// ONNX models.
pub struct Onnx;

/// The newest IR version whose fields are known here.
const NEWEST: u64 = 14;
/// Sub-messages nested deeper than this are refused by protobuf's parsers.
const DEEPEST: u32 = 100;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "ONNX",
    ids: &[],
    loaders: "onnxruntime, onnx, OpenVINO, TensorRT, PyTorch",
    judged: "operators by the published lists, local functions, nested graphs, external data, metadata, triggers on \
        constants",
    blind: "text over 32 MiB and JSON over 6 MiB are gaps; triggers computed with weights; symbolic links",
    corpus: &["onnx"],
};

impl Format for Onnx {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "onnx"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if is_model(&probe.blob, &probe.head) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut model = Model {
            wire: Wire::new(blob),
            cx,
            functions: Functions::default(),
            told: HashSet::new(),
            flows: Vec::new(),
            elsewhere: Default::default(),
            depth: 0,
        };
        let done = model.functions_first().and_then(|()| model.read());
        for (path, length) in std::mem::take(&mut model.elsewhere) {
            let (code, path) = ("external-data".to_string(), escape(&path));
            model.cx.fact(None, FactKind::Opens { code, repo: String::new(), path, length });
        }
        done.inspect_err(|stop| {
            // Loaders refuse such a message; what a more tolerant reader makes of it is not known.
            if let Stop::Malformed { at, what } = stop {
                cx.structure(*at, "onnx-malformed", what.clone());
            }
        })
    }
}

/// Is there a model in this message? Fields that no model has, and bytes behind it, change nothing.
pub(super) fn is_model(blob: &Blob, head: &[u8]) -> bool {
    const MOST: u32 = 4_000_000;
    // Cheap for nearly everything else: the tag of a field of the model, or of an unknown one.
    if head.len() < 2 || !matches!(head[0] & 7, 0..=3 | 5) || head[0] >> 3 == 0 {
        return false;
    }
    let mut wire = Wire::new(blob);
    // A length that leaves the file is told by the scan.
    let mut span = Span { at: 0, end: u64::MAX >> 1 };
    let (mut framed, mut named, mut graph, mut strange) = (false, false, false, false);
    for _ in 0..MOST {
        if span.at >= blob.len() {
            break;
        }
        let Ok(Some(f)) = wire.field(&mut span) else { break };
        match (f.number, f.wire) {
            (1 | 5, VARINT) => framed |= f.number == 1,
            (8, LEN) => framed |= opset(&mut wire, &f),
            (2..=4 | 6 | 14 | 26, LEN) => {}
            (7, LEN) => match looks_like_graph(&mut wire, &f, blob.len()) {
                Looks::Graph => graph = true,
                Looks::Perhaps => named = true,
                Looks::Else => strange = true,
            },
            (20 | 25, LEN) => named = true,
            _ => strange = true,
        }
        if graph {
            return true;
        }
    }
    named && framed && !strange
}

fn opset(wire: &mut Wire, f: &Field) -> bool {
    let mut span = f.span();
    while let Ok(Some(f)) = wire.field(&mut span) {
        if schema::OPSET.entry(f.number, f.wire).is_none() {
            return false;
        }
    }
    span.len() == 0
}

#[derive(PartialEq, Eq)]
enum Looks {
    /// Holds a node or a tensor.
    Graph,
    /// Empty, or only names.
    Perhaps,
    Else,
}

fn looks_like_graph(wire: &mut Wire, f: &Field, len: u64) -> Looks {
    const LOOKED_AT: u32 = 1_000_000;
    let mut span = f.span();
    let mut looks = Looks::Perhaps;
    for _ in 0..LOOKED_AT {
        if span.at >= len {
            break;
        }
        let Ok(Some(f)) = wire.field(&mut span) else { break };
        let inner = match (f.number, f.wire) {
            (1, LEN) => operator(wire, &f),
            (5, LEN) => tensor_like(wire, &f),
            (15, LEN) => sparse_like(wire, &f),
            _ => false,
        };
        if inner {
            return Looks::Graph;
        }
        if schema::GRAPH.entry(f.number, f.wire).is_none() {
            looks = Looks::Else;
        }
    }
    looks
}

/// A node names its operator.
fn operator(wire: &mut Wire, f: &Field) -> bool {
    let mut span = f.span();
    while let Ok(Some(f)) = wire.field(&mut span) {
        if (f.number, f.wire) == (4, LEN) {
            let text = wire.bytes(&f, 64).unwrap_or_default();
            if text.first().is_some_and(u8::is_ascii_alphabetic)
                && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'.' | b'-'))
            {
                return true;
            }
        }
    }
    false
}

/// A tensor has a type, and data, a name or a place where its data lies.
fn tensor_like(wire: &mut Wire, f: &Field) -> bool {
    let mut span = f.span();
    let (mut kind, mut data) = (false, false);
    while let Ok(Some(f)) = wire.field(&mut span) {
        match (f.number, f.wire) {
            (2, VARINT) => kind |= f.value < 64,
            (8 | 9 | 13, LEN) => data = true,
            _ => {}
        }
        if kind && data {
            return true;
        }
    }
    false
}

/// A sparse tensor holds two tensors.
fn sparse_like(wire: &mut Wire, f: &Field) -> bool {
    let mut span = f.span();
    while let Ok(Some(f)) = wire.field(&mut span) {
        if matches!((f.number, f.wire), (1 | 2, LEN)) && tensor_like(wire, &f) {
            return true;
        }
    }
    false
}

/// What one scan of a model knows.
struct Model<'m, 'c> {
    wire: Wire,
    cx: &'m mut Cx<'c>,
    functions: Functions,
    /// What was told already: a model of a thousand custom nodes is one finding for each operator.
    told: HashSet<String>,
    /// Where values come from, for each graph around the present place.
    flows: Vec<flow::Flow>,
    /// Files of external data, and how far each is read.
    elsewhere: std::collections::BTreeMap<String, u64>,
    depth: u32,
}

impl Model<'_, '_> {
    fn read(&mut self) -> Result<(), Stop> {
        let mut span = self.wire.all();
        let mut seen = 0;
        let mut version = 0;
        loop {
            let at = span.at;
            let f = match self.wire.next(&mut span, self.cx) {
                Ok(Some(f)) => f,
                Ok(None) => break,
                Err(Stop::Malformed { what, .. }) => {
                    let blob = self.wire.blob().clone();
                    leftover::record(&blob, at, "onnx-trailing-bytes", &what, self.cx)?;
                    break;
                }
                Err(stop) => return Err(stop),
            };
            if !self.expected(&schema::MODEL, &f, &mut seen)? {
                continue;
            }
            match f.number {
                1 => version = version.max(f.value),
                7 => {
                    self.graph(f.span(), "graph")?;
                }
                2 | 3 | 4 | 6 => self.prose(&f, "model", true)?,
                14 => self.pair(&f, "metadata_props")?,
                20 => self.training(f.span())?,
                _ => {}
            }
        }
        self.functions.judge(self.cx);
        if version > NEWEST {
            let detail = format!("IR version {version}; fields up to version {NEWEST} are known");
            self.cx.gap(GapReason::UnsupportedVariant, Some(0), None, detail);
        }
        Ok(())
    }

    /// False for a field that the message does not have; it is told. So is one that is given twice.
    fn expected(&mut self, schema: &Schema, f: &Field, seen: &mut u64) -> Result<bool, Stop> {
        let Some(entry) = schema.entry(f.number, f.wire) else {
            let detail = format!("field {} (wire type {}) of {}", f.number, f.wire, schema.name);
            self.once("onnx-unknown-field", &format!("{} {}", schema.name, f.number), |cx| {
                cx.structure(f.tag, "onnx-unknown-field", detail);
            });
            self.wire.unknown(f, schema.name, self.cx)?;
            return Ok(false);
        };
        let bit = 1u64 << (f.number & 63);
        if !entry.many && *seen & bit != 0 {
            let detail = format!("field {} of {} is given twice", f.number, schema.name);
            self.once("onnx-duplicate-field", &format!("{} {}", schema.name, f.number), |cx| {
                cx.structure(f.tag, "onnx-duplicate-field", detail);
            });
        }
        *seen |= bit;
        if let Some(inner) = entry.message {
            self.within(|m| m.leaf(inner, f.span()))?;
        }
        Ok(true)
    }

    /// A message that holds nothing but names and numbers.
    fn leaf(&mut self, schema: &Schema, mut span: Span) -> Result<(), Stop> {
        let mut seen = 0;
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            self.expected(schema, &f, &mut seen)?;
        }
        Ok(())
    }

    /// Runs `f` one message deeper.
    fn within<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        if self.depth >= DEEPEST {
            let detail = format!("messages nested deeper than {DEEPEST}");
            self.cx
                .fact(None, FactKind::Resource { code: "onnx-deep-nesting".into(), detail: detail.clone() });
            return Err(Stop::malformed(0, detail));
        }
        self.depth += 1;
        let done = f(self);
        self.depth -= 1;
        done
    }

    /// Records a fact of this kind and subject unless it was recorded before.
    fn once(&mut self, code: &str, subject: &str, record: impl FnOnce(&mut Cx<'_>)) {
        const MOST: usize = 10_000;
        if self.told.len() < MOST && self.told.insert(format!("{code} {subject}")) {
            record(self.cx);
        }
    }

    fn training(&mut self, mut span: Span) -> Result<(), Stop> {
        let mut seen = 0;
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            if self.expected(&schema::TRAINING, &f, &mut seen)? && f.number <= 2 {
                self.within(|m| m.graph(f.span(), "training"))?;
            }
        }
        Ok(())
    }

    /// A key and a value.
    fn pair(&mut self, f: &Field, place: &str) -> Result<(), Stop> {
        let (mut span, mut seen, mut key) = (f.span(), 0, String::new());
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            if !self.expected(&schema::PAIR, &f, &mut seen)? {
                continue;
            }
            match f.number {
                1 => key = self.wire.text(&f, 256)?,
                _ => self.prose(&f, &format!("{place}.{key}"), place == "metadata_props")?,
            }
        }
        Ok(())
    }

    /// Text that people and tools read. Traces of the exporter quote source lines, so that only what stands with the
    /// model itself is looked through for commands.
    fn prose(&mut self, f: &Field, place: &str, whole: bool) -> Result<(), Stop> {
        const SHORT: u64 = 16;
        const MOST: usize = 1 << 20;
        if f.len < SHORT {
            return Ok(());
        }
        let place = escape(place);
        let text = self.wire.text(f, MOST)?;
        let found = if whole { directive::commands(&text) } else { directive::expression(&text) };
        if let Some((code, detail)) = found {
            let detail = format!("{place}: {detail}");
            self.cx.fact(Some(f.at), FactKind::Directive { code: code.into(), detail });
        }
        if whole {
            if let Some(what) = directive::encoded(&text) {
                let detail = format!("base64 in {place}");
                self.cx.fact(Some(f.at), FactKind::Hidden { code: what.into(), detail });
            }
            if let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) {
                directive::in_json(&json, "", &mut |d| super::document::record(d, &place, self.cx));
            }
        }
        self.wire.opaque(f, &place, self.cx)
    }
}
