//! Decompressed content as a [`Blob`]: small content is kept, large content is decompressed again on demand.
//!
//! The first pass counts output, charges the budget and finds out where the compressed data ends. Peak
//! memory stays bounded whatever the input: at most 16 MiB of content a level (less further in) plus a
//! window per live decompressor.

use super::codec::{Codec, StreamReader};
use crate::cx::{Cx, Stop};
use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wb_blob::{Blob, Exhausted, ReadAt, Resource};

const CHUNK: usize = 64 << 10;
const EDGE: usize = (64 << 10) + 22;
const WINDOW: usize = 1 << 20;

/// What came out of a compressed stream (or of several one after the other).
pub(crate) struct Decoded {
    /// The content; what came out before an error, if there was one.
    pub content: Blob,
    /// Compressed bytes consumed; what follows belongs to no stream.
    pub consumed: u64,
    /// CRC-32 of the content.
    pub crc: u32,
    /// Why decompression ended before the stream did.
    pub error: Option<Stop>,
    /// Frames that carry no content but bytes nonetheless (zstd and lz4 skippable frames).
    pub skipped: Vec<Range<u64>>,
}

/// Decompresses `blob` from its start. `many`: concatenated streams count as one, as loaders read them.
pub(crate) fn decode(cx: &Cx<'_>, blob: &Blob, codec: Codec, many: bool) -> Decoded {
    let keep = (16usize << 20) >> cx.depth.min(4);
    let memory = cx.budget.decoder_memory();
    let mut reader = Streams::new(blob.clone(), codec, many, memory.clone());
    let mut kept = Vec::new();
    let mut tail: Vec<u8> = Vec::new();
    let mut len = 0u64;
    let mut crc = crc32fast::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    let error = loop {
        let n = match reader.read(&mut chunk) {
            Ok(0) => break None,
            Ok(n) => n,
            Err(e) => break Some(stop(e, reader.consumed())),
        };
        len += n as u64;
        if let Err(e) = cx.budget.inflate(n as u64, len, reader.consumed()) {
            len -= n as u64;
            break Some(e.into());
        }
        let new = &chunk[..n];
        crc.update(new);
        if kept.len() <= keep {
            kept.extend_from_slice(new);
        }
        tail.extend_from_slice(new);
        if tail.len() > 4 * EDGE {
            tail.drain(..tail.len() - EDGE);
        }
    };
    let consumed = reader.consumed();
    let skipped = std::mem::take(&mut reader.skipped);
    let content = if kept.len() as u64 == len {
        Blob::from_vec(kept)
    } else {
        kept.truncate(EDGE);
        kept.shrink_to_fit();
        Blob::new(Arc::new(Replay {
            blob: blob.clone(),
            codec,
            many,
            memory,
            len,
            head: kept,
            tail,
            state: Mutex::default(),
            work: AtomicU64::new(0),
        }))
    };
    Decoded { content, consumed, crc: crc.finalize(), error, skipped }
}

fn stop(e: io::Error, at: u64) -> Stop {
    match Stop::from(e) {
        Stop::Io(e) if matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            Stop::malformed(at, format!("decompression failed: {e}"))
        }
        Stop::Io(e) if matches!(e.kind(), io::ErrorKind::Other | io::ErrorKind::InvalidInput) => {
            Stop::malformed(at, format!("decompression failed: {e}"))
        }
        Stop::Io(e) if e.kind() == io::ErrorKind::Unsupported => Stop::Unsupported(e.to_string()),
        other => other,
    }
}

/// Streams of one codec one after the other.
struct Streams {
    blob: Blob,
    codec: Codec,
    many: bool,
    memory: Arc<AtomicU64>,
    /// Start of the current stream, or the end of the last one.
    at: u64,
    current: Option<StreamReader>,
    started: bool,
    skipped: Vec<Range<u64>>,
}

impl Streams {
    fn new(blob: Blob, codec: Codec, many: bool, memory: Arc<AtomicU64>) -> Self {
        Self { blob, codec, many, memory, at: 0, current: None, started: false, skipped: Vec::new() }
    }

    fn consumed(&self) -> u64 {
        self.at + self.current.as_ref().map_or(0, StreamReader::consumed)
    }

    /// Moves to the next stream; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        loop {
            let head = self.blob.read_range(self.at..self.at + 16)?;
            if let Some(len) = skippable(self.codec, &head) {
                let end = (self.at + len).min(self.blob.len());
                self.skipped.push(self.at..end);
                self.at = end;
                continue;
            }
            if self.started && (!self.many || !begins(self.codec, &head)) {
                return Ok(false);
            }
            if self.started && head.is_empty() {
                return Ok(false);
            }
            self.started = true;
            let rest = self.blob.sub(self.at..self.blob.len());
            self.current = Some(StreamReader::new(self.codec, &rest, &self.memory)?);
            return Ok(true);
        }
    }

    /// Padding that the format allows between streams.
    fn skip_padding(&mut self) -> io::Result<()> {
        if !self.many || !matches!(self.codec, Codec::Gzip | Codec::Xz) {
            return Ok(());
        }
        let rest = self.blob.read_range(self.at..self.at + CHUNK as u64)?;
        let zeros = rest.iter().take_while(|b| **b == 0).count();
        self.at += zeros as u64;
        Ok(())
    }
}

impl Read for Streams {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(current) = &mut self.current {
                match current.read(buf)? {
                    0 => {
                        self.at += current.consumed();
                        self.current = None;
                        self.skip_padding()?;
                    }
                    n => return Ok(n),
                }
            }
            if self.started && self.at >= self.blob.len() || !self.next()? {
                return Ok(0);
            }
        }
    }
}

