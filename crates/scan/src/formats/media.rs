//! Pictures, audio, video, PDF and columnar tables: inert once their structure has been followed to its end and
//! nothing hangs behind it.

use super::compressed::all_zero;
use super::{Claim, Coverage, Format, Probe};
use crate::analyses::opaque;
use crate::cx::{Cx, Stop};
use wb_blob::{Blob, Window};
use wb_verdict::FactKind;

/// One kind of inert document.
pub struct Media {
    id: &'static str,
    claim: fn(&[u8], &[u8]) -> bool,
    /// Finds the end of the document; an error means that its structure is broken.
    end: fn(&Blob) -> Result<u64, Stop>,
}

/// All inert documents known here.
pub static PNG: Media = Media { id: "png", claim: |h, _| h.starts_with(b"\x89PNG\r\n\x1a\n"), end: png };
/// JPEG pictures.
pub static JPEG: Media = Media { id: "jpeg", claim: |h, _| h.starts_with(&[0xff, 0xd8, 0xff]), end: jpeg };
/// GIF pictures.
pub static GIF: Media =
    Media { id: "gif", claim: |h, _| h.starts_with(b"GIF87a") || h.starts_with(b"GIF89a"), end: gif };
/// RIFF files: WebP, WAV, AVI.
pub static RIFF: Media = Media {
    id: "riff",
    claim: |h, _| {
        h.starts_with(b"RIFF") && h.get(8..12).is_some_and(|t| matches!(t, b"WEBP" | b"WAVE" | b"AVI "))
    },
    end: riff,
};
/// Ogg audio and video.
pub static OGG: Media = Media { id: "ogg", claim: |h, _| h.starts_with(b"OggS\0"), end: ogg };
/// FLAC audio.
pub static FLAC: Media =
    Media { id: "flac", claim: |h, _| h.starts_with(b"fLaC\0\0\0\x22"), end: |b| Ok(b.len()) };
/// MP3 audio.
pub static MP3: Media = Media { id: "mp3", claim: |h, _| mp3_start(h), end: |b| Ok(b.len()) };
/// MP4 and QuickTime.
pub static MP4: Media = Media { id: "mp4", claim: |h, _| h.get(4..8) == Some(b"ftyp"), end: mp4 };
/// PDF documents.
pub static PDF: Media = Media { id: "pdf", claim: |h, _| h.starts_with(b"%PDF-"), end: pdf };
/// Parquet tables.
pub static PARQUET: Media =
    Media { id: "parquet", claim: |h, t| h.starts_with(b"PAR1") && t.ends_with(b"PAR1"), end: parquet };
/// Arrow files and Feather 2.
pub static ARROW: Media = Media {
    id: "arrow",
    claim: |h, t| h.starts_with(b"ARROW1\0\0") && t.ends_with(b"ARROW1"),
    end: |b| Ok(b.len()),
};

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Pictures, audio, video, documents and tables",
    ids: &[],
    loaders: "viewers, pyarrow, pandas",
    judged: "the structure to its end, what follows it, actions of PDF",
    blind: "the decoders' own defects; the content",
    corpus: &["media"],
};

impl Format for Media {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        self.id
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if (self.claim)(&probe.head, &probe.tail) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let end = match (self.end)(blob) {
            Ok(end) => end.min(blob.len()),
            Err(stop) => {
                // Broken structure explains nothing: look at the bytes as what they may be instead.
                let from = match &stop {
                    Stop::Malformed { at, .. } => *at,
                    _ => 0,
                };
                if from > 0 {
                    cx.member(format!("(bytes at {from:#x})").as_bytes(), &blob.sub(from..blob.len()));
                }
                return Err(stop);
            }
        };
        let rest = blob.sub(end..blob.len());
        if rest.is_empty() || all_zero(&rest)? || rest.head(16)?.trim_ascii().is_empty() {
            return Ok(());
        }
        let head = rest.head(256)?;
        if let Some(what) = opaque::hidden(&rest, &head) {
            cx.fact(
                Some(end),
                FactKind::Hidden { code: what.into(), detail: format!("behind the end of the {}", self.id) },
            );
        } else if matches!(self.id, "png" | "gif" | "pdf") {
            // Cameras and recorders append previews and trailers to the others.
            let detail = format!("{} bytes behind the end of the {}", rest.len(), self.id);
            cx.structure(end, "document-trailing-bytes", detail);
        }
        cx.member(b"(trailing)", &rest);
        Ok(())
    }
}

