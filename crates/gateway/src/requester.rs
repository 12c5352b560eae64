//! Who asks: address, token and user agent of one request, and the gate's own address as that client sees it.

use crate::protocols::hf::agent::Agent;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use std::net::{IpAddr, SocketAddr};
use wb_source::Token;

/// The keyed hash of a token; all zero for none.
pub type Who = [u8; 32];

/// One requester.
#[derive(Clone)]
pub struct Requester {
    /// The credential for the upstream.
    pub token: Option<Token>,
    /// The keyed hash that names the token in caches and the audit.
    pub who: Who,
    /// Address of the client: the peer, or whom a trusted proxy names.
    pub address: IpAddr,
    /// What the client can be told.
    pub agent: Agent,
    /// The gate's address as this client sees it, without a trailing slash.
    pub base: String,
    /// The path prefix of `base`, for relative redirects; empty or `/…`.
    pub prefix: String,
    /// The client's trace id, echoed as `X-Request-Id`; printable ASCII.
    pub trace: Option<String>,
}

/// Where the gate can be reached, as far as it is told.
#[derive(Debug, Clone)]
pub struct OwnAddress {
    /// `--public-url` without a trailing slash.
    pub public: Option<String>,
    /// The path prefix of `public`; empty or `/…`.
    pub prefix: String,
    /// True if the gate speaks TLS.
    pub tls: bool,
    /// The address listened on.
    pub listen: SocketAddr,
}

impl OwnAddress {
    /// From `--public-url`, TLS and the bound address.
    pub fn new(public: Option<&str>, tls: bool, listen: SocketAddr) -> Result<Self, url::ParseError> {
        let public = public.map(|p| p.trim_end_matches('/'));
        let prefix = match public {
            Some(p) => url::Url::parse(p)?.path().trim_end_matches('/').to_string(),
            None => String::new(),
        };
        Ok(Self { public: public.map(Into::into), prefix, tls, listen })
    }

    fn base(&self, headers: &HeaderMap) -> String {
        if let Some(public) = &self.public {
            return public.clone();
        }
        let plausible = |h: &&str| {
            !h.is_empty()
                && h.len() <= 255
                && h.bytes().all(|b| {
                    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']')
                })
        };
        let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).filter(plausible);
        let scheme = if self.tls { "https" } else { "http" };
        match host {
            Some(host) => format!("{scheme}://{host}"),
            None => format!("{scheme}://{}", self.listen),
        }
    }
}

impl Requester {
    /// Reads a request's head.
    pub fn new(parts: &Parts, address: IpAddr, own: &OwnAddress, key: &[u8; 32]) -> Self {
        let text = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok());
        let token = text("authorization").and_then(Token::from_header);
        let who = token.as_ref().map(|t| t.hash(key)).unwrap_or_default();
        let plain = |t: &&str| t.len() <= 128 && t.bytes().all(|b| (0x21..0x7f).contains(&b));
        Self {
            token,
            who,
            address,
            agent: Agent::parse(text("user-agent").unwrap_or("")),
            base: own.base(&parts.headers),
            prefix: own.prefix.clone(),
            trace: text("x-amzn-trace-id").or(text("x-request-id")).filter(plain).map(Into::into),
        }
    }
}
