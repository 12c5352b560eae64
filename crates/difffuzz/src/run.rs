//! The loop: generate, ask, compare; and the self-test.

use crate::check::check;
use crate::child::{Answer, Recorder};
use crate::compare::Divergence;
use crate::fault::Fault;
use crate::generate::{self, Stream};
use crate::judged::scanned;
use crate::minimise::minimise;
use crate::told::tell;
use crate::totals::Totals;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

/// Streams in one message to the recorder.
const BATCH: u64 = 400;
/// Divergences after which a run ends: the first few show what is wrong.
const MAX_FOUND: usize = 60;

/// How to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// The Python interpreter.
    pub python: String,
    /// How long.
    pub time: Duration,
    /// How many streams at most: the same on every machine.
    pub streams: u64,
    /// Seed of all streams.
    pub seed: u64,
    /// Number of the first stream.
    pub first: u64,
    /// Corpus streams to change.
    pub seeds: Vec<Vec<u8>>,
    /// One stream in this many is read by all readers, the others by the C unpickler from memory only.
    pub share: u64,
    /// Seconds between two lines of progress.
    pub progress: Option<Duration>,
}

/// A stream, made small if it diverges.
#[derive(Debug, Clone)]
pub struct Found {
    /// Number of the stream in its run.
    pub index: u64,
    /// What differs.
    pub divergence: Option<Divergence>,
    /// The stream.
    pub bytes: Vec<u8>,
    /// The recorder's profile of stand-ins.
    pub profile: u8,
    /// What the readers did, as text.
    pub readings: String,
}

/// What came out.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Sums.
    pub totals: Totals,
    /// The first divergences.
    pub found: Vec<Found>,
}

/// Runs until the time is over or too much has diverged.
///
/// # Errors
/// If the interpreter cannot be used, or the recorder itself is at fault.
pub fn run(config: &Config) -> Result<Outcome, String> {
    faulty_run(config, None, MAX_FOUND)
}

/// Runs once per seeded fault, for at most the configured time each, until the first divergence. Returns name and
/// seconds, none for a fault that was not found.
///
/// # Errors
/// As [`run`].
pub fn self_test(
    config: &Config,
    mut each: impl FnMut(&str, Option<f64>),
) -> Result<Vec<(String, Option<f64>)>, String> {
    let mut out = Vec::new();
    for (name, fault) in Fault::all() {
        let outcome = faulty_run(config, Some(fault), 1)?;
        let seconds = (!outcome.found.is_empty()).then_some(outcome.totals.seconds);
        each(&name, seconds);
        out.push((name, seconds));
    }
    Ok(out)
}

fn batch(config: &Config, from: u64) -> Vec<Stream> {
    (from..from + BATCH)
        .map(|i| {
            let mut s = generate::stream(config.seed, i, &config.seeds);
            if !i.is_multiple_of(config.share.max(1)) {
                s.readers = 1;
            }
            s
        })
        .collect()
}

fn faulty_run(config: &Config, fault: Option<Fault>, max_found: usize) -> Result<Outcome, String> {
    let mut recorder = Recorder::new(&config.python);
    recorder.version()?;
    let start = Instant::now();
    let mut totals = Totals::default();
    let mut diverged: Vec<(u64, Stream, Divergence)> = Vec::new();
    let mut said = start;
    // The recorder works on the next batch while this one is compared.
    let (to, batches) = sync_channel::<(u64, Vec<Stream>)>(1);
    let (answered, answers) = sync_channel(1);
    let mut recorder = thread::scope(|scope| -> Result<Recorder, String> {
        let asker = scope.spawn(move || {
            for (from, batch) in batches {
                let answer = recorder.ask(&batch);
                let bad = answer.is_err();
                if answered.send((from, batch, answer)).is_err() || bad {
                    break;
                }
            }
            recorder
        });
        let mut next = config.first;
        let mut under_way = 0;
        let end = config.first.saturating_add(config.streams);
        while start.elapsed() < config.time && diverged.len() < max_found && (next < end || under_way > 0) {
            while under_way < 2 && next < end {
                if to.send((next, batch(config, next))).is_err() {
                    break;
                }
                next += BATCH;
                under_way += 1;
            }
            let Ok((from, batch, answer)) = answers.recv() else { break };
            under_way -= 1;
            for (i, (stream, answer)) in batch.iter().zip(answer?).enumerate() {
                let checked = check(stream, &answer, fault, &mut totals.allowed);
                totals.add(stream, &answer, &checked);
                if let Some(d) = checked.divergence
                    && diverged.len() < max_found
                {
                    diverged.push((from + i as u64, stream.clone(), d));
                }
            }
            if config.progress.is_some_and(|p| said.elapsed() >= p) {
                said = Instant::now();
                totals.seconds = start.elapsed().as_secs_f64();
                println!("{totals}\n");
            }
        }
        totals.seconds = start.elapsed().as_secs_f64();
        drop(to);
        // What is still under way is not counted.
        while answers.recv().is_ok() {}
        asker.join().map_err(|_| "the thread that asks the recorder died".to_string())
    })?;
    let mut found = Vec::new();
    for (index, stream, divergence) in diverged {
        // In the self-test the first divergence is the answer.
        let (stream, divergence) = match fault {
            None => minimise(&mut recorder, &stream, &divergence, fault)?,
            Some(_) => (stream, divergence),
        };
        found.push(shown(&mut recorder, index, stream, Some(divergence), fault)?);
    }
    Ok(Outcome { totals, found })
}

