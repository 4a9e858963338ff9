//! Request bodies: bounded in bytes and in time. A body must come at a least
//! rate after a time of grace, so that nobody holds a connection with a drop
//! now and then.

use crate::Problem;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use soundproof_protocol::error::Code;
use std::{
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// For how long a body that nobody wanted is read all the same.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// How fast a body must come.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// What it may take in any case.
    pub grace: Duration,
    /// Bytes, each so many of which give it another second; 0: none does.
    pub rate: u64,
}

impl Pace {
    /// How long a body may take of which so much has come.
    fn time(&self, received: u64) -> Duration {
        let earned = received.checked_div(self.rate).unwrap_or(0);
        let time = self.grace.saturating_add(Duration::from_secs(earned));
        time.min(Duration::from_secs(365 * 24 * 3600))
    }
}

/// A body did not come whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What it is to be answered with.
    pub code: Code,
    /// Why; public.
    pub detail: &'static str,
}

impl From<Broken> for Problem {
    fn from(Broken { code, detail }: Broken) -> Self {
        Self::with(code, detail)
    }
}

struct Paced {
    body: Body,
    pace: Pace,
    started: Instant,
    received: u64,
}

/// A body in pieces, none of them empty. It ends with its first error.
pub fn paced(body: Body, pace: Pace) -> impl Stream<Item = Result<Bytes, Broken>> + Send {
    let paced = Paced {
        body,
        pace,
        started: Instant::now(),
        received: 0,
    };
    stream::unfold(Some(paced), |paced| async move {
        let mut paced = paced?;
        match paced.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(paced))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl Paced {
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            let deadline = self.started + self.pace.time(self.received);
            let frame = match tokio::time::timeout_at(deadline, self.body.frame()).await {
                Err(_) => {
                    return Err(Broken {
                        code: Code::RequestTimeout,
                        detail: "the body came too slowly",
                    });
                }
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => {
                    return Err(Broken {
                        code: Code::RequestMalformed,
                        detail: "the body broke off",
                    });
                }
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers are of no use here.
            if let Ok(bytes) = frame.into_data() {
                self.received += bytes.len() as u64;
                if !bytes.is_empty() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

/// Bytes that a body says it has at the least, before any of them came.
pub fn announced(body: &Body) -> u64 {
    HttpBody::size_hint(body).lower()
}

/// All of a body, at most `max` bytes. One that is announced to be longer is
/// not read at all; of one that is not announced no more than `max` bytes and a
/// piece are ever held.
///
/// # Errors
/// [`Code::BodyTooLarge`], and those of `pieces`.
pub async fn whole(
    announced: u64,
    pieces: impl Stream<Item = Result<Bytes, Broken>>,
    max: usize,
) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("at most {max} bytes are accepted");
        Problem::with(Code::BodyTooLarge, detail)
    };
    if announced > max as u64 {
        return Err(too_large());
    }
    let mut pieces = pin!(pieces);
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        if whole.len() + piece.len() > max {
            return Err(too_large());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// A body that is given back by who did not read it to its end. A request
/// that is refused early is read on while its answer is under way: were the
/// connection closed instead, the answer could be lost with it.
pub fn lend(body: Body) -> (Body, Remainder) {
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
pub struct Remainder(Slot);

impl Remainder {
    /// Reads on, `max` bytes and ten seconds at most, in a task of its own.
    pub fn drain(self, max: u64) {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = body else { return };
        tokio::spawn(tokio::time::timeout(DRAIN_TIME, async move {
            let mut left = max;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicU64, Ordering},
    };

    const PACE: Pace = Pace {
        grace: Duration::from_secs(30),
        rate: 0,
    };

    /// So many mebibytes, unannounced; counts those that were asked for.
    fn mebibytes(count: u64) -> (Body, Arc<AtomicU64>) {
        let asked = Arc::new(AtomicU64::new(0));
        let counting = asked.clone();
        let pieces = stream::iter(0..count).map(move |_| {
            counting.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Bytes::from(vec![b'['; 1 << 20]))
        });
        (Body::from_stream(pieces), asked)
    }

    #[tokio::test]
    async fn what_is_too_large_is_not_read() {
        // Announced: not a byte of it.
        let (body, asked) = mebibytes(100);
        let pieces = paced(body, PACE);
        let problem = whole(100 << 20, pieces, 4 << 20).await.unwrap_err();
        assert_eq!(problem.code, Code::BodyTooLarge);
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        // Not announced: as far as the bound, and a piece.
        let (body, asked) = mebibytes(100);
        assert_eq!(announced(&body), 0);
        let problem = whole(0, paced(body, PACE), 4 << 20).await.unwrap_err();
        assert_eq!(problem.code, Code::BodyTooLarge);
        assert_eq!(asked.load(Ordering::Relaxed), 5);
        // The bound itself fits.
        let (body, _) = mebibytes(4);
        let bytes = whole(0, paced(body, PACE), 4 << 20).await.unwrap();
        assert_eq!(bytes.len(), 4 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_must_keep_coming() {
        let drops = |every: Duration| {
            let pieces = stream::unfold((), move |()| async move {
                tokio::time::sleep(every).await;
                Some((Ok::<_, Infallible>(Bytes::from_static(&[0; 100])), ()))
            });
            Body::from_stream(pieces.take(10))
        };
        let read = |body, rate| async move {
            let pace = Pace { rate, ..PACE };
            whole(0, paced(body, pace), 1 << 20).await
        };
        let bytes = read(drops(Duration::from_secs(1)), 0).await.unwrap();
        assert_eq!(bytes.len(), 1000);
        // 100 s for 1000 bytes: with a second for each 10 of them it may.
        read(drops(Duration::from_secs(10)), 10).await.unwrap();
        for rate in [0, 1000] {
            let slow = read(drops(Duration::from_secs(10)), rate).await;
            assert_eq!(slow.unwrap_err().code, Code::RequestTimeout);
        }
    }

    #[tokio::test]
    async fn a_body_that_broke_off_is_no_body() {
        let pieces = [Ok(Bytes::from_static(b"a")), Err("gone")];
        let body = Body::from_stream(stream::iter(pieces));
        let problem = whole(0, paced(body, PACE), 10).await.unwrap_err();
        assert_eq!(problem.code, Code::RequestMalformed);
    }

    #[tokio::test]
    async fn what_nobody_read_is_read_on_within_bounds() {
        for (max, least, most) in [(u64::MAX, 9, 9), (2 << 20, 2, 3)] {
            let (body, asked) = mebibytes(9);
            let (lent, remainder) = lend(body);
            drop(lent);
            remainder.drain(max);
            // The task owns what counts, until it is over.
            while Arc::strong_count(&asked) > 1 {
                tokio::task::yield_now().await;
            }
            let read = asked.load(Ordering::Relaxed);
            assert!((least..=most).contains(&read), "{read}");
        }
        // Read to its end, it does not come back.
        let (body, _) = mebibytes(1);
        let (lent, remainder) = lend(body);
        whole(0, paced(lent, PACE), 1 << 20).await.unwrap();
        assert!(remainder.0.lock().unwrap().is_none());
    }
}
