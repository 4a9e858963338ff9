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
/// Name of the SP1 proof system.
pub const SP1: &str = "sp1";
/// Role of an SP1 program.
pub const ELF: &str = "elf";
/// Bytes of an SP1 program at most.
pub const MAX_ELF: usize = 64 * 1024 * 1024;

/// Kinds of proof that SP1 makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sp1Mode {
    /// Shards' proofs, as many as the program is long. Does not hide.
    Core,
    /// One proof of constant size. Does not hide.
    Compressed,
    /// PLONK over BN254, for contracts.
    Plonk,
    /// Groth16 over BN254, for contracts.
    Groth16,
}

impl Sp1Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Core, Self::Compressed, Self::Plonk, Self::Groth16];

    /// As job descriptions name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Compressed => "compressed",
            Self::Plonk => "plonk",
            Self::Groth16 => "groth16",
        }
    }

    /// Whether its proofs are zero-knowledge. For one that is not,
    /// [`JobOptions::acknowledges_not_hiding`](crate::JobOptions) must be set.
    pub const fn hides(self) -> bool {
        matches!(self, Self::Plonk | Self::Groth16)
    }
}

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

impl From<bytes::Bytes> for Part {
    fn from(bytes: bytes::Bytes) -> Self {
        Self::Bytes(bytes)
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

    /// All of it, `max` bytes at most; `code` if there are more.
    fn read(&self, role: &str, max: usize, code: Code) -> Result<bytes::Bytes, Error> {
        let too_large = || Error::Program {
            code,
            what: format!("the {role} is larger than {max} bytes"),
        };
        let bytes = match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::File(path) => {
                let mut bytes = Vec::new();
                std::fs::File::open(path)
                    .and_then(|file| file.take(max as u64 + 1).read_to_end(&mut bytes))
                    .map_err(|cause| Error::file(format!("{role} {}", path.display()), cause))?;
                bytes.into()
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

/// Parts in rising order of role, as a description has them.
fn named<const N: usize>(parts: [(&str, Option<Part>); N]) -> Result<Arc<[NamedPart]>, Error> {
    let there = parts
        .into_iter()
        .filter_map(|(role, part)| Some((role, part?)));
    there
        .map(|(role, part)| {
            let (digest, len) = part.identify(role)?;
            let name = ProgramPart {
                role: role.into(),
                digest,
            };
            Ok(NamedPart { name, len, part })
        })
        .collect()
}

/// See the module. Cheap to clone; make it once for many proofs.
#[derive(Debug, Clone)]
pub struct Program {
    pub(crate) system: String,
    pub(crate) mode: String,
    /// Whether proofs of this mode are zero-knowledge.
    pub(crate) hides: bool,
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
        let json = vkey.read(VERIFYING_KEY, Verifier::MAX_KEY, Code::VkeyInvalid)?;
        let verifier = Arc::new(Verifier::groth16(&json)?);
        // In rising order of role, as a description has them. The verifying
        // key is what was read and checked, whatever the file says later.
        let parts = [
            (PROVING_KEY, Some(zkey)),
            (VERIFYING_KEY, Some(Part::from(json))),
            (WITNESS_GENERATOR, wasm),
        ];
        Ok(Self {
            system: GROTH16.into(),
            mode: GROTH16.into(),
            hides: true,
            parts: named(parts)?,
            verifier,
        })
    }

    /// An SP1 program, built for SP1 6: its ELF, of [`MAX_ELF`] bytes at most,
    /// read once. With `verifying_key` (`vk.hash_bytes()`) the enclave refuses
    /// an ELF that is not that key's before it opens an input to it; without,
    /// the receipt says which key it computed.
    ///
    /// The input of a job is the SDK's stdin: bincode of `SP1Stdin`, or zstd of
    /// that. The proof can be loaded by `SP1ProofWithPublicValues::load`. This
    /// library does not verify SP1 proofs: see [`Proven::check`](crate::Proven).
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::Program`] for what is no ELF.
    pub fn sp1(
        elf: impl Into<Part>,
        mode: Sp1Mode,
        verifying_key: Option<[u8; 32]>,
    ) -> Result<Self, Error> {
        let elf = elf.into().read(ELF, MAX_ELF, Code::ElfInvalid)?;
        if !elf.starts_with(b"\x7fELF") {
            return Err(Error::Program {
                code: Code::ElfInvalid,
                what: "the program is no ELF file".into(),
            });
        }
        let key = verifying_key.map(|key| Part::from(key.to_vec()));
        Ok(Self {
            system: SP1.into(),
            mode: mode.name().into(),
            hides: mode.hides(),
            parts: named([(ELF, Some(elf.into())), (VERIFYING_KEY, key)])?,
            verifier: Arc::new(Verifier::Sp1),
        })
    }

    /// A mode that does not hide is for those only who say that they know.
    ///
    /// # Errors
    /// [`Error::Program`] with `mode_not_hiding`.
    pub(crate) fn check_acknowledged(&self, acknowledged: bool) -> Result<(), Error> {
        if self.hides || acknowledged {
            return Ok(());
        }
        Err(Error::Program {
            code: Code::ModeNotHiding,
            what: format!(
                "a {} proof of mode {} may reveal its input to whoever gets to see it, and that \
                 was not acknowledged; nothing was sent",
                self.system, self.mode
            ),
        })
    }

    /// Role, SHA-256 and length in bytes of every part.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &Digest, u64)> {
        self.parts
            .iter()
            .map(|part| (part.name.role.as_str(), &part.name.digest, part.len))
    }

    /// How many public values a proof has; none for SP1, where they are one
    /// string of bytes.
    pub fn public_count(&self) -> Option<usize> {
        self.verifier.public_count()
    }

    /// Verifies a Groth16 proof, both documents as snarkjs writes them.
    ///
    /// # Errors
    /// [`Error::Proof`]; [`Error::Program`] for another system's.
    pub fn verify(&self, proof: &[u8], public: &[u8]) -> Result<(), Error> {
        self.verifier.verify(proof, public)
    }
}
