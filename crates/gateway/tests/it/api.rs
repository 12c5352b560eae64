//! The API for programs, metrics, and the gate in front of a folder.

use crate::support;

use crate::support::hub::{Hub, sha256};
use crate::support::{HOSTILE, ask, before, get, head, safetensors};

#[tokio::test(flavor = "multi_thread")]
async fn everything_but_the_document_needs_the_admin_token() {
    let hub = Hub::start().await;
    let gate = before(&hub).await;
    assert_eq!(get("/api/v1/openapi.json").at(&gate).await.json()["info"]["title"], "weighbridge");
    let zero = "0".repeat(64);
    for path in [
        "/api/v1/decisions",
        "/metrics",
        "/api/v1/reports/aaaaaaaaaaaaaaaaaaaaaaaaaa",
        &format!("/api/v1/verdicts/{zero}"),
    ] {
        for wrong in [get(path), get(path).token("wrong"), get(path).token(&zero)] {
            assert_eq!(wrong.at(&gate).await.status, 401, "{path}");
        }
        assert_ne!(get(path).token(&gate.admin).at(&gate).await.status, 401, "{path}");
    }
    assert_eq!(ask("POST", "/api/v1/scans").body("x").at(&gate).await.status, 401);
    assert_eq!(get("/healthz").at(&gate).await.json()["status"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_files_of_the_upstream_are_judged() {
    let hub = Hub::start().await;
    hub.put("acme/tiny", "evil.pkl", HOSTILE, true);
    let gate = before(&hub).await;
    let scan = || ask("POST", "/api/v1/scans?name=evil.pkl").token(&gate.admin);

    let r = scan().body(HOSTILE).at(&gate).await;
    assert_eq!(r.status, 200, "{}", r.text());
    let j = r.json();
    assert_eq!((&j["report"]["verdict"], &j["decision"]["action"]), (&"malicious".into(), &"block".into()));
    assert_eq!(j["report"]["sha256"], sha256(HOSTILE).as_str());

    for url in
        [format!("{}/acme/tiny/resolve/main/evil.pkl", hub.url()), "hf://acme/tiny@main/evil.pkl".into()]
    {
        let body = serde_json::json!({ "url": url }).to_string();
        let r = scan().header("content-type", "application/json").body(body).at(&gate).await;
        assert_eq!(r.status, 200, "{url}: {}", r.text());
        assert_eq!(r.json()["decision"]["action"], "block");
    }
    for url in [
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1:1/a/b/resolve/main/x",
        "hf://acme/tiny",
        "evil.pkl",
    ] {
        let body = serde_json::json!({ "url": url }).to_string();
        let r = scan().header("content-type", "application/json").body(body).at(&gate).await;
        assert_eq!(r.status, 400, "{url}: {}", r.text());
    }

    let r = get(&format!("/api/v1/verdicts/{}", sha256(HOSTILE))).token(&gate.admin).at(&gate).await;
    assert_eq!((r.status, &r.json()["verdict"]), (200, &"malicious".into()));
    let unknown = sha256(b"never seen");
    assert_eq!(get(&format!("/api/v1/verdicts/{unknown}")).token(&gate.admin).at(&gate).await.status, 404);
    assert_eq!(get("/api/v1/verdicts/..%2fx").token(&gate.admin).at(&gate).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_decisions_and_metrics() {
    let hub = Hub::start().await;
    hub.put("acme/tiny", "evil.pkl", HOSTILE, true);
    let gate = before(&hub).await;
    let r = get("/acme/tiny/resolve/main/evil.pkl?secret=query").token("hf_secret").at(&gate).await;
    let said = r.header("x-error-message").unwrap().to_string();
    let id = said.rsplit_once("/r/").unwrap().1.split(',').next().unwrap();
    let report = get(&format!("/api/v1/reports/{id}")).token(&gate.admin).at(&gate).await.json();
    assert_eq!((&report["repo"], &report["decision"]["action"]), (&"acme/tiny".into(), &"block".into()));
    assert_eq!(report["report"]["verdict"], "malicious");

    let rows = support::audit(&gate).await;
    let refused = &rows.iter().find(|r| r["entry"]["event"] == "refuse").unwrap()["entry"];
    assert_eq!((&refused["path"], &refused["sha256"]), (&"evil.pkl".into(), &sha256(HOSTILE).into()));
    let all = serde_json::to_string(&rows).unwrap();
    assert!(!all.contains("hf_secret") && !all.contains("secret=query") && !all.contains(id));

    let metrics = get("/metrics").token(&gate.admin).at(&gate).await.text();
    assert!(
        metrics.contains("weighbridge_decisions_total{action=\"block\",verdict=\"malicious\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("weighbridge_worker_ends_total{kind=\"died\"} 0"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_served_as_a_hub() {
    let root = tempfile::tempdir().unwrap();
    let repo = root.path().join("models/acme/tiny");
    std::fs::create_dir_all(repo.join("sub")).unwrap();
    let weights = safetensors(700_000);
    std::fs::write(repo.join("model.safetensors"), &weights).unwrap();
    std::fs::write(repo.join("sub/evil.pkl"), HOSTILE).unwrap();
    std::fs::write(root.path().join("outside.pkl"), "secret").unwrap();
    let data = tempfile::tempdir().unwrap();
    let gate =
        support::start(support::config(&format!("dir:{}", root.path().display()), data.path()), data).await;

    assert_eq!(head("/acme/tiny/resolve/main/model.safetensors").at(&gate).await.status, 200);
    let r = get("/acme/tiny/resolve/main/model.safetensors").at(&gate).await;
    assert!(r.status == 200 && r.body == weights, "{}", r.text());
    let r = get("/acme/tiny/resolve/main/sub/evil.pkl").at(&gate).await;
    assert_eq!(r.status, 403);
    assert!(r.header("x-error-message").unwrap().contains("sub/evil.pkl"));
    let info = get("/api/models/acme/tiny").at(&gate).await.json();
    assert_eq!(info["siblings"].as_array().unwrap().len(), 2);
    let r = get("/acme/tiny/resolve/main/..%2f..%2f..%2foutside.pkl").at(&gate).await;
    assert_eq!(r.status, 400);

    // A folder has no past: after a change the branch is what lies there now, at once.
    std::fs::write(repo.join("more.txt"), "more").unwrap();
    let r = get("/acme/tiny/resolve/main/more.txt").at(&gate).await;
    assert!(r.status == 200 && r.body == b"more", "{}", r.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_follow_the_public_address() {
    let hub = Hub::start().await;
    hub.put("acme/tiny", "evil.pkl", HOSTILE, true);
    let gate = support::before_with(&hub, |c| c.public_url = Some("https://models.example/hf/".into())).await;
    for path in ["/acme/tiny/resolve/main/evil.pkl", "/hf/acme/tiny/resolve/main/evil.pkl"] {
        let r = get(path).at(&gate).await;
        assert_eq!(r.status, 403);
        assert!(r.header("x-error-message").unwrap().contains("https://models.example/hf/r/"));
    }
    assert_eq!(get("/hf/healthz").at(&gate).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_speaks_tls() {
    let hub = Hub::start().await;
    hub.put("acme/tiny", "evil.pkl", HOSTILE, true);
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = wb_gateway::Tls { cert, key };
    let gate = support::before_with(&hub, |c| c.tls = Some(tls)).await;
    assert!(gate.url.starts_with("https://"));
    let client = reqwest::Client::builder().danger_accept_invalid_certs(true).no_proxy().build().unwrap();
    let r = client.get(format!("{}/acme/tiny/resolve/main/evil.pkl", gate.url)).send().await.unwrap();
    assert_eq!(r.status().as_u16(), 403);
    let said = r.headers()["x-error-message"].to_str().unwrap();
    assert!(said.contains(&format!("{}/r/", gate.url)), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_names_the_client_behind_a_trusted_proxy_and_believes_nobody_else() {
    let hub = Hub::start().await;
    hub.put("acme/tiny", "evil.pkl", HOSTILE, true);
    let mut named = Vec::new();
    for trusted in [&["127.0.0.0/8"][..], &[]] {
        let networks = trusted.iter().map(|n| n.parse().unwrap()).collect();
        let gate = support::before_with(&hub, |config| config.trusted_proxies = networks).await;
        let request = get("/acme/tiny/resolve/main/evil.pkl").header("x-forwarded-for", "192.0.2.66");
        assert_eq!(request.at(&gate).await.status, 403);
        let rows = support::audit(&gate).await;
        let refused = rows.iter().find(|r| r["entry"]["event"] == "refuse").unwrap();
        named.push(refused["entry"]["who"].as_str().unwrap().to_string());
    }
    assert_eq!(named, ["anonymous@192.0.2.66", "anonymous@127.0.0.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_shows_in_audit_report_and_metrics() {
    let hub = Hub::start().await;
    hub.put("acme/tiny", "evil.pkl", HOSTILE, true);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let one = |digest: &str, created: &str, expires: &str| {
        format!(
            "[[exceptions]]\nsha256 = \"{digest}\"\nowner = \"ml-security\"\nreason = \"reviewed in SEC-1\"\n\
             created = {created}\nexpires = {expires}\n"
        )
    };
    let (digest, today) = (sha256(HOSTILE), today.to_string());
    let text = one(&digest, &today, &today) + &one(&"0".repeat(64), "2020-01-01", "2020-12-31");
    std::fs::write(&file, text).unwrap();
    let gate = support::before_with(&hub, |c| c.policy = Some(file.clone())).await;
    let r = get("/acme/tiny/resolve/main/evil.pkl").at(&gate).await;
    assert_eq!((r.status, r.body.as_slice()), (200, HOSTILE), "{}", r.text());

    let rows = support::audit(&gate).await;
    let pull = rows.iter().find(|r| r["entry"]["event"] == "pull").unwrap();
    let detail = pull["entry"]["detail"].as_str().unwrap();
    for part in [&digest, "everything", "ml-security", &today, "reviewed in SEC-1"] {
        assert!(detail.contains(part), "{part} is not in {detail}");
    }
    // The audit holds the beginning of the report's id: enough for the operator, not for anybody else.
    let head = pull["entry"]["report"].as_str().unwrap();
    let report = get(&format!("/api/v1/reports/{head}")).token(&gate.admin).at(&gate).await.json();
    assert_eq!(report["decision"]["exceptions"][0]["owner"], "ml-security", "{report}");
    assert_eq!(get(&format!("/r/{head}")).at(&gate).await.status, 404);
    let page = get(&format!("/r/{}", report["id"].as_str().unwrap())).at(&gate).await;
    assert!(page.text().contains("reviewed in SEC-1"), "{}", page.text());

    let metrics = get("/metrics").token(&gate.admin).at(&gate).await.text();
    for line in [
        "weighbridge_exceptions_applied_total 1",
        "weighbridge_policy_exceptions{kind=\"holding\"} 1",
        "weighbridge_policy_exceptions{kind=\"ending\"} 1",
        "weighbridge_policy_exceptions{kind=\"expired\"} 1",
        "weighbridge_policy_exceptions{kind=\"to-come\"} 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_can_be_named_in_place_of_a_policy_file() {
    let hub = Hub::start().await;
    hub.put("acme/tiny", "evil.pkl", HOSTILE, true);
    let gate = support::before_with(&hub, |c| c.policy = Some("observe".into())).await;
    assert_eq!(get("/healthz").at(&gate).await.json()["policy"], "observe");
    assert_eq!(get("/acme/tiny/resolve/main/evil.pkl").at(&gate).await.status, 200);
}

/// The document is read and every operation of it is asked for: without the token, with it, and about nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_says_what_the_routes_do() {
    let hub = Hub::start().await;
    let gate = before(&hub).await;
    let document = get("/api/v1/openapi.json").at(&gate).await.json();
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let url = format!("/api/v1{path}").replace("{id}", "aaaaaaaaaaaaaaaaaaaaaaaaaa");
        let url = url.replace("{sha256}", &"0".repeat(64));
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            let method = method.to_uppercase();
            let documented: Vec<u16> =
                operation["responses"].as_object().unwrap().keys().map(|s| s.parse().unwrap()).collect();
            let open = operation["security"].as_array().is_some_and(Vec::is_empty);
            let stranger = ask(&method, &url).body("{}").header("content-type", "application/json");
            let answer = stranger.at(&gate).await;
            assert_eq!(answer.status == 401, !open, "{method} {url}: {}", answer.status);
            assert!(documented.contains(&answer.status), "{method} {url}: {} is not told", answer.status);
            let admin = ask(&method, &url).body("{}").header("content-type", "application/json");
            let answer = admin.token(&gate.admin).at(&gate).await;
            assert!(documented.contains(&answer.status), "{method} {url}: {} is not told", answer.status);
            if answer.status >= 400 {
                assert!(answer.json()["error"].is_string(), "{method} {url}: {}", answer.text());
            }
        }
        let other = ask("DELETE", &url).token(&gate.admin).at(&gate).await.status;
        assert_eq!(other, 405, "DELETE {url}");
    }
    assert_eq!(operations, 5);
}
