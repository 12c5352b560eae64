//! Zip archives, read as every reader would read them at once.
//!
//! CPython's `zipfile`, miniz (torch) and streaming readers disagree on broken archives. This reader takes
//! the union: entries of every central directory any of them would find, records that only a walk over the
//! local headers meets, and all bytes between. Each disagreement is a fact; each content is scanned, whatever
//! its name, flags, CRC or method say.

use super::compressed::all_zero;
use super::zip_kind::{self, Kind};
use super::zip_member::{self, Member};
use super::zip_records::{self as records, Directory, EndRecord, Entry};
use super::{Claim, Coverage, Format, Probe};
use crate::analyses::opaque;
use crate::cx::{Cx, Stop};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, GapReason, escape_bytes};

/// Zip archives and everything built on them.
pub struct Zip;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "Zip archives and what comes in them",
    ids: &[
        "pytorch-zip",
        "npz",
        "h2o-mojo",
        "torch-export",
        "torch-package",
        "torchscript",
        "torchserve-mar",
    ],
    loaders: "`torch.load`, `numpy.load`, `torch.jit.load`, `torch.export.load`, torch.package, TorchServe, `zipfile`, \
        miniz",
    judged: "every record that any reader could find, by content, whatever its name, flags, CRC or method; \
        disagreement of readers; paths; pickles and code in members",
    blind: "methods 6, 10, 97 and 98 and encrypted members are gaps; CRCs of stored members over 16 MiB",
    corpus: &[
        "torchscript",
        "h2o",
        "pytorch-zip",
        "torch-export",
        "torch-package",
        "torchserve-mar",
        "polyglot",
    ],
};

impl Format for Zip {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "zip"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.head.starts_with(records::LOCAL) {
            return Claim::Strong;
        }
        let end = memchr::memmem::find_iter(&probe.tail, records::END).next().is_some();
        if !end {
            return Claim::No;
        }
        match find_archive(&probe.blob) {
            // An archive that is a member of a tar or stored in a 7z is scanned there.
            Ok(Some(f))
                if !super::tar::inside_member(&probe.blob, f.extent())
                    && !super::sevenz::inside_member(&probe.blob, &f.extent()) =>
            {
                Claim::Strong
            }
            _ => Claim::No,
        }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut end = blob.len();
        let mut last = true;
        // Archives one after the other (distributed checkpoints) are found from the end.
        while end > 0 {
            let part = blob.sub(0..end);
            let Some(begin) = find_archive(&part)? else { break };
            if last {
                end = Archive::new(&part, begin).scan(cx, true)?;
                last = false;
            } else {
                let mut start = Ok(0);
                let name = format!("zip-ending-at-{end:#x}");
                cx.enter(name.as_bytes(), |cx| start = Archive::new(&part, begin).scan(cx, false));
                end = start?;
            }
        }
        if last {
            return without_directory(blob, cx);
        }
        if end > 0 {
            prefix(&blob.sub(0..end), cx)?;
        }
        Ok(())
    }
}

/// The end record that readers would settle on, with its rivals behind it in the file.
struct Found {
    record: EndRecord,
    others: Vec<EndRecord>,
    /// End signatures further back that lead nowhere, though a careless reader may try them.
    stray: Option<u64>,
}

impl Found {
    /// From where offsets count to the end of the end record.
    fn extent(&self) -> Range<u64> {
        let begin = self.record.directories.iter().map(|d| d.base).max().unwrap_or(0);
        begin..self.record.range.end
    }
}

fn find_archive(blob: &Blob) -> Result<Option<Found>, Stop> {
    let mut found: Option<Found> = None;
    let mut stray = None;
    for at in records::end_signatures(blob)? {
        let Some(record) = records::end_record(blob, at)? else {
            if found.is_none() {
                stray = stray.or(Some(at));
            }
            continue;
        };
        match &mut found {
            None => found = Some(Found { record, others: Vec::new(), stray: None }),
            Some(f) => {
                // End records before the directory belong to members or to an archive further forward.
                let first = f.record.directories.iter().map(|d| d.at).max().unwrap_or(0);
                if at >= first && f.others.len() < 8 {
                    f.others.push(record);
                }
            }
        }
    }
    if let Some(f) = &mut found {
        f.stray = stray;
    }
    Ok(found)
}

/// Bytes in front of the first archive.
fn prefix(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    if all_zero(blob)? {
        return Ok(());
    }
    if super::tflite::has_associated_files(&blob.head(8)?) {
        // A documented use: the model is judged by its own format, which claims the whole file.
        return Ok(());
    }
    cx.structure(0, "zip-prefix-bytes", format!("{} bytes before the archive", blob.len()));
    if blob.head(4)?.starts_with(records::LOCAL) {
        let mut walk = Archive::bare(blob);
        return walk.gap(cx, 0..blob.len(), "zip-hidden-bytes");
    }
    cx.member(b"(prefix)", blob);
    Ok(())
}

