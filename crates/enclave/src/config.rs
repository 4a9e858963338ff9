//! The configuration file (TOML), and the flags that override it. An unknown
//! key is an error: a misspelt option must not be a silent default.

use crate::{
    Error,
    provers::{self, Named, ProverOptions},
};
use clap::Args;
use serde::Deserialize;
use soundproof_gateway::GatewayConfig;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

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
    /// Platform that makes evidence (default: the one that this machine is).
    #[arg(long, value_name = "NAME")]
    platform: Option<Platform>,
    /// Whose evidence vouches for this machine's GPUs, for provers that use
    /// them (default: none, and none is used).
    #[arg(long, value_name = "NAME")]
    gpus: Option<Gpus>,
    /// Folder for the software platform's keys (default: DATA/software).
    #[arg(long, value_name = "DIR")]
    software_pki: Option<PathBuf>,
    /// Milliseconds that the software platform takes for a quote.
    #[arg(long, value_name = "MS")]
    software_quote_delay_ms: Option<u64>,
    /// Prover executable, by the proof system that it must be for; repeat for
    /// more. SYSTEM+avx512=FILE is used instead on CPUs with AVX-512.
    #[arg(long, value_name = "SYSTEM=FILE")]
    prover: Vec<Named>,
    /// Jobs that may run at once.
    #[arg(long, value_name = "N")]
    slots: Option<u32>,
    /// File with API keys.
    #[arg(long, value_name = "FILE")]
    api_keys: Option<PathBuf>,
    /// Take no job whose proof may reveal its witness.
    #[arg(long)]
    refuse_not_hiding: bool,
    /// Serve SP1's own clients straight: their inputs arrive in clear and are
    /// sealed on arrival. Attested.
    #[arg(long)]
    sp1_direct: bool,
    /// DANGER: let provers put secrets on a GPU that no evidence vouches for.
    /// Attested; refused on a hardware platform.
    #[arg(long)]
    danger_gpu_unattested: bool,
    /// With --sp1-direct: what the URLs begin with that those clients are
    /// given, such as `https://prover.example`.
    #[arg(long, value_name = "URL")]
    sp1_public_url: Option<String>,
    /// With --sp1-direct: address (0x…) of somebody who may ask for proofs;
    /// repeat for more. Without any, everybody may.
    #[arg(long, value_name = "ADDRESS")]
    sp1_requester: Vec<String>,
    /// File of endorsements, as `soundproof collateral fetch` writes it, for a
    /// machine that cannot reach their sources.
    #[arg(long, value_name = "FILE")]
    collateral: Option<PathBuf>,
}

/// Where evidence comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Platform {
    /// The one that this machine is; never the software platform.
    #[default]
    Auto,
    /// Intel TDX, by Linux's configfs-tsm.
    Tdx,
    /// AMD SEV-SNP, by Linux's configfs-tsm.
    Snp,
    /// dstack, by its guest agent.
    Dstack,
    /// AWS Nitro.
    Nitro,
    /// Azure's confidential VM on TDX.
    AzureTdx,
    /// Azure's confidential VM on SEV-SNP.
    AzureSnp,
    /// For development. NO HARDWARE PROTECTS ANYTHING.
    #[cfg(feature = "software")]
    Software,
}

