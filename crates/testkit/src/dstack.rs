//! A dstack guest in software: an event log and a compose file, and quotes of
//! a software platform whose registers are what the log replays to.
//!
//! Change [`Guest::events`], [`Guest::compose`] or [`Guest::base`] before a
//! quote is made, and the guest is another one; change the evidence
//! afterwards, and it lies.

use crate::pki::Pki;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha384};
use soundproof_attester::AttestError;
use soundproof_evidence::{
    Hex, Measurements, Policy,
    dstack::{
        Carried, KeyProvider, Release, Version,
        log::{RUNTIME_EVENT, runtime_digest},
    },
    measure::dstack::{Deployment, Image, rtmr},
    policy::{Anchor, DcapRules, DstackRules, Platforms, Software, TrustRules},
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    cbor::Bytes,
    trust::TrustConfiguration,
};

/// A compose file that shows nothing to others.
pub const COMPOSE: &str = r#"{"manifest_version":2,"name":"prover","runner":"docker-compose","docker_compose_file":"services:\n  soundproof:\n    image: soundproof@sha256:00\n","kms_enabled":true,"public_logs":false,"public_sysinfo":false}"#;

/// One event of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestEvent {
    /// RTMR.
    pub imr: u32,
    /// Type; that of run-time events, or one of firmware's.
    pub kind: u32,
    /// Name.
    pub name: String,
    /// Payload, which is what is measured.
    pub payload: Vec<u8>,
    /// How the digest is made.
    pub version: Version,
}

impl GuestEvent {
    /// One that the guest measures into RTMR3.
    pub fn runtime(name: &str, payload: &[u8]) -> Self {
        Self {
            imr: 3,
            kind: RUNTIME_EVENT,
            name: name.into(),
            payload: payload.into(),
            version: Version::V1,
        }
    }

    /// One that firmware measures.
    pub fn firmware(imr: u32, kind: u32, payload: &[u8]) -> Self {
        Self {
            imr,
            kind,
            name: String::new(),
            payload: payload.into(),
            version: Version::V1,
        }
    }

    /// What extends the register.
    pub fn digest(&self) -> [u8; 48] {
        if self.kind == RUNTIME_EVENT {
            runtime_digest(&self.name, &self.payload, self.version)
        } else {
            Sha384::digest(&self.payload).into()
        }
    }

    fn json(&self) -> Value {
        let mut event = json!({
            "imr": self.imr,
            "event_type": self.kind,
            "digest": hex::encode(self.digest()),
            "event": self.name,
            "event_payload": hex::encode(&self.payload),
        });
        if self.version == Version::V2 && self.kind == RUNTIME_EVENT {
            let preimage = format!(
                "{{\"name\":{},\"payload\":\"{}\",\"type\":{RUNTIME_EVENT}}}",
                Value::from(self.name.as_str()),
                hex::encode(&self.payload)
            );
            event["version"] = 2.into();
            event["preimage"] = hex::encode(preimage).into();
        }
        event
    }
}

/// See the module.
pub struct Guest {
    /// The machine under it, and its keys.
    pub pki: Pki,
    /// The compose file.
    pub compose: Vec<u8>,
    /// The event log.
    pub events: Vec<GuestEvent>,
    /// Registers that no event extends: MRTD, attributes, MRCONFIGID and so on.
    pub base: Measurements,
}

impl Guest {
    /// A sound one, on a machine that is up to date at
    /// [`NOW_MS`](crate::pki::NOW_MS).
    ///
    /// # Errors
    /// [`AttestError`].
    pub fn sound() -> Result<Self, AttestError> {
        Self::on(Pki::sound()?, COMPOSE, Version::V1)
    }

    /// One that runs a compose file on this machine.
    ///
    /// # Errors
    /// [`AttestError::Make`], if it is no compose file.
    pub fn on(pki: Pki, compose: &str, version: Version) -> Result<Self, AttestError> {
        let deployment = Deployment {
            compose: compose.as_bytes(),
            app_id: None,
            instance_id: Some([0x1d; 20]),
            key_provider: key_provider(),
            rootfs_hash: None,
            storage_fs: Some("zfs".into()),
            gpu_policy_hash: None,
            init_scripts: false,
            os_image_hash: None,
        };
        let expected = deployment.expected().map_err(|error| AttestError::Make {
            what: "guest",
            why: error.to_string(),
        })?;
        let mut events = vec![
            GuestEvent::firmware(0, 0x8000_000b, b"td hob"),
            GuestEvent::firmware(0, 4, &[0; 4]),
            GuestEvent::firmware(1, 0x8000_0003, b"kernel"),
            GuestEvent::firmware(2, 6, b"command line"),
        ];
        for event in &expected.events {
            let payload = hex::decode(&event.payload).unwrap_or_default();
            events.push(GuestEvent {
                version,
                ..GuestEvent::runtime(event.name, &payload)
            });
        }
        Ok(Self {
            base: *pki.platform.measurements(),
            compose: compose.into(),
            events,
            pki,
        })
    }

