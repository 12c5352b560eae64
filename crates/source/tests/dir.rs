//! A folder served as a hub.

use futures_util::TryStreamExt;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use wb_blob::ReadAt;
use wb_source::{DirHub, Fault, FileMeta, MetaRequest, Method, RepoId, RepoKind, Result, Route, SourceError};

struct Tree {
    dir: tempfile::TempDir,
    hub: DirHub,
}

impl Tree {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let path = dir.path().join("hub/models/org/name").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let hub = DirHub::open(&dir.path().join("hub"), None).unwrap();
        Self { dir, hub }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join("hub/models/org/name").join(file)
    }

    async fn api(&self, route: Route, rev: &str, query: &str) -> Value {
        let mut request = MetaRequest::get(repo(), route, rev);
        request.query = query.into();
        self.hub.api(&request).await.unwrap().json().unwrap()
    }

    async fn read(&self, meta: &FileMeta, offset: u64) -> Result<Vec<u8>> {
        let stream = self.hub.fetch(&repo(), meta, offset).await?;
        stream
            .try_fold(Vec::new(), |mut out, c| async move {
                out.extend_from_slice(&c);
                Ok(out)
            })
            .await
    }
}

fn repo() -> RepoId {
    RepoId::new(RepoKind::Model, "org/name").unwrap()
}

