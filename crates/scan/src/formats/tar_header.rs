//! Tar header blocks, as leniently as the most lenient reader takes them.
//!
//! POSIX.1-2001 pax, GNU tar's manual, CPython `Lib/tarfile.py` (`nti`, `calc_chksums`, `TarInfo.frombuf`).

/// Bytes of a block.
pub(super) const BLOCK: u64 = 512;

/// One header block, decoded.
pub(super) struct Header {
    /// Name, with the prefix where the header is POSIX ustar.
    pub name: Vec<u8>,
    /// The name as Python reads it, which takes the prefix whatever the header's magic says.
    pub prefixed: Option<Vec<u8>>,
    pub link: Vec<u8>,
    pub size: u64,
    /// The size field holds a negative number.
    pub negative: bool,
    pub kind: u8,
}

/// The bytes up to the first NUL.
pub(super) fn until_nul(b: &[u8]) -> &[u8] {
    &b[..memchr::memchr(0, b).unwrap_or(b.len())]
}

/// White space that Python's `str.strip` removes and that can stand in such a field.
fn blank(b: &u8) -> bool {
    b.is_ascii_whitespace() || matches!(b, 0x0b | 0x1c..=0x1f)
}

/// Octal or (GNU) base-256 number. Python parses octal by `int(text, 8)`: a sign, `0o` and underscores pass.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    if let [first @ 0x80..=0xff, rest @ ..] = field {
        // Python and GNU tar: two's complement of all bits but the first.
        let start = if first & 0x40 == 0 { i64::from(first & 0x3f) } else { i64::from(first & 0x3f) - 64 };
        return Some(rest.iter().fold(start, |n, b| n.saturating_mul(256).saturating_add(i64::from(*b))));
    }
    let mut text = until_nul(field);
    while let [first, rest @ ..] = text
        && blank(first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && blank(last)
    {
        text = rest;
    }
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    };
    let digits = digits.strip_prefix(b"0o").or_else(|| digits.strip_prefix(b"0O")).unwrap_or(digits);
    digits.iter().filter(|b| **b != b'_').try_fold(0i64, |n, b| match b {
        b'0'..=b'7' => n.checked_mul(8)?.checked_add(sign * i64::from(b - b'0')),
        _ => None,
    })
}

/// A size or offset; negative numbers are none.
pub(super) fn unsigned(field: &[u8]) -> Option<u64> {
    number(field).and_then(|n| u64::try_from(n).ok())
}

/// Decodes a header block; `None` if its checksum is wrong.
pub(super) fn header(block: &[u8]) -> Option<Header> {
    if block.len() < BLOCK as usize {
        return None;
    }
    let stated = number(&block[148..156])?;
    let mut sum = 8 * i64::from(b' ');
    let mut signed = sum;
    for (i, b) in block[..512].iter().enumerate() {
        if !(148..156).contains(&i) {
            sum += i64::from(*b);
            signed += i64::from(*b as i8);
        }
    }
    if stated != sum && stated != signed {
        return None;
    }
    let mut name = until_nul(&block[..100]).to_vec();
    let prefix = until_nul(&block[345..500]);
    let mut prefixed = None;
    if !prefix.is_empty() {
        let joined = [prefix, b"/", &name].concat();
        if block[257..263] == *b"ustar\0" { name = joined } else { prefixed = Some(joined) }
    }
    let size = number(&block[124..136])?;
    Some(Header {
        name,
        prefixed,
        link: until_nul(&block[157..257]).to_vec(),
        size: u64::try_from(size).unwrap_or(0),
        negative: size < 0,
        kind: block[156],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_the_most_lenient_reader_takes_them() {
        for text in [&b"0000053\0"[..], b"    53 \0", b"+53\0", b"0o53", b"0_0_53\0", b"\x0b53\x1c\0"] {
            assert_eq!(number(text), Some(0o53), "{text:?}");
        }
        assert_eq!(number(b"-0000001\0"), Some(-1));
        assert_eq!(number(b"\x80\0\0\x01\x02"), Some(258));
        assert_eq!(number(b"\xff\xff\xff\xff"), Some(-1));
        assert_eq!(number(b"\0\0\0"), Some(0));
        assert_eq!(number(b"12x"), None);
        assert_eq!(number(&[0xbf; 12]), Some(i64::MAX), "beyond 64 bits");
    }
}
