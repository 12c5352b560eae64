//! Tar archives (v7, ustar, pax, GNU), and PyTorch's first container, which was one.
//!
//! Python's `tarfile` is the reader that model loaders use; where it and other readers differ (pax names they
//! do not know, sizes on links, prefixes, junk before the first header) the union is scanned.

use super::compressed::all_zero;
use super::tar_header::{BLOCK, Header, header, until_nul};
use super::tar_records::Pending;
use super::tar_sparse::Map;
use super::{Claim, Coverage, Format, Probe, tar_torch};
use crate::analyses::{opaque, paths};
use crate::cx::{Cx, Stop};
use std::collections::HashSet;
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason, escape_bytes};

/// Tar archives.
pub struct Tar;

/// Their data may overlap what follows, so only so many are scanned.
const MAX_SPECIAL: u32 = 16;

/// Where the first header stands: GNU tar goes on until it finds one, with `-i` also past zero blocks.
fn first_header(head: &[u8]) -> Option<usize> {
    if header(head).is_some() {
        return Some(0);
    }
    let block = BLOCK as usize;
    (1..head.len() / block).map(|n| n * block).find(|at| {
        let here = &head[*at..];
        here.get(257..262) == Some(b"ustar") && header(here).is_some_and(|h| !h.name.is_empty())
    })
}

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Tar archives",
    ids: &["pytorch-tar"],
    loaders: "`torch.load` (legacy), `tarfile`, NeMo, SageMaker, tar",
    judged: "every member with its long names, sparse maps and links; paths that leave the folder; members by content",
    blind: "a tar behind more than 3.5 KiB of other bytes; pax values as text",
    corpus: &["tar", "pytorch-tar"],
};

impl Format for Tar {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "tar"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if first_header(&probe.head).is_some() { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut walk = Walk::default();
        if let Some(at @ 1..) = first_header(&blob.head(Probe::HEAD)?) {
            let before = blob.sub(0..at as u64);
            cx.structure(0, "tar-prefix-bytes", format!("{at} bytes before the first member header"));
            if !all_zero(&before)? {
                walk.members.push((b"(prefix)".to_vec(), before));
            }
            walk.at = at as u64;
        }
        let end = walk.run(blob, cx);
        let names = walk.members.iter().map(|(n, _)| &n[..]).chain(walk.folders.iter().map(|n| &n[..]));
        for name in walk.links.crossed(names) {
            let detail = escape_bytes(&name);
            cx.fact(None, FactKind::UnsafePath { code: "through-link".into(), detail });
        }
        let torch = [&b"sys_info"[..], b"pickle", b"storages", b"tensors"]
            .iter()
            .filter(|n| walk.members.iter().any(|m| m.0 == **n))
            .count();
        if torch >= 2 {
            cx.refine("pytorch-tar");
        }
        for (name, data) in &walk.members {
            if torch >= 2 && matches!(&name[..], b"storages" | b"tensors") {
                tar_torch::scan(name, data, cx)?;
            } else {
                cx.member(name, data);
            }
        }
        end
    }
}

#[derive(Default)]
struct Walk {
    at: u64,
    pending: Pending,
    names: HashSet<Vec<u8>>,
    members: Vec<(Vec<u8>, Blob)>,
    folders: Vec<Vec<u8>>,
    links: paths::Links,
    /// Links and folders with data so far.
    special: u32,
}

impl Walk {
    fn run(&mut self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut held = 0u64;
        while self.at < blob.len() {
            let block = blob.read_range(self.at..self.at.saturating_add(BLOCK))?;
            if block.iter().all(|b| *b == 0) {
                return self.after_end(blob, cx);
            }
            let Some(h) = header(&block) else {
                let rest = blob.sub(self.at..blob.len());
                let what = "a member header has a wrong checksum; readers stop here";
                cx.structure(self.at, "tar-bad-header", what);
                self.members.push((format!("(bytes at {:#x})", self.at).into_bytes(), rest));
                return self.next_header(blob, cx);
            };
            cx.budget.entries(1)?;
            held += 256 + 2 * h.name.len() as u64;
            cx.budget.memory(held)?;
            self.member(h, blob, cx)?;
        }
        cx.structure(blob.len(), "tar-no-end", "the archive ends without its two zero blocks");
        Ok(())
    }

