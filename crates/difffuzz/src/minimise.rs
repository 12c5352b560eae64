//! Makes a diverging stream small: leaves out what is not needed for the same rule to be broken.

use crate::check::check;
use crate::child::Recorder;
use crate::compare::{Allowed, Divergence};
use crate::fault::Fault;
use crate::generate::Stream;

/// The smallest stream found within a number of tries, and what it shows.
pub fn minimise(
    recorder: &mut Recorder,
    stream: &Stream,
    first: &Divergence,
    fault: Option<Fault>,
) -> Result<(Stream, Divergence), String> {
    const TRIES: usize = 3000;
    let mut best = (stream.clone(), first.clone());
    let mut tries = 0;
    let mut size = best.0.bytes.len() / 2;
    while size > 0 && tries < TRIES {
        let mut shorter = false;
        let mut at = 0;
        while at < best.0.bytes.len() && tries < TRIES {
            tries += 1;
            let mut candidate = best.0.clone();
            let end = (at + size).min(candidate.bytes.len());
            candidate.bytes.drain(at..end);
            match diverges(recorder, &candidate, fault)? {
                Some(d) if d.rule == first.rule => {
                    best = (candidate, d);
                    shorter = true;
                }
                _ => at += size,
            }
        }
        if !shorter || size > 1 {
            size /= 2;
        }
    }
    Ok(best)
}

fn diverges(
    recorder: &mut Recorder,
    stream: &Stream,
    fault: Option<Fault>,
) -> Result<Option<Divergence>, String> {
    let answers = recorder.ask(std::slice::from_ref(stream))?;
    Ok(answers.first().and_then(|a| check(stream, a, fault, &mut Allowed::new()).divergence))
}
