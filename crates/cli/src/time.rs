//! Times as people write them.

use crate::failure::Failure;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Milliseconds since 1970 from RFC 3339.
pub(crate) fn parse(text: &str) -> Result<u64, Failure> {
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .and_then(|time| u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok())
        .ok_or_else(|| {
            Failure::usage(
                format!("{text} is no time"),
                "Write it as 2026-11-20T12:00:00Z, or `now`.",
            )
        })
}

/// The other way.
pub(crate) fn show(ms: u64) -> String {
    i64::try_from(ms / 1000)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{ms} ms since 1970"))
}
