//! What was fetched, and from when until when it holds. The dates are always
//! those of the documents themselves, also of a copy from a disk.

use crate::{
    nvidia,
    target::{self, Target, Tee},
};
use dcap_qvl::QuoteCollateralV3;
use minicbor::{Decode, Encode};
use serde::Deserialize;
use soundproof_evidence::gpu::ocsp::{CertId, Response};
use soundproof_protocol::{
    attestation::MAX_ENDORSEMENTS,
    cbor::{self, Bytes},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use x509_cert::{Certificate, crl::CertificateList, der::Decode as _, time::Time};

/// Certificates in one chain at most.
const MAX_CHAIN: usize = 5;

/// Endorsements of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// Of what.
    pub target: Target,
    /// As [`Endorsements`](soundproof_protocol::attestation::Endorsements)
    /// carry it.
    pub body: Vec<u8>,
    /// From when until when all of it holds.
    pub window: Window,
    /// When it was fetched; ms since 1970.
    pub fetched_ms: u64,
    /// From where.
    pub source: String,
}

impl Item {
    /// Reads what came; the dates are the documents' own.
    ///
    /// # Errors
    /// What is malformed.
    pub fn new(
        target: Target,
        body: Vec<u8>,
        fetched_ms: u64,
        source: impl Into<String>,
    ) -> Result<Self, &'static str> {
        let window = match target {
            Target::Dcap { .. } => dcap_window(&body)?,
            Target::Vcek { .. } | Target::Vlek { .. } | Target::Chain { .. } => snp_window(&body)?,
            Target::Rim(_) => rim_window(&body)?,
            Target::Ocsp(ref id) => ocsp_window(&body, id)?,
        };
        Ok(Self {
            target,
            body,
            window,
            fetched_ms,
            source: source.into(),
        })
    }
}

impl Item {
    /// When a fresh copy is due; ms since 1970: `refresh_s` after it was
    /// fetched, or `margin_s` before it ends, whichever is first. Of what lives
    /// shorter than that, at half of the time that was left.
    pub fn due_ms(&self, refresh_s: u64, margin_s: u64) -> u64 {
        let ms = |seconds: u64| seconds.saturating_mul(1000);
        let end = self.window.until_ms;
        let left = end.saturating_sub(self.fetched_ms);
        let by_age = self.fetched_ms.saturating_add(ms(refresh_s));
        by_age.min(end.saturating_sub(ms(margin_s).min(left / 2)))
    }
}

/// From when until when; ms since 1970, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Window {
    /// The latest beginning of any part.
    pub from_ms: u64,
    /// Of which part that is.
    pub from_part: &'static str,
    /// The earliest end of any part.
    pub until_ms: u64,
    /// Of which part that is.
    pub until_part: &'static str,
}

impl Window {
    fn always() -> Self {
        Self {
            from_ms: 0,
            from_part: "nothing",
            until_ms: u64::MAX,
            until_part: "nothing",
        }
    }

    fn narrow(&mut self, part: &'static str, from_ms: u64, until_ms: u64) {
        if from_ms > self.from_ms {
            (self.from_ms, self.from_part) = (from_ms, part);
        }
        if until_ms < self.until_ms {
            (self.until_ms, self.until_part) = (until_ms, part);
        }
    }

    fn seconds(&mut self, part: &'static str, from_s: u64, until_s: u64) {
        let ms = |seconds: u64| seconds.saturating_mul(1000);
        self.narrow(part, ms(from_s), ms(until_s));
    }

    fn certificate(&mut self, part: &'static str, certificate: &Certificate) {
        let validity = certificate.tbs_certificate().validity();
        self.narrow(part, ms(&validity.not_before), ms(&validity.not_after));
    }

