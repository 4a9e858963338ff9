//! MRCONFIGID as dstack's host sets it when it makes the trust domain
//! (dstack-types, `mr_config`). The guest compares it with what it measured
//! and stops if it is another; a verifier that knows what ran compares it too.
//!
//! | version | bytes |
//! |---|---|
//! | unset | 48 zeros: says nothing, and matches nothing |
//! | 1 | `0x01 ‖ compose hash ‖ 0^15` |
//! | 2 | `0x02 ‖ Keccak-256(compose hash ‖ app id ‖ kind of key provider ‖ its id) ‖ 0^15` |
//! | 3 | `0x03 ‖ SHA-256("dstack-mr-config-v3:" ‖ 0 ‖ document) ‖ 0^15` |

use super::identity::{Identity, KeyProvider};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sha3::Keccak256;

/// Bytes of a document of version 3 at most.
pub const MAX_DOCUMENT: usize = 16 * 1024;
const DOCUMENT_DOMAIN: &[u8] = b"dstack-mr-config-v3:\0";

/// What MRCONFIGID says of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MrConfig {
    /// Not set.
    Unset,
    /// It is that of the identity; which version.
    Matches(u8),
    /// It is of this version, and not that of the identity, or of a document
    /// that is not there.
    Differs(u8),
    /// Of a version that is not known.
    Unknown(u8),
}

/// Compares MRCONFIGID with what the event log says ran. `document`: of
/// version 3, if there is one; without it the documents that dstack itself
/// would write for this identity are tried.
pub fn compare(mr_config_id: &[u8; 48], identity: &Identity, document: Option<&[u8]>) -> MrConfig {
    if *mr_config_id == [0; 48] {
        return MrConfig::Unset;
    }
    let [version, ..] = *mr_config_id;
    let matches = match version {
        1 => *mr_config_id == v1(&identity.compose_hash.0),
        2 => {
            Some(*mr_config_id)
                == v2(
                    &identity.compose_hash.0,
                    &identity.app_id.0,
                    &identity.key_provider,
                )
        }
        3 => match document {
            Some(document) => *mr_config_id == v3(document) && document_is_of(document, identity),
            None => documents_of(identity).any(|document| *mr_config_id == v3(&document)),
        },
        other => return MrConfig::Unknown(other),
    };
    if matches {
        MrConfig::Matches(version)
    } else {
        MrConfig::Differs(version)
    }
}

/// Version 1.
pub fn v1(compose_hash: &[u8; 32]) -> [u8; 48] {
    with_version(1, *compose_hash)
}

/// Version 2; none for a key provider that dstack does not know, or whose id
/// is not hex.
pub fn v2(
    compose_hash: &[u8; 32],
    app_id: &[u8; 20],
    key_provider: &KeyProvider,
) -> Option<[u8; 48]> {
    let kind: u8 = match key_provider.name.as_str() {
        "none" => 0,
        "local-sgx" => 1,
        "kms" => 2,
        "tpm" => 3,
        _ => return None,
    };
    let id = hex::decode(&key_provider.id).ok()?;
    let digest = Keccak256::new()
        .chain_update(compose_hash)
        .chain_update(app_id)
        .chain_update([kind])
        .chain_update(id)
        .finalize();
    Some(with_version(2, digest.into()))
}

/// Version 3, of a document's very bytes.
pub fn v3(document: &[u8]) -> [u8; 48] {
    let digest = Sha256::new()
        .chain_update(DOCUMENT_DOMAIN)
        .chain_update(document)
        .finalize();
    with_version(3, digest.into())
}

fn with_version(version: u8, digest: [u8; 32]) -> [u8; 48] {
    let mut out = [0; 48];
    let (first, rest) = out.split_at_mut(1);
    first.copy_from_slice(&[version]);
    if let Some(start) = rest.first_chunk_mut() {
        *start = digest;
    }
    out
}

/// A document of version 3. What it leaves out it does not fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<String>,
    compose_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu_policy_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    init_script_hashes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<String>,
    key_provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_provider_id: Option<String>,
    #[serde(default = "three")]
    version: u8,
}

