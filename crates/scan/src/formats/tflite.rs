//! TensorFlow Lite (LiteRT) models: FlatBuffers by `tensorflow/compiler/mlir/lite/schema/schema.fbs`. What can hurt: operators
//! that need native code or run TensorFlow's (flex), indices and offsets that interpreters trust, and what is appended.

use super::compressed::all_zero;
use super::flatbuffer::{Flat, Table};
use super::protobuf::Span;
use super::{Claim, Coverage, Format, Probe, tflite_op, tflite_tensor};
use crate::analyses::{opaque, paths};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason, escape_bytes};

/// `.tflite` files.
pub struct TfLite;

/// Is this the beginning of a model, behind which an archive of associated files may stand?
pub(super) fn has_associated_files(head: &[u8]) -> bool {
    head.get(4..8) == Some(b"TFL3")
}

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "TensorFlow Lite",
    ids: &[],
    loaders: "LiteRT, `tf.lite.Interpreter`, MediaPipe",
    judged: "tables, indices, buffers, flex and custom operators, what is appended",
    blind: "options of custom operators; JSON spelling is text",
    corpus: &["tflite"],
};

impl Format for TfLite {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "tflite"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if has_associated_files(&probe.head) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        read(blob, cx).inspect_err(|stop| {
            if let Stop::Malformed { at, what } = stop {
                cx.structure(*at, "tflite-malformed", what.clone());
            }
        })
    }
}

/// What is known of the model while it is walked.
pub(super) struct Model<'b> {
    pub blob: &'b Blob,
    pub flat: Flat,
    /// Bytes of each buffer, for the tensors that refer to it.
    pub buffers: Vec<Option<u64>>,
    pub codes: Vec<tflite_op::Code>,
    pub subgraphs: usize,
    /// Structure facts told, so that one broken table does not drown the rest.
    pub told: u32,
}

impl Model<'_> {
    /// Tells a contradiction.
    pub(super) fn wrong(&mut self, at: u64, code: &str, detail: String, cx: &mut Cx<'_>) {
        const MAX_TOLD: u32 = 50;
        self.told += 1;
        if self.told <= MAX_TOLD {
            cx.structure(at, code, detail);
        }
    }

    /// A vector that nobody looks into: bytes explained, content unread.
    pub(super) fn skip(&mut self, t: &Table, slots: &[(usize, u64)]) -> Result<(), Stop> {
        slots.iter().try_for_each(|(slot, size)| self.flat.vector(t, *slot, *size).map(drop))
    }

    /// Fields of a newer schema.
    pub(super) fn newer(&self, t: &Table, slots: usize, what: &str, cx: &mut Cx<'_>) {
        if t.beyond(slots) {
            cx.gap(GapReason::Unexplained, Some(t.at), None, format!("{what} with fields of a newer schema"));
        }
    }
}

fn read(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut flat = Flat::new(blob);
    flat.mark(0, 8);
    let root = flat.follow(0)?;
    let model = flat.table(root, cx)?;
    let mut m = Model { blob, flat, buffers: Vec::new(), codes: Vec::new(), subgraphs: 0, told: 0 };
    m.newer(&model, 10, "a model", cx);
    buffers(&mut m, &model, cx)?;
    for at in m.flat.tables(&model, 1, cx)? {
        let t = m.flat.table(at, cx)?;
        let code = tflite_op::code(&mut m, &t, cx)?;
        m.codes.push(code);
    }
    let subgraphs = m.flat.tables(&model, 2, cx)?;
    m.subgraphs = subgraphs.len();
    for at in subgraphs {
        subgraph(&mut m, at, cx)?;
    }
    m.flat.string(&model, 3)?;
    for buffer in m.flat.ints(&model, 5, cx)? {
        known_buffer(&mut m, model.at, i64::from(buffer), "metadata", cx);
    }
    for at in m.flat.tables(&model, 6, cx)? {
        let t = m.flat.table(at, cx)?;
        m.flat.string(&t, 0)?;
        let buffer = m.flat.scalar(&t, 1, 4, 0)?;
        known_buffer(&mut m, at, buffer as i64, "metadata", cx);
        m.newer(&t, 2, "metadata", cx);
    }
    for at in m.flat.tables(&model, 7, cx)? {
        signature(&mut m, at, cx)?;
    }
    external(&mut m, &model, cx)?;
    finish(m, cx)
}

fn known_buffer(m: &mut Model<'_>, at: u64, buffer: i64, what: &str, cx: &mut Cx<'_>) {
    if usize::try_from(buffer).ok().and_then(|n| m.buffers.get(n)).is_none() {
        m.wrong(at, "tflite-buffer-index", format!("{what} in buffer {buffer}, which does not exist"), cx);
    }
}

