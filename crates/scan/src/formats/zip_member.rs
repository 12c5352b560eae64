//! One zip record: what its headers say of it, and its content under every reading of them.

use super::codec::Codec;
use super::decoded::{self, Decoded};
use super::zip_kind::Kind;
use super::zip_records::{self as records, ENCRYPTION_FLAGS, Entry, Header, Local, STREAMED};
use super::{torch_export, torchscript};
use crate::analyses::{opaque, paths};
use crate::cx::{Cx, Stop};
use wb_blob::{Blob, Exhausted, Resource, Window};
use wb_verdict::{FactKind, GapReason, escape_bytes};

/// Members up to this size are read whole to verify their CRC.
const CRC_MAX: u64 = 16 << 20;

/// A record to scan.
pub(super) struct Member<'a> {
    pub blob: &'a Blob,
    /// What the central directory says; `None` for records that it does not list.
    pub entry: Option<&'a Entry>,
    pub local: &'a Local,
    /// Position of the local header.
    pub at: u64,
    /// Where the next known record begins.
    pub limit: u64,
    /// The first bytes of the data, as far as read already.
    pub head: &'a [u8],
}

impl Member<'_> {
    /// The header that directory readers go by.
    fn header(&self) -> &Header {
        self.entry.map_or(&self.local.header, |e| &e.header)
    }
}

/// Scans one record; returns where it ends, descriptor included.
pub(super) fn scan(m: &Member<'_>, kind: &Kind, cx: &mut Cx<'_>) -> Result<u64, Stop> {
    compare(m, cx);
    names(m, kind, cx)?;
    let h = m.header();
    let local = &m.local.header;
    let encrypted = (h.flags | local.flags) & ENCRYPTION_FLAGS;
    if encrypted != 0 {
        let detail =
            format!("{}: encryption flag bits {encrypted:#x}; torch ignores them", escape_bytes(&h.name));
        cx.structure(m.at, "zip-encryption-flag", detail);
    }
    let mut end = content(m, h.method, h.compressed, h.size, kind, cx)?;
    // Readers that go by the local header may see something else; streamed ones hold no sizes there.
    let local_differs = local.method != h.method
        || (local.compressed != h.compressed && !(local.flags & STREAMED != 0 && local.compressed == 0));
    if m.entry.is_some() && local_differs {
        end = end.max(content(m, local.method, local.compressed, local.size, kind, cx)?);
    }
    Ok(descriptor(m, end, cx)?)
}

fn compare(m: &Member<'_>, cx: &mut Cx<'_>) {
    let Some(entry) = m.entry else { return };
    let (c, l) = (&entry.header, &m.local.header);
    let name = escape_bytes(&c.name);
    if c.name != l.name {
        let detail = format!("central directory says {name}, local header {}", escape_bytes(&l.name));
        cx.structure(m.at, "zip-local-name-differs", detail);
    }
    if c.method != l.method {
        let detail =
            format!("{name}: method {} in the directory, {} in the local header", c.method, l.method);
        cx.structure(m.at, "zip-local-method-differs", detail);
    }
    let streamed = l.flags & STREAMED != 0;
    let saturated = |v: u64| v == u64::from(u32::MAX);
    let differs = |c: u64, l: u64| c != l && !(streamed && (l == 0 || saturated(l)));
    if differs(c.compressed, l.compressed) || differs(c.size, l.size) {
        let detail = format!(
            "{name}: {}/{} bytes in the directory, {}/{} in the local header",
            c.compressed, c.size, l.compressed, l.size
        );
        cx.structure(m.at, "zip-local-size-differs", detail);
    }
    if differs(u64::from(c.crc), u64::from(l.crc)) {
        cx.structure(m.at, "zip-local-crc-differs", format!("{name}: crc differs between the headers"));
    }
    for (header, place) in [(c, "central directory"), (l, "local header")] {
        if let Some(what) = header.hidden {
            let detail = format!("in the extra field or comment of {name} ({place})");
            cx.fact(Some(m.at), FactKind::Hidden { code: what.into(), detail });
        }
    }
    for other in [&c.other_name, &l.other_name].into_iter().flatten() {
        if **other != *c.name {
            let detail = format!("{name} is named {} by an extra field", escape_bytes(other));
            cx.structure(m.at, "zip-unicode-name-differs", detail);
        }
    }
}

