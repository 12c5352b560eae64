//! What is common to engines compiled for an accelerator: formats of one vendor, documented by nobody, full of device code.
//! That they do no harm cannot be proved; what they name and carry for the host can be told.

use crate::analyses::embedded::{self, Found};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::FactKind;

/// Facts of one kind told per engine, so that one kind does not drown the others.
const MAX_TOLD: u32 = 50;

/// Looks an engine over and says that the rest of it cannot be judged. `name` gets every other text with its offset.
pub(super) fn judge(
    blob: &Blob,
    format: &'static str,
    detail: &str,
    cx: &mut Cx<'_>,
    name: &mut dyn FnMut(u64, &str, &mut Cx<'_>),
) -> Result<(), Stop> {
    look(blob, format, cx, name)?;
    cx.fact(None, FactKind::Unsupported { format: format.into(), detail: detail.into() });
    Ok(())
}

/// Tells native code, names of libraries and commands in `blob`.
pub(super) fn look(
    blob: &Blob,
    format: &'static str,
    cx: &mut Cx<'_>,
    name: &mut dyn FnMut(u64, &str, &mut Cx<'_>),
) -> Result<(), Stop> {
    let (mut native, mut libraries, mut commands) = (0, 0, 0);
    let directive = |told: &mut u32, at: u64, code: String, detail: String, cx: &mut Cx<'_>| {
        *told += 1;
        if *told <= MAX_TOLD {
            cx.fact(Some(at), FactKind::Directive { code, detail });
        }
    };
    embedded::look(blob, &mut |at, found| match found {
        Found::Native(kind) => {
            directive(&mut native, at, format!("{format}-host-code"), format!("{kind} image"), cx);
        }
        Found::Library(library) => directive(&mut libraries, at, format!("{format}-library"), library, cx),
        Found::Command(code, detail) => directive(&mut commands, at, code.into(), detail, cx),
        Found::Text(text) => name(at, &text, cx),
    })?;
    Ok(())
}
