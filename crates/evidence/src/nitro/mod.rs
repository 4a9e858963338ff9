//! AWS Nitro Enclaves: a signed attestation document under AWS's root, which
//! is compiled in (invariant 8). Its software kind has the same format under
//! an anchor that the policy names.
//!
//! The binding is the document's `user_data`; `nonce` and `public_key` are
//! absent. There are no endorsements: a document brings its certificates, which
//! live for hours, and AWS publishes no TCB.

mod document;
mod measurements;

pub use document::{Document, DocumentError, MAX_DOCUMENT, Pcr};
pub use measurements::NitroMeasurements;

use crate::{
    bytes::Hex,
    module::{Case, Judge},
    policy::NitroRules,
    reason::Reason,
    refusal::{Refusal, Root},
    verdict::{Facts, Verdict, date},
    x509::{Algorithm, Anchor, Certificate, Rules, Window, check_validity, verify_chain},
};
use serde::Serialize;
use sha2::{Digest as _, Sha384};
use std::collections::BTreeMap;

/// The key of AWS's root for Nitro Enclaves (`aws.nitro-enclaves`, G1), as
/// [`Certificate::key_id`] has it.
pub(crate) const ROOT_KEY: [u8; 48] = [
    0x70, 0x86, 0x37, 0xb2, 0xaf, 0xd0, 0xda, 0x2a, 0xfb, 0xcf, 0x8b, 0xf6, 0xe1, 0xe4, 0x28, 0x0c,
    0x28, 0xe7, 0xa0, 0xa9, 0xc2, 0x57, 0xdd, 0x8b, 0xd4, 0x7a, 0x39, 0x48, 0xb4, 0x11, 0xeb, 0x2c,
    0x4d, 0x61, 0xf9, 0x0e, 0x79, 0xbe, 0x5f, 0x51, 0x0a, 0xb1, 0xae, 0x24, 0x15, 0x14, 0xb6, 0x83,
];

/// SHA-256 of that root's certificate, as AWS publishes it.
const ROOT: [u8; 32] = [
    0x64, 0x1a, 0x03, 0x21, 0xa3, 0xe2, 0x44, 0xef, 0xe4, 0x56, 0x46, 0x31, 0x95, 0xd6, 0x06, 0x31,
    0x7e, 0xd7, 0xcd, 0xcc, 0x3c, 0x17, 0x56, 0xe0, 0x98, 0x93, 0xf3, 0xc6, 0x8f, 0x79, 0xbb, 0x5b,
];

/// Certificates in a document at most, its own included.
const MAX_CHAIN: usize = 9;

/// What the evidence says. Verified if the verdict's `verified` is true; else
/// what an unverified document claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NitroFacts {
    /// The Nitro hypervisor's name for the enclave.
    pub module_id: String,
    /// When the document was made; ms since 1970.
    pub timestamp_ms: u64,
    /// What runs; none if a register is not there.
    pub measurements: Option<NitroMeasurements>,
    /// Every register, in hex.
    pub pcrs: BTreeMap<u8, String>,
    /// Data that the enclave put in, in hex.
    pub user_data: Option<String>,
    /// A nonce that the enclave put in, in hex.
    pub nonce: Option<String>,
    /// A key that the enclave put in, in hex.
    pub public_key: Option<String>,
    /// When the first certificate runs out; ms since 1970.
    pub certificates_until_ms: Option<u64>,
}

/// Evidence that was read.
pub(crate) struct Nitro {
    document: Document,
    measurements: Option<NitroMeasurements>,
    verified: bool,
}

impl Judge for Nitro {
    type Rules = NitroRules;
    type Release = NitroMeasurements;
    const NAME: &'static str = "AWS Nitro Enclaves";

