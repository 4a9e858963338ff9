//! The kinds of proof that a prover can make, and what a client must know of
//! each before it asks for one.

use crate::{description::JobDescription, error::Code, link::Refusal};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Bytes of a mode's name at most, as in a job description.
pub const MAX_MODE_NAME: usize = 32;
/// Bytes of [`ModeInfo::unavailable`] at most.
pub const MAX_UNAVAILABLE: usize = 512;

/// One mode of a proof system, as a prover says it in its hello.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cbor(map)]
pub struct ModeInfo {
    /// As descriptions name it: `groth16`, `core`.
    #[n(0)]
    pub name: String,
    /// Whether its proofs are zero-knowledge. A proof of a mode that does not
    /// hide may reveal its witness: the description must acknowledge it, and
    /// the proof is a secret until its client has it.
    #[n(1)]
    pub hides: bool,
    /// Why it is not offered here: what is missing and how to get it. None: it
    /// is offered. Public, at most [`MAX_UNAVAILABLE`] bytes.
    #[n(2)]
    pub unavailable: Option<String>,
    /// Bytes of memory that a proof of this mode needs at least, all processes
    /// of the job together; 0: no more than any other. A server that gives a
    /// job less does not offer the mode.
    #[n(3)]
    pub memory_bytes: u64,
}

impl ModeInfo {
    /// A mode that hides and that every server of its system offers.
    pub fn hiding(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            hides: true,
            unavailable: None,
            memory_bytes: 0,
        }
    }

    /// Whether it may be asked for.
    pub fn offered(&self) -> bool {
        self.unavailable.is_none()
    }

    /// Whether names and texts are within their bounds.
    pub fn is_well_formed(&self) -> bool {
        (1..=MAX_MODE_NAME).contains(&self.name.len())
            && self
                .unavailable
                .as_ref()
                .is_none_or(|text| (1..=MAX_UNAVAILABLE).contains(&text.len()))
    }
}

/// A mode with its proof system: what a keeper offers, and what `/v1/info`
/// lists.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cbor(map)]
pub struct ModeOffer {
    /// Proof system: `groth16`, `sp1`.
    #[n(0)]
    pub system: String,
    /// The mode.
    #[n(1)]
    #[serde(flatten)]
    pub mode: ModeInfo,
}

impl ModeOffer {
    /// Whether a job may be taken where these modes are offered. Gateway and
    /// keeper both ask.
    ///
    /// # Errors
    /// `mode_unavailable` with what is missing, `mode_refused` where the
    /// operator takes no mode that does not hide, `mode_not_hiding` where the
    /// description does not acknowledge that its mode does not.
    pub fn admit(
        offers: &[Self],
        description: &JobDescription,
        refuse_not_hiding: bool,
    ) -> Result<(), Refusal> {
        let name = || format!("{}/{}", description.system, description.mode);
        let refuse = |code, detail| Err(Refusal { code, detail });
        let offer = offers.iter().find(|offer| {
            offer.system == description.system && offer.mode.name == description.mode
        });
        let Some(ModeOffer { mode, .. }) = offer else {
            return refuse(Code::ModeUnavailable, Some(format!("no {} here", name())));
        };
        if let Some(why) = &mode.unavailable {
            let detail = format!("{}: {why}", name());
            return refuse(Code::ModeUnavailable, Some(detail));
        }
        if !mode.hides && refuse_not_hiding {
            return refuse(Code::ModeRefused, Some(name()));
        }
        if !mode.hides && !description.acknowledges_not_hiding {
            return refuse(Code::ModeNotHiding, Some(name()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        PROTOCOL_VERSION,
        description::{Durability, Limits},
        id::JobId,
    };

    /// Broken if a mode that does not hide could be had unknowingly, or
    /// against the operator's will.
    #[test]
    fn a_mode_must_be_offered_and_what_does_not_hide_acknowledged() {
        let offer = |name: &str, hides, unavailable: Option<&str>| ModeOffer {
            system: "sp1".into(),
            mode: ModeInfo {
                hides,
                unavailable: unavailable.map(Into::into),
                ..ModeInfo::hiding(name)
            },
        };
        let offers = [
            offer("core", false, None),
            offer("plonk", true, Some("no circuit files")),
            offer("groth16", true, None),
        ];
        let admit = |system: &str, mode: &str, acknowledges, refuse| {
            let description = JobDescription {
                version: PROTOCOL_VERSION,
                job: JobId::new(1, [0; 10]),
                system: system.into(),
                parts: vec![],
                mode: mode.into(),
                acknowledges_not_hiding: acknowledges,
                limits: Limits::default(),
                recipients: vec![],
                delegation: None,
                durability: Durability::Forgotten,
                not_after_ms: 0,
            };
            ModeOffer::admit(&offers, &description, refuse)
        };
        let code = |refused: Result<(), Refusal>| refused.unwrap_err().code;
        assert_eq!(
            code(admit("sp1", "core", false, false)),
            Code::ModeNotHiding
        );
        assert_eq!(admit("sp1", "core", true, false), Ok(()));
        assert_eq!(code(admit("sp1", "core", true, true)), Code::ModeRefused);
        assert_eq!(code(admit("sp1", "core", false, true)), Code::ModeRefused);
        assert_eq!(admit("sp1", "groth16", false, true), Ok(()));
        for (system, mode) in [("sp1", "stark"), ("groth16", "core"), ("", "")] {
            let refused = admit(system, mode, true, false);
            assert_eq!(code(refused), Code::ModeUnavailable, "{system}/{mode}");
        }
        let refused = admit("sp1", "plonk", true, false).unwrap_err();
        assert_eq!(refused.code, Code::ModeUnavailable);
        assert!(refused.detail.unwrap().contains("no circuit files"));
    }

    #[test]
    fn bounds() {
        let mode = ModeInfo::hiding("groth16");
        assert!(mode.is_well_formed() && mode.offered());
        let with = |text: &str| ModeInfo {
            unavailable: Some(text.into()),
            ..mode.clone()
        };
        assert!(with("no gnark").is_well_formed() && !with("no gnark").offered());
        assert!(!with("").is_well_formed());
        assert!(!with(&"x".repeat(MAX_UNAVAILABLE + 1)).is_well_formed());
        assert!(!ModeInfo::hiding("").is_well_formed());
        assert!(!ModeInfo::hiding("m".repeat(MAX_MODE_NAME + 1)).is_well_formed());
    }
}
