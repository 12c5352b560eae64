//! CatBoost's own format: `CBM1`, a FlatBuffer with features, trees and metadata, then the parts that it names (tables of
//! target statistics, text and embedding features). The loader runs no code. It verifies the FlatBuffer, but takes
//! indices, offsets and the parts on trust.
//!
//! Written by `TFullModel::Save`; schemas in `catboost/libs/model/flatbuffers/`.

mod features;
mod json;
mod parts;
mod trees;

use super::cursor::Cursor;
use super::flatbuffer::{Flat, Table};
use super::{Claim, Coverage, Format, Probe, compressed, leftover};
use crate::analyses::{directive, metadata};
use crate::cx::{Cx, Stop};
pub use json::CatBoostJson;
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason, escape};

/// `.cbm` files.
pub struct CatBoost;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "CatBoost (cbm)",
    ids: &[],
    loaders: "catboost",
    judged: "tables, indices of trees, statistics of targets",
    blind: "dictionaries of text and embedding features are gaps",
    corpus: &["catboost"],
};

impl Format for CatBoost {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "catboost"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.head.starts_with(b"CBM1") { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut at = 4;
        read(blob, &mut at, cx).or_else(|stop| {
            if let Stop::Malformed { at: inside, what } = &stop {
                cx.structure(at + inside, "catboost-malformed", what.clone());
                metadata::runs(blob, at, "a part that cannot be read", cx)?;
                leftover::search(blob, at, cx)?;
            }
            Err(stop)
        })
    }
}

/// `at` is where the part begins that is being read: offsets of errors count from there.
fn read(blob: &Blob, at: &mut u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let core = sized(blob, *at)?;
    *at = core.1;
    let ids = core_model(&core.0, core.1, cx)?;
    let mut end = core.1 + core.0.len();
    for id in ids {
        *at = end;
        end = match id.as_str() {
            parts::STATISTICS => end + parts::statistics(&blob.sub(end..blob.len()), cx)?,
            _ => {
                // Dictionaries and calculators of text and embedding features have layouts of their own.
                let detail = format!("the part {} is not read", escape(&id));
                cx.gap(GapReason::UnsupportedVariant, Some(end), Some(blob.len() - end), detail);
                if !matches!(id.as_str(), parts::TEXT | parts::EMBEDDING) {
                    cx.structure(
                        end,
                        "catboost-part",
                        format!("a part {} that no loader knows", escape(&id)),
                    );
                }
                metadata::runs(blob, end, "a part that is not read", cx)?;
                return leftover::search(blob, end, cx);
            }
        };
    }
    if end < blob.len() {
        leftover::record(blob, end, "catboost-trailing-bytes", "all its parts were read", cx)?;
    }
    Ok(())
}

/// A block behind its size: 32 bits, or 64 behind a size that is all ones. Returns it and where it begins.
fn sized(blob: &Blob, at: u64) -> Result<(Blob, u64), Stop> {
    let mut c = Cursor::new(blob);
    c.at = at;
    let len = match c.u32() {
        Ok(u32::MAX) => c.number(8),
        n => n.map(u64::from),
    };
    // Offsets of errors count from the block.
    let start = len.and_then(|len| c.skip(len, 1, "bytes").map(|start| start..start + len));
    let range = start.map_err(|stop| match stop {
        Stop::Malformed { at: place, what } => Stop::malformed(place.saturating_sub(at), what),
        other => other,
    })?;
    Ok((blob.sub(range.clone()), range.start))
}

/// The FlatBuffer; returns the names of the parts behind it.
fn core_model(core: &Blob, base: u64, cx: &mut Cx<'_>) -> Result<Vec<String>, Stop> {
    let mut flat = Flat::new(core);
    flat.mark(0, 4);
    let root = flat.follow(0)?;
    let model = flat.table(root, cx)?;
    newer(&model, 4, "a model", base, cx);
    let version = flat.string(&model, 0)?.unwrap_or_default();
    if version != b"FlabuffersModel_v1" {
        let shown = wb_verdict::escape_bytes(&version[..version.len().min(64)]);
        cx.structure(base, "catboost-version", format!("a core of version {shown}"));
    }
    if let Some(trees) = flat.sub(&model, 1, cx)? {
        trees::judge(&mut flat, &trees, base, cx)?;
    }
    for at in flat.tables(&model, 2, cx)? {
        let entry = flat.table(at, cx)?;
        newer(&entry, 2, "an entry of metadata", base, cx);
        let key = flat.string(&entry, 0)?.unwrap_or_default();
        let Some(value) = text(&mut flat, core, &entry, 1)? else { continue };
        information(&String::from_utf8_lossy(&key), &value, base + at, cx);
    }
    let mut ids = Vec::new();
    if let Some(v) = flat.vector(&model, 3, 4)? {
        cx.budget.entries(v.len)?;
        for i in 0..v.len {
            let at = flat.follow(v.at + 4 * i)?;
            ids.push(String::from_utf8_lossy(&flat.text_at(at)?).into_owned());
        }
    }
    explained(flat, core, base, cx)?;
    Ok(ids)
}

/// A whole text, within bounds.
fn text(flat: &mut Flat, core: &Blob, t: &Table, slot: usize) -> Result<Option<String>, Stop> {
    const MOST: u64 = 4 << 20;
    flat.string(t, slot)?;
    let Some(v) = flat.vector(t, slot, 1)? else { return Ok(None) };
    let bytes = core.read_range(v.at..v.at + v.len.min(MOST))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Parameters of the training as JSON, and notes of the user.
fn information(key: &str, value: &str, at: u64, cx: &mut Cx<'_>) {
    if value.trim_start().starts_with(['{', '['])
        && let Ok(json) = serde_json::from_str::<serde_json::Value>(value)
    {
        directive::in_json(&json, key, &mut |f| super::document::record(f, "", cx));
    }
    metadata::text(value, key, at, cx);
    metadata::text(key, "a key of the metadata", at, cx);
}

/// Fields of a newer schema.
fn newer(t: &Table, slots: usize, what: &str, base: u64, cx: &mut Cx<'_>) {
    if t.beyond(slots) {
        let detail = format!("{what} with fields of a newer schema");
        cx.gap(GapReason::Unexplained, Some(base + t.at), None, detail);
    }
}

/// What no table of the FlatBuffer holds: padding, or something hidden.
fn explained(flat: Flat, core: &Blob, base: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MOST: usize = 20;
    for hole in flat.holes().into_iter().take(MOST) {
        let data = core.sub(hole.at..hole.end);
        if compressed::all_zero(&data)? {
            continue;
        }
        let detail = format!("{} bytes of no table of the model", hole.len());
        cx.gap(GapReason::Unexplained, Some(base + hole.at), Some(hole.len()), detail.clone());
        if let Some(what) = crate::analyses::opaque::hidden(&data, &data.head(4096)?) {
            let fact = FactKind::Hidden { code: what.into(), detail };
            cx.fact(Some(base + hole.at), fact);
            cx.member(format!("(bytes at {:#x})", base + hole.at).as_bytes(), &data);
        }
        metadata::runs(&data, 0, "bytes of no table", cx)?;
    }
    Ok(())
}
