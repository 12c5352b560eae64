//! Decompressors behind one `Read`: each decodes exactly one stream and knows where that stream ended.
//!
//! Loaders hand on what came out before an error, so these readers do too: output first, the error on
//! the next read.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wb_blob::{Blob, Exhausted, Resource};

/// Memory that all live decompressors of one scan may hold together, in bytes. Admits one `xz -9` (64 MiB).
pub(crate) const DECODER_MEMORY: u64 = 100 << 20;

/// Version, size of the properties (5), properties.
const ZIP_LZMA_HEADER: u64 = 9;
/// Properties, dictionary size, length of the content.
const LZMA_HEADER: u64 = 13;
/// A larger dictionary than this is cut: only content longer than this can refer further back.
const LZMA_DICTIONARY: u64 = 64 << 20;

/// A compression format that is a single stream of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Deflate,
    /// Deflate with a window of 64 KiB and longer matches (zip method 9).
    Deflate64,
    Zlib,
    Gzip,
    Bzip2,
    Xz,
    LzmaAlone,
    /// Zip method 14: a header of its own, then a raw LZMA stream (APPNOTE.TXT 5.8.8).
    ZipLzma,
    Zstd,
    Lz4,
}

enum Engine {
    Flate(Box<flate2::Decompress>),
    Flate64(Box<deflate64::InflaterManaged>),
    Bzip2(bzip2::Decompress),
    Xz(Box<lzma_rust2::XzStream>),
    Lzma(Box<lzma_rust2::LzmaStream>),
    Pull(Box<dyn Read + Send>),
}

struct Step {
    consumed: usize,
    produced: usize,
    end: bool,
}

/// Input whose consumption is counted, for decoders that pull.
struct Counting {
    input: io::BufReader<wb_blob::BlobReader>,
    count: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buf)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Reads one compressed stream that begins at the start of a blob.
pub(crate) struct StreamReader {
    codec: Codec,
    blob: Blob,
    engine: Engine,
    /// Compressed bytes read from the blob but not yet consumed.
    buf: Vec<u8>,
    buf_at: usize,
    /// Bytes in front of what the decoder is given.
    header: u64,
    /// Offset in the blob of the end of `buf`.
    fetched: u64,
    pulled: Arc<AtomicU64>,
    delivered: u64,
    crc: crc32fast::Hasher,
    /// One byte of output a time, so that no output is lost when the decoder fails.
    careful: bool,
    end: bool,
    failure: Option<io::Error>,
    held: Held,
}

/// A share of the scan's decompressor memory, given back on drop.
struct Held {
    total: Arc<AtomicU64>,
    mine: u64,
}