fn get<const N: usize>(blob: &Blob, at: u64) -> Result<[u8; N], Stop> {
    blob.read_range(at..at.saturating_add(N as u64))?
        .try_into()
        .map_err(|_| Stop::malformed(at.min(blob.len()), "document ends early"))
}

fn png(blob: &Blob) -> Result<u64, Stop> {
    let mut at = 8u64;
    loop {
        let [a, b, c, d, kind @ ..] = get::<8>(blob, at)?;
        let len = u64::from(u32::from_be_bytes([a, b, c, d]));
        if !kind.iter().all(u8::is_ascii_alphabetic) {
            return Err(Stop::malformed(at, "png chunk without a type"));
        }
        at = at.saturating_add(12 + len);
        if at > blob.len() {
            return Err(Stop::malformed(blob.len(), "png chunk longer than the file"));
        }
        if kind == *b"IEND" {
            return Ok(at);
        }
    }
}

fn jpeg(blob: &Blob) -> Result<u64, Stop> {
    let mut at = 2u64;
    loop {
        let [ff, marker] = get::<2>(blob, at)?;
        match (ff, marker) {
            (0xff, 0xff) => at += 1,
            (0xff, 0xd9) => return Ok(at + 2),
            (0xff, 0x01 | 0xd0..=0xd8) => at += 2,
            (0xff, _) => {
                let [a, b] = get::<2>(blob, at + 2)?;
                at += 2 + u64::from(u16::from_be_bytes([a, b])).max(2);
                if marker == 0xda {
                    at = entropy_end(blob, at)?;
                }
            }
            _ => return Err(Stop::malformed(at, "no jpeg marker where one must be")),
        }
    }
}

/// Entropy-coded data ends at a marker that is neither stuffing nor a restart.
fn entropy_end(blob: &Blob, start: u64) -> Result<u64, Stop> {
    let mut window = Window::new(blob.clone(), 256 << 10);
    let mut at = start;
    while at < blob.len() {
        let v = window.view(at, 2)?;
        let hit = memchr::memchr_iter(0xff, v)
            .find(|n| v.get(n + 1).is_some_and(|m| !matches!(m, 0 | 0xff | 0xd0..=0xd7)));
        match hit {
            Some(n) => return Ok(at + n as u64),
            None => at += (v.len() as u64).saturating_sub(1).max(1),
        }
    }
    Err(Stop::malformed(blob.len(), "jpeg without an end"))
}

fn gif(blob: &Blob) -> Result<u64, Stop> {
    let [flags] = get::<1>(blob, 10)?;
    let table = |flags: u8| if flags & 0x80 != 0 { 3u64 << ((flags & 7) + 1) } else { 0 };
    let mut at = 13 + table(flags);
    let blocks = |mut at: u64| -> Result<u64, Stop> {
        loop {
            let [n] = get::<1>(blob, at)?;
            at += 1 + u64::from(n);
            if n == 0 {
                return Ok(at);
            }
        }
    };
    loop {
        let [kind] = get::<1>(blob, at)?;
        at = match kind {
            0x3b => return Ok(at + 1),
            0x21 => blocks(at + 2)?,
            0x2c => {
                let [flags] = get::<1>(blob, at + 9)?;
                blocks(at + 10 + table(flags) + 1)?
            }
            _ => return Err(Stop::malformed(at, "no gif block where one must be")),
        };
    }
}

fn riff(blob: &Blob) -> Result<u64, Stop> {
    let end = 8 + u64::from(u32::from_le_bytes(get::<4>(blob, 4)?));
    Ok(end + (end & 1))
}

fn ogg(blob: &Blob) -> Result<u64, Stop> {
    let mut at = 0u64;
    while at < blob.len() {
        let page = blob.read_range(at..at + 27 + 255)?;
        if !page.starts_with(b"OggS") {
            return Ok(at);
        }
        let n = usize::from(*page.get(26).ok_or_else(|| Stop::malformed(at, "ogg page cut short"))?);
        let lacing = page.get(27..27 + n).ok_or_else(|| Stop::malformed(at, "ogg page cut short"))?;
        at += 27 + n as u64 + lacing.iter().map(|b| u64::from(*b)).sum::<u64>();
    }
    Ok(at)
}

