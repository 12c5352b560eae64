//! Pulls one file through the gate the way `huggingface_hub` does: HEAD, then GET, following relative redirects.

use super::files::DemoFile;
use anyhow::{Context, Result, bail};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Client, Method, Response, StatusCode};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use wb_policy::Action;

/// What the Python client sends; the gate shows refusals on GET to such agents.
const AGENT: &str = "unknown/None; hf_hub/2.4.0; python/3.11; weighbridge-demo";
/// `huggingface_hub` follows 20.
const MAX_HOPS: usize = 20;

/// What came of pulling one file.
pub struct Pulled {
    /// The verdict's name.
    pub verdict: String,
    /// What the gate did.
    pub action: Action,
    /// The gate's words.
    pub why: String,
    /// Bytes the scanner read.
    pub bytes_read: u64,
    /// HEAD to last byte.
    pub took: Duration,
    /// True if what arrived is byte for byte what the hub holds, or if nothing arrived.
    pub intact: bool,
}

/// A client of the gate at `base`.
pub struct Puller {
    client: Client,
    base: String,
    admin_token: String,
}

impl Puller {
    /// `admin_token` is used only to ask the API for verdicts afterwards.
    pub fn new(base: String, admin_token: String) -> Result<Self> {
        let client = Client::builder()
            .user_agent(AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self { client, base, admin_token })
    }

    /// Pulls `file` and asks the gate's API for its verdict.
    pub async fn pull(&self, file: &DemoFile) -> Result<Pulled> {
        let began = Instant::now();
        let path = format!("/{}/resolve/main/{}", file.repo, file.path);
        let head = self.follow(Method::HEAD, &path).await?;
        if head.status() != StatusCode::OK {
            bail!("HEAD {path} answered {}", head.status());
        }
        let got = self.follow(Method::GET, &path).await?;
        let (status, headers) = (got.status(), got.headers().clone());
        let body = got.bytes().await.with_context(|| format!("reading {path}"))?;
        let took = began.elapsed();
        let content = file.bytes()?;
        let (action, why, intact) = match status {
            StatusCode::OK => match text(&headers, "x-hf-warning") {
                Some(warning) => (Action::Warn, warning, body == content),
                None => (Action::Allow, String::new(), body == content),
            },
            StatusCode::FORBIDDEN => {
                (Action::Block, text(&headers, "x-error-message").unwrap_or_default(), true)
            }
            other => bail!(
                "GET {path} answered {other}: {}",
                text(&headers, "x-error-message").unwrap_or_default()
            ),
        };
        let (verdict, bytes_read) = self.verdict(file, &content).await?;
        Ok(Pulled { verdict, action, why, bytes_read, took, intact })
    }

    async fn follow(&self, method: Method, path: &str) -> Result<Response> {
        let mut url = format!("{}{path}", self.base);
        for _ in 0..MAX_HOPS {
            let answer = self.client.request(method.clone(), &url).send().await;
            let answer = answer.with_context(|| format!("{method} {path}"))?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let to = text(answer.headers(), LOCATION.as_str()).context("a redirect without Location")?;
            url = format!("{}{to}", self.base);
        }
        bail!("{method} {path}: more than {MAX_HOPS} redirects")
    }

    async fn verdict(&self, file: &DemoFile, content: &[u8]) -> Result<(String, u64)> {
        let digest: String = Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect();
        let url = format!("{}/api/v1/verdicts/{digest}?name={}", self.base, file.path);
        let answer = self.client.get(url).bearer_auth(&self.admin_token).send().await?.error_for_status()?;
        let json: serde_json::Value = serde_json::from_slice(&answer.bytes().await?)?;
        let verdict = json["verdict"].as_str().context("the API's answer has no verdict")?;
        Ok((verdict.to_string(), json["bytes_read"].as_u64().unwrap_or_default()))
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_string)
}
