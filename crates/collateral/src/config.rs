//! What the operator sets. None of it can affect what a client accepts.

use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// Sources at most.
pub(crate) const MAX_SOURCES: usize = 32;

/// See the module. Every field has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CollateralConfig {
    /// Where to fetch from; those of one kind are tried in order. Default: the
    /// vendors' own services.
    pub sources: Vec<SourceConfig>,
    /// Fetch nothing: what is not in the cache or the bundle is not there.
    pub offline: bool,
    /// Folder of what was fetched. Default none: memory only. The gateway's is
    /// in its data folder.
    pub cache: Option<PathBuf>,
    /// File of endorsements, as `soundproof collateral fetch` writes it; read
    /// again when it changes.
    pub bundle: Option<PathBuf>,
    /// Which of Intel's TCB evaluations. Default: the one that is enforced.
    pub evaluation: Evaluation,
    /// Seconds after which a fresh copy is asked for. Default one day, so that
    /// a TCB recovery is seen long before old documents end.
    pub refresh_s: u64,
    /// Seconds before a document's end by which a fresh copy must be there, or
    /// it is warned of. Default 7 days.
    pub margin_s: u64,
    /// Rounds over the sources, in one attempt to fetch. Default 3.
    pub rounds: u32,
    /// Milliseconds between the first two; doubled each time, with jitter.
    /// Default 500.
    pub wait_ms: u64,
    /// Seconds between attempts while all sources fail; doubled each time, up
    /// to an hour. Default 30.
    pub retry_s: u64,
}

impl Default for CollateralConfig {
    fn default() -> Self {
        const DAY: u64 = 24 * 3600;
        Self {
            sources: SourceConfig::vendors(),
            offline: false,
            cache: None,
            bundle: None,
            evaluation: Evaluation::default(),
            refresh_s: DAY,
            margin_s: 7 * DAY,
            rounds: 3,
            wait_ms: 500,
            retry_s: 30,
        }
    }
}

/// Which of Intel's TCB evaluation data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evaluation {
    /// The one that Intel enforces at present.
    #[default]
    Standard,
    /// The newest, before it is enforced: a machine that was not updated shows
    /// as out of date some months earlier.
    Early,
}

impl Evaluation {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Early => "early",
        }
    }
}

/// What a source speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// Intel's provisioning certification service, version 4.
    Pcs,
    /// A cache of it (PCCS), which answers the same, and with the root's list
    /// too.
    Pccs,
    /// AMD's key distribution service, or a mirror of it.
    Kds,
    /// NVIDIA's reference integrity manifests.
    Rim,
    /// NVIDIA's OCSP responder.
    Ocsp,
    /// NVIDIA's remote attestation service. Off unless it is named: it learns
    /// of each session and its GPUs.
    Nras,
}

impl Kind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::Pcs,
        Self::Pccs,
        Self::Kds,
        Self::Rim,
        Self::Ocsp,
        Self::Nras,
    ];

    /// The name in configurations and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcs => "pcs",
            Self::Pccs => "pccs",
            Self::Kds => "kds",
            Self::Rim => "rim",
            Self::Ocsp => "ocsp",
            Self::Nras => "nras",
        }
    }
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SourceConfig {
    /// What it speaks.
    pub kind: Kind,
    /// Its base URL: https, or http to a loopback address.
    pub url: String,
    /// For `pcs`: where the list of Intel's root is. Default Intel's own; a
    /// `pccs` has it itself.
    #[serde(default)]
    pub root_crl: Option<String>,
    /// PEM file of the certificates that its TLS certificate must stand
    /// under. Default: the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// HTTP proxy to reach it through. Default none; the environment is not
    /// looked at.
    #[serde(default)]
    pub proxy: Option<String>,
    /// File of a bearer token to send it.
    #[serde(default)]
    pub bearer_file: Option<PathBuf>,
    /// Milliseconds that all of it may take. Default 10,000.
    #[serde(default = "defaults::timeout_ms")]
    pub timeout_ms: u64,
}

mod defaults {
    pub(super) const fn timeout_ms() -> u64 {
        10_000
    }
}

impl SourceConfig {
    /// A source with defaults.
    pub fn new(kind: Kind, url: impl Into<String>) -> Self {
        Self {
            kind,
            url: url.into(),
            root_crl: None,
            ca: None,
            proxy: None,
            bearer_file: None,
            timeout_ms: defaults::timeout_ms(),
        }
    }

    /// The vendors' own.
    pub fn vendors() -> Vec<Self> {
        vec![
            Self::new(Kind::Pcs, "https://api.trustedservices.intel.com"),
            Self::new(Kind::Kds, "https://kdsintf.amd.com"),
            Self::new(Kind::Rim, "https://rim.attestation.nvidia.com"),
            Self::new(Kind::Ocsp, "https://ocsp.ndis.nvidia.com"),
        ]
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_a_list_and_an_unknown_key_is_an_error() {
        let text = "cache = '/var/cache/x'\nevaluation = 'early'\n\
            [[sources]]\nkind = 'pccs'\nurl = 'https://pccs.example'\nca = '/etc/ca.pem'\n\
            [[sources]]\nkind = 'pcs'\nurl = 'https://api.trustedservices.intel.com'";
        let config: CollateralConfig = toml::from_str(text).unwrap();
        assert_eq!(config.sources.len(), 2);
        assert_eq!(config.sources[0].kind, Kind::Pccs);
        assert_eq!(config.evaluation, Evaluation::Early);
        let config: CollateralConfig = toml::from_str("").unwrap();
        assert_eq!(config.sources, SourceConfig::vendors());
        let nras = |source: &SourceConfig| source.kind == Kind::Nras;
        assert!(!config.sources.iter().any(nras), "only where it is named");
        for wrong in [
            "source = []",
            "evaluation = 'latest'",
            "[[sources]]\nkind = 'ftp'\nurl = 'x'",
            "[[sources]]\nkind = 'pcs'",
            "[[sources]]\nkind = 'pcs'\nurl = 'x'\nredirects = true",
        ] {
            assert!(
                toml::from_str::<CollateralConfig>(wrong).is_err(),
                "{wrong}"
            );
        }
    }
}
