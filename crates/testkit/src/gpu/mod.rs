//! Software GPUs in NVIDIA's format: reports, certificates, manifests,
//! revocation answers and results, of keys that come from a seed and protect
//! nothing, sound or with one fault.

mod manifest;
mod ocsp;
mod report;

pub use manifest::Manifest;
pub use ocsp::Answer;
pub use report::Profile;

use crate::{
    der::{explicit, integer, octets, oid, sequence, tlv},
    jwt,
    x509::{Key, Template, extension},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use soundproof_evidence::gpu::{Gpu, GpuEndorsements, GpuEvidence, GpuKind};
use soundproof_protocol::cbor::{self, Bytes};

const ROOT: &str = "Soundproof Software GPU Root CA, protects nothing";
const DAY_S: u64 = 86_400;

/// A certificate with the key of its subject.
#[derive(Clone)]
pub struct Signed {
    /// The subject's key.
    pub key: Key,
    /// The certificate.
    pub der: Vec<u8>,
    /// The subject's common name.
    pub name: String,
    /// The serial number.
    pub serial: Vec<u8>,
}

/// A maker of software GPUs.
#[derive(Clone)]
pub struct GpuPki {
    /// What it makes.
    pub profile: Profile,
    /// Leaf, chip, provisioner, identity authority, root.
    pub chain: Vec<Signed>,
    /// Signer of manifests, its authorities, root.
    pub signers: Vec<Signed>,
    /// The key of its attestation service.
    pub service: Key,
    now_s: u64,
}

impl GpuPki {
    /// A maker, at a time in seconds since 1970.
    pub fn new(profile: Profile, now_s: u64) -> Self {
        let key = |name: &str| Key::p384(&format!("gpu {} {name}", profile.seed));
        // One root for every seed: it is the policy's anchor.
        let root_key = Key::p384("gpu root");
        let root = signed(
            &Template::authority(1, ROOT, ROOT, None),
            &root_key,
            &root_key,
        );
        let chip = profile.chip.clone();
        let until_s = now_s.saturating_add(if profile.provisioner_expired {
            0
        } else {
            365 * DAY_S
        });
        let from_s = now_s.saturating_sub(30 * DAY_S);
        let identity = signed(
            &Template::authority(2, &format!("Software {chip} Identity"), ROOT, None),
            &key("identity"),
            &root_key,
        );
        let provisioner = signed(
            &Template::authority(
                3,
                &format!("Software {} Provisioner ICA 1", profile.provisioned),
                &identity.name,
                None,
            )
            .valid(from_s, until_s.saturating_sub(1)),
            &key("provisioner"),
            &identity.key,
        );
        let brom = signed(
            &Template::authority(4, &format!("{chip} A01 GSP BROM"), &provisioner.name, None),
            &key("chip"),
            &provisioner.key,
        );
        let mut leaf = Template::leaf(5, &format!("{chip} A01 GSP FMC LF"), &brom.name)
            .with(device_info(&profile))
            .with(profile.dice(&brom.key));
        leaf.serial = profile.leaf_serial.clone();
        let leaf = signed(
            &leaf,
            &profile.leaf_key.clone().unwrap_or(key("leaf")),
            &brom.key,
        );
        let authority = signed(
            &Template::authority(6, "Software Reference Value CA", ROOT, None),
            &key("reference"),
            &root_key,
        );
        let signer = signed(
            &Template::leaf(7, "Software RIM Signer", &authority.name).valid(
                from_s,
                if profile.signer_expired {
                    now_s.saturating_sub(1)
                } else {
                    now_s.saturating_add(365 * DAY_S)
                },
            ),
            &key("signer"),
            &authority.key,
        );
        Self {
            chain: vec![leaf, brom, provisioner, identity, root.clone()],
            signers: vec![signer, authority, root],
            service: key("service"),
            profile,
            now_s,
        }
    }

    /// A sound one.
    pub fn sound(now_s: u64) -> Self {
        Self::new(Profile::default(), now_s)
    }

    /// The root, for a policy.
    pub fn anchor_pem(&self) -> String {
        self.chain
            .last()
            .map(|root| pem(&root.der))
            .unwrap_or_default()
    }

    /// The chain in PEM, leaf first.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|signed| pem(&signed.der)).collect()
    }

    /// What the driver returns for a nonce: request and response.
    pub fn report(&self, nonce: &[u8; 32]) -> Vec<u8> {
        let unsigned = self.profile.unsigned(nonce);
        let signature = self
            .chain
            .first()
            .map(|leaf| leaf.key.sign_fixed(&unsigned))
            .unwrap_or_default();
        [unsigned, signature].concat()
    }

    /// One GPU's evidence, of the software kind.
    pub fn gpu(&self, nonce: &[u8; 32]) -> Gpu {
        Gpu {
            kind: GpuKind::SoftwareNvidia,
            report: Bytes(self.report(nonce)),
            chain: Bytes(self.chain_pem().into_bytes()),
        }
    }

    /// Evidence of this one GPU, encoded.
    pub fn evidence(&self, nonce: &[u8; 32]) -> Bytes {
        evidence(vec![self.gpu(nonce)])
    }

    /// The driver's manifest and the video BIOS's, for what the profile says.
    pub fn manifests(&self) -> [Manifest; 2] {
        Manifest::of(&self.profile)
    }

    /// Everything that the server staples: both manifests, and answers that no
    /// certificate is revoked.
    pub fn endorsements(&self) -> GpuEndorsements {
        let manifests = self
            .manifests()
            .iter()
            .map(|m| Bytes(m.sign(self)))
            .collect();
        GpuEndorsements {
            manifests,
            revocation: self.answers().iter().map(|a| Bytes(a.sign())).collect(),
            results: Vec::new(),
        }
    }

    /// OCSP answers of each issuer, for every certificate that can be revoked.
    pub fn answers(&self) -> Vec<Answer> {
        let devices = self.chain.iter().zip(self.chain.iter().skip(1)).skip(1);
        let signers = self.signers.iter().zip(self.signers.iter().skip(1));
        devices
            .chain(signers)
            .map(|(subject, issuer)| Answer::good(subject, issuer, self.now_s))
            .collect()
    }

    /// What the attestation service answers about this GPU and nonce.
    pub fn result(&self, nonce: &[u8; 32]) -> serde_json::Value {
        let claims = self.claims(nonce);
        self.answer(nonce, &claims)
    }

    /// The claims about this GPU.
    pub fn claims(&self, nonce: &[u8; 32]) -> serde_json::Value {
        json!({
            "iss": ISSUER,
            "iat": self.now_s, "nbf": self.now_s, "exp": self.now_s + 3600,
            "eat_nonce": hex::encode(nonce),
            "ueid": decimal(&self.profile.leaf_serial),
            "measres": "success", "secboot": true, "dbgstat": "disabled",
            "x-nvidia-gpu-driver-version": self.profile.driver,
            "x-nvidia-gpu-vbios-version": self.profile.vbios(),
        })
    }

    /// The answer with those claims about the GPU in it.
    pub fn answer(&self, nonce: &[u8; 32], claims: &serde_json::Value) -> serde_json::Value {
        let each = jwt::sign(KEY_ID, claims, &self.service);
        let digest = hex::encode(Sha256::digest(each.as_bytes()));
        let overall = json!({
            "iss": ISSUER,
            "iat": self.now_s, "nbf": self.now_s, "exp": self.now_s + 3600,
            "eat_nonce": hex::encode(nonce),
            "x-nvidia-overall-att-result": true,
            "submods": {"GPU-0": ["DIGEST", ["SHA-256", digest]]},
        });
        let overall = jwt::sign(KEY_ID, &overall, &self.service);
        json!([["JWT", overall], {"GPU-0": each}])
    }
}

