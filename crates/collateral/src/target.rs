//! What to fetch, as typed values. They are read from evidence that nobody has
//! verified, so each has one form, and can say nothing but hexadecimal digits
//! and names of a fixed list to a source.

use crate::nvidia::{CertId, RimId};
use dcap_qvl::{configs::RustCryptoConfig, intel, quote::Quote};
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

/// A product line of AMD's, as its key distribution service names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Product {
    /// Zen 3.
    Milan,
    /// Zen 4; Bergamo and Siena too.
    Genoa,
    /// Zen 5.
    Turin,
}

impl Product {
    /// The name in AMD's paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// By that name, whatever its case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Milan, Self::Genoa, Self::Turin]
            .into_iter()
            .find(|product| product.name().eq_ignore_ascii_case(name))
    }

    /// By a report's CPUID values (SEV-SNP ABI, 56860, ATTESTATION_REPORT,
    /// version 3): extended and base family joined, likewise the model.
    pub const fn from_cpuid(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x1f) => Some(Self::Turin),
            _ => None,
        }
    }
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
    /// A chip that this version does not know.
    #[error("a CPU of family {0:#x}, model {1:#x}, has no known product line")]
    Product(u8, u8),
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
            Self::Ocsp(id) => format!("NVIDIA certificate {}", id.serial()),
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
            Self::Ocsp(id) => format!("ocsp/{}", id.text()),
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
                    name => Some(Product::from_name(name)?),
                },
                chip_id: Box::new(fixed(parts.next()?)?),
                tcb: fixed(parts.next()?)?,
            },
            "vlek" => Self::Vlek {
                product: Product::from_name(parts.next()?)?,
            },
            "chain" => Self::Chain {
                product: Product::from_name(parts.next()?)?,
            },
            "rim" => Self::Rim(RimId::new(parts.next()?)?),
            "ocsp" => {
                let (name, key, serial) = (parts.next()?, parts.next()?, parts.next()?);
                Self::Ocsp(CertId::from_parts(name, key, serial)?)
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

/// Bytes of an SNP report.
const REPORT: usize = 1184;

/// For an SNP report (SEV-SNP ABI, 56860, ATTESTATION_REPORT). Its signing key
/// decides whether it is for a VCEK or for the chain of a VLEK.
///
/// # Errors
/// [`TargetError`].
pub fn snp(report: &[u8]) -> Result<Target, TargetError> {
    const SHORT: TargetError = TargetError::Malformed("not an SNP report");
    if report.len() != REPORT {
        return Err(SHORT);
    }
    let version = at::<4>(report, 0).map(u32::from_le_bytes).ok_or(SHORT)?;
    let key_info = at::<4>(report, 0x48).map(u32::from_le_bytes).ok_or(SHORT)?;
    let tcb = at::<8>(report, 0x180).ok_or(SHORT)?;
    let chip_id = at::<64>(report, 0x1a0).ok_or(SHORT)?;
    let product = match version {
        2 => None,
        3.. => {
            let [family, model] = at::<2>(report, 0x188).ok_or(SHORT)?;
            let product = Product::from_cpuid(family, model);
            Some(product.ok_or(TargetError::Product(family, model))?)
        }
        _ => {
            return Err(TargetError::Malformed(
                "not an SNP report of version 2 or later",
            ));
        }
    };
    match (key_info >> 2) & 7 {
        0 if chip_id == [0; 64] => Err(TargetError::MaskedChip),
        0 => Ok(Target::Vcek {
            product,
            chip_id: Box::new(chip_id),
            tcb,
        }),
        // The certificate of such a key is the host's to give.
        1 => Ok(Target::Vlek {
            product: product.ok_or(TargetError::HostKey)?,
        }),
        _ => Err(TargetError::Malformed("signed by a key of unknown kind")),
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
    let (line, product) = name.rsplit_once('-').ok_or(TargetError::Given)?;
    let product = Product::from_name(product).ok_or(TargetError::Given)?;
    Ok(Some(if line.contains("VLEK") {
        Target::Vlek { product }
    } else {
        Target::Chain { product }
    }))
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn report(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut report = vec![0; REPORT];
        report[0] = 3;
        report[0x188] = 0x1a;
        report[0x189] = 0x02;
        report[0x1a0..0x1a8].fill(7);
        report[0x180..0x188].copy_from_slice(&[1, 2, 3, 4, 0, 0, 0, 82]);
        change(&mut report);
        report
    }

    #[test]
    fn a_report_says_chip_product_and_tcb() {
        let Ok(Target::Vcek {
            product,
            chip_id,
            tcb,
        }) = snp(&report(|_| ()))
        else {
            panic!();
        };
        assert_eq!(product, Some(Product::Turin));
        assert_eq!(
            chip_id.first_chunk::<9>(),
            Some(&[7, 7, 7, 7, 7, 7, 7, 7, 0])
        );
        assert_eq!(tcb, [1, 2, 3, 4, 0, 0, 0, 82]);
        let vlek = snp(&report(|report| report[0x48] = 1 << 2));
        assert_eq!(
            vlek,
            Ok(Target::Vlek {
                product: Product::Turin
            })
        );
    }

    #[test]
    fn what_cannot_be_fetched_is_said() {
        let masked = snp(&report(|report| report[0x1a0..0x1e0].fill(0)));
        assert_eq!(masked, Err(TargetError::MaskedChip));
        let other = snp(&report(|report| report[0x188] = 0x17));
        assert_eq!(other, Err(TargetError::Product(0x17, 2)));
        assert!(snp(&report(|report| report[0] = 1)).is_err());
        assert!(snp(&report(|report| report[0x48] = 7 << 2)).is_err());
        assert!(snp(&report(|report| report.truncate(REPORT - 1))).is_err());
        assert!(snp(&report(|report| report.push(0))).is_err());
        for len in [0, 48, 632, 5000] {
            assert!(dcap(&vec![4; len]).is_err());
        }
    }
}
