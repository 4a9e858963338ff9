//! Bytes from the store to a client: whole or from an offset on, resumable,
//! never whole in memory.

use crate::{app::App, problem::Problem};
use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use soundproof_jobs::StoreError;
use soundproof_protocol::{digest::Digest, error::Code};
use std::sync::Arc;

/// Bytes read at once.
const PIECE: u64 = 256 * 1024;

/// Reads at most so many bytes from an offset on.
pub(super) type Read =
    Box<dyn Fn(Arc<App>, u64, u64) -> BoxFuture<'static, Result<Bytes, StoreError>> + Send + Sync>;

/// Answers with `len` bytes that are named by `digest`, or what the request's
/// `Range` and `If-None-Match` make of them (RFC 9110, 13 and 14).
pub(super) fn respond(
    app: &Arc<App>,
    headers: &HeaderMap,
    digest: &Digest,
    len: u64,
    read: Read,
) -> Result<Response, Problem> {
    let etag = format!("\"{digest}\"");
    let etag_value = HeaderValue::from_str(&etag).map_err(|_| Code::Internal)?;
    let matches = |name| {
        headers
            .get(name)
            .is_some_and(|value| value.as_bytes() == etag.as_bytes())
    };
    if matches(header::IF_NONE_MATCH) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag_value)]).into_response());
    }
    // A range of something else is no range of this.
    let usable = !headers.contains_key(header::IF_RANGE) || matches(header::IF_RANGE);
    let range = headers.get(header::RANGE).filter(|_| usable);
    let range = range.map_or(Range::Whole, |value| Range::parse(value.as_bytes(), len));
    let (status, start, end) = match range {
        Range::Whole => (StatusCode::OK, 0, len),
        Range::Part { start, end } => (StatusCode::PARTIAL_CONTENT, start, end),
        Range::Unsatisfiable => {
            let range = format!("bytes */{len}");
            return Ok((
                StatusCode::RANGE_NOT_SATISFIABLE,
                [(header::CONTENT_RANGE, range)],
            )
                .into_response());
        }
    };
    let mut response = (status, pieces(app.clone(), start, end, read)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, (end - start).into());
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::ETAG, etag_value);
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(value) = HeaderValue::from_str(&format!("bytes {start}-{}/{len}", end - 1))
    {
        headers.insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

/// Whether a `Range` header asks for a part of 1,000 bytes.
pub(super) fn is_range(value: &[u8]) -> bool {
    Range::parse(value, 1000) != Range::Whole
}

fn pieces(app: Arc<App>, start: u64, end: u64, read: Read) -> Body {
    let stream = stream::unfold(Some((app, start, read)), move |state| async move {
        let (app, at, read) = state?;
        if at >= end {
            return None;
        }
        match read(app.clone(), at, PIECE.min(end - at)).await {
            Ok(bytes) if !bytes.is_empty() => {
                let next = at + bytes.len() as u64;
                app.metrics.sent.inc_by(bytes.len() as u64);
                Some((Ok(bytes), Some((app, next, read))))
            }
            // Shorter than its row says: break off, so that nobody takes it
            // for whole.
            Ok(_) => Some((Err(std::io::Error::other("ends early")), None)),
            Err(error) => {
                tracing::warn!(%error, "a download broke off");
                Some((Err(std::io::Error::other("the store failed")), None))
            }
        }
    });
    Body::from_stream(stream)
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    /// `end` is one past the last byte.
    Part {
        start: u64,
        end: u64,
    },
    Unsatisfiable,
}

impl Range {
    /// One range of bytes; whatever else it says is ignored, as RFC 9110
    /// allows.
    fn parse(value: &[u8], len: u64) -> Self {
        Self::one(value, len).unwrap_or(Self::Whole)
    }

    fn one(value: &[u8], len: u64) -> Option<Self> {
        let text = core::str::from_utf8(value).ok()?.strip_prefix("bytes=")?;
        let (first, last) = text.split_once('-')?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten()
        };
        let (start, end) = match (first, last) {
            ("", last) => (len.saturating_sub(number(last)?), len),
            (first, "") => (number(first)?, len),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                (first, last.saturating_add(1).min(len))
            }
        };
        Some(if start < end {
            Self::Part { start, end }
        } else {
            Self::Unsatisfiable
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_of_bytes_is_understood() {
        let parse = |text: &str| Range::parse(text.as_bytes(), 100);
        let part = |start, end| Range::Part { start, end };
        assert_eq!(parse("bytes=0-9"), part(0, 10));
        assert_eq!(parse("bytes=90-"), part(90, 100));
        assert_eq!(parse("bytes=-10"), part(90, 100));
        assert_eq!(parse("bytes=-1000"), part(0, 100));
        assert_eq!(parse("bytes=50-18446744073709551615"), part(50, 100));
        assert_eq!(parse("bytes=100-"), Range::Unsatisfiable);
        assert_eq!(parse("bytes=-0"), Range::Unsatisfiable);
        for other in [
            "",
            "bytes=",
            "bytes=-",
            "bytes=9-1",
            "bytes=0-1,5-6",
            "lines=1-2",
            "bytes=+1-2",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(parse(other), Range::Whole, "{other}");
        }
    }
}
