//! TorchScript archives: the source under `code/`, the bytecode of mobile archives. What their pickles hold is judged as
//! pickles; what their code does, here.

use crate::analyses::torchscript::{self, Names};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_pickle::Arg;
use wb_verdict::{FactKind, GapReason, escape_bytes};

/// Sources larger than this are a gap: exported ones have some hundred KiB.
const MAX_SOURCE: u64 = 16 << 20;

/// What one archive's sources say together.
#[derive(Default)]
pub(super) struct Script {
    names: Names,
    /// Names called on values, by the member in which they are.
    open: Vec<(Vec<u8>, Vec<u8>, u64, String)>,
}

impl Script {
    /// Judges the source `data`, which is the member `name`.
    pub(super) fn source(&mut self, name: &[u8], data: &Blob, cx: &mut Cx<'_>) {
        cx.enter(name, |cx| {
            if let Err(stop) = self.read(name, data, cx) {
                cx.stop(stop);
            }
        });
    }

    fn read(&mut self, name: &[u8], data: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        const MAX_OPEN: usize = 10_000;
        if data.len() > MAX_SOURCE {
            return Err(Stop::Unsupported("TorchScript source of this size".into()));
        }
        // A token takes as much as a few bytes of source.
        cx.budget.memory(data.len() * 6)?;
        cx.budget.steps(data.len() / 16)?;
        let text = data.read_range(0..data.len())?;
        let wrong = torchscript::judge(&text, &mut self.names, &mut |at, fact| cx.fact(Some(at), fact));
        for (method, at, rendering) in self.names.open.drain(..) {
            if self.open.len() < MAX_OPEN {
                self.open.push((name.to_vec(), method, at, rendering));
            }
        }
        if let Some(at) = wrong {
            return Err(Stop::malformed(at, "TorchScript source that torch's own lexer refuses"));
        }
        Ok(())
    }

    /// Tells the methods that no source of the archive defines: operators of an unknown library.
    pub(super) fn finish(&mut self, cx: &mut Cx<'_>) {
        for (member, method, at, rendering) in self.open.drain(..) {
            if !self.names.defined.contains(&method) {
                let fact = torchscript::operator_fact("torch-unknown", &escape_bytes(&method), rendering);
                cx.enter(&member, |cx| cx.fact(Some(at), fact));
            }
        }
    }
}

/// Operators and classes that a mobile archive's bytecode names. Its tables are plain data: every text in it that is an
/// operator's full name counts, wherever it stands.
pub(super) fn bytecode(name: &[u8], data: &Blob, cx: &mut Cx<'_>) {
    const MAX_NAME: u64 = 4096;
    cx.enter(name, |cx| {
        let mut list = wb_pickle::disassemble(data, 0);
        let mut told = 0;
        for op in list.by_ref() {
            let Ok(op) = op else { return cx.gap(GapReason::Io, None, None, "bytecode that cannot be read") };
            let skip = match op.opcode.arg {
                Arg::Counted(n) => 1 + u64::from(n),
                Arg::Line | Arg::TwoLines => 1,
                Arg::No | Arg::Fixed(_) => continue,
            };
            if op.len > skip + MAX_NAME {
                continue;
            }
            let Ok(text) = data.read_range(op.offset + skip..op.offset + op.len) else { continue };
            for part in String::from_utf8_lossy(&text).split(['\n', '\'', '"']) {
                if let Some(fact) = named(part) {
                    told += 1;
                    if told <= 200 {
                        cx.fact(Some(op.offset), fact);
                    }
                }
            }
        }
    });
}

/// The fact of a text in bytecode.
fn named(text: &str) -> Option<FactKind> {
    const CLASSES: &str = "__torch__.torch.classes";
    let detail = || "in the bytecode of a mobile program".to_string();
    if let Some(at) = text.find(CLASSES) {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let name: String = text[at..].chars().take_while(|c| word(*c)).collect();
        return torchscript::class_fact(&name, detail());
    }
    let plain =
        |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
    let (space, rest) = text.split_once("::")?;
    if !plain(space) || !plain(rest) {
        return None;
    }
    let code = torchscript::registered(text)?.code()?;
    Some(torchscript::operator_fact(code, text, detail()))
}
