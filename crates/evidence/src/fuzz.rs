//! Entry points for fuzzing: every parser of outside bytes in this crate.
//! They return what they return; none may panic, hang or take memory out of
//! proportion to its input.

use crate::{
    Policy, Verdict, appraise, azure, ccel, dstack, explain, gpu, jwt, refusal::Root, sgx,
    tdx::Quote, tpm, verify_session,
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, MAX_ENDORSEMENTS, MAX_EVIDENCE, Platform},
    cbor,
    receipt::{MAX_BUNDLE, SessionEvidence},
    trust::TrustConfiguration,
};

/// A time inside the seeds' certificates.
const NOW_MS: u64 = 1_780_000_000_000;

/// A quote alone.
pub fn quote(bytes: &[u8]) -> bool {
    Quote::parse(bytes).is_ok()
}

/// A file that may hold evidence, or what vouches for some.
pub fn container(bytes: &[u8]) -> bool {
    let evidence = Evidence {
        platform: Platform::Snp,
        statement: cbor::Bytes(Vec::new()),
        event_log: None,
        gpu: None,
        runtime: None,
    };
    let beside = crate::container::endorsements(&evidence, None, &[bytes.to_vec()]);
    crate::container::open(bytes).is_ok() || beside.is_some()
}

/// A token, read under a key that signed none.
pub fn ear(bytes: &[u8]) -> bool {
    let key = p256::ecdsa::SigningKey::from_slice(&[1; 32]);
    let expected = crate::ear::Expected {
        issuer: "",
        audience: "",
        nonce: None,
        now_s: 0,
        clock_skew_s: 0,
    };
    let (Ok(token), Ok(key)) = (core::str::from_utf8(bytes), key) else {
        return false;
    };
    crate::ear::Ear::verify(token, key.verifying_key(), &expected).is_ok()
}

/// An SEV-SNP report and, after it, its collateral: explained.
pub fn snp_report(bytes: &[u8]) -> bool {
    let (report, collateral) = bytes
        .split_at_checked(crate::snp::REPORT_SIZE)
        .unwrap_or((bytes, &[]));
    let evidence = Evidence {
        platform: Platform::Snp,
        statement: report.to_vec().into(),
        event_log: None,
        gpu: None,
        runtime: None,
    };
    let endorsements = Endorsements::new(Platform::Snp, collateral.to_vec());
    explain(&evidence, &endorsements, NOW_MS).facts.is_some()
}

/// A Nitro document, explained.
pub fn nitro_document(bytes: &[u8]) -> bool {
    let evidence = Evidence {
        platform: Platform::Nitro,
        statement: bytes.to_vec().into(),
        event_log: None,
        gpu: None,
        runtime: None,
    };
    let endorsements = Endorsements::new(Platform::Nitro, Vec::new());
    explain(&evidence, &endorsements, NOW_MS).facts.is_some()
}

/// A certificate, a revocation list, or a chain in PEM, which is verified under
/// its own last certificate.
pub fn x509(bytes: &[u8]) -> bool {
    use crate::x509::{Algorithm, Anchor, Certificate, Crl, Rules, read_pem, verify_chain};
    let certificate = Certificate::parse(bytes).is_ok();
    let list = Crl::parse(bytes).is_ok();
    let Ok(chain) = read_pem(bytes, 10) else {
        return certificate || list;
    };
    let rules = Rules {
        at_s: NOW_MS / 1000,
        max_length: 10,
        algorithms: &[
            Algorithm::EcdsaP256Sha256,
            Algorithm::EcdsaP384Sha384,
            Algorithm::RsaPkcs1Sha256,
            Algorithm::RsaPssSha384,
        ],
        critical: &[],
    };
    chain
        .last()
        .is_some_and(|root| verify_chain(&chain, Anchor::Certificate(root), &rules).is_ok())
}

/// What a guest or an enclave is launched from, measured.
pub fn measured(bytes: &[u8]) -> bool {
    use crate::measure::{nitro, snp};
    let launch = snp::Launch {
        firmware: bytes,
        kernel: Some(snp::Kernel::new(b"", b"", "")),
        vcpus: 2,
        cpu: 0,
        features: 1,
        monitor: snp::Monitor::Ec2,
    };
    snp::measurement(&launch).is_ok() || nitro::registers(bytes).is_ok()
}

/// A policy; if it reads, it must read again as itself after being written.
pub fn policy(bytes: &[u8]) -> bool {
    let Some(policy) = core::str::from_utf8(bytes)
        .ok()
        .and_then(|text| Policy::from_toml(text).ok())
    else {
        return false;
    };
    let again = policy.to_toml().map(|text| Policy::from_toml(&text));
    assert!(
        again.is_err() || again == Ok(Ok(policy)),
        "a policy must survive being written"
    );
    true
}

/// Encoded evidence and endorsements, explained.
pub fn evidence(evidence: &[u8], endorsements: &[u8], now_ms: u64) -> Option<Verdict> {
    let evidence: Evidence = cbor::from_slice(evidence, MAX_EVIDENCE).ok()?;
    let endorsements: Endorsements = cbor::from_slice(endorsements, MAX_ENDORSEMENTS).ok()?;
    Some(explain(&evidence, &endorsements, now_ms))
}

