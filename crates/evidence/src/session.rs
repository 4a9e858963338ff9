//! From a session's transcript to the binding that its evidence must carry.

use soundproof_protocol::{
    PROTOCOL_VERSION,
    attestation::Role,
    binding::Binding,
    cbor::DecodeError,
    error::Code,
    receipt::SessionEvidence,
    transcript::{KeyAlgorithm, KeyPurpose, MAX_LIFETIME_S, MAX_OFFER, Transcript},
    trust::TrustConfiguration,
};

/// Why a session's evidence cannot be judged at all. Each is a sign that
/// somebody between client and enclave changed something, or that versions
/// differ.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The transcript does not decode.
    #[error("session transcript: {0}")]
    Transcript(DecodeError),
    /// The trust configuration does not decode.
    #[error("trust configuration: {0}")]
    Trust(DecodeError),
    /// Another protocol version.
    #[error("session of version {0}, this is version {PROTOCOL_VERSION}")]
    Version(u16),
    /// The transcript breaks a rule.
    #[error("session transcript: {0}")]
    Rule(&'static str),
    /// The trust configuration is not the one in the transcript.
    #[error("the trust configuration is not the one that the transcript names")]
    TrustMismatch,
    /// The Merkle path has not the shape of a tree of its size.
    #[error("the path to the root has an impossible shape")]
    Path,
}

impl SessionError {
    /// The code under which a client reports it.
    pub const fn code(&self) -> Code {
        match self {
            Self::Version(_) => Code::VersionUnsupported,
            _ => Code::TranscriptMismatch,
        }
    }
}

/// Decodes the transcript and computes the binding that the evidence must
/// carry: transcript → leaf → root → binding. The trust configuration must be
/// the one that the transcript names.
///
/// The caller compares the nonce and the offer with what it sent, and the
/// keys with the transcript's digests of them. The evidence itself is for
/// [`appraise`](crate::appraise) to judge.
///
/// # Errors
/// [`SessionError`].
pub fn verify_session(session: &SessionEvidence) -> Result<(Transcript, Binding), SessionError> {
    let transcript =
        Transcript::from_slice(&session.transcript.0).map_err(SessionError::Transcript)?;
    check(&transcript)?;
    let trust = TrustConfiguration::from_slice(&session.trust.0).map_err(SessionError::Trust)?;
    if trust.digest() != transcript.trust {
        return Err(SessionError::TrustMismatch);
    }
    let root = session
        .path
        .root_from(&transcript.leaf())
        .ok_or(SessionError::Path)?;
    let binding = Binding::new(
        session.evidence.platform,
        transcript.role,
        root,
        session.evidence.gpu_digest(),
        session.evidence.runtime_digest(),
    );
    Ok((transcript, binding))
}

fn check(transcript: &Transcript) -> Result<(), SessionError> {
    if transcript.version != PROTOCOL_VERSION {
        return Err(SessionError::Version(transcript.version));
    }
    // Clients open sessions with keepers; a worker's transcript is no session.
    if transcript.role != Role::Keeper {
        return Err(SessionError::Rule("its role is not keeper"));
    }
    if transcript.offered.len() > MAX_OFFER {
        return Err(SessionError::Rule("it lists too many suites"));
    }
    if !transcript.offered.contains(&transcript.suite.code()) {
        return Err(SessionError::Rule("its suite was not offered"));
    }
    if !(1..=MAX_LIFETIME_S).contains(&transcript.lifetime_s) {
        return Err(SessionError::Rule("its lifetime is zero or above an hour"));
    }
    let algorithm = |purpose| transcript.key(purpose).map(|key| key.algorithm);
    if algorithm(KeyPurpose::Seal) != Some(KeyAlgorithm::from(transcript.suite)) {
        return Err(SessionError::Rule(
            "it has not one key of its suite to seal to",
        ));
    }
    if algorithm(KeyPurpose::Receipt) != Some(KeyAlgorithm::Es256) {
        return Err(SessionError::Rule("it has not one ES256 key for receipts"));
    }
    let count = |purpose| {
        transcript
            .keys
            .iter()
            .filter(|key| key.purpose == purpose)
            .count()
    };
    if count(KeyPurpose::Tls) > 1 {
        return Err(SessionError::Rule("it has two keys for one purpose"));
    }
    Ok(())
}
