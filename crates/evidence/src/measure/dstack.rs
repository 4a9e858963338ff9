//! dstack: compose hash, application id, RTMR3 from what a deployment is made
//! of (what the web's RTMR3 calculator does, offline), and MRTD and RTMR0 to 2
//! from an OS image's published measurements.

use crate::{
    bytes::Hex,
    ccel::extend,
    dstack::{
        compose::{Compose, ComposeError, default_app_id, hash},
        identity::KeyProvider,
        log::{Version, runtime_digest},
    },
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes of a file of published measurements at most.
pub const MAX_PUBLISHED: usize = 1024 * 1024;
/// Machines that one such file lists at most.
const MAX_MACHINES: usize = 1024;

/// What a deployment is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment<'a> {
    /// app-compose.json, its raw bytes.
    pub compose: &'a [u8],
    /// Application id, where it is not the first 20 bytes of the compose hash.
    pub app_id: Option<[u8; 20]>,
    /// Instance id; none if the compose file asks for none.
    pub instance_id: Option<[u8; 20]>,
    /// Who gives it its keys, as the guest will measure it.
    pub key_provider: KeyProvider,
    /// Hash of the root file system: guests before 0.5 measure one.
    pub rootfs_hash: Option<[u8; 32]>,
    /// File system of the data disk: guests from 0.5 on measure its name.
    pub storage_fs: Option<String>,
    /// Hash of the GPU policy: guests from 0.6 on measure one. See
    /// [`no_gpu_policy`].
    pub gpu_policy_hash: Option<[u8; 32]>,
    /// Whether the guest measures the hashes of init scripts: 0.6 and later.
    pub init_scripts: bool,
    /// Hash of the OS image, where the KMS answers with one.
    pub os_image_hash: Option<[u8; 32]>,
}

/// Hash of the GPU policy of an application that has none: SHA-256 of `{}`.
pub fn no_gpu_policy() -> [u8; 32] {
    Sha256::digest(b"{}").into()
}

/// What a deployment will measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Expected {
    /// SHA-256 of app-compose.json.
    pub compose_hash: Hex<32>,
    /// Application id.
    pub app_id: Hex<20>,
    /// RTMR3 once the guest says `system-ready`; what the application extends
    /// afterwards is not in it.
    pub rtmr3: Hex<48>,
    /// The events, in order.
    pub events: Vec<ExpectedEvent>,
}

/// One event of RTMR3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExpectedEvent {
    /// Name.
    pub name: &'static str,
    /// Payload, hex.
    pub payload: String,
    /// Digest.
    pub digest: Hex<48>,
}

impl Deployment<'_> {
    /// Computes it (dstack-util, system_setup.rs: `measure_app_info`,
    /// `verify_app`, `setup_fs`).
    ///
    /// # Errors
    /// [`ComposeError`]: the file says in which version events are measured,
    /// and which init scripts there are.
    pub fn expected(&self) -> Result<Expected, ComposeError> {
        let compose = Compose::parse(self.compose)?;
        let version = if compose.event_log_v2 {
            Version::V2
        } else {
            Version::V1
        };
        let compose_hash = hash(self.compose);
        let app_id = self.app_id.unwrap_or(default_app_id(&compose_hash));
        let key_provider = key_provider_json(&self.key_provider);
        let events: Vec<ExpectedEvent> = self
            .payloads(&compose, &compose_hash, &app_id, &key_provider)
            .into_iter()
            .map(|(name, payload)| ExpectedEvent {
                name,
                payload: hex::encode(payload),
                digest: Hex(runtime_digest(name, payload, version)),
            })
            .collect();
        Ok(Expected {
            compose_hash: Hex(compose_hash),
            app_id: Hex(app_id),
            rtmr3: Hex(rtmr(events.iter().map(|event| &event.digest.0))),
            events,
        })
    }

    fn payloads<'b>(
        &'b self,
        compose: &'b Compose,
        compose_hash: &'b [u8; 32],
        app_id: &'b [u8; 20],
        key_provider: &'b [u8],
    ) -> Vec<(&'static str, &'b [u8])> {
        let mut events: Vec<(&'static str, &[u8])> = vec![("system-preparing", &[])];
        let mut push = |name, payload: Option<&'b [u8]>| {
            events.extend(payload.map(|payload| (name, payload)));
        };
        push("rootfs-hash", self.rootfs_hash.as_ref().map(|h| &h[..]));
        push("app-id", Some(app_id));
        push("compose-hash", Some(compose_hash));
        for script in compose.init_scripts.iter().filter(|_| self.init_scripts) {
            push("init-script-hash", Some(script));
        }
        push(
            "gpu-policy-hash",
            self.gpu_policy_hash.as_ref().map(|h| &h[..]),
        );
        push(
            "instance-id",
            Some(self.instance_id.as_ref().map_or(&[], |id| &id[..])),
        );
        push("boot-mr-done", Some(&[]));
        push("os-image-hash", self.os_image_hash.as_ref().map(|h| &h[..]));
        push("key-provider", Some(key_provider));
        push("storage-fs", self.storage_fs.as_ref().map(String::as_bytes));
        push("system-ready", Some(&[]));
        events
    }
}

