//! A 7z writer for stored members: one folder, copy coder, plain header.
//!
//! Layout after 7-Zip's `7zFormat.txt`: signature header, packed streams, header with
//! MainStreamsInfo (PackInfo, UnpackInfo, SubStreamsInfo) and FilesInfo (names).

use super::{Builder, Member};
use crate::Error;

pub(crate) fn build(members: &[Member], b: &Builder<'_>) -> Result<Vec<u8>, Error> {
    let datas: Vec<Vec<u8>> = members.iter().map(|m| b.source(&m.data)).collect::<Result<_, _>>()?;
    let total: usize = datas.iter().map(Vec::len).sum();
    let mut h = vec![0x01, 0x04];
    h.push(0x06);
    number(&mut h, 0);
    number(&mut h, 1);
    h.push(0x09);
    number(&mut h, total as u64);
    h.push(0x00);
    // One folder with one coder: id 0x00 (copy).
    h.extend([0x07, 0x0b, 0x01, 0x00, 0x01, 0x01, 0x00, 0x0c]);
    number(&mut h, total as u64);
    if let [only] = datas.as_slice() {
        h.extend([0x0a, 0x01]);
        h.extend(crc32fast::hash(only).to_le_bytes());
        h.push(0x00);
        h.extend([0x08, 0x00]);
    } else {
        h.push(0x00);
        h.extend([0x08, 0x0d]);
        number(&mut h, datas.len() as u64);
        h.push(0x09);
        for d in datas.iter().rev().skip(1).rev() {
            number(&mut h, d.len() as u64);
        }
        h.extend([0x0a, 0x01]);
        for d in &datas {
            h.extend(crc32fast::hash(d).to_le_bytes());
        }
        h.push(0x00);
    }
    h.push(0x00);
    h.push(0x05);
    number(&mut h, members.len() as u64);
    let names: Vec<u8> =
        members.iter().flat_map(|m| m.name.encode_utf16().chain([0])).flat_map(u16::to_le_bytes).collect();
    h.push(0x11);
    number(&mut h, names.len() as u64 + 1);
    h.push(0x00);
    h.extend(names);
    h.extend([0x00, 0x00]);

    let mut start = (total as u64).to_le_bytes().to_vec();
    start.extend((h.len() as u64).to_le_bytes());
    start.extend(crc32fast::hash(&h).to_le_bytes());
    let mut out = b"7z\xbc\xaf\x27\x1c\x00\x04".to_vec();
    out.extend(crc32fast::hash(&start).to_le_bytes());
    out.extend(start);
    out.extend(datas.concat());
    out.extend(h);
    Ok(out)
}

/// 7z's variable-length number.
fn number(out: &mut Vec<u8>, v: u64) {
    let mut first = 0u8;
    let mut mask = 0x80u8;
    let mut low = 0;
    while low < 8 {
        if v < 1 << (7 * (low + 1)) {
            first |= (v >> (8 * low)) as u8;
            break;
        }
        first |= mask;
        mask >>= 1;
        low += 1;
    }
    out.push(first);
    out.extend(&v.to_le_bytes()[..low]);
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_grow_by_bytes() {
        let n = |v| {
            let mut out = Vec::new();
            super::number(&mut out, v);
            out
        };
        assert_eq!((n(0x7f), n(0x80), n(0x3fff)), (vec![0x7f], vec![0x80, 0x80], vec![0xbf, 0xff]));
        assert_eq!(n(u64::MAX), [0xff; 9]);
    }
}