/// Whose evidence vouches for GPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Gpus {
    /// Nobody's: provers use no GPU.
    #[default]
    None,
    /// NVIDIA's, in confidential-computing mode.
    Nvidia,
}

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) platform: Platform,
    pub(crate) gpus: Gpus,
    pub(crate) software: Software,
    pub(crate) keeper: KeeperOptions,
    /// By proof system.
    pub(crate) prover: BTreeMap<String, ProverOptions>,
    /// Keeper and gateway both go by it.
    pub(crate) refuse_not_hiding: bool,
    /// Trust configuration.
    pub(crate) sp1_direct: bool,
    /// Trust configuration.
    pub(crate) danger_gpu_unattested: bool,
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
    /// Seconds that the collector may take for one answer, 1 to 600.
    pub(crate) collector_s: Option<u64>,
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
        config.platform = options.platform.unwrap_or(config.platform);
        config.gpus = options.gpus.unwrap_or(config.gpus);
        config.software.pki = options.software_pki.or(config.software.pki);
        if let Some(delay) = options.software_quote_delay_ms {
            config.software.quote_delay_ms = delay;
        }
        config.keeper.slots = options.slots.or(config.keeper.slots);
        if !options.prover.is_empty() {
            config.prover = provers::lay_over(&config.prover, options.prover);
        }
        if config
            .keeper
            .collector_s
            .is_some_and(|s| !(1..=600).contains(&s))
        {
            return Err("collector_s is 1 to 600".into());
        }
        config.sp1_direct |= options.sp1_direct;
        config.danger_gpu_unattested |= options.danger_gpu_unattested;
        config.refuse_not_hiding |= options.refuse_not_hiding;
        if config.gpus != Gpus::None && config.danger_gpu_unattested {
            return Err("gpus and danger_gpu_unattested exclude each other".into());
        }
        if config.sp1_direct && !config.prover.contains_key("sp1") {
            return Err("sp1_direct needs a prover for sp1".into());
        }
        // One setting for both processes.
        if config.gateway.contains_key("refuse_not_hiding") {
            return Err("refuse_not_hiding stands above all tables, not in [gateway]".into());
        }
        config.set_gateway("refuse_not_hiding", Some(config.refuse_not_hiding));
        config.set_gateway("sp1_public_url", options.sp1_public_url);
        let requesters = Some(options.sp1_requester).filter(|some| !some.is_empty());
        config.set_gateway("sp1_requesters", requesters);
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
        if let Some(bundle) = options.collateral {
            let table = config.gateway.entry("collateral");
            let table = table.or_insert_with(|| toml::Table::new().into());
            if let Some(table) = table.as_table_mut() {
                table.insert("bundle".into(), path(bundle).into());
            }
        }
        // A mistake in it is told now, not by a child that dies.
        let _: GatewayConfig = config.gateway.clone().try_into()?;
        Ok(config)
    }

    /// Sets one of the gateway's keys.
    pub(crate) fn set_gateway(&mut self, key: &str, value: Option<impl Into<toml::Value>>) {
        if let Some(value) = value {
            self.gateway.insert(key.into(), value.into());
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn load(file: &str, flags: &[&str]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("soundproofd.toml");
        std::fs::write(&path, file).unwrap();
        let path = path.to_str().unwrap();
        let arguments = [&["soundproofd", "--config", path], flags].concat();
        let parsed =
            crate::Arguments::try_parse_from(arguments).map_err(|error| error.to_string())?;
        Config::load(parsed.options).map_err(|error| error.to_string())
    }

    #[test]
    fn a_table_a_prover_and_flags_over_it() {
        let file = "[prover.sp1]\nexecutable = '/a'\nexecutable_avx512 = '/b'\ntime_s = 60\n\
            [prover.groth16]\nexecutable = '/c'\n[gateway]\nsp1_requesters = ['0x1']";
        let config = load(file, &[]).unwrap();
        assert_eq!(config.prover.len(), 2);
        assert_eq!(config.prover["sp1"].time_s, Some(60));
        assert!(!config.sp1_direct && !config.refuse_not_hiding);
        let with_bundle = "[gateway.collateral]\noffline = true";
        let bundle = load(with_bundle, &["--collateral", "/x.bundle"]).unwrap();
        let bundle: GatewayConfig = bundle.gateway.try_into().unwrap();
        assert!(bundle.collateral.offline);
        assert_eq!(bundle.collateral.bundle, Some("/x.bundle".into()));
        let flags = ["--prover", "sp1=/d", "--sp1-direct", "--refuse-not-hiding"];
        let more = ["--sp1-requester", "0x2", "--sp1-requester", "0x3"];
        let config = load(file, &[flags.as_slice(), &more].concat()).unwrap();
        assert_eq!(config.prover.len(), 1);
        assert_eq!(config.prover["sp1"].time_s, Some(60));
        assert!(config.sp1_direct && config.refuse_not_hiding);
        let gateway: GatewayConfig = config.gateway.try_into().unwrap();
        assert!(gateway.refuse_not_hiding);
        assert_eq!(gateway.sp1_requesters, ["0x2", "0x3"]);
    }

    #[test]
    fn the_platform_is_found_unless_it_is_named() {
        assert_eq!(load("", &[]).unwrap().platform, Platform::Auto);
        let file = "platform = 'azure-tdx'\ngpus = 'nvidia'";
        let config = load(file, &[]).unwrap();
        assert_eq!(config.platform, Platform::AzureTdx);
        assert_eq!(config.gpus, Gpus::Nvidia);
        let config = load(file, &["--platform", "nitro", "--gpus", "none"]).unwrap();
        assert_eq!(config.platform, Platform::Nitro);
        assert_eq!(config.gpus, Gpus::None);
    }

    /// Broken if a misspelt or misplaced setting were a silent default.
    #[test]
    fn what_makes_no_sense_stops_the_start() {
        for (file, flags) in [
            ("sp1_driect = true", &[] as &[&str]),
            ("[prover.sp1]\nexecutables = '/a'", &[]),
            ("[[prover]]\nsystem = 'sp1'", &[]),
            (
                "sp1_direct = true\n[prover.groth16]\nexecutable = '/a'",
                &[],
            ),
            ("[gateway]\nrefuse_not_hiding = true", &[]),
            ("[gateway]\nsp1_requester = []", &[]),
            ("[keeper]\ncollector_s = 0", &[]),
            ("[keeper]\ncollector_s = 601", &[]),
            ("platform = 'azure_tdx'", &[]),
            ("", &["--platform", "hardware"]),
            ("gpus = 'nvidia'\ndanger_gpu_unattested = true", &[]),
            ("", &["--sp1-direct", "--prover", "groth16=/a"]),
            ("", &["--prover", "sp1+avx2=/a"]),
        ] {
            assert!(load(file, flags).is_err(), "{file} {flags:?}");
        }
    }
}
