//! Runs every format that claims a blob: the union of all plausible readings is recorded.

use crate::cx::{Cx, Sink};
use crate::formats::{self, Claim, Probe};
use wb_blob::{Blob, Budget, Limits};
use wb_verdict::{Depth, ENGINE, FactKind, Facts};

/// How to scan.
#[derive(Debug, Clone)]
pub struct Options {
    /// Counted limits.
    pub limits: Limits,
    /// Recorded in the fact sheet.
    pub depth: Depth,
}

impl Default for Options {
    fn default() -> Self {
        Self { limits: Limits::default(), depth: Depth::Whole }
    }
}

/// Works out what loading `blob` would do, without running anything.
pub fn scan(blob: &Blob, options: &Options) -> Facts {
    let mut sink = Sink::default();
    let budget = Budget::new(options.limits.clone());
    let mut cx =
        Cx { sink: &mut sink, budget, path: String::new(), depth: 0, in_torch: false, keras_judged: false };
    match in_memory(blob) {
        Ok(blob) => scan_blob(&blob, &mut cx),
        Err(e) => cx.stop(e.into()),
    }
    Facts {
        engine: ENGINE.into(),
        catalogue: crate::catalogue::VERSION.into(),
        limits: options.limits.profile.into(),
        depth: options.depth,
        size: blob.len(),
        formats: sink.formats.iter().map(|f| (*f).to_string()).collect(),
        facts: sink.facts,
        gaps: sink.gaps,
        bytes_read: blob.bytes_read(),
    }
}

/// Small files are read once and judged in memory: every format looks at them, and one read costs less than many.
fn in_memory(blob: &Blob) -> std::io::Result<Blob> {
    const SMALL: u64 = 256 << 10;
    if blob.len() > SMALL || blob.as_slice().is_some() {
        return Ok(blob.clone());
    }
    Ok(Blob::from_vec(blob.read_range(0..blob.len())?))
}

/// Scans one blob under every reading that claims it.
pub(crate) fn scan_blob(blob: &Blob, cx: &mut Cx<'_>) {
    let probe = match Probe::new(blob) {
        Ok(p) => p,
        Err(e) => return cx.stop(e.into()),
    };
    let mut claimed = false;
    for strength in [Claim::Strong, Claim::Weak] {
        // A weak reading is tried only where no strong one explains the bytes.
        if claimed {
            break;
        }
        for format in formats::REGISTRY {
            if format.claim(&probe) == strength {
                claimed = true;
                cx.format(format.id());
                if let Err(stop) = format.scan(blob, cx) {
                    cx.stop(stop);
                }
            }
        }
    }
    if !claimed {
        cx.fact(None, FactKind::UnknownContent);
        if cx.is_outer() {
            cx.format("unknown");
        }
    }
}
