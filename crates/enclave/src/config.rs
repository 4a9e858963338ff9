//! The configuration file (TOML), and the flags that override it. An unknown
//! key is an error: a misspelt option must not be a silent default.

use crate::Error;
use clap::Args;
use serde::Deserialize;
use soundproof_gateway::GatewayConfig;
use std::{net::SocketAddr, path::PathBuf};

/// Flags.
#[derive(Args)]
pub(crate) struct Options {
    /// Configuration file; flags override it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Folder for the store.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Platform that makes evidence. Never chosen automatically.
    #[arg(long, value_name = "NAME")]
    platform: Option<Platform>,
    /// Folder for the software platform's keys (default: DATA/software).
    #[arg(long, value_name = "DIR")]
    software_pki: Option<PathBuf>,
    /// Milliseconds that the software platform takes for a quote.
    #[arg(long, value_name = "MS")]
    software_quote_delay_ms: Option<u64>,
    /// Prover executable, by the proof system that it must be for; repeat for
    /// more.
    #[arg(long, value_name = "SYSTEM=FILE", value_parser = named)]
    prover: Vec<(String, PathBuf)>,
    /// Jobs that may run at once.
    #[arg(long, value_name = "N")]
    slots: Option<u32>,
    /// File with API keys.
    #[arg(long, value_name = "FILE")]
    api_keys: Option<PathBuf>,
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (system, path) = text
        .split_once('=')
        .ok_or("SYSTEM=FILE, such as groth16=./prover")?;
    Ok((system.into(), path.into()))
}

/// Where evidence comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Platform {
    /// For development. NO HARDWARE PROTECTS ANYTHING.
    #[cfg(feature = "software")]
    Software,
}

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) platform: Option<Platform>,
    pub(crate) software: Software,
    pub(crate) keeper: KeeperOptions,
    pub(crate) prover: Vec<ProverOptions>,
    /// Kept as it stands: the gateway's process reads it.
    pub(crate) gateway: toml::Table,
}

/// `[software]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Software {
    pub(crate) pki: Option<PathBuf>,
    pub(crate) quote_delay_ms: u64,
}

/// `[keeper]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct KeeperOptions {
    pub(crate) session_lifetime_s: Option<u32>,
    pub(crate) max_sessions: Option<usize>,
    pub(crate) max_jobs: Option<usize>,
    pub(crate) slots: Option<u32>,
    pub(crate) max_attempts: Option<u32>,
}

/// `[[prover]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProverOptions {
    /// The proof system that it must be for.
    pub(crate) system: String,
    /// Its file.
    pub(crate) executable: PathBuf,
    /// Bytes of memory that all its processes may use together.
    #[serde(default)]
    pub(crate) memory_bytes: Option<u64>,
    /// Bytes of one input at most.
    #[serde(default)]
    pub(crate) max_input_bytes: Option<u64>,
    /// First of the user ids that its processes run as, when started as root.
    #[serde(default)]
    pub(crate) first_user: Option<u32>,
}

impl Config {
    /// Reads the file that the flags name, and lays the flags over it.
    pub(crate) fn load(options: Options) -> Result<Self, Error> {
        let mut config = match &options.config {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?
            }
            None => Self::default(),
        };
        config.platform = options.platform.or(config.platform);
        config.software.pki = options.software_pki.or(config.software.pki);
        if let Some(delay) = options.software_quote_delay_ms {
            config.software.quote_delay_ms = delay;
        }
        config.keeper.slots = options.slots.or(config.keeper.slots);
        if !options.prover.is_empty() {
            let prover = |(system, executable)| ProverOptions {
                system,
                executable,
                memory_bytes: None,
                max_input_bytes: None,
                first_user: None,
            };
            config.prover = options.prover.into_iter().map(prover).collect();
        }
        config.set_gateway("listen", options.listen.map(|listen| listen.to_string()));
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        let data = options.data.map(path);
        if data.is_some() || !config.gateway.contains_key("data") {
            config.set_gateway(
                "data",
                Some(data.unwrap_or_else(|| "soundproof-data".into())),
            );
        }
        config.set_gateway("api_keys", options.api_keys.map(path));
        // A mistake in it is told now, not by a child that dies.
        let _: GatewayConfig = config.gateway.clone().try_into()?;
        Ok(config)
    }

    /// Sets one of the gateway's keys.
    pub(crate) fn set_gateway(&mut self, key: &str, value: Option<String>) {
        if let Some(value) = value {
            self.gateway.insert(key.into(), toml::Value::String(value));
        }
    }

    /// The store's folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.gateway
            .get("data")
            .and_then(toml::Value::as_str)
            .unwrap_or_default()
            .into()
    }
}
