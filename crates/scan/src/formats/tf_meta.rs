//! What a MetaGraphDef says around its graph: the saver, collections, signatures, assets, objects.

use super::protobuf::{Field, LEN, Span, VARINT, Wire};
use super::{document, tf_proto};
use crate::analyses::tf_graph::Graph;
use crate::analyses::{directive, keras, keras_config, paths};
use crate::cx::{Cx, Stop};
use std::collections::HashMap;
use wb_blob::{Exhausted, Resource};
use wb_verdict::{FactKind, GapReason, escape};

const MAX_NAME: usize = 1024;

/// The object graph, as far as it says which function is bound to which asset.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// Is this node the path of an asset?
    assets: Vec<bool>,
    /// Function, and the nodes bound to its last arguments.
    bound: Vec<(String, Vec<u64>)>,
    /// Bytes held.
    held: u64,
}

impl Objects {
    /// Tells the graph which arguments are paths of assets.
    pub(super) fn bind(self, g: &mut Graph) {
        let arguments: HashMap<&str, usize> =
            g.functions.iter().map(|f| (&f.name[..], f.arguments.len())).collect();
        let mut found = Vec::new();
        for (name, nodes) in self.bound {
            let Some(first) = arguments.get(&name[..]).and_then(|n| n.checked_sub(nodes.len())) else {
                continue;
            };
            for (k, node) in nodes.iter().enumerate() {
                if usize::try_from(*node).ok().and_then(|n| self.assets.get(n)) == Some(&true) {
                    found.push((name.clone(), first + k));
                }
            }
        }
        g.bound_assets = found;
    }
}

/// MetaGraphDef.
pub(super) fn meta_graph(
    w: &mut Wire,
    mut span: Span,
    g: &mut Graph,
    objects: &mut Objects,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => info(w, f.span(), cx)?,
            (2, LEN) => tf_proto::graph(w, f.span(), g, cx)?,
            (3, LEN) => saver(w, f.span(), g, cx)?,
            (4, LEN) => collection(w, f.span(), g, cx)?,
            (5, LEN) => signature(w, f.span(), g, cx)?,
            (6, LEN) => asset(w, f.span(), g, cx)?,
            (7, LEN) => object_graph(w, f.span(), objects, cx)?,
            _ => w.unknown(&f, "MetaGraphDef", cx)?,
        }
    }
    Ok(())
}

/// MetaInfoDef: versions, tags, the operators used. Loaders compare it, and run nothing of it.
fn info(w: &mut Wire, mut span: Span, cx: &mut Cx<'_>) -> Result<(), Stop> {
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1..=6 | 8, LEN) => w.opaque(&f, "the meta information", cx)?,
            (7, VARINT) => {}
            _ => w.unknown(&f, "MetaInfoDef", cx)?,
        }
    }
    Ok(())
}

/// SaverDef.
fn saver(w: &mut Wire, mut span: Span, g: &mut Graph, cx: &mut Cx<'_>) -> Result<(), Stop> {
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => push(&mut g.saver_names, w.text(&f, MAX_NAME)?)?,
            (3, LEN) => push(&mut g.restores, w.text(&f, MAX_NAME)?)?,
            (2, LEN) | (4 | 5 | 7, VARINT) | (6, 5) => {}
            _ => w.unknown(&f, "SaverDef", cx)?,
        }
    }
    Ok(())
}

/// Keeps a name. Honest models have few of them; more than are kept is a gap, as a name missed could be the one that counts.
fn push(names: &mut Vec<String>, name: String) -> Result<(), Stop> {
    const MOST: usize = 16_000;
    if names.len() >= MOST {
        return Err(Exhausted(Resource::Memory).into());
    }
    if !name.is_empty() {
        names.push(name);
    }
    Ok(())
}

/// The texts of field 1 of every entry of a list.
fn strings(w: &mut Wire, mut span: Span, cx: &mut Cx<'_>) -> Result<Vec<Field>, Stop> {
    let mut out = Vec::new();
    while let Some(f) = w.next(&mut span, cx)? {
        if (f.number, f.wire) == (1, LEN) && out.len() < 100_000 {
            out.push(f);
        }
    }
    Ok(out)
}

