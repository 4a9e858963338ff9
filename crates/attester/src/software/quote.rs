//! A TDX quote, version 4, byte by byte (Intel TDX DCAP Quoting Library API,
//! appendix 3): header, TD report 1.0, signature, attestation key, QE report
//! certification data with the PCK chain inside. And an SGX quote, version 3
//! (Intel SGX ECDSA Quote Library Reference, appendix 3): header, enclave
//! report, and the same without the outer certification data.

use super::{
    keys::{Key, Keys},
    pki::Pki,
    profile::Profile,
};
use sha2::{Digest as _, Sha256};
use soundproof_evidence::{Measurements, sgx};

/// Intel's id as the quoting enclave's vendor: verifiers know no other.
const QE_VENDOR: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];
const ECDSA_P256: u16 = 2;
const TDX: u32 = 0x81;
const SGX: u32 = 0;
const CERT_QE_REPORT: u16 = 6;
const CERT_PCK_CHAIN: u16 = 5;
/// Signs TD reports as the quoting enclave would.
pub(super) struct Signer {
    attestation: Key,
    tee_tcb_svn: [u8; 16],
    cpu_svn: [u8; 16],
    /// QE report, its signature, authentication data, PCK chain: the same in
    /// every quote.
    qe: Vec<u8>,
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

        Self {
            attestation: keys.attestation.clone(),
            tee_tcb_svn: profile.tee_tcb_svn,
            cpu_svn: profile.cpu_svn,
            qe: inner,
        }
    }

    /// A trust domain's quote, version 4.
    pub(super) fn domain(&self, measurements: &Measurements, report_data: &[u8; 64]) -> Vec<u8> {
        let mut quote = header(4, TDX);
        self.report(&mut quote, measurements, report_data);
        self.signed(quote, certified)
    }

    /// A trust domain's quote, version 5, whose body ends in `tail`: nothing
    /// for a TD report 1.0 (body type 2), 64 bytes for a TD report 1.5 (type
    /// 3), 301 for its extended form (type 4).
    pub(super) fn domain_v5(
        &self,
        measurements: &Measurements,
        report_data: &[u8; 64],
        tail: &[u8],
    ) -> Vec<u8> {
        let kind: u16 = match tail.len() {
            0 => 2,
            64 => 3,
            _ => 4,
        };
        let mut body = Vec::with_capacity(900);
        self.report(&mut body, measurements, report_data);
        body.extend(tail);
        let mut quote = header(5, TDX);
        quote.extend(kind.to_le_bytes());
        quote.extend(len_u32(&body));
        quote.extend(body);
        self.signed(quote, certified)
    }

    /// A TD report 1.0, without its MAC.
    fn report(&self, quote: &mut Vec<u8>, measurements: &Measurements, report_data: &[u8; 64]) {
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
        quote.extend(report_data);
    }

    /// An enclave's quote.
    pub(super) fn enclave(
        &self,
        measurements: &sgx::Measurements,
        report_data: &[u8; 64],
    ) -> Vec<u8> {
        let mut quote = header(3, SGX);
        quote.extend(self.cpu_svn);
        quote.extend(measurements.misc_select.0);
        quote.extend([0; 12]);
        quote.extend(measurements.isv_ext_prod_id.0);
        quote.extend(measurements.attributes.0);
        quote.extend(measurements.mrenclave.0);
        quote.extend([0; 32]);
        quote.extend(measurements.mrsigner.0);
        quote.extend([0; 32]);
        quote.extend(measurements.config_id.0);
        quote.extend(measurements.isv_prod_id.to_le_bytes());
        quote.extend(measurements.isv_svn.to_le_bytes());
        quote.extend(measurements.config_svn.to_le_bytes());
        quote.extend([0; 42]);
        quote.extend(measurements.isv_family_id.0);
        quote.extend(report_data);
        self.signed(quote, |auth, qe| auth.extend_from_slice(qe))
    }

    fn signed(&self, mut quote: Vec<u8>, certify: fn(&mut Vec<u8>, &[u8])) -> Vec<u8> {
        let mut auth = self.attestation.sign_raw(&quote).to_vec();
        auth.extend(self.attestation.coordinates());
        certify(&mut auth, &self.qe);
        quote.extend(len_u32(&auth));
        quote.extend(auth);
        quote
    }
}

/// Certification data of type 6, as trust domains' quotes have it around.
fn certified(auth: &mut Vec<u8>, qe: &[u8]) {
    auth.extend(CERT_QE_REPORT.to_le_bytes());
    auth.extend(len_u32(qe));
    auth.extend(qe);
}

fn header(version: u16, tee: u32) -> Vec<u8> {
    let mut quote = Vec::with_capacity(6000);
    quote.extend(version.to_le_bytes());
    quote.extend(ECDSA_P256.to_le_bytes());
    quote.extend(tee.to_le_bytes());
    quote.extend([0; 4]); // QE and PCE SVN: in the QE report and certificate
    quote.extend(QE_VENDOR);
    quote.extend([0; 20]); // user data
    quote
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
    report.extend(profile.tee.qe_product().to_le_bytes());
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
