//! URLs: read by ranges through a scan worker that has no network.

use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Serves one file under every path, with ranges, and counts the bytes of bodies sent.
struct Server {
    address: String,
    sent: Arc<AtomicU64>,
}

fn server(bytes: Vec<u8>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    let bytes = Arc::new(bytes);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (bytes, counted) = (bytes.clone(), counted.clone());
            std::thread::spawn(move || while answer(&stream, &bytes, &counted).is_some() {});
        }
    });
    Server { address, sent }
}

fn answer(stream: &TcpStream, bytes: &[u8], sent: &AtomicU64) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next()?.ok()?;
    let mut range = None;
    for line in lines {
        let line = line.ok()?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("range: bytes=") {
            let (from, to) = value.split_once('-')?;
            let to = to.parse().unwrap_or(bytes.len() - 1).min(bytes.len() - 1);
            range = Some((from.parse::<usize>().ok()?, to));
        }
    }
    let (from, to) = range.unwrap_or((0, bytes.len() - 1));
    let body = &bytes[from..=to];
    let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
    let mut head = format!(
        "HTTP/1.1 {status}\r\nAccept-Ranges: bytes\r\nETag: \"one\"\r\nContent-Length: {}\r\n",
        body.len()
    );
    if range.is_some() {
        head.push_str(&format!("Content-Range: bytes {from}-{to}/{}\r\n", bytes.len()));
    }
    let mut stream = stream;
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    if !request.starts_with("HEAD") {
        stream.write_all(body).ok()?;
        sent.fetch_add(body.len() as u64, Ordering::Relaxed);
    }
    Some(())
}

#[test]
fn a_url_is_judged_by_ranges() {
    let server = server(MALICIOUS.to_vec());
    let url = format!("http://{}/acme/model.pkl", server.address);
    let (code, value) = scan_json(Path::new(&url), &[]);
    assert_eq!(code, 1, "{value:#}");
    let file = &value["files"][0];
    assert_eq!((&file["path"], &file["verdict"]), (&url.into(), &"malicious".into()));
    assert_eq!(file["findings"][0]["evidence"], "posix.system('id')");
}

/// A safetensors file of 40 MiB of zeros.
fn large() -> Vec<u8> {
    let size = 40 << 20;
    let header = format!(r#"{{"w":{{"dtype":"U8","shape":[{size}],"data_offsets":[0,{size}]}}}}"#);
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + size, 0);
    bytes
}

#[test]
fn of_a_large_file_little_is_fetched_unless_its_digest_is_wanted() {
    let bytes = large();
    let server = server(bytes.clone());
    let url = format!("http://{}/model.safetensors", server.address);
    let (code, value) = scan_json(Path::new(&url), &[]);
    assert_eq!((code, &value["files"][0]["verdict"]), (0, &"clean".into()), "{value:#}");
    let fetched = server.sent.load(Ordering::Relaxed);
    assert!(fetched < 4 << 20, "fetched {fetched} bytes");
    let (_, value) = scan_json(Path::new(&url), &["--hash"]);
    use sha2::Digest;
    let digest: String = sha2::Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(value["files"][0]["sha256"], digest);
}

#[test]
fn a_url_that_does_not_answer_is_unreadable() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/model.pkl");
    let (code, value) = scan_json(Path::new(&url), &[]);
    assert_eq!(code, 2);
    assert_eq!(value["errors"][0]["path"], url);
    assert_eq!(scan_json(Path::new("hf://nonsense"), &[]).0, 2);
}

/// A gate in front of a folder; killed when dropped.
struct Gate {
    child: Child,
    url: String,
    /// Keeps reading the log, so that the gate never waits for it.
    _log: std::thread::JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gate(folder: &Path) -> Gate {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weighbridge"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("WEIGHBRIDGE_")) {
        command.env_remove(name);
    }
    let upstream = format!("dir:{}", folder.join("hub").display());
    command.current_dir(folder).args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--log-format",
        "json",
        "--data",
        "data",
    ]);
    let mut child = command.args(["--upstream", &upstream]).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut seen = String::new();
    let address = loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the gate ended:\n{seen}");
        seen.push_str(&line);
        let Ok(entry) = serde_json::from_str::<Value>(&line) else { continue };
        if entry["fields"]["message"] == "listening" {
            break entry["fields"]["address"].as_str().unwrap().to_string();
        }
    };
    let sink = Arc::new(Mutex::new(Vec::new()));
    let _log = std::thread::spawn(move || drop(log.read_to_end(&mut sink.lock().unwrap())));
    Gate { child, url: format!("http://{address}"), _log }
}

#[test]
fn a_repository_is_judged_file_by_file_also_through_a_gate() {
    let dir = folder(&[
        ("hub/models/acme/bert/list.pkl", CLEAN),
        ("hub/models/acme/bert/deep/thing.pkl", UNKNOWN_CLASS),
        ("hub/models/acme/evil/model.pkl", MALICIOUS),
        ("policy.toml", b"[organisations]\ndeny = [\"acme\"]"),
    ]);
    let gate = gate(dir.path());
    let scan = |url: &str, flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weighbridge"));
        command.env("HF_ENDPOINT", &gate.url).env_remove("HF_TOKEN").env_remove("WEIGHBRIDGE_POLICY");
        let out = command.args(["scan", "--format", "json", url]).args(flags).output().unwrap();
        let value: Value =
            serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&out.stderr)));
        (code(&out), value)
    };
    let (code, value) = scan("hf://acme/bert", &[]);
    let paths: Vec<&str> =
        value["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["hf://acme/bert/deep/thing.pkl", "hf://acme/bert/list.pkl"], "{value:#}");
    assert_eq!(code, 0);
    assert_eq!(scan("hf://acme/bert/list.pkl", &["--fail-on", "warn"]).0, 0);
    assert_eq!(scan("hf://acme/bert", &["--include", "*/thing.pkl", "--fail-on", "warn"]).0, 1);
    // A policy sees the repository a URL names.
    let policy = dir.path().join("policy.toml");
    let (code, value) = scan("hf://acme/bert/list.pkl", &["--policy", policy.to_str().unwrap()]);
    assert_eq!((code, &value["files"][0]["clause"]), (1, &"organisations.deny".into()));
    // The gate lets nobody read what it refuses, not even by ranges.
    let (code, value) = scan("hf://acme/evil/model.pkl", &[]);
    assert_eq!(code, 2, "{value:#}");
}