    /// A list without an end says nothing about how long it holds.
    fn list(&mut self, part: &'static str, list: &[u8]) -> Result<(), &'static str> {
        let list = list_of(list).ok_or(part)?.tbs_cert_list;
        let until = list.next_update.as_ref().ok_or(part)?;
        self.narrow(part, ms(&list.this_update), ms(until));
        Ok(())
    }

    /// Whether it holds at a time.
    pub fn holds(&self, now_ms: u64) -> bool {
        (self.from_ms..=self.until_ms).contains(&now_ms)
    }
}

fn ms(time: &Time) -> u64 {
    u64::try_from(time.to_unix_duration().as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970 as people read them.
pub fn date(ms: u64) -> String {
    i64::try_from(ms / 1000)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{ms} ms since 1970"))
}

/// RFC 3339 as milliseconds since 1970.
pub(crate) fn parse_date(text: &str) -> Option<u64> {
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(date.unix_timestamp_nanos() / 1_000_000).ok()
}

/// A revocation list, DER.
pub(crate) fn list_of(der: &[u8]) -> Option<CertificateList> {
    CertificateList::from_der(der).ok()
}

/// One to [`MAX_CHAIN`] certificates in PEM, leaf first.
pub(crate) fn pem_chain(text: &str) -> Option<Vec<Certificate>> {
    let chain = Certificate::load_pem_chain(text.as_bytes()).ok()?;
    (1..=MAX_CHAIN).contains(&chain.len()).then_some(chain)
}

/// The dates in TCB info and QE identity.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dated {
    issue_date: String,
    next_update: String,
}

/// From when until when DCAP collateral (JSON) holds.
///
/// # Errors
/// What is malformed.
pub fn dcap_window(body: &[u8]) -> Result<Window, &'static str> {
    if body.len() > MAX_ENDORSEMENTS {
        return Err("collateral of this length");
    }
    let collateral: QuoteCollateralV3 =
        serde_json::from_slice(body).map_err(|_| "DCAP collateral in JSON")?;
    let mut window = Window::always();
    for (part, text) in [
        ("TCB info", &collateral.tcb_info),
        ("QE identity", &collateral.qe_identity),
    ] {
        let dated: Dated = serde_json::from_str(text).map_err(|_| part)?;
        let from = parse_date(&dated.issue_date).ok_or(part)?;
        let until = parse_date(&dated.next_update).ok_or(part)?;
        window.narrow(part, from, until);
    }
    for (part, chain) in [
        ("TCB info's issuer chain", &collateral.tcb_info_issuer_chain),
        (
            "QE identity's issuer chain",
            &collateral.qe_identity_issuer_chain,
        ),
        ("PCK CRL's issuer chain", &collateral.pck_crl_issuer_chain),
    ] {
        for certificate in pem_chain(chain).ok_or(part)? {
            window.certificate(part, &certificate);
        }
    }
    window.list("root CA CRL", &collateral.root_ca_crl)?;
    window.list("PCK CRL", &collateral.pck_crl)?;
    Ok(window)
}

/// The dates and the family in TCB info.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TcbInfo {
    id: String,
    fmspc: String,
    issue_date: String,
}

/// DCAP collateral as other tools exchange it. It says itself what it is of.
///
/// # Errors
/// What is malformed.
pub(crate) fn bare_dcap(body: &[u8]) -> Result<Item, &'static str> {
    if body.len() > MAX_ENDORSEMENTS {
        return Err("collateral of this length");
    }
    let collateral: QuoteCollateralV3 =
        serde_json::from_slice(body).map_err(|_| "DCAP collateral in JSON")?;
    let info: TcbInfo = serde_json::from_str(&collateral.tcb_info).map_err(|_| "TCB info")?;
    let tee = match info.id.as_str() {
        "TDX" => Tee::Tdx,
        "SGX" => Tee::Sgx,
        _ => return Err("TCB info"),
    };
    let mut fmspc = [0; 6];
    hex::decode_to_slice(&info.fmspc, &mut fmspc).map_err(|_| "TCB info")?;
    let list = list_of(&collateral.pck_crl).ok_or("PCK CRL")?;
    let ca = target::issuer(&list.tbs_cert_list.issuer).ok_or("PCK CRL")?;
    let fetched_ms = parse_date(&info.issue_date).ok_or("TCB info")?;
    Item::new(
        Target::Dcap { tee, fmspc, ca },
        body.to_vec(),
        fetched_ms,
        "a file",
    )
}

