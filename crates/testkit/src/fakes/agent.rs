//! dstack's guest agent on a Unix socket: `POST /GetQuote` and `/Info` of the
//! current one, `/prpc/Tappd.RawQuote` and `/prpc/Tappd.Info` of the legacy
//! one. Bytes are hex in JSON; errors are a status and `{"error": …}`.

use super::{Maker, http, unsigned_tdx_quote};
pub use http::Framing;
use serde_json::{Value, json};
use std::{
    io,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// What it says, and what goes wrong.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// The event log, as the agent's JSON.
    pub event_log: String,
    /// The app-compose file; hidden, if none.
    pub compose: Option<String>,
    /// `compose_hash`, where it is not the file's.
    pub compose_hash: Option<String>,
    /// How answers are framed.
    pub framing: Framing,
    /// The next requests that are answered with status 503.
    pub busy: u32,
    /// A status for every request.
    pub status: Option<u16>,
    /// A body for every request.
    pub body: Option<String>,
    /// Never answers.
    pub silent: bool,
    /// The quote is of other data, as of a simulator with fixed answers.
    pub stale: bool,
    /// A VM that is not on TDX: no quote, but `attestation`.
    pub not_tdx: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            event_log: "[]".into(),
            compose: Some("{\"manifest_version\":2,\"name\":\"soundproof\"}".into()),
            compose_hash: None,
            framing: Framing::Length,
            busy: 0,
            status: None,
            body: None,
            silent: false,
            stale: false,
            not_tdx: false,
        }
    }
}

/// See the module. It serves until the process ends; its socket goes with its
/// folder.
pub struct FakeAgent {
    behaviour: Arc<Mutex<Behaviour>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeAgent {
    /// Starts one at `socket`, quotes by nobody.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub fn start(socket: &Path, behaviour: Behaviour) -> io::Result<Self> {
        Self::with_maker(socket, Arc::new(unsigned_tdx_quote), behaviour)
    }

    /// Starts one at `socket`, quotes by `make`.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub fn with_maker(socket: &Path, make: Maker, behaviour: Behaviour) -> io::Result<Self> {
        if let Some(folder) = socket.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let listener = UnixListener::bind(socket)?;
        let behaviour = Arc::new(Mutex::new(behaviour));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let agent = Self {
            behaviour: behaviour.clone(),
            asked: asked.clone(),
        };
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().flatten() {
                // Kept open, and never answered.
                if let Ok(false) = serve(&stream, &make, &behaviour, &asked) {
                    held.push(stream);
                }
            }
        });
        Ok(agent)
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

    /// Method and path of every request.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

fn serve(
    stream: &UnixStream,
    make: &Maker,
    behaviour: &Mutex<Behaviour>,
    asked: &Mutex<Vec<String>>,
) -> io::Result<bool> {
    let request = http::read(stream)?;
    let (method, path) = (&request.method, &request.path);
    asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(format!("{method} {path}"));
    let mut held = behaviour.lock().unwrap_or_else(PoisonError::into_inner);
    let now = held.clone();
    if now.silent {
        return Ok(false);
    }
    let framing = now.framing;
    let error = |status, text: &str| {
        http::answer(
            stream,
            status,
            &json!({ "error": text }).to_string(),
            framing,
        )
    };
    if now.busy > 0 {
        held.busy -= 1;
        error(503, "busy")?;
        return Ok(true);
    }
    drop(held);
    if let Some(status) = now.status {
        error(status, "no\u{1b}[31m")?;
        return Ok(true);
    }
    if let Some(body) = &now.body {
        http::answer(stream, 200, body, framing)?;
        return Ok(true);
    }
    let json_body = request.header("content-type") == Some("application/json");
    if method != "POST" || !json_body || request.header("host").is_none() {
        error(400, "not as documented")?;
        return Ok(true);
    }
    let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    match path.as_str() {
        "/GetQuote" | "/prpc/Tappd.RawQuote" => match report_data(&body) {
            None => error(400, "Report data is too long")?,
            Some(data) => {
                let answer = quote(path, &data, make, &now);
                http::answer(stream, 200, &answer.to_string(), framing)?;
            }
        },
        "/Info" | "/prpc/Tappd.Info" => {
            http::answer(stream, 200, &info(path, &now).to_string(), framing)?;
        }
        _ => error(404, "no such method")?,
    }
    Ok(true)
}

/// Padded to 64 bytes, as the agent does.
fn report_data(body: &Value) -> Option<Vec<u8>> {
    let mut data = hex::decode(body.get("report_data")?.as_str()?).ok()?;
    if data.len() > 64 {
        return None;
    }
    data.resize(64, 0);
    Some(data)
}

fn quote(path: &str, data: &[u8], make: &Maker, now: &Behaviour) -> Value {
    let shown = if now.stale {
        vec![0; 64]
    } else {
        data.to_vec()
    };
    if now.not_tdx {
        return json!({ "quote": "", "event_log": "", "report_data": hex::encode(data), "vm_config": "", "attestation": "00" });
    }
    let quote = hex::encode(make(&shown));
    if path == "/GetQuote" {
        json!({ "quote": quote, "event_log": now.event_log, "report_data": hex::encode(data), "vm_config": "{}", "attestation": "" })
    } else {
        json!({ "quote": quote, "event_log": now.event_log, "hash_algorithm": "raw", "prefix": "" })
    }
}

fn info(path: &str, now: &Behaviour) -> Value {
    use sha2::{Digest as _, Sha256};
    let mut answer = json!({
        "app_id": "00".repeat(20),
        "instance_id": "01".repeat(20),
        "app_cert": "",
        "app_name": "soundproof",
        "tcb_info": "",
    });
    let Some(compose) = &now.compose else {
        return answer;
    };
    let hash = now
        .compose_hash
        .clone()
        .unwrap_or_else(|| hex::encode(Sha256::digest(compose)));
    let mut tcb = json!({
        "mrtd": "00".repeat(48),
        "rtmr0": "00".repeat(48), "rtmr1": "00".repeat(48),
        "rtmr2": "00".repeat(48), "rtmr3": "00".repeat(48),
        "app_compose": compose,
        "event_log": [],
    });
    if path == "/Info" {
        tcb["compose_hash"] = json!(hash);
        tcb["device_id"] = json!("02".repeat(32));
        answer["compose_hash"] = json!(hash);
    }
    answer["tcb_info"] = json!(tcb.to_string());
    answer
}
