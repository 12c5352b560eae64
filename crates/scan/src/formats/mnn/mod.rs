//! MNN models: FlatBuffers by `schema/default/MNN.fbs` of MNN, without an identifier. What can hurt: operators that an
//! application registers (plugins), weights in a file that an operator names, and whatever the tables hide.

use super::flat_layout::{self, Layout, Visitor};
use super::flatbuffer::{Flat, Table};
use super::{Claim, Coverage, Format, Probe};
use crate::analyses::{opaque, paths};
use crate::cx::{Cx, Stop};
use std::collections::HashSet;
use std::sync::OnceLock;
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason, escape, escape_bytes};

/// `.mnn` files.
pub struct Mnn;

fn layout() -> &'static Layout {
    static LAYOUT: OnceLock<Layout> = OnceLock::new();
    LAYOUT.get_or_init(|| Layout::parse(include_str!("layout.txt")))
}

/// Slots of a model, of an operator, and of the operators' own parameters.
const OPERATORS: usize = 3;
const OP_UNION: usize = 1;
const OP_TYPE: usize = 5;
const OP_FILE: usize = 7;
const PLUGIN: u64 = 256;
const EXTRA: u64 = 512;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "MNN",
    ids: &[],
    loaders: "MNN",
    judged: "tables, indices, operators, external files",
    blind: "weights of their own (`.weight`) have no structure",
    corpus: &["mnn"],
};

impl Format for Mnn {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "mnn"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if is_model(probe).unwrap_or(false) { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        read(blob, cx).inspect_err(|stop| {
            if let Stop::Malformed { at, what } = stop {
                cx.structure(*at, "mnn-malformed", what.clone());
            }
        })
    }
}

/// Enough of a FlatBuffer to tell it: everything else has an identifier at its fifth byte.
struct Peek<'p>(&'p Blob);

impl Peek<'_> {
    fn number(&self, at: u64, size: u64) -> Option<u64> {
        let b = self.0.read_range(at..at.checked_add(size)?).ok()?;
        (b.len() as u64 == size).then(|| b.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    fn follow(&self, at: u64) -> Option<u64> {
        at.checked_add(self.number(at, 4)?).filter(|to| *to > at && *to < self.0.len())
    }

    /// The slots of the table at `at`, if it has at most `most`.
    fn table(&self, at: u64, most: usize) -> Option<Vec<u64>> {
        let back = self.number(at, 4)? as u32 as i32;
        let vtable = u64::try_from(i64::try_from(at).ok()? - i64::from(back)).ok()?;
        let (vlen, tlen) = (self.number(vtable, 2)?, self.number(vtable + 2, 2)?);
        let slots = usize::try_from(vlen.checked_sub(4)? / 2).ok()?;
        if vlen % 2 != 0 || slots > most || at + tlen > self.0.len() {
            return None;
        }
        (0..slots as u64)
            .map(|i| self.number(vtable + 4 + 2 * i, 2))
            .collect::<Option<Vec<u64>>>()
            .filter(|s| s.iter().all(|slot| *slot < tlen))
    }
}

/// The root is a table with a vector of operators, and the first of these look like operators.
fn is_model(probe: &Probe) -> Option<bool> {
    const LOOKED_AT: u64 = 64;
    let known =
        |at: usize| probe.head.get(at..at + 4).is_some_and(|b| b.iter().all(u8::is_ascii_alphanumeric));
    // A root behind the first bytes, at a place that is a multiple of four.
    let root = u64::from(u32::from_le_bytes(probe.head.get(..4)?.try_into().ok()?));
    if known(4) || root < 4 || root % 2 != 0 || root >= probe.blob.len() {
        return None;
    }
    let peek = Peek(&probe.blob);
    let model = peek.table(root, layout().fields("Net"))?;
    let operators = peek.follow(root + model.get(OPERATORS).filter(|s| **s > 0)?)?;
    let count = peek.number(operators, 4)?;
    if count == 0 || count > probe.blob.len() / 8 {
        return None;
    }
    let mut named = false;
    for n in 0..count.min(LOOKED_AT) {
        let at = peek.follow(operators + 4 + 4 * n)?;
        let op = peek.table(at, layout().fields("Op"))?;
        let slot = |n: usize| op.get(n).copied().filter(|s| *s > 0);
        if let Some(s) = slot(OP_UNION)
            && peek.number(at + s, 1)? > layout().members("OpParameter") as u64
        {
            return None;
        }
        if let Some(s) = slot(OP_TYPE)
            && peek.number(at + s, 4)? > 4096
        {
            return None;
        }
        named |= slot(0).or(slot(4)).or(slot(3)).is_some();
    }
    Some(named)
}

fn read(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut flat = Flat::new(blob);
    flat.mark(0, 4);
    let root = flat.follow(0)?;
    let mut visitor = Operators { blob, told: HashSet::new(), looked: 0 };
    flat_layout::walk(layout(), "Net", root, &mut flat, &mut visitor, cx)?;
    flat_layout::unexplained(blob, flat, cx)
}

struct Operators<'b> {
    blob: &'b Blob,
    told: HashSet<String>,
    looked: u32,
}

