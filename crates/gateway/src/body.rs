//! Request bodies: counted, and at the pace that the settings say.

use crate::{app::App, problem::Problem};
use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use soundproof_http::body::{self, Broken, Pace};
use soundproof_jobs::{Source, SourceError};
use std::{sync::Arc, time::Duration};

/// Middleware: the request's body comes at the least rate, whoever reads it.
pub(crate) async fn pace(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let body = Body::from_stream(source(&app, body));
    next.run(Request::from_parts(head, body)).await
}

fn paced(app: &Arc<App>, body: Body) -> impl Stream<Item = Result<Bytes, Broken>> + use<> {
    let pace = Pace {
        grace: Duration::from_secs(app.config.limits.body_seconds),
        rate: app.config.limits.body_rate.max(1),
    };
    let app = app.clone();
    body::paced(body, pace).inspect_ok(move |piece| {
        app.metrics.received.inc_by(piece.len() as u64);
    })
}

/// A body as a source of bytes for the store.
pub(crate) fn source(app: &Arc<App>, body: Body) -> Source<'static> {
    paced(app, body)
        .map_err(|Broken { code, detail }| SourceError {
            code,
            detail: detail.into(),
        })
        .boxed()
}

/// All of a body, at most `max` bytes.
pub(crate) async fn whole(app: &Arc<App>, body: Body, max: usize) -> Result<Bytes, Problem> {
    let announced = body::announced(&body);
    body::whole(announced, paced(app, body), max).await
}
