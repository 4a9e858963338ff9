//! The HTTP API; see [`soundproof_protocol::api`].

mod admin;
mod blobs;
mod download;
mod events;
mod input;
mod jobs;
pub(crate) mod openapi;
mod outcome;
mod sessions;

use crate::{app::App, body, guard, problem::Problem};
use axum::{
    Router,
    extract::{FromRequestParts, Query},
    middleware::from_fn_with_state,
    response::{IntoResponse as _, Response},
    routing::{get, post, put},
};
use http::{HeaderMap, HeaderValue, Method, header, request::Parts};
use serde::de::DeserializeOwned;
use soundproof_protocol::{api::ACCESS_HEADER, error::Code};
use std::{sync::Arc, time::Duration};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Paths that belong to the direct path's router, where there is one.
const DIRECT: [&str; 3] = [
    "/artifact.ArtifactStore/{*call}",
    "/network.ProverNetwork/{*call}",
    "/sp1/{*path}",
];

/// All routes; `direct` answers its own.
///
/// # Errors
/// An origin that is no header value.
pub(crate) fn router(app: Arc<App>, direct: Option<Router>) -> Result<Router, String> {
    let mut routes = Router::new();
    let direct = direct.unwrap_or_else(|| Router::new().fallback(direct_is_off));
    let direct = direct.layer(from_fn_with_state(app.clone(), body::pace));
    for path in DIRECT {
        routes = routes.route_service(path, direct.clone());
    }
    let routes = routes
        .route("/v1/info", get(admin::info))
        .route("/v1/sessions", post(sessions::open))
        .route("/v1/blobs/{digest}", put(blobs::put).get(blobs::get))
        .route("/v1/jobs", post(jobs::create).get(jobs::list))
        .route("/v1/jobs/{id}", get(jobs::get).delete(jobs::delete))
        .route("/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/v1/jobs/{id}/input", get(input::get))
        .route("/v1/jobs/{id}/input/{part}", put(input::put))
        .route("/v1/jobs/{id}/events", get(events::stream))
        .route("/v1/jobs/{id}/outcome", get(outcome::get))
        .route("/healthz", get(admin::healthz))
        .route("/readyz", get(admin::readyz))
        .route("/metrics", get(admin::metrics))
        .route("/openapi.json", get(openapi::get))
        .method_not_allowed_fallback(|| async { Problem::new(Code::MethodNotAllowed) })
        .fallback(|| async { Problem::new(Code::NotFound) })
        .layer(from_fn_with_state(app.clone(), guard::inner));
    let origins: Vec<HeaderValue> = app
        .config
        .origins
        .iter()
        .map(|origin| HeaderValue::from_str(origin).map_err(|_| format!("origin {origin:?}")))
        .collect::<Result<_, _>>()?;
    let routes = if origins.is_empty() {
        routes
    } else {
        routes.layer(cors(origins))
    };
    Ok(routes
        .layer(from_fn_with_state(app.clone(), guard::outer))
        .with_state(app))
}

/// An SDK that was pointed at this server itself hears, in its own words, what
/// to do instead.
async fn direct_is_off(headers: HeaderMap) -> Response {
    const WHY: &str = "this server takes SP1's own clients through an attesting proxy only: \
        run `soundproof connect` with its URL, and point the SDK at the proxy";
    let kind = headers.get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        return Problem::with(Code::NotFound, WHY).into_response();
    }
    let answer = [
        ("content-type", "application/grpc"),
        ("grpc-status", "12"), // unimplemented
        ("grpc-message", WHY),
    ];
    answer.into_response()
}

fn cors(origins: Vec<HeaderValue>) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::PUT,
            Method::POST,
            Method::DELETE,
        ])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            header::RANGE,
            http::HeaderName::from_static(ACCESS_HEADER),
        ])
        .expose_headers([header::ETAG, header::RETRY_AFTER, header::CONTENT_RANGE])
        .max_age(Duration::from_secs(600))
}

/// A query string, refused with a problem document.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        Query::<T>::from_request_parts(parts, app)
            .await
            .map(|Query(value)| Self(value))
            .map_err(|_| Problem::with(Code::RequestMalformed, "the query string is not valid"))
    }
}

/// Whether bytes are the body of a session's opening.
pub(crate) fn parse_open_session(bytes: &[u8]) -> bool {
    sessions::parse(bytes).is_ok()
}

/// Whether bytes are the body of a create call.
pub(crate) fn parse_create_job(bytes: &[u8]) -> bool {
    jobs::parse(bytes).is_ok()
}

/// Whether bytes are a range that is understood.
pub(crate) fn parse_range(bytes: &[u8]) -> bool {
    download::is_range(bytes)
}
