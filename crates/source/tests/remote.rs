//! What a remote hub says, and what it must not get away with.

mod support;

use futures_util::TryStreamExt;
use sha2::Digest;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{COMMIT, Server, bytes, pattern, redirect, reply, repo};
use wb_blob::ReadAt;
use wb_source::{
    Access, Fault, FileMeta, MetaRequest, Method, RangedLimits, RemoteHub, Result, Route, SourceError, Token,
};

fn sha256(content: &[u8]) -> String {
    sha2::Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect()
}

/// A hub with one LFS file, whose bytes are on another origin.
async fn lfs(content: Vec<u8>) -> (Server, Server, RemoteHub) {
    let (hub, cdn) = (Server::start().await, Server::start().await);
    let etag = format!("\"{}\"", sha256(&content));
    let size = content.len().to_string();
    let target = cdn.url("/lfs/x?sig=1");
    for rev in ["main", COMMIT] {
        let (etag, size, target) = (etag.clone(), size.clone(), target.clone());
        hub.on(&format!("/org/name/resolve/{rev}/m.bin"), move |_| {
            let headers = [
                ("location", target.as_str()),
                ("x-repo-commit", COMMIT),
                ("x-linked-etag", &etag),
                ("x-linked-size", &size),
                ("x-xet-hash", "f00"),
            ];
            reply(302, &headers, "Found. Redirecting")
        });
    }
    cdn.on("/lfs/x", move |seen| bytes(seen, &content, &[("etag", "\"cdn\"")]));
    let client = hub.hub(&[cdn.addr.to_string()]);
    (hub, cdn, client)
}

async fn all(client: &RemoteHub, meta: &FileMeta, offset: u64) -> Result<Vec<u8>> {
    let stream = client.fetch(&repo(), meta, None, offset).await?;
    stream
        .try_fold(Vec::new(), |mut out, chunk| async move {
            out.extend_from_slice(&chunk);
            Ok(out)
        })
        .await
}

#[tokio::test]
async fn a_linked_file_is_described_without_asking_the_storage() {
    let content = pattern(100_000);
    let (_, cdn, client) = lfs(content.clone()).await;
    let meta = client.stat(&repo(), "main", "m.bin", None).await.unwrap();
    assert_eq!((meta.commit.as_str(), meta.size), (COMMIT, 100_000));
    assert_eq!(meta.sha256.unwrap().to_hex(), sha256(&content));
    assert_eq!(meta.git_oid, None);
    assert!(cdn.seen().is_empty());
    assert_eq!(all(&client, &meta, 0).await.unwrap(), content);
    assert_eq!(all(&client, &meta, 99_000).await.unwrap(), content[99_000..]);
    assert_eq!(all(&client, &meta, 100_000).await.unwrap(), b"");
    assert!(all(&client, &meta, 100_001).await.is_err());
}

#[tokio::test]
async fn a_small_file_is_described_through_the_relative_redirect() {
    let hub = Server::start().await;
    let oid = "a".repeat(40);
    hub.on("/org/name/resolve/main/c%20d.json", move |_| {
        let to = format!(
            "/api/resolve-cache/models/org/name/{COMMIT}/c%20d.json?x=&etag=%22{}%22",
            "a".repeat(40)
        );
        reply(307, &[("location", &to), ("x-repo-commit", COMMIT)], "Temporary Redirect")
    });
    let etag = format!("W/\"{oid}\"");
    hub.on(&format!("/api/resolve-cache/models/org/name/{COMMIT}/c%20d.json"), move |seen| {
        bytes(seen, b"{}", &[("etag", &etag), ("x-repo-commit", COMMIT)])
    });
    let meta = hub.hub(&[]).stat(&repo(), "main", "c d.json", None).await.unwrap();
    assert_eq!((meta.size, meta.git_oid, meta.sha256), (2, Some(oid), None));
}

