//! The state of `_StorageInfo` in the `.metadata` of a distributed checkpoint of torch: which file beside it holds a tensor.
//!
//! `torch.distributed.checkpoint` joins the name to the checkpoint's folder and opens what comes out
//! (`FileSystemReader.read_data`); nothing compares it with the files that the checkpoint has.

use crate::analyses::paths;
use crate::cx::Cx;
use wb_pickle::{PendingValue, Value};
use wb_verdict::{FactKind, escape};

/// Called after each BUILD of an instance.
pub(super) fn after_build(cx: &mut Cx<'_>, object: &PendingValue<'_>, state: &PendingValue<'_>) {
    let info = object.made_by().is_some_and(|c| {
        c.module.starts_with("torch.distributed.")
            && matches!(c.name.as_str(), "_StorageInfo" | "_HFStorageInfo")
    });
    if !info {
        return;
    }
    let Some(path) = state.get("relative_path") else { return };
    let Value::Str { text, .. } = path.value() else { return };
    // An address is opened by file systems that know its scheme.
    let code = paths::escape_of(text.as_bytes()).or_else(|| text.contains("://").then_some("absolute"));
    if let Some(code) = code {
        let detail =
            format!("a tensor of the checkpoint in {}", escape(&text.chars().take(200).collect::<String>()));
        cx.fact(Some(object.offset()), FactKind::UnsafePath { code: code.into(), detail });
    }
}