/// SNP's endorsements.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub(crate) struct SnpBody {
    /// VCEK or VLEK certificate, DER.
    #[n(0)]
    pub(crate) key: Option<Bytes>,
    /// ASK or ASVK, then ARK, DER.
    #[n(1)]
    pub(crate) chain: Option<Vec<Bytes>>,
    /// The ARK's list, DER.
    #[n(2)]
    pub(crate) crl: Option<Bytes>,
}

impl SnpBody {
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        cbor::from_slice(bytes, MAX_ENDORSEMENTS).ok()
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        cbor::to_vec(self)
    }

    /// Whether nothing is missing.
    pub(crate) fn is_whole(&self) -> bool {
        self.key.is_some() && self.chain.is_some() && self.crl.is_some()
    }

    /// What the host gave, and the rest from what was fetched.
    pub(crate) fn beside(given: Self, fetched: Self) -> Self {
        Self {
            key: given.key.or(fetched.key),
            chain: given.chain.or(fetched.chain),
            crl: given.crl.or(fetched.crl),
        }
    }
}

/// From when until when SNP's endorsements (CBOR) hold.
///
/// # Errors
/// What is malformed.
pub fn snp_window(body: &[u8]) -> Result<Window, &'static str> {
    let body = SnpBody::from_slice(body).ok_or("SNP endorsements")?;
    let mut window = Window::always();
    if let Some(key) = &body.key {
        let key = Certificate::from_der(&key.0).map_err(|_| "VCEK certificate")?;
        window.certificate("VCEK certificate", &key);
    }
    let chain = body.chain.ok_or("certificate chain")?;
    if chain.is_empty() || chain.len() > MAX_CHAIN {
        return Err("certificate chain");
    }
    for certificate in &chain {
        let certificate = Certificate::from_der(&certificate.0).map_err(|_| "certificate chain")?;
        window.certificate("certificate chain", &certificate);
    }
    window.list("CRL", &body.crl.ok_or("CRL")?.0)?;
    Ok(window)
}

/// Seconds that an OCSP answer counts which does not say how long it holds.
const OCSP_S: u64 = 24 * 3600;

/// From when until when an OCSP answer (DER) about a certificate holds.
fn ocsp_window(body: &[u8], id: &CertId) -> Result<Window, &'static str> {
    let answer = Response::parse(body).map_err(|_| "OCSP response")?;
    let answer = answer.about(id).ok_or("OCSP response")?;
    let later = answer.from_s.saturating_add(OCSP_S);
    let until_s = if answer.until_s == u64::MAX {
        later
    } else {
        answer.until_s
    };
    let mut window = Window::always();
    window.seconds("OCSP response", answer.from_s, until_s);
    Ok(window)
}

/// From when until when a manifest's signers (XML) may sign.
fn rim_window(body: &[u8]) -> Result<Window, &'static str> {
    let (_, signers) = nvidia::manifest(body).ok_or("RIM")?;
    let mut window = Window::always();
    for certificate in &signers {
        let signer = certificate.window();
        window.seconds("RIM signer's certificate", signer.from_s, signer.until_s);
    }
    Ok(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_window_counts() {
        let mut window = Window::always();
        window.narrow("a", 10, 100);
        window.narrow("b", 20, 200);
        window.narrow("c", 5, 50);
        assert_eq!((window.from_ms, window.from_part), (20, "b"));
        assert_eq!((window.until_ms, window.until_part), (50, "c"));
        assert!(window.holds(20) && window.holds(50));
        assert!(!window.holds(19) && !window.holds(51));
    }

    #[test]
    fn dates() {
        assert_eq!(date(1_795_000_000_000), "2026-11-18T11:06:40Z");
        assert_eq!(parse_date("2026-11-18T11:06:40Z"), Some(1_795_000_000_000));
        assert_eq!(parse_date("2026-11-18"), None);
        assert_eq!(parse_date("1969-01-01T00:00:00Z"), None);
        assert!(date(u64::MAX).contains("since 1970"));
    }

    #[test]
    fn garbage_is_refused() {
        for bytes in [&b""[..], b"{}", b"\xa0", b"\xff", b"[]", b"null"] {
            assert!(dcap_window(bytes).is_err());
            assert!(snp_window(bytes).is_err());
        }
    }
}
