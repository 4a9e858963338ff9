//! /v1/blobs/{sha256}.

use super::download;
use crate::{
    app::{App, now_ms},
    auth::Caller,
    body,
    problem::{Problem, of_store},
};
use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use soundproof_protocol::{digest::Digest, error::Code};
use std::sync::Arc;

/// A digest in a path: 64 lower-case hex digits.
fn digest(text: &str) -> Result<Digest, Problem> {
    let digest: Digest = text.parse().map_err(|_| Code::NotFound)?;
    if digest.to_string() == text {
        Ok(digest)
    } else {
        Err(Code::NotFound.into())
    }
}

/// Stores a public program part under its digest.
#[utoipa::path(put, path = "/v1/blobs/{digest}", tag = "blobs",
    params(("digest" = String, Path, description = "SHA-256, lower-case hex")),
    request_body(content = [u8], content_type = "application/octet-stream"),
    responses((status = 204, description = "Stored")))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    caller: Caller,
    body: Body,
) -> Result<StatusCode, Problem> {
    let tenant = caller.tenant()?;
    let digest = digest(&name)?;
    let max = app.config.limits.blob_bytes;
    if hyper::body::Body::size_hint(&body).lower() > max {
        return Err(Problem::with(
            Code::BodyTooLarge,
            format!("at most {max} bytes"),
        ));
    }
    let _turn = app
        .uploads
        .acquire()
        .await
        .map_err(|_| Code::ShuttingDown)?;
    let source = body::source(&app, body);
    app.store
        .put_blob(&tenant.name, tenant.quota, &digest, max, source, now_ms())
        .await
        .map_err(of_store)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A public program part.
#[utoipa::path(get, path = "/v1/blobs/{digest}", tag = "blobs",
    params(("digest" = String, Path, description = "SHA-256, lower-case hex")),
    responses((status = 200, content_type = "application/octet-stream", body = [u8])))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.tenant()?;
    let digest = digest(&name)?;
    let len = app
        .store
        .blob_len(&digest)
        .await
        .map_err(of_store)?
        .ok_or(Code::NotFound)?;
    let read: download::Read = Box::new(move |app, offset, max| {
        Box::pin(async move { app.store.read_blob(&digest, offset, max).await })
    });
    download::respond(&app, &headers, &digest, len, read)
}
