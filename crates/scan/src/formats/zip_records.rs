//! Records of a zip file as they stand in the bytes, without deciding which of two readers is right.
//!
//! APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.

use crate::analyses::opaque;
use std::io;
use std::ops::Range;
use wb_blob::Blob;

pub(super) const LOCAL: &[u8; 4] = b"PK\x03\x04";
pub(super) const CENTRAL: &[u8; 4] = b"PK\x01\x02";
pub(super) const END: &[u8; 4] = b"PK\x05\x06";
pub(super) const END64: &[u8; 4] = b"PK\x06\x06";
pub(super) const LOCATOR64: &[u8; 4] = b"PK\x06\x07";
pub(super) const DESCRIPTOR: &[u8; 4] = b"PK\x07\x08";

/// Flag bits that announce encryption or patched data; some readers refuse, torch ignores them.
pub(super) const ENCRYPTION_FLAGS: u16 = 0x1 | 0x20 | 0x40 | 0x2000;
/// Sizes and CRC follow the data.
pub(super) const STREAMED: u16 = 0x8;

pub(super) fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    b.get(at..at + 2).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes)
}

pub(super) fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    b.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
}

pub(super) fn u64_at(b: &[u8], at: usize) -> Option<u64> {
    b.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes)
}

/// What local and central headers have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub name: Box<[u8]>,
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub compressed: u64,
    pub size: u64,
    /// Name of the Unicode path extra field, which some readers prefer.
    pub other_name: Option<Box<[u8]>>,
    /// An extra field or comment holds something that a loader would open.
    pub hidden: Option<&'static str>,
}

/// A local header.
#[derive(Debug, Clone)]
pub(super) struct Local {
    pub header: Header,
    pub data_at: u64,
}

/// An entry of a central directory.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub header: Header,
    /// Position of the local header in the blob, base included.
    pub local_at: u64,
    /// External attributes; the upper half is a Unix mode, whatever system the header says: unpackers differ on which
    /// systems have one, and others leave it zero.
    pub external: u32,
}

fn extra_fields(header: &mut Header, extra: &[u8], mut local_at: Option<&mut u64>) {
    let mut rest = extra;
    header.hidden = hidden_in(extra);
    while let (Some(id), Some(len)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let Some(body) = rest.get(4..4 + usize::from(len)) else { return };
        header.hidden = header.hidden.or_else(|| hidden_in(body));
        match id {
            // Zip64: only the fields that are saturated in the header, in this order.
            0x0001 => {
                let mut at = 0;
                let mut next = |field: &mut u64| {
                    if *field == u64::from(u32::MAX)
                        && let Some(v) = u64_at(body, at)
                    {
                        *field = v;
                        at += 8;
                    }
                };
                next(&mut header.size);
                next(&mut header.compressed);
                if let Some(at) = local_at.as_deref_mut() {
                    next(at);
                }
            }
            // Info-ZIP Unicode path: version, CRC of the plain name, name.
            0x7075 if body.first() == Some(&1) && body.len() > 5 => {
                header.other_name = Some(body[5..].into());
            }
            _ => {}
        }
        rest = &rest[4 + usize::from(len)..];
    }
}

/// Something that a loader would open, in bytes that archive readers skip. Padding and the usual fields are shorter,
/// or one byte over and over.
fn hidden_in(bytes: &[u8]) -> Option<&'static str> {
    const SHORTEST: usize = 16;
    let first = *bytes.first()?;
    if bytes.len() < SHORTEST || bytes.get(4..).is_some_and(|b| b.iter().all(|b| *b == first || *b == b'Z')) {
        return None;
    }
    opaque::hidden(&Blob::from_vec(bytes.to_vec()), bytes)
}

/// The local header at `at`, if there is one. `seen` holds bytes from `at` on that were read already.
pub(super) fn local(blob: &Blob, at: u64, seen: &[u8]) -> io::Result<Option<Local>> {
    let fetched;
    let mut v = seen;
    if v.len() < 30 {
        fetched = blob.read_range(at..at.saturating_add(30))?;
        v = &fetched;
    }
    if !v.starts_with(LOCAL) || v.len() < 30 {
        return Ok(None);
    }
    let (name_len, extra_len) =
        (usize::from(u16_at(v, 26).unwrap_or(0)), usize::from(u16_at(v, 28).unwrap_or(0)));
    let total = 30 + name_len + extra_len;
    let more;
    if v.len() < total {
        more = blob.read_range(at..at.saturating_add(total as u64))?;
        v = &more;
    }
    let mut header = Header {
        name: v.get(30..30 + name_len).unwrap_or_default().into(),
        flags: u16_at(v, 6).unwrap_or(0),
        method: u16_at(v, 8).unwrap_or(0),
        crc: u32_at(v, 14).unwrap_or(0),
        compressed: u64::from(u32_at(v, 18).unwrap_or(0)),
        size: u64::from(u32_at(v, 22).unwrap_or(0)),
        other_name: None,
        hidden: None,
    };
    extra_fields(&mut header, v.get(30 + name_len..total).unwrap_or_default(), None);
    Ok(Some(Local { header, data_at: at.saturating_add(total as u64) }))
}

/// Length of the central directory entry whose fixed part is `v`.
pub(super) fn entry_len(v: &[u8]) -> Option<u64> {
    let lengths = [u16_at(v, 28)?, u16_at(v, 30)?, u16_at(v, 32)?];
    Some(46 + lengths.into_iter().map(u64::from).sum::<u64>())
}