#[tokio::test]
async fn refusals_come_through_unchanged() {
    let hub = Server::start().await;
    hub.on("/org/name/resolve/main/x", |_| {
        let headers = [
            ("x-error-code", "EntryNotFound"),
            ("x-error-message", "Entry not found"),
            ("x-repo-commit", COMMIT),
        ];
        reply(404, &headers, "")
    });
    let error = hub.hub(&[]).stat(&repo(), "main", "x", None).await.unwrap_err();
    let SourceError::Answered(answer) = &error else { panic!("{error}") };
    assert_eq!((answer.status, answer.code.as_deref()), (404, Some("EntryNotFound")));
    assert_eq!(
        (answer.message.as_deref(), answer.commit.as_deref()),
        (Some("Entry not found"), Some(COMMIT))
    );
    assert_eq!((error.gateway_status(), error.is_retryable()), (404, false));
}

#[tokio::test]
async fn answers_that_miss_or_contradict_are_violations() {
    let hub = Server::start().await;
    let client = hub.hub(&[]);
    let other = "f".repeat(40);
    for headers in [
        vec![("etag", "\"e\"")],
        vec![("x-repo-commit", "main"), ("etag", "\"e\"")],
        vec![("x-repo-commit", COMMIT)],
        vec![("x-repo-commit", other.as_str()), ("etag", "\"e\"")],
    ] {
        let owned: Vec<(String, String)> = headers.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
        hub.on(&format!("/org/name/resolve/{COMMIT}/f"), move |_| {
            let headers: Vec<_> = owned.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            reply(200, &headers, "12")
        });
        let error = client.stat(&repo(), COMMIT, "f", None).await.expect_err(&format!("{headers:?}"));
        assert_eq!(error.fault(), Fault::UpstreamLied, "{headers:?}: {error}");
    }
}

#[tokio::test]
async fn changed_bytes_are_noticed_while_fetching() {
    let hub = Server::start().await;
    let client = hub.hub(&[]);
    let meta = FileMeta {
        commit: COMMIT.into(),
        path: "f".into(),
        size: 5,
        etag: "e".into(),
        sha256: None,
        git_oid: None,
    };
    type Answer = fn() -> axum::response::Response;
    let cases: [(&str, Answer); 5] = [
        ("another etag", || reply(200, &[("etag", "\"other\"")], "12345")),
        ("another commit", || reply(200, &[("x-repo-commit", "f00")], "12345")),
        ("longer", || reply(200, &[], "123456")),
        ("shorter", || reply(200, &[], "1234")),
        ("encoded", || reply(200, &[("content-encoding", "gzip")], "12345")),
    ];
    for (what, answer) in cases {
        hub.on(&format!("/org/name/resolve/{COMMIT}/f"), move |_| answer());
        let error = all(&client, &meta, 0).await.expect_err(what);
        assert_eq!(error.fault(), Fault::UpstreamLied, "{what}: {error}");
    }
    // Without a stated length the end itself tells.
    for (body, fault) in [("1234", Fault::UpstreamDown), ("123456", Fault::UpstreamLied)] {
        hub.on(&format!("/org/name/resolve/{COMMIT}/f"), move |_| {
            let chunks = body.as_bytes().chunks(2).map(|c| Ok::<_, std::io::Error>(c.to_vec()));
            reply(
                200,
                &[],
                axum::body::Body::from_stream(futures_util::stream::iter(chunks.collect::<Vec<_>>())),
            )
        });
        assert_eq!(all(&client, &meta, 0).await.expect_err(body).fault(), fault);
    }
    // A server that ignores ranges is put up with.
    hub.on(&format!("/org/name/resolve/{COMMIT}/f"), |_| reply(200, &[("etag", "\"e\"")], "12345"));
    assert_eq!(all(&client, &meta, 3).await.unwrap(), b"45");
    hub.on(&format!("/org/name/resolve/{COMMIT}/f"), |_| {
        reply(206, &[("content-range", "bytes 0-1/5"), ("etag", "\"e\"")], "12")
    });
    assert_eq!(all(&client, &meta, 3).await.unwrap_err().fault(), Fault::UpstreamLied);
}

