//! Measurements against reference values: NVIDIA's manifests, or a tuple that
//! the policy names.

use super::{
    device::{Device, verify_under},
    revocation::{Answers, Known},
    rim::Rim,
    spdm::Report,
};
use crate::{
    policy::GpuRelease,
    reason::Reason,
    refusal::{Refusal, Root},
    x509::Certificate,
};
use soundproof_protocol::cbor::Bytes;
use std::collections::BTreeSet;

/// SHA-384 of the public key, an uncompressed point, of "NVIDIA CoRIM signing Root CA".
pub(crate) const NVIDIA_RIM_ROOT_KEY: [u8; 48] = [
    0x67, 0xf6, 0x02, 0xde, 0x0f, 0x2d, 0xdb, 0x8a, 0xe4, 0x64, 0x30, 0x2a, 0x18, 0x80, 0x7d, 0x20,
    0x6d, 0x02, 0xe5, 0xe7, 0x82, 0x36, 0xef, 0x44, 0x95, 0xcb, 0xec, 0xd1, 0x43, 0xa4, 0x3b, 0xc9,
    0x00, 0xc9, 0xa4, 0xea, 0x15, 0x8d, 0xd4, 0x17, 0x16, 0x8f, 0x20, 0xa5, 0xb8, 0xeb, 0xf7, 0x90,
];
/// The measurement of the video decoder 0, which is not made while that is off
/// (as NVIDIA's own verifier has it).
const NVDEC0: u8 = 35;

/// A manifest whose signature was verified.
pub(super) struct Signed {
    pub(super) rim: Rim,
    pub(super) chain: Vec<Certificate>,
}

impl Signed {
    /// Verifies one; a chain that was `verified` for another is not again.
    pub(super) fn verify(
        rim: Rim,
        root: Root<'_>,
        at_s: u64,
        verified: Option<&Self>,
    ) -> Result<Self, Refusal> {
        let chain = rim
            .certificates()
            .iter()
            .map(|der| Certificate::parse(der))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Refusal::new(Reason::CertificateInvalid, error.to_string()))?;
        if verified.is_none_or(|other| other.chain != chain) {
            verify_under(&chain, root, NVIDIA_RIM_ROOT_KEY, at_s)?;
        }
        if chain
            .first()
            .is_some_and(|leaf| rim.is_signed_by(leaf.key()))
        {
            Ok(Self { rim, chain })
        } else {
            Err(Refusal::new(
                Reason::GpuManifestSignature,
                "not signed by its first certificate",
            ))
        }
    }
}

/// Manifests that were read, none of them verified yet.
pub(super) struct Manifests(Vec<Rim>);

impl Manifests {
    pub(super) fn read(all: &[Bytes]) -> Result<Self, Refusal> {
        let rims = all.iter().map(|bytes| Rim::parse(&bytes.0));
        let rims = rims.collect::<Result<_, _>>().map_err(|error| {
            let reason = match error {
                super::RimError::Signature(_) => Reason::GpuManifestSignature,
                _ => Reason::EndorsementsMalformed,
            };
            Refusal::new(reason, error.to_string())
        })?;
        Ok(Self(rims))
    }

    /// The one of that chip and version.
    fn find(&self, chip: &str, version: &str, what: &str) -> Result<Rim, Refusal> {
        self.0
            .iter()
            .find(|rim| rim.product() == chip && rim.version().eq_ignore_ascii_case(version))
            .cloned()
            .ok_or_else(|| {
                Refusal::new(
                    Reason::GpuManifestMissing,
                    format!("none for {what} {version} of {chip}"),
                )
            })
    }

    /// The driver's and the video BIOS's manifests for a report, verified.
    pub(super) fn of(
        &self,
        device: &Device,
        report: &Report<'_>,
        root: Root<'_>,
        at_s: u64,
    ) -> Result<[Signed; 2], Refusal> {
        let unsaid = |what| Refusal::new(Reason::EvidenceMalformed, format!("it has no {what}"));
        let opaque = report.opaque();
        let driver = opaque.driver().ok_or_else(|| unsaid("driver version"))?;
        let vbios = opaque.vbios().ok_or_else(|| unsaid("VBIOS version"))?;
        let driver = self.find(&device.chip, driver, "driver")?;
        let vbios = self.find(&device.chip, &vbios, "VBIOS")?;
        let driver = Signed::verify(driver, root, at_s, None)?;
        let vbios = Signed::verify(vbios, root, at_s, Some(&driver))?;
        Ok([driver, vbios])
    }
}

/// Compares each active golden measurement of both with the report's.
pub(super) fn compare(report: &Report<'_>, manifests: &[Signed; 2]) -> Result<usize, Refusal> {
    let mut seen = BTreeSet::new();
    let mut different = Vec::new();
    let golden = manifests.iter().flat_map(|signed| signed.rim.golden());
    for (index, golden) in golden.filter(|(_, golden)| golden.active) {
        if !seen.insert(index) {
            return Err(Refusal::new(
                Reason::EndorsementsMalformed,
                format!("both manifests have a measurement {index}"),
            ));
        }
        if *index == NVDEC0 && report.opaque().nvdec0_is_off() {
            continue;
        }
        // SPDM's blocks begin at 1.
        let found = index
            .checked_add(1)
            .and_then(|block| report.measurements().get(&block))
            .and_then(|measurement| measurement.sha384());
        if !found.is_some_and(|found| golden.values.contains(found)) {
            different.push(index.to_string());
        }
    }
    if different.is_empty() {
        Ok(seen.len())
    } else {
        Err(Refusal::new(
            Reason::GpuMeasurements,
            format!("not those of the manifests: {}", different.join(", ")),
        ))
    }
}

/// Whether neither manifest's signer was revoked.
pub(super) fn not_revoked(
    manifests: &[Signed; 2],
    answers: &Answers,
    at_s: u64,
    max_age_s: u64,
) -> Result<Known, Refusal> {
    let [driver, vbios] = manifests;
    let both = [Some(driver), (vbios.chain != driver.chain).then_some(vbios)];
    let mut open = Vec::new();
    for signed in both.into_iter().flatten() {
        if let Known::Open(names) = answers.check(&signed.chain, 0, at_s, max_age_s)? {
            open.extend(names);
        }
    }
    Ok(if open.is_empty() {
        Known::Good
    } else {
        Known::Open(open)
    })
}

/// Indices of the blocks in which a report differs from a release; `None` if
/// its driver or video BIOS is another one.
pub(super) fn differences(report: &Report<'_>, release: &GpuRelease) -> Option<Vec<String>> {
    let opaque = report.opaque();
    if opaque.driver() != Some(&release.driver) || opaque.vbios().as_ref() != Some(&release.vbios) {
        return None;
    }
    let blocks: BTreeSet<String> = report
        .measurements()
        .keys()
        .map(u8::to_string)
        .chain(release.measurements.keys().cloned())
        .collect();
    let same = |block: &String| {
        if release
            .varying
            .iter()
            .any(|index| index.to_string() == *block)
        {
            return true;
        }
        let found = block
            .parse::<u8>()
            .ok()
            .and_then(|block| report.measurements().get(&block))
            .and_then(|measurement| measurement.sha384());
        let expected = release.measurements.get(block).map(|value| &value.0);
        found.is_some() && found == expected
    };
    Some(blocks.into_iter().filter(|block| !same(block)).collect())
}