/// A local header and no end record: streaming readers still read it.
fn without_directory(blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
    cx.structure(0, "zip-no-central-directory", "local headers without a central directory");
    let mut walk = Archive::bare(blob);
    walk.gap(cx, 0..blob.len(), "zip-hidden-bytes")?;
    Err(Stop::malformed(blob.len(), "zip without an end record"))
}

struct Archive<'a> {
    blob: &'a Blob,
    found: Option<Found>,
    /// Local header positions already scanned.
    seen: HashSet<u64>,
    kind: Kind,
    overlap_noted: bool,
    unlisted_noted: u32,
}

/// A part of the file that some record explains.
enum Item {
    Local(Range<usize>),
    Known(u64),
}

impl<'a> Archive<'a> {
    fn new(blob: &'a Blob, found: Found) -> Self {
        Self { found: Some(found), ..Self::bare(blob) }
    }

    fn bare(blob: &'a Blob) -> Self {
        Self {
            blob,
            found: None,
            seen: HashSet::new(),
            kind: Kind::default(),
            overlap_noted: false,
            unlisted_noted: 0,
        }
    }

    /// Scans the archive; returns where it begins. `outer`: it reaches to the end of the file.
    fn scan(&mut self, cx: &mut Cx<'_>, outer: bool) -> Result<u64, Stop> {
        let Some(found) = self.found.take() else { return Ok(0) };
        if let Some(at) = found.stray {
            cx.structure(at, "zip-stray-end-record", "an end record behind the real one leads nowhere");
        }
        if !found.others.is_empty() {
            let at = found.record.range.start;
            cx.structure(at, "zip-several-end-records", "several end records lead to a central directory");
        }
        let mut items: Vec<(u64, Item)> = Vec::new();
        let mut entries: Vec<Entry> = Vec::new();
        let mut held = 0u64;
        let mut directories: Vec<Directory> = Vec::new();
        let mut end = 0;
        for record in std::iter::once(&found.record).chain(&found.others) {
            items.push((record.range.start, Item::Known(record.range.end)));
            items.extend(record.parts64.iter().map(|r| (r.start, Item::Known(r.end))));
            end = end.max(record.range.end);
            self.comment(record, cx)?;
            for d in &record.directories {
                if !directories.iter().any(|o| o.at == d.at) {
                    directories.push(*d);
                }
            }
        }
        if directories.len() > 1 {
            let places: Vec<String> = directories.iter().map(|d| format!("{:#x}", d.at)).collect();
            cx.structure(
                directories[0].at,
                "zip-two-central-directories",
                format!("at {}", places.join(" and ")),
            );
        }
        for d in &directories {
            let stop = self.directory(d, &directories, &mut entries, &mut held, cx)?;
            items.push((d.at, Item::Known(stop)));
        }
        self.kind = Kind::of(entries.iter().map(|e| &*e.header.name));
        zip_kind::note(&self.kind, cx);
        duplicates(&entries, directories.len(), cx);
        entries.sort_by_key(|e| e.local_at);
        let mut at = 0;
        while at < entries.len() {
            let place = entries[at].local_at;
            let next = at + entries[at..].iter().take_while(|e| e.local_at == place).count();
            items.push((place, Item::Local(at..next)));
            at = next;
        }
        items.sort_by_key(|(at, _)| *at);
        let begin = self.begin(&items, &directories);
        self.walk(cx, &items, &entries, begin)?;
        self.kind.sources.borrow_mut().finish(cx);
        for name in self.kind.links.borrow().crossed(entries.iter().map(|e| &*e.header.name)) {
            let detail = escape_bytes(&name);
            cx.fact(None, FactKind::UnsafePath { code: "through-link".into(), detail });
        }
        let trailing = end..self.blob.len();
        if outer && !trailing.is_empty() {
            let rest = self.blob.sub(trailing.clone());
            if !all_zero(&rest)? {
                let detail = format!("{} bytes after the end record", rest.len());
                cx.structure(trailing.start, "zip-trailing-bytes", detail);
                self.gap(cx, trailing, "zip-hidden-bytes")?;
            }
        }
        Ok(begin)
    }

    /// Where this archive begins: its first local header, or whatever offsets count from.
    fn begin(&self, items: &[(u64, Item)], directories: &[Directory]) -> u64 {
        let first = items.first().map_or(0, |(at, _)| *at);
        let base = directories.iter().map(|d| d.base).min().unwrap_or(0);
        let first_local = self.blob.read_range(0..4).is_ok_and(|sig| sig == records::LOCAL);
        // An archive that starts the file with a local header that no entry names hides that record.
        if base == 0 && first_local { 0 } else { first.max(base) }
    }