#[tokio::test]
async fn api_requests_keep_their_parts() {
    let hub = Server::start().await;
    hub.on("/api/models/org/name/tree/refs%2Fpr%2F3/a%20b", |_| {
        let link =
            "<https://huggingface.co/api/models/org/name/tree/main?recursive=true&cursor=9>; rel=\"next\"";
        reply(200, &[("link", link), ("x-repo-commit", COMMIT), ("x-hf-warning", "t; m")], "[]")
    });
    let client = hub.hub(&[]);
    let mut request = MetaRequest::get(repo(), Route::Tree, "refs/pr/3");
    request.path = "a b".into();
    request.query = "recursive=true&expand=false".into();
    let answer = client.api(&request, None).await.unwrap();
    assert_eq!(answer.next_query().as_deref(), Some("recursive=true&cursor=9"));
    assert_eq!((answer.commit.as_deref(), answer.warning.as_deref()), (Some(COMMIT), Some("t; m")));
    assert!(hub.seen()[0].uri.ends_with("?recursive=true&expand=false"));

    hub.on("/api/models/org/name/paths-info/main", |_| reply(200, &[], "[]"));
    let mut request = MetaRequest::get(repo(), Route::PathsInfo, "main");
    (request.method, request.body) = (Method::Post, "paths=a&paths=b".into());
    request.content_type = Some("application/x-www-form-urlencoded".into());
    client.api(&request, None).await.unwrap();
    let last = hub.seen().pop().unwrap();
    assert_eq!((last.method.as_str(), &last.body[..]), ("POST", &b"paths=a&paths=b"[..]));

    hub.on("/api/models/org/name", |_| reply(200, &[], vec![b' '; (1 << 20) + 1]));
    let endless = client.api(&MetaRequest::get(repo(), Route::Info, ""), None).await.unwrap_err();
    assert_eq!(endless.fault(), Fault::UpstreamLied);
}

#[tokio::test]
async fn too_many_requests_are_waited_for_once() {
    let hub = Server::start().await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    hub.on("/api/whoami-v2", move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => reply(429, &[("retry-after", "0")], ""),
        _ => reply(200, &[], "{}"),
    });
    assert_eq!(hub.hub(&[]).whoami(None).await.unwrap().status, 200);
    hub.on("/api/whoami-v2", |_| reply(429, &[("retry-after", "0")], ""));
    let answer = hub.hub(&[]).whoami(None).await.unwrap();
    assert_eq!((answer.status, answer.retry_after, hub.seen().len()), (429, Some(0), 4));
    hub.on("/api/whoami-v2", |_| reply(429, &[("retry-after", "3600")], ""));
    assert_eq!(hub.hub(&[]).whoami(None).await.unwrap().status, 429);
    assert_eq!(hub.seen().len(), 5, "an hour is not waited for");
}

