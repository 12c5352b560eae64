//! HDF5: the container of Keras weights and of whole models of Keras 1 and 2, and of much else.
//!
//! What can hurt: the configuration of a model in an attribute; links, raw data and virtual datasets that take bytes
//! from other files (CVE-2026-1669, CVE-2026-12480); shapes that claim more than there is (CVE-2026-0897); whatever lies
//! before, behind and between the structures. Everything is walked from the superblock: no part is skipped because a
//! reader would not list it.
//!
//! Source: HDF5 File Format Specification, version 3.0 (superblocks 0 to 3), and the library's own reading of it.

mod array;
mod attribute;
mod data;
mod file;
mod group;
mod heap;
mod message;
mod object;

use super::compressed::all_zero;
use super::{Claim, Coverage, Format, Probe};
use crate::analyses::{opaque, paths};
use crate::cx::{Cx, Stop};
use file::{Fields, File, UNDEFINED};
use message::{Target, kind};
use std::collections::{HashMap, HashSet};
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, GapReason, escape_bytes};

/// HDF5 files.
pub struct Hdf5;

const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// The superblock may stand at 0, 512, 1024 and so on, doubling: what is before it belongs to the user.
fn superblock(blob: &Blob, head: &[u8]) -> std::io::Result<Option<u64>> {
    if head.starts_with(SIGNATURE) {
        return Ok(Some(0));
    }
    let mut at = 512u64;
    while at < blob.len() {
        let found = match usize::try_from(at).ok().and_then(|n| head.get(n..n + SIGNATURE.len())) {
            Some(bytes) => bytes == SIGNATURE,
            None => blob.read_range(at..at + SIGNATURE.len() as u64)? == SIGNATURE,
        };
        if found {
            return Ok(Some(at));
        }
        at *= 2;
    }
    Ok(None)
}

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "HDF5",
    ids: &[],
    loaders: "h5py, Keras, PyTables, libhdf5",
    judged: "superblocks 0 to 3, links, external files, virtual datasets, shapes, attributes, space that no structure \
        uses",
    blind: "checksums; filters beyond deflate, shuffle and fletcher32; datasets beyond their first chunk",
    corpus: &["hdf5"],
};

impl Format for Hdf5 {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "hdf5"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        match superblock(&probe.blob, &probe.head) {
            // What is a member of an archive is scanned there.
            Ok(Some(base))
                if base > 0
                    && (super::tar::inside_member(&probe.blob, base..base + 8)
                        || super::sevenz::inside_member(&probe.blob, &(base..base + 8))) =>
            {
                Claim::No
            }
            Ok(Some(_)) => Claim::Strong,
            _ => Claim::No,
        }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let Some(base) = superblock(blob, &blob.head(4096)?)? else { return Ok(()) };
        let mut file = File::new(blob.sub(base..blob.len()), base);
        let mut names = Names::default();
        let walked = walk(&mut file, &mut names, cx);
        if names.keras {
            cx.refine("keras-h5");
        }
        if let Some(user) = user_block(blob, base)? {
            cx.member(b"(user block)", &user);
        }
        let end = match walked {
            Ok(end) => end,
            Err(stop) => {
                broken(stop, cx);
                file.len()
            }
        };
        holes(&mut file, end, &mut names, cx)?;
        let rest = file.blob.sub(end..file.len());
        if !all_zero(&rest)? {
            cx.structure(
                base + end,
                "hdf5-trailing-bytes",
                format!("{} bytes behind the end of the file", rest.len()),
            );
            cx.member(b"(trailing)", &rest);
        }
        Ok(())
    }
}

/// What stands before the superblock, without the zeros that fill it up.
fn user_block(blob: &Blob, base: u64) -> Result<Option<Blob>, Stop> {
    const STEP: u64 = 64 << 10;
    let mut end = base;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let bytes = blob.read_range(start..end)?;
        if let Some(last) = bytes.iter().rposition(|b| *b != 0) {
            return Ok(Some(blob.sub(0..start + last as u64 + 1)));
        }
        end = start;
    }
    Ok(None)
}

/// A broken part: readers may differ in what they make of it, and it was not judged.
fn broken(stop: Stop, cx: &mut Cx<'_>) {
    if let Stop::Malformed { at, what } = &stop {
        cx.structure(*at, "hdf5-malformed", what.clone());
    }
    cx.stop(stop);
}

