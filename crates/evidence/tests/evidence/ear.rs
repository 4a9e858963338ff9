//! Attestation results: what is written is read by whoever expects it, and by
//! nobody else.

use crate::common::Case;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey, signature::Signer as _};
use soundproof_evidence::{
    ear::{Ear, EarError, Expected, Issue, JwsError, policy_id},
    explain,
    vector::Tier,
};
use soundproof_testkit::pki::NOW_MS;

const NOW_S: u64 = NOW_MS / 1000;
const NONCE: &[u8] = &[7; 32];

fn key() -> SigningKey {
    SigningKey::from_slice(&[0x11; 32]).unwrap()
}

fn public() -> VerifyingKey {
    *key().verifying_key()
}

fn issue() -> Issue<'static> {
    Issue {
        issuer: "https://verifier.example",
        audience: "relying party",
        nonce: Some(NONCE),
        now_s: NOW_S,
        lifetime_s: 300,
        kid: Some("k1"),
    }
}

fn expected() -> Expected<'static> {
    Expected {
        issuer: "https://verifier.example",
        audience: "relying party",
        nonce: Some(NONCE),
        now_s: NOW_S + 10,
        clock_skew_s: 0,
    }
}

fn token(case: &Case) -> String {
    Ear::new(&case.judge(), &case.policy, &issue())
        .unwrap()
        .sign(&key(), Some("k1"))
}

#[test]
fn what_is_written_is_read() {
    let case = Case::sound();
    let ear = Ear::verify(&token(&case), &public(), &expected()).unwrap();
    assert_eq!(ear.eat_profile, "tag:ietf.org,2026:rats/ear#03");
    // Accepted, but a software platform protects nothing, and says so.
    assert_eq!(ear.ear_status, Tier::Contraindicated);
    let appraisal = &ear.submods["software"];
    assert!(appraisal.soundproof.accepted && appraisal.soundproof.software);
    assert_eq!(
        appraisal.ear_trustworthiness_vector.runtime_opaque,
        Some(96)
    );
    assert_eq!(appraisal.ear_trustworthiness_vector.executables, Some(3));
    assert_eq!(appraisal.ear_trustworthiness_vector.configuration, Some(2));
    assert_eq!(
        appraisal.soundproof.binding,
        Some(hex::encode(case.binding.as_bytes()))
    );
    assert_eq!(
        appraisal.ear_appraisal_policy_ids,
        [policy_id(&case.policy)]
    );
    assert_eq!(appraisal.soundproof.warned, ["software_platform"]);
}

#[test]
fn a_rejection_is_contraindicated_and_names_no_binding() {
    let mut case = Case::sound();
    case.policy.release.clear();
    let ear = Ear::verify(&token(&case), &public(), &expected()).unwrap();
    assert_eq!(ear.ear_status, Tier::Contraindicated);
    let details = &ear.submods["software"].soundproof;
    assert!(!details.accepted);
    assert_eq!(details.failed, ["release_unknown"]);
    assert_eq!((&details.binding, details.evidence), (&None, None));
    let explained = explain(&case.evidence, &case.endorsements, case.now_ms);
    let ear = Ear::new(&explained, &case.policy, &issue()).unwrap();
    assert_eq!(ear.ear_status, Tier::Contraindicated);
    assert!(!ear.submods["software"].soundproof.accepted);
}

#[test]
fn who_expects_something_else_refuses_it() {
    let token = token(&Case::sound());
    let verify = |expected: &Expected<'_>| Ear::verify(&token, &public(), expected).unwrap_err();
    let sound = expected();
    for (expected, error) in [
        (
            Expected {
                issuer: "x",
                ..sound
            },
            EarError::Issuer,
        ),
        (
            Expected {
                audience: "x",
                ..sound
            },
            EarError::Audience,
        ),
        (
            Expected {
                nonce: None,
                ..sound
            },
            EarError::Nonce,
        ),
        (
            Expected {
                nonce: Some(&[8; 32]),
                ..sound
            },
            EarError::Nonce,
        ),
        (
            Expected {
                nonce: Some(&[8; 7]),
                ..sound
            },
            EarError::NonceLength(7),
        ),
        (
            Expected {
                now_s: NOW_S + 300,
                ..sound
            },
            EarError::Expired,
        ),
        (
            Expected {
                now_s: NOW_S - 1,
                ..sound
            },
            EarError::NotYetValid,
        ),
        (
            Expected {
                now_s: NOW_S - 61,
                clock_skew_s: 60,
                ..sound
            },
            EarError::NotYetValid,
        ),
    ] {
        assert_eq!(verify(&expected), error);
    }
    let late = Expected {
        now_s: NOW_S - 60,
        clock_skew_s: 60,
        ..sound
    };
    assert!(Ear::verify(&token, &public(), &late).is_ok());
    let other = *SigningKey::from_slice(&[0x12; 32]).unwrap().verifying_key();
    assert_eq!(
        Ear::verify(&token, &other, &sound).unwrap_err(),
        EarError::Jws(JwsError::Signature)
    );
    let mut short = issue();
    short.nonce = Some(&[1; 65]);
    let case = Case::sound();
    assert_eq!(
        Ear::new(&case.judge(), &case.policy, &short).unwrap_err(),
        EarError::NonceLength(65)
    );
}

