//! [`Token`], a requester's credential for the upstream.

use hmac::{Hmac, KeyInit, Mac};
use std::fmt;

/// The value of an `Authorization` header. Never shown, never stored; only [`Token::hash`] leaves.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Keeps a whole header value (`Bearer hf_…` or `Basic …`); `None` if it cannot be a header value.
    pub fn from_header(value: &str) -> Option<Self> {
        let value = value.trim();
        (!value.is_empty() && value.bytes().all(|b| (0x20..0x7f).contains(&b))).then(|| Self(value.into()))
    }

    /// A bare access token (`hf_…`).
    pub fn bearer(token: &str) -> Option<Self> {
        Self::from_header(&format!("Bearer {}", token.trim())).filter(|_| !token.trim().is_empty())
    }

    /// The header value, for the request to the upstream's own origin only.
    pub(crate) fn header(&self) -> &str {
        &self.0
    }

    /// A keyed hash (HMAC-SHA-256) that names this token in caches and the audit. Without the key it
    /// says nothing about the token. Equal tokens have equal hashes under one key.
    pub fn hash(&self, key: &[u8; 32]) -> [u8; 32] {
        let mut mac = match Hmac::<sha2::Sha256>::new_from_slice(key) {
            Ok(mac) => mac,
            Err(_) => return [0; 32], // unreachable: HMAC takes keys of any length
        };
        mac.update(b"weighbridge token\0");
        mac.update(self.0.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_shows() {
        let token = Token::bearer("hf_secret").unwrap();
        assert!(!format!("{token:?}").contains("secret"));
        assert_ne!(token.hash(&[0; 32]), token.hash(&[1; 32]));
        assert_eq!(token.header(), "Bearer hf_secret");
        assert!(Token::from_header("a\r\nX: y").is_none());
        assert!(Token::bearer("").is_none());
    }
}
