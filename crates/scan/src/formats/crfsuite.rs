//! CRFsuite's models (python-crfsuite, sklearn-crfsuite, usaddress and its kin): a header of offsets, features, two
//! dictionaries in Okazaki's CQDB, lists of features by label and attribute. The tagger maps the file and follows every
//! offset in it without looking.
//!
//! `lib/crf/src/crf1d_model.c` and `lib/cqdb/src/cqdb.c` of CRFsuite 0.12.

use super::cursor::Cursor;
use super::flatbuffer::Flat;
use super::{Claim, Coverage, Format, Probe, compressed, leftover};
use crate::analyses::{metadata, opaque};
use crate::cx::{Cx, Stop};
use wb_blob::Blob;
use wb_verdict::{FactKind, GapReason};

/// Models of linear chains.
pub struct CrfSuite;

const HEADER: u64 = 48;
/// Name, size and number of items of a chunk.
const CHUNK: u64 = 12;
/// Kind, source, target and weight.
const FEATURE: u64 = 20;

/// What the coverage page says.
static COVERAGE: Coverage = Coverage {
    title: "CRFsuite",
    ids: &[],
    loaders: "CRFsuite, python-crfsuite, sklearn-crfsuite",
    judged: "chunks, offsets, references",
    blind: "what the features make a model do",
    corpus: &["crfsuite"],
};

impl Format for CrfSuite {
    fn coverage(&self) -> Option<&'static Coverage> {
        Some(&COVERAGE)
    }

    fn id(&self) -> &'static str {
        "crfsuite"
    }

    fn claim(&self, probe: &Probe) -> Claim {
        if probe.head.starts_with(b"lCRF") { Claim::Strong } else { Claim::No }
    }

    fn scan(&self, blob: &Blob, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut model = Model { flat: Flat::new(blob), blob: blob.clone() };
        model.read(cx).or_else(|stop| {
            if let Stop::Malformed { at, what } = &stop {
                cx.structure(*at, "crfsuite-malformed", what.clone());
                metadata::runs(blob, 4, "a model that cannot be read", cx)?;
                leftover::search(blob, 4, cx)?;
            }
            Err(stop)
        })?;
        model.explained(cx)
    }
}

struct Model {
    flat: Flat,
    blob: Blob,
}

/// A contradiction that a tagger would run into.
fn wrong(at: u64, what: impl Into<String>) -> Stop {
    Stop::malformed(at, what)
}

impl Model {
    fn read(&mut self, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let mut c = Cursor::new(&self.blob);
        c.skip(HEADER, 1, "bytes of a header")?;
        self.flat.mark(0, HEADER);
        c.at = 8;
        let kind = c.bytes(4, 4, "bytes")?;
        let version = c.u32()?;
        if kind != b"FOMC" || version != 100 {
            let shown = wb_verdict::escape_bytes(&kind);
            return Err(wrong(8, format!("a model of kind {shown}, version {version}")));
        }
        let mut words = [0u64; 8];
        for w in &mut words {
            *w = u64::from(c.u32()?);
        }
        // Taggers take the number of features from their chunk.
        let [_, labels, attributes, features, label_db, attribute_db, label_refs, attribute_refs] = words;
        let n = self.features(features, labels, attributes, cx)?;
        self.dictionary(label_db, labels, "labels", cx)?;
        self.dictionary(attribute_db, attributes, "attributes", cx)?;
        self.references(label_refs, b"LFRF", labels, n, cx)?;
        self.references(attribute_refs, b"AFRF", attributes, n, cx)
    }

    /// The head of a chunk: its number of items.
    fn chunk(&mut self, at: u64, name: &[u8; 4]) -> Result<u64, Stop> {
        let id = self.flat.number(at, 4)? as u32;
        if id != u32::from_le_bytes(*name) {
            return Err(wrong(at, format!("no chunk {}", String::from_utf8_lossy(name))));
        }
        self.flat.mark(at, CHUNK);
        self.flat.number(at + 8, 4)
    }

    fn features(&mut self, at: u64, labels: u64, attributes: u64, cx: &mut Cx<'_>) -> Result<u64, Stop> {
        let n = self.chunk(at, b"FEAT")?;
        let mut c = Cursor::new(&self.blob);
        c.at = at + CHUNK;
        let start = c.skip(n, FEATURE, "features")?;
        self.flat.mark(start, n * FEATURE);
        c.at = start;
        for i in 0..n {
            cx.budget.steps(1)?;
            let (kind, from, to) = (c.u32()?, u64::from(c.u32()?), u64::from(c.u32()?));
            c.number(8)?;
            // States lead from an attribute, transitions from a label.
            let of = match kind {
                0 => attributes,
                1 => labels,
                other => return Err(wrong(start + i * FEATURE, format!("feature {i} of kind {other}"))),
            };
            if from >= of || to >= labels {
                let what = format!("feature {i} leads from {from} of {of} to {to} of {labels}");
                return Err(wrong(start + i * FEATURE, what));
            }
        }
        Ok(n)
    }

