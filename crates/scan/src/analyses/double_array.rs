//! The double array of darts-clone, as SentencePiece and Hugging Face's tokenizers keep rules of normalisation: units of 32
//! bits that lead to one another by exclusive or, and values that lead into a text. `Darts::Details::DoubleArrayUnit` and
//! `sentencepiece::normalizer::Normalizer` read both without looking at bounds.

/// What a reader of compiled rules would read outside of them.
pub(crate) fn rules(bytes: &[u8]) -> Option<String> {
    let size = bytes.get(..4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let Some(size) = size.map(|n| n as usize) else { return Some("rules without a size".into()) };
    let Some(table) = bytes.get(4..).and_then(|b| b.get(..size)) else {
        return Some(format!("a table of {size} bytes in rules of {}", bytes.len()));
    };
    let texts = &bytes[4 + size..];
    if !size.is_multiple_of(4) || size == 0 {
        return Some(format!("a table of {size} bytes"));
    }
    if texts.last() != Some(&0) {
        return Some("texts without an end".into());
    }
    let units: Vec<u32> =
        table.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
    walk(&units, texts.len())
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}

/// Follows every way that a text could take through the table.
fn walk(units: &[u32], texts: usize) -> Option<String> {
    let mut seen = vec![false; units.len()];
    let mut open = vec![0usize];
    seen[0] = true;
    while let Some(at) = open.pop() {
        let unit = units[at];
        let base = at ^ offset(unit);
        // Whatever byte comes next, the unit that it leads to is read before its label is compared.
        if base | 0xff >= units.len() {
            return Some(format!("unit {at} leads to {base} of {} units", units.len()));
        }
        if at != 0 && unit & (1 << 8) != 0 {
            let value = (units[base] & (i32::MAX as u32)) as usize;
            if value >= texts {
                return Some(format!("unit {at} has the value {value} in texts of {texts} bytes"));
            }
        }
        for label in 1..=255usize {
            let to = base ^ label;
            // The label of a unit is its lowest byte; values have the highest bit set.
            if units[to] & 0x8000_00ff == label as u32 && !seen[to] {
                seen[to] = true;
                open.push(to);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with one rule: the byte `a` is replaced by the text at `value`.
    fn table(value: u32, units: usize) -> Vec<u32> {
        let mut t = vec![0u32; units];
        // The root leads to 256 ^ label; the unit of `a` has a value at its own offset.
        t[0] = 256 << 10;
        let a = 256 ^ usize::from(b'a');
        // Back to the block that begins at 512, with the bit for a leaf.
        t[a] = ((a ^ 512) as u32) << 10 | 1 << 8 | u32::from(b'a');
        t[512] = value | 1 << 31;
        t
    }

    fn compiled(units: &[u32], texts: &[u8]) -> Vec<u8> {
        let table: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
        [&(table.len() as u32).to_le_bytes()[..], &table, texts].concat()
    }

    #[test]
    fn every_way_stays_inside() {
        assert_eq!(rules(&compiled(&table(0, 768), b"b\0")), None);
        assert!(rules(&compiled(&table(2, 768), b"b\0")).is_some_and(|w| w.contains("value 2")));
        assert!(rules(&compiled(&table(0, 600), b"b\0")).is_some_and(|w| w.contains("leads to")));
        assert!(rules(&compiled(&table(0, 768), b"b")).is_some(), "a text without end");
        let mut wild = table(0, 768);
        wild[0] = u32::MAX << 10;
        assert!(rules(&compiled(&wild, b"b\0")).is_some());
        for broken in [&b""[..], b"\x04\0\0\0", b"\x03\0\0\0abc\0", &[0xff; 40]] {
            assert!(rules(broken).is_some(), "{broken:?}");
        }
        // A way that leads back to where it came from ends.
        let mut round = table(0, 768);
        let a = 256 ^ usize::from(b'a');
        round[a] = ((a ^ 256) as u32) << 10 | u32::from(b'a');
        assert_eq!(rules(&compiled(&round, b"b\0")), None);
    }
}
