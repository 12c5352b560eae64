//! A zip writer that can lie in every field (APPNOTE.TXT 6.3.10), because readers that believe
//! different fields are what many attacks live on.

use super::{Builder, Source, compress};
use crate::Error;
use serde::Deserialize;

/// A zip archive. Offsets count from its own first byte.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Zip {
    entries: Vec<Entry>,
    /// Central directories, one after another; without it one that lists every entry truly.
    #[serde(default)]
    directories: Vec<Vec<Listed>>,
    /// The directory (by number) that the end record points to.
    #[serde(default)]
    end_points_to: usize,
    #[serde(default)]
    comment: String,
}

/// A local record, and unless `listed = false` its line in the central directory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    data: Source,
    #[serde(default = "yes")]
    listed: bool,
    /// Name in the local header, if it differs.
    local_name: Option<String>,
    #[serde(default)]
    flags: u16,
    /// Flags in the local header, if they differ.
    local_flags: Option<u16>,
    #[serde(default)]
    deflate: bool,
    /// CRC-32, if it lies.
    crc: Option<u32>,
    /// Uncompressed size, if it lies.
    size: Option<u32>,
    /// Compressed size, if it lies.
    packed_size: Option<u32>,
    /// Extra field of the local header.
    #[serde(default)]
    extra: Option<Source>,
    /// Extra field of the directory entry.
    #[serde(default)]
    directory_extra: Option<Source>,
    /// Comment of the directory entry.
    #[serde(default)]
    comment: Option<Source>,
    /// Method number, if it is none that this writer can write: what is written stays as it is.
    method: Option<u16>,
    /// Unix mode in the directory (default: a regular file).
    mode: Option<u32>,
    /// System that made the entry, by number (default 3, Unix).
    system: Option<u8>,
}

/// A line of a hand-made central directory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// Number of the entry.
    entry: usize,
    /// Offset of the local header, if it lies.
    offset: Option<u32>,
    /// Name in this directory, if it differs.
    name: Option<String>,
}

fn yes() -> bool {
    true
}

/// What the central directory repeats of a local header.
struct Fields {
    method: u16,
    crc: u32,
    packed: u32,
    size: u32,
    offset: u32,
}

pub(crate) fn build(zip: &Zip, b: &Builder<'_>) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut fields = Vec::new();
    for e in &zip.entries {
        let data = b.source(&e.data).map_err(|err| err.at(&e.name))?;
        let packed = if e.deflate { compress::deflate(&data)? } else { data.clone() };
        let f = Fields {
            method: e.method.unwrap_or(if e.deflate { 8 } else { 0 }),
            crc: e.crc.unwrap_or_else(|| crc32fast::hash(&data)),
            packed: e.packed_size.unwrap_or(packed.len() as u32),
            size: e.size.unwrap_or(data.len() as u32),
            offset: out.len() as u32,
        };
        let name = e.local_name.as_ref().unwrap_or(&e.name);
        let extra = e.extra.as_ref().map_or(Ok(Vec::new()), |s| b.source(s))?;
        out.extend(b"PK\x03\x04\x14\x00");
        common(&mut out, e.local_flags.unwrap_or(e.flags), &f, name);
        out.extend((extra.len() as u16).to_le_bytes());
        out.extend(name.as_bytes());
        out.extend(extra);
        out.extend(packed);
        fields.push(f);
    }
    let honest: Vec<Listed> = (0..zip.entries.len())
        .filter(|i| zip.entries[*i].listed)
        .map(|entry| Listed { entry, offset: None, name: None })
        .collect();
    let one = [honest];
    let directories = if zip.directories.is_empty() { one.as_slice() } else { zip.directories.as_slice() };
    let mut end = (0u16, 0u32, 0u32);
    for (n, directory) in directories.iter().enumerate() {
        let start = out.len() as u32;
        for line in directory {
            let no = || Error::new(format!("zip: no entry {}", line.entry));
            let entry = zip.entries.get(line.entry).ok_or_else(no)?;
            let f = fields.get(line.entry).ok_or_else(no)?;
            let name = line.name.as_ref().unwrap_or(&entry.name);
            // Made by version 2.0; needs 2.0.
            out.extend(b"PK\x01\x02\x14");
            out.push(entry.system.unwrap_or(3));
            out.extend(b"\x14\x00");
            common(&mut out, entry.flags, f, name);
            let part = |s: &Option<Source>| s.as_ref().map_or(Ok(Vec::new()), |s| b.source(s));
            let (extra, comment) = (part(&entry.directory_extra)?, part(&entry.comment)?);
            out.extend((extra.len() as u16).to_le_bytes());
            out.extend((comment.len() as u16).to_le_bytes());
            out.extend([0; 4]);
            out.extend((entry.mode.unwrap_or(0o100_644) << 16).to_le_bytes());
            out.extend(line.offset.unwrap_or(f.offset).to_le_bytes());
            out.extend(name.as_bytes());
            out.extend(extra);
            out.extend(comment);
        }
        if n == zip.end_points_to {
            end = (directory.len() as u16, out.len() as u32 - start, start);
        }
    }
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(end.0.to_le_bytes());
    out.extend(end.0.to_le_bytes());
    out.extend(end.1.to_le_bytes());
    out.extend(end.2.to_le_bytes());
    out.extend((zip.comment.len() as u16).to_le_bytes());
    out.extend(zip.comment.as_bytes());
    Ok(out)
}

/// Flags to name length, which local and central headers share; the date is 1980-01-01.
fn common(out: &mut Vec<u8>, flags: u16, f: &Fields, name: &str) {
    out.extend(flags.to_le_bytes());
    out.extend(f.method.to_le_bytes());
    out.extend([0, 0, 0x21, 0]);
    out.extend(f.crc.to_le_bytes());
    out.extend(f.packed.to_le_bytes());
    out.extend(f.size.to_le_bytes());
    out.extend((name.len() as u16).to_le_bytes());
}
