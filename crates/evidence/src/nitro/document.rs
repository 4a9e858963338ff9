//! A signed attestation document (AWS, *Nitro Enclaves Attestation Process*):
//! COSE_Sign1 (RFC 9052) with ES384 around a CBOR map. Reading one says nothing
//! about who made it.
//!
//! CBOR is read strictly: a map has each key once and none that the
//! specification does not name, strings come in one piece, nothing follows the
//! last byte, and every length is bounded. Encodings that are longer than
//! need be are read, for the specification does not forbid them.

use minicbor::{
    Decoder, Encoder,
    data::{Tag, Type},
};
use std::collections::BTreeMap;

/// Bytes of a signed document at most: a payload of 16 KiB, and what is
/// around it.
pub const MAX_DOCUMENT: usize = 17 * 1024;
const MAX_PAYLOAD: usize = 16 * 1024;
/// Bytes of a signature: r ‖ s on P-384.
const SIGNATURE: usize = 96;
const MAX_PCRS: u64 = 32;
const MAX_CERTIFICATE: usize = 1024;
/// Certificates that a document carries at most, beside its own.
const MAX_BUNDLE: u64 = 8;
const MAX_MODULE_ID: usize = 256;
/// Bytes of each field that the enclave fills, at most.
const MAX_FIELD: usize = 1024;
const COSE_SIGN1: u64 = 18;
const ALGORITHM: i64 = 1;
const ES384: i64 = -35;

/// Why bytes are not a signed document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Longer than [`MAX_DOCUMENT`].
    #[error("{0} bytes, at most {MAX_DOCUMENT} are accepted")]
    TooLong(usize),
    /// Not well-formed CBOR, or not of the type that the format has there.
    #[error("no {0}")]
    Malformed(&'static str),
    /// Bytes after the end.
    #[error("bytes after the end of the {0}")]
    Trailing(&'static str),
    /// A header that the format does not have, or another algorithm than
    /// ES384.
    #[error("a header other than {{1: -35}}")]
    Header,
    /// A key that is there twice.
    #[error("{0} twice")]
    Twice(&'static str),
    /// A key that the format does not have.
    #[error("a field that documents do not have")]
    Unknown,
    /// A field that is not there.
    #[error("no {0}")]
    Missing(&'static str),
    /// A value or length that the format does not allow.
    #[error("{0} out of bounds")]
    Bounds(&'static str),
}

type Result<T> = core::result::Result<T, DocumentError>;

/// A register's value: 32, 48 or 64 bytes.
pub type Pcr = Vec<u8>;

/// A document that was read, not verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    signed: Vec<u8>,
    signature: [u8; SIGNATURE],
    module_id: String,
    timestamp_ms: u64,
    pcrs: BTreeMap<u8, Pcr>,
    certificate: Vec<u8>,
    bundle: Vec<Vec<u8>>,
    public_key: Option<Vec<u8>>,
    user_data: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
}

impl Document {
    /// Reads one, to its last byte.
    ///
    /// # Errors
    /// [`DocumentError`]; takes memory in proportion to the input only.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (document, used) = Self::parse_prefix(bytes)?;
        if used != bytes.len() {
            return Err(DocumentError::Trailing("document"));
        }
        Ok(document)
    }

    /// Reads one from the beginning of `bytes`, and says how many it used: for
    /// tools that show files in which other things follow.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn parse_prefix(bytes: &[u8]) -> Result<(Self, usize)> {
        if bytes.len() > MAX_DOCUMENT {
            return Err(DocumentError::TooLong(bytes.len()));
        }
        let mut d = Decoder::new(bytes);
        if datatype(&d, "COSE_Sign1")? == Type::Tag {
            let tag = d
                .tag()
                .map_err(|_| DocumentError::Malformed("COSE_Sign1"))?;
            if tag != Tag::new(COSE_SIGN1) {
                return Err(DocumentError::Malformed("COSE_Sign1"));
            }
        }
        if !matches!(d.array(), Ok(Some(4))) {
            return Err(DocumentError::Malformed("COSE_Sign1"));
        }
        let protected = string(&mut d, "protected header", 16)?;
        check_protected(protected)?;
        if !matches!(d.map(), Ok(Some(0))) {
            return Err(DocumentError::Header);
        }
        let payload = string(&mut d, "payload", MAX_PAYLOAD)?;
        let signature = string(&mut d, "signature", SIGNATURE)?;
        let mut document = read_payload(payload)?;
        document.signature = signature
            .try_into()
            .map_err(|_| DocumentError::Bounds("signature"))?;
        document.signed = signature_structure(protected, payload);
        Ok((document, d.position()))
    }

    /// What the signature covers: `Sig_structure` (RFC 9052, 4.4).
    pub fn signed(&self) -> &[u8] {
        &self.signed
    }

    /// r ‖ s, big endian.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The Nitro hypervisor's name for the enclave: the instance's id, and a
    /// number.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// When it was made, by the Nitro hypervisor's clock; ms since 1970.
    pub fn timestamp_ms(&self) -> u64 {
        self.timestamp_ms
    }

    /// A register, if it is in the document.
    pub fn pcr(&self, index: u8) -> Option<&[u8]> {
        self.pcrs.get(&index).map(Vec::as_slice)
    }

    /// All registers.
    pub fn pcrs(&self) -> &BTreeMap<u8, Pcr> {
        &self.pcrs
    }

    /// The certificate of the key that signed, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Its issuers, the root first; DER.
    pub fn bundle(&self) -> &[Vec<u8>] {
        &self.bundle
    }

    /// A key that the enclave put in.
    pub fn public_key(&self) -> Option<&[u8]> {
        self.public_key.as_deref()
    }

    /// Data that the enclave put in.
    pub fn user_data(&self) -> Option<&[u8]> {
        self.user_data.as_deref()
    }

    /// A nonce that the enclave put in.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }
}

impl core::fmt::Debug for Document {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Document({} at {})", self.module_id, self.timestamp_ms)
    }
}

