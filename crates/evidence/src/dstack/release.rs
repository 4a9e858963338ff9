//! What a policy's release says of a dstack application: a complete tuple.

use super::{compose::default_app_id, identity::Identity};
use crate::{bytes::Hex, measure::dstack::Image, tdx::Measurements};
use serde::{Deserialize, Serialize};

/// TD attributes of dstack's guests: SEPT_VE_DISABLE and nothing else.
const ATTRIBUTES: Hex<8> = Hex([0, 0, 0, 0x10, 0, 0, 0, 0]);
const ZERO: Hex<48> = Hex([0; 48]);

/// `[release.dstack]`: what is measured of the application, and of the OS
/// image on each shape of machine that it may run on. RTMR3 is computed from
/// the log, and MRCONFIGID compared with what ran; the TDX module is judged
/// by its TCB level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// SHA-256 of app-compose.json's raw bytes.
    pub compose_hash: Hex<32>,
    /// Application id; the first 20 bytes of the compose hash, if it is not
    /// there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<Hex<20>>,
    /// TD attributes; SEPT_VE_DISABLE alone, if it is not there.
    #[serde(default = "attributes")]
    pub tdattributes: Hex<8>,
    /// Set by the domain's owner; zero, if it is not there.
    #[serde(default = "zero", skip_serializing_if = "is_zero")]
    pub mrowner: Hex<48>,
    /// Likewise.
    #[serde(default = "zero", skip_serializing_if = "is_zero")]
    pub mrownerconfig: Hex<48>,
    /// Accepts an image that is marked as one on which its operator can log
    /// in.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub danger_development_image: bool,
    /// The OS image: each a complete tuple, for one shape of machine.
    pub image: Vec<Image>,
}

const fn attributes() -> Hex<8> {
    ATTRIBUTES
}

const fn zero() -> Hex<48> {
    ZERO
}

fn is_zero(hex: &Hex<48>) -> bool {
    *hex == ZERO
}

impl Release {
    /// For an application on an OS image.
    pub fn new(compose_hash: Hex<32>, app_id: Hex<20>, image: Vec<Image>) -> Self {
        Self {
            compose_hash,
            app_id: Some(app_id).filter(|id| id.0 != default_app_id(&compose_hash.0)),
            tdattributes: ATTRIBUTES,
            mrowner: ZERO,
            mrownerconfig: ZERO,
            danger_development_image: false,
            image,
        }
    }

    /// The application id that it accepts.
    pub fn app_id(&self) -> Hex<20> {
        self.app_id
            .unwrap_or_else(|| Hex(default_app_id(&self.compose_hash.0)))
    }

    pub(crate) fn differences(
        &self,
        found: &Measurements,
        identity: Option<&Identity>,
    ) -> Vec<&'static str> {
        let Some(identity) = identity else {
            return vec!["everything that the event log would say"];
        };
        let mut differences = [
            ("compose_hash", self.compose_hash == identity.compose_hash),
            ("app_id", self.app_id() == identity.app_id),
            ("tdattributes", self.tdattributes == found.tdattributes),
            ("mrowner", self.mrowner == found.mrowner),
            ("mrownerconfig", self.mrownerconfig == found.mrownerconfig),
            // Intel's, whose modules alone have TCB levels.
            ("mrsignerseam", found.mrsignerseam == ZERO),
        ]
        .into_iter()
        .filter_map(|(name, same)| (!same).then_some(name))
        .collect::<Vec<_>>();
        let image = self
            .image
            .iter()
            .map(|image| self.image_differences(image, found, identity))
            .min_by_key(Vec::len);
        differences.extend(image.unwrap_or_else(|| vec!["image"]));
        differences
    }

    fn image_differences(
        &self,
        image: &Image,
        found: &Measurements,
        identity: &Identity,
    ) -> Vec<&'static str> {
        [
            ("mrtd", image.mrtd == found.mrtd),
            ("rtmr0", image.rtmr0 == found.rtmr0),
            ("rtmr1", image.rtmr1 == found.rtmr1),
            ("rtmr2", image.rtmr2 == found.rtmr2),
            (
                "os_image_hash",
                // A guest without a KMS measures none; the registers say it.
                image.os_image_hash.is_none()
                    || identity.os_image_hash.is_none()
                    || image.os_image_hash == identity.os_image_hash,
            ),
            (
                "being a development image",
                !image.development || self.danger_development_image,
            ),
        ]
        .into_iter()
        .filter_map(|(name, same)| (!same).then_some(name))
        .collect()
    }

    /// One that accepts what was found.
    pub(crate) fn observed(found: &Measurements, identity: Option<&Identity>) -> Self {
        let (compose_hash, app_id) = identity.map_or((Hex([0; 32]), Hex([0; 20])), |identity| {
            (identity.compose_hash, identity.app_id)
        });
        let image = Image {
            mrtd: found.mrtd,
            rtmr0: found.rtmr0,
            rtmr1: found.rtmr1,
            rtmr2: found.rtmr2,
            os_image_hash: identity.and_then(|identity| identity.os_image_hash),
            development: false,
        };
        Self {
            tdattributes: found.tdattributes,
            mrowner: found.mrowner,
            mrownerconfig: found.mrownerconfig,
            ..Self::new(compose_hash, app_id, vec![image])
        }
    }
}
