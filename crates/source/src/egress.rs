//! Where requests may go.
//!
//! A model hub answers with redirects, so whoever controls an answer could send the gate anywhere:
//! to a metadata service, to the local network (CWE-918). Every hop is therefore checked twice:
//! the URL's host and port against [`EgressPolicy`], and, after DNS resolution, every address that
//! would be dialled. There is no gap between check and use: the connector dials what it resolved.

use crate::{Result, SourceError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use url::{Host, Url};

/// One entry of `--upstream-host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRule {
    /// Any public https host on any port. For URLs that a person typed, never for a gate.
    AnyPublic,
    /// `example.org`, `*.hf.co`, `cdn-lfs*.huggingface.co`: default port, public addresses only.
    /// `*` stands for any characters but the dot, a leading `*.` for one or more labels.
    Pattern(String),
    /// `host:port`: exactly this, whatever address it resolves to.
    Exact {
        /// Lower-case host name or address without brackets.
        host: String,
        /// Port.
        port: u16,
    },
}

impl FromStr for HostRule {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self> {
        let bad =
            || SourceError::Request(format!("not a host rule: {text:?}; expected host, *.host or host:port"));
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() || text.contains(['/', '@', ' ']) {
            return Err(bad());
        }
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(Self::Exact { host: addr.ip().to_string(), port: addr.port() });
        }
        match text.rsplit_once(':') {
            Some((host, port)) => {
                let port = port.parse().map_err(|_| bad())?;
                if host.is_empty() || host.contains(['*', ':']) {
                    return Err(bad());
                }
                Ok(Self::Exact { host: host.into(), port })
            }
            None => Ok(Self::Pattern(text)),
        }
    }
}

/// The hosts that requests may go to. The upstream's own origin is always among them.
#[derive(Debug, Clone)]
pub struct EgressPolicy {
    rules: Vec<HostRule>,
    http: bool,
}

/// How an allowed URL may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dial {
    /// Only to globally routable addresses.
    PublicOnly,
    /// To whatever the name resolves to: exactly this host and port was listed.
    Listed,
}

