//! Compiled Python: `.pyc` files and bare marshalled code objects.
//!
//! Python runs a `.pyc` in place of a module without showing its source. Nothing proves code harmless; names and texts can
//! show that it is worse, as in the functions that Keras and cloudpickle keep.
//!
//! Layout: PEP 3147 and PEP 552; the magic numbers are those of `Lib/importlib/_bootstrap_external.py`.

use super::{Claim, Coverage, Format, Probe};
use crate::analyses::keras::code;
use crate::analyses::marshal;
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{FactKind, escape};

/// Compiled Python.
pub struct Pyc;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Compiled Python",
    ids: &[],
    loaders: "`import`, `exec(marshal.load(f))`",
    judged: "code objects by names, texts and inner functions",
    blind: "never proved harmless; layouts after Python 3.13 are read as words",
    corpus: &["pyc"],
};

/// Files up to this size are read.
const MAX: usize = 16 << 20;

/// Where the code begins: a magic number that ends in CR LF, then flags, a time, a size.
fn start(head: &[u8]) -> Option<usize> {
    let [a, b, b'\r', b'\n', rest @ ..] = head else { return None };
    let magic = u16::from_le_bytes([*a, *b]);
    // 3000..4000 are Python 3, 50400..62300 Python 1.6 to 2.7; behind the header stands a marshalled code object.
    let known = (3000..4000).contains(&magic) || (50_400..=62_300).contains(&magic);
    let at = |at: &usize| rest.get(*at).is_some_and(|b| b & 0x7f == b'c');
    [12, 8, 4].into_iter().find(at).filter(|_| known).map(|n| n + 4)
}

/// A code object without a header is told by its parts.
fn bare(blob: &Blob, head: &[u8]) -> bool {
    marshal::begins(head)
        && blob.len() <= MAX as u64
        && blob.head(MAX).is_ok_and(|b| marshal::code(&b).is_some())
}

impl Format for Pyc {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "python-bytecode"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        let is = start(&probe.head).is_some() || bare(&probe.blob, &probe.head);
        if is { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        cx.fact(Some(0), FactKind::Executable { code: "python-bytecode".into() });
        let bytes = blob.head(MAX)?;
        let at = start(&bytes).unwrap_or(0);
        let code = bytes.get(at..).unwrap_or_default();
        let (harm, shown) = match marshal::code(code) {
            Some(code) => (code::harm(&code), code::summary(&code)),
            // A Python whose code objects are laid out in another way, or a broken one.
            None => {
                let words = marshal::words(code);
                (code::dangerous_names(&[words]), "code of no known Python version".into())
            }
        };
        if let Some(what) = harm {
            let detail = format!("{}; {shown}", escape(&what));
            cx.fact(Some(at as u64), FactKind::Directive { code: "pyc-dangerous".into(), detail });
        }
        Ok(())
    }
}
