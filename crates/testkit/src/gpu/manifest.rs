//! Manifests in NVIDIA's form. Their canonical form is written here by hand, so
//! that what canonicalises them is tested against something else than itself.

use super::{GpuPki, Profile, Signed};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha384};

/// What a document is declared with, in canonical order.
const NAMESPACES: &str = concat!(
    r#" xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd""#,
    r#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#""#,
    r#" xmlns:ns0="http://standards.iso.org/iso/19770/-2/2015/schema.xsd""#,
    r#" xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384""#,
);

/// A manifest to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The chip.
    pub product: String,
    /// The driver's or video BIOS's version.
    pub version: String,
    /// Index, whether active, values.
    pub golden: Vec<(u8, bool, Vec<[u8; 48]>)>,
}

impl Manifest {
    /// The video BIOS's has the first 8 measurements and the driver's the
    /// others, each with another value that would do.
    pub(super) fn of(profile: &Profile) -> [Self; 2] {
        let golden = |active: fn(u8) -> bool| {
            (0u8..)
                .zip(&profile.measurements)
                .map(|(index, value)| {
                    let values = if active(index) {
                        vec![[0xaa; 48], *value]
                    } else {
                        vec![[0; 48]]
                    };
                    (index, active(index), values)
                })
                .collect()
        };
        [
            Self {
                product: profile.chip.clone(),
                version: profile.driver.clone(),
                golden: golden(|index| index >= 8),
            },
            Self {
                product: profile.chip.clone(),
                version: profile.vbios(),
                golden: golden(|index| index < 8),
            },
        ]
    }

    /// The document up to its signature and what follows that: canonical, but
    /// for the root's declaration of `ds`, which stands on it here.
    fn around(&self) -> (String, &'static str) {
        let mut out = format!(
            "<SoftwareIdentity{NAMESPACES} corpus=\"false\" name=\"{0}\" tagId=\"software\" version=\"1.0\">\n\
             <ns0:Entity name=\"Nobody &amp; Sons\" role=\"tagCreator\"></ns0:Entity>\n\
             <ns0:Meta colloquialVersion=\"{1}\" edition=\"GPU\" product=\"{0}\"></ns0:Meta>\n\
             <ns0:Payload>\n",
            self.product, self.version
        );
        for (index, active, values) in &self.golden {
            let active = if *active { "True" } else { "False" };
            out.push_str(&format!(
                "<ns0:Resource active=\"{active}\" alternatives=\"{}\" index=\"{index}\" \
                 name=\"Measurement_{index}\" size=\"48\" type=\"Measurement\"",
                values.len()
            ));
            for (at, value) in values.iter().enumerate() {
                out.push_str(&format!(" ns2:Hash{at}=\"{}\"", hex::encode(value)));
            }
            out.push_str("></ns0:Resource>\n");
        }
        out.push_str("</ns0:Payload>\n");
        (out, "</SoftwareIdentity>")
    }

    /// The document, signed by the maker's signer.
    pub fn sign(&self, pki: &GpuPki) -> Vec<u8> {
        self.sign_by(&pki.signers)
    }

    /// The document, signed by the first of `signers`, whose certificates it
    /// carries.
    pub fn sign_by(&self, signers: &[Signed]) -> Vec<u8> {
        let (before, after) = self.around();
        let digest = STANDARD.encode(Sha384::digest(format!("{before}{after}")));
        let info = |namespaces: &str| {
            format!(
                "<ds:SignedInfo{namespaces}>\
                 <ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"></ds:CanonicalizationMethod>\
                 <ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384\"></ds:SignatureMethod>\
                 <ds:Reference URI=\"\"><ds:Transforms>\
                 <ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"></ds:Transform>\
                 <ds:Transform Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"></ds:Transform>\
                 </ds:Transforms>\
                 <ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#sha384\"></ds:DigestMethod>\
                 <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
            )
        };
        let signature = signers
            .first()
            .map(|signer| signer.key.sign_fixed(info(NAMESPACES).as_bytes()))
            .unwrap_or_default();
        let certificates: String = signers
            .iter()
            .map(|signer| {
                format!(
                    "<ds:X509Certificate>{}</ds:X509Certificate>",
                    STANDARD.encode(&signer.der)
                )
            })
            .collect();
        let document = format!(
            "{before}<ds:Signature>{}<ds:SignatureValue>{}</ds:SignatureValue>\
             <ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo></ds:Signature>{after}",
            info(""),
            STANDARD.encode(signature),
        );
        // As it is sent: not in canonical form.
        let document = document.replace("></ns0:Resource>", "/>");
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{document}\n").into_bytes()
    }
}
