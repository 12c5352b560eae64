//! Listening, background work and stopping.

use crate::api;
use crate::config::Config;
use crate::gate::{Error, Gate};
use crate::protocols::hf;
use crate::proxies;
use crate::requester::Requester;
use crate::ui;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use hyper_util::rt::TokioTimer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use wb_source::Upstream;
use wb_store::{AuditEntry, AuditEvent, Store};

/// A client must have sent its request's head within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest head of a request, in bytes, and most headers in it.
const HEAD_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;
/// How often the policy file is looked at.
const POLICY_EVERY: Duration = Duration::from_secs(2);
/// How often the head of the audit is logged.
const HEAD_EVERY: Duration = Duration::from_secs(60);

/// A running gate.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// The token for the API, metrics and audit.
    pub admin_token: String,
    gate: Arc<Gate>,
    handle: Handle<SocketAddr>,
    server: JoinHandle<std::io::Result<()>>,
    background: Vec<JoinHandle<()>>,
}

impl Running {
    /// The address as a URL.
    pub fn url(&self) -> String {
        let scheme = if self.gate.own.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Stops accepting, lets requests in flight finish for the configured time, and writes out what is in memory.
    ///
    /// # Errors
    /// If the server failed, or the last entries could not be written.
    pub async fn stop(self) -> Result<(), Error> {
        self.handle.graceful_shutdown(Some(self.gate.config.grace));
        let served = self.server.await;
        self.background.iter().for_each(|t| t.abort());
        self.gate.store.record(AuditEntry::new(AuditEvent::Stop), None).await?;
        self.gate.store.flush().await?;
        match served {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(Error::Io { what: "serving", source }),
            Err(e) => Err(Error::Io { what: "serving", source: std::io::Error::other(e) }),
        }
    }

    /// Ends when the server does.
    async fn ended(&mut self) {
        let _ = (&mut self.server).await;
    }
}

/// Starts a gate and returns once it listens.
///
/// # Errors
/// If the policy, the data folder, the upstream or the address cannot be used.
pub async fn spawn(config: Config) -> Result<Running, Error> {
    // Two libraries of the tree may each bring a provider: this one is meant.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listen = |source| Error::Listen { address: config.listen, source };
    let listener = std::net::TcpListener::bind(config.listen).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let tls = match &config.tls {
        Some(tls) => Some(
            RustlsConfig::from_pem_file(&tls.cert, &tls.key)
                .await
                .map_err(|source| Error::Io { what: "cannot load --tls-cert or --tls-key", source })?,
        ),
        None => None,
    };
    let gate = Arc::new(Gate::open(config, address).await?);
    let mut started = AuditEntry::new(AuditEvent::Start);
    started.policy = Some(gate.policy.current().name().into());
    started.detail = Some(format!("{} in front of {}", wb_verdict::ENGINE, gate.access.upstream().name()));
    gate.store.record(started, None).await?;

    let handle = Handle::new();
    let app = router(gate.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let failed = |source| Error::Listen { address, source };
    let server = match tls {
        Some(tls) => {
            let mut server =
                axum_server::from_tcp_rustls(listener, tls).map_err(failed)?.handle(handle.clone());
            limit(server.http_builder());
            tokio::spawn(server.serve(app))
        }
        None => {
            let mut server = axum_server::from_tcp(listener).map_err(failed)?.handle(handle.clone());
            limit(server.http_builder());
            tokio::spawn(server.serve(app))
        }
    };
    let background = vec![
        tokio::spawn(watch_policy(gate.clone())),
        tokio::spawn(note_head(gate.clone())),
        tokio::spawn(warm(gate.clone())),
    ];
    tracing::info!(%address, upstream = gate.access.upstream().name(), "listening");
    let admin_token = gate.admin_token.clone();
    Ok(Running { address, admin_token, gate, handle, server, background })
}

fn limit(builder: &mut hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>) {
    let mut http1 = builder.http1();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX);
    builder.http2().max_header_list_size(HEAD_MAX as u32).max_concurrent_streams(100);
}

/// Serves until SIGTERM or SIGINT; SIGHUP reloads the policy.
///
/// # Errors
/// As [`spawn`], or if the server fails.
pub async fn serve(config: Config) -> Result<(), Error> {
    let on = |kind| signal(kind).map_err(|source| Error::Io { what: "cannot listen for signals", source });
    let (mut term, mut int, mut hup) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?, on(SignalKind::hangup())?);
    let mut running = spawn(config).await?;
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = hup.recv() => reload(&running.gate, true).await,
            () = running.ended() => break,
        }
    }
    tracing::info!("stopping");
    running.stop().await
}

