//! Nitro attestation documents under a PKI of its own, in AWS's shape: root,
//! region, zone, instance, enclave; with any fault. It protects nothing.

use crate::x509::{Key, Template, basic_constraints, extension, key_usage, usage};
use minicbor::{Encoder, data::Tag};
use sha2::{Digest as _, Sha384};
use soundproof_evidence::x509::Algorithm;

/// An enclave, and what is wrong with its document.
#[derive(Clone)]
pub struct Enclave {
    /// The parent instance.
    pub instance_id: String,
    /// Registers, by index.
    pub pcrs: Vec<(u8, Vec<u8>)>,
    /// When the document is made; ms since 1970.
    pub made_ms: u64,
    /// How long the enclave's certificate lives, in seconds.
    pub leaf_life_s: u64,
    /// A nonce.
    pub nonce: Option<Vec<u8>>,
    /// A key.
    pub public_key: Option<Vec<u8>>,
    /// Whether fields that are not there are written as null, as AWS does.
    pub nulls: bool,
    /// Whether CBOR's tag for COSE_Sign1 comes first.
    pub tagged: bool,
    /// COSE's number for the algorithm.
    pub algorithm: i64,
    /// The word for the registers' digest.
    pub digest: String,
    /// Certificates between root and instance.
    pub authorities: usize,
    /// Whether the chain's last authority may not issue certificates.
    pub powerless: bool,
    /// Whether the root is somebody else's.
    pub other_root: bool,
    /// Whether the bundle is in the wrong order.
    pub reversed: bool,
    /// Whether the certificate is of another key than the one that signs.
    pub other_leaf: bool,
}

impl Enclave {
    /// A sound one.
    pub fn new(made_ms: u64) -> Self {
        let mut enclave = Self {
            instance_id: "i-0123456789abcdef0".into(),
            pcrs: Vec::new(),
            made_ms,
            leaf_life_s: 3 * 3600,
            nonce: None,
            public_key: None,
            nulls: true,
            tagged: false,
            algorithm: -35,
            digest: "SHA384".into(),
            authorities: 2,
            powerless: false,
            other_root: false,
            reversed: false,
            other_leaf: false,
        };
        enclave.pcrs = (0..16)
            .map(|index| {
                let value = match index {
                    0..=2 => vec![0xa0 | index; 48],
                    4 => enclave.instance_pcr(),
                    _ => vec![0; 48],
                };
                (index, value)
            })
            .collect();
        enclave
    }

    /// PCR 4 of the instance.
    pub fn instance_pcr(&self) -> Vec<u8> {
        let mut hasher = Sha384::new();
        hasher.update([0; 48]);
        hasher.update(self.instance_id.as_bytes());
        hasher.finalize().to_vec()
    }

    /// The root's certificate, DER: the anchor of the software kind.
    pub fn root_der() -> Vec<u8> {
        Self::root(&Key::p384("nitro root"))
    }

    /// The root's certificate, PEM.
    pub fn root_pem() -> String {
        crate::x509::pem(&Self::root_der())
    }

    fn root(key: &Key) -> Vec<u8> {
        Template::authority(1, ROOT, ROOT, None)
            .valid(1_572_000_000, 2_500_000_000)
            .sign(key, key)
    }

