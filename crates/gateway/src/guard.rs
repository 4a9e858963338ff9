//! What is checked of every request before any route sees it.

use crate::{
    app::App,
    metrics::RouteLabels,
    problem::{Problem, ProblemCode},
    server::{Door, Source},
};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::header;
use soundproof_http::{
    body,
    guard::{harden, names_loopback},
};
use soundproof_protocol::error::Code;
use std::{sync::Arc, time::Instant};

/// Bytes of a body that nobody wanted which are read all the same: as many as
/// a part may have.
const DRAIN_BYTES: u64 = 65 << 20;

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
    remainder.drain(DRAIN_BYTES);
    harden(&mut response);
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
    let plain = inner || (!app.tls && app.config.listen.ip().is_loopback());
    if plain && !names_loopback(request.uri(), headers) {
        let detail = "the Host header must be a loopback address or localhost";
        return Err(Problem::with(Code::OriginRefused, detail));
    }
    Ok(())
}
