//! [`Sha256Digest`], the name under which content is known everywhere.

use std::fmt;
use std::str::FromStr;

/// A SHA-256 digest. Displays and parses as 64 lower-case hex digits, so it can never name a path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest(pub [u8; 32]);

/// Not 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotADigest;

impl fmt::Display for NotADigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a sha-256 digest: 64 hex digits expected")
    }
}

impl std::error::Error for NotADigest {}

impl Sha256Digest {
    /// The digest as 64 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.0
            .iter()
            .flat_map(|b| [b >> 4, b & 15])
            .filter_map(|n| HEX.get(usize::from(n)))
            .map(|c| char::from(*c))
            .collect()
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_hex())
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl FromStr for Sha256Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        fn nibble(c: u8) -> Option<u8> {
            char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok())
        }
        if text.len() != 64 {
            return Err(NotADigest);
        }
        let mut out = [0; 32];
        for (byte, pair) in out.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
            let [high, low] = *pair;
            *byte = (nibble(high).ok_or(NotADigest)? << 4) | nibble(low).ok_or(NotADigest)?;
        }
        Ok(Self(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_prints_and_nothing_else() {
        let d = Sha256Digest(std::array::from_fn(|i| (i * 8) as u8));
        assert_eq!(d.to_hex().parse(), Ok(d));
        assert!(d.to_hex().starts_with("000810"));
        assert_eq!("../../etc/passwd".parse::<Sha256Digest>(), Err(NotADigest));
        assert_eq!("g".repeat(64).parse::<Sha256Digest>(), Err(NotADigest));
    }
}
