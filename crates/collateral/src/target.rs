//! What to fetch, as typed values. They are read from evidence that nobody has
//! verified, so each has one form, and can say nothing but hexadecimal digits
//! and names of a fixed list to a source.

use crate::nvidia::{self, RimId};
use dcap_qvl::{configs::RustCryptoConfig, intel, quote::Quote};
use soundproof_evidence::snp::{Report, ReportError, Signer};
pub use soundproof_evidence::{gpu::ocsp::CertId, snp::Product};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, MAX_EVIDENCE, Platform},
    cbor::Bytes,
};
use x509_cert::{
    Certificate,
    der::{Decode as _, oid::ObjectIdentifier},
    name::Name,
};

/// The family of an Intel machine: its FMSPC.
pub type Fmspc = [u8; 6];

/// What TCB info is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tee {
    /// Intel TDX.
    Tdx,
    /// Intel SGX.
    Sgx,
}

impl Tee {
    /// The name in Intel's paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tdx => "tdx",
            Self::Sgx => "sgx",
        }
    }
}

/// Who issued a PCK certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PckCa {
    /// Of machines with one package.
    Processor,
    /// Of machines that were registered.
    Platform,
}

impl PckCa {
    /// The name in Intel's queries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processor => "processor",
            Self::Platform => "platform",
        }
    }
}

/// A product line by AMD's name for it, whatever its case.
pub fn product(name: &str) -> Option<Product> {
    Product::ALL
        .iter()
        .copied()
        .find(|product| product.name().eq_ignore_ascii_case(name))
}

/// What endorsements are for. Two equal targets share them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Target {
    /// Collateral of a family of Intel machines.
    Dcap {
        /// What its TCB info is for.
        tee: Tee,
        /// The family.
        fmspc: Fmspc,
        /// Whose revocation list.
        ca: PckCa,
    },
    /// The certificate of one AMD chip at one TCB, its chain, and AMD's
    /// revocation list.
    Vcek {
        /// Its product line; reports of version 2 do not say.
        product: Option<Product>,
        /// CHIP_ID of the report, 64 bytes.
        chip_id: Box<[u8; 64]>,
        /// REPORTED_TCB of the report, as it stands there.
        tcb: [u8; 8],
    },
    /// The chain and list beside a VLEK certificate that the host gives.
    Vlek {
        /// The product line.
        product: Product,
    },
    /// The chain and list beside a VCEK certificate that the host gives.
    Chain {
        /// The product line.
        product: Product,
    },
    /// A reference integrity manifest of NVIDIA's.
    Rim(RimId),
    /// Whether a certificate of NVIDIA's was revoked.
    Ocsp(CertId),
}