impl Held {
    fn set(&mut self, bytes: u64) -> io::Result<()> {
        self.total.fetch_sub(self.mine, Ordering::Relaxed);
        self.mine = bytes;
        let now = self.total.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if now > DECODER_MEMORY { Err(io::Error::other(Exhausted(Resource::Memory))) } else { Ok(()) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.fetch_sub(self.mine, Ordering::Relaxed);
    }
}

fn bad(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl StreamReader {
    const CHUNK: usize = 32 << 10;

    /// A reader of the stream at the start of `blob`; `memory` counts what all decompressors hold.
    pub(crate) fn new(codec: Codec, blob: &Blob, memory: &Arc<AtomicU64>) -> io::Result<Self> {
        let mut held = Held { total: memory.clone(), mine: 0 };
        let pulled = Arc::new(AtomicU64::new(0));
        let header = match codec {
            Codec::Gzip => gzip_header(blob)?,
            Codec::ZipLzma => ZIP_LZMA_HEADER,
            Codec::LzmaAlone => LZMA_HEADER,
            _ => 0,
        };
        let engine = Self::engine(codec, blob, &mut held, &pulled)?;
        Ok(Self {
            codec,
            blob: blob.clone(),
            engine,
            buf: Vec::new(),
            buf_at: 0,
            header,
            fetched: header,
            pulled,
            delivered: 0,
            crc: crc32fast::Hasher::new(),
            careful: false,
            end: false,
            failure: None,
            held,
        })
    }

    fn engine(codec: Codec, blob: &Blob, held: &mut Held, pulled: &Arc<AtomicU64>) -> io::Result<Engine> {
        let kib_left = |held: &Held| {
            let free = DECODER_MEMORY.saturating_sub(held.total.load(Ordering::Relaxed));
            u32::try_from(free >> 10).unwrap_or(u32::MAX - 1)
        };
        pulled.store(0, Ordering::Relaxed);
        let counting = || Counting {
            input: io::BufReader::with_capacity(Self::CHUNK, blob.reader()),
            count: pulled.clone(),
        };
        Ok(match codec {
            Codec::Deflate | Codec::Gzip => {
                held.set(64 << 10)?;
                Engine::Flate(Box::new(flate2::Decompress::new(false)))
            }
            Codec::Deflate64 => {
                held.set(512 << 10)?;
                Engine::Flate64(Box::new(deflate64::InflaterManaged::new()))
            }
            Codec::Zlib => {
                held.set(64 << 10)?;
                Engine::Flate(Box::new(flate2::Decompress::new(true)))
            }
            Codec::Bzip2 => {
                held.set(4 << 20)?;
                Engine::Bzip2(bzip2::Decompress::new(false))
            }
            Codec::Xz => Engine::Xz(Box::new(lzma_rust2::XzStream::new_mem_limit(false, kib_left(held)))),
            Codec::LzmaAlone => {
                let head = blob.head(LZMA_HEADER as usize)?;
                let [props, a, b, c, d, ref size @ ..] = head[..] else {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "lzma header ends early"));
                };
                let size = size.try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX);
                // A dictionary of 4 GiB costs a loader nothing until it is filled, so it must not end the scan.
                let free = (u64::from(kib_left(held)) << 10) / 4 * 3;
                let asked = u64::from(u32::from_le_bytes([a, b, c, d]));
                let dict = asked.min(LZMA_DICTIONARY).min(free).max(4096) as u32;
                let need = lzma_rust2::lzma_get_memory_usage_by_props(dict, props)?;
                held.set(u64::from(need) << 10)?;
                Engine::Lzma(Box::new(lzma_rust2::LzmaStream::new_with_props(size, props, dict, None)?))
            }
            Codec::ZipLzma => {
                let head = blob.head(ZIP_LZMA_HEADER as usize)?;
                let [_, _, 5, 0, props, a, b, c, d] = head[..] else {
                    return Err(bad("zip lzma header of unknown shape"));
                };
                let dict = u32::from_le_bytes([a, b, c, d]);
                let need = lzma_rust2::lzma_get_memory_usage_by_props(dict, props)?;
                held.set(u64::from(need) << 10)?;
                let stream = lzma_rust2::LzmaStream::new_with_props(u64::MAX, props, dict, None)?;
                Engine::Lzma(Box::new(stream))
            }
            Codec::Lz4 => {
                held.set(16 << 20)?;
                Engine::Pull(Box::new(lz4_flex::frame::FrameDecoder::new(counting())))
            }
            Codec::Zstd => {
                let window = zstd_window(blob)?.max(1 << 20);
                held.set(window.saturating_mul(2))?;
                let decoder =
                    ruzstd::decoding::StreamingDecoder::new_with_max_window_size(counting(), window)
                        .map_err(|e| bad(e.to_string()))?;
                Engine::Pull(Box::new(decoder))
            }
        })
    }

    /// Compressed bytes consumed so far; after the end, the length of the stream.
    pub(crate) fn consumed(&self) -> u64 {
        match self.engine {
            Engine::Pull(_) => self.pulled.load(Ordering::Relaxed),
            _ => self.fetched - (self.buf.len() - self.buf_at) as u64,
        }
    }

    fn step(
        engine: &mut Engine,
        input: &[u8],
        finish: bool,
        out: &mut [u8],
    ) -> Result<Step, (usize, io::Error)> {
        let action = if finish { lzma_rust2::Action::Finish } else { lzma_rust2::Action::Run };
        let done = |r: lzma_rust2::StreamResult| Step {
            consumed: r.bytes_consumed,
            produced: r.bytes_produced,
            end: r.status == lzma_rust2::Status::StreamEnd,
        };
        match engine {
            Engine::Flate(d) => {
                let (i, o) = (d.total_in(), d.total_out());
                let r = d.decompress(input, out, flate2::FlushDecompress::None);
                let (consumed, produced) = ((d.total_in() - i) as usize, (d.total_out() - o) as usize);
                match r {
                    Ok(s) => Ok(Step { consumed, produced, end: s == flate2::Status::StreamEnd }),
                    Err(e) => Err((produced, bad(e.to_string()))),
                }
            }
            Engine::Flate64(d) => {
                let r = d.inflate(input, out);
                if r.data_error {
                    return Err((r.bytes_written, bad("deflate64 data is broken")));
                }
                Ok(Step { consumed: r.bytes_consumed, produced: r.bytes_written, end: d.finished() })
            }
            Engine::Bzip2(d) => {
                let (i, o) = (d.total_in(), d.total_out());
                let r = d.decompress(input, out);
                let (consumed, produced) = ((d.total_in() - i) as usize, (d.total_out() - o) as usize);
                match r {
                    Ok(s) => Ok(Step { consumed, produced, end: s == bzip2::Status::StreamEnd }),
                    Err(e) => Err((produced, bad(e.to_string()))),
                }
            }
            Engine::Xz(d) => d.process(input, out, action).map(done).map_err(|e| (0, out_of_memory(e))),
            Engine::Lzma(d) => d.process(input, out, action).map(done).map_err(|e| (0, out_of_memory(e))),
            Engine::Pull(r) => match r.read(out) {
                Ok(n) => Ok(Step { consumed: 0, produced: n, end: n == 0 && !out.is_empty() }),
                Err(e) => Err((0, e)),
            },
        }
    }

    /// Starts again from the beginning and decodes up to where output had been delivered.
    fn restart_carefully(&mut self) -> io::Result<()> {
        self.careful = true;
        self.engine = Self::engine(self.codec, &self.blob, &mut self.held, &self.pulled)?;
        self.buf.clear();
        self.buf_at = 0;
        self.fetched = self.header;
        self.end = false;
        let mut skip = std::mem::take(&mut self.delivered);
        let mut scratch = vec![0; Self::CHUNK];
        while skip > 0 {
            let want = skip.min(scratch.len() as u64) as usize;
            match self.fill(&mut scratch[..want])? {
                0 => break,
                n => skip -= n as u64,
            }
        }
        Ok(())
    }

    fn fill(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.end || out.is_empty() {
                return Ok(0);
            }
            let pull = matches!(self.engine, Engine::Pull(_));
            if !pull && self.buf_at == self.buf.len() && self.fetched < self.blob.len() {
                self.buf.resize(Self::CHUNK, 0);
                let n = self.blob.read_at(&mut self.buf, self.fetched)?;
                self.buf.truncate(n);
                self.buf_at = 0;
                self.fetched += n as u64;
            }
            let finish = self.fetched >= self.blob.len();
            // Only once all input is in the decoder: told so earlier, some fail before they give what they have.
            let last = finish && self.buf_at == self.buf.len();
            let step = Self::step(&mut self.engine, &self.buf[self.buf_at..], last, out);
            let step = match step {
                Ok(s) => s,
                Err((0, e)) => return Err(e),
                Err((produced, e)) => {
                    self.failure = Some(e);
                    self.note(&out[..produced]);
                    return Ok(produced);
                }
            };
            if let Some(kib) = match &self.engine {
                Engine::Xz(d) => d.memory_usage(),
                Engine::Lzma(d) => d.memory_usage(),
                _ => None,
            } {
                self.held.set(u64::from(kib) << 10)?;
            }
            self.buf_at += step.consumed;
            self.end = step.end;
            if step.end
                && let Engine::Lzma(d) = &self.engine
            {
                self.buf_at = self.buf_at.saturating_sub(d.unused_input().len());
            }
            self.note(&out[..step.produced]);
            if self.end
                && self.codec == Codec::Gzip
                && let Err(e) = self.gzip_trailer()
            {
                self.failure = Some(e);
            }
            if step.produced > 0 {
                return Ok(step.produced);
            }
            if self.end {
                return Ok(0);
            }
            if step.consumed == 0 && last {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "compressed stream ends early"));
            }
            if step.consumed == 0 && step.produced == 0 && self.buf_at < self.buf.len() {
                return Err(bad("decompressor makes no progress"));
            }
        }
    }

    fn note(&mut self, produced: &[u8]) {
        self.delivered += produced.len() as u64;
        if self.codec == Codec::Gzip {
            self.crc.update(produced);
        }
    }

    /// Checks and consumes CRC-32 and length behind a gzip member (RFC 1952, 2.3.1).
    fn gzip_trailer(&mut self) -> io::Result<()> {
        let at = self.consumed();
        let trailer = self.blob.read_range(at..at + 8)?;
        self.buf.clear();
        self.buf_at = 0;
        self.fetched = at + trailer.len() as u64;
        let Ok(trailer) = <[u8; 8]>::try_from(trailer) else {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "gzip trailer missing"));
        };
        let [a, b, c, d, e, f, g, h] = trailer;
        if u32::from_le_bytes([a, b, c, d]) != self.crc.clone().finalize() {
            return Err(bad("gzip crc differs from content"));
        }
        if u32::from_le_bytes([e, f, g, h]) != self.delivered as u32 {
            return Err(bad("gzip length differs from content"));
        }
        Ok(())
    }
}

