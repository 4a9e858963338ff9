//! TDX quotes from dstack's guest agent, over its Unix socket: `/GetQuote` and
//! `/Info` of the current agent, `/prpc/Tappd.RawQuote` and
//! `/prpc/Tappd.Info` of the one before 0.5 (dstack,
//! `guest-agent/rpc/proto/agent_rpc.proto`; bytes are hex in JSON). The quote
//! is asked for raw: all 64 bytes of report data are the binding. With it goes
//! the agent's event log, and the app-compose file that the log measures,
//! where the agent shows it.

use crate::{
    AttestError, Attester, Machine, carried,
    error::{DeviceError, Interface, Problem},
    http,
};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    binding::Binding,
    cbor::Bytes,
};
use std::{
    fs, io,
    os::unix::{fs::FileTypeExt as _, net::UnixStream},
    path::{Path, PathBuf},
};

/// Bytes of an answer at most: a quote and a log of some hundred events, in
/// hex, in JSON.
const MAX_ANSWER: usize = 2 * 1024 * 1024;
/// Bytes of a quote at most.
const MAX_QUOTE: usize = 32 * 1024;
/// Bytes of an event log at most.
const MAX_EVENT_LOG: usize = 320 * 1024;
/// Bytes of an app-compose file at most.
const MAX_COMPOSE: usize = 128 * 1024;

/// Where the agent's sockets are, most current first.
pub(crate) const SOCKETS: [(Agent, &str); 8] = [
    (Agent::Dstack, "/var/run/dstack.sock"),
    (Agent::Dstack, "/run/dstack.sock"),
    (Agent::Dstack, "/var/run/dstack/dstack.sock"),
    (Agent::Dstack, "/run/dstack/dstack.sock"),
    (Agent::Tappd, "/var/run/tappd.sock"),
    (Agent::Tappd, "/run/tappd.sock"),
    (Agent::Tappd, "/var/run/dstack/tappd.sock"),
    (Agent::Tappd, "/run/dstack/tappd.sock"),
];

/// Which of the two interfaces a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agent {
    /// The current one.
    Dstack,
    /// The one before 0.5.
    Tappd,
}

impl Agent {
    fn interface(self) -> Interface {
        match self {
            Self::Dstack => Interface::Dstack,
            Self::Tappd => Interface::Tappd,
        }
    }

