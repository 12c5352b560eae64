//! Archives of `torch.export` (`torch/export/pt2_archive/`, and the layout before it) and packages of AOTInductor: programs as
//! JSON, weights as bytes or pickles, compiled code.

use crate::analyses::{lenient_json, torch_export, torchscript};
use crate::cx::{Cx, Stop};
use std::io::BufReader;
use wb_blob::Blob;
use wb_verdict::escape_bytes;

/// Programs up to this size are read.
const MAX: u64 = 64 << 20;
/// Programs up to this size are read a second time as leniently as Python does.
const MAX_LENIENT: u64 = 16 << 20;

/// Judges the program `data`, which is the member `name`.
pub(super) fn program(name: &[u8], data: &Blob, cx: &mut Cx<'_>) {
    cx.enter(name, |cx| {
        if let Err(stop) = read(data, cx) {
            cx.stop(stop);
        }
    });
}

fn read(data: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    if data.len() > MAX {
        return Err(Stop::Unsupported("an exported program of this size".into()));
    }
    cx.budget.memory(data.len())?;
    let skip = if data.head(3)? == b"\xef\xbb\xbf" { 3 } else { 0 };
    let body = data.sub(skip..data.len());
    let mut facts = Vec::new();
    let strict = {
        let json = serde_json::de::IoRead::new(BufReader::new(body.reader()));
        torch_export::judge(json, &mut |fact| facts.push(fact))
    };
    if strict.is_err() && body.len() <= MAX_LENIENT {
        // NaN, infinities and the like. Text in other encodings than UTF-8 stays unread, and is a gap.
        let text = body.read_range(0..body.len())?;
        let plain = lenient_json::strict(&text);
        facts.clear();
        let lenient =
            torch_export::judge(serde_json::de::SliceRead::new(&plain), &mut |fact| facts.push(fact));
        if lenient.is_ok() {
            facts.into_iter().for_each(|fact| cx.fact(None, fact));
            return Ok(());
        }
    }
    facts.into_iter().for_each(|fact| cx.fact(None, fact));
    strict.map_err(|e| Stop::malformed(0, format!("an exported program that is no JSON: {e}")))
}

/// What stands in a folder of AOTInductor and is no description: code that the loader opens or compiles.
pub(super) fn compiled(name: &[u8], cx: &mut Cx<'_>) {
    let shown = escape_bytes(name);
    let fact = torchscript::operator_fact("torch-compiled", &shown, "a file of AOTInductor".into());
    cx.enter(name, |cx| cx.fact(None, fact));
}

/// Would torch read this weight as a file of its own?
pub(super) fn is_saved(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04")
}
