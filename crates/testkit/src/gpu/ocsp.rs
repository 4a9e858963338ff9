//! OCSP answers.

use super::Signed;
use crate::{
    der::{bits, explicit, integer, octets, oid, sequence, tlv},
    x509::{Key, algorithm_id, name},
};
use sha2::{Digest as _, Sha384};

/// An answer to be signed.
#[derive(Clone)]
pub struct Answer {
    /// Common name of the issuer.
    pub issuer: String,
    /// The issuer's key, which hashes name it by.
    pub issuer_key: Key,
    /// Serial number of whom it is about.
    pub serial: Vec<u8>,
    /// 0 good, 1 revoked, 2 unknown.
    pub status: u8,
    /// Seconds since 1970.
    pub from_s: u64,
    /// Seconds since 1970, if it says.
    pub until_s: Option<u64>,
    /// Who signs it.
    pub signer: Key,
    /// Certificates in it.
    pub certificates: Vec<Vec<u8>>,
}

impl Answer {
    /// That a certificate is good, from an hour ago until a day from now, by
    /// its issuer.
    pub fn good(subject: &Signed, issuer: &Signed, now_s: u64) -> Self {
        Self {
            issuer: issuer.name.clone(),
            issuer_key: issuer.key.clone(),
            serial: subject.serial.clone(),
            status: 0,
            from_s: now_s.saturating_sub(3600),
            until_s: Some(now_s.saturating_add(86_400)),
            signer: issuer.key.clone(),
            certificates: Vec::new(),
        }
    }

    /// Whether an OCSPRequest (DER) of one certificate asks for it.
    pub fn is_asked_for(&self, request: &[u8]) -> bool {
        let hash = octets(&Sha384::digest(self.issuer_key.point()));
        let serial = integer(&self.serial);
        request.ends_with(&[hash, serial].concat())
    }

    /// DER of the response.
    pub fn sign(&self) -> Vec<u8> {
        let hash = |bytes: &[u8]| octets(&Sha384::digest(bytes));
        let id = sequence(&[
            sequence(&[oid("2.16.840.1.101.3.4.2.2")]),
            hash(&name(&self.issuer)),
            hash(&self.issuer_key.point()),
            integer(&self.serial),
        ]);
        let status = match self.status {
            1 => tlv(0xa1, &generalized(self.from_s)),
            other => tlv(0x80 | other, &[]),
        };
        let mut single = vec![id, status, generalized(self.from_s)];
        single.extend(
            self.until_s
                .map(|until_s| explicit(0, &generalized(until_s))),
        );
        let data = sequence(&[
            explicit(1, &name(&self.issuer)),
            generalized(self.from_s),
            sequence(&[sequence(&single)]),
        ]);
        let algorithm = self.signer.algorithm();
        let mut basic = vec![
            data.clone(),
            algorithm_id(algorithm),
            bits(&self.signer.sign(algorithm, &data)),
        ];
        if !self.certificates.is_empty() {
            basic.push(explicit(0, &sequence(&self.certificates)));
        }
        let bytes = sequence(&[oid("1.3.6.1.5.5.7.48.1.1"), octets(&sequence(&basic))]);
        sequence(&[tlv(0x0a, &[0]), explicit(0, &bytes)])
    }
}

/// GeneralizedTime, whatever the year.
fn generalized(unix_s: u64) -> Vec<u8> {
    let time = crate::der::time(unix_s);
    let digits = time.get(2..).unwrap_or_default();
    if time.first() == Some(&0x17) {
        tlv(0x18, &[b"20", digits].concat())
    } else {
        time
    }
}
