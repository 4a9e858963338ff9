//! Where a platform's statement carries the binding, and the forms in which
//! statements with several parts are carried. An attester looks whether it
//! got what it asked for: an interface that answers somebody else's question,
//! or an old one, is named here and not at the client.

use minicbor::{Encode, bytes::ByteVec};
use soundproof_protocol::cbor;
use std::collections::BTreeMap;

/// Report data of a TDX quote (Intel TDX DCAP Quoting Library API, A.3 and
/// A.4), version 4 or 5.
pub(crate) fn by_tdx_quote(quote: &[u8]) -> Option<&[u8; 64]> {
    let at = |offset: usize| quote.get(offset..);
    let version = at(0)?.first_chunk().map(|v| u16::from_le_bytes(*v))?;
    let kind = at(4)?.first_chunk().map(|k| u32::from_le_bytes(*k))?;
    match (version, kind) {
        (4, 0x81) => at(568)?.first_chunk(),
        (5, 0x81) => at(574)?.first_chunk(),
        _ => None,
    }
}

/// Report data of an SEV-SNP report (SEV-SNP firmware ABI, table 23).
pub(crate) fn by_snp_report(report: &[u8]) -> Option<&[u8; 64]> {
    report.get(0x50..)?.first_chunk()
}

/// User data of a Nitro attestation document: a COSE_Sign1, tagged or not,
/// whose payload is a map with `user_data`.
pub(crate) fn by_nitro_document(document: &[u8]) -> Option<Vec<u8>> {
    use minicbor::{Decoder, data::Type};
    let mut cose = Decoder::new(document);
    if cose.datatype().ok()? == Type::Tag {
        cose.tag().ok()?;
    }
    if cose.array().ok()? != Some(4) {
        return None;
    }
    cose.skip().ok()?;
    cose.skip().ok()?;
    let mut payload = Decoder::new(cose.bytes().ok()?);
    // The device writes a map of unknown length; ours is bounded by the bytes.
    let mut left = payload.map().ok()?;
    loop {
        match left.as_mut() {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None if payload.datatype().ok()? == Type::Break => return None,
            None => {}
        }
        if payload.str().ok()? == "user_data" {
            return payload.bytes().ok().map(<[u8]>::to_vec);
        }
        payload.skip().ok()?;
    }
}

/// Certificates of an SNP report's signer, as far as the platform has them.
pub(crate) fn snp_endorsements(
    signer: Vec<u8>,
    chain: Vec<Vec<u8>>,
    crl: Option<Vec<u8>>,
) -> Vec<u8> {
    #[derive(Encode)]
    #[cbor(map)]
    struct Snp {
        #[n(0)]
        signer: ByteVec,
        #[n(1)]
        chain: Vec<ByteVec>,
        #[n(2)]
        crl: Option<ByteVec>,
    }
    cbor::to_vec(&Snp {
        signer: signer.into(),
        chain: chain.into_iter().map(ByteVec::from).collect(),
        crl: crl.map(ByteVec::from),
    })
}

/// dstack's event log, as the agent's JSON, and the app-compose file.
pub(crate) fn dstack_log(log: Vec<u8>, compose: Option<Vec<u8>>) -> Vec<u8> {
    #[derive(Encode)]
    #[cbor(map)]
    struct Log {
        #[n(0)]
        events: ByteVec,
        #[n(1)]
        compose: Option<ByteVec>,
    }
    cbor::to_vec(&Log {
        events: log.into(),
        compose: compose.map(ByteVec::from),
    })
}

/// What an Azure VM says: the hardware's statement, what it vouches for, and
/// the vTPM's quote with the values that it is over.
pub(crate) fn azure_statement(
    hardware: Vec<u8>,
    runtime_data: Vec<u8>,
    quote: crate::tpm::Quote,
) -> Vec<u8> {
    #[derive(Encode)]
    #[cbor(map)]
    struct Azure {
        #[n(0)]
        hardware: ByteVec,
        #[n(1)]
        runtime_data: ByteVec,
        #[n(2)]
        attest: ByteVec,
        #[n(3)]
        signature: ByteVec,
        /// By register.
        #[n(4)]
        pcrs: BTreeMap<u8, ByteVec>,
    }
    cbor::to_vec(&Azure {
        hardware: hardware.into(),
        runtime_data: runtime_data.into(),
        attest: quote.attest.into(),
        signature: quote.signature.into(),
        pcrs: (0..)
            .zip(quote.pcrs.iter().map(|pcr| pcr.to_vec().into()))
            .collect(),
    })
}

/// Evidence of one GPU.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
#[cbor(map)]
pub(crate) struct Gpu {
    /// 0: NVIDIA's, in SPDM; 16: software in their format.
    #[n(0)]
    pub(crate) kind: u8,
    /// SPDM request and response.
    #[n(1)]
    pub(crate) report: ByteVec,
    /// Certificate chain, in PEM.
    #[n(2)]
    pub(crate) chain: ByteVec,
}

/// Evidence of all GPUs of a machine.
pub(crate) fn gpus(all: Vec<Gpu>) -> Vec<u8> {
    #[derive(Encode)]
    #[cbor(map)]
    struct Gpus {
        #[n(0)]
        all: Vec<Gpu>,
    }
    cbor::to_vec(&Gpus { all })
}
