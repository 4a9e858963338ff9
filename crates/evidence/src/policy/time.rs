//! A moment, in text as RFC 3339.

use crate::{policy::PolicyError, verdict::date};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Seconds since 1970; its text form is RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(pub u64);

impl TryFrom<String> for Time {
    type Error = PolicyError;

    fn try_from(text: String) -> Result<Self, PolicyError> {
        OffsetDateTime::parse(&text, &Rfc3339)
            .ok()
            .and_then(|time| u64::try_from(time.unix_timestamp()).ok())
            .map(Self)
            .ok_or(PolicyError::Time(text))
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        date(time.0)
    }
}

impl core::fmt::Display for Time {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&date(self.0))
    }
}
