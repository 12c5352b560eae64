//! Single compressed streams: gzip, zlib, bzip2, xz, lzma, zstd, lz4, and joblib's old `ZF` files.
//!
//! pandas, joblib and plain Python decompress such files before they unpickle them, choosing the codec by
//! content, and read concatenated streams as one.

use super::codec::{Codec, StreamReader};
use super::decoded;
use super::{Claim, Coverage, Format, Probe};
use crate::analyses::opaque;
use crate::cx::{Cx, Stop};
use std::io::Read;
use std::sync::Arc;
use wb_blob::{Blob, Exhausted, Resource, Window};
use wb_verdict::FactKind;

/// A file that is one compressed stream, or several in a row.
pub struct Compressed {
    id: &'static str,
    codec: Codec,
}

/// One format per codec.
pub static GZIP: Compressed = Compressed { id: "gzip", codec: Codec::Gzip };
/// RFC 1950.
pub static ZLIB: Compressed = Compressed { id: "zlib", codec: Codec::Zlib };
/// bzip2.
pub static BZIP2: Compressed = Compressed { id: "bzip2", codec: Codec::Bzip2 };
/// xz.
pub static XZ: Compressed = Compressed { id: "xz", codec: Codec::Xz };
/// The older `.lzma` files without a magic number.
pub static LZMA: Compressed = Compressed { id: "lzma", codec: Codec::LzmaAlone };
/// RFC 8878.
pub static ZSTD: Compressed = Compressed { id: "zstd", codec: Codec::Zstd };
/// lz4 frames.
pub static LZ4: Compressed = Compressed { id: "lz4", codec: Codec::Lz4 };

/// Does decompressing the beginning give anything without an error? For formats without a magic number.
fn yields(codec: Codec, blob: &Blob) -> bool {
    let Ok(mut r) = StreamReader::new(codec, &blob.sub(0..64 << 10), &Arc::default()) else { return false };
    let mut out = [0; 64];
    match r.read(&mut out) {
        Ok(0) => {
            // A stream that holds nothing is too little evidence, unless it is the first of several: joblib and
            // `lzma` read on.
            let next = blob.sub(r.consumed()..blob.len());
            r.consumed() > 0 && !next.is_empty() && next.head(16).is_ok_and(|h| decoded::begins(codec, &h))
        }
        read => read.is_ok(),
    }
}

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Compressed streams",
    ids: &[],
    loaders: "joblib, `pandas.read_pickle`, gzip, bz2, lzma, zstd, lz4 and their libraries",
    judged: "all streams and frames of a file, trailing bytes, what is inside by content, expansion",
    blind: "xz with an unknown check and zstd before 0.8 are gaps; raw deflate and dictionaries are unknown content",
    corpus: &["compressed"],
};

impl Format for Compressed {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        self.id
    }

    fn claim(&self, probe: &Probe) -> Claim {
        let start = decoded::begins(self.codec, &probe.head);
        let claimed = match self.codec {
            Codec::Zlib | Codec::LzmaAlone => start && yields(self.codec, &probe.blob),
            // Skippable frames may come first.
            Codec::Zstd | Codec::Lz4 => start || skippable_then(self.codec, &probe.blob),
            _ => start,
        };
        if claimed { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        stream(self.codec, blob, cx)
    }
}

fn skippable_then(codec: Codec, blob: &Blob) -> bool {
    const MAX_FRAMES: usize = 1000;
    let mut at = 0u64;
    for _ in 0..MAX_FRAMES {
        let Ok(head) = blob.read_range(at..at.saturating_add(16)) else { return false };
        match decoded::skippable(codec, &head) {
            Some(len) => at = at.saturating_add(len),
            None => return at > 0 && decoded::begins(codec, &head),
        }
    }
    true
}

/// joblib before 0.10: `ZF`, the length in hex, padding, a zlib stream.
pub struct ZFile;

impl ZFile {
    fn stream_at(head: &[u8]) -> Option<usize> {
        // The length is whatever `int(text, 16)` takes: blanks around it, no `0x`, any case.
        let text = head.strip_prefix(b"ZF")?;
        let length = |b: &u8| b.is_ascii_hexdigit() || b.is_ascii_whitespace() || b"xXL_+-".contains(b);
        if !text.get(..4)?.iter().all(length) {
            return None;
        }
        (6..40).find(|at| head.get(*at..).is_some_and(|h| decoded::begins(Codec::Zlib, h)))
    }
}

impl Format for ZFile {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "joblib-zfile"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if Self::stream_at(&probe.head).is_some() { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let at = Self::stream_at(&blob.head(64)?).unwrap_or(0);
        stream(Codec::Zlib, &blob.sub(at as u64..blob.len()), cx)
    }
}

fn stream(codec: Codec, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let d = decoded::decode(cx, blob, codec, true);
    extreme_ratio(d.consumed, d.content.len(), cx);
    if !d.content.is_empty() || d.error.is_none() {
        cx.member(b"(content)", &d.content);
    }
    for range in d.skipped {
        let frame = blob.sub(range.start + 8..range.end);
        let head = frame.head(4096)?;
        if let Some(what) = opaque::hidden(&frame, &head) {
            let detail = "in a frame that decompressors skip".to_string();
            cx.fact(Some(range.start), FactKind::Hidden { code: what.into(), detail });
            cx.member(b"(skipped frame)", &frame);
        }
    }
    if let Some(stop) = d.error {
        bomb(&stop, cx);
        return Err(stop);
    }
    if d.consumed < blob.len() {
        let rest = blob.sub(d.consumed..blob.len());
        if !all_zero(&rest)? {
            let detail = format!("{} bytes after the compressed stream", rest.len());
            cx.structure(d.consumed, "compressed-trailing-bytes", detail);
            let zeros = rest.head(64 << 10)?.iter().take_while(|b| **b == 0).count() as u64;
            cx.member(b"(trailing)", &rest.sub(zeros..rest.len()));
        }
    }
    Ok(())
}

/// Records content so much larger than its compressed form that only filling explains it.
pub(super) fn extreme_ratio(compressed: u64, content: u64, cx: &mut Cx<'_>) {
    const FLOOR: u64 = 100 << 20;
    const RATIO: u64 = 500;
    if content >= FLOOR && content / compressed.max(1) >= RATIO {
        let detail = format!("{compressed} bytes expand to {content}");
        cx.fact(None, FactKind::Resource { code: "extreme-compression-ratio".into(), detail });
    }
}

/// Records that a compressed stream was given up because of what it expands to.
pub(super) fn bomb(stop: &Stop, cx: &mut Cx<'_>) {
    if let Stop::Exhausted(Exhausted(r @ (Resource::Ratio | Resource::InflatedBytes))) = stop {
        let detail = format!("decompressed content exceeds a budget: {}", r.name());
        cx.fact(None, FactKind::Resource { code: "decompression-bomb".into(), detail });
    }
}

/// True if the blob holds nothing but zeros (large blobs: false, unread).
pub(super) fn all_zero(blob: &Blob) -> Result<bool, Stop> {
    const MAX: u64 = 16 << 20;
    if blob.len() > MAX {
        return Ok(false);
    }
    if blob.head(64)?.iter().any(|b| *b != 0) {
        return Ok(false);
    }
    let mut window = Window::new(blob.clone(), 64 << 10);
    let mut at = 0;
    while at < blob.len() {
        let v = window.view(at, 1)?;
        if v.iter().any(|b| *b != 0) {
            return Ok(false);
        }
        at += v.len() as u64;
    }
    Ok(true)
}
