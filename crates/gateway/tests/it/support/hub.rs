//! A stand-in hub with its own content delivery origin, able to misbehave in the ways real ones have.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use sha1::Digest as _;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// One file of one repository.
#[derive(Clone)]
pub struct File {
    pub bytes: Bytes,
    /// Large files are delivered by the other origin and named by SHA-256.
    pub lfs: bool,
}

/// How the hub misbehaves.
#[derive(Clone, Default)]
pub struct Mood {
    /// The delivery origin sends these bytes instead of the announced ones.
    pub instead: Option<Bytes>,
    /// The hub redirects content here.
    pub redirect: Option<String>,
    /// Half of the content is sent, the rest when the notifier fires.
    pub throttle: bool,
    /// Large files are said to be this large.
    pub claimed_size: Option<u64>,
    /// Every answer is 503.
    pub down: bool,
}

#[derive(Clone, Default)]
pub struct Repo {
    pub commit: String,
    pub files: BTreeMap<String, File>,
    /// Token that may read it.
    pub private: Option<String>,
    pub renamed_to: Option<String>,
}

#[derive(Default)]
pub struct Shared {
    pub repos: Mutex<BTreeMap<String, Repo>>,
    pub mood: Mutex<Mood>,
    pub go: Notify,
    pub log: Mutex<Vec<String>>,
    cdn: Mutex<String>,
}

/// A running hub.
pub struct Hub {
    pub shared: Arc<Shared>,
    pub address: SocketAddr,
    pub cdn: SocketAddr,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|t| t.abort());
    }
}

pub fn commit(n: u32) -> String {
    format!("{n:040x}")
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&sha2::Sha256::digest(bytes))
}

pub fn git_oid(bytes: &[u8]) -> String {
    let mut h = sha1::Sha1::new();
    h.update(format!("blob {}\0", bytes.len()));
    h.update(bytes);
    hex(&h.finalize())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Hub {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let hub = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cdn = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, cdn_address) = (hub.local_addr().unwrap(), cdn.local_addr().unwrap());
        *shared.cdn.lock().unwrap() = format!("http://{cdn_address}");
        let hub_app = Router::new().fallback(serve_hub).with_state(shared.clone());
        let cdn_app = Router::new().fallback(serve_cdn).with_state(shared.clone());
        let tasks = vec![
            tokio::spawn(async move { axum::serve(hub, hub_app).await.unwrap() }),
            tokio::spawn(async move { axum::serve(cdn, cdn_app).await.unwrap() }),
        ];
        Self { shared, address, cdn: cdn_address, tasks }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn put(&self, repo: &str, path: &str, bytes: impl Into<Bytes>, lfs: bool) {
        let mut repos = self.shared.repos.lock().unwrap();
        let r = repos.entry(repo.into()).or_insert_with(|| Repo { commit: commit(1), ..Repo::default() });
        r.files.insert(path.into(), File { bytes: bytes.into(), lfs });
    }

    pub fn edit(&self, repo: &str, f: impl FnOnce(&mut Repo)) {
        f(self.shared.repos.lock().unwrap().get_mut(repo).unwrap());
    }

    pub fn mood(&self, f: impl FnOnce(&mut Mood)) {
        f(&mut self.shared.mood.lock().unwrap());
    }

    /// Requests seen so far whose line contains `part`.
    pub fn seen(&self, part: &str) -> usize {
        self.shared.log.lock().unwrap().iter().filter(|l| l.contains(part)).count()
    }
}

fn say(status: u16, headers: &[(&str, String)], body: impl Into<Body>) -> Response {
    let mut r = Response::builder().status(status);
    for (k, v) in headers {
        r = r.header(*k, v);
    }
    r.body(body.into()).unwrap()
}

fn error(status: u16, code: &str, text: &str) -> Response {
    let body = format!("{{\"error\":\"{text}\"}}");
    let mut h = vec![("x-error-message", text.to_string()), ("content-type", "application/json".into())];
    if !code.is_empty() {
        h.push(("x-error-code", code.to_string()));
    }
    say(status, &h, body)
}

