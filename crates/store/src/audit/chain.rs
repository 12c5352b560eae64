//! The hash chain: `hash(n) = SHA-256(tag, hash(n-1), n, time, length of body, body)`.
//!
//! The body is the entry's JSON exactly as it was written; it is hashed as bytes and never made
//! again from its parts, so a later version that knows more fields verifies old rows unchanged.

use sha2::{Digest, Sha256};

/// What the first row links to.
pub(crate) const GENESIS: [u8; 32] = [0; 32];

/// Hash of row `seq`.
pub(crate) fn row_hash(previous: &[u8; 32], seq: u64, time_ms: i64, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"weighbridge audit 1\0");
    hash.update(previous);
    hash.update(seq.to_be_bytes());
    hash.update(time_ms.to_be_bytes());
    hash.update((body.len() as u64).to_be_bytes());
    hash.update(body);
    hash.finalize().into()
}

/// 32 bytes from a database column.
pub(crate) fn decode(bytes: &[u8]) -> Option<[u8; 32]> {
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let base = row_hash(&GENESIS, 1, 2, b"body");
        assert_ne!(base, row_hash(&[1; 32], 1, 2, b"body"));
        assert_ne!(base, row_hash(&GENESIS, 2, 2, b"body"));
        assert_ne!(base, row_hash(&GENESIS, 1, 3, b"body"));
        assert_ne!(base, row_hash(&GENESIS, 1, 2, b"bodz"));
    }
}
