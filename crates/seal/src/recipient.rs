//! HPKE base mode (RFC 9180): KEM by suite, HKDF-SHA256, AES-256-GCM.
//! info = (tag, transcript digest); aad = digest of the job description.
//!
//! X-Wing is that of draft-connolly-cfrg-xwing-kem-10, not yet an RFC; the
//! golden files pin it.

use crate::{DataKey, SealError};
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable,
    aead::AesGcm256,
    kdf::HkdfSha256,
    kem::{X25519HkdfSha256, XWing},
    single_shot_open, single_shot_seal_with_rng,
};
use rand_core::CryptoRng;
use soundproof_protocol::{digest::Digest, sealed::WrappedKey, suite::Suite};
use zeroize::Zeroizing;

const INFO: &[u8] = b"soundproof/1/seal\0";

fn info(transcript: &Digest) -> Vec<u8> {
    [INFO, transcript.as_ref()].concat()
}

enum Secret {
    XWing(Box<<XWing as Kem>::PrivateKey>),
    X25519(<X25519HkdfSha256 as Kem>::PrivateKey),
}

/// A session's key pair. The private half never leaves this type and is wiped
/// when it is dropped.
pub struct Recipient {
    secret: Secret,
    public: Vec<u8>,
}

impl Recipient {
    /// A fresh one.
    pub fn generate(suite: Suite, rng: &mut impl CryptoRng) -> Option<Self> {
        let (secret, public) = match suite {
            Suite::XWing => {
                let (secret, public) = XWing::gen_keypair_with_rng(rng);
                (Secret::XWing(Box::new(secret)), public.to_bytes().to_vec())
            }
            Suite::X25519 => {
                let (secret, public) = X25519HkdfSha256::gen_keypair_with_rng(rng);
                (Secret::X25519(secret), public.to_bytes().to_vec())
            }
            _ => return None,
        };
        Some(Self { secret, public })
    }

    /// Its suite.
    pub fn suite(&self) -> Suite {
        match self.secret {
            Secret::XWing(_) => Suite::XWing,
            Secret::X25519(_) => Suite::X25519,
        }
    }

    /// The public key that the transcript vouches for.
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// Unwraps a data key that was wrapped for this key, this transcript and
    /// this description.
    ///
    /// # Errors
    /// [`SealError::DataKey`] for any other, [`SealError::Malformed`] for what
    /// is no encapsulation.
    pub fn open(
        &self,
        wrapped: &WrappedKey,
        transcript: &Digest,
        description: &Digest,
    ) -> Result<DataKey, SealError> {
        if wrapped.suite != self.suite().code() || wrapped.transcript != *transcript {
            return Err(SealError::DataKey);
        }
        let opened = match &self.secret {
            Secret::XWing(secret) => unwrap::<XWing>(secret, wrapped, transcript, description),
            Secret::X25519(secret) => {
                unwrap::<X25519HkdfSha256>(secret, wrapped, transcript, description)
            }
        }?;
        DataKey::from_slice(&opened).ok_or(SealError::DataKey)
    }
}

impl core::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Recipient({}, …)", self.suite().name())
    }
}

fn unwrap<K: Kem>(
    secret: &K::PrivateKey,
    wrapped: &WrappedKey,
    transcript: &Digest,
    description: &Digest,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let encapsulation =
        K::EncappedKey::from_bytes(&wrapped.encapsulation.0).map_err(|_| SealError::Malformed)?;
    single_shot_open::<AesGcm256, HkdfSha256, K>(
        &OpModeR::Base,
        secret,
        &encapsulation,
        &info(transcript),
        &wrapped.ciphertext.0,
        description.as_ref(),
    )
    .map(Zeroizing::new)
    .map_err(|_| SealError::DataKey)
}

/// Wraps a data key for one recipient.
///
/// # Errors
/// [`SealError::Malformed`] if `public_key` is no public key of the suite.
pub fn wrap(
    rng: &mut impl CryptoRng,
    data_key: &DataKey,
    suite: Suite,
    public_key: &[u8],
    transcript: &Digest,
    description: &Digest,
) -> Result<WrappedKey, SealError> {
    let (encapsulation, ciphertext) = match suite {
        Suite::XWing => wrap_as::<XWing>(rng, data_key, public_key, transcript, description)?,
        Suite::X25519 => {
            wrap_as::<X25519HkdfSha256>(rng, data_key, public_key, transcript, description)?
        }
        _ => return Err(SealError::Malformed),
    };
    Ok(WrappedKey {
        transcript: *transcript,
        suite: suite.code(),
        encapsulation: encapsulation.into(),
        ciphertext: ciphertext.into(),
    })
}

fn wrap_as<K: Kem>(
    rng: &mut impl CryptoRng,
    data_key: &DataKey,
    public_key: &[u8],
    transcript: &Digest,
    description: &Digest,
) -> Result<(Vec<u8>, Vec<u8>), SealError> {
    let public = K::PublicKey::from_bytes(public_key).map_err(|_| SealError::Malformed)?;
    let (encapsulation, ciphertext) = single_shot_seal_with_rng::<AesGcm256, HkdfSha256, K>(
        &OpModeS::Base,
        &public,
        &info(transcript),
        data_key.as_bytes(),
        description.as_ref(),
        rng,
    )
    .map_err(|_| SealError::Malformed)?;
    Ok((encapsulation.to_bytes().to_vec(), ciphertext))
}
