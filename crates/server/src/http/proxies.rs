//! Who sent a request and how they named us, forwarded headers included when a configured proxy
//! vouches for them (D12).

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use hyper::HeaderMap;
use hyper::header::HOST;
use ipnet::IpNet;

/// What is known of a request before it is routed.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    /// The client's address.
    pub address: IpAddr,
    /// `http://host:port`, without the port when it is the scheme's own.
    pub origin: String,
    /// The id of the request: the client's, or a fresh one.
    pub request_id: String,
}

impl RequestInfo {
    /// What the service found out about the request; for the one handler that needs it.
    ///
    /// # Panics
    /// If the request did not come through the service, which no route can.
    #[must_use]
    pub fn take(request: &mut Request) -> Self {
        request.extensions_mut().remove().expect("every request comes through the service")
    }
}

/// How a connection came in.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The other end.
    pub peer: SocketAddr,
    /// Whether it is encrypted.
    pub tls: bool,
}

/// Finds the client's address and the origin that links begin with; `None` when the host is not
/// one that could be written into a link.
pub fn find_origin(
    headers: &HeaderMap,
    authority: Option<&str>,
    connection: Connection,
    trusted: &[IpNet],
) -> Option<(IpAddr, String)> {
    let peer = connection.peer.ip().to_canonical();
    let vouched = trusted.iter().any(|network| network.contains(&peer));
    let forwarded = |name: &str| {
        // Some proxies append to the client's line, some add a line of their own: last is theirs.
        let value = headers.get_all(name).iter().next_back().filter(|_| vouched)?.to_str().ok()?;
        Some(value.split(',').next_back().unwrap_or(value).trim())
    };
    // A proxy that knows only the one header passes the client's own word in the other.
    let address = forwarded("x-forwarded-for")
        .or_else(|| forwarded("x-real-ip"))
        .and_then(|text| text.parse::<IpAddr>().ok())
        .unwrap_or(peer);
    let scheme = match forwarded("x-forwarded-proto") {
        Some("https") => "https",
        Some("http") => "http",
        _ if connection.tls => "https",
        _ => "http",
    };
    let own = headers.get(HOST).map(|host| host.to_str()).transpose().ok()?;
    if headers.get_all(HOST).iter().nth(1).is_some() {
        return None;
    }
    // A target that names a host counts more than the header (RFC 9112, 3.2.2).
    let host = forwarded("x-forwarded-host").or(authority).or(own)?;
    let named = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    if host.is_empty() || !named {
        return None;
    }
    let host = match forwarded("x-forwarded-port") {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{}:{port}", without_port(host))
        }
        _ => host.to_owned(),
    };
    let own_port = if scheme == "https" { ":443" } else { ":80" };
    Some((address, format!("{scheme}://{}", host.strip_suffix(own_port).unwrap_or(&host))))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The client's request id without what does not belong into one, or a fresh one
/// (contract, protocol 1.4).
pub fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get("x-request-id").map(hyper::header::HeaderValue::as_bytes);
    let kept: String = given
        .unwrap_or_default()
        .iter()
        .map(|byte| char::from(*byte))
        .filter(|c| c.is_ascii_alphanumeric() || ['_', '-', '@'].contains(c))
        .take(255)
        .collect();
    if kept.is_empty() { uuid::Uuid::new_v4().to_string() } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn origin(
        headers: &[(&'static str, &'static str)],
        trusted: &str,
        tls: bool,
    ) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let trusted: Vec<IpNet> = trusted.split(',').filter_map(|net| net.parse().ok()).collect();
        let connection = Connection { peer: ([192, 0, 2, 7], 4000).into(), tls };
        find_origin(&map, None, connection, &trusted)
            .map(|(from, origin)| format!("{from} {origin}"))
    }

    #[test]
    fn links_use_the_requests_host_and_scheme() {
        let here = |text: &str| Some(format!("192.0.2.7 {text}"));
        assert_eq!(origin(&[("host", "example.org")], "", false), here("http://example.org"));
        assert_eq!(origin(&[("host", "example.org:80")], "", false), here("http://example.org"));
        assert_eq!(origin(&[("host", "example.org:80")], "", true), here("https://example.org:80"));
        assert_eq!(origin(&[("host", "a.b:8443")], "", false), here("http://a.b:8443"));
        assert_eq!(origin(&[("host", "a\"b")], "", false), None);
        assert_eq!(origin(&[("host", "a"), ("host", "a")], "", false), None);
        assert_eq!(origin(&[], "", false), None);
    }

    #[test]
    fn only_configured_proxies_speak_for_others() {
        let headers = [
            ("host", "inner"),
            ("x-forwarded-host", "pub.example.net"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-for", "203.0.113.9, 198.51.100.4"),
        ];
        assert_eq!(origin(&headers, "", false).unwrap(), "192.0.2.7 http://inner");
        assert_eq!(
            origin(&headers, "192.0.2.0/24", false).unwrap(),
            "198.51.100.4 https://pub.example.net"
        );
        let added = [("host", "h"), ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "9.8.7.6")];
        assert_eq!(origin(&added, "192.0.2.0/24", false).unwrap(), "9.8.7.6 http://h");
    }

    #[test]
    fn request_ids_keep_only_plain_characters() {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_static("a b$%c_d-e"));
        assert_eq!(request_id(&headers), "abc_d-e");
        headers.insert("x-request-id", HeaderValue::from_static("$$"));
        assert_eq!(request_id(&headers).len(), 36);
    }
}
