//! A session's transcript, tree, evidence and trust configuration, as a
//! keeper would send them, ready to be judged.

use soundproof_attester::{AttestError, Attester};
use soundproof_protocol::{
    PROTOCOL_VERSION,
    attestation::Role,
    binding::{Binding, GpuNonce},
    cbor::{self, Bytes},
    digest::Digest,
    id::{InstanceId, Nonce, SessionId},
    merkle::Tree,
    receipt::SessionEvidence,
    suite::Suite,
    transcript::{KeyAlgorithm, KeyPurpose, Transcript, VouchedKey},
    trust::{ProverIdentity, TrustConfiguration},
};

/// A trust configuration without anything to worry about.
pub fn trust() -> TrustConfiguration {
    TrustConfiguration {
        version: PROTOCOL_VERSION,
        provers: vec![ProverIdentity {
            system: "groth16".into(),
            executable: Digest([0xe1; 32]),
            version: "0.1.0".into(),
        }],
        sandbox: vec!["landlock-files".into(), "seccomp".into()],
        delegation: None,
        durable_scope: None,
        gpu: false,
        telemetry: vec![],
        danger: vec![],
        swap: false,
        sp1_direct: false,
    }
}

/// A transcript with made-up keys.
pub fn transcript(nonce: Nonce, trust: &TrustConfiguration) -> Transcript {
    let key = |purpose, algorithm, digest| VouchedKey {
        purpose,
        algorithm,
        digest: Digest([digest; 32]),
    };
    Transcript {
        version: PROTOCOL_VERSION,
        role: Role::Keeper,
        nonce,
        offered: vec![Suite::XWing.code(), Suite::X25519.code()],
        suite: Suite::XWing,
        session: SessionId([5; 16]),
        lifetime_s: 600,
        keys: vec![
            key(KeyPurpose::Seal, KeyAlgorithm::XWing, 6),
            key(KeyPurpose::Receipt, KeyAlgorithm::Es256, 7),
        ],
        trust: trust.digest(),
        instance: InstanceId([8; 16]),
    }
}

/// Evidence for `transcript`, as leaf `index` of a tree of `leaves` leaves:
/// GPUs first, where there are any, since the binding has their evidence's
/// digest.
///
/// # Errors
/// [`AttestError`]; also [`AttestError::Make`] for an impossible tree.
pub fn attest(
    attester: &dyn Attester,
    transcript: &Transcript,
    trust: &TrustConfiguration,
    index: u32,
    leaves: u32,
) -> Result<SessionEvidence, AttestError> {
    let impossible = || AttestError::Make {
        what: "tree",
        why: format!("leaf {index} of {leaves}"),
    };
    let mut all: Vec<Vec<u8>> = (0..leaves).map(|i| i.to_be_bytes().to_vec()).collect();
    *all.get_mut(index as usize).ok_or_else(impossible)? = transcript.leaf();
    let tree = Tree::new(all.iter().map(Vec::as_slice)).ok_or_else(impossible)?;
    let gpu = attester.gpus(&GpuNonce::new(tree.root()))?;
    let binding = Binding::new(
        attester.platform(),
        transcript.role,
        tree.root(),
        gpu.as_ref().map(|bytes| Digest::of(&bytes.0)),
        None,
    );
    let mut evidence = attester.evidence(&binding)?;
    evidence.gpu = gpu;
    Ok(SessionEvidence {
        transcript: Bytes(cbor::to_vec(transcript)),
        path: tree.path(index).ok_or_else(impossible)?,
        evidence,
        endorsements: attester.endorsements()?,
        trust: Bytes(cbor::to_vec(trust)),
    })
}
