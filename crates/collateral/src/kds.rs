//! AMD's key distribution service: the certificate of one chip at one TCB
//! (VCEK), the chain of a product line, and the root's revocation list.
//!
//! Source: AMD 57230, Versioned Chip Endorsement Key (VCEK) Certificate and
//! KDS Interface Specification; TCB_VERSION's layouts in 56860, SEV-SNP ABI.

use crate::{
    fault::{At as _, Failure, Fault},
    http::Http,
    item::{SnpBody, pem_chain},
};
use soundproof_evidence::snp::{Product, Tcb};
use soundproof_protocol::cbor::Bytes;
use x509_cert::{
    Certificate,
    der::{Decode as _, Encode as _, oid::ObjectIdentifier},
};

/// Bytes of a certificate at most: some 1.4 KiB.
const MAX_CERTIFICATE: usize = 16 * 1024;
/// Bytes of a chain at most, PEM: some 4.6 KiB.
const MAX_CHAIN: usize = 64 * 1024;
/// Bytes of the list at most.
const MAX_CRL: usize = 256 * 1024;
/// hwID, in every VCEK (57230, table 9).
const HWID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");

/// Which keys a chain is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keys {
    Vcek,
    Vlek,
}

impl Keys {
    const fn name(self) -> &'static str {
        match self {
            Self::Vcek => "vcek",
            Self::Vlek => "vlek",
        }
    }
}

/// Key, chain and list. A report of version 2 does not say its product line:
/// the lines of that time are tried.
pub(crate) async fn vcek(
    http: &Http,
    product: Option<Product>,
    chip_id: &[u8; 64],
    tcb: [u8; 8],
    now_ms: u64,
) -> Result<SnpBody, Failure> {
    let lines = match product {
        Some(product) => vec![product],
        None => vec![Product::Milan, Product::Genoa],
    };
    let mut failure = None;
    for product in lines {
        match key(http, product, chip_id, tcb, now_ms).await {
            Ok(key) => {
                let mut body = chain(http, Keys::Vcek, product, now_ms).await?;
                body.key = Some(key.into());
                return Ok(body);
            }
            // Not of this line, perhaps.
            Err(fault @ Fault::Status(400..=499)) => failure = Some(fault),
            Err(fault) => return Err(fault).at("VCEK certificate"),
        }
    }
    Err(failure.unwrap_or(Fault::Status(404))).at("VCEK certificate")
}

async fn key(
    http: &Http,
    product: Product,
    chip_id: &[u8; 64],
    tcb: [u8; 8],
    now_ms: u64,
) -> Result<Vec<u8>, Fault> {
    let path = vcek_path(product, chip_id, tcb);
    let der = http.get(&path, MAX_CERTIFICATE, now_ms).await?.body;
    read_key(&der, product, chip_id).map(|()| der)
}

/// Whether it is a certificate of that chip.
pub(crate) fn read_key(der: &[u8], product: Product, chip_id: &[u8; 64]) -> Result<(), Fault> {
    const WHAT: Fault = Fault::Malformed("VCEK certificate");
    let certificate = Certificate::from_der(der).map_err(|_| WHAT)?;
    let hwid = certificate
        .tbs_certificate()
        .extensions()
        .and_then(|extensions| extensions.iter().find(|one| one.extn_id == HWID))
        .map(|hwid| hwid.extn_value.as_bytes())
        .ok_or(WHAT)?;
    // Its bytes as they are, or in an OCTET STRING.
    let expected = hw_id(product, chip_id);
    if !hwid.ends_with(expected) || hwid.len() > expected.len() + 2 {
        let short = |id: &[u8]| hex::encode(id.get(..4).unwrap_or(id));
        return Err(Fault::Other {
            expected: format!("chip {}…", short(expected)),
            found: format!("chip {}…", short(hwid)),
        });
    }
    Ok(())
}

/// Chain and list alone.
pub(crate) async fn chain(
    http: &Http,
    keys: Keys,
    product: Product,
    now_ms: u64,
) -> Result<SnpBody, Failure> {
    let (keys, product) = (keys.name(), product.name());
    let path = format!("{keys}/v1/{product}/cert_chain");
    let reply = http.get(&path, MAX_CHAIN, now_ms).await;
    let chain = reply
        .and_then(|reply| chain_der(&reply.body))
        .at("certificate chain")?;
    let path = format!("{keys}/v1/{product}/crl");
    let reply = http.get(&path, MAX_CRL, now_ms).await;
    let crl = reply
        .and_then(|reply| crate::pcs::list(reply.body))
        .at("CRL")?;
    Ok(SnpBody {
        key: None,
        chain: Some(chain),
        crl: Some(crl.into()),
    })
}

/// ASK or ASVK, then ARK.
pub(crate) fn chain_der(pem: &[u8]) -> Result<Vec<Bytes>, Fault> {
    const WHAT: Fault = Fault::Malformed("certificate chain");
    let text = core::str::from_utf8(pem).map_err(|_| WHAT)?;
    let chain = pem_chain(text)
        .filter(|chain| chain.len() == 2)
        .ok_or(WHAT)?;
    chain
        .iter()
        .map(|certificate| certificate.to_der().map(Bytes).map_err(|_| WHAT))
        .collect()
}

/// Turin's chips have ids of 8 bytes, at the beginning of the field.
fn hw_id(product: Product, chip_id: &[u8; 64]) -> &[u8] {
    match product {
        Product::Turin => chip_id.first_chunk::<8>().map_or(&[], |id| id.as_slice()),
        _ => chip_id,
    }
}

fn vcek_path(product: Product, chip_id: &[u8; 64], tcb: [u8; 8]) -> String {
    let id = hex::encode(hw_id(product, chip_id));
    let Tcb {
        fmc,
        bootloader,
        tee,
        snp,
        microcode,
    } = Tcb::read(tcb, product);
    let fmc = fmc.map_or(String::new(), |fmc| format!("fmcSPL={fmc:02}&"));
    format!(
        "vcek/v1/{}/{id}?{fmc}blSPL={bootloader:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={microcode:02}",
        product.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_by_product_line() {
        let mut chip = [0xab; 64];
        assert_eq!(
            vcek_path(Product::Milan, &chip, [4, 0, 0, 0, 0, 0, 24, 219]),
            format!(
                "vcek/v1/Milan/{}?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219",
                "ab".repeat(64)
            )
        );
        chip[..8].copy_from_slice(&[0x6b, 0xb1, 0x22, 0x9b, 0x76, 0x92, 0xb7, 0x10]);
        assert_eq!(
            vcek_path(Product::Turin, &chip, [1, 1, 1, 4, 0, 0, 0, 82]),
            "vcek/v1/Turin/6bb1229b7692b710?fmcSPL=01&blSPL=01&teeSPL=01&snpSPL=04&ucodeSPL=82"
        );
    }
}
