//! 7z archives. No model loader opens them, people do: nullifAI hid its pickles there.

use super::compressed::all_zero;
use super::{Claim, Coverage, Format, Probe};
use crate::analyses::paths;
use crate::cx::{Cx, Stop};
use sevenz_rust2::{Archive, ArchiveReader, EntryDecision, Error, Password};
use std::ops::Range;
use wb_blob::{Blob, Exhausted, Resource};
use wb_verdict::{FactKind, GapReason, escape};

/// 7z archives.
pub struct SevenZ;

const SIGNATURE: &[u8] = b"7z\xbc\xaf\x27\x1c";
/// Bytes of the start header; packed streams count from its end.
const START_HEADER: u64 = 32;
/// Decoder dictionaries and header buffers, in KiB. Each level of 7z in 7z gets half of the level around it.
const MEMORY_KIB: usize = 66 << 10;
/// Content of one compressed member that is held for scanning, in bytes; likewise.
const HELD: u64 = 48 << 20;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "7z archives",
    ids: &[],
    loaders: "py7zr, 7-Zip, people",
    judged: "every member by content, paths, the archive behind other bytes",
    blind: "members with zstd or brotli, encrypted or over 48 MiB unpacked are gaps",
    corpus: &["7z"],
};

impl Format for SevenZ {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "7z"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        match start(&probe.head) {
            Some(0) => Claim::Strong,
            // Most likely a member of what these bytes are; a reading of the whole only if they are nothing else.
            Some(_) => Claim::Weak,
            None => Claim::No,
        }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let whole = blob;
        let begin = start(&blob.head(Probe::HEAD)?).unwrap_or(0) as u64;
        let blob = &whole.sub(begin..whole.len());
        if begin > 0 {
            let prefix = whole.sub(0..begin);
            cx.structure(0, "7z-prefix-bytes", format!("{begin} bytes before the archive"));
            cx.member(b"(prefix)", &prefix);
        }
        trailing(blob, cx)?;
        let (memory, limit) = (MEMORY_KIB >> cx.depth.min(8), HELD >> cx.depth.min(8));
        let mut archive = ArchiveReader::new_with_memory_limit(blob.reader(), Password::empty(), memory)
            .map_err(|e| stop(e, cx))?;
        archive.set_thread_count(1);
        cx.budget.entries(archive.archive().files.len() as u64)?;
        let mut stored = stored(archive.archive());
        let compressed = blob.len();
        let mut produced = 0u64;
        let mut ended: Option<Stop> = None;
        let run = archive.for_each_entries_with_decision_allowing_surplus(|entry, reader| {
            let name = entry.name.replace('\\', "/");
            if let Some(code) = paths::escape_of(entry.name.as_bytes()) {
                cx.fact(None, FactKind::UnsafePath { code: code.into(), detail: escape(&entry.name) });
            }
            if entry.is_directory || !entry.has_stream {
                return Ok(EntryDecision::Continue);
            }
            let mut content = Vec::new();
            let mut chunk = vec![0; 64 << 10];
            let mut len = 0u64;
            let failure = loop {
                match reader.read(&mut chunk) {
                    Ok(0) => break None,
                    Ok(n) => {
                        len += n as u64;
                        produced += n as u64;
                        if let Err(e) = cx.budget.inflate(n as u64, produced, compressed) {
                            break Some(Stop::from(e));
                        }
                        if content.len() as u64 <= limit {
                            content.extend_from_slice(&chunk[..n]);
                        }
                    }
                    Err(e) => break Some(Stop::malformed(0, format!("decompression failed: {e}"))),
                }
            };
            if len > entry.size {
                let detail =
                    format!("{}: {} bytes announced, {len} in the stream", escape(&name), entry.size);
                cx.structure(0, "7z-size-lie", detail);
            }
            symlink(entry, &name, &content, cx);
            let held = content.len() as u64 == len;
            let same = |s: &Stored| s.name == entry.name && s.range.end - s.range.start == len;
            // Stored as it is: the archive holds it, so nothing else has to.
            let place =
                if held { None } else { stored.iter().position(same).map(|at| stored.remove(at).range) };
            let place = place.filter(|r| r.end <= blob.len());
            let whole = held || place.is_some();
            let member = place.map_or_else(|| Blob::from_vec(content), |range| blob.sub(range));
            cx.member(name.as_bytes(), &member);
            if !whole {
                let detail = format!("member larger than the {limit} bytes that are held");
                cx.enter(name.as_bytes(), |cx| {
                    cx.gap(GapReason::Limit("memory-limit".into()), Some(limit), Some(len - limit), detail)
                });
            }
            match failure {
                None => Ok(EntryDecision::Continue),
                Some(s) => {
                    super::compressed::bomb(&s, cx);
                    ended = Some(s);
                    Ok(EntryDecision::Stop)
                }
            }
        });
        match (ended, run) {
            (Some(s), _) => Err(s),
            (None, Ok(())) => Ok(()),
            (None, Err(e)) => Err(stop(e, cx)),
        }
    }
}

