//! SentencePiece models (`.model`, `.spm`): a protobuf message of pieces, how they were trained, and how texts are
//! normalised. No code; the compiled rules of normalisation are a table that its reader follows without looking.
//!
//! `src/sentencepiece_model.proto` of SentencePiece 0.2.

use super::protobuf::{Field, I32, LEN, Span, VARINT, Wire};
use super::{Claim, Coverage, Format, Probe, leftover};
use crate::analyses::{double_array, metadata};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason};

/// Models of tokenizers.
pub struct SentencePiece;

/// Fields of `TrainerSpec` that are texts.
const TRAINER_TEXTS: [u32; 14] = [1, 2, 5, 7, 30, 31, 36, 44, 45, 46, 47, 48, 53, 54];
/// Of the others, 32-bit floats.
const TRAINER_FLOATS: [u32; 3] = [10, 15, 51];
/// The highest field of `TrainerSpec`.
const TRAINER_LAST: u32 = 54;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "SentencePiece",
    ids: &[],
    loaders: "sentencepiece, transformers, llama.cpp",
    judged: "fields, pieces, the normaliser's table",
    blind: "scores",
    corpus: &["sentencepiece"],
};

impl Format for SentencePiece {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "sentencepiece"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if is_model(&probe.blob) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut wire = Wire::new(blob);
        let mut model = Model::default();
        model.read(&mut wire, cx).or_else(|stop| {
            if let Stop::Malformed { at, what } = &stop {
                cx.structure(*at, "sentencepiece-malformed", what.clone());
                leftover::search(blob, *at, cx)?;
            }
            Err(stop)
        })?;
        model.report(cx);
        Ok(())
    }
}

/// A message that begins with pieces: a text, a score of four bytes, perhaps a kind. What follows them may be broken.
fn is_model(blob: &Blob) -> bool {
    const LEAST: usize = 3;
    let mut wire = Wire::new(blob);
    let mut span = wire.all();
    let mut pieces = 0;
    while pieces < LEAST {
        match wire.field(&mut span) {
            Ok(Some(f)) if f.number == 1 && f.wire == LEN && is_piece(&mut wire, &f) => pieces += 1,
            Ok(Some(f)) if pieces > 0 => return (2..=5).contains(&f.number) && f.wire == LEN,
            // Its end: a model of one or two pieces.
            Ok(None) => return pieces > 0,
            _ => return false,
        }
    }
    true
}

fn is_piece(wire: &mut Wire, f: &Field) -> bool {
    let mut span = f.span();
    let (mut text, mut score) = (false, false);
    while let Ok(Some(inner)) = wire.field(&mut span) {
        match (inner.number, inner.wire) {
            (1, LEN) => text = true,
            (2, I32) => score = true,
            (3, VARINT) if (1..=6).contains(&inner.value) => {}
            _ => return false,
        }
    }
    text && score && span.at >= span.end
}

#[derive(Default)]
struct Model {
    pieces: u64,
    unknown: u64,
    empty: u64,
    announced: Option<u64>,
    /// Specifications given: of training, of normalisation.
    specs: [u32; 2],
}

impl Model {
    fn read(&mut self, wire: &mut Wire, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut span = wire.all();
        while let Some(f) = wire.next(&mut span, cx)? {
            match (f.number, f.wire) {
                (1, LEN) => self.piece(wire, f.span(), cx)?,
                (2, LEN) => {
                    self.specs[0] += 1;
                    self.trainer(wire, f.span(), cx)?;
                }
                (3 | 5, LEN) => {
                    self.specs[1] += u32::from(f.number == 3);
                    normalizer(wire, f.span(), cx)?;
                }
                (4, LEN) => samples(wire, f.span(), cx)?,
                _ => wire.unknown(&f, "ModelProto", cx)?,
            }
        }
        Ok(())
    }

    fn piece(&mut self, wire: &mut Wire, mut span: Span, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let start = span.at;
        let (mut text, mut kind) = (0, 1);
        while let Some(f) = wire.next(&mut span, cx)? {
            match (f.number, f.wire) {
                (1, LEN) => {
                    text = f.len;
                    wire.opaque(&f, "a piece", cx)?;
                }
                (2, I32) => {}
                (3, VARINT) => kind = f.value,
                _ => wire.unknown(&f, "SentencePiece", cx)?,
            }
        }
        self.pieces += 1;
        self.unknown += u64::from(kind == 2);
        self.empty += u64::from(text == 0);
        if !(1..=6).contains(&kind) {
            cx.structure(start, "sentencepiece-kind", format!("a piece of kind {kind}"));
        }
        Ok(())
    }

