//! Judges evidence in WebAssembly: what the example `mutations` of
//! `soundproof-evidence` leaves goes in, the verdict comes out, over
//! WebAssembly's C ABI, for `verdict.mjs` and `time.mjs`.

use soundproof_evidence::{Policy, Verdict, appraise, explain, fuzz};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, MAX_ENDORSEMENTS, MAX_EVIDENCE, Role},
    binding::Binding,
    cbor,
    digest::Digest,
    trust::TrustConfiguration,
};

/// Read once, judged as often as wanted.
pub struct Case {
    what: What,
    policy: Policy,
    now_ms: u64,
}

enum What {
    /// An encoded session, as a client gets it.
    Session(Vec<u8>),
    Evidence(Box<(Evidence, Endorsements, TrustConfiguration, Binding)>),
}

impl Case {
    /// None if it is not of that form.
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut part = || {
            let (len, rest) = bytes.split_first_chunk()?;
            let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            bytes = rest;
            Some(part)
        };
        let [session, evidence, endorsements, trust, bound, policy] =
            [part()?, part()?, part()?, part()?, part()?, part()?];
        let now_ms = u64::from_le_bytes(bytes.try_into().ok()?);
        let policy = Policy::from_toml(core::str::from_utf8(policy).ok()?).ok()?;
        let what = if session.is_empty() {
            let evidence: Evidence = cbor::from_slice(evidence, 8 * MAX_EVIDENCE).ok()?;
            let (platform, gpu) = cbor::from_slice(bound, 64).ok()?;
            let binding = Binding::new(platform, Role::Keeper, Digest([5; 32]), gpu, None);
            let endorsements = cbor::from_slice(endorsements, 8 * MAX_ENDORSEMENTS).ok()?;
            let trust = TrustConfiguration::from_slice(trust).ok()?;
            What::Evidence(Box::new((evidence, endorsements, trust, binding)))
        } else {
            What::Session(session.to_vec())
        };
        Some(Self {
            what,
            policy,
            now_ms,
        })
    }

    /// By its policy; explained, if that accepts no platform. None if it is a
    /// session that does not decode.
    pub fn judge(&self) -> Option<Verdict> {
        match &self.what {
            What::Session(session) => fuzz::session(session, &self.policy, self.now_ms),
            What::Evidence(parts) => {
                let (evidence, endorsements, trust, binding) = &**parts;
                Some(if self.policy.platform.accepted().is_empty() {
                    explain(evidence, endorsements, self.now_ms)
                } else {
                    let (policy, now_ms) = (&self.policy, self.now_ms);
                    appraise(evidence, endorsements, binding, trust, policy, now_ms)
                })
            }
        }
    }
}

/// Reads a case that lies at a place that [`room`] gave; null if it is none.
///
/// # Safety
/// The place must be filled, and of this length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn case(bytes: *const u8, len: usize) -> *const Case {
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::slice::from_raw_parts(bytes, len) };
    Case::read(bytes).map_or(core::ptr::null(), |case| Box::leak(Box::new(case)))
}

/// Judges a case: 1 if its signatures hold.
///
/// # Safety
/// [`case`] gave the place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn judge_case(case: *const Case) -> u32 {
    // SAFETY: the caller's promise.
    let case = unsafe { &*case };
    u32::from(case.judge().is_some_and(|verdict| verdict.verified))
}

/// Bytes for the caller to fill, or to read; never freed.
#[unsafe(no_mangle)]
pub extern "C" fn room(len: usize) -> *mut u8 {
    Box::leak(vec![0; len].into_boxed_slice()).as_mut_ptr()
}

/// Judges a case; answers with the place of a length (4 bytes, little endian)
/// and of the verdict as text.
///
/// # Safety
/// [`case`] gave the place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn verdict(case: *const Case) -> *const u8 {
    // SAFETY: the caller's promise.
    let case = unsafe { &*case };
    let text = case.judge().map_or("it does not decode".into(), |verdict| {
        let json = serde_json::to_string(&verdict).unwrap_or_default();
        let accepted = verdict.accept().is_ok();
        format!("{json}\naccepted: {accepted}\n")
    });
    let mut said = (text.len() as u32).to_le_bytes().to_vec();
    said.extend_from_slice(text.as_bytes());
    Box::leak(said.into_boxed_slice()).as_ptr()
}
