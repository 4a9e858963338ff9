//! Where a server is, and whether it may be spoken to in the clear.

use crate::Error;
use reqwest::Url;
use std::net::IpAddr;

/// A server's base URL that passed the rules: https, or http to loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    base: Url,
}

impl Endpoint {
    /// `danger_plain_http` lets plain HTTP go anywhere.
    pub(crate) fn parse(text: &str, danger_plain_http: bool) -> Result<Self, Error> {
        let mut base = Url::parse(text).map_err(|_| Error::Url("the server's URL is no URL"))?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(Error::Url("credentials do not belong in the server's URL"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(Error::Url("the server's URL has a query or fragment"));
        }
        match base.scheme() {
            "https" => {}
            "http" if danger_plain_http || is_loopback(&base) => {}
            "http" => {
                return Err(Error::Url(
                    "plain http is for this machine's loopback address only",
                ));
            }
            _ => return Err(Error::Url("the server's URL is neither https nor http")),
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        Ok(Self { base })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.base.scheme() == "https"
    }

    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.base)
    }

    /// The URL of `path`, which is one of ours and relative.
    pub(crate) fn url(&self, path: &str) -> Result<Url, Error> {
        self.base
            .join(path)
            .map_err(|_| Error::Url("the server's URL cannot be a base"))
    }
}

impl core::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.base.as_str().trim_end_matches('/'))
    }
}

/// An address literal of loopback, or `localhost`, which the transport never
/// asks a resolver about (RFC 6761, 6.3).
fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || literal.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        for good in [
            "http://127.0.0.1:80",
            "http://[::1]:8080/x",
            "http://localhost:1",
            "https://prover.example/base",
        ] {
            assert!(Endpoint::parse(good, false).is_ok(), "{good}");
        }
        // If one of these passed, a witness could go over the wire under a
        // key that nobody checked a connection for.
        for bad in [
            "http://prover.example",
            "http://10.0.0.1",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "http://[::2]",
            "ftp://127.0.0.1",
            "https://key@prover.example",
            "https://prover.example/?x=1",
            "nonsense",
        ] {
            assert!(Endpoint::parse(bad, false).is_err(), "{bad}");
        }
        assert!(Endpoint::parse("http://10.0.0.1", true).is_ok());
    }

    #[test]
    fn paths_are_joined_below_the_base() {
        let endpoint = Endpoint::parse("https://prover.example/base", false).unwrap();
        assert_eq!(
            endpoint.url("v1/jobs").unwrap().as_str(),
            "https://prover.example/base/v1/jobs"
        );
        assert_eq!(endpoint.to_string(), "https://prover.example/base");
    }
}
