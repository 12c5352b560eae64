//! The HTTP client behind [`super::RemoteHub`]: one function sends, and follows redirects by hand.

use super::RemoteConfig;
use crate::egress::{Dial, is_public};
use crate::{EgressPolicy, Result, SourceError, Token};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Redirects followed before an answer counts as a protocol violation.
const MAX_REDIRECTS: usize = 5;

/// Shared state of a hub's client.
pub(crate) struct Inner {
    /// Endpoint without a trailing slash.
    pub(super) base: String,
    origin: Url,
    policy: EgressPolicy,
    /// Dials public addresses only.
    public: reqwest::Client,
    /// Dials whatever a listed `host:port` resolves to.
    listed: reqwest::Client,
    pub(super) config: RemoteConfig,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RemoteHub({})", self.base)
    }
}

/// A request before redirects.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) token: Option<Token>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn new(method: Method, url: Url, token: Option<&Token>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Self { method, url, token: token.cloned(), headers, body: Bytes::new() }
    }

    /// Asks for `bytes=first-last`, or from `first` on.
    pub(crate) fn range(mut self, first: u64, last: Option<u64>) -> Self {
        let text = format!("bytes={first}-{}", last.map(|l| l.to_string()).unwrap_or_default());
        if let Ok(value) = HeaderValue::from_str(&text) {
            self.headers.insert(header::RANGE, value);
        }
        self
    }
}

/// An answer that is not a redirect, with the headers that the upstream's own origin set on the way.
pub(crate) struct Arrived {
    pub(crate) response: reqwest::Response,
    /// Where it came from.
    pub(crate) url: Url,
    /// True if the request carried the token to the end (it never left the upstream's origin).
    pub(crate) on_origin: bool,
    /// `X-Repo-Commit`, `X-Linked-*` of all hops on the upstream's origin, the last one winning.
    pub(crate) trail: HeaderMap,
}

/// What [`Inner::send`] does with a redirect whose headers already say what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follow {
    /// Follow all.
    All,
    /// Stop at a redirect that states commit, linked etag and linked size.
    UntilLinked,
}

/// Resolves names and drops addresses that may not be dialled.
struct Resolver {
    public_only: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let public_only = self.public_only;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<_> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let none = found.is_empty();
            let kept: Vec<_> = found.into_iter().filter(|a| !public_only || is_public(a.ip())).collect();
            if kept.is_empty() && !none {
                return Err(Box::new(NotPublic(host)) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

/// A name that resolves only to addresses that may not be dialled.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} resolves to an address that is not public; list it as host:port if it is meant (--upstream-host)"
)]
struct NotPublic(String);

impl Inner {
    pub(super) fn new(config: RemoteConfig, policy: EgressPolicy) -> Result<Self> {
        let origin = config.endpoint.clone();
        if !matches!(origin.scheme(), "http" | "https") || origin.host().is_none() {
            return Err(SourceError::Request(format!("not an upstream: {origin}; expected https://host")));
        }
        let client = |public_only| client(&config, public_only);
        Ok(Self {
            base: origin.as_str().trim_end_matches('/').to_owned(),
            public: client(true)?,
            listed: client(false)?,
            origin,
            policy,
            config,
        })
    }

    /// Parses a URL below the endpoint.
    pub(super) fn url(&self, path_and_query: &str) -> Result<Url> {
        Url::parse(&format!("{}{path_and_query}", self.base))
            .map_err(|e| SourceError::Request(format!("not a path: {path_and_query:?}: {e}")))
    }

    /// Sends, following at most five redirects. The token goes to the upstream's origin only, and once
    /// a redirect has left it, it is gone for good. Error statuses are `Ok`.
    pub(crate) async fn send(&self, request: Request, follow: Follow) -> Result<Arrived> {
        let Request { mut method, mut url, token, mut headers, mut body } = request;
        let mut on_origin = same_origin(&url, &self.origin);
        let mut trail = HeaderMap::new();
        let mut waited = false;
        let mut hops = 0;
        loop {
            let client = match self.policy.check(&url)? {
                Dial::PublicOnly => &self.public,
                Dial::Listed => &self.listed,
            };
            let mut builder = client.request(method.clone(), url.clone()).headers(headers.clone());
            if let (true, Some(token)) = (on_origin, &token) {
                builder = builder.header(header::AUTHORIZATION, token.header());
            }
            if !body.is_empty() {
                builder = builder.body(body.clone());
            }
            let response = builder.send().await.map_err(|e| transport(&url, &e))?;
            let status = response.status();
            if on_origin {
                keep_trail(&mut trail, response.headers());
            }
            if let Some(delay) = self.polite_delay(status, response.headers(), waited) {
                waited = true;
                drop(response);
                tokio::time::sleep(delay).await;
                continue;
            }
            let Some(location) = redirect_target(status, response.headers()) else {
                return Ok(Arrived { response, url, on_origin, trail });
            };
            if follow == Follow::UntilLinked && states_everything(&trail) {
                return Ok(Arrived { response, url, on_origin, trail });
            }
            hops += 1;
            if hops > MAX_REDIRECTS {
                return Err(SourceError::Protocol(format!("more than {MAX_REDIRECTS} redirects")));
            }
            let next = url
                .join(location?)
                .map_err(|e| SourceError::Protocol(format!("redirect to something that is no url: {e}")))?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(SourceError::Forbidden("a redirect from https to http".into()));
            }
            if status == StatusCode::SEE_OTHER && method != Method::HEAD {
                method = Method::GET;
                body = Bytes::new();
                headers.remove(header::CONTENT_TYPE);
            }
            if !same_origin(&next, &self.origin) {
                on_origin = false;
                body = Bytes::new();
            }
            url = next;
        }
    }

