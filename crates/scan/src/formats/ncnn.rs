//! ncnn's graphs (`.param`, as text or binary): layers of built-in types by name or number, everything else a type that the
//! application registers. Read as `Net::load_param` and `ParamDict` of ncnn do (`src/net.cpp`, `src/paramdict.cpp`, July 2026).
//! The weights (`.bin`) have no structure of their own. pnnx writes its own graphs in the same form.

use super::{Claim, Coverage, Format, Probe, leftover};
use crate::cx::{Cx, Stop};
use std::collections::HashSet;
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, escape};

/// Graphs as text.
pub struct NcnnText;

/// Graphs in binary.
pub struct NcnnBinary;

const MAGIC: i32 = 7_767_517;
/// Longer texts are not judged.
const MAX: u64 = 32 << 20;
/// Identifiers of parameters are below this (`NCNN_MAX_PARAM_COUNT`).
const PARAMS: i32 = 32;

/// Built-in layers in the order of their numbers (`src/CMakeLists.txt`).
const LAYERS: &str = "AbsVal ArgMax BatchNorm Bias BNLL Concat Convolution Crop Deconvolution Dropout Eltwise ELU Embed Exp \
    Flatten InnerProduct Input Log LRN MemoryData MVN Pooling Power PReLU Proposal Reduction ReLU Reshape ROIPooling Scale \
    Sigmoid Slice Softmax Split SPP TanH Threshold Tile RNN LSTM BinaryOp UnaryOp ConvolutionDepthWise Padding Squeeze \
    ExpandDims Normalize Permute PriorBox DetectionOutput Interp DeconvolutionDepthWise ShuffleChannel InstanceNorm Clip \
    Reorg YoloDetectionOutput Quantize Dequantize Yolov3DetectionOutput PSROIPooling ROIAlign Packing Requantize Cast \
    HardSigmoid SELU HardSwish Noop PixelShuffle DeepCopy Mish StatisticsPooling Swish Gemm GroupNorm LayerNorm Softplus GRU \
    MultiHeadAttention GELU Convolution1D Pooling1D ConvolutionDepthWise1D Convolution3D ConvolutionDepthWise3D Pooling3D \
    MatMul Deconvolution1D DeconvolutionDepthWise1D Deconvolution3D DeconvolutionDepthWise3D Einsum DeformableConv2D GLU \
    Fold Unfold GridSample CumulativeSum CopyTo Erf Diag CELU Shrink RMSNorm Spectrogram InverseSpectrogram Flip SDPA \
    RotaryEmbed";

/// Beginnings of the operators in pnnx's own graphs, which its converter reads and no runtime.
const PNNX: &[&str] =
    &["pnnx.", "nn.", "F.", "torch.", "Tensor.", "torchvision.", "aten::", "prim::", "ncnn."];

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "ncnn",
    ids: &[],
    loaders: "ncnn",
    judged: "layers by the list, counts, blobs",
    blind: "weights (`.bin`) have no structure; shapes are not followed",
    corpus: &["ncnn"],
};

impl Format for NcnnText {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "ncnn"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        let start = probe.head.trim_ascii_start();
        let number = start.strip_prefix(b"+").unwrap_or(start);
        let zeros = number.iter().take_while(|b| **b == b'0').count();
        let rest = number[zeros..].strip_prefix(b"7767517");
        // It is text besides.
        let is =
            rest.is_some_and(|r| r.first().is_some_and(u8::is_ascii_whitespace)) && !probe.head.contains(&0);
        if is { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        if blob.len() > MAX {
            return Err(Stop::Unsupported("an ncnn graph of this size".into()));
        }
        cx.refine("ncnn");
        let bytes = blob.read_range(0..blob.len())?;
        let text = String::from_utf8_lossy(&bytes);
        text_graph(&text, cx).inspect_err(|stop| malformed(stop, cx))
    }
}

impl Format for NcnnBinary {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "ncnn-binary"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.head.starts_with(&MAGIC.to_le_bytes()) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        binary_graph(blob, cx).inspect_err(|stop| malformed(stop, cx))
    }
}

fn malformed(stop: &Stop, cx: &mut Cx<'_>) {
    if let Stop::Malformed { at, what } = stop {
        cx.structure(*at, "ncnn-malformed", what.clone());
    }
}

