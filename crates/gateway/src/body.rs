//! Request bodies: bounded in bytes and in time. A body must come at a least
//! rate after a time of grace, so that nobody holds a connection with a drop
//! now and then.

use crate::{app::App, problem::Problem};
use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use soundproof_jobs::{Source, SourceError};
use soundproof_protocol::error::Code;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// Bytes of a body that nobody wanted which are read all the same: as many as
/// a part may have.
const DRAIN_BYTES: u64 = 65 << 20;
/// And for how long.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// A body that is given back by who did not read it to its end. A request
/// that is refused early is read on while its answer is under way: were the
/// connection closed instead, the answer could be lost with it.
pub(crate) fn lend(body: Body) -> (Body, Remainder) {
    let slot = Slot::default();
    let lent = Lent {
        body: Some(body),
        slot: slot.clone(),
    };
    (Body::new(lent), Remainder(slot))
}

type Slot = Arc<Mutex<Option<Body>>>;

struct Lent {
    body: Option<Body>,
    slot: Slot,
}

/// What comes back.
pub(crate) struct Remainder(Slot);

impl Remainder {
    /// Reads on, within bounds, in a task of its own.
    pub(crate) fn drain(self) {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = body else { return };
        tokio::spawn(tokio::time::timeout(DRAIN_TIME, async move {
            let mut left = DRAIN_BYTES;
            while let Some(Ok(frame)) = body.frame().await {
                let len = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
                match left.checked_sub(len) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        }));
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

/// Middleware: the request's body comes at the least rate, whoever reads it.
pub(crate) async fn pace(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let body = Body::from_stream(source(&app, body));
    next.run(Request::from_parts(head, body)).await
}

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
