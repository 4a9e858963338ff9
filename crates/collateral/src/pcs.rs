//! Intel's provisioning certification service, version 4, and caches of it
//! (PCCS): TCB info, QE identity and the two revocation lists, put together as
//! the collateral that DCAP verifiers exchange.
//!
//! Source: Intel SGX and Intel TDX Provisioning Certification Service, API
//! version 4; for the root's list the PCCS reference.

use crate::{
    config::{Evaluation, Kind},
    fault::{At as _, Failure, Fault},
    http::{Http, Reply},
    item::{list_of, pem_chain},
    target::{Fmspc, PckCa, Tee},
};
use dcap_qvl::QuoteCollateralV3;
use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier as _};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Where the list of Intel's root is.
pub(crate) const ROOT_CRL: &str =
    "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";
/// Bytes of TCB info at most: some 5 KiB today.
const MAX_TCB_INFO: usize = 256 * 1024;
/// Bytes of QE identity at most: some 1 KiB today.
const MAX_QE_IDENTITY: usize = 64 * 1024;
/// Bytes of a list at most, in hexadecimal: some 7 KiB today.
const MAX_CRL: usize = 512 * 1024;
/// Bytes of a chain in a header at most, percent-encoded.
const MAX_HEADER: usize = 16 * 1024;

/// What is asked for.
pub(crate) struct Ask {
    pub(crate) tee: Tee,
    pub(crate) fmspc: Fmspc,
    pub(crate) ca: PckCa,
    pub(crate) evaluation: Evaluation,
}

/// All of it from one source, as JSON.
pub(crate) async fn fetch(
    http: &Http,
    kind: Kind,
    root_crl: &Url,
    ask: &Ask,
    now_ms: u64,
) -> Result<Vec<u8>, Failure> {
    let update = ask.evaluation.name();
    let (tee, ca) = (ask.tee.name(), ask.ca.name());
    let fmspc = hex::encode_upper(ask.fmspc);
    let tcb = format!("{tee}/certification/v4/tcb?fmspc={fmspc}&update={update}");
    let qe = format!("{tee}/certification/v4/qe/identity?update={update}");
    let pck = format!("sgx/certification/v4/pckcrl?ca={ca}&encoding=der");
    let (tcb_info, qe_identity, pck_crl, root_ca_crl) = tokio::try_join!(
        async {
            let reply = http.get(&tcb, MAX_TCB_INFO, now_ms).await;
            reply.and_then(|reply| tcb_info(&reply, ask)).at("TCB info")
        },
        async {
            let reply = http.get(&qe, MAX_QE_IDENTITY, now_ms).await;
            reply
                .and_then(|reply| qe_identity(&reply, ask.tee))
                .at("QE identity")
        },
        async {
            let reply = http.get(&pck, MAX_CRL, now_ms).await;
            reply.and_then(pck_crl).at("PCK CRL")
        },
        async {
            let reply = match kind {
                Kind::Pccs => {
                    let path = "sgx/certification/v4/rootcacrl";
                    http.get(path, MAX_CRL, now_ms).await
                }
                _ => http.get_url(root_crl.clone(), MAX_CRL, now_ms).await,
            };
            reply.and_then(|reply| list(reply.body)).at("root CA CRL")
        },
    )?;
    let (pck_crl, pck_crl_issuer_chain) = pck_crl;
    let collateral = QuoteCollateralV3 {
        pck_crl_issuer_chain,
        root_ca_crl,
        pck_crl,
        tcb_info_issuer_chain: tcb_info.chain,
        tcb_info: tcb_info.text,
        tcb_info_signature: tcb_info.signature,
        qe_identity_issuer_chain: qe_identity.chain,
        qe_identity: qe_identity.text,
        qe_identity_signature: qe_identity.signature,
        pck_certificate_chain: None,
    };
    serde_json::to_vec(&collateral)
        .map_err(|_| Fault::Malformed("collateral"))
        .at("collateral")
}

/// A signed document: the very bytes, since the signature is over them.
pub(crate) struct Signed {
    text: String,
    signature: Vec<u8>,
    chain: String,
}

#[derive(Deserialize)]
struct TcbReply<'a> {
    #[serde(borrow, rename = "tcbInfo")]
    body: &'a RawValue,
    signature: String,
}

#[derive(Deserialize)]
struct QeReply<'a> {
    #[serde(borrow, rename = "enclaveIdentity")]
    body: &'a RawValue,
    signature: String,
}

/// What both say of themselves.
#[derive(Deserialize)]
struct Named {
    id: String,
    #[serde(default)]
    fmspc: String,
}

fn read_tcb_info(body: &[u8]) -> Result<TcbReply<'_>, Fault> {
    serde_json::from_slice(body).map_err(|_| Fault::Malformed("TCB info"))
}

pub(crate) fn tcb_info(reply: &Reply, ask: &Ask) -> Result<Signed, Fault> {
    const WHAT: &str = "TCB info";
    let TcbReply { body, signature } = read_tcb_info(&reply.body)?;
    let named: Named = serde_json::from_str(body.get()).map_err(|_| Fault::Malformed(WHAT))?;
    let id = match ask.tee {
        Tee::Tdx => "TDX",
        Tee::Sgx => "SGX",
    };
    let expected = (id.to_owned(), hex::encode(ask.fmspc));
    let found = (named.id, named.fmspc.to_ascii_lowercase());
    if expected != found {
        let family = |(id, fmspc): (String, String)| format!("{id} family {fmspc}");
        return Err(other(family(expected), &family(found)));
    }
    let chain = chain(
        reply,
        &["TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain"],
    )?;
    signed(WHAT, body.get(), &signature, chain)
}

