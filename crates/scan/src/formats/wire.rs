//! Just enough of two wire formats to recognise what a file is: protobuf messages and msgpack values.

use wb_blob::{Blob, Window};

/// One field of the outermost message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub number: u64,
    /// 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes.
    pub wire: u8,
    pub at: u64,
    pub len: u64,
}

fn varint(v: &[u8]) -> Option<(u64, usize)> {
    let mut n = 0u64;
    for (i, b) in v.iter().enumerate().take(10) {
        n |= u64::from(b & 0x7f).checked_shl(7 * i as u32)?;
        if b & 0x80 == 0 {
            return Some((n, i + 1));
        }
    }
    None
}

/// The fields of the message that is all of `blob`; `None` if it is no protobuf message.
///
/// Only tags and lengths are read. After `MAX` fields the rest is taken on trust.
pub(super) fn protobuf(blob: &Blob) -> Option<Vec<Field>> {
    const MAX: usize = 4096;
    const MAX_FIELD: u64 = 20_000;
    let mut window = Window::new(blob.clone(), 512);
    let mut fields = Vec::new();
    let mut at = 0u64;
    while at < blob.len() && fields.len() < MAX {
        let v = window.view(at, 20).ok()?;
        let (tag, n) = varint(v)?;
        let (number, wire) = (tag >> 3, (tag & 7) as u8);
        if number == 0 || number > MAX_FIELD {
            return None;
        }
        let rest = v.get(n..)?;
        let (skip, len) = match wire {
            0 => (varint(rest)?.1 as u64, 0),
            1 => (8, 0),
            5 => (4, 0),
            2 => {
                let (len, m) = varint(rest)?;
                (m as u64, len)
            }
            _ => return None,
        };
        let data = at.checked_add(n as u64)?.checked_add(skip)?;
        at = data.checked_add(len)?;
        if at > blob.len() {
            return None;
        }
        fields.push(Field { number, wire, at: data, len });
    }
    (!fields.is_empty()).then_some(fields)
}

/// How reading a blob as one msgpack value went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Msgpack {
    /// Exactly one value, a map or an array.
    Whole,
    /// A map or array that announces more elements than there are bytes.
    Impossible,
    No,
}

/// Reads `blob` as one msgpack map or array.
pub(super) fn msgpack(blob: &Blob) -> Msgpack {
    const MAX_VALUES: u64 = 2_000_000;
    let mut window = Window::new(blob.clone(), 64 << 10);
    let mut at = 0u64;
    let mut left = 1u64;
    for n in 0..MAX_VALUES {
        if left == 0 {
            return if at == blob.len() { Msgpack::Whole } else { Msgpack::No };
        }
        let Ok(v) = window.view(at, 9) else { return Msgpack::No };
        let Some(&b) = v.first() else { return Msgpack::No };
        let number =
            |size: usize| v.get(1..=size).map(|b| b.iter().fold(0u64, |n, b| n << 8 | u64::from(*b)));
        let map = matches!(b, 0x80..=0x8f | 0xde | 0xdf);
        let array = matches!(b, 0x90..=0x9f | 0xdc | 0xdd);
        if n == 0 && !map && !array {
            return Msgpack::No;
        }
        // Header bytes, data bytes, elements.
        let shape = match b {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Some((1, 0, 0)),
            0x80..=0x8f => Some((1, 0, 2 * u64::from(b & 0xf))),
            0x90..=0x9f => Some((1, 0, u64::from(b & 0xf))),
            0xa0..=0xbf => Some((1, u64::from(b & 0x1f), 0)),
            0xc4 | 0xd9 => number(1).map(|n| (2, n, 0)),
            0xc5 | 0xda => number(2).map(|n| (3, n, 0)),
            0xc6 | 0xdb => number(4).map(|n| (5, n, 0)),
            0xc7 => number(1).map(|n| (2, n + 1, 0)),
            0xc8 => number(2).map(|n| (3, n + 1, 0)),
            0xc9 => number(4).map(|n| (5, n + 1, 0)),
            0xcc | 0xd0 => Some((2, 0, 0)),
            0xcd | 0xd1 => Some((3, 0, 0)),
            0xca | 0xce | 0xd2 => Some((5, 0, 0)),
            0xcb | 0xcf | 0xd3 => Some((9, 0, 0)),
            0xd4..=0xd8 => Some((2, 1 << (b - 0xd4), 0)),
            0xdc => number(2).map(|n| (3, 0, n)),
            0xdd => number(4).map(|n| (5, 0, n)),
            0xde => number(2).map(|n| (3, 0, 2 * n)),
            0xdf => number(4).map(|n| (5, 0, 2 * n)),
            0xc1 => None,
        };
        let Some((header, data, elements)) = shape else { return Msgpack::No };
        at += header + data;
        if at > blob.len() {
            return Msgpack::No;
        }
        left = left - 1 + elements;
        if left > blob.len() - at {
            return if map || array { Msgpack::Impossible } else { Msgpack::No };
        }
    }
    Msgpack::Whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protobuf_fields() {
        let f = protobuf(&Blob::from_vec(b"\x08\x01\x12\x02hi".to_vec())).unwrap();
        assert_eq!(f.iter().map(|f| (f.number, f.wire, f.len)).collect::<Vec<_>>(), [(1, 0, 0), (2, 2, 2)]);
        assert_eq!(protobuf(&Blob::from_vec(b"\x08\x01\x12\x09hi".to_vec())), None);
        assert_eq!(protobuf(&Blob::from_vec(vec![0; 64])), None);
    }

    #[test]
    fn msgpack_values() {
        assert_eq!(msgpack(&Blob::from_vec(b"\x81\xa1a\x93\x01\x02\x03".to_vec())), Msgpack::Whole);
        assert_eq!(msgpack(&Blob::from_vec(b"\xdd\xff\xff\xff\xff".to_vec())), Msgpack::Impossible);
        assert_eq!(msgpack(&Blob::from_vec(b"hello".to_vec())), Msgpack::No);
        assert_eq!(msgpack(&Blob::from_vec(b"\x81\xa1a\x01tail".to_vec())), Msgpack::No);
    }
}
