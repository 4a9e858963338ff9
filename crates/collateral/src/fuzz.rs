//! Entry points for fuzzing: every parser of what sources answer, and of files.
//! They return whether it was read; none may panic, hang or take memory out of
//! proportion to its input.

use crate::{
    bundle::Bundle,
    cache,
    config::Evaluation,
    http::Reply,
    kds, nvidia, pcs,
    target::{PckCa, Product, Target, Tee},
};
use reqwest::header::{HeaderMap, HeaderValue};

/// The family that software platforms are of.
const FMSPC: [u8; 6] = *b"PROOF\0";

/// A bundle, or an item of a cache: what is read is written as it was.
pub fn file(bytes: &[u8]) -> bool {
    let item = cache::read(bytes);
    if let Some(item) = &item {
        assert_eq!(cache::write(item), bytes);
    }
    let Ok(bundle) = Bundle::from_slice(bytes) else {
        return item.is_some();
    };
    let written = bundle.to_vec();
    assert_eq!(Bundle::from_slice(&written), Ok(bundle));
    // DCAP collateral alone has another form.
    assert!(bytes.trim_ascii_start().starts_with(b"{") || written == bytes);
    true
}

/// What a source answers: the first byte says which document; of Intel's, two
/// more the length (little endian) of the issuer chain's header, which is
/// next.
pub fn answer(bytes: &[u8]) -> bool {
    let Some((kind, rest)) = bytes.split_first() else {
        return false;
    };
    match kind {
        0..=2 => intel(*kind, rest).unwrap_or(false),
        3 => pcs::list(rest.to_vec()).is_ok(),
        4 => kds::read_key(rest, Product::Milan, &[0xc1; 64]).is_ok(),
        5 => kds::chain_der(rest).is_ok(),
        6 => {
            let Some(Target::Rim(id)) = Target::from_key("rim/NV_GPU_DRIVER_GH100_570.124.06")
            else {
                return false;
            };
            nvidia::read_rim(rest, &id).is_ok()
        }
        7 => {
            // About no certificate that there is: it is read all the same.
            let hash = [0; 48];
            let id = crate::target::CertId::from_parts(hash, hash, &[1]);
            id.is_some_and(|id| nvidia::read_ocsp(rest, &id).is_ok())
        }
        8 => nvidia::read_nras(rest).is_ok(),
        _ => false,
    }
}

fn intel(kind: u8, bytes: &[u8]) -> Option<bool> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (chain, body) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    let mut headers = HeaderMap::new();
    let name = ["TCB-Info", "SGX-Enclave-Identity", "SGX-PCK-CRL"].get(usize::from(kind))?;
    let name = format!("{name}-Issuer-Chain").parse::<reqwest::header::HeaderName>();
    headers.insert(name.ok()?, HeaderValue::from_bytes(chain).ok()?);
    let reply = Reply {
        body: body.to_vec(),
        headers,
    };
    let ask = pcs::Ask {
        tee: Tee::Tdx,
        fmspc: FMSPC,
        ca: PckCa::Platform,
        evaluation: Evaluation::Standard,
    };
    Some(match kind {
        0 => pcs::tcb_info(&reply, &ask).is_ok(),
        1 => pcs::qe_identity(&reply, ask.tee).is_ok(),
        _ => pcs::pck_crl(reply).is_ok(),
    })
}
