//! What is checked of every request before any route sees it.

use crate::{
    app::App,
    body,
    metrics::RouteLabels,
    problem::{Problem, ProblemCode},
    server::{Door, Source},
};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, Uri, header};
use soundproof_protocol::error::Code;
use std::{net::IpAddr, sync::Arc, time::Instant};

/// Outermost: figures, and who may call at all.
pub(crate) async fn outer(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().as_str().to_owned();
    let (head, body) = request.into_parts();
    let (body, remainder) = body::lend(body);
    let request = Request::from_parts(head, body);
    // The router has not run yet: take the route from the response.
    let mut response = match admissible(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            drop(request);
            problem.into_response()
        }
    };
    remainder.drain();
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if let Some(ProblemCode(code)) = response.extensions().get() {
        app.metrics.problem(*code);
    }
    let route = response
        .extensions()
        .get::<Route>()
        .map_or("none", |route| route.0.as_str());
    tracing::debug!(
        method,
        route,
        status = response.status().as_u16(),
        "answered"
    );
    let known = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"].contains(&method.as_str());
    let labels = RouteLabels {
        method: if known { method } else { "other".into() },
        route: route.to_owned(),
        status: response.status().as_u16(),
    };
    app.metrics.requests.get_or_create(&labels).inc();
    app.metrics
        .request_duration
        .observe(started.elapsed().as_secs_f64());
    response
}

/// The pattern of the route that answered.
#[derive(Clone)]
struct Route(Arc<MatchedPath>);

/// Innermost: rates, and the route's name for the figures.
pub(crate) async fn inner(
    State(app): State<Arc<App>>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let source = request.extensions().get::<Source>().copied();
    let door = request.extensions().get::<Door>().copied();
    let admitted = match (source, door) {
        // The direct path counts its own callers.
        (Some(_), Some(Door::Inner)) => Ok(()),
        (Some(Source(address)), Some(Door::Public)) => app.rates.request(address),
        _ => Err(Code::Internal.into()),
    };
    let mut response = match admitted {
        Ok(()) if app.stopping.is_cancelled() => {
            Problem::new(Code::ShuttingDown).after(1).into_response()
        }
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if let Some(route) = route {
        response.extensions_mut().insert(Route(Arc::new(route)));
    }
    response
}

fn admissible(app: &App, request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let limits = &app.config.limits;
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    let target = request.uri().path().len() + request.uri().query().map_or(0, str::len);
    if headers.len() > limits.headers as usize || bytes + target > limits.header_bytes as usize {
        return Err(Code::HeadersTooLarge.into());
    }
    let inner = request.extensions().get() == Some(&Door::Inner);
    if let Some(origin) = headers.get(header::ORIGIN) {
        let listed = !inner
            && app
                .config
                .origins
                .iter()
                .any(|known| known.as_bytes() == origin.as_bytes());
        if !listed {
            return Err(Code::OriginRefused.into());
        }
    }
    // Without TLS nobody vouches for the name that a browser thinks it is
    // talking to: a page whose name was rebound to loopback is refused here.
    let plain = inner || (!app.tls && app.config.listen.ip().is_loopback());
    if plain && !is_loopback(request.uri(), headers) {
        let detail = "the Host header must be a loopback address or localhost";
        return Err(Problem::with(Code::OriginRefused, detail));
    }
    Ok(())
}

/// Whether the request names this host by a loopback address.
fn is_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
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
pub(crate) fn loopback_authority(authority: &[u8]) -> bool {
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
}