pub(crate) fn qe_identity(reply: &Reply, tee: Tee) -> Result<Signed, Fault> {
    const WHAT: &str = "QE identity";
    let QeReply { body, signature } =
        serde_json::from_slice(&reply.body).map_err(|_| Fault::Malformed(WHAT))?;
    let named: Named = serde_json::from_str(body.get()).map_err(|_| Fault::Malformed(WHAT))?;
    let expected = match tee {
        Tee::Tdx => "TD_QE",
        Tee::Sgx => "QE",
    };
    if named.id != expected {
        return Err(other(expected.into(), &named.id));
    }
    let chain = chain(reply, &["SGX-Enclave-Identity-Issuer-Chain"])?;
    signed(WHAT, body.get(), &signature, chain)
}

/// The list, and its issuer chain.
pub(crate) fn pck_crl(reply: Reply) -> Result<(Vec<u8>, String), Fault> {
    let chain = chain(&reply, &["SGX-PCK-CRL-Issuer-Chain"])?;
    Ok((list(reply.body)?, chain))
}

fn other(expected: String, found: &str) -> Fault {
    let found = found.chars().filter(|c| c.is_ascii_graphic() || *c == ' ');
    Fault::Other {
        expected,
        found: found.take(60).collect(),
    }
}

/// The signature (ECDSA P-256, r ‖ s) must hold under the chain's first
/// certificate. Who that belongs to is for those to say who judge.
fn signed(what: &'static str, text: &str, signature: &str, chain: String) -> Result<Signed, Fault> {
    let text = without_space(text);
    let signature = hex::decode(signature).map_err(|_| Fault::Malformed("signature"))?;
    let leaf = pem_chain(&chain).ok_or(Fault::Malformed("issuer chain"))?;
    let key = leaf
        .first()
        .map(|leaf| leaf.tbs_certificate().subject_public_key_info())
        .and_then(|key| VerifyingKey::from_sec1_bytes(key.subject_public_key.raw_bytes()).ok())
        .ok_or(Fault::Malformed("issuer chain"))?;
    let parsed = Signature::from_slice(&signature).map_err(|_| Fault::Malformed("signature"))?;
    key.verify(text.as_bytes(), &parsed)
        .map_err(|_| Fault::Signature(what))?;
    Ok(Signed {
        text,
        signature,
        chain,
    })
}

/// Intel signs the body without white space, which is how it is sent; a cache
/// that writes it prettily changes nothing that counts.
fn without_space(text: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    text.chars()
        .filter(|c| {
            if inside {
                inside = escaped || *c != '"';
                escaped = !escaped && *c == '\\';
                return true;
            }
            inside = *c == '"';
            !matches!(c, ' ' | '\t' | '\r' | '\n')
        })
        .collect()
}

/// An issuer chain from the first of these headers that is there:
/// percent-encoded PEM, the signer first.
fn chain(reply: &Reply, names: &[&str]) -> Result<String, Fault> {
    const WHAT: Fault = Fault::Malformed("issuer chain");
    let value = names
        .iter()
        .find_map(|name| reply.headers.get(*name))
        .ok_or(WHAT)?;
    let text = value.to_str().map_err(|_| WHAT)?;
    if text.len() > MAX_HEADER {
        return Err(Fault::TooLarge { max: MAX_HEADER });
    }
    let text = percent_decode_str(text).decode_utf8().map_err(|_| WHAT)?;
    pem_chain(&text).ok_or(WHAT)?;
    Ok(text.into_owned())
}

/// A revocation list, DER; some caches send it in hexadecimal, or in PEM.
pub(crate) fn list(body: Vec<u8>) -> Result<Vec<u8>, Fault> {
    const WHAT: Fault = Fault::Malformed("revocation list");
    let der = match body.first() {
        Some(0x30) if list_of(&body).is_some() => return Ok(body),
        Some(b'-') => {
            let text = core::str::from_utf8(&body).map_err(|_| WHAT)?;
            let (label, der) = x509_cert::der::SecretDocument::from_pem(text)
                .map_err(|_| WHAT)
                .map(|(label, document)| (label.to_owned(), document.as_bytes().to_vec()))?;
            if label != "X509 CRL" {
                return Err(WHAT);
            }
            der
        }
        _ => hex::decode(body.trim_ascii()).map_err(|_| WHAT)?,
    };
    list_of(&der).map(|_| der).ok_or(WHAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_between_tokens_goes_and_inside_strings_stays() {
        assert_eq!(
            without_space("{ \"a b\" : [1,\n2], \"c\\\" \" : \" \\\\\" }"),
            "{\"a b\":[1,2],\"c\\\" \":\" \\\\\"}"
        );
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bytes in [
            &b""[..],
            b"30",
            b"0",
            b"-----BEGIN X509 CRL-----",
            b"zz",
            b"\x30\x00",
        ] {
            assert!(list(bytes.to_vec()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_strangers_words_are_cut_down() {
        let Fault::Other { found, .. } = other("x".into(), &"\u{1b}[31mé".repeat(100)) else {
            panic!();
        };
        assert!(found.is_ascii() && found.len() <= 60);
    }
}
