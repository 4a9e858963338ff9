//! Why there is no evidence: which interface, what went wrong with it, and
//! what to do. Whoever shows one to a person shows its remedy too.

use std::{fmt, io, time::Duration};

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// An interface of the platform failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// No platform was found on this machine.
    #[error("this machine has no platform that makes evidence: {0}")]
    NoPlatform(String),
    /// A platform was asked for that this build cannot make evidence on.
    #[error("this build has no attester for {0}")]
    NotBuilt(&'static str),
    /// A file could not be read or written.
    #[error("{what}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of keys does not hold what it must.
    #[error("{0}")]
    Keys(String),
    /// A time that no certificate can hold.
    #[error("the time {0} ms since 1970 is out of range")]
    Time(u64),
    /// A certificate, list or document could not be made.
    #[error("cannot make {what}: {why}")]
    Make {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
    },
}

impl AttestError {
    /// What to do; empty where the text says all.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Device(error) => error.remedy(),
            Self::NoPlatform(_) => {
                "Run it inside a TEE (soundproof doctor says what was looked for); for development give --platform software."
            }
            Self::NotBuilt(_) => "Use a build with that platform's feature.",
            _ => "",
        }
    }
}

/// What evidence comes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interface {
    /// Linux's configfs-tsm: TDX and SEV-SNP.
    Tsm,
    /// The CC event log in ACPI's tables: TDX.
    EventLog,
    /// dstack's guest agent.
    Dstack,
    /// dstack's guest agent, as it was until 0.5.
    Tappd,
    /// The Nitro Security Module.
    Nsm,
    /// The virtual TPM of an Azure confidential VM.
    Tpm,
    /// Azure's instance metadata service.
    Imds,
    /// NVIDIA's management library.
    Nvml,
    /// The process of ours that asks on the keeper's behalf.
    Collector,
}

impl Interface {
    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tsm => "configfs-tsm",
            Self::EventLog => "CC event log",
            Self::Dstack => "dstack guest agent",
            Self::Tappd => "tappd guest agent",
            Self::Nsm => "Nitro security module",
            Self::Tpm => "Azure vTPM",
            Self::Imds => "Azure metadata service",
            Self::Nvml => "NVIDIA management library",
            Self::Collector => "collector process",
        }
    }
}

/// On whose side a failure is: who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Side {
    /// This machine: how it was set up, or what else runs on it.
    Machine,
    /// Its host: whoever runs what this machine is a guest of.
    Host,
    /// Software that does not fit together: this build, and what answers it.
    Software,
}

impl Side {
    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Host => "host",
            Self::Software => "software",
        }
    }
}

/// What went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// It is not there.
    NoDevice,
    /// This process may not use it.
    NoPermission,
    /// It was busy, however often it was asked.
    Throttled {
        /// How often.
        tries: u32,
    },
    /// It did not answer in time.
    TimedOut(Duration),
    /// It ended while it was asked.
    Died,
    /// What it answered is not what its documentation says.
    Malformed(String),
    /// It serves another platform.
    WrongProvider {
        /// The ones that would do.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// It said no.
    Refused(String),
    /// It works, and does not protect what it is for.
    NotConfidential(String),
    /// Anything else that the system said.
    Io(io::Error),
}

