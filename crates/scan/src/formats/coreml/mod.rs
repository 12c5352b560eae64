//! Core ML models: a pipeline, network, program, tree or other model in protobuf.
//!
//! Core ML runs its own layers and operators. What can hurt: custom layers and models, which name a class that the
//! application must bring, models and weights that are named by a path, and content that no message of the format has.
//! Every field is held against the published messages, so that what is left over shows.

mod schema;

use super::protobuf::{Field, LEN, Span, VARINT, Wire};
use super::{Claim, Coverage, Format, Probe, leftover};
use crate::analyses::{directive, paths};
use crate::cx::{Cx, Stop};
use schema::{Entry, Kind, Schema};
use std::collections::HashSet;
use std::sync::OnceLock;
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason, escape};

/// Core ML models.
pub struct CoreMl;

/// The newest specification whose messages are in the table.
const NEWEST: u64 = 10;
/// Layers of kraken (kraken/lib/vgsl/layers.py), which keeps its models in Core ML's messages, reads them with its own code
/// and goes by these names. No class of Core ML or of an application has such a name.
const KRAKEN: [&str; 5] = ["addition", "dropout", "groupnorm", "identity", "reshape"];
/// Sub-messages nested deeper than this are refused by protobuf's parsers.
const DEEPEST: u32 = 100;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Core ML",
    ids: &[],
    loaders: "CoreML, coremltools",
    judged: "layers, custom classes, linked paths, the manifest of a package",
    blind: "compiled models; `weight.bin`",
    corpus: &["coreml"],
};

impl Format for CoreMl {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "coreml"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if is_model(&probe.blob, &probe.head) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut reader = Reader { wire: Wire::new(blob), cx, told: HashSet::new(), version: 0 };
        reader.top(blob).inspect_err(|stop| {
            if let Stop::Malformed { at, what } = stop {
                cx.structure(*at, "coreml-malformed", what.clone());
            }
        })
    }
}

/// A version, and a model of one of the kinds there are.
fn is_model(blob: &Blob, head: &[u8]) -> bool {
    const MOST: u32 = 100_000;
    if head.len() < 4 || !matches!(head[0] & 7, 0..=3 | 5) || head[0] >> 3 == 0 {
        return false;
    }
    let mut wire = Wire::new(blob);
    // A length that leaves the file is told by the scan.
    let mut span = Span { at: 0, end: u64::MAX >> 1 };
    let (mut version, mut kind) = (false, false);
    for _ in 0..MOST {
        if span.at >= blob.len() {
            break;
        }
        let Ok(Some(f)) = wire.field(&mut span) else { break };
        match (f.number, f.wire) {
            (1, VARINT) => version = (1..1000).contains(&f.value),
            (200..=3000, LEN) => kind |= schema::all()[0].entry(f.number, LEN).is_some(),
            _ => {}
        }
        if version && kind {
            return true;
        }
    }
    false
}

struct Reader<'m, 'c> {
    wire: Wire,
    cx: &'m mut Cx<'c>,
    told: HashSet<String>,
    version: u64,
}

impl Reader<'_, '_> {
    fn top(&mut self, blob: &Blob) -> Result<(), Stop> {
        let model = &schema::all()[0];
        let mut span = self.wire.all();
        let mut seen = HashSet::new();
        loop {
            let at = span.at;
            match self.wire.next(&mut span, self.cx) {
                Ok(Some(f)) => self.field(model, &f, &mut seen, 0)?,
                Ok(None) => break,
                Err(Stop::Malformed { what, .. }) => {
                    leftover::record(blob, at, "coreml-trailing-bytes", &what, self.cx)?;
                    break;
                }
                Err(stop) => return Err(stop),
            }
        }
        if self.version > NEWEST {
            let detail =
                format!("specification version {}; messages up to version {NEWEST} are known", self.version);
            self.cx.gap(GapReason::UnsupportedVariant, Some(0), None, detail);
        }
        Ok(())
    }

    fn message(&mut self, schema: &'static Schema, mut span: Span, depth: u32) -> Result<(), Stop> {
        if depth > DEEPEST {
            let detail = format!("messages nested deeper than {DEEPEST}");
            let code = "coreml-deep-nesting".to_string();
            self.cx.fact(Some(span.at), FactKind::Resource { code, detail: detail.clone() });
            return Err(Stop::malformed(span.at, detail));
        }
        let mut seen = HashSet::new();
        while let Some(f) = self.wire.next(&mut span, self.cx)? {
            self.field(schema, &f, &mut seen, depth)?;
        }
        Ok(())
    }

