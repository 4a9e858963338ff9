#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_evidence::{fuzz, jwt::Keys};
use std::sync::LazyLock;

/// RFC 7515, A.3: an ES256 key.
static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let keys = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a",
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
    Keys::parse(keys).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    fuzz::jwt(bytes, &KEYS);
});
