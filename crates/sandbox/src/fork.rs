//! Workers made by `fork` instead of by starting the program again.
//!
//! Starting a second copy of the program costs more than judging a small file: the image is mapped, relocated and
//! paged in once more. A fork shares all that with its parent, but it also inherits what a started program would not
//! have: the environment, the arguments, every open descriptor. So it is only done at the very beginning of a command
//! ([`fork_workers`]), before anything was read that could be secret, and the child sheds what it inherited before it
//! confines itself: descriptors are closed, and the memory that holds environment and arguments is overwritten. Where any of it
//! cannot be done the child ends, and the pool starts a program as before.

use rustix::process::{Pid, WaitOptions};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// Exit status of a child that could not shed what it inherited: the pool starts a program instead.
pub(crate) const UNFIT: u8 = 75;
/// Exit status of a child whose work panicked outside of a scan.
const PANICKED: u8 = 70;

/// A worker forked by [`fork_workers`]. Dropping it ends and reaps it.
#[derive(Debug)]
pub struct Forked {
    child: Reaped,
    socket: UnixStream,
}

impl Forked {
    /// This end of the socket to it.
    pub fn socket(&self) -> &UnixStream {
        &self.socket
    }

    pub(crate) fn into_parts(self) -> (Reaped, UnixStream) {
        (self.child, self.socket)
    }
}

/// A child of this process that is reaped exactly once, so that its number is not another's before.
#[derive(Debug)]
pub(crate) struct Reaped {
    pid: Pid,
    status: Option<ExitStatus>,
}

impl Reaped {
    pub fn kill(&self) {
        if self.status.is_none() {
            // It may have ended already.
            let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
        }
    }

    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.status {
                return Ok(status);
            }
            match rustix::process::waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(Some((_, status))) => self.status = Some(ExitStatus::from_raw(status.as_raw())),
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        self.kill();
        let _ = self.wait();
    }
}

/// Forks up to `n` workers that serve scans; give them to [`crate::Pool::with_forked`].
///
/// Call it first thing in `main`: before a thread is started and before a file, a variable or an argument that may be
/// secret is copied. Gives fewer, or none, where that cannot be done safely (more than one thread, no `/proc`, another
/// system than Linux); the pool then starts programs.
pub fn fork_workers(n: usize) -> Vec<Forked> {
    fork_children(n, crate::worker::serve_scans)
}

/// As [`fork_workers`], with what the children do once they have shed everything, and the status they end with: tests look at them from inside.
pub fn fork_children(n: usize, run: impl Fn(UnixStream) -> u8) -> Vec<Forked> {
    let mut out = Vec::new();
    if n == 0 {
        return out;
    }
    let Some(own) = Image::of_this_process().filter(|image| image.threads == 1) else { return out };
    for _ in 0..n {
        match fork_one(&own, &run) {
            Ok(forked) => out.push(forked),
            Err(_) => break,
        }
    }
    out
}

fn fork_one(own: &Image, run: &impl Fn(UnixStream) -> u8) -> io::Result<Forked> {
    let (socket, theirs) = UnixStream::pair()?;
    socket.set_write_timeout(Some(crate::process::WRITE_TIMEOUT))?;
    match fork::fork()? {
        fork::Fork::Child => {
            // Nothing of the parent may run in the child, whatever happens: no return, no unwinding into main.
            let child = || match shed(own, theirs.as_raw_fd()) {
                Ok(()) => run(theirs),
                Err(_) => UNFIT,
            };
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            std::process::exit(status.unwrap_or(PANICKED).into())
        }
        fork::Fork::Parent(pid) => {
            let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork gave no process number"))?;
            Ok(Forked { child: Reaped { pid, status: None }, socket })
        }
    }
}

/// Where this process keeps what it was started with.
struct Image {
    threads: u64,
    arguments: Range<u64>,
    environment: Range<u64>,
}

impl Image {
    /// From `/proc/self/stat`, proc_pid_stat(5): number of threads, and the places of arguments and environment.
    fn of_this_process() -> Option<Self> {
        let stat = fs::read("/proc/self/stat").ok()?;
        // The name of the program stands in brackets and may hold anything.
        let after = stat.iter().rposition(|&b| b == b')')? + 2;
        let text = std::str::from_utf8(stat.get(after..)?).ok()?;
        // The first field after the name is the third of the page's list.
        let field = |n: usize| text.split_ascii_whitespace().nth(n - 3)?.parse::<u64>().ok();
        let image = Self {
            threads: field(20)?,
            arguments: field(48)?..field(49)?,
            environment: field(50)?..field(51)?,
        };
        // Zeroes: the kernel does not say.
        (image.arguments.start > 0 && image.environment.start > 0).then_some(image)
    }
}

/// Gives up what the parent had: its descriptors, its folder, its arguments and environment.
fn shed(own: &Image, keep: RawFd) -> io::Result<()> {
    /// More than any system hands to a program.
    const MAX: u64 = 64 << 20;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    drop(null);
    std::env::set_current_dir("/")?;
    let memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
    for place in [&own.arguments, &own.environment] {
        let len = place.end.saturating_sub(place.start);
        if len > MAX {
            return Err(io::Error::other("arguments of no plausible size"));
        }
        memory.write_all_at(&vec![0; len as usize], place.start)?;
    }
    drop(memory);
    // What was overwritten is what the program sees, or it was the wrong place.
    if std::env::vars_os().next().is_some() || std::env::args_os().any(|a| !a.is_empty()) {
        return Err(io::Error::other("environment and arguments are still there"));
    }
    close_all_but(keep)
}

/// Closes every descriptor except the standard ones, which lead nowhere by now, and `keep`.
fn close_all_but(keep: RawFd) -> io::Result<()> {
    let open = |entry: io::Result<fs::DirEntry>| -> io::Result<Option<RawFd>> {
        Ok(entry?.file_name().to_str().and_then(|n| n.parse().ok()).filter(|&fd| fd > 2 && fd != keep))
    };
    let list = fs::read_dir("/proc/self/fd")?;
    let all = list.filter_map(|e| open(e).transpose()).collect::<io::Result<Vec<RawFd>>>()?;
    for fd in all {
        // That of the listing itself is closed by now.
        match nix::unistd::close(fd) {
            Ok(()) | Err(nix::errno::Errno::EBADF) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// The words this process was started with, up to a limit, for a quick look before [`fork_workers`]. They are overwritten
/// once `look` has seen them: a copy would be inherited.
pub fn peek_arguments<T: Default>(look: impl FnOnce(&mut dyn Iterator<Item = &[u8]>) -> T) -> T {
    use zeroize::Zeroize;
    let mut buf = [0u8; 4096];
    let n = File::open("/proc/self/cmdline").and_then(|f| f.read_at(&mut buf, 0)).unwrap_or(0);
    let words = buf.get(..n).unwrap_or_default();
    // An argument that was cut off is none.
    let whole = words.iter().rposition(|&b| b == 0).unwrap_or(0);
    let found = match words.get(..whole) {
        Some(words) if whole > 0 => look(&mut words.split(|&b| b == 0)),
        _ => T::default(),
    };
    buf.zeroize();
    found
}