    fn comment(&self, record: &EndRecord, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let comment = self.blob.sub(record.comment.clone());
        if comment.is_empty() {
            return Ok(());
        }
        let head = comment.head(4096)?;
        if let Some(what) = opaque::hidden(&comment, &head) {
            let detail = "in the archive comment".to_string();
            cx.fact(Some(record.comment.start), FactKind::Hidden { code: what.into(), detail });
            cx.member(b"(comment)", &comment);
        } else if record.comment.end > record.comment.start
            && memchr::memmem::find(&head, b"PK\x03\x04").is_some()
        {
            cx.structure(record.comment.start, "zip-record-in-comment", "the comment holds a zip record");
        }
        Ok(())
    }

    /// Reads the entries of one central directory; returns its end.
    fn directory(
        &self,
        d: &Directory,
        all: &[Directory],
        entries: &mut Vec<Entry>,
        held: &mut u64,
        cx: &mut Cx<'_>,
    ) -> Result<u64, Stop> {
        const MAX_ENTRY: usize = 46 + 3 * 65535;
        let mut window = Window::new(self.blob.clone(), Window::CHUNK);
        let mut at = d.at;
        let mut count = 0u64;
        // Entries behind the announced size still count, unless they are another directory's.
        while at == d.at || !all.iter().any(|o| o.at == at) {
            let short = window.view(at, 46)?;
            if !short.starts_with(records::CENTRAL) {
                break;
            }
            let view = if short.len() >= MAX_ENTRY { short } else { window.view(at, MAX_ENTRY)? };
            let Some((entry, len)) = records::entry(view, d.base) else {
                cx.structure(at, "zip-entry-cut-short", "a central directory entry is cut short");
                break;
            };
            cx.budget.entries(1)?;
            *held += (size_of::<Entry>() + entry.header.name.len() + 32) as u64;
            cx.budget.memory(*held)?;
            entries.push(entry);
            count += 1;
            at += len as u64;
        }
        let stated = if d.entries == 0xffff { count & 0xffff } else { count };
        if stated != d.entries && count & 0xffff != d.entries {
            let detail = format!("{count} entries present, {} announced", d.entries);
            cx.structure(d.at, "zip-entry-count-differs", detail);
        }
        if at != d.at.saturating_add(d.size) {
            let detail = format!("{} bytes of entries, {} announced", at - d.at, d.size);
            cx.structure(d.at, "zip-directory-size-differs", detail);
        }
        Ok(at)
    }

    /// Goes through the file from `begin` on, scanning records and whatever lies between them.
    fn walk(
        &mut self,
        cx: &mut Cx<'_>,
        items: &[(u64, Item)],
        entries: &[Entry],
        begin: u64,
    ) -> Result<(), Stop> {
        let mut cursor = begin;
        for (i, (at, item)) in items.iter().enumerate() {
            // 56 bytes before a local header hold the descriptor and the end of the data before it.
            const BEFORE: u64 = 56;
            let seen_from = at.saturating_sub(BEFORE);
            let seen = match item {
                Item::Local(_) => self.blob.read_range(seen_from..at + 320)?,
                Item::Known(_) => Vec::new(),
            };
            if *at > cursor {
                self.gap(cx, cursor..*at, "zip-hidden-bytes")?;
            } else if *at < cursor && !self.overlap_noted {
                self.overlap_noted = true;
                cx.structure(*at, "zip-overlapping-records", "records overlap one another");
            }
            let end = match item {
                Item::Known(end) => *end,
                Item::Local(range) => {
                    let limit =
                        items[i + 1..].iter().map(|(n, _)| *n).find(|n| n > at).unwrap_or(self.blob.len());
                    let head = seen.get((*at - seen_from) as usize..).unwrap_or_default();
                    self.listed(cx, &entries[range.clone()], *at, head, limit)?
                }
            };
            cursor = cursor.max(end);
        }
        Ok(())
    }

    /// A record that a central directory names; returns where it ends, descriptor included.
    fn listed(
        &mut self,
        cx: &mut Cx<'_>,
        entries: &[Entry],
        at: u64,
        head: &[u8],
        limit: u64,
    ) -> Result<u64, Stop> {
        let Some(first) = entries.first() else { return Ok(at) };
        self.seen.insert(at);
        let Some(local) = records::local(self.blob, at, head)? else {
            let name = escape_bytes(&first.header.name);
            cx.structure(at, "zip-no-local-header", format!("entry {name} points at no local header"));
            return Ok(at);
        };
        let data_head =
            usize::try_from(local.data_at - at).ok().and_then(|n| head.get(n..)).unwrap_or_default();
        let mut end = local.data_at;
        for (n, entry) in entries.iter().enumerate() {
            if n > 0 && entry.header == first.header {
                continue;
            }
            let member =
                Member { blob: self.blob, entry: Some(entry), local: &local, at, limit, head: data_head };
            end = end.max(zip_member::scan(&member, &self.kind, cx)?);
        }
        Ok(end)
    }