/// Parses one central directory entry at the start of `v`; returns it and its length.
pub(super) fn entry(v: &[u8], base: u64) -> Option<(Entry, usize)> {
    if !v.starts_with(CENTRAL) {
        return None;
    }
    let name_len = usize::from(u16_at(v, 28)?);
    let extra_len = usize::from(u16_at(v, 30)?);
    let comment_len = usize::from(u16_at(v, 32)?);
    let total = 46 + name_len + extra_len + comment_len;
    let mut header = Header {
        name: v.get(46..46 + name_len)?.into(),
        flags: u16_at(v, 8)?,
        method: u16_at(v, 10)?,
        crc: u32_at(v, 16)?,
        compressed: u64::from(u32_at(v, 20)?),
        size: u64::from(u32_at(v, 24)?),
        other_name: None,
        hidden: None,
    };
    let mut local_at = u64::from(u32_at(v, 42)?);
    let extra = v.get(46 + name_len..46 + name_len + extra_len)?;
    extra_fields(&mut header, extra, Some(&mut local_at));
    if let Some(comment) = v.get(46 + name_len + extra_len..total) {
        header.hidden = header.hidden.or_else(|| hidden_in(comment));
    }
    let entry = Entry { header, local_at: local_at.saturating_add(base), external: u32_at(v, 38)? };
    Some((entry, total))
}

/// Where one reader finds a central directory, and what it adds to the offsets in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Directory {
    pub at: u64,
    pub base: u64,
    pub size: u64,
    pub entries: u64,
}

/// An end record with everything that belongs to it.
#[derive(Debug, Clone)]
pub(super) struct EndRecord {
    /// End record proper, comment included.
    pub range: Range<u64>,
    /// Zip64 end record and locator, where present.
    pub parts64: Vec<Range<u64>>,
    /// Comment, as a range.
    pub comment: Range<u64>,
    /// All directories that some reader would find from here; the first is where the offset says.
    pub directories: Vec<Directory>,
}

fn is_directory(blob: &Blob, d: &Directory) -> bool {
    if d.entries == 0 && d.size == 0 {
        return true;
    }
    blob.read_range(d.at..d.at.saturating_add(4)).is_ok_and(|sig| sig == CENTRAL)
}

/// The end record at `at` (absolute), if readers would accept it.
pub(super) fn end_record(blob: &Blob, at: u64) -> io::Result<Option<EndRecord>> {
    let start = at.saturating_sub(20);
    let v = blob.read_range(start..at.saturating_add(22))?;
    let e = v.get((at - start) as usize..).unwrap_or_default();
    if !e.starts_with(END) || e.len() < 22 {
        return Ok(None);
    }
    let comment_len = u64::from(u16_at(e, 20).unwrap_or(0));
    let plain = (
        u64::from(u16_at(e, 10).unwrap_or(0)),
        u64::from(u32_at(e, 12).unwrap_or(0)),
        u64::from(u32_at(e, 16).unwrap_or(0)),
    );
    let mut readings = vec![(plain, at)];
    let mut parts64 = Vec::new();
    if at >= 20 && v.starts_with(LOCATOR64) {
        let stated = u64_at(&v, 8).unwrap_or(u64::MAX);
        let mut before = true;
        for pos in [stated, at.saturating_sub(76)] {
            let r = blob.read_range(pos..pos.saturating_add(56))?;
            if r.starts_with(END64) && r.len() == 56 && !parts64.iter().any(|p: &Range<u64>| p.start == pos) {
                if std::mem::take(&mut before) {
                    readings.clear();
                }
                let fields =
                    (u64_at(&r, 32).unwrap_or(0), u64_at(&r, 40).unwrap_or(0), u64_at(&r, 48).unwrap_or(0));
                readings.push((fields, pos));
                // The record may hold more than its fixed part ("extensible data sector"), up to the locator.
                let stated = u64_at(&r, 4).unwrap_or(0).saturating_add(12).saturating_add(pos);
                let end = if stated == at - 20 { stated.max(pos + 56) } else { pos + 56 };
                parts64.push(pos..end);
            }
        }
        // A reader without zip64 support takes the plain fields, where these are not saturated.
        if plain.2 != u64::from(u32::MAX) && !readings.iter().any(|(f, _)| *f == plain) {
            readings.push((plain, at));
        }
        parts64.push(at - 20..at);
    }
    let mut directories: Vec<Directory> = Vec::new();
    for ((entries, size, offset), record) in readings {
        let stated = Directory { at: offset, base: 0, size, entries };
        let from_end = record.checked_sub(size).and_then(|at| {
            let base = at.checked_sub(offset)?;
            Some(Directory { at, base, size, entries })
        });
        for d in [Some(stated), from_end].into_iter().flatten() {
            if d.at <= at && is_directory(blob, &d) && !directories.iter().any(|o| o.at == d.at) {
                directories.push(d);
            }
        }
    }
    if directories.is_empty() {
        return Ok(None);
    }
    let comment = at + 22..(at + 22 + comment_len).min(blob.len());
    Ok(Some(EndRecord { range: at..comment.end, parts64, comment, directories }))
}

/// Positions of end record signatures in the last 64 KiB of `blob`, last first.
pub(super) fn end_signatures(blob: &Blob) -> io::Result<Vec<u64>> {
    const TAIL: u64 = (64 << 10) + 22;
    let start = blob.len().saturating_sub(TAIL);
    let tail = blob.read_range(start..blob.len())?;
    let mut found: Vec<u64> = memchr::memmem::find_iter(&tail, END).map(|at| start + at as u64).collect();
    found.reverse();
    found.truncate(64);
    Ok(found)
}