/// `iss` of the software service.
pub const ISSUER: &str = "https://results.example";
/// The id of its key.
pub const KEY_ID: &str = "software-1";

/// Evidence of GPUs, encoded.
pub fn evidence(gpus: Vec<Gpu>) -> Bytes {
    Bytes(cbor::to_vec(&GpuEvidence { gpus }))
}

fn signed(template: &Template, key: &Key, issuer: &Key) -> Signed {
    Signed {
        der: template.sign(key, issuer),
        key: key.clone(),
        name: template.subject.clone(),
        serial: template.serial.clone(),
    }
}

/// DMTF device info in a subject alternative name.
fn device_info(profile: &Profile) -> Vec<u8> {
    let text = format!("{}:{}:{}", profile.maker, profile.chip, profile.serial);
    let name = [
        oid("1.3.6.1.4.1.412.274.1"),
        explicit(0, &tlv(0x0c, text.as_bytes())),
    ]
    .concat();
    extension("2.5.29.17", false, &sequence(&[tlv(0xa0, &name)]))
}

impl Profile {
    /// The leaf's DICE extension, as the architecture has it.
    fn dice(&self, below: &Key) -> Vec<u8> {
        let fwid = |digest: &[u8]| sequence(&[oid("2.16.840.1.101.3.4.2.2"), octets(digest)]);
        if self.chip.starts_with("GH") {
            let id = sequence(&[
                integer(&[1]),
                below.public_der(),
                fwid(&self.certified_fwid),
            ]);
            return extension("2.23.133.5.4.1", false, &id);
        }
        let flags = if self.debug { 0x90 } else { 0x80 };
        let info = sequence(&[
            tlv(0x80, b"NVIDIA"),
            tlv(0x81, self.chip.as_bytes()),
            tlv(0xa6, &[fwid(&self.certified_fwid), fwid(&[0; 48])].concat()),
            tlv(0x87, &[0, flags, 0, 0, 1]),
        ]);
        extension("2.23.133.5.4.1.1", false, &info)
    }
}

/// A certificate in PEM.
pub fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .filter_map(|line| core::str::from_utf8(line).ok())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

/// A number below 2^128, in decimal.
fn decimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(0u128, |number, byte| number << 8 | u128::from(*byte))
        .to_string()
}
