//! The runtime data of Azure's paravisor: JSON with the virtual TPM's keys and
//! the VM's configuration.

use crate::{json, x509::PublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Bytes that are read at most; Azure's have 600 to 1300.
pub const MAX_RUNTIME_DATA: usize = 16 * 1024;
const ATTESTATION_KEY: &str = "HCLAkPub";

/// Why bytes are no runtime data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// Longer than [`MAX_RUNTIME_DATA`].
    #[error("{0} bytes, at most {MAX_RUNTIME_DATA} are read")]
    TooLong(usize),
    /// Not a JSON object, or a key in it twice.
    #[error("not a JSON object")]
    Json,
    /// No attestation key, or two, or none that is RSA.
    #[error("not one RSA key HCLAkPub")]
    Key,
    /// No VM configuration.
    #[error("no vm-configuration")]
    Configuration,
}

/// What the paravisor says of its VM. What it does not say is none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct VmConfiguration {
    /// Whether UEFI secure boot was on.
    pub secure_boot: Option<bool>,
    /// Whether there is a virtual TPM.
    pub tpm_enabled: Option<bool>,
    /// Whether its state outlives a boot.
    pub tpm_persisted: Option<bool>,
    /// Whether the host has a console to the guest.
    pub console_enabled: Option<bool>,
    /// The VM's id.
    pub vm_unique_id: Option<String>,
}

impl VmConfiguration {
    fn read(map: &Map<String, Value>) -> Self {
        let flag = |name| map.get(name).and_then(Value::as_bool);
        Self {
            secure_boot: flag("secure-boot"),
            tpm_enabled: flag("tpm-enabled"),
            tpm_persisted: flag("tpm-persisted"),
            console_enabled: flag("console-enabled"),
            vm_unique_id: map
                .get("vmUniqueId")
                .and_then(Value::as_str)
                .map(str::to_owned),
        }
    }
}

/// Runtime data that were read; that they are the VM's is for the hardware's
/// report to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeData {
    digest: [u8; 32],
    key: PublicKey,
    configuration: VmConfiguration,
}

impl RuntimeData {
    /// Reads them.
    ///
    /// # Errors
    /// [`RuntimeError`]; never panics, and takes memory in proportion to the
    /// input only.
    pub fn parse(bytes: &[u8]) -> Result<Self, RuntimeError> {
        if bytes.len() > MAX_RUNTIME_DATA {
            return Err(RuntimeError::TooLong(bytes.len()));
        }
        let data = json::object(bytes).ok_or(RuntimeError::Json)?;
        let keys = data.get("keys").and_then(Value::as_array);
        let mut named = keys
            .into_iter()
            .flatten()
            .filter(|key| key.get("kid").and_then(Value::as_str) == Some(ATTESTATION_KEY));
        // Its key_ops differ from one Azure release to the next and say nothing.
        let key = match (named.next(), named.next()) {
            (Some(key), None) => rsa(key).ok_or(RuntimeError::Key)?,
            _ => return Err(RuntimeError::Key),
        };
        let configuration = data
            .get("vm-configuration")
            .and_then(Value::as_object)
            .ok_or(RuntimeError::Configuration)?;
        Ok(Self {
            digest: Sha256::digest(bytes).into(),
            key,
            configuration: VmConfiguration::read(configuration),
        })
    }

    /// What the report data must be: SHA-256 of them, and zeros.
    pub fn report_data(&self) -> [u8; 64] {
        let mut data = [0; 64];
        let (front, _) = data.split_at_mut(32);
        front.copy_from_slice(&self.digest);
        data
    }

    /// The virtual TPM's attestation key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What the paravisor says of its VM.
    pub fn configuration(&self) -> &VmConfiguration {
        &self.configuration
    }
}

fn rsa(key: &Value) -> Option<PublicKey> {
    let text = |name| key.get(name).and_then(Value::as_str);
    let bytes = |name| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    if text("kty")? != "RSA" {
        return None;
    }
    PublicKey::rsa(&bytes("n")?, &bytes("e")?)
}