/// Unsafe member names, links and devices.
fn names(m: &Member<'_>, kind: &Kind, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let name = &m.header().name;
    let local = &m.local.header.name;
    let other = [&m.header().other_name, &m.local.header.other_name].into_iter().flatten();
    for n in std::iter::once(name).chain((local != name).then_some(local)).chain(other) {
        if let Some(code) = paths::escape_of(n) {
            cx.fact(Some(m.at), FactKind::UnsafePath { code: code.into(), detail: escape_bytes(n) });
        }
        if n.contains(&0) {
            cx.structure(
                m.at,
                "zip-nul-in-name",
                format!("{} is cut at its NUL by some readers", escape_bytes(n)),
            );
        }
    }
    let Some(entry) = m.entry else { return Ok(()) };
    match (entry.external >> 16) & 0o170_000 {
        0o120_000 => {
            let target = link_target(m, entry, cx)?;
            kind.links.borrow_mut().add(name, &target);
            if paths::symlink_escapes(name, &target) {
                let detail = format!("{} -> {}", escape_bytes(name), escape_bytes(&target));
                cx.fact(Some(m.at), FactKind::UnsafePath { code: "link-outside".into(), detail });
            }
        }
        0o020_000 | 0o060_000 | 0o010_000 => {
            cx.fact(Some(m.at), FactKind::UnsafePath { code: "device".into(), detail: escape_bytes(name) });
        }
        _ => {}
    }
    Ok(())
}

/// Where a symbolic link points: its content, which may be compressed.
fn link_target(m: &Member<'_>, entry: &Entry, cx: &Cx<'_>) -> Result<Vec<u8>, Stop> {
    const MAX: usize = 4096;
    let start = m.local.data_at;
    let data = m.blob.sub(start..start.saturating_add(entry.header.compressed));
    match codec(entry.header.method) {
        Some(codec) => Ok(decoded::decode(cx, &data, codec, false).content.head(MAX)?),
        None => Ok(data.head(MAX)?),
    }
}

/// The decompressor of a zip method (APPNOTE.TXT 4.4.5).
fn codec(method: u16) -> Option<Codec> {
    Some(match method {
        8 => Codec::Deflate,
        9 => Codec::Deflate64,
        12 => Codec::Bzip2,
        14 => Codec::ZipLzma,
        93 => Codec::Zstd,
        95 => Codec::Xz,
        _ => return None,
    })
}

/// Scans the data of a record as `method` and the sizes say; returns where the data ends.
fn content(
    m: &Member<'_>,
    method: u16,
    compressed: u64,
    size: u64,
    kind: &Kind,
    cx: &mut Cx<'_>,
) -> Result<u64, Stop> {
    let h = m.header();
    let start = m.local.data_at;
    let stated_end = start.saturating_add(compressed);
    let shown = || escape_bytes(&h.name);
    if stated_end > m.blob.len() {
        let detail = format!("{}: data would end at {stated_end:#x}, behind the end of the file", shown());
        cx.structure(m.at, "zip-data-out-of-bounds", detail);
    }
    let codec = match (method, codec(method)) {
        (0, _) => return stored(m, compressed, size, kind, cx),
        (_, Some(codec)) => codec,
        (99, _) => {
            cx.gap(GapReason::Encrypted, Some(m.at), Some(compressed), format!("{} is encrypted", shown()));
            return Ok(stated_end.min(m.blob.len()));
        }
        (other, _) => {
            let detail = format!("{}: compression method {other} has no reader here", shown());
            cx.gap(GapReason::UnsupportedVariant, Some(m.at), Some(compressed), detail);
            as_it_stands(m, compressed, cx)?;
            return Ok(stated_end.min(m.blob.len()));
        }
    };
    // The stream knows its own end; a size that cuts it short is a lie that some readers ignore.
    let room = m.limit.max(stated_end).min(m.blob.len());
    let d = decoded::decode(cx, &m.blob.sub(start..room), codec, false);
    cx.enter(&h.name, |cx| super::compressed::extreme_ratio(d.consumed, d.content.len(), cx));
    let known = m.entry.is_some() || m.local.header.flags & STREAMED == 0;
    if d.error.is_none() {
        verify(m, &d, compressed, size, known, cx);
    }
    let encrypted = (h.flags | m.local.header.flags) & 1 != 0;
    let broken = d.error.is_some();
    if broken && d.content.is_empty() {
        as_it_stands(m, compressed, cx)?;
    }
    member(m, &d.content, kind, broken, cx);
    let end = start + d.consumed;
    if known && end < stated_end && !broken {
        let rest = m.blob.sub(end..stated_end);
        if !rest.is_empty() {
            let detail = format!("{}: {} bytes after the compressed stream", shown(), rest.len());
            cx.structure(end, "zip-bytes-after-stream", detail);
            cx.member(&[&h.name[..], b" (after stream)"].concat(), &rest);
        }
    }
    match d.error {
        Some(Stop::Malformed { .. }) if encrypted => {
            cx.gap(GapReason::Encrypted, Some(m.at), Some(compressed), format!("{} is encrypted", shown()));
        }
        Some(stop) => cx.enter(&h.name, |cx| {
            super::compressed::bomb(&stop, cx);
            cx.stop(stop);
        }),
        None => {}
    }
    Ok(if known { end.max(stated_end.min(m.blob.len())) } else { end })
}