#[tokio::test]
async fn access_is_confirmed_by_the_hub_itself() {
    let hub = Server::start().await;
    let client = hub.hub(&[]);
    let token = Token::bearer("hf_good").unwrap();
    let good = |seen: &support::Seen| seen.authorization.as_deref() == Some("Bearer hf_good");
    hub.on("/api/models/org/name", |_| reply(200, &[], r#"{"private":false,"gated":false}"#));
    assert_eq!(client.check_access(&repo(), None).await.unwrap(), Access::Public);

    // Gated: the description is public, access is not.
    hub.on("/api/models/org/name", |_| reply(200, &[], r#"{"private":false,"gated":"auto"}"#));
    hub.on("/api/models/org/name/auth-check", move |seen| match good(seen) {
        true => reply(200, &[], "{}"),
        false => reply(401, &[("x-error-code", "GatedRepo"), ("x-error-message", "restricted")], "{}"),
    });
    assert_eq!(client.check_access(&repo(), Some(&token)).await.unwrap(), Access::Granted);
    for other in [None, Token::bearer("hf_other")] {
        let error = client.check_access(&repo(), other.as_ref()).await.unwrap_err();
        assert!(
            matches!(&error, SourceError::Answered(a) if a.code.as_deref() == Some("GatedRepo")),
            "{error}"
        );
    }

    // Private: the hub does not even admit that it exists.
    hub.on("/api/models/org/name", move |seen| match good(seen) {
        true => reply(200, &[], r#"{"private":true,"gated":false}"#),
        false => reply(401, &[("x-error-message", "Invalid username or password.")], "{}"),
    });
    assert_eq!(client.check_access(&repo(), Some(&token)).await.unwrap(), Access::Granted);
    assert_eq!(client.check_access(&repo(), None).await.unwrap_err().gateway_status(), 401);

    // Nothing said about either: not taken for public. Without auth-check a file has to prove it.
    let info = r#"{"siblings":[{"rfilename":"f"}]}"#;
    hub.on("/api/models/org/name", move |_| reply(200, &[], info));
    hub.on("/api/models/org/name/auth-check", |_| reply(404, &[], ""));
    assert!(client.check_access(&repo(), None).await.is_err());
    hub.on("/org/name/resolve/main/f", |_| reply(200, &[("x-repo-commit", COMMIT), ("etag", "e")], ""));
    assert_eq!(client.check_access(&repo(), None).await.unwrap(), Access::Granted);
}

/// Reads through blocking code, as the scanner does.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn read(file: &dyn ReadAt, offset: u64, len: usize) -> std::io::Result<Vec<u8>> {
    let mut out = vec![0; len];
    let mut done = 0;
    while done < len {
        match file.read_at(&mut out[done..], offset + done as u64)? {
            0 => break,
            n => done += n,
        }
    }
    out.truncate(done);
    Ok(out)
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_read_little_and_right() {
    let content = pattern(20 << 20);
    let (hub, cdn, client) = lfs(content.clone()).await;
    let meta = client.stat(&repo(), "main", "m.bin", None).await.unwrap();
    let file = Arc::new(client.ranged(&repo(), &meta, None, RangedLimits::default()).await.unwrap());
    let (f, len) = (file.clone(), content.len() as u64);
    let tail = blocking(move || read(&*f, len - 100, 1000).unwrap()).await;
    assert_eq!(tail, content[content.len() - 100..]);
    assert!(file.bytes_transferred() <= 64 << 10);
    let f = file.clone();
    let part = blocking(move || read(&*f, 65_530, 20).unwrap()).await;
    assert_eq!(part, content[65_530..65_550]);
    // The redirect is taken once; later ranges go straight to the storage.
    assert_eq!(hub.seen().iter().filter(|s| s.method == "GET").count(), 1);
    let before = cdn.seen().len();
    let f = file.clone();
    blocking(move || f.hint(&[5 << 20..(5 << 20) + 10, (5 << 20) + 70_000..(5 << 20) + 70_010])).await;
    assert_eq!(cdn.seen().len(), before + 1, "near ranges are joined");
    let f = file.clone();
    let part = blocking(move || read(&*f, (5 << 20) + 70_000, 10).unwrap()).await;
    assert_eq!((part, cdn.seen().len()), (content[(5 << 20) + 70_000..][..10].to_vec(), before + 1));
    let f = file.clone();
    assert_eq!(blocking(move || read(&*f, 0, 30 << 20).unwrap()).await, content, "the whole in sequence");
    assert!(cdn.seen().len() < before + 40, "reading on fetches ever more: {}", cdn.seen().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_signature_is_renewed() {
    let content = pattern(1 << 20);
    let (hub, cdn, client) = lfs(content.clone()).await;
    let meta = client.stat(&repo(), "main", "m.bin", None).await.unwrap();
    let file = Arc::new(client.ranged(&repo(), &meta, None, RangedLimits::default()).await.unwrap());
    let f = file.clone();
    blocking(move || read(&*f, 0, 10).unwrap()).await;
    let count = AtomicUsize::new(0);
    let body = content.clone();
    cdn.on("/lfs/x", move |seen| match count.fetch_add(1, Ordering::SeqCst) {
        0 => reply(403, &[], "<Error><Code>AccessDenied</Code></Error>"),
        _ => bytes(seen, &body, &[("etag", "\"cdn\"")]),
    });
    let f = file.clone();
    assert_eq!(blocking(move || read(&*f, 500_000, 10).unwrap()).await, content[500_000..500_010]);
    assert_eq!(hub.seen().iter().filter(|s| s.method == "GET").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_between_ranges_is_an_error() {
    let content = pattern(1 << 20);
    for (what, size, etag) in [("etag", 1 << 20, "\"other\""), ("size", 2 << 20, "\"cdn\"")] {
        let (_, cdn, client) = lfs(content.clone()).await;
        let meta = client.stat(&repo(), "main", "m.bin", None).await.unwrap();
        let file = Arc::new(client.ranged(&repo(), &meta, None, RangedLimits::default()).await.unwrap());
        let f = file.clone();
        blocking(move || read(&*f, 0, 10).unwrap()).await;
        let other = pattern(size);
        cdn.on("/lfs/x", move |seen| bytes(seen, &other, &[("etag", etag)]));
        let error = blocking(move || read(&*file, 500_000, 10).unwrap_err()).await;
        assert!(error.to_string().contains("changed"), "{what}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_is_read_whole_within_bounds() {
    let content = pattern(300_000);
    let (_, cdn, client) = lfs(content.clone()).await;
    let body = content.clone();
    cdn.on("/lfs/x", move |_| reply(200, &[("etag", "\"cdn\"")], body.clone()));
    let meta = client.stat(&repo(), "main", "m.bin", None).await.unwrap();
    let file = Arc::new(client.ranged(&repo(), &meta, None, RangedLimits::default()).await.unwrap());
    let f = file.clone();
    assert_eq!(blocking(move || read(&*f, 200_000, 100).unwrap()).await, content[200_000..200_100]);
    blocking(move || read(&*file, 0, 100).unwrap()).await;
    assert_eq!(cdn.seen().len(), 1, "downloaded once");
    let limits = RangedLimits { whole: 1000, ..RangedLimits::default() };
    let file = client.ranged(&repo(), &meta, None, limits).await.unwrap();
    assert!(blocking(move || read(&file, 0, 10)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_urls_open() {
    let content = pattern(200_000);
    let server = Server::start().await;
    let body = content.clone();
    server.on("/dir/model%20x.pt", move |seen| bytes(seen, &body, &[("etag", "\"1\"")]));
    server.on("/empty", |seen| bytes(seen, b"", &[]));
    server.on("/away", |_| redirect("http://127.0.0.1:1/x"));
    let policy = wb_source::NetPolicy::new(url::Url::parse("http://127.0.0.1:1").unwrap());
    let (url, empty, away) = (server.url("/dir/model%20x.pt"), server.url("/empty"), server.url("/away"));
    blocking(move || {
        let files = wb_source::open_url(&url, &policy).unwrap();
        assert_eq!((files.len(), files[0].name.as_str()), (1, "model x.pt"));
        assert_eq!(read(&*files[0].source, 150_000, 10).unwrap(), content[150_000..150_010]);
        assert_eq!(wb_source::open_url(&empty, &policy).unwrap()[0].source.len(), 0);
        let error = wb_source::open_url(&away, &policy).err().unwrap();
        assert_eq!(error.fault(), Fault::ForbiddenAddress, "{error}");
    })
    .await;
    assert!(server.seen().iter().all(|s| s.authorization.is_none()));
}
