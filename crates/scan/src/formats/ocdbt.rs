//! OCDBT, TensorStore's database, in which Orbax keeps checkpoints of JAX: a manifest that names data files, and nodes in
//! these, each behind a header with length and checksum. Arrays are data; what can hurt are the names of files.
//!
//! `tensorstore/kvstore/ocdbt/format/`: `manifest.cc`, `btree.cc`, `data_file_id_codec.h`, `codec_util.cc`.

use super::codec::Codec;
use super::cursor::Cursor;
use super::{Claim, Coverage, Format, Probe, decoded, leftover};
use crate::analyses::{metadata, opaque, paths};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason, escape_bytes};

/// Manifests and files of nodes.
pub struct Ocdbt;

const MANIFEST: u32 = 0x0cdb_3a2a;
const BTREE: u32 = 0x0cdb_20de;
const VERSIONS: u32 = 0x0cdb_1234;
/// Magic number and length.
const HEAD: u64 = 12;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Orbax (OCDBT)",
    ids: &[],
    loaders: "Orbax, TensorStore",
    judged: "manifests and files of nodes",
    blind: "data files of larger checkpoints",
    corpus: &["orbax"],
};

impl Format for Ocdbt {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "orbax-ocdbt"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if kind(&probe.head).is_some() { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut at = 0;
        while at < blob.len() {
            let rest = blob.sub(at..blob.len());
            let Some(magic) = kind(&rest.head(16)?) else { break };
            at += node(&rest, at, magic, cx).inspect_err(|stop| {
                if let Stop::Malformed { what, .. } = stop {
                    cx.structure(at, "ocdbt-malformed", what.clone());
                }
            })?;
            if magic == MANIFEST {
                break;
            }
        }
        if at == blob.len() {
            return Ok(());
        }
        let first = kind(&blob.head(16)?) == Some(MANIFEST);
        if first {
            return leftover::record(blob, at, "ocdbt-trailing-bytes", "a manifest is one block", cx);
        }
        // Values of arrays stand among the nodes; where they begin is known to other nodes only.
        let rest = blob.sub(at..blob.len());
        let detail = format!("{} bytes of values that nothing here explains", rest.len());
        cx.gap(GapReason::Unexplained, Some(at), Some(rest.len()), detail);
        leftover::search(blob, at, cx)
    }
}

fn kind(head: &[u8]) -> Option<u32> {
    let magic = u32::from_be_bytes(head.get(..4)?.try_into().ok()?);
    // A length of eight bytes, of which the upper ones are zero.
    let plausible = head.get(9..12)? == [0, 0, 0];
    (plausible && [MANIFEST, BTREE, VERSIONS].contains(&magic)).then_some(magic)
}

/// One block: returns its length.
fn node(rest: &Blob, base: u64, magic: u32, cx: &mut Cx<'_>) -> Result<u64, Stop> {
    cx.budget.entries(1)?;
    let mut c = Cursor::new(rest);
    c.at = 4;
    let len = c.number(8)?;
    if len < HEAD + 6 || len > rest.len() {
        return Err(Stop::malformed(base, format!("a block of {len} bytes, {} left", rest.len())));
    }
    let version = varint(&mut c)?;
    let method = varint(&mut c)?;
    if version != 0 || method > 1 {
        return Err(Stop::malformed(base, format!("a block of version {version}, compression {method}")));
    }
    let start = c.at;
    c.at = len - 4;
    let announced = c.u32()?;
    let actual = crc32c(&rest.sub(0..len - 4))?;
    if announced != actual {
        return Err(Stop::malformed(base, format!("checksum {announced:#x}, the content has {actual:#x}")));
    }
    let body = rest.sub(start..len - 4);
    let body = if method == 0 {
        body
    } else {
        let d = decoded::decode(cx, &body, Codec::Zstd, false);
        if let Some(stop) = d.error {
            return Err(stop);
        }
        if d.consumed != body.len() || !d.skipped.is_empty() {
            return Err(Stop::malformed(base, "bytes behind the compressed body"));
        }
        d.content
    };
    content(&body, base, magic, cx)?;
    Ok(len)
}