fn code(error: SourceError) -> (u16, String) {
    match error {
        SourceError::Answered(answer) => (answer.status, answer.code.unwrap_or_default()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn files_have_the_names_git_and_lfs_give_them() {
    let tree = Tree::new(&[("config.json", b"hello"), ("sub dir/model.bin", b"hello")]);
    let small = tree.hub.stat(&repo(), "main", "config.json").await.unwrap();
    // `printf hello | git hash-object --stdin`
    assert_eq!(small.etag, "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0");
    assert_eq!((small.git_oid.as_ref(), small.sha256, small.size), (Some(&small.etag), None, 5));
    let large = tree.hub.stat(&repo(), &small.commit, "sub dir/model.bin").await.unwrap();
    assert_eq!(large.etag, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_eq!(large.sha256.unwrap().to_hex(), large.etag);
    assert_eq!(tree.read(&large, 0).await.unwrap(), b"hello");
    assert_eq!(tree.read(&large, 3).await.unwrap(), b"lo");
    assert!(tree.read(&large, 6).await.is_err());
    let ranged = tree.hub.ranged(&repo(), &large).await.unwrap();
    let mut buf = [0; 9];
    assert_eq!((ranged.read_at(&mut buf, 1).unwrap(), ranged.len()), (4, 5));
}

#[tokio::test]
async fn the_commit_follows_the_content_and_nothing_else() {
    let tree = Tree::new(&[("a.txt", b"1"), ("b.txt", b"2")]);
    let first = tree.hub.stat(&repo(), "main", "a.txt").await.unwrap().commit;
    assert_eq!(first.len(), 40);
    fs::write(tree.path("a.txt"), b"1").unwrap();
    assert_eq!(tree.hub.stat(&repo(), "main", "a.txt").await.unwrap().commit, first, "rewritten, same bytes");
    fs::write(tree.path("a.txt"), b"3").unwrap();
    let second = tree.hub.stat(&repo(), "main", "a.txt").await.unwrap().commit;
    assert_ne!(second, first);
    let gone = tree.hub.stat(&repo(), &first, "a.txt").await.unwrap_err();
    assert_eq!(code(gone), (404, "RevisionNotFound".into()), "an older commit is not there any more");
    fs::rename(tree.path("b.txt"), tree.path("c.txt")).unwrap();
    assert_ne!(tree.hub.stat(&repo(), "main", "a.txt").await.unwrap().commit, second, "names count");
}

#[tokio::test]
async fn what_changed_since_it_was_described_is_not_served() {
    let tree = Tree::new(&[("m.bin", &[1; 1_000_000])]);
    let meta = tree.hub.stat(&repo(), "main", "m.bin").await.unwrap();
    let stream = tree.hub.fetch(&repo(), &meta, 0).await.unwrap();
    let mut half = fs::OpenOptions::new().write(true).open(tree.path("m.bin")).unwrap();
    std::io::Write::write_all(&mut half, b"other").unwrap();
    drop(half);
    let during = stream.try_fold(0, |n, c| async move { Ok(n + c.len()) }).await.unwrap_err();
    assert_eq!(during.fault(), Fault::UpstreamLied, "changed under the reader");
    let after = tree.read(&meta, 0).await.unwrap_err();
    assert_eq!(after.fault(), Fault::UpstreamLied, "changed before the fetch");
    let now = tree.hub.stat(&repo(), "main", "m.bin").await.unwrap();
    assert_ne!(now.etag, meta.etag);
    assert_eq!(&tree.read(&now, 0).await.unwrap()[..6], b"other\x01");
}

#[tokio::test]
async fn nothing_outside_the_folder_is_reachable() {
    let tree = Tree::new(&[("a.txt", b"1"), ("d/b.txt", b"2")]);
    let secret = tree.dir.path().join("secret.txt");
    fs::write(&secret, "secret").unwrap();
    let outside = tree.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("f.txt"), "secret").unwrap();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, tree.path(name)).unwrap();
    link(&secret, "absolute.txt");
    link(Path::new("../../../../secret.txt"), "relative.txt");
    link(&outside, "folder");
    link(Path::new("d/b.txt"), "inside.txt");
    link(&tree.path("d/b.txt"), "inside-absolute.txt");
    std::os::unix::fs::symlink(&outside, tree.dir.path().join("hub/models/org/linked")).unwrap();
    for path in [
        "absolute.txt",
        "relative.txt",
        "folder/f.txt",
        "../../../../secret.txt",
        "d/../../../../../secret.txt",
        "/etc/passwd",
        "",
        ".",
        "d",
    ] {
        let error = tree.hub.stat(&repo(), "main", path).await.expect_err(path);
        assert_eq!(code(error), (404, "EntryNotFound".into()), "{path}");
    }
    for good in ["inside.txt", "inside-absolute.txt"] {
        let meta = tree.hub.stat(&repo(), "main", good).await.unwrap();
        assert_eq!(tree.read(&meta, 0).await.unwrap(), b"2", "{good}");
    }
    let linked = RepoId::new(RepoKind::Model, "org/linked").unwrap();
    assert_eq!(code(tree.hub.stat(&linked, "main", "f.txt").await.unwrap_err()).0, 404);
    assert!(tree.hub.check_access(&linked).await.is_err());
    // A link put in place of a file that was described already.
    let meta = tree.hub.stat(&repo(), "main", "a.txt").await.unwrap();
    fs::remove_file(tree.path("a.txt")).unwrap();
    link(&secret, "a.txt");
    assert!(tree.read(&meta, 0).await.is_err());
}

#[tokio::test]
async fn answers_have_the_shape_of_the_hub() {
    let tree = Tree::new(&[
        ("config.json", b"{}"),
        ("deep/er/x.txt", b"x"),
        ("deep/y.pkl", b"y"),
        (".hub.json", b"{}"),
        (".git/config", b"x"),
        (".gitattributes", b"*.bin filter=lfs"),
    ]);
    let info = tree.api(Route::Info, "", "").await;
    let names: Vec<_> =
        info["siblings"].as_array().unwrap().iter().map(|s| s["rfilename"].as_str().unwrap()).collect();
    assert_eq!(names, [".gitattributes", "config.json", "deep/er/x.txt", "deep/y.pkl"]);
    assert_eq!(
        (&info["id"], &info["private"], &info["gated"]),
        (&"org/name".into(), &false.into(), &false.into())
    );
    assert_eq!(info["siblings"][0].as_object().unwrap().len(), 1);
    let commit = info["sha"].as_str().unwrap().to_owned();

    let blobs = tree.api(Route::Revision, &commit, "blobs=true").await;
    assert_eq!(blobs["siblings"][1]["size"], 2);
    assert!(blobs["siblings"][3]["lfs"]["sha256"].as_str().unwrap().len() == 64);

    let top = tree.api(Route::Tree, "main", "recursive=false").await;
    let shown: Vec<_> = top
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["type"].as_str().unwrap(), e["path"].as_str().unwrap()))
        .collect();
    assert_eq!(shown, [("file", ".gitattributes"), ("file", "config.json"), ("directory", "deep")]);
    let all = tree.api(Route::Tree, "main", "recursive=true&expand=false").await;
    assert_eq!(all.as_array().unwrap().len(), 6);
    assert!(all.as_array().unwrap().iter().all(|e| e.get("xetHash").is_none()));

    let refs = tree.api(Route::Refs, "", "").await;
    assert_eq!(refs["branches"][0]["targetCommit"], commit);
    assert_eq!(tree.api(Route::Commits, "main", "").await[0]["id"], commit);
    assert_eq!(tree.api(Route::AuthCheck, "", "").await, serde_json::json!({}));

    let mut request = MetaRequest::get(repo(), Route::PathsInfo, "main");
    request.method = Method::Post;
    request.body = "paths=deep&paths=config.json&paths=none&expand=True".into();
    let paths = tree.hub.api(&request).await.unwrap().json().unwrap();
    assert_eq!((&paths[0]["type"], &paths[1]["path"]), (&"directory".into(), &"config.json".into()));
    assert_eq!((paths.as_array().unwrap().len(), &paths[1]["lastCommit"]["id"]), (2, &commit.clone().into()));
    request.body = r#"{"paths":["config.json"]}"#.into();
    request.content_type = Some("application/json".into());
    assert_eq!(tree.hub.api(&request).await.unwrap().json().unwrap()[0]["oid"].as_str().unwrap().len(), 40);

    let missing = tree.hub.api(&MetaRequest::get(repo(), Route::Tree, "v9")).await.unwrap();
    assert_eq!((missing.status, missing.error_code.as_deref()), (404, Some("RevisionNotFound")));
    let other = RepoId::new(RepoKind::Model, "org/none").unwrap();
    let missing = tree.hub.api(&MetaRequest::get(other, Route::Info, "")).await.unwrap();
    assert_eq!((missing.status, missing.error_code.as_deref()), (404, Some("RepoNotFound")));

    let list = tree.hub.list(RepoKind::Model, "search=NAM").await.unwrap().json().unwrap();
    assert_eq!(list[0]["id"], "org/name");
    assert_eq!(
        tree.hub.list(RepoKind::Model, "author=else").await.unwrap().json().unwrap(),
        serde_json::json!([])
    );
    assert_eq!(tree.hub.list(RepoKind::Space, "").await.unwrap().json().unwrap(), serde_json::json!([]));
    assert_eq!(tree.hub.warm().await.unwrap(), 1);
}

