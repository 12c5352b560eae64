//! Tar archives (v7, ustar, pax, GNU), and PyTorch's first container, which was one.
//!
//! Python's `tarfile` is the reader that model loaders use; where it and other readers differ (pax names they
//! do not know, sizes on links) the union is scanned.

use super::compressed::all_zero;
use super::{Claim, Format, Probe};
use crate::analyses::{opaque, paths};
use crate::cx::{Cx, Stop};
use std::collections::HashSet;
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason, escape_bytes};

/// Tar archives.
pub struct Tar;

const BLOCK: u64 = 512;
/// Their data may overlap what follows, so only so many are scanned.
const MAX_SPECIAL: u32 = 16;

/// One header block, decoded.
struct Header {
    name: Vec<u8>,
    link: Vec<u8>,
    size: u64,
    kind: u8,
}

/// What extension records announce for the next member.
#[derive(Default, Clone)]
struct Pending {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

fn until_nul(b: &[u8]) -> &[u8] {
    &b[..memchr::memchr(0, b).unwrap_or(b.len())]
}

/// Octal or (GNU) base-256 number.
fn number(field: &[u8]) -> Option<u64> {
    if let [first @ (0x80 | 0xff), rest @ ..] = field {
        if *first == 0xff {
            return None;
        }
        return rest.iter().try_fold(0u64, |n, b| n.checked_mul(256)?.checked_add(u64::from(*b)));
    }
    let text = until_nul(field).trim_ascii();
    text.iter().try_fold(0u64, |n, b| match b {
        b'0'..=b'7' => n.checked_mul(8)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

/// Decodes a header block; `None` if its checksum is wrong.
fn header(block: &[u8]) -> Option<Header> {
    if block.len() < BLOCK as usize {
        return None;
    }
    let stated = number(&block[148..156])?;
    let mut unsigned = 8 * u64::from(b' ');
    let mut signed = 8 * i64::from(b' ');
    for (i, b) in block[..512].iter().enumerate() {
        if !(148..156).contains(&i) {
            unsigned += u64::from(*b);
            signed += i64::from(*b as i8);
        }
    }
    if stated != unsigned && i64::try_from(stated) != Ok(signed) {
        return None;
    }
    let mut name = until_nul(&block[..100]).to_vec();
    let prefix = until_nul(&block[345..500]);
    if block[257..263] == *b"ustar\0" && !prefix.is_empty() {
        name = [prefix, b"/", &name].concat();
    }
    Some(Header {
        name,
        link: until_nul(&block[157..257]).to_vec(),
        size: number(&block[124..136])?,
        kind: block[156],
    })
}

impl Format for Tar {
    fn id(&self) -> &'static str {
        "tar"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        match header(&probe.head) {
            Some(h) if !h.name.is_empty() => Claim::Strong,
            _ => Claim::No,
        }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut walk = Walk {
            at: 0,
            pending: Pending::default(),
            names: HashSet::new(),
            members: Vec::new(),
            special: 0,
        };
        let end = walk.run(blob, cx);
        let torch = [&b"sys_info"[..], b"pickle", b"storages", b"tensors"]
            .iter()
            .filter(|n| walk.members.iter().any(|m| m.0 == **n))
            .count();
        if torch >= 2 {
            cx.refine("pytorch-tar");
        }
        for (name, data) in &walk.members {
            if torch >= 2 && matches!(&name[..], b"storages" | b"tensors") {
                torch_stream(name, data, cx)?;
            } else {
                cx.member(name, data);
            }
        }
        end
    }
}

struct Walk {
    at: u64,
    pending: Pending,
    names: HashSet<Vec<u8>>,
    members: Vec<(Vec<u8>, Blob)>,
    /// Links and folders with data so far.
    special: u32,
}

impl Walk {
    fn run(&mut self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut held = 0u64;
        while self.at < blob.len() {
            let block = blob.read_range(self.at..self.at + BLOCK)?;
            if block.iter().all(|b| *b == 0) {
                return self.after_end(blob, cx);
            }
            let Some(h) = header(&block) else {
                let rest = blob.sub(self.at..blob.len());
                cx.structure(
                    self.at,
                    "tar-bad-header",
                    "a member header has a wrong checksum; readers stop here",
                );
                self.members.push((format!("(bytes at {:#x})", self.at).into_bytes(), rest));
                return Ok(());
            };
            cx.budget.entries(1)?;
            held += 256 + 2 * h.name.len() as u64;
            cx.budget.memory(held)?;
            self.member(h, blob, cx)?;
        }
        cx.structure(blob.len(), "tar-no-end", "the archive ends without its two zero blocks");
        Ok(())
    }

    fn after_end(&mut self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let rest = blob.sub(self.at..blob.len());
        if all_zero(&rest)? {
            return Ok(());
        }
        // Skip the zero blocks, then see what follows.
        let mut at = self.at;
        while blob.read_range(at..at + BLOCK)?.iter().all(|b| *b == 0) && at < blob.len() {
            at += BLOCK;
        }
        cx.structure(
            at,
            "tar-data-after-end",
            format!("{} bytes after the end of the archive", blob.len() - at),
        );
        self.members.push((format!("(after end at {at:#x})").into_bytes(), blob.sub(at..blob.len())));
        Ok(())
    }

    fn member(&mut self, h: Header, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let data_at = self.at + BLOCK;
        let header_at = self.at;
        let size =
            self.pending.size.filter(|_| !matches!(h.kind, b'x' | b'g' | b'L' | b'K')).unwrap_or(h.size);
        let end = data_at.saturating_add(size);
        if end > blob.len() {
            let detail = format!(
                "{}: {size} bytes announced, {} left",
                escape_bytes(&h.name),
                blob.len() - data_at.min(blob.len())
            );
            cx.structure(header_at, "tar-data-out-of-bounds", detail);
        }
        let data = blob.sub(data_at..end);
        self.at = data_at.saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
        match h.kind {
            b'L' | b'K' | b'x' | b'g' | b'X' => {
                const MAX: u64 = 1 << 20;
                if size > MAX {
                    let detail = format!("an extension record of {size} bytes");
                    cx.fact(
                        Some(header_at),
                        FactKind::Resource { code: "tar-huge-extension".into(), detail },
                    );
                }
                let body = data.head(MAX as usize)?;
                match h.kind {
                    b'L' => self.pending.name = Some(until_nul(&body).to_vec()),
                    b'K' => self.pending.link = Some(until_nul(&body).to_vec()),
                    _ => self.pax(&body, header_at, cx),
                }
                return Ok(());
            }
            _ => {}
        }
        let pending = std::mem::take(&mut self.pending);
        let name = pending.name.clone().unwrap_or_else(|| h.name.clone());
        let link = pending.link.unwrap_or_else(|| h.link.clone());
        for n in std::iter::once(&name).chain((name != h.name).then_some(&h.name)) {
            if let Some(code) = paths::escape_of(n) {
                cx.fact(Some(header_at), FactKind::UnsafePath { code: code.into(), detail: escape_bytes(n) });
            }
        }
        let shown = || format!("{} -> {}", escape_bytes(&name), escape_bytes(&link));
        match h.kind {
            // A symbolic link counts from its own folder, a hard link from the root of the archive.
            b'2' if paths::symlink_escapes(&name, &link) => {
                cx.fact(
                    Some(header_at),
                    FactKind::UnsafePath { code: "link-outside".into(), detail: shown() },
                );
            }
            b'1' if paths::escape_of(&link).is_some() => {
                cx.fact(
                    Some(header_at),
                    FactKind::UnsafePath { code: "link-outside".into(), detail: shown() },
                );
            }
            b'3' | b'4' | b'6' => {
                cx.fact(
                    Some(header_at),
                    FactKind::UnsafePath { code: "device".into(), detail: escape_bytes(&name) },
                );
            }
            b'S' => {
                cx.structure(header_at, "tar-sparse-member", escape_bytes(&name));
                cx.gap(
                    GapReason::UnsupportedVariant,
                    Some(header_at),
                    Some(size),
                    "sparse member, holes not filled",
                );
            }
            _ => {}
        }
        if pending.sparse {
            cx.structure(header_at, "tar-sparse-member", escape_bytes(&name));
            cx.gap(
                GapReason::UnsupportedVariant,
                Some(header_at),
                Some(size),
                "sparse member, holes not filled",
            );
        }
        let has_data = !matches!(h.kind, b'1'..=b'6');
        if !has_data && size > 0 {
            // tarfile takes no data after links and folders, other readers skip `size` bytes.
            let detail = format!("{} is no file and yet {size} bytes long", escape_bytes(&name));
            cx.structure(header_at, "tar-size-on-special", detail);
            self.at =
                if header(&blob.read_range(data_at..data_at + BLOCK)?).is_some() { data_at } else { self.at };
            self.special += 1;
            if self.special <= MAX_SPECIAL {
                self.members.push((name, data));
            } else {
                let detail = "data of a link or folder, not scanned";
                cx.gap(GapReason::Limit("entries-limit".into()), Some(data_at), Some(size), detail);
            }
            return Ok(());
        }
        if has_data && !self.names.insert(name.clone()) {
            cx.structure(
                header_at,
                "tar-duplicate-entry",
                format!("two members named {}", escape_bytes(&name)),
            );
        }
        if has_data && !(name.ends_with(b"/") && size == 0) {
            self.members.push((name, data));
        }
        Ok(())
    }

    /// Pax records: `length key=value\n` (POSIX.1-2001, pax interchange format).
    fn pax(&mut self, body: &[u8], at: u64, cx: &mut Cx<'_>) {
        let mut rest = body;
        while !rest.is_empty() && rest[0] != 0 {
            let space = memchr::memchr(b' ', rest);
            let len = space
                .and_then(|s| std::str::from_utf8(&rest[..s]).ok())
                .and_then(|s| s.parse::<usize>().ok());
            let (Some(space), Some(len)) = (space, len) else {
                return cx.structure(at, "tar-bad-pax-record", "a pax record without a length");
            };
            let Some(record) = rest.get(space + 1..len) else {
                return cx.structure(at, "tar-bad-pax-record", "a pax record longer than its member");
            };
            let record = record.strip_suffix(b"\n").unwrap_or(record);
            let Some(eq) = memchr::memchr(b'=', record) else {
                return cx.structure(at, "tar-bad-pax-record", "a pax record without a value");
            };
            let (key, value) = (&record[..eq], &record[eq + 1..]);
            match key {
                b"path" | b"GNU.sparse.name" => self.pending.name = Some(value.to_vec()),
                b"linkpath" => self.pending.link = Some(value.to_vec()),
                b"size" => {
                    self.pending.size = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
                    if self.pending.size.is_none() {
                        cx.structure(at, "tar-bad-pax-record", format!("size {}", escape_bytes(value)));
                    }
                }
                k if k.starts_with(b"GNU.sparse.") => self.pending.sparse = true,
                _ => {}
            }
            rest = &rest[len..];
        }
    }
}

/// `storages` and `tensors` of a torch tar: pickles one after the other with raw data between them.
///
/// What lies between is not followed exactly (it depends on classes); instead a pickle is looked for wherever
/// one can begin: at the start, behind every pickle and its possible raw data, and at each PROTO opcode.
fn torch_stream(name: &[u8], data: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MAX_STARTS: u64 = 200_000;
    const MAX_WALKED: u64 = 100_000_000;
    let mut walked = 0u64;
    let scan = |cx: &mut Cx<'_>, start: u64, end: Option<u64>| {
        let member =
            if start == 0 { name.to_vec() } else { [name, format!("@{start:#x}").as_bytes()].concat() };
        cx.member(&member, &data.sub(start..end.unwrap_or(data.len())));
    };
    let mut tried = HashSet::new();
    let mut next = vec![0u64];
    while let Some(start) = next.pop() {
        if start >= data.len() || !tried.insert(start) {
            continue;
        }
        if tried.len() as u64 > MAX_STARTS || walked > MAX_WALKED {
            cx.gap(
                GapReason::Limit("entries-limit".into()),
                Some(start),
                None,
                "too many pickles in one member",
            );
            break;
        }
        let (end, used, steps) = opaque::pickle_at(data, start);
        walked += steps;
        if start == 0 || end.is_some() || used {
            scan(cx, start, end);
        }
        let Some(end) = end else { continue };
        next.push(end);
        if let Ok(count) = <[u8; 8]>::try_from(data.read_range(end..end + 8)?) {
            let count = u64::from_le_bytes(count);
            for item in [1u64, 2, 4, 8, 16] {
                if let Some(len) = count.checked_mul(item)
                    && let Some(at) = end.checked_add(8).and_then(|e| e.checked_add(len))
                    && at < data.len()
                {
                    next.push(at);
                }
            }
        }
    }
    let mut window = wb_blob::Window::new(data.clone(), 1 << 20);
    let mut at = 0;
    while at < data.len() {
        let v = window.view(at, 2)?;
        let hits: Vec<u64> = memchr::memchr_iter(0x80, v)
            .filter(|n| v.get(n + 1).is_none_or(|p| *p <= 5))
            .map(|n| at + n as u64)
            .collect();
        at += v.len() as u64;
        for start in hits {
            if !tried.insert(start) {
                continue;
            }
            if walked > MAX_WALKED {
                cx.gap(
                    GapReason::Limit("steps-limit".into()),
                    Some(start),
                    None,
                    "too many places where a pickle may begin",
                );
                return Ok(());
            }
            let (end, used, steps) = opaque::pickle_at(data, start);
            walked += steps;
            if used {
                scan(cx, start, end);
            }
        }
    }
    Ok(())
}

/// True if `blob` is a tar and `range` lies inside the data of one of its members.
///
/// Whatever is there is scanned as that member; it is no second reading of the whole file.
pub(super) fn inside_member(blob: &Blob, range: std::ops::Range<u64>) -> bool {
    const MAX_MEMBERS: usize = 100_000;
    let mut at = 0u64;
    for _ in 0..MAX_MEMBERS {
        let Ok(block) = blob.read_range(at..at + BLOCK) else { return false };
        let Some(h) = header(&block) else { return false };
        let data_at = at + BLOCK;
        let end = data_at.saturating_add(h.size);
        if data_at <= range.start && range.end <= end {
            return true;
        }
        at = data_at.saturating_add(h.size.div_ceil(BLOCK).saturating_mul(BLOCK));
        if at > range.start || at >= blob.len() {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, scan};
    use wb_verdict::Facts;

    fn block(name: &[u8], kind: u8, link: &[u8], data: &[u8]) -> Vec<u8> {
        let mut b = vec![0u8; 512];
        b[..name.len()].copy_from_slice(name);
        b[100..107].copy_from_slice(b"0000644");
        b[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        b[148..156].copy_from_slice(b"        ");
        b[156] = kind;
        b[157..157 + link.len()].copy_from_slice(link);
        b[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u64 = b.iter().map(|b| u64::from(*b)).sum();
        b[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        b.extend_from_slice(data);
        b.resize(b.len().div_ceil(512) * 512, 0);
        b
    }

    fn facts(parts: &[Vec<u8>]) -> Facts {
        let mut all = parts.concat();
        all.resize(all.len() + 1024, 0);
        scan(&Blob::from_vec(all), &Options::default())
    }

    fn unsafe_paths(f: &Facts) -> Vec<String> {
        f.facts
            .iter()
            .filter_map(|f| match &f.kind {
                FactKind::UnsafePath { code, .. } => Some(code.clone()),
                _ => None,
            })
            .collect()
    }

    fn structures(f: &Facts) -> Vec<String> {
        f.facts
            .iter()
            .filter_map(|f| match &f.kind {
                FactKind::Structure { code, .. } => Some(code.clone()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn honest_links_are_silent_and_others_are_not() {
        let f = facts(&[
            block(b"d/a", b'0', b"", b"x"),
            block(b"d/l", b'2', b"a", b""),
            block(b"h", b'1', b"d/a", b""),
        ]);
        assert!(unsafe_paths(&f).is_empty());
        assert!(structures(&f).is_empty());
        let f = facts(&[block(b"l", b'2', b"/etc/passwd", b""), block(b"h", b'1', b"../x", b"")]);
        assert_eq!(unsafe_paths(&f), ["link-outside", "link-outside"]);
        let f = facts(&[
            block(b"dev", b'3', b"", b""),
            block(b"../x", b'0', b"", b"y"),
            block(b"/x", b'0', b"", b"y"),
        ]);
        assert_eq!(unsafe_paths(&f), ["device", "traversal", "absolute"]);
    }

    #[test]
    fn long_and_pax_names_count() {
        let f =
            facts(&[block(b"././@LongLink", b'L', b"", b"../../evil\0"), block(b"fine", b'0', b"", b"y")]);
        assert_eq!(unsafe_paths(&f), ["traversal"]);
        let f = facts(&[block(b"pax", b'x', b"", b"17 path=/evil/xx\n"), block(b"fine", b'0', b"", b"y")]);
        assert_eq!(unsafe_paths(&f), ["absolute"]);
    }

    #[test]
    fn what_follows_the_end_is_scanned() {
        let mut all = block(b"a", b'0', b"", b"x");
        all.resize(all.len() + 1024, 0);
        all.extend(block(b"/b", b'0', b"", b"y"));
        let f = scan(&Blob::from_vec(all), &Options::default());
        assert!(structures(&f).contains(&"tar-data-after-end".to_string()));
        assert_eq!(unsafe_paths(&f), ["absolute"]);
    }

    #[test]
    fn torch_streams_are_searched_for_pickles_between_raw_data() {
        let mut s = b"\x80\x02K\x01.".to_vec();
        s.extend(b"\x80\x02(X\x01\x00\x00\x000X\x03\x00\x00\x00cpuctorch\nFloatStorage\nt.");
        s.extend(2u64.to_le_bytes());
        s.extend([0, 0, 128, 63, 0, 0, 128, 63]);
        s.extend(b"cposix\nsystem\n(S'id'\ntR.");
        let f = facts(&[block(b"pickle", b'0', b"", b"\x80\x02N."), block(b"storages", b'0', b"", &s)]);
        assert!(f.formats.contains(&"pytorch-tar".to_string()));
        let at = f.facts.iter().any(|f| f.location.path.starts_with("storages@"));
        assert!(at, "{:?}", f.facts);
    }
}
