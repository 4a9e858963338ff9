//! A software platform, its collateral, and services that have it.

use soundproof_attester::{
    Attester as _,
    software::{Options, Profile, SoftwarePlatform},
};
use soundproof_collateral::{
    Collateral, CollateralConfig, Kind, SourceConfig, Target, target::PckCa, target::Tee,
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Role},
    binding::Binding,
    digest::Digest,
};
use soundproof_testkit::{
    fakes::collateral::FakeServices,
    pki::{NOW_MS, measured},
};
use tempfile::TempDir;

pub(crate) use soundproof_testkit::pki::DAY_MS;
pub(crate) const NOW: u64 = NOW_MS;

/// One machine, whose vendor can issue its collateral at any time.
pub(crate) struct World {
    keys: TempDir,
    pub(crate) profile: Profile,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            keys: TempDir::new().unwrap(),
            profile: Profile {
                collateral_life_s: 30 * DAY_MS / 1000,
                ..Profile::default()
            },
        }
    }

    fn platform(&self, now_ms: u64) -> SoftwarePlatform {
        let options = Options::default();
        let dir = self.keys.path();
        SoftwarePlatform::with_profile(dir, &measured(), options, &self.profile, now_ms).unwrap()
    }

    /// What the vendor issues at a time.
    pub(crate) fn endorsements(&self, now_ms: u64) -> Endorsements {
        self.platform(now_ms).endorsements().unwrap()
    }

    pub(crate) fn collateral(&self, now_ms: u64) -> Vec<u8> {
        self.endorsements(now_ms).body.0
    }

    pub(crate) fn evidence(&self) -> Evidence {
        let binding = Binding::new(
            self.platform(NOW).platform(),
            Role::Keeper,
            Digest([7; 32]),
            None,
            None,
        );
        self.platform(NOW).evidence(&binding).unwrap()
    }

    pub(crate) fn anchor_pem(&self) -> String {
        self.platform(NOW).anchor_pem().to_owned()
    }

    pub(crate) fn target(&self) -> Target {
        Target::Dcap {
            tee: Tee::Tdx,
            fmspc: self.profile.fmspc,
            ca: PckCa::Platform,
        }
    }

    /// A service that has what was issued at [`NOW`].
    pub(crate) async fn service(&self) -> FakeServices {
        let service = FakeServices::start().await.unwrap();
        service.give_dcap(&self.collateral(NOW));
        service
    }
}

/// A PCCS; it may take a minute, which no test waits for.
pub(crate) fn pccs(service: &FakeServices) -> SourceConfig {
    source(Kind::Pccs, service)
}

pub(crate) fn source(kind: Kind, service: &FakeServices) -> SourceConfig {
    let mut source = SourceConfig::new(kind, &service.url);
    source.timeout_ms = 60_000;
    source
}

/// Of these sources, with short waits.
pub(crate) fn config(sources: Vec<SourceConfig>) -> CollateralConfig {
    let mut config = CollateralConfig::default();
    config.sources = sources;
    config.wait_ms = 1;
    config
}

pub(crate) fn collateral(sources: Vec<SourceConfig>) -> Collateral {
    Collateral::new(config(sources)).unwrap()
}