/// What is known across objects.
#[derive(Default)]
struct Names {
    /// Path of the object at hand.
    path: Vec<u8>,
    /// The file holds the configuration of a Keras model.
    keras: bool,
    /// Bytes that shapes claim and nothing backs.
    unbacked: u64,
    heaps: Heaps,
    /// Paths of soft links and what they name.
    soft: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The global heap collection read last.
#[derive(Default)]
struct Heaps {
    last: Option<(u64, HashMap<u16, Vec<u8>>)>,
}

impl Heaps {
    fn object(&mut self, file: &mut File, address: u64, index: u32, cx: &Cx<'_>) -> Result<Vec<u8>, Stop> {
        if self.last.as_ref().is_none_or(|(at, _)| *at != address) {
            let objects = heap::global(file, address, cx)?;
            self.last = Some((address, objects.into_iter().collect()));
        }
        let found = self.last.as_ref().and_then(|(_, o)| o.get(&u16::try_from(index).ok()?));
        found.cloned().ok_or_else(|| file.broken(address, "an object of a global heap that is not there"))
    }
}

/// How a file names another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum External {
    Link,
    Data,
    Virtual,
    /// A text in a virtual dataset with several sources: a file or a dataset.
    Mapped,
}

fn other_file(file: &File, how: External, name: &[u8], at: u64, names: &Names, cx: &mut Cx<'_>) {
    let what = match how {
        External::Link => "external link",
        External::Data => "external raw data",
        External::Virtual => "source of a virtual dataset",
        External::Mapped => "further source of a virtual dataset",
    };
    let address = memchr::memmem::find(name, b"://").is_some();
    let code = match paths::escape_of(name) {
        // The path of a dataset in its file begins with a slash too.
        Some("absolute") if how == External::Mapped => "hdf5-external",
        Some(_) => "hdf5-external-outside",
        None if address => "hdf5-external-outside",
        None => "hdf5-external",
    };
    let detail = format!("{}: {what}: {}", escape_bytes(&names.path), escape_bytes(name));
    cx.fact(Some(file.base + at), FactKind::Directive { code: code.into(), detail });
}

/// Walks everything reachable from the superblock; returns where the file says that it ends.
fn walk(file: &mut File, names: &mut Names, cx: &mut Cx<'_>) -> Result<u64, Stop> {
    let root = superblock_fields(file, cx)?;
    let mut work = vec![(root.header, b"/".to_vec())];
    if let Some(extension) = root.extension {
        work.push((extension, b"(superblock)".to_vec()));
    }
    let mut seen = HashSet::new();
    while let Some((address, path)) = work.pop() {
        if !seen.insert(address) {
            continue;
        }
        cx.budget.entries(1)?;
        cx.budget.memory(64 * seen.len() as u64)?;
        names.path = path;
        object_at(file, address, names, &mut work, cx)?;
    }
    soft_links(file, names, cx);
    if names.unbacked > 1 << 30 {
        let detail = format!("shapes claim {} bytes more than what is stored can hold", names.unbacked);
        cx.fact(Some(file.base), FactKind::Resource { code: "hdf5-total-size".into(), detail });
    }
    Ok(root.end)
}

struct Root {
    header: u64,
    extension: Option<u64>,
    /// End of the file, from the superblock.
    end: u64,
}

fn superblock_fields(file: &mut File, cx: &mut Cx<'_>) -> Result<Root, Stop> {
    let head = file.peek(0, 128)?;
    let version = head.get(8).copied().unwrap_or(0xff);
    let mut f = Fields::new(&head);
    let _ = f.skip(9);
    let sizes = if version < 2 {
        let _ = f.skip(4);
        (f.u8(), f.u8())
    } else {
        (f.u8(), f.u8())
    };
    let (Some(o @ (2 | 4 | 8)), Some(l @ (2 | 4 | 8))) = sizes else {
        return Err(file.broken(8, "no superblock, or addresses of impossible width"));
    };
    let (o, l) = (usize::from(o), usize::from(l));
    (file.offset, file.length) = (o, l);
    let fields = (|| {
        if version < 2 {
            f.skip(1)?;
            file.leaf_k = u64::from(f.u16()?);
            file.group_k = u64::from(f.u16()?);
            f.skip(4)?;
            if version == 1 {
                file.chunk_k = u64::from(f.u16()?);
                f.skip(2)?;
            }
            let base = f.address(o)?;
            f.skip(o)?;
            let end = f.address(o)?;
            let driver = f.address(o)?;
            f.skip(o)?;
            let header = f.address(o)?;
            f.skip(24)?;
            Some((base, end, driver, header, UNDEFINED))
        } else {
            f.skip(1)?;
            let base = f.address(o)?;
            let extension = f.address(o)?;
            let end = f.address(o)?;
            let header = f.address(o)?;
            f.skip(4)?;
            Some((base, end, UNDEFINED, header, extension))
        }
    })();
    let Some((base, end, driver, header, extension)) = fields.filter(|_| version <= 3) else {
        return Err(file.broken(8, format!("a superblock of version {version} that cannot be read")));
    };
    file.block(0, f.at() as u64, cx)?;
    if base != file.base && base != 0 {
        let detail = format!("the superblock stands at {}, and says {base}", file.base);
        cx.structure(file.base, "hdf5-base-address", detail);
    }
    if driver != UNDEFINED {
        let info = file.block(driver, 16, cx)?;
        let size = info.get(4..8).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        file.explain(driver, driver.saturating_add(16 + u64::from(size)));
        let name = escape_bytes(info.get(8..16).unwrap_or_default());
        cx.structure(
            file.base + driver,
            "hdf5-driver",
            format!("the file is one of several, read by driver {name}"),
        );
    }
    // Unlike all other addresses this one counts from the start of the file.
    let end = if end == UNDEFINED { end } else { end.checked_sub(file.base).unwrap_or(end) };
    if end == UNDEFINED || end > file.len() {
        let detail = format!("the file should have {end} bytes, and has {}", file.len());
        cx.gap(GapReason::Malformed, Some(file.base + file.len()), None, detail.clone());
        cx.structure(file.base, "hdf5-truncated", detail);
    }
    let extension = Some(extension).filter(|e| *e != UNDEFINED);
    Ok(Root { header, extension, end: end.min(file.len()) })
}

