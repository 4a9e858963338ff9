//! A machine with GPUs: its CPU's evidence, and its GPUs' beside it. The
//! GPUs are asked first, with a nonce of the session's root; the binding that
//! the CPU then carries has the digest of what they said.

use crate::{AttestError, Attester, nvml::Gpus};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    binding::{Binding, GpuNonce},
    cbor::Bytes,
};
use std::sync::Arc;

/// See the module.
pub struct WithGpus {
    cpu: Arc<dyn Attester>,
    gpus: Arc<dyn Gpus>,
}

impl WithGpus {
    /// Joins them.
    pub fn new(cpu: Arc<dyn Attester>, gpus: Arc<dyn Gpus>) -> Self {
        Self { cpu, gpus }
    }
}

impl Attester for WithGpus {
    fn platform(&self) -> Platform {
        self.cpu.platform()
    }

    fn gpus(&self, nonce: &GpuNonce) -> Result<Option<Bytes>, AttestError> {
        Ok(Some(Bytes(self.gpus.evidence(nonce)?)))
    }

    fn evidence(&self, binding: &Binding) -> Result<Evidence, AttestError> {
        self.cpu.evidence(binding)
    }

    fn endorsements(&self) -> Result<Endorsements, AttestError> {
        self.cpu.endorsements()
    }
}