/// Does a stream of this codec begin with these bytes?
pub(crate) fn begins(codec: Codec, head: &[u8]) -> bool {
    match codec {
        Codec::Gzip => head.starts_with(&[0x1f, 0x8b, 8]),
        Codec::Bzip2 => head.starts_with(b"BZh") && head.get(3).is_some_and(|b| (b'1'..=b'9').contains(b)),
        Codec::Xz => head.starts_with(b"\xfd7zXZ\0"),
        // With the formats of before 2016, which some decompressors still read and this one does not.
        Codec::Zstd => {
            matches!(head, [0x22..=0x28, 0xb5, 0x2f, 0xfd, ..]) || head.starts_with(&[0x1e, 0xb5, 0x2f, 0xfd])
        }
        Codec::Lz4 => head.starts_with(&[4, 0x22, 0x4d, 0x18]) || head.starts_with(&[2, 0x21, 0x4c, 0x18]),
        // RFC 1950, 2.2: deflate, window at most 32 KiB, no preset dictionary, header a multiple of 31.
        Codec::Zlib => match *head {
            [cmf, flg, ..] => {
                cmf & 0xf == 8
                    && cmf >> 4 <= 7
                    && flg & 0x20 == 0
                    && (u16::from(cmf) << 8 | u16::from(flg)) % 31 == 0
            }
            _ => false,
        },
        // What liblzma's format detection asks of the header (lc/lp/pb, dictionary, size); the range coder's
        // first byte is always zero.
        Codec::LzmaAlone => match *head {
            [props, a, b, c, d, ref rest @ ..] => {
                let dict = u32::from_le_bytes([a, b, c, d]);
                let dict_ok = dict == u32::MAX
                    || dict.count_ones() == 1
                    || dict & (dict >> 1) != 0 && dict.count_ones() == 2;
                let size = rest.get(..8).and_then(|s| s.try_into().ok()).map(u64::from_le_bytes);
                let size_ok = size.is_some_and(|s| s == u64::MAX || s < 1 << 38);
                // Explicit `.lzma` readers and 7-Zip take any dictionary size: with the usual properties so do we.
                (props < 225 && dict_ok || props == 0x5d) && size_ok && rest.get(8) == Some(&0)
            }
            _ => false,
        },
        Codec::Deflate | Codec::Deflate64 | Codec::ZipLzma => false,
    }
}

/// Length of the skippable frame that begins here, if one does (RFC 8878, 3.1.2).
pub(crate) fn skippable(codec: Codec, head: &[u8]) -> Option<u64> {
    if !matches!(codec, Codec::Zstd | Codec::Lz4) {
        return None;
    }
    let [a, 0x2a, 0x4d, 0x18, b0, b1, b2, b3, ..] = *head else { return None };
    (a & 0xf0 == 0x50).then(|| 8 + u64::from(u32::from_le_bytes([b0, b1, b2, b3])))
}

/// Content too large to keep.
struct Replay {
    blob: Blob,
    codec: Codec,
    many: bool,
    memory: Arc<AtomicU64>,
    len: u64,
    head: Vec<u8>,
    /// The last bytes of the content.
    tail: Vec<u8>,
    state: Mutex<State>,
    /// Bytes decompressed again so far.
    work: AtomicU64,
}

#[derive(Default)]
struct State {
    reader: Option<Streams>,
    window: Vec<u8>,
    start: u64,
}

impl Replay {
    fn advance(&self, s: &mut State) -> io::Result<()> {
        let limit = self.len.saturating_mul(16).saturating_add(1 << 30);
        let reader = s.reader.get_or_insert_with(|| {
            Streams::new(self.blob.clone(), self.codec, self.many, self.memory.clone())
        });
        if s.window.len() > WINDOW {
            let drop = s.window.len() - WINDOW / 2;
            s.window.drain(..drop);
            s.start += drop as u64;
        }
        let old = s.window.len();
        s.window.resize(old + CHUNK, 0);
        let n = reader.read(&mut s.window[old..]);
        s.window.truncate(old + *n.as_ref().unwrap_or(&0));
        let n = n?;
        if n == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "content shorter than on first reading",
            ));
        }
        if self.work.fetch_add(n as u64, Ordering::Relaxed) > limit {
            return Err(io::Error::other(Exhausted(Resource::InflatedBytes)));
        }
        Ok(())
    }
}

fn copy(from: &[u8], from_start: u64, offset: u64, buf: &mut [u8]) -> Option<usize> {
    let skip = usize::try_from(offset.checked_sub(from_start)?).ok()?;
    let rest = from.get(skip..)?;
    if rest.is_empty() {
        return None;
    }
    let n = rest.len().min(buf.len());
    buf[..n].copy_from_slice(&rest[..n]);
    Some(n)
}

impl ReadAt for Replay {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.len || buf.is_empty() {
            return Ok(0);
        }
        let tail_start = self.len - (self.tail.len() as u64).min(self.len);
        if let Some(n) =
            copy(&self.head, 0, offset, buf).or_else(|| copy(&self.tail, tail_start, offset, buf))
        {
            return Ok(n);
        }
        let mut s = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if offset < s.start {
            *s = State::default();
        }
        loop {
            if let Some(n) = copy(&s.window, s.start, offset, buf) {
                let left = usize::try_from(self.len - offset).unwrap_or(usize::MAX);
                return Ok(n.min(left));
            }
            self.advance(&mut s)?;
        }
    }
}