/// The data of tensors: in a vector, or behind the FlatBuffer by offset and size.
fn buffers(m: &mut Model<'_>, model: &Table, cx: &mut Cx<'_>) -> Result<(), Stop> {
    for at in m.flat.tables(model, 4, cx)? {
        let t = m.flat.table(at, cx)?;
        m.newer(&t, 3, "a buffer", cx);
        let inside = m.flat.vector(&t, 0, 1)?;
        let (offset, size) = (m.flat.scalar(&t, 1, 8, 0)?, m.flat.scalar(&t, 2, 8, 0)?);
        let mut len = inside.map(|v| v.len);
        let mut at_len = inside.map(|v| (v.at, v.len));
        // 0 and 1 are what converters write where there is none.
        if offset > 1 {
            match offset.checked_add(size).filter(|end| *end <= m.blob.len()) {
                Some(_) => {
                    m.flat.mark(offset, size);
                    if inside.is_some_and(|v| v.len > 0) {
                        m.wrong(at, "tflite-two-buffers", "a buffer with data inside and outside".into(), cx);
                    }
                    len = Some(size);
                    at_len = Some((offset, size));
                }
                None => {
                    let detail = format!("a buffer of {size} bytes at {offset}, outside the file");
                    m.wrong(at, "tflite-buffer-outside", detail, cx);
                }
            }
        }
        if let Some((from, size)) = at_len
            && size >= 8
        {
            hidden(m.blob, Span { at: from, end: from + size }, "a buffer", cx)?;
        }
        m.buffers.push(len);
    }
    Ok(())
}

/// Tells what hides in bytes that should be data; true if something does.
pub(super) fn hidden(blob: &Blob, span: Span, place: &str, cx: &mut Cx<'_>) -> Result<bool, Stop> {
    let data = blob.sub(span.at..span.end);
    let head = data.head(4096)?;
    let Some(what) = opaque::hidden(&data, &head) else { return Ok(false) };
    cx.fact(Some(span.at), FactKind::Hidden { code: what.into(), detail: format!("in {place}") });
    cx.member(format!("({place} at {:#x})", span.at).as_bytes(), &data);
    Ok(true)
}

fn subgraph(m: &mut Model<'_>, at: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let t = m.flat.table(at, cx)?;
    m.newer(&t, 6, "a subgraph", cx);
    m.flat.string(&t, 4)?;
    let tensors = m.flat.tables(&t, 0, cx)?;
    for tensor in &tensors {
        tflite_tensor::tensor(m, *tensor, cx)?;
    }
    let count = tensors.len();
    for (slot, what) in [(1, "input"), (2, "output")] {
        for index in m.flat.ints(&t, slot, cx)? {
            tflite_op::in_range(m, at, index, count, false, &format!("{what} of a subgraph"), cx);
        }
    }
    for operator in m.flat.tables(&t, 3, cx)? {
        tflite_op::operator(m, operator, count, cx)?;
    }
    Ok(())
}

fn signature(m: &mut Model<'_>, at: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let t = m.flat.table(at, cx)?;
    m.newer(&t, 5, "a signature", cx);
    for slot in [0, 1] {
        for map in m.flat.tables(&t, slot, cx)? {
            let map = m.flat.table(map, cx)?;
            m.flat.string(&map, 0)?;
        }
    }
    m.flat.string(&t, 2)?;
    let graph = m.flat.scalar(&t, 4, 4, 0)?;
    if graph >= m.subgraphs as u64 {
        m.wrong(
            at,
            "tflite-subgraph-index",
            format!("a signature of subgraph {graph}, which does not exist"),
            cx,
        );
    }
    Ok(())
}

/// Weights in other files.
fn external(m: &mut Model<'_>, model: &Table, cx: &mut Cx<'_>) -> Result<(), Stop> {
    for at in m.flat.tables(model, 8, cx)? {
        let t = m.flat.table(at, cx)?;
        let name = m.flat.string(&t, 0)?.unwrap_or_default();
        if let Some(code) = paths::escape_of(&name) {
            let detail = format!("weights in {}", escape_bytes(&name));
            cx.fact(Some(at), FactKind::UnsafePath { code: code.into(), detail });
        }
        m.newer(&t, 1, "a group of external buffers", cx);
    }
    for at in m.flat.tables(model, 9, cx)? {
        let t = m.flat.table(at, cx)?;
        m.flat.string(&t, 4)?;
        m.newer(&t, 5, "an external buffer", cx);
    }
    Ok(())
}

/// Padding, an archive of associated files behind the model, and what nothing explains.
fn finish(m: Model<'_>, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MAX_TOLD: usize = 20;
    let blob = m.blob;
    let mut told = 0;
    for hole in m.flat.holes() {
        let data = blob.sub(hole.at..hole.end);
        if all_zero(&data)? {
            continue;
        }
        let hole = Span { at: hole.at + first_nonzero(&data)?, end: hole.end };
        if hole.end == blob.len() && blob.sub(hole.at..hole.end).head(4)? == b"PK\x03\x04" {
            // Associated files: https://ai.google.dev/edge/litert/models/metadata. The archive is judged as one.
            cx.member(b"(associated files)", &blob.sub(hole.at..hole.end));
            continue;
        }
        told += 1;
        if told > MAX_TOLD {
            break;
        }
        if hole.len() < 8 || !hidden(blob, hole, "bytes that belong to nothing", cx)? {
            let detail = format!("{} bytes of no table of the model", hole.len());
            cx.gap(GapReason::Unexplained, Some(hole.at), Some(hole.len()), detail);
        }
    }
    Ok(())
}

fn first_nonzero(data: &Blob) -> Result<u64, Stop> {
    let head = data.head(4096)?;
    Ok(head.iter().position(|b| *b != 0).unwrap_or(0) as u64)
}
