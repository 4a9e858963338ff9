//! What a client believes of an outcome: only what was made by whoever opened
//! the witness, only if receipt and outcome name what the client computed
//! itself, and only a proof that it verified itself (invariant 6).

use crate::{
    Error,
    program::{SP1, VERIFYING_KEY},
    verifier::{ProofCheck, Verifier},
};
use soundproof_protocol::{
    PROTOCOL_VERSION,
    cbor::Bytes,
    description::JobDescription,
    digest::Digest,
    outcome::{End, PhaseTime, Proved},
    receipt::{Bundle, Receipt, SessionEvidence},
    sealed::Commitment,
    ticket::OutcomeKey,
    transcript::{KeyAlgorithm, KeyPurpose, Transcript, VouchedKey},
    trust::TrustConfiguration,
};

/// What the sender of a job knows about it.
pub(crate) struct Expected<'a> {
    pub(crate) description: &'a JobDescription,
    pub(crate) outcome_key: &'a OutcomeKey,
    pub(crate) sealed_input: Digest,
    pub(crate) commitment: Commitment,
    pub(crate) session: &'a SessionEvidence,
    pub(crate) verifier: &'a Verifier,
    /// This client appraised the session; otherwise nobody did, and the
    /// receipt must say so.
    pub(crate) appraised: bool,
}

/// A proof that passed every check.
pub(crate) struct Checked {
    pub(crate) proof: Vec<u8>,
    pub(crate) public_values: Vec<u8>,
    pub(crate) proof_verified: ProofCheck,
    pub(crate) receipt: Receipt,
    pub(crate) bundle: Bundle,
    pub(crate) phases: Vec<PhaseTime>,
}

/// Opens and checks an outcome.
///
/// # Errors
/// [`Error::Outcome`], [`Error::Failed`], [`Error::Receipt`],
/// [`Error::Proof`].
pub(crate) fn check(expected: &Expected<'_>, sealed: &[u8]) -> Result<Checked, Error> {
    let digest = expected.description.digest();
    let outcome = soundproof_seal::outcome::open(expected.outcome_key, &digest, sealed)
        .map_err(|_| Error::Outcome("the outcome was not made by whoever opened the witness"))?;
    if outcome.version != PROTOCOL_VERSION {
        return Err(Error::Outcome("the outcome is of another protocol version"));
    }
    if outcome.job != expected.description.job || outcome.description != digest {
        return Err(Error::Outcome("the outcome is another job's"));
    }
    let proved = match outcome.end {
        End::Proved(proved) => proved,
        End::Failed(failure) => return Err(Error::Failed(failure)),
        _ => return Err(Error::Outcome("an end that this version does not know")),
    };
    let transcript = Transcript::from_slice(&expected.session.transcript.0)
        .map_err(|error| Error::Transcript(error.to_string()))?;
    let receipt = signed(&transcript, &proved.receipt.0, &proved.receipt_key.0)?;
    about(expected, &digest, &proved, &receipt)?;
    holders(&transcript, expected.session, &receipt)?;
    verifying_key(&receipt)?;
    let proof_verified = expected
        .verifier
        .check(&proved.proof.0, &proved.public_values.0)?;
    Ok(Checked {
        proof_verified,
        bundle: Bundle {
            version: PROTOCOL_VERSION,
            receipt: proved.receipt,
            receipt_key: proved.receipt_key,
            session: expected.session.clone(),
        },
        proof: proved.proof.0,
        public_values: proved.public_values.0,
        receipt,
        phases: proved.phases,
    })
}

fn refuse(what: &str) -> Error {
    Error::Receipt(what.into())
}

/// The receipt, signed by the key that the transcript vouches for.
pub(crate) fn signed(
    transcript: &Transcript,
    receipt: &[u8],
    key: &[u8],
) -> Result<Receipt, Error> {
    let vouched = VouchedKey {
        purpose: KeyPurpose::Receipt,
        algorithm: KeyAlgorithm::Es256,
        digest: Digest::of(key),
    };
    if transcript.key(KeyPurpose::Receipt) != Some(&vouched) {
        return Err(refuse(
            "the evidence does not vouch for the key that signed the receipt",
        ));
    }
    Receipt::verify(receipt, key).map_err(|error| Error::Receipt(error.to_string()))
}

