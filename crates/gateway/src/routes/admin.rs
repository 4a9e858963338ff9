//! What operators and clients ask about the server itself.

use crate::{
    app::App,
    auth::Caller,
    problem::{Problem, of_store},
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::header;
use serde::Serialize;
use soundproof_protocol::{
    PROTOCOL_VERSION, api::MAX_CREATE_JOB, error::Code, id::InstanceId, mode::ModeOffer, sealed,
};
use std::sync::Arc;

/// What this server offers. Nobody but the host vouches for it.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Info {
    /// Version of the server.
    version: &'static str,
    /// Version of the protocol.
    protocol: u16,
    /// The keeper's life.
    #[schema(value_type = String)]
    instance: InstanceId,
    /// Proof systems and their modes, those too that are not offered.
    modes: Vec<ModeOffer>,
    /// Whether jobs are refused whose proofs may reveal their witness.
    refuse_not_hiding: bool,
    /// Whether API keys are asked for.
    authentication: bool,
    /// Whether this connection is TLS.
    tls: bool,
    /// Bounds.
    limits: InfoLimits,
}

/// Bounds.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct InfoLimits {
    /// Bytes of a create call.
    create_bytes: usize,
    /// Bytes of an input inside it.
    inline_bytes: usize,
    /// Ciphertext bytes of an input.
    input_bytes: u64,
    /// Plaintext bytes of a chunk.
    chunk_bytes: usize,
    /// Chunks of a part.
    part_chunks: u32,
    /// Bytes of a blob.
    blob_bytes: u64,
    /// Bodies that are stored at once; more wait.
    uploads: u32,
}

/// What this server offers.
#[utoipa::path(get, path = "/v1/info", tag = "server", responses((status = 200, body = Info)))]
pub(crate) async fn info(State(app): State<Arc<App>>) -> Json<Info> {
    let limits = &app.config.limits;
    Json(Info {
        version: env!("CARGO_PKG_VERSION"),
        protocol: PROTOCOL_VERSION,
        instance: app.instance,
        modes: app.modes.clone(),
        refuse_not_hiding: app.config.refuse_not_hiding,
        authentication: app.keys.is_some(),
        tls: app.tls,
        limits: InfoLimits {
            create_bytes: MAX_CREATE_JOB,
            inline_bytes: sealed::MAX_INLINE,
            input_bytes: limits.input_bytes,
            chunk_bytes: sealed::CHUNK,
            part_chunks: sealed::MAX_PART_CHUNKS,
            blob_bytes: limits.blob_bytes,
            uploads: limits.uploads,
        },
    })
}

/// Whether the process serves.
#[utoipa::path(get, path = "/healthz", tag = "server",
    responses((status = 200, content_type = "text/plain", body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether jobs are taken and run.
#[utoipa::path(get, path = "/readyz", tag = "server",
    responses((status = 200, content_type = "text/plain", body = String)))]
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    app.store.check().await.map_err(of_store)?;
    if app.keeper_status().ready {
        Ok("ready\n")
    } else {
        Err(Problem::new(Code::KeeperUnavailable).after(1))
    }
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "server",
    responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub(crate) async fn metrics(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Response, Problem> {
    caller.tenant()?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], app.metrics.text(&app).await).into_response())
}
