//! Problem documents (RFC 9457), all made from a [`Code`].

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use soundproof_protocol::{
    api::{PROBLEM, Problem as Document},
    error::Code,
};

/// Why a request is refused. The detail is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    detail: Option<String>,
    retry_after_s: Option<u32>,
}

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
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = self.code;
        let document = Document {
            kind: format!("urn:soundproof:error:{}", code.name()),
            title: code.title().into(),
            status: code.status(),
            detail: self.detail,
            code: code.name().into(),
            fault: code.fault().name().into(),
            retryable: code.retryable(),
            remedy: code.remedy().into(),
            retry_after_s: self.retry_after_s,
        };
        let status =
            StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(ProblemCode(code));
        response
    }
}

/// Left in a response for the metrics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProblemCode(pub(crate) Code);
