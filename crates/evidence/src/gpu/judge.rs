//! Judges a session's GPUs by the policy, one line a check.

use super::{
    Gpu, GpuEndorsements, GpuEvidence, GpuKind,
    device::Device,
    nras::Answer,
    reference::{self, Manifests},
    revocation::{Answers, Known},
    spdm::Report,
};
use crate::{
    bytes::Hex,
    machine,
    module::Case,
    policy::{Appraisal, DriverVersion, GpuRules, Issuer, Revocation, VbiosVersion},
    reason::Reason,
    refusal::{Refusal, Root},
    vector::Claim,
    verdict::Verdict,
};
use serde::Serialize;
use std::collections::BTreeSet;

/// What a GPU's evidence says. Verified if the verdict is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GpuFacts {
    /// Whose format.
    pub kind: &'static str,
    /// The chip, such as `GH100`; none if the chain does not verify.
    pub chip: Option<String>,
    /// The chip's serial number.
    pub serial: Option<String>,
    /// SHA-384 of the key that signed.
    pub leaf_key: Option<Hex<48>>,
    /// The driver's version.
    pub driver: Option<String>,
    /// The video BIOS's version.
    pub vbios: Option<String>,
    /// How it is given to the machine.
    pub mode: Option<&'static str>,
    /// The nonce that it signed.
    pub nonce: Hex<32>,
    /// Measurement blocks in the report.
    pub measurements: usize,
    /// Names of the manifests that it needs in NVIDIA's RIM service: the
    /// driver's and the video BIOS's.
    pub manifests: Vec<String>,
}

/// What a policy says of GPUs, or what stands in for it when evidence is
/// explained.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tables<'a> {
    pub(crate) nvidia: Option<&'a GpuRules>,
    pub(crate) software: Option<(&'a [u8], &'a GpuRules)>,
    pub(crate) issuers: &'a [Issuer],
}

impl<'a> Tables<'a> {
    fn of(&self, kind: GpuKind) -> Option<(Root<'a>, &'a GpuRules)> {
        match kind {
            GpuKind::Nvidia => self.nvidia.map(|rules| (Root::Vendor, rules)),
            GpuKind::SoftwareNvidia => self
                .software
                .map(|(anchor, rules)| (Root::Software(anchor), rules)),
        }
    }
}

/// One GPU whose signatures hold, and what it is judged with.
struct Judged<'a> {
    label: String,
    device: Device,
    report: Report<'a>,
    root: Root<'a>,
    rules: &'a GpuRules,
}

/// Judges the GPU evidence of a case, if there is any.
pub(crate) fn judge(verdict: &mut Verdict, case: &Case<'_>, tables: &Tables<'_>) {
    let Some(bytes) = &case.evidence.gpu else {
        return;
    };
    let Some(evidence) = read(verdict, &bytes.0) else {
        return;
    };
    let endorsements = endorsements(verdict, case);
    let mut keys = BTreeSet::new();
    for (at, gpu) in evidence.gpus.iter().enumerate() {
        let Some((root, rules)) = tables.of(gpu.kind) else {
            verdict.fail(
                "gpu",
                Reason::GpuNotAccepted,
                "[gpu] or [software-gpu] in the policy",
                format!("GPU {at}: {}", gpu.kind.name()),
            );
            continue;
        };
        if gpu.kind == GpuKind::SoftwareNvidia {
            verdict.warn(
                "gpu",
                Reason::SoftwarePlatform,
                "[software-gpu] in the policy",
                format!("GPU {at}: a software GPU, which protects nothing"),
            );
        }
        let Some((device, report)) = examine(verdict, case, at, gpu, root) else {
            continue;
        };
        let key = device.leaf().map(|leaf| leaf.key_id());
        if !keys.insert(key) {
            verdict.fail(
                "gpu",
                Reason::GpuTwice,
                "each GPU once",
                format!("GPU {at} is another one again"),
            );
        }
        let judged = Judged {
            label: format!("GPU {at}, {} {}", device.chip, device.serial),
            device,
            report,
            root,
            rules,
        };
        judged.carries(verdict, case);
        judged.state(verdict);
        if let Some(endorsements) = &endorsements {
            judged.endorsed(verdict, case, endorsements, tables.issuers);
        }
    }
}

