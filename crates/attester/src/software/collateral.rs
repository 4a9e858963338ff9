//! TCB info (version 3, of TDX or SGX) and QE identity (version 2), signed as Intel's
//! provisioning certification service signs them: ECDSA over the JSON's very
//! bytes, r ‖ s.

use super::{
    keys::Keys,
    pki::{Issued, Pki},
    profile::{ADVISORY, LEVELS, Profile, Tee},
};
use crate::AttestError;
use dcap_qvl::QuoteCollateralV3;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub(super) fn make(
    keys: &Keys,
    pki: &Pki,
    profile: &Profile,
    now_ms: u64,
) -> Result<QuoteCollateralV3, AttestError> {
    let issued = Issued::new(profile, now_ms)?;
    let (from, until) = (date(issued.from)?, date(issued.collateral_until)?);
    let tcb_info = tcb_info(profile, &from, &until).to_string();
    let qe_identity = qe_identity(profile, &from, &until).to_string();
    let sign = |text: &str, bad: bool| {
        let mut signature = keys.tcb_signing.sign_raw(text.as_bytes()).to_vec();
        if let Some(last) = signature.last_mut().filter(|_| bad) {
            *last ^= 1;
        }
        signature
    };
    Ok(QuoteCollateralV3 {
        pck_crl_issuer_chain: pki.pck_ca_chain_pem.clone(),
        root_ca_crl: pki.root_crl.clone(),
        pck_crl: pki.pck_crl.clone(),
        tcb_info_issuer_chain: pki.tcb_signing_chain_pem.clone(),
        tcb_info_signature: sign(&tcb_info, profile.bad_tcb_signature),
        tcb_info,
        qe_identity_issuer_chain: pki.tcb_signing_chain_pem.clone(),
        qe_identity_signature: sign(&qe_identity, profile.bad_qe_identity_signature),
        qe_identity,
        pck_certificate_chain: None,
    })
}

fn date(time: OffsetDateTime) -> Result<String, AttestError> {
    time.format(&Rfc3339).map_err(|error| AttestError::Make {
        what: "date",
        why: error.to_string(),
    })
}

const TCB_DATE: &str = "2026-01-01T00:00:00Z";
const OLD_TCB_DATE: &str = "2025-01-01T00:00:00Z";

fn tcb_info(profile: &Profile, from: &str, until: &str) -> Value {
    let zero48 = "0".repeat(96);
    let components = |first: &[u8]| -> Vec<Value> {
        (0..16)
            .map(|i| json!({ "svn": first.get(i).copied().unwrap_or(0) }))
            .collect()
    };
    let levels: Vec<Value> = LEVELS
        .iter()
        .map(|(svn, status)| {
            let latest = *status == "UpToDate";
            json!({
                "tcb": {
                    "sgxtcbcomponents": components(&[*svn, if latest { 2 } else { 0 }]),
                    "pcesvn": if latest { 11 } else { 5 },
                    "tdxtcbcomponents": components(&[0, 0, if latest { 2 } else { 0 }]),
                },
                "tcbDate": if latest { TCB_DATE } else { OLD_TCB_DATE },
                "tcbStatus": status,
                "advisoryIDs": if latest { vec![] } else { vec![ADVISORY] },
            })
        })
        .collect();
    let mut info = json!({
        "id": "TDX",
        "version": 3,
        "issueDate": from,
        "nextUpdate": until,
        "fmspc": hex::encode_upper(profile.tcb_info_fmspc),
        "pceId": "0000",
        "tcbType": 0,
        "tcbEvaluationDataNumber": profile.tcb_evaluation,
        "tdxModule": {
            "mrsigner": zero48,
            "attributes": "0000000000000000",
            "attributesMask": "FFFFFFFFFFFFFFFF",
        },
        "tdxModuleIdentities": [{
            "id": "TDX_01",
            "mrsigner": zero48,
            "attributes": "0000000000000000",
            "attributesMask": "FFFFFFFFFFFFFFFF",
            "tcbLevels": [
                { "tcb": { "isvsvn": 3 }, "tcbDate": TCB_DATE, "tcbStatus": "UpToDate" },
                { "tcb": { "isvsvn": 2 }, "tcbDate": OLD_TCB_DATE, "tcbStatus": "OutOfDate" },
            ],
        }],
        "tcbLevels": levels,
    });
    if profile.tee == Tee::Sgx {
        info["id"] = "SGX".into();
        if let Some(info) = info.as_object_mut() {
            info.remove("tdxModule");
            info.remove("tdxModuleIdentities");
        }
        for level in info["tcbLevels"].as_array_mut().into_iter().flatten() {
            if let Some(tcb) = level["tcb"].as_object_mut() {
                tcb.remove("tdxtcbcomponents");
            }
        }
    }
    info
}

fn qe_identity(profile: &Profile, from: &str, until: &str) -> Value {
    json!({
        "id": match profile.tee {
            Tee::Tdx => "TD_QE",
            Tee::Sgx => "QE",
        },
        "version": 2,
        "issueDate": from,
        "nextUpdate": until,
        "tcbEvaluationDataNumber": profile.tcb_evaluation,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": hex::encode_upper(profile.qe_identity_signer),
        "isvprodid": profile.tee.qe_product(),
        "tcbLevels": [
            { "tcb": { "isvsvn": 4 }, "tcbDate": TCB_DATE, "tcbStatus": "UpToDate" },
            { "tcb": { "isvsvn": 3 }, "tcbDate": OLD_TCB_DATE, "tcbStatus": "OutOfDate" },
        ],
    })
}
