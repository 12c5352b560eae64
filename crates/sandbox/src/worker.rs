//! The child's side: confine, then answer scan requests until the pool closes the socket.

use crate::confine::confine;
use crate::wire::{
    self, HEADER, Header, Kind, MAX_BATCH, MAX_FACTS, MAX_FAULT, MAX_HINTS, MAX_READ, garbage,
};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use wb_blob::{Blob, ReadAt};
use wb_scan::Options;
use wb_verdict::{CallClass, Fact, FactKind, Facts, Gap, GapReason, Location};

/// Serves scans on descriptor 0 until it is closed. Called by the hidden `worker` command.
pub fn worker_main() -> ExitCode {
    serve(wb_scan::scan)
}

/// As [`worker_main`] with another scan function: tests prove the confinement from inside with it.
pub fn serve(scan: impl Fn(&Blob, &Options) -> Facts) -> ExitCode {
    let Ok(fd) = io::stdin().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    ExitCode::from(serve_on(UnixStream::from(fd), scan))
}

/// As [`worker_main`], on a socket of its own.
pub(crate) fn serve_scans(socket: UnixStream) -> u8 {
    serve_on(socket, wb_scan::scan)
}

/// Confines this process, then serves scans on `socket` until it is closed. The status to end with.
pub fn serve_on(socket: UnixStream, scan: impl Fn(&Blob, &Options) -> Facts) -> u8 {
    let socket = Arc::new(Mutex::new(socket));
    remember_panics();
    if let Err(e) = confine() {
        fault(&socket, &format!("cannot be confined: {e}"));
        return 1;
    }
    loop {
        match answer_one(&socket, &scan) {
            Ok(true) => {}
            Ok(false) => return 0,
            Err(_) => return 1,
        }
    }
}

/// Answers one request. `Ok(false)`: the pool closed the socket.
fn answer_one(socket: &Shared, scan: &impl Fn(&Blob, &Options) -> Facts) -> io::Result<bool> {
    let Some((header, fd)) = request(socket)? else { return Ok(false) };
    let blobs = match (header.kind, fd) {
        (Kind::ScanFile, Some(fd)) => vec![Blob::from_file_of_len(File::from(fd), header.number)],
        (Kind::ScanSource, None) => {
            vec![Blob::new(Arc::new(Asked { socket: socket.clone(), len: header.number }))]
        }
        (Kind::ScanBatch, None) => batch(socket, header.number)?,
        _ => return Err(garbage()),
    };
    let options = Options { depth: header.depth, ..Options::default() };
    let sheets = || blobs.iter().map(|blob| scan(blob, &options)).collect();
    match catch_unwind(AssertUnwindSafe(sheets)) {
        Ok(sheets) => send_facts(socket, sheets).map(|()| true),
        Err(_) => {
            let text = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone();
            fault(socket, &text);
            Err(io::Error::other("panicked"))
        }
    }
}

type Shared = Arc<Mutex<UnixStream>>;

static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Panics go to the pool, not to a standard error that nobody reads.
fn remember_panics() {
    std::panic::set_hook(Box::new(|info| {
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
    }));
}

fn fault(socket: &Shared, text: &str) {
    let text = text.as_bytes();
    let text = text.get(..MAX_FAULT as usize).unwrap_or(text);
    let mut message = Header::new(Kind::Fault, text.len() as u64).encode().to_vec();
    message.extend_from_slice(text);
    // The pool sees the end of the socket if this fails.
    let _ = lock(socket).write_all(&message);
}

fn lock(socket: &Shared) -> std::sync::MutexGuard<'_, UnixStream> {
    socket.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Receives a scan request and the descriptor that comes with its first byte.
fn request(socket: &Shared) -> io::Result<Option<(Header, Option<OwnedFd>)>> {
    let mut stream = lock(socket);
    let mut bytes = [0; HEADER];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        match recvmsg(&*stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?.bytes,
        }
    };
    let mut fd = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            fd = fds.into_iter().last();
        }
    }
    if got == 0 {
        return Ok(None);
    }
    stream.read_exact(bytes.get_mut(got..).unwrap_or_default())?;
    Ok(Some((Header::decode(bytes)?, fd)))
}