/// The receipt is about this job, this proof, and the bytes that were sent.
fn about(
    expected: &Expected<'_>,
    digest: &Digest,
    proved: &Proved,
    receipt: &Receipt,
) -> Result<(), Error> {
    let description = expected.description;
    let same = [
        (receipt.job == description.job, "job"),
        (receipt.description == *digest, "description"),
        (receipt.system == description.system, "proof system"),
        (receipt.mode == description.mode, "mode"),
        (receipt.parts == description.parts, "program"),
        (receipt.proof == of(&proved.proof), "proof"),
        (
            receipt.public_values == of(&proved.public_values),
            "public values",
        ),
        (
            receipt.sealed_input == expected.sealed_input,
            "sealed input",
        ),
        (receipt.commitment == expected.commitment, "commitment"),
    ];
    if let Some((_, what)) = same.iter().find(|(same, _)| !same) {
        return Err(Error::Receipt(format!("the receipt names another {what}")));
    }
    match (expected.appraised, receipt.client_appraised) {
        (true, false) => Err(refuse(
            "the receipt says that no client appraised the enclave, and this one did",
        )),
        (false, true) => Err(refuse(
            "the receipt says that a client appraised the enclave, and nobody did",
        )),
        _ => Ok(()),
    }
}

/// The verifying key that the receipt names: for SP1 always, and the one that
/// the program names if it names one; for the others it is in the program.
pub(crate) fn verifying_key(receipt: &Receipt) -> Result<Option<[u8; 32]>, Error> {
    let key = receipt.verifying_key.as_ref().map(|key| key.0.as_slice());
    if receipt.system != SP1 {
        return match key {
            None => Ok(None),
            Some(_) => Err(refuse("the receipt names a verifying key of its own")),
        };
    }
    let key: [u8; 32] = key
        .and_then(|key| key.try_into().ok())
        .ok_or_else(|| refuse("the receipt does not name the program's verifying key"))?;
    let mut named = receipt.parts.iter().filter(|p| p.role == VERIFYING_KEY);
    if named.any(|part| part.digest != Digest::of(&key)) {
        return Err(refuse("the receipt names another verifying key"));
    }
    Ok(Some(key))
}

fn of(bytes: &Bytes) -> Digest {
    Digest::of(&bytes.0)
}

/// The receipt's one holder is the enclave whose evidence this is, and the
/// prover is one that its trust configuration lists. With no delegation
/// policy in the description nobody else may have held the witness.
pub(crate) fn holders(
    transcript: &Transcript,
    session: &SessionEvidence,
    receipt: &Receipt,
) -> Result<(), Error> {
    let [holder] = receipt.holders.as_slice() else {
        return Err(refuse(
            "the receipt names more than one enclave, and no delegation was allowed",
        ));
    };
    if holder.role != transcript.role
        || holder.evidence != session.evidence.digest()
        || holder.trust != transcript.trust
    {
        return Err(refuse(
            "the enclave that the receipt names is not the one that was appraised",
        ));
    }
    let trust = TrustConfiguration::from_slice(&session.trust.0)
        .map_err(|error| Error::Transcript(error.to_string()))?;
    let listed = trust.provers.iter().any(|prover| {
        prover.system == receipt.system && prover.executable == receipt.prover_executable
    });
    if !listed {
        return Err(refuse(
            "the receipt names a prover that the trust configuration does not list",
        ));
    }
    let kept = |layers: &[String]| trust.sandbox.iter().all(|layer| layers.contains(layer));
    if !kept(&holder.integrity_start) || !kept(&holder.integrity_end) {
        return Err(refuse(
            "the prover did not keep the sandbox that the trust configuration promises",
        ));
    }
    Ok(())
}