async fn serve_hub(State(s): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let auth = parts.headers.get(header::AUTHORIZATION).map(|v| v.to_str().unwrap().to_string());
    let line = format!("hub {} {} auth={}", parts.method, parts.uri, auth.as_deref().unwrap_or("-"));
    s.log.lock().unwrap().push(line);
    let mood = s.mood.lock().unwrap().clone();
    if mood.down {
        return error(503, "", "hub is down");
    }
    let path = parts.uri.path().to_string();
    let segments: Vec<&str> = path[1..].split('/').collect();
    let (id, rest): (String, Vec<&str>) = match segments.as_slice() {
        ["api", "models", a, b, rest @ ..] => {
            (format!("{a}/{b}"), ["api"].into_iter().chain(rest.iter().copied()).collect())
        }
        ["api", "resolve-cache", "models", a, b, rev, file @ ..] => {
            (format!("{a}/{b}"), ["final", rev].into_iter().chain(file.iter().copied()).collect())
        }
        [a, b, "resolve", rest @ ..] => {
            (format!("{a}/{b}"), ["resolve"].into_iter().chain(rest.iter().copied()).collect())
        }
        _ => return error(404, "", "no such page"),
    };
    let Some(repo) = s.repos.lock().unwrap().get(&id).cloned() else {
        return error(401, "", "Invalid username or password.");
    };
    if let Some(new) = &repo.renamed_to {
        let to = parts.uri.to_string().replace(&id, new);
        return say(307, &[("location", to)], "");
    }
    if let Some(token) = &repo.private
        && auth.as_deref() != Some(&format!("Bearer {token}"))
    {
        return error(401, "RepoNotFound", "Invalid username or password.");
    }
    match rest.as_slice() {
        ["api", rest @ ..] => api(&id, &repo, rest, parts.uri.query().unwrap_or("")),
        [kind @ ("resolve" | "final"), rev, file @ ..] => {
            // Commits stay readable when a branch moves on.
            let mut repo = repo.clone();
            if rev.len() == 40 {
                repo.commit = rev.to_string();
            }
            let name =
                percent_encoding::percent_decode_str(&file.join("/")).decode_utf8().unwrap().to_string();
            let Some(file) = repo.files.get(&name) else {
                return error(404, "EntryNotFound", "Entry not found");
            };
            resolve(&s, &mood, &id, &repo, &name, file, *kind == "final", &parts.method)
        }
        _ => error(404, "", "not here"),
    }
}

fn api(id: &str, repo: &Repo, rest: &[&str], query: &str) -> Response {
    let entry = |(path, f): (&String, &File)| {
        let mut e =
            serde_json::json!({"type":"file","path":path,"size":f.bytes.len(),"oid":git_oid(&f.bytes)});
        if f.lfs {
            e["lfs"] = serde_json::json!({"oid":sha256(&f.bytes),"size":f.bytes.len(),"pointerSize":130});
            e["xetHash"] = "00".repeat(32).into();
        }
        e
    };
    let mut headers = vec![
        ("content-type", "application/json".to_string()),
        ("x-repo-commit", repo.commit.clone()),
        ("set-cookie", "session=upstream".into()),
    ];
    match rest {
        [] | ["revision", _] => {
            let siblings: Vec<_> = repo.files.keys().map(|k| serde_json::json!({"rfilename":k})).collect();
            let j = serde_json::json!({"id":id,"modelId":id,"sha":repo.commit,"private":repo.private.is_some(),
                "siblings":siblings,"tags":[],"downloads":0,"likes":0});
            say(200, &headers, j.to_string())
        }
        ["tree", _rev, ..] => {
            let all: Vec<_> = repo.files.iter().map(entry).collect();
            // One entry a page, and the next page named by the canonical host, as the real hub does.
            let at: usize =
                query.split('&').find_map(|p| p.strip_prefix("cursor=")).map_or(0, |c| c.parse().unwrap());
            if at + 1 < all.len() {
                let next = format!(
                    "<https://huggingface.co/api/models/{id}/tree/main?recursive=true&cursor={}>; rel=\"next\"",
                    at + 1
                );
                headers.push(("link", next));
            }
            say(200, &headers, serde_json::json!([all[at]]).to_string())
        }
        ["paths-info", _rev] => say(
            200,
            &headers,
            serde_json::Value::from(repo.files.iter().map(entry).collect::<Vec<_>>()).to_string(),
        ),
        ["xet-read-token", ..] => say(200, &headers, "{\"accessToken\":\"x\"}"),
        _ => error(404, "", "not here"),
    }
}

