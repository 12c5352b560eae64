//! TensorFlow's SavedModel, MetaGraphDef (`.meta` of a checkpoint) and GraphDef (frozen graphs), binary.
//!
//! Layout: `tensorflow/core/protobuf/{saved_model,meta_graph,saver,saved_object_graph}.proto`. None has a magic number: each
//! claims what its parser would find operators in, whatever else is there, so that one file can be several.

use super::protobuf::{Field, LEN, Span, VARINT, Wire};
use super::tf_meta::{self, Objects};
use super::{Claim, Coverage, Format, Probe, tf_proto};
use crate::analyses::tf_graph::{self, Graph};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;

/// `saved_model.pb`.
pub struct SavedModel;
/// `model.ckpt.meta`.
pub struct MetaGraph;
/// Frozen graphs and others.
pub struct GraphDef;

/// Looks for operators. What is too much to look through is taken to hold some: a claim is no verdict.
struct Look {
    wire: Wire,
    /// Fields that may still be looked at.
    left: u32,
}

impl Look {
    fn new(blob: &Blob) -> Self {
        const FIELDS: u32 = 4_000_000;
        Self { wire: Wire::new(blob), left: FIELDS }
    }

    /// Is `each` true for any field?
    fn any(&mut self, mut span: Span, mut each: impl FnMut(&mut Self, &Field) -> bool) -> bool {
        loop {
            if self.left == 0 {
                return true;
            }
            self.left -= 1;
            match self.wire.field(&mut span) {
                Ok(Some(f)) => {
                    if each(self, &f) {
                        return true;
                    }
                }
                Ok(None) | Err(_) => return false,
            }
        }
    }

    /// Is `each` true for any sub-message of this number?
    fn inner(&mut self, span: Span, number: u32, mut each: impl FnMut(&mut Self, Span) -> bool) -> bool {
        self.any(span, |look, f| (f.number, f.wire) == (number, LEN) && each(look, f.span()))
    }
}

/// Has it a name and an operator, as nodes have?
fn node(look: &mut Look, span: Span) -> bool {
    let (mut name, mut op) = (false, false);
    let found = look.any(span, |look, f| {
        match (f.number, f.wire) {
            (1, LEN) => {
                name |= look.wire.text(f, 300).is_ok_and(|t| !t.is_empty() && !t.contains(char::is_control));
            }
            (2, LEN) => op |= f.len < 300 && look.wire.bytes(f, 300).is_ok_and(|b| identifier(&b)),
            _ => {}
        }
        name && op
    });
    // One that is cut off by the end of the file is a node all the same, by its operator alone.
    found || op
}

fn identifier(b: &[u8]) -> bool {
    let ok = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'>' | b'.' | b'/' | b'-' | b':');
    b.len() >= 2
        && b.first().is_some_and(|f| f.is_ascii_alphabetic() || matches!(f, b'_' | b'>'))
        && b.iter().all(ok)
}

fn graph_like(look: &mut Look, span: Span) -> bool {
    look.inner(span, 1, node)
        || look.inner(span, 2, |look, library| {
            look.inner(library, 1, |look, function| look.inner(function, 3, node))
        })
}

fn meta_like(look: &mut Look, span: Span) -> bool {
    look.inner(span, 2, graph_like)
}

fn saved_model_like(look: &mut Look, span: Span) -> bool {
    look.inner(span, 2, meta_like) || empty_saved_model(look, span)
}

/// A SavedModel without nodes: a version and meta graphs with tags, nothing else.
fn empty_saved_model(look: &mut Look, span: Span) -> bool {
    let (mut version, mut tags) = (false, false);
    let other = look.any(span, |look, f| match (f.number, f.wire) {
        (1, VARINT) => {
            version = true;
            false
        }
        (2, LEN) => {
            tags |= look.inner(f.span(), 1, |look, info| look.inner(info, 4, |_, _| true));
            false
        }
        _ => true,
    });
    version && tags && !other
}

/// Would TensorFlow find operators in these bytes, read as a graph, a meta graph or a SavedModel?
pub(super) fn is_graph(blob: &Blob) -> bool {
    let mut look = Look::new(blob);
    let all = look.wire.all();
    graph_like(&mut look, all) || meta_like(&mut look, all) || saved_model_like(&mut look, all)
}

fn claim(probe: &Probe, like: fn(&mut Look, Span) -> bool) -> Claim {
    // The least message with a node in it; fields 1 and 2 may stand behind others.
    if probe.blob.len() < 8 || probe.head.iter().take(2).all(|b| *b == 0) {
        return Claim::No;
    }
    let mut look = Look::new(&probe.blob);
    let all = look.wire.all();
    if like(&mut look, all) { Claim::Strong } else { Claim::No }
}

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "TensorFlow graphs",
    ids: &[],
    loaders: "`tf.saved_model.load`, Keras, TF Hub, TF Serving, `import_graph_def`",
    judged: "every operator of graphs, functions and serialised graphs against an exact list; file names followed to \
        their origin",
    blind: "operators of other releases and add-ons are suspicious; the module of XlaCallModule; memory errors of \
        kernels",
    corpus: &["tensorflow"],
};

impl Format for SavedModel {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "tf-savedmodel"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        claim(probe, saved_model_like)
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut w = Wire::new(blob);
        let mut span = w.all();
        let several = several_metas(blob, span);
        let mut n = 0;
        while let Some(f) = w.next(&mut span, cx)? {
            match (f.number, f.wire) {
                (1, VARINT) => {}
                (2, LEN) => {
                    let place = if several { format!("meta graph {n}") } else { String::new() };
                    one(&mut w, f.span(), place, tf_meta::meta_graph, cx)?;
                    n += 1;
                }
                _ => w.unknown(&f, "SavedModel", cx)?,
            }
        }
        Ok(())
    }
}

fn several_metas(blob: &Blob, span: Span) -> bool {
    let mut n = 0;
    Look::new(blob).inner(span, 2, |_, _| {
        n += 1;
        n > 1
    })
}

type Reader = fn(&mut Wire, Span, &mut Graph, &mut Objects, &mut Cx<'_>) -> Result<(), Stop>;

/// Reads one graph and judges what was read, also where the rest is broken.
fn one(w: &mut Wire, span: Span, place: String, read: Reader, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut graph = Graph { place, ..Graph::default() };
    let mut objects = Objects::default();
    let end = read(w, span, &mut graph, &mut objects, cx);
    objects.bind(&mut graph);
    tf_graph::judge(&graph, &mut |found| cx.fact(Some(found.at), found.kind));
    end
}

impl Format for MetaGraph {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "tf-metagraph"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        claim(probe, meta_like)
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut w = Wire::new(blob);
        let all = w.all();
        one(&mut w, all, String::new(), tf_meta::meta_graph, cx)
    }
}

impl Format for GraphDef {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "tf-graphdef"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        claim(probe, graph_like)
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut w = Wire::new(blob);
        let all = w.all();
        one(&mut w, all, String::new(), |w, span, g, _, cx| tf_proto::graph(w, span, g, cx), cx)
    }
}
