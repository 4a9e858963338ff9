//! Fakes of the interfaces that hardware platforms attest through, each after
//! its documentation, with faults to be turned on. They carry whatever a
//! *maker* gives them for the data that was asked to be bound; the makers here
//! give statements of the right shape that nobody signed.
//!
//! | module | stands for |
//! |---|---|
//! | [`configfs`] | `/sys/kernel/config/tsm/report` of Linux |
//! | [`agent`] | dstack's guest agent, current and legacy, on a Unix socket |
//! | [`nsm`] | `/dev/nsm` of a Nitro enclave |
//! | [`tpm`] | `/dev/tpmrm0` of an Azure VM |
//! | [`imds`] | Azure's metadata service, on loopback |
//! | [`nvml`] | `libnvidia-ml.so.1`, compiled when a test asks for it |
//! | [`collateral`] | Intel's PCS, a PCCS, AMD's KDS, NVIDIA's RIM, OCSP and attestation services |

pub mod agent;
pub mod collateral;
pub mod configfs;
mod http;
pub mod imds;
pub mod nsm;
pub mod nvml;
pub mod tpm;

use soundproof_attester::{
    Machine, Retry, azure::Imds, nsm::NsmDevice, nvml::Nvml, tpm::TpmDevice, tsm::Kernel,
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

/// Makes a statement that carries some bytes.
pub type Maker = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// What is wrong with an interface before anything is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    #[default]
    Granted,
    /// It is not there.
    Absent,
    /// This user may not use it.
    Denied,
}

impl Access {
    /// What the system says.
    fn check(self) -> io::Result<()> {
        match self {
            Self::Granted => Ok(()),
            Self::Absent => Err(io::Error::from_raw_os_error(2)),
            Self::Denied => Err(io::Error::from_raw_os_error(13)),
        }
    }
}

/// `EBUSY`.
fn busy() -> io::Error {
    io::Error::from_raw_os_error(16)
}

/// Three tries without pauses, and two seconds for an answer.
pub fn impatient() -> Retry {
    Retry {
        tries: 3,
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
        limit: Duration::from_secs(2),
    }
}

/// A machine that has none of the interfaces. `folder` is an empty one.
pub fn machine(folder: &Path) -> Machine {
    let retry = impatient();
    let mut machine = Machine::this();
    machine.retry = retry;
    machine.configfs = Arc::new(Kernel::at(folder.join("tsm/report")));
    machine.event_log = folder.join("CCEL");
    machine.agents = machine
        .agents
        .iter()
        .map(|(agent, path)| {
            let relative = path.strip_prefix("/").unwrap_or(path);
            (*agent, folder.join(relative))
        })
        .collect();
    machine.nsm = Arc::new(NsmDevice::at(folder.join("nsm")));
    machine.tpm = Arc::new(TpmDevice::at(folder.join("tpmrm0")));
    machine.asset_tag = folder.join("chassis_asset_tag");
    // Port 0 is nobody's.
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    machine.host = Arc::new(Imds::at(nobody, retry));
    machine.gpus = Arc::new(Nvml::new(folder.join("libnvidia-ml.so.1"), retry));
    machine
}

/// A TDX quote, version 4, that carries `data` and that nobody signed.
pub fn unsigned_tdx_quote(data: &[u8]) -> Vec<u8> {
    let mut quote = vec![0; 632];
    quote[..8].copy_from_slice(&[4, 0, 2, 0, 0x81, 0, 0, 0]);
    quote[568..568 + data.len()].copy_from_slice(data);
    quote.extend(0_u32.to_le_bytes());
    quote
}

/// An SEV-SNP report, version 2, that carries `data` and that nobody signed.
pub fn unsigned_snp_report(data: &[u8]) -> Vec<u8> {
    let mut report = vec![0; 1184];
    report[0] = 2;
    report[0x50..0x50 + data.len()].copy_from_slice(data);
    report
}
