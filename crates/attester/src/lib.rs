//! Collects evidence inside a TEE: one module a platform. An attester takes
//! typed bindings only, so that nothing can make it quote a caller's bytes.
//!
//! | module | what |
//! |---|---|
//! | [`detect`] | which platform this machine is; never the software platform |
//! | [`machine`] | where its interfaces are; fakes take their places in tests |
//! | [`tsm`] | TDX and SEV-SNP by Linux's configfs-tsm (feature `tsm`) |
//! | [`dstack`] | TDX by dstack's guest agent (feature `dstack`) |
//! | [`nsm`] | AWS Nitro (feature `nsm`) |
//! | [`azure`] | Azure's confidential VMs by their vTPM (feature `azure`) |
//! | [`nvml`] | NVIDIA GPUs (feature `nvml`) |
//! | [`composite`] | CPU and GPUs in one session |
//! | [`collector`] | the process that asks the network and NVIDIA's library for the keeper |
//! | [`software`] | the software platform (feature `software`): protects nothing |
//! | [`error`] | what can fail, and what to do |
//! | [`fuzz`] | readers of what interfaces answer |
#![deny(unsafe_code)]

#[cfg(any(
    feature = "tsm",
    feature = "dstack",
    feature = "nsm",
    feature = "azure",
    feature = "nvml"
))]
mod carried;
#[cfg(feature = "collector")]
pub mod collector;
#[cfg(feature = "nvml")]
pub mod composite;
pub mod detect;
mod device;
pub mod error;
#[cfg(feature = "hardware")]
pub mod fuzz;
#[cfg(any(feature = "dstack", feature = "azure"))]
mod http;
pub mod machine;
mod retry;

#[cfg(feature = "azure")]
pub mod azure;
#[cfg(feature = "dstack")]
pub mod dstack;
#[cfg(feature = "nsm")]
pub mod nsm;
#[cfg(feature = "nvml")]
pub mod nvml;
#[cfg(feature = "software")]
pub mod software;
#[cfg(feature = "azure")]
pub mod tpm;
#[cfg(feature = "tsm")]
pub mod tsm;

pub use device::Device;
pub use error::{AttestError, DeviceError, Interface, Problem};
pub use machine::Machine;
pub use retry::Retry;

use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    binding::{Binding, GpuNonce},
    cbor::Bytes,
};

/// Makes evidence on one platform.
pub trait Attester: Send + Sync {
    /// Which platform it is.
    fn platform(&self) -> Platform;

    /// Evidence of the machine's GPUs, where they take part: made first, since
    /// the binding has its digest.
    ///
    /// # Errors
    /// [`AttestError`].
    fn gpus(&self, nonce: &GpuNonce) -> Result<Option<Bytes>, AttestError> {
        let _ = nonce;
        Ok(None)
    }

    /// Evidence that carries `binding`, without that of GPUs. Blocks while the
    /// quote is made: hardware makes one at a time and takes tens of
    /// milliseconds for it.
    ///
    /// # Errors
    /// [`AttestError`].
    fn evidence(&self, binding: &Binding) -> Result<Evidence, AttestError>;

    /// The endorsements that the platform hands out itself, as of its last
    /// evidence; an empty body where it hands out none.
    ///
    /// # Errors
    /// [`AttestError`].
    fn endorsements(&self) -> Result<Endorsements, AttestError>;
}

/// What an interface said, cut, with nothing in it that a terminal obeys.
#[cfg(any(
    feature = "tsm",
    feature = "dstack",
    feature = "nsm",
    feature = "azure",
    feature = "nvml"
))]
fn shown(text: &str) -> String {
    text.chars()
        .take(80)
        .flat_map(char::escape_default)
        .collect()
}
