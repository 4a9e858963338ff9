//! One HTTP/1.1 request on a connection of its own, in bounded memory and
//! time: what guest agents on Unix sockets and metadata services need. No
//! TLS, no redirects, no reuse. Blocking, as attesters are.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// Bytes of status line and headers at most.
const MAX_HEAD: usize = 16 * 1024;
/// Headers at most.
const MAX_HEADERS: usize = 64;
/// Bytes of a chunk's size line at most.
const MAX_CHUNK_LINE: usize = 256;

/// A connection whose waiting can be bounded.
pub(crate) trait Connection: Read + Write {
    fn bound(&self, left: Duration) -> io::Result<()>;
}

impl Connection for UnixStream {
    fn bound(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left))?;
        self.set_write_timeout(Some(left))
    }
}

impl Connection for TcpStream {
    fn bound(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left))?;
        self.set_write_timeout(Some(left))
    }
}

/// What is asked.
pub(crate) struct Request<'a> {
    /// With a body it is a POST of JSON, without a GET.
    pub(crate) body: Option<&'a str>,
    /// Path and query.
    pub(crate) path: &'a str,
    /// Value of `Host`.
    pub(crate) host: &'a str,
    /// More headers, each `Name: value`.
    pub(crate) headers: &'a [&'a str],
    /// Bytes of the answer's body at most.
    pub(crate) max_body: usize,
    /// Time for all of it.
    pub(crate) limit: Duration,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Reads a JSON object; serde alone would take an array of its fields too.
pub(crate) fn object<T: serde::de::DeserializeOwned>(json: &[u8]) -> Option<T> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(json).ok()?;
    serde_json::from_value(object.into()).ok()
}

/// Asks, and reads the whole answer.
///
/// # Errors
/// What the system says; `TimedOut` past the limit; `InvalidData` for what is
/// no HTTP, and for an answer longer than it may be.
pub(crate) fn ask(connection: impl Connection, request: &Request<'_>) -> io::Result<Response> {
    let mut wire = Wire {
        connection,
        until: Instant::now() + request.limit,
        held: Vec::new(),
    };
    let (method, body) = match request.body {
        Some(body) => ("POST", body),
        None => ("GET", ""),
    };
    let mut head = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nConnection: close\r\n",
        request.path, request.host
    );
    for header in request.headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    if request.body.is_some() {
        head.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ));
    }
    head.push_str("\r\n");
    head.push_str(body);
    wire.send(head.as_bytes())?;
    let head = wire.head()?;
    let body = match head.length {
        Length::Chunked => wire.chunks(request.max_body)?,
        Length::Bytes(length) if length > request.max_body => return Err(too_long()),
        Length::Bytes(length) => wire.exactly(length)?,
        Length::UntilClosed => wire.rest(request.max_body)?,
    };
    Ok(Response {
        status: head.status,
        body,
    })
}

enum Length {
    Bytes(usize),
    Chunked,
    UntilClosed,
}

struct Head {
    status: u16,
    length: Length,
}

struct Wire<C> {
    connection: C,
    until: Instant,
    /// Read, and not yet used.
    held: Vec<u8>,
}

