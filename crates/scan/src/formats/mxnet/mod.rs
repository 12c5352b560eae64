//! MXNet: graphs of operators as JSON (`-symbol.json`) and lists of arrays (`.params`). Neither holds code, but a graph may
//! name operators that only other code registers, read files, or hold numbers that the runtime takes for addresses.

mod params;
mod symbol;

use super::{Claim, Coverage, Format, Probe};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;

/// Lists of arrays.
pub struct MxnetParams;

/// Graphs.
pub struct MxnetSymbol;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "MXNet",
    ids: &[],
    loaders: "mxnet, GluonCV, GluonNLP",
    judged: "operators by the list of 1.9.1, attributes, arrays by their sizes",
    blind: "graphs over 6 MiB are gaps; indices in sparse arrays",
    corpus: &["mxnet"],
};

impl Format for MxnetParams {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "mxnet-params"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.head.starts_with(params::MAGIC) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        params::read(blob, cx).inspect_err(|stop| {
            if let Stop::Malformed { at, what } = stop {
                cx.structure(*at, "mxnet-malformed", what.clone());
            }
        })
    }
}

impl Format for MxnetSymbol {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "mxnet-symbol"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        // It is text besides.
        if symbol::is_symbol(probe) { Claim::Weak } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        symbol::read(blob, cx)
    }
}
