//! As much of an HTTP/1.1 server as the fakes need.

use std::io::{self, BufRead as _, BufReader, Read, Write};

/// A request.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    /// In small letters.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// How an answer's length is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length`.
    #[default]
    Length,
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Reads one request.
pub(super) fn read(stream: impl Read) -> io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace().map(str::to_owned);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            None => break,
        }
    }
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        headers,
        body: String::new(),
    };
    let length = request.header("content-length").unwrap_or("0");
    let length = length.parse().map_err(io::Error::other)?;
    reader.take(length).read_to_string(&mut request.body)?;
    Ok(request)
}

/// Answers it.
pub(super) fn answer(
    mut stream: impl Write,
    status: u16,
    body: &str,
    framing: Framing,
) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n");
    let text = match framing {
        Framing::Length => format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
        Framing::Chunked => {
            let (first, rest) = body.split_at(body.len() / 2);
            let chunk = |piece: &str| match piece.len() {
                0 => String::new(),
                length => format!("{length:x}\r\n{piece}\r\n"),
            };
            let (first, rest) = (chunk(first), chunk(rest));
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{first}{rest}0\r\n\r\n")
        }
    };
    stream.write_all(text.as_bytes())?;
    stream.flush()
}