    /// The event of this name.
    pub fn event(&mut self, name: &str) -> Option<&mut GuestEvent> {
        self.events.iter_mut().find(|event| event.name == name)
    }

    /// Where the event of this name is.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.events.iter().position(|event| event.name == name)
    }

    /// What its quotes carry.
    pub fn measurements(&self) -> Measurements {
        let register = |imr| {
            let digests: Vec<_> = self
                .events
                .iter()
                .filter(|event| event.imr == imr)
                .map(GuestEvent::digest)
                .collect();
            Hex(rtmr(&digests))
        };
        Measurements {
            rtmr0: register(0),
            rtmr1: register(1),
            rtmr2: register(2),
            rtmr3: register(3),
            ..self.base
        }
    }

    /// The log as the guest agent writes it.
    pub fn log(&self) -> Vec<u8> {
        let events: Vec<_> = self.events.iter().map(GuestEvent::json).collect();
        Value::from(events).to_string().into_bytes()
    }

    /// A quote.
    pub fn quote(&self, report_data: &[u8; 64]) -> Vec<u8> {
        self.pki
            .platform
            .sign_domain(&self.measurements(), report_data)
    }

    /// Evidence of its kind.
    pub fn evidence(&self, report_data: &[u8; 64]) -> Evidence {
        Evidence {
            platform: Platform::SoftwareDstack,
            statement: Bytes(self.quote(report_data)),
            event_log: Some(carried(self.log(), Some(self.compose.clone()))),
            gpu: None,
            runtime: None,
        }
    }

    /// The machine's endorsements.
    ///
    /// # Errors
    /// [`AttestError`].
    pub fn endorsements(&self) -> Result<Endorsements, AttestError> {
        let mut endorsements = self.pki.endorsements()?;
        endorsements.platform = Platform::SoftwareDstack;
        Ok(endorsements)
    }

    /// The OS image and the application, as a policy's release has them.
    pub fn release(&self) -> Release {
        let found = self.measurements();
        let hash = soundproof_evidence::dstack::compose::hash(&self.compose);
        let app_id = self
            .events
            .iter()
            .find(|event| event.name == "app-id")
            .and_then(|event| event.payload.as_slice().try_into().ok())
            .unwrap_or([0; 20]);
        Release::new(
            Hex(hash),
            Hex(app_id),
            vec![Image {
                mrtd: found.mrtd,
                rtmr0: found.rtmr0,
                rtmr1: found.rtmr1,
                rtmr2: found.rtmr2,
                os_image_hash: None,
                development: false,
            }],
        )
    }

    /// A policy that accepts exactly this guest and trust configuration.
    ///
    /// # Errors
    /// [`AttestError::Make`].
    pub fn policy(&self, trust: &TrustConfiguration) -> Result<Policy, AttestError> {
        let anchor_pem = Anchor::from_pem(self.pki.platform.anchor_pem()).map_err(|error| {
            AttestError::Make {
                what: "policy",
                why: error.to_string(),
            }
        })?;
        let rules = DstackRules {
            dcap: DcapRules {
                any_machine: true,
                ..DcapRules::default()
            },
            key_providers: vec![key_provider()],
            ..DstackRules::default()
        };
        Ok(Policy {
            platform: Platforms {
                software_dstack: Some(Software { anchor_pem, rules }),
                ..Platforms::default()
            },
            trust: TrustRules::exactly(trust),
            release: vec![soundproof_evidence::policy::Release {
                name: "this one".into(),
                software_dstack: Some(self.release()),
                ..Default::default()
            }],
            ..Policy::default()
        })
    }
}

/// The KMS that a guest gets its keys from.
pub fn key_provider() -> KeyProvider {
    KeyProvider {
        name: "kms".into(),
        id: "3059".into(),
    }
}

/// Evidence's event log, of its parts.
pub fn carried(log: Vec<u8>, compose: Option<Vec<u8>>) -> Bytes {
    Bytes(
        Carried {
            events: log.into(),
            compose: compose.map(Into::into),
            mr_config: None,
        }
        .to_bytes(),
    )
}
