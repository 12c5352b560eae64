//! What the gate is told at start.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How long clients are kept waiting for a judgement, by what they tolerate.
///
/// `huggingface_hub` gives up when no byte arrives for 10 s but follows 20 redirects; reqwest and Go follow 10, so
/// other clients are simply held; git-lfs and llama.cpp give up after 30 s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// How long one request of a client that follows hops is held.
    pub hold: Duration,
    /// Hops before the client is sent away with "repeat the command".
    pub hops: u32,
    /// How long any other client is held.
    pub hold_others: Duration,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { hold: Duration::from_secs(8), hops: 18, hold_others: Duration::from_secs(25) }
    }
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the certificate chain.
    pub cert: PathBuf,
    /// PEM file with the key.
    pub key: PathBuf,
}

/// Everything the gate is told at start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// `https://huggingface.co`, `http://…` or `dir:PATH`.
    pub upstream: String,
    /// Further hosts (`host` or `host:port`) redirects of the upstream may lead to. A listed `host:port` may also be a
    /// loopback or private address.
    pub upstream_hosts: Vec<String>,
    /// Folder for the store, the audit, the spool and the admin token. Made with mode 0700.
    pub data: PathBuf,
    /// Policy file; without one the profile `default` holds.
    pub policy: Option<PathBuf>,
    /// The gate's address as clients see it, with a path prefix if a proxy adds one. Without it the `Host` header is
    /// believed for links (never for access).
    pub public_url: Option<String>,
    /// Reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Certificate, if the gate itself speaks TLS.
    pub tls: Option<Tls>,
    /// Bytes the spool and the kept blobs may take; 0 means no limit.
    pub spool_max: u64,
    /// How scan workers are started.
    pub workers: wb_sandbox::PoolConfig,
    /// Files fetched and judged at the same time; more wait.
    pub jobs: usize,
    /// How long clients wait.
    pub waiting: Waiting,
    /// Serve `/metrics` without the admin token.
    pub metrics_public: bool,
    /// Largest upload to `POST /api/v1/scans`, in bytes.
    pub upload_max: u64,
    /// How long requests in flight may take to finish once a stop is asked for.
    pub grace: Duration,
}

impl Config {
    /// The defaults, for an upstream and a data folder.
    pub fn new(upstream: impl Into<String>, data: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            upstream: upstream.into(),
            upstream_hosts: Vec::new(),
            data: data.into(),
            policy: None,
            public_url: None,
            trusted_proxies: Vec::new(),
            tls: None,
            spool_max: 0,
            workers: wb_sandbox::PoolConfig::default(),
            jobs: 8,
            waiting: Waiting::default(),
            metrics_public: false,
            upload_max: 1 << 30,
            grace: Duration::from_secs(30),
        }
    }
}
