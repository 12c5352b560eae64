//! Flags, environment and file become one set of settings.

use super::{Args, LogFormat};
use anyhow::{Context, Result, bail};
use clap::parser::ValueSource;
use clap::{ArgMatches, ValueEnum};
use ipnet::IpNet;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use wb_gateway::{Config, Tls};

/// A number of bytes: `1048576`, `500MB`, `20 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SizeInFile")]
pub struct Size(pub u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum SizeInFile {
    Bytes(u64),
    Text(String),
}

impl TryFrom<SizeInFile> for Size {
    type Error = String;
    fn try_from(value: SizeInFile) -> Result<Self, String> {
        match value {
            SizeInFile::Bytes(n) => Ok(Self(n)),
            SizeInFile::Text(text) => text.parse(),
        }
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is no size; write e.g. 1048576, 500MB or 20GiB");
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            _ => return Err(wrong()),
        };
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

/// A network, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(IpNet);

impl FromStr for Network {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        net.map(Self).map_err(|_| format!("{text} is no network; write e.g. 10.0.0.0/8 or 192.0.2.1"))
    }
}

impl TryFrom<String> for Network {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// `weighbridge.toml`. Its keys are the long flags with underscores; an unknown key is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    upstream: Option<String>,
    listen: Option<SocketAddr>,
    data: Option<PathBuf>,
    policy: Option<PathBuf>,
    public_url: Option<String>,
    trusted_proxy: Option<Vec<Network>>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    spool_max: Option<Size>,
    upstream_host: Option<Vec<String>>,
    jobs: Option<NonZeroUsize>,
    workers: Option<NonZeroUsize>,
    metrics_public: Option<bool>,
    upload_max: Option<Size>,
    log_format: Option<LogFormat>,
    log: Option<String>,
}

/// Reads the file named, or `weighbridge.toml` if it lies in the working folder.
pub fn read_file(named: Option<&Path>) -> Result<File> {
    let usual = Path::new("weighbridge.toml");
    let path = match named {
        Some(path) => path,
        None if usual.is_file() => usual,
        None => return Ok(File::default()),
    };
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    toml::from_str(&text).with_context(|| format!("{shown} is not usable"))
}

/// A value and where it comes from.
struct Set<T> {
    value: T,
    from: &'static str,
}

/// All settings.
pub struct Settings {
    upstream: Set<Option<String>>,
    listen: Set<SocketAddr>,
    data: Set<Option<PathBuf>>,
    policy: Set<Option<PathBuf>>,
    public_url: Set<Option<String>>,
    trusted_proxy: Set<Vec<Network>>,
    tls_cert: Set<Option<PathBuf>>,
    tls_key: Set<Option<PathBuf>>,
    spool_max: Set<u64>,
    upstream_host: Set<Vec<String>>,
    jobs: Set<Option<NonZeroUsize>>,
    workers: Set<Option<NonZeroUsize>>,
    metrics_public: Set<bool>,
    upload_max: Set<Option<u64>>,
    log_format: Set<LogFormat>,
    log: Set<String>,
}

/// Puts the layers together. `matches` tells flags from environment variables.
pub fn merge(args: Args, file: File, matches: Option<&ArgMatches>) -> Settings {
    let source = |id: &str| match matches.and_then(|m| m.value_source(id)) {
        Some(ValueSource::EnvVariable) => "environment",
        _ => "flag",
    };
    fn pick<T>(given: Option<T>, given_from: &'static str, file: Option<T>) -> Set<Option<T>> {
        match (given, file) {
            (Some(value), _) => Set { value: Some(value), from: given_from },
            (None, Some(value)) => Set { value: Some(value), from: "file" },
            (None, None) => Set { value: None, from: "default" },
        }
    }
    fn or<T>(set: Set<Option<T>>, default: T) -> Set<T> {
        Set { from: set.from, value: set.value.unwrap_or(default) }
    }
    let hosts = (!args.upstream_host.is_empty()).then_some(args.upstream_host);
    let proxies = (!args.trusted_proxy.is_empty()).then_some(args.trusted_proxy);
    let bytes = |s: Set<Option<Size>>| Set { value: s.value.map(|n| n.0), from: s.from };
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    Settings {
        upstream: pick(args.upstream, source("upstream"), file.upstream),
        listen: or(pick(args.listen, source("listen"), file.listen), local),
        data: pick(args.data, source("data"), file.data),
        policy: pick(args.policy, source("policy"), file.policy),
        public_url: pick(args.public_url, source("public_url"), file.public_url),
        trusted_proxy: or(pick(proxies, source("trusted_proxy"), file.trusted_proxy), Vec::new()),
        tls_cert: pick(args.tls_cert, source("tls_cert"), file.tls_cert),
        tls_key: pick(args.tls_key, source("tls_key"), file.tls_key),
        spool_max: or(bytes(pick(args.spool_max, source("spool_max"), file.spool_max)), 0),
        upstream_host: or(pick(hosts, source("upstream_host"), file.upstream_host), Vec::new()),
        jobs: pick(args.jobs, source("jobs"), file.jobs),
        workers: pick(args.workers, source("workers"), file.workers),
        metrics_public: or(pick(args.metrics_public, source("metrics_public"), file.metrics_public), false),
        upload_max: bytes(pick(args.upload_max, source("upload_max"), file.upload_max)),
        log_format: or(pick(args.log_format, source("log_format"), file.log_format), LogFormat::Text),
        log: or(pick(args.log, source("log"), file.log), "info".into()),
    }
}

impl Settings {
    pub fn log(&self) -> &str {
        &self.log.value
    }

    pub fn log_format(&self) -> LogFormat {
        self.log_format.value
    }

    /// The settings as a configuration file; what is not set is a comment.
    pub fn print(&self) -> String {
        let mut out = String::new();
        let mut line = |key: &str, value: Option<toml::Value>, from: &str| match value {
            Some(value) => out.push_str(&format!("{key} = {value}  # {from}\n")),
            None => out.push_str(&format!("# {key} is not set\n")),
        };
        let path = |p: &Option<PathBuf>| p.as_ref().map(|p| toml::Value::from(p.display().to_string()));
        let text = |t: &Option<String>| t.clone().map(toml::Value::from);
        let number = |n: u64| i64::try_from(n).ok().map(toml::Value::from);
        let count = |n: Option<NonZeroUsize>| n.and_then(|n| number(n.get() as u64));
        line("upstream", text(&self.upstream.value), self.upstream.from);
        line("listen", Some(self.listen.value.to_string().into()), self.listen.from);
        line("data", path(&self.data.value), self.data.from);
        line("policy", path(&self.policy.value), self.policy.from);
        line("public_url", text(&self.public_url.value), self.public_url.from);
        let proxies: Vec<String> = self.trusted_proxy.value.iter().map(|n| n.0.to_string()).collect();
        line("trusted_proxy", Some(proxies.into()), self.trusted_proxy.from);
        line("tls_cert", path(&self.tls_cert.value), self.tls_cert.from);
        line("tls_key", path(&self.tls_key.value), self.tls_key.from);
        line("spool_max", number(self.spool_max.value), self.spool_max.from);
        line("upstream_host", Some(self.upstream_host.value.clone().into()), self.upstream_host.from);
        line("jobs", count(self.jobs.value), self.jobs.from);
        line("workers", count(self.workers.value), self.workers.from);
        line("metrics_public", Some(self.metrics_public.value.into()), self.metrics_public.from);
        line("upload_max", self.upload_max.value.and_then(number), self.upload_max.from);
        let form = self.log_format.value.to_possible_value().map(|v| v.get_name().to_string());
        line("log_format", form.map(toml::Value::from), self.log_format.from);
        line("log", Some(self.log.value.clone().into()), self.log.from);
        out
    }

    /// The gate's configuration.
    pub fn config(self) -> Result<Config> {
        let Some(upstream) = self.upstream.value else {
            bail!("where do models come from? add --upstream https://huggingface.co, or --upstream dir:PATH");
        };
        let Some(data) = self.data.value else {
            bail!("where may the gate keep its data? add --data DIR");
        };
        let tls = match (self.tls_cert.value, self.tls_key.value) {
            (Some(cert), Some(key)) => Some(Tls { cert, key }),
            (None, None) => None,
            _ => bail!("--tls-cert and --tls-key belong together; one is missing"),
        };
        let mut config = Config::new(upstream, data);
        config.listen = self.listen.value;
        config.upstream_hosts = self.upstream_host.value;
        config.policy = self.policy.value;
        config.public_url = self.public_url.value;
        config.trusted_proxies = self.trusted_proxy.value.iter().map(|n| n.0).collect();
        config.tls = tls;
        config.spool_max = self.spool_max.value;
        config.metrics_public = self.metrics_public.value;
        if let Some(n) = self.jobs.value {
            config.jobs = n.get();
        }
        if let Some(n) = self.workers.value {
            config.workers.workers = n.get();
        }
        if let Some(n) = self.upload_max.value {
            config.upload_max = n;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!("20 GiB".parse(), Ok(Size(20 << 30)));
        assert_eq!("500MB".parse(), Ok(Size(500_000_000)));
        assert_eq!("7".parse(), Ok(Size(7)));
        for wrong in ["", "GiB", "-1", "1.5GB", "99999999TiB", "5 parsecs"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn proxies_are_networks_or_addresses() {
        assert_eq!("192.0.2.1".parse::<Network>(), "192.0.2.1/32".parse());
        assert!("10.0.0.0/8".parse::<Network>().is_ok());
        for wrong in ["", "10.0.0.0/33", "proxy.example.org"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_example_is_usable_as_it_stands_and_with_every_line_of_it() {
        let text = include_str!("../../../../weighbridge.example.toml");
        let plain: File = toml::from_str(text).unwrap();
        assert_eq!(plain.spool_max, Some(Size(500 << 30)));
        // A key that is a comment begins right behind `# ` and has ` = `.
        let is_key = |l: &str| {
            l.split_once(" = ").is_some_and(|(k, _)| k.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        };
        let all: Vec<&str> =
            text.lines().map(|l| l.strip_prefix("# ").filter(|k| is_key(k)).unwrap_or(l)).collect();
        let full: File = toml::from_str(&all.join("\n")).unwrap();
        assert!(full.policy.is_some() && full.tls_key.is_some() && full.log_format == Some(LogFormat::Json));
        assert_eq!((full.workers.map(|n| n.get()), full.metrics_public), (Some(4), Some(false)));
    }

    #[test]
    fn an_unknown_key_in_the_file_is_an_error() {
        let error = toml::from_str::<File>("upstraem = 'x'").unwrap_err().to_string();
        assert!(error.contains("upstraem") && error.contains("line 1"), "{error}");
    }
}
