//! The chain from an AMD Root Key over the signing key's certificate to a
//! report's last signed byte (AMD 57230, *VCEK Certificate and KDS Interface
//! Specification*): ARK → ASK → VCEK, or ARK → ASVK → VLEK.

use super::{
    product::{Product, Tcb},
    report::{Report, Signer},
};
use crate::{
    module::Clock,
    reason::Reason,
    refusal::{Refusal, Root},
    x509::{Algorithm, Anchor, Certificate, Crl, Rules, Window, X509Error, verify_chain},
};
use der::{
    Decode as _,
    asn1::{Ia5StringRef, ObjectIdentifier, OctetStringRef},
};
use minicbor::{Decode, Encode};
use soundproof_protocol::{
    attestation::MAX_ENDORSEMENTS,
    cbor::{self, Bytes},
};

/// AMD's root keys, as [`Certificate::key_id`] has them.
pub(crate) const ROOT_KEYS: [(Product, [u8; 48]); 3] = [
    (
        Product::Milan,
        [
            0x3c, 0x8b, 0xb5, 0x36, 0x70, 0x40, 0x58, 0x9d, 0x49, 0x6a, 0x2c, 0x5e, 0x91, 0xd5,
            0x37, 0x7e, 0xe5, 0x0a, 0xd2, 0xae, 0xf4, 0x55, 0x2e, 0xa3, 0x94, 0xaf, 0xb8, 0xde,
            0x65, 0xa6, 0xda, 0xa5, 0xea, 0x73, 0x6c, 0xd3, 0x22, 0x53, 0x56, 0x63, 0x9a, 0x6d,
            0x30, 0x5b, 0x2f, 0x2e, 0x2e, 0xb3,
        ],
    ),
    (
        Product::Genoa,
        [
            0xb9, 0xb8, 0xb4, 0x41, 0x41, 0x40, 0xe1, 0xef, 0xbe, 0x8f, 0xeb, 0x3c, 0x40, 0xd5,
            0x58, 0x60, 0x7a, 0x48, 0xb4, 0x22, 0x4d, 0xda, 0xe8, 0x51, 0x51, 0xa4, 0xb7, 0xe1,
            0x4a, 0xd8, 0x43, 0x2c, 0x26, 0x4e, 0x5f, 0x7e, 0x89, 0x5b, 0x9c, 0x25, 0x23, 0x71,
            0x63, 0xdf, 0xf2, 0x23, 0x48, 0xd8,
        ],
    ),
    (
        Product::Turin,
        [
            0x02, 0xfb, 0x29, 0xaf, 0x72, 0x9a, 0x9c, 0xd8, 0x69, 0x24, 0x03, 0xd8, 0x1d, 0xd9,
            0x88, 0xe5, 0x79, 0x27, 0x54, 0x76, 0xdc, 0xf2, 0xe0, 0x4d, 0x96, 0x32, 0x81, 0x3b,
            0x43, 0xa6, 0x76, 0x39, 0xd8, 0x52, 0x41, 0x5c, 0xb1, 0x01, 0x83, 0x10, 0xfe, 0x9c,
            0x71, 0x7a, 0xc9, 0xbb, 0xcb, 0x17,
        ],
    ),
];

/// SHA-256 of those roots' certificates, as AMD's KDS gives them.
const ROOTS: [[u8; 32]; 3] = [
    [
        0x69, 0xd0, 0x63, 0xb4, 0x53, 0x44, 0xd2, 0x6a, 0x2e, 0x94, 0xe1, 0xf4, 0x21, 0x0d, 0xe4,
        0x9e, 0xf5, 0x55, 0x30, 0x82, 0x87, 0xd4, 0xc1, 0x74, 0x44, 0x5c, 0x95, 0x63, 0x9a, 0x54,
        0x0b, 0xcd,
    ],
    [
        0x4c, 0x65, 0x98, 0xd1, 0x9c, 0x18, 0x71, 0x9c, 0x5d, 0xfd, 0x4a, 0x7d, 0x33, 0x5f, 0x67,
        0x4e, 0x5b, 0xfe, 0x1d, 0x8f, 0x80, 0x0c, 0xea, 0x2c, 0xf2, 0x70, 0xc1, 0x0d, 0x10, 0x3d,
        0xb2, 0xf1,
    ],
    [
        0x1f, 0x08, 0x41, 0x61, 0xa4, 0x4b, 0xb6, 0xd9, 0x37, 0x78, 0xa9, 0x04, 0x87, 0x7d, 0x48,
        0x19, 0xca, 0xfa, 0x5d, 0x05, 0xef, 0x41, 0x93, 0xb2, 0xde, 0xd9, 0xdd, 0x9c, 0x73, 0xdd,
        0x3f, 0x6a,
    ],
];

