//! Keys for what lies on the disk between requests: each for one file, from
//! the keeper's secret, which no disk ever sees (HKDF-SHA256, RFC 5869).

use aead_stream::{NewStream as _, StreamBE32, StreamPrimitive as _};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use hkdf::Hkdf;
use sha2::Sha256;
use soundproof_protocol::link::DirectSecret;
use std::io;
use zeroize::Zeroizing;

/// Bytes of a salt, which makes the key of every file written another one.
pub(super) const SALT: usize = 32;
/// Bytes that a sealed chunk is longer than its plaintext.
pub(super) const TAG: usize = 16;

/// The keeper's secret, for as long as this keeper lives.
pub(super) struct Keys(DirectSecret);

impl Keys {
    pub(super) fn new(secret: DirectSecret) -> Self {
        Self(secret)
    }

    /// 32 bytes for one purpose and one context.
    pub(super) fn derive(
        &self,
        purpose: &str,
        context: &[&[u8]],
    ) -> io::Result<Zeroizing<[u8; 32]>> {
        let hkdf = Hkdf::<Sha256>::new(Some(b"soundproof/1/sp1-direct"), &self.0.0[..]);
        let mut info: Vec<&[u8]> = vec![purpose.as_bytes(), &[0]];
        info.extend(context);
        let mut key = Zeroizing::new([0; 32]);
        hkdf.expand_multi_info(&info, key.as_mut())
            .map_err(|_| io::Error::other("a key of this length cannot be derived"))?;
        Ok(key)
    }

    /// What seals a file that begins with `salt`.
    pub(super) fn file(&self, purpose: &str, name: &[u8], salt: &[u8; SALT]) -> io::Result<Cipher> {
        let key = self.derive(purpose, &[name, salt])?;
        Ok(Cipher(StreamBE32::from_aead(
            Aes256Gcm::new((&*key).into()),
            &[0; 7].into(),
        )))
    }
}

/// A fresh salt.
pub(super) fn salt() -> io::Result<[u8; SALT]> {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    Ok(salt)
}

/// STREAM-BE32 over AES-256-GCM under a key for one file: chunk by chunk, none
/// of which can be moved, dropped, or cut off at the end.
pub(super) struct Cipher(StreamBE32<Aes256Gcm>);

impl Cipher {
    /// In place; grows by [`TAG`] bytes, for which there must be room.
    pub(super) fn seal(&self, index: u32, last: bool, chunk: &mut Vec<u8>) -> io::Result<()> {
        self.0
            .encrypt_in_place(index, last, &[], chunk)
            .map_err(|_| io::Error::other("a chunk cannot be sealed"))
    }

    /// In place; shrinks by [`TAG`] bytes.
    pub(super) fn open(&self, index: u32, last: bool, chunk: &mut Vec<u8>) -> io::Result<()> {
        self.0
            .decrypt_in_place(index, last, &[], chunk)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not what was sealed"))
    }
}
