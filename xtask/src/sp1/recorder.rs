//! Records what two sides of a connection say, both ways, into one file.
//! Listens on loopback only.

use crate::shell::{Failure, Result};
use std::{
    fs::File,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// Bytes of a request's first line at most.
const MAX_LINE: usize = 16 << 10;

/// Whom connections are passed on to.
#[derive(Clone)]
pub(crate) enum To {
    /// One address, byte by byte.
    Fixed(SocketAddr),
    /// An HTTP client's proxy: the address is in each request's first line,
    /// which is made what the server expects of a client without a proxy.
    Named,
}

pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
}

impl Recorder {
    /// Records into `file` until the process ends.
    pub(crate) fn start(to: To, file: &Path) -> Result<Self> {
        let failure = |error: io::Error| Failure::of(file.display(), error);
        let file = Arc::new(Mutex::new(File::create(file).map_err(failure)?));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failure)?;
        let address = listener.local_addr().map_err(failure)?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (to, file) = (to.clone(), file.clone());
                // A connection that breaks is its two ends' to handle.
                thread::spawn(move || pass(stream, &to, &file));
            }
        });
        Ok(Self { address })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn pass(mut client: TcpStream, to: &To, file: &Arc<Mutex<File>>) -> io::Result<()> {
    let (address, first) = match to {
        To::Fixed(address) => (*address, Vec::new()),
        To::Named => first_line(&mut client)?,
    };
    let mut server = TcpStream::connect(address)?;
    keep(file, &first)?;
    server.write_all(&first)?;
    let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
    let kept = file.clone();
    let back = thread::spawn(move || copy(from_server, to_client, &kept));
    copy(client, server, file)?;
    back.join().unwrap_or(Ok(()))
}

fn copy(mut from: TcpStream, mut to: TcpStream, file: &Mutex<File>) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..n).filter(|bytes| !bytes.is_empty()) else {
            return to.shutdown(Shutdown::Write);
        };
        keep(file, bytes)?;
        to.write_all(bytes)?;
    }
}

/// Whole buffers, so that directions mix between them only.
fn keep(file: &Mutex<File>, bytes: &[u8]) -> io::Result<()> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.write_all(bytes)
}

/// Reads `PUT http://host:port/path HTTP/1.1`, and gives back the address and
/// `PUT /path HTTP/1.1`.
fn first_line(client: &mut TcpStream) -> io::Result<(SocketAddr, Vec<u8>)> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        if line.len() == MAX_LINE {
            return Err(invalid());
        }
        client.read_exact(&mut byte)?;
        line.extend(byte);
    }
    let (authority, line) = split(&line).ok_or_else(invalid)?;
    let address = authority.to_socket_addrs()?.next().ok_or_else(invalid)?;
    if !address.ip().is_loopback() {
        return Err(invalid());
    }
    Ok((address, line))
}

fn split(line: &[u8]) -> Option<(&str, Vec<u8>)> {
    let (method, rest) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let rest = rest.strip_prefix("http://")?;
    let slash = rest.find('/')?;
    let (authority, rest) = rest.split_at(slash);
    Some((authority, format!("{method} {rest}").into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_lose_what_is_for_a_proxy() {
        let line = b"PUT http://127.0.0.1:80/sp1/a?b=http://c/ HTTP/1.1\r\n";
        let wanted = b"PUT /sp1/a?b=http://c/ HTTP/1.1\r\n".to_vec();
        assert_eq!(split(line), Some(("127.0.0.1:80", wanted)));
        assert_eq!(split(b"CONNECT a:443 HTTP/1.1\r\n"), None);
        assert_eq!(split(b"GET /a HTTP/1.1\r\n"), None);
    }

    #[test]
    fn both_directions_are_recorded() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let file = std::env::temp_dir().join(format!("recorder-{}", std::process::id()));
        let to = To::Fixed(server.local_addr().unwrap());
        let recorder = match Recorder::start(to, &file) {
            Ok(recorder) => recorder,
            Err(failure) => panic!("{failure}"),
        };
        let mut client = TcpStream::connect(recorder.address).unwrap();
        client.write_all(b"question").unwrap();
        let (mut other, _) = server.accept().unwrap();
        let mut heard = [0; 8];
        other.read_exact(&mut heard).unwrap();
        other.write_all(b"answer").unwrap();
        drop(other);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!((&heard, answer.as_slice()), (b"question", &b"answer"[..]));
        let kept = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(kept, b"questionanswer");
    }
}