fn mp3_start(h: &[u8]) -> bool {
    if h.starts_with(b"ID3") {
        return h.get(3).is_some_and(|v| (2..=4).contains(v))
            && h.get(6..10).is_some_and(|s| s.iter().all(|b| *b < 0x80));
    }
    // Two frames of MPEG-1 layer III, one behind the other.
    let frame = |at: usize| -> Option<usize> {
        const KBIT: [usize; 16] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0];
        const HZ: [usize; 4] = [44_100, 48_000, 32_000, 0];
        let b = h.get(at..at + 4)?;
        if b[0] != 0xff || b[1] & 0xfe != 0xfa {
            return None;
        }
        let (rate, hz) = (KBIT[usize::from(b[2] >> 4)], HZ[usize::from(b[2] >> 2 & 3)]);
        (rate > 0 && hz > 0).then(|| 144_000 * rate / hz + usize::from(b[2] >> 1 & 1))
    };
    frame(0).and_then(|n| Some(n + frame(n)?)).is_some_and(|n| frame(n).is_some())
}

fn mp4(blob: &Blob) -> Result<u64, Stop> {
    let mut at = 0u64;
    while at < blob.len() {
        if blob.len() - at < 8 {
            return Ok(at);
        }
        let [a, b, c, d, kind @ ..] = get::<8>(blob, at)?;
        let len = match u32::from_be_bytes([a, b, c, d]) {
            0 => return Ok(blob.len()),
            1 => u64::from_be_bytes(get::<8>(blob, at + 8)?),
            n => u64::from(n),
        };
        if len < 8 || !kind.iter().all(|b| b.is_ascii_graphic() || *b == b' ' || *b == 0xa9) {
            return Ok(at);
        }
        at = at.saturating_add(len);
        if at > blob.len() {
            return Err(Stop::malformed(blob.len(), "mp4 box longer than the file"));
        }
    }
    Ok(at)
}

/// The last `%%EOF` with the line end behind it.
fn pdf(blob: &Blob) -> Result<u64, Stop> {
    const TAIL: u64 = 1 << 20;
    let start = blob.len().saturating_sub(TAIL);
    let tail = blob.read_range(start..blob.len())?;
    match memchr::memmem::rfind(&tail, b"%%EOF") {
        Some(n) => {
            let after = &tail[n + 5..];
            let blank = after.iter().take_while(|b| b.is_ascii_whitespace()).count();
            Ok(start + (n + 5 + blank) as u64)
        }
        None => Err(Stop::malformed(blob.len().min(8), "pdf without an end")),
    }
}

fn parquet(blob: &Blob) -> Result<u64, Stop> {
    let at = blob.len().saturating_sub(8);
    let len = u64::from(u32::from_le_bytes(get::<4>(blob, at)?));
    if len + 12 > blob.len() {
        return Err(Stop::malformed(at, "parquet footer longer than the file"));
    }
    Ok(blob.len())
}

/// Programs inside a document: PDF actions.
pub struct PdfActions;

impl Format for PdfActions {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "pdf-actions"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        const MAX: usize = 32 << 20;
        if !probe.head.starts_with(b"%PDF-") {
            return Claim::No;
        }
        match probe.blob.head(MAX) {
            Ok(b) if action(&b).is_some() => Claim::Strong,
            _ => Claim::No,
        }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        cx.unname(self.id());
        if let Some((at, what)) = action(&blob.head(32 << 20)?) {
            let detail = format!("{what} in a pdf");
            cx.fact(Some(at as u64), FactKind::Directive { code: "pdf-action".into(), detail });
        }
        Ok(())
    }
}

fn action(bytes: &[u8]) -> Option<(usize, &'static str)> {
    ["/JavaScript", "/Launch", "/EmbeddedFile"]
        .into_iter()
        .find_map(|n| Some((memchr::memmem::find(bytes, n.as_bytes())?, n)))
}
