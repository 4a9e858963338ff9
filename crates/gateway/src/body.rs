//! Request bodies: bounded in bytes and in time. A body must come at a least
//! rate after a time of grace, so that nobody holds a connection with a drop
//! now and then.

use crate::{app::App, problem::Problem};
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http_body_util::BodyExt as _;
use soundproof_jobs::{Source, SourceError};
use soundproof_protocol::error::Code;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

struct Paced {
    body: Body,
    started: Instant,
    received: u64,
    app: Arc<App>,
}

/// A body as a source of bytes for the store.
pub(crate) fn source(app: &Arc<App>, body: Body) -> Source<'static> {
    let paced = Paced {
        body,
        started: Instant::now(),
        received: 0,
        app: app.clone(),
    };
    stream::unfold(Some(paced), |paced| async move {
        let mut paced = paced?;
        match paced.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(paced))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

impl Paced {
    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        loop {
            let limits = &self.app.config.limits;
            let earned = self.received / limits.body_rate.max(1);
            let time = Duration::from_secs(limits.body_seconds.saturating_add(earned));
            let deadline = self.started + time.min(Duration::from_secs(365 * 24 * 3600));
            let frame = match tokio::time::timeout_at(deadline, self.body.frame()).await {
                Err(_) => {
                    let detail = "the body came too slowly".into();
                    return Err(SourceError {
                        code: Code::RequestTimeout,
                        detail,
                    });
                }
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => {
                    let detail = "the body broke off".into();
                    return Err(SourceError {
                        code: Code::RequestMalformed,
                        detail,
                    });
                }
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers are of no use here.
            if let Ok(bytes) = frame.into_data() {
                self.received += bytes.len() as u64;
                self.app.metrics.received.inc_by(bytes.len() as u64);
                if !bytes.is_empty() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

/// All of a body, at most `max` bytes.
pub(crate) async fn whole(app: &Arc<App>, body: Body, max: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::with(
            Code::BodyTooLarge,
            format!("at most {max} bytes are accepted"),
        )
    };
    let announced = hyper::body::Body::size_hint(&body).lower();
    if announced > max as u64 {
        return Err(too_large());
    }
    let mut source = source(app, body);
    let mut whole = Vec::new();
    while let Some(piece) = source.next().await {
        let piece = piece.map_err(|error| Problem::with(error.code, error.detail))?;
        if whole.len() + piece.len() > max {
            return Err(too_large());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}
