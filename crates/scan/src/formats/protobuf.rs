//! Protobuf's wire format (<https://protobuf.dev/programming-guides/encoding/>), read as tolerantly as real parsers do,
//! within a blob and without holding it.
//!
//! Who reads a message by its schema walks the fields of a [`Span`] and descends into those it knows:
//!
//! ```text
//! let mut span = wire.all();
//! while let Some(f) = wire.next(&mut span, cx)? {
//!     match (f.number, f.wire) {
//!         (2, LEN) => graph(wire, f.span(), cx)?,
//!         _ => wire.unknown(&f, "GraphDef", cx)?,
//!     }
//! }
//! ```
//! Parsers merge a sub-message given twice, and of a scalar given twice most keep the last. So whoever walks keeps
//! everything that was given: the union of all readings. A field whose wire type is not the schema's is unknown to parsers.

use crate::analyses::opaque;
use crate::cx::{Cx, Stop};
use wb_blob::{Blob, Window};
use wb_verdict::{FactKind, GapReason};

/// Wire type of a varint.
pub(super) const VARINT: u8 = 0;
/// Wire type of eight bytes.
pub(super) const I64: u8 = 1;
/// Wire type of strings, bytes, sub-messages and packed scalars.
pub(super) const LEN: u8 = 2;
/// Wire type of a group; its span ends before the end tag.
pub(super) const GROUP: u8 = 3;
/// Wire type of four bytes.
pub(super) const I32: u8 = 5;

/// A part of the blob that is still to be walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub at: u64,
    pub end: u64,
}

impl Span {
    pub(super) fn len(&self) -> u64 {
        self.end - self.at
    }
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub number: u32,
    pub wire: u8,
    /// Where its tag begins.
    pub tag: u64,
    /// Where its data begins and how long it is.
    pub at: u64,
    pub len: u64,
    /// The number, for varints and fixed sizes.
    pub value: u64,
}

impl Field {
    /// Its data, to be walked as a message.
    pub(super) fn span(&self) -> Span {
        Span { at: self.at, end: self.at + self.len }
    }
}

/// Reads fields of one blob.
pub(super) struct Wire {
    window: Window,
    blob: Blob,
    /// What parsers nest at most.
    groups: u32,
}

impl Wire {
    pub(super) fn new(blob: &Blob) -> Self {
        Self { window: Window::new(blob.clone(), 64 << 10), blob: blob.clone(), groups: 0 }
    }

    /// The whole blob.
    pub(super) fn all(&self) -> Span {
        Span { at: 0, end: self.blob.len() }
    }

    pub(super) fn blob(&self) -> &Blob {
        &self.blob
    }

    /// The next field of `span`; `None` at its end. Each costs a step of the budget.
    pub(super) fn next(&mut self, span: &mut Span, cx: &Cx<'_>) -> Result<Option<Field>, Stop> {
        cx.budget.steps(1)?;
        self.field(span)
    }

    /// As [`Self::next`] without a budget, for claims, which look at a bounded number of fields.
    pub(super) fn field(&mut self, span: &mut Span) -> Result<Option<Field>, Stop> {
        if span.at >= span.end {
            return Ok(None);
        }
        let tag = span.at;
        let (key, mut at) = self.varint(tag, span.end)?;
        // Parsers read a tag into 32 bits, however many bytes it takes.
        let key = key as u32;
        let (number, wire) = (key >> 3, (key & 7) as u8);
        if number == 0 {
            return Err(Stop::malformed(tag, "protobuf field number 0"));
        }
        let (len, value) = match wire {
            VARINT => {
                let (value, next) = self.varint(at, span.end)?;
                (next - at, value)
            }
            I64 => (8, self.fixed(at, span.end, 8)?),
            I32 => (4, self.fixed(at, span.end, 4)?),
            LEN => {
                let (len, next) = self.varint(at, span.end)?;
                at = next;
                (len, 0)
            }
            GROUP => {
                let (len, next) = self.group(at, span.end, number)?;
                span.at = next;
                return Ok(Some(Field { number, wire, tag, at, len, value: 0 }));
            }
            _ => return Err(Stop::malformed(tag, format!("protobuf wire type {wire}"))),
        };
        match at.checked_add(len).filter(|end| *end <= span.end) {
            Some(end) => span.at = end,
            None => {
                let left = span.end - at;
                return Err(Stop::malformed(tag, format!("protobuf field of {len} bytes, {left} left")));
            }
        }
        Ok(Some(Field { number, wire, tag, at, len, value }))
    }

    /// The length of a group's content, and where its end tag ends.
    fn group(&mut self, start: u64, end: u64, number: u32) -> Result<(u64, u64), Stop> {
        const DEEPEST: u32 = 100;
        if self.groups >= DEEPEST {
            return Err(Stop::malformed(start, "protobuf groups nested deeper than parsers go"));
        }
        self.groups += 1;
        let mut span = Span { at: start, end };
        let found = loop {
            let at = span.at;
            match self.varint(at, end) {
                Ok((key, next)) if key & 7 == 4 => {
                    let same = (key as u32) >> 3 == number;
                    break same
                        .then_some((at - start, next))
                        .ok_or("protobuf group closed by another number");
                }
                Ok(_) => match self.field(&mut span) {
                    Ok(Some(_)) => {}
                    Ok(None) => break Err("protobuf group without end"),
                    Err(stop) => {
                        self.groups -= 1;
                        return Err(stop);
                    }
                },
                Err(_) => break Err("protobuf group without end"),
            }
        };
        self.groups -= 1;
        found.map_err(|what| Stop::malformed(start, what))
    }