const fn three() -> u8 {
    3
}

/// What dstack calls the provider in a document, which is not what it calls
/// it in the event.
fn kind_of(key_provider: &KeyProvider) -> &str {
    match key_provider.name.as_str() {
        "local-sgx" => "local",
        other => other,
    }
}

/// The whole of what a document can say of an identity.
fn full(identity: &Identity) -> Document {
    Document {
        app_id: Some(identity.app_id.to_string()),
        compose_hash: identity.compose_hash.to_string(),
        gpu_policy_hash: identity.gpu_policy_hash.map(|hash| hash.to_string()),
        init_script_hashes: Some(
            identity
                .init_scripts
                .iter()
                .map(ToString::to_string)
                .collect(),
        ),
        instance_id: identity.instance_id.map(|id| id.to_string()),
        key_provider: kind_of(&identity.key_provider).to_owned(),
        key_provider_id: Some(identity.key_provider.id.clone()).filter(|id| !id.is_empty()),
        version: 3,
    }
}

/// Whether all that a document fixes is as the identity has it.
fn document_is_of(document: &[u8], identity: &Identity) -> bool {
    if document.len() > MAX_DOCUMENT {
        return false;
    }
    let Ok(document) = serde_json::from_slice::<Document>(document) else {
        return false;
    };
    let full = full(identity);
    fn agrees(document: &Option<String>, identity: &Option<String>) -> bool {
        document
            .as_ref()
            .is_none_or(|value| value.eq_ignore_ascii_case(identity.as_deref().unwrap_or_default()))
    }
    document.version == 3
        && document
            .compose_hash
            .eq_ignore_ascii_case(&full.compose_hash)
        && document.key_provider == full.key_provider
        && agrees(&document.app_id, &full.app_id)
        && agrees(&document.gpu_policy_hash, &full.gpu_policy_hash)
        && agrees(&document.instance_id, &full.instance_id)
        && agrees(&document.key_provider_id, &full.key_provider_id)
        && document.init_script_hashes.as_ref().is_none_or(|hashes| {
            hashes.len() == identity.init_scripts.len()
                && hashes
                    .iter()
                    .zip(&identity.init_scripts)
                    .all(|(text, hash)| text.eq_ignore_ascii_case(&hash.to_string()))
        })
}

