//! What vouches for a GPU: manifests of its measurements, and word that no
//! certificate of its chain was revoked.

use crate::gpu::{Gpu, NOW_S};
use soundproof_evidence::policy::Revocation;
use soundproof_protocol::cbor::Bytes;
use soundproof_testkit::{
    gpu::{self, GpuPki, Profile},
    x509::{Key, Template, extension, key_usage, usage},
};

#[test]
fn measurements_are_compared_with_both_manifests() {
    // Each measurement counts: changed in the report, it is found.
    for index in [0, 7, 8, 35, 63] {
        let mut profile = Profile::default();
        profile.measurements[index] = [9; 48];
        let mut gpu = Gpu::of(profile);
        gpu.endorsements.manifests = GpuPki::sound(NOW_S).endorsements().manifests;
        gpu.refused("gpu_measurements");
    }
    // The video decoder's is not made while that is off.
    let mut profile = Profile::default();
    profile.measurements[35] = [9; 48];
    profile.nvdec0 = 0x55;
    let mut gpu = Gpu::of(profile);
    gpu.endorsements.manifests = GpuPki::sound(NOW_S).endorsements().manifests;
    gpu.accepted();
    // Both are needed, of this chip and these versions.
    for drop in [0, 1] {
        let mut gpu = Gpu::sound();
        gpu.endorsements.manifests.remove(drop);
        gpu.refused("gpu_manifest_missing");
    }
    for at in [0, 1] {
        for change in [0, 1] {
            let mut gpu = Gpu::sound();
            let mut manifest = gpu.pki.manifests()[at].clone();
            match change {
                0 => manifest.product = "GB100".into(),
                _ => manifest.version = "1.2".into(),
            }
            gpu.endorsements.manifests[at] = Bytes(manifest.sign(&gpu.pki));
            gpu.refused("gpu_manifest_missing");
        }
    }
    // A block that the report does not have is not as it should be.
    let mut profile = Profile::default();
    profile.measurements.truncate(63);
    let mut gpu = Gpu::of(profile);
    gpu.endorsements.manifests = GpuPki::sound(NOW_S).endorsements().manifests;
    gpu.refused("gpu_measurements");
    // One measurement in both.
    let mut gpu = Gpu::sound();
    let mut manifest = gpu.pki.manifests()[0].clone();
    manifest.golden[2].1 = true;
    gpu.endorsements.manifests[0] = Bytes(manifest.sign(&gpu.pki));
    gpu.refused("endorsements_malformed");
}

