//! Sound evidence: of each software platform, accepted by a policy; and what
//! real machines made, which verifies but carries nobody's binding.

use soundproof_attester::Attester as _;
use soundproof_evidence::{
    Outcome, Policy, Verdict, appraise,
    container::{self, Found},
    explain,
    gpu::{Gpu, GpuKind},
    policy::{Anchor, GpuRules, Software, TrustRules, observed},
    snp::{Product, SnpCollateral},
    x509,
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform, Role},
    binding::{Binding, GpuNonce},
    cbor::{self, Bytes},
    digest::Digest,
    trust::TrustConfiguration,
};
use soundproof_testkit::{
    azure, dstack, gpu, nitro,
    pki::{NOW_MS, Pki},
    session, sgx, snp,
};
use std::{fs, path::PathBuf};

/// Sound evidence and what it is judged by.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) evidence: Evidence,
    pub(crate) endorsements: Endorsements,
    pub(crate) binding: Binding,
    pub(crate) now_ms: u64,
    /// None: it is explained, and sound if it verifies and no check fails.
    pub(crate) policy: Option<Policy>,
    pub(crate) trust: TrustConfiguration,
}

impl Case {
    pub(crate) fn judge(&self) -> Verdict {
        match &self.policy {
            Some(policy) => appraise(
                &self.evidence,
                &self.endorsements,
                &self.binding,
                &self.trust,
                policy,
                self.now_ms,
            ),
            None => explain(&self.evidence, &self.endorsements, self.now_ms),
        }
    }

    /// For `xtask/verdict`, which judges it in WebAssembly: a session (none),
    /// evidence, endorsements, trust configuration, policy, each after its
    /// length, and the time; of the binding what it is made of beside [`ROOT`],
    /// which is in `sound`, the case before it was changed.
    pub(crate) fn to_vec(&self, sound: &Self) -> Vec<u8> {
        let policy = self.policy.as_ref().map(|policy| policy.to_toml().unwrap());
        let bound = (sound.evidence.platform, sound.evidence.gpu_digest());
        framed(
            &[
                &[],
                &cbor::to_vec(&self.evidence),
                &cbor::to_vec(&self.endorsements),
                &cbor::to_vec(&self.trust),
                &cbor::to_vec(&bound),
                policy.unwrap_or_default().as_bytes(),
            ],
            self.now_ms,
        )
    }

    pub(crate) fn accepts(&self, verdict: &Verdict) -> bool {
        match &self.policy {
            Some(_) => verdict.clone().accept().is_ok(),
            None => {
                let failed = |check: &soundproof_evidence::Check| check.result == Outcome::Fail;
                verdict.verified && !verdict.checks.iter().any(failed)
            }
        }
    }
}

/// Parts, each after its length (4 bytes, little endian), and the time.
pub(crate) fn framed(parts: &[&[u8]], now_ms: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.extend((part.len() as u32).to_le_bytes());
        out.extend(*part);
    }
    out.extend(now_ms.to_le_bytes());
    out
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = software();
    cases.push(gpu());
    cases.extend(captures());
    cases
}

const ROOT: Digest = Digest([5; 32]);

fn binding(platform: Platform) -> Binding {
    Binding::new(platform, Role::Keeper, ROOT, None, None)
}

fn evidence(platform: Platform, statement: Vec<u8>) -> Evidence {
    Evidence {
        platform,
        statement: Bytes(statement),
        event_log: None,
        gpu: None,
        runtime: None,
    }
}

/// A software platform's, under a policy that accepts exactly it.
fn sound(
    name: &'static str,
    evidence: Evidence,
    mut endorsements: Endorsements,
    anchor_pem: &str,
) -> Case {
    endorsements.platform = evidence.platform;
    let trust = session::trust();
    let anchor = Anchor::from_pem(anchor_pem).unwrap();
    let seen = observed(&evidence, &endorsements, Some(anchor), "sound", NOW_MS);
    let (mut platform, release) = seen.unwrap_or_else(|| panic!("{name} cannot be read"));
    platform.accept_any_machine();
    Case {
        name,
        binding: binding(evidence.platform),
        evidence,
        endorsements,
        now_ms: NOW_MS,
        policy: Some(Policy {
            platform,
            release: vec![release],
            trust: TrustRules::exactly(&trust),
            ..Policy::default()
        }),
        trust,
    }
}