/// Key and value of a map's entry.
fn entry(w: &mut Wire, mut span: Span, cx: &mut Cx<'_>) -> Result<(String, Vec<Span>), Stop> {
    let (mut key, mut values) = (String::new(), Vec::new());
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => key = w.text(&f, MAX_NAME)?,
            (2, LEN) => values.push(f.span()),
            _ => w.unknown(&f, "a map's entry", cx)?,
        }
    }
    Ok((key, values))
}

/// An entry of `collection_def`.
fn collection(w: &mut Wire, span: Span, g: &mut Graph, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let (key, values) = entry(w, span, cx)?;
    for mut span in values {
        while let Some(f) = w.next(&mut span, cx)? {
            match (f.number, f.wire) {
                (1, LEN) => {
                    for name in strings(w, f.span(), cx)? {
                        let name = w.text(&name, MAX_NAME)?;
                        match &key[..] {
                            "saved_model_main_op"
                            | "main_op"
                            | "legacy_init_op"
                            | "saved_model_train_op"
                            | "init_op"
                            | "ready_op"
                            | "local_init_op"
                            | "table_initializer" => {
                                push(&mut g.roots, name)?;
                            }
                            "asset_filepaths" => push(&mut g.assets, name)?,
                            _ => {}
                        }
                    }
                }
                (2, LEN) => {
                    for item in strings(w, f.span(), cx)? {
                        if key == "savers" {
                            saver(w, item.span(), g, cx)?;
                        } else {
                            w.opaque(&item, &format!("collection {}", escape(&key)), cx)?;
                        }
                    }
                }
                (3 | 4, LEN) => {}
                (5, LEN) => {
                    for any in strings(w, f.span(), cx)? {
                        let mut inner = any.span();
                        while let Some(v) = w.next(&mut inner, cx)? {
                            if (v.number, v.wire) == (2, LEN) && key == "saved_model_assets" {
                                asset(w, v.span(), g, cx)?;
                            } else {
                                w.opaque(&v, &format!("collection {}", escape(&key)), cx)?;
                            }
                        }
                    }
                }
                _ => w.unknown(&f, "CollectionDef", cx)?,
            }
        }
    }
    Ok(())
}

/// An entry of `signature_def`: what serving runs.
fn signature(w: &mut Wire, span: Span, g: &mut Graph, cx: &mut Cx<'_>) -> Result<(), Stop> {
    for mut span in entry(w, span, cx)?.1 {
        while let Some(f) = w.next(&mut span, cx)? {
            match (f.number, f.wire) {
                (2, LEN) => {
                    for info in entry(w, f.span(), cx)?.1 {
                        tensor_info(w, info, &mut g.roots, 0, cx)?;
                    }
                }
                (1, LEN) | (3, LEN) => {}
                (4, LEN) => w.opaque(&f, "a signature's defaults", cx)?,
                _ => w.unknown(&f, "SignatureDef", cx)?,
            }
        }
    }
    Ok(())
}

/// TensorInfo: the names of its tensors.
fn tensor_info(
    w: &mut Wire,
    mut span: Span,
    names: &mut Vec<String>,
    depth: u32,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    if depth > 32 {
        return Err(Stop::malformed(span.at, "messages nested deeper than honest writers go"));
    }
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => push(names, w.text(&f, MAX_NAME)?)?,
            // A sparse tensor has three names, a composite one has parts.
            (4, LEN) => {
                let mut inner = f.span();
                while let Some(n) = w.next(&mut inner, cx)? {
                    if n.wire == LEN {
                        push(names, w.text(&n, MAX_NAME)?)?;
                    }
                }
            }
            (5, LEN) => {
                let mut inner = f.span();
                while let Some(n) = w.next(&mut inner, cx)? {
                    if (n.number, n.wire) == (2, LEN) {
                        tensor_info(w, n.span(), names, depth + 1, cx)?;
                    }
                }
            }
            (2, VARINT) | (3, LEN) => {}
            _ => w.unknown(&f, "TensorInfo", cx)?,
        }
    }
    Ok(())
}