    /// Lists of features, one for each label or attribute, behind offsets from the beginning of the file.
    fn references(
        &mut self,
        at: u64,
        name: &[u8; 4],
        of: u64,
        features: u64,
        cx: &mut Cx<'_>,
    ) -> Result<(), Stop> {
        let n = self.chunk(at, name)?;
        if n < of {
            return Err(wrong(at, format!("{n} lists for {of} names")));
        }
        let mut c = Cursor::new(&self.blob);
        c.at = at + CHUNK;
        let offsets = c.skip(n, 4, "offsets")?;
        self.flat.mark(offsets, n * 4);
        for i in 0..n {
            cx.budget.steps(1)?;
            c.at = offsets + 4 * i;
            let list = u64::from(c.u32()?);
            // Names beyond those of the model have none.
            if list == 0 && i >= of {
                continue;
            }
            c.at = list;
            let count = u64::from(c.u32()?);
            let start = c.skip(count, 4, "features of a list")?;
            self.flat.mark(list, 4 + count * 4);
            cx.budget.steps(count)?;
            c.at = start;
            for _ in 0..count {
                let f = u64::from(c.u32()?);
                if f >= features {
                    return Err(wrong(start, format!("list {i} names feature {f} of {features}")));
                }
            }
        }
        Ok(())
    }

    /// A constant database: tables of hashes that lead to records, and offsets back from numbers to records.
    fn dictionary(&mut self, at: u64, names: u64, what: &str, cx: &mut Cx<'_>) -> Result<(), Stop> {
        const TABLES: u64 = 256;
        const HEAD: u64 = 24;
        let mut c = Cursor::new(&self.blob);
        c.at = at;
        if c.bytes(4, 4, "bytes")? != b"CQDB" {
            return Err(wrong(at, format!("no dictionary of {what}")));
        }
        let size = u64::from(c.u32()?);
        c.u32()?;
        let order = c.u32()?;
        let (numbers, back) = (u64::from(c.u32()?), u64::from(c.u32()?));
        if order != 0x6244_5371 || size > self.blob.len() - at || size < HEAD + TABLES * 8 {
            return Err(wrong(at, format!("a dictionary of {what} of {size} bytes, byte order {order:#x}")));
        }
        let tables = c.skip(TABLES, 8, "tables")?;
        self.flat.mark(at, HEAD + TABLES * 8);
        for t in 0..TABLES {
            c.at = tables + t * 8;
            let (offset, buckets) = (u64::from(c.u32()?), u64::from(c.u32()?));
            if offset == 0 || buckets == 0 {
                continue;
            }
            c.at = at + offset;
            let start = c.skip(buckets, 8, "buckets")?;
            self.flat.mark(start, buckets * 8);
            cx.budget.steps(buckets)?;
            let mut empty = false;
            for b in 0..buckets {
                c.at = start + b * 8 + 4;
                let record = u64::from(c.u32()?);
                empty |= record == 0;
                if record != 0 {
                    self.record(at, record, size, names, what)?;
                }
            }
            if !empty {
                return Err(wrong(
                    start,
                    format!("a table of {what} without an empty bucket: searches do not end"),
                ));
            }
        }
        if back == 0 {
            return Ok(());
        }
        c.at = at + back;
        let start = c.skip(numbers, 4, "offsets back")?;
        self.flat.mark(start, numbers * 4);
        if numbers < names {
            return Err(wrong(start, format!("{numbers} of {names} {what} lead back to their names")));
        }
        for i in 0..numbers {
            cx.budget.steps(1)?;
            c.at = start + 4 * i;
            let record = u64::from(c.u32()?);
            if record != 0 {
                self.record(at, record, size, names, what)?;
            }
        }
        Ok(())
    }

    /// A record: number, size of the key, the key with its zero.
    fn record(&mut self, base: u64, record: u64, size: u64, names: u64, what: &str) -> Result<(), Stop> {
        let at = base + record;
        let (number, len) = (self.flat.number(at, 4)?, self.flat.number(at + 4, 4)?);
        if record + 8 + len > size || len == 0 {
            return Err(wrong(at, format!("a name of {what} of {len} bytes")));
        }
        if number >= names {
            return Err(wrong(at, format!("number {number} of {names} {what}")));
        }
        if self.flat.number(at + 8 + len - 1, 1)? != 0 {
            return Err(wrong(at, format!("a name of {what} without end")));
        }
        self.flat.mark(at, 8 + len);
        Ok(())
    }

    /// What none of this explains.
    fn explained(self, cx: &mut Cx<'_>) -> Result<(), Stop> {
        const MOST: usize = 20;
        for hole in self.flat.holes().into_iter().take(MOST) {
            let data = self.blob.sub(hole.at..hole.end);
            if compressed::all_zero(&data)? {
                continue;
            }
            if hole.end == self.blob.len() {
                leftover::record(&self.blob, hole.at, "crfsuite-trailing-bytes", "nothing leads there", cx)?;
                continue;
            }
            let detail = format!("{} bytes that nothing leads to", hole.len());
            cx.gap(GapReason::Unexplained, Some(hole.at), Some(hole.len()), detail.clone());
            if let Some(what) = opaque::hidden(&data, &data.head(4096)?) {
                cx.fact(Some(hole.at), FactKind::Hidden { code: what.into(), detail });
                cx.member(format!("(bytes at {:#x})", hole.at).as_bytes(), &data);
            }
            metadata::runs(&data, 0, "bytes that nothing leads to", cx)?;
        }
        Ok(())
    }
}
