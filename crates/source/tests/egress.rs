//! Where requests go, and what they carry there.

mod support;

use support::{COMMIT, Server, redirect, reply, repo};
use url::Url;
use wb_source::{Fault, RemoteConfig, RemoteHub, SourceError, Token};

const PATH: &str = "/org/name/resolve/main/f.bin";

fn token() -> Token {
    Token::bearer("hf_secret").unwrap()
}

fn fine() -> axum::response::Response {
    reply(200, &[("x-repo-commit", COMMIT), ("etag", "\"e\"")], "12345")
}

#[tokio::test]
async fn the_token_stays_with_the_upstream() {
    let (hub, other) = (Server::start().await, Server::start().await);
    let target = other.url("/x");
    hub.on(PATH, move |_| redirect(&target));
    let back = hub.url("/back");
    other.on("/x", move |_| redirect(&back));
    hub.on("/back", |_| fine());
    let client = hub.hub(&[other.addr.to_string()]);
    let meta = client.stat(&repo(), "main", "f.bin", Some(&token())).await.unwrap();
    assert_eq!((meta.size, meta.etag.as_str()), (5, "e"));
    assert_eq!(hub.seen()[0].authorization.as_deref(), Some("Bearer hf_secret"));
    assert_eq!(other.seen()[0].authorization, None, "another origin");
    assert_eq!(hub.seen()[1].authorization, None, "once gone it does not come back");
    assert_eq!(hub.seen()[0].encoding.as_deref(), Some("identity"));
}

#[tokio::test]
async fn the_token_follows_redirects_of_the_same_origin() {
    let hub = Server::start().await;
    hub.on(PATH, |_| redirect("/org/renamed/resolve/main/f.bin"));
    hub.on("/org/renamed/resolve/main/f.bin", |_| fine());
    hub.hub(&[]).stat(&repo(), "main", "f.bin", Some(&token())).await.unwrap();
    assert!(hub.seen().iter().all(|s| s.authorization.is_some()));
}

#[tokio::test]
async fn forbidden_redirects_are_not_followed() {
    let hub = Server::start().await;
    let inside = Server::start().await;
    inside.on("/secret", |_| fine());
    let port = inside.addr.port();
    let client = hub.hub(&[]);
    // All but the first few lead to the server above, were they dialled.
    for target in [
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://100.64.0.1/".into(),
        "http://[::ffff:10.0.0.1]/".into(),
        "file:///etc/passwd".into(),
        "gopher://127.0.0.1/".into(),
        format!("http://127.0.0.1:{port}/secret"),
        format!("http://localhost:{port}/secret"),
        format!("http://LOCALHOST.:{port}/secret"),
        format!("http://2130706433:{port}/secret"),
        format!("http://0x7f000001:{port}/secret"),
        format!("http://017700000001:{port}/secret"),
        format!("http://127.1:{port}/secret"),
        format!("http://[::ffff:127.0.0.1]:{port}/secret"),
        format!("http://[::1]:{port}/secret"),
        format!("http://0.0.0.0:{port}/secret"),
        format!("//127.0.0.1:{port}/secret"),
        format!("http://huggingface.co@127.0.0.1:{port}/secret"),
    ] {
        let to = target.clone();
        hub.on(PATH, move |_| redirect(&to));
        let error = client.stat(&repo(), "main", "f.bin", None).await.expect_err(&target);
        assert_eq!(error.fault(), Fault::ForbiddenAddress, "{target}: {error}");
        assert_eq!(error.gateway_status(), 502);
    }
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn a_listed_name_that_resolves_inside_needs_its_port_listed() {
    let hub = Server::start().await;
    let inside = Server::start().await;
    inside.on("/secret", |_| fine());
    // The name is listed without a port: allowed by name, refused by what it resolves to.
    let error = {
        let mut config = RemoteConfig::new(Url::parse("http://localhost").unwrap());
        config.hosts = vec!["localhost".parse().unwrap()];
        let egress = wb_source::EgressPolicy::new(config.hosts.clone(), true);
        let client = RemoteHub::with_policy(config, egress).unwrap();
        client.stat(&repo(), "main", "f.bin", None).await.unwrap_err()
    };
    assert_eq!(error.fault(), Fault::ForbiddenAddress, "{error}");
    assert!(error.to_string().contains("not public"), "{error}");
    // Exactly this name and port: meant.
    let listed = format!("localhost:{}", inside.addr.port());
    let target = format!("http://{listed}/secret");
    hub.on(PATH, move |_| redirect(&target));
    hub.hub(&[listed]).stat(&repo(), "main", "f.bin", None).await.unwrap();
    assert_eq!(inside.seen().len(), 1);
}

#[tokio::test]
async fn five_redirects_and_no_more() {
    let hub = Server::start().await;
    hub.on(PATH, |_| redirect("/1"));
    for n in 1..5 {
        hub.on(&format!("/{n}"), move |_| redirect(&format!("/{}", n + 1)));
    }
    hub.on("/5", |_| fine());
    let client = hub.hub(&[]);
    client.stat(&repo(), "main", "f.bin", None).await.unwrap();
    hub.on("/5", |_| redirect("/6"));
    hub.on("/6", |_| fine());
    let error = client.stat(&repo(), "main", "f.bin", None).await.unwrap_err();
    assert!(matches!(error, SourceError::Protocol(_)), "{error}");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_down() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let config = RemoteConfig::new(Url::parse(&format!("http://127.0.0.1:{port}")).unwrap());
    let error = RemoteHub::new(config).unwrap().stat(&repo(), "main", "f", None).await.unwrap_err();
    assert_eq!(
        (error.fault(), error.gateway_status(), error.is_retryable()),
        (Fault::UpstreamDown, 502, true)
    );
}

#[tokio::test]
async fn errors_do_not_show_signed_queries_or_tokens() {
    let (hub, cdn) = (Server::start().await, Server::start().await);
    let target = cdn.url("/blob?Signature=verysecret");
    hub.on("/org/name/resolve/main/f.bin", move |_| redirect(&target));
    cdn.on("/blob", |_| reply(403, &[], "<Error/>"));
    let client = hub.hub(&[cdn.addr.to_string()]);
    let error = client.stat(&repo(), "main", "f.bin", Some(&token())).await.unwrap_err();
    assert_eq!(error.fault(), Fault::UpstreamLied, "a storage host's refusal is not the hub's");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("secret"), "{shown}");
}
