//! One bounded request: no redirects, no proxies but the operator's, no body
//! beyond its document's limit.

use crate::{config::SourceConfig, fault::Fault};
use reqwest::{
    Client, RequestBuilder, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::{Duration, UNIX_EPOCH},
};

/// Seconds that a source may ask to be left alone for at most.
const MAX_RETRY_AFTER: u64 = 24 * 3600;

/// What came.
pub(crate) struct Reply {
    pub(crate) body: Vec<u8>,
    pub(crate) headers: HeaderMap,
}

/// A source's end of the wire.
pub(crate) struct Http {
    pub(crate) base: Url,
    config: SourceConfig,
    client: OnceLock<Result<Client, String>>,
}

impl Http {
    /// Checks the URL; connects to nothing.
    ///
    /// # Errors
    /// What is wrong with the setting.
    pub(crate) fn new(config: &SourceConfig) -> Result<Self, String> {
        let base = base(&config.url)?;
        if let Some(proxy) = &config.proxy {
            reqwest::Proxy::all(proxy)
                .map_err(|_| format!("the proxy of {} is no URL", config.url))?;
        }
        Ok(Self {
            base,
            config: config.clone(),
            client: OnceLock::new(),
        })
    }

    /// Gets `path`, which is of this crate's making, below the base URL.
    pub(crate) async fn get(&self, path: &str, max: usize, now_ms: u64) -> Result<Reply, Fault> {
        self.get_url(self.url(path)?, max, now_ms).await
    }

    /// Gets a URL of the operator's or of this crate's constants.
    pub(crate) async fn get_url(&self, url: Url, max: usize, now_ms: u64) -> Result<Reply, Fault> {
        let request = self.client()?.get(url);
        self.answer(request, max, now_ms).await
    }

    /// Posts to `path`, likewise below the base URL.
    pub(crate) async fn post(
        &self,
        path: &str,
        kind: &'static str,
        body: Vec<u8>,
        max: usize,
        now_ms: u64,
    ) -> Result<Reply, Fault> {
        let url = self.url(path)?;
        let request = self
            .client()?
            .post(url)
            .header(CONTENT_TYPE, kind)
            .body(body);
        self.answer(request, max, now_ms).await
    }

    fn url(&self, path: &str) -> Result<Url, Fault> {
        self.base
            .join(path)
            .map_err(|_| Fault::Setup("its URL cannot be a base".into()))
    }

    async fn answer(
        &self,
        request: RequestBuilder,
        max: usize,
        now_ms: u64,
    ) -> Result<Reply, Fault> {
        let mut response = request.send().await.map_err(|error| self.lost(&error))?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS
            || (status == StatusCode::SERVICE_UNAVAILABLE
                && response.headers().contains_key(RETRY_AFTER))
        {
            let retry_after_s = retry_after(response.headers(), now_ms);
            return Err(Fault::Throttled { retry_after_s });
        }
        if status.is_redirection() {
            return Err(Fault::Redirected(status.as_u16()));
        }
        if status != StatusCode::OK {
            return Err(Fault::Status(status.as_u16()));
        }
        if response
            .content_length()
            .is_some_and(|announced| announced > max as u64)
        {
            return Err(Fault::TooLarge { max });
        }
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.lost(&error))? {
            if piece.len() > max.saturating_sub(body.len()) {
                return Err(Fault::TooLarge { max });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Reply { body, headers })
    }

    fn client(&self) -> Result<&Client, Fault> {
        self.client
            .get_or_init(|| build(&self.config, &self.base))
            .as_ref()
            .map_err(|why| Fault::Setup(why.clone()))
    }

    fn lost(&self, error: &reqwest::Error) -> Fault {
        if error.is_timeout() {
            Fault::Slow {
                ms: self.config.timeout_ms,
            }
        } else {
            Fault::Unreachable(innermost(error))
        }
    }
}

/// https to anywhere, http to loopback literals and `localhost`.
pub(crate) fn base(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|_| format!("{text:?} is no URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials do not belong in a source's URL".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{text} has a query or fragment"));
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        _ => return Err(format!("{text} must be https (http to loopback only)")),
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || literal.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn build(config: &SourceConfig, base: &Url) -> Result<Client, String> {
    let mut builder = Client::builder()
        .connect_timeout(config.timeout())
        .timeout(config.timeout())
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("soundproof/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = &config.bearer_file {
        let unreadable = || format!("{}: no bearer token", path.display());
        let token = std::fs::read_to_string(path).map_err(|_| unreadable())?;
        let mut value =
            HeaderValue::from_str(&format!("Bearer {}", token.trim())).map_err(|_| unreadable())?;
        value.set_sensitive(true);
        builder = builder.default_headers([(AUTHORIZATION, value)].into_iter().collect());
    }
    if let Some(proxy) = &config.proxy {
        let proxy = reqwest::Proxy::all(proxy).map_err(|_| "the proxy is no URL".to_owned())?;
        builder = builder.proxy(proxy);
    }
    if is_loopback(base) {
        let loopback = [
            SocketAddr::from(([127, 0, 0, 1], 0)),
            SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0)),
        ];
        builder = builder.resolve_to_addrs("localhost", &loopback);
    }
    if base.scheme() == "http" {
        // Never used, but the library must not look for roots.
        builder = builder.tls_backend_preconfigured(tls(RootCertStore::empty())?);
    } else {
        builder = builder.https_only(true);
        if let Some(path) = &config.ca {
            let unreadable = |why: String| format!("{}: {why}", path.display());
            let mut roots = RootCertStore::empty();
            let certificates = CertificateDer::pem_file_iter(path)
                .map_err(|error| unreadable(error.to_string()))?;
            for certificate in certificates {
                certificate
                    .map_err(|error| unreadable(error.to_string()))
                    .and_then(|der| {
                        roots
                            .add(der)
                            .map_err(|error| unreadable(error.to_string()))
                    })?;
            }
            if roots.is_empty() {
                return Err(unreadable("it holds no certificate".into()));
            }
            builder = builder.tls_backend_preconfigured(tls(roots)?);
        }
    }
    builder
        .build()
        .map_err(|error| format!("TLS cannot be set up ({}); set `ca`", innermost(&error)))
}

fn tls(roots: RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The innermost cause says what; the outer ones repeat the URL. Part of it
/// may be a stranger's words.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
        .to_string()
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now_ms: u64) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse::<u64>().ok().or_else(|| {
        let until = httpdate::parse_http_date(text).ok()?;
        let until = until.duration_since(UNIX_EPOCH).ok()?.as_secs();
        Some(until.saturating_sub(now_ms / 1000))
    })?;
    Some(seconds.min(MAX_RETRY_AFTER))
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
            "https://pccs.example:8081/sgx/certification/v4",
        ] {
            assert!(base(good).unwrap().path().ends_with('/'), "{good}");
        }
        for bad in [
            "http://pccs.example",
            "http://169.254.169.254/",
            "http://127.0.0.1.example",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
            "https://key@pccs.example",
            "https://pccs.example/?x=1",
            "nonsense",
        ] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wait_is_seconds_or_a_date_and_bounded() {
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, 784_111_777_000) // Sun, 06 Nov 1994 08:49:37 GMT
        };
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(asked("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(asked("99999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-1"), None);
    }
}
