//! NVIDIA's reference integrity manifests: a SWID tag (ISO/IEC 19770-2:2015,
//! TCG Reference Integrity Manifest Information Model) with the golden
//! measurements of a driver or a video BIOS, signed with an enveloped XML
//! signature (W3C XML Signature 1.1).
//!
//! Exactly NVIDIA's profile is read, and everything else refused: one
//! reference, to the whole document, transformed by enveloped-signature and
//! Canonical XML 1.1; ECDSA over P-384 with SHA-384; certificates in the
//! signature, leaf first. What the signature does not cover (its own element:
//! key info and signature value) says nothing here but by verifying.

use super::xml::{Document, Element, Node};
use crate::x509::PublicKey;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha384};
use std::collections::BTreeMap;

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const HASH: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const C14N_1_1: &str = "http://www.w3.org/2006/12/xml-c14n11";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const ECDSA_SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
const SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";
/// Certificates in a signature, at most.
const MAX_CERTIFICATES: usize = 8;
/// Values that one measurement may have, at most.
const MAX_ALTERNATIVES: usize = 64;

/// Why bytes are no manifest, or not one that was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RimError {
    /// Not XML of the kind that is read.
    #[error("not a manifest's XML: {0}")]
    Xml(&'static str),
    /// Not the structure of NVIDIA's manifests.
    #[error("not an NVIDIA manifest: {0}")]
    Structure(&'static str),
    /// A signature of another form than NVIDIA's.
    #[error("signature of another form: {0}")]
    Profile(&'static str),
    /// The signature or the digest in it is of something else.
    #[error("the signature does not verify: {0}")]
    Signature(&'static str),
}

/// A golden measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Golden {
    /// Whether it is to be compared.
    pub active: bool,
    /// What NVIDIA calls it.
    pub name: String,
    /// The values that are good.
    pub values: Vec<[u8; 48]>,
}

/// A manifest that was read. The digest in its signature was found to be that
/// of the document; whose signature it is, is for [`Rim::is_signed_by`] and
/// the chain to say.
#[derive(Debug, Clone)]
pub struct Rim {
    tag_id: String,
    product: String,
    version: String,
    golden: BTreeMap<u8, Golden>,
    certificates: Vec<Vec<u8>>,
    signed_info: Vec<u8>,
    signature: [u8; 96],
}

impl Rim {
    /// Reads one, and checks that its signature's digest is the document's.
    ///
    /// # Errors
    /// [`RimError`]; never panics, and takes memory in proportion to the
    /// input only.
    pub fn parse(bytes: &[u8]) -> Result<Self, RimError> {
        let document = Document::parse(bytes).map_err(RimError::Xml)?;
        let root = document.root();
        let element = document
            .element(&root)
            .ok_or(RimError::Structure("it is empty"))?;
        if !element.name.is(SWID, "SoftwareIdentity") {
            return Err(RimError::Structure("it is no SoftwareIdentity"));
        }
        let signature = document
            .child(&root, DSIG, "Signature")
            .ok_or(RimError::Profile("it has not one signature"))?;
        let signed = SignedInfo::read(&document, &signature)?;
        let digest = Sha384::digest(document.canonical(&root, Some(&signature)));
        if digest.as_slice() != signed.digest {
            return Err(RimError::Signature("the document was changed"));
        }
        let (product, version) = meta(&document, &root)?;
        Ok(Self {
            tag_id: element
                .attribute("", "tagId")
                .unwrap_or_default()
                .to_owned(),
            product,
            version,
            golden: golden(&document, &root)?,
            certificates: certificates(&document, &signature)?,
            signed_info: signed.canonical,
            signature: signed.signature,
        })
    }

    /// The tag's own name.
    pub fn tag_id(&self) -> &str {
        &self.tag_id
    }

    /// The chip that it is for, such as `GH100`.
    pub fn product(&self) -> &str {
        &self.product
    }

    /// The version of driver or video BIOS.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Golden measurements by their index, which begins at 0; the SPDM block
    /// that an index is of is the one after it.
    pub fn golden(&self) -> &BTreeMap<u8, Golden> {
        &self.golden
    }

    /// Certificates, leaf first, each in DER.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// Whether `key` signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        // 96 bytes are a signature of P-384 and of no other curve.
        key.verify_fixed(&self.signed_info, &self.signature)
    }
}

struct SignedInfo {
    digest: Vec<u8>,
    canonical: Vec<u8>,
    signature: [u8; 96],
}

impl SignedInfo {
    fn read(document: &Document, signature: &Node) -> Result<Self, RimError> {
        let form = |what| RimError::Profile(what);
        let parts = named(document, signature)?;
        let [
            ("SignedInfo", info),
            ("SignatureValue", value),
            ("KeyInfo", _),
        ] = parts.as_slice()
        else {
            return Err(form("its parts"));
        };
        let parts = named(document, info)?;
        let [
            ("CanonicalizationMethod", method),
            ("SignatureMethod", algorithm),
            ("Reference", reference),
        ] = parts.as_slice()
        else {
            return Err(form("signed info"));
        };
        only(document, method, C14N_1_1, "canonicalization")?;
        only(document, algorithm, ECDSA_SHA384, "signature algorithm")?;
        let whole = document
            .element(reference)
            .is_some_and(|element| element.attribute("", "URI") == Some(""));
        let parts = named(document, reference)?;
        let [
            ("Transforms", transforms),
            ("DigestMethod", hash),
            ("DigestValue", digest),
        ] = parts.as_slice()
        else {
            return Err(form("reference"));
        };
        if !whole {
            return Err(form("it is not of the whole document"));
        }
        let transforms = named(document, transforms)?;
        let [("Transform", first), ("Transform", second)] = transforms.as_slice() else {
            return Err(form("transforms"));
        };
        only(document, first, ENVELOPED, "first transform")?;
        only(document, second, C14N_1_1, "second transform")?;
        only(document, hash, SHA384, "digest algorithm")?;
        Ok(Self {
            digest: base64(document, digest).ok_or(form("digest"))?,
            canonical: document.canonical(info, None),
            signature: base64(document, value)
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or(form("signature value"))?,
        })
    }
}

/// Child elements, which must be of the signature's namespace, with no text
/// between them.
fn named<'a>(document: &'a Document, node: &Node) -> Result<Vec<(&'a str, Node)>, RimError> {
    document
        .children(node)
        .into_iter()
        .map(|(child, element)| {
            element
                .name
                .local_in(DSIG)
                .map(|local| (local, child))
                .ok_or(RimError::Profile("an element of another kind"))
        })
        .collect()
}

