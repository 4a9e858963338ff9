//! Certificate chains and revocation lists: a sound chain, each fault, and
//! every byte.

use soundproof_evidence::{
    Reason,
    x509::{
        Algorithm, Anchor, Certificate, Crl, MAX_CERTIFICATE, MAX_CRL, PublicKey, Rules, Window,
        X509Error, check_validity, read_pem, verify_chain,
    },
};
use soundproof_testkit::{
    der,
    x509::{
        self, FixedRsa, Key, ListTemplate, Template, algorithm_id, basic_constraints, extension,
        key_usage, usage,
    },
};

const AT_S: u64 = 1_795_000_000;
const ALL: &[Algorithm] = &[Algorithm::EcdsaP384Sha384, Algorithm::RsaPssSha384];

struct Pki {
    root_key: Key,
    middle_key: Key,
    leaf_key: Key,
    root: Template,
    middle: Template,
    leaf: Template,
}

impl Pki {
    fn sound() -> Self {
        Self {
            root_key: Key::p384("root"),
            middle_key: Key::p384("middle"),
            leaf_key: Key::p384("leaf"),
            root: Template::authority(1, "Root", "Root", None),
            middle: Template::authority(2, "Middle", "Root", Some(0)),
            leaf: Template::leaf(3, "Leaf", "Middle"),
        }
    }

    fn ders(&self) -> [Vec<u8>; 3] {
        [
            self.leaf.sign(&self.leaf_key, &self.middle_key),
            self.middle.sign(&self.middle_key, &self.root_key),
            self.root.sign(&self.root_key, &self.root_key),
        ]
    }

    fn chain(&self) -> Result<Vec<Certificate>, X509Error> {
        self.ders()
            .iter()
            .map(|der| Certificate::parse(der))
            .collect()
    }

    /// What comes of it under its own root: the error and the place.
    fn fault(&self) -> (usize, X509Error) {
        let chain = match self.chain() {
            Ok(chain) => chain,
            Err(error) => return (usize::MAX, error),
        };
        match verify_chain(&chain, Anchor::Keys(&[chain[2].key_id()]), &rules()) {
            Ok(_) => panic!("accepted"),
            Err(error) => (error.at, error.error),
        }
    }
}

fn rules() -> Rules<'static> {
    Rules {
        at_s: AT_S,
        max_length: 3,
        algorithms: ALL,
        critical: &[],
    }
}

fn with(change: impl FnOnce(&mut Pki)) -> (usize, X509Error) {
    let mut pki = Pki::sound();
    change(&mut pki);
    pki.fault()
}

#[test]
fn a_sound_chain_holds_until_its_first_certificate_ends() {
    let mut pki = Pki::sound();
    pki.middle = pki.middle.valid(1_790_000_000, 1_990_000_000);
    pki.leaf = pki.leaf.valid(1_780_000_000, 1_980_000_000);
    let chain = pki.chain().unwrap();
    let window = Window {
        from_s: 1_790_000_000,
        until_s: 1_980_000_000,
    };
    let keys = [[0; 48], chain[2].key_id()];
    assert_eq!(
        verify_chain(&chain, Anchor::Keys(&keys), &rules()),
        Ok(window)
    );
    let whole = Anchor::Certificate(&chain[2]);
    assert_eq!(verify_chain(&chain, whole, &rules()), Ok(window));
    assert_eq!(check_validity(&chain, 1_980_000_000), Ok(()));
    let ended = check_validity(&chain, 1_980_000_001).unwrap_err();
    assert_eq!((ended.at, ended.reason()), (0, Reason::CollateralExpired));
    assert_eq!(ended.name.as_deref(), Some("Leaf"));
    let early = check_validity(&chain, 1_789_999_999).unwrap_err();
    assert_eq!(
        (early.at, early.reason()),
        (1, Reason::CollateralNotYetValid)
    );
}

#[test]
fn an_rsa_pss_chain_over_an_elliptic_leaf_holds() {
    let pki = Pki {
        root_key: Key::rsa(FixedRsa::Root),
        middle_key: Key::rsa(FixedRsa::Intermediate),
        ..Pki::sound()
    };
    let chain = pki.chain().unwrap();
    verify_chain(&chain, Anchor::Certificate(&chain[2]), &rules()).unwrap();
    assert_eq!(chain[1].key().kind(), "RSA-4096");
    let other = Key::rsa(FixedRsa::Other);
    let forged = [
        Certificate::parse(&pki.leaf.sign(&pki.leaf_key, &other)).unwrap(),
        chain[1].clone(),
        chain[2].clone(),
    ];
    let error = verify_chain(&forged, Anchor::Certificate(&chain[2]), &rules()).unwrap_err();
    assert_eq!((error.at, error.error), (0, X509Error::Signature));
}