/// Words as `scanf` takes them, with their places.
struct Words<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Words<'t> {
    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at +=
            rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b').len();
    }

    fn peek(&mut self) -> Option<&'t str> {
        self.space();
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '\x0b').unwrap_or(rest.len());
        (end > 0).then(|| &rest[..end])
    }

    fn word(&mut self) -> Result<&'t str, Stop> {
        let word = self.peek().ok_or_else(|| Stop::malformed(self.at as u64, "a graph that ends early"))?;
        self.at += word.len();
        Ok(word)
    }

    fn number(&mut self) -> Result<i64, Stop> {
        let at = self.at as u64;
        let word = self.word()?;
        word.parse().map_err(|_| Stop::malformed(at, format!("{} where a number should be", escape(word))))
    }

    /// Skips `id=value`; false where the next word begins another layer.
    fn parameter(&mut self) -> Result<bool, Stop> {
        let Some(word) = self.peek() else { return Ok(false) };
        let start = self.at as u64;
        let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
        let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Ok(false);
        }
        let number = &word[..word.len() - unsigned.len() + digits];
        let id: i32 = number.parse().map_err(|_| Stop::malformed(start, "a parameter's number"))?;
        let id = if id <= -23300 { -id - 23300 } else { id };
        if !(0..PARAMS).contains(&id) {
            return Err(Stop::malformed(start, format!("a parameter numbered {id}, of {PARAMS}")));
        }
        self.at += number.len();
        if self.text[self.at..].starts_with('=') {
            self.at += 1;
        }
        let rest = &self.text[self.at..];
        // Quoted text goes on over blanks.
        let end = match rest.strip_prefix('"') {
            Some(quoted) => quoted.find(['"', '\n']).map_or(rest.len(), |n| (n + 2).min(rest.len())),
            None => rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len()),
        };
        self.at += end;
        Ok(true)
    }
}

fn text_graph(text: &str, cx: &mut Cx<'_>) -> Result<(), Stop> {
    /// Longer names are cut, and the rest taken for the next word.
    const LONGEST: usize = 255;
    let mut words = Words { text, at: 0 };
    words.word()?;
    let (layers, blobs) = (words.number()?, words.number()?);
    // The shortest layer has eight characters.
    announced(layers, blobs, text.len() as u64, 8, cx)?;
    let (mut told, mut names) = (HashSet::new(), HashSet::new());
    if words.peek().is_some_and(|first| first.starts_with("pnnx.")) {
        return pnnx_graph(&words, &mut told, cx);
    }
    let mut used = 0i64;
    for _ in 0..layers {
        cx.budget.entries(1)?;
        cx.budget.memory(names.len() as u64 * 48)?;
        words.space();
        let at = words.at as u64;
        let (kind, name) = (words.word()?, words.word()?);
        if kind.len().max(name.len()) > LONGEST {
            return Err(Stop::malformed(at, "a name longer than readers take"));
        }
        layer(kind, at, &mut told, cx);
        let (inputs, outputs) = (words.number()?, words.number()?);
        let left = (text.len() - words.at) as i64;
        if inputs < 0 || outputs < 0 || inputs.max(outputs) > left {
            return Err(Stop::malformed(at, format!("a layer of {inputs} inputs and {outputs} outputs")));
        }
        for n in 0..inputs + outputs {
            cx.budget.steps(1)?;
            let word = words.word()?;
            // Readers give a number to each new input, and to every output.
            let new = names.insert(word);
            used += i64::from(n >= inputs || new);
        }
        while words.parameter()? {
            cx.budget.steps(1)?;
        }
    }
    over(used, blobs, cx);
    if words.peek().is_some() {
        let at = words.at as u64;
        let left = text.len() as u64 - at;
        cx.structure(at, "ncnn-trailing-text", format!("{left} bytes behind the last layer"));
    }
    Ok(())
}

/// pnnx's own graphs have a layer a line, with parameters by name. ncnn stops at the first, which it does not have.
fn pnnx_graph(words: &Words<'_>, told: &mut HashSet<String>, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut at = words.at;
    for line in words.text[words.at..].split_inclusive('\n') {
        cx.budget.entries(1)?;
        if let Some(kind) = line.split_whitespace().next() {
            layer(kind, at as u64, told, cx);
        }
        at += line.len();
    }
    Ok(())
}