/// An element without content whose algorithm is the one.
fn only(
    document: &Document,
    node: &Node,
    algorithm: &str,
    what: &'static str,
) -> Result<(), RimError> {
    let right = document
        .element(node)
        .is_some_and(|element| element.attribute("", "Algorithm") == Some(algorithm));
    if right && document.children(node).is_empty() && !document.has_text(node) {
        Ok(())
    } else {
        Err(RimError::Profile(what))
    }
}

fn base64(document: &Document, node: &Node) -> Option<Vec<u8>> {
    let mut text = document.text(node)?;
    text.retain(|c| !c.is_ascii_whitespace());
    STANDARD.decode(text).ok()
}

fn certificates(document: &Document, signature: &Node) -> Result<Vec<Vec<u8>>, RimError> {
    let form = |what| RimError::Profile(what);
    let info = document.child(signature, DSIG, "KeyInfo");
    let data = info.and_then(|info| document.child(&info, DSIG, "X509Data"));
    let parts = named(document, &data.ok_or(form("it has not one X509Data"))?)?;
    if parts.len() > MAX_CERTIFICATES {
        return Err(form("too many certificates"));
    }
    parts
        .into_iter()
        .map(|(name, node)| {
            if name != "X509Certificate" {
                return Err(form("X509Data"));
            }
            base64(document, &node).ok_or(form("a certificate"))
        })
        .collect()
}

fn meta(document: &Document, root: &Node) -> Result<(String, String), RimError> {
    let meta = document.child(root, SWID, "Meta");
    let meta = meta.and_then(|meta| document.element(&meta));
    let meta = meta.ok_or(RimError::Structure("it has not one Meta"))?;
    let text = |name| meta.attribute("", name).filter(|text| !text.is_empty());
    match (text("product"), text("colloquialVersion")) {
        (Some(product), Some(version)) => Ok((product.to_owned(), version.to_owned())),
        _ => Err(RimError::Structure("Meta has no product or version")),
    }
}

fn golden(document: &Document, root: &Node) -> Result<BTreeMap<u8, Golden>, RimError> {
    let payload = document
        .child(root, SWID, "Payload")
        .ok_or(RimError::Structure("it has not one Payload"))?;
    let mut all = BTreeMap::new();
    for (_, element) in document.children(&payload) {
        let (index, golden) =
            resource(element).ok_or(RimError::Structure("a resource does not read"))?;
        if all.insert(index, golden).is_some() {
            return Err(RimError::Structure("two measurements of one index"));
        }
    }
    if all.values().any(|golden| golden.active) {
        Ok(all)
    } else {
        Err(RimError::Structure("no measurement is active"))
    }
}

fn resource(element: &Element) -> Option<(u8, Golden)> {
    let text = |name| element.attribute("", name);
    let measurement = element.name.is(SWID, "Resource") && text("type")? == "Measurement";
    if !measurement || text("size")? != "48" {
        return None;
    }
    let index: u8 = text("index")?.parse().ok().filter(|index| *index < 254)?;
    let active = match text("active")? {
        "True" => true,
        "False" => false,
        _ => return None,
    };
    let alternatives: usize = text("alternatives")?.parse().ok()?;
    if !(1..=MAX_ALTERNATIVES).contains(&alternatives) {
        return None;
    }
    let values = (0..alternatives)
        .map(|at| {
            let mut value = [0; 48];
            let text = element.attribute(HASH, &format!("Hash{at}"))?;
            hex::decode_to_slice(text, &mut value).ok()?;
            Some(value)
        })
        .collect::<Option<Vec<_>>>()?;
    let name = text("name")?.to_owned();
    Some((
        index,
        Golden {
            active,
            name,
            values,
        },
    ))
}
