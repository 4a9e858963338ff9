//! A guest: its ELF, and the verifying key that follows from it.
//!
//! The key is computed here before the job's input is opened to this process,
//! and must be the one that the client named: another program under the same
//! name, which commits its input as public values, say, is refused by then.

use std::panic::{AssertUnwindSafe, catch_unwind};

use soundproof_protocol::error::{Code, Failure};
use soundproof_sp1_node::Loaded;
use sp1_core_executor::Program;
use sp1_hypercube::{HashableKey as _, SP1VerifyingKey};

/// Bytes of an ELF at most.
pub const MAX_ELF: u64 = 64 * 1024 * 1024;
/// Bytes of the part that names a verifying key: `hash_bytes()` of it, eight
/// words, big-endian.
pub const KEY_BYTES: u64 = 32;

/// An ELF whose instructions SP1 knows.
///
/// # Errors
/// [`Code::ElfInvalid`].
pub fn parse(elf: &[u8]) -> Result<Program, Failure> {
    let invalid = || Failure::new(Code::ElfInvalid, "not an ELF that SP1 6 runs");
    // SP1's reader of ELFs asserts in places.
    catch_unwind(AssertUnwindSafe(|| Program::from(elf)))
        .map_err(|_| invalid())?
        .map_err(|error| Failure::new(Code::ElfInvalid, error.to_string()))
}

/// Sets the program of `elf` up and checks that its key is `expected`, where a
/// key is expected.
///
/// # Errors
/// [`Code::ElfInvalid`], [`Code::ProgramMismatch`].
pub async fn load(elf: &[u8], expected: Option<&[u8]>) -> Result<Loaded, Failure> {
    let loaded = Loaded::new(parse(elf)?).await;
    match expected {
        Some(expected) if expected != digest(&loaded.verifying_key) => {
            Err(Failure::new(Code::ProgramMismatch, ""))
        }
        _ => Ok(loaded),
    }
}

/// What SP1's network calls the vk hash.
pub fn digest(key: &SP1VerifyingKey) -> [u8; 32] {
    key.hash_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_elf_is_refused() {
        for bytes in [&b""[..], b"\x7fELF", &[0; 4096]] {
            assert_eq!(parse(bytes).unwrap_err().code, Code::ElfInvalid);
        }
    }
}
