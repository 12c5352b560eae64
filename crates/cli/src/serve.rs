//! `weighbridge serve`
//!
//! A setting comes from its flag, else from its environment variable, else from the configuration file,
//! else it is the default. `--print-config` shows what came of it and from where.

mod settings;

use anyhow::{Context, Result};
use clap::{ArgMatches, ValueEnum};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run the gate.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where models come from: https://huggingface.co, or dir:PATH for a folder tree
    #[arg(long, env = "WEIGHBRIDGE_UPSTREAM", value_name = "URL|dir:PATH")]
    upstream: Option<String>,
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, env = "WEIGHBRIDGE_LISTEN", value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Folder for the store, the audit and the admin token
    #[arg(long, env = "WEIGHBRIDGE_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Policy file, or default, strict, observe [default: the profile `default`]
    #[arg(long, env = "WEIGHBRIDGE_POLICY", value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The gate's address as clients see it
    #[arg(long, env = "WEIGHBRIDGE_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// Reverse proxy whose X-Forwarded-For is believed: an address or a network
    #[arg(long, env = "WEIGHBRIDGE_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',')]
    trusted_proxy: Vec<settings::Network>,
    /// Certificate chain, if the gate itself speaks TLS
    #[arg(long, env = "WEIGHBRIDGE_TLS_CERT", value_name = "PEM")]
    tls_cert: Option<PathBuf>,
    /// Key of the certificate
    #[arg(long, env = "WEIGHBRIDGE_TLS_KEY", value_name = "PEM")]
    tls_key: Option<PathBuf>,
    /// Most that kept files may take, e.g. 500GiB; 0 means no limit [default: 0]
    #[arg(long, env = "WEIGHBRIDGE_SPOOL_MAX", value_name = "SIZE")]
    spool_max: Option<settings::Size>,
    /// Further host, or host:port, that redirects of the upstream may lead to
    #[arg(long, env = "WEIGHBRIDGE_UPSTREAM_HOST", value_name = "HOST[:PORT]", value_delimiter = ',')]
    upstream_host: Vec<String>,
    /// Files fetched and judged at the same time [default: 8]
    #[arg(long, env = "WEIGHBRIDGE_JOBS", value_name = "N")]
    jobs: Option<std::num::NonZeroUsize>,
    /// Scan workers [default: one per processor]
    #[arg(long, env = "WEIGHBRIDGE_WORKERS", value_name = "N")]
    workers: Option<std::num::NonZeroUsize>,
    /// Serve /metrics without the admin token
    #[arg(long, env = "WEIGHBRIDGE_METRICS_PUBLIC", num_args = 0..=1, default_missing_value = "true")]
    metrics_public: Option<bool>,
    /// Largest upload to the API [default: 1GiB]
    #[arg(long, env = "WEIGHBRIDGE_UPLOAD_MAX", value_name = "SIZE")]
    upload_max: Option<settings::Size>,
    /// Form of the log [default: text]
    #[arg(long, env = "WEIGHBRIDGE_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// What is logged, e.g. warn, debug, wb_gateway=debug [default: info]
    #[arg(long, env = "WEIGHBRIDGE_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// Configuration file [default: weighbridge.toml in the working folder, if there is one]
    #[arg(long, env = "WEIGHBRIDGE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the settings and where each comes from, and stop
    #[arg(long)]
    print_config: bool,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum LogFormat {
    Text,
    Json,
}

/// Runs the gate until it is told to stop.
pub fn run(args: Args, matches: &ArgMatches) -> Result<ExitCode> {
    let file = settings::read_file(args.config.as_deref())?;
    let print = args.print_config;
    let settings = settings::merge(args, file, matches.subcommand_matches("serve"));
    if print {
        crate::out::print(&settings.print())?;
        return Ok(ExitCode::SUCCESS);
    }
    log(&settings)?;
    let config = settings.config()?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(wb_gateway::serve(config))?;
    Ok(ExitCode::SUCCESS)
}

fn log(settings: &settings::Settings) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(settings.log())
        .with_context(|| format!("--log {} is no filter", settings.log()))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Whoever reads the log may go (a restarted journal, `| head`). Saying so on the same stream would panic.
    let log = log.log_internal_errors(false);
    // Colours are for people: a log in a file or a journal has none.
    let log = log.with_ansi(std::io::stderr().is_terminal());
    match settings.log_format() {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => log.init(),
    }
    Ok(())
}
