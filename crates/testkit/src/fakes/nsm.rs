//! The Nitro Security Module: one CBOR request, one CBOR answer, as AWS's
//! aws-nitro-enclaves-nsm-api has them.

use super::{Access, Maker, busy};
use minicbor::{Decoder, Encoder};
use soundproof_attester::Device;
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// Before anything.
    pub access: Access,
    /// The next requests that find the device busy.
    pub busy: u32,
    /// An error code for every request, such as `InternalError`.
    pub error: Option<String>,
    /// Bytes for every answer.
    pub answer: Option<Vec<u8>>,
    /// The document carries other data.
    pub stale: bool,
}

/// See the module.
pub struct FakeNsm {
    make: Maker,
    behaviour: Mutex<Behaviour>,
}

impl FakeNsm {
    /// One whose documents nobody signed.
    pub fn new(behaviour: Behaviour) -> Arc<Self> {
        Self::with_maker(Arc::new(unsigned_document), behaviour)
    }

    /// One whose documents `make` makes, given the user data.
    pub fn with_maker(make: Maker, behaviour: Behaviour) -> Arc<Self> {
        Arc::new(Self {
            make,
            behaviour: Mutex::new(behaviour),
        })
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(
            &mut self
                .behaviour
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

impl Device for FakeNsm {
    fn place(&self) -> String {
        "/dev/nsm".into()
    }

    fn exchange(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut now = self
            .behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        now.access.check()?;
        if now.busy > 0 {
            now.busy -= 1;
            return Err(busy());
        }
        if let Some(answer) = &now.answer {
            return Ok(answer.clone());
        }
        if let Some(code) = &now.error {
            return Ok(error(code));
        }
        let answer = match asked(request) {
            Ok(Asked::Describe) => describe(),
            Ok(Asked::Attestation(data)) => {
                let data = if now.stale { vec![0; 64] } else { data };
                document(&(self.make)(&data))
            }
            Err(_) => error("InvalidArgument"),
        };
        Ok(answer)
    }
}

enum Asked {
    Describe,
    Attestation(Vec<u8>),
}

/// Strictly what the library sends: nonce and public key must be there, and
/// ours are null.
fn asked(request: &[u8]) -> Result<Asked, minicbor::decode::Error> {
    let none = || minicbor::decode::Error::message("not as documented");
    let mut decoder = Decoder::new(request);
    if let Ok("DescribeNSM") = decoder.str() {
        return Ok(Asked::Describe);
    }
    let mut decoder = Decoder::new(request);
    if decoder.map()? != Some(1) || decoder.str()? != "Attestation" || decoder.map()? != Some(3) {
        return Err(none());
    }
    let mut data = None;
    for _ in 0..3 {
        match decoder.str()? {
            "user_data" => data = Some(decoder.bytes()?.to_vec()),
            "nonce" | "public_key" => decoder.null()?,
            _ => return Err(none()),
        }
    }
    if decoder.position() != request.len() {
        return Err(none());
    }
    data.map(Asked::Attestation).ok_or_else(none)
}

fn encoded(
    write: impl FnOnce(
        &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory cannot fail.
    let _ = write(&mut Encoder::new(&mut bytes));
    bytes
}

fn error(code: &str) -> Vec<u8> {
    encoded(|e| e.map(1)?.str("Error")?.str(code)?.ok())
}

fn document(document: &[u8]) -> Vec<u8> {
    encoded(|e| {
        e.map(1)?.str("Attestation")?.map(1)?;
        e.str("document")?.bytes(document)?.ok()
    })
}

fn describe() -> Vec<u8> {
    encoded(|e| {
        e.map(1)?.str("DescribeNSM")?.map(7)?;
        e.str("version_major")?.u16(1)?;
        e.str("version_minor")?.u16(0)?;
        e.str("version_patch")?.u16(0)?;
        e.str("module_id")?
            .str("i-0123456789abcdef0-enc0123456789abcdef")?;
        e.str("max_pcrs")?.u16(32)?;
        e.str("locked_pcrs")?.array(2)?.u16(0)?.u16(1)?;
        e.str("digest")?.str("SHA384")?.ok()
    })
}

/// A document of the right shape that carries `data`: COSE_Sign1, untagged, as
/// the device writes it.
pub fn unsigned_document(data: &[u8]) -> Vec<u8> {
    let payload = encoded(|e| {
        e.begin_map()?;
        e.str("module_id")?.str("i-0")?;
        e.str("digest")?.str("SHA384")?;
        e.str("timestamp")?.u64(1_795_000_000_000)?;
        e.str("pcrs")?.map(1)?.u8(0)?.bytes(&[1; 48])?;
        e.str("certificate")?.bytes(&[])?;
        e.str("cabundle")?.array(0)?;
        e.str("public_key")?.null()?;
        e.str("user_data")?.bytes(data)?;
        e.str("nonce")?.null()?;
        e.end()?.ok()
    });
    encoded(|e| {
        e.array(4)?.bytes(&[0xa1, 0x01, 0x38, 0x22])?.map(0)?;
        e.bytes(&payload)?.bytes(&[0; 96])?.ok()
    })
}
