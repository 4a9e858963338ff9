//! Attestation documents from the Nitro Security Module: CBOR through an ioctl
//! of `/dev/nsm` (Linux, `include/uapi/linux/nsm.h`; requests and answers as
//! in AWS's aws-nitro-enclaves-nsm-api). `user_data` is the binding; nonce and
//! public key are null.

mod ioctl;

pub use ioctl::Nsm as NsmDevice;

use crate::{
    AttestError, Attester, Device, Machine, carried,
    error::{DeviceError, Interface, Problem},
};
use minicbor::{Decoder, Encoder, data::Type};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    binding::Binding,
    cbor::Bytes,
};
use std::sync::Arc;

/// Bytes of a document at most: what the device answers at most.
const MAX_DOCUMENT: usize = 0x3000;

/// See the module.
pub struct Nitro {
    device: Arc<dyn Device>,
    retry: crate::Retry,
    platform: Platform,
}

impl Nitro {
    /// Asks the device who it is.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn open(machine: &Machine) -> Result<Self, DeviceError> {
        let opened = Self {
            device: machine.nsm.clone(),
            retry: machine.retry,
            platform: Platform::Nitro,
        };
        // "DescribeNSM", as a text: a request without arguments.
        let mut request = Vec::new();
        let _ = Encoder::new(&mut request).str("DescribeNSM");
        let answer = opened.ask(&request)?;
        opened.read(&answer, "DescribeNSM", |fields| {
            fields.skip()?;
            Ok(())
        })?;
        Ok(opened)
    }

    /// The same under the name of its platform's software kind: for tests over
    /// a fake, since nobody accepts that for hardware.
    #[must_use]
    pub fn as_software(mut self) -> Self {
        self.platform = Platform::SoftwareNitro;
        self
    }

    fn ask(&self, request: &[u8]) -> Result<Vec<u8>, DeviceError> {
        self.retry.run(|| {
            self.device
                .exchange(request)
                .map_err(|error| DeviceError::system(Interface::Nsm, self.device.place(), error))
        })
    }

    /// An answer is a map of one entry, by the request's name or `Error`.
    fn read<T>(
        &self,
        answer: &[u8],
        name: &str,
        content: impl FnOnce(&mut Decoder<'_>) -> Result<T, minicbor::decode::Error>,
    ) -> Result<T, DeviceError> {
        let mut decoder = Decoder::new(answer);
        let read = || -> Result<Result<T, String>, minicbor::decode::Error> {
            if decoder.map()? != Some(1) {
                return Err(minicbor::decode::Error::message("not one entry"));
            }
            match decoder.str()? {
                "Error" => Ok(Err(crate::shown(decoder.str()?))),
                found if found == name => content(&mut decoder).map(Ok),
                _ => Err(minicbor::decode::Error::message("another answer")),
            }
        };
        match read() {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(code)) => Err(self.error(Problem::Refused(code))),
            Err(error) => Err(self.malformed(error.to_string())),
        }
    }

    fn document(&self, data: &[u8; 64]) -> Result<Vec<u8>, DeviceError> {
        let answer = self.ask(&attestation_request(data))?;
        let document = self.read(&answer, "Attestation", |fields| {
            let mut document = None;
            let mut left = fields.map()?;
            loop {
                match left.as_mut() {
                    Some(0) => break,
                    Some(left) => *left -= 1,
                    None if fields.datatype()? == Type::Break => break,
                    None => {}
                }
                if fields.str()? == "document" {
                    document = Some(fields.bytes()?.to_vec());
                } else {
                    fields.skip()?;
                }
            }
            document.ok_or_else(|| minicbor::decode::Error::message("no document"))
        })?;
        if document.len() > MAX_DOCUMENT {
            return Err(self.malformed("the document is too long".into()));
        }
        match carried::by_nitro_document(&document) {
            Some(carried) if carried == data => Ok(document),
            Some(_) => {
                Err(self.malformed("the document carries other data than it was asked to".into()))
            }
            None => Err(self.malformed("the document has no user data".into())),
        }
    }

    fn error(&self, problem: Problem) -> DeviceError {
        DeviceError::new(Interface::Nsm, self.device.place(), problem)
    }

    fn malformed(&self, why: String) -> DeviceError {
        self.error(Problem::Malformed(why))
    }
}

/// `{"Attestation": {"user_data": data, "nonce": null, "public_key": null}}`
fn attestation_request(data: &[u8; 64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes);
    // Writing to memory cannot fail.
    let _ = encoder
        .map(1)
        .and_then(|e| e.str("Attestation"))
        .and_then(|e| e.map(3))
        .and_then(|e| e.str("user_data"))
        .and_then(|e| e.bytes(data))
        .and_then(|e| e.str("nonce"))
        .and_then(|e| e.null())
        .and_then(|e| e.str("public_key"))
        .and_then(|e| e.null());
    bytes
}

impl Attester for Nitro {
    fn platform(&self) -> Platform {
        self.platform
    }

    fn evidence(&self, binding: &Binding) -> Result<Evidence, AttestError> {
        Ok(Evidence {
            platform: self.platform,
            statement: Bytes(self.document(binding.as_bytes())?),
            event_log: None,
            gpu: None,
            runtime: None,
        })
    }

    /// The document has its certificates with it, and nothing else is needed.
    fn endorsements(&self) -> Result<Endorsements, AttestError> {
        Ok(Endorsements::new(self.platform, Vec::new()))
    }
}

/// For [`fuzz`](crate::fuzz).
#[cfg(feature = "hardware")]
pub(crate) fn fuzz(device: Arc<dyn Device>) -> bool {
    let nitro = Nitro {
        device,
        retry: crate::Retry {
            tries: 1,
            ..crate::Retry::default()
        },
        platform: Platform::Nitro,
    };
    nitro.document(&[0; 64]).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte for byte what AWS's own library sends.
    #[test]
    fn the_request_is_the_documented_cbor() {
        let mut expected = vec![0xa1, 0x6b];
        expected.extend(b"Attestation\xa3\x69user_data\x58\x40");
        expected.extend([7; 64]);
        expected.extend(b"\x65nonce\xf6\x6apublic_key\xf6");
        assert_eq!(attestation_request(&[7; 64]), expected);
    }
}