/// Explains GPU evidence by itself, before any policy.
pub(crate) fn explain(verdict: &mut Verdict, case: &Case<'_>, software_anchor: Option<&[u8]>) {
    let Some(evidence) = case
        .evidence
        .gpu
        .as_ref()
        .and_then(|bytes| read(verdict, &bytes.0))
    else {
        return;
    };
    for (at, gpu) in evidence.gpus.iter().enumerate() {
        let root = match (gpu.kind, software_anchor) {
            (GpuKind::Nvidia, _) => Root::Vendor,
            (GpuKind::SoftwareNvidia, Some(anchor)) => Root::Software(anchor),
            (GpuKind::SoftwareNvidia, None) => Root::Unnamed,
        };
        examine(verdict, case, at, gpu, root);
    }
}

fn read(verdict: &mut Verdict, bytes: &[u8]) -> Option<GpuEvidence> {
    match GpuEvidence::from_slice(bytes) {
        Ok(evidence) => Some(evidence),
        Err(error) => {
            verdict.fail(
                "gpu_format",
                Reason::EvidenceMalformed,
                "evidence of 1 to 16 GPUs",
                error.to_string(),
            );
            None
        }
    }
}

fn endorsements(verdict: &mut Verdict, case: &Case<'_>) -> Option<GpuEndorsements> {
    let Some(bytes) = &case.endorsements.gpu else {
        return Some(GpuEndorsements::default());
    };
    match GpuEndorsements::from_slice(&bytes.0) {
        Ok(endorsements) => Some(endorsements),
        Err(error) => {
            verdict.fail(
                "gpu_endorsements",
                Reason::EndorsementsMalformed,
                "manifests, revocation answers and results",
                error.to_string(),
            );
            None
        }
    }
}

/// The chain from the root to the report's last byte.
fn examine<'a>(
    verdict: &mut Verdict,
    case: &Case<'_>,
    at: usize,
    gpu: &'a Gpu,
    root: Root<'_>,
) -> Option<(Device, Report<'a>)> {
    let report = match Report::parse(&gpu.report.0) {
        Ok(report) => report,
        Err(error) => {
            verdict.fail(
                "gpu_format",
                Reason::EvidenceMalformed,
                "SPDM 1.1 measurements, signed",
                format!("GPU {at}: {error}"),
            );
            return None;
        }
    };
    let result = Device::verify(&gpu.chain.0, root, case.clock.now_s()).and_then(|device| {
        let signed = device
            .leaf()
            .is_some_and(|leaf| report.is_signed_by(leaf.key()));
        if signed {
            Ok(device)
        } else {
            let what = format!("GPU {at}: not signed by its certificate's key");
            Err(Refusal::new(Reason::GpuSignature, what))
        }
    });
    verdict.gpus.push(facts(gpu, &report, result.as_ref().ok()));
    let device = verdict.link("gpu_report", root, result)?;
    Some((device, report))
}

fn facts(gpu: &Gpu, report: &Report<'_>, device: Option<&Device>) -> GpuFacts {
    let opaque = report.opaque();
    let chip = device.map(|device| device.chip.clone());
    let driver_rim = chip.as_deref().and_then(|chip| opaque.driver_rim(chip));
    GpuFacts {
        kind: gpu.kind.name(),
        serial: device.map(|device| device.serial.clone()),
        leaf_key: device.and_then(Device::leaf).map(|leaf| Hex(leaf.key_id())),
        driver: opaque.driver().map(str::to_owned),
        vbios: opaque.vbios(),
        mode: opaque.mode().map(super::Mode::name),
        nonce: Hex(*report.nonce()),
        measurements: report.measurements().len(),
        manifests: driver_rim.into_iter().chain(opaque.vbios_rim()).collect(),
        chip,
    }
}

