//! URLs that a person types: `hf://org/name[@rev][/file]` and `https://…`.

use crate::{
    EgressPolicy, FileMeta, HostRule, MetaRequest, RangedFile, RangedLimits, RemoteConfig, RemoteHub, RepoId,
    RepoKind, Result, Route, SourceError, Token,
};
use std::sync::{Arc, OnceLock};
use tokio::runtime::Runtime;
use url::Url;
use wb_blob::ReadAt;

/// What a typed URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteTarget {
    /// A repository on the hub, or one file of it.
    Hub {
        /// The repository.
        repo: RepoId,
        /// Revision; `main` if none was given.
        rev: String,
        /// One file, or a folder's prefix; `None` for the whole repository.
        path: Option<String>,
    },
    /// A single file anywhere.
    Url(Url),
}

impl RemoteTarget {
    /// True if `text` looks like a URL this crate opens, rather than a path.
    pub fn is_url(text: &str) -> bool {
        ["hf://", "https://", "http://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// Parses `hf://[datasets/|spaces/]org/name[@rev][/path]` or an `https` URL. A revision with
    /// slashes is written percent-encoded (`@refs%2Fpr%2F3`) or as `@refs/pr/3`.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(rest) = text.strip_prefix("hf://") {
            return parse_hub(rest);
        }
        let url = Url::parse(text).map_err(|e| SourceError::Request(format!("not a url: {text}: {e}")))?;
        match url.scheme() {
            "https" | "http" if url.host().is_some() => Ok(Self::Url(url)),
            _ => {
                Err(SourceError::Request(format!("not a url to scan: {text}; expected hf://… or https://…")))
            }
        }
    }
}

fn parse_hub(rest: &str) -> Result<RemoteTarget> {
    let bad =
        || SourceError::Request(format!("not a hub url: hf://{rest}; expected hf://org/name[@rev][/file]"));
    let (kind, rest) = match rest.split_once('/') {
        Some((first, tail)) if RepoKind::from_plural(first).is_some() => {
            (RepoKind::from_plural(first).ok_or_else(bad)?, tail)
        }
        _ => (RepoKind::Model, rest),
    };
    let (owner, rest) = rest.split_once('/').ok_or_else(bad)?;
    let (name, mut rest) = match rest.find(['@', '/']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let mut rev = "main".to_owned();
    if let Some(after) = rest.strip_prefix('@') {
        let plain = after.split('/').next().unwrap_or_default();
        // `refs/pr/3` and `refs/convert/x` are revisions of three segments when written plainly.
        let len = match after.strip_prefix("refs/") {
            Some(tail) => {
                let mut parts = tail.splitn(3, '/');
                let (a, b) = (parts.next().ok_or_else(bad)?, parts.next().ok_or_else(bad)?);
                "refs/".len() + a.len() + 1 + b.len()
            }
            None => plain.len(),
        };
        let (text, tail) = after.split_at(len);
        rev = percent_encoding::percent_decode_str(text).decode_utf8().map_err(|_| bad())?.into_owned();
        rest = tail;
        if rev.is_empty() {
            return Err(bad());
        }
    }
    let path = rest.trim_matches('/');
    Ok(RemoteTarget::Hub {
        repo: RepoId::new(kind, &format!("{owner}/{name}"))?,
        rev,
        path: (!path.is_empty()).then(|| path.to_owned()),
    })
}

/// How [`open_url`] may use the network.
#[derive(Debug, Clone)]
pub struct NetPolicy {
    /// The hub behind `hf://`.
    pub hub: RemoteConfig,
    /// Token for the hub; sent to the hub's origin only.
    pub token: Option<Token>,
    /// Limits for reading by ranges.
    pub ranged: RangedLimits,
    /// Longest list of files taken from one repository.
    pub max_files: usize,
}

impl NetPolicy {
    /// For a hub, without a token.
    pub fn new(endpoint: Url) -> Self {
        Self {
            hub: RemoteConfig::new(endpoint),
            token: None,
            ranged: RangedLimits::default(),
            max_files: 100_000,
        }
    }

    /// Takes `HF_ENDPOINT`, `HF_TOKEN` and `WEIGHBRIDGE_UPSTREAM_HOST` (further hosts, with commas between) from the
    /// environment, else the public Hub, no token and its own hosts.
    ///
    /// # Errors
    /// If `HF_ENDPOINT` is not a URL, or a host is none.
    pub fn from_env() -> Result<Self> {
        let set = |name| std::env::var(name).ok().filter(|v| !v.trim().is_empty());
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let endpoint = Url::parse(endpoint.trim())
            .map_err(|e| SourceError::Request(format!("HF_ENDPOINT is not a url: {endpoint}: {e}")))?;
        let mut policy =
            Self { token: set("HF_TOKEN").and_then(|t| Token::bearer(&t)), ..Self::new(endpoint) };
        let hosts = set("WEIGHBRIDGE_UPSTREAM_HOST").unwrap_or_default();
        let hosts = hosts.split(',').map(str::trim).filter(|h| !h.is_empty());
        policy.hub.hosts = hosts.map(str::parse).collect::<Result<_>>()?;
        Ok(policy)
    }
}

/// One file that a URL named.
#[derive(Clone)]
pub struct RemoteFile {
    /// Name for output: the path inside the repository, or the URL's last segment.
    pub name: String,
    /// Its bytes; reads block.
    pub source: Arc<dyn ReadAt>,
    /// What the hub said of it, if it came from one.
    pub meta: Option<FileMeta>,
}

/// Opens what a URL names, for blocking callers (never from async code). A repository gives all its
/// files, in path order. The runtime behind it lives as long as the process.
///
/// A typed URL may name any host, also one in the own network: the person asks for it. Where it
/// redirects to must be public.
pub fn open_url(url: &str, policy: &NetPolicy) -> Result<Vec<RemoteFile>> {
    let target = RemoteTarget::parse(url)?;
    let policy = policy.clone();
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    runtime()?.spawn(async move {
        let _ = sender.send(open(target, &policy).await);
    });
    receiver.recv().map_err(|_| SourceError::Internal("the network runtime ended".into()))?
}

fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("wb-net")
        .enable_all()
        .build()
        .map_err(|e| SourceError::io("start the network runtime", e))?;
    Ok(RUNTIME.get_or_init(|| built))
}