/// An encoded session, judged as a client judges it.
pub fn session(bytes: &[u8], policy: &Policy, now_ms: u64) -> Option<Verdict> {
    let session: SessionEvidence = cbor::from_slice(bytes, MAX_BUNDLE).ok()?;
    let (_, binding) = verify_session(&session).ok()?;
    let trust = TrustConfiguration::from_slice(&session.trust.0).ok()?;
    Some(appraise(
        &session.evidence,
        &session.endorsements,
        &binding,
        &trust,
        policy,
        now_ms,
    ))
}

/// One GPU's report and chain, under NVIDIA's root.
pub fn gpu_verify(report: &[u8], pem: &[u8], at_s: u64) -> bool {
    let Ok(report) = gpu::Report::parse(report) else {
        return false;
    };
    gpu::device::Device::verify(pem, Root::Vendor, at_s).is_ok_and(|device| {
        device
            .leaf()
            .is_some_and(|leaf| report.is_signed_by(leaf.key()))
    })
}

/// Evidence of GPUs, encoded; how many of them verify.
pub fn gpu_evidence(bytes: &[u8], at_s: u64) -> usize {
    let Ok(evidence) = gpu::GpuEvidence::from_slice(bytes) else {
        return 0;
    };
    let gpus = evidence.gpus.iter();
    gpus.filter(|gpu| gpu_verify(&gpu.report.0, &gpu.chain.0, at_s))
        .count()
}

/// A manifest; whether NVIDIA signed it.
pub fn rim_xml(bytes: &[u8], at_s: u64) -> bool {
    gpu::Rim::parse(bytes).is_ok_and(|rim| gpu::is_nvidias(rim, at_s))
}

/// An OCSP response.
pub fn ocsp(bytes: &[u8]) -> bool {
    gpu::ocsp::Response::parse(bytes).is_ok()
}

/// An answer of NVIDIA's attestation service.
pub fn nras(bytes: &[u8]) -> bool {
    gpu::nras::Answer::parse(bytes).is_some()
}

/// A TPM's quote, and a signature.
pub fn tpm_attest(bytes: &[u8]) -> bool {
    tpm::Attest::parse(bytes).is_ok() | tpm::Signature::parse(bytes).is_ok()
}

/// A token under keys, and a key set.
pub fn jwt(bytes: &[u8], keys: &jwt::Keys) -> bool {
    if let Ok(text) = core::str::from_utf8(bytes) {
        let _ = jwt::Keys::parse(text);
    }
    jwt::Claims::verify(bytes, keys).is_ok()
}

/// An Azure VM's statement; whether its parts hold one another. The hardware's
/// report is another parser's.
pub fn azure_statement(bytes: &[u8]) -> bool {
    let Ok(statement) = azure::Statement::from_slice(bytes) else {
        return false;
    };
    let Ok(runtime) = azure::RuntimeData::parse(&statement.runtime_data.0) else {
        return false;
    };
    let Ok(attest) = tpm::Attest::parse(&statement.attest.0) else {
        return false;
    };
    azure::quote(&statement, &attest, &runtime).is_ok()
}

/// A firmware's event log, and the boot that it shows.
pub fn ccel(bytes: &[u8]) -> bool {
    let Ok(log) = ccel::Log::parse(bytes) else {
        return false;
    };
    log.replay();
    let boot = ccel::Boot::read(&log);
    // What is shown to have been on was measured, before the separator.
    if boot.secure_boot == ccel::SecureBoot::On {
        assert!(log.events.iter().any(ccel::Event::is_separator));
    }
    true
}

/// dstack's event log, and the identity that it shows.
pub fn dstack_log(bytes: &[u8]) -> bool {
    let Ok(log) = dstack::EventLog::parse(bytes) else {
        return false;
    };
    log.replay();
    if let Ok(identity) = dstack::Identity::read(&log) {
        dstack::mr_config::compare(&[3; 48], &identity, Some(bytes));
        // Nothing that comes after it changes it.
        let mut more = log.clone();
        more.events.extend(log.events);
        let again = dstack::Identity::read(&more);
        assert_eq!(
            again.map(|again| again.app_id),
            Ok(identity.app_id),
            "an identity must end with system-ready"
        );
    }
    true
}

/// An SGX quote alone.
pub fn sgx_quote(bytes: &[u8]) -> bool {
    sgx::Quote::parse(bytes).is_ok()
}

/// A guest agent's answer, a compose file, a list of certificates, published
/// measurements: whichever it is.
pub fn quote_json(bytes: &[u8]) -> bool {
    let read = [
        dstack::QuoteJson::parse(bytes).is_ok(),
        dstack::Compose::parse(bytes).is_ok(),
        dstack::ingress::Sha256Sums::parse(bytes).is_ok(),
        crate::measure::dstack::published(bytes).is_ok(),
    ];
    read.contains(&true)
}
