//! A plain HTTP client for tests, on one connection of either version.

use super::{Gateway, Submission};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::de::DeserializeOwned;
use soundproof_protocol::{
    api::{ACCESS_HEADER, JobState, JobView, PROBLEM, Problem},
    digest::Digest,
    error::Code,
};
use std::{convert::Infallible, net::SocketAddr};
use tokio::net::TcpStream;

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

pub enum Client {
    One {
        address: SocketAddr,
        sender: http1::SendRequest<Body>,
    },
    Two {
        address: SocketAddr,
        sender: http2::SendRequest<Body>,
    },
}

/// A whole response.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// It is the problem document of `code`, in full.
    #[track_caller]
    pub fn problem(&self, code: Code) -> Problem {
        assert_eq!(
            self.headers.get(header::CONTENT_TYPE).unwrap(),
            PROBLEM,
            "{self:?}"
        );
        let problem: Problem = self.json();
        assert_eq!(problem.code, code.name(), "{problem:?}");
        assert_eq!(
            (self.status.as_u16(), problem.status),
            (code.status(), code.status())
        );
        assert_eq!(problem.kind, format!("urn:soundproof:error:{code}"));
        assert_eq!(problem.fault, code.fault().name());
        assert_eq!(problem.retryable, code.retryable());
        assert_eq!(
            (problem.title.as_str(), problem.remedy.as_str()),
            (code.title(), code.remedy())
        );
        let after = self
            .headers
            .get(header::RETRY_AFTER)
            .map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(after, problem.retry_after_s.map(|s| s.to_string()));
        problem
    }
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A body of pieces; length unknown.
pub fn pieces(pieces: impl IntoIterator<Item = Bytes, IntoIter: Send + 'static>) -> Body {
    let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

pub fn get(path: &str) -> http::request::Builder {
    Request::builder().method(Method::GET).uri(path)
}

pub fn with(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path)
}

impl Client {
    pub async fn http1(gateway: &Gateway) -> Self {
        Self::http1_at(gateway.listening.address).await
    }

    pub async fn http1_at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self::One { address, sender }
    }

    pub async fn http2(gateway: &Gateway) -> Self {
        let address = gateway.listening.address;
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self::Two { address, sender }
    }

    /// Sends a request whose URI is a path; the answer, its body unread.
    pub async fn start(
        &mut self,
        request: http::request::Builder,
        body: Body,
    ) -> hyper::Result<hyper::Response<Incoming>> {
        let mut request = request.body(body).unwrap();
        match self {
            Self::One { address, sender } => {
                if !request.headers().contains_key(header::HOST) {
                    let host = address.to_string().parse().unwrap();
                    request.headers_mut().insert(header::HOST, host);
                }
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Two { address, sender } => {
                let path = request.uri().path_and_query().unwrap().clone();
                *request.uri_mut() = format!("http://{address}{path}").parse().unwrap();
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    pub async fn send(&mut self, request: http::request::Builder, body: Body) -> Reply {
        let (head, body) = self.start(request, body).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    pub async fn get(&mut self, path: &str) -> Reply {
        self.send(get(path), full("")).await
    }

    pub async fn put(&mut self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(with(Method::PUT, path), full(body)).await
    }

    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(with(Method::POST, path), full(body)).await
    }

    pub async fn delete(&mut self, path: &str) -> Reply {
        self.send(with(Method::DELETE, path), full("")).await
    }

    /// Stores a blob; its digest.
    pub async fn blob(&mut self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let reply = self
            .put(&format!("/v1/blobs/{digest}"), bytes.to_vec())
            .await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT, "{reply:?}");
        digest
    }

    pub async fn create(&mut self, submission: &Submission) -> Reply {
        self.post("/v1/jobs", submission.body()).await
    }

    pub async fn create_body(&mut self, body: Vec<u8>) -> Reply {
        self.post("/v1/jobs", body).await
    }

    pub async fn put_part(&mut self, submission: &Submission, part: u32) -> Reply {
        let path = format!("/v1/jobs/{}/input/{part}", submission.id);
        let request = with(Method::PUT, &path).header(ACCESS_HEADER, submission.access());
        self.send(request, full(submission.part(part).to_vec()))
            .await
    }

    pub async fn view(&mut self, submission: &Submission) -> JobView {
        self.get(&format!("/v1/jobs/{}", submission.id))
            .await
            .json()
    }

    /// Waits for the job's outcome.
    pub async fn outcome(&mut self, submission: &Submission) -> Reply {
        self.get(&format!("/v1/jobs/{}/outcome?wait=60", submission.id))
            .await
    }

    /// Waits until the job is in a state, by its events.
    pub async fn until(&mut self, submission: &Submission, state: JobState) -> JobView {
        loop {
            let view = self.view(submission).await;
            if view.state == state {
                return view;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}