/// Version of a Python interpreter.
///
/// # Errors
/// If it is no CPython with the C unpickler.
pub fn version(python: &str) -> Result<String, String> {
    Recorder::new(python).version()
}

/// One stream alone, read by all.
///
/// # Errors
/// As [`run`].
pub fn try_one(config: &Config, bytes: Vec<u8>, profile: u8) -> Result<Found, String> {
    let stream = Stream { bytes, origin: generate::Origin::Grammar, profile, readers: 7 };
    let mut recorder = Recorder::new(&config.python);
    recorder.version()?;
    let answers = recorder.ask(std::slice::from_ref(&stream))?;
    let answer = answers.first().ok_or("the recorder gives no answer")?;
    let divergence = check(&stream, answer, None, &mut Default::default()).divergence;
    shown(&mut recorder, 0, stream, divergence, None)
}

fn shown(
    recorder: &mut Recorder,
    index: u64,
    stream: Stream,
    divergence: Option<Divergence>,
    fault: Option<Fault>,
) -> Result<Found, String> {
    use std::fmt::Write as _;
    let mut text = String::new();
    match recorder.ask(std::slice::from_ref(&stream))?.pop() {
        Some(Answer::Read(readings)) => {
            for r in readings {
                let _ = writeln!(text, "reader {}: {}", r.reader, r.outcome);
                for (_, event) in r.events {
                    let _ = writeln!(text, "    {event:?}");
                }
            }
        }
        _ => text.push_str("the recorder was killed\n"),
    }
    let _ = write!(text, "machine:\n{}", tell(&stream.bytes));
    if fault.is_none() {
        let _ = writeln!(text, "scanner: {:?}", scanned(&stream.bytes).1);
    }
    Ok(Found { index, divergence, bytes: stream.bytes, profile: stream.profile, readings: text })
}

/// One stream alone, for tests.
#[cfg(test)]
fn once(bytes: &[u8], fault: Option<Fault>) -> crate::check::Checked {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let stream = Stream { bytes: bytes.to_vec(), origin: generate::Origin::Grammar, profile: 0, readers: 7 };
    let answers = Recorder::new(&python).ask(std::slice::from_ref(&stream)).unwrap();
    check(&stream, &answers[0], fault, &mut Default::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judged::Word;

    #[test]
    fn an_honest_stream_is_exact() {
        let c = once(b"\x80\x02ccollections\nOrderedDict\n)R.", None);
        assert_eq!((c.word, c.exact, c.divergence), (Some(Word::Clean), true, None));
    }

    #[test]
    fn a_lost_call_is_a_divergence() {
        let bytes = b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R.";
        assert_eq!(once(bytes, None).divergence, None);
        let lost = once(bytes, Some(Fault::NoUse(wb_verdict::How::Reduce)));
        assert_eq!(lost.divergence.unwrap().rule, "missing");
        assert_eq!(once(bytes, Some(Fault::AllClean)).divergence.unwrap().rule, "soundness");
    }
}
