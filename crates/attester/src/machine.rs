//! Where a machine's interfaces are. [`Machine::this`] is the one that this
//! process runs on; tests put fakes in its place, one at a time.

#[cfg(any(feature = "nsm", feature = "azure"))]
use crate::Device;
use crate::Retry;
#[cfg(any(feature = "tsm", feature = "dstack", feature = "azure"))]
use std::path::PathBuf;
#[cfg(any(feature = "tsm", feature = "nsm", feature = "azure", feature = "nvml"))]
use std::sync::Arc;

/// See the module.
#[derive(Clone)]
#[non_exhaustive]
pub struct Machine {
    /// How a busy interface is asked again.
    pub retry: Retry,
    /// `/sys/kernel/config/tsm/report`
    #[cfg(feature = "tsm")]
    pub configfs: Arc<dyn crate::tsm::Configfs>,
    /// `/sys/firmware/acpi/tables/data/CCEL`
    #[cfg(feature = "tsm")]
    pub event_log: PathBuf,
    /// Sockets of dstack's guest agent, in the order in which they are tried.
    #[cfg(feature = "dstack")]
    pub agents: Vec<(crate::dstack::Agent, PathBuf)>,
    /// `/dev/nsm`
    #[cfg(feature = "nsm")]
    pub nsm: Arc<dyn Device>,
    /// `/dev/tpmrm0`
    #[cfg(feature = "azure")]
    pub tpm: Arc<dyn Device>,
    /// `/sys/class/dmi/id/chassis_asset_tag`
    #[cfg(feature = "azure")]
    pub asset_tag: PathBuf,
    /// Azure's metadata service, or who asks it for us.
    #[cfg(feature = "azure")]
    pub host: Arc<dyn crate::azure::Host>,
    /// NVIDIA's library, or who asks it for us.
    #[cfg(feature = "nvml")]
    pub gpus: Arc<dyn crate::nvml::Gpus>,
}

impl Machine {
    /// The one that this process runs on. Nothing is opened yet.
    pub fn this() -> Self {
        let retry = Retry::default();
        Self {
            retry,
            #[cfg(feature = "tsm")]
            configfs: Arc::new(crate::tsm::Kernel::at("/sys/kernel/config/tsm/report")),
            #[cfg(feature = "tsm")]
            event_log: "/sys/firmware/acpi/tables/data/CCEL".into(),
            #[cfg(feature = "dstack")]
            agents: crate::dstack::SOCKETS
                .map(|(agent, path)| (agent, path.into()))
                .into(),
            #[cfg(feature = "nsm")]
            nsm: Arc::new(crate::nsm::NsmDevice::at("/dev/nsm")),
            #[cfg(feature = "azure")]
            tpm: Arc::new(crate::tpm::TpmDevice::at("/dev/tpmrm0")),
            #[cfg(feature = "azure")]
            asset_tag: "/sys/class/dmi/id/chassis_asset_tag".into(),
            #[cfg(feature = "azure")]
            host: Arc::new(crate::azure::Imds::at(crate::azure::ADDRESS, retry)),
            #[cfg(feature = "nvml")]
            gpus: Arc::new(crate::nvml::Nvml::new(crate::nvml::LIBRARY, retry)),
        }
    }

    /// The same, where the collector process does what the keeper must not:
    /// use the network, and load NVIDIA's library.
    #[cfg(feature = "collector")]
    #[must_use]
    pub fn with_collector(mut self, collector: Arc<crate::collector::Collector>) -> Self {
        self.host = collector.clone();
        self.gpus = collector;
        self
    }
}