    fn paths(self) -> (&'static str, &'static str) {
        match self {
            Self::Dstack => ("/GetQuote", "/Info"),
            Self::Tappd => ("/prpc/Tappd.RawQuote", "/prpc/Tappd.Info"),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Dstack {
    agent: Agent,
    socket: PathBuf,
    retry: crate::Retry,
    platform: Platform,
    /// As it was measured, if the agent shows it.
    compose: Option<Vec<u8>>,
}

/// `GetQuoteResponse` and `TdxQuoteResponse`; other fields are of no use.
#[derive(Deserialize)]
struct Quote {
    #[serde(default)]
    quote: String,
    #[serde(default)]
    event_log: String,
}

/// `AppInfo`.
#[derive(Deserialize)]
struct Info {
    /// JSON in a string; empty where the app hides it.
    #[serde(default)]
    tcb_info: String,
}

#[derive(Deserialize)]
struct TcbInfo {
    #[serde(default)]
    app_compose: String,
    #[serde(default)]
    compose_hash: String,
}

impl Dstack {
    /// Finds the agent's socket, and asks it who it is.
    ///
    /// # Errors
    /// [`DeviceError`]: there is no socket, nobody answers on it, or what it
    /// says makes no sense.
    pub fn open(machine: &Machine) -> Result<Self, DeviceError> {
        let (agent, socket) = find(&machine.agents)?;
        let mut opened = Self {
            agent,
            socket,
            retry: machine.retry,
            platform: Platform::Dstack,
            compose: None,
        };
        let info: Info = opened.ask(agent.paths().1, "{}")?;
        opened.compose = opened.compose(&info)?;
        Ok(opened)
    }

    /// The same under the name of its platform's software kind: for tests over
    /// a fake, since nobody accepts that for hardware.
    #[must_use]
    pub fn as_software(mut self) -> Self {
        self.platform = Platform::SoftwareDstack;
        self
    }

    /// Which interface it is, and where.
    pub fn agent(&self) -> (Agent, &Path) {
        (self.agent, &self.socket)
    }

    fn compose(&self, info: &Info) -> Result<Option<Vec<u8>>, DeviceError> {
        if info.tcb_info.is_empty() {
            return Ok(None);
        }
        let tcb: TcbInfo = http::object(info.tcb_info.as_bytes())
            .ok_or_else(|| self.malformed("tcb_info is no JSON object"))?;
        let compose = tcb.app_compose.into_bytes();
        if compose.is_empty() {
            return Ok(None);
        }
        if compose.len() > MAX_COMPOSE {
            return Err(self.malformed("app_compose is longer than it may be"));
        }
        // The legacy agent does not say the hash; the log does, to clients.
        let hash = hex::encode(Sha256::digest(&compose));
        if !tcb.compose_hash.is_empty() && !tcb.compose_hash.eq_ignore_ascii_case(&hash) {
            return Err(self.malformed("app_compose is not what compose_hash measures"));
        }
        Ok(Some(compose))
    }

    fn ask<T: DeserializeOwned>(&self, path: &str, body: &str) -> Result<T, DeviceError> {
        let request = http::Request {
            body: Some(body),
            path,
            host: "dstack",
            headers: &[],
            max_body: MAX_ANSWER,
            limit: self.retry.limit,
        };
        self.retry.run(|| {
            let answer = UnixStream::connect(&self.socket)
                .and_then(|socket| http::ask(socket, &request))
                .map_err(|error| self.system(error))?;
            match answer.status {
                200 => http::object(&answer.body)
                    .ok_or_else(|| self.malformed("the answer is not the JSON that it should be")),
                429 | 503 => Err(self.error(Problem::Throttled { tries: 1 })),
                401 | 403 => Err(self.error(Problem::NoPermission)),
                status => Err(self.error(Problem::Refused(format!(
                    "status {status}: {}",
                    crate::shown(&String::from_utf8_lossy(&answer.body))
                )))),
            }
        })
    }

    fn quote(&self, data: &[u8; 64]) -> Result<(Vec<u8>, Vec<u8>), DeviceError> {
        let body = format!("{{\"report_data\":\"{}\"}}", hex::encode(data));
        let answer: Quote = self.ask(self.agent.paths().0, &body)?;
        if answer.quote.is_empty() {
            // The current agent, in a VM of another kind.
            return Err(self.error(Problem::WrongProvider {
                expected: "a TDX quote",
                found: "none".into(),
            }));
        }
        if answer.quote.len() > MAX_QUOTE * 2 || answer.event_log.len() > MAX_EVENT_LOG {
            return Err(self.malformed("quote or event log is longer than it may be"));
        }
        let digits = answer.quote.strip_prefix("0x").unwrap_or(&answer.quote);
        let quote = hex::decode(digits).map_err(|_| self.malformed("the quote is not hex"))?;
        match carried::by_tdx_quote(&quote) {
            Some(carried) if carried == data => Ok((quote, answer.event_log.into_bytes())),
            Some(_) => Err(self.malformed("the quote carries other data than it was asked to")),
            None => Err(self.malformed("the quote is no TDX quote")),
        }
    }

    fn error(&self, problem: Problem) -> DeviceError {
        DeviceError::new(
            self.agent.interface(),
            self.socket.display().to_string(),
            problem,
        )
    }

    fn malformed(&self, why: &str) -> DeviceError {
        self.error(Problem::Malformed(why.into()))
    }

    fn system(&self, error: io::Error) -> DeviceError {
        let mut error = DeviceError::system(
            self.agent.interface(),
            self.socket.display().to_string(),
            error,
        );
        if let Problem::TimedOut(limit) = &mut error.problem {
            *limit = self.retry.limit;
        }
        error
    }
}

/// The first path that is a socket, or that we may not look at.
fn find(agents: &[(Agent, PathBuf)]) -> Result<(Agent, PathBuf), DeviceError> {
    for (agent, path) in agents {
        match fs::metadata(path) {
            Ok(found) if found.file_type().is_socket() => return Ok((*agent, path.clone())),
            // A folder, which docker makes where a mounted socket is missing.
            Ok(_) => {}
            Err(error) => {
                let place = path.display().to_string();
                let error = DeviceError::system(agent.interface(), place, error);
                if !error.is_absent() {
                    return Err(error);
                }
            }
        }
    }
    let (agent, place) = match agents.first() {
        Some((agent, path)) => (*agent, path.display().to_string()),
        None => (Agent::Dstack, String::new()),
    };
    Err(DeviceError::new(
        agent.interface(),
        place,
        Problem::NoDevice,
    ))
}

impl Attester for Dstack {
    fn platform(&self) -> Platform {
        self.platform
    }

    fn evidence(&self, binding: &Binding) -> Result<Evidence, AttestError> {
        let (quote, log) = self.quote(binding.as_bytes())?;
        let log = carried::dstack_log(log, self.compose.clone());
        Ok(Evidence {
            platform: self.platform,
            statement: Bytes(quote),
            event_log: Some(Bytes(log)),
            gpu: None,
            runtime: None,
        })
    }

    /// The agent has none.
    fn endorsements(&self) -> Result<Endorsements, AttestError> {
        Ok(Endorsements::new(self.platform, Vec::new()))
    }
}
