//! GGML's formats before GGUF: `ggml` (no version), `ggmf`, `ggjt` (aligned, versions 1 to 3) and `ggla` (adapters). Nothing in
//! them runs, but their loaders are C++ that trusts every length. Numbers without names come first, and each program has
//! its own; a file is judged if one of the layouts explains it to its last byte.

use super::{Claim, Coverage, Format, Probe, gguf_types, safetensors};
use crate::cx::{Cx, Stop};
use std::ops::Range;
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, escape_bytes};

/// `ggml-model-*.bin` files.
pub struct Ggml;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Magic {
    Ggml,
    Ggmf,
    Ggjt,
    Ggla,
}

fn magic(head: &[u8]) -> Option<Magic> {
    Some(match head.get(..4)? {
        b"lmgg" => Magic::Ggml,
        b"fmgg" => Magic::Ggmf,
        b"tjgg" => Magic::Ggjt,
        b"algg" => Magic::Ggla,
        _ => return None,
    })
}

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "GGML before GGUF",
    ids: &[],
    loaders: "old llama.cpp, whisper.cpp, koboldcpp",
    judged: "headers, vocabularies, tensors by their sizes, in all layouts",
    blind: "a program's own layout stays `unsupported`",
    corpus: &["ggml"],
};

impl Format for Ggml {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "ggml"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        // A text that begins with these letters is none.
        let text = probe.head.iter().take(32).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
        if magic(&probe.head).is_some() && !text { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let Some(magic) = magic(&blob.head(4)?) else { return Ok(()) };
        // The layout that gets furthest tells what is wrong.
        let mut furthest: Option<(u64, String)> = None;
        let mut begun = false;
        for layout in layouts(magic) {
            let mut file = File::new(blob);
            match file.read(magic, &layout, cx) {
                Ok(()) => return file.tensors(blob, cx),
                Err(Stop::Malformed { what, .. }) => {
                    let at = file.at;
                    begun |= !file.tensors.is_empty();
                    if furthest.as_ref().is_none_or(|(best, _)| at > *best) {
                        furthest = Some((at, what));
                    }
                }
                Err(stop) => return Err(stop),
            }
        }
        let (at, what) = furthest.unwrap_or((0, "no layout fits".into()));
        // Programs of their own have layouts of their own; those with a version have one only.
        if magic != Magic::Ggml || begun {
            cx.structure(at, "ggml-malformed", what.clone());
        }
        let detail = "a layout of numbers and words that is not known".to_string();
        cx.fact(None, FactKind::Unsupported { format: "ggml".into(), detail });
        Err(Stop::malformed(at, what))
    }
}

/// What stands before the tensors.
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// Numbers of the model; the first is the size of the vocabulary.
    numbers: u32,
    /// A bank of filters follows (whisper.cpp).
    filters: bool,
    /// The size of the vocabulary is given once more.
    counted: bool,
    /// A score behind each word.
    scores: bool,
    /// Tensors begin at multiples of this.
    align: u64,
    /// Blocks of quantised tensors had other sizes before May 2023.
    old_blocks: bool,
}

fn layouts(magic: Magic) -> Vec<Layout> {
    let plain =
        Layout { numbers: 7, filters: false, counted: false, scores: false, align: 1, old_blocks: true };
    let both = |l: Layout| [l, Layout { old_blocks: false, ..l }];
    match magic {
        // Rank and scale of an adapter; there are no words.
        Magic::Ggla => both(Layout { numbers: 2, align: 32, ..plain }).to_vec(),
        Magic::Ggmf => both(Layout { scores: true, ..plain }).to_vec(),
        Magic::Ggjt => both(Layout { scores: true, align: 32, ..plain }).to_vec(),
        Magic::Ggml => {
            let mut all = both(plain).to_vec();
            for numbers in 4..=16 {
                for (filters, counted) in [(false, true), (false, false), (true, true)] {
                    all.extend(both(Layout { numbers, filters, counted, ..plain }));
                }
            }
            all
        }
    }
}

struct File {
    window: Window,
    len: u64,
    at: u64,
    tensors: Vec<(String, Range<u64>)>,
}

impl File {
    fn new(blob: &Blob) -> Self {
        Self { window: Window::new(blob.clone(), 64 << 10), len: blob.len(), at: 4, tensors: Vec::new() }
    }

    fn u32(&mut self) -> Result<u32, Stop> {
        let v = self.window.view(self.at, 4)?;
        let b = v.get(..4).and_then(|b| b.try_into().ok());
        let n =
            b.map(u32::from_le_bytes).ok_or_else(|| Stop::malformed(self.at, "a model that ends early"))?;
        self.at += 4;
        Ok(n)
    }

