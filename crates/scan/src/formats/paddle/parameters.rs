//! Parameters: tensors one after another (`SerializeToStream` of `lod_tensor.cc`), in the order of their names in the
//! program.

use super::super::protobuf::{LEN, Span, VARINT, Wire};
use super::super::{Claim, Coverage, Format, Probe, leftover};
use crate::analyses::opaque;
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::FactKind;

/// Tensors of `.pdiparams`.
pub struct Parameters;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Paddle parameters",
    ids: &[],
    loaders: "Paddle Inference, `load_combine`",
    judged: "versions, descriptions and sizes of every tensor, what hides at its beginning, what follows the last",
    blind: "values are data",
    corpus: &[],
};

/// Longest description of a tensor.
const DESCRIPTION: u64 = 4096;

/// A tensor: where its data lies.
struct Tensor {
    data: u64,
    end: u64,
}

fn number(blob: &Blob, at: u64, size: u64) -> Result<u64, Stop> {
    let bytes = blob.read_range(at..at.saturating_add(size))?;
    if (bytes.len() as u64) < size {
        return Err(Stop::malformed(at, "the parameters end early"));
    }
    Ok(bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// Bytes of one element (`VarType.Type`).
fn size(kind: u64) -> Option<u64> {
    Some(match kind {
        0 | 20 | 21 | 32 | 33 => 1,
        1 | 4 | 22 => 2,
        2 | 5 => 4,
        3 | 6 | 19 | 23 => 8,
        24 => 16,
        _ => return None,
    })
}

/// The tensor at `at`.
fn tensor(blob: &Blob, at: u64) -> Result<Tensor, Stop> {
    let broken = |at, what: &str| Err(Stop::malformed(at, what));
    if number(blob, at, 4)? != 0 {
        return broken(at, "a version of tensors that Paddle does not have");
    }
    let levels = number(blob, at + 4, 8)?;
    if levels > 64 {
        return broken(at + 4, "more levels of detail than tensors have");
    }
    let mut at = at + 12;
    for _ in 0..levels {
        let len = number(blob, at, 8)?;
        at = at.saturating_add(8).saturating_add(len);
        if at > blob.len() {
            return broken(at, "levels of detail that leave the file");
        }
    }
    if number(blob, at, 4)? != 0 {
        return broken(at, "a version of tensors that Paddle does not have");
    }
    let len = number(blob, at + 4, 4)?;
    let start = at + 8;
    let data = start + len;
    if len > DESCRIPTION || data > blob.len() {
        return broken(at + 4, "a description that leaves the file");
    }
    let mut wire = Wire::new(blob);
    let mut span = Span { at: start, end: data };
    let (mut kind, mut elements) = (None, 1u64);
    while let Some(f) = wire.field(&mut span)? {
        match (f.number, f.wire) {
            (1, VARINT) => kind = Some(f.value),
            (2, VARINT | LEN) => {
                for n in wire.numbers(&f, 0, 64)? {
                    elements = elements.saturating_mul(n);
                }
            }
            _ => return broken(f.tag, "a field that descriptions of tensors do not have"),
        }
    }
    let Some(size) = kind.and_then(size) else {
        return broken(start, "a type of elements that tensors do not have");
    };
    match data.checked_add(elements.saturating_mul(size)).filter(|end| *end <= blob.len()) {
        Some(end) => Ok(Tensor { data, end }),
        None => broken(start, "a tensor larger than the file"),
    }
}

impl Format for Parameters {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "paddle-params"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        // Two versions and the field of a type: cheap for everything else.
        let zeros = probe.head.get(..4).is_some_and(|h| h == [0; 4]);
        let described = |t: &Tensor| t.end > 16;
        if zeros && tensor(&probe.blob, 0).is_ok_and(|t| described(&t)) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut at = 0;
        while at < blob.len() {
            cx.budget.steps(20)?;
            let t = match tensor(blob, at) {
                Ok(t) => t,
                Err(Stop::Malformed { .. }) => {
                    return leftover::record(blob, at, "paddle-trailing-bytes", "no tensor begins there", cx);
                }
                Err(stop) => return Err(stop),
            };
            let data = blob.sub(t.data..t.end);
            if let Some(what) = opaque::hidden(&data, &data.head(256)?) {
                let detail = "in the elements of a tensor".to_string();
                cx.fact(Some(t.data), FactKind::Hidden { code: what.into(), detail });
                cx.member(format!("tensor@{:#x}", t.data).as_bytes(), &data);
            }
            at = t.end;
        }
        Ok(())
    }
}