    fn field(
        &mut self,
        schema: &'static Schema,
        f: &Field,
        seen: &mut HashSet<u32>,
        depth: u32,
    ) -> Result<(), Stop> {
        let linked = schema.name == "StringParameter";
        let Some(entry) = schema.entry(f.number, f.wire) else {
            if linked && f.wire == LEN {
                // Drafts of the format had the value elsewhere; a path stays a path.
                return self.path(f, "linked model");
            }
            let subject = format!("field {} (wire type {}) of {}", f.number, f.wire, schema.name);
            self.once(&subject, |cx| cx.structure(f.tag, "coreml-unknown-field", subject.clone()));
            return self.wire.unknown(f, schema.name, self.cx);
        };
        if !entry.many && !seen.insert(f.number) {
            let subject = format!("{} of {} is given twice", entry.name, schema.name);
            self.once(&subject, |cx| cx.structure(f.tag, "coreml-duplicate-field", subject.clone()));
        }
        match entry.kind {
            Kind::Message(inner) => self.message(&schema::all()[inner], f.span(), depth + 1),
            Kind::Text => self.text(schema, entry, f),
            Kind::Bytes => self.wire.opaque(f, &format!("{} of {}", entry.name, schema.name), self.cx),
            Kind::Fixed32 | Kind::Fixed64 if f.wire == LEN => {
                self.wire.opaque(f, &format!("{} of {}", entry.name, schema.name), self.cx)
            }
            Kind::Int if schema.name == "Model" && entry.name == "specificationVersion" => {
                self.version = self.version.max(f.value);
                Ok(())
            }
            _ => Ok(()),
        }
        .and_then(|()| self.kind(schema, entry, f))
    }

    /// Parts that run what is not in the file.
    fn kind(&mut self, schema: &Schema, entry: &Entry, f: &Field) -> Result<(), Stop> {
        let (code, op) = match (schema.name, entry.name) {
            ("CustomModel", "className") => ("coreml-custom", self.wire.text(f, 256)?),
            ("CustomLayerParams", "className") => {
                let class = self.wire.text(f, 256)?;
                if KRAKEN.contains(&class.as_str()) {
                    return Ok(());
                }
                ("coreml-custom", class)
            }
            ("SerializedModel", "model") => ("coreml-serialized", "serializedModel".to_string()),
            ("MILSpec.Operation", "type") => {
                let op = self.wire.text(f, 256)?;
                if known(&op) {
                    return Ok(());
                }
                ("coreml-unknown", op)
            }
            _ => return Ok(()),
        };
        let detail = format!("{} of {}", entry.name, schema.name);
        self.once(&format!("{code} {op}"), |cx| {
            let op = escape(&op);
            cx.fact(Some(f.at), FactKind::Operator { code: code.into(), op, detail });
        });
        Ok(())
    }

    fn text(&mut self, schema: &Schema, entry: &Entry, f: &Field) -> Result<(), Stop> {
        const SHORT: u64 = 16;
        const MOST: usize = 1 << 20;
        match schema.name {
            "StringParameter" => return self.path(f, "linked model"),
            "MILSpec.Value.BlobFileValue" => return self.path(f, "weights"),
            _ => {}
        }
        if f.len < SHORT {
            return Ok(());
        }
        let place = format!("{} of {}", entry.name, schema.name);
        let text = self.wire.text(f, MOST)?;
        let metadata = schema.name.starts_with("Metadata");
        let found = if metadata { directive::commands(&text) } else { directive::expression(&text) };
        if let Some((code, detail)) = found {
            let detail = format!("{place}: {detail}");
            self.cx.fact(Some(f.at), FactKind::Directive { code: code.into(), detail });
        }
        if metadata && let Some(what) = directive::encoded(&text) {
            let detail = format!("base64 in {place}");
            self.cx.fact(Some(f.at), FactKind::Hidden { code: what.into(), detail });
        }
        self.wire.opaque(f, &place, self.cx)
    }

    /// A path that the loader opens: `@model_path/…` lies in the package, anything else beside the model.
    fn path(&mut self, f: &Field, what: &str) -> Result<(), Stop> {
        let text = self.wire.text(f, 4096)?;
        let inside = text.strip_prefix("@model_path/").unwrap_or(&text);
        if let Some(code) = paths::escape_of(inside.as_bytes()) {
            let code = format!("coreml-path-{code}");
            let detail = format!("{what}: {}", escape(&text));
            self.cx.fact(Some(f.at), FactKind::UnsafePath { code, detail });
        }
        Ok(())
    }

    fn once(&mut self, subject: &str, record: impl FnOnce(&mut Cx<'_>)) {
        const MOST: usize = 10_000;
        if self.told.len() < MOST && self.told.insert(subject.to_string()) {
            record(self.cx);
        }
    }
}

/// Operators of the intermediate language; converters write the opset in front of some.
fn known(op: &str) -> bool {
    static OPERATORS: OnceLock<HashSet<&str>> = OnceLock::new();
    let operators = OPERATORS
        .get_or_init(|| include_str!("operators.txt").lines().filter(|l| !l.starts_with('#')).collect());
    operators.contains(op)
}
