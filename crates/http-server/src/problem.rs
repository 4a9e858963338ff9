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
pub struct Problem {
    /// What is wrong; decides status, title and remedy.
    pub code: Code,
    /// In this request.
    pub detail: Option<String>,
    /// Seconds after which trying again may help: the `Retry-After`.
    pub retry_after_s: Option<u32>,
}

/// Left in a response for the metrics.
#[derive(Debug, Clone, Copy)]
pub struct ProblemCode(pub Code);

impl Problem {
    /// Without a detail.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            detail: None,
            retry_after_s: None,
        }
    }

    /// With one.
    pub fn with(code: Code, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::new(code)
        }
    }

    /// Trying again may help after so long.
    #[must_use]
    pub fn after(mut self, seconds: u32) -> Self {
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
