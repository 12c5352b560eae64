//! Who stands behind a reverse proxy: `X-Forwarded-For`, believed only from proxies that are configured.

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Puts the client's address in the place of the proxy's, for everything behind this layer.
pub async fn see_through(trusted: Arc<[IpNet]>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    if let Some(peer) = peer {
        let address = client(peer.ip(), request.headers(), &trusted);
        if address != peer.ip().to_canonical() {
            // The port belongs to the proxy's connection, not to the client.
            request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address, 0)));
        }
    }
    next.run(request).await
}

/// The nearest address that is no trusted proxy. Each proxy appends whom it heard from, so the list is read from its
/// end; what lies beyond the first untrusted address anybody may have written, and is ignored.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_proxy = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let mut nearest = peer.to_canonical();
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_proxy(nearest) {
            break;
        }
        let Some(address) = address(hop.trim()) else { break };
        nearest = address;
    }
    nearest
}

/// `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]:443`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip()))?;
    Some(IpAddr::to_canonical(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "::1/128"].map(|n| n.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        client(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_trusted_proxy_says_who_asks() {
        assert_eq!(seen("10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(seen("::1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(seen("::ffff:10.0.0.1", &["::ffff:192.0.2.7"]), "192.0.2.7");
        assert_eq!(seen("10.0.0.1", &["192.0.2.7, 10.0.0.9"]), "192.0.2.7", "two proxies");
        assert_eq!(seen("10.0.0.1", &["192.0.2.7", "10.0.0.9"]), "192.0.2.7", "two lines");
    }

    #[test]
    fn nobody_else_is_believed() {
        assert_eq!(seen("192.0.2.1", &["192.0.2.7"]), "192.0.2.1", "not a proxy");
        assert_eq!(seen("10.0.0.1", &["127.0.0.1, 192.0.2.7"]), "192.0.2.7", "written by the client itself");
        assert_eq!(seen("10.0.0.1", &["192.0.2.7, unknown"]), "10.0.0.1", "no address");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1", "no header");
    }
}