#[tokio::test]
async fn long_listings_come_in_pages() {
    let names: Vec<String> = (0..1205).map(|n| format!("f{n:04}.txt")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b"x"[..])).collect();
    let tree = Tree::new(&files);
    let mut request = MetaRequest::get(repo(), Route::Tree, "main");
    request.query = "recursive=true&expand=false".into();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let page = tree.hub.api(&request).await.unwrap();
        let entries = page.json().unwrap();
        seen.extend(entries.as_array().unwrap().iter().map(|e| e["path"].as_str().unwrap().to_owned()));
        match page.next_query() {
            Some(query) => request.query = query,
            None => break,
        }
    }
    assert_eq!(seen, names);
    request.query = "recursive=true&expand=true&cursor=1200".into();
    assert_eq!(tree.hub.api(&request).await.unwrap().json().unwrap().as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn digests_outlive_the_process_but_not_a_change() {
    let tree = Tree::new(&[("config.json", b"{}"), ("a.bin", b"weights")]);
    let (root, kept) = (tree.dir.path().join("hub"), tree.dir.path().join("kept"));
    let stat = async |file: &str| {
        let hub = DirHub::open(&root, Some(kept.clone())).unwrap();
        hub.stat(&repo(), "main", file).await.unwrap()
    };
    let first = stat("a.bin").await;
    let place = fs::read_dir(&kept).unwrap().next().unwrap().unwrap().path();
    // Read from there: a digest changed by hand comes back, and so does the commit.
    let digest = first.sha256.unwrap().to_hex();
    let text = fs::read_to_string(&place).unwrap();
    fs::write(&place, text.replace(&digest, &"0".repeat(64))).unwrap();
    let second = stat("a.bin").await;
    assert_eq!((second.sha256.unwrap().0, &second.commit), ([0; 32], &first.commit));
    // A changed file is hashed again, others are not.
    fs::write(tree.path("a.bin"), b"other weights").unwrap();
    let third = stat("a.bin").await;
    assert_ne!(third.commit, first.commit);
    assert!(![[0; 32], first.sha256.unwrap().0].contains(&third.sha256.unwrap().0));
    // What does not parse is as good as nothing.
    fs::write(&place, "{").unwrap();
    assert_eq!(stat("a.bin").await.commit, third.commit);
}
