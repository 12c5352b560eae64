//! Attributes: where Keras keeps the configuration of a model, and where anything may be kept as text.

use super::file::{Fields, File, UNDEFINED};
use super::message::{self, STRING, Type, kind};
use super::object::{self, Message};
use super::{Names, heap};
use crate::analyses::{directive, opaque};
use crate::cx::{Cx, Stop};
use std::collections::HashSet;
use wb_blob::Blob;
use wb_verdict::{FactKind, escape_bytes};

/// The attributes that the messages of an object hold. The first error is returned after all were looked at.
pub(super) fn attributes(
    file: &mut File,
    messages: &[Message],
    names: &mut Names,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    let mut first = Ok(());
    let mut note = |r: Result<(), Stop>| {
        if first.is_ok() {
            first = r;
        }
    };
    for m in messages {
        match m.kind {
            kind::ATTRIBUTE if m.is_shared() => {
                note(
                    object::shared(file, kind::ATTRIBUTE, &m.body, cx)
                        .and_then(|b| one(file, m.at, &b, names, cx)),
                );
            }
            kind::ATTRIBUTE => note(one(file, m.at, &m.body, names, cx)),
            kind::ATTRIBUTE_INFO => note(dense(file, m, names, cx)),
            _ => {}
        }
    }
    first
}

/// Attributes in a fractal heap.
fn dense(file: &mut File, m: &Message, names: &mut Names, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut f = Fields::new(&m.body);
    let places = (|| {
        f.skip(1)?;
        let flags = f.u8()?;
        if flags & 1 != 0 {
            f.skip(2)?;
        }
        let heap = f.address(file.offset)?;
        let tree = f.address(file.offset)?;
        let order = if flags & 2 != 0 { f.address(file.offset)? } else { UNDEFINED };
        Some((heap, tree, order))
    })();
    let Some((heap, tree, order)) = places else {
        return Err(file.broken(m.at, "attribute information that cannot be read"));
    };
    if heap == UNDEFINED {
        return Ok(());
    }
    let heap = heap::Fractal::read(file, heap, cx)?;
    let mut seen = HashSet::new();
    for tree in [tree, order] {
        if tree == UNDEFINED {
            continue;
        }
        for record in heap::tree2(file, tree, cx)? {
            // Identifier (8), flags (1), creation order (4), hash of the name (4).
            let (Some(id), Some(flags)) = (record.get(..8), record.get(8)) else { continue };
            if !seen.insert(id.to_vec()) {
                continue;
            }
            if flags & 2 != 0 {
                return Err(Stop::Unsupported("HDF5 attributes in a heap of the whole file".into()));
            }
            let (at, body) = heap.object(file, id, cx)?;
            one(file, at, &body, names, cx)?;
        }
    }
    Ok(())
}

fn one(file: &mut File, at: u64, body: &[u8], names: &mut Names, cx: &mut Cx<'_>) -> Result<(), Stop> {
    cx.budget.entries(1)?;
    let Some(a) = message::attribute(body) else {
        return Err(file.broken(at, "an attribute that cannot be read"));
    };
    let whole = |file: &mut File, (bytes, shared): (&[u8], bool), wanted: u16, cx: &Cx<'_>| {
        if shared { object::shared(file, wanted, bytes, cx) } else { Ok(bytes.to_vec()) }
    };
    let kind = whole(file, a.datatype, kind::DATATYPE, cx)?;
    let space = whole(file, a.dataspace, kind::DATASPACE, cx)?;
    let (Some(kind), Some((_, count))) = (message::datatype(&kind), message::elements(&space, file.length))
    else {
        return Err(file.broken(at, "an attribute of unreadable type or shape"));
    };
    let stated = count.and_then(|n| n.checked_mul(kind.size));
    if stated.is_none_or(|n| n > a.value.len() as u64) {
        let detail = format!("attribute {}: its shape exceeds its value", escape_bytes(a.name));
        cx.fact(Some(file.base + at), FactKind::Resource { code: "hdf5-attribute-size".into(), detail });
    }
    values(file, at, &a, kind, names, cx)
}

/// The texts and bytes of an attribute.
fn values(
    file: &mut File,
    at: u64,
    a: &message::Attribute<'_>,
    kind: Type,
    names: &mut Names,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    let size = usize::try_from(kind.size).unwrap_or(usize::MAX).max(1);
    if kind.variable {
        for element in a.value.chunks_exact(size) {
            let mut f = Fields::new(element);
            let place = (|| {
                let len = f.u32()?;
                Some((u64::from(len), f.address(file.offset)?, f.u32()?))
            })();
            let Some((len, collection, index)) = place else { continue };
            if len == 0 || collection == 0 || collection == UNDEFINED {
                continue;
            }
            let object = names.heaps.object(file, collection, index, cx)?;
            let used = len.saturating_mul(kind.base_size.max(1));
            let used = usize::try_from(used).unwrap_or(usize::MAX).min(object.len());
            value(file, at, a.name, &object[..used], true, names, cx);
        }
    } else if kind.class == STRING && size >= 8 {
        for element in a.value.chunks(size) {
            cx.budget.steps(1)?;
            let end = element.iter().rposition(|b| *b != 0).map_or(0, |n| n + 1);
            value(file, at, a.name, &element[..end], true, names, cx);
        }
    } else {
        // Numbers of several bytes are no text, whatever they look like.
        let bytes = kind.size == 1 || kind.class == message::OPAQUE;
        value(file, at, a.name, a.value, bytes, names, cx);
    }
    Ok(())
}

/// One text or run of bytes, as whatever reads it could take it.
pub(super) fn value(
    file: &File,
    at: u64,
    name: &[u8],
    bytes: &[u8],
    textual: bool,
    names: &mut Names,
    cx: &mut Cx<'_>,
) {
    const MAX_TEXT: usize = 1 << 20;
    if bytes.len() < 8 {
        return;
    }
    let place = [&names.path[..], b"@", name].concat();
    if matches!(name, b"model_config" | b"training_config") {
        names.keras = true;
        return cx.keras_member(&place, &Blob::from_vec(bytes.to_vec()));
    }
    let offset = Some(file.base + at);
    let shown = escape_bytes(&place);
    if textual && matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'[' | b'<')) {
        return cx.member(&place, &Blob::from_vec(bytes.to_vec()));
    }
    let blob = Blob::from_vec(bytes.to_vec());
    if let Some(what) = opaque::hidden(&blob, &bytes[..bytes.len().min(4096)]) {
        let detail = format!("in the attribute {shown}");
        cx.fact(offset, FactKind::Hidden { code: what.into(), detail });
        return cx.member(&place, &blob);
    }
    if !textual {
        return;
    }
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT)]);
    if let Some((code, detail)) = directive::commands(&text) {
        cx.fact(offset, FactKind::Directive { code: code.into(), detail: format!("{shown}: {detail}") });
    }
    if let Some(what) = directive::encoded(&text) {
        let detail = format!("base64 in the attribute {shown}");
        cx.fact(offset, FactKind::Hidden { code: what.into(), detail });
    }
}
