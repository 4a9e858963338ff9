//! Problem documents (RFC 9457), all made from a [`Code`].

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use soundproof_jobs::{SourceError, StoreError};
use soundproof_protocol::{
    api::{PROBLEM, Problem as Document},
    error::Code,
    link::Refusal,
};

/// Why a request is refused. The detail is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) detail: Option<String>,
    pub(crate) retry_after_s: Option<u32>,
}

/// Left in a response for the metrics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProblemCode(pub(crate) Code);

impl Problem {
    pub(crate) fn new(code: Code) -> Self {
        Self {
            code,
            detail: None,
            retry_after_s: None,
        }
    }

    pub(crate) fn with(code: Code, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::new(code)
        }
    }

    pub(crate) fn after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    fn document(&self) -> Document {
        Document {
            kind: format!("urn:soundproof:error:{}", self.code.name()),
            title: self.code.title().into(),
            status: self.code.status(),
            detail: self.detail.clone(),
            code: self.code.name().into(),
            fault: self.code.fault().name().into(),
            retryable: self.code.retryable(),
            remedy: self.code.remedy().into(),
            retry_after_s: self.retry_after_s,
        }
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let after = matches!(refusal.code, Code::SessionsFull | Code::JobsFull).then_some(1);
        Self {
            code: refusal.code,
            detail: refusal.detail,
            retry_after_s: after,
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let code = error.code();
        match error {
            StoreError::Source(SourceError { detail, .. }) => Self::with(code, detail),
            // For the operator only.
            StoreError::Failed(_) | StoreError::InUse | StoreError::Newer { .. } => {
                tracing::error!(%error, "the store failed");
                Self::new(code)
            }
            StoreError::Full => Self::new(code).after(30),
            StoreError::Quota { .. } => Self::with(code, error.to_string()).after(5),
            StoreError::NoJob => Self::new(code),
            _ => Self::with(code, error.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.document())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(ProblemCode(self.code));
        response
    }
}