#[allow(clippy::too_many_arguments)]
fn resolve(
    s: &Shared,
    mood: &Mood,
    id: &str,
    repo: &Repo,
    name: &str,
    file: &File,
    last: bool,
    method: &Method,
) -> Response {
    let mut h = vec![("x-repo-commit", repo.commit.clone()), ("accept-ranges", "bytes".into())];
    if file.lfs {
        let digest = sha256(&file.bytes);
        let cdn = s.cdn.lock().unwrap().clone();
        let to = mood.redirect.clone().unwrap_or_else(|| format!("{cdn}/lfs/{id}/{name}?sig=1"));
        h.push(("x-linked-etag", format!("\"{digest}\"")));
        h.push(("x-linked-size", mood.claimed_size.unwrap_or(file.bytes.len() as u64).to_string()));
        h.push(("x-xet-hash", "00".repeat(32)));
        h.push(("link", "<https://huggingface.co/api/models/a/b/xet-read-token/1>; rel=\"xet-auth\"".into()));
        h.push(("location", to));
        return say(302, &h, "Found");
    }
    let etag = format!("\"{}\"", git_oid(&file.bytes));
    if !last {
        h.push((
            "location",
            format!(
                "/api/resolve-cache/models/{id}/{}/{name}?etag={}",
                repo.commit,
                etag.replace('"', "%22")
            ),
        ));
        return say(307, &h, "");
    }
    h.push(("etag", etag));
    if *method == Method::HEAD {
        h.push(("content-length", file.bytes.len().to_string()));
        return say(200, &h, "");
    }
    say(200, &h, mood.instead.clone().unwrap_or(file.bytes.clone()))
}

async fn serve_cdn(State(s): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let auth = parts.headers.get(header::AUTHORIZATION).map_or("-", |v| v.to_str().unwrap());
    s.log.lock().unwrap().push(format!("cdn {} {} auth={auth}", parts.method, parts.uri));
    let mood = s.mood.lock().unwrap().clone();
    let path = parts.uri.path().trim_start_matches("/lfs/").to_string();
    let found = {
        let repos = s.repos.lock().unwrap();
        repos
            .iter()
            .find_map(|(id, r)| Some(r.files.get(path.strip_prefix(&format!("{id}/"))?)?.bytes.clone()))
    };
    let Some(bytes) = found else { return say(403, &[], "<Error/>") };
    let bytes = mood.instead.unwrap_or(bytes);
    let (bytes, status, range) = ranged(&parts.headers, bytes);
    let mut h = vec![("content-length", bytes.len().to_string()), ("etag", "\"cdn\"".into())];
    if let Some(range) = range {
        h.push(("content-range", range));
    }
    if !mood.throttle {
        return say(status.as_u16(), &h, bytes);
    }
    let half = bytes.len() / 2;
    let (first, second) = (bytes.slice(..half), bytes.slice(half..));
    let stream = futures_util::stream::unfold(0, move |n| {
        let (s, first, second) = (s.clone(), first.clone(), second.clone());
        async move {
            match n {
                0 => Some((Ok::<_, std::io::Error>(first), 1)),
                1 => {
                    s.go.notified().await;
                    Some((Ok(second), 2))
                }
                _ => None,
            }
        }
    });
    say(status.as_u16(), &h, Body::from_stream(stream))
}

fn ranged(headers: &HeaderMap, bytes: Bytes) -> (Bytes, StatusCode, Option<String>) {
    let spec =
        headers.get(header::RANGE).and_then(|r| r.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    let Some((from, to)) = spec else { return (bytes, StatusCode::OK, None) };
    let from: usize = from.parse().unwrap();
    let to = to.parse().map_or(bytes.len(), |t: usize| (t + 1).min(bytes.len()));
    let range = format!("bytes {from}-{}/{}", to - 1, bytes.len());
    (bytes.slice(from..to), StatusCode::PARTIAL_CONTENT, Some(range))
}
