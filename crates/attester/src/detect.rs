//! Which platform this machine is. The first whose interface is there, in an
//! order in which the more particular comes first: Nitro, dstack (which runs
//! on TDX, and says more), Azure (whose hardware's report, could a guest ask
//! for one, would measure the paravisor and not what the guest booted), TDX
//! and SEV-SNP. One whose interface is there and fails is an error, and not
//! passed over: another's evidence would be rejected by clients, for a reason
//! that nobody could guess. Never the software platform, which must be named
//! (invariant 8).

use crate::{AttestError, Attester, DeviceError, Machine};
use soundproof_protocol::{
    attestation::{Evidence, Platform, Role},
    binding::{Binding, GpuNonce},
    cbor::Bytes,
    digest::Digest,
};
use std::{fmt, sync::Arc};

/// One of the modules that make evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Module {
    /// AWS Nitro.
    Nitro,
    /// dstack's guest agent.
    Dstack,
    /// Azure's confidential VMs.
    Azure,
    /// configfs-tsm: TDX and SEV-SNP.
    Tsm,
}

impl Module {
    /// In the order in which they are tried; those that this build has.
    pub const ALL: &[Self] = &[
        #[cfg(feature = "nsm")]
        Self::Nitro,
        #[cfg(feature = "dstack")]
        Self::Dstack,
        #[cfg(feature = "azure")]
        Self::Azure,
        #[cfg(feature = "tsm")]
        Self::Tsm,
    ];

    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nitro => "nitro",
            Self::Dstack => "dstack",
            Self::Tsm => "configfs-tsm",
            Self::Azure => "azure",
        }
    }

    /// Looks for its interface on `machine`, and who answers there.
    ///
    /// # Errors
    /// [`AttestError::Device`]; [`AttestError::NotBuilt`].
    pub fn open(self, machine: &Machine) -> Result<Arc<dyn Attester>, AttestError> {
        #[cfg(not(any(
            feature = "tsm",
            feature = "dstack",
            feature = "nsm",
            feature = "azure"
        )))]
        let _ = machine;
        match self {
            #[cfg(feature = "nsm")]
            Self::Nitro => Ok(Arc::new(crate::nsm::Nitro::open(machine)?)),
            #[cfg(feature = "dstack")]
            Self::Dstack => Ok(Arc::new(crate::dstack::Dstack::open(machine)?)),
            #[cfg(feature = "tsm")]
            Self::Tsm => Ok(Arc::new(crate::tsm::Tsm::open(machine)?)),
            #[cfg(feature = "azure")]
            Self::Azure => Ok(Arc::new(crate::azure::Azure::open(machine)?)),
            #[allow(unreachable_patterns)]
            other => Err(AttestError::NotBuilt(other.name())),
        }
    }

    /// The one that makes evidence of `platform`.
    const fn of(platform: Platform) -> Option<Self> {
        match platform {
            Platform::Nitro => Some(Self::Nitro),
            Platform::Dstack => Some(Self::Dstack),
            Platform::Tdx | Platform::Snp => Some(Self::Tsm),
            Platform::AzureTdx | Platform::AzureSnp => Some(Self::Azure),
            _ => None,
        }
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What looking for one module found.
pub struct Found {
    /// Which.
    pub module: Module,
    /// Its attester, or why there is none.
    pub attester: Result<Arc<dyn Attester>, AttestError>,
}

impl Found {
    /// Nothing of this module is on the machine.
    pub fn is_absent(&self) -> bool {
        matches!(&self.attester, Err(AttestError::Device(error)) if error.is_absent())
    }
}

/// Looks for every module that this build has: what `doctor` shows.
pub fn survey(machine: &Machine) -> impl Iterator<Item = Found> {
    Module::ALL.iter().map(|module| Found {
        module: *module,
        attester: module.open(machine),
    })
}

/// The attester of this machine.
///
/// # Errors
/// [`AttestError::NoPlatform`] with what was looked for; or the error of the
/// first interface that is there and fails.
pub fn detect(machine: &Machine) -> Result<Arc<dyn Attester>, AttestError> {
    let mut absent = Vec::new();
    for found in survey(machine) {
        match found.attester {
            Ok(attester) => return Ok(attester),
            Err(AttestError::Device(error)) if error.is_absent() => {
                absent.push(format!("no {} at {}", error.interface.name(), error.place));
            }
            Err(error) => return Err(error),
        }
    }
    Err(AttestError::NoPlatform(absent.join(", ")))
}

/// The attester of `platform`, which the operator named.
///
/// # Errors
/// As its module's; [`Problem::WrongProvider`](crate::Problem::WrongProvider)
/// if the machine is of another platform.
pub fn open(platform: Platform, machine: &Machine) -> Result<Arc<dyn Attester>, AttestError> {
    let module = Module::of(platform).ok_or(AttestError::NotBuilt(platform.name()))?;
    let attester = module.open(machine)?;
    let found = attester.platform();
    if found != platform {
        let interface = match module {
            Module::Azure => crate::Interface::Tpm,
            _ => crate::Interface::Tsm,
        };
        let problem = crate::Problem::WrongProvider {
            expected: platform.name(),
            found: found.name().into(),
        };
        return Err(DeviceError::new(interface, module.name(), problem).into());
    }
    Ok(attester)
}

/// Evidence of no session, to see whether it can be made: its root is of no
/// tree of transcripts.
///
/// # Errors
/// As [`Attester::evidence`].
pub fn rehearse(attester: &dyn Attester) -> Result<Evidence, AttestError> {
    let binding = Binding::new(attester.platform(), Role::Keeper, nothing(), None, None);
    attester.evidence(&binding)
}

/// The same of GPUs.
///
/// # Errors
/// As [`Attester::gpus`].
pub fn rehearse_gpus(attester: &dyn Attester) -> Result<Option<Bytes>, AttestError> {
    attester.gpus(&GpuNonce::new(nothing()))
}

/// The same of a machine's GPUs, asked by this process.
///
/// # Errors
/// [`AttestError::Device`].
#[cfg(feature = "nvml")]
pub fn rehearse_gpus_of(machine: &Machine) -> Result<Vec<u8>, AttestError> {
    Ok(machine.gpus.evidence(&GpuNonce::new(nothing()))?)
}

fn nothing() -> Digest {
    Digest::of(b"soundproof/1/rehearsal")
}
