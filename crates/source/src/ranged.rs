//! [`RangedFile`]: a remote file read by ranges from blocking code.
//!
//! Reads are served from 64 KiB blocks. A read that misses fetches the missing blocks and, the longer
//! it goes on sequentially, ever more ahead. What changes between two requests (size, etag) is an error:
//! ranges of two different files would be judged as one.

use crate::remote::client::{Arrived, Follow, Inner, Request, text, transport};
use crate::remote::range::{check_content_range, parse_content_range, plain_etag, refused};
use crate::{Result, SourceError, Token};
use bytes::{Bytes, BytesMut};
use std::collections::HashMap;
use std::fs::File;
use std::future::Future;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use tokio::runtime::Handle;
use url::Url;
use wb_blob::ReadAt;

/// Bytes of one cached block.
const BLOCK: u64 = 64 << 10;
/// Hinted ranges closer than this are fetched in one request.
const JOIN: u64 = 128 << 10;

/// Limits of a [`RangedFile`].
#[derive(Debug, Clone)]
pub struct RangedLimits {
    /// Bytes of blocks kept in memory.
    pub cache: usize,
    /// Largest single request, in bytes.
    pub request: u64,
    /// Largest file downloaded whole when the server does not know ranges, in bytes.
    pub whole: u64,
}

impl Default for RangedLimits {
    fn default() -> Self {
        Self { cache: 32 << 20, request: 8 << 20, whole: 8 << 30 }
    }
}

