//! `soundproof connect`: the SP1 SDK's network on this machine's loopback,
//! in front of a server that is appraised first and then again and again.

use crate::{connect::Connect, failure::Failure, output::Output};
use serde::Serialize;
use soundproof::{Verdict, protocol::error::Code};
use soundproof_sp1_proxy::{Door, Mode, Proxy, ProxyError, Receipts, Rhythm, Settings, Token};
use std::{
    ffi::{OsStr, OsString},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
};
use tokio::process::{Child, Command};

/// Where a client of the SDK finds its network's URL.
const SDK_URL: &str = "NETWORK_RPC_URL";
/// The same, under a name of ours.
const OWN_URL: &str = "SOUNDPROOF_RPC_URL";
/// The bearer token, given and taken.
const TOKEN: &str = "SOUNDPROOF_TOKEN";
/// Loopback is reached without a proxy.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server, as with --url
    #[arg(value_name = "URL")]
    server: Option<String>,
    #[command(flatten)]
    connect: Connect,
    /// Loopback address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Demand a bearer token too: the one in SOUNDPROOF_TOKEN, or a fresh one.
    /// Always so where the system does not tell whose a connection is
    #[arg(long)]
    token: bool,
    /// Allow core and compressed proofs, which may reveal the input to
    /// whoever gets them
    #[arg(long)]
    acknowledge_not_hiding: bool,
    /// Folder for the proofs' receipts, one file a request: public
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,
    /// A command to run with the URL in its environment (NETWORK_RPC_URL);
    /// ends with it, and with its exit code
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What `--json` prints when it listens.
#[derive(Serialize)]
struct Listening<'a> {
    event: &'static str,
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    server: String,
    offered: Vec<&'static str>,
    not_offered: Vec<NotOffered>,
    verdict: &'a Verdict,
}

#[derive(Serialize)]
struct NotOffered {
    mode: &'static str,
    why: String,
}

pub(crate) async fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let mut connect = args.connect.clone();
    connect.url = args.server.clone().or(connect.url);
    let client = connect.client()?;
    let receipts = match &args.receipts {
        None => Receipts::in_memory(),
        Some(folder) => {
            Receipts::in_folder(folder).map_err(|error| Failure::file(folder, &error))?
        }
    };
    let door = Door::open(args.listen, args.token()?)
        .await
        .map_err(|error| {
            Failure::usage(
                format!("cannot listen on {}: {error}", args.listen),
                "Name a free port of a loopback address, or port 0.",
            )
        })?;
    let server = client.url();
    let settings = Settings {
        client,
        acknowledges_not_hiding: args.acknowledge_not_hiding,
        door,
        receipts: Arc::new(receipts),
        rhythm: Rhythm::default(),
    };
    let (proxy, verdict) = Proxy::start(settings).await.map_err(|error| match error {
        ProxyError::Server(error) => Failure::from(error),
        error => Failure::new(Code::Internal, error.to_string()),
    })?;
    let lost = |error: std::io::Error| {
        Failure::new(Code::Internal, format!("signals or command: {error}"))
    };
    let stops = Stops::listen().map_err(lost)?;
    let ended = match args.command.split_first() {
        None => {
            say(&proxy, &verdict, server, output).await;
            stops.first().await;
            None
        }
        Some((program, arguments)) => {
            // Standard output is the command's own.
            output.warn(&verdict);
            let child = start(program, arguments, &proxy)?;
            Some(stops.wait(child).await.map_err(lost)?)
        }
    };
    proxy.stop().await;
    match ended.map(exit_code) {
        None | Some(0) => Ok(()),
        // Its words were its own; so is its exit code.
        Some(code) => std::process::exit(code),
    }
}

impl Args {
    /// The token to demand, if one is to be.
    fn token(&self) -> Result<Option<Token>, Failure> {
        if !self.token {
            return Ok(None);
        }
        match std::env::var(TOKEN) {
            Ok(text) => Token::new(text).map(Some).ok_or_else(|| {
                Failure::usage(
                    format!("{TOKEN} holds no token"),
                    "It must be 16 to 512 printable ASCII characters, without spaces; \
                     or leave it unset and one is made.",
                )
            }),
            Err(_) => Token::generate().map(Some).map_err(|error| {
                Failure::new(Code::Internal, format!("no randomness to be had: {error}"))
            }),
        }
    }
}

/// Where it listens, and what can be had there.
async fn say(proxy: &Proxy, verdict: &Verdict, server: String, output: Output) {
    let offers = proxy.offers().await.unwrap_or_default();
    let token = proxy.token().map(Token::expose);
    let mut text = format!(
        "{verdict}\n\nlistening on {}, for this user's own processes\n\n    export {SDK_URL}={}",
        proxy.url(),
        proxy.url()
    );
    if let Some(token) = token {
        text.push_str(&format!(
            "\n\nand give the SDK's .bearer_token(…) this:\n\n    {token}"
        ));
    }
    text.push('\n');
    for mode in &offers.modes {
        text.push_str(&format!("\noffered      {}", mode.name()));
    }
    for (mode, why) in &offers.missing {
        text.push_str(&format!("\nnot offered  {}: {why}", mode.name()));
    }
    let report = Listening {
        event: "listening",
        url: proxy.url(),
        token,
        server,
        offered: offers.modes.iter().copied().map(Mode::name).collect(),
        not_offered: offers
            .missing
            .iter()
            .map(|(mode, why)| NotOffered {
                mode: mode.name(),
                why: why.clone(),
            })
            .collect(),
        verdict,
    };
    output.result(&report, text);
}

/// Starts the command, with the proxy in its environment.
fn start(program: &OsStr, arguments: &[OsString], proxy: &Proxy) -> Result<Child, Failure> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env(SDK_URL, proxy.url())
        .env(OWN_URL, proxy.url())
        .kill_on_drop(true);
    match proxy.token() {
        Some(token) => command.env(TOKEN, token.expose()),
        None => command.env_remove(TOKEN),
    };
    for name in NO_PROXY {
        let mut hosts = std::env::var_os(name).unwrap_or_default();
        if !hosts.is_empty() {
            hosts.push(",");
        }
        hosts.push("127.0.0.1,::1");
        command.env(name, hosts);
    }
    command
        .spawn()
        .map_err(|error| Failure::file(Path::new(program), &error))
}

/// What asks this process to stop: Ctrl-C, and SIGTERM where there is one.
struct Stops {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Stops {
    /// From now on they no longer end this process by themselves.
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn first(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for the command, which is asked to stop in this one's place: a
    /// terminal's Ctrl-C reaches it by itself, a SIGTERM is passed on.
    async fn wait(mut self, mut child: Child) -> std::io::Result<ExitStatus> {
        use rustix::process::{Pid, Signal, kill_process};
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        loop {
            tokio::select! {
                status = child.wait() => return status,
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {
                    // It may have ended just now.
                    let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
                }
            }
        }
    }
}

#[cfg(not(unix))]
impl Stops {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {})
    }

    async fn first(self) {
        let _ = tokio::signal::ctrl_c().await;
    }

    async fn wait(self, mut child: Child) -> std::io::Result<ExitStatus> {
        child.wait().await
    }
}

/// As shells tell it: a signal is 128 and its number.
fn exit_code(status: ExitStatus) -> i32 {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;
        if let Some(signal) = status.signal() {
            return 128 + signal;
        }
    }
    status.code().unwrap_or(1)
}