/// As serde writes dstack's `KeyProviderInfo`: name before id, no space.
pub fn key_provider_json(key_provider: &KeyProvider) -> Vec<u8> {
    format!(
        "{{\"name\":{},\"id\":{}}}",
        serde_json::Value::from(key_provider.name.as_str()),
        serde_json::Value::from(key_provider.id.as_str())
    )
    .into_bytes()
}

/// A register's value after events with these digests, from zero.
pub fn rtmr<'a>(digests: impl IntoIterator<Item = &'a [u8; 48]>) -> [u8; 48] {
    let mut register = [0; 48];
    for digest in digests {
        extend(&mut register, digest);
    }
    register
}

/// Hash of an OS image: SHA-256 of its `sha256sum.txt`, which its name on the
/// download server and in a KMS is.
pub fn os_image_hash(sha256sum: &[u8]) -> [u8; 32] {
    Sha256::digest(sha256sum).into()
}

/// What an OS image measures on one shape of machine: a complete tuple. RTMR0
/// depends on processors, memory and devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// What the domain was built from: firmware.
    pub mrtd: Hex<48>,
    /// Firmware's configuration, and the machine's shape.
    pub rtmr0: Hex<48>,
    /// Kernel.
    pub rtmr1: Hex<48>,
    /// Command line, initial RAM disk.
    pub rtmr2: Hex<48>,
    /// Hash of the image, by which it was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_image_hash: Option<Hex<32>>,
    /// An image on which its operator can log in.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub development: bool,
}

/// Why bytes are no published measurements.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishedError {
    /// Longer than [`MAX_PUBLISHED`].
    #[error("{0} bytes, at most {MAX_PUBLISHED} are read")]
    TooLong(usize),
    /// More machines than a file has.
    #[error("more than {MAX_MACHINES} machines")]
    TooMany,
    /// Not in a form that is known.
    #[error("neither a tuple of mrtd, rtmr0, rtmr1, rtmr2 in hex, nor a list of them: {0}")]
    Json(String),
}