/// Receives the files of a batch, whose table and contents take `len` bytes.
fn batch(socket: &Shared, len: u64) -> io::Result<Vec<Blob>> {
    if len > MAX_BATCH {
        return Err(garbage());
    }
    let mut body = vec![0; usize::try_from(len).map_err(|_| garbage())?];
    lock(socket).read_exact(&mut body)?;
    let files = wire::split_batch(&body).ok_or_else(garbage)?;
    Ok(files.into_iter().map(|bytes| Blob::new(Arc::new(Handed(bytes.to_vec())))).collect())
}

/// The bytes of a file of a batch. They are read as a file is, and counted as such.
struct Handed(Vec<u8>);

impl ReadAt for Handed {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        ReadAt::read_at(&self.0, buf, offset)
    }
}

/// Answers with one sheet for each file that was handed over.
fn send_facts(socket: &Shared, mut sheets: Vec<Facts>) -> io::Result<()> {
    let mut message = encode(&sheets)?;
    while message.len() as u64 > MAX_FACTS + HEADER as u64 {
        // What is left of many sheets is empty; each says that it was shortened.
        sheets.iter_mut().for_each(shorten);
        message = encode(&sheets)?;
    }
    lock(socket).write_all(&message)
}

fn encode(sheets: &[Facts]) -> io::Result<Vec<u8>> {
    let mut message = Vec::with_capacity(4 << 10);
    message.extend_from_slice(&[0; HEADER]);
    for sheet in sheets {
        wire::write_sheet(&mut message, sheet)?;
    }
    let header = Header::new(Kind::Facts, (message.len() - HEADER) as u64).encode();
    if let Some(place) = message.get_mut(..HEADER) {
        place.copy_from_slice(&header);
    }
    Ok(message)
}

/// Halves a sheet that is too large to send, and says so in it. Dangerous calls go last.
fn shorten(facts: &mut Facts) {
    let dangerous = |f: &Fact| matches!(&f.kind, FactKind::Call { call: CallClass::Dangerous { .. }, .. });
    facts.facts.sort_by_key(|f| !dangerous(f));
    facts.facts.truncate(facts.facts.len() / 2);
    facts.gaps.truncate(facts.gaps.len() / 2);
    facts.gaps.push(Gap {
        reason: GapReason::Limit("report-size-limit".into()),
        location: Location::default(),
        length: None,
        detail: format!("more facts than fit into {} MiB", MAX_FACTS >> 20),
    });
}

/// A source that the pool reads for this worker.
struct Asked {
    socket: Shared,
    len: u64,
}

impl ReadAt for Asked {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.len.saturating_sub(offset);
        let want = left.min(MAX_READ).min(buf.len() as u64);
        if want == 0 {
            return Ok(0);
        }
        let mut message = Header::new(Kind::Read, offset).encode().to_vec();
        message.extend_from_slice(&want.to_le_bytes());
        let mut stream = lock(&self.socket);
        stream.write_all(&message)?;
        let mut header = [0; HEADER];
        stream.read_exact(&mut header)?;
        let header = Header::decode(header)?;
        match header.kind {
            Kind::Data if header.number <= want => {
                let n = usize::try_from(header.number).map_err(|_| garbage())?;
                stream.read_exact(buf.get_mut(..n).ok_or_else(garbage)?)?;
                Ok(n)
            }
            Kind::ReadError if header.number <= MAX_FAULT => {
                let mut text = vec![0; header.number as usize];
                stream.read_exact(&mut text)?;
                Err(io::Error::other(String::from_utf8_lossy(&text).into_owned()))
            }
            _ => Err(garbage()),
        }
    }

    fn hint(&self, ranges: &[Range<u64>]) {
        let ranges = ranges.get(..MAX_HINTS).unwrap_or(ranges);
        let mut message = Header::new(Kind::Hint, ranges.len() as u64).encode().to_vec();
        for range in ranges {
            message.extend_from_slice(&range.start.to_le_bytes());
            message.extend_from_slice(&range.end.to_le_bytes());
        }
        // Only advice; a broken socket shows at the next read.
        let _ = lock(&self.socket).write_all(&message);
    }
}