impl Operators<'_> {
    fn tell(&mut self, at: u64, code: &str, op: &[u8], detail: &str, cx: &mut Cx<'_>) {
        const MOST: usize = 1000;
        let op = escape_bytes(&op[..op.len().min(200)]);
        if self.told.len() < MOST && self.told.insert(format!("{code} {op}")) {
            cx.fact(Some(at), FactKind::Operator { code: code.into(), op, detail: detail.into() });
        }
    }

    fn operator(&mut self, t: &Table, flat: &mut Flat, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let kind = flat.scalar(t, OP_TYPE, 4, 0)?;
        let parameters = flat.scalar(t, OP_UNION, 1, 0)?;
        // Told by its parameters, which name the type; without them by its number.
        match kind {
            PLUGIN if parameters == 0 => {
                self.tell(t.at, "mnn-custom", b"Plugin", "an operator without a type", cx)
            }
            EXTRA if parameters == 0 => {
                self.tell(t.at, "mnn-custom", b"Extra", "an operator without a type", cx)
            }
            PLUGIN | EXTRA => {}
            n if !known(n) => {
                let op = format!("operator {}", n as u32 as i32);
                self.tell(t.at, "mnn-unknown-operator", op.as_bytes(), "a number that no release has", cx);
            }
            _ => {}
        }
        if let Some(path) = flat.string(t, OP_FILE)?
            && let Some(code) = outside(&path)
        {
            let detail = format!("weights in {}", escape_bytes(&path));
            if self.told.insert(detail.clone()) {
                cx.fact(Some(t.at), FactKind::UnsafePath { code: code.into(), detail });
            }
        }
        Ok(())
    }
}

impl Visitor for Operators<'_> {
    fn table(&mut self, name: &str, t: &Table, flat: &mut Flat, cx: &mut Cx<'_>) -> Result<(), Stop> {
        match name {
            "Op" => self.operator(t, flat, cx),
            "Plugin" => {
                let kind = flat.string(t, 0)?.unwrap_or_default();
                self.tell(t.at, "mnn-custom", &kind, "a plugin", cx);
                Ok(())
            }
            "Extra" => {
                let kind = flat.string(t, 0)?.unwrap_or_default();
                let engine = flat.string(t, 1)?.unwrap_or_default();
                let detail = format!("an operator of the engine {}", escape_bytes(&engine));
                self.tell(t.at, "mnn-custom", &kind, &escape(&detail), cx);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn data(&mut self, at: u64, len: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
        const LEAST: u64 = 16;
        const MOST: u32 = 200_000;
        self.looked += 1;
        if len < LEAST {
            return Ok(());
        }
        if self.looked > MOST {
            if self.looked == MOST + 1 {
                let what = "starts of further arrays not checked";
                cx.gap(GapReason::Limit("entries-limit".into()), Some(at), None, what);
            }
            return Ok(());
        }
        let data = self.blob.sub(at..at + len);
        let head = data.head(96)?;
        if let Some(what) = opaque::hidden(&data, &head) {
            cx.fact(
                Some(at),
                FactKind::Hidden { code: what.into(), detail: "in an array of the model".into() },
            );
            cx.member(format!("(array at {at:#x})").as_bytes(), &data);
        }
        Ok(())
    }
}

/// Operators that MNN has itself.
fn known(op: u64) -> bool {
    matches!(op, 0..=122 | 128..=156 | 257..=269 | 299..=308 | 513..=518 | 600..=604)
}

/// Why weights are not in a file beside the model.
fn outside(path: &[u8]) -> Option<&'static str> {
    if path.windows(3).any(|w| w == b"://") {
        return Some("mnn-external-address");
    }
    match paths::escape_of(path) {
        Some("absolute") => Some("mnn-external-absolute"),
        Some(_) => Some("mnn-external-traversal"),
        None if path.starts_with(b"~") => Some("mnn-external-absolute"),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_agrees_with_the_slots_used_here() {
        assert_eq!((layout().fields("Net"), layout().fields("Op")), (12, 8));
        assert!(layout().members("OpParameter") > 90);
    }

    #[test]
    fn weights_elsewhere() {
        assert_eq!(outside(b"model.mnn.weight"), None);
        assert_eq!(outside(b"/etc/passwd"), Some("mnn-external-absolute"));
        assert_eq!(outside(b"../x"), Some("mnn-external-traversal"));
        assert_eq!(outside(b"http://x/y"), Some("mnn-external-address"));
    }
}