async fn reload(gate: &Gate, asked: bool) {
    let before = gate.policy.error();
    let loaded = if asked { gate.policy.reload() } else { gate.policy.reload_if_changed() };
    let after = gate.policy.error();
    let event = match (loaded, &after) {
        (true, _) => AuditEvent::PolicyReload,
        (false, Some(_)) if after != before => AuditEvent::PolicyReloadFailed,
        _ => return,
    };
    let mut entry = AuditEntry::new(event);
    entry.policy = Some(gate.policy.current().name().into());
    entry.detail = after;
    if let Err(error) = gate.store.record(entry, None).await {
        tracing::error!(%error, "a policy reload is missing in the audit");
    }
}

/// Hashes a folder upstream ahead of the first requests: clients wait only ten seconds for an answer to HEAD.
async fn warm(gate: Arc<Gate>) {
    let Upstream::Dir(hub) = gate.access.upstream() else { return };
    let began = Instant::now();
    match hub.warm().await {
        Ok(count) => {
            let ms = began.elapsed().as_millis() as u64;
            tracing::info!(repositories = count, ms, "upstream folder read");
        }
        Err(error) => {
            tracing::warn!(%error, "upstream folder not read ahead, first requests may take longer")
        }
    }
}

async fn watch_policy(gate: Arc<Gate>) {
    loop {
        tokio::time::sleep(POLICY_EVERY).await;
        reload(&gate, false).await;
    }
}

async fn note_head(gate: Arc<Gate>) {
    loop {
        match gate.store.head().await {
            Ok(head) => tracing::info!(count = head.count, hash = %head.hash, "audit head"),
            Err(error) => tracing::error!(%error, "audit head"),
        }
        tokio::time::sleep(HEAD_EVERY).await;
        if let Err(error) = gate.store.flush().await {
            tracing::error!(%error, "look-ups not written");
        }
    }
}

fn router(gate: Arc<Gate>) -> Router {
    let own = Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .route("/r/{id}", get(ui::page))
        .nest("/api/v1", api::router());
    let prefix = gate.own.prefix.clone();
    let app = if prefix.is_empty() { own } else { own.clone().merge(Router::new().nest(&prefix, own)) };
    let trusted: Arc<[ipnet::IpNet]> = gate.config.trusted_proxies.as_slice().into();
    let app = app.fallback(hub).layer(axum::middleware::from_fn(log)).with_state(gate);
    if trusted.is_empty() {
        return app;
    }
    app.layer(axum::middleware::from_fn(move |request, next| {
        proxies::see_through(trusted.clone(), request, next)
    }))
}

/// One line per request: never the query, never a header.
async fn log(request: Request, next: axum::middleware::Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let began = Instant::now();
    let response = next.run(request).await;
    // The report's id is a capability and stays out of the log.
    let shown = if path.contains("/r/") { "/r/…" } else { path.as_str() };
    tracing::debug!(%method, path = ?shown, status = response.status().as_u16(), ms = began.elapsed().as_millis() as u64);
    response
}

async fn hub(
    State(gate): State<Arc<Gate>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let who = Requester::new(&parts, peer.ip(), &gate.own, gate.key.bytes());
    hf::serve(&gate, &who, parts, body).await
}

/// Alive; and what is wrong although the gate goes on.
async fn health(State(gate): State<Arc<Gate>>) -> Response {
    let policy_error = gate.policy.error();
    let degraded = policy_error.is_some();
    let body = serde_json::json!({
        "status": if degraded { "degraded" } else { "ok" },
        "engine": wb_verdict::ENGINE,
        "ruleset": wb_scan::RULESET,
        "policy": gate.policy.current().name(),
        "policy_error": policy_error.map(|_| "the policy file does not load, the old policy stays in force; see the log"),
        "jobs": gate.flight.len(),
    });
    axum::Json(body).into_response()
}

async fn metrics(State(gate): State<Arc<Gate>>, request: Request) -> Response {
    if !gate.config.metrics_public && !api::is_admin(&gate, request.headers()) {
        return hf::refusal::answer(StatusCode::UNAUTHORIZED, api::NEEDS_TOKEN);
    }
    gate.metrics.worker_ends(&gate.pool.ends());
    gate.metrics.policy_exceptions(gate.policy.current().exceptions(), crate::gate::today());
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], gate.metrics.text()).into_response()
}
