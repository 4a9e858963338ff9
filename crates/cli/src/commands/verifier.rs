//! `soundproof verifier serve`: appraises evidence for clients that cannot do
//! it themselves. They trust whoever runs it.

use crate::{failure::Failure, files, output::Output};
use serde::Serialize;
use soundproof::{now_ms, protocol::error::Code};
use soundproof_collateral::CollateralConfig;
use soundproof_verifier::{
    Verifier, VerifierConfig, VerifierError,
    api::Key,
    signer::{self, SigningKey},
};
use std::{net::SocketAddr, path::PathBuf};
use tokio_util::sync::CancellationToken;

/// Bytes of a key's file at most.
const MAX_KEY: usize = 256;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Answer with verdicts by the policies of a folder
    ///
    /// POST /v1/appraise; see /openapi.json. Whoever believes the answers
    /// trusts whoever runs this.
    Serve(Serve),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Folder of policies, NAME.toml each
    #[arg(long, value_name = "DIR")]
    policies: PathBuf,
    /// Address to listen on; port 0 takes a free one. TLS off loopback
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7602")]
    listen: SocketAddr,
    /// File of the key that answers are signed with (ES256); made if it is not
    /// there [default: a key that ends with this process]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Who appraises: the URI or name that clients know the key by
    #[arg(long, value_name = "NAME", default_value = "soundproof-verifier")]
    issuer: String,
    /// Seconds that an answer may be relied on
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    lifetime: u64,
    /// File of the API keys of those who may ask, by their SHA-256; needed off
    /// loopback
    #[arg(long, value_name = "FILE")]
    api_keys: Option<PathBuf>,
    /// Serve without API keys on an address that others can reach: everybody
    /// who can may ask
    #[arg(long, conflicts_with = "api_keys")]
    open_to_all: bool,
    /// PEM file of a TLS certificate chain [default: off loopback one that is
    /// made at the start]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// PEM file of its private key
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Fetch endorsements that a request does not bring from the vendors
    #[arg(long)]
    fetch: bool,
    /// File of endorsements to take instead, as `collateral fetch` writes it
    #[arg(long, value_name = "FILE")]
    collateral: Option<PathBuf>,
    /// Folder to keep endorsements in that were fetched
    #[arg(long, value_name = "DIR", requires = "fetch")]
    cache: Option<PathBuf>,
    /// Requests a second from one address
    #[arg(long, value_name = "N", default_value_t = 20)]
    rate: u32,
}

/// What is said when it listens.
#[derive(Serialize)]
struct Listening {
    event: &'static str,
    url: String,
    /// SHA-256 of the TLS key.
    #[serde(skip_serializing_if = "Option::is_none")]
    spki: Option<String>,
    policies: Vec<String>,
    /// Verifies the answers' signatures.
    key: Key,
}

pub(crate) async fn run(command: &Command, output: Output) -> Result<(), Failure> {
    let Command::Serve(args) = command;
    let verifier = Verifier::open(args.config(), args.key()?, now_ms)
        .await
        .map_err(failure)?;
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let listening = Listening {
        event: "listening",
        url: verifier.url(),
        spki: verifier.spki().map(|spki| spki.to_string()),
        policies: verifier.policies(),
        key: verifier.key(),
    };
    let mut text = format!(
        "listening on {}\npolicies     {}\nsigns with   {} (/v1/keys)",
        listening.url,
        listening.policies.join(", "),
        listening.key.kid
    );
    if let Some(spki) = &listening.spki {
        text.push_str(&format!("\nTLS key      {spki}"));
    }
    text.push_str(
        "\n\nClients that believe these answers trust you, this machine and the way to it. \
         Those that can appraise by themselves should.",
    );
    output.result(&listening, text);
    verifier.serve(stop).await;
    Ok(())
}

impl Serve {
    /// The key of the file, which is made if it is not there.
    fn key(&self) -> Result<SigningKey, Failure> {
        let unheard =
            |error: std::io::Error| Failure::new(Code::Internal, format!("randomness: {error}"));
        let Some(path) = &self.key else {
            return signer::generate().map(|(key, _)| key).map_err(unheard);
        };
        if !path.exists() {
            let (key, text) = signer::generate().map_err(unheard)?;
            files::write(path, text.as_bytes(), true)?;
            return Ok(key);
        }
        let text = files::read(path, MAX_KEY)?;
        core::str::from_utf8(&text)
            .ok()
            .and_then(signer::from_hex)
            .ok_or_else(|| {
                Failure::usage(
                    format!("{} holds no key", path.display()),
                    "It must hold 64 hexadecimal digits; name a file that is not there and one is made.",
                )
            })
    }

    fn config(&self) -> VerifierConfig {
        let mut config = VerifierConfig::new(self.listen, &self.policies);
        config.issuer = self.issuer.clone();
        config.lifetime_s = self.lifetime;
        config.api_keys = self.api_keys.clone();
        config.open_to_all = self.open_to_all;
        config.certificate = self.tls_certificate.clone().zip(self.tls_key.clone());
        config.rate = (self.rate, self.rate.saturating_mul(5));
        if self.fetch || self.collateral.is_some() {
            let mut collateral = CollateralConfig::default();
            collateral.offline = !self.fetch;
            collateral.bundle = self.collateral.clone();
            collateral.cache = self.cache.clone();
            config.collateral = Some(collateral);
        }
        config
    }
}

fn failure(error: VerifierError) -> Failure {
    match error {
        VerifierError::Policy { .. } => Failure::new(Code::PolicyInvalid, error.to_string()),
        VerifierError::Collateral(error) => super::collateral::failure(error),
        VerifierError::Config(why) => {
            Failure::usage(why, "See `soundproof verifier serve --help`.")
        }
        error => Failure::usage(error.to_string(), "Name a free port, or port 0."),
    }
}

#[cfg(unix)]
fn stop_on_signal(stop: CancellationToken) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let lost = |error: std::io::Error| Failure::new(Code::Internal, format!("signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(lost)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(lost)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

#[cfg(not(unix))]
fn stop_on_signal(stop: CancellationToken) -> Result<(), Failure> {
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        stop.cancel();
    });
    Ok(())
}
