//! The gate in front of a hub: what is let in, what is refused, and what each kind of client is told.

use crate::support;

use crate::support::hub::{Hub, git_oid, sha256};
use crate::support::{HOSTILE, OLD_PYTHON, PYTHON, RUST, before, events, get, head, safetensors};

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_file_arrives_byte_equal_and_is_fetched_once() {
    let hub = Hub::start().await;
    let weights = safetensors(2_000_000);
    hub.put("acme/tiny", "model.safetensors", weights.clone(), true);
    hub.put("acme/tiny", "config.json", "{\"a\":1}", false);
    let gate = before(&hub).await;

    let h = head("/acme/tiny/resolve/main/model.safetensors").at(&gate).await;
    assert_eq!((h.status, h.body.len()), (200, 0));
    assert_eq!(h.header("content-length"), Some(weights.len().to_string().as_str()));
    assert_eq!(h.header("etag"), Some(format!("\"{}\"", sha256(&weights)).as_str()));
    assert_eq!(h.header("x-linked-size"), Some(weights.len().to_string().as_str()));
    assert_eq!(h.header("x-repo-commit").map(str::len), Some(40));
    assert_eq!(hub.seen("cdn GET"), 0, "metadata needs no content");

    for _ in 0..2 {
        let g = get("/acme/tiny/resolve/main/model.safetensors").at(&gate).await;
        assert_eq!(g.status, 200, "{}", g.text());
        assert!(g.body == weights);
        assert_eq!(g.header("etag"), h.header("etag"));
        assert_eq!(g.header("x-repo-commit"), h.header("x-repo-commit"));
    }
    assert_eq!(hub.seen("cdn GET"), 1);

    let small = get("/acme/tiny/resolve/main/config.json").at(&gate).await;
    assert_eq!((small.status, small.text().as_str()), (200, "{\"a\":1}"));
    assert_eq!(small.header("etag"), Some(format!("\"{}\"", git_oid(b"{\"a\":1}")).as_str()));
    assert_eq!(events(&gate, "pull").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_file_is_refused_with_file_cause_rule_and_report() {
    let hub = Hub::start().await;
    hub.put("acme/evil", "pytorch_model.bin", HOSTILE, true);
    let gate = before(&hub).await;
    let path = "/acme/evil/resolve/main/pytorch_model.bin";

    // Metadata is true for clients that show a refusal on GET.
    assert_eq!(head(path).at(&gate).await.status, 200);
    let r = get(path).at(&gate).await;
    assert_eq!(r.status, 403);
    let said = r.header("x-error-message").unwrap();
    for part in ["pytorch_model.bin", "system", "WB-", "policy 'default'", &format!("{}/r/", gate.url)] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.ends_with('.'));
    // Not equal, so that huggingface_hub shows it behind its own advice.
    assert_eq!(r.json()["error"], format!("{said} (not delivered)"));
    assert_eq!(r.header("x-error-code"), None);
    assert_eq!(r.header("cache-control"), Some("no-store"));
    assert!(!r.body.windows(HOSTILE.len()).any(|w| w == HOSTILE));

    // Others never check the status of GET: they are refused on HEAD too.
    let r = head(path).agent(RUST).at(&gate).await;
    assert_eq!(r.status, 403);
    assert!(r.header("x-error-message").unwrap().contains("WB-"));
    assert_eq!(get(path).agent(RUST).at(&gate).await.status, 403);

    // The report shows this file to whoever has the link, and is found under no other id.
    let link = said.rsplit_once("report: ").unwrap().1;
    let page = get(link.strip_prefix(&gate.url).unwrap()).at(&gate).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("pytorch_model.bin") && page.text().contains("WB-"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert_eq!(get("/r/aaaaaaaaaaaaaaaaaaaaaaaaaa").at(&gate).await.status, 404);
    assert_eq!(events(&gate, "refuse").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_and_resumption() {
    let hub = Hub::start().await;
    let weights = safetensors(1_500_000);
    hub.put("acme/tiny", "model.safetensors", weights.clone(), true);
    let gate = before(&hub).await;
    let ask = || get("/acme/tiny/resolve/main/model.safetensors");
    let n = weights.len();

    // The first request may be a range: the whole file is judged all the same.
    let r = ask().header("range", "bytes=0-0").at(&gate).await;
    assert_eq!((r.status, r.header("content-range")), (206, Some(format!("bytes 0-0/{n}").as_str())));
    assert_eq!(r.body, weights[..1]);
    let r = ask().header("range", "bytes=1000-").at(&gate).await;
    assert!(r.status == 206 && r.body == weights[1000..]);
    let r = ask().header("range", "bytes=-70").at(&gate).await;
    assert!(r.status == 206 && r.body == weights[n - 70..]);
    let r = ask().header("range", &format!("bytes={n}-")).at(&gate).await;
    assert_eq!((r.status, r.header("content-range")), (416, Some(format!("bytes */{n}").as_str())));
    let r = ask().header("range", "bytes=0-1,5-6").at(&gate).await;
    assert!(r.status == 200 && r.body == weights);
    let etag = format!("\"{}\"", sha256(&weights));
    let r = ask().header("if-none-match", &etag).at(&gate).await;
    assert_eq!((r.status, r.body.len()), (304, 0));
    let r = ask().header("range", "bytes=0-9").header("if-range", "\"other\"").at(&gate).await;
    assert!(r.status == 200 && r.body == weights);
    assert_eq!(hub.seen("cdn GET"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_get_speak_of_one_commit() {
    let hub = Hub::start().await;
    hub.put("acme/tiny", "config.json", "{\"v\":1}", false);
    let gate = before(&hub).await;
    let h = head("/acme/tiny/resolve/main/config.json").at(&gate).await;
    // The branch moves between HEAD and GET; the old commit can still be had.
    hub.edit("acme/tiny", |r| r.commit = support::hub::commit(2));
    let g = get("/acme/tiny/resolve/main/config.json").at(&gate).await;
    assert_eq!(g.status, 200, "{}", g.text());
    assert_eq!(g.header("x-repo-commit"), h.header("x-repo-commit"));
    assert_eq!(g.text(), "{\"v\":1}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_private_or_renamed_is_told_as_the_hub_does() {
    let hub = Hub::start().await;
    hub.put("acme/tiny", "config.json", "{}", false);
    hub.put("acme/old", "config.json", "{}", false);
    hub.edit("acme/old", |r| r.renamed_to = Some("acme/tiny".into()));
    let gate = before(&hub).await;

    let r = get("/acme/tiny/resolve/main/nothing.bin").at(&gate).await;
    assert_eq!((r.status, r.header("x-error-code")), (404, Some("EntryNotFound")));
    // The hub says a bare 401; over http the clients need the code.
    let r = head("/acme/nobody/resolve/main/config.json").at(&gate).await;
    assert_eq!((r.status, r.header("x-error-code")), (401, Some("RepoNotFound")));
    let r = get("/api/models/acme/nobody").at(&gate).await;
    assert_eq!((r.status, r.header("x-error-code")), (401, Some("RepoNotFound")));
    let r = get("/acme/old/resolve/main/config.json").at(&gate).await;
    assert_eq!((r.status, r.text().as_str()), (200, "{}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_users_token_gets_nothing_from_the_store() {
    let hub = Hub::start().await;
    let weights = safetensors(5000);
    hub.put("acme/secret", "model.safetensors", weights.clone(), true);
    hub.put("acme/secret", "evil.pkl", HOSTILE, true);
    hub.edit("acme/secret", |r| r.private = Some("hf_alice".into()));
    let gate = before(&hub).await;
    let path = "/acme/secret/resolve/main/model.safetensors";

    let r = get(path).token("hf_alice").at(&gate).await;
    assert!(r.status == 200 && r.body == weights, "{}", r.text());
    let commit = r.header("x-repo-commit").unwrap().to_string();
    for path in [
        path.to_string(),
        path.replace("main", &commit),
        format!("/_w/{}/1{}", "0".repeat(32), path.replace("main", &commit)),
        "/acme/secret/resolve/main/evil.pkl".into(),
        "/acme/secret/raw/main/model.safetensors".into(),
        "/api/models/acme/secret/tree/main".into(),
        "/api/models/acme/secret".into(),
    ] {
        for asked in [get(&path), get(&path).token("hf_mallory"), head(&path), get(&path).agent(RUST)] {
            let r = asked.at(&gate).await;
            assert!(r.status == 401, "{path}: {} {}", r.status, r.text());
            assert!(!r.body.windows(20).any(|w| weights.windows(20).any(|v| v == w)));
        }
    }
    // Access is bound to the token; content is shared by digest once access stands.
    assert_eq!(hub.seen("cdn GET"), 1);
    // The token goes to the hub's own origin only.
    assert!(
        hub.shared.log.lock().unwrap().iter().filter(|l| l.starts_with("cdn")).all(|l| l.ends_with("auth=-"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_outside_the_table_writes_and_git() {
    let hub = Hub::start().await;
    hub.put("acme/tiny", "model.safetensors", safetensors(10), true);
    hub.put("acme/tiny", "config.json", "{}", false);
    let gate = before(&hub).await;
    let c = support::hub::commit(1);
    for path in [
        "/acme/tiny/blob/main/config.json".to_string(),
        format!("/api/resolve-cache/models/acme/tiny/{c}/config.json"),
        "/api/models/acme/tiny/scan".into(),
        "/v2/acme/tiny/manifests/latest".into(),
        "/acme/tiny".into(),
        "/".into(),
        "/api/models/acme/tiny/xet-read-token/main".into(),
    ] {
        let before = hub.shared.log.lock().unwrap().len();
        assert_eq!(get(&path).at(&gate).await.status, 404, "{path}");
        assert_eq!(hub.shared.log.lock().unwrap().len(), before, "{path} reached the upstream");
    }
    for (method, path) in [
        ("POST", "/api/models/acme/tiny/preupload/main"),
        ("POST", "/api/models/acme/tiny/commit/main"),
        ("POST", "/api/repos/create"),
        ("POST", "/acme/tiny.git/git-receive-pack"),
        ("PUT", "/acme/tiny/resolve/main/config.json"),
    ] {
        let r = support::ask(method, path).body("x").at(&gate).await;
        assert_eq!(r.status, 405, "{method} {path}");
        assert!(r.header("x-error-message").unwrap().contains("uploads"));
    }
    let r = get("/acme/tiny.git/info/refs?service=git-upload-pack").at(&gate).await;
    assert_eq!((r.status, r.header("content-type")), (403, Some("text/plain; charset=utf-8")));
    assert!(r.text().contains("hf download"));
    let r = support::ask("POST", "/acme/tiny.git/info/lfs/objects/batch").body("{}").at(&gate).await;
    assert!(r.status == 403 && r.json()["message"].as_str().unwrap().contains("hf download"));
    // Pointers have no judgement; small files take the judged way.
    assert_eq!(get("/acme/tiny/raw/main/model.safetensors").at(&gate).await.status, 403);
    assert_eq!(get("/acme/tiny/raw/main/config.json").at(&gate).await.text(), "{}");
    for path in
        ["/acme/tiny/resolve/main/../../x", "/acme/tiny/resolve/main/%2e%2e%2fx", "/a/b/resolve/main/x%00"]
    {
        let r = raw_get(&gate, path).await;
        assert!(r.starts_with("HTTP/1.1 400") || r.starts_with("HTTP/1.1 404"), "{path}: {r}");
    }
}

/// Clients of any comfort normalise paths; an attacker does not.
async fn raw_get(gate: &support::Gate, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = gate.url.strip_prefix("http://").unwrap();
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let text = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: {PYTHON}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut out = Vec::new();
    socket.read_to_end(&mut out).await.unwrap();
    String::from_utf8_lossy(&out).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn xet_and_foreign_addresses_are_taken_out() {
    let hub = Hub::start().await;
    hub.put("acme/tiny", "a.safetensors", safetensors(10), true);
    hub.put("acme/tiny", "b.safetensors", safetensors(20), true);
    let gate = before(&hub).await;
    let r = get("/api/models/acme/tiny/tree/main?recursive=true").at(&gate).await;
    assert_eq!(r.status, 200);
    let entry = &r.json()[0];
    assert!(entry.get("xetHash").is_none() && entry["lfs"]["oid"].is_string(), "{entry}");
    let next = r.header("link").unwrap();
    let base = format!("<{}/api/models/acme/tiny/tree/main?", gate.url);
    assert!(next.starts_with(&base) && next.ends_with("; rel=\"next\""), "{next}");
    assert_eq!(r.header("set-cookie"), None);
    // The next page is the next page.
    let path = next[1..].split('>').next().unwrap().strip_prefix(&gate.url).unwrap().to_string();
    let r = get(&path).at(&gate).await;
    assert!(r.json()[0]["path"] == "b.safetensors" && r.header("link").is_none());
    let r = support::ask("POST", "/api/models/acme/tiny/paths-info/main")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("paths=a.safetensors&expand=False")
        .at(&gate)
        .await;
    assert!(r.status == 200 && !r.text().contains("xetHash"), "{}", r.text());
    for asked in [head("/acme/tiny/resolve/main/a.safetensors"), get("/acme/tiny/resolve/main/a.safetensors")]
    {
        let r = asked.at(&gate).await;
        assert!(r.headers.keys().all(|k| !k.as_str().starts_with("x-xet")), "{:?}", r.headers);
        assert_eq!((r.status, r.header("link"), r.header("location")), (200, None, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_clients_are_not_told_a_size_that_they_would_refuse() {
    let hub = Hub::start().await;
    hub.put("acme/huge", "model.safetensors", "x", true);
    hub.mood(|m| m.claimed_size = Some(60_000_000_000));
    let gate = before(&hub).await;
    let ask = || head("/acme/huge/resolve/main/model.safetensors");
    let r = ask().at(&gate).await;
    assert_eq!((r.status, r.header("content-length"), r.header("x-linked-size")), (200, None, None));
    assert!(r.header("etag").is_some());
    let r = ask().agent(OLD_PYTHON).at(&gate).await;
    assert_eq!(
        (r.header("content-length"), r.header("x-linked-size")),
        (Some("60000000000"), Some("60000000000"))
    );
}
