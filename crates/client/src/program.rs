//! A program: everything public that defines the statement, by digest.

use crate::{Error, verifier::Verifier};
use soundproof_protocol::{
    description::ProgramPart,
    digest::{Digest, Hasher},
    error::Code,
};
use std::{
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Role of a circuit's witness generator, circom's wasm.
pub const WITNESS_GENERATOR: &str = "witness_generator";
/// Role of a Groth16 proving key, snarkjs's zkey.
pub const PROVING_KEY: &str = "proving_key";
/// Role of a Groth16 verifying key, snarkjs's JSON.
pub const VERIFYING_KEY: &str = "verifying_key";
/// Name of the Groth16 proof system, and of its one mode.
pub const GROTH16: &str = "groth16";

/// Bytes of a program part: here, or in a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Part {
    /// In memory.
    Bytes(bytes::Bytes),
    /// In a file, which must stay as it is.
    File(PathBuf),
}

impl From<Vec<u8>> for Part {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&Path> for Part {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<PathBuf> for Part {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&str> for Part {
    /// A path.
    fn from(path: &str) -> Self {
        Self::File(path.into())
    }
}

impl Part {
    /// SHA-256 and length in bytes.
    fn identify(&self, role: &str) -> Result<(Digest, u64), Error> {
        let path = match self {
            Self::Bytes(bytes) => return Ok((Digest::of(bytes), bytes.len() as u64)),
            Self::File(path) => path,
        };
        let read = || -> std::io::Result<(Digest, u64)> {
            let mut file = std::fs::File::open(path)?;
            let (mut hasher, mut len) = (Hasher::new(), 0);
            let mut buffer = vec![0; 256 * 1024];
            loop {
                let read = file.read(&mut buffer)?;
                if read == 0 {
                    return Ok((hasher.finish(), len));
                }
                hasher.update(buffer.get(..read).unwrap_or_default());
                len += read as u64;
            }
        };
        read().map_err(|cause| Error::file(format!("{role} {}", path.display()), cause))
    }

    /// All of it, `max` bytes at most.
    fn read(&self, role: &str, max: usize) -> Result<Vec<u8>, Error> {
        let too_large = || Error::Program {
            code: Code::VkeyInvalid,
            what: format!("the {role} is larger than {max} bytes"),
        };
        let bytes = match self {
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::File(path) => {
                let mut bytes = Vec::new();
                std::fs::File::open(path)
                    .and_then(|file| file.take(max as u64 + 1).read_to_end(&mut bytes))
                    .map_err(|cause| Error::file(format!("{role} {}", path.display()), cause))?;
                bytes
            }
        };
        if bytes.len() > max {
            return Err(too_large());
        }
        Ok(bytes)
    }
}

/// A part with its identity.
#[derive(Debug, Clone)]
pub(crate) struct NamedPart {
    pub(crate) name: ProgramPart,
    pub(crate) len: u64,
    pub(crate) part: Part,
}

/// See the module. Cheap to clone; make it once for many proofs.
#[derive(Debug, Clone)]
pub struct Program {
    pub(crate) system: String,
    pub(crate) mode: String,
    pub(crate) parts: Arc<[NamedPart]>,
    pub(crate) verifier: Arc<Verifier>,
}

impl Program {
    /// A circom circuit: the witness generator (wasm), the proving key (zkey)
    /// and the verifying key (JSON), as snarkjs has them. Reads all three
    /// once, for their digests, and checks the verifying key.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::Program`] for a verifying key that is
    /// none.
    pub fn circom(
        wasm: impl Into<Part>,
        zkey: impl Into<Part>,
        vkey: impl Into<Part>,
    ) -> Result<Self, Error> {
        Self::groth16(Some(wasm.into()), zkey.into(), vkey.into())
    }

    /// Groth16 keys alone, for ready-made witnesses (`.wtns`).
    ///
    /// # Errors
    /// As [`Program::circom`].
    pub fn keys(zkey: impl Into<Part>, vkey: impl Into<Part>) -> Result<Self, Error> {
        Self::groth16(None, zkey.into(), vkey.into())
    }

    fn groth16(wasm: Option<Part>, zkey: Part, vkey: Part) -> Result<Self, Error> {
        let json = vkey.read(VERIFYING_KEY, Verifier::MAX_KEY)?;
        let verifier = Arc::new(Verifier::groth16(&json)?);
        // In rising order of role, as a description has them. The verifying
        // key is what was read and checked, whatever the file says later.
        let parts = [
            (PROVING_KEY, Some(zkey)),
            (VERIFYING_KEY, Some(Part::from(json))),
            (WITNESS_GENERATOR, wasm),
        ];
        let mut named = Vec::with_capacity(parts.len());
        for (role, part) in parts {
            let Some(part) = part else { continue };
            let (digest, len) = part.identify(role)?;
            named.push(NamedPart {
                name: ProgramPart {
                    role: role.into(),
                    digest,
                },
                len,
                part,
            });
        }
        Ok(Self {
            system: GROTH16.into(),
            mode: GROTH16.into(),
            parts: named.into(),
            verifier,
        })
    }

    /// Role, SHA-256 and length in bytes of every part.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &Digest, u64)> {
        self.parts
            .iter()
            .map(|part| (part.name.role.as_str(), &part.name.digest, part.len))
    }

    /// How many public values a proof has.
    pub fn public_count(&self) -> usize {
        self.verifier.public_count()
    }

    /// Verifies a proof, both documents as snarkjs writes them.
    ///
    /// # Errors
    /// [`Error::Proof`].
    pub fn verify(&self, proof: &[u8], public: &[u8]) -> Result<(), Error> {
        self.verifier.verify(proof, public)
    }
}