/// Each platform's software kind.
fn software() -> Vec<Case> {
    let carried = |platform| *binding(platform).as_bytes();
    let pki = Pki::sound().unwrap();
    let tdx = pki.platform.evidence(&binding(Platform::Software)).unwrap();
    let guest = dstack::Guest::sound().unwrap();
    let enclave = sgx::Enclave::sound().unwrap();
    let chip = snp::Chip::new(Product::Genoa, NOW_MS / 1000);
    let report = |data: &[u8; 64]| snp::Guest::new(3).report(&chip, data);
    let vlek = || chip.collateral().to_vec();
    let document = nitro::Enclave::new(NOW_MS - 60_000);
    let vm = azure::Vm::default();
    let tpm = |platform| *binding(platform).tpm_nonce().as_bytes();
    let domain = pki
        .platform
        .sign_domain(pki.platform.measurements(), &vm.report_data());
    vec![
        sound(
            "quote v4",
            tdx,
            pki.endorsements().unwrap(),
            pki.platform.anchor_pem(),
        ),
        sound(
            "report v3, Genoa",
            evidence(
                Platform::SoftwareSnp,
                report(&carried(Platform::SoftwareSnp)),
            ),
            Endorsements::new(Platform::SoftwareSnp, vlek()),
            &chip.root_pem(),
        ),
        sound(
            "document",
            evidence(
                Platform::SoftwareNitro,
                document.document(Some(&carried(Platform::SoftwareNitro))),
            ),
            Endorsements::new(Platform::SoftwareNitro, Vec::new()),
            &nitro::Enclave::root_pem(),
        ),
        sound(
            "quote v4, event log, compose file",
            guest.evidence(&carried(Platform::SoftwareDstack)),
            guest.endorsements().unwrap(),
            guest.pki.platform.anchor_pem(),
        ),
        sound(
            "quote v3",
            enclave.evidence(&carried(Platform::SoftwareSgx)),
            enclave.endorsements().unwrap(),
            enclave.pki.platform.anchor_pem(),
        ),
        sound(
            "vTPM and quote v4",
            evidence(
                Platform::SoftwareAzureTdx,
                vm.encoded(domain, &tpm(Platform::SoftwareAzureTdx)),
            ),
            pki.endorsements().unwrap(),
            pki.platform.anchor_pem(),
        ),
        sound(
            "vTPM and report v3",
            evidence(
                Platform::SoftwareAzureSnp,
                vm.encoded(report(&vm.report_data()), &tpm(Platform::SoftwareAzureSnp)),
            ),
            Endorsements::new(Platform::SoftwareAzureSnp, vlek()),
            &chip.root_pem(),
        ),
    ]
}

/// A software GPU beside the software platform.
fn gpu() -> Case {
    let pki = Pki::sound().unwrap();
    let gpu = gpu::GpuPki::sound(NOW_MS / 1000);
    let bytes = gpu.evidence(GpuNonce::new(ROOT).as_bytes());
    let digest = Some(Digest::of(&bytes.0));
    let binding = Binding::new(Platform::Software, Role::Keeper, ROOT, digest, None);
    let mut evidence = pki.platform.evidence(&binding).unwrap();
    evidence.gpu = Some(bytes);
    let mut endorsements = pki.endorsements().unwrap();
    endorsements.gpu = Some(Bytes(cbor::to_vec(&gpu.endorsements())));
    let anchor = pki.platform.anchor_pem();
    let mut case = sound(
        "quote v4 and a GPU's report",
        evidence,
        endorsements,
        anchor,
    );
    case.binding = binding;
    case.trust.gpu = true;
    let policy = case.policy.as_mut().unwrap();
    policy.trust.gpu = true;
    policy.software_gpu = Some(Software {
        anchor_pem: Anchor::from_pem(&gpu.anchor_pem()).unwrap(),
        rules: GpuRules {
            any_machine: true,
            ..GpuRules::default()
        },
    });
    case
}

fn read(name: &str) -> Option<Vec<u8>> {
    let vectors = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let bytes = fs::read(vectors.join(name)).ok();
    if bytes.is_none() {
        println!("skipped 1: no capture {name}");
    }
    bytes
}

/// A capture's evidence, out of whatever it is wrapped in.
fn statement(name: &str) -> Option<Vec<u8>> {
    match container::open(&read(name)?).ok()?.found {
        Found::Evidence(evidence, _) => Some(evidence.statement.0),
        _ => None,
    }
}

/// A real GPU's.
fn hopper() -> Option<Bytes> {
    let report = hex::decode(read("nvidia/hopper_report.hex.txt")?.trim_ascii()).ok()?;
    Some(gpu::evidence(vec![Gpu {
        kind: GpuKind::Nvidia,
        report: Bytes(report),
        chain: Bytes(read("nvidia/hopper_cert_chain_good.txt")?),
    }]))
}

/// What real machines made, at a time at which it is valid.
fn captures() -> Vec<Case> {
    let snp = |certificate: &str, chain: &str| {
        let chain = x509::read_pem(&read(chain)?, 2).ok()?;
        let collateral = SnpCollateral {
            certificate: Bytes(read(certificate)?),
            chain: chain.iter().map(|c| Bytes(c.der().to_vec())).collect(),
            crl: None,
        };
        Some(collateral.to_vec())
    };
    let cases = [
        (
            "capture, quote v4",
            Platform::Tdx,
            1_750_400_000_000,
            statement("tdx/tdx_quote"),
            read("tdx/tdx_quote_collateral.json"),
        ),
        (
            "capture, quote v3",
            Platform::Sgx,
            1_750_400_000_000,
            statement("tdx/sgx_quote"),
            read("tdx/sgx_quote_collateral.json"),
        ),
        (
            "capture, report v2, Milan",
            Platform::Snp,
            1_717_200_000_000,
            statement("snp/report_milan.hex"),
            snp("snp/vcek_milan.der", "snp/cert_chain_milan.pem"),
        ),
        (
            "capture, document",
            Platform::Nitro,
            1_766_668_537_578,
            statement("nitro/nitro_attestation.bin"),
            Some(Vec::new()),
        ),
    ];
    let mut cases: Vec<Case> = cases
        .into_iter()
        .filter_map(|(name, platform, now_ms, statement, body)| {
            Some(Case {
                name,
                evidence: evidence(platform, statement?),
                endorsements: Endorsements::new(platform, body?),
                binding: binding(platform),
                now_ms,
                policy: None,
                trust: session::trust(),
            })
        })
        .collect();
    let quote = cases.iter().find(|case| case.name == "capture, quote v4");
    if let (Some(mut case), Some(gpu)) = (quote.cloned(), hopper()) {
        case.name = "captures, quote v4 and a GPU's report";
        case.evidence.gpu = Some(gpu);
        cases.push(case);
    }
    cases
}