impl Read for StreamReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Some(e) = self.failure.take() {
            self.end = true;
            return Err(e);
        }
        let lossy = matches!(self.engine, Engine::Xz(_) | Engine::Lzma(_));
        let limit = if self.careful { out.len().min(1) } else { out.len() };
        match self.fill(&mut out[..limit]) {
            Err(e) if lossy && !self.careful && e.get_ref().is_none_or(|i| !i.is::<Exhausted>()) => {
                self.restart_carefully()?;
                self.fill(&mut out[..1.min(limit)])
            }
            other => other,
        }
    }
}

fn out_of_memory(e: io::Error) -> io::Error {
    if e.kind() == io::ErrorKind::OutOfMemory { io::Error::other(Exhausted(Resource::Memory)) } else { e }
}

/// Length of the gzip header at the start of `blob` (RFC 1952, 2.3).
fn gzip_header(blob: &Blob) -> io::Result<u64> {
    /// Honest headers hold a file's name; readers take names of any length.
    const SIZES: [usize; 2] = [128 << 10, 16 << 20];
    for size in SIZES {
        let head = blob.head(size)?;
        if let Some(len) = gzip_header_in(&head) {
            return Ok(len);
        }
        if head.len() < size {
            break;
        }
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "gzip header ends early"))
}

