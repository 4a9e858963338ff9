//! Collateral as PCCS clients exchange it: read here, verified with the quote.

use crate::{reason::Reason, refusal::Refusal};
use dcap_qvl::{QeIdentity, QuoteCollateralV3, TcbInfo};
use soundproof_protocol::attestation::MAX_ENDORSEMENTS;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Collateral, read but not verified.
pub(super) struct Collateral {
    pub(super) raw: QuoteCollateralV3,
    pub(super) tcb_info: TcbInfo,
    /// Seconds since 1970: the later issue and the earlier next update, and
    /// the earlier issue, of TCB info and QE identity.
    pub(super) from_s: u64,
    pub(super) until_s: u64,
    pub(super) oldest_s: u64,
}

impl Collateral {
    /// Reads an endorsement's body: JSON of `QuoteCollateralV3`, bytes as hex, as PCCS
    /// clients exchange it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let malformed = |what| Refusal::new(Reason::EndorsementsMalformed, what);
        if bytes.len() > MAX_ENDORSEMENTS {
            return Err(malformed("too long"));
        }
        if bytes.is_empty() {
            return Err(malformed("none"));
        }
        let raw: QuoteCollateralV3 =
            serde_json::from_slice(bytes).map_err(|_| malformed("not DCAP collateral in JSON"))?;
        let tcb_info: TcbInfo =
            serde_json::from_str(&raw.tcb_info).map_err(|_| malformed("TCB info is not JSON"))?;
        let qe_identity: QeIdentity = serde_json::from_str(&raw.qe_identity)
            .map_err(|_| malformed("QE identity is not JSON"))?;
        let dates = [
            &tcb_info.issue_date,
            &tcb_info.next_update,
            &qe_identity.issue_date,
            &qe_identity.next_update,
        ]
        .map(|text| seconds(text));
        let [
            Some(tcb_from),
            Some(tcb_until),
            Some(qe_from),
            Some(qe_until),
        ] = dates
        else {
            return Err(malformed("a date is not in RFC 3339"));
        };
        Ok(Self {
            raw,
            tcb_info,
            from_s: tcb_from.max(qe_from),
            until_s: tcb_until.min(qe_until),
            oldest_s: tcb_from.min(qe_from),
        })
    }
}

pub(super) fn seconds(text: &str) -> Option<u64> {
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(date.unix_timestamp()).ok()
}
