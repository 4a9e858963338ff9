//! The one encoding on every wire of ours: deterministic CBOR (RFC 8949,
//! section 4.2), as maps with small integer keys.
//!
//! The encoder (minicbor's derive) writes keys in rising order, shortest
//! integers and definite lengths. The decoder decodes, encodes again and
//! compares: whatever is not the deterministic form, carries an unknown key or
//! a trailing byte differs and is refused. One rule instead of a list.

use minicbor::{Decode, Encode};

/// Why bytes are not a message of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than the reader's bound, in bytes; nothing was decoded.
    #[error("message of {len} bytes, at most {max} are accepted")]
    TooLong {
        /// Bytes received.
        len: usize,
        /// Bytes accepted.
        max: usize,
    },
    /// Not well-formed CBOR, or not of the expected type.
    #[error("not a valid {what}")]
    Malformed {
        /// The type that was expected.
        what: &'static str,
    },
    /// Decodes, but is not the deterministic encoding of what it decodes to.
    #[error("{what} is not in deterministic CBOR, or has unknown keys or trailing bytes")]
    NotDeterministic {
        /// The type that was expected.
        what: &'static str,
    },
}

/// Encodes deterministically.
pub fn to_vec<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    // Writing to a Vec cannot fail, and no type of ours has a failing Encode.
    let _ = minicbor::encode(value, &mut out);
    out
}

/// Decodes at most `max` bytes, all of them, and only the deterministic form.
///
/// # Errors
/// [`DecodeError`], which never repeats the input.
pub fn from_slice<T>(bytes: &[u8], max: usize) -> Result<T, DecodeError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    if bytes.len() > max {
        return Err(DecodeError::TooLong {
            len: bytes.len(),
            max,
        });
    }
    let what = short_name::<T>();
    let value: T = minicbor::decode(bytes).map_err(|_| DecodeError::Malformed { what })?;
    if to_vec(&value) != bytes {
        return Err(DecodeError::NotDeterministic { what });
    }
    Ok(value)
}

fn short_name<T>() -> &'static str {
    let full = core::any::type_name::<T>();
    full.rsplit("::").next().unwrap_or(full)
}

/// A byte string (CBOR major type 2) of any length.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct Bytes(pub Vec<u8>);

impl core::fmt::Debug for Bytes {
    // Some of these hold ciphertext of megabytes: say how long, not what.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<C> Encode<C> for Bytes {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Bytes {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(Self(d.bytes()?.to_vec()))
    }
}

/// Defines a newtype over `[u8; N]` that is a CBOR byte string of exactly N
/// bytes.
macro_rules! fixed_bytes {
    ($(#[$meta:meta])* $name:ident, $len:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $len]);
        $crate::cbor::fixed_bytes!(@codec $name, $len);
    };
    (@codec $name:ident, $len:literal) => {

        impl $name {
            /// From a slice of exactly the right length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                let bytes = d.bytes()?;
                bytes
                    .try_into()
                    .map(Self)
                    .map_err(|_| minicbor::decode::Error::message("wrong length"))
            }
        }
    };
}
pub(crate) use fixed_bytes;

/// Adds lower-case hex as text form: Display, Debug, FromStr, serde.
macro_rules! hex_text {
    ($name:ident) => {
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::cbor::DecodeError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = Self([0; _]);
                hex::decode_to_slice(text, &mut bytes.0).map_err(|_| {
                    $crate::cbor::DecodeError::Malformed {
                        what: stringify!($name),
                    }
                })?;
                Ok(bytes)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use hex_text;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    #[cbor(map)]
    struct Sample {
        #[n(0)]
        a: u64,
        #[n(1)]
        b: Option<Bytes>,
    }

    const MAX: usize = 64;

    #[test]
    fn round_trip() {
        let sample = Sample {
            a: 500,
            b: Some(Bytes(vec![1, 2])),
        };
        let bytes = to_vec(&sample);
        assert_eq!(hex::encode(&bytes), "a2001901f401420102");
        assert_eq!(from_slice::<Sample>(&bytes, MAX), Ok(sample));
    }

    #[test]
    fn only_the_deterministic_form_is_read() {
        let refused = [
            ("a100180a", "an integer that has a shorter form"),
            ("bf000aff", "an indefinite-length map"),
            ("a201420102000a", "keys out of order"),
            ("a2000a000a", "a key twice"),
            ("a2000a0900", "an unknown key"),
            ("a1000a00", "a trailing byte"),
            ("a2000a01f6", "an explicit null where absence is the form"),
            ("a2000a015f41014102ff", "an indefinite-length byte string"),
            ("c1a1000a", "a tag"),
        ];
        for (text, why) in refused {
            let bytes = hex::decode(text).unwrap();
            assert!(from_slice::<Sample>(&bytes, MAX).is_err(), "{why}");
        }
        assert!(from_slice::<Sample>(&hex::decode("a1000a").unwrap(), MAX).is_ok());
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        // A byte string that claims 2^62 bytes, and an array of 2^62 elements.
        for text in ["a2000a015b4000000000000000", "9b4000000000000000"] {
            let bytes = hex::decode(text).unwrap();
            assert!(from_slice::<Sample>(&bytes, MAX).is_err());
            assert!(from_slice::<Vec<u64>>(&bytes, MAX).is_err());
        }
    }

    #[test]
    fn the_bound_comes_first() {
        assert_eq!(
            from_slice::<Sample>(&[0; 65], MAX),
            Err(DecodeError::TooLong { len: 65, max: 64 })
        );
    }
}