/// Why there is no telling what to fetch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Not evidence of that platform.
    #[error("the evidence cannot be read: {0}")]
    Malformed(&'static str),
    /// The quote says neither family nor issuer.
    #[error("the quote carries no PCK certificate (certification data of type {0})")]
    NoPck(u16),
    /// Issuer of a PCK certificate that has no revocation list known here.
    #[error("the PCK certificate's issuer is neither the platform nor the processor CA")]
    Issuer,
    /// The host hides which chip it is.
    #[error("the report's chip id is masked: the host must give the certificate")]
    MaskedChip,
    /// A report whose key only the host has a certificate of.
    #[error("the report is signed by a VLEK: the host must give its certificate")]
    HostKey,
    /// Not an SNP report, or of a version, a key or a chip that is not known
    /// here.
    #[error("the SNP report cannot be read: {0}")]
    Snp(#[from] ReportError),
    /// The host's own endorsements cannot be read.
    #[error("the host's own endorsements cannot be read")]
    Given,
    /// Evidence of a platform that needs none, or none that is known here.
    #[error("endorsements of platform {0} are not fetched")]
    Platform(&'static str),
}

impl Target {
    /// For evidence, beside what its maker gave already; `None` where nothing
    /// is missing.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn for_evidence(
        evidence: &Evidence,
        given: Option<&Endorsements>,
    ) -> Result<Option<Self>, TargetError> {
        if evidence.statement.0.len() > MAX_EVIDENCE {
            return Err(TargetError::Malformed("too long"));
        }
        let given = given.map_or(&[][..], |given| &given.body.0);
        match family(evidence.platform) {
            Family::Dcap if given.is_empty() => dcap(&evidence.statement.0).map(Some),
            Family::AzureDcap if given.is_empty() => {
                dcap(&azure_inner(&evidence.statement.0)?).map(Some)
            }
            Family::Snp => snp_beside(&evidence.statement.0, given),
            Family::AzureSnp => snp_beside(&azure_inner(&evidence.statement.0)?, given),
            Family::Dcap | Family::AzureDcap | Family::None => Ok(None),
        }
    }

    /// For evidence as if its maker had given nothing; where it then does not
    /// say enough, beside what was given.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn of_machine(
        evidence: &Evidence,
        given: Option<&Endorsements>,
    ) -> Result<Option<Self>, TargetError> {
        Self::for_evidence(evidence, None).or_else(|_| Self::for_evidence(evidence, given))
    }

    /// What a judge may do without: its fetching has an end that does not keep
    /// a session waiting.
    pub(crate) const fn is_optional(&self) -> bool {
        matches!(self, Self::Rim(_) | Self::Ocsp(_))
    }

    /// Its name: stable, and fit for logs. A chip is a machine's identity, so
    /// only its first bytes are shown.
    pub fn name(&self) -> String {
        match self {
            Self::Dcap { tee, fmspc, ca } => {
                format!(
                    "Intel {} family {} ({} CA)",
                    tee.name().to_uppercase(),
                    hex::encode(fmspc),
                    ca.name()
                )
            }
            Self::Vcek {
                product,
                chip_id,
                tcb,
            } => format!(
                "AMD {} chip {}… at TCB {}",
                product.map_or("EPYC", Product::name),
                hex::encode(chip_id.first_chunk::<4>().unwrap_or(&[0; 4])),
                hex::encode(tcb)
            ),
            Self::Vlek { product } => format!("AMD {} VLEK chain", product.name()),
            Self::Chain { product } => format!("AMD {} VCEK chain", product.name()),
            Self::Rim(id) => format!("NVIDIA manifest {}", id.as_str()),
            Self::Ocsp(id) => format!("NVIDIA certificate {}", hex::encode(id.serial())),
        }
    }

    /// All of it, for the cache and for bundles.
    pub fn key(&self) -> String {
        match self {
            Self::Dcap { tee, fmspc, ca } => {
                format!("dcap/{}/{}/{}", tee.name(), hex::encode(fmspc), ca.name())
            }
            Self::Vcek {
                product,
                chip_id,
                tcb,
            } => format!(
                "vcek/{}/{}/{}",
                product.map_or("any", Product::name),
                hex::encode(chip_id.as_slice()),
                hex::encode(tcb)
            ),
            Self::Vlek { product } => format!("vlek/{}", product.name()),
            Self::Chain { product } => format!("chain/{}", product.name()),
            Self::Rim(id) => format!("rim/{}", id.as_str()),
            Self::Ocsp(id) => format!("ocsp/{}", nvidia::text_of(id)),
        }
    }

    /// From [`key`](Self::key); one form only.
    pub fn from_key(key: &str) -> Option<Self> {
        let mut parts = key.split('/');
        let kind = parts.next()?;
        let target = match kind {
            "dcap" => Self::Dcap {
                tee: [Tee::Tdx, Tee::Sgx]
                    .into_iter()
                    .zip([parts.next()?; 2])
                    .find_map(|(tee, name)| (tee.name() == name).then_some(tee))?,
                fmspc: fixed(parts.next()?)?,
                ca: [PckCa::Processor, PckCa::Platform]
                    .into_iter()
                    .zip([parts.next()?; 2])
                    .find_map(|(ca, name)| (ca.name() == name).then_some(ca))?,
            },
            "vcek" => Self::Vcek {
                product: match parts.next()? {
                    "any" => None,
                    name => Some(product(name)?),
                },
                chip_id: Box::new(fixed(parts.next()?)?),
                tcb: fixed(parts.next()?)?,
            },
            "vlek" => Self::Vlek {
                product: product(parts.next()?)?,
            },
            "chain" => Self::Chain {
                product: product(parts.next()?)?,
            },
            "rim" => Self::Rim(RimId::new(parts.next()?)?),
            "ocsp" => {
                let (name, key, serial) = (parts.next()?, parts.next()?, parts.next()?);
                Self::Ocsp(nvidia::id_from_parts(name, key, serial)?)
            }
            _ => return None,
        };
        (target.key() == key).then_some(target)
    }
}

