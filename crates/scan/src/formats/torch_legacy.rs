//! torch's format before 1.6: five pickles (magic number, protocol, system info, object, storage keys), then
//! the storages, each its number of elements (8 bytes) and raw items.
//!
//! Source: torch/serialization.py, `_legacy_load` and `_legacy_save`.

use super::pickle::{self, plausible};
use super::pickle_facts::Collector;
use super::{Claim, Coverage, Format, Probe};
use crate::cx::{Cx, Stop};
use std::collections::BTreeMap;
use wb_blob::Blob;
use wb_pickle::{End, Machine, Value};
use wb_verdict::GapReason;

/// torch's legacy checkpoint.
pub struct TorchLegacy;

/// The magic number 0x1950a86a20f9469cfc6c as LONG1, and STOP.
const MAGIC: &[u8] = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// The protocol version, 1001, as BININT2, and STOP.
const VERSION: &[u8] = b"M\xe9\x03.";

/// True if the stream begins as torch's legacy reader expects, or with something computed in place of the
/// magic number.
pub(super) fn is_legacy(blob: &Blob, head: &[u8]) -> bool {
    if let [0x80, _, rest @ ..] = head
        && rest.starts_with(MAGIC)
    {
        return true;
    }
    // Trial runs are dear: where the second pickle is nowhere in sight, the first need not be looked at.
    if blob.as_slice().is_some_and(|bytes| memchr::memmem::find(bytes, VERSION).is_none()) {
        return false;
    }
    let (_, Some(next)) = plausible(blob, 0) else { return false };
    let second = blob.read_range(next..next + 6).unwrap_or_default();
    matches!(&second[..], [0x80, _, rest @ ..] if rest == VERSION)
}

/// Storages named by persistent ids: key -> item size (none if unknown) and number of items.
#[derive(Debug, Default, Clone)]
pub(super) struct Storages {
    by_key: BTreeMap<String, (Option<u64>, u64)>,
}

impl Storages {
    /// Takes note of a persistent id `('storage', type, key, location, items, view)`.
    pub(super) fn add(&mut self, id: &Value) {
        const MAX: usize = 200_000;
        let Value::Tuple(parts) = id else { return };
        let [Value::Str { text: kind, .. }, storage_type, key, _, Value::Int(items), ..] = &parts[..] else {
            return;
        };
        if kind != "storage" || self.by_key.len() >= MAX {
            return;
        }
        let key = match key {
            Value::Str { text, .. } => text.clone(),
            Value::Int(n) => n.to_string(),
            _ => return,
        };
        let size = match storage_type {
            Value::Global { name, .. } => item_size(name),
            _ => None,
        };
        self.by_key.insert(key, (size, u64::try_from(*items).unwrap_or(u64::MAX)));
    }
}

/// Bytes per item of a storage class.
fn item_size(class: &str) -> Option<u64> {
    Some(match class.rsplit('.').next().unwrap_or(class) {
        "ComplexDoubleStorage" => 16,
        "DoubleStorage" | "LongStorage" | "ComplexFloatStorage" => 8,
        "FloatStorage" | "IntStorage" | "QInt32Storage" => 4,
        "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
        "ByteStorage" | "CharStorage" | "BoolStorage" | "QInt8Storage" | "QUInt8Storage"
        | "UntypedStorage" | "_UntypedStorage" | "QUInt4x2Storage" | "QUInt2x4Storage" => 1,
        _ => return None,
    })
}

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "PyTorch's legacy form",
    ids: &[],
    loaders: "`torch.load`",
    judged: "the five pickles and every further one, storages by their sizes",
    blind: "CRCs do not exist",
    corpus: &["pytorch-legacy"],
};

impl Format for TorchLegacy {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "torch-legacy"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if is_legacy(&probe.blob, &probe.head) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let budget = cx.budget.clone();
        let mut at = 0;
        let mut machine = Machine::new(blob, at, &budget);
        let mut storages = Storages::default();
        let mut keys = None;
        for part in 0..5 {
            machine.restart(at);
            let mut collector = Collector::new(cx, blob, at);
            collector.torch = true;
            let run = machine.run(&mut collector);
            collector.note(&run);
            let (_, found) = collector.finish_with_storages(true);
            storages.by_key.extend(found.by_key);
            match run.end {
                End::Stop(next) => at = next,
                End::Error { at, what } => {
                    return Err(Stop::malformed(at, format!("the unpickler fails here: {what}")));
                }
                End::Exhausted(e) => return Err(e.into()),
                End::Io(e) => return Err(e.into()),
            }
            if part == 4 {
                keys = machine.result_texts();
            }
        }
        let after = skip_storages(blob, at, &storages, keys.as_deref(), cx)?;
        if after < blob.len() { pickle::stream(blob, after, cx, false) } else { Ok(()) }
    }
}

/// Steps over the raw storages; the offset after them.
fn skip_storages(
    blob: &Blob,
    start: u64,
    storages: &Storages,
    keys: Option<&[String]>,
    cx: &mut Cx<'_>,
) -> Result<u64, Stop> {
    let mut at = start;
    let left = |at: u64| blob.len().saturating_sub(at);
    let all: Vec<String> = storages.by_key.keys().cloned().collect();
    let ordered = keys.is_some();
    for key in keys.unwrap_or(&all) {
        cx.budget.entries(1)?;
        let Some(&(size, items)) = storages.by_key.get(key) else {
            cx.structure(
                at,
                "torch-legacy-storage",
                format!("no tensor uses the storage key '{}'", wb_verdict::escape(key)),
            );
            return Ok(at);
        };
        let Some(size) = size else {
            cx.gap(GapReason::UnsupportedVariant, Some(at), Some(left(at)), "storage of an unknown type");
            return Ok(blob.len());
        };
        if ordered {
            let header = blob.read_range(at..at + 8)?;
            let Ok(header) = <[u8; 8]>::try_from(&header[..]) else {
                return Err(Stop::malformed(at, "a storage is missing"));
            };
            let announced = u64::from_le_bytes(header);
            if announced != items && announced.swap_bytes() != items {
                let detail = format!("a storage of {announced} items where the pickle says {items}");
                cx.structure(at, "torch-legacy-storage", detail);
                return Ok(at);
            }
        }
        match items.checked_mul(size).and_then(|n| n.checked_add(8)?.checked_add(at)) {
            Some(next) if next <= blob.len() => at = next,
            _ => return Err(Stop::malformed(at, "a storage is longer than the rest of the file")),
        }
    }
    Ok(at)
}