/// The 32 documents that dstack can write for an identity: each of five
/// fields may be there or not. JCS: `Document`'s fields are in order, and its
/// values need no escape.
fn documents_of(identity: &Identity) -> impl Iterator<Item = Vec<u8>> {
    let full = full(identity);
    (0_u8..32).filter_map(move |fields| {
        let without = |bit: u8| fields & (1 << bit) != 0;
        let mut document = full.clone();
        if without(0) {
            document.app_id = None;
        }
        if without(1) {
            document.gpu_policy_hash = None;
        }
        if without(2) {
            document.init_script_hashes = None;
        }
        if without(3) {
            document.instance_id = None;
        }
        if without(4) {
            document.key_provider_id = None;
        }
        serde_json::to_vec(&document).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Hex;

    fn identity() -> Identity {
        Identity {
            app_id: Hex([0x11; 20]),
            compose_hash: Hex([0x22; 32]),
            instance_id: Some(Hex([0x44; 20])),
            key_provider: KeyProvider {
                name: "kms".into(),
                id: "33".repeat(32),
            },
            init_scripts: vec![],
            gpu_policy_hash: Some(Hex([0x55; 32])),
            gpu_attestation_bytes: None,
            rootfs_hash: None,
            os_image_hash: None,
            storage_fs: None,
            other: vec![],
            later: vec![],
        }
    }

    /// The document of dstack's own test.
    fn document() -> String {
        format!(
            "{{\"app_id\":\"{}\",\"compose_hash\":\"{}\",\"gpu_policy_hash\":\"{}\",\
             \"instance_id\":\"{}\",\"key_provider\":\"kms\",\"key_provider_id\":\"{}\",\
             \"version\":3}}",
            "11".repeat(20),
            "22".repeat(32),
            "55".repeat(32),
            "44".repeat(20),
            "33".repeat(32)
        )
    }

    #[test]
    fn zero_is_unset_and_no_match() {
        assert_eq!(compare(&[0; 48], &identity(), None), MrConfig::Unset);
        let mut other = [0; 48];
        other[47] = 1;
        assert_eq!(compare(&other, &identity(), None), MrConfig::Unknown(0));
    }

    /// FIPS 202's padding would give another digest: Keccak's own.
    #[test]
    fn version_2_is_keccak() {
        let empty = Keccak256::digest(b"");
        assert_eq!(
            hex::encode(empty),
            "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
        );
    }

    #[test]
    fn each_version_matches_its_identity_only() {
        let sound = identity();
        let ids = [
            v1(&sound.compose_hash.0),
            v2(&sound.compose_hash.0, &sound.app_id.0, &sound.key_provider).unwrap(),
            v3(document().as_bytes()),
        ];
        for (version, id) in (1..).zip(ids) {
            assert_eq!(compare(&id, &sound, None), MrConfig::Matches(version));
            for at in 1..48 {
                let mut changed = id;
                changed[at] ^= 1;
                assert_eq!(compare(&changed, &sound, None), MrConfig::Differs(version));
            }
            let mut other = sound.clone();
            other.compose_hash = Hex([0x23; 32]);
            assert_eq!(compare(&id, &other, None), MrConfig::Differs(version));
        }
        let [one, two, three] = ids;
        let mut other = sound.clone();
        other.key_provider.id = "34".repeat(32);
        assert_eq!(compare(&one, &other, None), MrConfig::Matches(1));
        assert_eq!(compare(&two, &other, None), MrConfig::Differs(2));
        assert_eq!(compare(&three, &other, None), MrConfig::Differs(3));
        other.key_provider.id = "zz".into();
        assert_eq!(compare(&two, &other, None), MrConfig::Differs(2));
        other.key_provider.name = "mine".into();
        assert_eq!(compare(&two, &other, None), MrConfig::Differs(2));
        assert_eq!(compare(&[4; 48], &sound, None), MrConfig::Unknown(4));
    }

    #[test]
    fn a_document_may_leave_fields_out_but_not_say_others() {
        let sound = identity();
        let check =
            |document: &str| compare(&v3(document.as_bytes()), &sound, Some(document.as_bytes()));
        let pretty = document().replace(',', ", ");
        assert_eq!(check(&pretty), MrConfig::Matches(3));
        // Nobody would try this one unasked.
        assert_eq!(
            compare(&v3(pretty.as_bytes()), &sound, None),
            MrConfig::Differs(3)
        );
        let short = format!(
            "{{\"compose_hash\":\"{}\",\"key_provider\":\"kms\",\"version\":3}}",
            "22".repeat(32)
        );
        assert_eq!(check(&short), MrConfig::Matches(3));
        assert_eq!(
            compare(&v3(short.as_bytes()), &sound, None),
            MrConfig::Matches(3)
        );
        for (from, to) in [
            ("\"kms\"", "\"tpm\""),
            ("\"version\":3", "\"version\":2"),
            ("1111", "1112"),
            ("2222", "2223"),
            ("3333", "3334"),
            ("4444", "4445"),
            ("5555", "5556"),
            (
                "\"version\":3",
                "\"version\":3,\"init_script_hashes\":[\"00\"]",
            ),
            ("\"version\":3", "\"version\":3,\"more\":1"),
        ] {
            let changed = document().replacen(from, to, 1);
            assert_ne!(changed, document());
            assert_eq!(check(&changed), MrConfig::Differs(3), "{to}");
        }
        // The document of another domain's MRCONFIGID.
        assert_eq!(
            compare(&v3(b"{}"), &sound, Some(document().as_bytes())),
            MrConfig::Differs(3)
        );
    }
}