/// A file behind HTTP ranges (or in a folder). Share it by `Arc`; reads block.
#[derive(Debug)]
pub struct RangedFile {
    len: u64,
    source: Source,
    transferred: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Source {
    Local(File),
    Http(Arc<Http>, Mutex<Cache>),
}

#[derive(Debug)]
struct Http {
    inner: Arc<Inner>,
    handle: Handle,
    url: Url,
    token: Option<Token>,
    size: u64,
    limits: RangedLimits,
    transferred: Arc<AtomicU64>,
    pinned: Mutex<Pinned>,
}

/// What the first answer settled.
#[derive(Debug, Default)]
struct Pinned {
    /// Where redirects led; asked directly from then on.
    url: Option<Url>,
    etag: Option<String>,
}

#[derive(Debug, Default)]
struct Cache {
    blocks: HashMap<u64, (Bytes, u64)>,
    tick: u64,
    /// Block after the last one read, and how many to fetch when reading goes on there.
    next: u64,
    ahead: u64,
    /// The whole file, once the server turned out to ignore ranges.
    whole: Option<File>,
}

/// What a range request brought.
enum Got {
    Range(Bytes),
    /// The server ignores ranges: the whole file.
    Whole(File),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here leaves its state half-changed, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RangedFile {
    /// Bytes transferred so far, more than were asked for where ranges were joined. Zero for local files.
    pub fn bytes_transferred(&self) -> u64 {
        self.transferred.load(Ordering::Relaxed)
    }

    pub(crate) fn local(file: File, len: u64) -> Self {
        Self { len, source: Source::Local(file), transferred: Arc::default() }
    }

    /// Must be called on a runtime; reads wait on it.
    pub(crate) fn over_http(
        inner: Arc<Inner>,
        url: Url,
        token: Option<Token>,
        size: u64,
        limits: RangedLimits,
    ) -> Self {
        let transferred = Arc::<AtomicU64>::default();
        let http = Http {
            inner,
            handle: Handle::current(),
            url,
            token,
            size,
            limits,
            transferred: transferred.clone(),
            pinned: Mutex::default(),
        };
        Self { len: size, source: Source::Http(Arc::new(http), Mutex::default()), transferred }
    }

    /// Opens any URL, learning the size from the first block. The token goes to `inner`'s origin only.
    pub(crate) async fn probe(inner: Arc<Inner>, url: Url, limits: RangedLimits) -> Result<Self> {
        let request = Request::new(http::Method::GET, url.clone(), None).range(0, Some(BLOCK - 1));
        let arrived = inner.send(request, Follow::All).await?;
        let headers = arrived.response.headers();
        let range = text(headers, "content-range");
        match arrived.response.status().as_u16() {
            206 => {
                let (_, _, total) = range
                    .and_then(parse_content_range)
                    .ok_or_else(|| SourceError::Protocol("a 206 without a usable content-range".into()))?;
                let file = Self::over_http(inner, url, None, total, limits);
                if let Source::Http(http, cache) = &file.source {
                    let got = http.accept(arrived, 0..BLOCK.min(total)).await?;
                    lock(cache).take(0, got, &http.limits);
                }
                Ok(file)
            }
            416 if range == Some("bytes */0") => Ok(Self::over_http(inner, url, None, 0, limits)),
            200 => {
                let transferred = Arc::default();
                let (file, len) = download(arrived, None, limits.whole, &transferred).await?;
                Ok(Self { len, source: Source::Local(file), transferred })
            }
            _ => Err(refused(&arrived)),
        }
    }
}

impl Http {
    /// Runs a request on the runtime and waits, from any thread but the runtime's only one.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            let _ = sender.send(work.await);
        });
        let lost = |_| io::Error::other("the network runtime ended");
        Ok(receiver.recv().map_err(lost)??)
    }

    /// Fetches one range, going straight to where redirects led before.
    async fn fetch(&self, range: Range<u64>) -> Result<Got> {
        let pinned = lock(&self.pinned).url.clone();
        if let Some(url) = pinned {
            let request = Request::new(http::Method::GET, url, self.token.as_ref());
            let arrived =
                self.inner.send(request.range(range.start, Some(range.end - 1)), Follow::All).await?;
            if !matches!(arrived.response.status().as_u16(), 401 | 403 | 404 | 410) {
                return self.accept(arrived, range).await;
            }
            lock(&self.pinned).url = None; // a signed URL expires; ask the hub for a new one
        }
        let request = Request::new(http::Method::GET, self.url.clone(), self.token.as_ref());
        let arrived = self.inner.send(request.range(range.start, Some(range.end - 1)), Follow::All).await?;
        self.accept(arrived, range).await
    }

    async fn accept(&self, mut arrived: Arrived, range: Range<u64>) -> Result<Got> {
        let headers = arrived.response.headers();
        let etag = text(headers, "etag").map(|e| plain_etag(e).to_owned());
        {
            let mut pinned = lock(&self.pinned);
            match (&pinned.etag, &etag) {
                (Some(was), Some(is)) if was != is && arrived.response.status().is_success() => {
                    return Err(SourceError::Changed(format!("etag was {was}, is {is}")));
                }
                (None, Some(_)) => pinned.etag = etag,
                _ => {}
            }
        }
        match arrived.response.status().as_u16() {
            206 => {}
            200 => {
                let (file, _) =
                    download(arrived, Some(self.size), self.limits.whole, &self.transferred).await?;
                return Ok(Got::Whole(file));
            }
            _ => return Err(refused(&arrived)),
        }
        if text(headers, "content-encoding").is_some_and(|e| e != "identity") {
            return Err(SourceError::Protocol("an encoded range".into()));
        }
        let last = check_content_range(headers, range.start, self.size)?;
        if last != range.end - 1 {
            return Err(SourceError::Protocol(format!(
                "asked for bytes up to {}, got {last}",
                range.end - 1
            )));
        }
        let want = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut out = BytesMut::new();
        while let Some(chunk) = arrived.response.chunk().await.map_err(|e| transport(&arrived.url, &e))? {
            self.transferred.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            if out.len().saturating_add(chunk.len()) > want {
                return Err(SourceError::Protocol("a range longer than announced".into()));
            }
            out.extend_from_slice(&chunk);
        }
        if out.len() != want {
            let host = arrived.url.host_str().unwrap_or_default().to_owned();
            return Err(SourceError::Down { host, detail: "ended a range early".into(), timeout: false });
        }
        lock(&self.pinned).url = Some(arrived.url);
        Ok(Got::Range(out.freeze()))
    }
}

/// Downloads a whole file into an unnamed temporary one.
async fn download(
    mut arrived: Arrived,
    size: Option<u64>,
    limit: u64,
    transferred: &AtomicU64,
) -> Result<(File, u64)> {
    let announced = size.or_else(|| text(arrived.response.headers(), "content-length")?.parse().ok());
    let too_long = || {
        SourceError::Protocol(format!("the server ignores ranges and the file is longer than {limit} bytes"))
    };
    if announced.is_some_and(|len| len > limit) {
        return Err(too_long());
    }
    let failed = |e| SourceError::io("write a temporary file", e);
    let mut file = tempfile::tempfile().map_err(failed)?;
    let mut len: u64 = 0;
    while let Some(chunk) = arrived.response.chunk().await.map_err(|e| transport(&arrived.url, &e))? {
        transferred.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        len = len.saturating_add(chunk.len() as u64);
        if len > limit {
            return Err(too_long());
        }
        file.write_all(&chunk).map_err(failed)?;
    }
    match announced {
        Some(announced) if announced != len => {
            Err(SourceError::Changed(format!("size was {announced} bytes, got {len}")))
        }
        _ => Ok((file, len)),
    }
}

