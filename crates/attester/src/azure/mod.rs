//! Azure's confidential VMs, where a paravisor stands between the VM and the
//! hardware: the hardware's report lies in the vTPM (NV index 0x01400001) and
//! vouches, through the hash of its runtime data, for the vTPM's attestation
//! key, which quotes what binds the session. On TDX the report is made a quote
//! by the host, over the metadata service; on SEV-SNP it is signed already.
//!
//! The hardware's quote says nothing of a session, so that it is fetched once
//! and kept for an hour, and who fetches it need not be trusted: clients
//! verify it, and it is compared here with the report that it is to be of.

mod hcl;
mod imds;

pub use hcl::TD_REPORT;
pub use imds::{ADDRESS, Host, Imds, SnpCertificates};

use crate::{
    AttestError, Attester, Machine, carried,
    error::{DeviceError, Interface, Problem},
    tpm::Tpm,
};
use hcl::{Hardware, HclReport};
use sha2::{Digest as _, Sha256};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    binding::Binding,
    cbor::Bytes,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Where the paravisor leaves its report.
const HCL_REPORT: u32 = 0x0140_0001;
/// The vTPM's attestation key, which the paravisor made.
const ATTESTATION_KEY: u32 = 0x8100_0003;
/// Bytes of the HCL report at most.
const MAX_HCL_REPORT: usize = 32 * 1024;
/// Bytes of a quote at most.
const MAX_QUOTE: usize = 32 * 1024;
/// What Azure's VMs say that they are (SMBIOS type 3, asset tag).
const ASSET_TAG: &str = "7783-7084-3265-9085-8269-3286-77";
/// How long a hardware quote is used again: a host's update shows within it.
const KEEP: Duration = Duration::from_secs(3600);

/// What is the same for every session.
#[derive(Clone)]
struct Standing {
    /// Quote or report of the hardware.
    hardware: Vec<u8>,
    runtime_data: Vec<u8>,
    /// In the form of SNP endorsements; empty for TDX.
    endorsements: Vec<u8>,
    fetched: Instant,
}

/// See the module.
pub struct Azure {
    tpm: Tpm,
    place: String,
    host: Arc<dyn Host>,
    kind: Kind,
    platform: Platform,
    standing: Mutex<Option<Standing>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tdx,
    Snp,
}

impl Azure {
    /// Looks whether this is one, and of which kind.
    ///
    /// # Errors
    /// [`DeviceError`]: it is no VM of Azure's, it has no such report, or the
    /// vTPM may not be used.
    pub fn open(machine: &Machine) -> Result<Self, DeviceError> {
        let place = machine.tpm.place();
        let tag = std::fs::read_to_string(&machine.asset_tag);
        if tag.is_ok_and(|tag| tag.trim() != ASSET_TAG) {
            return Err(DeviceError::new(Interface::Tpm, place, Problem::NoDevice));
        }
        let tpm = Tpm::new(machine.tpm.clone(), machine.retry);
        let report = hcl_report(&tpm, &place)?;
        let (kind, platform) = match report.hardware {
            Hardware::Tdx(_) => (Kind::Tdx, Platform::AzureTdx),
            Hardware::Snp(_) => (Kind::Snp, Platform::AzureSnp),
        };
        Ok(Self {
            tpm,
            place,
            host: machine.host.clone(),
            kind,
            platform,
            standing: Mutex::default(),
        })
    }

    /// The same under the name of its platform's software kind: for tests over
    /// a fake, since nobody accepts that for hardware.
    #[must_use]
    pub fn as_software(mut self) -> Self {
        self.platform = match self.kind {
            Kind::Tdx => Platform::SoftwareAzureTdx,
            Kind::Snp => Platform::SoftwareAzureSnp,
        };
        self
    }

    /// What is the same for every session: as it was fetched within the hour,
    /// or else anew; as it was, if it cannot be had anew.
    fn standing(&self) -> Result<Standing, DeviceError> {
        let mut held = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Some(standing) if standing.fetched.elapsed() < KEEP => Ok(standing.clone()),
            Some(standing) => {
                let mut standing = self.fetch().unwrap_or_else(|_| standing.clone());
                standing.fetched = Instant::now();
                Ok(held.insert(standing).clone())
            }
            None => Ok(held.insert(self.fetch()?).clone()),
        }
    }

    fn fetch(&self) -> Result<Standing, DeviceError> {
        let report = hcl_report(&self.tpm, &self.place)?;
        let hash: [u8; 32] = Sha256::digest(&report.runtime_data).into();
        let vouched = report.report_data().and_then(|data| data.first_chunk());
        if vouched != Some(&hash) {
            let why = "the hardware's report does not vouch for the runtime data";
            return Err(DeviceError::malformed(Interface::Tpm, &self.place, why));
        }
        let (hardware, endorsements) = match (&report.hardware, self.kind) {
            (Hardware::Tdx(td), Kind::Tdx) => {
                let quote = self.host.td_quote(td)?;
                let carried = carried::by_tdx_quote(&quote);
                if quote.len() > MAX_QUOTE || carried != report.report_data() {
                    let why = "the quote is not of the report that it was asked for";
                    return Err(DeviceError::malformed(Interface::Imds, QUOTES, why));
                }
                (quote, Vec::new())
            }
            (Hardware::Snp(report), Kind::Snp) => {
                let SnpCertificates { signer, chain } = self.host.snp_certificates()?;
                let endorsements = carried::snp_endorsements(signer, chain, None);
                (report.clone(), endorsements)
            }
            _ => {
                let why = "the HCL report changed its kind";
                return Err(DeviceError::malformed(Interface::Tpm, &self.place, why));
            }
        };
        Ok(Standing {
            hardware,
            runtime_data: report.runtime_data,
            endorsements,
            fetched: Instant::now(),
        })
    }
}

/// In messages.
const QUOTES: &str = "/acc/tdquote";

fn hcl_report(tpm: &Tpm, place: &str) -> Result<HclReport, DeviceError> {
    let bytes = tpm.nv(HCL_REPORT, MAX_HCL_REPORT)?;
    HclReport::parse(&bytes).map_err(|why| DeviceError::malformed(Interface::Tpm, place, why))
}

impl Attester for Azure {
    fn platform(&self) -> Platform {
        self.platform
    }

    fn evidence(&self, binding: &Binding) -> Result<Evidence, AttestError> {
        let standing = self.standing()?;
        let quote = self.tpm.quote(ATTESTATION_KEY, binding.tpm_nonce())?;
        let statement = carried::azure_statement(standing.hardware, standing.runtime_data, quote);
        Ok(Evidence {
            platform: self.platform,
            statement: Bytes(statement),
            event_log: None,
            gpu: None,
            runtime: None,
        })
    }

    /// On SEV-SNP the host's certificates, without a revocation list; on TDX
    /// none.
    fn endorsements(&self) -> Result<Endorsements, AttestError> {
        Ok(Endorsements::new(
            self.platform,
            self.standing()?.endorsements,
        ))
    }
}

/// For [`fuzz`](crate::fuzz).
#[cfg(feature = "hardware")]
pub(crate) fn fuzz_hcl_report(bytes: &[u8]) -> bool {
    HclReport::parse(bytes).is_ok_and(|report| report.report_data().is_some())
}