fn fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

enum Family {
    Dcap,
    AzureDcap,
    Snp,
    AzureSnp,
    None,
}

/// A software kind has its platform's formats.
fn family(platform: Platform) -> Family {
    match platform {
        Platform::Software
        | Platform::Tdx
        | Platform::Sgx
        | Platform::Dstack
        | Platform::SoftwareSgx
        | Platform::SoftwareDstack => Family::Dcap,
        Platform::AzureTdx | Platform::SoftwareAzureTdx => Family::AzureDcap,
        Platform::Snp | Platform::SoftwareSnp => Family::Snp,
        Platform::AzureSnp | Platform::SoftwareAzureSnp => Family::AzureSnp,
        // Nitro's documents carry their whole chain.
        _ => Family::None,
    }
}

/// The hardware's own report, the first entry of Azure's statement.
#[derive(minicbor::Decode)]
#[cbor(map)]
struct Azure {
    #[n(0)]
    report: Bytes,
}

fn azure_inner(statement: &[u8]) -> Result<Vec<u8>, TargetError> {
    minicbor::decode::<Azure>(statement)
        .map(|azure| azure.report.0)
        .map_err(|_| TargetError::Malformed("not a vTPM-wrapped report"))
}

/// For a TDX or SGX quote.
///
/// # Errors
/// [`TargetError`].
pub fn dcap(quote: &[u8]) -> Result<Target, TargetError> {
    let quote = Quote::parse(quote).map_err(|_| TargetError::Malformed("not a quote"))?;
    let chain = intel::extract_cert_chain(&quote)
        .map_err(|_| TargetError::NoPck(quote.inner_cert_type()))?;
    let pck = chain
        .first()
        .ok_or(TargetError::NoPck(quote.inner_cert_type()))?;
    let fmspc = intel::parse_pck_extension_with::<RustCryptoConfig>(pck)
        .map_err(|_| TargetError::Malformed("not a PCK certificate"))?
        .fmspc;
    let pck =
        Certificate::from_der(pck).map_err(|_| TargetError::Malformed("not a certificate"))?;
    Ok(Target::Dcap {
        tee: if quote.header.is_sgx() {
            Tee::Sgx
        } else {
            Tee::Tdx
        },
        fmspc,
        ca: issuer(pck.tbs_certificate().issuer()).ok_or(TargetError::Issuer)?,
    })
}

/// By the issuer's common name (Intel SGX PCK Certificate and CRL Profile
/// Specification, 1.3): "Intel SGX PCK Platform CA" or "… Processor CA". The
/// software platform's says so too.
pub(crate) fn issuer(name: &Name) -> Option<PckCa> {
    let name = common_name(name)?.to_ascii_lowercase();
    [PckCa::Processor, PckCa::Platform]
        .into_iter()
        .find(|ca| name.contains(&format!("pck {} ca", ca.name())))
}

fn common_name(name: &Name) -> Option<String> {
    const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
    let found = name.iter().find(|attribute| attribute.oid == COMMON_NAME)?;
    core::str::from_utf8(found.value.value())
        .ok()
        .map(str::to_owned)
}

/// For an SNP report. Its signing key decides whether it is for a VCEK or for
/// the chain of a VLEK.
///
/// # Errors
/// [`TargetError`].
pub fn snp(report: &[u8]) -> Result<Target, TargetError> {
    let report = Report::parse(report)?;
    let product = report.product();
    match report.signer() {
        Signer::Vcek if *report.chip_id() == [0; 64] => Err(TargetError::MaskedChip),
        Signer::Vcek => Ok(Target::Vcek {
            product,
            chip_id: Box::new(*report.chip_id()),
            tcb: report.reported_tcb_bytes(),
        }),
        // The certificate of such a key is the host's to give.
        Signer::Vlek => Ok(Target::Vlek {
            product: product.ok_or(TargetError::HostKey)?,
        }),
    }
}

