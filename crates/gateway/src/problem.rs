//! Refusals: what parts of this server fail with, as a problem document.

pub(crate) use soundproof_http::{Problem, ProblemCode};
use soundproof_jobs::{SourceError, StoreError};
use soundproof_protocol::{error::Code, link::Refusal};

/// What the keeper refused, or would have.
pub(crate) fn of_keeper(refusal: Refusal) -> Problem {
    Problem {
        code: refusal.code,
        detail: refusal.detail,
        retry_after_s: matches!(refusal.code, Code::SessionsFull | Code::JobsFull).then_some(1),
    }
}

/// What the store failed with.
pub(crate) fn of_store(error: StoreError) -> Problem {
    let code = error.code();
    match error {
        StoreError::Source(SourceError { detail, .. }) => Problem::with(code, detail),
        // For the operator only.
        StoreError::Failed(_) | StoreError::InUse | StoreError::Newer { .. } => {
            tracing::error!(%error, "the store failed");
            Problem::new(code)
        }
        StoreError::Full => Problem::new(code).after(30),
        StoreError::Quota { .. } => Problem::with(code, error.to_string()).after(5),
        StoreError::NoJob => Problem::new(code),
        _ => Problem::with(code, error.to_string()),
    }
}
