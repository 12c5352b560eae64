//! ExecuTorch programs (`.pte`) and their data (`.ptd`): FlatBuffers by `schema/program.fbs` and
//! `extension/flat_tensor/serialize/flat_tensor.fbs` of pytorch/executorch, with segments of data behind them. What can hurt:
//! delegates (parts compiled for a backend), operators of foreign libraries, indices and sizes that runtimes trust, and what is
//! appended.

mod plan;
mod tensor;

use super::compressed::all_zero;
use super::flatbuffer::{Flat, Table};
use super::protobuf::Span;
use super::{Claim, Coverage, Format, Probe, tflite};
use crate::analyses::opaque;
use crate::cx::{Cx, Stop};
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, GapReason, escape};

/// `.pte` and `.ptd` files.
pub struct ExecuTorch;

/// Bytes before the extended header: the root offset and the identifier.
const HEADER: u64 = 8;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "ExecuTorch programs",
    ids: &[],
    loaders: "the ExecuTorch runtime",
    judged: "operators by its lists, indices, segments, delegates by backend, what hides in their blobs",
    blind: "what a backend's blob makes it do; bundled programs are `unsupported`",
    corpus: &["executorch"],
};

impl Format for ExecuTorch {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "executorch"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if kind(&probe.head).is_some() { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let Some(kind) = kind(&blob.head(8)?) else { return Ok(()) };
        let read = match kind {
            Kind::Program => program(blob, cx),
            Kind::Data => data(blob, cx),
        };
        read.inspect_err(|stop| {
            if let Stop::Malformed { at, what } = stop {
                cx.structure(*at, "executorch-malformed", what.clone());
                // What a runtime without checks would still reach is told from the bytes.
                if let Err(e) = unread(blob, cx) {
                    cx.stop(e);
                }
            }
        })
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Program,
    Data,
}

/// Told by the identifier: `ET` and `FT` with two digits of the schema's version.
fn kind(head: &[u8]) -> Option<Kind> {
    match head.get(4..8)? {
        [b'E', b'T', a, b] if a.is_ascii_digit() && b.is_ascii_digit() => Some(Kind::Program),
        [b'F', b'T', a, b] if a.is_ascii_digit() && b.is_ascii_digit() => Some(Kind::Data),
        _ => None,
    }
}

/// The part of the file that is the FlatBuffer, and where segments begin.
struct Layout {
    flat: u64,
    segments: u64,
    header: u64,
}

/// The extended header, if there is one: magic, its length, then sizes. `first` is the place of the FlatBuffer's size in it.
fn layout(blob: &Blob, magic: &[u8], first: u64, cx: &mut Cx<'_>) -> Result<Layout, Stop> {
    let whole = Layout { flat: blob.len(), segments: blob.len(), header: 0 };
    let head = blob.read_range(HEADER..HEADER + 48)?;
    if !head.starts_with(magic) {
        return Ok(whole);
    }
    let number = |at: u64, n: usize| {
        let at = at as usize;
        head.get(at..at + n).map_or(0, |b| b.iter().rev().fold(0u64, |v, b| v << 8 | u64::from(*b)))
    };
    let length = number(4, 4);
    let (size, segments) = (number(first, 8), number(first + 8, 8));
    if size > blob.len() || segments > blob.len() || size < HEADER {
        let detail = format!(
            "a header of {size} bytes of program and segments at {segments}, in {} bytes",
            blob.len()
        );
        cx.structure(HEADER, "executorch-header", detail);
        return Ok(whole);
    }
    Ok(Layout {
        flat: size,
        segments: if segments == 0 { blob.len() } else { segments },
        header: length.min(64),
    })
}

/// What is known of a file while it is walked.
struct File<'b> {
    blob: &'b Blob,
    flat: Flat,
    /// Segments of data, as far as they lie in the file.
    segments: Vec<Span>,
    told: u32,
}

impl File<'_> {
    /// Tells a contradiction.
    fn wrong(&mut self, at: u64, code: &str, detail: String, cx: &mut Cx<'_>) {
        const MAX_TOLD: u32 = 50;
        self.told += 1;
        if self.told <= MAX_TOLD {
            cx.structure(at, code, detail);
        }
    }

    /// Fields beyond those of the schema that this was written by: what they do is not known.
    fn newer(&self, t: &Table, slots: usize, what: &str, cx: &mut Cx<'_>) {
        if t.beyond(slots) {
            cx.gap(GapReason::Unexplained, Some(t.at), None, format!("{what} with fields of a newer schema"));
        }
    }
}

fn open<'b>(blob: &'b Blob, part: &Blob, layout: &Layout, cx: &Cx<'_>) -> Result<(File<'b>, Table), Stop> {
    let mut flat = Flat::new(part);
    flat.mark(0, HEADER + layout.header);
    let root = flat.follow(0)?;
    let table = flat.table(root, cx)?;
    Ok((File { blob, flat, segments: Vec::new(), told: 0 }, table))
}

fn program(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let layout = layout(blob, b"eh00", 8, cx)?;
    let part = blob.sub(0..layout.flat);
    let (mut file, root) = open(blob, &part, &layout, cx)?;
    file.newer(&root, 8, "a program", cx);
    segments(&mut file, &root, 4, layout.segments, cx)?;
    plan::read(&mut file, &root, cx)?;
    named(&mut file, &root, 7, cx)?;
    finish(file, &layout, cx)
}

fn data(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let layout = layout(blob, b"FH01", 16, cx)?;
    let part = blob.sub(0..layout.flat);
    let (mut file, root) = open(blob, &part, &layout, cx)?;
    file.newer(&root, 3, "data of a program", cx);
    segments(&mut file, &root, 1, layout.segments, cx)?;
    named(&mut file, &root, 2, cx)?;
    finish(file, &layout, cx)
}