impl Problem {
    /// A stable code for it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoDevice => "no_device",
            Self::NoPermission => "no_permission",
            Self::Throttled { .. } => "throttled",
            Self::TimedOut(_) => "timed_out",
            Self::Died => "died",
            Self::Malformed(_) => "malformed_answer",
            Self::WrongProvider { .. } => "wrong_provider",
            Self::Refused(_) => "refused",
            Self::NotConfidential(_) => "not_confidential",
            Self::Io(_) => "io",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDevice => f.write_str("there is no such device"),
            Self::NoPermission => f.write_str("this user may not use it"),
            Self::Throttled { tries } => write!(f, "busy, {tries} times in a row"),
            Self::TimedOut(limit) if limit.is_zero() => f.write_str("no answer in time"),
            Self::TimedOut(limit) => write!(f, "no answer within {} ms", limit.as_millis()),
            Self::Died => f.write_str("it ended while it was asked"),
            Self::Malformed(why) => write!(f, "malformed answer: {why}"),
            Self::WrongProvider { expected, found } => {
                write!(f, "wrong provider: expected {expected}, found {found}")
            }
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::NotConfidential(why) => f.write_str(why),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// An interface, where it is, and what went wrong with it.
#[derive(Debug)]
pub struct DeviceError {
    /// Which.
    pub interface: Interface,
    /// Its path or address.
    pub place: String,
    /// What.
    pub problem: Problem,
}

impl DeviceError {
    /// Puts them together.
    pub fn new(interface: Interface, place: impl Into<String>, problem: Problem) -> Self {
        Self {
            interface,
            place: place.into(),
            problem,
        }
    }

    /// What the system said of an interface.
    pub fn system(interface: Interface, place: impl Into<String>, error: io::Error) -> Self {
        Self::new(interface, place, problem_of(error))
    }

    /// The answer is not what the interface's documentation says.
    pub fn malformed(
        interface: Interface,
        place: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::new(interface, place, Problem::Malformed(why.into()))
    }

    /// Nothing of this platform is here.
    pub fn is_absent(&self) -> bool {
        matches!(self.problem, Problem::NoDevice)
    }

    /// On whose side it is.
    pub fn side(&self) -> Side {
        use Interface as I;
        use Problem as P;
        match (self.interface, &self.problem) {
            (_, P::Malformed(_)) => Side::Software,
            (I::Collector | I::Nvml, P::TimedOut(_)) => Side::Machine,
            (_, P::TimedOut(_) | P::NotConfidential(_)) => Side::Host,
            (_, P::NoPermission) => Side::Machine,
            (I::Imds, _) | (I::Nsm, P::Refused(_)) => Side::Host,
            _ => Side::Machine,
        }
    }

