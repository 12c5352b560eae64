//! Programs: native executables, scripts with a shebang, compiled Python.

use super::{Claim, Coverage, Format, Probe};
use crate::analyses::opaque;
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::FactKind;

/// Anything that an operating system or an interpreter would run.
pub struct Executable;

/// CPython bytecode files: a magic number ending in CR LF, then flags or a time (PEP 3147, PEP 552).
fn bytecode(head: &[u8]) -> bool {
    let [a, b, b'\r', b'\n', flags @ ..] = head else { return false };
    let magic = u16::from_le_bytes([*a, *b]);
    // 3000..3700 are Python 3, 50000..62300 Python 1.6 to 2.7; behind the header stands a marshalled code object.
    let known = (3000..4000).contains(&magic) || (50_400..=62_300).contains(&magic);
    let code = |at: usize| flags.get(at).is_some_and(|b| b & 0x7f == b'c');
    known && (code(12) || code(8) || code(4))
}

fn kind(blob: &Blob, head: &[u8]) -> Option<&'static str> {
    if bytecode(head) {
        return Some("python-bytecode");
    }
    opaque::executable(blob, head)
}

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Programs and libraries",
    ids: &[],
    loaders: "the operating system, `dlopen`, `import`",
    judged: "ELF, PE, Mach-O, scripts and Python bytecode by their beginnings, wherever they stand",
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
        if kind(&probe.blob, &probe.head).is_some() { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let head = blob.head(4096)?;
        if let Some(code) = kind(blob, &head) {
            cx.fact(Some(0), FactKind::Executable { code: code.into() });
            if code == "shebang" {
                return super::document::read(blob, cx);
            }
        }
        Ok(())
    }
}