#[test]
fn an_attestation_key_signs_with_pkcs1() {
    let key = Key::rsa(FixedRsa::Attestation);
    let public = PublicKey::rsa(&key.point(), &[1, 0, 1]).unwrap();
    let signature = key.sign(Algorithm::RsaPkcs1Sha256, b"quote");
    assert_eq!(public.kind(), "RSA-2048");
    assert!(public.verify(Algorithm::RsaPkcs1Sha256, b"quote", &signature));
    assert!(!public.verify(Algorithm::RsaPkcs1Sha256, b"quota", &signature));
    for other in [
        Algorithm::RsaPkcs1Sha384,
        Algorithm::RsaPkcs1Sha512,
        Algorithm::RsaPssSha256,
        Algorithm::RsaPssSha384,
        Algorithm::EcdsaP256Sha256,
    ] {
        assert!(!public.verify(other, b"quote", &signature), "{other:?}");
    }
    for at in 0..signature.len() {
        let mut changed = signature.clone();
        changed[at] ^= 1;
        assert!(!public.verify(Algorithm::RsaPkcs1Sha256, b"quote", &changed));
    }
    assert!(!public.verify(Algorithm::RsaPkcs1Sha256, b"quote", &signature[1..]));
}

#[test]
fn raw_signatures_are_as_long_as_the_curve_says() {
    for (key, public) in [
        (Key::p256("k"), PublicKey::p256(&Key::p256("k").point())),
        (Key::p384("k"), PublicKey::p384(&Key::p384("k").point())),
    ] {
        let public = public.unwrap();
        let signature = key.sign_fixed(b"m");
        assert!(public.verify_fixed(b"m", &signature));
        assert!(!public.verify_fixed(b"n", &signature));
        assert!(!public.verify_fixed(b"m", &signature[1..]));
        assert!(!public.verify_fixed(b"m", &[&signature[..], &[0]].concat()));
        assert!(!public.verify_fixed(b"m", &vec![0; signature.len()]));
    }
    let compressed = {
        let point = Key::p384("k").point();
        [&[2 | point[96] & 1], &point[1..49]].concat()
    };
    assert!(PublicKey::p384(&compressed).is_none(), "one form only");
    assert!(PublicKey::p384(&[4; 97]).is_none(), "not on the curve");
    assert!(PublicKey::p384(&Key::p256("k").point()).is_none());
}

#[test]
fn every_fault_of_a_chain_is_found() {
    let usage_fault = |what| X509Error::Usage(what);
    assert_eq!(
        with(|pki| pki.leaf.issuer = "Other".into()),
        (0, X509Error::Issuer)
    );
    assert_eq!(
        with(|pki| pki.middle.issuer = "Other".into()),
        (1, X509Error::Issuer)
    );
    assert_eq!(
        with(|pki| pki.root.issuer = "Other".into()),
        (2, X509Error::Issuer)
    );
    let (at, error) = with(|pki| pki.leaf.until_s = AT_S - 1);
    assert_eq!((at, error.reason()), (0, Reason::CollateralExpired));
    let (at, error) = with(|pki| pki.middle.from_s = AT_S + 1);
    assert_eq!((at, error.reason()), (1, Reason::CollateralNotYetValid));
    let (at, error) = with(|pki| pki.root.until_s = AT_S - 1);
    assert_eq!((at, error.reason()), (2, Reason::CollateralExpired));
    assert_eq!(
        with(|pki| pki.middle.extensions = vec![key_usage(usage::CERTIFICATES)]),
        (1, usage_fault("issue certificates")),
        "no basic constraints"
    );
    assert_eq!(
        with(|pki| pki.middle.extensions = vec![basic_constraints(None)]),
        (1, usage_fault("issue certificates")),
        "no key usage"
    );
    assert_eq!(
        with(|pki| pki.middle.extensions = vec![basic_constraints(None), key_usage(usage::SIGN)]),
        (1, usage_fault("issue certificates"))
    );
    assert_eq!(
        with(|pki| pki.leaf.extensions = vec![key_usage(usage::CERTIFICATES)]),
        (0, usage_fault("sign"))
    );
    assert_eq!(
        with(|pki| pki.leaf.extensions = vec![basic_constraints(None), key_usage(usage::SIGN)]),
        (0, usage_fault("be an authority and a leaf at once"))
    );
    assert_eq!(
        with(|pki| pki.root.extensions[0] = basic_constraints(Some(0))),
        (2, X509Error::PathLength)
    );
    let unknown = || extension("1.2.3.4", true, &[5, 0]);
    assert_eq!(
        with(|pki| pki.leaf.extensions.push(unknown())),
        (0, X509Error::Extension("1.2.3.4".into()))
    );
}

