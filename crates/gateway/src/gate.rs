//! The gate's state: one value, shared by all requests.

use crate::access::Access;
use crate::config::Config;
use crate::flight::Flight;
use crate::judge_flow::{Content, Outcome};
use crate::metrics::Metrics;
use crate::policy_file::PolicyFile;
use crate::requester::OwnAddress;
use crate::unit::{Looked, UnitKey};
use bytes::Bytes;
use moka::sync::Cache;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use wb_policy::Beside;
use wb_sandbox::Pool;
use wb_source::{DirHub, HostRule, RemoteConfig, RemoteHub, Upstream};
use wb_store::{AuditKey, BlobStore, DataDir, Sha256Digest, SqliteStore};
use wb_verdict::Facts;

/// Why the gate could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy does not load: nothing is served without one.
    #[error("{0}")]
    Policy(#[from] crate::policy_file::LoadError),
    /// The data folder.
    #[error("{0}")]
    Store(#[from] wb_store::StoreError),
    /// The upstream.
    #[error("upstream: {0}")]
    Upstream(#[from] wb_source::SourceError),
    /// A setting makes no sense.
    #[error("{0}")]
    Config(String),
    /// Listening failed.
    #[error("cannot listen on {address}: {source}; choose another --listen, or stop what uses it")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Anything else on this machine.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// Bytes of fact sheets kept in memory (estimated).
const FACTS_IN_MEMORY: u64 = 64 << 20;

/// The gate.
pub struct Gate {
    pub(crate) config: Config,
    pub(crate) own: OwnAddress,
    pub(crate) key: AuditKey,
    pub(crate) admin_token: String,
    pub(crate) store: SqliteStore,
    pub(crate) blobs: BlobStore,
    pub(crate) access: Access,
    pub(crate) pool: Arc<Pool>,
    pub(crate) policy: PolicyFile,
    pub(crate) metrics: Metrics,
    pub(crate) flight: Flight<Content, Outcome>,
    /// Repositories being judged as one unit.
    pub(crate) units: Flight<UnitKey, Arc<Vec<Beside>>>,
    /// Weights being looked at, and what came of it.
    pub(crate) looking: Flight<Content, Looked>,
    pub(crate) looked: Cache<Content, Arc<Facts>>,
    /// Outcomes that are not kept for good, for clients that were sent away to come back.
    pub(crate) recent: Cache<Content, Outcome>,
    pub(crate) facts: Cache<Sha256Digest, Arc<Facts>>,
    /// Serialised answers of the verdict look-up, by content, for questions without a name.
    pub(crate) verdicts: Cache<Sha256Digest, Bytes>,
    pub(crate) slots: Arc<Semaphore>,
    _data: DataDir,
}

/// What a fact sheet takes in memory, in bytes (estimated).
fn weight(facts: &Facts) -> u32 {
    u32::try_from(256 + 512 * (facts.facts.len() + facts.gaps.len())).unwrap_or(u32::MAX)
}

/// Today, UTC: exceptions expire everywhere at once.
pub(crate) fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn upstream(config: &Config, data: &DataDir) -> Result<Upstream, Error> {
    let hosts = config.upstream_hosts.iter().map(|h| h.parse()).collect::<Result<Vec<HostRule>, _>>()?;
    if let Some(path) = config.upstream.strip_prefix("dir:") {
        return Ok(Upstream::Dir(DirHub::open(Path::new(path), Some(data.path().join("digests")))?));
    }
    let endpoint = url::Url::parse(&config.upstream).map_err(|e| {
        Error::Config(format!("--upstream {}: {e}; give https://… or dir:PATH", config.upstream))
    })?;
    let mut remote = RemoteConfig::new(endpoint);
    remote.hosts = hosts;
    Ok(Upstream::Hub(RemoteHub::new(remote)?))
}

impl Gate {
    /// Opens everything a gate needs. `listen` is the bound address.
    pub async fn open(config: Config, listen: SocketAddr) -> Result<Self, Error> {
        let policy = PolicyFile::load(config.policy.clone())?;
        let own = OwnAddress::new(config.public_url.as_deref(), config.tls.is_some(), listen)
            .map_err(|e| Error::Config(format!("--public-url: {e}; give http(s)://host[:port][/prefix]")))?;
        let data = DataDir::open(&config.data)?;
        let upstream = upstream(&config, &data)?;
        let store = SqliteStore::open(&data).await?;
        let limit = (config.spool_max > 0).then_some(config.spool_max);
        let blobs = BlobStore::open(&data, limit).await?;
        let pool = Pool::new(config.workers.clone())
            .map_err(|source| Error::Io { what: "cannot prepare scan workers", source })?;
        let weigh = |_: &Sha256Digest, f: &Arc<Facts>| weight(f);
        Ok(Self {
            own,
            key: data.audit_key().clone(),
            admin_token: data.admin_token().to_string(),
            store,
            blobs,
            access: Access::new(upstream),
            pool: Arc::new(pool),
            policy,
            metrics: Metrics::default(),
            flight: Flight::default(),
            units: Flight::default(),
            looking: Flight::default(),
            looked: Cache::builder()
                .weigher(|_: &Content, f: &Arc<Facts>| weight(f))
                .max_capacity(FACTS_IN_MEMORY)
                .build(),
            recent: Cache::builder().max_capacity(1000).time_to_live(Duration::from_secs(30)).build(),
            facts: Cache::builder().weigher(weigh).max_capacity(FACTS_IN_MEMORY).build(),
            verdicts: Cache::builder().max_capacity(100_000).build(),
            slots: Arc::new(Semaphore::new(config.jobs.max(1))),
            config,
            _data: data,
        })
    }
}
