//! Evidence and endorsements, as carried: opaque bytes with a kind. What they
//! mean is the `evidence` crate's to say.

use crate::{cbor::Bytes, digest::Digest};
use minicbor::{Decode, Encode};

/// Bytes of evidence that a client reads at most.
pub const MAX_EVIDENCE: usize = 512 * 1024;
/// Bytes of endorsements that a client reads at most.
pub const MAX_ENDORSEMENTS: usize = 1024 * 1024;

/// The kind of evidence. Software is a kind of its own: nothing turns it into
/// another (invariant 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum Platform {
    /// Quotes of the software platform, in TDX's format: for development, no
    /// protection at all.
    #[n(0)]
    Software,
    /// Intel TDX.
    #[n(1)]
    Tdx,
    /// AMD SEV-SNP.
    #[n(2)]
    Snp,
    /// AWS Nitro Enclaves.
    #[n(3)]
    Nitro,
    /// dstack: a TDX quote and dstack's event log.
    #[n(4)]
    Dstack,
    /// Azure's confidential VM on TDX, behind a vTPM.
    #[n(5)]
    AzureTdx,
    /// Azure's confidential VM on SEV-SNP, behind a vTPM.
    #[n(6)]
    AzureSnp,
    /// Intel SGX.
    #[n(7)]
    Sgx,
    /// A software platform in SEV-SNP's format: no protection at all.
    #[n(16)]
    SoftwareSnp,
    /// A software platform in Nitro's format: no protection at all.
    #[n(17)]
    SoftwareNitro,
    /// A software platform in dstack's format: no protection at all.
    #[n(18)]
    SoftwareDstack,
    /// A software platform in Azure's TDX format: no protection at all.
    #[n(19)]
    SoftwareAzureTdx,
    /// A software platform in Azure's SEV-SNP format: no protection at all.
    #[n(20)]
    SoftwareAzureSnp,
    /// A software platform in SGX's format: no protection at all.
    #[n(21)]
    SoftwareSgx,
}

impl Platform {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::Software,
        Self::Tdx,
        Self::Snp,
        Self::Nitro,
        Self::Dstack,
        Self::AzureTdx,
        Self::AzureSnp,
        Self::Sgx,
        Self::SoftwareSnp,
        Self::SoftwareNitro,
        Self::SoftwareDstack,
        Self::SoftwareAzureTdx,
        Self::SoftwareAzureSnp,
        Self::SoftwareSgx,
    ];

    /// The name in policies and verdicts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::Tdx => "tdx",
            Self::Snp => "snp",
            Self::Nitro => "nitro",
            Self::Dstack => "dstack",
            Self::AzureTdx => "azure-tdx",
            Self::AzureSnp => "azure-snp",
            Self::Sgx => "sgx",
            Self::SoftwareSnp => "software-snp",
            Self::SoftwareNitro => "software-nitro",
            Self::SoftwareDstack => "software-dstack",
            Self::SoftwareAzureTdx => "software-azure-tdx",
            Self::SoftwareAzureSnp => "software-azure-snp",
            Self::SoftwareSgx => "software-sgx",
        }
    }

    /// Whether nothing protects anything there: evidence of a kind of its own,
    /// under an anchor that a policy must name.
    pub const fn is_software(self) -> bool {
        match self {
            Self::Software
            | Self::SoftwareSnp
            | Self::SoftwareNitro
            | Self::SoftwareDstack
            | Self::SoftwareAzureTdx
            | Self::SoftwareAzureSnp
            | Self::SoftwareSgx => true,
            Self::Tdx
            | Self::Snp
            | Self::Nitro
            | Self::Dstack
            | Self::AzureTdx
            | Self::AzureSnp
            | Self::Sgx => false,
        }
    }
}

/// What the attested process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum Role {
    /// A keeper that clients seal to.
    #[n(0)]
    Keeper,
    /// A worker that a keeper may delegate to.
    #[n(1)]
    Worker,
}

impl Role {
    /// The name in receipts and verdicts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keeper => "keeper",
            Self::Worker => "worker",
        }
    }
}

