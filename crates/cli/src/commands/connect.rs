//! `soundproof connect`: the SP1 SDK's network on this machine's loopback,
//! in front of a server that is appraised first and then again and again.

use crate::{connect::Connect, failure::Failure, output::Output};
use serde::Serialize;
use soundproof::{
    Verdict,
    protocol::{error::Code, mode::ModeOffer},
};
use soundproof_sp1_proxy::{Door, Proxy, ProxyError, Receipts, Rhythm, Settings, Token};
use std::{ffi::OsString, net::SocketAddr, path::PathBuf, process::ExitStatus, sync::Arc};
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
    verdict: &'a Verdict,
    offered: Vec<&'static str>,
    not_offered: Vec<NotOffered>,
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
            Failure::new(
                Code::FileUnreadable,
                format!("cannot listen on {}: {error}", args.listen),
            )
            .remedy("Name a free port of a loopback address, or port 0.")
        })?;
    let receipts = Arc::new(receipts);
    let settings = Settings {
        client: client.clone(),
        acknowledges_not_hiding: args.acknowledge_not_hiding,
        door,
        receipts: receipts.clone(),
        rhythm: Rhythm::default(),
    };
    let (proxy, verdict) = Proxy::start(settings).await.map_err(|error| match error {
        ProxyError::Server(error) => Failure::from(error),
        error => Failure::new(Code::Internal, error.to_string()),
    })?;
    let ended = match args.command.split_first() {
        None => {
            listening(args, &proxy, &verdict, client.url(), output);
            until_signal().await;
            None
        }
        Some((program, arguments)) => {
            output.warn(&verdict);
            let mut child = start(program, arguments, &proxy)?;
            Some(wait(&mut child).await.map_err(|error| {
                Failure::new(Code::Internal, format!("cannot wait for the command: {error}"))
            })?)
        }
    };
    proxy.stop().await;
    match ended {
        None => Ok(()),
        Some(status) if status.success() => Ok(()),
        // Its words were its own; so is its exit code.
        Some(status) => std::process::exit(exit_code(status)),
    }