fn datatype(d: &Decoder<'_>, what: &'static str) -> Result<Type> {
    d.datatype().map_err(|_| DocumentError::Malformed(what))
}

/// A byte string in one piece.
fn string<'b>(d: &mut Decoder<'b>, what: &'static str, max: usize) -> Result<&'b [u8]> {
    let bytes = d.bytes().map_err(|_| DocumentError::Malformed(what))?;
    if bytes.is_empty() || bytes.len() > max {
        return Err(DocumentError::Bounds(what));
    }
    Ok(bytes)
}

/// {1: -35}, and nothing else.
fn check_protected(bytes: &[u8]) -> Result<()> {
    let mut d = Decoder::new(bytes);
    let good = matches!(d.map(), Ok(Some(1)))
        && matches!(d.i64(), Ok(ALGORITHM))
        && matches!(d.i64(), Ok(ES384));
    match good && d.position() == bytes.len() {
        true => Ok(()),
        false => Err(DocumentError::Header),
    }
}

/// Calls `each` for every entry of a map, or item of an array, of at most
/// `max`; `len` is what its head said, none for one of indefinite length.
fn each<'b>(
    d: &mut Decoder<'b>,
    len: Option<u64>,
    (what, max): (&'static str, u64),
    mut each: impl FnMut(&mut Decoder<'b>) -> Result<()>,
) -> Result<()> {
    let mut count = 0;
    loop {
        match len {
            Some(len) if count == len => return Ok(()),
            None if datatype(d, what)? == Type::Break => {
                return d.skip().map_err(|_| DocumentError::Malformed(what));
            }
            _ if count == max => return Err(DocumentError::Bounds(what)),
            _ => each(d)?,
        }
        count += 1;
    }
}

#[derive(Default)]
struct Fields {
    module_id: Option<String>,
    digest: Option<()>,
    timestamp_ms: Option<u64>,
    pcrs: Option<BTreeMap<u8, Pcr>>,
    certificate: Option<Vec<u8>>,
    bundle: Option<Vec<Vec<u8>>>,
    // There, and perhaps null.
    public_key: Option<Option<Vec<u8>>>,
    user_data: Option<Option<Vec<u8>>>,
    nonce: Option<Option<Vec<u8>>>,
}

fn once<T>(slot: &mut Option<T>, what: &'static str, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(DocumentError::Twice(what)),
    }
}

fn read_payload(payload: &[u8]) -> Result<Document> {
    const KEYS: u64 = 9;
    let mut d = Decoder::new(payload);
    let len = d.map().map_err(|_| DocumentError::Malformed("payload"))?;
    let mut fields = Fields::default();
    each(&mut d, len, ("payload", KEYS), |d| field(d, &mut fields))?;
    if d.position() != payload.len() {
        return Err(DocumentError::Trailing("payload"));
    }
    let missing = DocumentError::Missing;
    fields.digest.ok_or(missing("digest"))?;
    Ok(Document {
        signed: Vec::new(),
        signature: [0; SIGNATURE],
        module_id: fields.module_id.ok_or(missing("module_id"))?,
        timestamp_ms: fields.timestamp_ms.ok_or(missing("timestamp"))?,
        pcrs: fields.pcrs.ok_or(missing("pcrs"))?,
        certificate: fields.certificate.ok_or(missing("certificate"))?,
        bundle: fields.bundle.ok_or(missing("cabundle"))?,
        public_key: fields.public_key.flatten(),
        user_data: fields.user_data.flatten(),
        nonce: fields.nonce.flatten(),
    })
}

