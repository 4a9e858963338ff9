//! What a GPU will be judged with, for who fetches that.

use super::{
    Gpu, GpuKind,
    device::Architecture,
    judge::{manifests, verify},
    ocsp::CertId,
    spdm::Report,
};
use crate::{
    refusal::Root,
    x509::{Certificate, read_pem},
};

/// Endorsements that a GPU needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Needs {
    /// Names of its manifests in NVIDIA's RIM service: the driver's and the
    /// video BIOS's.
    pub manifests: Vec<String>,
    /// Certificates of its chain that may have been revoked: all but the leaf,
    /// which is the chip's own work, and the root.
    pub certificates: Vec<CertId>,
    /// What NVIDIA's attestation service is told that it is.
    pub architecture: Architecture,
    /// The nonce in its report.
    pub nonce: [u8; 32],
}

impl Needs {
    /// Of a GPU whose chain and report verify, under NVIDIA's root: a
    /// stranger's words ask nobody for anything. A software GPU's need only
    /// stand under their own last certificate. When certificates hold is for
    /// the judge to say.
    pub fn of(gpu: &Gpu) -> Option<Self> {
        let report = Report::parse(&gpu.report.0).ok()?;
        let chain = read_pem(&gpu.chain.0, super::device::CHAIN).ok()?;
        let root = match gpu.kind {
            GpuKind::Nvidia => Root::Vendor,
            GpuKind::SoftwareNvidia => Root::Software(chain.last()?.der()),
        };
        let begin = |certificate: &Certificate| certificate.window().from_s;
        let at_s = chain.iter().map(begin).max()?;
        let device = verify(gpu, &report, root, at_s).ok()?;
        Some(Self {
            manifests: manifests(report.opaque(), Some(&device.chip)),
            certificates: CertId::of_chain(device.chain.get(1..)?).collect(),
            architecture: device.architecture,
            nonce: *report.nonce(),
        })
    }
}