/// The table of segments; each is looked at where it begins.
fn segments(file: &mut File<'_>, root: &Table, slot: usize, base: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    for at in file.flat.tables(root, slot, cx)? {
        let t = file.flat.table(at, cx)?;
        file.newer(&t, 2, "a segment", cx);
        let (offset, size) = (file.flat.scalar(&t, 0, 8, 0)?, file.flat.scalar(&t, 1, 8, 0)?);
        let begin = base.checked_add(offset);
        let end = begin.and_then(|b| b.checked_add(size)).filter(|end| *end <= file.blob.len());
        match (begin, end) {
            (Some(at), Some(end)) => file.segments.push(Span { at, end }),
            _ => {
                let detail = format!("a segment of {size} bytes at {offset}, outside the file");
                file.wrong(at, "executorch-segment-outside", detail, cx);
                file.segments.push(Span { at: 0, end: 0 });
            }
        }
    }
    for span in file.segments.clone() {
        if span.len() >= 8 {
            tflite::hidden(file.blob, span, "a segment", cx)?;
        }
    }
    Ok(())
}

/// Names of blobs: data that backends and programs look up.
fn named(file: &mut File<'_>, root: &Table, slot: usize, cx: &mut Cx<'_>) -> Result<(), Stop> {
    for at in file.flat.tables(root, slot, cx)? {
        let t = file.flat.table(at, cx)?;
        file.flat.string(&t, 0)?;
        let segment = file.flat.scalar(&t, 1, 4, 0)?;
        if segment >= file.segments.len() as u64 {
            let detail = format!("named data in segment {segment} of {}", file.segments.len());
            file.wrong(at, "executorch-segment-index", detail, cx);
        }
        if let Some(layout) = file.flat.sub(&t, 2, cx)? {
            file.flat.ints(&layout, 1, cx)?;
            file.flat.vector(&layout, 2, 1)?;
        }
        file.newer(&t, 3, "named data", cx);
    }
    Ok(())
}

/// Padding, and what nothing explains: inside the FlatBuffer, between it and the segments, and behind them.
fn finish(file: File<'_>, layout: &Layout, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MAX_TOLD: usize = 20;
    let blob = file.blob;
    let mut holes = file.flat.holes();
    let mut spans = file.segments;
    spans.push(Span { at: 0, end: layout.flat });
    spans.sort_by_key(|s| s.at);
    let mut cursor = 0;
    for s in spans {
        if s.at > cursor {
            holes.push(Span { at: cursor, end: s.at });
        }
        cursor = cursor.max(s.end);
    }
    if cursor < blob.len() {
        holes.push(Span { at: cursor, end: blob.len() });
    }
    let mut told = 0;
    for hole in holes {
        let bytes = blob.sub(hole.at..hole.end);
        if all_zero(&bytes)? {
            continue;
        }
        told += 1;
        if told > MAX_TOLD {
            break;
        }
        let first = bytes.head(4096)?.iter().position(|b| *b != 0).unwrap_or(0) as u64;
        let hole = Span { at: hole.at + first, end: hole.end };
        if hole.len() < 8 || !tflite::hidden(blob, hole, "bytes that belong to nothing", cx)? {
            let detail = format!("{} bytes of no table or segment", hole.len());
            cx.gap(GapReason::Unexplained, Some(hole.at), Some(hole.len()), detail);
        }
    }
    Ok(())
}

/// A file whose tables cannot be followed: backends that it names, and pickles and programs anywhere in it.
fn unread(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MAX: u64 = 4 << 20;
    const MAX_NAMES: usize = 20;
    const MAX_TRIES: u32 = 64;
    let reach = blob.len().min(MAX);
    let mut window = Window::new(blob.clone(), 64 << 10);
    let (mut at, mut word, mut names, mut tries) = (0, Vec::new(), 0, 0);
    while at < reach {
        let view = window.view(at, 1)?.to_vec();
        for (n, b) in view.iter().enumerate() {
            let here = at + n as u64;
            if b.is_ascii_alphanumeric() || *b == b'_' {
                if word.len() < 100 {
                    word.push(*b);
                }
            } else {
                let name = String::from_utf8_lossy(&word).into_owned();
                if name.len() > 7 && name.ends_with("Backend") && names < MAX_NAMES {
                    names += 1;
                    plan::backend(&name, here - word.len() as u64, cx);
                }
                word.clear();
            }
            let next = view.get(n + 1).copied().unwrap_or_default();
            if tries < MAX_TRIES && begins(*b, next) {
                tries += 1;
                let rest = blob.sub(here..blob.len());
                if let Some(what) = opaque::hidden(&rest, &rest.head(256)?) {
                    let detail = "in a program that cannot be read".to_string();
                    cx.fact(Some(here), FactKind::Hidden { code: what.into(), detail });
                    cx.member(format!("(bytes at {here:#x})").as_bytes(), &rest);
                    return Ok(());
                }
            }
        }
        at += view.len() as u64;
    }
    Ok(())
}

/// Could a pickle, archive or program begin with these two bytes?
fn begins(first: u8, second: u8) -> bool {
    matches!(
        (first, second),
        (0x80, 2..=5)
            | (0x7f, b'E')
            | (b'M', b'Z')
            | (b'P', b'K')
            | (b'#', b'!')
            | (0xca..=0xfe, 0xfa | 0xed | 0xfe)
    )
}

/// A name as evidence, bounded.
fn shown(name: &[u8]) -> String {
    escape(&String::from_utf8_lossy(&name[..name.len().min(100)]))
}