    fn varint(&mut self, at: u64, end: u64) -> Result<(u64, u64), Stop> {
        let left = (end - at).min(10) as usize;
        let v = self.window.view(at, left)?;
        let mut n = 0u64;
        for (i, b) in v.iter().take(left).enumerate() {
            n |= u64::from(b & 0x7f).wrapping_shl(7 * i as u32);
            if b & 0x80 == 0 {
                return Ok((n, at + i as u64 + 1));
            }
        }
        let what = if left < 10 { "protobuf message ends early" } else { "protobuf varint without end" };
        Err(Stop::malformed(at, what))
    }

    fn fixed(&mut self, at: u64, end: u64, size: usize) -> Result<u64, Stop> {
        let v = self.window.view(at, size)?;
        match v.get(..size) {
            Some(b) if at + size as u64 <= end => Ok(b.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))),
            _ => Err(Stop::malformed(at, "protobuf message ends early")),
        }
    }

    /// At most `max` bytes of a field's data.
    pub(super) fn bytes(&mut self, f: &Field, max: usize) -> Result<Vec<u8>, Stop> {
        let want = f.len.min(max as u64) as usize;
        let v = self.window.view(f.at, want)?;
        Ok(v[..want.min(v.len())].to_vec())
    }

    /// A field's data as text, cut at `max` bytes; bytes that are no UTF-8 are replaced.
    pub(super) fn text(&mut self, f: &Field, max: usize) -> Result<String, Stop> {
        Ok(String::from_utf8_lossy(&self.bytes(f, max)?).into_owned())
    }

    /// The numbers of a repeated scalar field, packed or not, at most `max`. `size` is 0 for varints, else 4 or 8.
    pub(super) fn numbers(&mut self, f: &Field, size: u64, max: usize) -> Result<Vec<u64>, Stop> {
        if f.wire != LEN {
            return Ok(vec![f.value]);
        }
        let (mut at, end, mut out) = (f.at, f.at + f.len, Vec::new());
        while at < end && out.len() < max {
            let (value, next) = match size {
                0 => self.varint(at, end)?,
                n => (self.fixed(at, end, n as usize)?, at + n),
            };
            out.push(value);
            at = next;
        }
        Ok(out)
    }

    /// A field that this build's schema does not have. Loaders of today skip it, those of tomorrow may not: a gap, and
    /// what it hides is looked for. Scalars say nothing by themselves, but are no less unexplained.
    pub(super) fn unknown(&mut self, f: &Field, message: &str, cx: &mut Cx<'_>) -> Result<(), Stop> {
        let detail = format!("field {} (wire type {}) that {message} does not have", f.number, f.wire);
        cx.gap(GapReason::Unexplained, Some(f.tag), Some(f.at + f.len - f.tag), detail);
        self.opaque(f, &format!("field {} of {message}", f.number), cx)
    }

    /// A field whose bytes no loader opens: is something hidden in it?
    pub(super) fn opaque(&mut self, f: &Field, place: &str, cx: &mut Cx<'_>) -> Result<(), Stop> {
        const LEAST: u64 = 8;
        if !matches!(f.wire, LEN | GROUP) || f.len < LEAST {
            return Ok(());
        }
        let data = self.blob.sub(f.at..f.at + f.len);
        let head = data.head(4096)?;
        if let Some(what) = opaque::hidden(&data, &head) {
            let detail = format!("in {place}");
            cx.fact(Some(f.at), FactKind::Hidden { code: what.into(), detail });
            cx.member(format!("({place} at {:#x})", f.at).as_bytes(), &data);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, u8, u64, u64)>, Stop> {
        let mut wire = Wire::new(&Blob::from_vec(bytes.to_vec()));
        let mut span = wire.all();
        let mut out = Vec::new();
        while let Some(f) = wire.field(&mut span)? {
            out.push((f.number, f.wire, f.len, f.value));
        }
        Ok(out)
    }

    #[test]
    fn all_wire_types() {
        let bytes = b"\x08\x96\x01\x12\x02hi\x1d\x01\0\0\0\x21\x02\0\0\0\0\0\0\0\x2b\x08\x01\x2c";
        assert_eq!(
            fields(bytes).unwrap(),
            [(1, 0, 2, 150), (2, 2, 2, 0), (3, 5, 4, 1), (4, 1, 8, 2), (5, 3, 2, 0)]
        );
    }

    #[test]
    fn over_long_varints_are_read_as_parsers_read_them() {
        assert_eq!(fields(b"\x8a\x80\x80\x00\x82\x80\x00hi").unwrap(), [(1, 2, 2, 0)]);
        // Bits beyond 32 of a tag are dropped.
        assert_eq!(fields(b"\x8a\x80\x80\x80\x70\x00").unwrap(), [(1, 2, 0, 0)]);
    }

    #[test]
    fn what_leaves_its_message_is_malformed() {
        for bytes in [
            &b"\x12\x09hi"[..],
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"\x08",
            b"\x1d\0\0",
            b"\x0b\x08\x01",
            b"\x0b\x14",
            b"\x0c",
            b"\x00\x00",
            b"\x0e",
            b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        ] {
            assert!(fields(bytes).is_err(), "{bytes:x?}");
        }
        assert!(fields(&[0x0b; 5000]).is_err(), "groups in groups");
    }

    #[test]
    fn packed_and_single_numbers() {
        let mut wire = Wire::new(&Blob::from_vec(b"\x0a\x03\x01\x96\x01\x08\x05".to_vec()));
        let mut span = wire.all();
        let packed = wire.field(&mut span).unwrap().unwrap();
        assert_eq!(wire.numbers(&packed, 0, 100).unwrap(), [1, 150]);
        let single = wire.field(&mut span).unwrap().unwrap();
        assert_eq!(wire.numbers(&single, 0, 100).unwrap(), [5]);
    }
}
