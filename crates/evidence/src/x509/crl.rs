//! Certificate revocation lists (RFC 5280, 5): whole ones only, of one issuer,
//! for the certificates of that issuer.

use super::{
    Algorithm, Certificate, Window, X509Error,
    certificate::{check_extensions, first_field, refuse_critical},
};
use der::Decode as _;
use x509_cert::{Version, crl::CertificateList};

/// Bytes of one list at most.
pub const MAX_CRL: usize = 256 * 1024;

/// A list that was read; nothing about its signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crl {
    der: Vec<u8>,
    tbs: core::ops::Range<usize>,
    parsed: CertificateList,
    algorithm: Algorithm,
    window: Window,
}

impl Crl {
    /// Reads the DER of one list: version 2, with a next update, no critical
    /// extension in it or in its entries (which keeps out delta lists, indirect
    /// lists and lists of a part only).
    ///
    /// # Errors
    /// [`X509Error`]; takes memory in proportion to the input only, which is at
    /// most [`MAX_CRL`] bytes.
    pub fn parse(der: &[u8]) -> Result<Self, X509Error> {
        const MALFORMED: X509Error = X509Error::Malformed("a certificate revocation list");
        if der.len() > MAX_CRL {
            return Err(X509Error::TooLong(der.len(), MAX_CRL));
        }
        let parsed = CertificateList::from_der(der).map_err(|_| MALFORMED)?;
        let list = &parsed.tbs_cert_list;
        let (Version::V2, Some(next_update)) = (list.version, list.next_update) else {
            return Err(MALFORMED);
        };
        if list.signature != parsed.signature_algorithm {
            return Err(X509Error::Algorithm);
        }
        let entries = list.revoked_certificates.iter().flatten();
        let of_entries = entries.filter_map(|entry| entry.crl_entry_extensions.as_deref());
        for extensions in list.crl_extensions.as_deref().into_iter().chain(of_entries) {
            check_extensions(extensions)?;
            refuse_critical(extensions, |_| false)?;
        }
        Ok(Self {
            der: der.to_vec(),
            tbs: first_field(der).ok_or(MALFORMED)?,
            algorithm: Algorithm::read(&list.signature)?,
            window: Window {
                from_s: list.this_update.to_unix_duration().as_secs(),
                until_s: next_update.to_unix_duration().as_secs(),
            },
            parsed,
        })
    }

    /// From this update until the next.
    pub fn window(&self) -> Window {
        self.window
    }

    /// How many certificates it revokes.
    pub fn len(&self) -> usize {
        let list = &self.parsed.tbs_cert_list;
        list.revoked_certificates.as_ref().map_or(0, Vec::len)
    }

    /// Whether it revokes none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is `issuer`'s, which must itself have been verified and may
    /// sign lists, and holds at a time.
    ///
    /// # Errors
    /// [`X509Error`].
    pub fn verify(
        &self,
        issuer: &Certificate,
        algorithms: &[Algorithm],
        at_s: u64,
    ) -> Result<(), X509Error> {
        if self.parsed.tbs_cert_list.issuer != *issuer.subject() {
            return Err(X509Error::Issuer);
        }
        if !issuer.usage().is_some_and(|usage| usage.crl_sign()) {
            return Err(X509Error::Usage("sign revocation lists"));
        }
        if !algorithms.contains(&self.algorithm) {
            return Err(X509Error::Algorithm);
        }
        let tbs = self.der.get(self.tbs.clone());
        match (tbs, self.parsed.signature.as_bytes()) {
            (Some(tbs), Some(signature)) if issuer.key().verify(self.algorithm, tbs, signature) => {
            }
            _ => return Err(X509Error::Signature),
        }
        self.window.check(at_s)
    }

    /// Whether it names a certificate of its issuer as revoked, from whenever
    /// and for whatever reason.
    pub fn revokes(&self, certificate: &Certificate) -> bool {
        let list = &self.parsed.tbs_cert_list;
        let mut entries = list.revoked_certificates.iter().flatten();
        list.issuer == *certificate.issuer()
            && entries.any(|entry| entry.serial_number.as_bytes() == certificate.serial())
    }
}
