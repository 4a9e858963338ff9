//! app-compose.json: its hash, and what it lets others see.
//!
//! The hash is over the file's raw bytes: another white space is another
//! application. So the file is read only after its hash was compared; what is
//! read from it then explains, and refuses what shows secrets to others.

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};
use soundproof_protocol::attestation::MAX_EVIDENCE;

/// Bytes of a compose file that are read at most.
pub const MAX_COMPOSE: usize = MAX_EVIDENCE;
/// Container images that are listed at most.
const MAX_IMAGES: usize = 64;

/// SHA-256 of the raw bytes.
pub fn hash(raw: &[u8]) -> [u8; 32] {
    Sha256::digest(raw).into()
}

/// The application id that a deployment has unless it names another: the
/// first 20 bytes of the compose hash (dstack-util, `measure_app_info`).
pub fn default_app_id(compose_hash: &[u8; 32]) -> [u8; 20] {
    compose_hash.first_chunk().copied().unwrap_or([0; 20])
}

/// Why bytes are no compose file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// Longer than [`MAX_COMPOSE`].
    #[error("{0} bytes, at most {MAX_COMPOSE} are read")]
    TooLong(usize),
    /// Not an object in JSON with what a compose file must have.
    #[error("not app-compose.json: line {line}, column {column}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
}

/// Where the guest gets its keys, as the file asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyProviderKind {
    /// Nowhere: its disk does not outlive it.
    None,
    /// A key management service.
    Kms,
    /// A local SGX enclave.
    Local,
    /// A TPM.
    Tpm,
}

/// What a compose file says that a verifier wants to know (dstack-types,
/// `AppCompose`). Other keys are passed over: the hash covers them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Compose {
    /// The application's name.
    pub name: String,
    /// What starts it.
    pub runner: String,
    /// Containers' logs are shown to everybody.
    pub public_logs: bool,
    /// Load, disks and processes are shown to everybody.
    pub public_sysinfo: bool,
    /// Measurements and event log are shown to everybody.
    pub public_tcbinfo: bool,
    /// Where it gets its keys.
    pub key_provider: KeyProviderKind,
    /// The provider that it insists on, in hex; empty for any.
    pub key_provider_id: String,
    /// Reached through dstack's gateway.
    pub gateway: bool,
    /// Variables that whoever deploys it sets, encrypted; not measured.
    pub allowed_envs: Vec<String>,
    /// A script runs before the containers.
    pub pre_launch_script: bool,
    /// SHA-256 of each init script, in order.
    #[serde(skip)]
    pub init_scripts: Vec<[u8; 32]>,
    /// Digests of run-time events are made as version 2 says.
    pub event_log_v2: bool,
    /// It has no instance id.
    pub no_instance_id: bool,
    /// Container images that are named without a digest, so that the compose
    /// hash does not say what they hold.
    pub images_without_digest: Vec<String>,
}

#[derive(Deserialize)]
struct Raw {
    name: String,
    runner: String,
    #[serde(default)]
    docker_compose_file: Option<String>,
    #[serde(default)]
    features: Vec<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    init_script: Vec<String>,
    #[serde(default)]
    pre_launch_script: Option<serde_json::Value>,
    #[serde(default)]
    public_logs: bool,
    #[serde(default)]
    public_sysinfo: bool,
    #[serde(default = "yes")]
    public_tcbinfo: bool,
    #[serde(default)]
    kms_enabled: bool,
    #[serde(default)]
    local_key_provider_enabled: bool,
    #[serde(default)]
    key_provider: Option<KeyProviderKind>,
    #[serde(default)]
    key_provider_id: String,
    #[serde(default)]
    gateway_enabled: bool,
    #[serde(default)]
    tproxy_enabled: bool,
    #[serde(default)]
    allowed_envs: Vec<String>,
    #[serde(default)]
    no_instance_id: bool,
    #[serde(default)]
    event_log_version: Option<u32>,
}

const fn yes() -> bool {
    true
}

fn one_or_many<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scripts {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Option::<Scripts>::deserialize(d)? {
        None => Vec::new(),
        Some(Scripts::One(script)) => vec![script],
        Some(Scripts::Many(scripts)) => scripts,
    })
}

