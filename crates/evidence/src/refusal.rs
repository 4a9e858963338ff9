//! Why a piece of evidence or of its endorsements is refused, and under which
//! root it must stand.

use crate::reason::Reason;

/// A reason code, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

/// Under which root a statement must stand (invariant 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root<'a> {
    /// The vendor's, compiled in.
    Vendor,
    /// A software platform's, which the policy names; DER.
    Software(&'a [u8]),
    /// None: a software platform's evidence, and nobody named an anchor.
    /// Nothing verifies.
    Unnamed,
}

impl<'a> Root<'a> {
    /// The anchor in DER, `vendor` being the one that is compiled in.
    ///
    /// # Errors
    /// [`Reason::AnchorUnnamed`].
    #[allow(dead_code)] // DCAP compares digests of roots instead
    pub(crate) fn der(self, vendor: &'a [u8]) -> Result<&'a [u8], Refusal> {
        match self {
            Self::Vendor => Ok(vendor),
            Self::Software(der) => Ok(der),
            Self::Unnamed => Err(Self::unnamed()),
        }
    }

    /// What [`Root::Unnamed`] leads to.
    pub(crate) fn unnamed() -> Refusal {
        Refusal::new(Reason::AnchorUnnamed, "no anchor was named")
    }

    /// In a check's words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Vendor => "the vendor's root",
            Self::Software(_) => "the policy's software anchor",
            Self::Unnamed => "an anchor that somebody named",
        }
    }
}
