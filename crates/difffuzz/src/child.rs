//! The recorder as a child process: batches of streams in, readings out; restarted when a stream kills it.

use crate::generate::Stream;
use crate::recorded::Reading;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The recorder's source; run from memory, so that it needs no path.
const SOURCE: &str = include_str!("../../../tests/diff/recorder.py");
/// Seconds of processor time after which a batch kills the recorder.
const BATCH_SECONDS: &str = "10";
/// Status with which the recorder ends if anything real was reached.
const REACHED: i32 = 77;
/// Streams after which the recorder is started afresh.
const LIFE: u64 = 400_000;

/// What became of one stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The readings, one per reader asked for.
    Read(Vec<Reading>),
    /// The recorder ran out of processor time or memory, or crashed.
    Killed,
}

struct Running {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
    streams: u64,
}

/// A recorder, started when it is needed.
pub struct Recorder {
    python: String,
    running: Option<Running>,
    /// How often a stream killed it.
    pub killed: u64,
}

impl Recorder {
    /// With this Python interpreter.
    pub fn new(python: &str) -> Self {
        Self { python: python.into(), running: None, killed: 0 }
    }

    /// Version of the interpreter, or why it cannot be used.
    pub fn version(&self) -> Result<String, String> {
        let code =
            "import _pickle, sys; print('%s %d.%d.%d' % (sys.implementation.name, *sys.version_info[:3]))";
        let out = Command::new(&self.python)
            .args(["-I", "-S", "-c", code])
            .output()
            .map_err(|e| format!("cannot start {}: {e}; name a CPython 3 with --python", self.python))?;
        let text = String::from_utf8_lossy(&out.stdout).trim().to_string();
        if out.status.success() && text.starts_with("cpython 3.") {
            return Ok(text);
        }
        Err(format!("{} is no CPython 3 with _pickle; name one with --python", self.python))
    }

    /// Reads all streams of a batch.
    pub fn ask(&mut self, batch: &[Stream]) -> Result<Vec<Answer>, String> {
        if let Some(answers) = self.try_batch(batch)? {
            return Ok(answers.into_iter().map(Answer::Read).collect());
        }
        // One of them killed it: which?
        let mut out = Vec::with_capacity(batch.len());
        for stream in batch {
            out.push(match self.try_batch(std::slice::from_ref(stream))? {
                Some(mut answers) => Answer::Read(answers.pop().unwrap_or_default()),
                None => {
                    self.killed += 1;
                    Answer::Killed
                }
            });
        }
        Ok(out)
    }

    /// None if the recorder died.
    fn try_batch(&mut self, batch: &[Stream]) -> Result<Option<Vec<Vec<Reading>>>, String> {
        if self.running.as_ref().is_some_and(|r| r.streams > LIFE)
            && let Some(old) = self.running.take()
        {
            finish(old);
        }
        let mut running = match self.running.take() {
            Some(r) => r,
            None => self.start()?,
        };
        let mut message = Vec::new();
        message.extend((batch.len() as u32).to_le_bytes());
        for s in batch {
            message.extend([s.profile, s.readers]);
            message.extend((s.bytes.len() as u32).to_le_bytes());
            message.extend(&s.bytes);
        }
        // The recorder reads a whole batch before it answers, so neither side waits for the other.
        let Some(text) = exchange(&mut running, &message) else {
            let status = running.child.wait().map_err(|e| format!("lost the recorder: {e}"))?;
            if status.code() == Some(REACHED) {
                return Err("the recorder reached something real: its own fault, see the line above".into());
            }
            // Killed by a signal is the stream's doing; an exit is not.
            if let (Some(code), [one]) = (status.code(), batch) {
                return Err(format!(
                    "the recorder failed with status {code} on the stream {:02x?}",
                    one.bytes
                ));
            }
            return Ok(None);
        };
        running.streams += batch.len() as u64;
        self.running = Some(running);
        let parse = |s: &str| s.split('\x1d').map(Reading::parse).collect::<Option<Vec<_>>>();
        let answers: Option<Vec<_>> = text.split('\x1e').map(parse).collect();
        match answers {
            Some(a) if a.len() == batch.len() => Ok(Some(a)),
            _ => Err("the recorder's answer cannot be read".into()),
        }
    }

    fn start(&self) -> Result<Running, String> {
        let mut child = Command::new(&self.python)
            .args(["-I", "-S", "-B", "-c", SOURCE, BATCH_SECONDS])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}; name a CPython 3 with --python", self.python))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(to), Some(from)) => Ok(Running { child, to, from, streams: 0 }),
            _ => Err("the recorder has no pipes".into()),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            finish(running);
        }
    }
}

/// Closes its input, on which the recorder ends.
fn finish(running: Running) {
    let Running { mut child, to, from, .. } = running;
    drop((to, from));
    let _ = child.wait();
}

fn exchange(r: &mut Running, message: &[u8]) -> Option<String> {
    r.to.write_all(message).ok()?;
    r.to.flush().ok()?;
    let mut head = [0; 4];
    r.from.read_exact(&mut head).ok()?;
    let mut text = vec![0; u32::from_le_bytes(head) as usize];
    r.from.read_exact(&mut text).ok()?;
    String::from_utf8(text).ok()
}
