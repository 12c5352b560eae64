//! RAR archives (versions 4 and 5): names and links of members, and the members that are stored. What is compressed is a gap: the only
//! decompressor's licence forbids what a free one would need. Layout: <https://www.rarlab.com/technote.htm>.

use super::leftover;
use super::{Claim, Coverage, Format, Probe};
use crate::analyses::paths;
use crate::cx::{Cx, Stop};
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, GapReason, escape_bytes};

/// `.rar` files.
pub struct Rar;

const V4: &[u8] = b"Rar!\x1a\x07\0";
const V5: &[u8] = b"Rar!\x1a\x07\x01\0";

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "RAR archives",
    ids: &[],
    loaders: "unrar, bsdtar, people",
    judged: "headers, names, stored members by content",
    blind: "compressed and encrypted members are gaps",
    corpus: &["rar"],
};

impl Format for Rar {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "rar"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        let known = probe.head.starts_with(V4) || probe.head.starts_with(V5);
        if known { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let five = blob.head(8)? == V5;
        let mut r = Reader {
            window: Window::new(blob.clone(), 64 << 10),
            blob,
            at: if five { 8 } else { 7 },
            told: 0,
        };
        let done = loop {
            if r.at >= blob.len() {
                break Ok(());
            }
            cx.budget.entries(1)?;
            match if five { r.block5(cx) } else { r.block4(cx) } {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(stop) => break Err(stop),
            }
        };
        if let Err(Stop::Malformed { at, what }) = &done {
            cx.structure(*at, "rar-malformed", what.clone());
        }
        if done.is_ok() && r.at < blob.len() {
            leftover::record(blob, r.at, "rar-trailing-bytes", "the archive ends before", cx)?;
        }
        done
    }
}

struct Reader<'b> {
    window: Window,
    blob: &'b Blob,
    at: u64,
    told: u32,
}

/// One member, as its header has it.
struct Member<'m> {
    name: &'m [u8],
    stored: bool,
    encrypted: bool,
    split: bool,
    folder: bool,
    data: (u64, u64),
}

fn cut(at: u64) -> Stop {
    Stop::malformed(at, "a header that leaves the archive")
}

