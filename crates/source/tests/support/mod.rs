//! A scripted HTTP server: every path has a prepared answer, every request is noted.
#![allow(dead_code)] // each test binary uses its own part

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use url::Url;
use wb_source::{HostRule, RemoteConfig, RemoteHub, RepoId, RepoKind};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub uri: String,
    pub authorization: Option<String>,
    pub range: Option<String>,
    pub encoding: Option<String>,
    pub body: Bytes,
}

type Handler = Arc<dyn Fn(&Seen) -> Response + Send + Sync>;

#[derive(Default)]
struct Shared {
    routes: Mutex<HashMap<String, Handler>>,
    seen: Mutex<Vec<Seen>>,
}

#[derive(Clone)]
pub struct Server {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    pub async fn start() -> Self {
        let shared = Arc::<Shared>::default();
        let app = Router::new().fallback(answer).with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { addr, shared }
    }

    /// Answers requests for `path` (with or without query).
    pub fn on(&self, path: &str, handler: impl Fn(&Seen) -> Response + Send + Sync + 'static) {
        self.shared.routes.lock().unwrap().insert(path.into(), Arc::new(handler));
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// A client whose upstream this is; `hosts` as for `--upstream-host`.
    pub fn hub(&self, hosts: &[String]) -> RemoteHub {
        let mut config = RemoteConfig::new(Url::parse(&self.url("")).unwrap());
        config.hosts = hosts.iter().map(|h| h.parse::<HostRule>().unwrap()).collect();
        config.max_json = 1 << 20;
        RemoteHub::new(config).unwrap()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let header = |name| head.headers.get(name).map(|v| v.to_str().unwrap().to_owned());
    let path = head.uri.path().to_owned();
    let seen = Seen {
        method: head.method.to_string(),
        uri: head.uri.to_string(),
        authorization: header(header::AUTHORIZATION),
        range: header(header::RANGE),
        encoding: header(header::ACCEPT_ENCODING),
        body,
    };
    shared.seen.lock().unwrap().push(seen.clone());
    let handler = shared.routes.lock().unwrap().get(&path).cloned();
    match handler {
        Some(handler) => handler(&seen),
        None => reply(404, &[], "no such route"),
    }
}

pub fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let map: &mut HeaderMap = response.headers_mut();
    for (name, value) in headers {
        map.append(name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap());
    }
    response
}

pub fn redirect(to: &str) -> Response {
    reply(302, &[("location", to), ("x-repo-commit", COMMIT)], "")
}

/// Serves bytes as a hub or CDN does: whole, or the range asked for.
pub fn bytes(seen: &Seen, content: &[u8], headers: &[(&str, &str)]) -> Response {
    let range = seen.range.as_deref().and_then(|r| r.strip_prefix("bytes=")).and_then(|r| r.split_once('-'));
    let total = content.len();
    let Some((first, last)) = range else { return reply(200, headers, content.to_vec()) };
    let first: usize = first.parse().unwrap();
    if first >= total {
        return reply(416, &[("content-range", &format!("bytes */{total}"))], "");
    }
    let last = last.parse().unwrap_or(total - 1).min(total - 1);
    let stated = format!("bytes {first}-{last}/{total}");
    let mut all = vec![("content-range", stated.as_str())];
    all.extend_from_slice(headers);
    reply(206, &all, content[first..=last].to_vec())
}

pub fn repo() -> RepoId {
    RepoId::new(RepoKind::Model, "org/name").unwrap()
}

/// Bytes that differ everywhere, so that a wrong offset shows.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()).take(len).collect()
}
