//! Tokens of others: the closed list of algorithms, and the policy's keys only.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use soundproof_evidence::jwt::{Claims, JwksError, JwtError, Keys};
use soundproof_testkit::{
    jwt,
    x509::{FixedRsa, Key, Template},
};

fn keys() -> [(&'static str, Key); 3] {
    [
        ("rsa", Key::rsa(FixedRsa::Attestation)),
        ("p256", Key::p256("jwt")),
        ("p384", Key::p384("jwt")),
    ]
}

fn set() -> Keys {
    let keys = keys();
    let keys: Vec<_> = keys.iter().map(|(id, key)| (*id, key)).collect();
    Keys::parse(&jwt::jwks(&keys)).unwrap()
}

fn verify(token: &str) -> Result<Claims, JwtError> {
    Claims::verify(token.as_bytes(), &set())
}

#[test]
fn each_algorithm_of_the_list_verifies() {
    for (id, key) in keys() {
        let token = jwt::sign(id, &json!({"a": {"b": 1}}), &key);
        let claims = verify(&token).unwrap();
        assert_eq!(claims.get(["a", "b"]), Some(&json!(1)));
        assert_eq!(claims.get(["a", "c"]), None);
    }
}

#[test]
fn none_and_whatever_else_is_not_in_the_list_is_refused() {
    let claims = json!({"sub": "x"});
    let key = Key::p256("jwt");
    for alg in [
        "none", "None", "", "HS256", "HS384", "ES256K", "EdDSA", "PS256", "RS1", "RS512",
    ] {
        let token = jwt::sign_with(&json!({"alg": alg, "kid": "p256"}), &claims, &key);
        assert_eq!(
            verify(&token).unwrap_err(),
            JwtError::Algorithm(alg.to_owned())
        );
        // Unsigned altogether.
        let (signed, _) = token.rsplit_once('.').unwrap();
        assert!(verify(&format!("{signed}.")).is_err());
        assert!(verify(signed).is_err());
    }
    let without = jwt::sign_with(&json!({"kid": "p256"}), &claims, &key);
    assert!(matches!(verify(&without), Err(JwtError::Algorithm(_))));
}

#[test]
fn an_algorithm_is_the_keys() {
    let claims = json!({"sub": "x"});
    for (id, key) in keys() {
        for alg in ["RS256", "ES256", "ES384", "PS384"] {
            let token = jwt::sign_with(&json!({"alg": alg, "kid": id}), &claims, &key);
            assert_eq!(
                verify(&token).is_ok(),
                alg == jwt::algorithm(&key),
                "{id} {alg}"
            );
        }
    }
    // A key that says what it is for is for nothing else.
    let rsa = Key::rsa(FixedRsa::Attestation);
    let mut jwk = jwt::jwk("rsa", &rsa);
    jwk["alg"] = "PS384".into();
    let keys = Keys::parse(&json!({"keys": [jwk]}).to_string()).unwrap();
    let token = jwt::sign("rsa", &claims, &rsa);
    assert!(matches!(
        Claims::verify(token.as_bytes(), &keys),
        Err(JwtError::Key(_))
    ));
}

#[test]
fn keys_are_the_policys() {
    let claims = json!({"sub": "x"});
    let mine = Key::p256("attacker");
    // A key in the token is not looked at.
    let header = json!({
        "alg": "ES256", "kid": "p256", "jwk": jwt::jwk("p256", &mine),
        "jku": "https://attacker.example", "x5c": ["AA=="],
    });
    let token = jwt::sign_with(&header, &claims, &mine);
    assert_eq!(verify(&token).unwrap_err(), JwtError::Signature);
    for header in [
        json!({"alg": "ES256", "kid": "attacker"}),
        json!({"alg": "ES256"}),
        json!({"alg": "ES256", "kid": ["p256"]}),
    ] {
        let token = jwt::sign_with(&header, &claims, &Key::p256("jwt"));
        assert!(matches!(verify(&token), Err(JwtError::Key(_))));
    }
    let header = json!({"alg": "ES256", "kid": "p256", "crit": ["b64"], "b64": false});
    let token = jwt::sign_with(&header, &claims, &Key::p256("jwt"));
    assert_eq!(verify(&token).unwrap_err(), JwtError::Critical);
}

#[test]
fn a_changed_token_is_refused() {
    for (id, key) in keys() {
        let token = jwt::sign(id, &json!({"sub": "x", "exp": 1}), &key).into_bytes();
        for at in 0..token.len() {
            let mut changed = token.clone();
            changed[at] ^= 1;
            // The last digit of base64 has bits that must be zero.
            assert!(Claims::verify(&changed, &set()).is_err(), "{id} byte {at}");
            assert!(
                Claims::verify(&token[..at], &set()).is_err(),
                "{id} cut {at}"
            );
        }
        let longer = [&token[..], b"="].concat();
        assert!(Claims::verify(&longer, &set()).is_err());
    }
}

#[test]
fn claims_and_headers_have_each_name_once() {
    let key = Key::p256("jwt");
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let header = r#"{"alg":"ES256","kid":"p256"}"#;
    let twice = r#"{"alg":"ES256","alg":"ES256","kid":"p256"}"#;
    for (header, claims, good) in [
        (header, r#"{"sub":"a"}"#, true),
        (header, r#"{"sub":"a","sub":"b"}"#, false),
        (header, r#"["sub"]"#, false),
        (twice, r#"{"sub":"a"}"#, false),
    ] {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign_fixed(signed.as_bytes()));
        assert_eq!(
            verify(&format!("{signed}.{signature}")).is_ok(),
            good,
            "{claims}"
        );
    }
}

#[test]
fn key_sets_are_read_strictly() {
    let good = |keys: Value| Keys::parse(&json!({ "keys": keys }).to_string());
    let p256 = jwt::jwk("a", &Key::p256("jwt"));
    assert!(good(json!([p256])).is_ok());
    assert_eq!(good(json!([])), Err(JwksError::Set));
    assert_eq!(good(json!([p256, p256])), Err(JwksError::Twice("a".into())));
    let with = |name: &str, value: Value| {
        let mut key = p256.clone();
        key[name] = value;
        good(json!([key]))
    };
    for (name, value) in [
        ("kty", json!("oct")),
        ("crv", json!("P-521")),
        ("crv", json!("P-384")),
        ("x", json!("AA")),
        ("x", p256["y"].clone()),
        ("kid", json!("")),
        ("use", json!("enc")),
        ("alg", json!("HS256")),
    ] {
        assert_eq!(with(name, value), Err(JwksError::Key(0)), "{name}");
    }
    // As Azure publishes them: a certificate, and nothing else.
    let rsa = Key::rsa(FixedRsa::Attestation);
    let mut template = Template::leaf(1, "signer", "signer");
    template.extensions.clear();
    use soundproof_evidence::x509::Algorithm::RsaPkcs1Sha256;
    let certificate = template.sign_with(&rsa, &rsa, RsaPkcs1Sha256);
    use base64::engine::general_purpose::STANDARD;
    let keys = good(json!([{"kty": "RSA", "kid": "rsa", "x5c": [STANDARD.encode(certificate)]}]));
    let token = jwt::sign("rsa", &json!({}), &rsa);
    assert!(Claims::verify(token.as_bytes(), &keys.unwrap()).is_ok());
}