/// A method that is a lie hides content from readers that believe it; others take the bytes as they stand.
fn as_it_stands(m: &Member<'_>, compressed: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let raw = m.blob.sub(m.local.data_at..m.local.data_at.saturating_add(compressed));
    if opaque::hidden(&raw, &raw.head(4096)?).is_some() {
        let name = &m.header().name;
        let detail = format!("{}: said to be compressed, and is not", escape_bytes(name));
        cx.structure(m.at, "zip-method-lie", detail);
        cx.member(name, &raw);
    }
    Ok(())
}

fn verify(m: &Member<'_>, d: &Decoded, compressed: u64, size: u64, known: bool, cx: &mut Cx<'_>) {
    if !known {
        return;
    }
    let h = m.header();
    if d.content.len() != size {
        let detail =
            format!("{}: {size} bytes announced, {} in the stream", escape_bytes(&h.name), d.content.len());
        cx.structure(m.at, "zip-size-lie", detail);
    }
    if d.consumed > compressed {
        let detail = format!(
            "{}: {compressed} compressed bytes announced, {} used",
            escape_bytes(&h.name),
            d.consumed
        );
        cx.structure(m.at, "zip-compressed-size-lie", detail);
    }
    if d.crc != h.crc {
        cx.structure(m.at, "zip-bad-crc", format!("{}: crc differs from the content", escape_bytes(&h.name)));
    }
}

fn stored(m: &Member<'_>, compressed: u64, size: u64, kind: &Kind, cx: &mut Cx<'_>) -> Result<u64, Stop> {
    let h = m.header();
    let start = m.local.data_at;
    let streamed_blind = m.entry.is_none() && h.flags & STREAMED != 0 && compressed == 0;
    let len = if streamed_blind { until_signature(m)? } else { compressed };
    if !streamed_blind && compressed != size {
        let detail =
            format!("{}: stored, but {compressed} and {size} bytes announced", escape_bytes(&h.name));
        cx.structure(m.at, "zip-stored-size-differs", detail);
    }
    let reach = if streamed_blind { len } else { compressed.max(size) };
    let data = m.blob.sub(start..start.saturating_add(reach));
    let end = start.saturating_add(len).min(m.blob.len());
    kind.work.set(kind.work.get().saturating_add(data.len()));
    if kind.work.get() > m.blob.len().saturating_mul(4).saturating_add(64 << 20) {
        // Members that share their bytes: reading them all would take as long as their number squared.
        let detail = format!("{} and others hold more bytes together than the file", escape_bytes(&h.name));
        cx.fact(Some(m.at), FactKind::Resource { code: "zip-overlap-bomb".into(), detail });
        return Err(Stop::Exhausted(Exhausted(Resource::Entries)));
    }
    let storage = kind.is_storage(&h.name) && kind.is_storage(&m.local.header.name);
    if !storage && !streamed_blind && compressed <= CRC_MAX && crc_of(&m.blob.sub(start..end))? != h.crc {
        if (h.flags | m.local.header.flags) & 1 != 0 {
            let detail = format!("{} is encrypted, or its crc is wrong", escape_bytes(&h.name));
            cx.gap(GapReason::Encrypted, Some(m.at), Some(compressed), detail);
        }
        cx.structure(m.at, "zip-bad-crc", format!("{}: crc differs from the content", escape_bytes(&h.name)));
    }
    member(m, &data, kind, false, cx);
    Ok(end)
}