    fn examine(verdict: &mut Verdict, case: &Case<'_>, root: Root<'_>) -> Option<Self> {
        const EXPECTED: &str = "attestation document, COSE_Sign1 with ES384";
        let document = match Document::parse(&case.evidence.statement.0) {
            Ok(document) => document,
            Err(error) => {
                let found = error.to_string();
                verdict.fail(
                    "document_format",
                    Reason::EvidenceMalformed,
                    EXPECTED,
                    found,
                );
                return None;
            }
        };
        verdict.pass("document_format", EXPECTED, document.module_id());
        if !case.endorsements.body.0.is_empty() {
            let len = case.endorsements.body.0.len();
            verdict.fail(
                "endorsements",
                Reason::EndorsementsMalformed,
                "nothing: the document brings its certificates",
                format!("{len} bytes"),
            );
        }
        let measurements = NitroMeasurements::of(&document);
        registers(verdict, measurements.as_ref());
        let window = certificates(verdict, case, root, &document);
        if case.expected.is_some() {
            let extra = [
                ("nonce", document.nonce().is_some()),
                ("public_key", document.public_key().is_some()),
            ];
            let found: Vec<_> = extra
                .into_iter()
                .filter_map(|(name, there)| there.then_some(name))
                .collect();
            verdict.check(
                "fields",
                found.is_empty(),
                Reason::DocumentFields,
                "neither nonce nor public_key",
                if found.is_empty() {
                    "neither".to_owned()
                } else {
                    found.join(" and ")
                },
            );
        }
        let in_hex = |bytes: Option<&[u8]>| bytes.map(hex::encode);
        verdict.facts(Facts::Nitro(NitroFacts {
            module_id: document.module_id().to_owned(),
            timestamp_ms: document.timestamp_ms(),
            measurements,
            pcrs: document
                .pcrs()
                .iter()
                .map(|(index, value)| (*index, hex::encode(value)))
                .collect(),
            user_data: in_hex(document.user_data()),
            nonce: in_hex(document.nonce()),
            public_key: in_hex(document.public_key()),
            certificates_until_ms: window.map(|window| window.until_s.saturating_mul(1000)),
        }));
        Some(Self {
            document,
            measurements,
            verified: window.is_some(),
        })
    }

    fn apply(&self, verdict: &mut Verdict, case: &Case<'_>, rules: &NitroRules) {
        let now_ms = case.clock.now_ms;
        let made_ms = self.document.timestamp_ms();
        let max = rules.max_age_s;
        let age_s = now_ms.saturating_sub(made_ms) / 1000;
        verdict.check(
            "age",
            age_s <= max,
            Reason::DocumentTooOld,
            format!("at most {max} s"),
            format!("{age_s} s"),
        );
        machine(verdict, &self.document, rules);
    }

    fn differences(&self, release: &NitroMeasurements) -> Vec<&'static str> {
        match &self.measurements {
            Some(found) => found.differences(release),
            None => vec!["pcrs"],
        }
    }

    fn carried(&self) -> &[u8] {
        self.document.user_data().unwrap_or_default()
    }

    fn observed(&self) -> (NitroRules, NitroMeasurements) {
        let instance = instance_id(&self.document)
            .filter(|_| self.verified)
            .map(str::to_owned);
        let rules = NitroRules {
            instance_id: instance.into_iter().collect(),
            ..NitroRules::default()
        };
        (rules, self.measurements.unwrap_or_default())
    }
}

/// PCR 0 to 2 of an enclave in debug mode are zero: they say nothing of what
/// runs, and its console is open.
fn registers(verdict: &mut Verdict, measurements: Option<&NitroMeasurements>) {
    let Some(found) = measurements else {
        verdict.fail(
            "pcrs",
            Reason::EvidenceMalformed,
            "PCR 0, 1, 2, 3, 4 and 8, of 48 bytes",
            "not all of them",
        );
        return;
    };
    let zero = [found.pcr0, found.pcr1, found.pcr2].contains(&Hex([0; 48]));
    verdict.check(
        "debug",
        !zero,
        Reason::DebugEnabled,
        "not in debug mode: PCR 0 to 2 are not zero",
        if zero {
            "in debug mode"
        } else {
            "not in debug mode"
        },
    );
}

