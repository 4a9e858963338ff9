//! From a stranger's bytes to what is to be judged: what a client would judge
//! itself, in the same order: transcript and path, then evidence. No I/O.

use crate::api::{AppraiseRequest, MAX_REQUEST};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use soundproof_evidence::verify_session;
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, MAX_ENDORSEMENTS, MAX_EVIDENCE, Role},
    binding::Binding,
    cbor,
    digest::Digest,
    error::Code,
    receipt::{MAX_BUNDLE, SessionEvidence},
    trust::TrustConfiguration,
};

/// Bytes around evidence and endorsements in their encodings at most.
const AROUND: usize = 64 * 1024;

/// Characters of an audience at most.
const MAX_AUDIENCE: usize = 256;

/// Why a request is none. The detail is public.
#[derive(Debug)]
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "nobody is told"))]
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) detail: String,
}

/// A request, read and consistent in itself.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "nothing is judged")
)]
pub(crate) struct Asked {
    pub(crate) policy: String,
    pub(crate) audience: String,
    pub(crate) nonce: Vec<u8>,
    pub(crate) evidence: Evidence,
    /// Those that came along.
    pub(crate) endorsements: Option<Endorsements>,
    pub(crate) trust: TrustConfiguration,
    pub(crate) binding: Binding,
}

/// Reads a stranger's request.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(body: &[u8]) -> Result<Asked, Refused> {
    if body.len() > MAX_REQUEST {
        return Err(Refused {
            code: Code::BodyTooLarge,
            detail: format!("at most {MAX_REQUEST} bytes are accepted"),
        });
    }
    let request: AppraiseRequest =
        serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    let nonce = hex::decode(&request.nonce).map_err(|_| malformed("nonce: not hexadecimal"))?;
    if !(16..=64).contains(&nonce.len()) {
        return Err(malformed("nonce: it must have 16 to 64 bytes"));
    }
    if !(1..=MAX_AUDIENCE).contains(&request.audience.chars().count()) {
        return Err(malformed("audience: it must have 1 to 256 characters"));
    }
    let asked = match (&request.session, &request.evidence) {
        (Some(session), None) => of_session(&request, session, &nonce)?,
        (None, Some(evidence)) => of_evidence(&request, evidence, &nonce)?,
        _ => return Err(malformed("send a session, or evidence with its root")),
    };
    let expected = request.binding.as_deref();
    let same = |text: &str| text.eq_ignore_ascii_case(&hex::encode(asked.binding.as_bytes()));
    if expected.is_some_and(|expected| !same(expected)) {
        let why = "the binding that is expected is not the one that this is to carry";
        return Err(mismatch(why));
    }
    Ok(asked)
}

fn of_session(request: &AppraiseRequest, session: &str, nonce: &[u8]) -> Result<Asked, Refused> {
    if request.endorsements.is_some() || request.trust.is_some() || request.root.is_some() {
        return Err(malformed(
            "endorsements, trust and root go with evidence; a session has its own",
        ));
    }
    let session: SessionEvidence = decoded("session", session, MAX_BUNDLE)?;
    let (transcript, binding) =
        verify_session(&session).map_err(|error| mismatch(error.to_string()))?;
    if transcript.nonce.0.as_slice() != nonce {
        return Err(mismatch("the transcript carries another nonce"));
    }
    Ok(Asked {
        policy: request.policy.clone(),
        audience: request.audience.clone(),
        nonce: nonce.to_vec(),
        trust: trust(&session.trust.0)?,
        evidence: session.evidence,
        endorsements: Some(session.endorsements),
        binding,
    })
}

fn of_evidence(request: &AppraiseRequest, evidence: &str, nonce: &[u8]) -> Result<Asked, Refused> {
    let text = request.root.as_deref();
    let text = text.ok_or_else(|| malformed("root: it is demanded with evidence"))?;
    let mut root = [0; 32];
    hex::decode_to_slice(text, &mut root)
        .map_err(|_| malformed("root: it must have 64 hexadecimal digits"))?;
    // What an attestation result calls its nonce must be in the evidence: an old
    // quote must not get a fresh one. Of what was sent, only the root is there.
    if nonce != root {
        let why = "with evidence the nonce is the root, which is all that the evidence binds";
        return Err(mismatch(why));
    }
    let endorsements = request
        .endorsements
        .as_deref()
        .map(|text| decoded("endorsements", text, MAX_ENDORSEMENTS + AROUND))
        .transpose()?;
    let text = request.trust.as_deref();
    let text = text.ok_or_else(|| malformed("trust: it is demanded with evidence"))?;
    let evidence: Evidence = decoded("evidence", evidence, 2 * MAX_EVIDENCE + AROUND)?;
    Ok(Asked {
        policy: request.policy.clone(),
        audience: request.audience.clone(),
        nonce: nonce.to_vec(),
        binding: Binding::new(
            evidence.platform,
            Role::Keeper,
            Digest(root),
            evidence.gpu_digest(),
            evidence.runtime_digest(),
        ),
        evidence,
        endorsements,
        trust: trust(&bytes("trust", text)?)?,
    })
}

fn trust(bytes: &[u8]) -> Result<TrustConfiguration, Refused> {
    TrustConfiguration::from_slice(bytes).map_err(|error| malformed(format!("trust: {error}")))
}

fn bytes(field: &str, text: &str) -> Result<Vec<u8>, Refused> {
    STANDARD
        .decode(text)
        .map_err(|_| malformed(format!("{field}: not base64")))
}

fn decoded<T>(field: &str, text: &str, max: usize) -> Result<T, Refused>
where
    T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
{
    cbor::from_slice(&bytes(field, text)?, max)
        .map_err(|error| malformed(format!("{field}: {error}")))
}

fn malformed(detail: impl Into<String>) -> Refused {
    Refused {
        code: Code::RequestMalformed,
        detail: detail.into(),
    }
}

fn mismatch(detail: impl Into<String>) -> Refused {
    Refused {
        code: Code::TranscriptMismatch,
        detail: detail.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those that the fuzzer starts from: sound, and none cut short is.
    #[test]
    fn seeds_are_requests() {
        let seeds: [&[u8]; 2] = [
            include_bytes!("../../../fuzz/seeds/verifier_request/session.json"),
            include_bytes!("../../../fuzz/seeds/verifier_request/evidence.json"),
        ];
        for seed in seeds {
            let asked = parse(seed).unwrap();
            assert_eq!(asked.policy, "ours");
            for len in (0..seed.len()).step_by(97) {
                let refused = parse(&seed[..len]).unwrap_err();
                assert_eq!(refused.code, Code::RequestMalformed);
            }
        }
    }
}
