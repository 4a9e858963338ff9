//! What is checked of every request before any route sees it: that it names
//! this very address, that no web page makes it, and, where the peer's user
//! cannot be known, that it brings the token.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use std::{net::SocketAddr, sync::Arc};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Bytes of a token at most.
const MAX_TOKEN: usize = 512;
/// What a browser adds to every request that a page makes.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A bearer token. Never printed but on purpose.
#[derive(Clone)]
pub struct Token(Arc<Zeroizing<String>>);

impl Token {
    /// 256 random bits, in hexadecimal.
    ///
    /// # Errors
    /// If the machine has no randomness.
    pub fn generate() -> std::io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut()).map_err(std::io::Error::other)?;
        Ok(Self(Arc::new(Zeroizing::new(hex::encode(bytes.as_ref())))))
    }

    /// One that was given: 16 to 512 printable ASCII characters, no spaces.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = Zeroizing::new(text.into());
        let fits = (16..=MAX_TOKEN).contains(&text.len());
        (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(Arc::new(text)))
    }

    /// The secret.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let Some((scheme, given)) = value.as_bytes().split_at_checked(7) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(given.ct_eq(self.0.as_bytes()))
    }
}

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What is demanded.
#[derive(Clone)]
pub(crate) struct Rules {
    /// The address, as a URL has it: `127.0.0.1:7601`, `[::1]:7601`.
    pub(crate) authority: Arc<str>,
    pub(crate) token: Option<Token>,
    /// Paths below this are capabilities of their own: whoever knows one has
    /// been told it. The SDK sends no token there.
    pub(crate) capabilities: &'static str,
}

impl Rules {
    pub(crate) fn new(address: SocketAddr, token: Option<Token>) -> Self {
        Self {
            authority: address.to_string().into(),
            token,
            capabilities: "/sp1/",
        }
    }

    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        if headers.contains_key(header::ORIGIN) || headers.contains_key(FETCH_SITE) {
            return Err(Refused::WebPage);
        }
        if !self.names_us(uri, headers) {
            return Err(Refused::Host);
        }
        match &self.token {
            Some(token) if !uri.path().starts_with(self.capabilities) => {
                if token.is_in(headers) {
                    Ok(())
                } else {
                    Err(Refused::Token)
                }
            }
            _ => Ok(()),
        }
    }

    /// Every name that the request gives this server is the literal address.
    fn names_us(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().map(HeaderValue::as_bytes);
        if hosts.next().is_some() {
            return false;
        }
        let us = self.authority.as_bytes();
        match (uri.authority(), host) {
            (None, None) => false,
            (named, host) => {
                named.is_none_or(|named| named.as_str().as_bytes() == us)
                    && host.is_none_or(|host| host == us)
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    WebPage,
    Host,
    Token,
}

impl Refused {
    /// gRPC clients read these as PermissionDenied and Unauthenticated.
    fn response(self, rules: &Rules) -> Response {
        let (status, text) = match self {
            Self::WebPage => (
                StatusCode::FORBIDDEN,
                "requests of web pages are not accepted here".into(),
            ),
            Self::Host => (
                StatusCode::FORBIDDEN,
                format!("use http://{} literally", rules.authority),
            ),
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                "the bearer token that soundproof connect printed is missing or wrong".into(),
            ),
        };
        tracing::warn!(why = ?self, "a request was refused");
        (status, text).into_response()
    }
}

/// The layer.
pub(crate) async fn guard(State(rules): State<Rules>, request: Request, next: Next) -> Response {
    match rules.check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.response(&rules),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: &str = "127.0.0.1:7601";

    fn check(rules: &Rules, uri: &str, headers: &[(&str, &str)]) -> Result<(), Refused> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        rules.check(&uri.parse().unwrap(), &map)
    }

    /// Broken if a name that was rebound to loopback, or a page, gets in.
    #[test]
    fn only_the_literal_address_and_no_web_page() {
        let rules = Rules::new(US.parse().unwrap(), None);
        let get = |headers: &[(&str, &str)]| check(&rules, "/x", headers);
        assert_eq!(get(&[("host", US)]), Ok(()));
        assert_eq!(check(&rules, "http://127.0.0.1:7601/x", &[]), Ok(()));
        for host in [
            "evil.example",
            "evil.example:7601",
            "localhost:7601",
            "127.0.0.1",
            "127.0.0.1:7602",
            "127.0.0.2:7601",
            "127.0.0.1:07601",
            "127.0.0.1:7601.evil.example",
            "user@127.0.0.1:7601",
            "",
        ] {
            assert_eq!(get(&[("host", host)]), Err(Refused::Host), "{host}");
        }
        assert_eq!(get(&[]), Err(Refused::Host));
        assert_eq!(get(&[("host", US), ("host", US)]), Err(Refused::Host));
        let both = check(&rules, "http://evil.example/x", &[("host", US)]);
        assert_eq!(both, Err(Refused::Host));
        let both = check(
            &rules,
            "http://127.0.0.1:7601/x",
            &[("host", "evil.example")],
        );
        assert_eq!(both, Err(Refused::Host));
        for origin in ["null", "http://127.0.0.1:7601", "https://evil.example", ""] {
            let headers = [("host", US), ("origin", origin)];
            assert_eq!(get(&headers), Err(Refused::WebPage), "{origin}");
        }
        let headers = [("host", US), ("sec-fetch-site", "none")];
        assert_eq!(get(&headers), Err(Refused::WebPage));
        let rules = Rules::new("[::1]:7601".parse().unwrap(), None);
        assert_eq!(check(&rules, "/", &[("host", "[::1]:7601")]), Ok(()));
        assert_eq!(check(&rules, "/", &[("host", US)]), Err(Refused::Host));
    }

    #[test]
    fn where_a_token_is_demanded_it_must_be_this_one() {
        let token = Token::generate().unwrap();
        let bearer = format!("Bearer {}", token.expose());
        let longer = format!("{bearer}0");
        let rules = Rules::new(US.parse().unwrap(), Some(token.clone()));
        let call = |path: &str, auth: &[&str]| {
            let mut headers = vec![("host", US)];
            headers.extend(auth.iter().map(|value| ("authorization", *value)));
            check(&rules, path, &headers)
        };
        assert_eq!(call("/network.ProverNetwork/GetNonce", &[&bearer]), Ok(()));
        for wrong in [
            &[][..],
            &["Bearer "],
            &["Bearer 00"],
            &[&longer],
            &[token.expose()],
            &[&bearer, &bearer],
        ] {
            let refused = call("/network.ProverNetwork/GetNonce", wrong);
            assert_eq!(refused, Err(Refused::Token));
        }
        // The path itself is 256 bits that only the token's owner was told.
        assert_eq!(call("/sp1/artifacts/00", &[]), Ok(()));
        assert!(Token::new("short").is_none());
        assert!(Token::new("with a space in it").is_none());
        assert!(Token::new("0123456789abcdef").is_some());
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