    /// Bytes that no record explains: a walk over local headers, then content.
    fn gap(&mut self, cx: &mut Cx<'_>, range: Range<u64>, code: &'static str) -> Result<(), Stop> {
        let mut at = range.start;
        let mut search = Window::new(self.blob.sub(0..range.end), 256 << 10);
        while at < range.end {
            let rest = self.blob.sub(at..range.end);
            if all_zero(&rest)? {
                return Ok(());
            }
            let head = self.blob.read_range(at..(at + 30).min(range.end))?;
            if head.starts_with(records::LOCAL)
                && let Some(local) = records::local(self.blob, at, &[])?
                && self.seen.insert(at)
            {
                cx.budget.entries(1)?;
                self.unlisted_noted += 1;
                if self.unlisted_noted <= 100 {
                    let detail = format!("{} is in no central directory", escape_bytes(&local.header.name));
                    cx.structure(at, "zip-unlisted-record", detail);
                }
                let member =
                    Member { blob: self.blob, entry: None, local: &local, at, limit: range.end, head: &[] };
                at = zip_member::scan(&member, &self.kind, cx)?.max(at + 30);
                continue;
            }
            if head.starts_with(records::CENTRAL)
                && let Some(len) = records::entry_len(&rest.head(46)?)
            {
                cx.budget.entries(1)?;
                cx.structure(
                    at,
                    "zip-stray-directory-entry",
                    "a central directory entry that no end record leads to",
                );
                at += len;
                continue;
            }
            let stray = match head.get(..4) {
                Some(sig) if sig == records::END => Some(22),
                Some(sig) if sig == records::END64 => Some(56),
                Some(sig) if sig == records::LOCATOR64 => Some(20),
                Some(sig) if sig == records::DESCRIPTOR => Some(16),
                _ => None,
            };
            if let Some(len) = stray {
                cx.structure(at, "zip-stray-record", "a zip record outside its place");
                at += len;
                continue;
            }
            cx.budget.entries(1)?;
            let end = next_local(&mut search, at + 1..range.end, cx)?;
            cx.structure(at, code, format!("{} bytes belong to no record", end - at));
            cx.member(format!("(bytes at {at:#x})").as_bytes(), &self.blob.sub(at..end));
            at = end;
        }
        Ok(())
    }
}

/// The next local header signature in `range`, or its end.
fn next_local(window: &mut Window, range: Range<u64>, cx: &mut Cx<'_>) -> Result<u64, Stop> {
    const MAX: u64 = 256 << 20;
    let mut at = range.start;
    while at < range.end {
        if at - range.start > MAX {
            let left = range.end - at;
            cx.gap(GapReason::Unexplained, Some(at), Some(left), "bytes of no record, not searched");
            break;
        }
        let v = window.view(at, 4)?;
        if v.len() < 4 {
            break;
        }
        if let Some(n) = memchr::memmem::find(v, records::LOCAL) {
            return Ok(at + n as u64);
        }
        at += v.len() as u64 - 3;
    }
    Ok(range.end)
}

/// Names that occur twice, or twice but for their case (miniz looks names up regardless of case).
fn duplicates(entries: &[Entry], directories: usize, cx: &mut Cx<'_>) {
    const MAX_NOTED: usize = 20;
    let mut exact: HashMap<&[u8], u64> = HashMap::with_capacity(entries.len());
    let mut folded: HashMap<Vec<u8>, &[u8]> = HashMap::new();
    let mut noted = 0;
    for e in entries {
        let name = &*e.header.name;
        let shown = || escape_bytes(name);
        if let Some(other) = exact.insert(name, e.local_at) {
            // With two directories the same entry is met twice.
            if !(directories > 1 && other == e.local_at) && noted < MAX_NOTED {
                noted += 1;
                cx.structure(e.local_at, "zip-duplicate-entry", format!("two entries named {}", shown()));
            }
            continue;
        }
        if !name.iter().any(u8::is_ascii_uppercase) && directories == 1 && entries.len() > 10_000 {
            continue;
        }
        if let Some(other) = folded.insert(name.to_ascii_lowercase(), name)
            && other != name
            && noted < MAX_NOTED
        {
            noted += 1;
            let detail = format!("{} and {} differ only in case", escape_bytes(other), shown());
            cx.structure(e.local_at, "zip-case-duplicate", detail);
        }
    }
}
