//! 7z archives. No model loader opens them, people do: nullifAI hid its pickles there.

use super::compressed::all_zero;
use super::{Claim, Format, Probe};
use crate::analyses::paths;
use crate::cx::{Cx, Stop};
use sevenz_rust2::{ArchiveReader, EntryDecision, Error, Password};
use wb_blob::{Blob, Exhausted, Resource};
use wb_verdict::{FactKind, GapReason, escape};

/// 7z archives.
pub struct SevenZ;

const SIGNATURE: &[u8] = b"7z\xbc\xaf\x27\x1c";
/// Decoder dictionaries and header buffers, in KiB.
const MEMORY_KIB: usize = 66 << 10;
/// Content of one member that is held for scanning, in bytes.
const HELD: u64 = 32 << 20;

impl Format for SevenZ {
    fn id(&self) -> &'static str {
        "7z"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.head.starts_with(SIGNATURE) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        trailing(blob, cx)?;
        let mut archive = ArchiveReader::new_with_memory_limit(blob.reader(), Password::empty(), MEMORY_KIB)
            .map_err(|e| stop(e, cx))?;
        archive.set_thread_count(1);
        cx.budget.entries(archive.archive().files.len() as u64)?;
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
                        if content.len() as u64 <= HELD {
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
            let whole = content.len() as u64 == len;
            symlink(entry, &name, &content, cx);
            let blob = Blob::from_vec(content);
            cx.member(name.as_bytes(), &blob);
            if !whole {
                let detail = format!("member larger than the {HELD} bytes that are held");
                cx.enter(name.as_bytes(), |cx| {
                    cx.gap(GapReason::Limit("memory-limit".into()), Some(HELD), Some(len - HELD), detail)
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