/// Judges one object and queues what it links to. Broken parts are told; only exhaustion ends the walk.
fn object_at(
    file: &mut File,
    address: u64,
    names: &mut Names,
    work: &mut Vec<(u64, Vec<u8>)>,
    cx: &mut Cx<'_>,
) -> Result<(), Stop> {
    const MAX_PATH: usize = 1024;
    let fatal = |stop: Stop, cx: &mut Cx<'_>| match stop {
        Stop::Malformed { .. } | Stop::Unsupported(_) => {
            broken(stop, cx);
            Ok(())
        }
        other => Err(other),
    };
    let (messages, stop) = object::messages(file, address, cx);
    if let Some(stop) = stop {
        fatal(stop, cx)?;
    }
    let group = |m: &object::Message| matches!(m.kind, kind::SYMBOL_TABLE | kind::LINK | kind::LINK_INFO);
    if names.path == b"/" && !messages.iter().any(group) {
        cx.structure(file.base + address, "hdf5-root-no-group", "the root of the file is no group");
    }
    for m in &messages {
        match m.kind {
            kind::TREE_K => {
                let mut f = Fields::new(&m.body);
                if let (Some(_), Some(chunk), Some(group), Some(leaf)) = (f.u8(), f.u16(), f.u16(), f.u16()) {
                    (file.chunk_k, file.group_k, file.leaf_k) =
                        (u64::from(chunk), u64::from(group), u64::from(leaf));
                }
            }
            kind::SHARED_TABLE => {
                fatal(Stop::Unsupported("HDF5 messages in a heap of the whole file".into()), cx)?
            }
            other if other > kind::CACHE_IMAGE => {
                let detail = format!("{}: a message of unknown type {other}", escape_bytes(&names.path));
                cx.structure(file.base + m.at, "hdf5-unknown-message", detail);
            }
            kind::CACHE_IMAGE => fatal(Stop::Unsupported("HDF5 metadata in a cache image".into()), cx)?,
            kind::DRIVER => {
                cx.structure(file.base + m.at, "hdf5-driver", "the file is one of several".to_string());
            }
            _ => {}
        }
    }
    if let Err(stop) = attribute::attributes(file, &messages, names, cx) {
        fatal(stop, cx)?;
    }
    if let Err(stop) = data::dataset(file, &messages, names, cx) {
        fatal(stop, cx)?;
    }
    let mut links = Vec::new();
    if let Err(stop) = group::links(file, &messages, &mut links, cx) {
        fatal(stop, cx)?;
    }
    let mut seen = HashSet::new();
    for link in links {
        let slash: &[u8] = if names.path.ends_with(b"/") { b"" } else { b"/" };
        let mut path = [&names.path[..], slash, &link.name].concat();
        path.truncate(MAX_PATH);
        if !seen.insert(link.name) {
            cx.structure(file.base + address, "hdf5-duplicate-name", escape_bytes(&path));
        }
        match link.target {
            Target::Hard(at) => work.push((at, path)),
            Target::Soft(to) => names.soft.push((path, to)),
            Target::External(other, inside) => {
                let before = std::mem::replace(&mut names.path, path);
                let _ = inside;
                other_file(file, External::Link, &other, address, names, cx);
                names.path = before;
            }
            Target::User(kind) => {
                let detail =
                    format!("{}: a link of kind {kind}, which a program defines", escape_bytes(&path));
                cx.structure(file.base + address, "hdf5-user-link", detail);
            }
        }
    }
    Ok(())
}

