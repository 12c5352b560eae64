//! Modes in which this program forks its workers, as `weighbridge scan` does, or looks at what a fork inherited.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use wb_sandbox::{Forked, Job, Pool, PoolConfig, fork_children, fork_workers, peek_arguments, serve_on};
use wb_verdict::Depth;

/// What a needle is masked with, so that asking for it does not put it into memory.
const MASK: u8 = 0x55;

/// Runs one of the modes; none if the first argument names none. Forks before it reads anything else.
pub fn main() -> Option<ExitCode> {
    let mode = peek_arguments(|words| words.nth(1).map(<[u8]>::to_vec))?;
    match &mode[..] {
        b"forked-scan" => scan(fork_workers(1)),
        b"forked-probe" => scan(fork_children(1, |socket| serve_on(socket, super::probe))),
        // A child that says it could not give up what it inherited.
        b"forked-unfit" => scan(fork_children(1, |_| 75)),
        b"forked-beside-thread" => {
            let thread = std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(1)));
            println!("{}", fork_workers(1).len());
            drop(thread);
        }
        b"inherited" => ask(fork_children(1, |socket| u8::from(tell(socket).is_err()))),
        // The same look at a process that gave up nothing: it must find what is to be found.
        b"inherited-control" => {
            let (ours, theirs) = UnixStream::pair().ok()?;
            let looking = std::thread::spawn(|| tell(theirs));
            relay(ours);
            drop(looking);
        }
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

/// Scans standard input with these workers, and prints what matters of the fact sheet.
fn scan(forked: Vec<Forked>) {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).expect("standard input");
    println!("forked {}", forked.len());
    let config = PoolConfig { args: vec!["worker".into()], ..PoolConfig::with_workers(1) };
    let pool = Pool::with_forked(config, forked).expect("a pool");
    let facts = pool.scan(Job::Source(Arc::new(bytes), Depth::Whole));
    println!("final {}\nfacts {}", facts.is_final(), facts.facts.len());
    for gap in facts.gaps {
        println!("gap {}", gap.detail);
    }
}

fn ask(forked: Vec<Forked>) {
    for child in forked {
        relay(child.socket().try_clone().expect("a descriptor"));
    }
}

/// Passes on the question from standard input, and prints the answer.
fn relay(mut socket: UnixStream) {
    let mut masked = Vec::new();
    std::io::stdin().read_to_end(&mut masked).expect("standard input");
    socket.write_all(&masked).expect("a child that listens");
    socket.shutdown(std::net::Shutdown::Write).expect("a socket");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    print!("{answer}");
}

/// Says what this process has: variables, arguments, descriptors, folder, and how often the needle is in its memory.
fn tell(mut socket: UnixStream) -> std::io::Result<()> {
    let mut masked = Vec::new();
    socket.read_to_end(&mut masked)?;
    let arguments = std::env::args_os().filter(|a| !a.is_empty()).count();
    let mut targets = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        targets.push(std::fs::read_link(entry?.path()).map_or(String::new(), |t| t.display().to_string()));
    }
    targets.retain(|t| !t.is_empty() && !t.ends_with("/fd"));
    targets.sort();
    let kinds: Vec<&str> = targets.iter().map(|t| t.split(':').next().unwrap_or(t)).collect();
    let cwd = std::env::current_dir()?;
    let found = needles(&masked)?;
    writeln!(socket, "variables {}", std::env::vars_os().count())?;
    writeln!(socket, "arguments {arguments}")?;
    writeln!(socket, "descriptors {}", kinds.join(" "))?;
    writeln!(socket, "folder {}", cwd.display())?;
    writeln!(socket, "needles {}", if found > 0 { "some" } else { "none" })
}

/// How often the masked bytes occur in the writable memory of this process.
fn needles(masked: &[u8]) -> std::io::Result<usize> {
    let memory = std::fs::File::open("/proc/self/mem")?;
    let mut found = 0;
    for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
        let Some((range, rest)) = line.split_once(' ') else { continue };
        let Some((from, to)) = range.split_once('-').filter(|_| rest.starts_with("rw")) else { continue };
        let number = |n| u64::from_str_radix(n, 16).unwrap_or(0);
        let mut bytes = vec![0; (number(to) - number(from)) as usize];
        if memory.read_exact_at(&mut bytes, number(from)).is_ok() {
            let same = |w: &[u8]| w.iter().zip(masked).all(|(b, m)| b ^ MASK == *m);
            found += bytes.windows(masked.len()).filter(|w| same(w)).count();
        }
    }
    Ok(found)
}
