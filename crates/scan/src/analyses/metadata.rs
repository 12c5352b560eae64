//! Texts that a model carries beside its numbers: names, parameters, notes. No loader runs them; what reads as code, as a
//! command or as a hidden file is told, because it waits for somebody who does.

use super::directive;
use crate::cx::Cx;
use wb_blob::Blob;
use wb_verdict::{FactKind, escape};

/// Shorter texts say nothing.
const LEAST: usize = 8;

/// Looks one text over. `place` names where it stands; true if something was told.
pub(crate) fn text(text: &str, place: &str, at: u64, cx: &mut Cx<'_>) -> bool {
    if text.len() < LEAST {
        return false;
    }
    let found = directive::commands(text)
        .or_else(|| directive::encoded(text).map(|what| ("encoded-content", format!("{what} in base64"))));
    let Some((code, detail)) = found else { return false };
    let detail = if place.is_empty() { detail } else { format!("{}: {detail}", escape(place)) };
    cx.fact(Some(at), FactKind::Directive { code: code.into(), detail });
    true
}

/// As [`text`], for the printable runs of bytes of which nothing else is known: a part that breaks off, say.
pub(crate) fn runs(blob: &Blob, from: u64, place: &str, cx: &mut Cx<'_>) -> std::io::Result<()> {
    const MOST: u64 = 1 << 20;
    let bytes = blob.read_range(from.min(blob.len())..blob.len().min(from.saturating_add(MOST)))?;
    let mut start = None;
    for (i, b) in bytes.iter().chain(&[0]).enumerate() {
        if matches!(b, b' '..=b'~' | b'\t' | b'\n' | b'\r') {
            start.get_or_insert(i);
        } else if let Some(start) = start.take()
            && i - start >= LEAST
            && text(&String::from_utf8_lossy(&bytes[start..i]), place, from + start as u64, cx)
        {
            return Ok(());
        }
    }
    Ok(())
}