/// The chain from the root to the document's signature, at the document's own
/// time and now. The window in which all of it holds.
fn certificates(
    verdict: &mut Verdict,
    case: &Case<'_>,
    root: Root<'_>,
    document: &Document,
) -> Option<Window> {
    let chain = match chain(document) {
        Ok(chain) => chain,
        Err(refusal) => {
            verdict.refuse("certificates", "certificates that can be read", refusal);
            return None;
        }
    };
    let all = Window {
        from_s: 0,
        until_s: u64::MAX,
    };
    let window = chain.iter().map(Certificate::window).fold(all, Window::and);
    let made_s = document.timestamp_ms() / 1000;
    let from_s = window.from_s.max(made_s);
    // Nothing that is of the future by more than clocks differ.
    case.clock
        .check(verdict, "certificates", from_s, window.until_s);
    let at_s = case.clock.at(from_s);
    let result = verify(document, &chain, root, made_s, at_s);
    verdict.chain("document", root, result.map(|()| window))
}

/// The document's certificate, its issuers, the root.
fn chain(document: &Document) -> Result<Vec<Certificate>, Refusal> {
    [document.certificate()]
        .into_iter()
        .chain(document.bundle().iter().rev().map(Vec::as_slice))
        .map(Certificate::parse)
        .collect::<Result<_, _>>()
        .map_err(|error| Refusal::new(Reason::CertificateInvalid, error.to_string()))
}

fn verify(
    document: &Document,
    chain: &[Certificate],
    root: Root<'_>,
    made_s: u64,
    at_s: u64,
) -> Result<(), Refusal> {
    let rules = Rules {
        at_s: made_s,
        max_length: MAX_CHAIN,
        algorithms: &[Algorithm::EcdsaP384Sha384],
        critical: &[],
    };
    let result = match root {
        Root::Vendor => verify_chain(chain, Anchor::Known(&[ROOT_KEY], &[ROOT]), &rules),
        Root::Software(der) => {
            let anchor = Certificate::parse(der)
                .map_err(|error| Refusal::new(Reason::AnchorMismatch, error.to_string()))?;
            verify_chain(chain, Anchor::Certificate(&anchor), &rules)
        }
        Root::Unnamed => return Err(Root::unnamed()),
    };
    result
        .and_then(|_| check_validity(chain, at_s))
        .map_err(|error| Refusal::new(error.reason(), error.to_string()))?;
    let signed = chain.first().is_some_and(|leaf| {
        leaf.key()
            .verify_fixed(document.signed(), document.signature())
    });
    match signed {
        true => Ok(()),
        false => Err(Refusal::new(
            Reason::QuoteSignature,
            format!("the signature of {} does not verify", date(made_s)),
        )),
    }
}

/// The parent instance's id, as the module's name begins with it and PCR 4
/// proves it: SHA-384(48 zeros ‖ id).
fn instance_id(document: &Document) -> Option<&str> {
    let (id, _) = document.module_id().split_once("-enc")?;
    (document.pcr(4)? == instance_pcr(id)).then_some(id)
}

fn instance_pcr(id: &str) -> [u8; 48] {
    let mut hasher = Sha384::new();
    hasher.update([0; 48]);
    hasher.update(id.as_bytes());
    hasher.finalize().into()
}

fn machine(verdict: &mut Verdict, document: &Document, rules: &NitroRules) {
    let pcr4 = document.pcr(4).unwrap_or_default();
    let listed = rules.instance_id.iter().any(|id| instance_pcr(id) == pcr4);
    let expected = rules
        .instance_id
        .iter()
        .map(|id| format!("instance {id}"))
        .collect::<Vec<_>>()
        .join(" or ");
    let found = match instance_id(document) {
        Some(id) => format!("instance {id}"),
        None => format!("PCR4 {}", hex::encode(pcr4)),
    };
    crate::machine::check(verdict, rules.any_machine, listed, expected, found);
}
