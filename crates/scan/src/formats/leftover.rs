//! Bytes behind the end of a model, which its loader does not open: others may.

use crate::analyses::opaque;
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason};

/// Records what follows the model at `at`, and why it is no part of it. `code` names the contradiction.
pub(super) fn record(blob: &Blob, at: u64, code: &str, why: &str, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let rest = blob.sub(at..blob.len());
    let detail = format!("{} bytes behind the model: {why}", rest.len());
    cx.structure(at, code, detail.clone());
    cx.gap(GapReason::Unexplained, Some(at), Some(rest.len()), detail);
    if let Some(what) = opaque::hidden(&rest, &rest.head(4096)?) {
        let detail = "behind the model".to_string();
        cx.fact(Some(at), FactKind::Hidden { code: what.into(), detail });
    }
    cx.member(format!("(bytes at {at:#x})").as_bytes(), &rest);
    Ok(())
}

/// Looks for something hidden in the rest of a model that could not be read to its end.
pub(super) fn search(blob: &Blob, at: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let rest = blob.sub(at.min(blob.len())..blob.len());
    if let Some(what) = opaque::hidden(&rest, &rest.head(4096)?) {
        let detail = "in a part that cannot be read".to_string();
        cx.fact(Some(at), FactKind::Hidden { code: what.into(), detail });
        cx.member(format!("(bytes at {at:#x})").as_bytes(), &rest);
    }
    Ok(())
}
