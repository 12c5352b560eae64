//! Just enough of msgpack's wire format to recognise what a file is.

use wb_blob::{Blob, Window};

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
    fn msgpack_values() {
        assert_eq!(msgpack(&Blob::from_vec(b"\x81\xa1a\x93\x01\x02\x03".to_vec())), Msgpack::Whole);
        assert_eq!(msgpack(&Blob::from_vec(b"\xdd\xff\xff\xff\xff".to_vec())), Msgpack::Impossible);
        assert_eq!(msgpack(&Blob::from_vec(b"hello".to_vec())), Msgpack::No);
        assert_eq!(msgpack(&Blob::from_vec(b"\x81\xa1a\x01tail".to_vec())), Msgpack::No);
    }
}