/// A number of seven bits a byte.
fn vint(v: &[u8], at: &mut usize) -> Option<u64> {
    let mut n = 0u64;
    for shift in 0..10 {
        let b = *v.get(*at)?;
        *at += 1;
        n |= u64::from(b & 0x7f).checked_shl(7 * shift)?;
        if b & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

fn le(v: &[u8], at: usize, size: usize) -> Option<u64> {
    Some(v.get(at..at + size)?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

impl Reader<'_> {
    /// A block of version 5; false for the last.
    fn block5(&mut self, cx: &mut Cx<'_>) -> Result<bool, Stop> {
        const LARGEST: u64 = 2 << 20;
        let start = self.at;
        let head =
            self.window.view(start, 16)?.get(4..16.min(self.blob.len().saturating_sub(start) as usize));
        let head = head.ok_or_else(|| cut(start))?.to_vec();
        let mut used = 0;
        let size = vint(&head, &mut used).filter(|n| *n <= LARGEST).ok_or_else(|| cut(start))?;
        let body = start + 4 + used as u64;
        if body + size > self.blob.len() {
            return Err(cut(start));
        }
        let v = self.blob.read_range(body..body + size)?;
        let mut p = 0;
        let next = |p: &mut usize| vint(&v, p).ok_or_else(|| cut(start));
        let (kind, flags) = (next(&mut p)?, next(&mut p)?);
        let extra = if flags & 1 != 0 { next(&mut p)? } else { 0 };
        let data = if flags & 2 != 0 { next(&mut p)? } else { 0 };
        let data_at = body + size;
        let end = data_at.checked_add(data).filter(|e| *e <= self.blob.len()).ok_or_else(|| cut(start))?;
        self.at = end;
        match kind {
            // The rest is encrypted, names included.
            4 => return Err(Stop::Encrypted),
            5 => return Ok(false),
            2 | 3 => {
                let file = next(&mut p)?;
                let (_unpacked, _attributes) = (next(&mut p)?, next(&mut p)?);
                p += if file & 2 != 0 { 4 } else { 0 };
                p += if file & 4 != 0 { 4 } else { 0 };
                let method = next(&mut p)? >> 7 & 7;
                let _system = next(&mut p)?;
                let len = next(&mut p)? as usize;
                let name = v.get(p..p.saturating_add(len)).ok_or_else(|| cut(start))?;
                let extra = usize::try_from(extra).ok().and_then(|n| v.get(v.len().checked_sub(n)?..));
                let (encrypted, link) = records(extra.ok_or_else(|| cut(start))?);
                if let Some(target) = link {
                    self.link(name, target, start, cx);
                }
                let member = Member {
                    name,
                    stored: method == 0,
                    encrypted,
                    split: flags & 0x18 != 0,
                    folder: file & 1 != 0,
                    data: (data_at, end),
                };
                self.member(&member, start, cx)?;
            }
            _ => {}
        }
        Ok(true)
    }

    /// A block of version 4; false for the last.
    fn block4(&mut self, cx: &mut Cx<'_>) -> Result<bool, Stop> {
        let start = self.at;
        let head = self.window.view(start, 7)?.get(..7).ok_or_else(|| cut(start))?.to_vec();
        let (kind, flags) = (head[2], le(&head, 3, 2).unwrap_or(0));
        let size = le(&head, 5, 2).filter(|n| *n >= 7).ok_or_else(|| cut(start))?;
        if start + size > self.blob.len() {
            return Err(cut(start));
        }
        let v = self.blob.read_range(start..start + size)?;
        let file = matches!(kind, 0x74 | 0x7a);
        let mut data = if file || flags & 0x8000 != 0 { le(&v, 7, 4).ok_or_else(|| cut(start))? } else { 0 };
        if file && flags & 0x100 != 0 {
            data |= le(&v, 32, 4).ok_or_else(|| cut(start))? << 32;
        }
        let end =
            (start + size).checked_add(data).filter(|e| *e <= self.blob.len()).ok_or_else(|| cut(start))?;
        self.at = end;
        match kind {
            0x73 if flags & 0x80 != 0 => return Err(Stop::Encrypted),
            0x7b => return Ok(false),
            0x74 | 0x7a => {
                let method = *v.get(25).ok_or_else(|| cut(start))?;
                let len = le(&v, 26, 2).ok_or_else(|| cut(start))? as usize;
                let at = if flags & 0x100 != 0 { 40 } else { 32 };
                let name = v.get(at..at + len).ok_or_else(|| cut(start))?;
                // A second name, in Unicode, stands behind a zero.
                let name = name.split(|b| *b == 0).next().unwrap_or(name);
                let member = Member {
                    name,
                    stored: method == 0x30,
                    encrypted: flags & 4 != 0,
                    split: flags & 3 != 0,
                    folder: flags & 0xe0 == 0xe0,
                    data: (start + size, end),
                };
                self.member(&member, start, cx)?;
            }
            _ => {}
        }
        Ok(true)
    }

    fn link(&mut self, name: &[u8], target: &[u8], at: u64, cx: &mut Cx<'_>) {
        if paths::symlink_escapes(name, target) {
            let detail = format!("{} -> {}", escape_bytes(name), escape_bytes(target));
            cx.fact(Some(at), FactKind::UnsafePath { code: "link-outside".into(), detail });
        }
    }

    fn member(&mut self, m: &Member<'_>, at: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
        const MAX_TOLD: u32 = 100;
        if let Some(code) = paths::escape_of(m.name) {
            let detail = escape_bytes(m.name);
            cx.fact(Some(at), FactKind::UnsafePath { code: code.into(), detail });
        }
        let len = m.data.1 - m.data.0;
        if m.folder || len == 0 {
            return Ok(());
        }
        let (reason, what) = match m {
            Member { encrypted: true, .. } => (GapReason::Encrypted, "is encrypted"),
            Member { split: true, .. } => (GapReason::UnsupportedVariant, "goes on in another volume"),
            Member { stored: false, .. } => (GapReason::UnsupportedVariant, "is compressed by rar"),
            _ => {
                cx.member(m.name, &self.blob.sub(m.data.0..m.data.1));
                return Ok(());
            }
        };
        self.told += 1;
        if self.told <= MAX_TOLD {
            cx.gap(reason, Some(m.data.0), Some(len), format!("member {} {what}", escape_bytes(m.name)));
        }
        Ok(())
    }
}

/// Of a member's extra records: is it encrypted, and where does it lead if it is a link?
fn records(mut extra: &[u8]) -> (bool, Option<&[u8]>) {
    let (mut encrypted, mut link) = (false, None);
    while !extra.is_empty() {
        let mut at = 0;
        let Some(size) = vint(extra, &mut at).and_then(|n| usize::try_from(n).ok()) else { break };
        let Some(record) = extra.get(at..at.saturating_add(size)) else { break };
        let mut p = 0;
        match vint(record, &mut p) {
            Some(1) => encrypted = true,
            Some(5) => {
                let (_kind, _flags) = (vint(record, &mut p), vint(record, &mut p));
                let len = vint(record, &mut p).and_then(|n| usize::try_from(n).ok());
                link = len.and_then(|n| record.get(p..p.saturating_add(n)));
            }
            _ => {}
        }
        extra = extra.get(at + size..).unwrap_or_default();
    }
    (encrypted, link)
}