/// What is missing beside what the host gave; `None` if nothing is.
fn snp_beside(report: &[u8], given: &[u8]) -> Result<Option<Target>, TargetError> {
    if given.is_empty() {
        return snp(report).map(Some);
    }
    let given = crate::item::SnpBody::from_slice(given).ok_or(TargetError::Given)?;
    if given.is_whole() {
        return Ok(None);
    }
    let Some(key) = &given.key else {
        return snp(report).map(Some);
    };
    // Chain and list are one per product line, and its issuer says which.
    let key = Certificate::from_der(&key.0).map_err(|_| TargetError::Given)?;
    let name = common_name(key.tbs_certificate().issuer()).ok_or(TargetError::Given)?;
    let (line, named) = name.rsplit_once('-').ok_or(TargetError::Given)?;
    let product = product(named).ok_or(TargetError::Given)?;
    Ok(Some(if line.contains("VLEK") {
        Target::Vlek { product }
    } else {
        Target::Chain { product }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use soundproof_testkit::{
        pki::NOW_MS,
        snp::{Chip, Guest},
    };

    #[test]
    fn keys_have_one_form() {
        let chip = "ab".repeat(64);
        for key in [
            "dcap/tdx/b0c06f000000/platform".to_owned(),
            "dcap/sgx/00a067110000/processor".into(),
            format!("vcek/Milan/{chip}/04000000000018db"),
            format!("vcek/any/{chip}/04000000000018db"),
            "vlek/Genoa".into(),
            "chain/Milan".into(),
            "rim/NV_GPU_DRIVER_GH100_535.104.05".into(),
            format!("ocsp/{0}/{0}/0a0b", "ab".repeat(48)),
        ] {
            assert_eq!(Target::from_key(&key).expect(&key).key(), key);
        }
        for wrong in [
            "",
            "dcap",
            "dcap/tdx/B0C06F000000/platform",
            "dcap/tdx/b0c06f000000/platform/",
            "dcap/tdx/b0c06f0000/platform",
            "dcap/tdx/../platform",
            "dcap/tee/b0c06f000000/platform",
            "vlek/milan",
            "vlek/any",
            "rim/x",
            "ocsp/ab/ab/0a",
            "vcek/Milan/ab/04000000000018db",
        ] {
            assert!(Target::from_key(wrong).is_none(), "{wrong}");
        }
    }

    /// A Turin's, of version 3, changed.
    fn report(change: impl FnOnce(&mut Chip, &mut Guest)) -> Vec<u8> {
        let mut chip = Chip::new(Product::Turin, NOW_MS / 1000);
        let mut guest = Guest::new(3);
        change(&mut chip, &mut guest);
        guest.report(&chip, &[7; 64])
    }

    #[test]
    fn a_report_says_chip_product_and_tcb() {
        let Ok(Target::Vcek {
            product,
            chip_id,
            tcb,
        }) = snp(&report(|_, _| ()))
        else {
            panic!();
        };
        assert_eq!(product, Some(Product::Turin));
        assert_eq!(
            chip_id.first_chunk::<9>(),
            Some(&[0x71, 0x71, 0x71, 0x71, 0x71, 0x71, 0x71, 0x71, 0])
        );
        assert_eq!(tcb, [1, 2, 1, 3, 0, 0, 0, 0x47]);
        let vlek = snp(&report(|chip, _| chip.signer = Signer::Vlek));
        let product = Product::Turin;
        assert_eq!(vlek, Ok(Target::Vlek { product }));
    }

    #[test]
    fn what_cannot_be_fetched_is_said() {
        let masked = snp(&report(|chip, _| chip.masked = true));
        assert_eq!(masked, Err(TargetError::MaskedChip));
        // Version 2 names no product, so nor does what the host must give.
        let hidden = snp(&report(|chip, guest| {
            chip.signer = Signer::Vlek;
            guest.version = 2;
        }));
        assert_eq!(hidden, Err(TargetError::HostKey));
        let sound = report(|_, _| ());
        for (at, byte) in [(0, 1), (0, 6), (0x48, 7 << 2), (0x188, 0x17), (0x30, 4)] {
            let mut changed = sound.clone();
            changed[at] = byte;
            assert!(matches!(snp(&changed), Err(TargetError::Snp(_))), "{at:#x}");
        }
        assert!(snp(&sound[..sound.len() - 1]).is_err());
        assert!(snp(&[&sound[..], &[0]].concat()).is_err());
        for len in [0, 48, 632, 5000] {
            assert!(dcap(&vec![4; len]).is_err());
        }
    }
}
