//! Report rows: what one refusal or warning links to.

use crate::data_dir::random;
use crate::{Result, Sha256Digest, StoreError};
use std::fmt;
use std::str::FromStr;

/// An unguessable id of 128 random bits; displays as 26 characters of base32 (RFC 4648, lower-case).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReportId(u128);

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl ReportId {
    /// A new random id.
    pub fn random() -> Result<Self> {
        Ok(Self(u128::from_be_bytes(random::<16>()?)))
    }

    pub(crate) fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.try_into().map_err(|_| StoreError::Database("a report id of odd length".into()))?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }

    /// The first and the last id that begin with these characters, as the audit holds them (at least
    /// [`ReportId::HEAD`] of them).
    pub(crate) fn beginning(head: &str) -> Result<(Self, Self)> {
        if head.len() < Self::HEAD || head.len() > 26 || !head.is_ascii() {
            return Err(StoreError::Database("not the beginning of a report id".into()));
        }
        Ok((format!("{head:a<26}").parse()?, format!("{head:7<26}").parse()?))
    }

    /// Characters of an id that the audit holds.
    pub const HEAD: usize = 6;
}

impl fmt::Display for ReportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String =
            (0..26).rev().map(|i| char::from(ALPHABET[(self.0 >> (5 * i)) as usize & 31])).collect();
        f.pad(&text)
    }
}

/// Shortened: the id is a capability, logs hold only its head.
impl fmt::Debug for ReportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReportId({}…)", self.to_string().get(..6).unwrap_or_default())
    }
}

impl FromStr for ReportId {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || StoreError::Database("not a report id".into());
        if text.len() != 26 {
            return Err(bad());
        }
        let mut value: u128 = 0;
        for (i, c) in text.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|a| *a == c).ok_or_else(bad)?;
            if i == 0 && digit > 7 {
                return Err(bad()); // 26 * 5 = 130 bits: the first digit holds three
            }
            value = (value << 5) | digit as u128;
        }
        Ok(Self(value))
    }
}

/// What a report page shows: one file, as it was judged for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRow {
    /// The id in the link.
    pub id: ReportId,
    /// Milliseconds since 1970; set by the store.
    pub time_ms: i64,
    /// The content, if it was hashed.
    pub sha256: Option<Sha256Digest>,
    /// `org/name`, with `datasets/` or `spaces/` in front.
    pub repo: String,
    /// Commit, 40 hex digits.
    pub commit: String,
    /// Path inside the repository.
    pub path: String,
    /// The decision and report as JSON, made by the gate; kept as text so that an old page stays as it was.
    pub body: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_reject_everything_else() {
        for id in [ReportId(0), ReportId(u128::MAX), ReportId::random().unwrap()] {
            assert_eq!(id.to_string().len(), 26);
            assert_eq!(id.to_string().parse::<ReportId>().unwrap(), id);
        }
        for bad in ["", "../../etc/passwd", "zzzzzzzzzzzzzzzzzzzzzzzzzz", "é"] {
            assert!(bad.parse::<ReportId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_lies_between_the_ends_of_its_beginning() {
        let id = ReportId::random().unwrap();
        let text = id.to_string();
        for n in [6, 7, 26] {
            let (first, last) = ReportId::beginning(&text[..n]).unwrap();
            assert!(first.bytes() <= id.bytes() && id.bytes() <= last.bytes());
            assert_eq!(first == last, n == 26);
        }
        for bad in ["", "aaaaa", "zaaaaa", "aaaa1a", "aaaaaé", &"a".repeat(27)] {
            assert!(ReportId::beginning(bad).is_err(), "{bad}");
        }
    }
}