#[test]
fn what_is_no_certificate_is_refused_when_read() {
    let parse = |change: &dyn Fn(&mut Template)| {
        let mut template = Template::leaf(3, "Leaf", "Middle");
        change(&mut template);
        Certificate::parse(&template.sign(&Key::p384("leaf"), &Key::p384("middle")))
    };
    assert!(parse(&|_| ()).is_ok());
    let refused = |change: &dyn Fn(&mut Template)| parse(change).unwrap_err();
    assert_eq!(
        refused(&|t| t.extensions.push(key_usage(usage::SIGN))),
        X509Error::Extension("2.5.29.15".into())
    );
    assert_eq!(
        refused(&|t| t.inner_algorithm = Some(algorithm_id(Algorithm::EcdsaP256Sha256))),
        X509Error::Algorithm
    );
    assert!(matches!(
        refused(&|t| t.version = 0),
        X509Error::Malformed(_)
    ));
    assert!(matches!(
        refused(&|t| t.version = 1),
        X509Error::Malformed(_)
    ));
    assert!(matches!(
        refused(&|t| t.extensions = (0..40)
            .map(|n| extension(&format!("1.2.3.{n}"), false, &[]))
            .collect()),
        X509Error::Malformed(_)
    ));
    assert!(matches!(
        refused(&|t| t.extensions = vec![extension("2.5.29.19", true, &[0x30, 1])]),
        X509Error::Malformed(_)
    ));
    assert_eq!(
        Certificate::parse(&vec![0x30; MAX_CERTIFICATE + 1]),
        Err(X509Error::TooLong(MAX_CERTIFICATE + 1, MAX_CERTIFICATE))
    );
    let mut trailing = Template::leaf(3, "Leaf", "Middle").sign(&Key::p384("a"), &Key::p384("b"));
    trailing.push(0);
    assert!(Certificate::parse(&trailing).is_err());
}

#[test]
fn signature_algorithms_have_one_meaning() {
    let good = algorithm_id(Algorithm::RsaPssSha384);
    let sha1 = der::sequence(&[der::oid("1.3.14.3.2.26"), der::null()]);
    let sha256 = der::sequence(&[der::oid("2.16.840.1.101.3.4.2.1"), der::null()]);
    let sha384 = der::sequence(&[der::oid("2.16.840.1.101.3.4.2.2"), der::null()]);
    let mgf = |hash: &Vec<u8>| der::sequence(&[der::oid("1.2.840.113549.1.1.8"), hash.clone()]);
    let pss = |hash: &Vec<u8>, mask: Vec<u8>, salt: u8, trailer: u8| {
        der::sequence(&[
            der::oid("1.2.840.113549.1.1.10"),
            der::sequence(&[
                der::explicit(0, hash),
                der::explicit(1, &mask),
                der::explicit(2, &der::integer(&[salt])),
                der::explicit(3, &der::integer(&[trailer])),
            ]),
        ])
    };
    assert_eq!(pss(&sha384, mgf(&sha384), 48, 1), good);
    let refused = [
        pss(&sha1, mgf(&sha1), 20, 1),
        pss(&sha384, mgf(&sha256), 48, 1),
        pss(&sha256, mgf(&sha384), 32, 1),
        pss(&sha384, mgf(&sha384), 32, 1),
        pss(&sha384, mgf(&sha384), 48, 2),
        pss(&sha384, sha384.clone(), 48, 1),
        // SHA-1, by default or by name.
        der::sequence(&[der::oid("1.2.840.113549.1.1.10"), der::sequence(&[])]),
        der::sequence(&[der::oid("1.2.840.113549.1.1.10")]),
        der::sequence(&[der::oid("1.2.840.113549.1.1.5"), der::null()]),
        // ECDSA with parameters; with SHA-512; none at all.
        der::sequence(&[der::oid("1.2.840.10045.4.3.3"), der::null()]),
        der::sequence(&[der::oid("1.2.840.10045.4.3.4")]),
        der::sequence(&[der::oid("1.3.6.1.5.5.7.6.33")]),
    ];
    let tbs = |algorithm: &Vec<u8>| {
        der::sequence(&[
            der::explicit(0, &der::integer(&[2])),
            der::integer(&[1]),
            algorithm.clone(),
            x509::name("Root"),
            der::sequence(&[der::time(0), der::time(AT_S)]),
            x509::name("Root"),
            Key::p384("k").public_der(),
        ])
    };
    let whole = |algorithm: &Vec<u8>| {
        der::sequence(&[tbs(algorithm), algorithm.clone(), der::bits(&[0; 512])])
    };
    assert!(Certificate::parse(&whole(&good)).is_ok());
    for algorithm in refused {
        assert_eq!(
            Certificate::parse(&whole(&algorithm)),
            Err(X509Error::Algorithm),
            "{algorithm:02x?}"
        );
    }
}

