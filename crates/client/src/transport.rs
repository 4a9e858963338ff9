//! HTTP: one pool of connections to one server under one TLS key, replies
//! bounded before they are read, problems turned into [`Error`].

use crate::{Error, endpoint::Endpoint, error::clean, pin::Pin};
use bytes::Bytes;
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, HeaderValue},
};
use soundproof_protocol::{
    api::{ACCESS_HEADER, Problem},
    digest::Digest,
    error::Code,
    ticket::AccessSecret,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// Bytes of a problem document at most.
const MAX_PROBLEM: usize = 64 * 1024;
/// Bytes of a job's view or a page of them at most.
pub(crate) const MAX_JSON: usize = 8 * 1024 * 1024;
/// How long a quick call may take in all.
const QUICK: Duration = Duration::from_secs(60);
/// How long a connection may stay silent while bytes are due.
const SILENCE: Duration = Duration::from_secs(120);

/// What a transport is made of.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) endpoint: Endpoint,
    pub(crate) api_key: Option<Zeroizing<String>>,
}

/// One pool of connections.
pub(crate) struct Transport {
    pub(crate) endpoint: Endpoint,
    http: reqwest::Client,
    pin: Option<Arc<Pin>>,
    authorization: Option<HeaderValue>,
}

impl Transport {
    /// `key`: the SHA-256 of the only SubjectPublicKeyInfo that connections
    /// may have; `None` takes the first that is seen, for opening a session.
    pub(crate) fn new(settings: &Settings, key: Option<Digest>) -> Result<Self, Error> {
        let endpoint = settings.endpoint.clone();
        let mut builder = reqwest::Client::builder()
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(SILENCE)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("soundproof/", env!("CARGO_PKG_VERSION")));
        if endpoint.is_loopback() {
            let loopback = [
                SocketAddr::from(([127, 0, 0, 1], 0)),
                SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0)),
            ];
            builder = builder.no_proxy().resolve_to_addrs("localhost", &loopback);
        }
        let pin = endpoint.is_tls().then(|| Pin::new(key));
        builder = match &pin {
            Some(pin) => {
                let config = pin
                    .client_config()
                    .map_err(|_| Error::Internal("TLS cannot be set up"))?;
                builder.tls_backend_preconfigured(config).https_only(true)
            }
            // Never used, but the library must not look for roots.
            None => builder.tls_backend_preconfigured(
                Pin::new(key)
                    .client_config()
                    .map_err(|_| Error::Internal("TLS cannot be set up"))?,
            ),
        };
        let authorization = match &settings.api_key {
            Some(key) => {
                let text = Zeroizing::new(format!("Bearer {}", key.as_str()));
                let mut value = HeaderValue::from_str(&text).map_err(|_| Error::Refused {
                    call: "reading the API key",
                    code: Code::Unauthenticated,
                    detail: Some("it holds characters that no key has".into()),
                    retry_after_s: None,
                })?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self {
            endpoint,
            http: builder
                .build()
                .map_err(|_| Error::Internal("the HTTP client cannot be set up"))?,
            pin,
            authorization,
        })
    }

    /// SHA-256 of the SubjectPublicKeyInfo that every connection of this
    /// transport has; `None` on plain HTTP and before the first connection.
    pub(crate) fn tls_key(&self) -> Option<Digest> {
        self.pin.as_ref().and_then(|pin| pin.key())
    }

    /// A request with credentials, to be sent by [`Transport::send`].
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        access: Option<&AccessSecret>,
    ) -> Result<RequestBuilder, Error> {
        let mut request = self
            .http
            .request(method, self.endpoint.url(path)?)
            .timeout(QUICK);
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        if let Some(access) = access {
            let text = Zeroizing::new(hex(access.as_bytes()));
            let mut value = HeaderValue::from_str(&text)
                .map_err(|_| Error::Internal("an access secret is not a header"))?;
            value.set_sensitive(true);
            request = request.header(ACCESS_HEADER, value);
        }
        Ok(request)
    }

    /// Sends it; whatever is no success is an error.
    pub(crate) async fn send(
        &self,
        call: &'static str,
        request: RequestBuilder,
    ) -> Result<Response, Error> {
        let response = request
            .send()
            .await
            .map_err(|error| self.network(call, &error))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.problem(call, response).await)
        }
    }

    /// Reads a body of at most `max` bytes.
    pub(crate) async fn body(
        &self,
        call: &'static str,
        mut response: Response,
        max: usize,
    ) -> Result<Vec<u8>, Error> {
        let too_long = || Error::Reply {
            call,
            what: format!("it is longer than {max} bytes"),
        };
        let announced = response.content_length().unwrap_or(0);
        if announced > max as u64 {
            return Err(too_long());
        }
        let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
        loop {
            let piece: Option<Bytes> = response
                .chunk()
                .await
                .map_err(|error| self.network(call, &error))?;
            let Some(piece) = piece else { break };
            if body.len() + piece.len() > max {
                return Err(too_long());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// Sends and reads a JSON reply.
    pub(crate) async fn json<T: serde::de::DeserializeOwned>(
        &self,
        call: &'static str,
        request: RequestBuilder,
    ) -> Result<T, Error> {
        let response = self.send(call, request).await?;
        let body = self.body(call, response, MAX_JSON).await?;
        serde_json::from_slice(&body).map_err(|_| Error::Reply {
            call,
            what: "it is not the JSON that this call answers with".into(),
        })
    }

    /// A broken connection, or one whose key was refused.
    pub(crate) fn network(&self, call: &'static str, error: &reqwest::Error) -> Error {
        if error.is_connect() && self.pin.as_ref().is_some_and(|pin| pin.has_refused()) {
            return Error::TlsPin("the connection's key is not the one that was vouched for");
        }
        // The innermost cause says what; the outer ones repeat the URL.
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let cause = if error.is_timeout() {
            "no answer in time".into()
        } else {
            clean(&cause.to_string())
        };
        Error::Unreachable { call, cause }
    }

    async fn problem(&self, call: &'static str, response: Response) -> Error {
        let status = response.status();
        let header_wait = response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let body = match self.body(call, response, MAX_PROBLEM).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        let problem: Option<Problem> = serde_json::from_slice(&body).ok();
        let code = problem
            .as_ref()
            .and_then(|problem| Code::from_name(&problem.code));
        match (problem, code) {
            (Some(problem), Some(code)) => Error::Refused {
                call,
                code,
                detail: problem.detail.as_deref().map(clean),
                retry_after_s: problem.retry_after_s.or(header_wait),
            },
            _ if is_transient(status) => Error::Unreachable {
                call,
                cause: format!("HTTP status {}", status.as_u16()),
            },
            _ => Error::Reply {
                call,
                what: format!("HTTP status {} without a problem document", status.as_u16()),
            },
        }
    }
}

/// What proxies in between answer when the server behind them is not there.
fn is_transient(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

impl core::fmt::Debug for Transport {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Transport({})", self.endpoint)
    }
}
