//! `storages` and `tensors` of PyTorch's first container, a tar: pickles one after the other with raw data between.

use crate::analyses::opaque;
use crate::cx::{Cx, Stop};
use std::collections::HashSet;
use wb_blob::{Blob, Window};
use wb_verdict::GapReason;

/// Pickles that are scanned at most.
const MAX_STARTS: usize = 200_000;
/// Opcodes that are walked over at most to find them.
const MAX_WALKED: u64 = 100_000_000;

/// Scans the member `name`.
///
/// What lies between the pickles is not followed exactly (it depends on classes); instead a pickle is looked for
/// wherever one can begin: at the start, behind every pickle and its possible raw data, and at each PROTO opcode.
pub(super) fn scan(name: &[u8], data: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut search = Search { name, data, tried: HashSet::new(), walked: 0 };
    search.chain(cx)?;
    search.everywhere(cx)
}

struct Search<'a> {
    name: &'a [u8],
    data: &'a Blob,
    tried: HashSet<u64>,
    walked: u64,
}

impl Search<'_> {
    /// Looks at `start`, unless that was done. With `all` false only a pickle that uses a callable is scanned.
    /// Returns where the pickle ends; none if there is none or a budget is spent, which is a gap.
    fn at(&mut self, start: u64, all: bool, cx: &mut Cx<'_>) -> Result<Option<u64>, ()> {
        if start >= self.data.len() || !self.tried.insert(start) {
            return Ok(None);
        }
        if self.tried.len() > MAX_STARTS || self.walked > MAX_WALKED {
            let what = "too many places where a pickle may begin";
            cx.gap(GapReason::Limit("steps-limit".into()), Some(start), None, what);
            return Err(());
        }
        let (end, used, steps) = opaque::pickle_at(self.data, start);
        self.walked += steps;
        if used || (all && (start == 0 || end.is_some())) {
            let part = self.data.sub(start..end.unwrap_or(self.data.len()));
            match start {
                0 => cx.member(self.name, &part),
                _ => cx.member(&[self.name, format!("@{start:#x}").as_bytes()].concat(), &part),
            }
        }
        Ok(end)
    }

    /// The first pickle, and those behind every pickle and the raw data that it may announce.
    fn chain(&mut self, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut next = vec![0u64];
        while let Some(start) = next.pop() {
            let Ok(end) = self.at(start, true, cx) else { return Ok(()) };
            let Some(end) = end else { continue };
            next.push(end);
            if let Ok(count) = <[u8; 8]>::try_from(self.data.read_range(end..end.saturating_add(8))?) {
                let count = u64::from_le_bytes(count);
                let behind =
                    |item: u64| count.checked_mul(item).and_then(|len| end.checked_add(8)?.checked_add(len));
                next.extend([1, 2, 4, 8, 16].into_iter().filter_map(behind));
            }
        }
        Ok(())
    }

    /// Every PROTO opcode.
    fn everywhere(&mut self, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut window = Window::new(self.data.clone(), 1 << 20);
        let mut at = 0;
        while at < self.data.len() {
            let v = window.view(at, 2)?;
            let hits: Vec<u64> = memchr::memchr_iter(0x80, v)
                .filter(|n| v.get(n + 1).is_none_or(|p| *p <= 5))
                .map(|n| at + n as u64)
                .collect();
            at += v.len() as u64;
            for start in hits {
                if self.at(start, false, cx).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