#[test]
fn an_algorithm_that_rules_do_not_name_is_refused() {
    let pki = Pki::sound();
    let chain = pki.chain().unwrap();
    let keys = [chain[2].key_id()];
    let anchor = Anchor::Keys(&keys);
    let rsa_only = Rules {
        algorithms: &[Algorithm::RsaPssSha384],
        ..rules()
    };
    let error = verify_chain(&chain, anchor, &rsa_only).unwrap_err();
    assert_eq!((error.at, error.error), (2, X509Error::Algorithm));
    // A P-256 key cannot make a P-384 signature, nor the other way round.
    let public = PublicKey::p256(&Key::p256("k").point()).unwrap();
    let signature = Key::p384("k").sign(Algorithm::EcdsaP384Sha384, b"m");
    assert!(!public.verify(Algorithm::EcdsaP384Sha384, b"m", &signature));
    assert!(!public.verify(Algorithm::EcdsaP256Sha256, b"m", &signature));
}

#[test]
fn another_root_and_other_lengths_are_refused() {
    let pki = Pki::sound();
    let chain = pki.chain().unwrap();
    let other = Pki {
        root_key: Key::p384("other"),
        ..Pki::sound()
    };
    let other = other.chain().unwrap();
    for anchor in [
        Anchor::Keys(&[other[2].key_id()]),
        Anchor::Keys(&[]),
        Anchor::Certificate(&other[2]),
    ] {
        let error = verify_chain(&chain, anchor, &rules()).unwrap_err();
        assert_eq!((error.at, error.reason()), (2, Reason::AnchorMismatch));
    }
    // The same name and serial, but another key below the real root.
    let mixed = [other[0].clone(), other[1].clone(), chain[2].clone()];
    let own = Anchor::Certificate(&chain[2]);
    let error = verify_chain(&mixed, own, &rules()).unwrap_err();
    assert_eq!((error.at, error.error), (1, X509Error::Signature));
    for (chain, max) in [(&chain[..0], 3), (&chain[2..], 3), (&chain[..], 2)] {
        let rules = Rules {
            max_length: max,
            ..rules()
        };
        let error = verify_chain(chain, own, &rules).unwrap_err();
        assert!(matches!(error.error, X509Error::Length(..)));
    }
    let reversed: Vec<_> = chain.iter().rev().cloned().collect();
    assert!(verify_chain(&reversed, own, &rules()).is_err());
    // The anchor's key on a certificate that it did not sign.
    let mut usurper = Pki::sound();
    usurper.root_key = pki.root_key.clone();
    let der = usurper.root.sign(&pki.root_key, &Key::p384("other"));
    let fake = [
        chain[0].clone(),
        chain[1].clone(),
        Certificate::parse(&der).unwrap(),
    ];
    let error = verify_chain(&fake, Anchor::Keys(&[chain[2].key_id()]), &rules()).unwrap_err();
    assert_eq!((error.at, error.error), (2, X509Error::Signature));
}

#[test]
fn no_byte_of_a_chain_can_be_changed() {
    let pki = Pki::sound();
    let ders = pki.ders();
    let root = Certificate::parse(&ders[2]).unwrap();
    let keys = [root.key_id()];
    let mut tried = 0;
    for (which, der) in ders.iter().enumerate() {
        for at in 0..der.len() {
            let mut changed = ders.clone();
            changed[which][at] ^= 0x01;
            tried += 1;
            let chain: Result<Vec<_>, _> =
                changed.iter().map(|der| Certificate::parse(der)).collect();
            if let Ok(chain) = chain {
                assert!(
                    verify_chain(&chain, Anchor::Keys(&keys), &rules()).is_err(),
                    "certificate {which}, byte {at}"
                );
            }
        }
        for len in 0..der.len() {
            assert!(Certificate::parse(&der[..len]).is_err());
        }
    }
    println!("{tried} changed chains, none accepted");
}

