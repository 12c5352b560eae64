//! One worker process, seen from the pool.

use crate::batch::Batch;
use crate::ends::WorkerEnd;
use crate::fork::{Forked, Reaped, UNFIT};
use crate::pool::{Job, PoolConfig};
use crate::wire::{self, HEADER, Header, Kind, MAX_FACTS, MAX_FAULT, MAX_HINTS, MAX_READ, garbage};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use wb_blob::ReadAt;
use wb_verdict::{Depth, ENGINE, Facts};

/// How long the pool waits for a worker to take bytes from the socket.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a scan gave no fact sheet.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request could not even be sent: the worker was gone before. Worth another worker.
    NotBegun,
    /// Anything later. The text says what happened.
    Broken(WorkerEnd, String),
}

/// A running worker. Dropping it kills and reaps the process.
pub(crate) struct Process {
    child: Handle,
    socket: UnixStream,
    /// Scans answered so far.
    pub scans: u32,
    /// Wall-clock time spent scanning.
    pub busy: Duration,
}

/// The child process itself.
enum Handle {
    Started(Child),
    Forked(Reaped),
}

impl Handle {
    fn kill(&mut self) {
        // It may have ended already, which is as good.
        match self {
            Self::Started(child) => drop(child.kill()),
            Self::Forked(child) => child.kill(),
        }
    }

    fn wait(&mut self) -> io::Result<ExitStatus> {
        match self {
            Self::Started(child) => child.wait(),
            Self::Forked(child) => child.wait(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill();
        let _ = self.child.wait();
    }
}

impl From<Forked> for Process {
    fn from(forked: Forked) -> Self {
        let (child, socket) = forked.into_parts();
        Self { child: Handle::Forked(child), socket, scans: 0, busy: Duration::ZERO }
    }
}

impl Process {
    pub fn start(config: &PoolConfig) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
        // The kernel's link names the running image even after the file was replaced by an upgrade.
        let own = Path::new("/proc/self/exe");
        let program = match &config.program {
            Some(program) => program.clone(),
            None if own.exists() => own.to_path_buf(),
            None => std::env::current_exe()?,
        };
        let child = Command::new(program)
            .args(&config.args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child: Handle::Started(child), socket, scans: 0, busy: Duration::ZERO })
    }

    /// Scans one job of `size` bytes.
    pub fn scan(&mut self, job: &Job, size: u64, timeout: Duration) -> Result<Facts, Failure> {
        let started = Instant::now();
        let depth = match job {
            Job::File(file) => {
                let header = Header::new(Kind::ScanFile, size);
                self.send_with(header, file.as_fd()).map_err(|_| Failure::NotBegun)?;
                Depth::Whole
            }
            Job::Source(_, depth) => {
                let header = Header { depth: *depth, ..Header::new(Kind::ScanSource, size) };
                self.socket.write_all(&header.encode()).map_err(|_| Failure::NotBegun)?;
                *depth
            }
        };
        let mut guard = Guard { deadline: started + timeout, served: 0 };
        let source = match job {
            Job::Source(source, _) => Some(source.as_ref()),
            Job::File(_) => None,
        };
        let sheets = self.converse(source, size, 1, &mut guard).map_err(|e| self.explain(&e, timeout))?;
        self.scans += 1;
        self.busy += started.elapsed();
        let [facts] = <[Facts; 1]>::try_from(sheets).map_err(|_| bad_report("no single sheet"))?;
        check(&facts, size, depth).map_err(bad_report)?;
        Ok(facts)
    }

