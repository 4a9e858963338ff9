//! A TDX quote, version 4, byte by byte (Intel TDX DCAP Quoting Library API,
//! appendix 3): header, TD report 1.0, signature, attestation key, QE report
//! certification data with the PCK chain inside.

use super::{
    keys::{Key, Keys},
    pki::Pki,
    profile::Profile,
};
use sha2::{Digest as _, Sha256};
use soundproof_evidence::Measurements;
use soundproof_protocol::binding::Binding;

/// Intel's id as the quoting enclave's vendor: verifiers know no other.
const QE_VENDOR: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];
const ECDSA_P256: u16 = 2;
const TDX: u32 = 0x81;
const CERT_QE_REPORT: u16 = 6;
const CERT_PCK_CHAIN: u16 = 5;
const QE_PRODUCT: u16 = 2;

/// Signs TD reports as the quoting enclave would.
pub(super) struct Signer {
    attestation: Key,
    tee_tcb_svn: [u8; 16],
    /// Everything after the attestation key: the same in every quote.
    certification: Vec<u8>,
}

impl Signer {
    pub(super) fn new(keys: &Keys, pki: &Pki, profile: &Profile) -> Self {
        let auth_data: [u8; 32] = core::array::from_fn(|i| i as u8);
        let report = qe_report(profile, keys.attestation.coordinates(), &auth_data);
        let chain = pki.pck_chain_pem.as_bytes();

        let mut inner = report.clone();
        inner.extend(keys.pck.sign_raw(&report));
        inner.extend(32_u16.to_le_bytes());
        inner.extend(auth_data);
        inner.extend(CERT_PCK_CHAIN.to_le_bytes());
        inner.extend(len_u32(chain));
        inner.extend(chain);

        let mut certification = CERT_QE_REPORT.to_le_bytes().to_vec();
        certification.extend(len_u32(&inner));
        certification.extend(inner);
        Self {
            attestation: keys.attestation.clone(),
            tee_tcb_svn: profile.tee_tcb_svn,
            certification,
        }
    }

    /// A quote that carries `binding` as its report data.
    pub(super) fn quote(&self, measurements: &Measurements, binding: &Binding) -> Vec<u8> {
        let mut quote = Vec::with_capacity(6000);
        quote.extend(4_u16.to_le_bytes());
        quote.extend(ECDSA_P256.to_le_bytes());
        quote.extend(TDX.to_le_bytes());
        quote.extend([0; 4]); // QE and PCE SVN: in the QE report and certificate
        quote.extend(QE_VENDOR);
        quote.extend([0; 20]); // user data

        quote.extend(self.tee_tcb_svn);
        quote.extend(measurements.mrseam.0);
        quote.extend(measurements.mrsignerseam.0);
        quote.extend([0; 8]); // SEAM attributes
        quote.extend(measurements.tdattributes.0);
        quote.extend(measurements.xfam.0);
        quote.extend(measurements.mrtd.0);
        quote.extend(measurements.mrconfigid.0);
        quote.extend(measurements.mrowner.0);
        quote.extend(measurements.mrownerconfig.0);
        quote.extend(measurements.rtmr0.0);
        quote.extend(measurements.rtmr1.0);
        quote.extend(measurements.rtmr2.0);
        quote.extend(measurements.rtmr3.0);
        quote.extend(binding.as_bytes());

        let mut auth = self.attestation.sign_raw(&quote).to_vec();
        auth.extend(self.attestation.coordinates());
        auth.extend(&self.certification);
        quote.extend(len_u32(&auth));
        quote.extend(auth);
        quote
    }
}

/// SGX report of the quoting enclave: 384 bytes, whose report data is the
/// digest of the attestation key and the authentication data.
fn qe_report(profile: &Profile, attestation_key: &[u8], auth_data: &[u8; 32]) -> Vec<u8> {
    let bound = Sha256::new()
        .chain_update(attestation_key)
        .chain_update(auth_data)
        .finalize();
    let enclave = Sha256::digest(b"soundproof/1/software/quoting-enclave");
    let mut report = Vec::with_capacity(384);
    report.extend(profile.cpu_svn);
    report.extend([0; 4]); // MISCSELECT
    report.extend([0; 28]);
    let mut attributes = [0; 16];
    attributes[0] = 0x11; // initialised, with provisioning key
    report.extend(attributes);
    report.extend(enclave);
    report.extend([0; 32]);
    report.extend(profile.qe_signer);
    report.extend([0; 96]);
    report.extend(QE_PRODUCT.to_le_bytes());
    report.extend(profile.qe_svn.to_le_bytes());
    report.extend([0; 60]);
    report.extend(bound);
    report.extend([0; 32]);
    report
}

/// A length of ours, far below 2^32.
fn len_u32(bytes: &[u8]) -> [u8; 4] {
    (bytes.len() as u32).to_le_bytes()
}