#[test]
fn a_revocation_list_is_its_issuers_and_in_time() {
    let pki = Pki::sound();
    let chain = pki.chain().unwrap();
    let list = ListTemplate::empty("Root", AT_S - 10, AT_S + 10);
    let read = |list: &ListTemplate, key: &Key| Crl::parse(&list.sign(key));
    let empty = read(&list, &pki.root_key).unwrap();
    assert!(empty.is_empty());
    assert_eq!(empty.verify(&chain[2], ALL, AT_S), Ok(()));
    assert!(!empty.revokes(&chain[1]));
    let refused = |at_s| empty.verify(&chain[2], ALL, at_s).unwrap_err().reason();
    assert_eq!(refused(AT_S - 11), Reason::CollateralNotYetValid);
    assert_eq!(refused(AT_S + 11), Reason::CollateralExpired);
    assert_eq!(
        empty.verify(&chain[2], &[Algorithm::RsaPssSha384], AT_S),
        Err(X509Error::Algorithm)
    );
    assert_eq!(empty.verify(&chain[1], ALL, AT_S), Err(X509Error::Issuer));
    let forged = read(&list, &pki.middle_key).unwrap();
    assert_eq!(
        forged.verify(&chain[2], ALL, AT_S),
        Err(X509Error::Signature)
    );
    let revoking = ListTemplate {
        revoked: vec![vec![9], vec![2]],
        ..list.clone()
    };
    let revoking = read(&revoking, &pki.root_key).unwrap();
    assert_eq!(revoking.len(), 2);
    assert_eq!(revoking.verify(&chain[2], ALL, AT_S), Ok(()));
    assert!(revoking.revokes(&chain[1]), "serial 2 of Root");
    assert!(!revoking.revokes(&chain[0]), "serial 3 of Middle");
    let root_without = Template {
        extensions: vec![basic_constraints(None), key_usage(usage::CERTIFICATES)],
        ..pki.root.clone()
    };
    let root_without =
        Certificate::parse(&root_without.sign(&pki.root_key, &pki.root_key)).unwrap();
    assert_eq!(
        empty.verify(&root_without, ALL, AT_S),
        Err(X509Error::Usage("sign revocation lists"))
    );
}

#[test]
fn a_list_of_another_kind_is_refused() {
    let key = Key::p384("root");
    let list = ListTemplate::empty("Root", AT_S - 10, AT_S + 10);
    let endless = ListTemplate {
        until_s: None,
        ..list.clone()
    };
    assert!(Crl::parse(&endless.sign(&key)).is_err());
    // Delta and partial lists say so in a critical extension.
    for critical in ["2.5.29.27", "2.5.29.28"] {
        let mut partial = list.clone();
        partial
            .extensions
            .push(extension(critical, true, &[0x02, 1, 1]));
        assert_eq!(
            Crl::parse(&partial.sign(&key)),
            Err(X509Error::Extension(critical.into()))
        );
    }
    assert!(matches!(
        Crl::parse(&vec![0; MAX_CRL + 1]),
        Err(X509Error::TooLong(..))
    ));
    let root = Template::authority(1, "Root", "Root", None).sign(&key, &key);
    let root = Certificate::parse(&root).unwrap();
    let der = list.sign(&key);
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 1;
        let accepted = Crl::parse(&changed).is_ok_and(|crl| crl.verify(&root, ALL, AT_S).is_ok());
        assert!(!accepted, "byte {at}");
        assert!(Crl::parse(&der[..at]).is_err());
    }
}

#[test]
fn pem_holds_certificates_and_nothing_else() {
    use base64::Engine as _;
    let ders = Pki::sound().ders();
    let block = |der: &[u8], width: usize| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(width)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        let body = lines.join("\n");
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    };
    let pem: String = ders.iter().map(|der| block(der, 64)).collect();
    assert_eq!(read_pem(pem.as_bytes(), 3).unwrap().len(), 3);
    let loose = format!(
        "\n{}\r\n\n{}\0",
        block(&ders[0], 76).replace('\n', "\r\n"),
        block(&ders[1], 64)
    );
    assert_eq!(read_pem(loose.as_bytes(), 3).unwrap().len(), 2);
    assert_eq!(read_pem(pem.as_bytes(), 2), Err(X509Error::Length(3, 2)));
    assert_eq!(read_pem(b" \n", 3), Err(X509Error::Length(0, 3)));
    for bad in [
        format!("{pem}x"),
        format!("# a comment\n{pem}"),
        pem.replacen("END CERTIFICATE", "END CERTIFICATS", 3),
        pem.replacen('M', "*", 1),
    ] {
        assert!(matches!(
            read_pem(bad.as_bytes(), 4),
            Err(X509Error::Malformed(_))
        ));
    }
}