#[test]
fn manifests_are_nvidias_to_sign() {
    let sound = Gpu::sound().pki;
    let text = String::from_utf8(sound.manifests()[0].sign(&sound)).unwrap();
    let refused = |text: &str, code: &str| {
        let mut gpu = Gpu::sound();
        gpu.endorsements.manifests[0] = Bytes(text.as_bytes().to_vec());
        gpu.refused(code);
    };
    // Changed after it was signed.
    refused(&text.replacen("True", "False", 1), "gpu_manifest_signature");
    refused(&text.replacen("aaaa", "aaab", 1), "gpu_manifest_signature");
    refused(
        &text.replacen("ns2:Hash1", "ns2:Hash9", 1),
        "gpu_manifest_signature",
    );
    // Another form of signature.
    for (from, to) in [
        (
            "2006/12/xml-c14n11\"></ds:Can",
            "2001/10/xml-exc-c14n#\"></ds:Can",
        ),
        ("ecdsa-sha384", "ecdsa-sha256"),
        ("xmldsig-more#sha384", "xmldsig-more#sha224"),
        ("URI=\"\"", "URI=\"#x\""),
        ("enveloped-signature", "base64"),
        ("<ds:KeyInfo>", "<ds:Object></ds:Object><ds:KeyInfo>"),
        ("<ns0:Payload>", "<!-- --><ns0:Payload>"),
        ("<ns0:Payload>", "<?x?><ns0:Payload>"),
        (
            "<SoftwareIdentity",
            "<!DOCTYPE x [<!ENTITY a \"b\">]><SoftwareIdentity",
        ),
        ("Nobody &amp; Sons", "Nobody &lol; Sons"),
        (
            "</ds:Signature>",
            "</ds:Signature><ds:Signature></ds:Signature>",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        refused(&text.replacen(from, to, 1), "endorsements_malformed");
    }
    // Signed by somebody else, whose certificate is there; or by a signer
    // whose chain is another's.
    let mut other = sound.signers.clone();
    other[0].key = Key::p384("somebody else");
    let forged = sound.manifests()[0].sign_by(&other);
    refused(
        core::str::from_utf8(&forged).unwrap(),
        "gpu_manifest_signature",
    );
    let root = Key::p384("another root");
    let name = sound.signers[2].name.clone();
    let mut other = sound.signers.clone();
    other[2].der = Template::authority(1, &name, &name, None).sign(&root, &root);
    let forged = sound.manifests()[0].sign_by(&other);
    refused(core::str::from_utf8(&forged).unwrap(), "anchor_mismatch");
    // White space between attributes and the order of them are not signed.
    let mut gpu = Gpu::sound();
    let other = text
        .replace(" index=", "\n  index = ")
        .replace("type=\"Measurement\"", "type='Measurement'");
    gpu.endorsements.manifests[0] = Bytes(other.into_bytes());
    gpu.accepted();
}

#[test]
fn revocation_must_be_known() {
    let fresh = |change: &dyn Fn(usize, &mut gpu::Answer)| {
        let mut gpu = Gpu::sound();
        let mut answers = gpu.pki.answers();
        for (at, answer) in answers.iter_mut().enumerate() {
            change(at, answer);
        }
        gpu.endorsements.revocation = answers.iter().map(|a| Bytes(a.sign())).collect();
        gpu
    };
    fresh(&|_, _| ()).accepted();
    for at in 0..5 {
        let only = |change: &dyn Fn(&mut gpu::Answer)| {
            fresh(&|index, answer| {
                if index == at {
                    change(answer);
                }
            })
        };
        only(&|answer| answer.status = 1).refused("certificate_revoked");
        only(&|answer| answer.status = 2).refused("gpu_revocation_unknown");
        only(&|answer| answer.from_s = NOW_S + 1).refused("gpu_revocation_unknown");
        only(&|answer| answer.until_s = Some(NOW_S - 1)).refused("gpu_revocation_unknown");
        only(&|answer| answer.signer = Key::p384("nobody")).refused("gpu_revocation_unknown");
        only(&|answer| answer.serial.push(1)).refused("gpu_revocation_unknown");
        only(&|answer| answer.issuer_key = Key::p384("nobody")).refused("gpu_revocation_unknown");
    }
    // Without an end an answer is as old as the policy allows.
    let mut gpu = fresh(&|_, answer| {
        answer.until_s = None;
        answer.from_s = NOW_S - 86_400;
    });
    gpu.accepted();
    gpu.rules().max_revocation_age_s = 86_399;
    gpu.refused("gpu_revocation_unknown");
    // None given: required, or not.
    let mut gpu = Gpu::sound();
    gpu.endorsements.revocation.clear();
    gpu.refused("gpu_revocation_unknown");
    gpu.rules().revocation = Revocation::WhenGiven;
    gpu.accepted();
    // What does not read is no answer.
    gpu.endorsements.revocation.push(Bytes(vec![0x30, 0]));
    gpu.refused("endorsements_malformed");
}

#[test]
fn a_responder_needs_a_certificate_for_it() {
    let purpose = |oid: &str| {
        let list = soundproof_testkit::der::sequence(&[soundproof_testkit::der::oid(oid)]);
        extension("2.5.29.37", false, &list)
    };
    let delegated = |oid: &str, issuer_at: usize| {
        let mut gpu = Gpu::sound();
        let responder = Key::p384("responder");
        let issuer = gpu.pki.chain[issuer_at].clone();
        let mut template = Template::leaf(99, "Responder", &issuer.name);
        template.extensions = vec![key_usage(usage::SIGN), purpose(oid)];
        let certificate = template.sign(&responder, &issuer.key);
        let mut answers = gpu.pki.answers();
        // About the chip's own certificate, whose issuer is the provisioner.
        answers[0].signer = responder;
        answers[0].certificates = vec![certificate];
        gpu.endorsements.revocation = answers.iter().map(|a| Bytes(a.sign())).collect();
        gpu
    };
    const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
    delegated(OCSP_SIGNING, 2).accepted();
    // From an authority above, which could name another issuer too.
    delegated(OCSP_SIGNING, 3).accepted();
    delegated("1.3.6.1.5.5.7.3.1", 2).refused("gpu_revocation_unknown");
    // From the chip that it is about, or from nobody in the chain.
    delegated(OCSP_SIGNING, 1).refused("gpu_revocation_unknown");
}