/// Soft links that lead back to themselves: walking readers never end, others fail.
fn soft_links(file: &File, names: &Names, cx: &mut Cx<'_>) {
    const MAX_STEPS: usize = 64;
    let map: HashMap<Vec<u8>, Vec<u8>> =
        names.soft.iter().map(|(path, to)| (path.clone(), absolute(path, to))).collect();
    for (path, _) in names.soft.iter().take(10_000) {
        let mut at = path.clone();
        let mut steps = 0;
        while let Some(next) = step(&map, &at) {
            steps += 1;
            if steps > MAX_STEPS || next == *path || next.len() > 64 << 10 {
                let detail = format!("{} leads back to itself", escape_bytes(path));
                return cx.structure(file.base, "hdf5-soft-link-loop", detail);
            }
            at = next;
        }
    }
}

/// One link of a path resolved: the first of its prefixes that is a soft link.
fn step(map: &HashMap<Vec<u8>, Vec<u8>>, path: &[u8]) -> Option<Vec<u8>> {
    let ends =
        path.iter().enumerate().skip(1).filter(|(_, b)| **b == b'/').map(|(n, _)| n).chain([path.len()]);
    ends.take(256).find_map(|n| map.get(&path[..n]).map(|to| [&to[..], &path[n..]].concat()))
}

fn absolute(link: &[u8], to: &[u8]) -> Vec<u8> {
    if to.starts_with(b"/") {
        return to.to_vec();
    }
    let group = link.iter().rposition(|b| *b == b'/').map_or(&link[..0], |n| &link[..n]);
    [group, b"/", to.strip_prefix(b"./").unwrap_or(to)].concat()
}

/// Bytes that no structure uses: free space, which writers leave behind and no reader looks at. Something may hide there.
fn holes(file: &mut File, end: u64, names: &mut Names, cx: &mut Cx<'_>) -> Result<(), Stop> {
    const MAX_HOLES: usize = 100_000;
    for (n, (start, stop)) in file.holes(end).into_iter().enumerate() {
        if n >= MAX_HOLES {
            cx.gap(
                GapReason::Limit("entries-limit".into()),
                Some(file.base + start),
                None,
                "free space not looked at",
            );
            break;
        }
        hole(file, start, stop, names, cx)?;
    }
    Ok(())
}

fn hole(file: &mut File, start: u64, stop: u64, names: &mut Names, cx: &mut Cx<'_>) -> Result<(), Stop> {
    let mut window = Window::new(file.blob.sub(0..stop), 64 << 10);
    let mut at = start;
    // Zeros are padding; the first byte that is none begins something.
    while at < stop {
        let v = window.view(at, 1)?;
        let zeros = v.iter().take_while(|b| **b == 0).count();
        at += zeros as u64;
        if zeros < v.len() {
            break;
        }
    }
    while at < stop {
        // Texts of variable length that only datasets refer to.
        if file.peek(at, 4)? == b"GCOL" {
            let objects = heap::global(file, at, cx);
            let size = file.peek(at + 8, file.length)?;
            let size = Fields::new(&size).uint(file.length).unwrap_or(0);
            match objects {
                Ok(objects) => {
                    names.path = b"(heap)".to_vec();
                    for (index, bytes) in objects {
                        attribute::value(file, at, index.to_string().as_bytes(), &bytes, true, names, cx);
                    }
                }
                Err(stop) => broken(stop, cx),
            }
            at = at.saturating_add(size.max(8));
            continue;
        }
        let rest = file.blob.sub(at..stop);
        if found(file, &rest, at, "bytes that nothing uses", cx)? {
            return Ok(());
        }
        // Archives and programs may begin anywhere further on; so may another heap.
        let v = window.view(at, 4)?;
        let next = memchr::memmem::find(&v[1.min(v.len())..], b"GCOL")
            .into_iter()
            .chain(memchr::memmem::find(&v[1.min(v.len())..], b"PK\x03\x04"))
            .chain(memchr::memmem::find(&v[1.min(v.len())..], b"\x7fELF"))
            .chain(memchr::memmem::find(&v[1.min(v.len())..], b"\x80\x04\x95"))
            .min();
        at += match next {
            Some(n) => n as u64 + 1,
            None => (v.len() as u64).saturating_sub(3).max(1),
        };
    }
    Ok(())
}

fn found(file: &File, blob: &Blob, at: u64, place: &str, cx: &mut Cx<'_>) -> Result<bool, Stop> {
    let Some(what) = opaque::hidden(blob, &blob.head(4096)?) else { return Ok(false) };
    let detail = format!("in {place}");
    cx.fact(Some(file.base + at), FactKind::Hidden { code: what.into(), detail });
    cx.member(format!("(bytes at {:#x})", file.base + at).as_bytes(), blob);
    Ok(true)
}