fn gzip_header_in(head: &[u8]) -> Option<u64> {
    let flags = *head.get(3)?;
    let mut at = 10usize;
    if flags & 4 != 0 {
        let extra = head.get(at..at + 2)?;
        at += 2 + usize::from(u16::from_le_bytes([extra[0], extra[1]]));
    }
    for bit in [8, 16] {
        if flags & bit != 0 {
            at += memchr::memchr(0, head.get(at..)?)? + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    Some(at as u64)
}

/// Window size that a zstd frame asks for, in bytes (RFC 8878, 3.1.1.1).
fn zstd_window(blob: &Blob) -> io::Result<u64> {
    let head = blob.head(18)?;
    let get = |i: usize| head.get(i).copied().map(u64::from).ok_or_else(|| bad("zstd header ends early"));
    let descriptor = get(4)?;
    if descriptor & 0x20 == 0 {
        let w = get(5)?;
        let base = 1u64 << (10 + (w >> 3));
        return Ok(base + (base / 8) * (w & 7));
    }
    let at = 5 + [0usize, 1, 2, 4][(descriptor & 3) as usize];
    let size = [1usize, 2, 4, 8][(descriptor >> 6) as usize];
    let mut n = 0u64;
    for i in 0..size {
        n |= get(at + i)? << (8 * i);
    }
    Ok(if size == 2 { n + 256 } else { n })
}