fn field(d: &mut Decoder<'_>, fields: &mut Fields) -> Result<()> {
    let key = d
        .str()
        .map_err(|_| DocumentError::Malformed("field name"))?;
    match key {
        "module_id" => {
            let text = d.str().map_err(|_| DocumentError::Malformed("module_id"))?;
            if text.is_empty() || text.len() > MAX_MODULE_ID {
                return Err(DocumentError::Bounds("module_id"));
            }
            once(&mut fields.module_id, "module_id", text.to_owned())
        }
        "digest" => match d.str() {
            Ok("SHA384") => once(&mut fields.digest, "digest", ()),
            _ => Err(DocumentError::Malformed("digest \"SHA384\"")),
        },
        "timestamp" => match d.u64() {
            Ok(0) => Err(DocumentError::Bounds("timestamp")),
            Ok(time) => once(&mut fields.timestamp_ms, "timestamp", time),
            Err(_) => Err(DocumentError::Malformed("timestamp")),
        },
        "pcrs" => {
            let pcrs = pcrs(d)?;
            once(&mut fields.pcrs, "pcrs", pcrs)
        }
        "certificate" => {
            let der = string(d, "certificate", MAX_CERTIFICATE)?.to_vec();
            once(&mut fields.certificate, "certificate", der)
        }
        "cabundle" => {
            let bundle = bundle(d)?;
            once(&mut fields.bundle, "cabundle", bundle)
        }
        "public_key" => {
            let value = optional(d, "public_key", 1)?;
            once(&mut fields.public_key, "public_key", value)
        }
        "user_data" => {
            let value = optional(d, "user_data", 0)?;
            once(&mut fields.user_data, "user_data", value)
        }
        "nonce" => {
            let value = optional(d, "nonce", 0)?;
            once(&mut fields.nonce, "nonce", value)
        }
        _ => Err(DocumentError::Unknown),
    }
}

fn pcrs(d: &mut Decoder<'_>) -> Result<BTreeMap<u8, Pcr>> {
    const WHAT: &str = "pcrs";
    let len = d.map().map_err(|_| DocumentError::Malformed(WHAT))?;
    let mut pcrs = BTreeMap::new();
    each(d, len, (WHAT, MAX_PCRS), |d| {
        let index = d
            .u8()
            .map_err(|_| DocumentError::Malformed("index of a PCR"))?;
        let value = d.bytes().map_err(|_| DocumentError::Malformed("PCR"))?;
        if u64::from(index) >= MAX_PCRS || !matches!(value.len(), 32 | 48 | 64) {
            return Err(DocumentError::Bounds("PCR"));
        }
        match pcrs.insert(index, value.to_vec()) {
            None => Ok(()),
            Some(_) => Err(DocumentError::Twice("a PCR")),
        }
    })?;
    match pcrs.is_empty() {
        true => Err(DocumentError::Bounds(WHAT)),
        false => Ok(pcrs),
    }
}

fn bundle(d: &mut Decoder<'_>) -> Result<Vec<Vec<u8>>> {
    const WHAT: &str = "cabundle";
    let len = d.array().map_err(|_| DocumentError::Malformed(WHAT))?;
    let mut bundle = Vec::new();
    each(d, len, (WHAT, MAX_BUNDLE), |d| {
        bundle.push(string(d, "certificate in cabundle", MAX_CERTIFICATE)?.to_vec());
        Ok(())
    })?;
    match bundle.is_empty() {
        true => Err(DocumentError::Bounds(WHAT)),
        false => Ok(bundle),
    }
}

/// A field that may be left out. The hypervisor writes null for it.
fn optional(d: &mut Decoder<'_>, what: &'static str, min: usize) -> Result<Option<Vec<u8>>> {
    if datatype(d, what)? == Type::Null {
        d.null().map_err(|_| DocumentError::Malformed(what))?;
        return Ok(None);
    }
    let bytes = d.bytes().map_err(|_| DocumentError::Malformed(what))?;
    if bytes.len() < min || bytes.len() > MAX_FIELD {
        return Err(DocumentError::Bounds(what));
    }
    Ok(Some(bytes.to_vec()))
}

/// ["Signature1", protected, external (empty), payload].
fn signature_structure(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 64);
    let mut e = Encoder::new(&mut out);
    // Writing to a Vec cannot fail.
    let _ = e
        .array(4)
        .and_then(|e| e.str("Signature1"))
        .and_then(|e| e.bytes(protected))
        .and_then(|e| e.bytes(&[]))
        .and_then(|e| e.bytes(payload));
    out
}
