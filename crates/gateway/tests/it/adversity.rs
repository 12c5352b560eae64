//! The gate when things go wrong: slow, lying, absent and hostile upstreams, full disks, restarts, bad policies.

use crate::support;

use crate::support::hub::Hub;
use crate::support::{
    HOSTILE, OLD_PYTHON, PYTHON, RUST, audit, before, before_with, events, get, head, safetensors,
};
use std::time::Duration;

const FILE: &str = "/acme/tiny/resolve/main/model.safetensors";

async fn hub_with_weights(n: usize) -> (Hub, Vec<u8>) {
    let hub = Hub::start().await;
    let weights = safetensors(n);
    hub.put("acme/tiny", "model.safetensors", weights.clone(), true);
    (hub, weights)
}

/// Asks again until something other than the wanted status comes, as a client that is told to repeat does.
async fn repeat(gate: &support::Gate, path: &str, agent: &str, while_status: u16) -> support::Answer {
    for _ in 0..600 {
        let r = get(path).agent(agent).at(gate).await;
        if r.status != while_status {
            return r;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path} stays {while_status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_clients_are_led_along_and_a_repeat_succeeds() {
    let (hub, weights) = hub_with_weights(300_000).await;
    hub.mood(|m| m.throttle = true);
    let gate = before_with(&hub, |c| {
        c.waiting.hold = Duration::from_millis(30);
        c.waiting.hold_others = Duration::from_millis(30);
    })
    .await;

    // Three hops, each a relative redirect to the pinned commit with its state in the path.
    let mut path = FILE.to_string();
    for hop in 1..=3 {
        let r = get(&path).at(&gate).await;
        assert_eq!(r.status, 307, "{}", r.text());
        path = r.header("location").unwrap().to_string();
        let commit = support::hub::commit(1);
        assert!(
            path.starts_with("/_w/") && path.ends_with(&format!("/{hop}{}", FILE.replace("main", &commit))),
            "{path}"
        );
    }
    // Then new clients are asked to wait, old ones to repeat, and others were held.
    let r = get(&path).at(&gate).await;
    assert_eq!((r.status, r.header("retry-after")), (429, Some("30")));
    let r = get(&path).agent(OLD_PYTHON).at(&gate).await;
    assert_eq!(r.status, 503);
    assert!(r.header("x-error-message").unwrap().contains("repeat the command"));
    for asked in [get(FILE).agent(RUST), head(FILE).agent(RUST)] {
        assert_eq!(asked.at(&gate).await.status, 503);
    }
    // Metadata was never held up.
    assert_eq!(head(FILE).at(&gate).await.status, 200);

    hub.shared.go.notify_one();
    let r = repeat(&gate, FILE, RUST, 503).await;
    assert!(r.status == 200 && r.body == weights, "{}", r.text());
    // A client on its way along the chain gets the file there.
    let r = get(&path).at(&gate).await;
    assert!(r.status == 200 && r.body == weights);
    assert_eq!(hub.seen("cdn GET"), 1, "all of them shared one fetch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_no_credential() {
    let (hub, _) = hub_with_weights(1000).await;
    hub.edit("acme/tiny", |r| r.private = Some("hf_alice".into()));
    let gate = before(&hub).await;
    let path = format!("/_w/{}/1{FILE}", "ab".repeat(16));
    assert_eq!(get(&path).at(&gate).await.status, 401);
    assert_eq!(get(&path).token("hf_alice").at(&gate).await.status, 200);
    assert_eq!(get(&path).at(&gate).await.status, 401);
    // Nothing but files can be reached through it.
    for inner in ["/api/models/acme/tiny", "/_w/x/1/a", "/healthz", "/metrics"] {
        let path = format!("/_w/{}/1{inner}", "ab".repeat(16));
        assert_eq!(get(&path).token("hf_alice").at(&gate).await.status, 404, "{inner}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_changes_the_bytes_is_a_502_and_nothing_is_kept() {
    let (hub, weights) = hub_with_weights(1000).await;
    let mut other = weights.clone();
    *other.last_mut().unwrap() ^= 1;
    hub.put("acme/tiny", "config.json", "{\"a\":1}", false);
    hub.mood(|m| m.instead = Some(other.into()));
    let gate = before(&hub).await;
    let r = get(FILE).at(&gate).await;
    assert_eq!(r.status, 502, "{}", r.text());
    assert!(r.header("x-error-message").unwrap().contains("other content"));
    // A small file of another length and content.
    assert_eq!(get("/acme/tiny/resolve/main/config.json").at(&gate).await.status, 502);
    // The same length, another blob id.
    hub.mood(|m| m.instead = Some("{\"a\":2}".into()));
    assert_eq!(get("/acme/tiny/resolve/main/config.json").at(&gate).await.status, 502);
    assert_eq!(events(&gate, "pull").await, 0);
    // Once it tells the truth, it is believed.
    hub.mood(|m| m.instead = None);
    let r = get(FILE).at(&gate).await;
    assert!(r.status == 200 && r.body == weights, "{}", r.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_a_forbidden_address_is_not_followed() {
    let (hub, _) = hub_with_weights(1000).await;
    let trap = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gate = before(&hub).await;
    for to in [
        format!("http://{}/x", trap.local_addr().unwrap()),
        "http://169.254.169.254/latest/meta-data/".into(),
        "file:///etc/passwd".into(),
    ] {
        hub.mood(|m| m.redirect = Some(to.clone()));
        let r = get(FILE).agent(PYTHON).at(&gate).await;
        assert_eq!(r.status, 502, "{to}: {}", r.text());
    }
    let dialled = tokio::time::timeout(Duration::from_millis(50), trap.accept()).await;
    assert!(dialled.is_err(), "the gate dialled a forbidden address");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_down_is_said_to_be_down() {
    let (hub, _) = hub_with_weights(1000).await;
    let gate = before(&hub).await;
    hub.mood(|m| m.down = true);
    let r = get(FILE).at(&gate).await;
    assert_eq!(r.status, 503);
    let address = hub.address;
    drop(hub);
    // Wait until the port is really closed.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for path in [FILE, "/api/models/acme/tiny"] {
        let r = get(path).at(&gate).await;
        assert_eq!(r.status, 503, "{}", r.text());
        assert!(r.header("x-error-message").unwrap().contains("not reachable"), "{}", r.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_is_a_507_and_never_a_delivery() {
    let (hub, _) = hub_with_weights(500_000).await;
    hub.put("acme/tiny", "small.safetensors", safetensors(10), true);
    let gate = before_with(&hub, |c| c.spool_max = 100_000).await;
    let r = get(FILE).at(&gate).await;
    assert_eq!(r.status, 507, "{}", r.text());
    assert!(r.header("x-error-message").unwrap().contains("--spool-max"));
    assert_eq!(get("/acme/tiny/resolve/main/small.safetensors").at(&gate).await.status, 200);
    assert_eq!(events(&gate, "pull").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn evicted_content_is_fetched_again_but_refusals_need_no_content() {
    let hub = Hub::start().await;
    let a = safetensors(60_000);
    let mut b = safetensors(60_000);
    *b.last_mut().unwrap() ^= 1;
    hub.put("acme/tiny", "a.safetensors", a.clone(), true);
    hub.put("acme/tiny", "b.safetensors", b, true);
    hub.put("acme/tiny", "evil.pkl", HOSTILE, true);
    let gate = before_with(&hub, |c| c.spool_max = 100_000).await;
    let path = |name: &str| format!("/acme/tiny/resolve/main/{name}");
    assert_eq!(get(&path("evil.pkl")).at(&gate).await.status, 403);
    for name in ["a.safetensors", "b.safetensors", "a.safetensors"] {
        let r = get(&path(name)).at(&gate).await;
        assert_eq!(r.status, 200, "{name}: {}", r.text());
    }
    assert_eq!(hub.seen("cdn GET /lfs/acme/tiny/a.safetensors"), 2);
    assert_eq!(get(&path("evil.pkl")).at(&gate).await.status, 403);
    assert_eq!(hub.seen("cdn GET /lfs/acme/tiny/evil.pkl"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_gate_on_the_same_data_knows_what_the_first_judged() {
    let (hub, weights) = hub_with_weights(1000).await;
    hub.put("acme/tiny", "evil.pkl", HOSTILE, true);
    let mut gate = before(&hub).await;
    assert_eq!(get(FILE).at(&gate).await.status, 200);
    assert_eq!(get("/acme/tiny/resolve/main/evil.pkl").at(&gate).await.status, 403);
    let fetched = hub.seen("cdn GET");
    let rows = audit(&gate).await;
    gate.running.take().unwrap().stop().await.unwrap();

    let mut config = support::config(&hub.url(), gate.data.path());
    config.upstream_hosts = vec![hub.cdn.to_string()];
    let gate = support::start(config, gate.data).await;
    let r = get(FILE).at(&gate).await;
    assert!(r.status == 200 && r.body == weights);
    assert_eq!(get("/acme/tiny/resolve/main/evil.pkl").at(&gate).await.status, 403);
    assert_eq!(hub.seen("cdn GET"), fetched);
    let later = audit(&gate).await;
    assert!(
        later.len() >= rows.len() + 2 && later[..rows.len()] == rows[..],
        "the chain goes on where it ended"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_stop_the_gate_at_start_and_leave_it_alone_later() {
    let (hub, _) = hub_with_weights(1000).await;
    hub.put("acme/tiny", "evil.pkl", HOSTILE, true);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    std::fs::write(&file, "no_such_key = 1\n").unwrap();
    let data = tempfile::tempdir().unwrap();
    let mut config = support::config(&hub.url(), data.path());
    config.policy = Some(file.clone());
    assert!(wb_gateway::spawn(config).await.is_err());

    std::fs::write(&file, "profile = \"observe\"\n").unwrap();
    let gate = before_with(&hub, |c| c.policy = Some(file.clone())).await;
    let evil = "/acme/tiny/resolve/main/evil.pkl";
    let r = get(evil).at(&gate).await;
    assert_eq!(r.status, 200, "{}", r.text());
    let warning = r.header("x-hf-warning").unwrap();
    assert!(warning.starts_with("weighbridge") && warning.contains("would be blocked"), "{warning}");

    std::fs::write(&file, "profile = \"observe\"\nno_such_key = true\n").unwrap();
    let health = wait_for(&gate, "degraded").await;
    assert_eq!(health["policy"], "observe");
    assert_eq!(get(evil).at(&gate).await.status, 200, "the old policy stays");

    std::fs::write(&file, "profile = \"default\"\n").unwrap();
    wait_for(&gate, "ok").await;
    assert_eq!(get(evil).at(&gate).await.status, 403);
}

async fn wait_for(gate: &support::Gate, status: &str) -> serde_json::Value {
    for _ in 0..600 {
        let health = get("/healthz").at(gate).await.json();
        if health["status"] == status {
            return health;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("health never became {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_run_lets_nothing_through() {
    let (hub, _) = hub_with_weights(1000).await;
    let gate = before_with(&hub, |c| c.workers.program = Some("/bin/false".into())).await;
    let r = get(FILE).at(&gate).await;
    assert_eq!(r.status, 403, "{}", r.text());
    assert_eq!(events(&gate, "pull").await, 0);
}