    fn trainer(&mut self, wire: &mut Wire, mut span: Span, cx: &mut Cx<'_>) -> Result<(), Stop> {
        while let Some(f) = wire.next(&mut span, cx)? {
            let texts = TRAINER_TEXTS.contains(&f.number);
            let floats = TRAINER_FLOATS.contains(&f.number);
            match f.wire {
                LEN if texts => {
                    let text = wire.text(&f, 1 << 16)?;
                    metadata::text(&text, "how the model was trained", f.at, cx);
                    wire.opaque(&f, "how the model was trained", cx)?;
                }
                I32 if floats => {}
                VARINT if !texts && !floats && f.number <= TRAINER_LAST => {
                    if f.number == 4 {
                        self.announced = Some(self.announced.unwrap_or(0).max(f.value));
                    }
                }
                _ => wire.unknown(&f, "TrainerSpec", cx)?,
            }
        }
        Ok(())
    }

    fn report(&self, cx: &mut Cx<'_>) {
        // Loaders refuse models without exactly one piece for what they do not know, and empty ones.
        if self.unknown != 1 || self.empty > 0 || self.specs[0] > 1 || self.specs[1] > 1 {
            let detail = format!(
                "{} pieces: {} for the unknown, {} empty; {} and {} specifications",
                self.pieces, self.unknown, self.empty, self.specs[0], self.specs[1]
            );
            cx.structure(0, "sentencepiece-pieces", detail);
        }
        // Vocabularies are extended and cut by hand; a size beyond any machine is not.
        if let Some(n) = self.announced.filter(|n| *n > u64::from(i32::MAX as u32)) {
            let detail = format!("a vocabulary of {n}");
            cx.fact(None, FactKind::Resource { code: "sentencepiece-vocabulary-count".into(), detail });
        }
    }
}

/// `NormalizerSpec`.
fn normalizer(wire: &mut Wire, mut span: Span, cx: &mut Cx<'_>) -> Result<(), Stop> {
    while let Some(f) = wire.next(&mut span, cx)? {
        match (f.number, f.wire) {
            (1 | 6, LEN) => {
                let text = wire.text(&f, 1 << 16)?;
                metadata::text(&text, "rules of normalisation", f.at, cx);
            }
            (2, LEN) => charsmap(wire, &f, cx)?,
            (3..=5, VARINT) => {}
            _ => wire.unknown(&f, "NormalizerSpec", cx)?,
        }
    }
    Ok(())
}

/// Compiled rules: the size of a table, the table, the texts that its values lead to.
fn charsmap(wire: &mut Wire, f: &Field, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MOST: u64 = 16 << 20;
    if f.len == 0 {
        return Ok(());
    }
    if f.len > MOST {
        let detail = format!("rules of normalisation of {} bytes", f.len);
        cx.gap(GapReason::UnsupportedVariant, Some(f.at), Some(f.len), detail);
        return wire.opaque(f, "rules of normalisation", cx);
    }
    cx.budget.memory(f.len)?;
    let bytes = wire.blob().read_range(f.at..f.at + f.len)?;
    if let Some(what) = double_array::rules(&bytes) {
        cx.structure(f.at, "sentencepiece-rules", what);
        wire.opaque(f, "rules of normalisation", cx)?;
    }
    Ok(())
}

/// `SelfTestData`: texts and what becomes of them.
fn samples(wire: &mut Wire, mut span: Span, cx: &mut Cx<'_>) -> Result<(), Stop> {
    while let Some(f) = wire.next(&mut span, cx)? {
        if (f.number, f.wire) != (1, LEN) {
            wire.unknown(&f, "SelfTestData", cx)?;
            continue;
        }
        let mut sample = f.span();
        while let Some(f) = wire.next(&mut sample, cx)? {
            match (f.number, f.wire) {
                (1 | 2, LEN) => wire.opaque(&f, "a sample", cx)?,
                _ => wire.unknown(&f, "Sample", cx)?,
            }
        }
    }
    Ok(())
}
