use super::*;
use sha2::Digest;

async fn store(dir: &std::path::Path, max: Option<u64>) -> BlobStore {
    BlobStore::open(&DataDir::open(dir).unwrap(), max).await.unwrap()
}

async fn put(store: &BlobStore, bytes: &[u8]) -> BlobGuard {
    let mut writer = store.spool_writer(Expected::default(), 1 << 20).unwrap();
    writer.write(bytes).unwrap();
    writer.finish().unwrap().keep().await.unwrap()
}

fn sha(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest(sha2::Sha256::digest(bytes).into())
}

fn spool_is_empty(dir: &std::path::Path) -> bool {
    fs::read_dir(dir.join("spool")).unwrap().next().is_none()
}

#[tokio::test]
async fn content_is_found_under_its_digest_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = store(dir.path(), None).await;
        let guard = put(&store, b"hello").await;
        assert_eq!(guard.sha256(), sha(b"hello"));
        assert_eq!(io::read_to_string(guard.file().unwrap()).unwrap(), "hello");
    }
    let store = store(dir.path(), None).await;
    let guard = store.open_blob(sha(b"hello")).unwrap().unwrap();
    assert_eq!((guard.len(), store.usage()), (5, (5, 1)));
    assert!(store.open_blob(sha(b"other")).unwrap().is_none());
    assert!(spool_is_empty(dir.path()));
}

#[tokio::test]
async fn a_lying_upstream_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), None).await;
    let finish = |expected: Expected| {
        let mut writer = store.spool_writer(expected, 100).unwrap();
        writer.write(b"hello").unwrap();
        writer.finish()
    };
    // `printf hello | git hash-object --stdin`
    let oid = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0".to_owned();
    let good = Expected { size: Some(5), sha256: Some(sha(b"hello")), git_oid: Some(oid.clone()) };
    assert!(finish(good).is_ok());
    for bad in [
        Expected { size: Some(6), ..Expected::default() },
        Expected { sha256: Some(sha(b"other")), ..Expected::default() },
        Expected { size: Some(5), git_oid: Some(oid.replace('b', "c")), ..Expected::default() },
    ] {
        assert!(finish(bad).unwrap_err().is_mismatch());
    }
    assert_eq!(store.usage(), (0, 0));
    assert!(spool_is_empty(dir.path()));
}

#[tokio::test]
async fn nothing_longer_than_announced_or_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), None).await;
    let mut writer = store.spool_writer(Expected { size: Some(3), ..Expected::default() }, 100).unwrap();
    assert!(matches!(writer.write(b"four"), Err(StoreError::TooLong { limit: 3 })));
    let mut writer = store.spool_writer(Expected::default(), 3).unwrap();
    assert!(writer.write(b"four").is_err());
    let announced = Expected { size: Some(101), ..Expected::default() };
    assert!(store.spool_writer(announced, 100).is_err());
}

#[tokio::test]
async fn eviction_takes_the_longest_unused_and_never_one_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), Some(10)).await;
    let served = put(&store, b"aaaaa").await;
    drop(put(&store, b"bbbbb").await);
    drop(store.open_blob(sha(b"bbbbb")).unwrap());
    drop(put(&store, b"ccccc").await);
    assert!(store.open_blob(sha(b"bbbbb")).unwrap().is_none(), "the idle one went");
    assert_eq!(io::read_to_string(served.file().unwrap()).unwrap(), "aaaaa", "the one in use stayed");
    let big = put(&store, b"dddddddddddd").await;
    assert!(big.file().is_ok(), "over the limit, but in use");
    let (clone, sha_a) = (served.clone(), served.sha256());
    drop(served);
    assert!(clone.file().is_ok(), "a clone holds it too");
    drop(clone);
    assert!(store.open_blob(sha_a).unwrap().is_none(), "evicted when the last guard went");
}

#[tokio::test]
async fn a_changed_or_foreign_blob_is_absent() {
    let dir = tempfile::tempdir().unwrap();
    let path = |bytes: &[u8]| {
        let name = sha(bytes).to_hex();
        dir.path().join("blobs").join(&name[..2]).join(name)
    };
    {
        let store = store(dir.path(), None).await;
        drop(put(&store, b"hello").await);
        fs::write(path(b"hello"), b"hell").unwrap();
        assert!(store.open_blob(sha(b"hello")).unwrap().is_none());
        drop(put(&store, b"world").await);
        fs::write(path(b"world"), b"worl").unwrap();
    }
    fs::create_dir_all(path(b"planted").parent().unwrap()).unwrap();
    fs::write(path(b"planted"), b"planted").unwrap();
    let store = store(dir.path(), None).await;
    assert!(store.open_blob(sha(b"world")).unwrap().is_none());
    assert!(store.open_blob(sha(b"planted")).unwrap().is_none());
    assert!(!path(b"planted").exists());
}

#[tokio::test]
async fn in_use_is_not_removed_by_hand_either() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), None).await;
    let guard = put(&store, b"x").await;
    assert!(!store.remove(sha(b"x")).unwrap());
    drop(guard);
    assert!(store.remove(sha(b"x")).unwrap());
    assert!(!store.remove(sha(b"x")).unwrap());
}
