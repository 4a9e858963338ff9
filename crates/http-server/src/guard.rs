//! What is looked at in every request, and said in every response.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, Uri, header};
use std::net::IpAddr;

/// Whether a request names this host by a loopback address. Without TLS nobody
/// vouches for the name that a browser thinks it is talking to: a page whose
/// name was rebound to loopback is found out by this.
pub fn names_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return false;
    }
    match (uri.authority(), host) {
        (Some(authority), None) => loopback_authority(authority.as_str().as_bytes()),
        (None, Some(host)) => loopback_authority(host),
        (Some(authority), Some(host)) => {
            loopback_authority(authority.as_str().as_bytes()) && loopback_authority(host)
        }
        (None, None) => false,
    }
}

/// `127.x.y.z`, `[::1]` or `localhost`, with or without a port.
pub fn loopback_authority(authority: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(authority) else {
        return false;
    };
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|digit| digit.is_ascii_digit());
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return port_fits && is_loopback_address(address);
    }
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    is_port(port) && (name.eq_ignore_ascii_case("localhost") || is_loopback_address(name))
}

fn is_loopback_address(text: &str) -> bool {
    text.parse::<IpAddr>()
        .is_ok_and(|address| address.is_loopback())
}

/// No browser guesses what the response is, and nobody keeps it unless it says
/// for itself how long.
pub fn harden(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_loopback() {
        for good in [
            "127.0.0.1",
            "127.0.0.1:80",
            "127.9.9.9:65535",
            "localhost:1",
            "[::1]:7600",
            "[::1]",
            "LOCALHOST",
        ] {
            assert!(loopback_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "evil@127.0.0.1",
            "127.0.0.1:80:80",
            "127.0.0.1:x",
            "[::1",
            "[::1]x",
            "[::2]",
            "::1",
            "10.0.0.1",
            "2130706433",
            "0.0.0.0",
        ] {
            assert!(!loopback_authority(bad.as_bytes()), "{bad}");
        }
        assert!(!loopback_authority(&[0xff, 0xfe]));
    }

    #[test]
    fn every_name_in_a_request_counts() {
        let headers = |hosts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_static(host));
            }
            headers
        };
        let path = Uri::from_static("/v1/info");
        let whole = Uri::from_static("http://localhost/v1/info");
        let evil = Uri::from_static("http://evil.example/v1/info");
        assert!(names_loopback(&path, &headers(&["localhost"])));
        assert!(names_loopback(&whole, &headers(&[])));
        assert!(names_loopback(&whole, &headers(&["127.0.0.1:1"])));
        assert!(!names_loopback(&path, &headers(&[])));
        assert!(!names_loopback(
            &path,
            &headers(&["localhost", "localhost"])
        ));
        assert!(!names_loopback(&whole, &headers(&["evil.example"])));
        assert!(!names_loopback(&evil, &headers(&["localhost"])));
    }
}