    fn skip(&mut self, n: u64) -> Result<Range<u64>, Stop> {
        let start = self.at;
        match start.checked_add(n).filter(|end| *end <= self.len) {
            Some(end) => {
                self.at = end;
                Ok(start..end)
            }
            None => Err(Stop::malformed(
                start,
                format!("{n} bytes announced, {} left", self.len.saturating_sub(start)),
            )),
        }
    }

    fn read(&mut self, magic: Magic, layout: &Layout, cx: &Cx<'_>) -> Result<(), Stop> {
        if magic != Magic::Ggml {
            let version = self.u32()?;
            if !(1..=3).contains(&version) {
                return Err(Stop::malformed(4, format!("version {version}")));
            }
        }
        let mut words = self.u32()?;
        for _ in 1..layout.numbers {
            self.u32()?;
        }
        if layout.filters {
            let (mels, width) = (u64::from(self.u32()?), u64::from(self.u32()?));
            let bytes = mels.checked_mul(width).and_then(|n| n.checked_mul(4));
            self.skip(bytes.ok_or_else(|| Stop::malformed(self.at, "filters that overflow"))?)?;
        }
        if layout.counted {
            words = self.u32()?;
        }
        if magic != Magic::Ggla {
            self.words(words, layout, cx)?;
        }
        while self.at < self.len {
            self.tensor(layout, cx)?;
        }
        Ok(())
    }

    fn words(&mut self, words: u32, layout: &Layout, cx: &Cx<'_>) -> Result<(), Stop> {
        const LONGEST: u32 = 1 << 16;
        if u64::from(words) > (self.len - self.at) / 4 {
            return Err(Stop::malformed(self.at, format!("{words} words announced")));
        }
        for _ in 0..words {
            cx.budget.steps(1)?;
            let len = self.u32()?;
            if len > LONGEST {
                return Err(Stop::malformed(self.at - 4, format!("a word of {len} bytes")));
            }
            self.skip(u64::from(len) + if layout.scores { 4 } else { 0 })?;
        }
        Ok(())
    }

    fn tensor(&mut self, layout: &Layout, cx: &Cx<'_>) -> Result<(), Stop> {
        cx.budget.entries(1)?;
        cx.budget.memory(self.tensors.len() as u64 * 96)?;
        let start = self.at;
        let (dims, name, kind) = (self.u32()?, self.u32()?, self.u32()?);
        if !(1..=4).contains(&dims) || name > 512 {
            return Err(Stop::malformed(
                start,
                format!("a tensor of {dims} dimensions, its name of {name} bytes"),
            ));
        }
        let mut elements = 1u64;
        for _ in 0..dims {
            let d = self.u32()?;
            let positive = i32::try_from(d).is_ok_and(|d| d > 0);
            elements = elements
                .checked_mul(u64::from(d))
                .filter(|_| positive)
                .ok_or_else(|| Stop::malformed(start, "a tensor whose size overflows"))?;
        }
        let name = self.skip(u64::from(name))?;
        let shown = self.window.view(name.start, (name.end - name.start) as usize)?;
        let shown = escape_bytes(&shown[..shown.len().min((name.end - name.start) as usize)]);
        let (per_block, size) = block(kind, layout.old_blocks)
            .ok_or_else(|| Stop::malformed(start, format!("tensor {shown} of type {kind}")))?;
        let bytes = (elements / per_block).checked_mul(size);
        let bytes = bytes.ok_or_else(|| Stop::malformed(start, "a tensor whose size overflows"))?;
        self.at = self.at.next_multiple_of(layout.align);
        let data = self.skip(bytes).map_err(|_| {
            Stop::malformed(start, format!("tensor {shown} of {bytes} bytes leaves the file"))
        })?;
        self.tensors.push((shown, data));
        Ok(())
    }

    /// What hides at the start of a tensor.
    fn tensors(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        safetensors::heads(blob, self.tensors.iter().map(|(name, range)| (&name[..], range.clone())), cx)
    }
}

/// Elements in a block, and its bytes.
fn block(kind: u32, old: bool) -> Option<(u64, u64)> {
    match (kind, old) {
        (2, true) => Some((32, 20)),
        (3, true) => Some((32, 24)),
        (4, true) => Some((16, 10)),
        (5, true) => Some((16, 12)),
        (8, true) => Some((32, 36)),
        _ => gguf_types::block(kind),
    }
}
