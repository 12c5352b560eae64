//! `weighbridge scan`

mod exit;
mod hash;
mod local;
mod remote;
mod unit;
mod walk;

use crate::{out, policy};
use anyhow::{Context, Result};
use clap::ValueEnum;
use globset::{Glob, GlobSet, GlobSetBuilder};
use indicatif::{ProgressBar, ProgressStyle};
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use wb_policy::Policy;
use wb_report::{FileEntry, ScanError, ScanRun, TextOptions};
use wb_sandbox::{Forked, Pool, PoolConfig};

/// Judge files, folders and URLs.
///
/// Exit code: 0 nothing to object; 1 blocked because of findings; 2 something could not be judged
/// completely; 3 no file was judged; 4 wrong usage.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, folders, https://… or hf://org/name[@rev][/file]
    #[arg(required = true, value_name = "PATH|URL")]
    targets: Vec<OsString>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the output here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Policy file, or default, strict, observe
    #[arg(long, value_name = "FILE", env = "WEIGHBRIDGE_POLICY")]
    policy: Option<PathBuf>,
    /// The mildest decision that gives exit code 1
    #[arg(long, value_enum, default_value_t = FailOn::Block)]
    fail_on: FailOn,
    /// Compute SHA-256 of every file
    #[arg(long)]
    hash: bool,
    /// Judge only files whose path matches; `*` also crosses slashes
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Leave out files whose path matches
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Files judged at the same time
    #[arg(short, long, value_name = "N")]
    jobs: Option<std::num::NonZeroUsize>,
    /// List every file and finding
    #[arg(long)]
    all: bool,
    /// Colours in text
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,
    /// No progress bar
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Block,
    Warn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// What all files of one scan share.
struct Session {
    pool: Pool,
    policy: Policy,
    /// SHA-256 is wanted, by flag or by policy.
    hash: bool,
    include: Option<GlobSet>,
    exclude: GlobSet,
    today: jiff::civil::Date,
    progress: bool,
}

/// What came of one path or URL.
type Outcome = Result<FileEntry, ScanError>;

/// How many workers to fork for a command line: none if it is no scan, one for files, one a processor for a folder.
///
/// A guess before the arguments are parsed. Workers that are missing are started later, those too many are ended.
pub fn forks(words: &mut dyn Iterator<Item = &[u8]>) -> usize {
    if words.nth(1) != Some(b"scan") {
        return 0;
    }
    let folder = |word: &[u8]| {
        // A URL may hold a password, which must not be copied before the fork.
        let path = !word.starts_with(b"-") && !word.windows(3).any(|w| w == b"://");
        path && Path::new(OsStr::from_bytes(word)).is_dir()
    };
    let folders = words.filter(|word| folder(word)).count();
    if folders > 0 { processors() } else { 1 }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Scans with workers that were forked already, as far as they go, and prints.
pub fn run(args: &Args, forked: Vec<Forked>) -> Result<ExitCode> {
    let single = match &args.targets[..] {
        [target] => !is_url(target) && !Path::new(target).is_dir(),
        _ => false,
    };
    let workers = args.jobs.map_or_else(|| if single { 1 } else { processors() }, |n| n.get());
    let pool = Pool::with_forked(PoolConfig::with_workers(workers), forked)?;
    // A worker comes up while this process reads the policy and the folder. If it cannot, each file says so.
    let _ = pool.warm_up();
    let policy = policy::load(args.policy.as_deref())?;
    let session = Session {
        hash: args.hash || policy.needs_digest(),
        include: if args.include.is_empty() { None } else { Some(globs(&args.include)?) },
        exclude: globs(&args.exclude)?,
        today: policy::today(),
        progress: !args.quiet && std::io::stderr().is_terminal(),
        pool,
        policy,
    };
    let mut outcomes = Vec::new();
    for target in &args.targets {
        match target.to_str().filter(|_| is_url(target)) {
            Some(url) => outcomes.extend(remote::scan(&session, url)),
            None => outcomes.extend(local::scan(&session, target.as_ref())),
        }
    }
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(file) => files.push(file),
            Err(error) => errors.push(error),
        }
    }
    let run = ScanRun::new(session.policy.name(), files, errors);
    write(args, &run)?;
    let code = exit::code(&run, args.fail_on == FailOn::Warn);
    // Workers end by themselves when this process does and their socket closes; nobody need wait for that.
    std::mem::forget(session);
    Ok(code)
}

fn is_url(target: &OsStr) -> bool {
    target.to_str().is_some_and(wb_source::RemoteTarget::is_url)
}

fn globs(patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).with_context(|| format!("{pattern} is not a valid glob"))?);
    }
    Ok(set.build()?)
}

impl Session {
    /// True if the globs let a path (relative to what was named) through.
    fn wants(&self, path: &Path) -> bool {
        self.include.as_ref().is_none_or(|set| set.is_match(path)) && !self.exclude.is_match(path)
    }

    /// True if no file of a folder is left out.
    fn sees_all(&self) -> bool {
        self.include.is_none() && self.exclude.is_empty()
    }
}

/// Judges files in groups of up to `group`, as many groups at a time as there are workers, and shows how far it is.
fn parallel<'a, T: Sync>(
    session: &Session,
    items: &'a [T],
    group: usize,
    judge: impl Fn(&'a [T]) -> Vec<Outcome> + Sync,
) -> Vec<Outcome> {
    let bar = bar(session, items.len());
    let workers = session.pool.workers();
    // Small enough that all have something to do until the end.
    let group = group.min(items.len().div_ceil(workers.saturating_mul(4)).max(1));
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::with_capacity(items.len()));
    let work = || {
        loop {
            let from = next.fetch_add(group, Ordering::Relaxed);
            let Some(rest) = items.get(from..).filter(|rest| !rest.is_empty()) else { break };
            let judged = judge(rest.get(..group).unwrap_or(rest));
            bar.inc(judged.len() as u64);
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).extend(judged);
        }
    };
    let threads = workers.min(items.len().div_ceil(group));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    bar.finish_and_clear();
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn bar(session: &Session, files: usize) -> ProgressBar {
    if !session.progress || files < 2 {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(files as u64);
    if let Ok(style) = ProgressStyle::with_template("judged {pos} of {len} files {wide_bar} {eta}") {
        bar.set_style(style);
    }
    bar
}

fn write(args: &Args, run: &ScanRun) -> Result<()> {
    let color = match args.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            args.output.is_none()
                && std::io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        }
    };
    let text = match args.format {
        Format::Text => wb_report::text(run, TextOptions { color, all: args.all }),
        Format::Json => wb_report::json(run),
        Format::Sarif => wb_report::sarif(run),
    };
    match &args.output {
        Some(file) => std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display())),
        None => out::print(&text).map(drop),
    }
}