/// What AMD signs certificates and lists with.
const ALGORITHMS: &[Algorithm] = &[Algorithm::RsaPssSha384];
/// Certificates between the signing key's and nothing: ASK or ASVK, and ARK.
const AUTHORITIES: usize = 2;

const PRODUCT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.2");
const BL_SPL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1");
const TEE_SPL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2");
const SNP_SPL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3");
const UCODE_SPL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8");
const FMC_SPL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.9");
const HW_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");
const CSP_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.5");

/// What stands in endorsements for SEV-SNP, in deterministic CBOR.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SnpCollateral {
    /// The signing key's certificate (VCEK or VLEK), DER.
    #[n(0)]
    pub certificate: Bytes,
    /// ASK or ASVK, then ARK; DER.
    #[n(1)]
    pub chain: Vec<Bytes>,
    /// The ARK's revocation list, DER.
    #[n(2)]
    pub crl: Option<Bytes>,
}

impl SnpCollateral {
    /// For the endorsements' body.
    pub fn to_vec(&self) -> Vec<u8> {
        cbor::to_vec(self)
    }
}

/// Collateral that was read, not verified.
pub(crate) struct Collateral {
    /// Signing key, ASK or ASVK, ARK.
    chain: Vec<Certificate>,
    crl: Option<Crl>,
    named: Named,
}

impl Collateral {
    pub(crate) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let malformed = |what: String| Refusal::new(Reason::EndorsementsMalformed, what);
        if body.is_empty() {
            return Err(malformed("none".into()));
        }
        let raw: SnpCollateral = cbor::from_slice(body, MAX_ENDORSEMENTS)
            .map_err(|error| malformed(error.to_string()))?;
        if raw.chain.len() != AUTHORITIES {
            let found = format!(
                "{} certificates above the signing key's, not 2",
                raw.chain.len()
            );
            return Err(malformed(found));
        }
        let chain = [&raw.certificate]
            .into_iter()
            .chain(&raw.chain)
            .map(|der| Certificate::parse(&der.0))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| malformed(error.to_string()))?;
        let crl = raw.crl.map(|der| Crl::parse(&der.0)).transpose();
        let named = chain
            .first()
            .ok_or_else(|| malformed("no certificate".into()))
            .and_then(|certificate| Named::read(certificate).map_err(malformed))?;
        Ok(Self {
            crl: crl.map_err(|error| malformed(error.to_string()))?,
            chain,
            named,
        })
    }

    /// When all of it holds, if it verifies.
    pub(crate) fn window(&self) -> Window {
        let all = Window {
            from_s: 0,
            until_s: u64::MAX,
        };
        let certificates = self.chain.iter().map(Certificate::window);
        let crl = self.crl.iter().map(Crl::window);
        certificates.chain(crl).fold(all, Window::and)
    }
}

/// What a signing key's certificate says in AMD's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// The certificate's word for the product.
    product: String,
    tcb: Tcb,
    pub(crate) owner: Owner,
}

/// Whose a signing key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The chip with this id: 64 bytes, or 8 (Turin).
    Chip(Vec<u8>),
    /// The cloud provider of this name.
    Provider(String),
}