    /// Behind a broken header: GNU tar skips to the next good one, so what starts there is an archive too.
    fn next_header(&mut self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        const MAX: u64 = 64 << 20;
        let end = blob.len().min(self.at.saturating_add(MAX));
        let mut window = wb_blob::Window::new(blob.clone(), 1 << 20);
        let mut at = self.at.saturating_add(BLOCK);
        while at < end {
            let view = window.view(at, BLOCK as usize)?;
            if view.len() < BLOCK as usize {
                return Ok(());
            }
            let blocks = view.chunks_exact(BLOCK as usize);
            let found = blocks.clone().position(|b| &b[257..262] == b"ustar" && header(b).is_some());
            let step = found.unwrap_or(blocks.len()) as u64 * BLOCK;
            at = at.saturating_add(step);
            if found.is_some() {
                self.members.push((format!("(archive at {at:#x})").into_bytes(), blob.sub(at..blob.len())));
                return Ok(());
            }
        }
        if at < blob.len() {
            let what = "bytes behind a broken member header, not searched";
            cx.gap(GapReason::Unexplained, Some(at), Some(blob.len() - at), what);
        }
        Ok(())
    }

    fn after_end(&mut self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let rest = blob.sub(self.at..blob.len());
        if all_zero(&rest)? {
            return Ok(());
        }
        // Skip the zero blocks, then see what follows.
        let mut at = self.at;
        while at < blob.len() && blob.read_range(at..at + BLOCK)?.iter().all(|b| *b == 0) {
            at += BLOCK;
        }
        let detail = format!("{} bytes after the end of the archive", blob.len() - at);
        cx.structure(at, "tar-data-after-end", detail);
        self.members.push((format!("(after end at {at:#x})").into_bytes(), blob.sub(at..blob.len())));
        Ok(())
    }

    fn member(&mut self, h: Header, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let header_at = self.at;
        let mut data_at = header_at + BLOCK;
        let extension = matches!(h.kind, b'x' | b'g' | b'L' | b'K' | b'X');
        let size = self.pending.size.filter(|_| !extension).unwrap_or(h.size);
        if h.negative {
            cx.structure(header_at, "tar-negative-size", escape_bytes(&h.name));
        }
        let mut map = None;
        if h.kind == b'S' {
            let (found, blocks) = Map::of_header(blob, header_at, cx)?;
            data_at = data_at.saturating_add(blocks * BLOCK);
            map = Some(found);
        }
        let end = data_at.saturating_add(size);
        if end > blob.len() {
            let left = blob.len() - data_at.min(blob.len());
            let detail = format!("{}: {size} bytes announced, {left} left", escape_bytes(&h.name));
            cx.structure(header_at, "tar-data-out-of-bounds", detail);
        }
        let data = blob.sub(data_at..end);
        self.at = data_at.saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
        if extension {
            return self.extension(h.kind, &data, header_at, cx);
        }
        let pending = std::mem::take(&mut self.pending);
        let name = pending.name.clone().unwrap_or_else(|| h.name.clone());
        let link = pending.link.unwrap_or_else(|| h.link.clone());
        let mut names = vec![&name];
        names.extend(Some(&h.name).filter(|n| **n != name));
        names.extend(h.prefixed.as_ref());
        for n in names {
            if let Some(code) = paths::escape_of(n) {
                unsafe_path(cx, header_at, code, escape_bytes(n));
            }
            // In a layer of an image such a name removes what lies beneath: here its own folder, or the one above.
            let file = n.rsplit(|b| *b == b'/').next().unwrap_or(n);
            if matches!(file.strip_prefix(b".wh."), Some(b"" | b"." | b"..")) {
                unsafe_path(cx, header_at, "traversal", escape_bytes(n));
            }
        }
        self.kind(h.kind, &name, &link, header_at, cx);
        if let Some(announced) = &pending.sparse {
            map = Some(Map::of_pax(announced, &data, cx)?);
        }
        let has_data = !matches!(h.kind, b'1'..=b'6');
        if !has_data && size > 0 {
            return self.data_of_special(name, data, data_at, cx);
        }
        if has_data && !self.names.insert(name.clone()) {
            let detail = format!("two members named {}", escape_bytes(&name));
            cx.structure(header_at, "tar-duplicate-entry", detail);
        }
        if let Some(map) = map {
            self.sparse(name, data, map, header_at, cx)?;
        } else if has_data && !(name.ends_with(b"/") && size == 0) {
            self.members.push((name, data));
        } else {
            self.folders.push(name);
        }
        Ok(())
    }

