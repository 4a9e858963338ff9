//! Azure's confidential VMs, on Intel TDX and AMD SEV-SNP: a guest there cannot
//! choose its report data. Microsoft's paravisor (HCL) asks the hardware for a
//! report at boot, whose report data is the SHA-256 of *runtime data* that have
//! the attestation key of the VM's virtual TPM in them; that TPM then quotes
//! its registers with the session's nonce (Microsoft, "Confidential VM guest
//! attestation design").
//!
//! So four things hold one another: the hardware's report, verified as on its
//! own platform; the runtime data by its report data; the TPM's quote by the
//! key in the runtime data; the registers by the quote's digest. What the
//! hardware measured is the paravisor; what the guest booted is in the
//! registers, so that a release is both.

mod judge;
mod runtime;

pub(crate) use judge::quote;
pub use judge::{Azure, AzureFacts, AzureHardware, AzureRelease};
pub use runtime::{MAX_RUNTIME_DATA, RuntimeData, RuntimeError, VmConfiguration};

use crate::tpm::PcrValues;
use minicbor::{Decode, Encode};
use soundproof_protocol::{
    attestation::MAX_EVIDENCE,
    cbor::{self, Bytes, DecodeError},
};

/// The statement of Azure's platforms, in CBOR.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Statement {
    /// The hardware's: a TDX quote or an SEV-SNP report.
    #[n(0)]
    pub hardware: Bytes,
    /// JSON, as the paravisor hashed it.
    #[n(1)]
    pub runtime_data: Bytes,
    /// TPMS_ATTEST.
    #[n(2)]
    pub attest: Bytes,
    /// TPMT_SIGNATURE over it.
    #[n(3)]
    pub signature: Bytes,
    /// Values of the registers that were quoted.
    #[n(4)]
    pub pcrs: PcrValues,
}

impl Statement {
    /// Decodes one.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DecodeError> {
        cbor::from_slice(bytes, MAX_EVIDENCE)
    }
}
