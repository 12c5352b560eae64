//! A worker for the tests of this crate only: the real one, and ones that misbehave.
//!
//! It is no part of the product; `crates/cli` builds the `weighbridge` binary from the library alone.

#[path = "wb-test-worker/forked.rs"]
mod forked;

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};
use wb_blob::Blob;
use wb_scan::Options;
use wb_verdict::{Facts, Gap, GapReason, Location};

fn main() -> ExitCode {
    if let Some(code) = forked::main() {
        return code;
    }
    match std::env::args().nth(1).as_deref() {
        Some("worker") => wb_sandbox::worker_main(),
        Some("probe") => wb_sandbox::serve(probe),
        Some("panic") => wb_sandbox::serve(|_, _| panic!("as the test asked")),
        Some("allocate") => wb_sandbox::serve(|blob, options| {
            let block = vec![1u8; 300 << 20];
            let mut facts = wb_scan::scan(blob, options);
            facts.bytes_read = block.iter().map(|b| u64::from(*b)).sum();
            facts
        }),
        Some("fitting") => wb_sandbox::serve(|blob, options| {
            let block = vec![1u8; 200 << 20];
            let mut facts = wb_scan::scan(blob, options);
            facts.bytes_read = block.iter().map(|b| u64::from(*b)).sum();
            facts
        }),
        Some("overflow") => wb_sandbox::serve(|_, _| {
            std::hint::black_box(deep(1));
            unreachable!("the stack is finite")
        }),
        Some("killer") => wb_sandbox::serve(|blob, options| {
            if blob.read_range(0..blob.len()).is_ok_and(|b| b.starts_with(b"kill")) {
                std::process::abort();
            }
            wb_scan::scan(blob, options)
        }),
        Some("hang") => wb_sandbox::serve(|_, _| {
            loop {
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        }),
        Some("liar") => wb_sandbox::serve(|blob, options| {
            let mut facts = wb_scan::scan(blob, options);
            facts.size += 1;
            facts
        }),
        Some("exit") => ExitCode::FAILURE,
        Some("garbage") => reply(b"this is no message of a scan worker, and long enough for a header"),
        Some("oversize") => {
            let mut header = [0u8; 16];
            header[0] = 4;
            header[8..].copy_from_slice(&u64::MAX.to_le_bytes());
            reply(&header)
        }
        _ => ExitCode::from(4),
    }
}

/// Sends `bytes` as the answer to whatever is asked.
fn reply(bytes: &[u8]) -> ExitCode {
    let Ok(fd) = std::io::stdin().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    let mut socket = UnixStream::from(fd);
    let mut request = [0; 16];
    if std::io::Read::read(&mut socket, &mut request).is_err() || socket.write_all(bytes).is_err() {
        return ExitCode::FAILURE;
    }
    std::thread::sleep(std::time::Duration::from_secs(5));
    ExitCode::SUCCESS
}

fn deep(n: u64) -> u64 {
    let block = std::hint::black_box([n; 512]);
    if n == u64::MAX { n } else { block[3] + deep(n + 1) + block[7] }
}

/// Tries what a worker must not be able to do, and reports each attempt that succeeded.
fn probe(blob: &Blob, options: &Options) -> Facts {
    type Attempt = (&'static str, fn() -> bool);
    let attempts: [Attempt; 9] = [
        ("open a file", || File::open("/etc/passwd").is_ok()),
        ("list a folder", || std::fs::read_dir("/").is_ok()),
        ("look at a path", || std::fs::metadata("/etc/passwd").is_ok()),
        ("create a file", || File::create("/tmp/wb-sandbox-probe").is_ok()),
        ("open a tcp socket", || std::net::TcpListener::bind("127.0.0.1:0").is_ok()),
        ("open a unix socket", || UnixStream::pair().is_ok()),
        ("start a program", || Command::new("/bin/true").status().is_ok()),
        ("start a thread", || std::thread::Builder::new().spawn(|| ()).is_ok()),
        ("see an environment", || std::env::vars_os().next().is_some()),
    ];
    let mut facts = wb_scan::scan(blob, options);
    let done = attempts.iter().filter(|(_, attempt)| attempt()).map(|(name, _)| *name);
    facts.gaps = done
        .chain(["the probe ran"])
        .map(|name| Gap {
            reason: GapReason::Unexplained,
            location: Location::default(),
            length: None,
            detail: name.into(),
        })
        .collect();
    facts
}