/// AssetFileDef: a file below `assets/`, and the tensor that gets its path.
fn asset(w: &mut Wire, mut span: Span, g: &mut Graph, cx: &mut Cx<'_>) -> Result<(), Stop> {
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => {
                let mut names = Vec::new();
                tensor_info(w, f.span(), &mut names, 0, cx)?;
                names.into_iter().try_for_each(|n| push(&mut g.assets, n))?;
            }
            (2, LEN) => {
                let name = w.bytes(&f, MAX_NAME)?;
                if let Some(code) = paths::escape_of(&name) {
                    let detail = format!("asset {}", wb_verdict::escape_bytes(&name));
                    cx.fact(Some(f.at), FactKind::UnsafePath { code: code.into(), detail });
                } else {
                    let path = format!("assets/{}", wb_verdict::escape_bytes(&name));
                    let code = "saved-model-asset".to_string();
                    cx.fact(None, FactKind::Opens { code, repo: String::new(), path, length: 0 });
                }
            }
            _ => w.unknown(&f, "AssetFileDef", cx)?,
        }
    }
    Ok(())
}

/// SavedObjectGraph.
fn object_graph(w: &mut Wire, mut span: Span, objects: &mut Objects, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MAX_NODES: usize = 4_000_000;
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1, LEN) => {
                let is_asset = object(w, f.span(), cx)?;
                if objects.assets.len() < MAX_NODES {
                    objects.assets.push(is_asset);
                }
            }
            (2, LEN) => {
                let (name, values) = entry(w, f.span(), cx)?;
                let mut nodes = Vec::new();
                for mut span in values {
                    while let Some(f) = w.next(&mut span, cx)? {
                        match (f.number, f.wire) {
                            (2, LEN | VARINT) => {
                                nodes.extend(w.numbers(&f, 0, 100_000)?);
                                cx.budget.memory(objects.held + 8 * nodes.len() as u64)?;
                            }
                            (3 | 4, LEN) => {}
                            _ => w.unknown(&f, "SavedConcreteFunction", cx)?,
                        }
                    }
                }
                if !nodes.is_empty() {
                    objects.held += (64 + name.len() + 8 * nodes.len()) as u64;
                    objects.bound.push((name, nodes));
                }
            }
            _ => w.unknown(&f, "SavedObjectGraph", cx)?,
        }
    }
    Ok(())
}

/// SavedObject; true if it is the path of an asset.
fn object(w: &mut Wire, mut span: Span, cx: &mut Cx<'_>) -> Result<bool, Stop> {
    let mut is_asset = false;
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (4, LEN) => user_object(w, f.span(), cx)?,
            (5, LEN) => is_asset = true,
            // Children, slots, functions, variables, constants, resources, tensors, savers by the names of functions.
            (1 | 3 | 6..=12 | 15, LEN) => {}
            // Classes that the running process registered.
            (13 | 16, LEN) => {}
            (14, LEN) => w.opaque(&f, "an object's own data", cx)?,
            _ => w.unknown(&f, "SavedObject", cx)?,
        }
    }
    Ok(is_asset)
}

/// SavedUserObject: Keras kept its configuration here before it had `keras_metadata.pb`.
fn user_object(w: &mut Wire, mut span: Span, cx: &mut Cx<'_>) -> Result<(), Stop> {
    while let Some(f) = w.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1 | 2, LEN) => {}
            (3, LEN) => metadata(w, &f, cx)?,
            _ => w.unknown(&f, "SavedUserObject", cx)?,
        }
    }
    Ok(())
}

/// The configuration of a Keras layer, as JSON.
pub(super) fn metadata(w: &mut Wire, f: &Field, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MAX: u64 = 16 << 20;
    if f.len == 0 {
        return Ok(());
    }
    if f.len > MAX {
        cx.gap(
            GapReason::Limit("metadata-size".into()),
            Some(f.at),
            Some(f.len),
            "a very long layer configuration",
        );
        return Ok(());
    }
    let bytes = w.bytes(f, MAX as usize)?;
    match serde_json::from_slice::<serde_json::Value>(&bytes) {
        Ok(value) => {
            directive::in_json(&value, "", &mut |found| document::record(found, "layer configuration", cx));
            keras_config(&bytes, keras::Expect::Config, cx);
            Ok(())
        }
        Err(_) => {
            cx.gap(GapReason::Malformed, Some(f.at), Some(f.len), "a layer configuration that is no JSON");
            w.opaque(f, "a layer's configuration", cx)
        }
    }
}
