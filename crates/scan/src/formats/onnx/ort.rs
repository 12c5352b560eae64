//! ONNX Runtime's own format (`.ort`): the same graphs in FlatBuffers, by `ort.fbs`. Operators are judged by the same lists.

use super::super::flat_layout::{self, Layout, Visitor};
use super::super::flatbuffer::{Flat, Table};
use super::super::{Claim, Coverage, Format, Probe};
use super::operators::{self, Kind};
use crate::analyses::{directive, opaque};
use crate::cx::{Cx, Stop};
use std::collections::HashSet;
use std::sync::OnceLock;
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason, escape, escape_bytes};

/// `.ort` files.
pub struct Ort;

fn layout() -> &'static Layout {
    static LAYOUT: OnceLock<Layout> = OnceLock::new();
    LAYOUT.get_or_init(|| Layout::parse(include_str!("ort_layout.txt")))
}

impl Format for Ort {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&super::COVERAGE)
    }

    fn id(&self) -> &'static str {
        "onnxruntime"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.head.get(4..8) == Some(b"ORTM") { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        read(blob, cx).inspect_err(|stop| {
            if let Stop::Malformed { at, what } = stop {
                cx.structure(*at, "onnx-malformed", what.clone());
            }
        })
    }
}

fn read(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut flat = Flat::new(blob);
    flat.mark(0, 8);
    let root = flat.follow(0)?;
    let mut nodes = Nodes { blob, told: HashSet::new(), looked: 0 };
    flat_layout::walk(layout(), "InferenceSession", root, &mut flat, &mut nodes, cx)?;
    flat_layout::unexplained(blob, flat, cx)
}

struct Nodes<'b> {
    blob: &'b Blob,
    told: HashSet<String>,
    looked: u32,
}

impl Nodes<'_> {
    fn operator(&mut self, domain: &str, op: &str, at: u64, detail: &str, cx: &mut Cx<'_>) {
        const MOST: usize = 1000;
        let code = match operators::kind(domain, op) {
            Kind::Plain => return,
            Kind::Python => "onnx-python",
            Kind::Network => "onnx-network",
            Kind::File => "onnx-file",
            Kind::Compiled => "onnx-compiled",
            Kind::Unknown => "onnx-unknown",
            Kind::Custom => "onnx-custom",
        };
        let shown = format!("{}::{}", escape(operators::normal(domain)), escape(op));
        if self.told.len() < MOST && self.told.insert(format!("{code} {shown}")) {
            cx.fact(Some(at), FactKind::Operator { code: code.into(), op: shown, detail: detail.into() });
        }
    }

    fn prose(&mut self, text: Option<Vec<u8>>, at: u64, place: &str, cx: &mut Cx<'_>) {
        let Some(text) = text else { return };
        let text = String::from_utf8_lossy(&text);
        if let Some((code, detail)) = directive::commands(&text) {
            let detail = format!("{place}: {detail}");
            cx.fact(Some(at), FactKind::Directive { code: code.into(), detail });
        }
        if let Some(what) = directive::encoded(&text) {
            let detail = format!("base64 in {place}");
            cx.fact(Some(at), FactKind::Hidden { code: what.into(), detail });
        }
    }
}

fn text(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

impl Visitor for Nodes<'_> {
    fn table(&mut self, name: &str, t: &Table, flat: &mut Flat, cx: &mut Cx<'_>) -> Result<(), Stop> {
        match name {
            "Node" => {
                let (node, domain, op) =
                    (flat.string(t, 0)?, text(flat.string(t, 2)?), text(flat.string(t, 5)?));
                let detail = format!("node {}", escape_bytes(&node.unwrap_or_default()));
                self.operator(&domain, &op, t.at, &detail, cx);
                // A fused node is compiled code of a provider.
                if flat.scalar(t, 6, 4, 0)? != 0 {
                    let (code, op) = ("onnx-compiled".into(), escape(&op));
                    cx.fact(Some(t.at), FactKind::Operator { code, op, detail });
                }
            }
            // Optimisations kept for loading put nodes in the place of others: `domain:op:version`.
            "RuntimeOptimizationRecord" => {
                for at in flat.tables(t, 3, cx)? {
                    let id = String::from_utf8_lossy(&flat.text_at(at)?).into_owned();
                    let mut parts = id.rsplitn(3, ':');
                    let (_, op, domain) = (parts.next(), parts.next(), parts.next());
                    match (domain, op) {
                        (Some(domain), Some(op)) => {
                            self.operator(domain, op, at, "made by an optimisation while loading", cx);
                        }
                        _ => self.operator("", &id, at, "made by an optimisation while loading", cx),
                    }
                }
            }
            "Model" => {
                for (slot, place) in [(2, "producer_name"), (6, "doc_string"), (8, "graph_doc_string")] {
                    let value = flat.string(t, slot)?;
                    self.prose(value, t.at, place, cx);
                }
            }
            "StringStringEntry" => {
                let place = format!("metadata_props.{}", escape(&text(flat.string(t, 0)?)));
                let value = flat.string(t, 1)?;
                self.prose(value, t.at, &place, cx);
            }
            // Data in another file, which only training asks for.
            "Tensor" if flat.scalar(t, 6, 8, u64::MAX)? != u64::MAX => {
                let what = "a tensor whose data is in another file".to_string();
                cx.gap(GapReason::UnsupportedVariant, Some(t.at), None, what);
            }
            _ => {}
        }
        Ok(())
    }

    fn data(&mut self, at: u64, len: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
        const LEAST: u64 = 16;
        const MOST: u32 = 200_000;
        self.looked += 1;
        if self.looked == MOST {
            let what = "starts of further arrays not checked";
            cx.gap(GapReason::Limit("entries-limit".into()), Some(at), None, what);
        }
        if len < LEAST || self.looked >= MOST {
            return Ok(());
        }
        let data = self.blob.sub(at..at + len);
        if let Some(what) = opaque::hidden(&data, &data.head(96)?) {
            let detail = "at the start of a tensor".to_string();
            cx.fact(Some(at), FactKind::Hidden { code: what.into(), detail });
            cx.member(format!("(tensor at {at:#x})").as_bytes(), &data);
        }
        Ok(())
    }
}
