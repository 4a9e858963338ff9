//! `judge`: a session, a policy and a time in; the verdict as JSON out. And the
//! same over WebAssembly's C ABI, for `verdict.mjs`.

use soundproof_evidence::{Policy, fuzz};

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
