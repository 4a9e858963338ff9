//! The software platform's keys: one file, readable by its owner only, made
//! once. Whoever reads it can make "evidence": there is nothing to protect.

use crate::AttestError;
use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};
use zeroize::Zeroizing;

const FILE: &str = "keys";
const NAMES: [&str; 5] = ["root", "pck-ca", "pck", "tcb-signing", "attestation"];
const MAX_FILE: u64 = 4096;

pub(super) struct Keys {
    pub(super) root: Key,
    pub(super) pck_ca: Key,
    pub(super) pck: Key,
    pub(super) tcb_signing: Key,
    pub(super) attestation: Key,
}

/// A P-256 key that signs certificates, JSON and quotes.
#[derive(Clone)]
pub(super) struct Key {
    secret: SigningKey,
    point: [u8; 65],
}

impl Key {
    fn new(secret: SigningKey) -> Self {
        let mut point = [0; 65];
        let encoded = secret.verifying_key().to_sec1_point(false);
        point.copy_from_slice(encoded.as_bytes());
        Self { secret, point }
    }

    /// x ‖ y, as quotes carry keys.
    pub(super) fn coordinates(&self) -> &[u8] {
        &self.point[1..]
    }

    /// r ‖ s, over SHA-256 of `message`.
    pub(super) fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.secret.sign(message);
        signature.to_bytes().into()
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.secret.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}

/// Reads the keys in `dir`, or makes folder and keys. Of two that make them at
/// once, one wins and both use its keys.
pub(super) fn open_or_create(dir: &Path) -> Result<Keys, AttestError> {
    let io = |what: &str, source| AttestError::Io {
        what: format!(
            "cannot {what} the software platform's keys in {}",
            dir.display()
        ),
        source,
    };
    let path = dir.join(FILE);
    let text = match read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(dir, &path).map_err(|source| io("make", source))?;
            read(&path).map_err(|source| io("read", source))?
        }
        Err(source) => return Err(io("read", source)),
    };
    parse(&text).ok_or_else(|| AttestError::Keys(format!("{} does not hold keys", path.display())))
}

fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    if fs::metadata(path)?.len() > MAX_FILE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    fs::read_to_string(path).map(Zeroizing::new)
}

fn create(dir: &Path, path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    let mut text = Zeroizing::new(String::new());
    for name in NAMES {
        text.push_str(&format!("{name} {}\n", hex::encode(random_scalar()?)));
    }
    let unfinished = dir.join(format!(
        "{FILE}.{}.{:016x}",
        std::process::id(),
        random_u64()?
    ));
    let written = (|| {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // Unlike a rename, a link does not replace keys that came first.
        match fs::hard_link(&unfinished, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    })();
    let _ = fs::remove_file(&unfinished);
    written
}

fn random_scalar() -> io::Result<Zeroizing<[u8; 32]>> {
    loop {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut()).map_err(|_| io::ErrorKind::Other)?;
        // All but one in 2^32 are below the group's order and not zero.
        if SigningKey::from_slice(bytes.as_ref()).is_ok() {
            return Ok(bytes);
        }
    }
}

fn random_u64() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| io::ErrorKind::Other)?;
    Ok(u64::from_le_bytes(bytes))
}

fn parse(text: &str) -> Option<Keys> {
    let mut lines = text.lines();
    let mut next = |name: &str| {
        let hex = lines.next()?.strip_prefix(name)?.strip_prefix(' ')?;
        let bytes = Zeroizing::new(hex::decode(hex).ok()?);
        SigningKey::from_slice(&bytes).ok().map(Key::new)
    };
    let [root, pck_ca, pck, tcb_signing, attestation] = NAMES;
    Some(Keys {
        root: next(root)?,
        pck_ca: next(pck_ca)?,
        pck: next(pck)?,
        tcb_signing: next(tcb_signing)?,
        attestation: next(attestation)?,
    })
}