    /// Scans the files of a batch. A sheet for each, or none at all.
    pub fn scan_batch(&mut self, batch: &Batch, timeout: Duration) -> Result<Vec<Facts>, Failure> {
        let started = Instant::now();
        let table = batch.table();
        let header = Header::new(Kind::ScanBatch, (table.len() + batch.bytes().len()) as u64);
        let mut head = header.encode().to_vec();
        head.extend_from_slice(&table);
        self.socket.write_all(&head).map_err(|_| Failure::NotBegun)?;
        let mut guard = Guard { deadline: started + timeout, served: 0 };
        let sheets = self.socket.write_all(batch.bytes()).and_then(|()| {
            // A batch has no source: any request to read is refused.
            self.converse(None, 0, batch.len(), &mut guard)
        });
        let sheets = sheets.map_err(|e| self.explain(&e, timeout))?;
        self.scans = self.scans.saturating_add(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        self.busy += started.elapsed();
        for (facts, bytes) in sheets.iter().zip(batch.iter()) {
            check(facts, bytes.len() as u64, Depth::Whole).map_err(bad_report)?;
        }
        Ok(sheets)
    }

    /// Serves reads of `source`, of `size` bytes, until the worker answers with `count` sheets.
    fn converse(
        &mut self,
        source: Option<&dyn ReadAt>,
        size: u64,
        count: usize,
        guard: &mut Guard,
    ) -> io::Result<Vec<Facts>> {
        loop {
            let mut header = [0; HEADER];
            self.receive(&mut header, guard)?;
            let header = Header::decode(header)?;
            match (header.kind, source) {
                (Kind::Facts, _) if header.number <= MAX_FACTS => {
                    let sheets = self.body(header.number, guard)?;
                    return wire::read_sheets(&sheets, count);
                }
                (Kind::Fault, _) if header.number <= MAX_FAULT => {
                    let text = self.body(header.number, guard)?;
                    return Err(io::Error::other(wb_verdict::escape_bytes(&text)));
                }
                (Kind::Read, Some(source)) => {
                    let mut length = [0; 8];
                    self.receive(&mut length, guard)?;
                    self.serve_read(source, size, header.number, u64::from_le_bytes(length), guard)?;
                }
                (Kind::Hint, Some(source)) if header.number <= MAX_HINTS as u64 => {
                    let body = self.body(header.number * 16, guard)?;
                    let number = |b: &[u8]| b.try_into().map_or(0, u64::from_le_bytes);
                    let ranges: Vec<_> = body
                        .chunks_exact(16)
                        .map(|c| number(&c[..8]).min(size)..number(&c[8..]).min(size))
                        .filter(|r| r.start < r.end)
                        .collect();
                    source.hint(&ranges);
                }
                _ => return Err(garbage()),
            }
        }
    }

    fn serve_read(
        &mut self,
        source: &dyn ReadAt,
        size: u64,
        offset: u64,
        length: u64,
        guard: &mut Guard,
    ) -> io::Result<()> {
        if length > MAX_READ || offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(garbage());
        }
        // A worker that an attacker owns must not make this process read for ever.
        guard.served = guard.served.saturating_add(length);
        if guard.served > size.saturating_mul(8).saturating_add(64 << 20) {
            return Err(io::Error::other("asked for far more bytes than the file has"));
        }
        let before = Instant::now();
        let mut message = vec![0; HEADER + length as usize];
        let result = match message.get_mut(HEADER..) {
            Some(room) => source.read_at(room, offset),
            None => Ok(0),
        };
        // Waiting for a slow source is not the worker's fault.
        guard.deadline += before.elapsed();
        let header = match result {
            Ok(n) => {
                message.truncate(HEADER + n);
                Header::new(Kind::Data, n as u64)
            }
            Err(e) => {
                let text = e.to_string();
                let text = text.as_bytes();
                let text = text.get(..MAX_FAULT as usize).unwrap_or(text);
                message.truncate(HEADER);
                message.extend_from_slice(text);
                Header::new(Kind::ReadError, text.len() as u64)
            }
        };
        if let Some(place) = message.get_mut(..HEADER) {
            place.copy_from_slice(&header.encode());
        }
        self.socket.write_all(&message)
    }

    fn send_with(&self, header: Header, fd: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
        let bytes = header.encode();
        let fds = [fd];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let sent = loop {
            match sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        (&self.socket).write_all(bytes.get(sent..).unwrap_or_default())
    }

    fn body(&mut self, length: u64, guard: &Guard) -> io::Result<Vec<u8>> {
        let mut body = vec![0; usize::try_from(length).map_err(|_| garbage())?];
        self.receive(&mut body, guard)?;
        Ok(body)
    }

    /// Fills `buf` before the deadline.
    fn receive(&mut self, buf: &mut [u8], guard: &Guard) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let left = guard.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.read(buf.get_mut(done..).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Says what happened to the worker, and leaves it dead.
    fn explain(&mut self, error: &io::Error, timeout: Duration) -> Failure {
        use std::os::unix::process::ExitStatusExt;
        let (end, text) = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                (WorkerEnd::Timeout, format!("the scan worker took longer than {} s", timeout.as_secs()))
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                // The socket is closed, so the process is ending by itself; its status says why.
                let text = match self.child.wait() {
                    // It could not give up what it inherited: a worker that is started needs not.
                    Ok(status) if self.is_unfit(status) => return Failure::NotBegun,
                    Ok(status) => match (status.signal(), status.code()) {
                        (Some(signal), _) => format!("the scan worker was ended by signal {signal}"),
                        (_, code) => format!("the scan worker ended with status {}", code.unwrap_or(-1)),
                    },
                    Err(e) => format!("the scan worker ended: {e}"),
                };
                (WorkerEnd::Died, text)
            }
            io::ErrorKind::InvalidData => {
                (WorkerEnd::BadReport, format!("the scan worker sent no valid report: {error}"))
            }
            _ => (WorkerEnd::Fault, format!("the scan worker failed: {error}")),
        };
        self.child.kill();
        Failure::Broken(end, text)
    }

    fn is_unfit(&self, status: ExitStatus) -> bool {
        self.scans == 0 && matches!(self.child, Handle::Forked(_)) && status.code() == Some(UNFIT.into())
    }
}

struct Guard {
    deadline: Instant,
    served: u64,
}

fn bad_report(what: impl std::fmt::Display) -> Failure {
    Failure::Broken(WorkerEnd::BadReport, format!("the scan worker sent no valid report: {what}"))
}

/// What a worker says must be a sheet this build could have made for this very job.
fn check(facts: &Facts, size: u64, depth: Depth) -> Result<(), &'static str> {
    let wrong = |what| Err(what);
    if facts.engine != ENGINE {
        return wrong("made by another engine");
    }
    if facts.catalogue != wb_scan::catalogue::VERSION {
        return wrong("made with another catalogue");
    }
    if facts.size != size || facts.depth != depth {
        return wrong("about another file");
    }
    if facts.formats.is_empty() && facts.gaps.is_empty() {
        return wrong("neither format nor gap");
    }
    Ok(())
}
