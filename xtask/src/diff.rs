//! `cargo xtask diff-fuzz`: the pickle machine against CPython's own unpicklers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wb_difffuzz::{Config, Found, Outcome, run, self_test};

const USAGE: &str = "usage: cargo xtask diff-fuzz --minutes N [--self-test] [--seed S] [--first N] [--python PATH] \
    [--python-share N] [--progress SECONDS]";
/// In the self-test each fault must be found within this time, however many minutes are given.
const SELF_TEST: Duration = Duration::from_secs(60);

struct Args {
    minutes: f64,
    self_test: bool,
    seed: u64,
    first: u64,
    python: String,
    python_share: u64,
    progress: Option<Duration>,
}

/// The command.
pub fn command(args: &[String]) -> Result<(), String> {
    let args = parse(args)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no parent folder")?;
    let seeds = seeds(&root.join("corpus"))?;
    say!("seed {}, {} streams of the corpus to change", args.seed, seeds.len());
    let config = Config {
        python: args.python,
        time: if args.self_test { SELF_TEST } else { Duration::from_secs_f64(args.minutes * 60.0) },
        seed: args.seed,
        first: args.first,
        seeds,
        python_share: args.python_share,
        progress: args.progress,
    };
    if args.self_test {
        return report_self_test(&config);
    }
    let outcome = run(&config)?;
    say!("{}", outcome.totals);
    let dir = root.join("target/diff-fuzz");
    for found in &outcome.found {
        let path = write(&dir, found).map_err(|e| format!("cannot write to {}: {e}", dir.display()))?;
        say!("FAIL {}: {} (reader {})", path.display(), found.divergence.rule, found.divergence.reader);
    }
    if outcome.found.is_empty() {
        say!("ok   {}", last_line(&outcome));
        Ok(())
    } else {
        Err(format!("the machine and CPython differ; the streams are in {}", dir.display()))
    }
}

fn last_line(outcome: &Outcome) -> String {
    let (all, stopped) = outcome.totals.sum();
    format!("{all} streams, {stopped} reached STOP, no divergence")
}

fn report_self_test(config: &Config) -> Result<(), String> {
    let results = self_test(config, |name, seconds| match seconds {
        Some(s) => say!("ok   found within {s:5.1} s: {name}"),
        None => say!("FAIL not found within {} s: {name}", SELF_TEST.as_secs()),
    })?;
    let missed = results.iter().filter(|r| r.1.is_none()).count();
    say!("{} seeded faults, {} found", results.len(), results.len() - missed);
    if missed == 0 { Ok(()) } else { Err(format!("{missed} seeded faults were not found")) }
}

fn parse(args: &[String]) -> Result<Args, String> {
    let mut out = Args {
        minutes: 0.0,
        self_test: false,
        seed: 1,
        first: 0,
        python: std::env::var("PYTHON").unwrap_or_else(|_| "python3".into()),
        python_share: 1,
        progress: None,
    };
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if arg == "--self-test" {
            out.self_test = true;
            continue;
        }
        let value = rest.next().ok_or(USAGE)?;
        let bad = || format!("{arg} {value}: no such number\n{USAGE}");
        match arg.as_str() {
            "--minutes" => out.minutes = value.parse().map_err(|_| bad())?,
            "--seed" => out.seed = value.parse().map_err(|_| bad())?,
            "--first" => out.first = value.parse().map_err(|_| bad())?,
            "--python" => out.python = value.clone(),
            "--python-share" => out.python_share = value.parse().map_err(|_| bad())?,
            "--progress" => out.progress = Some(Duration::from_secs(value.parse().map_err(|_| bad())?)),
            _ => return Err(format!("no option {arg:?}\n{USAGE}")),
        }
    }
    // Written so that NaN is refused as well.
    if out.self_test || (out.minutes > 0.0 && out.minutes < 1e6) { Ok(out) } else { Err(USAGE.into()) }
}

/// Raw pickles that the corpus recipes make, hostile ones and their harmless twins, small ones only.
fn seeds(corpus: &Path) -> Result<Vec<Vec<u8>>, String> {
    const MAX: usize = 2000;
    let mut out = Vec::new();
    for recipe in wb_recipes::read_all(corpus).map_err(|e| e.to_string())? {
        let twin = recipe.twin().map_err(|e| e.to_string())?.unwrap_or_default();
        for (_, bytes) in recipe.build().map_err(|e| e.to_string())?.into_iter().chain(twin) {
            if (1..=MAX).contains(&bytes.len()) && matches!(bytes[0], 0x80 | b'c' | b'(' | b']' | b'}') {
                out.push(bytes);
            }
        }
    }
    out.sort();
    out.dedup();
    Ok(out)
}

fn write(dir: &Path, found: &Found) -> std::io::Result<PathBuf> {
    use std::fmt::Write as _;
    fs::create_dir_all(dir)?;
    let path = dir.join(format!("{}-{}.txt", found.divergence.rule, found.index));
    let hex = found.bytes.iter().fold(String::new(), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    });
    let listing = wb_pickle::disassemble(&wb_blob::Blob::from_vec(found.bytes.clone()), 0)
        .map_while(Result::ok)
        .fold(String::new(), |mut s, op| {
            let _ = writeln!(s, "{:5}  {} {}", op.offset, op.opcode.name, op.arg);
            s
        });
    let text = format!(
        "rule: {}\nreader: {}\nprofile: {}\nstream: {hex}\n\n{listing}\n{}\n\n{}",
        found.divergence.rule,
        found.divergence.reader,
        found.profile,
        found.divergence.detail,
        found.readings
    );
    fs::write(&path, text)?;
    Ok(path)
}
