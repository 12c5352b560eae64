//! `cargo xtask diff-fuzz`: the pickle machine against CPython's own unpicklers.

use std::fs;
use std::path::Path;
use std::time::Duration;
use wb_difffuzz::{Config, Found, run, self_test, try_one, version};

const USAGE: &str = "usage: cargo xtask diff-fuzz --minutes N [--streams N] [--seed S] [--first N] [--progress SECONDS]
       cargo xtask diff-fuzz --self-test
       cargo xtask diff-fuzz --stream HEX [--profile 0..3]
options: --python PATH (a CPython of 3.8 or later), --share N (one stream in N through all readers, the others through \
the C unpickler alone)";
/// In the self-test each fault must be found within this time, however many minutes are given.
const SELF_TEST: Duration = Duration::from_secs(60);

struct Args {
    minutes: f64,
    streams: u64,
    self_test: bool,
    stream: Option<Vec<u8>>,
    profile: u8,
    seed: u64,
    first: u64,
    python: String,
    share: u64,
    progress: Option<Duration>,
}

/// The command.
pub fn command(args: &[String]) -> Result<(), String> {
    let args = parse(args)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no parent folder")?;
    let seeds = seeds(&root.join("corpus"))?;
    say!("{}, seed {}, {} streams of the corpus to change", version(&args.python)?, args.seed, seeds.len());
    let config = Config {
        python: args.python,
        time: if args.self_test { SELF_TEST } else { Duration::from_secs_f64(args.minutes * 60.0) },
        streams: args.streams,
        seed: args.seed,
        first: args.first,
        seeds,
        share: args.share,
        progress: args.progress,
    };
    if args.self_test {
        return report_self_test(&config);
    }
    if let Some(bytes) = args.stream {
        let found = try_one(&config, bytes, args.profile)?;
        say!("{}", text(&found));
        return if found.divergence.is_some() { Err(String::new()) } else { Ok(()) };
    }
    let outcome = run(&config)?;
    say!("{}", outcome.totals);
    let dir = root.join("target/diff-fuzz");
    for found in &outcome.found {
        let Some(d) = &found.divergence else { continue };
        say!("FAIL {} by reader {}, stream {} of seed {}", d.rule, d.reader, found.index, config.seed);
        say!("{}", text(found));
        let path = dir.join(format!("{}-{}.txt", d.rule, found.index));
        fs::create_dir_all(&dir)
            .and_then(|()| fs::write(&path, text(found)))
            .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    if !outcome.found.is_empty() {
        return Err(format!("the machine and CPython differ; the streams are in {}", dir.display()));
    }
    let (all, stopped) = outcome.totals.sum();
    if stopped == 0 {
        return Err(format!(
            "{all} streams in {:.0} s, none reached STOP: nothing was compared",
            outcome.totals.seconds
        ));
    }
    say!("ok   {all} streams, {stopped} reached STOP, no divergence");
    Ok(())
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
        streams: u64::MAX,
        self_test: false,
        stream: None,
        profile: 0,
        seed: 1,
        first: 0,
        python: std::env::var("PYTHON").unwrap_or_else(|_| "python3".into()),
        share: 1,
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
            "--streams" => out.streams = value.parse().map_err(|_| bad())?,
            "--seed" => out.seed = value.parse().map_err(|_| bad())?,
            "--first" => out.first = value.parse().map_err(|_| bad())?,
            "--python" => out.python = value.clone(),
            "--share" => out.share = value.parse().map_err(|_| bad())?,
            "--profile" => out.profile = value.parse().map_err(|_| bad())?,
            "--stream" => out.stream = Some(unhex(value).ok_or_else(bad)?),
            "--progress" => out.progress = Some(Duration::from_secs(value.parse().map_err(|_| bad())?)),
            _ => return Err(format!("no option {arg:?}\n{USAGE}")),
        }
    }
    let no_time = out.self_test || out.stream.is_some();
    // Written so that NaN is refused as well.
    if no_time || (out.minutes > 0.0 && out.minutes < 1e6) { Ok(out) } else { Err(USAGE.into()) }
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

fn unhex(s: &str) -> Option<Vec<u8>> {
    let pairs = s.as_bytes().chunks(2);
    pairs
        .map(|p| u8::from_str_radix(std::str::from_utf8(p).ok().filter(|p| p.len() == 2)?, 16).ok())
        .collect()
}

/// A stream as opcodes and hex, and what everybody says of it.
fn text(found: &Found) -> String {
    use std::fmt::Write as _;
    let hex = found.bytes.iter().fold(String::new(), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    });
    let listing = wb_pickle::disassemble(&wb_blob::Blob::from_vec(found.bytes.clone()), 0)
        .map_while(Result::ok)
        .fold(String::new(), |mut s, op| {
            let _ = writeln!(s, "{:7}  {} {}", op.offset, op.opcode.name, op.arg);
            s
        });
    let difference = match &found.divergence {
        Some(d) => format!("rule: {}, reader: {}\n{}", d.rule, d.reader, d.detail),
        None => "no divergence".into(),
    };
    format!(
        "cargo xtask diff-fuzz --profile {} --stream {hex}\n{listing}{difference}\n{}",
        found.profile, found.readings
    )
}
