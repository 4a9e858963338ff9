//! The gateway's settings. None of them can affect who sees a secret; those
//! that could are the keeper's, and attested.

use serde::Deserialize;
use soundproof_collateral::CollateralConfig;
use std::{net::SocketAddr, path::PathBuf};

/// See the module. Every field has a default but [`data`](Self::data).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GatewayConfig {
    /// Where to listen. Plain HTTP on a loopback address, TLS on any other.
    /// Default `127.0.0.1:7600`; port 0 takes a free one.
    #[serde(default = "defaults::listen")]
    pub listen: SocketAddr,
    /// The store's folder.
    pub data: PathBuf,
    /// File of API keys; see [`ApiKeys`](crate::ApiKeys). Without one nobody
    /// authenticates, which is refused off loopback unless
    /// [`open_to_all`](Self::open_to_all).
    #[serde(default)]
    pub api_keys: Option<PathBuf>,
    /// Serve without API keys on an address that others can reach. Default
    /// `false`.
    #[serde(default)]
    pub open_to_all: bool,
    /// Web origins (`https://example.org`) whose pages may call. Default none:
    /// every request that a page of any origin makes is refused.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Take no job whose proof may reveal its witness. Default `false`.
    #[serde(default)]
    pub refuse_not_hiding: bool,
    /// With the direct path on: what the URLs begin with that SP1's own clients
    /// are given for programs, inputs and proofs, such as
    /// `https://prover.example`. Default: where this server listens.
    #[serde(default)]
    pub sp1_public_url: Option<String>,
    /// Likewise: addresses (`0x` and 40 hex digits) of those who may ask for
    /// proofs there. Default none, which is everybody, and refused off
    /// loopback unless [`open_to_all`](Self::open_to_all).
    #[serde(default)]
    pub sp1_requesters: Vec<String>,
    /// TLS.
    #[serde(default)]
    pub tls: Tls,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// Rates for each source address.
    #[serde(default)]
    pub rates: Rates,
    /// Bounds and times of the store.
    #[serde(default)]
    pub storage: Storage,
    /// Where endorsements come from that the keeper does not have. Kept in the
    /// store's folder unless it says where.
    #[serde(default)]
    pub collateral: CollateralConfig,
}

impl GatewayConfig {
    /// The defaults, for a store in `data`.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            listen: defaults::listen(),
            data: data.into(),
            api_keys: None,
            open_to_all: false,
            origins: Vec::new(),
            refuse_not_hiding: false,
            sp1_public_url: None,
            sp1_requesters: Vec::new(),
            tls: Tls::default(),
            limits: Limits::default(),
            rates: Rates::default(),
            storage: Storage::default(),
            collateral: CollateralConfig::default(),
        }
    }
}

mod defaults {
    use std::net::{Ipv4Addr, SocketAddr};

    pub(super) fn listen() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 7600).into()
    }
}

/// How connections are encrypted. By default: not on loopback, and elsewhere
/// with a key made in this process and a certificate signed by itself, whose
/// key's digest is in every session's transcript.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Tls {
    /// Use TLS with a key made here even on loopback.
    pub self_signed: bool,
    /// PEM file of a certificate chain to use instead, leaf first.
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    pub key: Option<PathBuf>,
}

/// Bounds on what clients may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once. Default 1024.
    pub connections: u32,
    /// Connections at once from one source. Default 256.
    pub connections_per_source: u32,
    /// HTTP/2 streams at once on one connection. Default 256.
    pub streams: u32,
    /// Bytes of all headers of a request. Default 16 KiB.
    pub header_bytes: u32,
    /// Header fields of a request. Default 64.
    pub headers: u32,
    /// Seconds for a request's headers, or a TLS handshake. Default 10.
    pub header_seconds: u64,
    /// Seconds that a body may take before [`body_rate`](Self::body_rate)
    /// counts. Default 30.
    pub body_seconds: u64,
    /// Bytes a second that a body must bring beyond that. Default 1024.
    pub body_rate: u64,
    /// Bodies that are stored at once; more wait. Default 64.
    pub uploads: u32,
    /// Event streams and long polls at once. Default 1024.
    pub subscribers: u32,
    /// Bytes of a blob. Default 8 GiB.
    pub blob_bytes: u64,
    /// Ciphertext bytes of an input. Default 16 GiB.
    pub input_bytes: u64,
    /// Jobs that have not ended. Default 100,000.
    pub unfinished_jobs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_source: 256,
            streams: 256,
            header_bytes: 16 * 1024,
            headers: 64,
            header_seconds: 10,
            body_seconds: 30,
            body_rate: 1024,
            uploads: 64,
            subscribers: 1024,
            blob_bytes: 8 << 30,
            input_bytes: 16 << 30,
            unfinished_jobs: 100_000,
        }
    }
}

/// Rates for each source: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Rates {
    /// Requests a second. Default 2000.
    pub requests: u32,
    /// Requests at once. Default 10,000.
    pub requests_burst: u32,
    /// Sessions a second. Default 100.
    pub sessions: u32,
    /// Sessions at once. Default 2000.
    pub sessions_burst: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            requests: 2000,
            requests_burst: 10_000,
            sessions: 100,
            sessions_burst: 2000,
        }
    }
}

/// Bounds and times of the store.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Storage {
    /// Bytes of inputs, outcomes and blobs in all. Default: the disk's.
    pub max_bytes: u64,
    /// Bytes of the disk that new jobs, parts and blobs leave free. Default
    /// 256 MiB.
    pub min_free_bytes: u64,
    /// Seconds for an input to be complete. Default one day.
    pub upload_seconds: u64,
    /// Seconds that an outcome is kept. Default 7 days.
    pub outcome_seconds: u64,
    /// Seconds that a blob is kept since it was last used. Default 30 days.
    pub blob_seconds: u64,
}

impl Default for Storage {
    fn default() -> Self {
        const DAY: u64 = 24 * 3600;
        Self {
            max_bytes: i64::MAX as u64,
            min_free_bytes: 256 << 20,
            upload_seconds: DAY,
            outcome_seconds: 7 * DAY,
            blob_seconds: 30 * DAY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_enough_and_an_unknown_key_is_an_error() {
        let config: GatewayConfig = toml::from_str("data = '/var/lib/x'").unwrap();
        assert!(config.listen.ip().is_loopback());
        assert!(config.origins.is_empty() && config.api_keys.is_none());
        for wrong in [
            "",
            "data = '/x'\nlissen = 1",
            "data = '/x'\n[limits]\nconnection = 1",
        ] {
            assert!(toml::from_str::<GatewayConfig>(wrong).is_err(), "{wrong}");
        }
    }
}