/// Hands content on: storages get the cheap check of their beginning, everything else a full scan.
fn member(m: &Member<'_>, data: &Blob, kind: &Kind, broken: bool, cx: &mut Cx<'_>) {
    let name = &*m.header().name;
    if (name.ends_with(b"/") && data.is_empty()) || (broken && data.is_empty()) {
        return;
    }
    let opaque_member = kind.is_storage(name) && kind.is_storage(&m.local.header.name);
    let script = [name, &m.local.header.name].into_iter().any(|n| kind.is_script_source(n));
    if script && !opaque_member {
        kind.sources.borrow_mut().source(name, data, cx);
        if !kind.is_only_script(name) {
            return cx.member(name, data);
        }
    }
    if kind.is_bytecode(name) || kind.is_bytecode(&m.local.header.name) {
        torchscript::bytecode(name, data, cx);
    }
    if let Some(name) = [name, &*m.local.header.name].into_iter().find(|n| kind.is_program(n)) {
        torch_export::program(name, data, cx);
    }
    if kind.is_manifest(name)
        && !data.head(1 << 20).is_ok_and(|text| serde_json::from_slice::<serde_json::Value>(&text).is_ok())
    {
        // The server's own reader takes more than JSON: comments, bare words, other quotes.
        cx.gap(GapReason::Malformed, Some(m.at), None, "a manifest that is no plain JSON");
    }
    if kind.is_compiled(name) {
        torch_export::compiled(name, cx);
    }
    if !opaque_member && !script {
        if kind.has_storages() && name.to_ascii_lowercase().ends_with(b".pkl") {
            return cx.torch_member(name, data);
        }
        if kind.is_keras_config(name) || kind.is_keras_config(&m.local.header.name) {
            return cx.keras_member(name, data);
        }
        if kind.is_skops_schema(name) || kind.is_skops_schema(&m.local.header.name) {
            let mut skops = false;
            cx.enter(name, |cx| {
                skops = super::skops::schema(data, cx);
                crate::engine::scan_blob(data, cx);
            });
            if skops {
                cx.refine("skops");
            }
            return;
        }
        return cx.member(name, data);
    }
    let stored = m.header().method == 0 && m.local.header.method == 0;
    let have = if stored { m.head } else { &[] };
    let have = &have[..have.len().min(usize::try_from(data.len()).unwrap_or(usize::MAX))];
    let fetched;
    let head = if have.len() < 64.min(usize::try_from(data.len()).unwrap_or(64)) {
        match data.head(256) {
            Ok(h) => fetched = h,
            Err(e) => return cx.stop(e.into()),
        }
        &fetched[..]
    } else {
        have
    };
    if opaque_member && kind.has_saved_weights() && torch_export::is_saved(head) {
        return cx.member(name, data);
    }
    let what = opaque::hidden(data, head);
    if let Some(what) = what {
        let detail = if opaque_member { "in a tensor storage" } else { "in place of TorchScript source" };
        cx.enter(name, |cx| cx.fact(Some(0), FactKind::Hidden { code: what.into(), detail: detail.into() }));
        cx.member(name, data);
    }
}

fn crc_of(blob: &Blob) -> Result<u32, Stop> {
    let mut crc = crc32fast::Hasher::new();
    let mut window = Window::new(blob.clone(), Window::CHUNK);
    let mut at = 0;
    while at < blob.len() {
        let v = window.view(at, 1)?;
        crc.update(v);
        at += v.len() as u64;
    }
    Ok(crc.finalize())
}

/// Length of a stored, unlisted member of unknown size: up to the next record signature.
fn until_signature(m: &Member<'_>) -> Result<u64, Stop> {
    let mut window = Window::new(m.blob.sub(0..m.limit), 1 << 20);
    let mut at = m.local.data_at;
    while at < m.limit {
        let v = window.view(at, 4)?;
        let hit = memchr::memmem::find_iter(v, b"PK")
            .find(|n| matches!(v.get(n + 2..n + 4), Some([3, 4] | [7, 8] | [1, 2] | [5, 6] | [6, 6])));
        if let Some(n) = hit {
            return Ok(at + n as u64 - m.local.data_at);
        }
        at += (v.len() as u64).saturating_sub(3).max(1);
    }
    Ok(m.limit.saturating_sub(m.local.data_at))
}

/// The data descriptor at `end`, if it is there and agrees; returns the end of the record.
fn descriptor(m: &Member<'_>, end: u64, cx: &mut Cx<'_>) -> Result<u64, std::io::Error> {
    let h = m.header();
    if (h.flags | m.local.header.flags) & STREAMED == 0 {
        return Ok(end);
    }
    let d = m.blob.read_range(end..end.saturating_add(24))?;
    let signed = d.starts_with(records::DESCRIPTOR);
    let body = if signed { &d[4..] } else { &d[..] };
    let skip = if signed { 4 } else { 0 };
    let agrees32 = || {
        records::u32_at(body, 0) == Some(h.crc)
            && records::u32_at(body, 4) == Some(h.compressed as u32)
            && records::u32_at(body, 8) == Some(h.size as u32)
    };
    let agrees64 = || {
        records::u32_at(body, 0) == Some(h.crc)
            && records::u64_at(body, 4) == Some(h.compressed)
            && records::u64_at(body, 12) == Some(h.size)
    };
    if m.entry.is_some() {
        if agrees64() {
            return Ok(end + skip + 20);
        }
        if agrees32() {
            return Ok(end + skip + 12);
        }
    }
    if !signed {
        return Ok(end);
    }
    if m.entry.is_some() {
        let detail = format!("{}: the data descriptor says something else", escape_bytes(&h.name));
        cx.structure(end, "zip-descriptor-differs", detail);
    }
    // Four-byte sizes unless a record signature stands where eight-byte sizes would end.
    let wide =
        m.blob.read_range(end + 24..end + 26)? == b"PK" && m.blob.read_range(end + 16..end + 18)? != b"PK";
    Ok(end + if wide { 24 } else { 16 })
}
