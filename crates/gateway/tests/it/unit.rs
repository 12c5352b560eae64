//! A repository as one unit: what a file names is judged before the file is released.

use crate::support::hub::{Hub, commit};
use crate::support::{self, HOSTILE, RUST, audit, before, before_with, events, get, head, safetensors};
use std::time::Duration;

const CONFIG: &str = r#"{"model_type": "x", "auto_map": {"AutoModel": "net.Net"}}"#;
const PLAIN: &str = "import torch\n\nclass Net(torch.nn.Module):\n    pass\n";
const EVIL: &str = "import os\nos.system('id')\n\nclass Net:\n    pass\n";
const INDEX: &str = r#"{"metadata": {}, "weight_map": {"a": "m-00001-of-00002.safetensors", "b": "m-00002-of-00002.safetensors"}}"#;

fn at(path: &str) -> String {
    format!("/acme/net/resolve/main/{path}")
}

/// A refusal that names the file to blame.
fn blames(answer: &support::Answer, file: &str) {
    let said = answer.header("x-error-message").unwrap_or_default();
    assert_eq!(answer.status, 403, "{said} {}", answer.text());
    assert!(said.contains(file) && said.contains("policy 'default'"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_waits_for_the_code_it_names() {
    let hub = Hub::start().await;
    hub.put("acme/net", "config.json", CONFIG, false);
    hub.put("acme/net", "net.py", "from .part import f\n\nclass Net:\n    pass\n", false);
    hub.put("acme/net", "part.py", EVIL, false);
    hub.put("acme/net", "README.md", "# net", false);
    let gate = before(&hub).await;
    for path in ["config.json", "net.py"] {
        let r = get(&at(path)).at(&gate).await;
        blames(&r, "part.py");
        assert!(r.header("x-error-message").unwrap().contains("WB-REP-004"));
        assert_eq!(get(&at(path)).agent(RUST).at(&gate).await.status, 403);
        assert_eq!(head(&at(path)).agent(RUST).at(&gate).await.status, 403);
    }
    // What has nothing to do with it arrives.
    assert_eq!(get(&at("README.md")).at(&gate).await.status, 200);
    assert_eq!(hub.seen("/net.py?etag"), 2, "HEAD and GET, once for all who ask");
    assert_eq!(events(&gate, "pull").await, 1);
    let rows = audit(&gate).await;
    let row = rows.iter().find(|r| r["entry"]["path"] == "config.json").unwrap();
    assert!(row["entry"]["detail"].as_str().unwrap().contains("part.py"), "{row}");

    // The same without the payload.
    hub.put("acme/net", "part.py", "def f():\n    return 1\n", false);
    hub.edit("acme/net", |r| r.commit = commit(2));
    let gate = before(&hub).await;
    for path in ["config.json", "net.py", "part.py"] {
        let r = get(&at(path)).at(&gate).await;
        assert_eq!(r.status, 200, "{path}: {}", r.text());
        assert!(r.header("x-hf-warning").unwrap().contains(path));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_waits_for_the_configuration_that_names_it() {
    let hub = Hub::start().await;
    let config = r#"{"model_type": "x", "auto_map": {"AutoModel": "net.Net", "AutoTokenizer": "tok.Tok"}}"#;
    hub.put("acme/net", "config.json", config, false);
    hub.put("acme/net", "net.py", PLAIN, false);
    hub.put("acme/net", "tok.py", EVIL, false);
    hub.put("acme/net", "train.py", PLAIN, false);
    let gate = before(&hub).await;
    blames(&get(&at("net.py")).at(&gate).await, "tok.py, which config.json names");
    assert_eq!(get(&at("train.py")).at(&gate).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_gives_up_does_not_stop_it() {
    let hub = Hub::start().await;
    hub.put("acme/net", "config.json", CONFIG, false);
    hub.put("acme/net", "net.py", PLAIN, true);
    hub.mood(|m| m.throttle = true);
    let gate = before_with(&hub, |c| {
        c.waiting.hold = Duration::from_millis(300);
        c.waiting.hold_others = Duration::from_millis(300);
    })
    .await;
    let r = get(&at("config.json")).at(&gate).await;
    assert_eq!(r.status, 307, "{}", r.text());
    assert_eq!(get(&at("config.json")).agent(RUST).at(&gate).await.status, 503);
    hub.shared.go.notify_one();
    for _ in 0..600 {
        let r = get(&at("config.json")).agent(RUST).at(&gate).await;
        if r.status != 503 {
            assert_eq!(r.status, 200, "{}", r.text());
            assert_eq!(hub.seen("cdn GET"), 1);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never done");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_upstream_does_not_give_is_a_gap() {
    let hub = Hub::start().await;
    hub.put("acme/net", "config.json", CONFIG, false);
    hub.put("acme/net", "net.py", PLAIN, true);
    hub.mood(|m| m.redirect = Some("http://192.0.2.1/x".into()));
    let gate = before(&hub).await;
    let r = get(&at("config.json")).at(&gate).await;
    blames(&r, "net.py, which it names, could not be judged");
    assert!(r.header("x-error-message").unwrap().contains("repository.partial"));
    hub.mood(|m| m.redirect = None);
    assert_eq!(get(&at("config.json")).at(&gate).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_of_another_repository_is_judged_under_the_same_policy() {
    let hub = Hub::start().await;
    let config = r#"{"model_type": "x", "auto_map": {"AutoModel": "acme/other--net.Net"}}"#;
    hub.put("acme/net", "config.json", config, false);
    hub.put("acme/other", "net.py", "from .part import f\n\nclass Net:\n    pass\n", false);
    hub.put("acme/other", "part.py", EVIL, false);
    let folder = tempfile::tempdir().unwrap();
    let policy = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("name = \"default\"\n[rules]\n\"WB-DIR-009\" = \"warn\"\n{text}"))
            .unwrap();
        path
    };
    // By itself such a name is refused.
    blames(&get(&at("config.json")).at(&before(&hub).await).await, "another repository");
    let open = policy("open.toml", "");
    let gate = before_with(&hub, |c| c.policy = Some(open.clone())).await;
    blames(&get(&at("config.json")).at(&gate).await, "part.py of acme/other");
    hub.put("acme/other", "part.py", "def f():\n    return 1\n", false);
    hub.edit("acme/other", |r| r.commit = commit(2));
    let gate = before_with(&hub, |c| c.policy = Some(open)).await;
    let r = get(&at("config.json")).at(&gate).await;
    assert_eq!(r.status, 200, "{}", r.text());
    let denies = policy("denies.toml", "[models]\ndeny = [\"acme/other\"]\n");
    let gate = before_with(&hub, |c| c.policy = Some(denies)).await;
    blames(&get(&at("config.json")).at(&gate).await, "acme/other is denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_held_against_its_shards() {
    let (one, two) = ("m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors");
    let hub = Hub::start().await;
    hub.put("acme/net", "m.safetensors.index.json", INDEX, false);
    hub.put("acme/net", one, safetensors(40_000_000), true);
    hub.put("acme/net", two, HOSTILE, true);
    let gate = before(&hub).await;
    blames(&get(&at("m.safetensors.index.json")).at(&gate).await, two);
    // Looked at by ranges, not fetched: 8 MiB at most of each.
    assert!((2..=20).contains(&hub.seen("cdn GET")), "{}", hub.seen("cdn GET"));
    assert_eq!(events(&gate, "pull").await, 0);

    hub.put("acme/net", two, safetensors(1000), true);
    hub.edit("acme/net", |r| r.commit = commit(2));
    let gate = before(&hub).await;
    let r = get(&at("m.safetensors.index.json")).at(&gate).await;
    assert_eq!((r.status, r.header("x-hf-warning")), (200, None), "{}", r.text());
    hub.edit("acme/net", |r| {
        r.files.remove(two);
        r.commit = commit(3);
    });
    let gate = before(&hub).await;
    let r = get(&at("m.safetensors.index.json")).at(&gate).await;
    assert_eq!(r.status, 200);
    assert!(r.header("x-hf-warning").unwrap().contains(two));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_front_of_a_folder() {
    let tree = tempfile::tempdir().unwrap();
    for (name, code) in [("net", EVIL), ("good", PLAIN)] {
        let folder = tree.path().join("models/acme").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.json"), CONFIG).unwrap();
        std::fs::write(folder.join("net.py"), code).unwrap();
    }
    let data = tempfile::tempdir().unwrap();
    let config = support::config(&format!("dir:{}", tree.path().display()), data.path());
    let gate = support::start(config, data).await;
    blames(&get(&at("config.json")).at(&gate).await, "net.py, which it names, is refused");
    let r = get("/acme/good/resolve/main/config.json").at(&gate).await;
    assert_eq!(r.status, 200, "{}", r.text());
}
