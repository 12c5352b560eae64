//! `weighbridge demo`: the main job on real files, without network or set-up.
//!
//! A hub made of small real model files and poisoned ones is written to a temporary folder, a gate is started in
//! front of it, every file is pulled as a client would, and the gate stays up to be tried with real clients.

mod files;
mod pull;

use crate::out;
use anyhow::{Context, Result};
use files::FILES;
use pull::{Pulled, Puller};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use wb_policy::Action;

const USUAL_PORT: u16 = 8080;
/// Columns of the table that the cause may take before it goes on in the next line.
const WHY_WIDTH: usize = 74;

/// Show the main job: real and poisoned models pulled through a gate.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Stop after the table; exit 1 if any outcome is not the expected one
    #[arg(long)]
    once: bool,
    /// Port to listen on; a free one is taken if it is busy
    #[arg(long, default_value_t = USUAL_PORT)]
    port: u16,
}

/// Runs the demo.
pub fn run(args: &Args) -> Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(demo(args))
}

async fn demo(args: &Args) -> Result<ExitCode> {
    // Heard from now on: whatever ends the demo, its files go with it.
    let on = |kind| signal(kind).context("cannot listen for signals");
    let (mut interrupt, mut terminate) = (on(SignalKind::interrupt())?, on(SignalKind::terminate())?);
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let hub = folder.path().join("hub");
    files::write_hub(&hub)?;
    let running = start(args.port, &hub, folder.path()).await?;
    let base = running.url();
    let mut watched = out::print(&format!(
        "A gate is listening on {base}, in front of a hub of {} real and poisoned files.\n\n{}\n",
        FILES.len(),
        row("FILE", "VERDICT", "DECISION", "READ", "TIME")
    ))?;

    let puller = Puller::new(base.clone(), running.admin_token.clone())?;
    let mut wrong = Vec::new();
    for file in FILES {
        let name = format!("{}/{}", file.repo.trim_start_matches("demo/"), file.path);
        let pulled = puller.pull(file).await?;
        watched &= out::print(&show(&name, &pulled))?;
        if pulled.action != file.expected || !pulled.intact {
            wrong.push(format!("{name}: expected {}, got {}", file.expected, pulled.action));
        }
    }
    let blocked = FILES.iter().filter(|f| f.expected == Action::Block).count();
    let (code, outcome) = if wrong.is_empty() {
        let as_expected =
            format!("All {} outcomes as expected: {blocked} refused, the others byte for byte.", FILES.len());
        (ExitCode::SUCCESS, as_expected)
    } else {
        (ExitCode::from(1), format!("NOT as expected:\n  {}", wrong.join("\n  ")))
    };
    watched &= out::print(&format!("\n{outcome}\n"))?;
    // A gate that nobody was told of is not kept.
    if !args.once && watched && out::print(&invitation(&base, &folder.path().join("data/admin-token")))? {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    running.stop().await?;
    Ok(code)
}

async fn start(port: u16, hub: &std::path::Path, folder: &std::path::Path) -> Result<wb_gateway::Running> {
    let config = |port: u16| {
        let mut config = wb_gateway::Config::new(format!("dir:{}", hub.display()), folder.join("data"));
        config.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        config
    };
    match wb_gateway::spawn(config(port)).await {
        Ok(running) => Ok(running),
        Err(wb_gateway::Error::Listen { .. }) if port != 0 => {
            wb_gateway::spawn(config(0)).await.context("cannot start the gate")
        }
        Err(e) => Err(e).context("cannot start the gate"),
    }
}

fn row(file: &str, verdict: &str, decision: &str, read: &str, time: &str) -> String {
    format!("{file:<36} {verdict:<11} {decision:<9} {read:>8} {time:>8}")
}

fn show(name: &str, pulled: &Pulled) -> String {
    let read = format!("{} B", pulled.bytes_read);
    let time = format!("{:.1} ms", pulled.took.as_secs_f64() * 1e3);
    let mut out = row(name, &pulled.verdict, pulled.action.name(), &read, &time);
    out.push('\n');
    // The report link ends every text; the table is easier to read without it.
    let why = pulled.why.split("; report: ").next().unwrap_or_default();
    // Warnings begin with a topic, so that clients print each once.
    let why = why.strip_prefix("weighbridge ").and_then(|w| w.split_once("; ")).map_or(why, |(_, text)| text);
    for line in wrap(why, WHY_WIDTH) {
        let _ = writeln!(out, "    {line}");
    }
    out
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

fn invitation(base: &str, token: &std::path::Path) -> String {
    format!(
        "\nTry it yourself, in another terminal:\n\
         \n  pip install huggingface_hub\
         \n  HF_ENDPOINT={base} hf download demo/bert-safetensors\
         \n  HF_ENDPOINT={base} hf download demo/poisoned-torch\
         \n  curl -H \"Authorization: Bearer $(cat {})\" {base}/api/v1/decisions\n\
         \nCtrl-C stops the gate and removes its files.\n",
        token.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_hub_can_be_made() {
        let folder = tempfile::tempdir().unwrap();
        files::write_hub(folder.path()).unwrap();
        for file in FILES {
            let path = folder.path().join("models").join(file.repo).join(file.path);
            assert_eq!(std::fs::read(path).unwrap(), file.bytes().unwrap());
        }
        assert!(FILES.iter().any(|f| f.expected == Action::Block));
        assert!(FILES.iter().any(|f| f.expected == Action::Allow));
    }

    #[test]
    fn long_texts_are_wrapped_between_words() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert!(wrap("", 5).is_empty());
    }
}