    /// What the kind of a member says beside its name.
    fn kind(&mut self, kind: u8, name: &[u8], link: &[u8], at: u64, cx: &mut Cx<'_>) {
        let shown = || format!("{} -> {}", escape_bytes(name), escape_bytes(link));
        match kind {
            b'2' => {
                self.links.add(name, link);
                // A symbolic link counts from its own folder, a hard link from the root of the archive.
                if paths::symlink_escapes(name, link) {
                    unsafe_path(cx, at, "link-outside", shown());
                }
            }
            b'1' if paths::escape_of(link).is_some() => unsafe_path(cx, at, "link-outside", shown()),
            b'3' | b'4' | b'6' => unsafe_path(cx, at, "device", escape_bytes(name)),
            _ => {}
        }
    }

    /// Python takes no data after links and folders, other readers skip it.
    fn data_of_special(
        &mut self,
        name: Vec<u8>,
        data: Blob,
        data_at: u64,
        cx: &mut Cx<'_>,
    ) -> Result<(), Stop> {
        let size = data.len();
        let detail = format!("{} is no file and yet {size} bytes long", escape_bytes(&name));
        cx.structure(data_at - BLOCK, "tar-size-on-special", detail);
        if header(&data.head(BLOCK as usize)?).is_some() {
            self.at = data_at;
        }
        self.special += 1;
        if self.special <= MAX_SPECIAL {
            self.members.push((name, data));
        } else {
            let detail = "data of a link or folder, not scanned";
            cx.gap(GapReason::Limit("entries-limit".into()), Some(data_at), Some(size), detail);
        }
        Ok(())
    }

    /// A member with holes: the file with its holes filled, and its pieces where these are something by themselves.
    fn sparse(
        &mut self,
        name: Vec<u8>,
        data: Blob,
        map: Option<Map>,
        at: u64,
        cx: &mut Cx<'_>,
    ) -> Result<(), Stop> {
        let broken = map.is_none();
        let filled = map.and_then(|m| m.fill(&data));
        if filled.is_none() {
            let what = if broken { "its map is broken" } else { "its holes are larger than anything honest" };
            cx.structure(at, "tar-sparse-map", format!("{}: {what}", escape_bytes(&name)));
            cx.gap(
                GapReason::UnsupportedVariant,
                Some(at),
                Some(data.len()),
                format!("sparse member: {what}"),
            );
        }
        let alone = filled.is_none() || opaque::hidden(&data, &data.head(4096)?).is_some();
        if alone && filled.as_ref().is_none_or(|f| f.len() != data.len()) {
            self.members.push(([&name[..], b" (pieces)"].concat(), data));
        }
        self.members.extend(filled.map(|f| (name, f)));
        Ok(())
    }

    /// A record that says something of the next member (or, type `g`, of all that follow).
    fn extension(&mut self, kind: u8, data: &Blob, at: u64, cx: &mut Cx<'_>) -> Result<(), Stop> {
        const MAX: u64 = 1 << 20;
        if data.len() > MAX {
            let detail = format!("an extension record of {} bytes", data.len());
            cx.fact(Some(at), FactKind::Resource { code: "tar-huge-extension".into(), detail });
        }
        let body = data.head(MAX as usize)?;
        match kind {
            b'L' => self.pending.name = Some(until_nul(&body).to_vec()),
            b'K' => self.pending.link = Some(until_nul(&body).to_vec()),
            _ => self.pending.pax(&body, kind == b'g', at, cx),
        }
        Ok(())
    }
}

pub(super) fn unsafe_path(cx: &mut Cx<'_>, at: u64, code: &str, detail: String) {
    cx.fact(Some(at), FactKind::UnsafePath { code: code.into(), detail });
}

/// True if `blob` is a tar and `range` lies inside the data of one of its members.
///
/// Whatever is there is scanned as that member; it is no second reading of the whole file.
pub(super) fn inside_member(blob: &Blob, range: std::ops::Range<u64>) -> bool {
    const MAX_MEMBERS: usize = 100_000;
    let mut at = 0u64;
    for _ in 0..MAX_MEMBERS {
        let Ok(block) = blob.read_range(at..at.saturating_add(BLOCK)) else { return false };
        let Some(h) = header(&block) else { return false };
        let data_at = at.saturating_add(BLOCK);
        let end = data_at.saturating_add(h.size);
        if data_at <= range.start && range.end <= end {
            return !matches!(h.kind, b'1'..=b'6' | b'L' | b'K' | b'x' | b'g' | b'X' | b'S');
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
