//! Azure's instance metadata service on a loopback port: `POST /acc/tdquote`
//! and `GET /metadata/THIM/amd/certification`. As the real one it answers
//! nobody without `Metadata: true`.

use super::{Maker, http, unsigned_tdx_quote};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// What it says, and what goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// DER of VCEK, ASK and ARK.
    pub certificates: Vec<Vec<u8>>,
    /// The next requests that are answered with status 429.
    pub throttled: u32,
    /// A status for every request.
    pub status: Option<u16>,
    /// A body for every request.
    pub body: Option<String>,
    /// Never answers.
    pub silent: bool,
    /// The quote is of another report.
    pub stale: bool,
}

/// See the module. It serves until the process ends.
pub struct FakeImds {
    address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl FakeImds {
    /// Starts one whose quotes nobody signed.
    ///
    /// # Errors
    /// If there is no port.
    pub fn start(behaviour: Behaviour) -> io::Result<Self> {
        let quote = |report: &[u8]| unsigned_tdx_quote(report.get(128..192).unwrap_or_default());
        Self::with_maker(Arc::new(quote), behaviour)
    }

    /// Starts one whose quotes `make` makes, given a TDREPORT.
    ///
    /// # Errors
    /// If there is no port.
    pub fn with_maker(make: Maker, behaviour: Behaviour) -> io::Result<Self> {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), make, behaviour)
    }

    /// The same at an address: the real one's, in a network of its own.
    ///
    /// # Errors
    /// If it is not this machine's, or somebody listens there.
    pub fn at(address: SocketAddr, make: Maker, behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let behaviour = Arc::new(Mutex::new(behaviour));
        let held = behaviour.clone();
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().flatten() {
                if let Ok(false) = serve(&stream, &make, &held) {
                    silent.push(stream);
                }
            }
        });
        Ok(Self { address, behaviour })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(
            &mut self
                .behaviour
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

fn serve(stream: &TcpStream, make: &Maker, behaviour: &Mutex<Behaviour>) -> io::Result<bool> {
    let request = http::read(stream)?;
    let mut held = behaviour.lock().unwrap_or_else(PoisonError::into_inner);
    let now = held.clone();
    if now.silent {
        return Ok(false);
    }
    let answer = |status, body: &str| http::answer(stream, status, body, http::Framing::Length);
    if now.throttled > 0 {
        held.throttled -= 1;
        answer(429, "{}")?;
        return Ok(true);
    }
    drop(held);
    if let Some(status) = now.status {
        answer(status, "{\"error\":\"no\"}")?;
        return Ok(true);
    }
    if let Some(body) = &now.body {
        answer(200, body)?;
        return Ok(true);
    }
    if request.header("metadata") != Some("true") {
        answer(
            400,
            "{\"error\":\"Bad request. Required metadata header not specified\"}",
        )?;
        return Ok(true);
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/acc/tdquote") => {
            let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
            let report = body.get("report").and_then(Value::as_str);
            match report.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()) {
                Some(mut report) if report.len() == 1024 => {
                    if now.stale {
                        report.fill(0);
                    }
                    let quote = URL_SAFE.encode(make(&report));
                    answer(200, &json!({ "quote": quote }).to_string())?;
                }
                _ => answer(400, "{\"error\":\"no report\"}")?,
            }
        }
        ("GET", "/metadata/THIM/amd/certification") => {
            let pem: Vec<String> = now.certificates.iter().map(|der| pem(der)).collect();
            let (vcek, chain) = pem
                .split_first()
                .map_or((String::new(), String::new()), |(v, c)| {
                    (v.clone(), c.concat())
                });
            let body = json!({ "vcekCert": vcek, "tcbm": "DB16000000000004", "certificateChain": chain, "cacheControl": "86400" });
            answer(200, &body.to_string())?;
        }
        _ => answer(404, "{}")?,
    }
    Ok(true)
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}
