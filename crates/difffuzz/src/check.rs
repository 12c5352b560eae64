//! All comparisons of one stream.

use crate::child::Answer;
use crate::compare::{Allowed, Divergence, ended_early, follow};
use crate::fault::Fault;
use crate::generate::Stream;
use crate::judged::{Word, is_catalogued, precise, scanned};
use crate::recorded::{Event, Reading, Shown};
use crate::sound::sound;
use crate::standins::{Made, StandIns};
use crate::told::{Telling, Told, tell};

/// What was learnt of one stream.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The scanner's word, if it was asked.
    pub word: Option<Word>,
    /// The facts were compared exactly.
    pub exact: bool,
    /// Something the reader did and the machine or scanner does not know, or the reverse.
    pub divergence: Option<Divergence>,
}

/// Deserialisers whose bytes must be told.
const LOADS: &[(&str, &str)] =
    &[("pickle", "loads"), ("_pickle", "loads"), ("marshal", "loads"), ("torch.storage", "_load_from_bytes")];

/// Compares the readings of one stream with machine and scanner.
pub fn check(stream: &Stream, answer: &Answer, fault: Option<Fault>, allowed: &mut Allowed) -> Checked {
    let faulty;
    let bytes = match fault {
        Some(f) => {
            faulty = f.stream(&stream.bytes);
            &faulty
        }
        None => &stream.bytes,
    };
    let mut telling = tell(bytes);
    if let Some(f) = fault {
        telling = f.telling(telling);
    }
    let mut checked = Checked { word: None, exact: false, divergence: None };
    checked.divergence = match answer {
        Answer::Read(readings) => compare(bytes, readings, &telling, fault, allowed, &mut checked).err(),
        Answer::Killed => killed(&telling).err(),
    };
    checked
}

/// A stream that burns a reader's time or memory must be told of.
fn killed(telling: &Telling) -> Result<(), Divergence> {
    if telling.resource.is_empty() && !telling.exhausted {
        let detail = format!("the recorder is killed, the machine: {:?}", telling.error);
        return Err(Divergence { rule: "resource", reader: '-', detail });
    }
    Ok(())
}

fn compare(
    bytes: &[u8],
    readings: &[Reading],
    telling: &Telling,
    fault: Option<Fault>,
    allowed: &mut Allowed,
    checked: &mut Checked,
) -> Result<(), Divergence> {
    let mut met = Vec::new();
    for reading in readings {
        met.push(follow(reading, telling, allowed)?);
        nested(reading, telling)?;
        memory(reading, telling)?;
    }
    frames(readings, telling)?;
    // Nothing happened and nothing was loaded: every verdict is right.
    if readings.iter().all(|r| r.events.is_empty()) {
        return Ok(());
    }
    let (mut facts, mut word) = scanned(bytes);
    if let Some(f) = fault {
        f.facts(&mut facts);
        word = f.word(word, &facts);
    }
    checked.word = Some(word);
    for reading in readings {
        sound(reading, word)?;
    }
    if word == Word::Clean && readings.len() == 3 && is_catalogued(telling) {
        // Stand-ins without `__setstate__` hide a BUILD whose state is empty.
        let comparable = |r: &Reading| {
            r.outcome == "S"
                && !r.events.iter().any(|(_, e)| matches!(e, Event::Attribute(..)))
                && !hides_builds(telling, r)
        };
        if readings.iter().all(comparable) {
            precise(telling, &met.concat(), &facts)?;
            checked.exact = true;
        }
    }
    Ok(())
}

fn hides_builds(telling: &Telling, reading: &Reading) -> bool {
    let told = telling.list.iter().any(|t| matches!(t, Told::Use { how: wb_verdict::How::Build, .. }));
    told && !reading.events.iter().any(|(_, e)| matches!(e, Event::SetState(..)))
}

/// Bytes given to a deserialiser by name are told as nested.
fn nested(reading: &Reading, telling: &Telling) -> Result<(), Divergence> {
    let mut seen = StandIns::default();
    for (_, event) in &reading.events {
        seen.note(event);
        if let Event::Call(n, Shown::Seq(_, args), _) = event
            && !seen.is_loose(*n)
            && let Some(Made::Import(module, name)) = seen.made(*n)
            && LOADS.contains(&(module.as_str(), name.as_str()))
            && let Some(Shown::Bytes(b)) = args.first()
            && !b.is_empty()
            // The recorder's own out-of-band buffers are in no stream.
            && b.as_slice() != b"wb"
            && !telling.list.iter().any(|t| matches!(t, Told::Nested(len) if *len == b.len() as u64))
            && !telling.exhausted
        {
            let detail = format!("{module}.{name} is given {} bytes that are not told as nested", b.len());
            return Err(Divergence { rule: "nested", reader: reading.reader, detail });
        }
    }
    Ok(())
}

/// A reader that runs out of memory is no surprise.
fn memory(reading: &Reading, telling: &Telling) -> Result<(), Divergence> {
    if reading.outcome == "MemoryError" && telling.resource.is_empty() && telling.error.is_none() {
        let detail = "the reader runs out of memory, and the machine tells nothing of it".into();
        return Err(Divergence { rule: "resource", reader: reading.reader, detail });
    }
    if reading.outcome == "MemoryError" && telling.resource.is_empty() {
        let detail = format!("the reader runs out of memory, the machine: {:?}", telling.error);
        return Err(Divergence { rule: "resource", reader: reading.reader, detail });
    }
    Ok(())
}

/// The C unpickler reads frames from files differently than from memory; where that shows it is told.
fn frames(readings: &[Reading], telling: &Telling) -> Result<(), Divergence> {
    let by = |c| readings.iter().find(|r| r.reader == c);
    let (Some(c), Some(f)) = (by('c'), by('f')) else { return Ok(()) };
    if ended_early(c, telling) || ended_early(f, telling) {
        return Ok(());
    }
    // Until the first STOP: behind it readers of files stand behind the frame, which is told as trailing data.
    let first = |r: &Reading| {
        let stop = r.events.iter().position(|(_, e)| matches!(e, Event::Stop(_)));
        (
            stop.is_some(),
            r.events.iter().take(stop.unwrap_or(usize::MAX)).map(|e| e.1.clone()).collect::<Vec<_>>(),
        )
    };
    if telling.structure.is_empty() && first(c) != first(f) {
        let detail =
            format!("from memory {:?}, from a file {:?}, and no disagreement is told", first(c), first(f));
        return Err(Divergence { rule: "frames", reader: 'f', detail });
    }
    Ok(())
}
