//! `judge`: a session, a policy and a time in; the verdict as JSON out. And the
//! same over WebAssembly's C ABI, for `verdict.mjs`.

use soundproof_evidence::{Policy, Verdict, appraise, explain, fuzz};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, MAX_ENDORSEMENTS, MAX_EVIDENCE, Role},
    binding::Binding,
    cbor,
    digest::Digest,
    trust::TrustConfiguration,
};

/// What `bench/verdict` leaves: evidence, endorsements, trust configuration,
/// policy, time, each after its length. Read once, judged as often as wanted.
pub struct Case {
    evidence: Evidence,
    endorsements: Endorsements,
    trust: TrustConfiguration,
    policy: Policy,
    now_ms: u64,
    binding: Binding,
}

impl Case {
    /// None if it is not what `bench/verdict` leaves.
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut part = || {
            let (len, rest) = bytes.split_first_chunk()?;
            let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            bytes = rest;
            Some(part)
        };
        let evidence: Evidence = cbor::from_slice(part()?, 2 * MAX_EVIDENCE).ok()?;
        let endorsements = cbor::from_slice(part()?, 2 * MAX_ENDORSEMENTS).ok()?;
        let trust = TrustConfiguration::from_slice(part()?).ok()?;
        let policy = Policy::from_toml(core::str::from_utf8(part()?).ok()?).ok()?;
        let now_ms = u64::from_le_bytes(*part()?.first_chunk()?);
        let root = Digest([5; 32]);
        let gpu = evidence.gpu_digest();
        let binding = Binding::new(evidence.platform, Role::Keeper, root, gpu, None);
        Some(Self {
            evidence,
            endorsements,
            trust,
            policy,
            now_ms,
            binding,
        })
    }

    /// By its policy; explained, if that accepts no platform.
    pub fn judge(&self) -> Verdict {
        if self.policy.platform.accepted().is_empty() {
            return explain(&self.evidence, &self.endorsements, self.now_ms);
        }
        appraise(
            &self.evidence,
            &self.endorsements,
            &self.binding,
            &self.trust,
            &self.policy,
            self.now_ms,
        )
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
    u32::from(case.judge().verified)
}

/// The verdict on an encoded session under a policy in TOML, as JSON; why there
/// is none, if there is none.
pub fn judge(session: &[u8], policy: &str, now_ms: u64) -> String {
    let policy = match Policy::from_toml(policy) {
        Ok(policy) => policy,
        Err(error) => return format!("policy: {error}"),
    };
    let Some(verdict) = fuzz::session(session, &policy, now_ms) else {
        return "session: it does not decode".into();
    };
    let json = serde_json::to_string(&verdict).unwrap_or_default();
    let accepted = verdict.accept().is_ok();
    format!("{json}\naccepted: {accepted}\n")
}

/// Bytes for the caller to fill, or to read; never freed.
#[unsafe(no_mangle)]
pub extern "C" fn room(len: usize) -> *mut u8 {
    Box::leak(vec![0; len].into_boxed_slice()).as_mut_ptr()
}

/// Judges what lies at two places that [`room`] gave; answers with the place of
/// a length (4 bytes, little endian) and the text.
///
/// # Safety
/// Both places must be filled, and of these lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn verdict(
    session: *const u8,
    session_len: usize,
    policy: *const u8,
    policy_len: usize,
    now_ms: u64,
) -> *const u8 {
    // SAFETY: the caller's promise.
    let (session, policy) = unsafe {
        (
            std::slice::from_raw_parts(session, session_len),
            std::slice::from_raw_parts(policy, policy_len),
        )
    };
    let text = judge(session, &String::from_utf8_lossy(policy), now_ms);
    let mut said = (text.len() as u32).to_le_bytes().to_vec();
    said.extend_from_slice(text.as_bytes());
    Box::leak(said.into_boxed_slice()).as_ptr()
}
