//! What Azure's metadata service is asked: a quote for a TD report, and the
//! certificates of the VM's SEV-SNP host. Fixed address, fixed paths. It is the
//! one thing that needs a network, so that whoever asks is not the keeper: see
//! [`collector`](crate::collector).

use super::hcl::TD_REPORT;
use crate::{
    Retry,
    error::{DeviceError, Interface, Problem},
    http,
};
use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;
use std::net::{SocketAddr, TcpStream};

/// The service's address, in every Azure VM.
pub const ADDRESS: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254)),
    80,
);
const QUOTE: &str = "/acc/tdquote";
const CERTIFICATES: &str = "/metadata/THIM/amd/certification";
/// Bytes of an answer at most.
const MAX_ANSWER: usize = 128 * 1024;
/// Certificates of a chain at most.
const MAX_CERTIFICATES: usize = 8;

/// Padding is as the sender likes.
const PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, PADDING);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, PADDING);

/// Certificates of the key that signs the host's SEV-SNP reports, in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpCertificates {
    /// The VCEK's.
    pub signer: Vec<u8>,
    /// ASK and ARK.
    pub chain: Vec<Vec<u8>>,
}

/// What an Azure VM's surroundings answer.
pub trait Host: Send + Sync {
    /// A quote of the TD report, by the host's quoting enclave.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn td_quote(&self, report: &[u8; TD_REPORT]) -> Result<Vec<u8>, DeviceError>;

    /// Certificates of the host.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn snp_certificates(&self) -> Result<SnpCertificates, DeviceError>;
}

/// The metadata service itself.
#[derive(Debug, Clone, Copy)]
pub struct Imds {
    address: SocketAddr,
    retry: Retry,
}

impl Imds {
    /// The one at `address`: [`ADDRESS`].
    pub fn at(address: SocketAddr, retry: Retry) -> Self {
        Self { address, retry }
    }

    fn ask<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&str>,
    ) -> Result<T, DeviceError> {
        let request = http::Request {
            body,
            path,
            host: "169.254.169.254",
            headers: &["Metadata: true"],
            max_body: MAX_ANSWER,
            limit: self.retry.limit,
        };
        self.retry.run(|| {
            let answer = TcpStream::connect_timeout(&self.address, self.retry.limit)
                .and_then(|stream| http::ask(stream, &request))
                .map_err(|error| self.system(error))?;
            match answer.status {
                200 => http::object(&answer.body)
                    .ok_or_else(|| self.malformed("the answer is not the JSON that it should be")),
                404 => Err(self.error(Problem::NoDevice)),
                // Azure's guest proxy agent, where it decides who may ask.
                401 | 403 => Err(self.error(Problem::NoPermission)),
                // 410: it is being updated, and to be asked again.
                410 | 429 | 500 | 503 => Err(self.error(Problem::Throttled { tries: 1 })),
                status => Err(self.error(Problem::Refused(format!(
                    "status {status}: {}",
                    crate::shown(&String::from_utf8_lossy(&answer.body))
                )))),
            }
        })
    }

    fn error(&self, problem: Problem) -> DeviceError {
        DeviceError::new(Interface::Imds, self.address.to_string(), problem)
    }

    fn malformed(&self, why: &str) -> DeviceError {
        self.error(Problem::Malformed(why.into()))
    }

    fn system(&self, error: std::io::Error) -> DeviceError {
        use std::io::ErrorKind as K;
        match error.kind() {
            K::HostUnreachable
            | K::NetworkUnreachable
            | K::NetworkDown
            | K::AddrNotAvailable
            | K::ConnectionRefused => self.error(Problem::NoDevice),
            K::TimedOut => self.error(Problem::TimedOut(self.retry.limit)),
            _ => DeviceError::system(Interface::Imds, self.address.to_string(), error),
        }
    }
}

impl Host for Imds {
    fn td_quote(&self, report: &[u8; TD_REPORT]) -> Result<Vec<u8>, DeviceError> {
        #[derive(Deserialize)]
        struct Answer {
            quote: String,
        }
        let body = format!("{{\"report\":\"{}\"}}", BASE64URL_UNPADDED.encode(report));
        let answer: Answer = self.ask(QUOTE, Some(&body))?;
        BASE64URL
            .decode(&answer.quote)
            .map_err(|_| self.malformed("the quote is not base64url"))
    }

    fn snp_certificates(&self) -> Result<SnpCertificates, DeviceError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            vcek_cert: String,
            certificate_chain: String,
        }
        let answer: Answer = self.ask(CERTIFICATES, None)?;
        let read = |text: &str| {
            from_pem(text).ok_or_else(|| self.malformed("a certificate is not in PEM"))
        };
        let [signer] = <[Vec<u8>; 1]>::try_from(read(&answer.vcek_cert)?)
            .map_err(|_| self.malformed("there is not one VCEK certificate"))?;
        Ok(SnpCertificates {
            signer,
            chain: read(&answer.certificate_chain)?,
        })
    }
}

/// Without padding, as Azure's own tools send it.
const BASE64URL_UNPADDED: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_encode_padding(false),
);

/// Certificates in PEM, one after another (RFC 7468).
fn from_pem(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut certificates = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let body = rest.strip_prefix("-----BEGIN CERTIFICATE-----")?;
        let (body, after) = body.split_once("-----END CERTIFICATE-----")?;
        let digits: String = body.split_ascii_whitespace().collect();
        certificates.push(BASE64.decode(digits).ok()?);
        if certificates.len() > MAX_CERTIFICATES {
            return None;
        }
        rest = after.trim_start();
    }
    (!certificates.is_empty()).then_some(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_in_a_row_are_read() {
        let one = "-----BEGIN CERTIFICATE-----\nAQID\r\nBA==\n-----END CERTIFICATE-----\n";
        assert_eq!(from_pem(one).unwrap(), [[1, 2, 3, 4]]);
        let two = format!("{one}{one}");
        assert_eq!(from_pem(&two).unwrap().len(), 2);
        for bad in [
            "",
            "AQID",
            &one.replace("AQID", "!"),
            &one[..40],
            &one.repeat(9),
        ] {
            assert_eq!(from_pem(bad), None, "{bad}");
        }
    }
}