    /// Certificates: the enclave's, and the bundle with the root first.
    pub fn certificates(&self) -> (Vec<u8>, Vec<Vec<u8>>) {
        let made_s = self.made_ms / 1000;
        let mut issuer = Key::p384(if self.other_root {
            "another root"
        } else {
            "nitro root"
        });
        let mut issuer_name = ROOT.to_owned();
        let mut bundle = vec![Self::root(&issuer)];
        let below = self.authorities + 1;
        for number in 0..below {
            let last = number + 1 == below;
            let name = if last {
                format!("{}.aws.nitro-enclaves", self.instance_id)
            } else {
                format!("{number}.aws.nitro-enclaves")
            };
            let key = Key::p384(&name);
            let path = u8::try_from(below - number - 1).unwrap_or(u8::MAX);
            let serial = u8::try_from(number + 2).unwrap_or(u8::MAX);
            let mut authority = Template::authority(serial, &name, &issuer_name, Some(path));
            if last && self.powerless {
                authority.extensions = vec![key_usage(usage::SIGN)];
            } else if last {
                authority.extensions = vec![
                    basic_constraints(Some(path)),
                    key_usage(usage::CERTIFICATES),
                ];
            }
            let life_s = 24 * 3600;
            let authority = authority.valid(
                made_s.saturating_sub(3600),
                made_s.saturating_sub(3600) + life_s,
            );
            bundle.push(authority.sign(&key, &issuer));
            (issuer, issuer_name) = (key, name);
        }
        let mut leaf = Template::leaf(9, &self.module_id(), &issuer_name);
        // As AWS writes it: CA false, not left out.
        leaf.extensions = vec![
            extension("2.5.29.19", true, &crate::der::sequence(&[])),
            extension("2.5.29.15", false, &crate::der::tlv(0x03, &[6, 0xc0])),
        ];
        let key = Key::p384(if self.other_leaf { "another" } else { LEAF });
        let leaf = leaf
            .valid(made_s.saturating_sub(3), made_s + self.leaf_life_s)
            .sign(&key, &issuer);
        if self.reversed {
            bundle.reverse();
        }
        (leaf, bundle)
    }

    /// The Nitro hypervisor's name for the enclave.
    pub fn module_id(&self) -> String {
        format!("{}-enc0123456789abcdef", self.instance_id)
    }

    /// The document's payload.
    pub fn payload(&self, user_data: Option<&[u8]>) -> Vec<u8> {
        let (certificate, bundle) = self.certificates();
        let optional = [
            ("public_key", self.public_key.as_deref()),
            ("user_data", user_data),
            ("nonce", self.nonce.as_deref()),
        ];
        let there = |value: &Option<&[u8]>| self.nulls || value.is_some();
        let count = 6 + optional.iter().filter(|(_, value)| there(value)).count();
        write(|e| {
            e.map(count as u64)?;
            e.str("module_id")?.str(&self.module_id())?;
            e.str("digest")?.str(&self.digest)?;
            e.str("timestamp")?.u64(self.made_ms)?;
            e.str("pcrs")?.map(self.pcrs.len() as u64)?;
            for (index, value) in &self.pcrs {
                e.u8(*index)?.bytes(value)?;
            }
            e.str("certificate")?.bytes(&certificate)?;
            e.str("cabundle")?.array(bundle.len() as u64)?;
            for certificate in &bundle {
                e.bytes(certificate)?;
            }
            for (name, value) in &optional {
                match value {
                    Some(bytes) => e.str(name)?.bytes(bytes)?,
                    None if self.nulls => e.str(name)?.null()?,
                    None => e,
                };
            }
            Ok(())
        })
    }

    /// The signed document.
    pub fn document(&self, user_data: Option<&[u8]>) -> Vec<u8> {
        self.sign(&self.payload(user_data))
    }

    /// Signs any payload.
    pub fn sign(&self, payload: &[u8]) -> Vec<u8> {
        let protected = write(|e| e.map(1)?.i8(1)?.i64(self.algorithm)?.ok());
        let signed = write(|e| {
            e.array(4)?
                .str("Signature1")?
                .bytes(&protected)?
                .bytes(&[])?
                .bytes(payload)?
                .ok()
        });
        let signature = Key::p384(LEAF).sign_fixed(&signed);
        write(|e| {
            if self.tagged {
                e.tag(Tag::new(18))?;
            }
            e.array(4)?
                .bytes(&protected)?
                .map(0)?
                .bytes(payload)?
                .bytes(&signature)?
                .ok()
        })
    }

    /// What signs certificates and documents.
    pub const ALGORITHM: Algorithm = Algorithm::EcdsaP384Sha384;
}

const ROOT: &str = "software.nitro-enclaves, protects nothing";
const LEAF: &str = "enclave";

type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

fn write(fill: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Written) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = fill(&mut Encoder::new(&mut out));
    out
}
