//! The offline check of a receipt: anybody, any time, no network.

use crate::{
    Error,
    check::{holders, signed, verifying_key},
    transport::hex,
};
use serde::Serialize;
use soundproof_evidence::{Policy, Verdict, appraise, verify_session};
use soundproof_protocol::{
    PROTOCOL_VERSION,
    attestation::Endorsements,
    digest::Digest,
    receipt::{Bundle, Receipt},
    trust::TrustConfiguration,
};

/// What was checked beside the bundle itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The proof's bytes, exactly as they were released.
    pub proof: Option<&'a [u8]>,
    /// The public values' bytes, likewise.
    pub public_values: Option<&'a [u8]>,
    /// Newer endorsements, which may revoke what was good then.
    pub endorsements: Option<&'a Endorsements>,
    /// What an SP1 program's `vk.hash_bytes()` should be.
    pub verifying_key: Option<[u8; 32]>,
    /// Accept a receipt for a job whose input was sealed on arrival, by the
    /// server's own direct path: nobody appraised the enclave before the input
    /// left its owner. What it says of the proof is as good as ever.
    pub danger_unappraised: bool,
}

/// What an offline check found.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct BundleReport {
    /// Everything that was checked holds.
    pub accepted: bool,
    /// What does not hold, if it is not the evidence.
    pub problems: Vec<String>,
    /// What was compared and held.
    pub checked: Vec<&'static str>,
    /// What could not be checked, for want of it.
    pub unchecked: Vec<&'static str>,
    /// The evidence, judged at the time asked for.
    pub verdict: Verdict,
    /// Proof system, and kind of proof.
    pub system: String,
    /// Likewise.
    pub mode: String,
    /// The client appraised the enclave before it sealed its input.
    pub client_appraised: bool,
    /// The verifying key that the enclave computed from the program; for SP1
    /// `vk.hash_bytes()` in lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verifying_key: Option<String>,
    /// SHA-256 of the proof that the receipt is for.
    pub proof: Digest,
    /// SHA-256 of its public values.
    pub public_values: Digest,
    /// The program: role and SHA-256 of each part.
    pub program: Vec<soundproof_protocol::description::ProgramPart>,
    /// Version of the prover.
    pub prover_version: String,
    /// By the enclave's clock, which is the host's; ms since 1970.
    pub claimed_start_ms: u64,
    /// Likewise.
    pub claimed_end_ms: u64,
}

/// The time that a bundle's receipt claims, which is the host's word.
///
/// # Errors
/// As [`verify_bundle`].
pub fn claimed_end_ms(bundle: &Bundle) -> Result<u64, Error> {
    Ok(open(bundle)?.1.claimed_end_ms)
}

/// Checks a bundle under `policy`, as of `at_ms` (milliseconds since 1970).
///
/// # Errors
/// [`Error::Bundle`], [`Error::Transcript`] and [`Error::Receipt`] for what is
/// no receipt at all; all else stands in the report.
pub fn verify_bundle(
    bundle: &Bundle,
    beside: &Beside<'_>,
    policy: &Policy,
    at_ms: u64,
) -> Result<BundleReport, Error> {
    let (binding, receipt, trust) = open(bundle)?;
    let key = verifying_key(&receipt)?;
    let verdict = appraise(
        &bundle.session.evidence,
        beside.endorsements.unwrap_or(&bundle.session.endorsements),
        &binding,
        &trust,
        policy,
        at_ms,
    );
    let mut problems = Vec::new();
    let mut checked = vec![
        "the evidence vouches for the receipt key, through the session's transcript and path",
        "the receipt's signature",
        "the enclave that held the witness is the one that the evidence is of",
        "the prover is one that the trust configuration lists",
        "the receipt says that the proof was verified before it was released",
    ];
    let mut unchecked = Vec::new();
    let pairs = [
        (beside.proof, receipt.proof, "the proof is the receipt's"),
        (
            beside.public_values,
            receipt.public_values,
            "the public values are the receipt's",
        ),
    ];
    for (given, expected, what) in pairs {
        match given {
            Some(bytes) if Digest::of(bytes) == expected => checked.push(what),
            Some(_) => problems.push(format!("this does not hold: {what}")),
            None => unchecked.push(what),
        }
    }
    if let Some(expected) = beside.verifying_key {
        let what = "the program's verifying key is the one that was given";
        if key == Some(expected) {
            checked.push(what);
        } else {
            problems.push(format!("this does not hold: {what}"));
        }
    }
    if !receipt.client_appraised && !beside.danger_unappraised {
        problems.push("no client appraised the enclave before the witness was sealed".into());
    }
    // The value of the type *accepted* is the judge's alone to make.
    let accepted = problems.is_empty() && verdict.clone().accept().is_ok();
    Ok(BundleReport {
        accepted,
        problems,
        checked,
        unchecked,
        verdict,
        system: receipt.system,
        mode: receipt.mode,
        client_appraised: receipt.client_appraised,
        verifying_key: key.map(|key| hex(&key)),
        proof: receipt.proof,
        public_values: receipt.public_values,
        program: receipt.parts,
        prover_version: crate::error::clean(&receipt.prover_version),
        claimed_start_ms: receipt.claimed_start_ms,
        claimed_end_ms: receipt.claimed_end_ms,
    })
}

fn open(
    bundle: &Bundle,
) -> Result<
    (
        soundproof_protocol::binding::Binding,
        Receipt,
        TrustConfiguration,
    ),
    Error,
> {
    if bundle.version != PROTOCOL_VERSION {
        return Err(Error::Bundle("the bundle is of another version"));
    }
    let (transcript, binding) =
        verify_session(&bundle.session).map_err(|error| Error::Transcript(error.to_string()))?;
    let receipt = signed(&transcript, &bundle.receipt.0, &bundle.receipt_key.0)?;
    holders(&transcript, &bundle.session, &receipt)?;
    let trust = TrustConfiguration::from_slice(&bundle.session.trust.0)
        .map_err(|error| Error::Transcript(error.to_string()))?;
    Ok((binding, receipt, trust))
}