async fn open(target: RemoteTarget, policy: &NetPolicy) -> Result<Vec<RemoteFile>> {
    match target {
        RemoteTarget::Url(url) => open_plain(url, policy).await.map(|file| vec![file]),
        RemoteTarget::Hub { repo, rev, path } => open_hub(&repo, &rev, path.as_deref(), policy).await,
    }
}

async fn open_plain(url: Url, policy: &NetPolicy) -> Result<RemoteFile> {
    let mut config = policy.hub.clone();
    config.endpoint = url.clone();
    let mut rules = vec![HostRule::AnyPublic];
    if let (Some(host), Some(port)) = (crate::egress::plain_host(&url), url.port_or_known_default()) {
        rules.push(HostRule::Exact { host, port });
    }
    rules.extend(policy.hub.hosts.iter().cloned());
    let egress = EgressPolicy::new(rules, url.scheme() == "http");
    let hub = RemoteHub::with_policy(config, egress)?;
    let last = url.path_segments().and_then(|mut s| s.next_back()).filter(|s| !s.is_empty());
    let name = match last {
        Some(last) => percent_encoding::percent_decode_str(last).decode_utf8_lossy().into_owned(),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let file = RangedFile::probe(hub.inner().clone(), url, policy.ranged.clone()).await?;
    Ok(RemoteFile { name, source: Arc::new(file), meta: None })
}

async fn open_hub(
    repo: &RepoId,
    rev: &str,
    path: Option<&str>,
    policy: &NetPolicy,
) -> Result<Vec<RemoteFile>> {
    let hub = RemoteHub::new(policy.hub.clone())?;
    let token = policy.token.as_ref();
    let mut metas = Vec::new();
    match path {
        Some(path) => match hub.stat(repo, rev, path, token).await {
            Ok(meta) => metas.push(meta),
            // Perhaps a folder.
            Err(SourceError::Answered(answer)) if answer.code.as_deref() == Some("EntryNotFound") => {
                metas = list(&hub, repo, rev, path, policy).await?;
            }
            Err(other) => return Err(other),
        },
        None => metas = list(&hub, repo, rev, "", policy).await?,
    }
    metas.sort_by(|a, b| a.path.cmp(&b.path));
    let mut files = Vec::with_capacity(metas.len());
    for meta in metas {
        let file = hub.ranged(repo, &meta, token, policy.ranged.clone()).await?;
        files.push(RemoteFile { name: meta.path.clone(), source: Arc::new(file), meta: Some(meta) });
    }
    Ok(files)
}

/// All files below `path`, from the tree pages. The commit is pinned before the first page.
async fn list(
    hub: &RemoteHub,
    repo: &RepoId,
    rev: &str,
    path: &str,
    policy: &NetPolicy,
) -> Result<Vec<FileMeta>> {
    let token = policy.token.as_ref();
    let info = hub.api(&MetaRequest::get(repo.clone(), Route::Revision, rev), token).await?;
    if !info.is_success() {
        return Err(info.into_error());
    }
    let commit = info.json()?.get("sha").and_then(|v| v.as_str()).map(str::to_owned);
    let commit = commit.ok_or_else(|| SourceError::Protocol(format!("{repo} has no commit id")))?;
    let mut request = MetaRequest::get(repo.clone(), Route::Tree, &commit);
    request.path = path.to_owned();
    request.query = "recursive=true&expand=false".into();
    let mut metas = Vec::new();
    loop {
        let page = hub.api(&request, token).await?;
        if !page.is_success() {
            return Err(page.into_error());
        }
        let entries: Vec<TreeEntry> = serde_json::from_slice(&page.body)
            .map_err(|e| SourceError::Protocol(format!("not a tree listing: {e}")))?;
        let more = page.next_query();
        if entries.is_empty() && more.is_some() {
            return Err(SourceError::Protocol("an empty page that promises another one".into()));
        }
        metas.extend(entries.into_iter().filter_map(|entry| entry.meta(&commit)));
        if metas.len() > policy.max_files {
            let why = format!("{repo} has more than {} files; name one", policy.max_files);
            return Err(SourceError::Request(why));
        }
        match more {
            Some(query) if query != request.query => request.query = query,
            _ => return Ok(metas),
        }
    }
}

#[derive(serde::Deserialize)]
struct TreeEntry {
    #[serde(rename = "type")]
    kind: String,
    oid: String,
    size: u64,
    path: String,
    lfs: Option<TreeLfs>,
}

#[derive(serde::Deserialize)]
struct TreeLfs {
    oid: String,
    size: u64,
}

impl TreeEntry {
    fn meta(self, commit: &str) -> Option<FileMeta> {
        if self.kind != "file" {
            return None;
        }
        let (etag, size, git_oid) = match self.lfs {
            Some(lfs) => (lfs.oid, lfs.size, None),
            None => (self.oid.clone(), self.size, Some(self.oid)),
        };
        Some(FileMeta {
            commit: commit.to_owned(),
            path: self.path,
            size,
            sha256: etag.parse().ok(),
            git_oid,
            etag,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(text: &str) -> (String, String, Option<String>) {
        match RemoteTarget::parse(text).unwrap() {
            RemoteTarget::Hub { repo, rev, path } => (repo.to_string(), rev, path),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn hub_urls() {
        let some = |p: &str| Some(p.to_owned());
        assert_eq!(hub("hf://o/n"), ("o/n".into(), "main".into(), None));
        assert_eq!(hub("hf://o/n/a/b.bin"), ("o/n".into(), "main".into(), some("a/b.bin")));
        assert_eq!(hub("hf://o/n@v1/x"), ("o/n".into(), "v1".into(), some("x")));
        assert_eq!(
            hub("hf://datasets/o/n@refs/pr/3/x"),
            ("datasets/o/n".into(), "refs/pr/3".into(), some("x"))
        );
        assert_eq!(hub("hf://o/n@refs%2Fpr%2F3"), ("o/n".into(), "refs/pr/3".into(), None));
        for bad in [
            "hf://",
            "hf://o",
            "hf://o/n@",
            "hf://../n",
            "hf://o/n@refs/pr",
            "ftp://x/y",
            "file:///etc/passwd",
        ] {
            assert!(RemoteTarget::parse(bad).is_err(), "{bad}");
        }
    }
}