/// Evidence (RFC 9334, 4.2).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Evidence {
    /// What kind it is.
    #[n(0)]
    pub platform: Platform,
    /// The platform's own signed statement: a quote, report or document.
    #[n(1)]
    pub statement: Bytes,
    /// Event log, where the platform has one.
    #[n(2)]
    pub event_log: Option<Bytes>,
    /// GPU evidence, where a GPU takes part.
    #[n(3)]
    pub gpu: Option<Bytes>,
    /// Runtime quote (TPM and IMA), where there is one.
    #[n(4)]
    pub runtime: Option<Bytes>,
}

impl Evidence {
    /// What receipts and holders name it by.
    pub fn digest(&self) -> Digest {
        Digest::tagged("soundproof/1/evidence", self)
    }

    /// Digest of the GPU evidence, as a binding has it.
    pub fn gpu_digest(&self) -> Option<Digest> {
        self.gpu.as_ref().map(|bytes| Digest::of(&bytes.0))
    }

    /// Bytes that it carries, in all its parts.
    pub fn carried_len(&self) -> usize {
        [&self.event_log, &self.gpu, &self.runtime]
            .into_iter()
            .flatten()
            .map(|bytes| bytes.0.len())
            .fold(self.statement.0.len(), usize::saturating_add)
    }

    /// Digest of the runtime quote, as a binding has it.
    pub fn runtime_digest(&self) -> Option<Digest> {
        self.runtime.as_ref().map(|bytes| Digest::of(&bytes.0))
    }
}

/// Endorsements (RFC 9334, 4.3) in the form that the platform's vendor gives
/// them; see wire-formats.md for each. Stapled by the server, verified by the
/// client.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Endorsements {
    /// Which platform's.
    #[n(0)]
    pub platform: Platform,
    /// The vendor's bytes.
    #[n(1)]
    pub body: Bytes,
    /// Those of the GPU evidence, where there is any.
    #[n(2)]
    pub gpu: Option<Bytes>,
    /// Attestation results of others about the session, where there are any:
    /// signed tokens.
    #[n(3)]
    pub results: Option<Vec<Bytes>>,
}

impl Endorsements {
    /// Of a platform, without any for GPUs.
    pub fn new(platform: Platform, body: Vec<u8>) -> Self {
        Self {
            platform,
            body: Bytes(body),
            gpu: None,
            results: None,
        }
    }

    /// Bytes that they carry.
    pub fn carried_len(&self) -> usize {
        let gpu = self.gpu.as_ref().map_or(0, |bytes| bytes.0.len());
        let results = self.results.iter().flatten().map(|token| token.0.len());
        results.fold(self.body.0.len().saturating_add(gpu), usize::saturating_add)
    }

    /// What a client names them by, so that it is not sent them again.
    pub fn digest(&self) -> Digest {
        Digest::tagged("soundproof/1/endorsements", self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Pins the numbers on the wire: 16 and up, and 0, are software.
    #[test]
    fn platforms_have_their_numbers_and_names() {
        let numbers: Vec<u8> = Platform::ALL
            .iter()
            .map(|platform| match crate::cbor::to_vec(platform)[..] {
                [number] => number,
                ref other => panic!("{platform:?} is {other:?}"),
            })
            .collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21]);
        for (platform, number) in Platform::ALL.iter().zip(&numbers) {
            let software = *number == 0 || *number >= 16;
            assert_eq!(platform.is_software(), software);
            assert_eq!(platform.name().starts_with("software"), software);
        }
        let names: BTreeSet<_> = Platform::ALL.iter().map(|p| p.name()).collect();
        assert_eq!(names.len(), numbers.len());
    }

    #[test]
    fn endorsements_without_a_gpu_are_as_they_were() {
        let endorsements = Endorsements::new(Platform::Tdx, vec![7]);
        assert_eq!(crate::cbor::to_vec(&endorsements), [0xa2, 0, 1, 1, 0x41, 7]);
    }
}