fn announced(layers: i64, blobs: i64, len: u64, least: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
    // Each layer writes some outputs; splits write many.
    let fits = layers > 0 && blobs > 0 && layers as u64 <= len / least && blobs as u64 <= len;
    if fits {
        return Ok(());
    }
    let detail = format!("{layers} layers and {blobs} blobs announced in {len} bytes");
    cx.fact(Some(8), FactKind::Resource { code: "ncnn-impossible-count".into(), detail: detail.clone() });
    Err(Stop::malformed(8, detail))
}

/// Readers write into a table of the announced size without looking.
fn over(used: i64, blobs: i64, cx: &mut Cx<'_>) {
    if used > blobs {
        cx.structure(8, "ncnn-blob-index", format!("{used} blobs in a graph that announces {blobs}"));
    }
}

fn layer(kind: &str, at: u64, told: &mut HashSet<String>, cx: &mut Cx<'_>) {
    const MOST: usize = 1000;
    let known = LAYERS.split_whitespace().any(|l| l == kind) || PNNX.iter().any(|p| kind.starts_with(p));
    if !known && told.len() < MOST && told.insert(kind.to_string()) {
        let (code, op) = ("ncnn-custom".into(), escape(kind));
        cx.fact(Some(at), FactKind::Operator { code, op, detail: "a layer of no built-in type".into() });
    }
}

fn binary_graph(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut window = Window::new(blob.clone(), 64 << 10);
    let (len, mut at) = (blob.len(), 4u64);
    let mut number = |at: &mut u64| -> Result<i64, Stop> {
        let v = window.view(*at, 4)?;
        let b = v.get(..4).and_then(|b| b.try_into().ok());
        let n = b.map(i32::from_le_bytes).ok_or_else(|| Stop::malformed(*at, "a graph that ends early"))?;
        *at += 4;
        Ok(i64::from(n))
    };
    let (layers, blobs) = (number(&mut at)?, number(&mut at)?);
    announced(layers, blobs, len, 16, cx)?;
    let mut told = HashSet::new();
    let builtin: Vec<&str> = LAYERS.split_whitespace().collect();
    for _ in 0..layers {
        cx.budget.entries(1)?;
        let start = at;
        let (kind, inputs, outputs) = (number(&mut at)?, number(&mut at)?, number(&mut at)?);
        let name = usize::try_from(kind).ok().and_then(|k| builtin.get(k).map(ToString::to_string));
        layer(&name.unwrap_or_else(|| format!("layer type {kind}")), start, &mut told, cx);
        if inputs < 0 || outputs < 0 || (inputs + outputs) as u64 > (len - at) / 4 {
            return Err(Stop::malformed(start, format!("a layer of {inputs} inputs and {outputs} outputs")));
        }
        for _ in 0..inputs + outputs {
            let index = number(&mut at)?;
            if !(0..blobs).contains(&index) {
                cx.structure(at - 4, "ncnn-blob-index", format!("blob {index} of {blobs}"));
                return Err(Stop::malformed(at - 4, "a blob that does not exist"));
            }
        }
        // Parameters end with -233.
        loop {
            cx.budget.steps(1)?;
            let id = number(&mut at)?;
            if id == -233 {
                break;
            }
            let (id, words) = match id {
                ..=-23400 => (-id - 23400, (number(&mut at)?.clamp(-1, i64::from(u32::MAX)) + 3) / 4),
                -23399..=-23300 => (-id - 23300, number(&mut at)?),
                _ => (id, 1),
            };
            if !(0..i64::from(PARAMS)).contains(&id) || words < 0 || words as u64 > (len - at) / 4 {
                return Err(Stop::malformed(at, format!("parameter {id} of {words} words")));
            }
            at += 4 * words as u64;
        }
    }
    if at < len {
        leftover::record(
            blob,
            at,
            "ncnn-trailing-bytes",
            "the parameters of the last layer are its end",
            cx,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_as_scanf_reads_them() {
        let mut w = Words { text: "0=1 -23301=2,1,2 5foo 0=\"ij, jk\" Next", at: 0 };
        for _ in 0..4 {
            assert!(w.parameter().unwrap());
        }
        assert!(!w.parameter().unwrap());
        assert_eq!(w.word().unwrap(), "Next");
        assert!(Words { text: "32=1", at: 0 }.parameter().is_err());
    }

    #[test]
    fn all_built_in_layers() {
        assert_eq!(LAYERS.split_whitespace().count(), 110);
        assert_eq!(LAYERS.split_whitespace().next_back(), Some("RotaryEmbed"));
    }
}
