//! A gate in front of a stand-in hub or of a folder, and a client that follows nothing by itself.

pub mod hub;

use hub::Hub;
use std::path::Path;
use std::time::Duration;
use wb_gateway::{Config, Running, Waiting};

/// `posix.system("id")` by REDUCE.
pub const HOSTILE: &[u8] = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.";
/// The user agent of a current client, and of one that is not `huggingface_hub`.
pub const PYTHON: &str = "unknown/None; hf_hub/2.4.0; python/3.11.7";
pub const OLD_PYTHON: &str = "unknown/None; hf_hub/0.36.2; python/3.11.7";
pub const RUST: &str = "hf-hub/1.0.0";

/// A safetensors file with one tensor of `n` bytes.
pub fn safetensors(n: usize) -> Vec<u8> {
    let header = format!("{{\"w\":{{\"dtype\":\"U8\",\"shape\":[{n}],\"data_offsets\":[0,{n}]}}}}");
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend_from_slice(header.as_bytes());
    out.extend((0..n).map(|i| (i * 7 % 251) as u8));
    out
}

pub struct Gate {
    pub running: Option<Running>,
    pub url: String,
    pub admin: String,
    pub data: tempfile::TempDir,
}

pub fn config(upstream: &str, data: &Path) -> Config {
    let mut config = Config::new(upstream, data);
    config.listen = "127.0.0.1:0".parse().unwrap();
    config.workers.program = Some(env!("CARGO_BIN_EXE_wb-gateway-test-worker").into());
    config.workers.workers = 2;
    config.grace = Duration::from_secs(5);
    // Long enough for a scan on a busy machine: tests that mean to see waiting set their own.
    config.waiting =
        Waiting { hold: Duration::from_secs(120), hops: 3, hold_others: Duration::from_secs(120) };
    config
}

pub async fn start(config: Config, data: tempfile::TempDir) -> Gate {
    let running = wb_gateway::spawn(config).await.unwrap();
    Gate { url: running.url(), admin: running.admin_token.clone(), running: Some(running), data }
}

/// A gate in front of `hub`.
pub async fn before(hub: &Hub) -> Gate {
    before_with(hub, |_| {}).await
}

pub async fn before_with(hub: &Hub, edit: impl FnOnce(&mut Config)) -> Gate {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(&hub.url(), data.path());
    config.upstream_hosts = vec![hub.cdn.to_string()];
    edit(&mut config);
    start(config, data).await
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

/// One request.
pub struct Ask {
    method: reqwest::Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

pub fn ask(method: &str, path: &str) -> Ask {
    Ask { method: method.parse().unwrap(), path: path.into(), headers: Vec::new(), body: None }.agent(PYTHON)
}

pub fn get(path: &str) -> Ask {
    ask("GET", path)
}

pub fn head(path: &str) -> Ask {
    ask("HEAD", path)
}

impl Ask {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn agent(self, agent: &str) -> Self {
        self.header("user-agent", agent)
    }

    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub async fn at(self, gate: &Gate) -> Answer {
        self.to(&gate.url).await
    }

    pub async fn to(self, base: &str) -> Answer {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let mut request = client.request(self.method, format!("{base}{}", self.path));
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = self.body {
            request = request.body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap().to_vec();
        Answer { status, headers, body }
    }
}

/// Rows of the audit, oldest first.
pub async fn audit(gate: &Gate) -> Vec<serde_json::Value> {
    let page = get("/api/v1/decisions?limit=1000").token(&gate.admin).at(gate).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let mut rows = page.json()["rows"].as_array().unwrap().clone();
    rows.reverse();
    rows
}

/// How many rows of the audit have this event.
pub async fn events(gate: &Gate, event: &str) -> usize {
    audit(gate).await.iter().filter(|r| r["entry"]["event"] == event).count()
}