impl<C: Connection> Wire<C> {
    fn left(&self) -> io::Result<()> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.connection.bound(left)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left()?;
        self.connection.write_all(bytes).map_err(timed_out)
    }

    /// Reads once; false at the end.
    fn more(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        loop {
            self.left()?;
            match self.connection.read(&mut buffer) {
                Ok(read) => {
                    self.held.extend(buffer.iter().take(read));
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(timed_out(error)),
            }
        }
    }

    fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some((head, used)) = parse_head(&self.held)? {
                self.held.drain(..used);
                // 1xx: the real one follows.
                if head.status >= 200 {
                    return Ok(head);
                }
                continue;
            }
            if self.held.len() > MAX_HEAD {
                return Err(too_long());
            }
            if !self.more()? {
                return Err(cut());
            }
        }
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.held.len() < length {
            if !self.more()? {
                return Err(cut());
            }
        }
        let rest = self.held.split_off(length);
        Ok(std::mem::replace(&mut self.held, rest))
    }

    fn rest(&mut self, max: usize) -> io::Result<Vec<u8>> {
        while self.held.len() <= max {
            if !self.more()? {
                return Ok(std::mem::take(&mut self.held));
            }
        }
        Err(too_long())
    }

    /// RFC 9112, 7.1; extensions and trailers are read over.
    fn chunks(&mut self, max: usize) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let digits = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
            let size = usize::from_str_radix(size, 16).map_err(|_| no_http())?;
            if !digits {
                return Err(no_http());
            }
            if size == 0 {
                return Ok(body);
            }
            if size > max.saturating_sub(body.len()) {
                return Err(too_long());
            }
            body.extend(self.exactly(size)?);
            if !self.line()?.is_empty() {
                return Err(no_http());
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.held.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.exactly(end)?;
                self.exactly(2)?;
                return String::from_utf8(line).map_err(|_| no_http());
            }
            if self.held.len() > MAX_CHUNK_LINE {
                return Err(too_long());
            }
            if !self.more()? {
                return Err(cut());
            }
        }
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let used = match response.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(no_http()),
    };
    let mut length = Length::UntilClosed;
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !header.value.eq_ignore_ascii_case(b"chunked") {
                return Err(no_http());
            }
            length = Length::Chunked;
        } else if header.name.eq_ignore_ascii_case("content-length")
            && !matches!(length, Length::Chunked)
        {
            let text = std::str::from_utf8(header.value).map_err(|_| no_http())?;
            length = Length::Bytes(text.trim().parse().map_err(|_| no_http())?);
        }
    }
    let status = response.code.ok_or_else(no_http)?;
    Ok(Some((Head { status, length }, used)))
}

/// A socket's own limit shows as `WouldBlock`.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

fn no_http() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP/1.1")
}

fn too_long() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the answer is longer than it may be",
    )
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer ends too early")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks a peer that reads the request's head and says `answer`, in pieces.
    fn answered(answer: &'static [u8], max_body: usize) -> io::Result<Response> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let peer = std::thread::spawn(move || {
            let mut seen = Vec::new();
            let mut buffer = [0; 256];
            while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
                let read = theirs.read(&mut buffer).unwrap();
                seen.extend(&buffer[..read]);
            }
            for piece in answer.chunks(7) {
                if theirs.write_all(piece).is_err() {
                    break;
                }
            }
            String::from_utf8(seen).unwrap()
        });
        let request = Request {
            body: None,
            path: "/Info",
            host: "dstack",
            headers: &["Metadata: true"],
            max_body,
            limit: Duration::from_secs(60),
        };
        let response = ask(ours, &request);
        let seen = peer.join().unwrap();
        assert!(seen.starts_with("GET /Info HTTP/1.1\r\nHost: dstack\r\n"));
        assert!(seen.contains("\r\nMetadata: true\r\n"));
        response
    }

    #[test]
    fn every_way_to_say_a_length_is_understood() {
        for answer in [
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloignored" as &[u8],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nhello",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ] {
            let response = answered(answer, 5).unwrap();
            assert_eq!(response.status, 200);
            assert_eq!(response.body, b"hello");
        }
        let refused = answered(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", 0);
        assert_eq!(refused.unwrap().status, 400);
    }

    #[test]
    fn what_is_no_http_or_too_long_or_cut_is_an_error() {
        for answer in [
            b"SSH-2.0-OpenSSH\r\n\r\n" as &[u8],
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!",
            b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            b"HTTP/1.1 200 OK\r\n\r\nhello!",
            b"HTTP/1.1 200",
            b"",
        ] {
            let error = answered(answer, 5).unwrap_err();
            assert_eq!(
                error.kind(),
                io::ErrorKind::InvalidData,
                "{}",
                String::from_utf8_lossy(answer)
            );
        }
    }

    #[test]
    fn a_peer_that_says_nothing_is_given_up() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let request = Request {
            body: Some("{}"),
            path: "/",
            host: "x",
            headers: &[],
            max_body: 5,
            limit: Duration::from_millis(20),
        };
        let error = ask(ours, &request).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