/// No header but the one: no `none`, no other algorithm, no key that the token
/// brings along.
#[test]
fn no_other_header_is_accepted() {
    let sound = token(&Case::sound());
    let payload = sound.split('.').nth(1).unwrap();
    for (header, error) in [
        (r#"{"alg":"none","typ":"eat+jwt"}"#, JwsError::Header),
        (r#"{"alg":"HS256","typ":"eat+jwt"}"#, JwsError::Header),
        (r#"{"alg":"ES384","typ":"eat+jwt"}"#, JwsError::Header),
        (r#"{"alg":"ES256","typ":"JWT"}"#, JwsError::Header),
        (r#"{"alg":"ES256"}"#, JwsError::Header),
        (
            r#"{"alg":"ES256","alg":"ES256","typ":"eat+jwt"}"#,
            JwsError::Header,
        ),
        (
            r#"{"alg":"ES256","typ":"eat+jwt","jwk":{}}"#,
            JwsError::Header,
        ),
        (
            r#"{"alg":"ES256","typ":"eat+jwt","crit":["b64"]}"#,
            JwsError::Header,
        ),
        (r#"{"alg":"ES256","typ":"eat+jwt"}"#, JwsError::Signature),
    ] {
        let signed = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header));
        // The signature of another header, and a right one.
        let old = sound.rsplit('.').next().unwrap();
        let error_of = |token: String| Ear::verify(&token, &public(), &expected()).unwrap_err();
        assert_eq!(
            error_of(format!("{signed}.{old}")),
            error.into(),
            "{header}"
        );
        if error == JwsError::Header {
            let signature: Signature = key().sign(signed.as_bytes());
            let signature = URL_SAFE_NO_PAD.encode(signature.to_bytes());
            assert_eq!(error_of(format!("{signed}.{signature}")), error.into());
        }
    }
    for malformed in ["", ".", "..", "a.b", "a.b.c.d", "\u{e9}.x.y"] {
        assert!(Ear::verify(malformed, &public(), &expected()).is_err());
    }
    let long = "a".repeat(70_000);
    assert_eq!(
        Ear::verify(&long, &public(), &expected()).unwrap_err(),
        JwsError::TooLong(70_000).into()
    );
}

/// Signed claims that contradict themselves, or say more than is known here.
#[test]
fn claims_are_read_in_one_form_only() {
    let case = Case::sound();
    let ear = Ear::new(&case.judge(), &case.policy, &issue()).unwrap();
    let sound = serde_json::to_value(&ear).unwrap();
    let sign = |value: &serde_json::Value| {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"eat+jwt"}"#);
        let payload = URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{header}.{payload}");
        let signature: Signature = key().sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    };
    assert!(Ear::verify(&sign(&sound), &public(), &expected()).is_ok());
    type Change = fn(&mut serde_json::Value);
    let changes: &[Change] = &[
        |v| v["ear_status"] = "affirming".into(),
        |v| v["ear_status"] = 2.into(),
        |v| v["eat_profile"] = "tag:github.com,2023:veraison/ear".into(),
        |v| v["submods"] = serde_json::json!({}),
        |v| v["iat"] = 1.5.into(),
        |v| v["nbf"] = 1.into(),
        |v| v["submods"]["software"]["ear_status"] = "none".into(),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut value = sound.clone();
        change(&mut value);
        let error = Ear::verify(&sign(&value), &public(), &expected()).unwrap_err();
        assert_eq!(error, EarError::Claims, "{i}");
    }
}

/// Every byte of a token counts.
#[test]
fn no_byte_of_a_token_can_be_changed() {
    let token = token(&Case::sound()).into_bytes();
    for at in 0..token.len() {
        let mut changed = token.clone();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(
            Ear::verify(&changed, &public(), &expected()).is_err(),
            "byte {at}"
        );
        let cut = core::str::from_utf8(&token[..at]).unwrap();
        assert!(Ear::verify(cut, &public(), &expected()).is_err());
    }
}