/// The body: what stands in front of the table of files, then the table. What follows are keys, values and numbers.
fn content(body: &Blob, base: u64, magic: u32, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MOST: u64 = 64 << 10;
    let mut c = Cursor::new(body);
    match magic {
        MANIFEST => {
            // An identity, then the configuration.
            c.skip(16, 1, "bytes of identity")?;
            let kind = varint(&mut c)?;
            varint(&mut c)?;
            varint(&mut c)?;
            c.u8()?;
            if varint(&mut c)? == 1 {
                c.i32()?;
            }
            // A manifest of numbered files holds nothing else.
            if kind != 0 {
                return Ok(());
            }
        }
        BTREE => drop(c.u8()?),
        _ => drop(c.u8()?),
    }
    files(&mut c, base, cx)?;
    let at = c.at;
    if body.len() <= MOST {
        metadata::runs(body, at, "keys and values", cx)?;
    }
    let values = body.sub(at.min(body.len())..body.len());
    if let Some(what) = opaque::hidden(&values, &values.head(4096)?) {
        cx.fact(Some(base), FactKind::Hidden { code: what.into(), detail: "in a node".into() });
    }
    Ok(())
}

/// The table of data files: shared prefixes, lengths, then the names one after the other.
fn files(c: &mut Cursor, base: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let count = varint(c)?;
    if count > c.left() {
        let detail = format!("{count} files announced, {} bytes left", c.left());
        cx.fact(Some(base), FactKind::Resource { code: "ocdbt-file-count".into(), detail: detail.clone() });
        return Err(Stop::malformed(base, detail));
    }
    cx.budget.entries(count)?;
    cx.budget.memory(count.saturating_mul(24))?;
    let mut numbers = |n: u64| (0..n).map(|_| varint(c)).collect::<Result<Vec<u64>, Stop>>();
    let prefixes = numbers(count.saturating_sub(1))?;
    let suffixes = numbers(count)?;
    let bases = numbers(count)?;
    let mut name: Vec<u8> = Vec::new();
    for i in 0..count as usize {
        cx.budget.steps(1)?;
        let shared = if i == 0 { 0 } else { prefixes[i - 1] };
        if shared > name.len() as u64 {
            return Err(Stop::malformed(base, format!("file {i} shares {shared} bytes of {}", name.len())));
        }
        name.truncate(shared as usize);
        name.extend(c.bytes(suffixes[i], 1 << 16, "bytes of a name")?);
        if bases[i] > name.len() as u64 {
            return Err(Stop::malformed(base, format!("file {i} has a folder of {} bytes", bases[i])));
        }
        let address = name.windows(3).any(|w| w == b"://");
        let code = paths::escape_of(&name).or(address.then_some("absolute"));
        if let Some(code) = code {
            let detail = format!("data in {}", escape_bytes(&name[..name.len().min(200)]));
            cx.fact(Some(base), FactKind::UnsafePath { code: code.into(), detail });
        }
    }
    Ok(())
}

fn varint(c: &mut Cursor) -> Result<u64, Stop> {
    let at = c.at;
    let mut n = 0u64;
    for i in 0..10 {
        let b = c.u8()?;
        n |= u64::from(b & 0x7f).wrapping_shl(7 * i);
        if b & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(Stop::malformed(at, "a number without end"))
}

/// CRC-32C (Castagnoli), reflected: RFC 3720, appendix B.4.
fn crc32c(blob: &Blob) -> Result<u32, Stop> {
    let mut table = [0u32; 256];
    for (i, entry) in table.iter_mut().enumerate() {
        *entry = (0..8).fold(i as u32, |c, _| if c & 1 == 1 { c >> 1 ^ 0x82f6_3b78 } else { c >> 1 });
    }
    let mut window = wb_blob::Window::new(blob.clone(), 64 << 10);
    let (mut at, mut crc) = (0, u32::MAX);
    while at < blob.len() {
        let v = window.view(at, 1)?;
        for b in v {
            crc = table[usize::from(crc as u8 ^ b)] ^ crc >> 8;
        }
        at += v.len() as u64;
    }
    Ok(!crc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_rfc_3720() {
        let crc = |b: &[u8]| crc32c(&Blob::from_vec(b.to_vec())).unwrap();
        assert_eq!(crc(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc(b"123456789"), 0xe306_9283);
    }
}
