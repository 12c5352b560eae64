//! Programs: native executables, scripts with a shebang.

use super::{Claim, Coverage, Format, Probe};
use crate::analyses::opaque;
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::FactKind;

/// Anything that an operating system or an interpreter would run.
pub struct Executable;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Programs and libraries",
    ids: &[],
    loaders: "the operating system, `dlopen`, `import`",
    judged: "ELF, PE, Mach-O and scripts by their beginnings, wherever they stand",
    blind: "what a program does: none is ever let through as harmless",
    corpus: &["executable", "executorch"],
};

impl Format for Executable {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "executable"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if opaque::executable(&probe.blob, &probe.head).is_some() { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let head = blob.head(4096)?;
        if let Some(code) = opaque::executable(blob, &head) {
            cx.fact(Some(0), FactKind::Executable { code: code.into() });
            if code == "shebang" {
                return super::document::read(blob, cx);
            }
        }
        Ok(())
    }
}