impl Named {
    fn read(certificate: &Certificate) -> Result<Self, String> {
        let text = |oid, what: &str| {
            certificate
                .extension(oid)
                .map(|value| {
                    Ia5StringRef::from_der(value)
                        .map(|text| text.as_str().to_owned())
                        .map_err(|_| format!("the certificate's {what} is no text"))
                })
                .transpose()
        };
        let number = |oid, what: &str| {
            certificate
                .extension(oid)
                .map(|value| {
                    u8::from_der(value).map_err(|_| format!("the certificate's {what} is no SVN"))
                })
                .transpose()
        };
        let missing = |what: &str| format!("the certificate has no {what}");
        let svn = |oid, what: &str| number(oid, what)?.ok_or_else(|| missing(what));
        let chip = certificate.extension(HW_ID).map(chip_id).transpose()?;
        let owner = match (chip, text(CSP_ID, "cspID")?) {
            (Some(chip), None) => Owner::Chip(chip),
            (None, Some(provider)) => Owner::Provider(provider),
            _ => return Err("the certificate has not one of hwID and cspID".into()),
        };
        Ok(Self {
            product: text(PRODUCT_NAME, "productName")?.ok_or_else(|| missing("productName"))?,
            tcb: Tcb {
                fmc: number(FMC_SPL, "fmcSPL")?,
                bootloader: svn(BL_SPL, "blSPL")?,
                tee: svn(TEE_SPL, "teeSPL")?,
                snp: svn(SNP_SPL, "snpSPL")?,
                microcode: svn(UCODE_SPL, "ucodeSPL")?,
            },
            owner,
        })
    }

    fn signer(&self) -> Signer {
        match self.owner {
            Owner::Chip(_) => Signer::Vcek,
            Owner::Provider(_) => Signer::Vlek,
        }
    }
}

/// The bytes themselves, as AMD writes them, or in an OCTET STRING, as the
/// specification says.
fn chip_id(value: &[u8]) -> Result<Vec<u8>, String> {
    let bytes = match value.len() {
        8 | 64 => value,
        _ => <&OctetStringRef>::from_der(value)
            .map(OctetStringRef::as_bytes)
            .unwrap_or_default(),
    };
    match bytes.len() {
        8 | 64 => Ok(bytes.to_vec()),
        _ => Err("the certificate's hwID has neither 8 nor 64 bytes".into()),
    }
}

/// What a verified report's chain says.
pub(crate) struct Verified {
    pub(crate) product: Product,
    pub(crate) owner: Owner,
    /// When the revocation list was issued, if there is one.
    pub(crate) crl_from_s: Option<u64>,
    /// When the first piece runs out; seconds since 1970.
    pub(crate) until_s: u64,
}

/// Verifies a report. A revocation list that is there must hold; whether one
/// must be there is the policy's to say.
pub(crate) fn verify(
    report: &Report,
    collateral: &Collateral,
    root: Root<'_>,
    clock: Clock,
) -> Result<Verified, Refusal> {
    let named = &collateral.named;
    if named.signer() != report.signer() {
        let found = format!(
            "signed by the {}, and the certificate is a {}'s",
            report.signer().name(),
            named.signer().name()
        );
        return Err(Refusal::new(Reason::SignerMismatch, found));
    }
    let at_s = clock.at(collateral.window().from_s);
    verify_certificates(collateral, root, at_s)?;
    let product = product(report, collateral, root)?;
    verify_names(report, collateral, product)?;
    let [certificate, ..] = collateral.chain.as_slice() else {
        return Err(Refusal::new(
            Reason::EndorsementsMalformed,
            "no certificate",
        ));
    };
    if !certificate
        .key()
        .verify_fixed(report.signed(), &report.signature())
    {
        return Err(Refusal::new(
            Reason::QuoteSignature,
            "the report's signature does not verify",
        ));
    }
    Ok(Verified {
        product,
        owner: named.owner.clone(),
        crl_from_s: collateral.crl.as_ref().map(|crl| crl.window().from_s),
        until_s: collateral.window().until_s,
    })
}