impl Cache {
    /// Keeps what a request for bytes from block `first` on brought, dropping the longest unused blocks.
    fn take(&mut self, first: u64, got: Got, limits: &RangedLimits) {
        let bytes = match got {
            Got::Range(bytes) => bytes,
            Got::Whole(file) => {
                self.blocks.clear();
                self.whole = Some(file);
                return;
            }
        };
        for (i, block) in bytes.chunks(BLOCK as usize).enumerate() {
            self.tick += 1;
            // Copied, so that one live block does not hold a whole answer in memory.
            self.blocks.insert(first + i as u64, (Bytes::copy_from_slice(block), self.tick));
        }
        let most = (limits.cache as u64 / BLOCK).max(limits.request / BLOCK + 1) as usize;
        if self.blocks.len() > most {
            let mut ticks: Vec<u64> = self.blocks.values().map(|(_, tick)| *tick).collect();
            ticks.sort_unstable();
            let oldest = ticks.get(self.blocks.len() - most).copied().unwrap_or(0);
            self.blocks.retain(|_, (_, tick)| *tick >= oldest);
        }
    }

    fn get(&mut self, block: u64) -> Option<Bytes> {
        self.tick += 1;
        let entry = self.blocks.get_mut(&block)?;
        entry.1 = self.tick;
        Some(entry.0.clone())
    }
}

/// Fetches the blocks `first..end` into the cache, in requests of the allowed size.
fn load(http: &Arc<Http>, cache: &mut Cache, first: u64, end: u64) -> io::Result<()> {
    let step = (http.limits.request / BLOCK).max(1);
    let mut at = first;
    while at < end && cache.whole.is_none() {
        let stop = end.min(at + step);
        let range = at * BLOCK..(stop * BLOCK).min(http.size);
        if range.is_empty() {
            break;
        }
        let task = http.clone();
        let got = http.wait(async move { task.fetch(range).await })?;
        cache.take(at, got, &http.limits);
        at = stop;
    }
    Ok(())
}

impl ReadAt for RangedFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = buf.len().min(left);
        let Some(buf) = buf.get_mut(..want) else { return Ok(0) };
        if buf.is_empty() {
            return Ok(0);
        }
        let (http, cache) = match &self.source {
            Source::Local(file) => return file.read_at(buf, offset),
            Source::Http(http, cache) => (http, cache),
        };
        let mut cache = lock(cache);
        let block = offset / BLOCK;
        if let Some(whole) = &cache.whole {
            return whole.read_at(buf, offset);
        }
        if !cache.blocks.contains_key(&block) {
            let most = (http.limits.request / BLOCK).max(1);
            cache.ahead = if cache.next == block { (cache.ahead * 2).clamp(1, most) } else { 1 };
            let asked = (offset + want as u64).div_ceil(BLOCK) - block;
            let mut end = block + asked.min(most).max(cache.ahead);
            // Stop before what is there already.
            if let Some(known) = (block + 1..end).find(|b| cache.blocks.contains_key(b)) {
                end = known;
            }
            load(http, &mut cache, block, end)?;
        }
        cache.next = block + 1;
        if let Some(whole) = &cache.whole {
            return whole.read_at(buf, offset);
        }
        let missing = || io::Error::other("a block that was just fetched is missing");
        let bytes = cache.get(block).ok_or_else(missing)?;
        let from = usize::try_from(offset % BLOCK).unwrap_or(usize::MAX);
        let part = bytes.get(from..).filter(|p| !p.is_empty()).ok_or_else(missing)?;
        let n = part.len().min(buf.len());
        buf[..n].copy_from_slice(&part[..n]);
        Ok(n)
    }

    fn hint(&self, ranges: &[Range<u64>]) {
        let Source::Http(http, cache) = &self.source else { return };
        let mut wanted: Vec<_> = ranges
            .iter()
            .map(|r| r.start.min(self.len)..r.end.min(self.len))
            .filter(|r| r.start < r.end)
            .collect();
        wanted.sort_unstable_by_key(|r| r.start);
        let mut joined: Vec<Range<u64>> = Vec::new();
        for range in wanted {
            match joined.last_mut() {
                Some(last) if range.start <= last.end.saturating_add(JOIN) => {
                    last.end = last.end.max(range.end)
                }
                _ => joined.push(range),
            }
        }
        let mut cache = lock(cache);
        // No more than half the cache: a hint must not drive out what it brought itself.
        let mut room = http.limits.cache as u64 / 2 / BLOCK;
        for range in joined {
            let first = range.start / BLOCK;
            let end = range.end.div_ceil(BLOCK).min(first + room);
            let Some(first) = (first..end).find(|b| !cache.blocks.contains_key(b)) else { continue };
            room = room.saturating_sub(end - first);
            // A hint that fails is no error; the read that follows will say so.
            if load(http, &mut cache, first, end).is_err() {
                return;
            }
        }
    }
}
