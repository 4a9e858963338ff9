//! What a file holds: evidence of any platform, in the containers in which
//! people keep it. Nothing found here is verified.
//!
//! Understood: this protocol's own encodings (session evidence, receipt
//! bundles, evidence); TDX and SGX quotes and SEV-SNP reports, alone or a few
//! bytes into something else (the firmware's answer, dstack's attestations);
//! Azure's HCL reports; Nitro documents; NVIDIA's SPDM reports; CC event logs;
//! JSON with a quote in it (dstack's GetQuote answer, Trustee's evidence, of
//! Azure too) or NVIDIA's lists; JWTs; and any of these as hex or base64 text.

mod azure;
mod binary;
mod endorsements;
mod json;

pub use endorsements::endorsements;

use crate::gpu::{Gpu, GpuEvidence, GpuKind};
use binary::binary;
use json::text;
use serde_json::Value;
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    cbor::{self, Bytes},
    receipt::{MAX_BUNDLE, SessionEvidence},
};

/// Bytes of a file at most.
pub const MAX_FILE: usize = 4 * MAX_BUNDLE;
/// Layers of text around evidence at most: JSON, base64 in it, hex in that.
const MAX_LAYERS: usize = 4;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// Evidence of a platform, with endorsements if the file has them.
    Evidence(Box<Evidence>, Option<Box<Endorsements>>),
    /// A session's evidence, by itself or in a receipt bundle.
    Session(Box<SessionEvidence>),
    /// GPU evidence without any other, as [`Evidence::gpu`] carries it.
    Gpu(Bytes),
    /// A CC event log without a quote.
    EventLog(Bytes),
    /// Claims of a token, of which no signature was checked.
    Token(Value),
}

/// What a file holds, and how it was wrapped, from the outside in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// The layers, as people call them.
    pub layers: Vec<&'static str>,
    /// What is inside.
    pub found: Found,
}

/// Why nothing was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// Longer than [`MAX_FILE`].
    #[error("{0} bytes, at most {MAX_FILE} are read")]
    TooLong(usize),
    /// Nothing that is known.
    #[error("no evidence that is known here{}", inside(.0))]
    Unknown(Vec<&'static str>),
}

fn inside(layers: &[&str]) -> String {
    if layers.is_empty() {
        String::new()
    } else {
        format!(", inside {}", layers.join(", "))
    }
}

/// Finds what a file holds.
///
/// # Errors
/// [`ContainerError`].
pub fn open(bytes: &[u8]) -> Result<Opened, ContainerError> {
    if bytes.len() > MAX_FILE {
        return Err(ContainerError::TooLong(bytes.len()));
    }
    let mut layers = Vec::new();
    let mut current = bytes.to_vec();
    while layers.len() < MAX_LAYERS {
        if let Some((layer, found)) = binary(&current) {
            layers.push(layer);
            return Ok(Opened { layers, found });
        }
        match text(&current) {
            Some((layer, Inside::Found(found))) => {
                layers.push(layer);
                return Ok(Opened { layers, found });
            }
            Some((layer, Inside::Bytes(bytes))) => {
                layers.push(layer);
                current = bytes;
            }
            None => break,
        }
    }
    if azure::is_tdx(&current) {
        layers.push("an HCL report of Azure's, of TDX, which only its own machine can check");
    }
    Err(ContainerError::Unknown(layers))
}

fn statement(platform: Platform, bytes: &[u8]) -> Found {
    let evidence = Evidence {
        platform,
        statement: Bytes(bytes.to_vec()),
        event_log: None,
        gpu: None,
        runtime: None,
    };
    Found::Evidence(Box::new(evidence), None)
}

fn gpus(list: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Found {
    let gpus = list
        .into_iter()
        .map(|(report, chain)| Gpu {
            kind: GpuKind::Nvidia,
            report: Bytes(report),
            chain: Bytes(chain),
        })
        .collect();
    Found::Gpu(Bytes(cbor::to_vec(&GpuEvidence { gpus })))
}

enum Inside {
    Found(Found),
    Bytes(Vec<u8>),
}
