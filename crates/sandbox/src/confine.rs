//! Taking away what a scan worker does not need.

use rustix::process::{Resource, Rlimit, setrlimit};
use std::io;

/// Address space a worker may take on top of what its program occupies at start, in bytes. Together
/// with the program's own few MiB this keeps the resident set of a worker below 256 MiB.
pub const MEMORY_HEADROOM: u64 = 236 << 20;

/// CPU seconds of one worker process over all its scans; the pool replaces workers well before.
pub(crate) const CPU_SECONDS: u64 = 3600;

/// Descriptors: the three standard ones, the socket, the file being scanned, some slack.
const DESCRIPTORS: u64 = 16;

/// Locks this process down for good. An error means that it must not scan.
///
/// Required: resource limits, no new privileges, not dumpable, and on Linux (x86-64, aarch64, riscv64) the
/// seccomp allow-list. Best effort: Landlock. On other systems than Linux only the resource limits exist.
pub fn confine() -> io::Result<()> {
    limits()?;
    #[cfg(target_os = "linux")]
    {
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
        rustix::thread::set_no_new_privs(true)?;
        linux::landlock();
        linux::seccomp()?;
    }
    Ok(())
}

fn limits() -> io::Result<()> {
    let set = |what, n| setrlimit(what, Rlimit { current: Some(n), maximum: Some(n) });
    set(Resource::Core, 0)?;
    set(Resource::Nofile, DESCRIPTORS)?;
    set(Resource::Cpu, CPU_SECONDS)?;
    set(Resource::As, address_space()?.saturating_add(MEMORY_HEADROOM))?;
    Ok(())
}

/// Address space occupied now, in bytes.
#[cfg(target_os = "linux")]
fn address_space() -> io::Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').next().and_then(|n| n.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| io::Error::other("/proc/self/statm: no size in it"))?;
    Ok(pages.saturating_mul(rustix::param::page_size() as u64))
}

/// Without a way to ask, a program of at most 256 MiB is assumed.
#[cfg(not(target_os = "linux"))]
fn address_space() -> io::Result<u64> {
    Ok(256 << 20)
}

#[cfg(target_os = "linux")]
mod linux {
    use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, TargetArch,
    };
    use std::collections::BTreeMap;
    use std::io;

    /// No path can be opened and no TCP port bound or connected, where the kernel knows Landlock.
    pub fn landlock() {
        let ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(ABI::V5))
            .and_then(|r| r.handle_access(AccessNet::from_all(ABI::V5)))
            .and_then(|r| r.create())
            .and_then(|r| r.restrict_self());
        // An error is an old kernel or a container that forbids the call; seccomp holds without it.
        drop(ruleset);
    }

    /// Calls that reading an open descriptor, computing and answering need. Not among them: any that
    /// opens, stats or changes a path, makes a socket, a process or a thread, or signals or traces.
    const CALLS: &[libc::c_long] = &[
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_pread64,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_sendto,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_lseek,
        libc::SYS_ppoll,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_restart_syscall,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];

    /// Everything that is not listed fails with EPERM; memory is never made executable.
    pub fn seccomp() -> io::Result<()> {
        let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            CALLS.iter().map(|call| (*call, Vec::new())).collect();
        let executable = libc::PROT_EXEC as u64;
        let no_exec = SeccompCmpOp::MaskedEq(executable);
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            rules.insert(call, vec![only(2, no_exec.clone(), 0)?]);
        }
        // abort() signals the own process.
        let me = u64::from(std::process::id());
        rules.insert(libc::SYS_tgkill, vec![only(0, SeccompCmpOp::Eq, me)?]);
        let denied = SeccompAction::Errno(libc::EPERM as u32);
        let filter =
            SeccompFilter::new(rules, denied, SeccompAction::Allow, arch).map_err(io::Error::other)?;
        let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
        seccompiler::apply_filter(&program).map_err(io::Error::other)
    }

    fn only(argument: u8, op: SeccompCmpOp, value: u64) -> io::Result<SeccompRule> {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(io::Error::other)
    }
}
