//! A table as LevelDB writes it, for TensorFlow checkpoints: one data block, an empty meta index, an index, a footer.

use super::{Builder, Source};
use crate::Error;
use serde::Deserialize;

/// A table of keys and values, which must be given in order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    entries: Vec<(String, Box<Source>)>,
    /// Bytes between the last block and the footer, which belong to nothing.
    #[serde(default)]
    between: Option<Box<Source>>,
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// CRC-32C, masked as LevelDB stores it.
fn checksum(bytes: &[u8]) -> u32 {
    let crc = !bytes.iter().fold(!0u32, |c, b| {
        (0..8).fold(c ^ u32::from(*b), |c, _| if c & 1 == 1 { c >> 1 ^ 0x82f6_3b78 } else { c >> 1 })
    });
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

fn block(out: &mut Vec<u8>, entries: &[(&[u8], Vec<u8>)]) -> Vec<u8> {
    let start = out.len();
    let mut bytes = Vec::new();
    for (key, value) in entries {
        varint(&mut bytes, 0);
        varint(&mut bytes, key.len() as u64);
        varint(&mut bytes, value.len() as u64);
        bytes.extend(*key);
        bytes.extend(value);
    }
    // One restart point, at the beginning.
    bytes.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    let mut handle = Vec::new();
    varint(&mut handle, start as u64);
    varint(&mut handle, bytes.len() as u64);
    bytes.push(0);
    let crc = checksum(&bytes);
    out.extend(&bytes);
    out.extend(crc.to_le_bytes());
    handle
}

pub(crate) fn build(table: &Table, b: &Builder<'_>) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut entries = Vec::new();
    for (key, value) in &table.entries {
        entries.push((key.as_bytes(), b.source(value)?));
    }
    let data = block(&mut out, &entries);
    let meta = block(&mut out, &[]);
    let last = table.entries.last().map_or("", |e| &e.0).as_bytes();
    let index = block(&mut out, &[(last, data)]);
    if let Some(between) = &table.between {
        out.extend(b.source(between)?);
    }
    let mut footer = [meta, index].concat();
    footer.resize(40, 0);
    footer.extend(b"\x57\xfb\x80\x8b\x24\x75\x47\xdb");
    out.extend(footer);
    Ok(out)
}