    /// What to do.
    pub fn remedy(&self) -> &'static str {
        use Interface as I;
        use Problem as P;
        match (self.interface, &self.problem) {
            (I::Tsm, P::NoDevice) => {
                "Needs Linux 6.7 in a TDX or SEV-SNP guest: modprobe tdx_guest (or sev-guest), and mount -t configfs none /sys/kernel/config."
            }
            (I::EventLog, P::NoDevice) => {
                "The firmware leaves no event log; a policy that asks for the boot chain will reject."
            }
            (I::Dstack | I::Tappd, P::NoDevice) => {
                "In a dstack CVM, mount /var/run/dstack.sock (or tappd.sock) into the container."
            }
            (I::Nsm, P::NoDevice) => {
                "Needs a Nitro enclave with Linux's nsm driver, which makes /dev/nsm."
            }
            (I::Tpm, P::NoDevice) => {
                "Needs an Azure confidential VM (DCasv5, DCesv5 or later) with its vTPM."
            }
            (I::Imds, P::NoDevice) => {
                "This VM must reach 169.254.169.254 without a proxy; if it does, its host does not serve reports: ask Azure."
            }
            (I::Nvml, P::NoDevice) => {
                "Needs NVIDIA's driver, and libnvidia-ml.so.1 where the loader finds it."
            }
            (I::Collector, P::NoDevice) => {
                "It must be able to start itself again: was the executable removed or replaced?"
            }
            (I::Collector, P::NoPermission) => {
                "It must be able to start itself again: may this user execute it?"
            }
            (I::Collector, P::Died | P::TimedOut(_) | P::Malformed(_)) => {
                "It runs NVIDIA's library and asks Azure's metadata service: look at its last words in the log and at the driver's (dmesg), or do without GPU evidence. It is started again when it is asked the next time."
            }
            (I::Tsm, P::NoPermission) => {
                "Making a report needs root: start soundproofd as root, or give its user the folder /sys/kernel/config/tsm/report."
            }
            (I::EventLog, P::NoPermission) => {
                "Let soundproofd's user read /sys/firmware/acpi/tables/data/CCEL (chmod 0444 at boot)."
            }
            (I::Dstack | I::Tappd, P::NoPermission) => {
                "Give soundproofd's user the right to write to the agent's socket."
            }
            (I::Nsm, P::NoPermission) => "Give soundproofd's user read and write on /dev/nsm.",
            (I::Tpm, P::NoPermission) => {
                "Give soundproofd's user /dev/tpmrm0: put it in the group tss."
            }
            (I::Nvml, P::NoPermission) => "Give soundproofd's user the devices /dev/nvidia*.",
            (I::Imds, P::NoPermission) => {
                "Azure's guest proxy agent decides here who may ask: let soundproofd's user, or ask without it."
            }
            (I::Imds, P::Throttled { .. }) => {
                "Azure limits how often it is asked: wait a minute, and let nothing else on this VM poll it."
            }
            (I::Nvml, P::Throttled { .. }) => {
                "Wait until the GPU is ready: nvidia-smi conf-compute -grs must say ready."
            }
            (_, P::Throttled { .. }) => {
                "Hardware makes one report at a time: let nothing else on this machine ask for reports, and try again."
            }
            (I::Nvml, P::TimedOut(_)) => {
                "The GPU does not answer its driver: look at the kernel's log (dmesg, Xid), and reset the GPU."
            }
            (I::Dstack | I::Tappd, P::TimedOut(_)) => {
                "Look at the guest agent's log; it must reach the host's quoting service."
            }
            (_, P::TimedOut(_)) => {
                "The host does not serve reports in time: its quoting service may be down; ask the operator."
            }
            (I::Tsm, P::WrongProvider { .. }) => {
                "Name the platform that this machine is with --platform, or leave it at auto."
            }
            (_, P::WrongProvider { .. }) => "Leave --platform at auto, or name another.",
            (I::Nvml, P::NotConfidential(_)) => {
                "Turn the GPU's confidential computing mode on, and developer tools off, on the host; or do without GPU evidence."
            }
            (_, P::NotConfidential(_)) => "Use hardware that protects memory.",
            (I::Tpm, P::Refused(_)) => {
                "The vTPM's owner password must be empty and its key 0x81000003 as Azure made it."
            }
            (I::Dstack | I::Tappd, P::Refused(_)) => {
                "Look at the guest agent's log, and at whether it is running."
            }
            (I::Imds, P::Refused(_)) => {
                "If the VM was moved or resumed, restart it: its hardware report is of the machine that it left."
            }
            (_, P::Refused(_)) => "Look at the kernel's log: dmesg.",
            (_, P::Malformed(_)) => {
                "Its version may be newer than this build: update soundproofd, or tell us what it answered."
            }
            (_, P::Died | P::Io(_)) => "Look at the kernel's log: dmesg.",
        }
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            interface,
            place,
            problem,
        } = self;
        write!(f, "{} at {place}: {problem}", interface.name())
    }
}

impl std::error::Error for DeviceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// Linux's error numbers, as far as interfaces document them. A single refusal
/// counts as one try; whoever tries again counts on.
fn problem_of(error: io::Error) -> Problem {
    use io::ErrorKind as K;
    // No such device, no such device or address: a driver without its hardware.
    const ENXIO: i32 = 6;
    const ENODEV: i32 = 19;
    const ENOTTY: i32 = 25;
    match error.kind() {
        K::NotFound | K::NotADirectory => Problem::NoDevice,
        K::PermissionDenied | K::ReadOnlyFilesystem => Problem::NoPermission,
        K::ResourceBusy | K::WouldBlock | K::Interrupted => Problem::Throttled { tries: 1 },
        K::TimedOut => Problem::TimedOut(Duration::ZERO),
        K::ConnectionRefused => Problem::Refused("nobody listens".into()),
        K::UnexpectedEof | K::InvalidData => Problem::Malformed(error.to_string()),
        _ => match error.raw_os_error() {
            Some(ENXIO | ENODEV | ENOTTY) => Problem::NoDevice,
            _ => Problem::Io(error),
        },
    }
}