    /// How long to wait before the one repetition that a 429 gets.
    fn polite_delay(&self, status: StatusCode, headers: &HeaderMap, waited: bool) -> Option<Duration> {
        if status != StatusCode::TOO_MANY_REQUESTS || waited {
            return None;
        }
        let delay = Duration::from_secs(text(headers, "retry-after")?.parse().ok()?);
        (delay <= self.config.max_retry_after).then_some(delay)
    }

    /// Reads a body of at most [`RemoteConfig::max_json`] bytes.
    pub(crate) async fn bounded_body(&self, mut response: reqwest::Response, url: &Url) -> Result<Bytes> {
        let limit = self.config.max_json;
        let mut out = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| transport(url, &e))? {
            if (out.len() as u64).saturating_add(chunk.len() as u64) > limit {
                return Err(SourceError::Protocol(format!("an answer longer than {limit} bytes")));
            }
            out.extend_from_slice(&chunk);
        }
        Ok(out.freeze())
    }
}

fn client(config: &RemoteConfig, public_only: bool) -> Result<reqwest::Client> {
    // Whoever installed a provider first wins; either will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || {
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy() // a proxy would resolve names itself, behind the address check
            .referer(false)
            .dns_resolver(Arc::new(Resolver { public_only }))
            .connect_timeout(config.connect_timeout)
            .read_timeout(config.read_timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("weighbridge/", env!("CARGO_PKG_VERSION")))
    };
    builder()
        .build()
        .or_else(|error| match config.endpoint.scheme() {
            // Without root certificates on the machine an http upstream is still of use.
            "http" => builder().tls_certs_only([]).build(),
            _ => Err(error),
        })
        .map_err(|e| {
            SourceError::Internal(format!("cannot set up tls ({}); is ca-certificates installed?", chain(&e)))
        })
}

fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && a.host() == b.host() && a.port_or_known_default() == b.port_or_known_default()
}

/// A header as text, if it is text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|t| !t.is_empty())
}

fn keep_trail(trail: &mut HeaderMap, headers: &HeaderMap) {
    for name in ["x-repo-commit", "x-linked-etag", "x-linked-size"] {
        if let Some(value) = headers.get(name) {
            trail.insert(http::HeaderName::from_static(name), value.clone());
        }
    }
}

fn states_everything(trail: &HeaderMap) -> bool {
    ["x-repo-commit", "x-linked-etag", "x-linked-size"].iter().all(|name| text(trail, name).is_some())
}

fn redirect_target(status: StatusCode, headers: &HeaderMap) -> Option<Result<&str>> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    Some(text(headers, "location").ok_or_else(|| SourceError::Protocol("a redirect without location".into())))
}

/// The causes of an error in one line: reqwest's own text names only the outermost.
fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        out = format!("{out}: {cause}");
        next = cause.source();
    }
    out
}

/// Maps a transport error. Never shows the URL's query: it may be a signature.
pub(crate) fn transport(url: &Url, error: &reqwest::Error) -> SourceError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut inner = String::new();
    while let Some(e) = cause {
        if let Some(refused) = e.downcast_ref::<NotPublic>() {
            return SourceError::Forbidden(refused.to_string());
        }
        if e.downcast_ref::<reqwest::Error>().is_none() {
            inner = e.to_string();
        }
        cause = e.source();
    }
    if inner.is_empty() {
        inner = if error.is_timeout() { "timed out".into() } else { "connection failed".into() };
    }
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    let host = format!("{}{port}", url.host_str().unwrap_or_default());
    SourceError::Down { host, detail: format!("is not reachable: {inner}"), timeout: error.is_timeout() }
}