/// Where the archive begins. 7-Zip looks for it behind other bytes (self-extracting archives); there the checksum of
/// the start header tells chance from an archive.
fn start(head: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(head, SIGNATURE).find(|at| {
        let header = head.get(*at..at + START_HEADER as usize);
        let sound = |h: &[u8]| h.get(8..12) == Some(&crc32fast::hash(&h[12..]).to_le_bytes()[..]);
        *at == 0 || header.is_some_and(sound)
    })
}

/// A member that is stored without compression, and where.
struct Stored {
    name: String,
    range: Range<u64>,
}

/// The stored members of an archive in which every block has one packed stream, as plain archives have.
fn stored(archive: &Archive) -> Vec<Stored> {
    const COPY: &[u8] = &[0];
    let mut out = Vec::new();
    if archive.pack_sizes().len() != archive.blocks.len() {
        return out;
    }
    let mut starts = Vec::with_capacity(archive.blocks.len());
    let mut at = START_HEADER.saturating_add(archive.pack_pos());
    for size in archive.pack_sizes() {
        starts.push(at);
        at = at.saturating_add(*size);
    }
    for (file, block) in archive.files.iter().zip(&archive.stream_map.file_block_index) {
        let Some(block) = *block else { continue };
        let (Some(start), Some(info)) = (starts.get_mut(block), archive.blocks.get(block)) else { continue };
        let end = start.saturating_add(file.size);
        if matches!(&info.coders[..], [only] if only.encoder_method_id() == COPY) {
            out.push(Stored { name: file.name.clone(), range: *start..end });
        }
        *start = end;
    }
    out
}

/// True if `blob` is a 7z and `range` lies inside one of its stored members: whatever is there is scanned as that
/// member and is no second reading of the whole file.
pub(super) fn inside_member(blob: &Blob, range: &Range<u64>) -> bool {
    if !blob.head(SIGNATURE.len()).is_ok_and(|h| h == SIGNATURE) {
        return false;
    }
    let archive = ArchiveReader::new_with_memory_limit(blob.reader(), Password::empty(), MEMORY_KIB);
    archive.is_ok_and(|a| {
        stored(a.archive()).iter().any(|s| s.range.start <= range.start && range.end <= s.range.end)
    })
}

/// p7zip stores a Unix mode in the upper half of the attributes.
fn symlink(entry: &sevenz_rust2::ArchiveEntry, name: &str, content: &[u8], cx: &mut Cx<'_>) {
    const UNIX: u32 = 0x8000;
    let link = entry.has_windows_attributes
        && entry.windows_attributes & UNIX != 0
        && (entry.windows_attributes >> 16) & 0o170_000 == 0o120_000;
    if link && paths::symlink_escapes(name.as_bytes(), content) {
        let target = String::from_utf8_lossy(&content[..content.len().min(200)]).into_owned();
        let detail = format!("{} -> {}", escape(name), escape(&target));
        cx.fact(None, FactKind::UnsafePath { code: "link-outside".into(), detail });
    }
}

/// Bytes behind the archive: the start header says where the end header ends.
fn trailing(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let head = blob.head(32)?;
    let number = |at: usize| head.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let (Some(offset), Some(size)) = (number(12), number(20)) else {
        return Err(Stop::malformed(0, "7z start header cut short"));
    };
    let end = 32u64.saturating_add(offset).saturating_add(size);
    if end < blob.len() {
        let rest = blob.sub(end..blob.len());
        if !all_zero(&rest)? {
            cx.structure(end, "7z-trailing-bytes", format!("{} bytes after the archive", rest.len()));
            cx.member(b"(trailing)", &rest);
        }
    }
    Ok(())
}

fn stop(e: Error, cx: &mut Cx<'_>) -> Stop {
    let stop = reason(e, cx);
    match &stop {
        Stop::Encrypted => cx.structure(0, "7z-encrypted", "content that only a password shows"),
        Stop::Malformed { at, what } => cx.structure(*at, "7z-malformed", what.clone()),
        _ => {}
    }
    stop
}

fn reason(e: Error, cx: &mut Cx<'_>) -> Stop {
    match e {
        Error::PasswordRequired | Error::MaybeBadPassword(_) => Stop::Encrypted,
        Error::MaxMemLimited { .. } => Stop::Exhausted(Exhausted(Resource::Memory)),
        Error::UnsupportedCompressionMethod(m) => {
            if m.to_ascii_uppercase().contains("AES") {
                Stop::Encrypted
            } else {
                Stop::Unsupported(format!("7z method {m}"))
            }
        }
        Error::Unsupported(what) => Stop::Unsupported(what.into_owned()),
        Error::ChecksumVerificationFailed => {
            cx.structure(0, "7z-bad-crc", "content differs from its checksum");
            Stop::malformed(0, "7z checksum differs")
        }
        other => Stop::malformed(0, format!("7z: {other}")),
    }
}