fn verify_certificates(collateral: &Collateral, root: Root<'_>, at_s: u64) -> Result<(), Refusal> {
    let chain = &collateral.chain;
    let rules = Rules {
        at_s,
        max_length: 1 + AUTHORITIES,
        algorithms: ALGORITHMS,
        critical: &[],
    };
    let result = match root {
        Root::Vendor => {
            let keys = ROOT_KEYS.map(|(_, key)| key);
            verify_chain(chain, Anchor::Known(&keys, &ROOTS), &rules)
        }
        Root::Software(der) => {
            let anchor = Certificate::parse(der)
                .map_err(|error| Refusal::new(Reason::AnchorMismatch, error.to_string()))?;
            verify_chain(chain, Anchor::Certificate(&anchor), &rules)
        }
        Root::Unnamed => return Err(Root::unnamed()),
    };
    result.map_err(|error| Refusal::new(error.reason(), error.to_string()))?;
    let (Some(crl), [_, middle, ark]) = (&collateral.crl, chain.as_slice()) else {
        return Ok(());
    };
    let list = |error: X509Error| {
        let reason = match error {
            X509Error::Signature | X509Error::Issuer => Reason::CollateralSignature,
            ref other => other.reason(),
        };
        Refusal::new(reason, format!("revocation list: {error}"))
    };
    crl.verify(ark, ALGORITHMS, at_s).map_err(list)?;
    if crl.revokes(middle) {
        let name = middle.common_name().unwrap_or_default();
        let found = format!("{name} was revoked by its issuer");
        return Err(Refusal::new(Reason::CertificateRevoked, found));
    }
    Ok(())
}

/// The product whose root key the chain ends in. A report of version 3 or
/// later names its processor, which must be of that product; for one of
/// version 2 the certificate's word must be the same. (Some certificates name
/// the product wrongly, which is why the processor's own word goes first.)
fn product(report: &Report, collateral: &Collateral, root: Root<'_>) -> Result<Product, Refusal> {
    let mismatch = |found: String| Refusal::new(Reason::ProductMismatch, found);
    let said = match report.product() {
        Some(product) => product,
        None => Product::of_name(&collateral.named.product).ok_or_else(|| {
            mismatch(format!(
                "the certificate is for {:?}, which is no product that is known",
                collateral.named.product
            ))
        })?,
    };
    let Some(ark) = collateral.chain.last().filter(|_| root == Root::Vendor) else {
        return Ok(said);
    };
    let key = ark.key_id();
    match ROOT_KEYS.iter().find(|(_, root)| *root == key) {
        Some((product, _)) if *product == said => Ok(said),
        Some((product, _)) => Err(mismatch(format!(
            "{} under the root key of {}",
            said.name(),
            product.name()
        ))),
        None => Err(mismatch("under no root key that is known".into())),
    }
}

/// Whether the certificate is this chip's, for this firmware, and its issuer
/// one for keys of its kind.
fn verify_names(report: &Report, collateral: &Collateral, product: Product) -> Result<(), Refusal> {
    let named = &collateral.named;
    if let Owner::Chip(chip) = &named.owner {
        let claimed = report.chip_id();
        let masked = claimed.iter().all(|byte| *byte == 0);
        let (head, tail) = claimed.split_at_checked(chip.len()).unwrap_or_default();
        if !masked && (head != chip || tail.iter().any(|byte| *byte != 0)) {
            let found = format!(
                "chip {}, and the certificate is for {}",
                hex::encode(claimed),
                hex::encode(chip)
            );
            return Err(Refusal::new(Reason::ChipMismatch, found));
        }
    }
    let reported = report.reported_tcb(product);
    // A certificate may say 0 of a part that its product does not have.
    let certified = Tcb {
        fmc: reported.fmc.map(|_| named.tcb.fmc.unwrap_or(0)),
        ..named.tcb
    };
    let spare = named
        .tcb
        .fmc
        .filter(|_| reported.fmc.is_none())
        .unwrap_or(0);
    if reported != certified || spare != 0 {
        let found = format!("reported {reported}; the certificate is for {certified}");
        return Err(Refusal::new(Reason::TcbCertificate, found));
    }
    let expected = match report.signer() {
        Signer::Vcek => format!("SEV-{}", product.name()),
        Signer::Vlek => format!("SEV-VLEK-{}", product.name()),
    };
    let issuer = collateral.chain.get(1).and_then(Certificate::common_name);
    if issuer.as_deref() != Some(expected.as_str()) {
        let found = format!(
            "the signing key's issuer is {}, not {expected}",
            issuer.as_deref().unwrap_or("nameless")
        );
        return Err(Refusal::new(Reason::CertificateInvalid, found));
    }
    Ok(())
}
