//! Azure's confidential VMs for tests: the paravisor's runtime data and a
//! virtual TPM's quotes, by a key that protects nothing, with any fault. The
//! hardware's report is another module's to sign.

use crate::x509::{FixedRsa, Key};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use soundproof_evidence::{azure::Statement, tpm::PcrValues, x509::Algorithm};
use soundproof_protocol::cbor::{self, Bytes};
use std::collections::BTreeMap;

/// A VM to be made. Its default is sound.
#[derive(Clone)]
pub struct Vm {
    /// The virtual TPM's attestation key.
    pub key: Key,
    /// `vm-configuration`.
    pub configuration: Value,
    /// Registers of the SHA-256 bank.
    pub pcrs: BTreeMap<u8, [u8; 32]>,
    /// TPM_GENERATED_VALUE.
    pub magic: u32,
    /// TPM_ST_ATTEST_QUOTE.
    pub kind: u16,
}

impl Default for Vm {
    fn default() -> Self {
        let value = |register: u8| (register, Sha256::digest([register]).into());
        Self {
            key: Key::rsa(FixedRsa::Attestation),
            configuration: json!({
                "console-enabled": false,
                "root-cert-thumbprint": "",
                "secure-boot": true,
                "tpm-enabled": true,
                "tpm-persisted": true,
                "vmUniqueId": "BAEFD3E1-184B-4C4C-AB88-0BDAD260505F",
            }),
            pcrs: (0..24).map(value).collect(),
            magic: 0xff54_4347,
            kind: 0x8018,
        }
    }
}

impl Vm {
    /// A sound one, with one member of its configuration changed.
    pub fn with(name: &str, value: Value) -> Self {
        let mut vm = Self::default();
        if let Some(member) = vm.configuration.get_mut(name) {
            *member = value;
        }
        vm
    }

    /// What the paravisor hashes.
    pub fn runtime_data(&self) -> Vec<u8> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let key = |id: &str, use_: &str, modulus: &[u8]| {
            json!({
                "kid": id, "key_ops": [use_], "kty": "RSA",
                "n": encode(modulus), "e": encode(&[1, 0, 1]),
            })
        };
        json!({
            "keys": [
                key("HCLAkPub", "sign", &self.key.point()),
                key("HCLEkPub", "encrypt", &[0xc1; 256]),
            ],
            "vm-configuration": self.configuration,
            "user-data": "00",
        })
        .to_string()
        .into_bytes()
    }

    /// What the hardware's report must carry.
    pub fn report_data(&self) -> [u8; 64] {
        let mut data = [0; 64];
        let digest = Sha256::digest(self.runtime_data());
        for (byte, digest) in data.iter_mut().zip(digest) {
            *byte = digest;
        }
        data
    }

    /// TPMS_ATTEST of all registers.
    pub fn attest(&self, extra_data: &[u8]) -> Vec<u8> {
        let sized = |bytes: &[u8]| {
            let len = u16::try_from(bytes.len()).unwrap_or_default();
            [&len.to_be_bytes()[..], bytes].concat()
        };
        let mut map = [0u8; 3];
        let mut values = Sha256::new();
        for (register, value) in &self.pcrs {
            if let Some(octet) = map.get_mut(usize::from(register / 8)) {
                *octet |= 1 << (register % 8);
            }
            values.update(value);
        }
        [
            &self.magic.to_be_bytes()[..],
            &self.kind.to_be_bytes(),
            &sized(&[&[0, 0x0b][..], &[0x5a; 32]].concat()),
            &sized(extra_data),
            &77_000u64.to_be_bytes(),
            &3u32.to_be_bytes(),
            &0u32.to_be_bytes(),
            &[1],
            &0x2020_0312_0012_0003u64.to_be_bytes(),
            &1u32.to_be_bytes(),
            &[0, 0x0b, 3],
            &map,
            &sized(&values.finalize()),
        ]
        .concat()
    }

    /// TPMT_SIGNATURE: RSASSA with SHA-256.
    pub fn sign(&self, attest: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(Algorithm::RsaPkcs1Sha256, attest);
        let len = u16::try_from(signature.len()).unwrap_or_default();
        [&[0, 0x14, 0, 0x0b][..], &len.to_be_bytes(), &signature].concat()
    }

    /// The statement with that hardware report, quoted with `extra_data`.
    pub fn statement(&self, hardware: Vec<u8>, extra_data: &[u8]) -> Statement {
        let attest = self.attest(extra_data);
        Statement {
            hardware: Bytes(hardware),
            runtime_data: Bytes(self.runtime_data()),
            signature: Bytes(self.sign(&attest)),
            attest: Bytes(attest),
            pcrs: PcrValues(self.pcrs.clone()),
        }
    }

    /// The same, encoded.
    pub fn encoded(&self, hardware: Vec<u8>, extra_data: &[u8]) -> Vec<u8> {
        cbor::to_vec(&self.statement(hardware, extra_data))
    }
}