impl Compose {
    /// Reads one. Compare its [`hash`] first.
    ///
    /// # Errors
    /// [`ComposeError`].
    pub fn parse(raw: &[u8]) -> Result<Self, ComposeError> {
        if raw.len() > MAX_COMPOSE {
            return Err(ComposeError::TooLong(raw.len()));
        }
        let raw: Raw = serde_json::from_slice(raw).map_err(|error| ComposeError::Json {
            line: error.line(),
            column: error.column(),
        })?;
        let key_provider = raw.key_provider.unwrap_or(if raw.kms_enabled {
            KeyProviderKind::Kms
        } else if raw.local_key_provider_enabled {
            KeyProviderKind::Local
        } else {
            KeyProviderKind::None
        });
        Ok(Self {
            name: raw.name,
            runner: raw.runner,
            public_logs: raw.public_logs,
            public_sysinfo: raw.public_sysinfo,
            public_tcbinfo: raw.public_tcbinfo,
            key_provider,
            key_provider_id: raw.key_provider_id,
            gateway: raw.gateway_enabled
                || raw.tproxy_enabled
                || raw.features.iter().any(|feature| feature == "tproxy-net"),
            allowed_envs: raw.allowed_envs,
            pre_launch_script: raw
                .pre_launch_script
                .is_some_and(|script| !script.is_null() && script != ""),
            init_scripts: raw
                .init_script
                .iter()
                .map(|script| Sha256::digest(script).into())
                .collect(),
            event_log_v2: raw.event_log_version == Some(2),
            no_instance_id: raw.no_instance_id,
            images_without_digest: raw
                .docker_compose_file
                .as_deref()
                .map(images_without_digest)
                .unwrap_or_default(),
        })
    }
}

/// Lines `image: …` of a Docker compose file whose value has no digest. No
/// reading of YAML: a hint for people, not a check.
fn images_without_digest(yaml: &str) -> Vec<String> {
    yaml.lines()
        .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("image:"))
        .map(|value| value.split(" #").next().unwrap_or(value))
        .map(|value| value.trim().trim_matches(['"', '\'']))
        .filter(|value| !value.is_empty() && !value.contains("@sha256:"))
        .take(MAX_IMAGES)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{"manifest_version":2,"name":"n","runner":"docker-compose"}"#;

    #[test]
    fn defaults_are_dstacks() {
        let compose = Compose::parse(SMALL.as_bytes()).unwrap();
        assert!(!compose.public_logs && !compose.public_sysinfo && compose.public_tcbinfo);
        assert_eq!(compose.key_provider, KeyProviderKind::None);
        assert!(compose.init_scripts.is_empty() && !compose.event_log_v2);
        assert_eq!(default_app_id(&hash(b""))[..4], [0xe3, 0xb0, 0xc4, 0x42]);
    }

    #[test]
    fn another_white_space_is_another_application() {
        let other = SMALL.replace(':', ": ");
        assert_ne!(hash(SMALL.as_bytes()), hash(other.as_bytes()));
        assert_eq!(
            Compose::parse(SMALL.as_bytes()),
            Compose::parse(other.as_bytes())
        );
    }

    #[test]
    fn every_way_to_say_a_thing_is_understood() {
        let parse = |more: &str| {
            Compose::parse(format!("{}{more}}}", &SMALL[..SMALL.len() - 1]).as_bytes()).unwrap()
        };
        assert_eq!(
            parse(r#","kms_enabled":true"#).key_provider,
            KeyProviderKind::Kms
        );
        assert_eq!(
            parse(r#","local_key_provider_enabled":true"#).key_provider,
            KeyProviderKind::Local
        );
        assert_eq!(
            parse(r#","kms_enabled":true,"key_provider":"tpm""#).key_provider,
            KeyProviderKind::Tpm
        );
        assert!(parse(r#","tproxy_enabled":true"#).gateway);
        assert!(parse(r#","features":["tproxy-net"]"#).gateway);
        assert!(parse(r#","public_logs":true"#).public_logs);
        assert_eq!(parse(r#","init_script":"a""#).init_scripts.len(), 1);
        assert_eq!(parse(r#","init_script":["a","b"]"#).init_scripts.len(), 2);
        assert!(parse(r#","init_script":null"#).init_scripts.is_empty());
        assert!(parse(r#","event_log_version":2"#).event_log_v2);
        assert_eq!(
            parse(r#","docker_compose_file":"services:\n a:\n  image: x:1 # why\n b:\n  image: \"y@sha256:00\"\n""#)
                .images_without_digest,
            ["x:1"]
        );
    }

    #[test]
    fn what_is_no_compose_file_is_refused() {
        for bad in ["", "[]", "{}", r#"{"name":1,"runner":""}"#] {
            assert!(Compose::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let twice = SMALL.replacen("{", r#"{"name":"m","#, 1);
        assert!(Compose::parse(twice.as_bytes()).is_err());
        assert_eq!(
            Compose::parse(&vec![b' '; 100_000_000]),
            Err(ComposeError::TooLong(100_000_000))
        );
    }
}