impl EgressPolicy {
    /// The hosts the Hugging Face Hub redirects to.
    pub const HUB_HOSTS: [&'static str; 5] =
        ["huggingface.co", "hf.co", "*.hf.co", "cdn-lfs*.huggingface.co", "*.xethub.hf.co"];

    /// A policy of these rules; `http` also admits plain http (only if the upstream is http).
    pub fn new(rules: Vec<HostRule>, http: bool) -> Self {
        Self { rules, http }
    }

    /// The defaults for an upstream: its own origin and, for the Hub itself, [`Self::HUB_HOSTS`];
    /// `extra` is what `--upstream-host` lists.
    pub fn for_upstream(upstream: &Url, extra: &[HostRule]) -> Self {
        let host = plain_host(upstream).unwrap_or_default();
        let port = upstream.port_or_known_default().unwrap_or(443);
        let mut rules: Vec<_> = Self::HUB_HOSTS.iter().map(|h| HostRule::Pattern((*h).into())).collect();
        let hub = rules.iter().any(|rule| rule.matches(&host, port, upstream.scheme()));
        if !hub {
            // An operator who configures an upstream in the own network means it.
            rules = vec![HostRule::Exact { host, port }];
        }
        rules.extend(extra.iter().cloned());
        Self { rules, http: upstream.scheme() == "http" }
    }

    /// May a request go to this URL, and how?
    pub(crate) fn check(&self, url: &Url) -> Result<Dial> {
        let refuse = |why: &str| {
            let shown = url.host_str().unwrap_or("(no host)");
            let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
            Err(SourceError::Forbidden(format!("{}://{shown}{port}: {why}", url.scheme())))
        };
        match url.scheme() {
            "https" => {}
            "http" if self.http => {}
            "http" => return refuse("plain http is not allowed"),
            _ => return refuse("only https is allowed"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("credentials in a url are not allowed");
        }
        let Some(host) = plain_host(url) else { return refuse("no host") };
        let Some(port) = url.port_or_known_default() else { return refuse("no port") };
        let exact =
            |r: &HostRule| matches!(r, HostRule::Exact { .. }) && r.matches(&host, port, url.scheme());
        if self.rules.iter().any(exact) {
            return Ok(Dial::Listed);
        }
        if !self.rules.iter().any(|r| r.matches(&host, port, url.scheme())) {
            return refuse(
                "host is not in the upstream host list (--upstream-host, WEIGHBRIDGE_UPSTREAM_HOST)",
            );
        }
        let literal = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            _ => None,
        };
        match literal {
            Some(ip) if !is_public(ip) => refuse("not a public address"),
            _ => Ok(Dial::PublicOnly),
        }
    }
}

impl HostRule {
    fn matches(&self, host: &str, port: u16, scheme: &str) -> bool {
        match self {
            Self::AnyPublic => true,
            Self::Exact { host: h, port: p } => h == host && *p == port,
            Self::Pattern(pattern) => {
                let default = if scheme == "https" { 443 } else { 80 };
                port == default && host_matches(pattern, host)
            }
        }
    }
}

/// The host in lower case, addresses without brackets, without a trailing dot.
pub(crate) fn plain_host(url: &Url) -> Option<String> {
    Some(match url.host()? {
        Host::Domain(name) => name.trim_end_matches('.').to_ascii_lowercase(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    })
}

fn host_matches(pattern: &str, host: &str) -> bool {
    if let Some(suffix) = pattern.strip_prefix("*.") {
        return host.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
    }
    match pattern.split_once('*') {
        None => pattern == host,
        Some((before, after)) => host
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|middle| !middle.contains('.')),
    }
}

/// True for globally routable unicast addresses only (IANA special-purpose registries, RFC 6890).
/// Addresses that embed an IPv4 address are judged by that address.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(matches!(a, 0 | 10 | 127) // this network, private, loopback
        || a >= 224 // multicast, reserved, broadcast
        || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT, RFC 6598
        || (a == 169 && b == 254) // link-local, cloud metadata services
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2)) // protocol assignments, documentation
        || (a == 192 && b == 88 && c == 99) // 6to4 relay anycast
        || (a == 198 && (b == 18 || b == 19)) // benchmarking
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113)
        || (a == 168 && b == 63 && c == 129)) // Azure's wire server lives in this public range
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let tail = || Ipv4Addr::from([(s[6] >> 8) as u8, s[6] as u8, (s[7] >> 8) as u8, s[7] as u8]);
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_v4(tail()), // NAT64, RFC 6052
        [0x2002, high, low, ..] => {
            // 6to4, RFC 3056
            is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        [0x2001, x, ..] if x < 0x200 => false, // protocol assignments, Teredo
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false, // documentation
        // Everything outside 2000::/3 is unspecified, loopback, local, link-local, multicast or unassigned.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> EgressPolicy {
        EgressPolicy::for_upstream(&Url::parse("https://huggingface.co").unwrap(), &[])
    }

    fn check(policy: &EgressPolicy, url: &str) -> bool {
        policy.check(&Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn hub_hosts() {
        for good in [
            "https://huggingface.co/x",
            "https://us.aws.cdn.hf.co/x?y",
            "https://cdn-lfs-us-1.huggingface.co/x",
            "https://cas-bridge.xethub.hf.co/x",
        ] {
            assert!(check(&hub(), good), "{good}");
        }
        for bad in [
            "http://huggingface.co/x",
            "https://huggingface.co:8443/x",
            "https://huggingface.co.evil.org/x",
            "https://evilhf.co/",
            "https://cdn-lfs.evil.huggingface.co/",
            "https://user:pw@huggingface.co/x",
            "ftp://huggingface.co/x",
            "https://127.0.0.1/",
        ] {
            assert!(!check(&hub(), bad), "{bad}");
        }
    }

    #[test]
    fn literal_addresses_in_every_spelling() {
        let any = EgressPolicy::new(vec![HostRule::AnyPublic], true);
        for bad in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[64:ff9b::10.0.0.1]/",
            "http://[2002:7f00:1::]/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://169.254.169.254/latest/meta-data",
            "http://100.100.100.200/",
            "http://0.0.0.0/",
            "http://168.63.129.16/",
            "http://[::]/",
        ] {
            assert!(!check(&any, bad), "{bad}");
        }
        assert!(check(&any, "http://93.184.216.34/"));
        assert!(check(&any, "https://[2606:4700::1111]/"));
    }

    #[test]
    fn only_the_exact_port_lifts_the_address_rule() {
        let rules = ["127.0.0.1:9101", "localhost:9101"].map(|r| r.parse().unwrap());
        let policy = EgressPolicy::for_upstream(&Url::parse("http://127.0.0.1:9100").unwrap(), &rules);
        assert!(check(&policy, "http://127.0.0.1:9100/a"));
        assert!(check(&policy, "http://127.0.0.1:9101/a"));
        assert!(check(&policy, "http://localhost:9101/a"));
        assert!(!check(&policy, "http://127.0.0.1:22/a"));
        assert!(!check(&policy, "http://localhost/a"));
    }

    #[test]
    fn rules_parse() {
        assert_eq!("[::1]:80".parse::<HostRule>().unwrap(), HostRule::Exact { host: "::1".into(), port: 80 });
        assert_eq!("*.HF.co".parse::<HostRule>().unwrap(), HostRule::Pattern("*.hf.co".into()));
        for bad in ["", "https://x", "a:b", "*.x:80", "a:99999"] {
            assert!(bad.parse::<HostRule>().is_err(), "{bad}");
        }
    }
}
