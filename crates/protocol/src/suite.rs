//! HPKE suites (RFC 9180), as code points. Offers carry plain numbers, so
//! that a newer client's offer is still an offer; a chosen suite is one of
//! these or the session is refused.

use minicbor::{Decode, Encode};

/// A suite that both sides implement. The KDF is HKDF-SHA256 (0x0001) and the
/// AEAD AES-256-GCM (0x0002) in every one; the KEM's code point names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Suite {
    /// X-Wing (ML-KEM-768 with X25519), KEM 0x647a: the default.
    XWing,
    /// DHKEM(X25519, HKDF-SHA256), KEM 0x0020: where a client cannot do
    /// X-Wing. Not safe against a later quantum computer.
    X25519,
}

impl Suite {
    /// All, best first.
    pub const ALL: [Self; 2] = [Self::XWing, Self::X25519];

    /// The KEM's code point.
    pub const fn code(self) -> u16 {
        match self {
            Self::XWing => 0x647a,
            Self::X25519 => 0x0020,
        }
    }

    /// From a KEM's code point.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.code() == code)
    }

    /// The name that people read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XWing => "X-Wing",
            Self::X25519 => "X25519",
        }
    }

    /// Length of a public key, in bytes.
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::XWing => 1216,
            Self::X25519 => 32,
        }
    }

    /// Length of an encapsulation, in bytes.
    pub const fn encapsulation_len(self) -> usize {
        match self {
            Self::XWing => 1120,
            Self::X25519 => 32,
        }
    }

    /// The first suite of a client's offer, in the client's order, that is
    /// known here.
    pub fn choose(offered: &[u16]) -> Option<Self> {
        offered.iter().copied().find_map(Self::from_code)
    }
}

impl<C> Encode<C> for Suite {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u16(self.code())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Suite {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::from_code(d.u16()?).ok_or_else(|| minicbor::decode::Error::message("unknown suite"))
    }
}