/// Reads published measurements: what `dstack-mr measure --json` writes, or a
/// list of such objects. The image's name or `is_dev` says what it is for;
/// other keys are passed over.
///
/// # Errors
/// [`PublishedError`].
pub fn published(bytes: &[u8]) -> Result<Vec<Image>, PublishedError> {
    #[derive(Deserialize)]
    struct One {
        mrtd: Hex<48>,
        rtmr0: Hex<48>,
        rtmr1: Hex<48>,
        rtmr2: Hex<48>,
        #[serde(default)]
        os_image_hash: Option<Hex<32>>,
        #[serde(default, alias = "development")]
        is_dev: bool,
    }
    if bytes.len() > MAX_PUBLISHED {
        return Err(PublishedError::TooLong(bytes.len()));
    }
    let is_list = bytes.trim_ascii_start().first() == Some(&b'[');
    let list: Vec<One> = if is_list {
        serde_json::from_slice(bytes)
    } else {
        serde_json::from_slice(bytes).map(|one| vec![one])
    }
    .map_err(|error| PublishedError::Json(error.to_string()))?;
    if list.len() > MAX_MACHINES {
        return Err(PublishedError::TooMany);
    }
    Ok(list
        .into_iter()
        .map(|one| Image {
            mrtd: one.mrtd,
            rtmr0: one.rtmr0,
            rtmr1: one.rtmr1,
            rtmr2: one.rtmr2,
            os_image_hash: one.os_image_hash,
            development: one.is_dev,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dstack::{EventLog, Identity};
    use serde_json::json;

    const COMPOSE: &str =
        r#"{"manifest_version":2,"name":"n","runner":"docker-compose","init_script":"true"}"#;

    fn deployment(compose: &[u8]) -> Deployment<'_> {
        Deployment {
            compose,
            app_id: None,
            instance_id: Some([7; 20]),
            key_provider: KeyProvider {
                name: "kms".into(),
                id: "30".into(),
            },
            rootfs_hash: None,
            storage_fs: Some("zfs".into()),
            gpu_policy_hash: Some(no_gpu_policy()),
            init_scripts: true,
            os_image_hash: Some([9; 32]),
        }
    }

    /// What is expected, made into a log, is read as what it is made of.
    #[test]
    fn a_log_of_what_is_expected_has_that_identity() {
        for v2 in [false, true] {
            let compose = if v2 {
                COMPOSE.replacen('{', r#"{"event_log_version":2,"#, 1)
            } else {
                COMPOSE.to_owned()
            };
            let expected = deployment(compose.as_bytes()).expected().unwrap();
            let log: Vec<_> = expected
                .events
                .iter()
                .map(|event| {
                    let mut one = json!({
                        "imr": 3, "event_type": 134_217_729, "digest": event.digest,
                        "event": event.name, "event_payload": event.payload,
                    });
                    if v2 {
                        let payload = hex::decode(&event.payload).unwrap();
                        let preimage =
                            crate::dstack::log::preimage(event.name, &payload, Version::V2);
                        one["version"] = 2.into();
                        one["preimage"] = hex::encode(preimage).into();
                    }
                    one
                })
                .collect();
            let log = EventLog::parse(&serde_json::to_vec(&log).unwrap()).unwrap();
            assert_eq!(log.replay()[3], expected.rtmr3.0);
            let identity = Identity::read(&log).unwrap();
            assert_eq!(identity.compose_hash.0, hash(compose.as_bytes()));
            assert_eq!(identity.app_id, expected.app_id);
            assert_eq!(identity.app_id.0, identity.compose_hash.0[..20]);
            assert_eq!(identity.init_scripts.len(), 1);
            assert_eq!(identity.key_provider.name, "kms");
            assert_eq!(identity.gpu_policy_hash.unwrap().0, no_gpu_policy());
        }
    }

    #[test]
    fn everything_that_a_deployment_is_made_of_changes_it() {
        let sound = deployment(COMPOSE.as_bytes());
        let rtmr3 = sound.expected().unwrap().rtmr3;
        let other = COMPOSE.replace(':', ": ");
        let changes: &[fn(&mut Deployment<'_>)] = &[
            |d| d.app_id = Some([1; 20]),
            |d| d.instance_id = None,
            |d| d.key_provider.id = "31".into(),
            |d| d.key_provider.name = "tpm".into(),
            |d| d.rootfs_hash = Some([0; 32]),
            |d| d.storage_fs = None,
            |d| d.gpu_policy_hash = None,
            |d| d.init_scripts = false,
            |d| d.os_image_hash = None,
        ];
        for change in changes {
            let mut changed = sound.clone();
            change(&mut changed);
            assert_ne!(changed.expected().unwrap().rtmr3, rtmr3);
        }
        assert_ne!(
            deployment(other.as_bytes()).expected().unwrap().rtmr3,
            rtmr3
        );
        assert!(deployment(b"{}").expected().is_err());
    }

    #[test]
    fn published_measurements_are_one_tuple_or_a_list() {
        let one = json!({
            "mrtd": "01".repeat(48), "rtmr0": "02".repeat(48),
            "rtmr1": "03".repeat(48), "rtmr2": "04".repeat(48), "more": 1,
        });
        let images = published(one.to_string().as_bytes()).unwrap();
        assert_eq!(images[0].rtmr2.0, [4; 48]);
        assert!(!images[0].development);
        let list = json!([one, one]);
        assert_eq!(published(list.to_string().as_bytes()).unwrap().len(), 2);
        let mut development = one.clone();
        development["is_dev"] = true.into();
        assert!(published(development.to_string().as_bytes()).unwrap()[0].development);
        for key in ["mrtd", "rtmr0", "rtmr1", "rtmr2"] {
            let mut less = one.clone();
            less.as_object_mut().unwrap().remove(key);
            assert!(published(less.to_string().as_bytes()).is_err(), "{key}");
        }
        assert!(published(b"").is_err());
        assert!(published(&vec![b' '; MAX_PUBLISHED + 1]).is_err());
    }
}
