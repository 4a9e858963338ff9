//! Ids. None of them grants anything: access to a job needs its access secret
//! or its tenant's credentials.

use crate::cbor::{fixed_bytes, hex_text};

fixed_bytes!(
    /// A session, made by the keeper at random; text form 32 hex digits.
    SessionId, 16
);
hex_text!(SessionId);

fixed_bytes!(
    /// One life of one keeper, made at random when it starts. A job whose
    /// keeper instance is gone has lost its key.
    InstanceId, 16
);
hex_text!(InstanceId);

fixed_bytes!(
    /// A job: a UUIDv7 (RFC 9562, 5.7) that the client makes.
    JobId, 16
);

impl JobId {
    /// From a time in milliseconds since 1970 and ten random bytes.
    pub fn new(unix_ms: u64, random: [u8; 10]) -> Self {
        Self(
            *uuid::Builder::from_unix_timestamp_millis(unix_ms, &random)
                .into_uuid()
                .as_bytes(),
        )
    }

    /// Whether it is a version 7 UUID, as every job's id must be.
    pub fn is_well_formed(&self) -> bool {
        let uuid = uuid::Uuid::from_bytes(self.0);
        uuid.get_version_num() == 7 && uuid.get_variant() == uuid::Variant::RFC4122
    }
}

impl core::fmt::Display for JobId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        uuid::Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl core::fmt::Debug for JobId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "JobId({self})")
    }
}

impl core::str::FromStr for JobId {
    type Err = crate::cbor::DecodeError;

    /// The hyphenated form only.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = crate::cbor::DecodeError::Malformed { what: "JobId" };
        if text.len() != 36 {
            return Err(malformed);
        }
        let id = uuid::Uuid::parse_str(text)
            .map(|u| Self(*u.as_bytes()))
            .map_err(|_| malformed.clone())?;
        if id.is_well_formed() {
            Ok(id)
        } else {
            Err(malformed)
        }
    }
}

impl serde::Serialize for JobId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for JobId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fixed_bytes!(
    /// A client's fresh nonce, which evidence must bind.
    Nonce, 32
);
hex_text!(Nonce);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_ids_are_uuid_v7_and_nothing_else() {
        let id = JobId::new(1_700_000_000_000, [7; 10]);
        assert!(id.is_well_formed());
        assert_eq!(id.to_string().parse::<JobId>(), Ok(id));
        assert!(
            "0196b2a0-0000-4000-8000-000000000000"
                .parse::<JobId>()
                .is_err(),
            "version 4"
        );
        assert!(
            id.to_string().replace('-', "").parse::<JobId>().is_err(),
            "no hyphens"
        );
    }
}