impl Judged<'_> {
    fn check(
        &self,
        verdict: &mut Verdict,
        name: &'static str,
        good: bool,
        reason: Reason,
        expected: impl Into<String>,
        found: &str,
    ) {
        let found = format!("{}: {found}", self.label);
        verdict.check(name, good, reason, expected, found);
    }

    /// The session's nonce, and the firmware that its key belongs to.
    fn carries(&self, verdict: &mut Verdict, case: &Case<'_>) {
        let found = hex::encode(self.report.nonce());
        match case.expected {
            Some(expected) => {
                let nonce = expected.gpu_nonce();
                self.check(
                    verdict,
                    "gpu_nonce",
                    self.report.nonce() == nonce.as_bytes(),
                    Reason::GpuNonce,
                    hex::encode(nonce.as_bytes()),
                    &found,
                );
            }
            None => verdict.warn(
                "gpu_nonce",
                Reason::BindingNotExpected,
                "nothing: explained only",
                format!("{}: {found}", self.label),
            ),
        }
        let fwid = self.report.opaque().fwid();
        self.check(
            verdict,
            "gpu_firmware",
            fwid == Some(&self.device.fwid),
            Reason::GpuFirmware,
            hex::encode(self.device.fwid),
            &fwid.map_or("not said".to_owned(), hex::encode),
        );
        self.check(
            verdict,
            "gpu_debug",
            !self.device.debug,
            Reason::DebugEnabled,
            "not debuggable",
            if self.device.debug {
                "debuggable"
            } else {
                "not debuggable"
            },
        );
    }

    /// What it is, and what runs on it.
    fn state(&self, verdict: &mut Verdict) {
        let rules = self.rules;
        let opaque = self.report.opaque();
        let architecture = self.device.architecture;
        let names: Vec<_> = rules.architectures.iter().map(|a| a.name()).collect();
        self.check(
            verdict,
            "gpu_architecture",
            rules.architectures.contains(&architecture),
            Reason::GpuArchitecture,
            names.join(" or "),
            architecture.name(),
        );
        let mode = opaque.mode();
        let names: Vec<_> = rules.modes.iter().map(|mode| mode.name()).collect();
        self.check(
            verdict,
            "gpu_mode",
            mode.is_some_and(|mode| rules.modes.contains(&mode)),
            Reason::GpuMode,
            names.join(" or "),
            mode.map_or("unknown", super::Mode::name),
        );
        let driver = opaque.driver().unwrap_or("not said");
        if let Some(least) = &rules.min_driver {
            self.check(
                verdict,
                "gpu_driver",
                DriverVersion::parse(driver).is_some_and(|found| found.is_at_least(least)),
                Reason::GpuVersion,
                format!("at least {}", least.as_str()),
                driver,
            );
        }
        let vbios = opaque.vbios().unwrap_or("not said".to_owned());
        if let Some(least) = &rules.min_vbios {
            self.check(
                verdict,
                "gpu_vbios",
                VbiosVersion::parse(&vbios).is_some_and(|found| found.is_at_least(least)),
                Reason::GpuVersion,
                format!("at least {}", least.as_str()),
                &vbios,
            );
        }
        self.machine(verdict);
    }

    fn machine(&self, verdict: &mut Verdict) {
        let rules = self.rules;
        let key = self.device.leaf().map(|leaf| Hex(leaf.key_id()));
        let serial = &self.device.serial;
        let named = |listed: bool, none: bool| none || listed;
        let listed = named(rules.serials.contains(serial), rules.serials.is_empty())
            && named(
                key.is_some_and(|key| rules.leaf_keys.contains(&key)),
                rules.leaf_keys.is_empty(),
            )
            && !(rules.serials.is_empty() && rules.leaf_keys.is_empty());
        let keys = rules.leaf_keys.iter().map(|key| format!("key {key}"));
        let expected: Vec<_> = rules.serials.iter().cloned().chain(keys).collect();
        let found = key.map_or(self.label.clone(), |key| {
            format!("{}, key {key}", self.label)
        });
        machine::check(
            verdict,
            rules.any_machine,
            listed,
            expected.join(", "),
            found,
        );
    }

    /// What others say of it: NVIDIA's manifests, its service, whoever revokes.
    fn endorsed(
        &self,
        verdict: &mut Verdict,
        case: &Case<'_>,
        endorsements: &GpuEndorsements,
        issuers: &[Issuer],
    ) {
        let now_s = case.clock.now_s();
        let answers = match Answers::read(&endorsements.revocation) {
            Ok(answers) => answers,
            Err(refusal) => {
                verdict.refuse(
                    "gpu_revocation",
                    "OCSP responses or revocation lists",
                    refusal,
                );
                return;
            }
        };
        let mut refused = Vec::new();
        let mut appraised = None;
        for appraisal in &self.rules.appraisal {
            let result = match appraisal {
                Appraisal::Manifests => self.by_manifests(endorsements, &answers, now_s),
                Appraisal::Release => self.by_release(),
                Appraisal::Nras => self.by_nras(case, endorsements, issuers),
            };
            match result {
                Ok(found) => {
                    appraised = Some(found);
                    break;
                }
                Err(refusal) => refused.push(refusal),
            }
        }
        let ways: Vec<_> = self.rules.appraisal.iter().map(|way| words(*way)).collect();
        let expected = ways.join(", or ");
        match &appraised {
            Some((found, _)) => {
                verdict.vector.note(Claim::SourcedData, 2);
                verdict.pass(
                    "gpu_measurements",
                    expected,
                    format!("{}: {found}", self.label),
                );
            }
            None => {
                let reason = refused
                    .first()
                    .map_or(Reason::GpuMeasurements, |r| r.reason);
                let details: Vec<_> = refused.iter().map(|r| r.detail.as_str()).collect();
                let found = format!("{}: {}", self.label, details.join("; "));
                verdict.fail("gpu_measurements", reason, expected, found);
            }
        }
        let signers = appraised.map_or(Known::Good, |(_, known)| known);
        self.revocation(verdict, &answers, signers, now_s);
    }

    fn by_manifests(
        &self,
        endorsements: &GpuEndorsements,
        answers: &Answers,
        now_s: u64,
    ) -> Result<(String, Known), Refusal> {
        let manifests = Manifests::read(&endorsements.manifests)?;
        let signed = manifests.of(&self.device, &self.report, self.root, now_s)?;
        let compared = reference::compare(&self.report, &signed)?;
        let age = self.rules.max_revocation_age_s;
        let known = reference::not_revoked(&signed, answers, now_s, age)?;
        let [driver, vbios] = signed.map(|signed| signed.rim.version().to_owned());
        Ok((
            format!("{compared} as in the manifests of driver {driver} and VBIOS {vbios}"),
            known,
        ))
    }

    fn by_release(&self) -> Result<(String, Known), Refusal> {
        let mut nearest = "no release of its driver and VBIOS".to_owned();
        for release in &self.rules.release {
            match reference::differences(&self.report, release) {
                Some(different) if different.is_empty() => {
                    return Ok((format!("release {}", release.name), Known::Good));
                }
                Some(different) => {
                    nearest = format!("not {} in blocks {}", release.name, different.join(", "));
                }
                None => {}
            }
        }
        Err(Refusal::new(Reason::GpuMeasurements, nearest))
    }

    fn by_nras(
        &self,
        case: &Case<'_>,
        endorsements: &GpuEndorsements,
        issuers: &[Issuer],
    ) -> Result<(String, Known), Refusal> {
        let named = |issuer: &&Issuer| self.rules.nras.as_ref() == Some(&issuer.name);
        let issuer = issuers.iter().find(named).ok_or_else(|| {
            Refusal::new(
                Reason::ResultIssuer,
                "the policy names no [[issuer]] for nras",
            )
        })?;
        let expected = case
            .expected
            .ok_or_else(|| Refusal::new(Reason::BindingNotExpected, "explained only"))?;
        let nonce = expected.gpu_nonce();
        let mut last = Refusal::new(Reason::ResultMissing, "no result of the service");
        for bytes in &endorsements.results {
            let result = Answer::parse(&bytes.0)
                .ok_or_else(|| Refusal::new(Reason::ResultMalformed, "not the service's answer"))
                .and_then(|answer| {
                    answer.check(issuer, &self.device, &self.report, nonce, case.clock)
                });
            match result {
                Ok(found) => return Ok((found, Known::Good)),
                Err(refusal) => last = refusal,
            }
        }
        Err(last)
    }

    fn revocation(&self, verdict: &mut Verdict, answers: &Answers, signers: Known, now_s: u64) {
        let age = self.rules.max_revocation_age_s;
        let required = self.rules.revocation == Revocation::Required;
        let expected = if required {
            "answers that none is revoked"
        } else {
            "none known to be revoked"
        };
        // The leaf is the chip's own work: nobody can revoke it.
        let mut open = match answers.check(&self.device.chain, 1, now_s, age) {
            Ok(Known::Good) => Vec::new(),
            Ok(Known::Open(names)) => names,
            Err(refusal) => {
                verdict.refuse("gpu_revocation", expected, refusal);
                return;
            }
        };
        if let Known::Open(names) = signers {
            open.extend(names);
        }
        let found = if open.is_empty() {
            "none revoked".to_owned()
        } else {
            format!("nothing known of {}", open.join(", "))
        };
        self.check(
            verdict,
            "gpu_revocation",
            open.is_empty() || !required,
            Reason::GpuRevocationUnknown,
            expected,
            &found,
        );
    }
}

const fn words(appraisal: Appraisal) -> &'static str {
    match appraisal {
        Appraisal::Manifests => "as in NVIDIA's manifests",
        Appraisal::Release => "a release of the policy",
        Appraisal::Nras => "as NVIDIA's service says",
    }
}
