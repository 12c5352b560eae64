//! R's serialised objects: `saveRDS` (`.rds`) and `save` (`.rda`, `.RData`), in XDR, native binary and text. Compressed
//! ones are opened as what compresses them.
//!
//! Reading data runs nothing. Code is carried in closures, bytecode and kept calls, and some of it runs without being
//! called: a promise when its value is first looked at (CVE-2024-27322), an active binding when its variable is read,
//! `.First` when R starts in the folder of a `.RData`. All of it is told, and named for what it calls.
//!
//! Source: `src/main/serialize.c`, `saveload.c` and `altclasses.c` of R 4.2; R Internals, 1.8 Serialization Formats.

mod code;
mod compiled;
mod input;
mod item;

use super::{Claim, Coverage, Format, Probe, leftover};
use crate::cx::{Cx, Stop};
use input::{Input, Spelling};
use item::Reader;
use wb_blob::Blob;

/// Objects of R.
pub struct R;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "R objects",
    ids: &["r-rda"],
    loaders: "`readRDS`, `load`, `unserialize`, R at its start in a folder with `.RData`",
    judged: "XDR, native binary and text to the last byte: promises, active bindings, closures, bytecode, kept calls by a list of modelling functions, ALTREP classes, `.First`",
    blind: "functions are never proved harmless; harm is told by names; `.rdb`, version 1, other byte orders",
    corpus: &["r"],
};

/// How a file begins.
struct Head {
    spelling: Spelling,
    /// Written by `save`: a list of variables.
    workspace: bool,
    /// Where the version stands.
    at: u64,
}

fn head(bytes: &[u8]) -> Option<Head> {
    let (workspace, at) = match bytes {
        [b'R', b'D', b'X' | b'A' | b'B', b'2' | b'3', b'\n', ..] => (true, 5),
        // R skips a newline that is left over in front of text.
        [b'\n', b'A', b'\n', ..] => (false, 1),
        _ => (false, 0),
    };
    let spelling = match bytes.get(at..at + 2)? {
        b"X\n" => Spelling::Xdr,
        b"B\n" => Spelling::Native,
        b"A\n" => Spelling::Ascii,
        _ => return None,
    };
    Some(Head { spelling, workspace, at: at as u64 + 2 })
}

/// The versions in front of an object: of the format, of the writer, of the oldest reader.
fn versions(input: &mut Input) -> Result<(i32, i32, i32), Stop> {
    Ok((input.int()?, input.int()?, input.int()?))
}

/// Is this the beginning of an object? R versions are packed as 0x00MMmmpp.
fn begins(blob: &Blob, bytes: &[u8]) -> Option<Head> {
    let head = head(bytes)?;
    let mut input = Input::new(blob, head.at, head.spelling);
    let (version, writer, oldest) = versions(&mut input).ok()?;
    let release = |n: i32| (0x0001_0000..0x0020_0000).contains(&n);
    let known = (1..=9).contains(&version)
        && (release(writer) || release(oldest) || head.workspace || version == 3 || version == 2);
    known.then_some(head)
}

impl Format for R {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "r-rds"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        match begins(&probe.blob, &probe.head) {
            Some(Head { spelling: Spelling::Ascii, .. }) => Claim::Weak,
            Some(_) => Claim::Strong,
            None => Claim::No,
        }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut at = 0;
        // Connections can hold several objects, one after another.
        while at < blob.len() {
            let bytes = blob.read_range(at..(at + 8).min(blob.len()))?;
            let rest = blob.sub(at..blob.len());
            let Some(head) = begins(&rest, &bytes) else {
                if bytes.iter().all(u8::is_ascii_whitespace) && at + 8 >= blob.len() {
                    return Ok(());
                }
                return leftover::record(blob, at, "r-trailing-bytes", "R reads one object", cx);
            };
            if head.workspace && at == 0 {
                cx.unname(self.id());
                cx.refine("r-rda");
            }
            cx.budget.entries(1)?;
            at = object(blob, at, &head, cx)?;
        }
        Ok(())
    }
}

/// One object at `at`; returns where it ends.
fn object(blob: &Blob, at: u64, head: &Head, cx: &mut Cx<'_>) -> Result<u64, Stop> {
    let mut input = Input::new(blob, at + head.at, head.spelling);
    let (version, ..) = versions(&mut input)?;
    match version {
        2 => {}
        3 => {
            let len = input.length()?;
            input.text(len)?;
        }
        other => return Err(Stop::Unsupported(format!("version {other} of R's serialisation"))),
    }
    let mut reader = Reader::new(input, blob, cx);
    let done = if head.workspace { reader.workspace() } else { reader.object().map(|_| true) };
    if matches!(done, Ok(false)) {
        reader.cx.structure(at, "r-workspace", "a workspace that is no list of variables");
    }
    match done {
        Ok(_) => Ok(reader.input.at),
        Err(stop) => {
            if let Stop::Malformed { at, what } = &stop {
                reader.cx.structure(*at, "r-malformed", what.clone());
            }
            Err(stop)
        }
    }
}
